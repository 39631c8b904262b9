//! The token endpoint: who asks, what they may have, and what they get.

mod assertion;
mod authentication;
mod chaining;
mod client_credentials;
mod dpop;
mod error;
mod exchange;
mod issuance;
mod jws;
mod jwt_bearer;
mod misissue;
mod policy;
mod presented;
mod request;
mod settings;
mod used;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use serde_json::Value;
use tower_delegation::credential::{PeerCertificate, PeerInfo};

pub(crate) use self::settings::TokenSettings;
use self::{
    authentication::{Authenticated, authenticate},
    error::TokenError,
    issuance::Confirmation,
    request::Form,
};
pub use self::{exchange::ExchangeLife, misissue::ExchangeFault, request::TokenRequest};
use super::{MockIssuer, client::Grant, faults::text, lock};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A request as it arrived.
pub(crate) struct Arrival<'a> {
    pub(crate) issuer: &'a MockIssuer,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) form: Form,
    /// Of the client, on a connection with mTLS.
    pub(crate) certificate: Option<PeerCertificate>,
}

/// Answers one request to the token endpoint.
pub(crate) fn answer(issuer: &MockIssuer, head: &Parts, body: &[u8]) -> Response<Body> {
    if head.method != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "POST only");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let peer = head.extensions.get::<PeerInfo>();
    let certificate = peer.and_then(PeerInfo::certificate_at_handshake).cloned();
    let arrival = Arrival { issuer, headers: &head.headers, form: Form::parse(body), certificate };
    let (form, headers) = (arrival.form.clone(), head.headers.clone());
    let mut record = TokenRequest { form, headers, client: None, error: None };
    let granted = grant(&arrival, &mut record);
    record.error = granted.as_ref().err().map(|error| error.code);
    lock(&issuer.inner.tokens).requests.push(record);
    let (status, document) = match granted {
        Ok(document) => (StatusCode::OK, document),
        Err(error) => (error.status, error.document()),
    };
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mock\""));
    }
    // RFC 9449 section 8.2: with any answer.
    let nonce = lock(&issuer.inner.tokens).dpop_nonce.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(nonce)) = nonce {
        headers.insert("dpop-nonce", nonce);
    }
    response
}

fn grant(arrival: &Arrival<'_>, record: &mut TokenRequest) -> Result<Value, TokenError> {
    let Arrival { issuer, headers, form, .. } = arrival;
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(TokenError::invalid_request("the body must be a form"));
    }
    let Authenticated { client, method } = authenticate(arrival)?;
    record.client = Some((client.id.clone(), method));

    let grant_type = form.required("grant_type", "grant_type is missing")?;
    let grant = Grant::ALL.into_iter().find(|grant| grant.as_str() == grant_type);
    let grant = grant.ok_or_else(|| TokenError::new("unsupported_grant_type", "unknown grant_type"))?;
    policy::permits(&client, grant)?;
    let confirmation = Confirmation::of(arrival, &client, method)?;
    let mut issuance = match grant {
        Grant::ClientCredentials => client_credentials::client_credentials(issuer, form, &client)?,
        Grant::TokenExchange => exchange::token_exchange(issuer, form, &client)?,
        Grant::JwtBearer => jwt_bearer::jwt_bearer(arrival, &client, &confirmation)?,
    };
    issuance.confirmation = confirmation;
    let fault = match grant {
        Grant::ClientCredentials => None,
        Grant::TokenExchange | Grant::JwtBearer => lock(&issuer.inner.tokens).misissues.take(),
    };
    let mut answer = issuance.answer(issuer, fault);
    lock(&issuer.inner.tokens).change_answer(&mut answer);
    Ok(answer)
}

#[cfg(test)]
mod tests;
