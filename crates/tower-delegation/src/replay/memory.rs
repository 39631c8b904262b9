//! [`InMemoryReplayStore`]: the proofs that this process has seen.

mod forgotten;

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use self::forgotten::Forgotten;
use super::{ReplayKey, ReplayStore, ReplayStoreError, Sighting, UsedProof};
use crate::{clock::Timestamp, pass_through_hasher::PassThroughHasher, step::Step};

/// The most proofs where no other number is set.
pub(crate) const DEFAULT_MAX_ENTRIES: usize = 500_000;

/// The part of the store that one key may fill, where no share is set.
const DEFAULT_SHARE: usize = 10;

/// The least share where none is set: small stores are for tests, not for many clients.
const LEAST_DEFAULT_SHARE: usize = 8;

/// Threads that remember at the same time seldom meet in one of so many shards.
const SHARDS: usize = 64;

/// How often a shard is looked through for what has expired, in milliseconds:
/// the cost of one look is shared by all that is remembered in between.
const SWEEP_EVERY: u64 = 5_000;

/// How soon a shard is looked through again for a key that has used up its share.
const SWEEP_AGAIN: u64 = 1_000;

/// Remembers proofs in this process: see the [module](super) for what that is
/// worth behind a load balancer.
///
/// At most 500,000 proofs unless set otherwise, at 65 to 160 bytes each: 33 to
/// 80 MB. With the default lifetime of a proof (71 s in all) that is 7,000 new
/// proofs a second. A live proof is never dropped: when there is no room the request is
/// refused with 503.
///
/// One key may fill a tenth of the store unless
/// [set otherwise](Self::max_entries_per_key): what it sends beyond is refused with
/// 429, and the clients with other keys go on. A client that gets tokens for many
/// keys has as many shares; how many it gets is for the issuer to limit.
///
/// Lifetimes are judged by the monotonic clock in [`UsedProof`], so that a wall clock
/// that is set neither forgets a proof nor revives one. Where a wall clock is set
/// back so far that proofs which were forgotten would be in time again, they cannot
/// be told from new ones by clients that sent proofs at the same time of day: such
/// proofs are refused with 503 until the clock has caught up. Use one store with one [`Clock`](crate::clock::Clock).
pub struct InMemoryReplayStore {
    shards: Box<[Mutex<Shard>]>,
    /// Keyed at random, so that no client can aim at the shard of another.
    hasher: RandomState,
    held: AtomicUsize,
    max_entries: AtomicUsize,
    max_entries_per_key: AtomicUsize,
    is_share_set: bool,
    /// The second in which every shard was looked through, because there was no room.
    swept_at: AtomicU64,
}

/// All proofs of the keys that fall into it.
#[derive(Default)]
struct Shard {
    proofs: HashMap<ReplayKey, Remembered>,
    /// How many of the proofs each key has signed, by the hash of the key.
    per_key: HashMap<u64, usize, PassThroughHasher>,
    /// In milliseconds of the monotonic clock.
    swept_at: u64,
    /// Each [`Remembered::expires_at`] of those that were forgotten.
    forgotten: Forgotten,
}

struct Remembered {
    /// In milliseconds of the monotonic clock.
    until: u64,
    /// By the wall clock.
    expires_at: Timestamp,
    /// The hash of the key.
    signer: u64,
}

/// Why a proof is not remembered.
enum NoRoom {
    InStore,
    InShare,
    /// It may have been used and forgotten.
    Unknown,
}

impl From<NoRoom> for ReplayStoreError {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::InStore => Self::full(),
            NoRoom::InShare => Self::share_exhausted(),
            NoRoom::Unknown => Self::clock_set_back(),
        }
    }
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) max_entries: usize,
    pub(crate) max_entries_per_key: usize,
}

