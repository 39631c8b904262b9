//! Twelve ways in which a provider hands out too much: each is refused with a reason of its
//! own, and nothing is sent with what came back.

use integration_tests::AuditLog;
use serde_json::json;
use tower_delegation_testing::ExchangeFault;

use crate::shop::{STOCK, Shop};

/// What each fault is refused with. The twelfth, a token that is not bound, is tried where tokens
/// are to be bound.
pub(crate) const REASONS: [(ExchangeFault, &str); 11] = [
    (ExchangeFault::WiderScope, "exchange_scope_wider"),
    (ExchangeFault::OtherAudience, "exchange_audience_mismatch"),
    (ExchangeFault::SecondAudience, "exchange_audience_mismatch"),
    (ExchangeFault::OtherSubject, "exchange_subject_changed"),
    (ExchangeFault::ActorDropped, "exchange_actor_missing"),
    (ExchangeFault::ActorReplaced, "exchange_actor_mismatch"),
    (ExchangeFault::ChainCut, "exchange_chain_changed"),
    (ExchangeFault::LongerLife, "exchange_life_too_long"),
    (ExchangeFault::OtherType, "exchange_type_mismatch"),
    (ExchangeFault::OtherIssuer, "exchange_issuer_mismatch"),
    (ExchangeFault::RefreshTokenAdded, "exchange_refresh_token"),
];

#[tokio::test]
async fn the_control_is_served() {
    let shop = Shop::new().await;
    let heard = AuditLog::listen();
    let act = json!({ "sub": "planner", "iss": "https://agents.example.com" });
    let token = shop.token().claim("act", act).sign();
    let seen = shop.seen(&token).await;
    assert_eq!(seen["sub"], "alice");
    assert_eq!(seen["actors"], json!(["orders", "planner"]), "8693-2.1-1, 8693-c7: the chain goes on");
    assert_eq!(seen["aud"], json!([STOCK]));
    assert_eq!(seen["scope"], "stock:read");
    let events = heard.take();
    let exchange = events.iter().find(|event| event.field("downstream") == "stock").unwrap();
    assert_eq!(exchange.field("decision"), "allow");
    assert_eq!(exchange.field("subject"), "alice");
    assert_eq!(exchange.field("asked_scopes"), "stock:read");
    assert_eq!(exchange.field("issued_scopes"), "stock:read");
    assert_eq!(exchange.field("verified"), "token");
}

#[tokio::test]
async fn each_fault_has_its_reason() {
    for (fault, reason) in REASONS {
        let shop = Shop::new().await;
        shop.world.idp.misissue_next(fault);
        let heard = AuditLog::listen();
        let token = shop.token().claim("act", json!({ "sub": "planner" })).sign();
        let answer = shop.call(&token).await;
        assert_eq!(answer.status, 503, "{fault:?}: it is not the caller's fault");
        assert!(answer.headers.contains_key("retry-after"), "{fault:?}");
        let events = heard.take();
        let exchange = events.iter().find(|event| event.field("downstream") == "stock").unwrap();
        assert_eq!(exchange.field("reason"), reason, "{fault:?}");
        assert_eq!(exchange.field("decision"), "deny", "{fault:?}");
        assert_eq!(exchange.level, tracing::Level::WARN, "{fault:?}");
        let calls = events.iter().filter(|event| event.field("route") == "/items").count();
        assert_eq!(calls, 0, "{fault:?}: stock was not called");
    }
}
