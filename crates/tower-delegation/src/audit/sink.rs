//! [`AuditSink`]: where audit events go.

use std::{error::Error, fmt, io};

use super::AuditEvent;

/// Takes audit events: writes them to a file, sends them on, counts them.
///
/// # Who calls it
///
/// Behind [`Audit::new`](super::Audit::new): one thread that belongs to this
/// sink alone, with one event after the other, in the order in which the
/// requests ended. It may block there; a runtime is not at hand.
///
/// Behind [`Audit::inline`](super::Audit::inline): the thread that serves the request,
/// for several requests at once, also while a panic unwinds. It must not block.
///
/// Either way once for each request, and again with the same event after an
/// error, where [`Overflow::Block`](super::Overflow::Block) is set.
///
/// # What an error means
///
/// The event is not on record. Behind `Overflow::Block` the sink is called with
/// it again, after a pause that grows from 10 ms to 1 s, until it succeeds:
/// meanwhile the queue fills, and then requests are refused. Otherwise the
/// event counts as dropped. A panic is an error.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tower_delegation::audit::{Audit, AuditDecision, AuditEvent, AuditSink, SinkError};
///
/// /// Counts what was denied.
/// #[derive(Debug, Default)]
/// struct Denials(AtomicU64);
///
/// impl AuditSink for Denials {
///     fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
///         if event.decision() == AuditDecision::Deny {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///         Ok(())
///     }
/// }
///
/// let audit = Audit::inline(Denials::default());
/// ```
pub trait AuditSink: fmt::Debug + Send + Sync + 'static {
    /// Puts one event on record.
    ///
    /// # Errors
    /// [`SinkError`] if it is not on record.
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError>;

    /// Hands on what is held back in buffers. Called at
    /// [`flush_audit`](crate::layer::DelegationLayer::flush_audit) and before the
    /// sink is dropped.
    ///
    /// # Errors
    /// [`SinkError`] if something could not be handed on.
    fn flush(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Returns whether the sink currently wants events. Asked at the start of each request:
    /// where every sink says no, nothing is observed and nothing is paid.
    fn is_enabled(&self) -> bool {
        true
    }
}

/// A sink could not put an event on record.
#[derive(Debug)]
pub struct SinkError(Box<dyn Error + Send + Sync>);

impl SinkError {
    /// An error for this cause. A text will do.
    #[must_use]
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an audit sink cannot record")
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> Self {
        Self(error.into())
    }
}
