//! Fetching: one at a time, in a task of its own, and what becomes of the outcome.

use std::{
    sync::{Arc, MutexGuard, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use super::{
    flight::{Flight, Progress, outcome},
    key_cache::{KeyCache, Snapshot, State},
    limits::KeyLimits,
};
#[cfg(feature = "metrics")]
use crate::jwks::metrics::{self, FetchOutcome};
use crate::{
    clock::{Clock, Moment, Sleep},
    jwks::{
        FetchReason, FetchedKeys, KeyRequest, KeySet, KeySource, KeySourceError, KeySourceErrorKind,
        SkippedKey,
        budget::{REFILL, pause_after},
    },
    text::{Text, causes},
};

/// The lifetime of a set whose source names none.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// `max-age=0` cannot make every request fetch.
const MIN_LIFETIME: Duration = Duration::from_secs(60);

/// The time for one fetch, which may be several HTTP exchanges.
pub(crate) const FETCH_LIMIT: Duration = Duration::from_secs(45);

/// How long the task that keeps the keys fresh sleeps at a time: its sleep does
/// not count the time for which the machine is asleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl KeyCache {
    /// Starts a refresh if it is time and none is under way. Costs one atomic
    /// read when it is not.
    pub(super) fn refresh_if_due(self: &Arc<Self>, now: Moment) {
        if self.refresh_at.has_come(now) {
            let state = self.lock();
            if state.flight.is_none() && self.refresh_at.has_come(now) {
                // Without a runtime the set ages; that has been logged.
                drop(self.start_fetch(state, FetchReason::Due, now));
            }
        }
    }

    /// Starts a fetch in a task of its own. The caller has seen, under the lock
    /// that it hands over, that none is under way.
    pub(super) fn start_fetch(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        reason: FetchReason,
        now: Moment,
    ) -> Result<Progress, KeySourceError> {
        let Some(source) = self.source.clone() else {
            return Err(KeySourceErrorKind::Refused.into());
        };
        let runtime = match Handle::try_current() {
            Ok(runtime) => runtime,
            Err(error) => {
                let error = KeySourceError::new(KeySourceErrorKind::NoRuntime, error);
                let said = state.last_error.replace(error.clone());
                if said.is_none_or(|said| said.kind() != KeySourceErrorKind::NoRuntime) {
                    tracing::error!(issuer = %Text::new(self.issuer.as_str()), error = %Text::account(&error.to_string()),
                        "the issuer's keys cannot be fetched");
                }
                return Err(error);
            }
        };
        state.sequence += 1;
        let sequence = state.sequence;
        let (sender, progress) = watch::channel(None);
        let is_requested = reason == FetchReason::Requested;
        let is_in_use = self.snapshot.load().as_deref().is_some_and(|held| self.is_usable(held, now));
        let is_refresh = reason == FetchReason::Due && is_in_use;
        let flight = Flight { sequence, progress: progress.clone(), task: None, is_requested, is_refresh };
        state.flight = Some(flight);
        // Not before this fetch has landed.
        self.refresh_at.set_never();
        let needs_keeper = state.keeper.as_ref().is_none_or(AbortHandle::is_finished);
        // A runtime that is shutting down drops the task on the spot, and with
        // it the landing, which takes the lock.
        drop(state);

        let landing =
            Landing { cache: Arc::downgrade(self), sequence, started_at: now, sender: Some(sender) };
        let etag = self.snapshot.load().as_deref().and_then(|snapshot| snapshot.etag.clone());
        let task =
            runtime.spawn(fetch(source, etag, reason, Arc::clone(&self.clock), landing)).abort_handle();
        let keeper = needs_keeper.then(|| runtime.spawn(keep_fresh(Arc::downgrade(self))).abort_handle());

        let mut state = self.lock();
        if let Some(flight) = state.flight.as_mut().filter(|flight| flight.sequence == sequence) {
            flight.task = Some(task);
        }
        if let Some(former) = keeper.and_then(|keeper| state.keeper.replace(keeper)) {
            former.abort();
        }
        Ok(progress)
    }

    /// Takes in what the fetch numbered `sequence` brought, and counts it.
    pub(super) fn land(
        &self,
        sequence: u64,
        started_at: Moment,
        fetched: Result<FetchedKeys, KeySourceError>,
    ) -> Result<(), KeySourceError> {
        #[cfg(feature = "metrics")]
        let previous = self.snapshot.load_full();
        let landed = self.take_in(sequence, started_at, fetched);
        // Not under the lock: the recorder is the service's code.
        #[cfg(feature = "metrics")]
        self.count(previous.as_deref(), started_at, landed.as_ref().err());
        landed
    }

    fn take_in(
        &self,
        sequence: u64,
        started_at: Moment,
        fetched: Result<FetchedKeys, KeySourceError>,
    ) -> Result<(), KeySourceError> {
        let previous = self.snapshot.load_full();
        let read = fetched.and_then(|fetched| self.read(fetched, previous.as_deref()));

        let mut state = self.lock();
        // Only the fetch under way may land: an older answer never replaces a newer one.
        let Some(flight) = state.flight.take_if(|flight| flight.sequence == sequence) else {
            return Err(KeySourceErrorKind::Interrupted.into());
        };
        let had_keys = previous.as_deref().is_some_and(|previous| !previous.keys.is_empty());
        let admitted = read.and_then(|candidate| {
            // A set that was empty may stay so.
            candidate.check(flight.is_requested || (previous.is_some() && !had_keys)).map(|()| candidate)
        });
        match admitted {
            Ok(candidate) => {
                state.failures = 0;
                state.last_error = None;
                state.answered.forget_all();
                self.wake();
                let withdraws_all = candidate.keys.is_empty() && had_keys;
                let snapshot =
                    candidate.into_snapshot(previous.as_deref(), sequence, started_at, &self.limits);
                self.refresh_at.set(started_at.saturating_add(snapshot.lifetime / 5 * 4));
                self.overdue_at.set(started_at.saturating_add(self.limits.max_age));
                self.snapshot.store(Some(Arc::new(snapshot)));
                drop(state);
                if withdraws_all {
                    tracing::warn!(issuer = %Text::new(self.issuer.as_str()), "the issuer has withdrawn all of its keys");
                }
                Ok(())
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let (now, pause) = (Moment::of(&*self.clock), pause_after(state.failures));
                // Requests that have nothing to go by wait for less than a background refresh.
                state.retry_at = now.monotonic.saturating_add(pause.min(REFILL));
                state.last_error = Some(error.clone());
                self.refresh_at.set(now.saturating_add(pause));
                // It was asked for: the last good set may bridge the outage.
                self.overdue_at.set(now.saturating_add(self.limits.max_age));
                let failures = state.failures;
                drop(state);
                tracing::warn!(
                    issuer = %Text::new(self.issuer.as_str()), error = %Text::account(&error.to_string()),
                    cause = %Text::account(&causes(&error)), failures,
                    had_keys, "the issuer's keys could not be fetched"
                );
                Err(error)
            }
        }
    }

    /// Reads what a fetch brought, without the lock.
    fn read(&self, fetched: FetchedKeys, previous: Option<&Snapshot>) -> Result<Candidate, KeySourceError> {
        let FetchedKeys { document, etag, max_age } = fetched;
        let Some(document) = document else {
            // Not modified: an answer only to a request that carried an `ETag`.
            let previous = previous.filter(|previous| previous.etag.is_some());
            let previous = previous.ok_or(KeySourceErrorKind::Refused)?;
            let etag = etag.or_else(|| previous.etag.clone());
            return Ok(Candidate { keys: Arc::clone(&previous.keys), withdraws: false, etag, max_age });
        };
        let mut keys = KeySet::parse_of(self.issuer.as_str(), &document, self.algorithms)
            .map_err(|error| KeySourceError::new(KeySourceErrorKind::DocumentInvalid, error))?;
        if previous.is_none_or(|previous| previous.keys.skipped() != keys.skipped()) {
            self.report_skipped(keys.skipped());
        }
        let withdraws = previous.is_some_and(|previous| keys.succeed(&previous.keys));
        Ok(Candidate { keys: Arc::new(keys), withdraws, etag, max_age })
    }

    /// Logs which entries of a set are not used, when that has changed.
    fn report_skipped(&self, skipped: &[SkippedKey]) {
        if skipped.is_empty() {
            return;
        }
        let (issuer, list) = (self.issuer.as_str(), list(skipped));
        if skipped.iter().all(|key| key.reason.is_expected()) {
            tracing::debug!(
                issuer = %Text::new(issuer), skipped = %Text::account(&list),
                "keys of the issuer's set are not for its tokens"
            );
        } else {
            tracing::warn!(
                issuer = %Text::new(issuer), skipped = %Text::account(&list),
                "keys of the issuer's set are not usable"
            );
        }
        for key in skipped.iter().filter(|key| key.exposes_secret) {
            tracing::warn!(
                issuer = %Text::new(issuer), kid = %Text::new(key.kid.as_deref().unwrap_or_default()),
                reason = %Text::account(&key.reason.to_string()), "the issuer publishes a secret in its key set"
            );
        }
    }

    #[cfg(feature = "metrics")]
    fn count(&self, previous: Option<&Snapshot>, started_at: Moment, error: Option<&KeySourceError>) {
        let current = self.snapshot.load();
        let outcome = match (error, current.as_deref(), previous) {
            (Some(error), ..) => FetchOutcome::Failed(error.kind()),
            (None, Some(current), Some(previous)) if Arc::ptr_eq(&current.keys, &previous.keys) => {
                FetchOutcome::NotModified
            }
            (None, current, _) => {
                FetchOutcome::Changed { keys: current.map_or(0, |current| current.keys.keys().len()) }
            }
        };
        match &self.rest {
            Some(rest) => metrics::fetched_for_resolver(rest.label(), outcome),
            None => metrics::fetched(&self.issuer, outcome, started_at.wall),
        }
    }

    fn next_step(self: &Arc<Self>) -> Option<KeeperStep> {
        let now = Moment::of(&*self.clock);
        let mut state = self.lock();
        if let Some(flight) = &state.flight {
            return Some(KeeperStep::Await(flight.progress.clone()));
        }
        if self.refresh_at.has_come(now) && self.falls_asleep(&mut state, now) {
            return None;
        }
        if self.refresh_at.has_come(now) {
            // The error is for a cache without source or runtime: it needs no keeper.
            return self.start_fetch(state, FetchReason::Due, now).map(KeeperStep::Await).ok();
        }
        let wake = self.refresh_at.monotonic().min(now.monotonic.saturating_add(LONGEST_SLEEP));
        Some(KeeperStep::Sleep(self.clock.sleep_until(wake)))
    }
}

/// What a fetch brought, before it is known whether it may replace the set in use.
struct Candidate {
    keys: Arc<KeySet>,
    /// Whether a key of the set in use is gone.
    withdraws: bool,
    etag: Option<String>,
    max_age: Option<Duration>,
}

impl Candidate {
    /// A set without a usable key is an error, unless it is explicitly empty and
    /// may be.
    fn check(&self, may_be_empty: bool) -> Result<(), KeySourceError> {
        let no_usable_key = |cause: String| KeySourceError::new(KeySourceErrorKind::NoUsableKey, cause);
        match self.keys.skipped() {
            _ if !self.keys.is_empty() => Ok(()),
            [] if may_be_empty => Ok(()),
            [] => Err(no_usable_key("it is empty, which withdraws keys only by `refresh_keys`".to_owned())),
            skipped => Err(no_usable_key(list(skipped))),
        }
    }

    fn into_snapshot(
        self,
        previous: Option<&Snapshot>,
        sequence: u64,
        confirmed_at: Moment,
        limits: &KeyLimits,
    ) -> Snapshot {
        let lifetime = self.max_age.unwrap_or(DEFAULT_LIFETIME).max(MIN_LIFETIME).min(limits.max_age);
        let epoch = previous.map_or(0, |previous| previous.epoch) + u64::from(self.withdraws);
        Snapshot { keys: self.keys, sequence, epoch, confirmed_at, lifetime, etag: self.etag }
    }
}

/// The end of a fetch: also of one that panics or is cut off, so that no caller
/// waits for a fetch that is no more.
struct Landing {
    cache: Weak<KeyCache>,
    sequence: u64,
    started_at: Moment,
    sender: Option<watch::Sender<Option<Result<(), KeySourceError>>>>,
}

impl Landing {
    fn land(&mut self, fetched: Result<FetchedKeys, KeySourceError>) {
        if let (Some(sender), Some(cache)) = (self.sender.take(), self.cache.upgrade()) {
            sender.send_replace(Some(cache.land(self.sequence, self.started_at, fetched)));
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.land(Err(KeySourceErrorKind::Interrupted.into()));
    }
}

async fn fetch(
    source: Arc<dyn KeySource>,
    etag: Option<String>,
    reason: FetchReason,
    clock: Arc<dyn Clock>,
    mut landing: Landing,
) {
    let deadline = landing.started_at.monotonic.saturating_add(FETCH_LIMIT);
    let request = KeyRequest { etag: etag.as_deref(), reason };
    let fetched = tokio::select! {
        fetched = source.fetch(request) => fetched,
        () = clock.sleep_until(deadline) => Err(KeySourceErrorKind::Timeout.into()),
    };
    landing.land(fetched);
}

enum KeeperStep {
    Await(Progress),
    Sleep(Sleep),
}

/// Refreshes the keys when they are due, until the cache is dropped.
async fn keep_fresh(cache: Weak<KeyCache>) {
    while let Some(step) = cache.upgrade().and_then(|cache| cache.next_step()) {
        match step {
            KeeperStep::Sleep(sleep) => sleep.await,
            // Its failure has been noted where it landed; the next step is the pause.
            KeeperStep::Await(progress) => drop(outcome(progress).await),
        }
    }
}

/// The skipped entries in one line: for [`Text::account`], because their names are the document's.
fn list(skipped: &[SkippedKey]) -> String {
    let texts: Vec<String> = skipped.iter().map(ToString::to_string).collect();
    texts.join(", ")
}
