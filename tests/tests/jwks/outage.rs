//! The provider's outages: known keys go on, unknown keys are 503.

use axum::http::{Response, StatusCode};
use tower_delegation::jwks::KeySourceErrorKind;
use tower_delegation_testing::{Endpoint, MockIssuer};

use crate::{DAY, DEFAULT_REFRESH, FETCH_LIMIT, LIFETIME, Observed, REFILL, SECOND, lasting};

type Break = fn(&MockIssuer);

/// Every way to be out of order, and what it is called.
const OUTAGES: &[(&str, Break, KeySourceErrorKind)] = &[
    (
        "503",
        |idp| idp.fail_with(Endpoint::Jwks, StatusCode::SERVICE_UNAVAILABLE),
        KeySourceErrorKind::Refused,
    ),
    ("404", |idp| idp.fail_with(Endpoint::Jwks, StatusCode::NOT_FOUND), KeySourceErrorKind::Refused),
    ("hanging", |idp| idp.hang(Endpoint::Jwks), KeySourceErrorKind::Timeout),
    (
        "garbage",
        |idp| {
            let body = Response::builder().header("content-type", "application/json").body("<html>\u{0}");
            idp.answer_with(Endpoint::Jwks, body.unwrap());
        },
        KeySourceErrorKind::DocumentInvalid,
    ),
    (
        "an empty body",
        |idp| {
            let body = Response::builder().header("content-type", "application/json").body("");
            idp.answer_with(Endpoint::Jwks, body.unwrap());
        },
        KeySourceErrorKind::DocumentInvalid,
    ),
];

#[tokio::test]
async fn known_keys_go_on_and_unknown_ones_are_503() {
    for (name, break_down, error) in OUTAGES {
        let world = lasting().await;
        let service = world.warm_service().await;
        let known = world.token().sign();
        let stranger = world.token().header("kid", "stranger").sign();
        // While all is well, it is known that there is no such key.
        assert_eq!(service.call(&stranger).await, StatusCode::UNAUTHORIZED, "{name}");
        break_down(&world.idp);
        assert_eq!(service.call_at_once(&stranger), StatusCode::UNAUTHORIZED, "{name}: known since just now");

        // The refresh fails in the background, and the set is fresh no longer.
        world.clock.advance(LIFETIME + SECOND);
        assert_eq!(service.call_at_once(&known), StatusCode::OK, "{name}");
        world.idp.wait_for_requests(Endpoint::Jwks, 3).await;
        assert_eq!(service.call_at_once(&known), StatusCode::OK, "{name}: while it is asked");
        let unknown = if *error == KeySourceErrorKind::Timeout {
            let waiting = service.call_waiting(&stranger).await;
            world.clock.advance(FETCH_LIMIT);
            waiting.await
        } else {
            service.call(&stranger).await
        };
        assert_eq!(unknown, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        service.until(name, |status| status.last_error == Some(*error)).await;
        assert_eq!(service.call_at_once(&known), StatusCode::OK, "{name}: after it failed");
        assert!(service.status().has_keys, "{name}");

        // The end of the outage: known by itself.
        world.idp.recover(Endpoint::Jwks);
        world.idp.rotate_keys();
        world.clock.advance(DEFAULT_REFRESH);
        service.until(name, |status| status.last_error.is_none()).await;
        assert_eq!(service.call_at_once(&world.token().sign()), StatusCode::OK, "{name}");
        assert_eq!(service.call(&stranger).await, StatusCode::UNAUTHORIZED, "{name}");
    }
}

#[tokio::test]
async fn what_was_known_is_not_known_for_longer_than_one_refill() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let stranger = world.token().header("kid", "stranger").sign();
    assert_eq!(service.call(&stranger).await, StatusCode::UNAUTHORIZED);
    world.idp.fail_with(Endpoint::Jwks, StatusCode::SERVICE_UNAVAILABLE);
    world.clock.advance(REFILL - SECOND);
    assert_eq!(service.call_at_once(&stranger), StatusCode::UNAUTHORIZED);
    let fetches = world.fetches();
    world.clock.advance(SECOND);
    assert_eq!(service.call(&stranger).await, StatusCode::UNAUTHORIZED, "its source says so: it is fresh");
    assert_eq!(world.fetches(), fetches + 1, "and it was asked again");
    // Once it is not fresh any more, an attempt that failed leaves nothing certain.
    world.clock.advance(LIFETIME);
    assert_eq!(service.call(&stranger).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.call(&stranger).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_cold_start_without_the_provider_is_503_and_recovers_without_a_restart() {
    for (name, break_down, _) in OUTAGES {
        let world = lasting().await;
        let service = world.service();
        let token = world.token().sign();
        break_down(&world.idp);
        let first = service.call(&token);
        let answer = if *name == "hanging" {
            let task = tokio::spawn(first);
            world.idp.wait_for_requests(Endpoint::Jwks, 1).await;
            world.clock.advance(FETCH_LIMIT);
            task.await.unwrap()
        } else {
            first.await
        };
        assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        let asked = world.fetches();
        for _ in 0..100 {
            assert_eq!(service.call_at_once(&token), StatusCode::SERVICE_UNAVAILABLE, "{name}");
        }
        assert_eq!(world.fetches(), asked, "{name}: nobody is asked before the pause is over");

        world.idp.recover(Endpoint::Jwks);
        world.clock.advance(2 * SECOND);
        assert_eq!(service.call(&token).await, StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn a_cold_start_recovers_also_without_requests() {
    let world = lasting().await;
    let service = world.service();
    world.idp.fail_with(Endpoint::Discovery, StatusCode::BAD_GATEWAY);
    assert!(service.layer.warm_up().await.is_err());
    assert!(!service.layer.status().is_ready());
    world.idp.recover(Endpoint::Discovery);
    world.clock.wait_for_sleepers(1).await;
    world.clock.advance(2 * SECOND);
    service.until("the keys are there", |status| status.has_keys).await;
    assert!(service.layer.status().is_ready());
}

#[tokio::test]
async fn keys_are_used_for_a_day_after_the_last_confirmation_and_no_longer() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let token = world.token().sign();
    world.idp.fail_with(Endpoint::Jwks, StatusCode::SERVICE_UNAVAILABLE);
    world.clock.advance(DAY);
    service.until("the refresh has failed", |status| status.last_error.is_some()).await;
    assert_eq!(service.call_at_once(&token), StatusCode::OK);
    world.clock.advance(SECOND);
    assert_eq!(service.call(&token).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!service.status().has_keys);

    world.idp.recover(Endpoint::Jwks);
    world.clock.advance(REFILL);
    assert_eq!(service.call(&token).await, StatusCode::OK);
    assert!(service.status().has_keys);
}

#[tokio::test]
async fn a_provider_that_is_gone_is_an_outage_too() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let (known, stranger) = (world.token().sign(), world.token().header("kid", "stranger").sign());
    let cold = world.service();
    world.idp.stop().await;
    assert_eq!(service.call_at_once(&known), StatusCode::OK);
    world.clock.advance(LIFETIME + SECOND);
    assert_eq!(service.call(&stranger).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.last_error(), Some(KeySourceErrorKind::Unreachable));
    assert_eq!(cold.call(&known).await, StatusCode::SERVICE_UNAVAILABLE);
}
