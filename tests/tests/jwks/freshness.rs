//! How long a set is taken as current, and how it is kept so.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use tower_delegation_testing::Endpoint;

use crate::{DAY, DEFAULT_REFRESH, Observed, SECOND, lasting};

#[tokio::test]
async fn cache_control_counts_between_a_floor_and_a_ceiling() {
    for (name, cache_control, refreshed_after) in [
        ("none", None, 480),
        ("within", Some("max-age=1800"), 1440),
        ("none at all", Some("max-age=0"), 48),
        ("no-store", Some("no-store, max-age=1800"), 48),
        ("no-cache", Some("no-cache"), 48),
        ("a year", Some("public, max-age=31536000, immutable"), 2880),
        ("nonsense", Some("max-age=soon"), 480),
    ] {
        let world = lasting().await;
        world.idp.set_jwks_cache_control(cache_control.map(HeaderValue::from_static));
        let service = world.warm_service().await;
        let token = world.token().sign();
        for _ in 0..100 {
            assert_eq!(service.call_at_once(&token), StatusCode::OK, "{name}");
        }
        world.clock.advance(Duration::from_secs(refreshed_after) - SECOND);
        for _ in 0..100 {
            assert_eq!(service.call_at_once(&token), StatusCode::OK, "{name}");
            tokio::task::yield_now().await;
        }
        assert_eq!(world.fetches(), 1, "{name}: not before it is due");
        world.clock.advance(SECOND);
        service.until(name, |status| status.age == Some(Duration::ZERO)).await;
        assert_eq!(world.fetches(), 2, "{name}: without a request");
        assert_eq!(world.idp.requests(Endpoint::Discovery), 1, "{name}");
    }
}

#[tokio::test]
async fn the_refresh_is_off_the_request_path() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let token = world.token().sign();
    let hold = world.idp.hold(Endpoint::Jwks);
    world.clock.advance(DEFAULT_REFRESH);
    world.idp.wait_for_requests(Endpoint::Jwks, 2).await;
    for _ in 0..1000 {
        assert_eq!(service.call_at_once(&token), StatusCode::OK);
    }
    hold.release();
    service.until("the refresh has landed", |status| status.age == Some(Duration::ZERO)).await;
    assert_eq!(world.fetches(), 2);
}

#[tokio::test]
async fn an_etag_keeps_the_set_fresh() {
    let world = lasting().await;
    world.idp.set_jwks_cache_control(Some(HeaderValue::from_static("max-age=3600")));
    let service = world.warm_service().await;
    let token = world.token().sign();
    assert!(!world.idp.last_request_headers(Endpoint::Jwks).unwrap().contains_key("if-none-match"));
    let mut passed = Duration::ZERO;
    while passed <= 2 * DAY {
        let fetches = world.fetches();
        let due = Duration::from_secs(2880);
        world.clock.advance(due);
        passed += due;
        world.idp.wait_for_requests(Endpoint::Jwks, fetches + 1).await;
        service.until("confirmed", |status| status.age == Some(Duration::ZERO)).await;
        let sent = world.idp.last_request_headers(Endpoint::Jwks).unwrap();
        assert!(sent.contains_key("if-none-match"), "{sent:?}");
        assert_eq!(service.call_at_once(&token), StatusCode::OK);
    }
    assert!(passed > DAY, "longer than a set is used that is not confirmed");
    assert_eq!(world.fetches(), 1 + 61);

    // Not modified is also an answer to the question for an unknown key.
    let stranger = world.token().header("kid", "stranger").sign();
    assert_eq!(service.call(&stranger).await, StatusCode::UNAUTHORIZED);
    // And a change is a change.
    world.idp.rotate_keys();
    assert_eq!(service.call(&world.token().sign()).await, StatusCode::OK);
}