impl InMemoryReplayStore {
    /// An empty store with the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            held: AtomicUsize::new(0),
            max_entries: AtomicUsize::new(DEFAULT_MAX_ENTRIES),
            max_entries_per_key: AtomicUsize::new(default_share(DEFAULT_MAX_ENTRIES)),
            is_share_set: false,
            swept_at: AtomicU64::new(u64::MAX),
        }
    }

    /// The most proofs that are remembered at the same time. Default 500,000.
    #[must_use]
    pub fn max_entries(mut self, entries: usize) -> Self {
        *self.max_entries.get_mut() = entries;
        if !self.is_share_set {
            *self.max_entries_per_key.get_mut() = default_share(entries);
        }
        self
    }

    /// The most proofs of one key that are remembered at the same time: at least 1, at most
    /// [`max_entries`](Self::max_entries). Default a tenth of that, and no less than 8 where there is room: with
    /// the default lifetime of a proof that is 700 requests a second by one key. A client
    /// that sends the requests of many users with one key, such as a backend for a
    /// browser, may need more.
    #[must_use]
    pub fn max_entries_per_key(mut self, entries: usize) -> Self {
        *self.max_entries_per_key.get_mut() = entries;
        self.is_share_set = true;
        self
    }

    /// How many proofs are remembered now; some of them may have expired.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            max_entries: self.max_entries.load(Ordering::Relaxed),
            max_entries_per_key: self.max_entries_per_key.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        self.max_entries.store(bounds.max_entries, Ordering::Relaxed);
        self.max_entries_per_key.store(bounds.max_entries_per_key, Ordering::Relaxed);
    }

    /// Remembers everything for so much longer: what was used would now be accepted
    /// for longer.
    pub(crate) fn prolong(&self, more: Duration) {
        if more.is_zero() {
            return;
        }
        for shard in &self.shards {
            let Shard { proofs, forgotten, .. } = &mut *lock(shard);
            for proof in proofs.values_mut() {
                proof.until = proof.until.saturating_add(millis(more));
                proof.expires_at = proof.expires_at.saturating_add(more);
            }
            forgotten.prolong(more);
        }
    }

    /// Whether every proof has expired.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.sweep_all(millis(now));
        self.is_empty()
    }

    fn try_remember(&self, proof: &UsedProof) -> Result<Sighting, NoRoom> {
        let now = millis(proof.now);
        let new = Remembered {
            until: now.saturating_add(millis(proof.lifetime)),
            expires_at: proof.expires_at,
            signer: self.hasher.hash_one(proof.signer),
        };
        // All proofs of one key are in one shard, and so is their number.
        let shard = usize::try_from(new.signer % SHARDS as u64).ok();
        let shard = shard.and_then(|shard| self.shards.get(shard)).ok_or(NoRoom::InStore)?;
        let mut shard = lock(shard);
        if let Some(known) = shard.proofs.get_mut(&proof.key) {
            // Expired and in time again: the wall clock was set back.
            let is_same = now < known.until || new.expires_at <= known.expires_at;
            if is_same {
                return Ok(Sighting::Again);
            }
            let former = std::mem::replace(known, new);
            shard.forgotten.add(former.expires_at);
            return Ok(Sighting::First);
        }
        let since_sweep = now.saturating_sub(shard.swept_at);
        if since_sweep >= SWEEP_EVERY {
            self.sweep(&mut shard, now);
        }
        if shard.forgotten.may_hold(new.expires_at) {
            return Err(NoRoom::Unknown);
        }
        let share = self.max_entries_per_key.load(Ordering::Relaxed);
        let has_share = |shard: &Shard| shard.per_key.get(&new.signer).is_none_or(|held| *held < share);
        if !has_share(&shard) {
            if since_sweep >= SWEEP_AGAIN {
                self.sweep(&mut shard, now);
            }
            if !has_share(&shard) {
                return Err(NoRoom::InShare);
            }
        }
        let max_entries = self.max_entries.load(Ordering::Relaxed);
        let room = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            (held < max_entries).then_some(held + 1)
        });
        room.map_err(|_held| NoRoom::InStore)?;
        let held = shard.per_key.entry(new.signer).or_default();
        *held = held.saturating_add(1);
        shard.proofs.insert(proof.key, new);
        Ok(Sighting::First)
    }

    fn sweep(&self, shard: &mut Shard, now: u64) {
        let Shard { proofs, per_key, swept_at, forgotten } = shard;
        *swept_at = now;
        let before = proofs.len();
        proofs.retain(|_, proof| {
            let is_live = now < proof.until;
            if !is_live {
                forgotten.add(proof.expires_at);
                release(per_key, proof.signer);
            }
            is_live
        });
        let left = proofs.len();
        if left < proofs.capacity() / 4 {
            proofs.shrink_to(left * 2);
            per_key.shrink_to(per_key.len() * 2);
        }
        self.held.fetch_sub(before - left, Ordering::Relaxed);
    }

    fn sweep_all(&self, now: u64) {
        for shard in &self.shards {
            self.sweep(&mut lock(shard), now);
        }
    }

    /// Looks through every shard, once a second: a flood of a full store
    /// must not make each request pay for that.
    fn make_room(&self, now: Duration) -> bool {
        let is_new = self.swept_at.swap(now.as_secs(), Ordering::Relaxed) != now.as_secs();
        if is_new {
            self.sweep_all(millis(now));
        }
        is_new
    }
}

fn default_share(max_entries: usize) -> usize {
    (max_entries / DEFAULT_SHARE).max(LEAST_DEFAULT_SHARE).min(max_entries.max(1))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One proof less of this key.
fn release(per_key: &mut HashMap<u64, usize, PassThroughHasher>, signer: u64) {
    if let Entry::Occupied(mut held) = per_key.entry(signer) {
        let left = held.get().saturating_sub(1);
        if left == 0 {
            held.remove();
        } else {
            held.insert(left);
        }
    }
}

impl Default for InMemoryReplayStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplayStore for InMemoryReplayStore {
    fn remember(&self, proof: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
        let mut sighting = self.try_remember(&proof);
        if matches!(sighting, Err(NoRoom::InStore)) && self.make_room(proof.now) {
            sighting = self.try_remember(&proof);
        }
        Step::Ready(sighting.map_err(ReplayStoreError::from))
    }
}

impl fmt::Debug for InMemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds { max_entries, max_entries_per_key } = self.bounds();
        f.debug_struct("InMemoryReplayStore")
            .field("len", &self.len())
            .field("max_entries", &max_entries)
            .field("max_entries_per_key", &max_entries_per_key)
            .finish_non_exhaustive()
    }
}

/// A thread that panicked leaves a whole shard behind: no step above can be half done.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
