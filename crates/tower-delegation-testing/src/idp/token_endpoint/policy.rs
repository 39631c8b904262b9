//! What a client may ask for.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use url::Url;

use super::{error::TokenError, issuance::Actor, request::Form};
use crate::idp::{
    MockIssuer,
    client::{Grant, MockClient},
    lock,
};

/// Refuses a grant that the client may not use.
pub(crate) fn permits(client: &MockClient, grant: Grant) -> Result<(), TokenError> {
    match &client.grants {
        Some(grants) if !grants.contains(&grant) => {
            Err(TokenError::new("unauthorized_client", "the client may not use this grant"))
        }
        _ => Ok(()),
    }
}

/// What the new token is for: every `resource` (RFC 8707) and `audience`
/// (RFC 8693), else the issuer's default audience.
pub(crate) fn targets(issuer: &MockIssuer, form: &Form) -> Result<Vec<String>, TokenError> {
    let absolute = |resource: &str| Url::parse(resource).is_ok_and(|url| url.fragment().is_none());
    if !form.all("resource").all(absolute) {
        return Err(TokenError::invalid_target("resource is no absolute URI without fragment"));
    }
    let mut targets: Vec<String> = Vec::new();
    for target in form.all("resource").chain(form.all("audience")) {
        // The same service may be named both ways.
        if !targets.iter().any(|named| named == target) {
            targets.push(target.to_owned());
        }
    }
    check_served(issuer, &targets)?;
    if targets.is_empty() {
        targets.push(issuer.inner.audience.clone());
    }
    Ok(targets)
}

/// Refuses a target that the issuer does not serve.
pub(crate) fn check_served(issuer: &MockIssuer, targets: &[String]) -> Result<(), TokenError> {
    match &lock(&issuer.inner.tokens).targets {
        Some(served) if targets.iter().any(|target| !served.contains(target)) => {
            Err(TokenError::invalid_target("no tokens are issued for this target"))
        }
        _ => Ok(()),
    }
}

/// Returns the names under which the issuer writes these targets into `aud`.
pub(crate) fn audiences(issuer: &MockIssuer, targets: &[String]) -> Vec<String> {
    let tokens = lock(&issuer.inner.tokens);
    let written = |target: &String| tokens.audience_names.get(target).unwrap_or(target).clone();
    targets.iter().map(written).collect()
}

/// Returns the scopes of a token that is traded for one to `targets`.
pub(crate) fn exchanged_scopes(
    client: &MockClient,
    targets: &[String],
    held: &BTreeSet<String>,
    asked: &BTreeSet<String>,
) -> Result<BTreeSet<String>, TokenError> {
    let registered = if client.targets.is_empty() {
        None
    } else {
        let mut scopes = BTreeSet::new();
        for target in targets {
            let allowed = client.targets.get(target);
            scopes.extend(
                allowed
                    .ok_or_else(|| TokenError::invalid_target("the client may not exchange for this target"))?
                    .iter()
                    .cloned(),
            );
        }
        Some(scopes)
    };
    let most = registered.as_ref().unwrap_or(held);
    if !asked.is_subset(most) {
        return Err(TokenError::invalid_scope(match registered {
            Some(_) => "the client may not ask for this scope at this target",
            None => "broader than the subject token",
        }));
    }
    narrowed(client, if asked.is_empty() { most } else { asked })
}

/// Returns those of `scopes` that the client may use at all.
pub(crate) fn narrowed(
    client: &MockClient,
    scopes: &BTreeSet<String>,
) -> Result<BTreeSet<String>, TokenError> {
    let granted: BTreeSet<_> = scopes.iter().filter(|scope| client.may_use(scope)).cloned().collect();
    if granted.is_empty() && !scopes.is_empty() {
        return Err(TokenError::invalid_scope("the client may use none of these scopes"));
    }
    Ok(granted)
}

/// Checks `may_act`, if the subject token has one: it says who may become the
/// actor (RFC 8693 section 4.4). `iss`, if it is there, must fit too.
pub(crate) fn check_may_act(
    issuer: &MockIssuer,
    claims: &Map<String, Value>,
    actor: &Actor,
) -> Result<(), TokenError> {
    let Some(party) = claims.get("may_act") else { return Ok(()) };
    let actor_issuer = actor.issuer.as_deref().unwrap_or_else(|| issuer.issuer());
    let subject_fits = party.get("sub").and_then(Value::as_str) == Some(&actor.subject);
    let issuer_fits = party.get("iss").is_none_or(|named| named == actor_issuer);
    if subject_fits && issuer_fits {
        Ok(())
    } else {
        Err(TokenError::invalid_request("may_act names another party"))
    }
}

/// Returns what was asked for of the `authorization_details` of the subject token
/// (RFC 9396): each element must be there as it is.
pub(crate) fn authorization_details(
    form: &Form,
    claims: &Map<String, Value>,
) -> Result<Option<Value>, TokenError> {
    let refused = |description| TokenError::new("invalid_authorization_details", description);
    let Some(asked) = form.one("authorization_details")? else { return Ok(None) };
    let asked: Vec<Value> = serde_json::from_str(asked).map_err(|_| refused("no array of JSON"))?;
    let held = claims.get("authorization_details").and_then(Value::as_array);
    if asked.iter().all(|detail| held.is_some_and(|held| held.contains(detail))) {
        Ok(Some(asked.into()))
    } else {
        Err(refused("broader than the subject token"))
    }
}

pub(crate) fn scopes(parameter: Option<&str>) -> BTreeSet<String> {
    let parameter = parameter.unwrap_or_default();
    parameter.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

pub(crate) fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
