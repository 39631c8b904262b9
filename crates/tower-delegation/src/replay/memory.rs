//! [`InMemoryReplayStore`]: the proofs that this process has seen.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use super::{Remembering, ReplayKey, ReplayStore, ReplayStoreError, Sighting, UsedProof};
use crate::clock::Timestamp;

/// The most proofs where no other number is set.
const DEFAULT_MAX_ENTRIES: usize = 500_000;

/// Threads that remember at the same time seldom meet in one of so many shards.
const SHARDS: usize = 64;

/// How often a shard is looked through for what has expired, in milliseconds:
/// the cost of one look is shared by all that is remembered in between.
const SWEEP_EVERY: i64 = 5_000;

/// Remembers proofs in this process: see the [module](super) for what that is
/// worth behind a load balancer.
///
/// At most 500,000 proofs unless set otherwise, at 50 to 100 bytes each: 25 to
/// 50 MB. With the default lifetime of a proof (71 s in all) that is 7,000 new
/// proofs a second. A live proof is never dropped: when there is no room the request is
/// refused with 503. Every proof here was sent with a good token and signed by
/// that token's key, so only clients of yours can fill it: limit their rate.
///
/// Lifetimes are decided by the times in [`UsedProof`]: a wall clock that is set
/// ahead and back again forgets what it saw before.
pub struct InMemoryReplayStore {
    shards: Box<[Mutex<Shard>]>,
    /// Keyed at random, so that nobody can aim at one shard.
    hasher: RandomState,
    held: AtomicUsize,
    max_entries: usize,
    /// The second in which every shard was looked through, because there was no room.
    swept_at: AtomicI64,
}

#[derive(Default)]
struct Shard {
    /// Until when each proof is remembered, in milliseconds since 1970.
    proofs: HashMap<ReplayKey, i64>,
    sweep_at: i64,
}

impl InMemoryReplayStore {
    /// An empty store with the default bound.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            held: AtomicUsize::new(0),
            max_entries: DEFAULT_MAX_ENTRIES,
            swept_at: AtomicI64::new(i64::MIN),
        }
    }

    /// The most proofs that are remembered at the same time.
    #[must_use]
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// How many proofs are remembered now; some of them may have expired.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Is nothing remembered?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &ReplayKey) -> Option<MutexGuard<'_, Shard>> {
        let hash = self.hasher.hash_one(key) % SHARDS as u64;
        let shard = usize::try_from(hash).ok().and_then(|index| self.shards.get(index))?;
        Some(lock(shard))
    }

    /// `None`: there is no room.
    fn try_remember(&self, proof: &UsedProof) -> Option<Sighting> {
        let (now, until) = (proof.now.unix_millis(), proof.expires_at.unix_millis());
        let mut shard = self.shard(&proof.key)?;
        if let Some(remembered) = shard.proofs.get_mut(&proof.key) {
            if now < *remembered {
                return Some(Sighting::Again);
            }
            *remembered = until;
            return Some(Sighting::First);
        }
        // Far ahead: the clock has been set back.
        if !(now.saturating_add(1)..=now.saturating_add(SWEEP_EVERY)).contains(&shard.sweep_at) {
            self.sweep(&mut shard, now);
        }
        let room = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            (held < self.max_entries).then_some(held + 1)
        });
        room.ok()?;
        shard.proofs.insert(proof.key, until);
        Some(Sighting::First)
    }

    fn sweep(&self, shard: &mut Shard, now: i64) {
        shard.sweep_at = now.saturating_add(SWEEP_EVERY);
        let before = shard.proofs.len();
        shard.proofs.retain(|_, until| now < *until);
        let left = shard.proofs.len();
        if left < shard.proofs.capacity() / 4 {
            shard.proofs.shrink_to(left * 2);
        }
        self.held.fetch_sub(before - left, Ordering::Relaxed);
    }

    /// Looks through every shard, once a second: whoever floods a full store
    /// must not make each request pay for that.
    fn make_room(&self, now: Timestamp) -> bool {
        let is_new = self.swept_at.swap(now.unix_seconds(), Ordering::Relaxed) != now.unix_seconds();
        if is_new {
            for shard in &self.shards {
                self.sweep(&mut lock(shard), now.unix_millis());
            }
        }
        is_new
    }
}

