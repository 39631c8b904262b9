//! The keys of one issuer, kept current.
//!
//! 1. Readers see one immutable snapshot, swapped whole; they take no lock, and
//!    a key that is in it is handed out at once.
//! 2. One fetch at a time, in a task of its own: a caller that goes away takes
//!    nothing with it, and callers that arrive meanwhile share the outcome. Each
//!    waits for a time of its own.
//! 3. The set is fetched again at 80 % of its lifetime, by a task that ends with
//!    the cache, so that also an idle service learns of a withdrawn key. Once it
//!    is older than the longest age, it is used only after an attempt to fetch it.
//! 4. A token that misses its key (unknown, for another algorithm, ambiguous, or
//!    one by which its signature does not verify) causes a fetch if the token
//!    bucket has one left. While the set is fresh by its own lifetime, what it
//!    lacks is refused (401) whatever becomes of that fetch. A refresh that is under
//!    way is waited for first, and is no answer to it. Later, only a fetch
//!    that succeeded makes that certain; where it failed, nothing is known (503).
//! 5. When fetches fail, the last good set is used on for the longest staleness.
//! 6. A document without a usable key never replaces a set that has some, except
//!    an explicitly empty one that the service asked for.
//! 7. Ages are those of the clock that counted more, wall or monotonic.
//! 8. The keys of a resolved issuer rest once none of its tokens was verified for an
//!    hour: they are not refreshed, and not used before they were fetched again.

mod limits;
mod lookup;
mod refresh;
mod rest;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::task::AbortHandle;

#[cfg(feature = "http-client")]
pub(crate) use self::refresh::FETCH_LIMIT;
use self::{
    limits::Deadline,
    refresh::{Flight, Progress, outcome},
    rest::Rest,
};
pub(crate) use self::{limits::KeyLimits, lookup::PendingKey};
#[cfg(feature = "metrics")]
use super::metrics;
use super::{
    AlgorithmSet, FetchReason, KeySet, KeySource, KeySourceError, KeySourceErrorKind, VerifyingKey,
    budget::{Answered, TokenBucket},
};
use crate::{
    clock::{Clock, Moment, Timestamp},
    names::IssuerUrl,
};

/// How one issuer's keys are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// Whose keys these are.
    pub issuer: IssuerUrl,
    /// Whether the issuer comes from an [`IssuerResolver`](crate::issuer::IssuerResolver),
    /// and not from the configuration.
    pub is_resolved: bool,
    /// Whether the issuer's tokens can be verified now. `false` before the first
    /// fetch, once the set was last confirmed longer ago than
    /// [`max_key_staleness`](crate::TrustedIssuer::max_key_staleness), after the
    /// issuer has withdrawn all of its keys, and for a resolved issuer of which no
    /// token was verified for about an hour: the next one fetches the keys first.
    pub has_keys: bool,
    /// The usable keys of the last good set, one per published key and algorithm.
    pub key_count: usize,
    /// The entries of that set that are not used.
    pub skipped_count: usize,
    /// The time since the fetch that last brought or confirmed the set, by the
    /// wall clock or the monotonic one, whichever counted more. `None` before the
    /// first one, and for keys that are part of the configuration.
    pub age: Option<Duration>,
    /// Why the latest fetch failed, if it did. Keys may be there all the same.
    pub last_error: Option<KeySourceErrorKind>,
}

/// What became of [`refresh_keys`](crate::Authenticator::refresh_keys) for one issuer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyRefresh {
    /// Whose keys these are.
    pub issuer: IssuerUrl,
    /// The keys that are in force now, or why none could be fetched. After a
    /// failure, the set from before is used on. Keys that are part of the
    /// configuration are not fetched, and are never a failure.
    pub outcome: Result<KeyStatus, KeySourceError>,
}

/// The keys of one issuer.
pub(crate) struct KeyCache {
    issuer: IssuerUrl,
    algorithms: AlgorithmSet,
    /// `None` for keys given in the configuration, which never change.
    source: Option<Arc<dyn KeySource>>,
    limits: KeyLimits,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwapOption<Snapshot>,
    /// When the next refresh is due. Written under the lock, read without.
    refresh_at: Deadline,
    /// When the set becomes too old to be used before it was asked for again.
    /// Written under the lock, read without.
    overdue_at: Deadline,
    /// For a resolved issuer: whether the keys rest, and what they are counted as.
    rest: Option<Rest>,
    state: Mutex<State>,
}

