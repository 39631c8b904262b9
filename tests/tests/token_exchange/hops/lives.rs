//! How long a call can still be made: where the issuer caps the life of what it exchanges,
//! and where it does not.

use std::time::Duration;

use integration_tests::AuditLog;
use tower_delegation_testing::ExchangeLife;

use super::{
    chain::{Chain, PLACES},
    stopped,
};

const MINUTE: Duration = Duration::from_secs(60);

/// The provider's tokens live for five minutes, the user's for two.
const USERS: Duration = Duration::from_secs(120);

#[tokio::test]
async fn where_the_issuer_caps_the_first_tokens_end_stops_every_hop() {
    let chain = Chain::new().await;
    let tokens = chain.tokens(&chain.token().expires_in(USERS).sign(), PLACES.len()).await;
    chain.world.clock.advance(USERS - Duration::from_secs(1));
    for (hop, token) in chain.hops.iter().zip(&tokens) {
        assert_eq!(hop.call(token).await.status, 200, "{}, in time", hop.place.name);
    }
    chain.world.clock.advance(Duration::from_secs(1));
    for (hop, token) in chain.hops.iter().zip(&tokens) {
        let heard = AuditLog::listen();
        assert_eq!(hop.call(token).await.status, 401, "{}", hop.place.name);
        let passed = Chain::passed(&heard.take());
        assert_eq!(passed, [(hop.place.name, "token_expired".to_owned())], "{}", hop.place.name);
    }
}

#[tokio::test]
async fn an_issuer_that_renews_life_is_found_out_at_the_hop_where_it_does() {
    for (at, place) in PLACES.iter().enumerate().take(3) {
        let chain = Chain::new().await;
        let token = chain.token().expires_in(USERS).sign();
        // It has capped so far.
        chain.tokens(&token, at + 1).await;
        chain.world.idp.set_exchange_life(ExchangeLife::Renewed);
        let heard = AuditLog::listen();
        assert_eq!(chain.call(&token).await.status, 503, "{}", place.name);
        let events = heard.take();
        assert_eq!(Chain::passed(&events), stopped(at, "allow"), "nothing is called beyond");
        assert!(events.iter().any(|event| event.field("reason") == "exchange_life_too_long"));
    }
}

/// docs/exchange.md says what this leaves open.
#[tokio::test]
async fn where_it_does_not_cap_each_exchange_renews_the_life() {
    let chain = Chain::with(|downstream| downstream).await;
    chain.world.idp.set_exchange_life(ExchangeLife::Renewed);
    let token = chain.token().expires_in(USERS).sign();
    let tokens = chain.tokens(&token, PLACES.len()).await;
    let seen = chain.seen(&token).await;
    let life = |hop: usize| seen[hop]["exp"].as_i64().unwrap() - seen[0]["exp"].as_i64().unwrap();
    assert_eq!([life(1), life(2), life(3)], [180; 3], "5 - 2 minutes later than the user's");

    // The user's end stops the call from the beginning: no hop uses what it has for longer.
    chain.world.clock.advance(USERS);
    let heard = AuditLog::listen();
    assert_eq!(chain.call(&token).await.status, 401);
    assert_eq!(Chain::passed(&heard.take()), [("web", "token_expired".to_owned())]);

    // What remains open: anyone who holds a later hop's token calls there, and what is exchanged for
    // it then is good for five minutes more.
    for (hop, token) in chain.hops.iter().zip(&tokens).skip(1) {
        assert_eq!(hop.call(token).await.status, 200, "{}", hop.place.name);
    }
    chain.world.clock.advance(MINUTE * 3 - Duration::from_secs(1));
    let answer = chain.hops[1].call(&tokens[1]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let at_gateway: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let ends = |at: &serde_json::Value| at["exp"].as_i64().unwrap() - seen[0]["exp"].as_i64().unwrap();
    assert_eq!(ends(&at_gateway["next"]), 180 - 1 + 300, "orders' token was replaced within its margin");

    // It ends, at each hop, with the token that was given there.
    chain.world.clock.advance(Duration::from_secs(1));
    for (hop, token) in chain.hops.iter().zip(&tokens).skip(1) {
        let heard = AuditLog::listen();
        assert_eq!(hop.call(token).await.status, 401, "{}", hop.place.name);
        let passed = Chain::passed(&heard.take());
        assert_eq!(passed, [(hop.place.name, "token_expired".to_owned())], "{}", hop.place.name);
    }
}
