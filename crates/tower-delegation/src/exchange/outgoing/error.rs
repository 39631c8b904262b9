//! [`CallError`]: why a downstream has not answered.

use std::{error::Error, fmt};

use crate::{
    context::DelegationContext,
    exchange::{error::ExchangeError, request::Exchange},
    reason::DenialReason,
    rejection::Rejection,
    text::{Text, causes},
};

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a call has no answer of the downstream. A 401 or 403 of the downstream is an answer.
///
/// A handler that cannot go on answers with the [`Rejection`] that it holds: as that of the
/// [`ExchangeError`] where there is no token, 503 with `Retry-After` where the downstream
/// cannot be reached, 403 for a path that can be read in two ways, and 500 for a call that
/// this service has not made correctly.
///
/// ```
/// # #[cfg(feature = "reqwest")]
/// # {
/// use tower_delegation::{DelegationContext, exchange::outgoing::DownstreamClient, rejection::Rejection};
///
/// async fn is_there(stock: &DownstreamClient, delegation: &DelegationContext) -> Result<bool, Rejection> {
///     let answer = stock.get("/items/7").on_behalf_of(delegation).send().await?;
///     Ok(answer.status().is_success())
/// }
/// # let _ = is_there;
/// # }
/// ```
pub struct CallError {
    rejection: Box<Rejection>,
    problem: Problem,
}

/// What went wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The call is none that may be sent: its path or its origin, a header field, or no caller.
    /// Nothing was exchanged.
    Request,
    /// There is no token for the downstream, so nothing was sent to it.
    Exchange,
    /// The downstream cannot be reached, or did not answer in time.
    Transport,
}

enum Problem {
    Request(&'static str, Option<BoxError>),
    Exchange(ExchangeError),
    Transport(BoxError),
}

impl CallError {
    /// A call that may not be sent.
    pub(super) fn request(
        exchange: &Exchange,
        caller: Option<&DelegationContext>,
        reason: DenialReason,
        problem: &'static str,
    ) -> Self {
        let rejection = Box::new(exchange.rejection(caller, reason));
        Self { rejection, problem: Problem::Request(problem, None) }
    }

    /// A call whose target is not one of the downstream's.
    pub(super) fn target(
        exchange: &Exchange,
        caller: Option<&DelegationContext>,
        reason: DenialReason,
    ) -> Self {
        let problem = match reason {
            DenialReason::PathAmbiguous => "its path can be read in two ways, or does not begin with `/`",
            _ => "it does not go to the downstream's own origin",
        };
        Self::request(exchange, caller, reason, problem)
    }

    /// A call that could not be built, by this error.
    pub(super) fn malformed(
        exchange: &Exchange,
        caller: &DelegationContext,
        cause: impl Into<BoxError>,
    ) -> Self {
        let rejection = Box::new(exchange.rejection(Some(caller), DenialReason::DownstreamRequestInvalid));
        Self { rejection, problem: Problem::Request("it is malformed", Some(cause.into())) }
    }

    /// The downstream has not answered.
    pub(super) fn transport(
        exchange: &Exchange,
        caller: Option<&DelegationContext>,
        cause: impl Into<BoxError>,
    ) -> Self {
        let cause = cause.into();
        tracing::warn!(
            downstream = %Text::new(exchange.downstream()),
            problem = %Text::account(&cause.to_string()),
            cause = %Text::account(&causes(&*cause)),
            "a downstream does not answer"
        );
        let rejection = Box::new(exchange.rejection(caller, DenialReason::DownstreamUnavailable));
        Self { rejection, problem: Problem::Transport(cause) }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> CallErrorKind {
        match self.problem {
            Problem::Request(..) => CallErrorKind::Request,
            Problem::Exchange(_) => CallErrorKind::Exchange,
            Problem::Transport(_) => CallErrorKind::Transport,
        }
    }

    /// The precise reason, for the operator.
    #[must_use]
    pub fn reason(&self) -> DenialReason {
        self.rejection.reason()
    }

    /// Why there is no token, where that is what went wrong.
    #[must_use]
    pub fn exchange_error(&self) -> Option<&ExchangeError> {
        match &self.problem {
            Problem::Exchange(error) => Some(error),
            Problem::Request(..) | Problem::Transport(_) => None,
        }
    }

    /// The answer to a client of this service.
    #[must_use]
    pub fn rejection(&self) -> &Rejection {
        &self.rejection
    }
}

impl From<ExchangeError> for CallError {
    fn from(error: ExchangeError) -> Self {
        Self { rejection: Box::new(error.rejection().clone()), problem: Problem::Exchange(error) }
    }
}

impl From<CallError> for Rejection {
    fn from(error: CallError) -> Self {
        *error.rejection
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallError")
            .field("kind", &self.kind())
            .field("reason", &self.reason())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Request(problem, _) => write!(f, "the call to the downstream is not sent: {problem}"),
            Problem::Exchange(_) => {
                f.write_str("the call to the downstream is not sent: there is no token for it")
            }
            Problem::Transport(_) => f.write_str("the downstream does not answer"),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::Request(_, cause) => cause.as_deref().map(|cause| -> &(dyn Error + 'static) { cause }),
            Problem::Exchange(error) => Some(error),
            Problem::Transport(cause) => Some(&**cause),
        }
    }
}
