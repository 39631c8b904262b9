//! JWTs as grants (RFC 7523 section 2.1): on behalf of a user, as Entra does it, and grants of
//! another authorization server.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Arrival,
    error::TokenError,
    exchange::{kept, lifetime},
    issuance::{Confirmation, Issuance},
    policy,
    presented::{Presented, verified},
};
use crate::{
    idp::{MockIssuer, client::MockClient, lock},
    token::USER_CLAIM,
};

/// The `typ` of an identity assertion authorization grant.
pub(crate) const ID_JAG_TYPE: &str = "oauth-id-jag+jwt";

/// The `typ` of another JWT that is a grant (draft-ietf-oauth-rfc7523bis).
pub(crate) const GRANT_TYPE: &str = "authorization-grant+jwt";

/// Decides by `requested_token_use` which of the two it is.
pub(crate) fn jwt_bearer(
    arrival: &Arrival<'_>,
    client: &MockClient,
    confirmation: &Confirmation,
) -> Result<Issuance, TokenError> {
    let assertion = arrival.form.required("assertion", "assertion is missing")?;
    match arrival.form.one("requested_token_use")? {
        Some("on_behalf_of") => on_behalf_of(arrival, client, assertion),
        Some(_) => Err(TokenError::invalid_request("unknown requested_token_use")),
        None => granted_elsewhere(arrival, client, assertion, confirmation),
    }
}

/// Trades a user's token that was issued for the client. The result names no
/// actor: the next service sees the client only.
fn on_behalf_of(arrival: &Arrival<'_>, client: &MockClient, assertion: &str) -> Result<Issuance, TokenError> {
    let issuer = arrival.issuer;
    let user = verified(issuer, assertion, "at+jwt")
        .ok_or_else(|| TokenError::invalid_grant("not a valid access token of this issuer"))?;
    let own = client.audiences.iter().map(String::as_str).chain([client.id.as_str()]);
    if !user.is_for(own) {
        return Err(TokenError::invalid_grant("the assertion is not for this client"));
    }
    if !user.claims.contains_key(USER_CLAIM) {
        return Err(TokenError::invalid_grant("the assertion is not of a user"));
    }
    if let Some(claims) = lock(&issuer.inner.tokens).interaction.clone() {
        return Err(TokenError::interaction_required(claims));
    }
    let asked = arrival.form.required("scope", "scope is missing")?;
    let (target, asked) = split_scopes(issuer, client, asked)?;
    let targets = [target];
    let held = policy::scopes(user.claims.get("scope").and_then(Value::as_str));
    let scopes = policy::exchanged_scopes(client, &targets, &held, &asked)?;
    policy::check_served(issuer, &targets)?;
    let [target] = &targets;
    Ok(Issuance {
        audiences: policy::audiences(issuer, &targets),
        scopes,
        // Entra always says what was granted.
        scopes_asked: None,
        scope_prefix: (*target != issuer.inner.audience).then(|| format!("{target}/")),
        lifetime: lifetime(issuer, &user),
        kept: kept(&user.claims),
        ..Issuance::new(user.subject, client)
    })
}

/// Scopes name their resource: `api://stock/read` is the scope `read` of
/// `api://stock`, and `api://stock/.default` is all that the client may ask for there. A
/// scope without a resource is one of the issuer's default audience.
fn split_scopes(
    issuer: &MockIssuer,
    client: &MockClient,
    asked: &str,
) -> Result<(String, BTreeSet<String>), TokenError> {
    let mut resource: Option<&str> = None;
    let mut names = BTreeSet::new();
    for scope in asked.split(' ').filter(|scope| !scope.is_empty()) {
        let (target, name) = scope.rsplit_once('/').unwrap_or((&issuer.inner.audience, scope));
        if resource.is_some_and(|resource| resource != target) {
            return Err(TokenError::invalid_scope("scopes of more than one resource"));
        }
        resource = Some(target);
        if name == ".default" {
            let all = client.targets.get(target).cloned();
            names.extend(all.ok_or_else(|| TokenError::invalid_scope("nothing is registered for .default"))?);
        } else {
            names.insert(name.to_owned());
        }
    }
    let resource = resource.ok_or_else(|| TokenError::invalid_request("scope is missing"))?;
    Ok((resource.to_owned(), names))
}

