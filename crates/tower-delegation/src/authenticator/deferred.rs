//! [`Deferred`]: authentication that is put off until someone asks who the caller is.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{Authenticator, Outcome};
use crate::{
    arrival::Arrival,
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
}

impl Authenticator {
    /// Puts authentication off. What is wrong with the credentials at first sight is
    /// recorded, and refuses nothing; nothing is verified for it.
    pub(crate) fn defer(&self, arrival: Arrival<'_>, transport: Result<Transport, DenialReason>) -> Deferred {
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
        let deferred = Deferred(Arc::new(Inner { authenticator, transport, anonymous, found }));
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

    /// Authenticates the request with this head: the one that arrived, or another one
    /// that carries its extensions, which is then authenticated by itself.
    pub(crate) fn authenticate(&self, arrival: Arrival<'_>) -> Step<Outcome> {
        let authenticator = &self.0.authenticator;
        let is_same = self.is_for(arrival);
        if let Some(found) = self.found()
            && is_same
        {
            return Step::Ready(found.clone());
        }
        let outcome = match &self.0.transport {
            Ok(transport) => {
                // What the connection said has aged since.
                authenticator.authenticate_arrival(arrival, transport.clone().at(arrival.now.wall))
            }
            Err(reason) => Step::Ready(Err(authenticator.rejection(*reason, None))),
        };
        let this = self.clone();
        outcome.map(move |outcome| this.keep(outcome, is_same))
    }

    /// Is this the head of the request that arrived, and of no other that carries its
    /// extensions?
    pub(crate) fn is_for(&self, arrival: Arrival<'_>) -> bool {
        let has_judged = |passage| self.0.authenticator.has_judged(passage, arrival);
        self.0.anonymous.record().passage().is_some_and(has_judged)
    }

    /// Remembers what came of it, and hands the record so far over to the caller's.
    fn keep(&self, outcome: Outcome, is_same: bool) -> Outcome {
        if !is_same {
            return outcome;
        }
        let is_first = self.0.found.set(outcome.clone()).is_ok();
        match &outcome {
            Ok(Some(delegation)) if is_first => {
                delegation.record().admit(self.0.anonymous.record().allows_inner());
                let so_far = self.0.anonymous.record().take();
                so_far.kept.into_iter().for_each(|evaluation| delegation.record().add(evaluation));
            }
            Err(rejection) if is_first => self.record_mistake(rejection.reason()),
            _ => {}
        }
        self.found().cloned().unwrap_or(outcome)
    }

    /// What is wrong with the credentials is recorded, and refuses nothing by itself:
    /// the route is public.
    fn record_mistake(&self, reason: DenialReason) {
        self.0.anonymous.record().add(Evaluation {
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
