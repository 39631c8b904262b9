//! [`InMemoryRevocations`]: the revocations that this process was given.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use fastbloom::AtomicBloomFilter;
use papaya::HashMap;

use super::{
    RevocationStore, Standing,
    error::{Problem, RevocationError, RevocationErrorKind, RevocationErrors},
    ledger::Ledger,
    listener::{RevocationListener, TargetMismatch},
    query::RevocationQuery,
    record::{END_OF_TIME, Reach, Revocation, check_issued_before, end_of_second},
    reserve::Reserve,
    sink::{RevocationFuture, RevocationList, RevocationPage, RevocationSink},
    snapshot::RevocationSnapshot,
    target::{RevocationKey, RevocationKind, RevocationTarget},
};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    hashed::HashedAlready,
    names::IssuerUrl,
};

/// How many revocations are kept where no other number is set.
pub const DEFAULT_CAPACITY: usize = 1_000_000;

/// Revocations in the memory of this process. Clones share them.
///
/// Readers take no lock. An entry takes about 100 bytes for the readers and about
/// 300 for the list, with identifiers and reasons of the usual length: a million
/// takes 400 MB. An entry never takes more than 4 KiB, whatever the identifiers.
///
/// It is bounded, and nothing that is in force is ever dropped to make room. A
/// revocation that ends by itself makes room once it has ended. When the store is
/// full and is asked to take in one more revocation:
///
/// 1. The first time in the life of the store, every token that was issued before
///    that moment is refused, and an error is logged. Clients come back with new
///    tokens. That moment never moves by itself.
/// 2. What the revocation names is refused, whenever issued, until the process
///    ends: it is kept as a hash in a reserve of fixed size. It is in no list and
///    in no snapshot and cannot be lifted. In rare cases, one in a million, the reserve
///    takes something else for it, which is refused as well.
/// 3. The caller gets an error of the kind
///    [`Full`](RevocationErrorKind::Full), so that room is made: by lifting what
///    is not needed, or by a larger [`capacity`](InMemoryRevocationsBuilder::capacity).
#[derive(Clone)]
pub struct InMemoryRevocations(Arc<Inner>);

struct Inner {
    entries: HashMap<u128, Entry, HashedAlready>,
    /// Says for most keys that they are not among the entries: six look-ups a
    /// request cost 300 ns in the map alone, and a fifth of that with the filter.
    filter: ArcSwap<AtomicBloomFilter<HashedAlready>>,
    /// Entries and keys of the reserve. The map's own count is a sum over shards,
    /// which can be zero for a moment while one entry comes and another goes.
    held: AtomicUsize,
    /// Workloads among them, so that their keys are computed only where
    /// there is something to find.
    workloads: AtomicUsize,
    /// Every token issued up to here is refused, in Unix milliseconds.
    everything_before: AtomicI64,
    /// Made when the store is full for the first time.
    reserve: OnceLock<Reserve>,
    capacity: usize,
    /// Who vouches for actors, and is trusted for no tokens.
    actor_issuers: HashSet<IssuerUrl>,
    clock: Arc<dyn Clock>,
    /// Writers, one at a time.
    writing: Mutex<Writing>,
}

#[derive(Default)]
struct Writing {
    ledger: Ledger,
    listeners: Vec<Weak<dyn RevocationListener>>,
    /// From this number on, revocations were taken in while there was no layer to
    /// judge them.
    unjudged_from: Option<u64>,
    /// No entry ends before this: looking for ended ones is of no use until then.
    next_end: Option<Timestamp>,
    /// How many keys are in the filter and no more among the entries.
    stale: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    reach: Reach,
    /// Where the ledger has it.
    number: u64,
    is_workload: bool,
}

/// `everything_before` where nothing was revoked by time.
const NOTHING: i64 = i64::MIN;

