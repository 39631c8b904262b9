//! [`Inner`]: what all handles of one store share, and how it is written to.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
    atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use fastbloom::AtomicBloomFilter;
use papaya::HashMap;

use super::{ledger::Ledger, reserve::Reserve, terms::Terms};
use crate::{
    clock::Timestamp,
    pass_through_hasher::PassThroughHasher,
    revocation::{
        error::{Problem, RevocationError},
        listener::{RevocationListener, TargetMismatch},
        record::{END_OF_TIME, Reach, Revocation, end_of_second},
        target::{RevocationKey, RevocationKind, RevocationTarget},
    },
};

pub(super) struct Inner {
    pub(super) entries: HashMap<u128, Entry, PassThroughHasher>,
    /// Says for most keys that they are not among the entries: six look-ups a
    /// request cost 300 ns in the map alone, and a fifth of that with the filter.
    pub(super) filter: ArcSwap<AtomicBloomFilter<PassThroughHasher>>,
    /// Entries and keys of the reserve. The map's own count is a sum over shards,
    /// which can be zero for a moment while one entry comes and another goes.
    pub(super) held: AtomicUsize,
    /// Workloads among them, so that their keys are computed only where
    /// there is something to find.
    pub(super) workloads: AtomicUsize,
    /// Every token issued up to here is refused, in Unix milliseconds.
    pub(super) everything_before: AtomicI64,
    /// Counts the changes. Moved on after each, so that what was judged by an earlier
    /// count is judged again.
    pub(super) generation: AtomicU64,
    /// Made when the store is full for the first time.
    pub(super) reserve: OnceLock<Reserve>,
    terms: ArcSwap<Terms>,
    /// Writers, one at a time.
    pub(super) writing: Mutex<Writing>,
}

#[derive(Default)]
pub(super) struct Writing {
    pub(super) ledger: Ledger,
    pub(super) listeners: Vec<Weak<dyn RevocationListener>>,
    /// From this number on, revocations were taken in while there was no layer to
    /// judge them.
    pub(super) unjudged_from: Option<u64>,
    /// No entry ends before this: looking for ended ones is of no use until then.
    pub(super) next_end: Option<Timestamp>,
    /// How many keys are in the filter and no more among the entries.
    pub(super) stale: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) reach: Reach,
    /// Where the ledger has it.
    pub(super) number: u64,
    pub(super) is_workload: bool,
}

/// `everything_before` where nothing was revoked by time.
const NOTHING: i64 = i64::MIN;

/// One key in fifty is looked up in vain. About a byte an entry.
fn new_filter(max_entries: usize) -> AtomicBloomFilter<PassThroughHasher> {
    AtomicBloomFilter::with_false_pos(0.02)
        .hasher(PassThroughHasher::default())
        .expected_items(max_entries.max(1))
}

