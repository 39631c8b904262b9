//! Identity providers and a token library that others wrote: their tokens come
//! to our layer over real sockets, and their verdict is held against ours.
//!
//! Each suite needs programs that are not on every machine. `cargo xtask test`
//! installs them; without them, `cargo test` says so and passes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

mod apache;
mod authgent;
mod glewlwyd;
mod oidc_provider;
mod process;
mod tls;

use axum::{Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use integration_tests::{Answer, AuditLog, Served};
use serde_json::{Value, json};
use tower_delegation::{DelegationContext, DelegationLayer, DenialReason};

/// `GET /` behind `layer` answers what a handler reads of its caller.
async fn serve(layer: DelegationLayer) -> Served {
    Served::start(Router::new().route("/", get(whoami)).layer(layer)).await
}

async fn whoami(delegation: DelegationContext) -> Json<Value> {
    Json(json!({
        "subject": delegation.subject().id().as_str(),
        "client": delegation.client().map(|client| client.as_str()),
        "scopes": delegation.scopes().to_string(),
        "user": delegation.is_on_behalf_of_user(),
    }))
}

/// A service that tells, of every token, whether it is accepted or why not.
struct Gate {
    service: Served,
    audit: AuditLog,
}

impl Gate {
    async fn behind(layer: DelegationLayer) -> Self {
        Self { service: serve(layer).await, audit: AuditLog::listen() }
    }

    /// What the handler saw, or the code of the reason for the refusal.
    async fn judge(&self, token: &str) -> Result<Value, String> {
        let answer = self.service.get("/", token).await;
        let event = self.audit.one();
        if answer.status == 200 {
            Ok(serde_json::from_str(&answer.body).unwrap())
        } else {
            assert_refusal(&answer);
            Err(event.field("reason").to_owned())
        }
    }

    async fn assert_refused(&self, name: &str, token: &str, reason: DenialReason) {
        assert_eq!(self.judge(token).await, Err(reason.code().to_owned()), "{name}");
    }
}

fn assert_refusal(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"));
    assert!(answer.challenge().contains(r#"error="invalid_token""#), "{}", answer.challenge());
}

/// A token with another subject, and with another signature.
fn tampered(token: &str) -> [(&'static str, String); 2] {
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims["sub"] = "somebody-else".into();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[20] ^= 1;
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    [
        ("tampered claims", format!("{header}.{}.{signature}", encode(claims.to_string().as_bytes()))),
        ("tampered signature", format!("{header}.{payload}.{}", encode(&bytes))),
    ]
}
