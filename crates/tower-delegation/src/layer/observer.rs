//! Sees one request through to its end and leaves one audit event.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, StatusCode};

use crate::{
    audit::{self, AuditEvent},
    clock::Clock,
    context::{Anonymous, DelegationContext},
    reason::DenialReason,
};

/// Emits the event when the response head is there, or when it is dropped
/// before: the client left, or the handler panicked.
///
/// Boxed, because it travels with the future of every request.
pub(super) struct Observer(Option<Box<Observed>>);

struct Observed {
    clock: Arc<dyn Clock>,
    started: Duration,
    method: Method,
    #[cfg(feature = "axum")]
    route: Option<axum::extract::MatchedPath>,
    caller: Caller,
}

/// Who sent the request, as far as is known.
pub(super) enum Caller {
    Unknown,
    Anonymous(Anonymous),
    Known(DelegationContext),
}

impl Observer {
    /// Starts to observe; does nothing at all if nobody listens.
    pub(super) fn start<B>(clock: &Arc<dyn Clock>, request: &Request<B>) -> Self {
        if !audit::is_enabled() {
            return Self(None);
        }
        Self(Some(Box::new(Observed {
            started: clock.monotonic(),
            clock: clock.clone(),
            method: request.method().clone(),
            #[cfg(feature = "axum")]
            route: request.extensions().get().cloned(),
            caller: Caller::Unknown,
        })))
    }

    pub(super) fn identify(&mut self, caller: impl FnOnce() -> Caller) {
        if let Some(observed) = &mut self.0 {
            observed.caller = caller();
        }
    }

    /// The layer itself refused the request.
    pub(super) fn refused(&mut self, reason: DenialReason, status: StatusCode) {
        if let Some(observed) = self.0.take() {
            observed.emit(Some(reason), Some(status));
        }
    }

    /// The service answered.
    pub(super) fn answered(&mut self, status: StatusCode) {
        if let Some(observed) = self.0.take() {
            observed.emit(None, Some(status));
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Some(observed) = self.0.take() {
            observed.emit(None, None);
        }
    }
}

impl Observed {
    fn emit(&self, refusal: Option<DenialReason>, status: Option<StatusCode>) {
        let (delegation, record) = match &self.caller {
            Caller::Unknown => (None, None),
            Caller::Anonymous(anonymous) => (None, Some(anonymous.record())),
            Caller::Known(delegation) => (Some(delegation), Some(delegation.record())),
        };
        AuditEvent {
            delegation,
            record,
            refusal,
            status,
            method: &self.method,
            #[cfg(feature = "axum")]
            route: self.route.as_ref().map(axum::extract::MatchedPath::as_str),
            #[cfg(not(feature = "axum"))]
            route: None,
            duration: self.clock.monotonic().saturating_sub(self.started),
        }
        .emit();
    }
}
