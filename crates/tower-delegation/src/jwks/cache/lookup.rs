//! From a token's header to its key: at once, after a fetch, or the reason why not.

use std::sync::Arc;

use super::{
    flight::{Progress, outcome},
    key_cache::{KeyCache, Snapshot, State},
};
use crate::{
    clock::Moment,
    jwks::{
        FetchReason, KeyHint, SelectError, SignatureAlgorithm, VerifyingKey, budget::Question,
        hint::OwnedHint, jwk::MAX_KEY_ID_LEN,
    },
    reason::DenialReason,
    step::{Step, Wait},
};

/// The key to verify a token with. Where it has to be waited for, it is known when
/// a fetch has ended, or the time to wait for it is over: the fetch goes on in
/// either case, and if this is dropped.
pub(crate) type KeyStep = Step<Result<Arc<VerifyingKey>, DenialReason>>;

pub(crate) type PendingKey = Wait<Result<Arc<VerifyingKey>, DenialReason>>;

/// What is looked for: the key that the header names, and not the one by which
/// the signature does not verify.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    algorithm: SignatureAlgorithm,
    hint: KeyHint<'a>,
    doubted: Option<&'a Arc<VerifyingKey>>,
}

impl Wanted<'_> {
    /// The key in this set, or what to ask of the next one, and how to refuse
    /// where that does not help.
    fn find(self, snapshot: &Snapshot) -> Result<Arc<VerifyingKey>, (FetchReason, DenialReason)> {
        match snapshot.keys.select(self.algorithm, self.hint) {
            Ok(key) if self.doubted.is_some_and(|doubted| Arc::ptr_eq(doubted, key)) => {
                Err((FetchReason::SignatureInvalid, DenialReason::SignatureInvalid))
            }
            Ok(key) => Ok(Arc::clone(key)),
            Err(error) => Err((error.into(), error.into())),
        }
    }

    fn question(&self, reason: FetchReason) -> Question<'_> {
        Question { reason, algorithm: self.algorithm, hint: self.hint }
    }
}

impl From<SelectError> for FetchReason {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Unknown => Self::KeyUnknown,
            SelectError::Mismatch => Self::KeyMismatch,
            SelectError::Ambiguous => Self::KeyAmbiguous,
        }
    }
}