/// One key in fifty is looked up in vain. About a byte an entry.
fn new_filter(capacity: usize) -> AtomicBloomFilter<HashedAlready> {
    AtomicBloomFilter::with_false_pos(0.02).hasher(HashedAlready::default()).expected_items(capacity.max(1))
}

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
            actor_issuers: HashSet::new(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Takes in a revocation: it is in force for every request that starts after
    /// this has returned. One of the same target is joined with it, and both limits
    /// are then the later one.
    ///
    /// # Errors
    /// Those of [`Revocation::check`]. The target can match nothing that a layer
    /// lets in which the store serves; before there is such a layer, that is found
    /// when the first is built. The store is full: see [the type](Self) for what
    /// it does then.
    pub fn revoke(&self, revocation: Revocation) -> Result<(), RevocationError> {
        let outcome = self.0.take_in(revocation);
        self.0.notify();
        outcome
    }

    /// Takes in many revocations; listeners are called once.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke), each with the position of the revocation.
    /// The others are in force.
    pub fn revoke_each(
        &self,
        revocations: impl IntoIterator<Item = Revocation>,
    ) -> Result<(), RevocationErrors> {
        let taken = revocations.into_iter().map(|revocation| self.0.take_in(revocation));
        let errors = taken.enumerate().filter_map(|(at, taken)| Some((at, taken.err()?))).collect();
        self.0.notify();
        RevocationErrors::result(errors)
    }

    /// Takes back the revocation of `target`: `Ok(false)` if there is none in force.
    ///
    /// # Errors
    /// It was taken in while the store was full: see [the type](Self).
    pub fn lift(&self, target: &RevocationTarget) -> Result<bool, RevocationError> {
        self.0.lift(target)
    }

    /// The revocations that are in force, a page at a time. Readers do not wait
    /// for it, writers do.
    ///
    /// # Errors
    /// `page` goes on from a place that this store has not given.
    pub fn list(&self, page: &RevocationPage) -> Result<RevocationList, RevocationError> {
        let now = self.0.clock.now();
        let mut list = self.0.write().ledger.page(page, now)?;
        list.everything_issued_before = self.0.everything_issued_before();
        Ok(list)
    }

    /// Refuses every token that was issued at or before the second of `time`,
    /// whoever it belongs to, by a clock that may be ahead by the layer's leeway,
    /// and every token that does not say when it was issued: for a compromised
    /// issuer key, or where it is not known what leaked. Cannot be taken back.
    ///
    /// # Errors
    /// `time` is in the future by more than clocks may differ, or no time.
    pub fn revoke_everything_issued_before(&self, time: Timestamp) -> Result<(), RevocationError> {
        check_issued_before(Some(time), self.0.clock.now())?;
        self.0.refuse_everything(end_of_second(time));
        self.0.notify();
        Ok(())
    }

    /// Everything that is in force, to be [loaded](Self::load) after a restart.
    /// Writers wait for it, readers do not.
    #[must_use]
    pub fn snapshot(&self) -> RevocationSnapshot {
        let now = self.0.clock.now();
        let revocations = self.0.write().ledger.in_force(now).cloned().collect();
        RevocationSnapshot { everything_issued_before: self.0.everything_issued_before(), revocations }
    }

    /// Takes in a snapshot, in addition to what is revoked already. What has ended
    /// in the meantime is left out. Load it once all layers are built, which then judge
    /// each revocation, and before the first request.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke), each with the position of the revocation
    /// in the snapshot; behind the last position that of `everything_issued_before`.
    /// The others are in force.
    pub fn load(&self, snapshot: RevocationSnapshot) -> Result<(), RevocationErrors> {
        let now = self.0.clock.now();
        let mut errors = Vec::new();
        let count = snapshot.revocations.len();
        for (position, revocation) in snapshot.revocations.into_iter().enumerate() {
            let checked = match revocation.check(now) {
                Err(error) if error.kind() == RevocationErrorKind::UntilPassed => {
                    if revocation.reach().has_ended(now) {
                        continue;
                    }
                    Ok(())
                }
                checked => checked,
            };
            if let Err(error) = checked.and_then(|()| self.0.insert(revocation, now)) {
                errors.push((position, error));
            }
        }
        if let Some(time) = snapshot.everything_issued_before {
            match check_issued_before(Some(time), now) {
                Ok(()) => self.0.refuse_everything(end_of_second(time)),
                Err(error) => errors.push((count, error)),
            }
        }
        self.0.notify();
        RevocationErrors::result(errors)
    }

    /// How many revocations are listed, ended ones that were not cleared yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.write().ledger.len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.held.load(Ordering::Acquire) == 0 && self.0.everything_issued_before().is_none()
    }
}

impl Default for InMemoryRevocations {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn write(&self) -> MutexGuard<'_, Writing> {
        // Nothing under it leaves a half-made state: what a reader needs is inserted last.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the listeners, without the lock.
    fn notify(&self) {
        let listeners = self.write().living();
        listeners.iter().for_each(|listener| listener.revoked());
    }

    fn take_in(&self, revocation: Revocation) -> Result<(), RevocationError> {
        let now = self.clock.now();
        revocation.check(now)?;
        self.insert(revocation, now)
    }

