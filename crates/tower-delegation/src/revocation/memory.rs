//! [`InMemoryRevocations`]: the revocations that this process was told of.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use fastbloom::AtomicBloomFilter;
use papaya::HashMap;

use super::{
    Revocation, RevocationKey, RevocationKind, RevocationListener, RevocationQuery, RevocationStore, Standing,
};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    hashed::HashedAlready,
};

/// How many revocations are kept where no other number is set.
pub const DEFAULT_CAPACITY: usize = 1_000_000;

/// How long a revocation is kept where it does not say so itself.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Revocations in the memory of this process. Clones share them.
///
/// Readers take no lock. An entry takes about 90 bytes, so a million takes 90 MB.
///
/// It is bounded, and nothing that is in force is ever dropped to make room. A
/// full store cannot take in one more revocation; so that the token in question
/// does not stay good, it then refuses every token that was issued before that
/// moment, and says so in an error. Clients come back with new tokens.
#[derive(Clone)]
pub struct InMemoryRevocations(Arc<Inner>);

struct Inner {
    entries: HashMap<u128, Entry, HashedAlready>,
    /// Says for most keys that they are not among the entries: six look-ups a
    /// request cost 300 ns in the map alone, and a fifth of that with the filter.
    filter: ArcSwap<AtomicBloomFilter<HashedAlready>>,
    /// Workloads among the entries, so that their keys are computed only where
    /// there is something to find.
    workloads: AtomicUsize,
    /// Every token issued up to here is refused, in Unix milliseconds.
    everything_before: AtomicI64,
    capacity: usize,
    retention: Duration,
    clock: Arc<dyn Clock>,
    /// Writers, one at a time.
    writing: Mutex<Writing>,
}

#[derive(Default)]
struct Writing {
    listeners: Vec<Weak<dyn RevocationListener>>,
    /// No entry ends before this: looking for ended ones is of no use until then.
    next_end: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Only tokens issued up to here.
    issued_before: Timestamp,
    until: Timestamp,
    is_workload: bool,
}

/// One key in fifty is looked up in vain. About a byte an entry.
fn new_filter(capacity: usize) -> AtomicBloomFilter<HashedAlready> {
    AtomicBloomFilter::with_false_pos(0.02).hasher(HashedAlready::default()).expected_items(capacity.max(1))
}

/// Later than any token.
const END_OF_TIME: Timestamp = Timestamp::from_unix_millis(i64::MAX);

impl InMemoryRevocations {
    /// An empty store with the default bounds and the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts a configuration.
    pub fn builder() -> InMemoryRevocationsBuilder {
        InMemoryRevocationsBuilder {
            capacity: DEFAULT_CAPACITY,
            retention: DEFAULT_RETENTION,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Takes in a revocation: it is in force for every request from here on.
    ///
    /// # Errors
    /// The store is full: see [the type](Self) for what it does then.
    pub fn revoke(&self, revocation: Revocation) -> Result<(), RevocationError> {
        self.revoke_each([revocation])
    }

    /// Takes in many revocations at once; listeners are told once.
    ///
    /// # Errors
    /// The store is full: see [the type](Self) for what it does then.
    pub fn revoke_each(
        &self,
        revocations: impl IntoIterator<Item = Revocation>,
    ) -> Result<(), RevocationError> {
        let mut writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Ok(());
        for revocation in revocations {
            outcome = outcome.and(self.0.insert(&mut writing, &revocation));
        }
        let listeners = writing.living();
        drop(writing);
        listeners.iter().for_each(|listener| listener.revoked());
        outcome
    }

    /// Refuses every token that was issued at or before the second of `time`,
    /// whoever it belongs to: for a compromised issuer key, or where it is not
    /// known what leaked. Cannot be taken back.
    pub fn revoke_everything_issued_before(&self, time: Timestamp) {
        self.0.refuse_everything(time);
        let listeners = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner).living();
        listeners.iter().for_each(|listener| listener.revoked());
    }

    /// How many revocations are held, ended ones that were not cleared yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Is nothing revoked?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty() && self.0.everything_before.load(Ordering::Acquire) == i64::MIN
    }
}

impl Default for InMemoryRevocations {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn insert(&self, writing: &mut Writing, revocation: &Revocation) -> Result<(), RevocationError> {
        let now = self.clock.now();
        let until = revocation.until.unwrap_or_else(|| now.saturating_add(self.retention));
        if until <= now {
            return Ok(());
        }
        let key = RevocationKey::of(&revocation.target);
        let is_workload = key.kind == RevocationKind::Workload;
        let entry = Entry {
            issued_before: revocation.issued_before.map_or(END_OF_TIME, end_of_second),
            until,
            is_workload,
        };
        let entries = self.entries.pin();
        let held = entries.get(&key.hash).copied();
        if held.is_none() && entries.len() >= self.capacity {
            self.clear_ended(writing, now);
            if entries.len() >= self.capacity {
                self.refuse_everything(now);
                tracing::error!(
                    capacity = self.capacity,
                    "the store of revocations is full: every token issued so far is refused instead"
                );
                return Err(RevocationError(Problem::Full { capacity: self.capacity }));
            }
        }
        if held.is_none() && is_workload {
            // Before the entry is there, so that nobody finds the one without the other.
            self.workloads.fetch_add(1, Ordering::AcqRel);
        }
        self.filter.load().insert(&key.hash);
        entries.insert(key.hash, held.map_or(entry, |held| held.and(entry)));
        writing.next_end = Some(writing.next_end.map_or(until, |next| next.min(until)));
        Ok(())
    }

