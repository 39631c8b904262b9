//! Revoking over HTTP.

use axum::{Router, routing::get};
use integration_tests::{Answer, Served};
use reqwest::Method;
use serde_json::{Value, json};
use tower_delegation::{Requirement, axum::revocation_routes, clock::Clock, revocation::InMemoryRevocations};

use crate::{World, whoami};

/// A service whose operators may revoke.
struct Site {
    world: World,
    service: Served,
    operator: String,
}

impl Site {
    async fn new(capacity: usize) -> Self {
        let world = World::with(|store| store.capacity(capacity)).await;
        let layer = world.layer().revocations(world.revocations.clone()).build().unwrap();
        layer.warm_up().await.unwrap();
        let operators = Requirement::named("operators").scope("revocations:write");
        let routes = revocation_routes(world.revocations.clone(), operators).unwrap();
        let router = Router::new().route("/", get(whoami)).nest("/revocations", routes).layer(layer);
        let operator =
            world.idp.token().subject("olga").client("console").scopes(["revocations:write"]).sign();
        Self { world, service: Served::start(router).await, operator }
    }

    async fn order(&self, token: &str, body: String) -> Answer {
        let request = self.service.request(Method::POST, "/revocations");
        Answer::of(request.bearer_auth(token).header("content-type", "application/json").body(body)).await
    }

    async fn revoke(&self, order: Value) -> Answer {
        self.order(&self.operator, order.to_string()).await
    }

    async fn status(&self, token: &str) -> u16 {
        self.service.get("/", token).await.status
    }
}

#[tokio::test]
async fn an_operator_revokes() {
    type Order = fn(&str, i64) -> Value;
    let rows: [(&str, Order, bool); 10] = [
        ("a token", |iss, _| json!({"target": "token", "issuer": iss, "id": "t-1"}), true),
        ("a subject", |iss, _| json!({"target": "subject", "issuer": iss, "id": "alice"}), true),
        ("a log-in", |iss, _| json!({"target": "session", "issuer": iss, "id": "log-in-1"}), true),
        ("a client", |iss, _| json!({"target": "client", "issuer": iss, "id": "shop-web"}), true),
        ("an actor", |iss, _| json!({"target": "actor", "issuer": iss, "id": "bot"}), true),
        ("a workload", |_, _| json!({"target": "workload", "id": "spiffe://example.org/shop"}), false),
        ("a certificate", |_, _| json!({"target": "certificate", "id": "A".repeat(43)}), false),
        (
            "up to now",
            |iss, now| json!({"target": "subject", "issuer": iss, "id": "alice", "issued_before": now}),
            true,
        ),
        (
            "up to then",
            |iss, now| json!({"target": "subject", "issuer": iss, "id": "alice", "issued_before": now - 9}),
            false,
        ),
        ("ended", |iss, now| json!({"target": "subject", "issuer": iss, "id": "alice", "until": now}), false),
    ];
    for (name, order, hits) in rows {
        let site = Site::new(100).await;
        let token = site.world.token().sign();
        assert_eq!(site.status(&token).await, 200, "{name}");
        let now = site.world.clock.now().unix_seconds();
        assert_eq!(site.revoke(order(site.world.issuer(), now)).await.status, 204, "{name}");
        assert_eq!(site.status(&token).await, if hits { 401 } else { 200 }, "{name}");
    }
}

#[tokio::test]
async fn nobody_else_revokes() {
    let site = Site::new(100).await;
    let order = json!({"target": "subject", "issuer": site.world.issuer(), "id": "alice"}).to_string();
    let token = site.world.token().sign();
    assert_eq!(site.order(&token, order.clone()).await.status, 403);
    assert_eq!(site.order("nonsense", order.clone()).await.status, 401);
    let anonymous = site.service.request(Method::POST, "/revocations").body(order);
    assert_eq!(Answer::of(anonymous).await.status, 401);
    assert_eq!(site.status(&token).await, 200);
    assert!(site.world.revocations.is_empty());
}

#[test]
fn the_route_is_for_somebody() {
    let routes = |requirement| revocation_routes::<()>(InMemoryRevocations::new(), requirement);
    assert!(routes(Requirement::new()).is_err(), "every verified token");
    assert!(routes(Requirement::new().delegated().not_delegated()).is_err(), "nobody");
    assert!(routes(Requirement::new().scope("revocations:write")).is_ok());
}

#[tokio::test]
async fn orders_that_are_not_clear_revoke_nothing() {
    let site = Site::new(100).await;
    for (name, order) in [
        ("no JSON", "nonsense".to_owned()),
        ("no target", json!({"issuer": "i", "id": "x"}).to_string()),
        ("unknown target", json!({"target": "planet", "issuer": "i", "id": "x"}).to_string()),
        ("no issuer", json!({"target": "subject", "id": "x"}).to_string()),
        ("empty issuer", json!({"target": "subject", "issuer": "", "id": "x"}).to_string()),
        ("no id", json!({"target": "subject", "issuer": "i"}).to_string()),
        ("empty id", json!({"target": "subject", "issuer": "i", "id": ""}).to_string()),
        ("id no string", json!({"target": "subject", "issuer": "i", "id": 1}).to_string()),
        ("a member too many", json!({"target": "subject", "issuer": "i", "id": "x", "sid": "y"}).to_string()),
        ("a misspelt limit", json!({"target": "subject", "issuer": "i", "id": "x", "before": 1}).to_string()),
        ("a limit as text", json!({"target": "subject", "issuer": "i", "id": "x", "until": "1"}).to_string()),
        ("no SPIFFE ID", json!({"target": "workload", "id": "shop"}).to_string()),
        (
            "a workload of an issuer",
            json!({"target": "workload", "issuer": "i", "id": "spiffe://a/b"}).to_string(),
        ),
        ("no thumbprint", json!({"target": "certificate", "id": "AAAA"}).to_string()),
        ("a thumbprint in hex", json!({"target": "certificate", "id": "ab".repeat(32)}).to_string()),
    ] {
        let answer = site.order(&site.operator, order).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_revocation"), "{name}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{name}");
    }
    assert!(site.world.revocations.is_empty());
}

#[tokio::test]
async fn a_full_store_says_so() {
    let site = Site::new(1).await;
    let issuer = site.world.issuer();
    let order = |id: &str| json!({"target": "subject", "issuer": issuer, "id": id});
    assert_eq!(site.revoke(order("one")).await.status, 204);
    let token = site.world.token().sign();
    let answer = site.revoke(order("two")).await;
    assert_eq!((answer.status, answer.code().as_str()), (507, "revocations_full"));
    assert_eq!(site.status(&token).await, 401);
}
