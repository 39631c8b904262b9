//! [`Gate`]: decides whether a request goes in, and what it carries then.

use http::{HeaderValue, Request};

use super::{
    arrival::Judged,
    observer::{Caller, Observer},
    routes::KnownRoutes,
    undecided::{UndecidedResponses, Watch},
};
use crate::{
    arrival::{Arrival, peer_info},
    audit::{LatePlaces, Trail},
    authenticator::{Authenticator, Deferred, Outcome},
    clock::Moment,
    context::RequestRecord,
    reason::DenialReason,
    rejection::Rejection,
    step::Step,
};

/// Decides whether a request goes in.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) authenticator: Authenticator,
    pub(super) anonymous: AnonymousRequests,
    pub(super) undecided: UndecidedResponses,
    pub(super) inner_authenticators: InnerAuthenticators,
    pub(super) routes: KnownRoutes,
    pub(super) trail: Trail,
}

/// A request goes in.
pub(super) struct Admitted {
    /// A nonce for the response. Boxed, because it is rare and travels with the
    /// future of every request.
    pub(super) dpop_nonce: Option<Box<HeaderValue>>,
    pub(super) watch: Watch,
}

impl Gate {
    /// Authenticates a request; at once, unless something has to be waited for.
    pub(super) fn authenticate<B>(&self, request: &mut Request<B>, now: Moment) -> Step<Outcome> {
        self.authenticator.note_proof(request, now);
        let peer = peer_info(request.extensions()).cloned();
        match self.authenticator.identify(request.headers_mut(), peer.as_ref(), now.wall) {
            Ok(transport) => self.authenticator.authenticate_arrival(Arrival::of(request, now), transport),
            Err(reason) => Step::Ready(Err(self.authenticator.rejection(reason, None))),
        }
    }

    /// Lets a request to a public route in, and puts authentication off; with it the places
    /// in the audit queues that there were not.
    pub(super) fn defer<B>(
        &self,
        request: &mut Request<B>,
        late: Option<LatePlaces>,
        observer: &mut Observer,
        now: Moment,
    ) -> Admitted {
        self.authenticator.note_proof(request, now);
        let peer = peer_info(request.extensions()).cloned();
        let transport = self.authenticator.identify(request.headers_mut(), peer.as_ref(), now.wall);
        let deferred = self.authenticator.defer(Arrival::of(request, now), transport, late);
        observer.identify(|| Caller::Deferred(deferred.clone()));
        self.mark(deferred.record());
        let admitted = self.pass_on(deferred, request, now);
        Admitted { watch: admitted.watch.until_the_end(self.authenticator.take_proof(request)), ..admitted }
    }

    /// Lets a request in about whose caller nothing is known yet.
    fn pass_on<B>(&self, deferred: Deferred, request: &mut Request<B>, now: Moment) -> Admitted {
        let watch = self.watch(request, now, Caller::Deferred(deferred.clone()));
        let extensions = request.extensions_mut();
        match deferred.caller() {
            Some(delegation) => drop(extensions.insert(delegation.clone())),
            None => {
                extensions.insert(deferred.anonymous().clone());
                extensions.insert(deferred);
            }
        }
        Admitted { dpop_nonce: None, watch }
    }

    /// What an outer layer has put off: done here, unless anyone may go in here too.
    pub(super) fn take_over<B>(
        &self,
        deferred: &Deferred,
        request: &Request<B>,
        now: Moment,
    ) -> Step<Outcome> {
        deferred.authenticate(Arrival::of(request, now))
    }

    /// Puts what is known about the caller into the request's extensions, or
    /// says why the request is refused.
    pub(super) fn admit<B>(
        &self,
        outcome: Outcome,
        request: &mut Request<B>,
        observer: &mut Observer,
        now: Moment,
    ) -> Result<Admitted, Rejection> {
        let mut rejection = match (outcome, self.anonymous) {
            (Ok(Some(delegation)), _) => {
                observer.identify(|| Caller::Known(delegation.clone()));
                // One that was found out about further inside is another layer's to end.
                let is_outermost = !delegation.record().is_admitted();
                let dpop_nonce = delegation.dpop_nonce().cloned().map(Box::new);
                let mut watch = self.watch(request, now, Caller::Known(delegation.clone()));
                if is_outermost {
                    self.mark(delegation.record());
                    watch = watch.until_the_end(self.authenticator.take_proof(request));
                }
                request.extensions_mut().insert(delegation);
                return Ok(Admitted { dpop_nonce, watch });
            }
            (Ok(None), AnonymousRequests::Allowed) => {
                let anonymous = self.authenticator.anonymous(Arrival::of(request, now));
                observer.identify(|| Caller::Anonymous(anonymous.clone()));
                self.mark(anonymous.record());
                let watch = self.watch(request, now, Caller::Anonymous(anonymous.clone()));
                request.extensions_mut().insert(anonymous);
                // A proof without a token may be used further inside, and no longer than that.
                let watch = watch.until_the_end(self.authenticator.take_proof(request));
                return Ok(Admitted { dpop_nonce: None, watch });
            }
            (Ok(None), AnonymousRequests::Refused) => {
                let needs = self.routes.needs(request);
                self.authenticator.rejection(DenialReason::CredentialsMissing, None).with_needs(needs)
            }
            (Err(rejection), _) => rejection,
        };
        if let Some(refused) = rejection.take_refused() {
            observer.identify(|| Caller::Refused(refused));
        }
        observer.refused(rejection.reason(), rejection.status());
        Err(rejection)
    }

    pub(super) fn refuse(&self, reason: DenialReason, observer: &mut Observer) -> Rejection {
        let rejection = self.authenticator.rejection(reason, None);
        observer.refused(reason, rejection.status());
        rejection
    }

    /// Lets a request pass that an outer layer of the same authenticator has admitted,
    /// with the context that it has. What this layer demands beyond that still counts.
    pub(super) fn pass<B>(
        &self,
        judged: Judged,
        request: &mut Request<B>,
        now: Moment,
    ) -> Result<Admitted, Rejection> {
        let caller = match judged {
            Judged::Known(delegation) => {
                request.extensions_mut().insert(delegation.clone());
                Caller::Known(delegation)
            }
            Judged::Anonymous(anonymous) if self.anonymous == AnonymousRequests::Refused => {
                let needs = self.routes.needs(request);
                return Err(Rejection::missing_credentials(None, anonymous.record()).with_needs(needs));
            }
            Judged::Deferred(deferred) => return Ok(self.pass_on(deferred, request, now)),
            Judged::Anonymous(anonymous) => {
                request.extensions_mut().insert(anonymous.clone());
                Caller::Anonymous(anonymous)
            }
        };
        Ok(Admitted { dpop_nonce: None, watch: self.watch(request, now, caller) })
    }

    /// Lets layers further inside know that this one has judged the request.
    fn mark(&self, record: &RequestRecord) {
        record.admit(self.inner_authenticators == InnerAuthenticators::Allowed);
    }

    fn watch<B>(&self, request: &Request<B>, now: Moment, caller: Caller) -> Watch {
        Watch::over(Arrival::of(request, now), caller, self.undecided)
    }
}

/// What happens to a request without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnonymousRequests {
    Refused,
    Allowed,
}

/// Whether another authenticator further inside is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InnerAuthenticators {
    Reported,
    Allowed,
}