    /// Drops what is no longer in force. Looks at all entries, so only when one
    /// can have ended.
    fn clear_ended(&self, writing: &mut Writing, now: Timestamp) {
        if writing.next_end.is_none_or(|next| now < next) {
            return;
        }
        let mut ended_workloads = 0;
        let mut next_end = None;
        let filter = new_filter(self.capacity);
        self.entries.pin().retain(|hash, entry| {
            let keep = now < entry.until;
            if keep {
                filter.insert(hash);
                next_end = Some(next_end.map_or(entry.until, |next: Timestamp| next.min(entry.until)));
            } else {
                ended_workloads += usize::from(entry.is_workload);
            }
            keep
        });
        // Nothing is inserted meanwhile: the writer is us.
        self.filter.store(Arc::new(filter));
        self.workloads.fetch_sub(ended_workloads, Ordering::AcqRel);
        writing.next_end = next_end;
    }

    fn refuse_everything(&self, issued_before: Timestamp) {
        let limit = end_of_second(issued_before).unix_millis();
        self.everything_before.fetch_max(limit, Ordering::AcqRel);
    }
}

impl Entry {
    /// In force wherever one of the two is.
    fn and(self, other: Self) -> Self {
        Self {
            issued_before: self.issued_before.max(other.issued_before),
            until: self.until.max(other.until),
            is_workload: self.is_workload,
        }
    }

    fn covers(&self, query: &RevocationQuery<'_>) -> bool {
        query.issued_at <= self.issued_before && query.now < self.until
    }
}

/// `iat` counts whole seconds: what was issued in the same second counts as before.
fn end_of_second(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis(time.unix_seconds().saturating_mul(1000).saturating_add(999))
}

impl Writing {
    fn living(&mut self) -> Vec<Arc<dyn RevocationListener>> {
        self.listeners.retain(|listener| listener.strong_count() > 0);
        self.listeners.iter().filter_map(Weak::upgrade).collect()
    }
}

impl RevocationStore for InMemoryRevocations {
    fn check(&self, query: &RevocationQuery<'_>) -> Standing {
        let inner = &*self.0;
        if query.issued_at.unix_millis() <= inner.everything_before.load(Ordering::Acquire) {
            return Standing::Revoked(RevocationKind::Everything);
        }
        if inner.entries.is_empty() {
            return Standing::Good;
        }
        let filter = inner.filter.load();
        let is_revoked = |key: &RevocationKey| {
            filter.contains(&key.hash)
                && inner.entries.pin().get(&key.hash).is_some_and(|entry| entry.covers(query))
        };
        if let Some(key) = query.keys.iter().find(|key| is_revoked(key)) {
            return Standing::Revoked(key.kind);
        }
        if let Some(workload) = query.workload
            && inner.workloads.load(Ordering::Acquire) > 0
        {
            let keys = [
                workload.spiffe_id().map(RevocationKey::of_workload),
                workload.thumbprint().map(RevocationKey::of_certificate),
            ];
            if keys.iter().flatten().any(is_revoked) {
                return Standing::Revoked(RevocationKind::Workload);
            }
        }
        Standing::Good
    }

    fn subscribe(&self, listener: Weak<dyn RevocationListener>) {
        let mut writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.listeners.push(listener);
    }
}

impl fmt::Debug for InMemoryRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryRevocations")
            .field("len", &self.len())
            .field("capacity", &self.0.capacity)
            .finish_non_exhaustive()
    }
}

/// Configures [`InMemoryRevocations`].
#[derive(Debug)]
#[must_use]
pub struct InMemoryRevocationsBuilder {
    capacity: usize,
    retention: Duration,
    clock: Arc<dyn Clock>,
}

impl InMemoryRevocationsBuilder {
    /// The most revocations that are kept. Default 1,000,000.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// How long a revocation is kept that does not say so itself. Default 24 h;
    /// no shorter than the longest life of a token.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// The clock that decides when a revocation ends. Default: the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// An empty store.
    #[must_use]
    pub fn build(self) -> InMemoryRevocations {
        InMemoryRevocations(Arc::new(Inner {
            entries: HashMap::default(),
            filter: ArcSwap::from_pointee(new_filter(self.capacity)),
            workloads: AtomicUsize::new(0),
            everything_before: AtomicI64::new(i64::MIN),
            capacity: self.capacity,
            retention: self.retention,
            clock: self.clock,
            writing: Mutex::default(),
        }))
    }
}

/// Why a revocation was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct RevocationError(Problem);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("the store holds {capacity} revocations and takes in no more; tokens issued so far are refused")]
    Full { capacity: usize },
}
