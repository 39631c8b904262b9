//! Chains of actors, in tokens signed here.

use serde::Deserialize;
use serde_json::{Map, Value};
use tower_delegation::{
    DelegationContext, DelegationLayer, DenialReason, Requirement, TrustedIssuer, clock::Timestamp,
    context::RequestFacts,
};
use tower_delegation_testing::{MockIdp, TestClock};

use super::{Expectation, Tally, Verdict, cases};
use crate::site::{AUDIENCE, NOW, provider};

#[derive(Deserialize)]
struct Case {
    claims: Map<String, Value>,
    current_actor: Option<Identity>,
    prior_actors: Option<Vec<Identity>>,
    client: Option<String>,
    rule: Option<Rule>,
}

#[derive(Debug, Deserialize)]
struct Identity {
    sub: String,
    /// Absent: the token's issuer vouches.
    iss: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    require_actor: String,
}

#[tokio::test]
async fn act_claims() {
    const FILE: &str = "delegation/act_claims";
    let Some(cases) = cases::<Case>(FILE) else { return };
    let mut tally = Tally::of(FILE);
    let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
    let idp = provider(&clock).await;
    let jwks = idp.jwks().to_string();
    for (expectation, case) in cases {
        // The case's own issuer, so that `act.iss` means what it meant there.
        let issuer = case.claims.get("iss").and_then(Value::as_str).unwrap_or("https://issuer.example.com");
        let trusted = TrustedIssuer::with_static_keys(issuer, &jwks).unwrap().add_audience(AUDIENCE);
        let layer = DelegationLayer::builder().clock(clock.clone()).add_issuer(trusted).build().unwrap();
        let verdict = judge(&case, &expectation, issuer, &layer, &idp).await;
        tally.add(&expectation, verdict);
    }
    tally.finish();
}

/// The case's claims as a complete access token of now, for this service.
fn completed(case: &Case, issuer: &str) -> Map<String, Value> {
    let mut claims = case.claims.clone();
    for (name, value) in [
        ("iss", issuer.into()),
        ("aud", AUDIENCE.into()),
        ("iat", NOW.into()),
        ("nbf", NOW.into()),
        ("exp", (NOW + 60).into()),
    ] {
        claims.insert(name.to_owned(), value);
    }
    for (name, value) in
        [("sub", "user@example.com"), ("client_id", case.client.as_deref().unwrap_or("client")), ("jti", "1")]
    {
        claims.entry(name).or_insert_with(|| value.into());
    }
    claims
}

async fn judge(
    case: &Case,
    expectation: &Expectation,
    issuer: &str,
    layer: &DelegationLayer,
    idp: &MockIdp,
) -> Result<Verdict, String> {
    let verify = async |claims: &Map<String, Value>| {
        let token = idp.token().claims_json(serde_json::to_vec(claims).unwrap()).sign();
        layer.authenticator().verify(&token).await.map_err(|rejection| rejection.reason())
    };
    let mut claims = completed(case, issuer);
    // This version checks no binding: with `cnf` every token is refused, so what
    // the chain says is looked at without it.
    if claims.contains_key("cnf") {
        match verify(&claims).await {
            Err(DenialReason::ConfirmationUnsupported | DenialReason::ConfirmationMalformed) => {}
            other => return Err(format!("a bound token is not refused as such: {:?}", other.err())),
        }
        claims.remove("cnf");
    }
    let delegation = match verify(&claims).await {
        Ok(delegation) => delegation,
        Err(reason) => return expectation.judge(&Err(reason), None),
    };
    if case.current_actor.is_some() || case.prior_actors.is_some() || expectation.is_valid() {
        compare(case, issuer, &delegation)?;
    }
    let Some(rule) = &case.rule else { return expectation.judge(&Ok::<_, ()>(()), None) };
    let demand = Requirement::new().actor(rule.require_actor.as_str());
    let outcome =
        delegation.authorize(&demand, &RequestFacts::none()).map_err(|rejection| rejection.reason());
    expectation.judge(&outcome, None)
}

fn compare(case: &Case, issuer: &str, delegation: &DelegationContext) -> Result<(), String> {
    let expected = case.current_actor.iter().chain(case.prior_actors.iter().flatten());
    let expected: Vec<(&str, &str)> =
        expected.map(|actor| (actor.iss.as_deref().unwrap_or(issuer), actor.sub.as_str())).collect();
    let actors = delegation.actors().iter();
    let actors: Vec<(&str, &str)> =
        actors.map(|actor| (actor.issuer().as_str(), actor.id().as_str())).collect();
    if actors != expected {
        return Err(format!("actors {actors:?} instead of {expected:?}"));
    }
    let current = delegation.actor().map(|actor| actor.id().as_str());
    if current != case.current_actor.as_ref().map(|actor| actor.sub.as_str()) {
        return Err(format!("the current actor is {current:?}"));
    }
    if delegation.subject().id().as_str()
        != case.claims.get("sub").and_then(Value::as_str).unwrap_or("user@example.com")
    {
        return Err(format!("the subject is {}", delegation.subject().id()));
    }
    match &case.client {
        Some(client) if delegation.client().is_none_or(|named| named.as_str() != client) => {
            Err(format!("the client is {:?}", delegation.client()))
        }
        _ => Ok(()),
    }
}
