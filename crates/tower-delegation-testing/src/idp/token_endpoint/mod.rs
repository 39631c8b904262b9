//! The token endpoint: who asks, what they may have, and what they get.

mod authentication;
mod client_credentials;
mod error;
mod exchange;
mod issuance;
mod misissue;
mod policy;
mod presented;
mod request;
mod settings;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
};
use serde_json::{Value, json};

pub(crate) use self::settings::TokenSettings;
use self::{authentication::authenticate, error::TokenError, request::Form};
pub use self::{exchange::ExchangeLife, misissue::ExchangeFault, request::TokenRequest};
use super::{MockIssuer, client::Grant, faults::text, lock};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

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
    let form = Form::parse(body);
    let mut record = TokenRequest { form: form.clone(), headers: headers.clone(), client: None, error: None };
    let granted = grant(issuer, headers, &form, &mut record);
    record.error = granted.as_ref().err().map(|error| error.code);
    lock(&issuer.inner.tokens).requests.push(record);
    let (status, document) = match granted {
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

fn grant(
    issuer: &MockIssuer,
    headers: &HeaderMap,
    form: &Form,
    record: &mut TokenRequest,
) -> Result<Value, TokenError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(TokenError::invalid_request("the body must be a form"));
    }
    let authenticated = authenticate(&lock(&issuer.inner.clients), headers, form)?;
    let client = authenticated.client;
    record.client = Some((client.id.clone(), authenticated.method));

    let grant_type = form.required("grant_type", "grant_type is missing")?;
    let grant = Grant::ALL.into_iter().find(|grant| grant.as_str() == grant_type);
    let grant = grant.ok_or_else(|| TokenError::new("unsupported_grant_type", "unknown grant_type"))?;
    policy::permits(&client, grant)?;
    let (issuance, fault) = match grant {
        Grant::ClientCredentials => (client_credentials::client_credentials(issuer, form, &client)?, None),
        Grant::TokenExchange => {
            let issuance = exchange::token_exchange(issuer, form, &client)?;
            (issuance, lock(&issuer.inner.tokens).misissues.take())
        }
    };
    let mut answer = issuance.answer(issuer, fault);
    lock(&issuer.inner.tokens).change_answer(&mut answer);
    Ok(answer)
}

#[cfg(test)]
mod tests;
