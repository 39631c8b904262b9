//! Times, limits and types of token, at their boundaries.

use std::time::Duration;

use integration_tests::{AUDIENCE, AuditLog, Served};
use serde_json::json;
use tower_delegation::{
    ConfigError, DelegationLayer, DenialReason as R, TrustedIssuer, clock::Clock as _, issuer::KindCheck,
};

use crate::{World, whoami};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_leeway_ends_to_the_second() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let service = world.serve(world.layer()).await;
    let now = world.clock.now();
    let rows = [
        ("exp, last second of the leeway", world.token().expires_at(now.saturating_sub(29 * SECOND)), None),
        (
            "exp, leeway over",
            world.token().expires_at(now.saturating_sub(30 * SECOND)),
            Some(R::TokenExpired),
        ),
        ("nbf, first second of the leeway", world.token().not_before(now.saturating_add(30 * SECOND)), None),
        (
            "nbf, before the leeway",
            world.token().not_before(now.saturating_add(31 * SECOND)),
            Some(R::TokenNotYetValid),
        ),
        ("iat, first second of the leeway", world.token().issued_at(now.saturating_add(30 * SECOND)), None),
        (
            "iat, before the leeway",
            world.token().issued_at(now.saturating_add(31 * SECOND)),
            Some(R::TokenFromFuture),
        ),
    ];
    for (name, token, refused) in rows {
        let answer = service.get("/", &token.sign()).await;
        assert_eq!(answer.status, if refused.is_some() { 401 } else { 200 }, "{name}");
        assert_eq!(audit.one().field("reason"), refused.map_or("", R::code), "{name}");
    }
}

#[tokio::test]
async fn a_token_that_was_good_expires_while_the_service_runs() {
    let world = World::new().await;
    let service = world.serve(world.layer()).await;
    let token = world.token().expires_in(60 * SECOND).sign();
    assert_eq!(service.get("/", &token).await.status, 200);
    world.clock.advance(89 * SECOND);
    assert_eq!(service.get("/", &token).await.status, 200);
    world.clock.advance(SECOND);
    assert_eq!(service.get("/", &token).await.status, 401);
}

#[tokio::test]
async fn leeway_is_one_setting_with_a_cap() {
    let world = World::new().await;
    let strict = Served::start(whoami().layer(world.layer().leeway(Duration::ZERO).build().unwrap())).await;
    let expired_now = world.token().expires_at(world.clock.now()).sign();
    assert_eq!(strict.get("/", &expired_now).await.status, 401);
    let too_long = world.layer().leeway(301 * SECOND).build();
    assert!(matches!(too_long, Err(ConfigError::LeewayTooLong { .. })));
}

#[tokio::test]
async fn lifetime_and_age_have_optional_ceilings() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let issuer = world.issuer().max_token_lifetime(600 * SECOND).max_token_age(120 * SECOND);
    let layer = DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone()).build().unwrap();
    let service = Served::start(whoami().layer(layer)).await;
    let now = world.clock.now();
    let rows = [
        ("longest", world.token().expires_in(600 * SECOND), None),
        ("too long", world.token().expires_in(601 * SECOND), Some(R::TokenLifetimeTooLong)),
        ("oldest", world.token().expires_in(600 * SECOND).issued_at(now.saturating_sub(150 * SECOND)), None),
        (
            "too old",
            world.token().expires_in(600 * SECOND).issued_at(now.saturating_sub(151 * SECOND)),
            Some(R::TokenTooOld),
        ),
    ];
    for (name, token, refused) in rows {
        let answer = service.get("/", &token.sign()).await;
        assert_eq!(answer.status, if refused.is_some() { 401 } else { 200 }, "{name}");
        assert_eq!(audit.one().field("reason"), refused.map_or("", R::code), "{name}");
    }
}

