//! Fetching: one at a time, in a task of its own, and what becomes of the outcome.

use std::{
    sync::{Arc, MutexGuard, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use super::{KeyCache, Snapshot, State};
#[cfg(feature = "metrics")]
use crate::jwks::metrics::{self, Outcome};
use crate::{
    clock::{Clock, Sleep},
    jwks::{
        FetchedKeys, KeyRequest, KeySet, KeySource, KeySourceError, KeySourceErrorKind,
        budget::{REFILL, pause_after},
    },
    text::{Text, causes},
};

/// The lifetime of a set whose source names none.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// `max-age=0` cannot make every request fetch.
const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// `max-age=31536000` cannot keep a withdrawn key alive.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// The time for one fetch, which may be several HTTP exchanges.
const FETCH_LIMIT: Duration = Duration::from_secs(30);

/// In `refresh_at`: not before the fetch under way has landed, or never.
pub(super) const NOT_DUE: u64 = u64::MAX;

/// The fetch under way.
pub(super) struct Flight {
    sequence: u64,
    pub(super) progress: Progress,
    pub(super) task: Option<AbortHandle>,
}

/// `None` while the fetch is under way.
pub(super) type Progress = watch::Receiver<Option<Result<(), KeySourceError>>>;

impl KeyCache {
    /// Starts a refresh if it is time and none is under way. Costs one atomic
    /// read when it is not.
    pub(super) fn refresh_if_due(self: &Arc<Self>, now: Duration) {
        if self.is_due(now) {
            let state = self.lock();
            if state.flight.is_none() && self.is_due(now) {
                // Without a runtime the set ages; that has been logged.
                drop(self.start_fetch(state, now));
            }
        }
    }

    fn is_due(&self, now: Duration) -> bool {
        millis(now) >= self.refresh_at.load(Ordering::Relaxed)
    }

    /// Starts a fetch in a task of its own. The caller has seen, under the lock
    /// that it hands over, that none is under way.
    pub(super) fn start_fetch(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        now: Duration,
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
        state.flight = Some(Flight { sequence, progress: progress.clone(), task: None });
        self.refresh_at.store(NOT_DUE, Ordering::Relaxed);
        let needs_keeper = state.keeper.as_ref().is_none_or(AbortHandle::is_finished);
        // A runtime that is shutting down drops the task on the spot, and with
        // it the landing, which takes the lock.
        drop(state);

        let landing =
            Landing { cache: Arc::downgrade(self), sequence, started_at: now, sender: Some(sender) };
        let etag = self.snapshot.load().as_deref().and_then(|snapshot| snapshot.etag.clone());
        let task = runtime.spawn(fetch(source, etag, Arc::clone(&self.clock), landing)).abort_handle();
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
        started_at: Duration,
        fetched: Result<FetchedKeys, KeySourceError>,
    ) -> Result<(), KeySourceError> {
        #[cfg(feature = "metrics")]
        let previous = self.snapshot.load_full();
        let landed = self.take_in(sequence, started_at, fetched);
        // Not under the lock: the recorder is somebody else's code.
        #[cfg(feature = "metrics")]
        self.count(previous.as_deref(), started_at, landed.as_ref().err());
        landed
    }

    fn take_in(
        &self,
        sequence: u64,
        started_at: Duration,
        fetched: Result<FetchedKeys, KeySourceError>,
    ) -> Result<(), KeySourceError> {
        let previous = self.snapshot.load_full();
        let max_age = fetched.as_ref().ok().and_then(|fetched| fetched.max_age);
        let read = fetched.and_then(|fetched| self.read(fetched, previous.as_deref(), sequence, started_at));

        let mut state = self.lock();
        // Only the fetch under way may land: an older answer never replaces a newer one.
        if state.flight.as_ref().is_none_or(|flight| flight.sequence != sequence) {
            return Err(KeySourceErrorKind::Interrupted.into());
        }
        state.flight = None;
        match read {
            Ok(snapshot) => {
                state.failures = 0;
                state.last_error = None;
                state.absent.forget_all();
                self.wake();
                self.snapshot.store(Some(Arc::new(snapshot)));
                let lifetime = max_age.unwrap_or(DEFAULT_LIFETIME).clamp(MIN_LIFETIME, MAX_LIFETIME);
                let due = started_at.saturating_add(lifetime / 5 * 4);
                self.refresh_at.store(millis(due), Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let (now, pause) = (self.clock.monotonic(), pause_after(state.failures));
                // Requests that have nothing to go by wait for less than a background refresh.
                state.retry_at = now.saturating_add(pause.min(REFILL));
                state.last_error = Some(error.clone());
                self.refresh_at.store(millis(now.saturating_add(pause)), Ordering::Relaxed);
                let failures = state.failures;
                drop(state);
                tracing::warn!(
                    issuer = %Text::new(self.issuer.as_str()), error = %Text::account(&error.to_string()),
                    cause = %Text::account(&causes(&error)), failures,
                    has_keys = previous.is_some(), "the issuer's keys could not be fetched"
                );
                Err(error)
            }
        }
    }

    fn read(
        &self,
        fetched: FetchedKeys,
        previous: Option<&Snapshot>,
        sequence: u64,
        confirmed_at: Duration,
    ) -> Result<Snapshot, KeySourceError> {
        let Some(document) = fetched.document else {
            // Not modified: an answer only to a request that carried an `ETag`.
            let previous = previous.filter(|previous| previous.etag.is_some());
            let previous = previous.ok_or(KeySourceErrorKind::Refused)?;
            return Ok(Snapshot {
                keys: Arc::clone(&previous.keys),
                sequence,
                epoch: previous.epoch,
                confirmed_at,
                etag: fetched.etag.or_else(|| previous.etag.clone()),
            });
        };
        let mut keys = KeySet::parse_of(self.issuer.as_str(), &document, self.algorithms)
            .map_err(|error| KeySourceError::new(KeySourceErrorKind::DocumentInvalid, error))?;
        for skipped in keys.skipped() {
            if skipped.reason.is_exposed_secret() {
                tracing::warn!(issuer = %Text::new(self.issuer.as_str()),
                    kid = %Text::new(skipped.kid.as_deref().unwrap_or_default()),
                    reason = %Text::account(&skipped.reason.to_string()),
                    "the issuer publishes a secret in its key set");
            } else {
                tracing::debug!(issuer = %Text::new(self.issuer.as_str()),
                    kid = %Text::new(skipped.kid.as_deref().unwrap_or_default()),
                    reason = %Text::account(&skipped.reason.to_string()), "a key is skipped");
            }
        }
        if keys.is_empty() {
            return Err(KeySourceErrorKind::NoUsableKey.into());
        }
        let withdrawn = previous.is_some_and(|previous| keys.succeed(&previous.keys));
        let epoch = previous.map_or(0, |previous| previous.epoch) + u64::from(withdrawn);
        Ok(Snapshot { keys: Arc::new(keys), sequence, epoch, confirmed_at, etag: fetched.etag })
    }

    #[cfg(feature = "metrics")]
    fn count(&self, previous: Option<&Snapshot>, started_at: Duration, error: Option<&KeySourceError>) {
        let current = self.snapshot.load();
        let outcome = match (error, current.as_deref(), previous) {
            (Some(error), ..) => Outcome::Failed(error.kind()),
            (None, Some(current), Some(previous)) if Arc::ptr_eq(&current.keys, &previous.keys) => {
                Outcome::NotModified
            }
            (None, current, _) => {
                Outcome::Changed { keys: current.map_or(0, |current| current.keys.keys().len()) }
            }
        };
        let elapsed = self.clock.monotonic().saturating_sub(started_at);
        let began = self.clock.now().saturating_sub(elapsed);
        match &self.rest {
            Some(rest) => metrics::fetched_for_resolver(rest.label(), outcome),
            None => metrics::fetched(&self.issuer, outcome, began),
        }
    }

    fn next_step(self: &Arc<Self>) -> Option<KeeperStep> {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        if let Some(flight) = &state.flight {
            return Some(KeeperStep::Await(flight.progress.clone()));
        }
        if self.is_due(now) && self.falls_asleep(&mut state, now) {
            return None;
        }
        if self.is_due(now) {
            // The error is for a cache without source or runtime: it needs no keeper.
            return self.start_fetch(state, now).map(KeeperStep::Await).ok();
        }
        let due = Duration::from_millis(self.refresh_at.load(Ordering::Relaxed));
        Some(KeeperStep::Sleep(self.clock.sleep_until(due)))
    }
}

/// The end of a fetch: also of one that panics or is cut off, so that nobody
/// waits for a fetch that is no more.
struct Landing {
    cache: Weak<KeyCache>,
    sequence: u64,
    started_at: Duration,
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
    clock: Arc<dyn Clock>,
    mut landing: Landing,
) {
    let deadline = landing.started_at.saturating_add(FETCH_LIMIT);
    let fetched = tokio::select! {
        fetched = source.fetch(KeyRequest { etag: etag.as_deref() }) => fetched,
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

/// Waits for a fetch to end. A sender that is gone is a fetch that was cut off.
pub(super) async fn outcome(mut progress: Progress) -> Result<(), KeySourceError> {
    match progress.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(KeySourceErrorKind::Interrupted.into())),
        Err(closed) => Err(KeySourceError::new(KeySourceErrorKind::Interrupted, closed)),
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NOT_DUE)
}
