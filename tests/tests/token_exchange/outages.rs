//! The authorization server is down, slow or says nonsense: 503 with `Retry-After`, and no call.

use std::time::Duration;

use http::{Response, StatusCode};
use tower_delegation_testing::Endpoint;

use crate::shop::Shop;

async fn is_our_outage(shop: &Shop, name: &str) {
    let answer = shop.call(&shop.token().sign()).await;
    assert_eq!(answer.status, 503, "{name}: {}", answer.body);
    assert!(answer.headers.contains_key("retry-after"), "{name}");
}

#[tokio::test]
async fn an_outage_is_ours_and_never_the_callers() {
    type Break = fn(&Shop);
    let rows: [(&str, Break); 7] = [
        ("500", |shop| shop.world.idp.fail_with(Endpoint::Token, StatusCode::INTERNAL_SERVER_ERROR)),
        ("429", |shop| shop.world.idp.fail_with(Endpoint::Token, StatusCode::TOO_MANY_REQUESTS)),
        ("404", |shop| shop.world.idp.fail_with(Endpoint::Token, StatusCode::NOT_FOUND)),
        ("401 without a word", |shop| shop.world.idp.fail_with(Endpoint::Token, StatusCode::UNAUTHORIZED)),
        ("a page", |shop| {
            let page = Response::builder().header("content-type", "text/html").body("<html>").unwrap();
            shop.world.idp.answer_with(Endpoint::Token, page);
        }),
        ("half an object", |shop| {
            let half = Response::builder()
                .header("content-type", "application/json")
                .body("{\"access_token\":")
                .unwrap();
            shop.world.idp.answer_with(Endpoint::Token, half);
        }),
        ("a redirect", |shop| {
            let away = Response::builder()
                .status(302)
                .header("location", "https://evil.example.com")
                .body("")
                .unwrap();
            shop.world.idp.answer_with(Endpoint::Token, away);
        }),
    ];
    for (name, fail) in rows {
        let shop = Shop::new().await;
        fail(&shop);
        is_our_outage(&shop, name).await;
        shop.world.idp.recover(Endpoint::Token);
        shop.world.clock.advance(Duration::from_secs(6));
        shop.seen(&shop.token().sign()).await;
    }
}

#[tokio::test]
async fn metadata_that_is_gone_is_an_outage() {
    let shop = Shop::new().await;
    // The keys of the issuer are known.
    assert_eq!(shop.layer.authenticator().warm_up().await.ok(), Some(()));
    shop.world.idp.remove_metadata("token_endpoint");
    is_our_outage(&shop, "no token endpoint").await;
    shop.world.idp.set_metadata("token_endpoint", "http://idp.example.com/token");
    shop.world.clock.advance(Duration::from_secs(6));
    is_our_outage(&shop, "a token endpoint by plain http").await;
}

#[tokio::test]
async fn a_server_that_is_down_is_asked_again_after_a_while_only() {
    let shop = Shop::new().await;
    shop.world.idp.fail_with(Endpoint::Token, StatusCode::BAD_GATEWAY);
    for round in 0..20 {
        is_our_outage(&shop, &format!("round {round}")).await;
    }
    let asked = shop.world.idp.requests(Endpoint::Token);
    assert!((5..=15).contains(&asked), "five outages in a row, each tried three times at most: {asked}");
    shop.world.idp.recover(Endpoint::Token);
    assert!(shop.exchange.status().is_paused);
    is_our_outage(&shop, "while it is left alone").await;
    assert_eq!(shop.world.idp.requests(Endpoint::Token), asked);
    shop.world.clock.advance(Duration::from_secs(5));
    assert!(!shop.exchange.status().is_paused);
    shop.seen(&shop.token().sign()).await;
}

#[tokio::test]
async fn kept_tokens_are_used_while_the_server_is_down() {
    let shop = Shop::new().await;
    let token = shop.token().sign();
    shop.seen(&token).await;
    shop.world.idp.fail_with(Endpoint::Token, StatusCode::SERVICE_UNAVAILABLE);
    shop.seen(&token).await;
    is_our_outage(&shop, "another caller").await;
}

#[tokio::test]
async fn a_failure_answers_for_a_moment_and_is_not_remembered_for_long() {
    let shop = Shop::new().await;
    let token = shop.token().sign();
    shop.world.idp.fail_with(Endpoint::Token, StatusCode::NOT_FOUND);
    for _ in 0..3 {
        assert_eq!(shop.call(&token).await.status, 503);
    }
    let asked = shop.world.idp.requests(Endpoint::Token);
    assert_eq!(asked, 1, "8693-c2: one request, whose failure is kept for a second");
    shop.world.idp.recover(Endpoint::Token);
    shop.world.clock.advance(Duration::from_secs(1));
    shop.seen(&token).await;
}

/// What one caller's tokens make the server do wrong is no outage for all others.
#[tokio::test]
async fn one_caller_does_not_stop_the_exchanges_of_others() {
    type Break = fn(&Shop);
    let rows: [(&str, Break); 4] = [
        ("it fails", |shop| shop.world.idp.fail_with(Endpoint::Token, StatusCode::INTERNAL_SERVER_ERROR)),
        ("too long for it", |shop| shop.world.idp.fail_with(Endpoint::Token, StatusCode::PAYLOAD_TOO_LARGE)),
        ("a firewall's page", |shop| shop.world.idp.fail_with(Endpoint::Token, StatusCode::FORBIDDEN)),
        ("server_error", |shop| {
            let answer = Response::builder().status(400).header("content-type", "application/json");
            let body = "{\"error\": \"server_error\"}";
            shop.world.idp.answer_with(Endpoint::Token, answer.body(body).unwrap());
        }),
    ];
    for (name, provoke) in rows {
        let shop = Shop::new().await;
        for round in 0..20 {
            provoke(&shop);
            let answer = shop.call(&shop.token().user("mallory").sign()).await;
            assert_eq!(answer.status, 503, "{name}, {round}: {}", answer.body);
        }
        shop.world.idp.recover(Endpoint::Token);
        let answer = shop.call(&shop.token().sign()).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
    }
}

/// A server that is down for everyone answers everyone wrongly.
#[tokio::test]
async fn a_server_that_fails_for_several_callers_is_down() {
    let shop = Shop::new().await;
    shop.world.idp.fail_with(Endpoint::Token, StatusCode::NOT_FOUND);
    let call = async |user: &str| shop.call(&shop.token().user(user).sign()).await;
    for user in ["a", "b", "c", "d", "e", "f", "g"] {
        assert_eq!(call(user).await.status, 503, "{user}");
    }
    assert_eq!(shop.world.idp.requests(Endpoint::Token), 5);
    shop.world.clock.advance(Duration::from_secs(5));
    assert_eq!(call("a").await.status, 503, "one finds out, of whom it is known");
    shop.world.idp.recover(Endpoint::Token);
    assert_eq!(call("h").await.status, 200, "and keeps no one else from finding out");
}
