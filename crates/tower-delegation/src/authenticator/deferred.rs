//! [`Deferred`]: authentication that is put off until someone asks who the caller is.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use http::Extensions;

use super::{Authenticator, Outcome};
use crate::{
    arrival::Arrival,
    audit::{LatePlaces, NoPlace, Places},
    clock::Moment,
    context::{Anonymous, Basis, DelegationContext, Effect, Evaluation, RequestRecord},
    proof::Transport,
    reason::DenialReason,
    step::Step,
    token::UnverifiedToken,
};

/// A request to a public route: it goes in without being authenticated. Where its
/// handler asks who the caller is, that is found out then, once.
#[derive(Clone)]
pub(crate) struct Deferred(Arc<Inner>);

struct Inner {
    authenticator: Authenticator,
    /// What the connection and the identity headers said on arrival.
    transport: Result<Transport, DenialReason>,
    anonymous: Anonymous,
    found: OnceLock<Outcome>,
    /// What its event still needs, once it is known who asks.
    places: Option<LatePlaces>,
}

impl Authenticator {
    /// Removes what layers further outside have found, or have put off.
    pub(super) fn forget_callers(extensions: &mut Extensions) {
        extensions.remove::<DelegationContext>();
        extensions.remove::<Anonymous>();
        extensions.remove::<Deferred>();
    }

    /// Puts authentication off. What is wrong with the credentials at first sight is
    /// recorded, and refuses nothing; nothing is verified for it.
    pub(crate) fn defer(
        &self,
        arrival: Arrival<'_>,
        transport: Result<Transport, DenialReason>,
        places: Option<LatePlaces>,
    ) -> Deferred {
        let at_first_sight = match (&transport, self.presented(arrival)) {
            (Err(reason), _) => Some(*reason),
            (Ok(_), Err(rejection)) => Some(rejection.reason()),
            (Ok(_), Ok(Some(presented))) => {
                let token = presented.credential.token();
                token.and_then(|token| UnverifiedToken::parse(token).map(drop)).err()
            }
            (Ok(_), Ok(None)) => None,
        };
        let anonymous = self.anonymous(arrival);
        let (authenticator, found) = (self.clone(), OnceLock::new());
        let deferred = Deferred(Arc::new(Inner { authenticator, transport, anonymous, found, places }));
        if let Some(reason) = at_first_sight {
            deferred.record_mistake(reason);
        }
        deferred
    }
}

impl Deferred {
    /// Is it this authenticator that would authenticate?
    pub(crate) fn is_of(&self, authenticator: &Authenticator) -> bool {
        Arc::ptr_eq(&self.0.authenticator.0, &authenticator.0)
    }

    /// This moment.
    pub(crate) fn now(&self) -> Moment {
        self.0.authenticator.now()
    }

    /// The mark of the request, for as long as nothing is known of its caller.
    pub(crate) fn anonymous(&self) -> &Anonymous {
        &self.0.anonymous
    }

    /// What came of authentication, where someone has asked.
    pub(crate) fn found(&self) -> Option<&Outcome> {
        self.0.found.get()
    }

    /// The caller, where someone has asked and the credentials are good.
    pub(crate) fn caller(&self) -> Option<&DelegationContext> {
        self.found()?.as_ref().ok()?.as_ref()
    }

    /// The record of the request.
    pub(crate) fn record(&self) -> &RequestRecord {
        self.caller().map_or(self.0.anonymous.record(), DelegationContext::record)
    }

    /// That of the request with this head: this one where it is the head that arrived, also
    /// where a router or middleware has changed what is left of its target. Another head
    /// that carries its extensions, or comes after the response, is authenticated by itself.
    pub(crate) fn of_head(&self, arrival: Arrival<'_>) -> Self {
        let authenticator = &self.0.authenticator;
        let would_judge_alike = |passage| authenticator.would_judge_alike(passage, arrival);
        if self.record().passage().is_some_and(would_judge_alike) && !self.record().has_ended() {
            return self.clone();
        }
        let anonymous = authenticator.anonymous(arrival);
        // What is decided about it is decided about the request that it came from.
        anonymous.record().continues(&self.0.anonymous);
        Self(Arc::new(Inner {
            authenticator: authenticator.clone(),
            transport: self.0.transport.clone(),
            anonymous,
            found: OnceLock::new(),
            places: self.0.places.clone(),
        }))
    }

    /// Authenticates its request, which has this head.
    pub(crate) fn authenticate(&self, arrival: Arrival<'_>) -> Step<Outcome> {
        if let Some(found) = self.found() {
            return Step::Ready(found.clone());
        }
        let authenticator = &self.0.authenticator;
        let outcome = match &self.0.transport {
            Ok(transport) => {
                // What the connection said has aged since.
                authenticator.authenticate_arrival(arrival, transport.clone().at(arrival.now.wall))
            }
            Err(reason) => Step::Ready(Err(authenticator.rejection(*reason, None))),
        };
        match outcome {
            Step::Ready(outcome) => self.place(outcome),
            Step::Wait(outcome) => {
                let this = self.clone();
                Step::wait(async move { this.place(outcome.await).answer().await })
            }
        }
    }

    /// Takes the places that the event needs. What has waited for them is judged again.
    fn place(&self, outcome: Outcome) -> Step<Outcome> {
        let Some(pending) = self.0.places.as_ref().and_then(LatePlaces::reserve) else {
            return Step::Ready(self.keep(outcome));
        };
        let this = self.clone();
        Step::wait(async move {
            let authenticator = &this.0.authenticator;
            let outcome = match (pending.await, outcome) {
                (Err(NoPlace), _) => Err(authenticator.rejection(DenialReason::AuditUnavailable, None)),
                (Ok(places), outcome) => {
                    if let Some(late) = &this.0.places {
                        late.hold(places);
                    }
                    match outcome {
                        Ok(Some(delegation)) => authenticator.renew(&delegation, this.now()).map(Some),
                        outcome => outcome,
                    }
                }
            };
            this.keep(outcome)
        })
    }

    /// The places that were taken for the event of the request.
    pub(crate) fn take_places(&self) -> Option<Places> {
        self.0.places.as_ref()?.take()
    }

    /// Is this the head of the request that arrived, and of no other that carries its
    /// extensions?
    pub(crate) fn is_for(&self, arrival: Arrival<'_>) -> bool {
        let has_judged = |passage| self.0.authenticator.has_judged(passage, arrival);
        self.record().passage().is_some_and(has_judged)
    }

    /// Remembers what came of it; the caller's record continues that of the request.
    fn keep(&self, outcome: Outcome) -> Outcome {
        if let Ok(Some(delegation)) = &outcome {
            delegation.record().continues(&self.0.anonymous);
        }
        if let Ok(()) = self.0.found.set(outcome.clone())
            && let Err(rejection) = &outcome
        {
            self.record_mistake(rejection.reason());
        }
        self.found().cloned().unwrap_or(outcome)
    }

    /// What is wrong with the credentials is recorded, and refuses nothing by itself:
    /// the route is public.
    fn record_mistake(&self, reason: DenialReason) {
        self.record().add(Evaluation {
            requirement: "credentials".into(),
            denial: Some(reason),
            effect: Effect::Shadowed,
            basis: Basis::Rule,
            scopes: None,
            needs: None,
        });
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").finish_non_exhaustive()
    }
}
