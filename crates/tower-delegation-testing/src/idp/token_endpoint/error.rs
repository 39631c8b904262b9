//! What the token endpoint refuses, in the words of the RFCs.

use axum::http::StatusCode;

/// An error of RFC 6749 section 5.2, or of one of the documents that add to it.
#[derive(Debug)]
pub(crate) struct TokenError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) description: &'static str,
}

impl TokenError {
    pub(crate) fn new(code: &'static str, description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description }
    }

    pub(crate) fn invalid_request(description: &'static str) -> Self {
        Self::new("invalid_request", description)
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

    pub(crate) fn invalid_client(description: &'static str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::new("invalid_client", description) }
    }
}
