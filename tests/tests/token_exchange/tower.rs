//! Calls through any tower service: hyper's client over real sockets, and one that watches how it
//! is driven.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::{Router, body::Body, extract::State, routing::any};
use http::{Request, Response, Uri, Version};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use integration_tests::Served;
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _};
use tower_delegation::{
    DelegationContext,
    exchange::outgoing::{CallError, CallErrorKind, OnBehalfOf, OnBehalfOfExt as _, OnBehalfOfLayer},
};
use tower_service::Service;

use crate::{
    shop::{STOCK, Shop},
    witness::Witness,
};

type Hyper = Client<HttpConnector, Body>;

fn hyper() -> Hyper {
    Client::builder(TokioExecutor::new()).build_http()
}

fn request(uri: &str) -> Request<Body> {
    Request::get(uri).header("authorization", "Bearer of-the-caller").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_request_goes_to_the_downstream_with_a_token_for_it() {
    let (shop, stock) = (Shop::new().await, Witness::start().await);
    let caller = shop.caller().await;
    let base = &stock.served.base;
    let client =
        OnBehalfOfLayer::new(shop.exchange_at(&format!("{base}/api"))).scope("stock:read").layer(hyper());
    for (name, uri, line) in [
        ("a path", "/items?a=1".to_owned(), "GET /api/items?a=1"),
        ("its own URL", format!("{base}/items"), "GET /items"),
        ("its own origin", base.clone(), "GET /"),
    ] {
        let call = request(&uri).on_behalf_of(&caller);
        let answer = client.clone().oneshot(call).await.unwrap();
        assert_eq!(answer.status(), 200, "{name}");
        let seen = stock.one();
        assert_eq!(seen.line, line, "{name}");
        assert_eq!(seen.token()["aud"], STOCK, "{name}");
        assert_eq!(seen.token()["scope"], "stock:read", "{name}");
    }
}

#[tokio::test]
async fn a_request_elsewhere_or_without_a_caller_is_refused_before_anything_is_exchanged() {
    let (shop, stock) = (Shop::new().await, Witness::start().await);
    let evil = Witness::start().await;
    let caller = shop.caller().await;
    let client = OnBehalfOfLayer::new(shop.exchange_at(&stock.served.base)).layer(hyper());
    let (own, host) = (&stock.served.base, evil.served.base.strip_prefix("http://").unwrap());
    for (name, uri, is_of_caller, code) in [
        ("no caller", "/items".to_owned(), false, "downstream_request_invalid"),
        ("another origin", format!("{}/items", evil.served.base), true, "downstream_request_invalid"),
        ("another scheme", own.replace("http:", "https:"), true, "downstream_request_invalid"),
        ("another host", own.replace("127.0.0.1", "localhost"), true, "downstream_request_invalid"),
        (
            "its name as a user",
            format!("http://{}@{host}/", own.trim_start_matches("http://").replace(':', ".")),
            true,
            "downstream_request_invalid",
        ),
        ("two slashes", format!("//{host}/items"), true, "path_ambiguous"),
        ("up", "/items/../admin".to_owned(), true, "path_ambiguous"),
        ("up, encoded", "/%2e%2e/admin".to_owned(), true, "path_ambiguous"),
        ("up, at its own URL", format!("{own}/items/../admin"), true, "path_ambiguous"),
    ] {
        let mut call = request(&uri);
        if is_of_caller {
            call = call.on_behalf_of(&caller);
        }
        let error: CallError = client.clone().oneshot(call).await.unwrap_err();
        assert_eq!((error.kind(), error.reason().code()), (CallErrorKind::Request, code), "{name}: {uri}");
    }
    assert_eq!((shop.exchanges(), stock.take().len(), evil.take().len()), (0, 0, 0));
    client.oneshot(request("/items").on_behalf_of(&caller)).await.unwrap();
    assert_eq!((shop.exchanges(), stock.take().len()), (1, 1));
}

#[tokio::test]
async fn an_error_says_whose_it_is() {
    let shop = Shop::new().await;
    let stock = Witness::start().await;
    let caller = shop.caller().await;
    let gone = OnBehalfOfLayer::new(shop.exchange_at("http://127.0.0.1:1")).layer(hyper());
    let error = gone.oneshot(request("/items").on_behalf_of(&caller)).await.unwrap_err();
    assert_eq!((error.kind(), error.rejection().status().as_u16()), (CallErrorKind::Transport, 503));
    let wide = OnBehalfOfLayer::new(shop.exchange_at(&stock.served.base)).scope("stock:write").layer(hyper());
    let error = wide.oneshot(request("/items").on_behalf_of(&caller)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.reason().code()),
        (CallErrorKind::Exchange, "exchange_scope_not_granted")
    );
    assert_eq!(stock.take().len(), 0);
}

