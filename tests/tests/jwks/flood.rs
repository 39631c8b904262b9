//! However many ask, few fetches.

use axum::http::StatusCode;
use integration_tests::AUDIENCE;
use tower_delegation_testing::{Algorithm, Endpoint};

use crate::{Observed, REFILL, SECOND, lasting, lasting_with};

#[tokio::test]
async fn a_thousand_cold_requests_cause_one_fetch() {
    let world = lasting().await;
    let service = world.service();
    let token = world.token().sign();
    let hold = world.idp.hold(Endpoint::Jwks);
    let mut waiting = Vec::new();
    for _ in 0..1000 {
        waiting.push(service.call_waiting(&token).await);
    }
    world.idp.wait_for_requests(Endpoint::Jwks, 1).await;
    hold.release();
    for request in waiting {
        assert_eq!(request.await, StatusCode::OK);
    }
    assert_eq!((world.fetches(), world.idp.requests(Endpoint::Discovery)), (1, 1));
}

#[tokio::test]
async fn a_thousand_unknown_keys_share_one_fetch_and_a_rotation_is_followed_on_its_first_request() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let hold = world.idp.hold(Endpoint::Jwks);
    let junk = |number: usize| world.token().header("kid", format!("junk-{number}")).sign();
    let mut waiting = Vec::new();
    for number in 0..1000 {
        waiting.push(service.call_waiting(&junk(number)).await);
    }
    world.idp.wait_for_requests(Endpoint::Jwks, 2).await;
    assert_eq!(service.call_at_once(&world.token().sign()), StatusCode::OK, "known keys never wait");
    hold.release();
    for request in waiting {
        assert_eq!(request.await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.fetches(), 1 + 1, "one for warming up, one for all that junk");

    world.idp.recover(Endpoint::Jwks);
    world.idp.rotate_keys();
    assert_eq!(service.call(&world.token().sign()).await, StatusCode::OK);
    assert_eq!(world.fetches(), 1 + 2);
}

#[tokio::test]
async fn a_minute_of_junk_costs_one_fetch_per_refill_and_a_rotation_is_followed_within_one() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let known = world.token().sign();
    // The signature is never looked at: only the header differs.
    let (_, rest) = known.split_once('.').unwrap();
    let junk = |number: usize| {
        let token = world.token().header("kid", format!("junk-{number}")).sign();
        format!("{}.{rest}", token.split_once('.').unwrap().0)
    };
    let (mut rotated, mut followed_after) = (None, None);
    for second in 0..60_usize {
        if second == 35 {
            world.idp.rotate_keys();
            rotated = Some(world.token().sign());
        }
        if let (Some(token), None) = (&rotated, followed_after) {
            match service.call(token).await {
                StatusCode::OK => followed_after = Some(second - 35),
                status => assert_eq!(status, StatusCode::UNAUTHORIZED, "second {second}"),
            }
        }
        for number in 0..100 {
            let answer = service.call(&junk(100 * second + number)).await;
            assert_eq!(answer, StatusCode::UNAUTHORIZED, "a fetch younger than one refill lacks it");
        }
        assert_eq!(service.call_at_once(&known), StatusCode::OK, "second {second}");
        let caused = world.fetches() - 1;
        assert!(caused <= 3 + second / 10, "second {second}: {caused} fetches");
        world.clock.advance(SECOND);
    }
    let followed_after = followed_after.expect("the new key is accepted");
    assert!(followed_after <= 10, "after {followed_after} s");
    crate::say(&format!(
        "6000 junk keys in 60 s: {} fetches; a rotation followed after {followed_after} s",
        world.fetches() - 1
    ));
}

