//! A context that is kept, judged as of now.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock, atomic::Ordering},
};

use arc_swap::ArcSwapOption;

use super::{
    delegation::{DelegationContext, Inner, Later, Record, Standing},
    judge::{Judge, Judgement, Revision},
};
use crate::{application::Granted as _, clock::Timestamp, proof, reason::DenialReason, token::VerifiedToken};

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
        Ok(match self.later_at(now)? {
            None => Cow::Borrowed(self),
            Some(later) => Cow::Owned(self.with(&later.standing, now)),
        })
    }

    /// Whether the context [as of now](Self::current) shows less than this one.
    pub(crate) fn is_outdated(&self) -> Result<bool, DenialReason> {
        let now = self.0.circumstances.judge.clock().now();
        let later = self.later_at(now)?;
        Ok(later.is_some_and(|later| {
            *later.shows_less.get_or_init(|| !self.with(&later.standing, now).shows_all_of(self))
        }))
    }

    /// What is left of this context, where something has moved since it was judged.
    fn later_at(&self, now: Timestamp) -> Result<Option<Arc<Later>>, DenialReason> {
        let Inner { token, standing, later, .. } = &*self.0;
        let judge = &*self.0.circumstances.judge;
        judge.verifier.recheck_at(token, now)?;
        self.0.judged_at.store(now.unix_millis(), Ordering::Relaxed);
        if standing.holds(token, judge, now)? {
            return Ok(None);
        }
        if let Some(known) = later.load_full()
            && known.standing.holds(token, judge, now)?
        {
            return Ok(Some(known));
        }
        let transport = standing.transport.clone().at(now);
        proof::check_certificate(token.facts().confirmation.as_ref(), &transport)?;
        let Judgement { registration, revocations } =
            judge.judge_presenter(token, &transport, self.0.sender_constraint, now)?;
        let standing = Standing { transport, registration, revision: revocations.number().into() };
        let left = Arc::new(Later { standing, shows_less: OnceLock::new() });
        later.store(Some(Arc::clone(&left)));
        Ok(Some(left))
    }

    /// A context of the same request with another standing.
    fn with(&self, standing: &Standing, now: Timestamp) -> Self {
        let inner = &*self.0;
        let standing = Standing {
            transport: standing.transport.clone(),
            registration: standing.registration.clone(),
            revision: standing.revision.load(Ordering::Relaxed).into(),
        };
        Self(Arc::new(Inner {
            token: inner.token.clone(),
            sender_constraint: inner.sender_constraint,
            standing,
            later: ArcSwapOption::empty(),
            dpop_nonce: None,
            circumstances: inner.circumstances.clone(),
            judged_at: now.unix_millis().into(),
            record: Record::Of(self.clone()),
        }))
    }

    /// Whether everything that `former` shows about the same request is still so.
    fn shows_all_of(&self, former: &Self) -> bool {
        let (now, before) = (self.workload(), former.workload());
        let is_same_workload = now.and_then(|now| now.spiffe_id()) == before.and_then(|it| it.spiffe_id())
            && now.and_then(|now| now.thumbprint()) == before.and_then(|it| it.thumbprint());
        let has_applications = match (&self.0.standing.registration, &former.0.standing.registration) {
            (Some(now), Some(before)) => now.shows_all_of(before),
            (now, before) => now.is_none() && before.is_none(),
        };
        is_same_workload
            && has_applications
            && former.scopes().iter().all(|scope| self.scopes().contains(scope))
            && self.has_privileges_of(former)
            && self.has_details_of(former)
    }

    /// Whether the token's authorization details count as far as before.
    fn has_details_of(&self, former: &Self) -> bool {
        // What is malformed grants nothing, now or before.
        let kinds = self.token().facts().detail_types().unwrap_or_default();
        kinds.iter().all(|kind| self.may_ever_use_detail(kind) || !former.may_ever_use_detail(kind))
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

impl Standing {
    /// Whether it still holds: what the workload's identity rests on, the state of the
    /// registry, and nothing was revoked.
    fn holds(&self, token: &VerifiedToken, judge: &Judge, now: Timestamp) -> Result<bool, DenialReason> {
        if !self.transport.holds(now) || !judge.is_registered(self.registration.as_deref(), now) {
            return Ok(false);
        }
        let seen = Revision::from_number(self.revision.load(Ordering::Relaxed));
        if !judge.is_unrevoked_since(seen) {
            let seen = judge.check_revocation(token, &self.transport, now)?;
            self.revision.store(seen.number(), Ordering::Relaxed);
        }
        Ok(true)
    }
}
