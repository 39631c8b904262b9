//! The second sight of a token: facts are remembered, decisions never.

use std::time::Duration;

use axum::{Router, http::StatusCode, routing::get};
use integration_tests::Served;
use tower_delegation::{DelegationLayer, token::TokenCache};
use tower_delegation_testing::Endpoint;

use crate::{World, whoami};

/// A layer, and a service behind it. The first token has been seen, so keys are there.
async fn warm(world: &World, cache: TokenCache) -> (DelegationLayer, Served) {
    let layer = world.layer().token_cache(cache).build().unwrap();
    layer.warm_up().await.unwrap();
    let service = Served::start(whoami().layer(layer.clone())).await;
    (layer, service)
}

#[tokio::test]
async fn a_good_token_is_held_once_and_a_refused_one_never() {
    let world = World::new().await;
    let (layer, service) = warm(&world, TokenCache::new()).await;
    let cached = || layer.authenticator().cached_tokens();
    let token = world.token().sign();
    for _ in 0..3 {
        assert_eq!(service.get("/", &token).await.status, 200);
        assert_eq!(cached(), 1);
    }
    for refused in [
        world.token().tamper_signature().sign(),
        world.token().sign_with_other_key().sign(),
        world.token().audience("other").sign(),
        world.token().expires_at(tower_delegation::clock::Timestamp::from_unix_seconds(1)).sign(),
        format!("{token}A"),
        token[..token.len() - 1].to_owned(),
    ] {
        assert_eq!(service.get("/", &refused).await.status, 401);
        assert_eq!(cached(), 1);
    }
}

#[tokio::test]
async fn a_held_token_is_judged_by_the_clock_every_time() {
    let world = World::new().await;
    let (layer, service) = warm(&world, TokenCache::new()).await;
    let token = world.token().expires_in(Duration::from_secs(60)).sign();
    assert_eq!(service.get("/", &token).await.status, 200);
    world.clock.advance(Duration::from_secs(90));
    assert_eq!(service.get("/", &token).await.status, 401);
    assert_eq!(layer.authenticator().cached_tokens(), 0, "an expired token is dropped");

    let later = world.token().sign();
    assert_eq!(service.get("/", &later).await.status, 200);
    let now = tower_delegation::clock::Clock::now(&world.clock);
    world.clock.set(now.saturating_sub(Duration::from_secs(3600)));
    assert_eq!(service.get("/", &later).await.status, 401, "issued in what is the future now");
}

#[tokio::test]
async fn a_held_token_is_judged_by_each_routes_requirement() {
    use tower_delegation::{RequireLayer, Requirement};
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let guard = |scope| RequireLayer::new(Requirement::new().scope(scope)).unwrap();
    let router = Router::new()
        .route("/read", get(async || ()).route_layer(guard("orders:read")))
        .route("/write", get(async || ()).route_layer(guard("orders:write")));
    let service = Served::start(router.layer(layer)).await;
    let token = world.token().sign();
    for _ in 0..2 {
        assert_eq!(service.get("/read", &token).await.status, 200);
        assert_eq!(service.get("/write", &token).await.status, 403);
    }
}

#[tokio::test]
async fn a_held_token_falls_with_its_key_and_only_with_its_key() {
    let world = World::new().await;
    let (_, service) = warm(&world, TokenCache::new()).await;
    let old = world.token().sign();
    assert_eq!(service.get("/", &old).await.status, 200);

    world.idp.rotate_keys();
    let new = world.token().sign();
    assert_eq!(service.get("/", &new).await.status, 200, "follows the rotation");
    assert_eq!(service.get("/", &old).await.status, 200, "the old key is published still");

    world.idp.withdraw_old_keys();
    world.idp.rotate_keys();
    let newest = world.token().sign();
    assert_eq!(service.get("/", &newest).await.status, 200, "follows the withdrawal");
    assert_eq!(service.get("/", &old).await.status, 401, "its key is gone");
    assert_eq!(service.get("/", &new).await.status, 200, "its key is there");
}

#[tokio::test]
async fn a_held_token_is_not_served_on_keys_that_are_too_old() {
    let world = World::new().await;
    let (_, service) = warm(&world, TokenCache::new()).await;
    let token = world.token().expires_in(Duration::from_secs(100 * 3600)).sign();
    assert_eq!(service.get("/", &token).await.status, 200);
    world.idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
    world.idp.fail_with(Endpoint::Discovery, StatusCode::BAD_GATEWAY);
    world.clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(service.get("/", &token).await.status, 200);
    world.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(service.get("/", &token).await.status, 503);
}

#[tokio::test]
async fn tokens_are_forgotten_on_demand() {
    let world = World::new().await;
    let (layer, service) = warm(&world, TokenCache::new()).await;
    let tokens = [world.token().sign(), world.token().sign(), world.token().sign()];
    for token in &tokens {
        assert_eq!(service.get("/", token).await.status, 200);
    }
    layer.authenticator().forget_token(&tokens[0]);
    assert_eq!(layer.authenticator().cached_tokens(), 2);
    layer.authenticator().forget_all_tokens();
    assert_eq!(layer.authenticator().cached_tokens(), 0);
    assert_eq!(service.get("/", &tokens[0]).await.status, 200);
}

#[tokio::test]
async fn the_cache_is_bounded_both_ways_and_can_be_left_out() {
    let world = World::new().await;
    for (name, cache, most) in [
        ("entries", TokenCache::new().max_entries(20), 20),
        ("bytes", TokenCache::new().max_bytes(30_000), 30),
        ("disabled", TokenCache::disabled(), 0),
    ] {
        let (layer, service) = warm(&world, cache).await;
        for _ in 0..100 {
            assert_eq!(service.get("/", &world.token().sign()).await.status, 200, "{name}");
        }
        let held = layer.authenticator().cached_tokens();
        assert!(held <= most, "{name}: {held}");
        assert_eq!(held > 0, most > 0, "{name}: {held}");
    }
}

#[tokio::test]
async fn two_layers_share_nothing() {
    let world = World::new().await;
    let (a, service) = warm(&world, TokenCache::new()).await;
    let token = world.token().sign();
    assert_eq!(service.get("/", &token).await.status, 200);
    let stricter = DelegationLayer::builder()
        .add_issuer(world.issuer().max_token_lifetime(Duration::from_secs(1)))
        .clock(world.clock.clone())
        .build()
        .unwrap();
    let strict = Served::start(whoami().layer(stricter.clone())).await;
    assert_eq!(strict.get("/", &token).await.status, 401);
    assert_eq!((a.authenticator().cached_tokens(), stricter.authenticator().cached_tokens()), (1, 0));
}