#[tokio::test]
async fn a_key_that_was_asked_for_before_it_is_published_is_followed_within_one_refill() {
    let world = lasting().await;
    let service = world.warm_service().await;
    // The provider signs with its next key before it publishes it, or somebody guesses the name.
    let published = world.idp.jwks().to_string();
    world.idp.replace_jwks_document(published);
    world.idp.rotate_keys();
    let early = world.token().sign();
    assert_eq!(service.call(&early).await, StatusCode::UNAUTHORIZED);
    world.idp.restore_jwks_document();
    for _ in 0..9 {
        world.clock.advance(SECOND);
        // Knocking does not put it off.
        assert_eq!(service.call_at_once(&early), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.fetches(), 1 + 1, "an absent key costs nothing");
    world.clock.advance(SECOND);
    assert_eq!(service.call(&early).await, StatusCode::OK);
}

#[tokio::test]
async fn failed_attempts_spend_from_the_budget_too_and_a_fresh_set_goes_on_refusing() {
    let world = lasting().await;
    let service = world.warm_service().await;
    world.idp.fail_with(Endpoint::Jwks, StatusCode::SERVICE_UNAVAILABLE);
    for number in 0..100 {
        let junk = world.token().header("kid", format!("junk-{number}")).sign();
        assert_eq!(service.call(&junk).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.fetches(), 1 + 3);
}

/// The names of published keys are no secret, so that anyone can send signatures
/// that do not verify with them.
#[tokio::test]
async fn a_minute_of_bad_signatures_is_refused_within_the_budget_and_delays_no_rotation() {
    let world =
        lasting_with(|idp| idp.algorithms([Algorithm::Es256, Algorithm::EdDsa, Algorithm::Es384])).await;
    let service = world.warm_service().await;
    let known = world.token().sign();
    let stranger = world.idp.issuer_at("/stranger");
    assert_eq!(stranger.key_ids(), world.idp.key_ids());
    let forged = |algorithm| {
        let token = stranger.token().algorithm(algorithm).issuer(world.idp.issuer()).subject("alice");
        token.client("shop-web").audience(AUDIENCE).sign()
    };
    let forged = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Es384].map(forged);
    // One more kind of junk: a published key, for another algorithm.
    let mismatch = world.token().header("alg", "RS256").sign();
    let mut rotated_at = None;
    for second in 0..60_usize {
        if second == 33 {
            world.idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
        }
        if second == 43 {
            world.idp.recover(Endpoint::Jwks);
        }
        for _ in 0..10 {
            for token in forged.iter().chain([&mismatch]) {
                assert_eq!(service.call(token).await, StatusCode::UNAUTHORIZED, "second {second}");
            }
        }
        assert_eq!(service.call_at_once(&known), StatusCode::OK, "second {second}");
        if second == 26 {
            world.idp.rotate_keys();
            let fetches = world.fetches();
            assert_eq!(service.call(&world.token().sign()).await, StatusCode::OK, "at once");
            assert_eq!(world.fetches(), fetches + 1);
            rotated_at = Some(second);
        }
        // The outage brings attempts of its own, after growing pauses.
        let (caused, attempts) = (world.fetches() - 1, if second < 33 { 0 } else { 5 });
        assert!(caused <= 3 + second / 10 + attempts, "second {second}: {caused} fetches");
        world.clock.advance(SECOND);
    }
    assert_eq!(rotated_at, Some(26));
}

#[tokio::test]
async fn tokens_that_could_not_be_of_the_issuer_cause_no_fetch() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let junk = || world.token().header("kid", "junk");
    let rows = [
        ("another issuer", junk().issuer("https://evil.example").sign()),
        ("another type", junk().typ("JWT").sign()),
        ("HMAC", junk().header("alg", "HS256").sign()),
        ("none", junk().header("alg", "none").sign()),
        ("an unknown critical header", junk().header("crit", serde_json::json!(["x"])).header("x", 1).sign()),
        ("an overlong kid", world.token().header("kid", "k".repeat(257)).sign()),
        ("no JSON", "e30.e30.AAAA".to_owned()),
        ("cut off", junk().sign()[..40].to_owned()),
    ];
    for (name, token) in rows {
        assert_eq!(service.call_at_once(&token), StatusCode::UNAUTHORIZED, "{name}");
    }
    world.clock.advance(REFILL);
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_fetch_to_the_others() {
    let world = lasting().await;
    let service = world.service();
    let token = world.token().sign();
    let hold = world.idp.hold(Endpoint::Jwks);
    let gone = service.call_waiting(&token).await;
    world.idp.wait_for_requests(Endpoint::Jwks, 1).await;
    let stays = service.call_waiting(&token).await;
    drop(gone);
    hold.release();
    assert_eq!(stays.await, StatusCode::OK);
    assert_eq!(world.fetches(), 1);

    // Also where nobody stays.
    let service = world.service();
    let hold = world.idp.hold(Endpoint::Jwks);
    let gone = service.call_waiting(&token).await;
    world.idp.wait_for_requests(Endpoint::Jwks, 2).await;
    drop(gone);
    hold.release();
    service.until("the fetch has landed", |status| status.has_keys).await;
    assert_eq!(service.call_at_once(&token), StatusCode::OK);
    assert_eq!(world.fetches(), 2);
}
