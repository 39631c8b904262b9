//! A transport of one's own: what the client promises holds for it too.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use integration_tests::World;
use tower_delegation::{
    TrustedIssuer,
    http_client::{
        EgressProxy, HttpClient, HttpTransport, RequestField, TransportBody, TransportError,
        TransportErrorKind, TransportFuture,
    },
    jwks::KeySourceErrorKind,
};

use crate::Api;

/// Knows one host, by plain http, as a mesh's sidecar would.
#[derive(Clone, Debug)]
struct Sidecar {
    calls: Arc<AtomicUsize>,
    behaviour: Behaviour,
    keys: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Good,
    Fails(TransportErrorKind),
    Hangs,
    HangsInTheBody,
    Redirects,
    Encodes,
    Floods,
}

impl HttpTransport for Sidecar {
    fn send<'a>(&'a self, request: Request<Bytes>) -> TransportFuture<'a> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::Relaxed);
            assert_eq!(request.uri(), "http://idp.mesh/keys");
            assert_eq!(request.headers()["authorization"], "Bearer secret");
            assert!(request.headers()["authorization"].is_sensitive());
            assert_eq!(request.headers()["accept-encoding"], "identity");
            let full = |text: &str| TransportBody::new(Full::from(text.to_owned()));
            let response = Response::builder();
            let response = match self.behaviour {
                Behaviour::Good => response.body(full(&self.keys)),
                Behaviour::Fails(kind) => return Err(TransportError::new(kind, "as the test wants")),
                Behaviour::Hangs => pending().await,
                Behaviour::HangsInTheBody => response.body(TransportBody::new(Never)),
                Behaviour::Redirects => {
                    response.status(302).header("location", "http://idp.mesh/keys").body(full(&self.keys))
                }
                Behaviour::Encodes => response.header("content-encoding", "gzip").body(full(&self.keys)),
                Behaviour::Floods => response.body(full(&" ".repeat(512 * 1024 + 1))),
            };
            Ok(response.unwrap())
        })
    }
}

/// A body that never comes.
struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn time_size_redirects_and_codings_are_judged_by_the_client() {
    use Behaviour::{Encodes, Fails, Floods, Good, Hangs, HangsInTheBody, Redirects};
    let world = World::new().await;
    for (behaviour, error) in [
        (Good, None),
        (Fails(TransportErrorKind::Unreachable), Some(KeySourceErrorKind::Unreachable)),
        (Fails(TransportErrorKind::Tls), Some(KeySourceErrorKind::Tls)),
        (Fails(TransportErrorKind::Timeout), Some(KeySourceErrorKind::Timeout)),
        (Hangs, Some(KeySourceErrorKind::Timeout)),
        (HangsInTheBody, Some(KeySourceErrorKind::Timeout)),
        (Redirects, Some(KeySourceErrorKind::Refused)),
        (Encodes, Some(KeySourceErrorKind::ContentEncoding)),
        (Floods, Some(KeySourceErrorKind::Refused)),
    ] {
        let calls = Arc::new(AtomicUsize::new(0));
        let sidecar = Sidecar { calls: Arc::clone(&calls), behaviour, keys: world.idp.jwks().to_string() };
        let client = || {
            let client = HttpClient::new().timeout(Duration::from_millis(100)).transport(sidecar.clone());
            client.add_field("http://idp.mesh", RequestField::bearer("secret"))
        };
        let issuer = || TrustedIssuer::with_jwks_url(world.idp.issuer(), "http://idp.mesh/keys").unwrap();
        let refused = Api::build(&world, issuer(), client()).await.err().unwrap();
        assert_eq!(refused.code(), "invalid_url", "plain http is allowed by name only: {refused}");
        let allowed = client().insecure_plain_http("http://idp.mesh");
        let api = Api::new(&world, issuer(), allowed).await;
        let status = if error.is_none() { 200 } else { 503 };
        assert_eq!(api.status(&world.token().sign()).await, status, "{behaviour:?}");
        assert_eq!(api.last_error(), error, "{behaviour:?}");
        assert_eq!(calls.load(Ordering::Relaxed), 1, "{behaviour:?}");
    }
}

#[tokio::test]
async fn what_does_not_fit_together_does_not_build() {
    let world = World::new().await;
    let sidecar =
        Sidecar { calls: Arc::new(AtomicUsize::new(0)), behaviour: Behaviour::Good, keys: String::new() };
    let client = HttpClient::new()
        .transport(sidecar)
        .add_root_certificates(world.pki.bundle_pem())
        .proxy(EgressProxy::new("https://proxy.internal"))
        .timeout(Duration::from_secs(60));
    // Also where no issuer fetches anything.
    let keys = world.idp.jwks().to_string();
    let issuer = || TrustedIssuer::with_static_keys(world.idp.issuer(), &keys).unwrap();
    let error = Api::build(&world, issuer(), client).await.err().unwrap();
    let codes: Vec<_> = error.mistakes().map(|mistake| mistake.code()).collect();
    assert_eq!(codes, ["out_of_range", "http_client", "http_client"], "{error}");
    assert!(Api::build(&world, issuer(), HttpClient::new()).await.is_ok());
}
