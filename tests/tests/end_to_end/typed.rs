//! Claims in a type of the handler's own, and the context outside of handlers.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, Request},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use http::{StatusCode, request::Parts};
use integration_tests::Served;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tower_delegation::{DelegationContext, Requirement, layer::RequireLayer, token::TokenCache};

use crate::World;

#[derive(Debug, Deserialize)]
struct Plan {
    plan: Name,
    seats: Option<u8>,
}

#[derive(Debug, Deserialize)]
struct Name(String);

async fn plan(delegation: DelegationContext) -> Result<String, StatusCode> {
    let plan = delegation.claims::<Plan>().or(Err(StatusCode::IM_A_TEAPOT))?;
    Ok(format!("{} {:?}", plan.plan.0, plan.seats))
}

#[tokio::test]
async fn claims_are_read_as_one_type() {
    let world = World::new().await;
    // Behind a requirement: what is no `Plan` is the handler's affair, and denies nothing.
    let guard = RequireLayer::new(Requirement::new().scope("orders:read")).unwrap();
    let router = Router::new().route("/", get(plan).layer(guard)).layer(world.layer().build().unwrap());
    let site = Served::start(router).await;
    for (name, claims, expected) in [
        ("all", json!({ "plan": "gold", "seats": 7 }), Ok("gold Some(7)")),
        ("an absent option", json!({ "plan": "gold" }), Ok("gold None")),
        ("null for an option", json!({ "plan": "gold", "seats": null }), Ok("gold None")),
        ("a needed claim is absent", json!({ "seats": 7 }), Err(())),
        ("null for a needed claim", json!({ "plan": null }), Err(())),
        ("another type", json!({ "plan": ["gold"] }), Err(())),
        ("another type of an option", json!({ "plan": "gold", "seats": "7" }), Err(())),
        ("out of range", json!({ "plan": "gold", "seats": 256 }), Err(())),
        ("another spelling", json!({ "Plan": "gold" }), Err(())),
        ("inside another claim", json!({ "ext": { "plan": "gold" } }), Err(())),
    ] {
        let mut token = world.token();
        for (claim, value) in claims.as_object().unwrap() {
            token = token.claim(claim, value.clone());
        }
        let token = token.sign();
        for _ in 0..2 {
            let answer = site.get("/", &token).await;
            assert_eq!(answer.status, if expected.is_ok() { 200 } else { 418 }, "{name}");
            assert!(answer.challenges.is_empty(), "{name}");
            if let Ok(expected) = expected {
                assert_eq!(answer.body, expected, "{name}");
            }
        }
        let narrow = world.token().without("scope").sign();
        assert_eq!(site.get("/", &narrow).await.status, 403, "{name}");
    }
}

/// How often [`Counted`] was read in this test binary.
static READ: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
struct Counted(Value);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        READ.fetch_add(1, Ordering::Relaxed);
        Value::deserialize(deserializer).map(Self)
    }
}

#[tokio::test]
async fn a_token_is_parsed_once_for_all_its_requests() {
    let world = World::new().await;
    for (name, cache, expected) in
        [("cached", TokenCache::new(), 2), ("not cached", TokenCache::disabled(), 12)]
    {
        READ.store(0, Ordering::Relaxed);
        let layer = world.layer().token_cache(cache).build().unwrap();
        layer.warm_up().await.unwrap();
        let read = async |delegation: DelegationContext| {
            let first = delegation.claims::<Counted>().unwrap();
            let second = delegation.claims::<Counted>().unwrap();
            assert!(Arc::ptr_eq(&first, &second));
            first.0["sub"].as_str().unwrap().to_owned()
        };
        let site = Served::start(Router::new().route("/", get(read)).layer(layer)).await;
        let tokens = [world.token().sign(), world.token().user("bob").sign()];
        for _ in 0..6 {
            assert_eq!(site.get("/", &tokens[0]).await.body, "alice", "{name}");
            assert_eq!(site.get("/", &tokens[1]).await.body, "bob", "{name}");
        }
        assert_eq!(READ.load(Ordering::Relaxed), expected, "{name}");
    }
}

#[tokio::test]
async fn an_error_says_what_was_expected_and_quotes_only_in_its_source() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let token = world.token().claim("plan", json!({ "ssn": "078-05-1120" })).claim("seats", "078-05-1120");
    let delegation = layer.authenticator().verify(&token.sign()).await.unwrap();
    let all = delegation.claims::<Plan>().unwrap_err();
    let one = delegation.claim::<u8>("seats").unwrap_err();
    for error in [all, one] {
        assert!(error.source().is_some_and(|source| source.to_string().contains("invalid type")));
        for said in [error.to_string(), format!("{error:?}"), format!("{delegation:?}")] {
            assert!(!said.contains("078-05-1120"), "{said}");
        }
    }
}

/// An extractor that adds to the context, without rejecting anything itself.
struct Caller(String);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let delegation = DelegationContext::of(parts).ok_or(StatusCode::IM_A_TEAPOT)?;
        let same = DelegationContext::of(&parts.extensions).unwrap();
        assert_eq!(same.token_id(), delegation.token_id());
        Ok(Self(delegation.subject().id().to_string()))
    }
}

async fn marked(request: Request, next: Next) -> Response {
    let caller = DelegationContext::of(&request).map(|delegation| delegation.subject().id().to_string());
    let mut response = next.run(request).await;
    let caller = caller.as_deref().unwrap_or("-").parse().unwrap();
    response.headers_mut().insert("x-caller", caller);
    response
}

#[tokio::test]
async fn the_context_is_found_outside_of_handlers() {
    let world = World::new().await;
    let routes =
        || Router::new().route("/", get(async |caller: Caller| caller.0)).layer(middleware::from_fn(marked));
    let strict = Served::start(routes().layer(world.layer().build().unwrap())).await;
    let open = Served::start(routes().layer(world.layer().allow_anonymous().build().unwrap())).await;
    let bare = Served::start(routes()).await;
    let token = world.token().sign();
    let expired = world.token().expires_at(tower_delegation::clock::Timestamp::from_unix_seconds(1)).sign();
    for (name, answer, status, caller) in [
        ("a good token", strict.get("/", &token).await, 200, Some("alice")),
        ("no token", strict.get_anonymously("/").await, 401, None),
        ("an expired token", strict.get("/", &expired).await, 401, None),
        ("anonymous: a good token", open.get("/", &token).await, 200, Some("alice")),
        ("anonymous: no token", open.get_anonymously("/").await, 418, Some("-")),
        ("anonymous: an expired token", open.get("/", &expired).await, 401, None),
        ("without a layer", bare.get("/", &token).await, 418, Some("-")),
    ] {
        assert_eq!(answer.status, status, "{name}");
        let said = answer.headers.get("x-caller").map(|value| value.to_str().unwrap());
        assert_eq!(said, caller, "{name}");
    }
    // A context that a client would smuggle in has no form: there is nothing in a request that becomes one.
    let empty = http::Request::new(Body::empty());
    assert!(DelegationContext::of(&empty).is_none());
}
