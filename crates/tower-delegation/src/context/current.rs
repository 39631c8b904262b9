//! A context that is kept, judged as of now.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use super::{
    delegation::{DelegationContext, Inner, Record},
    judge::{Judgement, Revision},
};
use crate::{application::Application, clock::Timestamp, proof, reason::DenialReason};

impl DelegationContext {
    /// This context as of now: itself where nothing has moved since it was judged.
    /// Otherwise one of the same request with what is left: another registration, no
    /// workload whose certificate has ended.
    ///
    /// On the path of every decision: reads the time, and compares numbers. Only what has
    /// moved is looked up again.
    pub(crate) fn current(&self) -> Result<Cow<'_, Self>, DenialReason> {
        self.current_at(self.0.circumstances.judge.clock().now())
    }

    /// The same for a caller that has read the time.
    pub(crate) fn current_at(&self, now: Timestamp) -> Result<Cow<'_, Self>, DenialReason> {
        let inner = &*self.0;
        let judge = &*inner.circumstances.judge;
        judge.verifier.recheck_at(&inner.token, now)?;
        inner.judged_at.store(now.unix_millis(), Ordering::Relaxed);
        if inner.transport.holds(now) && judge.is_registered(inner.registration.as_deref(), now) {
            let seen = Revision::from_number(inner.revision.load(Ordering::Relaxed));
            if !judge.is_unrevoked_since(seen) {
                let seen = judge.check_revocation(&inner.token, &inner.transport, now)?;
                inner.revision.store(seen.number(), Ordering::Relaxed);
            }
            return Ok(Cow::Borrowed(self));
        }
        let transport = inner.transport.clone().at(now);
        proof::check_certificate(inner.token.facts().confirmation.as_ref(), &transport)?;
        let Judgement { registration, revocations } =
            judge.judge_presenter(&inner.token, &transport, inner.sender_constraint, now)?;
        Ok(Cow::Owned(Self(Arc::new(Inner {
            token: inner.token.clone(),
            sender_constraint: inner.sender_constraint,
            transport,
            registration,
            dpop_nonce: None,
            circumstances: inner.circumstances.clone(),
            judged_at: now.unix_millis().into(),
            revision: revocations.number().into(),
            record: Record::Of(self.clone()),
        }))))
    }

    /// Whether everything that `former` shows about the same request is still so.
    pub(crate) fn shows_all_of(&self, former: &Self) -> bool {
        let (now, before) = (self.workload(), former.workload());
        let is_same_workload = now.and_then(|now| now.spiffe_id()) == before.and_then(|it| it.spiffe_id())
            && now.and_then(|now| now.thumbprint()) == before.and_then(|it| it.thumbprint());
        let kind =
            |application: Option<&Application>| application.map(|one| (one.name().to_owned(), one.kind()));
        is_same_workload
            && kind(self.application()) == kind(former.application())
            && kind(self.presenter()) == kind(former.presenter())
            && former.scopes().iter().all(|scope| self.scopes().contains(scope))
            && self.has_privileges_of(former)
    }

    /// Whether roles, permissions and groups are as far in use as before. What is
    /// malformed grants nothing, now or before, and says nothing of the others.
    fn has_privileges_of(&self, former: &Self) -> bool {
        let has_roles = match (former.roles(), self.roles()) {
            (Ok(before), Ok(now)) => before.iter().all(|role| now.contains(role)),
            _ => true,
        };
        let has_permissions = match (former.permissions(), self.permissions()) {
            (Ok(before), Ok(now)) => before.iter().all(|permission| now.contains(permission)),
            _ => true,
        };
        let has_groups = match (former.groups(), self.groups()) {
            (Ok(Some(before)), Ok(Some(now))) => before.iter().all(|group| now.contains(group)),
            (Ok(Some(before)), Ok(None)) => before.is_empty(),
            _ => true,
        };
        has_roles && has_permissions && has_groups
    }
}