#[tokio::test]
async fn the_actor_cap_is_configurable_and_never_cuts() {
    let world = World::new().await;
    let service = Served::start(whoami().layer(world.layer().max_actors(2).build().unwrap())).await;
    let two = world.token().actor("a").earlier_actor("b");
    assert_eq!(service.get("/", &two.clone().sign()).await.status, 200);
    assert_eq!(service.get("/", &two.earlier_actor("c").sign()).await.status, 401);

    let deep = Served::start(whoami().layer(world.layer().max_actors(64).build().unwrap())).await;
    let chain = |actors: usize| {
        (2..=actors).fold(world.token().actor("a1"), |token, n| token.earlier_actor(format!("a{n}"))).sign()
    };
    assert_eq!(deep.get("/", &chain(64)).await.status, 200);
    assert_eq!(deep.get("/", &chain(65)).await.status, 401);
    for max in [0, 65] {
        assert!(matches!(world.layer().max_actors(max).build(), Err(ConfigError::OutOfRange { .. })));
    }
}

#[tokio::test]
async fn a_generic_type_needs_a_second_check() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let check = KindCheck::claim_equals("token_use", "access").and(KindCheck::not_an_id_token());
    let layer = DelegationLayer::builder()
        .add_issuer(world.issuer().accept_generic_type(check))
        .clock(world.clock.clone())
        .build()
        .unwrap();
    let service = Served::start(whoami().layer(layer)).await;
    let access = || world.token().typ("JWT").claim("token_use", "access");
    let rows = [
        ("typ JWT and the claim", access(), None),
        ("no typ and the claim", access().without_header("typ"), None),
        ("at+jwt needs no claim", world.token(), None),
        ("no claim", world.token().typ("JWT"), Some(R::NotAnAccessToken)),
        ("claim of an ID token", access().claim("token_use", "id"), Some(R::NotAnAccessToken)),
        ("with a nonce", access().claim("nonce", "n"), Some(R::NotAnAccessToken)),
        ("with events", access().claim("events", json!({})), Some(R::NotAnAccessToken)),
        ("typ of another kind", access().typ("logout+jwt"), Some(R::TypeNotAccepted)),
        ("a generic type written out", access().typ("application/jwt"), None),
        ("written out without the claim", world.token().typ("application/jwt"), Some(R::NotAnAccessToken)),
    ];
    for (name, token, refused) in rows {
        let answer = service.get("/", &token.sign()).await;
        assert_eq!(answer.status, if refused.is_some() { 401 } else { 200 }, "{name}");
        assert_eq!(audit.one().field("reason"), refused.map_or("", R::code), "{name}");
    }
}

#[test]
fn configurations_that_cannot_be_safe_do_not_build() {
    let issuer = || TrustedIssuer::discover("https://idp.example.com").unwrap();
    let build = |issuer| DelegationLayer::builder().add_issuer(issuer).build();
    assert!(matches!(DelegationLayer::builder().build(), Err(ConfigError::NoIssuer)));
    assert!(matches!(build(issuer()), Err(ConfigError::NoAudience { .. })));
    assert!(matches!(build(issuer().add_audience("")), Err(ConfigError::EmptyAudience { .. })));
    assert!(matches!(
        build(issuer().add_audience(AUDIENCE).algorithms([])),
        Err(ConfigError::NoAlgorithm { .. })
    ));
    let twice = DelegationLayer::builder()
        .add_issuer(issuer().add_audience("a"))
        .add_issuer(issuer().add_audience("b"))
        .build();
    assert!(matches!(twice, Err(ConfigError::DuplicateIssuer { .. })));
    for realm in ["", "a\"b", "a\\b", "a\nb", "é"] {
        let realm = DelegationLayer::builder().add_issuer(issuer().add_audience("a")).realm(realm).build();
        assert!(matches!(realm, Err(ConfigError::InvalidRealm { .. })));
    }
    for url in
        ["http://idp.example.com", "https://idp.example.com/?a", "https://idp.example.com/#a", "idp", ""]
    {
        let layer = TrustedIssuer::discover(url).map(|issuer| issuer.add_audience("a"));
        let layer = layer.and_then(|issuer| DelegationLayer::builder().add_issuer(issuer).build());
        assert!(matches!(layer, Err(ConfigError::InvalidUrl { .. })), "{url}");
    }
}
