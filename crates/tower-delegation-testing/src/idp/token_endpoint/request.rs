//! A token request: its form, and what a test can see of it afterwards.

use std::{collections::VecDeque, fmt};

use axum::http::HeaderMap;
use url::form_urlencoded;

use super::error::TokenError;
use crate::idp::client::ClientAuthMethod;

/// How many requests an issuer remembers.
const REMEMBERED: usize = 1024;

/// The parameters of a token request, in order.
#[derive(Clone, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// A parameter without a value counts as omitted (RFC 6749 section 3.2).
    pub(crate) fn parse(body: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(body).into_owned();
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
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

    /// A parameter that must be there, once.
    pub(crate) fn required(&self, name: &str, missing: &'static str) -> Result<&str, TokenError> {
        self.one(name)?.ok_or_else(|| TokenError::invalid_request(missing))
    }
}

/// A request that arrived at the token endpoint: what the client sent, and what
/// came of it.
///
/// `Debug` shows the names of parameters, and the values only of those that
/// hold no secret.
#[derive(Clone)]
pub struct TokenRequest {
    pub(crate) form: Form,
    pub(crate) headers: HeaderMap,
    pub(crate) client: Option<(String, ClientAuthMethod)>,
    pub(crate) error: Option<&'static str>,
}

impl TokenRequest {
    /// Returns the first value of this parameter. An empty one counts as omitted.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.form.all(name).next()
    }

    /// Returns every value of this parameter, in order: `resource` and
    /// `audience` may be repeated.
    pub fn parameters(&self, name: &str) -> impl Iterator<Item = &str> {
        self.form.all(name)
    }

    /// Returns the names of all parameters, in order.
    pub fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.form.0.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the client that was authenticated.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client.as_ref().map(|(id, _)| id.as_str())
    }

    /// Returns how the client was authenticated.
    #[must_use]
    pub fn client_auth_method(&self) -> Option<ClientAuthMethod> {
        self.client.as_ref().map(|(_, method)| *method)
    }

    /// Returns the code of the error that the request was answered with, such as
    /// `invalid_target`. A fault of the endpoint is not seen here.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<(&str, &str)> = self
            .form
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), if is_secret(name) { "[redacted]" } else { value }))
            .collect();
        f.debug_struct("TokenRequest")
            .field("parameters", &shown)
            .field("client", &self.client)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Every parameter is a secret that is not known to be none.
fn is_secret(name: &str) -> bool {
    const PUBLIC: [&str; 11] = [
        "grant_type",
        "scope",
        "resource",
        "audience",
        "authorization_details",
        "client_id",
        "client_assertion_type",
        "requested_token_type",
        "requested_token_use",
        "subject_token_type",
        "actor_token_type",
    ];
    !PUBLIC.contains(&name)
}

/// The latest requests, oldest first.
#[derive(Default)]
pub(crate) struct Requests(VecDeque<TokenRequest>);

impl Requests {
    pub(crate) fn push(&mut self, request: TokenRequest) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(request);
    }

    pub(crate) fn all(&self) -> Vec<TokenRequest> {
        self.0.iter().cloned().collect()
    }

    pub(crate) fn last(&self) -> Option<TokenRequest> {
        self.0.back().cloned()
    }
}
