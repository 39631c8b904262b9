//! A server that keeps what reaches it, and answers as it is set to.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::Request, response::IntoResponse as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, Response, StatusCode};
use integration_tests::Served;
use serde_json::Value;
use tower_delegation::{
    DelegationContext, Requirement,
    exchange::{Downstream, Exchange, outgoing::DownstreamClient},
};

use crate::shop::{STOCK, Shop, server, terms};

/// A request that reached the server.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Method and target.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// What the token that came along says.
    pub(crate) fn token(&self) -> Value {
        let token = self.field("authorization").unwrap().strip_prefix("Bearer ").unwrap();
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice(&payload).unwrap()
    }
}

type Answering = Box<dyn FnMut(&Seen) -> Response<String> + Send>;

pub(crate) struct Witness {
    pub(crate) served: Served,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Witness {
    /// Answers 200.
    pub(crate) async fn start() -> Self {
        Self::answering(|_| Response::new(String::from("served"))).await
    }

    pub(crate) async fn answering(answer: impl FnMut(&Seen) -> Response<String> + Send + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Mutex<Answering>> = Arc::new(Mutex::new(Box::new(answer)));
        let kept = Arc::clone(&seen);
        let serve = async move |request: Request| {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let line = format!("{} {}", head.method, head.uri);
            let request = Seen { line, headers: head.headers, body };
            let response = (*answer.lock().unwrap())(&request);
            kept.lock().unwrap().push(request);
            response.into_response()
        };
        Self { served: Served::start(Router::new().fallback(serve)).await, seen }
    }

    /// Answers with this status.
    pub(crate) async fn refusing(status: StatusCode) -> Self {
        Self::answering(move |_| Response::builder().status(status).body(String::new()).unwrap()).await
    }

    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    pub(crate) fn one(&self) -> Seen {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }
}

impl Shop {
    /// Tokens for stock at this URL.
    pub(crate) fn exchange_at(&self, url: &str) -> Exchange {
        self.exchange_with(url, |stock| stock)
    }

    pub(crate) fn exchange_with(&self, url: &str, change: impl FnOnce(Downstream) -> Downstream) -> Exchange {
        let stock = Downstream::new("stock", url, server(&self.world))
            .resource(STOCK)
            .require(Requirement::named("calls stock").on_behalf_of_user())
            .add_scopes(["stock:read"])
            .reads(terms(&self.world));
        self.layer.exchange(change(stock)).unwrap()
    }

    pub(crate) fn client_of(&self, stock: &Witness) -> DownstreamClient {
        DownstreamClient::new(self.exchange_at(&stock.served.base)).unwrap()
    }

    /// alice, as the layer verified her.
    pub(crate) async fn caller(&self) -> DelegationContext {
        self.layer.authenticator().verify(&self.token().sign()).await.unwrap()
    }
}