/// Stock over HTTP/2 with prior knowledge, as gRPC servers are.
async fn over_http2(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let service = TowerToHyperService::new(app.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new()).http2_only();
                drop(server.serve_connection(TokioIo::new(connection), service).await);
            });
        }
    });
    base
}

#[tokio::test]
async fn a_gateway_passes_requests_on_over_http_2() {
    let shop = Shop::new().await;
    let seen = async |request: Request<Body>| {
        assert_eq!(request.version(), Version::HTTP_2);
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        format!("{} {} {}", head.method, head.uri.path(), String::from_utf8_lossy(&body))
    };
    let stock = over_http2(Router::new().fallback(seen)).await;
    let client: Hyper = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let client = OnBehalfOfLayer::new(shop.exchange_at(&stock)).layer(client);
    // The context of the request that came in is in its extensions.
    let pass_on =
        async |State(stock): State<OnBehalfOf<Hyper>>, _: DelegationContext, request: Request<Body>| {
            stock.oneshot(request).await.map_err(tower_delegation::Rejection::from)
        };
    let gateway = Router::new().route("/{*path}", any(pass_on)).with_state(client).layer(shop.layer.clone());
    let gateway = Served::start(gateway).await;
    let call = gateway.request(http::Method::POST, "/stock.Items/Get").bearer_auth(shop.token().sign());
    let answer = integration_tests::Answer::of(call.body("message")).await;
    assert_eq!((answer.status, &*answer.body), (200, "POST /stock.Items/Get message"));
    let refused = gateway.get_anonymously("/stock.Items/Get").await;
    assert_eq!(refused.status, 401);
    let up = gateway.get("/stock%2fadmin", &shop.token().sign()).await;
    assert_eq!(up.status, 403, "{}", up.body);
}

/// Keeps what it is called with, and panics where it was not polled ready before.
#[derive(Default)]
struct Contract {
    is_ready: bool,
    calls: Arc<Mutex<Vec<(Uri, bool)>>>,
}

impl Clone for Contract {
    /// A clone is not ready.
    fn clone(&self) -> Self {
        Self { is_ready: false, calls: Arc::clone(&self.calls) }
    }
}

impl Service<Request<()>> for Contract {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called and not polled ready");
        let has_caller = DelegationContext::of(&request).is_some();
        self.calls.lock().unwrap().push((request.uri().clone(), has_caller));
        ready(Ok(Response::new(())))
    }
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_called_and_sees_no_caller() {
    let shop = Shop::new().await;
    let caller = shop.caller().await;
    let inner = Contract::default();
    let mut service =
        OnBehalfOfLayer::new(shop.exchange_at("https://stock.example.com")).layer(inner.clone());
    for _ in 0..2 {
        let request = Request::get("/items").body(()).unwrap().on_behalf_of(&caller);
        service.ready().await.unwrap().call(request).await.unwrap();
    }
    let calls = inner.calls.lock().unwrap();
    let own: Uri = "https://stock.example.com/items".parse().unwrap();
    assert_eq!(*calls, [(own.clone(), false), (own, false)]);
}

#[test]
fn futures_are_send() {
    fn is_send<T: Send>() {}
    is_send::<<OnBehalfOf<Hyper> as Service<Request<Body>>>::Future>();
    is_send::<CallError>();
}