impl Inner {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            entries: HashMap::default(),
            filter: ArcSwap::from_pointee(new_filter(terms.max_entries)),
            held: AtomicUsize::new(0),
            workloads: AtomicUsize::new(0),
            everything_before: AtomicI64::new(NOTHING),
            generation: AtomicU64::new(0),
            reserve: OnceLock::new(),
            terms: ArcSwap::from_pointee(terms),
            writing: Mutex::default(),
        }
    }

    /// Changes what is set. What is held stays, also where there is now less room.
    pub(super) fn set(&self, change: impl FnOnce(&mut Terms)) {
        let mut writing = self.write();
        let mut terms = Terms::clone(&self.terms.load());
        let former = terms.max_entries;
        change(&mut terms);
        let is_resized = terms.max_entries != former;
        self.terms.store(Arc::new(terms));
        if is_resized {
            self.renew_filter(&mut writing);
        }
    }

    pub(super) fn max_entries(&self) -> usize {
        self.terms.load().max_entries
    }

    pub(super) fn now(&self) -> Timestamp {
        self.terms.load().clock.now()
    }

    pub(super) fn write(&self) -> MutexGuard<'_, Writing> {
        // Nothing under it leaves a half-made state: what a reader needs is inserted last.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the listeners, without the lock.
    pub(super) fn notify(&self) {
        let listeners = self.write().living();
        listeners.iter().for_each(|listener| listener.revoked());
    }

    pub(super) fn take_in(&self, revocation: Revocation) -> Result<(), RevocationError> {
        let now = self.now();
        revocation.check(now)?;
        self.insert(revocation, now)
    }

    pub(super) fn insert(&self, revocation: Revocation, now: Timestamp) -> Result<(), RevocationError> {
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
                let max_entries = self.max_entries();
                if writing.ledger.len() >= max_entries {
                    self.clear_ended(writing, now);
                }
                if writing.ledger.len() >= max_entries {
                    self.keep_in_reserve(key.hash, &entry, now);
                    return Err(Problem::Full { max_entries }.into());
                }
                entry.number = writing.ledger.add(revocation);
                // Before the entry is there, so that no one finds the one without the other.
                self.held.fetch_add(1, Ordering::AcqRel);
                self.workloads.fetch_add(usize::from(entry.is_workload), Ordering::AcqRel);
            }
        }
        if listeners.is_empty() {
            let first = writing.unjudged_from.unwrap_or(entry.number);
            writing.unjudged_from = Some(first.min(entry.number));
        }
        self.filter.load().insert(&key.hash);
        entries.insert(key.hash, entry);
        self.moved();
        writing.note_end(entry.reach.until);
        Ok(())
    }

    /// Can any request of a layer be about `target`? Before there is a layer, that
    /// is not known.
    pub(super) fn judge(
        &self,
        listeners: &[Arc<dyn RevocationListener>],
        target: &RevocationTarget,
    ) -> Result<(), RevocationError> {
        let may_act = matches!(target, RevocationTarget::Actor(..) | RevocationTarget::Subject(..));
        if may_act && target.issuer().is_some_and(|issuer| self.terms.load().actor_issuers.contains(issuer)) {
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
        let max_entries = self.max_entries();
        tracing::error!(
            max_entries,
            "the store of revocations is full: lift what is not needed, or give it more `max_entries`"
        );
        let limit = entry.reach.issued_before.unix_millis();
        if limit > self.everything_before.load(Ordering::Acquire) {
            self.workloads.fetch_add(usize::from(entry.is_workload), Ordering::AcqRel);
            self.held.fetch_add(1, Ordering::AcqRel);
            reserve.add(hash);
            self.moved();
        }
    }

    pub(super) fn lift(&self, target: &RevocationTarget) -> Result<bool, RevocationError> {
        let hash = RevocationKey::of(target).hash;
        let mut guard = self.write();
        let writing = &mut *guard;
        if self.reserve.get().is_some_and(|reserve| reserve.contains(hash)) {
            return Err(Problem::NotListed.into());
        }
        let Some(entry) = self.entries.pin().remove(&hash).copied() else { return Ok(false) };
        self.moved();
        writing.ledger.remove(entry.number);
        self.held.fetch_sub(1, Ordering::AcqRel);
        self.workloads.fetch_sub(usize::from(entry.is_workload), Ordering::AcqRel);
        writing.stale += 1;
        if writing.stale > self.max_entries() / 2 {
            self.renew_filter(writing);
        }
        Ok(!entry.reach.has_ended(self.now()))
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
        let filter = new_filter(self.max_entries());
        self.entries.pin().keys().for_each(|hash| {
            filter.insert(hash);
        });
        // Nothing is inserted in the meantime: the writer is this one.
        self.filter.store(Arc::new(filter));
        writing.stale = 0;
    }

    pub(super) fn refuse_everything(&self, issued_before: Timestamp) {
        self.everything_before.fetch_max(issued_before.unix_millis(), Ordering::AcqRel);
        self.moved();
    }

    fn moved(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn everything_issued_before(&self) -> Option<Timestamp> {
        let limit = self.everything_before.load(Ordering::Acquire);
        (limit != NOTHING).then(|| Timestamp::from_unix_millis(limit))
    }
}

impl Writing {
    pub(super) fn living(&mut self) -> Vec<Arc<dyn RevocationListener>> {
        self.listeners.retain(|listener| listener.strong_count() > 0);
        self.listeners.iter().filter_map(Weak::upgrade).collect()
    }

    fn note_end(&mut self, until: Timestamp) {
        if until < END_OF_TIME {
            self.next_end = Some(self.next_end.map_or(until, |next| next.min(until)));
        }
    }
}
