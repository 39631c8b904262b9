//! [`ExchangeError`]: why there is no token for a downstream.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::{
    http_client::{FetchError, FetchErrorKind},
    reason::{DenialReason, RejectionKind},
    rejection::Rejection,
};

/// Why there is no token for a downstream. Nothing was sent there.
///
/// A handler that cannot go on answers with the [`Rejection`] that it holds: 401 or 403 where
/// the caller's authority does not reach so far, 503 with `Retry-After` where the
/// authorization server cannot be reached or has handed out something else than was asked.
///
/// ```
/// use tower_delegation::{DelegationContext, exchange::{DownstreamToken, Exchange}, rejection::Rejection};
///
/// async fn token(stock: &Exchange, delegation: &DelegationContext) -> Result<DownstreamToken, Rejection> {
///     Ok(stock.on_behalf_of(delegation).scope("stock:read").token().await?)
/// }
/// ```
#[derive(Clone)]
pub struct ExchangeError {
    rejection: Box<Rejection>,
    failure: Option<Arc<Failure>>,
}

impl ExchangeError {
    pub(super) fn new(rejection: Rejection, failure: Option<Arc<Failure>>) -> Self {
        Self { rejection: Box::new(rejection), failure }
    }

    /// The precise reason, for the operator. `exchange_…` where it is not one that a
    /// requirement or the layer could have had.
    #[must_use]
    pub fn reason(&self) -> DenialReason {
        self.rejection.reason()
    }

    /// What a client of this service may know.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.rejection.kind()
    }

    /// The error code with which the authorization server answered, such as
    /// `invalid_target` (RFC 6749 section 5.2, RFC 8693 section 2.2.2).
    #[must_use]
    pub fn oauth_error(&self) -> Option<&str> {
        match &self.failure.as_ref()?.kind {
            FailureKind::Refused { error } => Some(error),
            FailureKind::Unavailable { .. } | FailureKind::Garbled | FailureKind::Ours => None,
        }
    }

    /// The answer to a client of this service.
    #[must_use]
    pub fn rejection(&self) -> &Rejection {
        &self.rejection
    }
}

impl From<ExchangeError> for Rejection {
    fn from(error: ExchangeError) -> Self {
        *error.rejection
    }
}

impl fmt::Debug for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeError").field("reason", &self.reason()).finish_non_exhaustive()
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no token for the downstream ({})", self.reason())
    }
}

impl Error for ExchangeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failure.as_deref().map(|failure| -> &(dyn Error + 'static) { failure })
    }
}

/// What came of a request to the authorization server, where it is no token. Its texts hold
/// no token and no secret.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    problem: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Debug)]
pub(super) enum FailureKind {
    /// The server cannot be reached, or says that it cannot answer now.
    Unavailable {
        /// When to ask again, if the server says so.
        retry_after: Option<Duration>,
        /// Whether the request was certainly not acted upon.
        may_retry: bool,
    },
    /// The server answered with an error code.
    Refused {
        /// `error`, as it was sent: printable ASCII.
        error: Box<str>,
    },
    /// The server answered with something that no standard knows.
    Garbled,
    /// Something here does not work.
    Ours,
}

impl Failure {
    pub(super) fn unavailable(retry_after: Option<Duration>, problem: &'static str) -> Self {
        Self { kind: FailureKind::Unavailable { retry_after, may_retry: true }, problem, source: None }
    }

    pub(super) fn refused(error: &str) -> Self {
        Self {
            kind: FailureKind::Refused { error: error.into() },
            problem: "the server refused",
            source: None,
        }
    }

    pub(super) fn garbled(problem: &'static str) -> Self {
        Self { kind: FailureKind::Garbled, problem, source: None }
    }

    pub(super) fn ours(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let problem = "the request to the server cannot be made";
        Self { kind: FailureKind::Ours, problem, source: Some(source.into()) }
    }

    /// The reason for which there is no token.
    pub(super) fn reason(&self) -> DenialReason {
        match &self.kind {
            FailureKind::Unavailable { .. } | FailureKind::Garbled => DenialReason::ExchangeUnavailable,
            FailureKind::Ours => DenialReason::ExchangeMisconfigured,
            FailureKind::Refused { error } => match &**error {
                // The server does not take the caller's token (RFC 7523 section 3.1).
                "invalid_grant" => DenialReason::ExchangeSubjectRefused,
                "invalid_client"
                | "unauthorized_client"
                | "unsupported_grant_type"
                | "invalid_target"
                | "invalid_scope"
                | "invalid_authorization_details" => DenialReason::ExchangeMisconfigured,
                "temporarily_unavailable" | "server_error" | "slow_down" => DenialReason::ExchangeUnavailable,
                // `invalid_request` too: by RFC 8693 section 2.2.2 it is said of the caller's token
                // and of ours alike, so it must not be the caller's fault.
                _ => DenialReason::ExchangeRefused,
            },
        }
    }

    /// Does the server demand its nonce in the proof (RFC 9449 section 8)?
    pub(super) fn demands_nonce(&self) -> bool {
        matches!(&self.kind, FailureKind::Refused { error } if **error == *"use_dpop_nonce")
    }

    /// Does it count as an outage of the server?
    pub(super) fn is_outage(&self) -> bool {
        self.reason() == DenialReason::ExchangeUnavailable
    }

    /// May the same request be sent again at once?
    pub(super) fn may_retry(&self) -> bool {
        matches!(self.kind, FailureKind::Unavailable { may_retry: true, retry_after: None })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            FailureKind::Unavailable { retry_after, .. } => retry_after,
            FailureKind::Refused { .. } | FailureKind::Garbled | FailureKind::Ours => None,
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let may_retry = error.kind() == FetchErrorKind::Unreachable;
        let kind = FailureKind::Unavailable { retry_after: None, may_retry };
        Self { kind, problem: "the server cannot be asked", source: Some(error.into()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FailureKind::Refused { error } => write!(f, "the server refused: {error}"),
            FailureKind::Unavailable { .. } | FailureKind::Garbled | FailureKind::Ours => {
                f.write_str(self.problem)
            }
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| -> &(dyn Error + 'static) { source })
    }
}
