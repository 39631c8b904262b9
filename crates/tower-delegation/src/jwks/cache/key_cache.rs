//! [`KeyCache`]: the set that is in force, and what is known about the next one.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::task::AbortHandle;

use super::{
    flight::Flight,
    limits::{Deadline, KeyLimits},
    rest::Rest,
};
#[cfg(feature = "metrics")]
use crate::jwks::metrics;
use crate::{
    clock::{Clock, Moment, Timestamp},
    jwks::{
        AlgorithmSet, KeySet, KeySource, KeySourceError, VerifyingKey,
        budget::{Answered, TokenBucket},
    },
    names::IssuerUrl,
};

/// The keys of one issuer.
pub(crate) struct KeyCache {
    pub(super) issuer: IssuerUrl,
    pub(super) algorithms: AlgorithmSet,
    /// `None` for keys given in the configuration, which never change.
    pub(super) source: Option<Arc<dyn KeySource>>,
    pub(super) limits: KeyLimits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) snapshot: ArcSwapOption<Snapshot>,
    /// When the next refresh is due. Written under the lock, read without.
    pub(super) refresh_at: Deadline,
    /// When the set becomes too old to be used before it was asked for again.
    /// Written under the lock, read without.
    pub(super) overdue_at: Deadline,
    /// For a resolved issuer: whether the keys rest, and what they are counted as.
    pub(super) rest: Option<Rest>,
    pub(super) state: Mutex<State>,
}

/// One set, as the fetch numbered `sequence` left it.
pub(super) struct Snapshot {
    pub(super) keys: Arc<KeySet>,
    pub(super) sequence: u64,
    pub(super) epoch: u64,
    /// When the fetch that confirmed the set began.
    pub(super) confirmed_at: Moment,
    /// How long the set is fresh from then on, by its source's word within our limits.
    pub(super) lifetime: Duration,
    pub(super) etag: Option<String>,
}

pub(super) struct State {
    pub(super) sequence: u64,
    pub(super) flight: Option<Flight>,
    pub(super) keeper: Option<AbortHandle>,
    pub(super) budget: TokenBucket,
    pub(super) answered: Answered,
    /// Fetches that failed since the last one that succeeded.
    pub(super) failures: u32,
    /// While there are no keys and the latest fetch failed: when a request may cause the next.
    pub(super) retry_at: Duration,
    pub(super) last_error: Option<KeySourceError>,
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
    /// `now` is the moment of the request.
    pub(crate) fn current_epoch(self: &Arc<Self>, now: Moment) -> Option<u64> {
        let snapshot = self.snapshot.load();
        let usable = snapshot.as_deref().filter(|snapshot| self.is_usable(snapshot, now));
        self.refresh_if_due(now);
        usable.map(|snapshot| snapshot.epoch)
    }

    /// Whether the set is still that of `epoch`, and may be used, as far as the wall clock
    /// tells. Fetches nothing.
    pub(crate) fn is_unmoved(&self, epoch: u64, wall: Timestamp) -> bool {
        let now = Moment { wall, monotonic: Duration::ZERO };
        let snapshot = self.snapshot.load();
        snapshot.as_deref().is_some_and(|snapshot| snapshot.epoch == epoch && self.is_usable(snapshot, now))
    }

    /// Whether this very key, from an earlier [`resolve`](Self::resolve), is published still.
    pub(crate) fn is_current(&self, key: &Arc<VerifyingKey>, now: Moment) -> bool {
        self.snapshot
            .load()
            .as_deref()
            .is_some_and(|snapshot| self.is_usable(snapshot, now) && snapshot.keys.holds(key))
    }

    /// A key of these has verified a token. Costs nothing for a configured issuer.
    pub(crate) fn mark_used(&self) {
        if let Some(rest) = &self.rest {
            rest.mark_used(&*self.clock);
        }
    }

    /// Ends the refreshing at once: the issuer is trusted no longer, or has other keys.
    pub(crate) fn retire(&self) {
        let Some(rest) = &self.rest else { return };
        rest.begin();
        let keeper = self.lock().keeper.take();
        if let Some(keeper) = keeper {
            keeper.abort();
        }
    }

    /// Begins to rest if nothing has used the keys for long enough. The caller is the
    /// keeper, which then ends.
    pub(super) fn falls_asleep(&self, state: &mut State, now: Moment) -> bool {
        let falls_asleep = self.rest.as_ref().is_some_and(|rest| rest.begin_if_idle(now));
        if falls_asleep {
            // The next fetch starts another keeper.
            state.keeper = None;
        }
        falls_asleep
    }

    /// A fetch has brought or confirmed the keys.
    pub(super) fn wake(&self) {
        if let Some(rest) = &self.rest {
            rest.end();
        }
    }

    pub(crate) fn rests(&self) -> bool {
        self.rest.as_ref().is_some_and(Rest::is_resting)
    }

    /// Whether the set may be used as it is. One that is older than the longest
    /// age is not, until an attempt to fetch it again has ended: after the machine
    /// was asleep, for example.
    pub(super) fn is_usable(&self, snapshot: &Snapshot, now: Moment) -> bool {
        !self.rests() && !self.is_stale(snapshot, now) && !self.overdue_at.has_come(now)
    }

    /// Whether the set was confirmed too long ago to be used at all.
    pub(super) fn is_stale(&self, snapshot: &Snapshot, now: Moment) -> bool {
        self.source.is_some() && snapshot.age(now) > self.limits.max_staleness
    }

    /// No code panics while it holds the lock, and every step under it leaves a
    /// valid state, so a poisoned lock is taken as it is.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    pub(super) fn age(&self, now: Moment) -> Duration {
        self.confirmed_at.elapsed(now)
    }

    /// Whether the source's own word on how long the set is good still holds.
    pub(super) fn is_fresh(&self, now: Moment) -> bool {
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
