//! The tokens that a request presents: of the subject, and of the actor.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{ACCESS_TOKEN, ID_TOKEN, JWT, assertion::verified_svid, error::TokenError, request::Form};
use crate::{
    idp::{MockIssuer, lock},
    keys::from_base64url,
};

/// A subject or actor token whose signature and lifetime were checked.
pub(crate) struct Presented {
    pub(crate) subject: String,
    pub(crate) claims: Map<String, Value>,
    pub(crate) remaining: Duration,
}

impl Presented {
    /// Whether the token was issued for one of `audiences`.
    pub(crate) fn is_for<'a>(&self, audiences: impl IntoIterator<Item = &'a str>) -> bool {
        let named = |audience: &str| match self.claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(|one| one == audience),
            Some(one) => one == audience,
            None => false,
        };
        audiences.into_iter().any(named)
    }
}

/// Returns the token in the parameter `token`, if it is there. A token that is
/// neither one of our own good ones nor, as a `jwt`, a workload's JWT-SVID is `invalid_request` (RFC 8693 section 2.2.2).
pub(crate) fn presented(
    issuer: &MockIssuer,
    form: &Form,
    token: &'static str,
    token_type: &'static str,
    client_id: &str,
) -> Result<Option<Presented>, TokenError> {
    let invalid = || TokenError::invalid_request("not a valid token of this issuer");
    match (form.one(token)?, form.one(token_type)?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(TokenError::invalid_request("a token type without its token")),
        (Some(_), None) => Err(TokenError::invalid_request("a token without its token type")),
        (Some(value), Some(ACCESS_TOKEN)) => verified(issuer, value, "at+jwt").map(Some).ok_or_else(invalid),
        (Some(value), Some(JWT)) => {
            let token = verified(issuer, value, "at+jwt").or_else(|| workload(issuer, value));
            token.map(Some).ok_or_else(invalid)
        }
        // OpenID Connect Core 1.0 section 2: an ID token is for the client.
        (Some(value), Some(ID_TOKEN)) => verified(issuer, value, "JWT")
            .filter(|token| token.is_for([client_id]))
            .map(Some)
            .ok_or_else(invalid),
        (Some(_), Some(_)) => Err(TokenError::invalid_request("unsupported token type")),
    }
}

/// Returns the token if it is a good one that this issuer signed.
pub(crate) fn verified(issuer: &MockIssuer, token: &str, typ: &str) -> Option<Presented> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    let object = |part| serde_json::from_slice::<Map<String, Value>>(&from_base64url(part)?).ok();
    let (header, claims) = (object(header)?, object(payload)?);

    let key = lock(&issuer.inner.ring).published(header.get("kid")?.as_str()?)?;
    let good = header.get("alg")? == key.algorithm().as_str()
        && header.get("typ")? == typ
        && !header.contains_key("crit")
        && key.verifies(message.as_bytes(), &from_base64url(signature)?)
        && claims.get("iss")? == issuer.issuer();
    if !good {
        return None;
    }
    let remaining = remaining(issuer, &claims)?;
    let subject = claims.get("sub")?.as_str()?.to_owned();
    Some(Presented { subject, claims, remaining })
}

/// Returns the JWT-SVID of a workload if it is a good one.
fn workload(issuer: &MockIssuer, svid: &str) -> Option<Presented> {
    let jwt = verified_svid(issuer, svid)?;
    let remaining = remaining(issuer, &jwt.claims)?;
    Some(Presented { subject: jwt.text("sub")?.to_owned(), claims: jwt.claims, remaining })
}

/// Returns how long claims are still good for; `None` if they are not.
pub(crate) fn remaining(issuer: &MockIssuer, claims: &Map<String, Value>) -> Option<Duration> {
    let now = issuer.inner.clock.now().unix_seconds();
    let expires = claims.get("exp")?.as_i64()?;
    let begins = claims.get("nbf").map_or(Some(now), Value::as_i64)?;
    if begins > now {
        return None;
    }
    // Already expired is not a positive number of seconds.
    let left = u64::try_from(expires.checked_sub(now)?).ok().filter(|left| *left > 0)?;
    Some(Duration::from_secs(left))
}
