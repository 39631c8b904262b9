//! [`Judge`]: whether what was verified once still holds.

use std::{sync::Arc, time::Duration};

use crate::{
    application::{Applications, Registration, SenderFacts},
    clock::{Clock, Moment, Timestamp},
    confirmation::SenderConstraint,
    proof::{self, Transport},
    reason::DenialReason,
    revocation::{RevocationQuery, RevocationStore},
    token::{VerifiedToken, Verifier},
};

/// What a request is judged by in addition to its credentials, and judged again by for as
/// long as its context is kept: the trust in issuers and their keys, the registry of
/// applications, and what is revoked. One for each authenticator.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) applications: Option<Applications>,
    pub(crate) revocations: Option<Arc<dyn RevocationStore>>,
    /// How far clocks may differ.
    pub(crate) leeway: Duration,
}

/// Who presents a token, judged.
pub(crate) struct Judgement {
    pub(crate) registration: Option<Arc<Registration>>,
    /// The state of the store of revocations that was asked.
    pub(crate) revocations: Revision,
}

/// The [generation](RevocationStore::generation) of a store; always another one where
/// it has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revision(u64);

/// Stands for a store that cannot tell whether anything has moved.
const UNKNOWN: u64 = u64::MAX;

impl Revision {
    /// Must be read before the store is asked: what changes meanwhile is noticed at the
    /// next look.
    fn of(revocations: &dyn RevocationStore) -> Self {
        Self(revocations.generation().unwrap_or(UNKNOWN))
    }

    pub(super) fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    fn is(self, other: Self) -> bool {
        self.0 == other.0 && self.0 != UNKNOWN
    }
}

impl Judge {
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.verifier.clock()
    }

    /// Judges who presents a token: by the registry, and by what is revoked.
    pub(crate) fn judge_presenter(
        &self,
        token: &VerifiedToken,
        transport: &Transport,
        constraint: SenderConstraint,
        now: Timestamp,
    ) -> Result<Judgement, DenialReason> {
        let facts = token.facts();
        let sender = SenderFacts {
            now,
            workload: transport.as_workload(),
            sender_constrained: constraint != SenderConstraint::None,
        };
        let registered = |all: &Applications| all.admit(&facts.registration, &facts.parties(), &sender);
        let registration = self.applications.as_ref().map(registered).transpose()?;
        Ok(Judgement { registration, revocations: self.check_revocation(token, transport, now)? })
    }

    /// Judges again what was judged before: the issuer's terms, the key, the token's time,
    /// the other end of the connection, the registry and revocations. What is left out is
    /// a proof, which is good for one request.
    pub(crate) fn judge_again(
        &self,
        token: &VerifiedToken,
        transport: &Transport,
        constraint: SenderConstraint,
        now: Moment,
    ) -> Result<Judgement, DenialReason> {
        self.verifier.recheck(token, now)?;
        proof::check_certificate(token.facts().confirmation.as_ref(), transport)?;
        self.judge_presenter(token, transport, constraint, now.wall)
    }

    /// Asks what is revoked, and returns the state of the store that has answered.
    pub(super) fn check_revocation(
        &self,
        token: &VerifiedToken,
        transport: &Transport,
        now: Timestamp,
    ) -> Result<Revision, DenialReason> {
        let Some(revocations) = &self.revocations else { return Ok(Revision(UNKNOWN)) };
        let revision = Revision::of(&**revocations);
        let query = self.revocation_query(token, now);
        let query = query.presented_by(transport.as_workload()).passed_on_by(transport.hop());
        revocations.check(&query).into_result().map(|()| revision)
    }

    /// Asks about a token, without who presents it.
    pub(crate) fn revocation_query<'t>(
        &self,
        token: &'t VerifiedToken,
        now: Timestamp,
    ) -> RevocationQuery<'t> {
        let revocable = &token.facts().revocable;
        RevocationQuery::new(&revocable.keys, revocable.issued_at, now).with_leeway(self.leeway)
    }

    /// Whether the registry is still the one that `registration` was made by, and nothing
    /// in it has ended.
    pub(super) fn is_registered(&self, registration: Option<&Registration>, now: Timestamp) -> bool {
        match (&self.applications, registration) {
            (None, _) => true,
            (Some(applications), Some(registration)) => applications.is_current(registration, now),
            (Some(_), None) => false,
        }
    }

    /// Whether the store of revocations is still in the state in which it was asked.
    pub(super) fn is_unrevoked_since(&self, revision: Revision) -> bool {
        self.revocations.as_deref().is_none_or(|revocations| Revision::of(revocations).is(revision))
    }
}
