//! What a handler reads.

use std::time::Duration;

use axum::{Json, Router, routing::get};
use integration_tests::{AUDIENCE, Served};
use serde_json::{Value, json};
use tower_delegation::{
    DelegationContext,
    clock::{Clock as _, Timestamp},
};

use crate::World;

async fn everything(delegation: DelegationContext) -> Json<Value> {
    let seconds = |time: Timestamp| time.unix_seconds();
    let actors: Vec<_> = delegation.actors().iter().map(|actor| actor.id().as_str()).collect();
    Json(json!({
        "subject": delegation.subject().id().as_str(),
        "subject_issuer": delegation.subject().issuer().as_str(),
        "subject_kind": delegation.subject().kind().as_str(),
        "client": delegation.client().map(|client| client.as_str()),
        "actor": delegation.actor().map(|actor| actor.id().as_str()),
        "actors": actors,
        "issuer": delegation.issuer().as_str(),
        "audience": delegation.audience().iter().map(|one| one.as_str()).collect::<Vec<_>>(),
        "scopes": delegation.scopes().iter().collect::<Vec<_>>(),
        "expires_at": seconds(delegation.expires_at()),
        "issued_at": delegation.issued_at().map(seconds),
        "not_before": delegation.not_before().map(seconds),
        "auth_time": delegation.auth_time().unwrap().map(seconds),
        "acr": delegation.acr().unwrap(),
        "amr": delegation.amr().unwrap().collect::<Vec<_>>(),
        "token_id": delegation.token_id().as_str(),
        "delegated": delegation.is_delegated(),
        "on_behalf_of_user": delegation.is_on_behalf_of_user(),
        "tenant": delegation.claim::<String>("tenant").unwrap(),
        "absent": delegation.claim::<String>("absent").unwrap(),
        "tenant_as_number_is_an_error": delegation.claim::<u32>("tenant").is_err(),
    }))
}

#[tokio::test]
async fn a_handler_reads_every_verified_fact() {
    let world = World::new().await;
    let service =
        Served::start(Router::new().route("/", get(everything)).layer(world.layer().build().unwrap())).await;
    let now = world.clock.now();
    let token = world
        .token()
        .scopes(["orders:read", "orders:write"])
        .audiences(["https://other.example.com", AUDIENCE])
        .actor("copilot")
        .earlier_actor("planner")
        .not_before(now)
        .auth_time(now.saturating_sub(Duration::from_secs(60)))
        .acr("urn:example:mfa")
        .amr(["pwd", "otp"])
        .token_id("t-1")
        .claim("tenant", "acme")
        .expires_in(Duration::from_secs(120))
        .sign();
    let answer = service.get("/", &token).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seconds = now.unix_seconds();
    let expected = json!({
        "subject": "alice",
        "subject_issuer": world.idp.issuer(),
        "subject_kind": "user",
        "client": "shop-web",
        "actor": "copilot",
        "actors": ["copilot", "planner"],
        "issuer": world.idp.issuer(),
        "audience": ["https://other.example.com", AUDIENCE],
        "scopes": ["orders:read", "orders:write"],
        "expires_at": seconds + 120,
        "issued_at": seconds,
        "not_before": seconds,
        "auth_time": seconds - 60,
        "acr": "urn:example:mfa",
        "amr": ["pwd", "otp"],
        "token_id": "t-1",
        "delegated": true,
        "on_behalf_of_user": true,
        "tenant": "acme",
        "absent": null,
        "tenant_as_number_is_an_error": true,
    });
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), expected);
}

#[tokio::test]
async fn an_application_by_itself_is_a_service_without_an_actor() {
    let world = World::new().await;
    let service =
        Served::start(Router::new().route("/", get(everything)).layer(world.layer().build().unwrap())).await;
    let token = world.token().subject("worker").client("worker").sign();
    let facts: Value = serde_json::from_str(&service.get("/", &token).await.body).unwrap();
    assert_eq!(facts["subject_kind"], "service");
    assert_eq!(facts["on_behalf_of_user"], false);
    assert_eq!(facts["delegated"], false);
    assert_eq!(facts["actor"], Value::Null, "the client is never silently the actor");
}

#[tokio::test]
async fn debug_shows_no_token_and_no_claims() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let token = world.token().claim("ssn", "078-05-1120").sign();
    let delegation = layer.authenticator().verify(&token).await.unwrap();
    let signature = token.rsplit_once('.').unwrap().1;
    for debug in [format!("{delegation:?}"), format!("{layer:?}"), format!("{:?}", layer.authenticator())] {
        assert!(!debug.contains(signature) && !debug.contains("078-05-1120"), "{debug}");
        assert!(!debug.contains(&token[..40]), "{debug}");
    }
}

#[tokio::test]
async fn a_context_for_a_unit_test_comes_from_a_verified_token() {
    async fn handler(delegation: DelegationContext) -> String {
        format!("hello {}", delegation.subject().id())
    }
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let delegation = layer.authenticator().verify(&world.token().sign()).await.unwrap();
    assert_eq!(handler(delegation).await, "hello alice");
    assert!(layer.authenticator().verify(&world.token().tamper_payload().sign()).await.is_err());
}
