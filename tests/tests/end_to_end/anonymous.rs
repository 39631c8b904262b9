//! Requests without credentials, and requests without a layer.

use axum::{Router, routing::get};
use integration_tests::{AuditLog, Served};
use tower_delegation::{Authorized, DelegationContext, RequireLayer, Requirement, requires_scope};

use crate::World;

async fn maybe(delegation: Option<DelegationContext>) -> String {
    delegation.map_or_else(|| "nobody".to_owned(), |delegation| delegation.subject().id().to_string())
}

async fn known(delegation: DelegationContext) -> String {
    delegation.subject().id().to_string()
}

#[requires_scope("orders:read")]
async fn ruled() -> &'static str {
    "orders"
}

fn router() -> Router {
    let layered = RequireLayer::new(Requirement::named("layered").scope("orders:read")).unwrap();
    Router::new()
        .route("/maybe", get(maybe))
        .route("/known", get(known))
        .route("/ruled", get(ruled))
        .route("/layered", get(async || "layered").route_layer(layered))
}

#[tokio::test]
async fn anonymous_requests_reach_only_what_is_public() {
    let world = World::new().await;
    let service = Served::start(router().layer(world.layer().allow_anonymous().build().unwrap())).await;
    let public = service.get_anonymously("/maybe").await;
    assert_eq!((public.status, public.body.as_str()), (200, "nobody"));

    for (path, challenge) in [
        ("/known", r#"Bearer realm="api""#),
        ("/ruled", r#"Bearer realm="api", scope="orders:read""#),
        ("/layered", r#"Bearer realm="api", scope="orders:read""#),
    ] {
        let answer = service.get_anonymously(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "missing_credentials"), "{path}");
        assert_eq!(answer.challenge(), challenge, "{path}");
    }

    let token = world.token().sign();
    for (path, body) in
        [("/maybe", "alice"), ("/known", "alice"), ("/ruled", "orders"), ("/layered", "layered")]
    {
        let answer = service.get(path, &token).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
    }
}

#[tokio::test]
async fn bad_credentials_are_refused_where_none_are_needed() {
    let world = World::new().await;
    let service = Served::start(router().layer(world.layer().allow_anonymous().build().unwrap())).await;
    let forged = world.token().tamper_signature().sign();
    assert_eq!(service.get("/maybe", &forged).await.code(), "invalid_token");
    assert_eq!(service.get_anonymously("/maybe?access_token=x").await.code(), "invalid_request");
}

#[tokio::test]
async fn credentials_are_required_by_default() {
    let world = World::new().await;
    let service = Served::start(router().layer(world.layer().build().unwrap())).await;
    for path in ["/maybe", "/known", "/ruled", "/layered"] {
        assert_eq!(service.get_anonymously(path).await.code(), "missing_credentials", "{path}");
    }
}

#[tokio::test]
async fn without_the_layer_every_guarded_handler_answers_500() {
    let world = World::new().await;
    let service = Served::start(router()).await;
    let token = world.token().sign();
    for path in ["/maybe", "/known", "/ruled", "/layered"] {
        for answer in [service.get(path, &token).await, service.get_anonymously(path).await] {
            assert_eq!((answer.status, answer.code().as_str()), (500, "misconfigured"), "{path}");
            assert_eq!(answer.challenges, [""; 0], "{path}");
        }
    }
}

#[tokio::test]
async fn a_contradictory_requirement_is_our_mistake_not_the_callers() {
    struct Impossible;
    impl tower_delegation::Requires for Impossible {
        fn requirement() -> Requirement {
            Requirement::named("impossible").delegated().not_delegated()
        }
    }
    let world = World::new().await;
    let audit = AuditLog::listen();
    let router = Router::new().route("/", get(async |_: Authorized<Impossible>| "never"));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    let answer = service.get("/", &world.token().sign()).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "misconfigured"));
    let event = audit.one();
    assert_eq!((event.level, event.field("reason")), (tracing::Level::ERROR, "requirement_contradictory"));
    assert!(Requirement::check::<Impossible>().is_err());
    assert!(RequireLayer::of::<Impossible>().is_err());
}
