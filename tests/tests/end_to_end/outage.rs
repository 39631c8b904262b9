//! Our own outage: 503 with `Retry-After`, never a 401, never a pass.

use std::time::Duration;

use axum::http::StatusCode;
use integration_tests::{AuditLog, Served};
use tower_delegation_testing::Endpoint;

use crate::{World, whoami};

#[tokio::test]
async fn a_cold_start_without_the_provider_is_503_and_recovers() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    for endpoint in [Endpoint::Discovery, Endpoint::Jwks] {
        let service = world.serve(world.layer()).await;
        world.idp.fail_with(endpoint, StatusCode::INTERNAL_SERVER_ERROR);
        let answer = service.get("/", &world.token().sign()).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "temporarily_unavailable"), "{endpoint:?}");
        assert_eq!(answer.headers["retry-after"], "10");
        assert_eq!(answer.challenges, [""; 0]);
        let event = audit.one();
        assert_eq!((event.field("reason"), event.level), ("keys_unavailable", tracing::Level::WARN));
        // A stranger's token is no better than anybody's.
        let forged = world.token().tamper_signature().sign();
        assert_eq!(service.get("/", &forged).await.status, 503, "{endpoint:?}");

        world.idp.recover(endpoint);
        world.clock.advance(Duration::from_secs(60));
        assert_eq!(service.get("/", &world.token().sign()).await.status, 200, "{endpoint:?}");
        let _ = audit.take();
    }
}

#[tokio::test]
async fn known_keys_go_on_through_an_outage() {
    let world = World::new().await;
    let service = world.serve(world.layer()).await;
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
    world.idp.fail_with(Endpoint::Jwks, StatusCode::SERVICE_UNAVAILABLE);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
}

#[tokio::test]
async fn a_rotated_key_is_accepted_on_its_first_token_and_a_withdrawn_one_refused() {
    let world = World::new().await;
    let service = world.serve(world.layer()).await;
    let old = world.token().sign();
    assert_eq!(service.get("/", &old).await.status, 200);
    world.idp.rotate_keys();
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
    assert_eq!(service.get("/", &old).await.status, 200);
    world.idp.withdraw_old_keys();
    world.idp.rotate_keys();
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
    assert_eq!(service.get("/", &old).await.status, 401);
}

#[tokio::test]
async fn warming_up_fetches_before_the_first_request() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    assert_eq!(world.idp.requests(Endpoint::Jwks), 0);
    layer.warm_up().await.unwrap();
    assert_eq!(world.idp.requests(Endpoint::Jwks), 1);
    let service = Served::start(whoami().layer(layer)).await;
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
    assert_eq!(world.idp.requests(Endpoint::Jwks), 1);

    world.idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
    assert!(world.layer().build().unwrap().warm_up().await.is_err());
}
