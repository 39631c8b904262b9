//! Where challenges point to.

use std::collections::BTreeMap;

use axum::{Router, routing};
use http::Method;
use integration_tests::{Answer, Served};
use tower_delegation::{DelegationContext, proof::Dpop, protected_resource::ProtectedResource};

use crate::{RESOURCE, World, app, list};

const URL: &str = "https://orders.example.com/.well-known/oauth-protected-resource/api";

/// Scheme and parameters of each challenge in a field line.
pub(crate) fn parse(field: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let challenges = http_auth::parse_challenges(field).unwrap_or_else(|error| panic!("{field}: {error}"));
    let read = |challenge: http_auth::ChallengeRef<'_>| {
        let parameters =
            challenge.params.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_unescaped()));
        (challenge.scheme.to_owned(), parameters.collect())
    };
    challenges.into_iter().map(read).collect()
}

/// 9728-5.1-1, MCP-2, MCP-6: with and without an error, from the layer and from a route.
#[tokio::test]
async fn every_challenge_names_the_document() {
    let world = World::new().await;
    let resource = || ProtectedResource::new(RESOURCE).unwrap();
    let layer = || world.layer().protected_resource(resource());
    let by_layer = Router::new()
        .route("/api/orders", routing::get(async |_: DelegationContext| ""))
        .layer(layer().build().unwrap());
    let by_route = Router::new()
        .route("/api/orders", routing::get(list))
        .layer(layer().allow_anonymous().build().unwrap());
    let (by_layer, by_route) = (Served::start(by_layer).await, Served::start(by_route).await);
    let narrow = world.idp.token().subject("alice").client("web").sign();
    let expired = world.idp.token().subject("alice").client("web").claim("exp", 1).sign();
    for (name, served, token, status, error) in [
        ("the layer, no token", &by_layer, None, 401, None),
        ("the layer, a bad token", &by_layer, Some("x"), 401, Some("invalid_token")),
        ("the layer, an expired token", &by_layer, Some(expired.as_str()), 401, Some("invalid_token")),
        ("the layer, no single token", &by_layer, Some("x y"), 400, Some("invalid_request")),
        ("a route, no token", &by_route, None, 401, None),
        ("a route, no scope", &by_route, Some(narrow.as_str()), 403, Some("insufficient_scope")),
    ] {
        let request = served.request(Method::GET, "/api/orders");
        let answer = Answer::of(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
        .await;
        assert_eq!(answer.status, status, "{name}");
        let challenges = parse(answer.challenge());
        let [(scheme, parameters)] = challenges.as_slice() else { panic!("{name}: {challenges:?}") };
        assert_eq!(scheme, "Bearer", "{name}");
        assert_eq!(parameters.get("resource_metadata").map(String::as_str), Some(URL), "{name}");
        assert_eq!(parameters.get("error").map(String::as_str), error, "{name}");
    }
}

/// 9728-5.1-1: each scheme's challenge, whichever was used.
#[tokio::test]
async fn the_challenge_of_each_scheme_names_the_document() {
    let world = World::new().await;
    let resource = ProtectedResource::new(RESOURCE).unwrap();
    let layer = world.layer().protected_resource(resource).dpop(Dpop::at("https://orders.example.com"));
    let served = Served::start(app([layer.build().unwrap()])).await;
    for (name, token) in [("no token", None), ("a bad one", Some("x"))] {
        let request = served.request(Method::GET, "/api/orders");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = Answer::of(request).await;
        let challenges: Vec<_> = answer.challenges.iter().flat_map(|field| parse(field)).collect();
        let schemes: Vec<_> = challenges.iter().map(|(scheme, _)| scheme.as_str()).collect();
        assert_eq!(schemes, ["Bearer", "DPoP"], "{name}");
        for (scheme, parameters) in &challenges {
            assert_eq!(parameters.get("resource_metadata").map(String::as_str), Some(URL), "{name} {scheme}");
        }
    }
}

#[tokio::test]
async fn without_a_resource_no_challenge_names_one() {
    let world = World::new().await;
    let served = Served::start(app([world.layer().build().unwrap()])).await;
    let answer = served.get_anonymously("/api/orders").await;
    assert_eq!(answer.status, 401);
    assert!(!answer.challenge().contains("resource_metadata"), "{}", answer.challenge());
}
