//! The last net: nothing is sent about which nothing was decided.

use std::{
    convert::Infallible,
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{Router, body::Body, response::Response, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use integration_tests::{AuditLog, Served};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_delegation::{
    Authorized, DelegationContext, Rejection, RequestFacts, Requirement,
    routing::{AnyCaller, public},
};

use crate::World;

async fn unruled(_: DelegationContext) -> &'static str {
    "a secret"
}

async fn by_call(delegation: DelegationContext) -> Result<&'static str, Rejection> {
    let requirement = Requirement::named("by_call").scope("orders:read");
    delegation.authorize(&requirement, &RequestFacts::none()).map(|()| "orders")
}

async fn by_argument(_: Authorized<AnyCaller>) -> &'static str {
    "whoever"
}

fn router() -> Router {
    let status = |status: u16| get(async move || StatusCode::from_u16(status).unwrap());
    Router::new()
        .route("/unruled", get(unruled))
        .route("/call", get(by_call))
        .route("/argument", get(by_argument))
        .route("/created", status(201))
        .route("/moved", status(303))
        .route("/gone", status(410))
        .route("/broken", status(502))
        .route("/open", get(public("no secret", async || "open")))
}

#[tokio::test]
async fn success_without_a_decision_is_not_sent() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let layer = world.layer().allow_anonymous().refuse_undecided().build().unwrap();
    let served = Served::start(router().layer(layer)).await;
    let token = world.token().scopes(["orders:read"]).sign();
    for (name, path, status, code, reason) in [
        ("only a token", "/unruled", 500, "misconfigured", "undecided"),
        ("nothing but a status", "/created", 500, "misconfigured", "undecided"),
        ("a redirect", "/moved", 500, "misconfigured", "undecided"),
        ("a client's failure", "/gone", 410, "", ""),
        ("our failure", "/broken", 502, "", ""),
        ("the router's failure", "/nothing/here", 404, "", ""),
        ("a call that allows", "/call", 200, "", ""),
        ("an argument that allows", "/argument", 200, "", ""),
        ("public", "/open", 200, "", ""),
    ] {
        let answer = served.get(path, &token).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}");
        assert!(!answer.body.contains("secret"), "{name}");
        let event = audit.one();
        assert_eq!(event.field("reason"), reason, "{name}");
        assert_eq!(event.field("status"), status.to_string(), "{name}");
        assert_eq!(event.level == tracing::Level::ERROR, reason == "undecided", "{name}");
    }
    for (name, path, status) in [
        ("undecided, anonymously", "/created", 500),
        ("denied, anonymously", "/argument", 401),
        ("public, anonymously", "/open", 200),
    ] {
        assert_eq!(served.get_anonymously(path).await.status, status, "{name}");
    }
    let denied = served.get("/call", &world.token().scopes([""; 0]).sign()).await;
    assert_eq!(denied.status, 403, "a denial is a decision");
}

/// A service may want nothing but a verified token.
#[tokio::test]
async fn it_is_off_unless_asked_for() {
    let world = World::new().await;
    let served = Served::start(router().layer(world.layer().build().unwrap())).await;
    let answer = served.get("/unruled", &world.token().scopes([""; 0]).sign()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "a secret"));
}

/// A body that counts how often it is polled, and how often it is dropped.
#[derive(Clone, Default)]
struct Counters {
    polls: Arc<AtomicUsize>,
    drops: Arc<AtomicUsize>,
}

struct Counting(Counters);

impl http_body::Body for Counting {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.polls.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(None)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.drops.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn the_body_is_dropped_without_being_polled() {
    let world = World::new().await;
    let layer = world.layer().refuse_undecided().build().unwrap();
    let token = world.token().scopes([""; 0]).sign();
    for (name, content_type, response_grpc_status, status, grpc_status, polls) in [
        ("HTTP", "application/json", None, 500, None, 0),
        ("gRPC", "application/grpc", None, 200, Some("13"), 0),
        ("gRPC with a subtype", "application/grpc+proto", None, 200, Some("13"), 0),
        ("gRPC success in the head", "application/grpc", Some("0"), 200, Some("13"), 0),
        ("gRPC failure in the head", "application/grpc", Some("5"), 200, Some("5"), 1),
        ("HTTP is not told by that field", "application/json", Some("5"), 500, None, 0),
    ] {
        let counters = Counters::default();
        let made = counters.clone();
        let service = layer.layer(service_fn(move |_: Request<Body>| {
            let mut response = Response::builder().header("x-secret", "1");
            if let Some(status) = response_grpc_status {
                response = response.header("grpc-status", status);
            }
            let response = response.body(Counting(made.clone())).unwrap();
            ready(Ok::<_, Infallible>(response))
        }));
        let request = Request::post("/orders.Orders/List")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::empty())
            .unwrap();
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{name}");
        let sent = response.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        assert_eq!(sent.as_deref(), grpc_status, "{name}");
        assert_eq!(response.headers().contains_key("x-secret"), polls == 1, "{name}");
        assert_eq!(response.extensions().get::<Rejection>().is_some(), polls == 0, "{name}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.is_empty(), status == 200, "{name}");
        assert_eq!(counters.polls.load(Ordering::Relaxed), polls, "{name}");
        assert_eq!(counters.drops.load(Ordering::Relaxed), 1, "{name}");
    }
}
