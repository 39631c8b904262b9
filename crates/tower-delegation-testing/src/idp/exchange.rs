//! The token endpoint: client credentials and token exchange (RFC 8693).

use std::{collections::BTreeSet, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
};
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::{
    MockIssuer,
    clients::{self, Client},
    faults::text,
    lock,
};
use crate::{keys::from_base64url, token::USER_CLAIM};

pub(crate) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Facts about the user and their session, which stay true of the exchanged
/// token. A machine's token has no mark of a user, so its exchange has none.
const KEPT_CLAIMS: [&str; 5] = [USER_CLAIM, "auth_time", "acr", "amr", "sid"];

/// Answers one request to the token endpoint.
pub(crate) fn answer(
    issuer: &MockIssuer,
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Body> {
    if method != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "POST only");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let (status, document) = match grant(issuer, headers, body) {
        Ok(document) => (StatusCode::OK, document),
        Err(error) => (error.status, json!({ "error": error.code, "error_description": error.description })),
    };
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mock\""));
    }
    response
}

fn grant(issuer: &MockIssuer, headers: &HeaderMap, body: &[u8]) -> Result<Value, TokenError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(TokenError::invalid_request("the body must be a form"));
    }
    let form = Form::parse(body);
    let (client_id, client) = clients::authenticate(&lock(&issuer.inner.clients), headers, &form)?;
    match form.one("grant_type")? {
        Some("client_credentials") => client_credentials(issuer, &form, &client_id, &client),
        Some(TOKEN_EXCHANGE) => token_exchange(issuer, &form, &client_id, &client),
        Some(_) => Err(TokenError::new("unsupported_grant_type", "unknown grant_type")),
        None => Err(TokenError::invalid_request("grant_type is missing")),
    }
}

/// RFC 6749 section 4.4. The subject is the client itself (RFC 9068 section 2.2).
fn client_credentials(
    issuer: &MockIssuer,
    form: &Form,
    client_id: &str,
    client: &Client,
) -> Result<Value, TokenError> {
    let requested = scopes(form.one("scope")?);
    let granted = match &client.scopes {
        Some(allowed) if requested.is_empty() => allowed.clone(),
        _ => requested.iter().filter(|scope| client.may_use(scope)).cloned().collect(),
    };
    if granted.is_empty() && !requested.is_empty() {
        return Err(TokenError::new("invalid_scope", "the client may use none of these scopes"));
    }
    let lifetime = issuer.inner.token_lifetime;
    let token = issuer
        .token()
        .subject(client_id)
        .client(client_id)
        .audiences(targets(issuer, form)?)
        .scopes(&granted)
        .expires_in(lifetime)
        .sign();
    Ok(json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
        "scope": joined(&granted),
    }))
}

/// RFC 8693 section 2. The party that acts is the actor token's subject, else
/// the authenticated client.
fn token_exchange(
    issuer: &MockIssuer,
    form: &Form,
    client_id: &str,
    client: &Client,
) -> Result<Value, TokenError> {
    let issued_type = match form.one("requested_token_type")? {
        None | Some(ACCESS_TOKEN) => ACCESS_TOKEN,
        Some(JWT) => JWT,
        Some(_) => return Err(TokenError::invalid_request("unsupported requested_token_type")),
    };
    let subject = presented(issuer, form, "subject_token", "subject_token_type")?
        .ok_or_else(|| TokenError::invalid_request("subject_token is missing"))?;
    let actor = presented(issuer, form, "actor_token", "actor_token_type")?;
    let actor_id = actor.as_ref().map_or(client_id, |actor| actor.subject.as_str());

    // RFC 8693 section 4.4: who may become the actor, when the token says so.
    let may_act = subject.claims.get("may_act");
    if may_act.is_some_and(|party| party.get("sub").and_then(Value::as_str) != Some(actor_id)) {
        return Err(TokenError::invalid_request("may_act names another party"));
    }
    let mut act = Map::from_iter([("sub".to_owned(), Value::from(actor_id))]);
    if let Some(previous) = subject.claims.get("act") {
        act.insert("act".to_owned(), previous.clone());
    }

    let held = scopes(subject.claims.get("scope").and_then(Value::as_str));
    let requested = scopes(form.one("scope")?);
    if !requested.is_subset(&held) {
        return Err(TokenError::new("invalid_scope", "broader than the subject token"));
    }
    let asked = if requested.is_empty() { &held } else { &requested };
    let granted: BTreeSet<_> = asked.iter().filter(|scope| client.may_use(scope)).cloned().collect();
    if granted.is_empty() && !asked.is_empty() {
        return Err(TokenError::new("invalid_scope", "the client may use none of these scopes"));
    }

    let lifetime = issuer.inner.token_lifetime.min(subject.remaining);
    let mut token = issuer
        .token()
        .subject(subject.subject)
        .client(client_id)
        .audiences(targets(issuer, form)?)
        .scopes(&granted)
        .claim("act", act)
        .expires_in(lifetime);
    for name in KEPT_CLAIMS {
        if let Some(value) = subject.claims.get(name) {
            token = token.claim(name, value.clone());
        }
    }
    Ok(json!({
        "access_token": token.sign(),
        "issued_token_type": issued_type,
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
        "scope": joined(&granted),
    }))
}

