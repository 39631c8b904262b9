//! What a readiness probe reads.

use std::time::Duration;

use axum::http::StatusCode;
use integration_tests::AUDIENCE;
use serde_json::json;
use tower_delegation::{
    Authenticator, DelegationLayer, TrustedIssuer, issuer::Grants, jwks::KeySourceErrorKind,
};
use tower_delegation_testing::Endpoint;

use crate::{Observed, SECOND, lasting};

#[tokio::test]
async fn the_status_follows_the_keys() {
    let world = lasting().await;
    world.idp.publish_extra_jwk(json!({"kty": "oct", "k": "AAAA"}));
    let service = world.service();
    let cold = service.status();
    assert_eq!(cold.issuer, world.idp.issuer());
    assert_eq!((cold.has_keys, cold.key_count, cold.skipped_count), (false, 0, 0));
    assert_eq!((cold.age, cold.last_error), (None, None));
    assert_eq!(world.fetches(), 0, "looking fetches nothing");

    service.layer.warm_up().await.unwrap();
    world.clock.advance(5 * SECOND);
    let warm = service.status();
    assert_eq!((warm.has_keys, warm.key_count, warm.skipped_count), (true, 1, 1));
    assert_eq!((warm.age, warm.last_error), (Some(5 * SECOND), None));

    world.idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
    let stranger = world.token().header("kid", "stranger").sign();
    assert_eq!(service.call(&stranger).await, StatusCode::UNAUTHORIZED, "the set is fresh");
    let failing = service.status();
    assert_eq!((failing.has_keys, failing.key_count), (true, 1));
    assert_eq!((failing.age, failing.last_error), (Some(5 * SECOND), Some(KeySourceErrorKind::Refused)));
    assert!(service.layer.status().is_ready(), "the keys are good for a day");
    assert_eq!(service.layer.status().issuers, service.layer.authenticator().status().issuers);
}

#[tokio::test]
async fn issuers_are_listed_one_by_one_in_order() {
    let world = lasting().await;
    let trust = |path: &str| {
        TrustedIssuer::discover(world.idp.issuer_at(path).issuer()).unwrap().may_grant(Grants::all())
    };
    let fixed = "urn:example:fixed";
    let layer = DelegationLayer::builder()
        .add_issuer(trust("/b").add_audience(AUDIENCE))
        .add_issuer(
            TrustedIssuer::with_static_keys(fixed, &world.idp.jwks().to_string())
                .unwrap()
                .add_audience("a")
                .may_grant(Grants::all()),
        )
        .add_issuer(trust("/a").add_audience(AUDIENCE))
        .clock(world.clock.clone())
        .build()
        .unwrap();
    world.idp.issuer_at("/b").fail_with(Endpoint::Discovery, StatusCode::BAD_GATEWAY);
    assert!(layer.warm_up().await.is_err());
    world.clock.advance(SECOND / 2);
    let status = layer.status();
    let rows: Vec<_> = status
        .issuers
        .iter()
        .map(|one| {
            (one.issuer.as_str().rsplit(['/', ':']).next().unwrap(), one.has_keys, one.age, one.last_error)
        })
        .collect();
    let expected = [
        ("a", true, Some(SECOND / 2), None),
        ("b", false, None, Some(KeySourceErrorKind::Refused)),
        // Keys from the configuration have no age.
        ("fixed", true, None, None),
    ];
    assert_eq!(rows, expected);
    assert!(!status.is_ready(), "one issuer's tokens cannot be verified");
    let authenticator: &Authenticator = layer.authenticator();
    assert_eq!(authenticator.status().issuers, status.issuers);
}

#[tokio::test]
async fn the_age_is_that_of_the_fetch_and_not_of_its_landing() {
    let world = lasting().await;
    let service = world.service();
    let hold = world.idp.hold(Endpoint::Jwks);
    let waiting = service.call_waiting(&world.token().sign()).await;
    world.idp.wait_for_requests(Endpoint::Jwks, 1).await;
    world.clock.advance(3 * SECOND);
    hold.release();
    assert_eq!(waiting.await, StatusCode::OK);
    assert_eq!(service.status().age, Some(Duration::from_secs(3)));
}
