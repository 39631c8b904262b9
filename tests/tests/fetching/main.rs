//! What fetching can be configured with: proxy, credentials, certificates, other places, plain
//! http, a transport of one's own. Each is used over a real socket, and each is refused
//! where it was not asked for. What cannot be fetched is an outage: 503, never 401.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what goes wrong in a test fails the test, also in its helpers"
)]

mod certificates;
mod fields;
mod metadata;
mod proxies;
mod transports;

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use integration_tests::{AUDIENCE, Served, World, whoami};
use tower_delegation::{
    ConfigError, DelegationLayer, TrustedIssuer, http_client::HttpClient, jwks::KeySourceErrorKind,
};

/// A server of metadata and keys that keeps what it was asked.
#[derive(Clone, Default)]
struct Keys {
    documents: Arc<Mutex<Vec<(String, Document)>>>,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

#[derive(Clone)]
enum Document {
    /// To all.
    Open(String),
    /// To those with this value of `Authorization`; 403 to others.
    For(String, String),
    /// A redirect.
    At(String),
}

impl Keys {
    /// Has the keys of the world's provider at `/keys`.
    fn of(world: &World) -> Self {
        Self::default().with("/keys", Document::Open(world.idp.jwks().to_string()))
    }

    fn with(self, path: &str, document: Document) -> Self {
        let mut documents = self.documents.lock().unwrap();
        documents.retain(|(known, _)| known != path);
        documents.push((path.to_owned(), document));
        drop(documents);
        self
    }

    fn router(&self) -> Router {
        let this = self.clone();
        Router::new().fallback(async move |request: Request| this.answer(&request))
    }

    fn answer(&self, request: &Request) -> Response {
        let path = request.uri().path().to_owned();
        self.asked.lock().unwrap().push((path.clone(), request.headers().clone()));
        let documents = self.documents.lock().unwrap();
        let document = documents.iter().find(|(known, _)| *known == path).map(|(_, document)| document);
        let json = |text: &str| ([("content-type", "application/json")], text.to_owned()).into_response();
        match document {
            None => StatusCode::NOT_FOUND.into_response(),
            Some(Document::Open(text)) => json(text),
            Some(Document::For(authorization, text)) => match request.headers().get("authorization") {
                Some(value) if value == authorization => json(text),
                _ => StatusCode::FORBIDDEN.into_response(),
            },
            Some(Document::At(location)) => {
                (StatusCode::FOUND, [("location", location.as_str())]).into_response()
            }
        }
    }

    /// The paths that were asked for.
    fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    /// The values of `Authorization` that were sent.
    fn authorizations(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let values = asked.iter().filter_map(|(_, headers)| headers.get("authorization"));
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    async fn serve(&self) -> Listening {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = self.router();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Listening { origin, task }
    }
}

/// A server until it is dropped.
struct Listening {
    origin: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The service behind a layer that trusts one issuer.
struct Api {
    served: Served,
    layer: DelegationLayer,
}

impl Api {
    /// Trusts `issuer` on the terms of the test, and fetches by `client`.
    async fn new(world: &World, issuer: TrustedIssuer, client: HttpClient) -> Self {
        Self::build(world, issuer, client).await.unwrap()
    }

    async fn build(world: &World, issuer: TrustedIssuer, client: HttpClient) -> Result<Self, ConfigError> {
        let issuer = issuer.add_audience(AUDIENCE);
        let layer = DelegationLayer::builder().clock(world.clock.clone()).http_client(client);
        let layer = layer.add_issuer(issuer).build()?;
        Ok(Self { served: Served::start(whoami().layer(layer.clone())).await, layer })
    }

    /// The status of the answer to a request with `token`.
    async fn status(&self, token: &str) -> u16 {
        self.served.get("/", token).await.status
    }

    fn last_error(&self) -> Option<KeySourceErrorKind> {
        let status = self.layer.status();
        let [issuer] = status.issuers.as_slice() else { panic!("one issuer: {status:?}") };
        issuer.last_error
    }

    /// Whether the keys can be fetched now.
    async fn refreshes(&self) -> bool {
        self.layer.refresh_keys().await[0].outcome.is_ok()
    }
}

/// Trusts tokens of the world's provider, whose keys are at `jwks_url`.
fn keys_at(world: &World, jwks_url: &str) -> TrustedIssuer {
    TrustedIssuer::with_jwks_url(world.idp.issuer(), jwks_url).unwrap()
}