/// Accepts the grant of another authorization server: an ID-JAG, or what
/// draft-ietf-oauth-identity-chaining calls a JWT authorization grant. Each is
/// good for one token, and gets no refresh token.
fn granted_elsewhere(
    arrival: &Arrival<'_>,
    client: &MockClient,
    assertion: &str,
    confirmation: &Confirmation,
) -> Result<Issuance, TokenError> {
    let Arrival { issuer, form, .. } = arrival;
    let (grant, granted_by) = grant_of_partner(issuer, assertion)?;
    if grant.claims.get("aud").and_then(Value::as_str) != Some(issuer.issuer()) {
        return Err(TokenError::invalid_grant("the grant is not for this issuer alone"));
    }
    if grant.claims.get("client_id").and_then(Value::as_str) != Some(&client.id) {
        return Err(TokenError::invalid_grant("the grant is another client's"));
    }
    let bound = grant.claims.get("cnf").and_then(|cnf| cnf.get("jkt"));
    if bound.is_some_and(|key| key.as_str() != confirmation.key()) {
        return Err(TokenError::invalid_grant("the grant is bound to another key"));
    }

    let resources = match grant.claims.get("resource") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    let named = form.all("resource").chain(form.all("audience")).next().is_some();
    let targets =
        if named || resources.is_empty() { policy::targets(issuer, form)? } else { resources.clone() };
    if !resources.is_empty() && targets.iter().any(|target| !resources.contains(target)) {
        return Err(TokenError::invalid_target("the grant is for another resource"));
    }
    let held = policy::scopes(grant.claims.get("scope").and_then(Value::as_str));
    let asked = policy::scopes(form.one("scope")?);
    let scopes = policy::exchanged_scopes(client, &targets, &held, &asked)?;
    let id = grant.claims.get("jti").and_then(Value::as_str);
    let id = id.ok_or_else(|| TokenError::invalid_grant("the grant has no jti"))?;
    if !lock(&issuer.inner.tokens).used.is_first("grant", &granted_by, id) {
        return Err(TokenError::invalid_grant("the grant was used before"));
    }
    let subject = lock(&issuer.inner.tokens).subject_names.get(&grant.subject).cloned();
    let mut kept = kept(&grant.claims);
    if let (Some(subject), Some(mark)) = (&subject, kept.get_mut(USER_CLAIM)) {
        *mark = subject.clone().into();
    }
    Ok(Issuance {
        audiences: policy::audiences(issuer, &targets),
        scopes,
        scopes_asked: Some(asked),
        act: grant.claims.get("act").map(|act| of_issuer(act, &granted_by)),
        lifetime: issuer.inner.token_lifetime,
        kept,
        ..Issuance::new(subject.unwrap_or(grant.subject), client)
    })
}

/// Returns the grant, and who granted it.
fn grant_of_partner(issuer: &MockIssuer, assertion: &str) -> Result<(Presented, String), TokenError> {
    let partners = lock(&issuer.inner.tokens).grants_of.clone();
    for partner in partners.iter().filter_map(MockIssuer::upgrade) {
        let grant = [ID_JAG_TYPE, GRANT_TYPE].into_iter().find_map(|typ| verified(&partner, assertion, typ));
        if let Some(grant) = grant {
            return Ok((grant, partner.issuer().to_owned()));
        }
    }
    Err(TokenError::invalid_grant("no valid grant of an issuer that is trusted"))
}

/// An actor without `iss` is one of the token's issuer (RFC 8693 section 4.1),
/// which is another one from now on.
fn of_issuer(act: &Value, granted_by: &str) -> Value {
    let Value::Object(members) = act else { return act.clone() };
    let mut members = members.clone();
    members.entry("iss").or_insert_with(|| granted_by.into());
    if let Some(earlier) = members.get("act").map(|earlier| of_issuer(earlier, granted_by)) {
        members.insert("act".to_owned(), earlier);
    }
    Value::Object(members)
}