/// A subject or actor token whose signature and lifetime were checked.
struct Presented {
    subject: String,
    claims: Map<String, Value>,
    remaining: Duration,
}

/// The token in the parameter `token`, if it is there. A token that is not one
/// of our own good access tokens is `invalid_request` (RFC 8693 section 2.2.2).
fn presented(
    issuer: &MockIssuer,
    form: &Form,
    token: &'static str,
    token_type: &'static str,
) -> Result<Option<Presented>, TokenError> {
    match (form.one(token)?, form.one(token_type)?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(TokenError::invalid_request("a token type without its token")),
        (Some(_), None) => Err(TokenError::invalid_request("a token without its token type")),
        (Some(value), Some(ACCESS_TOKEN | JWT)) => verified(issuer, value)
            .map(Some)
            .ok_or_else(|| TokenError::invalid_request("not a valid access token of this issuer")),
        (Some(_), Some(_)) => Err(TokenError::invalid_request("unsupported token type")),
    }
}

fn verified(issuer: &MockIssuer, token: &str) -> Option<Presented> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    let object = |part| serde_json::from_slice::<Map<String, Value>>(&from_base64url(part)?).ok();
    let (header, claims) = (object(header)?, object(payload)?);

    let key = lock(&issuer.inner.ring).published(header.get("kid")?.as_str()?)?;
    let good = header.get("alg")? == key.algorithm().as_str()
        && header.get("typ")? == "at+jwt"
        && !header.contains_key("crit")
        && key.verifies(message.as_bytes(), &from_base64url(signature)?)
        && claims.get("iss")? == issuer.issuer();
    if !good {
        return None;
    }
    let now = issuer.inner.clock.now().unix_seconds();
    let expires = claims.get("exp")?.as_i64()?;
    let begins = claims.get("nbf").map_or(Some(now), Value::as_i64)?;
    if begins > now {
        return None;
    }
    // Already expired is not a positive number of seconds.
    let remaining = u64::try_from(expires.checked_sub(now)?).ok().filter(|left| *left > 0)?;
    let subject = claims.get("sub")?.as_str()?.to_owned();
    Some(Presented { subject, claims, remaining: Duration::from_secs(remaining) })
}

/// What the new token is for: every `resource` (RFC 8707) and `audience`
/// (RFC 8693), else the issuer's default audience.
fn targets(issuer: &MockIssuer, form: &Form) -> Result<Vec<String>, TokenError> {
    let absolute = |resource: &str| Url::parse(resource).is_ok_and(|url| url.fragment().is_none());
    if !form.all("resource").all(absolute) {
        return Err(TokenError::new("invalid_target", "resource is no absolute URI without fragment"));
    }
    let mut targets: Vec<String> =
        form.all("resource").chain(form.all("audience")).map(str::to_owned).collect();
    let served = lock(&issuer.inner.targets).clone();
    if served.is_some_and(|served| targets.iter().any(|target| !served.contains(target))) {
        return Err(TokenError::new("invalid_target", "no tokens are issued for this target"));
    }
    if targets.is_empty() {
        targets.push(issuer.inner.audience.clone());
    }
    Ok(targets)
}

fn scopes(parameter: Option<&str>) -> BTreeSet<String> {
    let parameter = parameter.unwrap_or_default();
    parameter.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// An error of RFC 6749 section 5.2 or RFC 8693 section 2.2.2.
#[derive(Debug)]
pub(crate) struct TokenError {
    status: StatusCode,
    code: &'static str,
    description: &'static str,
}

impl TokenError {
    fn new(code: &'static str, description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description }
    }

    pub(crate) fn invalid_request(description: &'static str) -> Self {
        Self::new("invalid_request", description)
    }

    pub(crate) fn invalid_client() -> Self {
        let description = "unknown client or wrong secret";
        Self { status: StatusCode::UNAUTHORIZED, ..Self::new("invalid_client", description) }
    }
}

/// The parameters of a token request, in order.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// A parameter without a value counts as omitted (RFC 6749 section 3.2).
    fn parse(body: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(body).into_owned();
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that must not be repeated (RFC 6749 section 3.2).
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, TokenError> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(TokenError::invalid_request("a parameter is repeated")),
        }
    }
}
