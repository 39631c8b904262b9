//! The keys of one issuer, kept current.
//!
//! 1. Readers see one immutable snapshot, swapped whole; they take no lock, and
//!    a key that is in it is handed out at once.
//! 2. One fetch at a time, in a task of its own: a caller that goes away takes
//!    nothing with it, and whoever arrives meanwhile shares the outcome.
//! 3. The set is fetched again at 80 % of its lifetime, by a task that ends with
//!    the cache, so that also an idle service learns of a withdrawn key.
//! 4. A key that is not in the set causes a fetch if the token bucket has one
//!    left. It is unknown (401) only if a fetch that succeeded lacks it; where
//!    the source failed, nothing is known (503).
//! 5. When fetches fail, the last good set is used on for 24 hours.
//! 6. A document without a usable key never replaces one that has some.
//! 7. The keys of a resolved issuer rest once none of its tokens was verified for an
//!    hour: they are not refreshed, and not used before they were fetched again.

mod refresh;
mod rest;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::task::AbortHandle;

use self::{
    refresh::{Flight, NOT_DUE, Progress, outcome},
    rest::Rest,
};
use super::{
    AlgorithmSet, KeySet, KeySource, KeySourceError, KeySourceErrorKind, SelectError, SignatureAlgorithm,
    VerifyingKey,
    budget::{AbsentKeys, REFILL, TokenBucket},
    jwk::MAX_KEY_ID_LEN,
};
#[cfg(feature = "metrics")]
use crate::jwks::metrics;
use crate::{clock::Clock, names::IssuerUrl, reason::DenialReason};

/// How long a set is used after the last fetch that confirmed it.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// The answer of [`KeyCache::resolve`].
pub(crate) enum Resolution {
    /// Known at once.
    Ready(Result<Arc<VerifyingKey>, DenialReason>),
    /// Known when a fetch has ended. The fetch goes on if this is dropped.
    Pending(PendingKey),
}

pub(crate) type PendingKey =
    Pin<Box<dyn Future<Output = Result<Arc<VerifyingKey>, DenialReason>> + Send + 'static>>;

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
    /// fetch, once the set was last confirmed more than 24 hours ago, and for a
    /// resolved issuer of which no token was verified for about an hour: the next
    /// one fetches the keys first.
    pub has_keys: bool,
    /// The usable keys of the last good set, one per published key and algorithm.
    pub key_count: usize,
    /// The entries of that set that are not used.
    pub skipped_count: usize,
    /// The time since the fetch that last brought or confirmed the set. `None`
    /// before the first one, and for keys that are part of the configuration.
    pub age: Option<Duration>,
    /// Why the latest fetch failed, if it did. Keys may be there all the same.
    pub last_error: Option<KeySourceErrorKind>,
}

/// The keys of one issuer.
pub(crate) struct KeyCache {
    issuer: IssuerUrl,
    algorithms: AlgorithmSet,
    /// `None` for keys given in the configuration, which never change.
    source: Option<Arc<dyn KeySource>>,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwapOption<Snapshot>,
    /// When the next refresh is due, in monotonic milliseconds. Written under
    /// the lock, read without.
    refresh_at: AtomicU64,
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
    confirmed_at: Duration,
    etag: Option<String>,
}

