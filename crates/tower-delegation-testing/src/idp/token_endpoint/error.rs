//! What the token endpoint refuses, in the words of the RFCs.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// An error of RFC 6749 section 5.2, or of one of the documents that add to it.
#[derive(Debug)]
pub(crate) struct TokenError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) description: &'static str,
    /// What the user has to prove anew, as Entra says it.
    pub(crate) claims: Option<String>,
}

impl TokenError {
    pub(crate) fn new(code: &'static str, description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description, claims: None }
    }

    pub(crate) fn invalid_request(description: &'static str) -> Self {
        Self::new("invalid_request", description)
    }

    pub(crate) fn invalid_grant(description: &'static str) -> Self {
        Self::new("invalid_grant", description)
    }

    pub(crate) fn interaction_required(claims: String) -> Self {
        Self { claims: Some(claims), ..Self::new("interaction_required", "the user has to sign in again") }
    }

    pub(crate) fn invalid_scope(description: &'static str) -> Self {
        Self::new("invalid_scope", description)
    }

    pub(crate) fn invalid_target(description: &'static str) -> Self {
        Self::new("invalid_target", description)
    }

    pub(crate) fn invalid_proof(description: &'static str) -> Self {
        Self::new("invalid_dpop_proof", description)
    }

    /// Returns the body of the answer.
    pub(crate) fn document(&self) -> Value {
        let mut document = json!({ "error": self.code, "error_description": self.description });
        if let (Value::Object(members), Some(claims)) = (&mut document, &self.claims) {
            members.insert("claims".to_owned(), claims.clone().into());
        }
        document
    }

    pub(crate) fn invalid_client(description: &'static str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::new("invalid_client", description) }
    }
}
