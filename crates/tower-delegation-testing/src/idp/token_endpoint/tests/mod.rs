//! Token requests over HTTP, good ones and refused ones.

mod assertions;
mod chaining;
mod client_credentials;
mod dpop;
mod exchange;
mod jwt_bearer;
mod misissue;
#[cfg(feature = "tls")]
mod mtls;
mod policy;
mod requests;

use axum::http::header;
use serde_json::Value;

use crate::{
    Grant, MockClient, MockIdp, MockIssuer, TestClock, TokenBuilder,
    idp::tests::{NOW, claims, http},
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const STOCK: &str = "https://stock.example.com";

/// A name, a token, more parameters, and the error.
type TokenRow<'a> = (&'a str, TokenBuilder, &'a [(&'a str, &'a str)], &'a str);

async fn idp() -> (MockIdp, TestClock) {
    let (idp, clock) = crate::idp::tests::idp().await;
    idp.register(MockClient::new("reader").secret("secret").scopes(["orders:read"]));
    (idp, clock)
}

async fn post(idp: &MockIssuer, client: (&str, &str), form: &[(&str, &str)]) -> (u16, Value) {
    let request = http().post(idp.token_endpoint()).basic_auth(client.0, Some(client.1)).form(form);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn exchange(idp: &MockIssuer, subject: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut form = exchange_form(subject);
    form.extend(more);
    post(idp, ("gateway", "s3:cret"), &form).await
}

fn exchange_form(subject: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", Grant::TokenExchange.as_str()),
        ("subject_token", subject),
        ("subject_token_type", ACCESS_TOKEN),
    ]
}

/// What of `new` differs from `old`; a member that is missing is `null`.
fn changed(old: &Value, new: &Value) -> Value {
    let (old, new) = (old.as_object().unwrap(), new.as_object().unwrap());
    let names = old.keys().chain(new.keys());
    let changed = names.filter(|name| old.get(*name) != new.get(*name));
    changed.map(|name| (name.clone(), new.get(name).cloned().unwrap_or_default())).collect()
}
