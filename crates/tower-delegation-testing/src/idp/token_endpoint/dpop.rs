//! DPoP proofs at the token endpoint (RFC 9449 sections 4.3 and 5).

use axum::http::HeaderMap;
use serde_json::{Value, json};
use tower_delegation::jwks;
use url::Url;

use super::{
    error::TokenError,
    jws::{SignedJwt, unverified_header},
};
use crate::idp::{MockIssuer, lock};

/// How far `iat` may be from now, in seconds.
const WINDOW: u64 = 60;

/// Members of a JWK that are private, or a secret (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Returns the thumbprint of the key that the request proves to hold, if it has
/// a proof.
pub(crate) fn proven_key(issuer: &MockIssuer, headers: &HeaderMap) -> Result<Option<String>, TokenError> {
    let mut proofs = headers.get_all("dpop").iter();
    let proof = match (proofs.next(), proofs.next()) {
        (None, _) => return Ok(None),
        (Some(proof), None) => proof,
        (Some(_), Some(_)) => return Err(TokenError::invalid_proof("more than one DPoP proof")),
    };
    let proof = proof.to_str().map_err(|_| TokenError::invalid_proof("the proof is no text"))?;
    let header = unverified_header(proof).ok_or_else(|| TokenError::invalid_proof("the proof is no JWT"))?;
    let jwk = header.get("jwk").cloned().unwrap_or_default();
    if PRIVATE.iter().any(|member| jwk.get(member).is_some()) {
        return Err(TokenError::invalid_proof("the proof gives a private key away"));
    }
    let jwt = SignedJwt::verify(proof, &json!({ "keys": [unnamed(&jwk)] }))
        .ok_or_else(|| TokenError::invalid_proof("the key of the proof does not verify it"))?;
    check_claims(issuer, &jwt)?;
    let thumbprint = jwks::thumbprint(&jwk.to_string())
        .map_err(|_| TokenError::invalid_proof("the key of the proof has no thumbprint"))?
        .to_string();
    let id = jwt.text("jti").ok_or_else(|| TokenError::invalid_proof("the proof has no jti"))?;
    if !lock(&issuer.inner.tokens).used.is_first("proof", &thumbprint, id) {
        return Err(TokenError::invalid_proof("the proof was used before"));
    }
    Ok(Some(thumbprint))
}

fn check_claims(issuer: &MockIssuer, jwt: &SignedJwt) -> Result<(), TokenError> {
    if !jwt.has_type(&[Some("dpop+jwt")]) {
        return Err(TokenError::invalid_proof("the proof has another typ"));
    }
    if jwt.text("htm") != Some("POST") {
        return Err(TokenError::invalid_proof("the proof is for another method"));
    }
    let endpoints = [Some(issuer.token_endpoint()), issuer.mtls_token_endpoint()];
    let target = jwt.text("htu").and_then(without_query);
    if !endpoints.iter().flatten().any(|endpoint| target == without_query(endpoint)) {
        return Err(TokenError::invalid_proof("the proof is for another URI"));
    }
    let now = issuer.inner.clock.now().unix_seconds();
    let issued = jwt.claims.get("iat").and_then(Value::as_i64);
    if issued.is_none_or(|issued| issued.abs_diff(now) > WINDOW) {
        return Err(TokenError::invalid_proof("the proof is not of now"));
    }
    let wanted = lock(&issuer.inner.tokens).dpop_nonce.clone();
    if wanted.is_some() && jwt.text("nonce") != wanted.as_deref() {
        return Err(TokenError::new("use_dpop_nonce", "the proof needs the nonce of this server"));
    }
    Ok(())
}

fn without_query(uri: &str) -> Option<Url> {
    let mut uri = Url::parse(uri).ok()?;
    uri.set_query(None);
    uri.set_fragment(None);
    Some(uri)
}

/// The key is selected by being the only one: the proof's header has no `kid`.
fn unnamed(jwk: &Value) -> Value {
    let mut jwk = jwk.clone();
    if let Some(members) = jwk.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "kid" | "use" | "alg" | "key_ops"));
    }
    jwk
}