struct State {
    sequence: u64,
    flight: Option<Flight>,
    keeper: Option<AbortHandle>,
    budget: TokenBucket,
    absent: AbsentKeys,
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
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        #[cfg(feature = "metrics")]
        metrics::describe();
        Arc::new(Self::with(issuer, algorithms, Some(source), None, clock))
    }

    /// The same for an issuer of a resolver: its keys rest while nothing uses them,
    /// and metrics know them by `label`, together with its other issuers.
    pub(crate) fn of_resolver(
        issuer: IssuerUrl,
        algorithms: AlgorithmSet,
        source: Arc<dyn KeySource>,
        clock: Arc<dyn Clock>,
        label: Arc<str>,
    ) -> Arc<Self> {
        #[cfg(feature = "metrics")]
        metrics::describe();
        let rest = Rest::new(label, &*clock);
        let mut cache = Self::with(issuer, algorithms, Some(source), None, clock);
        cache.rest = Some(rest);
        Arc::new(cache)
    }

    /// A cache that holds `keys` and never fetches.
    pub(crate) fn fixed(issuer: IssuerUrl, keys: KeySet, clock: Arc<dyn Clock>) -> Arc<Self> {
        let confirmed_at = clock.monotonic();
        let snapshot = Snapshot { keys: Arc::new(keys), sequence: 0, epoch: 0, confirmed_at, etag: None };
        Arc::new(Self::with(issuer, AlgorithmSet::ALL, None, Some(Arc::new(snapshot)), clock))
    }

    fn with(
        issuer: IssuerUrl,
        algorithms: AlgorithmSet,
        source: Option<Arc<dyn KeySource>>,
        snapshot: Option<Arc<Snapshot>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            issuer,
            algorithms,
            source,
            clock,
            snapshot: ArcSwapOption::new(snapshot),
            refresh_at: AtomicU64::new(NOT_DUE),
            rest: None,
            state: Mutex::new(State {
                sequence: 0,
                flight: None,
                keeper: None,
                budget: TokenBucket::full(),
                absent: AbsentKeys::none(),
                failures: 0,
                retry_at: Duration::ZERO,
                last_error: None,
            }),
        }
    }

    /// Finds the key for a token with this `alg` and `kid`, by the rule of [`KeySet::select`].
    ///
    /// The caller has checked the token's header before: only what could be a
    /// token of this issuer may cause a fetch.
    pub(crate) fn resolve(self: &Arc<Self>, algorithm: SignatureAlgorithm, kid: Option<&str>) -> Resolution {
        let now = self.clock.monotonic();
        let snapshot = self.snapshot.load();
        if let Some(usable) = snapshot.as_deref().filter(|snapshot| self.is_usable(snapshot, now)) {
            self.refresh_if_due(now);
            match usable.keys.select(algorithm, kid) {
                Ok(key) => return Resolution::Ready(Ok(Arc::clone(key))),
                Err(SelectError::Unknown) => {}
                Err(error @ (SelectError::Mismatch | SelectError::Ambiguous)) => {
                    return Resolution::Ready(Err(error.into()));
                }
            }
        }
        self.look_again(algorithm, kid, sequence_of(snapshot.as_deref()), now)
    }

    /// The number of the current set of keys: it grows whenever a key is
    /// withdrawn or replaced. `None` if there are no keys to verify with, also
    /// because they are too old. Starts a refresh if one is due.
    ///
    /// What was verified under an older number holds only if its key
    /// [is published still](Self::is_current).
    pub(crate) fn current_epoch(self: &Arc<Self>) -> Option<u64> {
        let now = self.clock.monotonic();
        let snapshot = self.snapshot.load();
        let usable = snapshot.as_deref().filter(|snapshot| self.is_usable(snapshot, now));
        self.refresh_if_due(now);
        usable.map(|snapshot| snapshot.epoch)
    }

    /// Whether this very key, from an earlier [`resolve`](Self::resolve), is published still.
    pub(crate) fn is_current(&self, key: &Arc<VerifyingKey>) -> bool {
        let now = self.clock.monotonic();
        self.snapshot
            .load()
            .as_deref()
            .is_some_and(|snapshot| self.is_usable(snapshot, now) && snapshot.keys.holds(key))
    }

    /// How the cache is doing, as that of a configured issuer. Fetches nothing.
    pub(crate) fn status(&self) -> KeyStatus {
        let now = self.clock.monotonic();
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_deref();
        KeyStatus {
            issuer: self.issuer.clone(),
            is_resolved: false,
            has_keys: snapshot.is_some_and(|snapshot| self.is_usable(snapshot, now)),
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
        let now = self.clock.monotonic();
        let state = self.lock();
        if self.snapshot.load().as_deref().is_some_and(|snapshot| self.is_usable(snapshot, now)) {
            return Ok(None);
        }
        if let Some(flight) = &state.flight {
            return Ok(Some(flight.progress.clone()));
        }
        match &state.last_error {
            Some(error) if now < state.retry_at => Err(error.clone()),
            Some(_) | None => self.start_fetch(state, now).map(Some),
        }
    }

    /// The slow path: there are no keys, or the key is not among those of the
    /// snapshot numbered `seen`.
    fn look_again(
        self: &Arc<Self>,
        algorithm: SignatureAlgorithm,
        kid: Option<&str>,
        seen: Option<u64>,
        now: Duration,
    ) -> Resolution {
        if self.source.is_none() || kid.is_some_and(|kid| kid.len() > MAX_KEY_ID_LEN) {
            return Resolution::Ready(Err(DenialReason::KeyUnknown));
        }
        let mut state = self.lock();
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_deref();
        if sequence_of(snapshot) != seen {
            // A fetch landed between the look and the lock: as if we had waited for it.
            drop(state);
            return Resolution::Ready(self.answer(algorithm, kid, true));
        }
        let progress = if let Some(flight) = &state.flight {
            flight.progress.clone()
        } else {
            let denial = match snapshot.filter(|snapshot| self.is_usable(snapshot, now)) {
                Some(snapshot) => state.denial_without_fetch(snapshot, algorithm, kid, now),
                None => (now < state.retry_at).then_some(DenialReason::KeysUnavailable),
            };
            if let Some(denial) = denial {
                return Resolution::Ready(Err(denial));
            }
            match self.start_fetch(state, now) {
                Ok(progress) => progress,
                // Logged where it arose.
                Err(_) => return Resolution::Ready(Err(DenialReason::KeysUnavailable)),
            }
        };
        let (cache, kid) = (Arc::clone(self), kid.map(Box::<str>::from));
        Resolution::Pending(Box::pin(async move {
            let succeeded = outcome(progress).await.is_ok();
            cache.answer(algorithm, kid.as_deref(), succeeded)
        }))
    }

    /// What is known after a fetch has ended.
    fn answer(
        &self,
        algorithm: SignatureAlgorithm,
        kid: Option<&str>,
        succeeded: bool,
    ) -> Result<Arc<VerifyingKey>, DenialReason> {
        let now = self.clock.monotonic();
        let snapshot = self.snapshot.load();
        let Some(usable) = snapshot.as_deref().filter(|snapshot| self.is_usable(snapshot, now)) else {
            return Err(DenialReason::KeysUnavailable);
        };
        match usable.keys.select(algorithm, kid) {
            Ok(key) => Ok(Arc::clone(key)),
            Err(SelectError::Unknown) if !succeeded => Err(DenialReason::KeysUnavailable),
            Err(SelectError::Unknown) => {
                self.lock().absent.remember(algorithm, kid, now);
                Err(DenialReason::KeyUnknown)
            }
            Err(error @ (SelectError::Mismatch | SelectError::Ambiguous)) => Err(error.into()),
        }
    }

    fn is_usable(&self, snapshot: &Snapshot, now: Duration) -> bool {
        self.source.is_none() || (!self.rests() && snapshot.age(now) <= MAX_STALE)
    }

    /// No code panics while it holds the lock, and every step under it leaves a
    /// valid state, so a poisoned lock is taken as it is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The answer for a key that `snapshot` lacks, unless the source may be asked again.
    fn denial_without_fetch(
        &mut self,
        snapshot: &Snapshot,
        algorithm: SignatureAlgorithm,
        kid: Option<&str>,
        now: Duration,
    ) -> Option<DenialReason> {
        let absent = self.absent.contains(algorithm, kid, now);
        if !absent && self.budget.try_spend(now) {
            return None;
        }
        let is_certain = self.failures == 0 && (absent || snapshot.age(now) <= REFILL);
        Some(if is_certain { DenialReason::KeyUnknown } else { DenialReason::KeysUnavailable })
    }
}

impl Snapshot {
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.confirmed_at)
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

impl fmt::Debug for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Pending(_) => f.debug_tuple("Pending").finish_non_exhaustive(),
        }
    }
}

fn sequence_of(snapshot: Option<&Snapshot>) -> Option<u64> {
    snapshot.map(|snapshot| snapshot.sequence)
}

#[cfg(test)]
mod tests;