impl KeyCache {
    /// Finds the key for a token with this `alg` and these names of its key, by
    /// the rule of [`KeySet::select`](crate::jwks::KeySet::select).
    ///
    /// The caller has checked the token's header before: only what could be a
    /// token of this issuer may cause a fetch.
    pub(crate) fn resolve<'a>(
        self: &Arc<Self>,
        algorithm: SignatureAlgorithm,
        hint: impl Into<KeyHint<'a>>,
        now: Moment,
    ) -> KeyStep {
        self.look(Wanted { algorithm, hint: hint.into(), doubted: None }, now)
    }

    /// The same, for a token whose signature does not verify with the key that
    /// [`resolve`](Self::resolve) found: the issuer may have put a new key under
    /// the old name. Never answers with that key.
    pub(crate) fn resolve_other_than(
        self: &Arc<Self>,
        key: &Arc<VerifyingKey>,
        algorithm: SignatureAlgorithm,
        hint: KeyHint<'_>,
        now: Moment,
    ) -> KeyStep {
        self.look(Wanted { algorithm, hint, doubted: Some(key) }, now)
    }

    fn look(self: &Arc<Self>, wanted: Wanted<'_>, now: Moment) -> KeyStep {
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_deref();
        if let Some(usable) = snapshot.filter(|snapshot| self.is_usable(snapshot, now)) {
            self.refresh_if_due(now);
            match wanted.find(usable) {
                Ok(key) => return Step::Ready(Ok(key)),
                Err((_, denial)) if self.source.is_none() => return Step::Ready(Err(denial)),
                Err(_) => {}
            }
        }
        if wanted.hint.key_id().is_some_and(|kid| kid.len() > MAX_KEY_ID_LEN) {
            return Step::Ready(Err(DenialReason::KeyUnknown));
        }
        self.look_again(wanted, snapshot.map(|snapshot| snapshot.sequence), now)
    }

    /// The slow path: there are no keys, or the key is not among those of the
    /// snapshot numbered `seen`.
    fn look_again(self: &Arc<Self>, wanted: Wanted<'_>, seen: Option<u64>, now: Moment) -> KeyStep {
        let mut state = self.lock();
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_deref();
        if snapshot.map(|snapshot| snapshot.sequence) != seen {
            // A fetch landed between the look and the lock: as if we had waited for it.
            drop(state);
            return Step::Ready(self.answer(wanted, true));
        }
        if let Some(flight) = &state.flight {
            let (progress, is_refresh) = (flight.progress.clone(), flight.is_refresh);
            drop(state);
            return Step::Wait(self.wait(wanted, progress, now, !is_refresh));
        }
        let reason = match snapshot.filter(|snapshot| self.is_usable(snapshot, now)) {
            None if now.monotonic < state.retry_at => Err(DenialReason::KeysUnavailable),
            None => Ok(FetchReason::Due),
            Some(snapshot) => match wanted.find(snapshot) {
                Ok(key) => return Step::Ready(Ok(key)),
                Err((reason, denial)) => state.may_fetch(wanted.question(reason), denial, snapshot, now),
            },
        };
        match reason.map(|reason| self.start_fetch(state, reason, now)) {
            Ok(Ok(progress)) => Step::Wait(self.wait(wanted, progress, now, true)),
            // Logged where it arose.
            Ok(Err(_)) => Step::Ready(Err(DenialReason::KeysUnavailable)),
            Err(denial) => Step::Ready(Err(denial)),
        }
    }

    /// Waits for a fetch, and for no longer than one request should.
    /// `is_answer` says that the fetch asks what `wanted` does.
    fn wait(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        progress: Progress,
        now: Moment,
        is_answer: bool,
    ) -> PendingKey {
        let cache = Arc::clone(self);
        let Wanted { algorithm, hint, doubted } = wanted;
        let (hint, doubted) = (OwnedHint::from(hint), doubted.map(Arc::clone));
        let mut patience = self.clock.sleep_until(now.monotonic.saturating_add(self.limits.max_wait));
        Box::pin(async move {
            let succeeded = tokio::select! {
                biased;
                landed = outcome(progress) => landed.is_ok(),
                () = &mut patience => false,
            };
            let wanted = Wanted { algorithm, hint: hint.as_hint(), doubted: doubted.as_ref() };
            if !succeeded || is_answer {
                return cache.answer(wanted, succeeded);
            }
            // A refresh does not look for a set that has moved: what it did not bring is asked
            // for by itself, from the budget.
            let looked = cache.look(wanted, Moment::of(&*cache.clock));
            tokio::select! {
                biased;
                key = looked.answer() => key,
                () = patience => cache.answer(wanted, false),
            }
        })
    }

    /// What is known after a fetch has ended, or was waited for in vain.
    fn answer(&self, wanted: Wanted<'_>, succeeded: bool) -> Result<Arc<VerifyingKey>, DenialReason> {
        let now = Moment::of(&*self.clock);
        let snapshot = self.snapshot.load();
        let Some(usable) = snapshot.as_deref().filter(|snapshot| self.is_usable(snapshot, now)) else {
            return Err(DenialReason::KeysUnavailable);
        };
        match wanted.find(usable) {
            Ok(key) => Ok(key),
            Err((reason, denial)) if succeeded => {
                self.lock().answered.remember(wanted.question(reason), now.monotonic);
                Err(denial)
            }
            Err((_, denial)) if usable.is_fresh(now) => Err(denial),
            Err(_) => Err(DenialReason::KeysUnavailable),
        }
    }
}

impl State {
    /// Spends from the budget for a fetch that `question` asks for, or gives the
    /// answer without one.
    fn may_fetch(
        &mut self,
        question: Question<'_>,
        denial: DenialReason,
        snapshot: &Snapshot,
        now: Moment,
    ) -> Result<FetchReason, DenialReason> {
        let is_answered = self.answered.contains(question, now.monotonic);
        if !is_answered && self.budget.try_spend(question.reason, now.monotonic) {
            return Ok(question.reason);
        }
        let is_certain = snapshot.is_fresh(now) || (is_answered && self.failures == 0);
        Err(if is_certain { denial } else { DenialReason::KeysUnavailable })
    }
}