/// One set, as the fetch numbered `sequence` left it.
struct Snapshot {
    keys: Arc<KeySet>,
    sequence: u64,
    epoch: u64,
    /// When the fetch that confirmed the set began.
    confirmed_at: Moment,
    /// How long the set is fresh from then on, by its source's word within our limits.
    lifetime: Duration,
    etag: Option<String>,
}

struct State {
    sequence: u64,
    flight: Option<Flight>,
    keeper: Option<AbortHandle>,
    budget: TokenBucket,
    answered: Answered,
    /// Fetches that failed since the last one that succeeded.
    failures: u32,
    /// While there are no keys and the latest fetch failed: when a request may cause the next.
    retry_at: Duration,
    last_error: Option<KeySourceError>,
}

impl KeyCache {
    /// A cache that fetches from `source` when it is first asked.
    pub(crate) fn new(
        issuer: IssuerUrl,
        algorithms: AlgorithmSet,
        source: Arc<dyn KeySource>,
        limits: KeyLimits,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        #[cfg(feature = "metrics")]
        metrics::describe();
        Arc::new(Self::with(issuer, algorithms, Some((source, limits)), None, clock))
    }

    /// The same for an issuer of a resolver: its keys rest while nothing uses them,
    /// and metrics know them by `label`, together with its other issuers.
    pub(crate) fn of_resolver(
        issuer: IssuerUrl,
        algorithms: AlgorithmSet,
        source: Arc<dyn KeySource>,
        limits: KeyLimits,
        clock: Arc<dyn Clock>,
        label: Arc<str>,
    ) -> Arc<Self> {
        #[cfg(feature = "metrics")]
        metrics::describe();
        let rest = Rest::new(label, &*clock);
        let mut cache = Self::with(issuer, algorithms, Some((source, limits)), None, clock);
        cache.rest = Some(rest);
        Arc::new(cache)
    }

    /// A cache that holds `keys` and never fetches.
    pub(crate) fn fixed(issuer: IssuerUrl, keys: KeySet, clock: Arc<dyn Clock>) -> Arc<Self> {
        let snapshot = Snapshot {
            keys: Arc::new(keys),
            sequence: 0,
            epoch: 0,
            confirmed_at: Moment::of(&*clock),
            lifetime: Duration::MAX,
            etag: None,
        };
        Arc::new(Self::with(issuer, AlgorithmSet::ALL, None, Some(Arc::new(snapshot)), clock))
    }

    fn with(
        issuer: IssuerUrl,
        algorithms: AlgorithmSet,
        source: Option<(Arc<dyn KeySource>, KeyLimits)>,
        snapshot: Option<Arc<Snapshot>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (source, limits) = source.unzip();
        Self {
            issuer,
            algorithms,
            source,
            limits: limits.unwrap_or(KeyLimits::DEFAULT),
            clock,
            snapshot: ArcSwapOption::new(snapshot),
            refresh_at: Deadline::never(),
            overdue_at: Deadline::never(),
            rest: None,
            state: Mutex::new(State {
                sequence: 0,
                flight: None,
                keeper: None,
                budget: TokenBucket::full(),
                answered: Answered::none(),
                failures: 0,
                retry_at: Duration::ZERO,
                last_error: None,
            }),
        }
    }

    /// The number of the current set of keys: it grows whenever a key is
    /// withdrawn or replaced. `None` if there are no keys to verify with, also
    /// because they are too old. Starts a refresh if one is due.
    ///
    /// What was verified under an older number holds only if its key
    /// [is published still](Self::is_current).
    ///
    /// `wall` is the time of day, which the caller has read for other reasons.
    pub(crate) fn current_epoch(self: &Arc<Self>, wall: Timestamp) -> Option<u64> {
        let now = Moment { wall, monotonic: self.clock.monotonic() };
        let snapshot = self.snapshot.load();
        let usable = snapshot.as_deref().filter(|snapshot| self.is_usable(snapshot, now));
        self.refresh_if_due(now);
        usable.map(|snapshot| snapshot.epoch)
    }

    /// Whether this very key, from an earlier [`resolve`](Self::resolve), is published still.
    pub(crate) fn is_current(&self, key: &Arc<VerifyingKey>) -> bool {
        let now = Moment::of(&*self.clock);
        self.snapshot
            .load()
            .as_deref()
            .is_some_and(|snapshot| self.is_usable(snapshot, now) && snapshot.keys.holds(key))
    }

