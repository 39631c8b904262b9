//! New keys and withdrawn ones.

use axum::http::StatusCode;
use tower_delegation_testing::{Algorithm, Endpoint};

use crate::{FETCH_LIMIT, Observed, SECOND, lasting, lasting_with};

#[tokio::test]
async fn a_withdrawn_key_is_refused_at_once_after_a_refresh() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let (old, bystander) = (world.token().sign(), world.token().algorithm(Algorithm::EdDsa).sign());
    world.refresh(&service).await;
    for token in [&old, &old, &bystander, &bystander] {
        // The second time it may come out of a cache.
        assert_eq!(service.call_at_once(token), StatusCode::OK);
    }
    // Both algorithms get a new key; only the old ES256 key is withdrawn.
    let eddsa = world.idp.jwks()["keys"][1].clone();
    assert_eq!(eddsa["kid"], "eddsa-1");
    world.idp.rotate_keys();
    world.idp.withdraw_old_keys();
    world.idp.publish_extra_jwk(eddsa);
    let new = world.token().sign();

    world.refresh(&service).await;
    for _ in 0..2 {
        assert_eq!(service.call_at_once(&new), StatusCode::OK);
        assert_eq!(service.call_at_once(&bystander), StatusCode::OK, "its key is published still");
        assert_eq!(service.call(&old).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_withdrawal_is_also_learnt_from_a_fetch_for_an_unknown_key() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let old = world.token().sign();
    for _ in 0..2 {
        assert_eq!(service.call_at_once(&old), StatusCode::OK);
    }
    world.idp.rotate_keys();
    world.idp.withdraw_old_keys();
    assert_eq!(service.call_at_once(&old), StatusCode::OK, "nobody has told yet");
    assert_eq!(service.call(&world.token().sign()).await, StatusCode::OK);
    assert_eq!(service.call(&old).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn another_key_under_the_same_name_withdraws_the_first() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let old = world.token().sign();
    for _ in 0..2 {
        assert_eq!(service.call_at_once(&old), StatusCode::OK);
    }
    // Issuers of one provider name their keys alike.
    let other = world.idp.issuer_at("/other");
    assert_eq!(other.key_ids(), world.idp.key_ids());
    world.idp.replace_jwks_document(other.jwks().to_string());
    world.refresh(&service).await;
    assert_eq!(service.call(&old).await, StatusCode::UNAUTHORIZED);
    let new = other.token().issuer(world.idp.issuer()).sign();
    assert_eq!(service.call_at_once(&new), StatusCode::OK);
}

#[tokio::test]
async fn a_new_key_under_an_old_kid_heals_with_its_first_token() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let old = world.token().sign();
    for _ in 0..2 {
        assert_eq!(service.call_at_once(&old), StatusCode::OK);
    }
    let other = world.idp.issuer_at("/other");
    assert_eq!(other.key_ids(), world.idp.key_ids());
    let token = other.token().issuer(world.idp.issuer()).subject("alice").client("shop-web");
    let new = token.audience(integration_tests::AUDIENCE).sign();
    // Before the key is published, its tokens are refused, and knocking costs one fetch.
    for _ in 0..10 {
        assert_eq!(service.call(&new).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.fetches(), 1 + 1);
    world.idp.replace_jwks_document(other.jwks().to_string());
    world.clock.advance(crate::REFILL);
    assert_eq!(service.call(&new).await, StatusCode::OK);
    assert_eq!(world.fetches(), 1 + 2);
    assert_eq!(service.call_at_once(&new), StatusCode::OK);
    assert_eq!(service.call(&old).await, StatusCode::UNAUTHORIZED, "replaced, also for a cached token");
}

#[tokio::test]
async fn keys_at_odds_heal_with_their_first_token() {
    let world = lasting().await;
    let good = world.idp.jwks()["keys"][0].clone();
    let other = world.idp.issuer_at("/other").jwks()["keys"][0].clone();
    assert_eq!(good["kid"], other["kid"]);
    let changed = |name: &str, value: &str| {
        let mut key = good.clone();
        key[name] = value.into();
        key
    };
    for (name, keys) in [
        ("two keys of one kid", vec![good.clone(), other]),
        ("for another algorithm", vec![changed("alg", "ES384"), changed("kid", "another")]),
        ("skipped", vec![changed("use", "enc"), changed("kid", "another")]),
    ] {
        world.idp.replace_jwks_document(serde_json::json!({"keys": keys}).to_string());
        let service = world.warm_service().await;
        let fetches = world.fetches();
        for _ in 0..10 {
            assert_eq!(service.call(&world.token().sign()).await, StatusCode::UNAUTHORIZED, "{name}");
        }
        assert_eq!(world.fetches(), fetches + 1, "{name}: once a refill");
        world.idp.restore_jwks_document();
        world.clock.advance(crate::REFILL);
        assert_eq!(service.call(&world.token().sign()).await, StatusCode::OK, "{name}");
    }
}

/// Two sets that were joined, with the active key in both.
#[tokio::test]
async fn a_key_that_is_listed_twice_is_one_key() {
    let world = lasting_with(|idp| idp.algorithms([Algorithm::Es256, Algorithm::Rs256])).await;
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let set = world.idp.jwks();
        let key =
            set["keys"].as_array().unwrap().iter().find(|key| key["alg"] == algorithm.as_str()).unwrap();
        let variant = |name: &str, value: Option<&str>| {
            let mut key = key.clone();
            match value {
                Some(value) => key[name] = value.into(),
                None => drop(key.as_object_mut().unwrap().remove(name)),
            }
            key
        };
        for (name, other) in [
            ("the same", key.clone()),
            ("with x5t", variant("x5t", Some("dGh1bWJwcmludA"))),
            ("with x5c", variant("x5c", Some("no list"))),
            ("without alg", variant("alg", None)),
            ("without use", variant("use", None)),
            ("under another kid", variant("kid", Some("b"))),
            ("without kid", variant("kid", None)),
            ("for encryption", variant("use", Some("enc"))),
        ] {
            for keys in [[key.clone(), other.clone()], [other.clone(), key.clone()]] {
                world.idp.replace_jwks_document(serde_json::json!({"keys": keys}).to_string());
                let service = world.warm_service().await;
                let by_kid = world.token().algorithm(algorithm).sign();
                let nameless = world.token().algorithm(algorithm).without_header("kid").sign();
                assert_eq!(service.call(&by_kid).await, StatusCode::OK, "{algorithm} {name}");
                assert_eq!(service.call(&nameless).await, StatusCode::OK, "{algorithm} {name}: no kid");
                let forged = by_kid.rsplit_once('.').unwrap().0.to_owned() + "." + &"A".repeat(86);
                assert_eq!(service.call(&forged).await, StatusCode::UNAUTHORIZED, "{algorithm} {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_is_withdrawn_and_published_again_is_good_again() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let token = world.token().sign();
    let other = world.idp.issuer_at("/other").jwks().to_string();
    for document in [Some(other), None] {
        assert_eq!(service.call_at_once(&token), StatusCode::OK);
        match document {
            Some(document) => world.idp.replace_jwks_document(document),
            None => break,
        }
        world.refresh(&service).await;
        assert_eq!(service.call(&token).await, StatusCode::UNAUTHORIZED);
        world.idp.restore_jwks_document();
        world.refresh(&service).await;
    }
}

#[tokio::test]
async fn an_old_answer_never_replaces_a_newer_one() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let old = world.token().sign();
    // The server keeps back an answer that still has the old key, until the fetch is given up.
    let held = world.idp.hold(Endpoint::Jwks);
    world.clock.advance(crate::DEFAULT_REFRESH);
    world.idp.wait_for_requests(Endpoint::Jwks, 2).await;
    world.clock.advance(FETCH_LIMIT);
    service.until("the fetch is given up", |status| status.last_error.is_some()).await;

    world.idp.recover(Endpoint::Jwks);
    world.idp.rotate_keys();
    world.idp.withdraw_old_keys();
    world.clock.wait_for_sleepers(1).await;
    world.clock.advance(2 * SECOND);
    service.until("the next fetch has landed", |status| status.last_error.is_none()).await;
    let new = world.token().sign();
    assert_eq!(service.call_at_once(&new), StatusCode::OK);
    assert_eq!(service.call(&old).await, StatusCode::UNAUTHORIZED);
    let landed = service.status();

    held.release();
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert_eq!(service.call(&old).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(service.call_at_once(&new), StatusCode::OK);
    assert_eq!(service.status().key_count, landed.key_count);
}
