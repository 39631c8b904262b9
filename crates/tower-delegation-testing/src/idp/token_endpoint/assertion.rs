//! Clients that authenticate by a signed assertion (RFC 7523 section 2.2).

use std::time::Duration;

use serde_json::Value;
use tower_delegation::spiffe::SpiffeId;

use super::{
    error::TokenError,
    jws::{SignedJwt, unverified_claim},
    presented::remaining,
};
use crate::idp::{
    MockIssuer,
    client::{Credential, MockClient},
    lock,
};

pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub(crate) const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// The longest that an assertion may be good for.
const MAX_LIFE: Duration = Duration::from_secs(600);

/// Finds the client whose assertion this is, and checks it.
pub(crate) fn client_of_assertion(issuer: &MockIssuer, assertion: &str) -> Result<MockClient, TokenError> {
    let refused = TokenError::invalid_client;
    let subject =
        unverified_claim(assertion, "sub").ok_or_else(|| refused("the assertion names no subject"))?;
    let client = lock(&issuer.inner.clients).get(&subject).cloned();
    let client = client.ok_or_else(|| refused("unknown client"))?;
    let jwt = client
        .credentials
        .iter()
        .filter_map(|credential| match credential {
            Credential::Keys(jwks) => SignedJwt::verify(assertion, jwks),
            _ => None,
        })
        .next()
        .ok_or_else(|| refused("no key of the client verifies the assertion"))?;
    if !jwt.has_type(&[None, Some("JWT"), Some("client-authentication+jwt")]) {
        return Err(refused("the assertion has another typ"));
    }
    if jwt.text("iss") != Some(&client.id) {
        return Err(refused("the assertion has another iss"));
    }
    let audience = jwt.text("aud").unwrap_or_default();
    let named = lock(&issuer.inner.tokens).assertion_audiences.contains(audience);
    if audience != issuer.issuer() && !named {
        return Err(refused("the assertion has another aud"));
    }
    check_life(issuer, &jwt)?;
    let id = jwt.text("jti").ok_or_else(|| refused("the assertion has no jti"))?;
    if !lock(&issuer.inner.tokens).used.is_first("assertion", &client.id, id) {
        return Err(refused("the assertion was used before"));
    }
    Ok(client)
}

/// Finds the client whose JWT-SVID this is, and checks it.
pub(crate) fn client_of_svid(issuer: &MockIssuer, svid: &str) -> Result<MockClient, TokenError> {
    let refused = TokenError::invalid_client;
    let jwt =
        verified_svid(issuer, svid).ok_or_else(|| refused("no JWT-SVID by a key of its trust domain"))?;
    let id = jwt.text("sub").unwrap_or_default();
    let registered = |client: &&MockClient| {
        client
            .credentials
            .iter()
            .any(|credential| matches!(credential, Credential::Workload(own) if own == id))
    };
    let client = lock(&issuer.inner.clients).values().find(registered).cloned();
    let client = client.ok_or_else(|| refused("no client is this workload"))?;
    check_life(issuer, &jwt)?;
    Ok(client)
}

/// Returns a JWT-SVID for this issuer alone whose signature was verified; not yet its life.
pub(crate) fn verified_svid(issuer: &MockIssuer, svid: &str) -> Option<SignedJwt> {
    let id = SpiffeId::new(&unverified_claim(svid, "sub")?).ok()?;
    let keys = lock(&issuer.inner.tokens).spiffe_keys.get(id.trust_domain()).cloned()?;
    let jwt = SignedJwt::verify(svid, &keys)?;
    let for_us = match jwt.claims.get("aud")? {
        Value::Array(all) => all.len() == 1 && all.iter().all(|one| one == issuer.issuer()),
        one => one == issuer.issuer(),
    };
    (for_us && jwt.has_type(&[None, Some("JWT"), Some("JOSE")])).then_some(jwt)
}

fn check_life(issuer: &MockIssuer, jwt: &SignedJwt) -> Result<(), TokenError> {
    let left = remaining(issuer, &jwt.claims)
        .ok_or_else(|| TokenError::invalid_client("the assertion is expired, or not valid yet"))?;
    if left > MAX_LIFE {
        return Err(TokenError::invalid_client("the assertion is good for too long"));
    }
    let now = issuer.inner.clock.now().unix_seconds();
    match jwt.claims.get("iat").map(Value::as_i64) {
        None => Ok(()),
        Some(Some(issued)) if issued <= now => Ok(()),
        Some(_) => Err(TokenError::invalid_client("the assertion is from the future")),
    }
}