    /// How the cache is doing, as that of a configured issuer. Fetches nothing.
    pub(crate) fn status(&self) -> KeyStatus {
        let now = Moment::of(&*self.clock);
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_deref();
        KeyStatus {
            issuer: self.issuer.clone(),
            is_resolved: false,
            // A set that is overdue is fetched by the first request that needs it.
            has_keys: snapshot.is_some_and(|snapshot| {
                !snapshot.keys.is_empty() && !self.rests() && !self.is_stale(snapshot, now)
            }),
            key_count: snapshot.map_or(0, |snapshot| snapshot.keys.keys().len()),
            skipped_count: snapshot.map_or(0, |snapshot| snapshot.keys.skipped().len()),
            age: snapshot.filter(|_| self.source.is_some()).map(|snapshot| snapshot.age(now)),
            last_error: self.lock().last_error.as_ref().map(KeySourceError::kind),
        }
    }

    /// Makes sure that there are keys, fetching them if there are none.
    pub(crate) async fn warm_up(self: &Arc<Self>) -> Result<(), KeySourceError> {
        match self.begin_load()? {
            Some(progress) => outcome(progress).await,
            None => Ok(()),
        }
    }

    fn begin_load(self: &Arc<Self>) -> Result<Option<Progress>, KeySourceError> {
        let now = Moment::of(&*self.clock);
        let state = self.lock();
        if self.snapshot.load().as_deref().is_some_and(|snapshot| self.is_usable(snapshot, now)) {
            return Ok(None);
        }
        if let Some(flight) = &state.flight {
            return Ok(Some(flight.progress.clone()));
        }
        match &state.last_error {
            Some(error) if now.monotonic < state.retry_at => Err(error.clone()),
            Some(_) | None => self.start_fetch(state, FetchReason::Due, now).map(Some),
        }
    }

    /// Waits until the fetch under way has ended, if there is one: what it brings
    /// may be older than the call.
    pub(crate) async fn settle(&self) {
        let progress = self.lock().flight.as_ref().map(|flight| flight.progress.clone());
        if let Some(progress) = progress {
            // Its failure has been noted where it landed.
            drop(outcome(progress).await);
        }
    }

    /// Fetches the keys because the service asks, sharing a fetch that began since
    /// the last [`settle`](Self::settle), unless that is a mere refresh, which may not
    /// look for a set that has moved: it is waited for first. An explicitly empty set is
    /// taken as the withdrawal of all keys. A fetch has begun when this returns.
    pub(crate) fn refresh(
        self: &Arc<Self>,
    ) -> impl Future<Output = Result<(), KeySourceError>> + Send + use<> {
        let (cache, mut begun) = (Arc::clone(self), self.begin_refresh());
        async move {
            if let Ok(Some((progress, true))) = &begun {
                drop(outcome(progress.clone()).await);
                begun = cache.begin_refresh();
            }
            match begun? {
                Some((progress, _)) => outcome(progress).await,
                None => Ok(()),
            }
        }
    }

    /// The fetch, and whether it is a mere refresh.
    fn begin_refresh(self: &Arc<Self>) -> Result<Option<(Progress, bool)>, KeySourceError> {
        if self.source.is_none() {
            return Ok(None);
        }
        let mut state = self.lock();
        if let Some(flight) = &mut state.flight {
            flight.is_requested = true;
            return Ok(Some((flight.progress.clone(), flight.is_refresh)));
        }
        let progress = self.start_fetch(state, FetchReason::Requested, Moment::of(&*self.clock))?;
        Ok(Some((progress, false)))
    }

    /// Whether the set may be used as it is. One that is older than the longest
    /// age is not, until an attempt to fetch it again has ended: after the machine
    /// was asleep, for example.
    fn is_usable(&self, snapshot: &Snapshot, now: Moment) -> bool {
        !self.rests() && !self.is_stale(snapshot, now) && !self.overdue_at.has_come(now)
    }

    /// Whether the set was confirmed too long ago to be used at all.
    fn is_stale(&self, snapshot: &Snapshot, now: Moment) -> bool {
        self.source.is_some() && snapshot.age(now) > self.limits.max_staleness
    }

    /// No code panics while it holds the lock, and every step under it leaves a
    /// valid state, so a poisoned lock is taken as it is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    fn age(&self, now: Moment) -> Duration {
        self.confirmed_at.elapsed(now)
    }

    /// Whether the source's own word on how long the set is good still holds.
    fn is_fresh(&self, now: Moment) -> bool {
        self.age(now) <= self.lifetime
    }
}

impl Drop for KeyCache {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let fetch = state.flight.take().and_then(|flight| flight.task);
        for task in [fetch, state.keeper.take()].into_iter().flatten() {
            task.abort();
        }
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache")
            .field("issuer", &self.issuer)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
