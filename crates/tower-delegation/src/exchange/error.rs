//! [`ExchangeError`]: why there is no token for a downstream.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};

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
            FailureKind::Refused { error, .. } => Some(error),
            FailureKind::Unavailable { .. }
            | FailureKind::Garbled
            | FailureKind::Violation(_)
            | FailureKind::Ours => None,
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
    party: Party,
}

/// Whose token or grant it is that a server may refuse (`invalid_grant`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    /// The caller's.
    Caller,
    /// This service's own.
    Service,
    /// It is not known.
    Unknown,
}

#[derive(Debug)]
pub(super) enum FailureKind {
    /// The server cannot be reached, or says that it cannot answer now.
    Unavailable {
        /// When to ask again, if the server says so.
        retry_after: Option<Duration>,
        /// Whether another attempt at once may do.
        may_retry: bool,
        /// Whether an answer to this very request says so. Its token may then be the cause.
        is_answer: bool,
    },
    /// The server answered with an error code.
    Refused {
        /// `error`, as it was sent: printable ASCII.
        error: Box<str>,
        /// What the user has to prove anew, as JSON.
        claims: Option<Box<str>>,
    },
    /// The server answered with something that no standard knows.
    Garbled,
    /// A step before the last has handed out something else than was asked for.
    Violation(DenialReason),
    /// Something here does not work.
    Ours,
}

impl Failure {
    pub(super) fn unavailable(retry_after: Option<Duration>, problem: &'static str) -> Self {
        let kind = FailureKind::Unavailable { retry_after, may_retry: true, is_answer: false };
        Self::new(kind, problem, None)
    }

    /// The server fails at this request, and may not at others.
    pub(super) fn failing() -> Self {
        let kind = FailureKind::Unavailable { retry_after: None, may_retry: true, is_answer: true };
        Self::new(kind, "the server fails", None)
    }

    pub(super) fn refused(error: &str, claims: Option<&str>) -> Self {
        let claims = claims.map(Box::from);
        Self::new(FailureKind::Refused { error: error.into(), claims }, "the server refused", None)
    }

    pub(super) fn violation(reason: DenialReason) -> Self {
        let problem = "the server handed out something else than was asked for";
        Self::new(FailureKind::Violation(reason), problem, None)
    }

    pub(super) fn garbled(problem: &'static str) -> Self {
        Self::new(FailureKind::Garbled, problem, None)
    }

    pub(super) fn ours(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let problem = "the request to the server cannot be made";
        Self::new(FailureKind::Ours, problem, Some(source.into()))
    }

    fn new(kind: FailureKind, problem: &'static str, source: Option<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, problem, source, party: Party::Caller }
    }

    /// The same of another party's token.
    pub(super) fn of(self, party: Party) -> Self {
        Self { party, ..self }
    }

    /// The reason for which there is no token.
    pub(super) fn reason(&self) -> DenialReason {
        match &self.kind {
            FailureKind::Unavailable { .. } | FailureKind::Garbled => DenialReason::ExchangeUnavailable,
            FailureKind::Ours => DenialReason::ExchangeMisconfigured,
            FailureKind::Violation(reason) => *reason,
            FailureKind::Refused { error, claims } => self.reason_of(error, claims.is_some()),
        }
    }

    fn reason_of(&self, error: &str, has_claims: bool) -> DenialReason {
        match (error, self.party) {
            // The server does not take the caller's token (RFC 7523 section 3.1).
            ("invalid_grant", Party::Caller) => DenialReason::ExchangeSubjectRefused,
            ("interaction_required", Party::Caller) if has_claims => {
                DenialReason::ExchangeInteractionRequired
            }
            ("interaction_required", Party::Caller) => DenialReason::ExchangeSubjectRefused,
            (
                "invalid_client"
                | "unauthorized_client"
                | "unsupported_grant_type"
                | "invalid_target"
                | "invalid_scope"
                | "invalid_authorization_details",
                _,
            ) => DenialReason::ExchangeMisconfigured,
            ("temporarily_unavailable" | "server_error" | "slow_down", _) => {
                DenialReason::ExchangeUnavailable
            }
            (_, Party::Service) => DenialReason::ExchangeMisconfigured,
            // `invalid_request` too: by RFC 8693 section 2.2.2 it is said of the caller's token
            // and of ours alike, so it must not be the caller's fault.
            (_, Party::Caller | Party::Unknown) => DenialReason::ExchangeRefused,
        }
    }

    /// What the caller's user has to prove anew, where that would help: JSON in base64, as it
    /// is written in a challenge.
    pub(super) fn claims(&self) -> Option<String> {
        match &self.kind {
            FailureKind::Refused { claims: Some(claims), .. }
                if self.reason() == DenialReason::ExchangeInteractionRequired =>
            {
                Some(STANDARD.encode(&**claims))
            }
            _ => None,
        }
    }

    /// Has the server answered with an error code?
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.kind, FailureKind::Refused { .. })
    }

    /// Does the server demand its nonce in the proof (RFC 9449 section 8)?
    pub(super) fn demands_nonce(&self) -> bool {
        matches!(&self.kind, FailureKind::Refused { error, .. } if **error == *"use_dpop_nonce")
    }

    /// Does it count as an outage of the server?
    pub(super) fn is_outage(&self) -> bool {
        self.reason() == DenialReason::ExchangeUnavailable
    }

    /// Can the caller's token have brought it about? The server has then answered to it, and it
    /// is the server's own fault only where others have the same answer.
    pub(super) fn may_be_the_callers(&self) -> bool {
        match self.kind {
            FailureKind::Unavailable { is_answer, .. } => is_answer,
            FailureKind::Refused { .. } | FailureKind::Garbled => true,
            FailureKind::Violation(_) | FailureKind::Ours => false,
        }
    }

    /// May the same request be sent again at once?
    pub(super) fn may_retry(&self) -> bool {
        matches!(self.kind, FailureKind::Unavailable { may_retry: true, retry_after: None, .. })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            FailureKind::Unavailable { retry_after, .. } => retry_after,
            FailureKind::Refused { .. }
            | FailureKind::Garbled
            | FailureKind::Violation(_)
            | FailureKind::Ours => None,
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let may_retry = error.kind() == FetchErrorKind::Unreachable;
        let is_answer = matches!(
            error.kind(),
            FetchErrorKind::Redirect | FetchErrorKind::ContentEncoding | FetchErrorKind::TooLarge
        );
        let kind = FailureKind::Unavailable { retry_after: None, may_retry, is_answer };
        Self::new(kind, "the server cannot be asked", Some(error.into()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FailureKind::Refused { error, .. } => write!(f, "the server refused: {error}"),
            FailureKind::Unavailable { .. }
            | FailureKind::Garbled
            | FailureKind::Violation(_)
            | FailureKind::Ours => f.write_str(self.problem),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| -> &(dyn Error + 'static) { source })
    }
}