    fn insert(&self, revocation: Revocation, now: Timestamp) -> Result<(), RevocationError> {
        let mut guard = self.write();
        let writing = &mut *guard;
        let listeners = writing.living();
        self.judge(&listeners, revocation.target())?;
        let key = RevocationKey::of(revocation.target());
        let mut entry = Entry {
            reach: revocation.reach(),
            number: writing.ledger.next(),
            is_workload: key.kind() == RevocationKind::Workload,
        };
        let revocation = revocation.dated(now);
        let entries = self.entries.pin();
        match entries.get(&key.hash).copied() {
            Some(held) if !held.reach.has_ended(now) => {
                entry = Entry { reach: held.reach.and(entry.reach), ..held };
                writing.ledger.join(held.number, revocation);
            }
            Some(ended) => {
                writing.ledger.remove(ended.number);
                entry.number = writing.ledger.add(revocation);
            }
            None => {
                if writing.ledger.len() >= self.capacity {
                    self.clear_ended(writing, now);
                }
                if writing.ledger.len() >= self.capacity {
                    self.keep_in_reserve(key.hash, &entry, now);
                    return Err(Problem::Full { capacity: self.capacity }.into());
                }
                entry.number = writing.ledger.add(revocation);
                if listeners.is_empty() {
                    writing.unjudged_from.get_or_insert(entry.number);
                }
                // Before the entry is there, so that no one finds the one without the other.
                self.held.fetch_add(1, Ordering::AcqRel);
                self.workloads.fetch_add(usize::from(entry.is_workload), Ordering::AcqRel);
            }
        }
        self.filter.load().insert(&key.hash);
        entries.insert(key.hash, entry);
        writing.note_end(entry.reach.until);
        Ok(())
    }

    /// Can any request of a layer be about `target`? Before there is a layer, that
    /// is not known.
    fn judge(
        &self,
        listeners: &[Arc<dyn RevocationListener>],
        target: &RevocationTarget,
    ) -> Result<(), RevocationError> {
        let may_act = matches!(target, RevocationTarget::Actor(..) | RevocationTarget::Subject(..));
        if may_act && target.issuer().is_some_and(|issuer| self.actor_issuers.contains(issuer)) {
            return Ok(());
        }
        let mut found = None;
        for listener in listeners {
            match (listener.mismatch(target), found) {
                (None, _) => return Ok(()),
                (Some(TargetMismatch::IssuerNotTrusted), Some(_)) => {}
                (Some(mismatch), _) => found = Some(mismatch),
            }
        }
        found.map_or(Ok(()), |mismatch| Err(mismatch.into_error(target)))
    }

    /// What a full store does: see [`InMemoryRevocations`].
    fn keep_in_reserve(&self, hash: u128, entry: &Entry, now: Timestamp) {
        let reserve = self.reserve.get_or_init(|| {
            self.refuse_everything(end_of_second(now));
            Reserve::new()
        });
        tracing::error!(
            capacity = self.capacity,
            "the store of revocations is full: lift what is not needed, or give it a larger capacity"
        );
        let limit = entry.reach.issued_before.unix_millis();
        if limit > self.everything_before.load(Ordering::Acquire) {
            self.workloads.fetch_add(usize::from(entry.is_workload), Ordering::AcqRel);
            self.held.fetch_add(1, Ordering::AcqRel);
            reserve.add(hash);
        }
    }

    fn lift(&self, target: &RevocationTarget) -> Result<bool, RevocationError> {
        let hash = RevocationKey::of(target).hash;
        let mut guard = self.write();
        let writing = &mut *guard;
        if self.reserve.get().is_some_and(|reserve| reserve.contains(hash)) {
            return Err(Problem::NotListed.into());
        }
        let Some(entry) = self.entries.pin().remove(&hash).copied() else { return Ok(false) };
        writing.ledger.remove(entry.number);
        self.held.fetch_sub(1, Ordering::AcqRel);
        self.workloads.fetch_sub(usize::from(entry.is_workload), Ordering::AcqRel);
        writing.stale += 1;
        if writing.stale > self.capacity / 2 {
            self.renew_filter(writing);
        }
        Ok(!entry.reach.has_ended(self.clock.now()))
    }

    /// Drops what is no longer in force. Looks at all entries, so only when one
    /// can have ended.
    fn clear_ended(&self, writing: &mut Writing, now: Timestamp) {
        if writing.next_end.is_none_or(|next| !Reach::ending(next).has_ended(now)) {
            return;
        }
        let (mut ended, mut ended_workloads) = (0, 0);
        writing.next_end = None;
        self.entries.pin().retain(|_, entry| {
            let keep = !entry.reach.has_ended(now);
            if keep {
                writing.note_end(entry.reach.until);
            } else {
                ended += 1;
                ended_workloads += usize::from(entry.is_workload);
            }
            keep
        });
        writing.ledger.retain(|revocation| !revocation.reach().has_ended(now));
        self.held.fetch_sub(ended, Ordering::AcqRel);
        self.workloads.fetch_sub(ended_workloads, Ordering::AcqRel);
        self.renew_filter(writing);
    }

