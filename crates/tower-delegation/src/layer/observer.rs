//! Sees one request through to its end and leaves one audit event.

use std::{net::SocketAddr, time::Duration};

use http::{Method, StatusCode};

use crate::{
    arrival::{Arrival, Route},
    audit::{AuditEvent, COUNTED, LatePlaces, PendingPlaces, Places, PresentedToken, TraceContext, Trail},
    authenticator::Deferred,
    context::{Anonymous, DelegationContext, Evaluations, Refused, RequestRecord},
    reason::DenialReason,
    token::VerifiedToken,
};

/// Emits the event when the response head is there, or when it is dropped
/// before: the client left, or the handler panicked.
///
/// Boxed, because it travels with the future of every request.
pub(super) struct Observer(Option<Box<Observed>>);

struct Observed {
    trail: Trail,
    started: Duration,
    /// How long the layer took to admit or refuse; only where that is counted.
    decided_in: Option<Duration>,
    places: Places,
    method: Method,
    route: Option<Route>,
    client_address: Option<SocketAddr>,
    trace: Option<TraceContext>,
    token: Option<PresentedToken>,
    caller: Caller,
}

/// Who sent the request, as far as is known.
pub(super) enum Caller {
    Unknown,
    Anonymous(Anonymous),
    /// Their token is good, and they may not present it.
    Refused(Box<Refused>),
    Known(DelegationContext),
    /// Of a public route: known where someone has asked.
    Deferred(Deferred),
}

impl Caller {
    /// Their token, where it is good.
    fn token(&self) -> Option<&VerifiedToken> {
        match self {
            Self::Unknown | Self::Anonymous(_) => None,
            Self::Refused(refused) => Some(&refused.token),
            Self::Known(delegation) => Some(delegation.token()),
            Self::Deferred(deferred) => deferred.caller().map(DelegationContext::token),
        }
    }

    /// The record of the request.
    pub(super) fn record(&self) -> Option<&RequestRecord> {
        match self {
            Self::Unknown | Self::Refused(_) => None,
            Self::Anonymous(anonymous) => Some(anonymous.record()),
            Self::Known(delegation) => Some(delegation.record()),
            Self::Deferred(deferred) => Some(deferred.record()),
        }
    }
}

impl Observer {
    /// Starts to observe; does nothing at all if no sink wants events.
    pub(super) fn start(trail: &Trail, arrival: Arrival<'_>) -> Self {
        if !COUNTED && !trail.is_enabled() {
            return Self(None);
        }
        Self(Some(Box::new(Observed {
            started: arrival.now.monotonic,
            decided_in: None,
            places: Places::default(),
            method: arrival.method.clone(),
            route: arrival.route().cloned(),
            client_address: arrival.client_address(),
            trace: TraceContext::of(arrival.headers),
            token: trail.token_hash_key().and_then(|key| PresentedToken::of(arrival.headers, key)),
            caller: Caller::Unknown,
            trail: trail.clone(),
        })))
    }

    /// Observes nothing: a layer further outside does.
    pub(super) fn silent() -> Self {
        Self(None)
    }

    /// Takes a place in the queue of every sink that requests wait for, or
    /// says what to wait for.
    ///
    /// Takes none where it observes nothing: there will be no event.
    pub(super) fn reserve(&mut self, trail: &Trail) -> Option<PendingPlaces> {
        if self.0.is_none() || !trail.blocks() {
            return None;
        }
        match trail.reserve() {
            Ok(places) => {
                self.hold(places);
                None
            }
            Err(pending) => Some(pending),
        }
    }

    /// Gives its places back, for as long as the request waits for something else: what is
    /// not authenticated yet takes no place from requests that are.
    pub(super) fn release(&mut self) {
        self.hold(Places::default());
    }

    /// Takes a place in every queue where there is one: a public route waits for none.
    /// Where a queue is full, they are taken as soon as something asks who the caller is;
    /// if nothing does, the event is dropped and counted.
    pub(super) fn reserve_without_waiting(&mut self, trail: &Trail) -> Option<LatePlaces> {
        self.reserve(trail).map(|_pending| LatePlaces::new(trail))
    }

    /// The places were waited for.
    pub(super) fn hold(&mut self, places: Places) {
        if let Some(observed) = &mut self.0 {
            observed.places = places;
        }
    }

    pub(super) fn identify(&mut self, caller: impl FnOnce() -> Caller) {
        if let Some(observed) = &mut self.0 {
            observed.caller = caller();
            if let Some(verified) = observed.caller.token() {
                observed.token = observed.token.take().map(|token| token.verified_as(verified));
            }
            observed.decided();
        }
    }

    /// The layer itself refused the request.
    pub(super) fn refused(&mut self, reason: DenialReason, status: StatusCode) {
        if let Some(mut observed) = self.0.take() {
            observed.decided();
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
    fn decided(&mut self) {
        if COUNTED {
            self.decided_in = Some(self.trail.now().monotonic.saturating_sub(self.started));
        }
    }

    fn emit(mut self, refusal: Option<DenialReason>, status: Option<StatusCode>) {
        let (delegation, refused, evaluations) = match self.caller {
            Caller::Unknown => (None, None, Evaluations::default()),
            Caller::Anonymous(anonymous) => (None, None, anonymous.record().take()),
            Caller::Refused(refused) => (None, Some(*refused), Evaluations::default()),
            Caller::Known(delegation) => {
                let evaluations = RequestRecord::take(delegation.record());
                (Some(delegation), None, evaluations)
            }
            Caller::Deferred(deferred) => {
                if let Some(late) = deferred.take_places() {
                    self.places = late;
                }
                let evaluations = deferred.record().take();
                let refused = deferred.found().and_then(|found| found.as_ref().err());
                let refused = refused.and_then(|rejection| rejection.clone().take_refused());
                (deferred.caller().cloned(), refused.map(|refused| *refused), evaluations)
            }
        };
        let now = self.trail.now();
        let event = AuditEvent {
            time: now.wall,
            latency: now.monotonic.saturating_sub(self.started),
            method: self.method,
            route: self.route,
            status,
            delegation,
            refused,
            evaluations: evaluations.kept,
            omitted: evaluations.omitted,
            refusal,
            client_address: self.client_address,
            exchange: None,
            trace: self.trace,
            token: self.token.map(PresentedToken::detached),
        };
        self.trail.record(event, self.places, self.decided_in);
    }
}