impl Default for InMemoryReplayStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplayStore for InMemoryReplayStore {
    fn remember(&self, proof: UsedProof) -> Remembering {
        let mut sighting = self.try_remember(&proof);
        if sighting.is_none() && self.make_room(proof.now) {
            sighting = self.try_remember(&proof);
        }
        Remembering::Ready(sighting.ok_or_else(ReplayStoreError::full))
    }
}

impl fmt::Debug for InMemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryReplayStore")
            .field("len", &self.len())
            .field("max_entries", &self.max_entries)
            .finish_non_exhaustive()
    }
}

/// A thread that panicked leaves a whole shard behind: no step above can be half done.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::ReplayStoreErrorKind;

    const START: i64 = 1_800_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(START + seconds)
    }

    fn key(number: u32) -> ReplayKey {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        ReplayKey::new(hash)
    }

    /// `Err`: there was no room.
    fn remember(store: &InMemoryReplayStore, number: u32, now: i64, until: i64) -> Result<Sighting, ()> {
        match store.remember(UsedProof::new(key(number), at(now), at(until))) {
            Remembering::Ready(Ok(sighting)) => Ok(sighting),
            Remembering::Ready(Err(error)) => {
                assert_eq!(error.kind(), ReplayStoreErrorKind::Full);
                Err(())
            }
            Remembering::Pending(_) => panic!("the answer is at hand"),
        }
    }

    #[test]
    fn a_proof_is_remembered_until_it_expires_and_not_longer() {
        let store = InMemoryReplayStore::new();
        assert_eq!(remember(&store, 1, 0, 60), Ok(Sighting::First));
        for now in [0, 1, 30, 59] {
            assert_eq!(remember(&store, 1, now, now + 60), Ok(Sighting::Again), "{now}");
        }
        assert_eq!(remember(&store, 1, 60, 120), Ok(Sighting::First));
        assert_eq!(remember(&store, 2, 60, 120), Ok(Sighting::First));
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn a_full_store_refuses_and_forgets_nothing() {
        let store = InMemoryReplayStore::new().max_entries(100);
        for number in 0..100 {
            assert_eq!(remember(&store, number, 0, 60), Ok(Sighting::First));
        }
        for number in 100..200 {
            assert_eq!(remember(&store, number, 1, 61), Err(()), "{number}");
        }
        for number in 0..100 {
            assert_eq!(remember(&store, number, 59, 119), Ok(Sighting::Again), "{number}");
        }
        assert_eq!(store.len(), 100);
        for number in 100..200 {
            assert_eq!(remember(&store, number, 60, 120), Ok(Sighting::First), "{number}");
        }
        assert_eq!(store.len(), 100);
    }

    #[test]
    fn what_has_expired_makes_room_by_itself() {
        let store = InMemoryReplayStore::new();
        for second in 0..1_000 {
            for number in 0..10 {
                let number = u32::try_from(second).unwrap() * 10 + number;
                assert_eq!(remember(&store, number, second, second + 60), Ok(Sighting::First));
            }
        }
        // 600 are live; a shard is looked through every five seconds when it is used.
        assert!(store.len() < 1_500, "{}", store.len());
    }

    #[test]
    fn a_clock_that_is_set_back_forgets_nothing() {
        let store = InMemoryReplayStore::new();
        assert_eq!(remember(&store, 1, 1_000, 1_060), Ok(Sighting::First));
        assert_eq!(remember(&store, 1, 10, 70), Ok(Sighting::Again));
        for number in 2..500 {
            assert_eq!(remember(&store, number, 10, 70), Ok(Sighting::First));
        }
        assert_eq!(remember(&store, 1, 1_059, 1_119), Ok(Sighting::Again));
    }

    #[test]
    fn nothing_fits_into_no_room() {
        let store = InMemoryReplayStore::new().max_entries(0);
        assert_eq!(remember(&store, 1, 0, 60), Err(()));
        assert!(store.is_empty());
    }
}