    /// Makes the filter anew, without the keys that are no more among the entries.
    fn renew_filter(&self, writing: &mut Writing) {
        let filter = new_filter(self.capacity);
        self.entries.pin().keys().for_each(|hash| {
            filter.insert(hash);
        });
        // Nothing is inserted in the meantime: the writer is this one.
        self.filter.store(Arc::new(filter));
        writing.stale = 0;
    }

    fn refuse_everything(&self, issued_before: Timestamp) {
        self.everything_before.fetch_max(issued_before.unix_millis(), Ordering::AcqRel);
    }

    fn everything_issued_before(&self) -> Option<Timestamp> {
        let limit = self.everything_before.load(Ordering::Acquire);
        (limit != NOTHING).then(|| Timestamp::from_unix_millis(limit))
    }
}

impl Writing {
    fn living(&mut self) -> Vec<Arc<dyn RevocationListener>> {
        self.listeners.retain(|listener| listener.strong_count() > 0);
        self.listeners.iter().filter_map(Weak::upgrade).collect()
    }

    fn note_end(&mut self, until: Timestamp) {
        if until < END_OF_TIME {
            self.next_end = Some(self.next_end.map_or(until, |next| next.min(until)));
        }
    }
}

impl RevocationStore for InMemoryRevocations {
    fn check(&self, query: &RevocationQuery<'_>) -> Standing {
        let inner = &*self.0;
        if inner.everything_issued_before().is_some_and(|time| query.was_issued_by(time)) {
            return Standing::Revoked(RevocationKind::Everything);
        }
        if inner.held.load(Ordering::Acquire) == 0 {
            return Standing::Good;
        }
        let filter = inner.filter.load();
        let reserve = inner.reserve.get();
        let is_revoked = |key: &RevocationKey| {
            let is_listed = filter.contains(&key.hash)
                && inner.entries.pin().get(&key.hash).is_some_and(|entry| entry.reach.covers(query));
            is_listed || reserve.is_some_and(|reserve| reserve.contains(key.hash))
        };
        if let Some(key) = query.keys.iter().find(|key| is_revoked(key)) {
            return Standing::Revoked(key.kind());
        }
        if inner.workloads.load(Ordering::Acquire) > 0 && query.workload_keys().any(|key| is_revoked(&key)) {
            return Standing::Revoked(RevocationKind::Workload);
        }
        Standing::Good
    }

    fn subscribe(&self, listener: Weak<dyn RevocationListener>) -> Result<(), RevocationError> {
        let now = self.0.clock.now();
        let mut writing = self.0.write();
        let mut listeners = writing.living();
        listeners.extend(listener.upgrade());
        if let Some(first) = writing.unjudged_from {
            let in_force = |revocation: &&Revocation| !revocation.reach().has_ended(now);
            let mut unjudged = writing.ledger.since(first).filter(in_force);
            unjudged.try_for_each(|revocation| self.0.judge(&listeners, revocation.target()))?;
        }
        writing.unjudged_from = None;
        writing.listeners.push(listener);
        Ok(())
    }
}

impl RevocationSink for InMemoryRevocations {
    fn revoke(&self, revocation: Revocation) -> RevocationFuture<'_, ()> {
        Box::pin(std::future::ready(self.revoke(revocation)))
    }

    fn lift(&self, target: RevocationTarget) -> RevocationFuture<'_, bool> {
        Box::pin(std::future::ready(self.lift(&target)))
    }

    fn list(&self, page: RevocationPage) -> RevocationFuture<'_, RevocationList> {
        Box::pin(std::future::ready(self.list(&page)))
    }
}

impl fmt::Debug for InMemoryRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryRevocations")
            .field("held", &self.0.held.load(Ordering::Relaxed))
            .field("capacity", &self.0.capacity)
            .finish_non_exhaustive()
    }
}

/// Configures [`InMemoryRevocations`].
#[derive(Debug)]
#[must_use]
pub struct InMemoryRevocationsBuilder {
    capacity: usize,
    actor_issuers: HashSet<IssuerUrl>,
    clock: Arc<dyn Clock>,
}

impl InMemoryRevocationsBuilder {
    /// The most revocations that are listed. Default 1,000,000.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// An issuer that is trusted for no tokens and named by `act.iss` of another's:
    /// its actors can then be revoked, as actors and as subjects. Otherwise an
    /// issuer that no layer trusts is an error.
    pub fn add_actor_issuer(mut self, issuer: impl Into<IssuerUrl>) -> Self {
        self.actor_issuers.insert(issuer.into());
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
            held: AtomicUsize::new(0),
            workloads: AtomicUsize::new(0),
            everything_before: AtomicI64::new(NOTHING),
            reserve: OnceLock::new(),
            capacity: self.capacity,
            actor_issuers: self.actor_issuers,
            clock: self.clock,
            writing: Mutex::default(),
        }))
    }
}
