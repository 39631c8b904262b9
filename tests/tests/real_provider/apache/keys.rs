//! Tokens that are bound to a key, and the proofs that come with them (RFC 9449).

use std::{fmt::Write as _, time::Duration};

use axum::{Router, routing::get};
use integration_tests::Served;
use reqwest::{Method, RequestBuilder, header::AUTHORIZATION};
use tower_delegation::{
    Dpop,
    clock::{Clock as _, SystemClock},
};
use tower_delegation_testing::{DpopKey, MtlsClient};

use super::Apache;
use crate::oidc_provider::Provider;

/// Apache takes such a token by scheme `Bearer` only, and we by `DPoP` only: in
/// nothing else does what it is sent differ from what we are sent.
#[tokio::test]
async fn no_proof_passes_here_alone() {
    if !Apache::is_installed() {
        return;
    }
    let Some(provider) = Provider::start() else { return };
    let apache = Apache::start(&provider);
    // One service for clients, whoever of the two answers.
    let url = format!("{}/dpop", apache.base);
    let layer = provider.layer().dpop(Dpop::at(&apache.base)).build().unwrap();
    let site = Served::start(Router::new().route("/dpop", get(async || "seen")).layer(layer)).await;
    let client = MtlsClient::new(&provider.pki).build();

    let (key, other) = (DpopKey::generate(), DpopKey::generate());
    let (token, plain) = (provider.key_bound_token(&key).await, provider.token("ES256").await);
    let proof = || key.proof("GET", url.as_str()).for_token(&token);
    let replayed = proof().sign();
    let at = |offset: i64| {
        let now = SystemClock::new().now();
        let distance = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 { now.saturating_sub(distance) } else { now.saturating_add(distance) }
    };
    let rows = [
        ("good", &token, Some(proof().sign())),
        ("to be replayed", &token, Some(replayed.clone())),
        ("replayed", &token, Some(replayed)),
        ("no proof", &token, None),
        ("no proof at all", &token, Some("proof".to_owned())),
        ("another key", &token, Some(other.proof("GET", url.as_str()).for_token(&token).sign())),
        ("another method", &token, Some(key.proof("POST", url.as_str()).for_token(&token).sign())),
        ("another URI", &token, Some(key.proof("GET", format!("{url}s")).for_token(&token).sign())),
        ("another typ", &token, Some(proof().header("typ", "JWT").sign())),
        ("no key", &token, Some(proof().without_header("jwk").sign())),
        ("no jti", &token, Some(proof().without("jti").sign())),
        ("no iat", &token, Some(proof().without("iat").sign())),
        ("no ath", &token, Some(proof().without("ath").sign())),
        ("signed by another key", &token, Some(proof().sign_with(&other).sign())),
        ("too old", &token, Some(proof().issued_at(at(-400)).sign())),
        ("from tomorrow", &token, Some(proof().issued_at(at(86_400)).sign())),
        ("of a plain token", &plain, Some(key.proof("GET", url.as_str()).for_token(&plain).sign())),
    ];
    let mut table = format!("{:<22} we   apache\n", "proof");
    let (mut accepted, mut refused_by_us_alone) = (Vec::new(), Vec::new());
    for (name, token, proof) in rows {
        let send = |request: RequestBuilder, scheme: &str| {
            let request = request.header(AUTHORIZATION, format!("{scheme} {token}"));
            proof.iter().fold(request, |request, proof| request.header("DPoP", proof))
        };
        let ours = send(site.request(Method::GET, "/dpop"), "DPoP").send().await.unwrap().status() == 200;
        let theirs = Apache::passes(send(client.get(&url), "Bearer")).await;
        let mark = |accepted| if accepted { "yes" } else { "no" };
        writeln!(table, "{name:<22} {:<4} {}", mark(ours), mark(theirs)).unwrap();
        match (ours, theirs) {
            (true, true) => accepted.push(name),
            (true, false) => panic!("only we accept: {name}\n{table}"),
            (false, true) => refused_by_us_alone.push(name),
            (false, false) => {}
        }
    }
    println!("{table}");
    assert_eq!(accepted, ["good", "to be replayed"], "{table}");
    // It knows a proof again by its text, and holds no proof against the token beside it.
    assert_eq!(refused_by_us_alone, ["no jti", "no ath"], "{table}");
}
