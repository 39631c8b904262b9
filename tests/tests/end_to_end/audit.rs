//! One event per request, with stable field names.

use std::{future::pending, time::Duration};

use axum::{Router, routing::get};
use integration_tests::{AuditLog, Served};
use reqwest::Method;
use tower_delegation::{DelegationContext, RequestFacts, Requirement, requires, requires_scope};

use crate::World;

#[requires_scope("orders:read")]
#[requires(on_behalf_of_user)]
async fn order() -> &'static str {
    "order"
}

#[tokio::test]
async fn an_allowed_request_names_everybody_involved() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let router = Router::new().route("/orders/{id}", get(order));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    let token =
        world.token().actor("copilot").earlier_actor("planner").earlier_actor("portal").token_id("t-1");
    assert_eq!(service.get("/orders/7?secret=1", &token.sign()).await.status, 200);
    let event = audit.one();
    for (field, value) in [
        ("decision", "allow"),
        ("reason", ""),
        ("status", "200"),
        ("method", "GET"),
        ("route", "/orders/{id}"),
        ("requirements", "order, order"),
        ("issuer", world.idp.issuer()),
        ("subject", "alice"),
        ("subject_kind", "user"),
        ("client", "shop-web"),
        ("actor", "copilot"),
        ("earlier_actors", "planner portal"),
        ("scopes", "orders:read"),
        ("token_id", "t-1"),
    ] {
        assert_eq!(event.field(field), value, "{field}");
    }
    assert!(!event.field("duration_us").is_empty());
    assert_eq!(event.level, tracing::Level::INFO);
}

#[tokio::test]
async fn a_denied_request_keeps_the_original_user() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let router = Router::new().route("/", get(order));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    assert_eq!(service.get("/", &world.token().scopes(["other"]).actor("copilot").sign()).await.status, 403);
    let event = audit.one();
    for (field, value) in [
        ("decision", "deny"),
        ("reason", "scope_missing"),
        ("status", "403"),
        ("subject", "alice"),
        ("actor", "copilot"),
        ("client", "shop-web"),
    ] {
        assert_eq!(event.field(field), value, "{field}");
    }
}

#[tokio::test]
async fn a_call_inside_the_handler_is_on_the_record_and_a_token_alone_is_no_decision() {
    async fn handler(delegation: DelegationContext) -> &'static str {
        let requirement = Requirement::named("inner").scope("orders:refund");
        match delegation.authorize(&requirement, &RequestFacts::none()) {
            Ok(()) => "refunded",
            Err(_) => "not refunded",
        }
    }
    let world = World::new().await;
    let audit = AuditLog::listen();
    let router = Router::new().route("/call", get(handler)).route("/open", get(async || "open"));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;

    let answer = service.get("/call", &world.token().sign()).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "insufficient_scope"));
    let event = audit.one();
    assert_eq!(
        (event.field("decision"), event.field("requirements"), event.field("reason"), event.field("status")),
        ("deny", "inner: deny", "scope_missing", "403"),
    );

    assert_eq!(service.get("/open", &world.token().sign()).await.status, 200);
    let event = audit.one();
    assert_eq!((event.field("decision"), event.field("requirements")), ("none", ""));
}

#[tokio::test]
async fn a_client_that_hangs_up_and_a_handler_that_panics_leave_their_event() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let router = Router::new()
        .route("/hang", get(async || pending::<&'static str>().await))
        .route("/panic", get(async || -> &'static str { panic!("on purpose") }));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    // The first request fetches the keys; after it the handler is reached at once.
    let _ = service.get("/nowhere", &world.token().sign()).await;
    let _ = audit.take();
    for path in ["/hang", "/panic"] {
        let request = service.request(Method::GET, path).bearer_auth(world.token().sign());
        let timeout = Duration::from_millis(200);
        assert!(request.timeout(timeout).send().await.is_err(), "{path}");
        let event = loop {
            match audit.take().pop() {
                Some(event) => break event,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!((event.field("decision"), event.field("status")), ("abandoned", ""), "{path}");
        assert_eq!((event.field("subject"), event.field("route")), ("alice", path), "{path}");
    }
}

#[tokio::test]
async fn values_from_outside_cannot_forge_the_record() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let service = world.serve(world.layer()).await;
    let token = world
        .token()
        .subject("alice\nsubject=admin\u{1b}[2J")
        .client("c".repeat(1000))
        .token_id("\r\ninjected");
    assert_eq!(service.get("/", &token.sign()).await.status, 200);
    let event = audit.one();
    assert_eq!(event.field("subject"), "alice\\nsubject=admin\\u{1b}[2J");
    assert_eq!(event.field("client").chars().count(), 257);
    assert_eq!(event.field("token_id"), "\\r\\ninjected");
}

#[tokio::test]
async fn no_event_shows_a_token() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let service = world.serve(world.layer()).await;
    for token in [world.token().sign(), world.token().tamper_signature().sign()] {
        let _ = service.get("/", &token).await;
        let event = format!("{:?}", audit.one());
        for part in token.split('.') {
            assert!(!event.contains(part), "{event}");
        }
    }
}
