//! Token exchange (RFC 8693).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    ACCESS_TOKEN, ID_JAG, JWT,
    chaining::grant_asked,
    error::TokenError,
    issuance::{Actor, Issuance, Kind, chained},
    policy,
    presented::{Presented, presented},
    request::Form,
};
use crate::{
    idp::{MockIssuer, client::MockClient, lock},
    token::USER_CLAIM,
};

/// Facts about the user and their session, which stay true of the exchanged
/// token. A machine's token has no mark of a user, so its exchange has none.
const KEPT_CLAIMS: [&str; 5] = [USER_CLAIM, "auth_time", "acr", "amr", "sid"];

/// How long a token lives that was traded for another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExchangeLife {
    /// No longer than the token it was traded for.
    #[default]
    Capped,
    /// As long as any new token: each exchange renews it, as many providers do.
    Renewed,
}

/// Trades the subject token. The party that acts is the actor token's subject,
/// else the authenticated client.
pub(crate) fn token_exchange(
    issuer: &MockIssuer,
    form: &Form,
    client: &MockClient,
) -> Result<Issuance, TokenError> {
    let requested_type = form.one("requested_token_type")?;
    let issued_type = match requested_type {
        None | Some(ACCESS_TOKEN) => ACCESS_TOKEN,
        Some(JWT) => JWT,
        Some(ID_JAG) => ID_JAG,
        Some(_) => return Err(TokenError::invalid_request("unsupported requested_token_type")),
    };
    let subject = presented(issuer, form, "subject_token", "subject_token_type", &client.id)?
        .ok_or_else(|| TokenError::invalid_request("subject_token is missing"))?;
    let actor = presented(issuer, form, "actor_token", "actor_token_type", &client.id)?;
    if !client.audiences.is_empty() && !subject.is_for(client.audiences.iter().map(String::as_str)) {
        return Err(TokenError::invalid_request("the subject token is not for this client"));
    }
    let act = act(issuer, client, &subject, actor)?;
    let kind = grant_asked(issuer, form, client, requested_type)?.unwrap_or(Kind::AccessToken);
    let targets = match &kind {
        Kind::AccessToken => policy::targets(issuer, form)?,
        Kind::Grant { server, .. } => vec![server.clone()],
    };
    let held = policy::scopes(subject.claims.get("scope").and_then(Value::as_str));
    let asked = policy::scopes(form.one("scope")?);
    Ok(Issuance {
        kind,
        scopes: policy::exchanged_scopes(client, &targets, &held, &asked)?,
        scopes_asked: Some(asked),
        audiences: policy::audiences(issuer, &targets),
        authorization_details: policy::authorization_details(form, &subject.claims)?,
        act,
        lifetime: lifetime(issuer, &subject),
        kept: kept(&subject.claims),
        issued_type: Some(issued_type),
        ..Issuance::new(subject.subject, client)
    })
}

fn act(
    issuer: &MockIssuer,
    client: &MockClient,
    subject: &Presented,
    actor: Option<Presented>,
) -> Result<Option<Value>, TokenError> {
    if client.impersonates && actor.is_some() {
        return Err(TokenError::invalid_request("this client impersonates: it needs no actor_token"));
    }
    let actor = match actor {
        Some(actor) => Actor { subject: actor.subject, issuer: None },
        None => Actor { subject: client.id.clone(), issuer: None },
    };
    policy::check_may_act(issuer, &subject.claims, &actor)?;
    Ok((!client.impersonates).then(|| chained(&actor, subject.claims.get("act"))))
}

/// Returns how long a token lives that is traded for `subject`.
pub(crate) fn lifetime(issuer: &MockIssuer, subject: &Presented) -> Duration {
    let full = issuer.inner.token_lifetime;
    match lock(&issuer.inner.tokens).exchange_life {
        ExchangeLife::Capped => full.min(subject.remaining),
        ExchangeLife::Renewed => full,
    }
}

pub(crate) fn kept(claims: &Map<String, Value>) -> Map<String, Value> {
    let kept = |name: &&str| Some(((*name).to_owned(), claims.get(*name)?.clone()));
    KEPT_CLAIMS.iter().filter_map(kept).collect()
}
