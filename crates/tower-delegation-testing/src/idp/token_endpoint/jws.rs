//! Signed JWTs by the keys of others.

use serde_json::{Map, Value, json};
use tower_delegation::{
    jwks::{AlgorithmSet, KeySet},
    token::UnverifiedToken,
};

use crate::keys::from_base64url;

/// A JWT whose signature was verified; its claims were not looked at.
pub(crate) struct SignedJwt {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

impl SignedJwt {
    /// Verifies a JWT by one of the keys of a JWK Set.
    pub(crate) fn verify(jwt: &str, jwks: &Value) -> Option<Self> {
        let token = UnverifiedToken::parse(jwt).ok()?;
        let keys = KeySet::parse(jwks.to_string().as_bytes(), AlgorithmSet::ALL).ok()?;
        let key = keys.select(token.algorithm(), token.key_hint()).ok()?;
        token.verify_signature(key).ok()?;
        Some(Self { header: part(jwt, 0)?, claims: part(jwt, 1)? })
    }

    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// Whether `typ` is one of these, compared as a media type; `None` is a header without it.
    pub(crate) fn has_type(&self, wanted: &[Option<&str>]) -> bool {
        let typ = self.header.get("typ");
        wanted.iter().any(|wanted| match (typ, wanted) {
            (None, None) => true,
            (Some(Value::String(typ)), Some(wanted)) => typ.eq_ignore_ascii_case(wanted),
            _ => false,
        })
    }
}

/// Returns a claim of a JWT that is not verified yet: to know whose keys to take.
pub(crate) fn unverified_claim(jwt: &str, claim: &str) -> Option<String> {
    Some(part(jwt, 1)?.get(claim)?.as_str()?.to_owned())
}

/// Returns the JOSE header of a JWT that is not verified yet.
pub(crate) fn unverified_header(jwt: &str) -> Option<Map<String, Value>> {
    part(jwt, 0)
}

fn part(jwt: &str, index: usize) -> Option<Map<String, Value>> {
    serde_json::from_slice(&from_base64url(jwt.split('.').nth(index)?)?).ok()
}

/// Returns the keys of a SPIFFE bundle that are for JWT-SVIDs, as an ordinary
/// JWK Set. A set without `use` is taken as it is.
pub(crate) fn spiffe_keys(bundle: &Value) -> Value {
    let keys = bundle.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let keys = keys.into_iter().filter_map(|mut key| {
        let members = key.as_object_mut()?;
        let usage = members.remove("use");
        let fits = usage.is_none_or(|usage| usage == "jwt-svid" || usage == "sig");
        fits.then_some(key)
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}
