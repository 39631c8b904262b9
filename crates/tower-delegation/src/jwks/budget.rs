//! How often a source is asked: the token bucket that unknown keys spend from,
//! the memory of keys known to be absent, and the pauses after failures.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::SignatureAlgorithm;

/// Fetches that unknown keys may cause in a row.
const BURST: u32 = 3;

/// Time in which one more such fetch is granted.
pub(super) const REFILL: Duration = Duration::from_secs(10);

/// How long a key stays known to be absent. No longer than one refill: whoever
/// names the next key before it is published, by a guess or because one replica
/// of the provider is behind, must not keep it out for longer than a flood could.
const ABSENT_FOR: Duration = REFILL;

/// The most keys that are known to be absent at a time.
const MAX_ABSENT: usize = 1024;

const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// With a quarter of jitter on top, the longest pause is five minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(240);

/// A token bucket: junk that arrives together costs one fetch, a flood one per
/// refill, and some is left for a real rotation.
#[derive(Debug)]
pub(super) struct TokenBucket {
    tokens: u32,
    /// When the last token was granted; meaningful while the bucket is not full.
    granted_at: Duration,
}

impl TokenBucket {
    pub(super) fn full() -> Self {
        Self { tokens: BURST, granted_at: Duration::ZERO }
    }

    /// Takes a token for a fetch that starts at `now`, however it may end.
    pub(super) fn try_spend(&mut self, now: Duration) -> bool {
        while self.tokens < BURST && now.saturating_sub(self.granted_at) >= REFILL {
            self.tokens += 1;
            self.granted_at = self.granted_at.saturating_add(REFILL);
        }
        if self.tokens == BURST {
            self.granted_at = now;
        }
        let granted = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        granted
    }
}

/// Keys that the newest key set lacks. Holds hashes and no names, so that its
/// size is bounded whatever strangers send.
#[derive(Debug)]
pub(super) struct AbsentKeys {
    hasher: RandomState,
    until: HashMap<u64, Duration>,
}

impl AbsentKeys {
    pub(super) fn none() -> Self {
        Self { hasher: RandomState::new(), until: HashMap::new() }
    }

    /// Remembers a key; when the memory is full of younger ones it is not remembered.
    pub(super) fn remember(&mut self, algorithm: SignatureAlgorithm, kid: Option<&str>, now: Duration) {
        if self.until.len() >= MAX_ABSENT {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() < MAX_ABSENT {
            self.until.insert(self.hash(algorithm, kid), now.saturating_add(ABSENT_FOR));
        }
    }

    pub(super) fn contains(&self, algorithm: SignatureAlgorithm, kid: Option<&str>, now: Duration) -> bool {
        self.until.get(&self.hash(algorithm, kid)).is_some_and(|until| now < *until)
    }

    pub(super) fn forget_all(&mut self) {
        self.until.clear();
    }

    /// A `kid` is absent for every algorithm; without one, the algorithm is.
    fn hash(&self, algorithm: SignatureAlgorithm, kid: Option<&str>) -> u64 {
        match kid {
            Some(kid) => self.hasher.hash_one(kid),
            None => self.hasher.hash_one(algorithm),
        }
    }
}

/// The pause after a number of failures in a row: one second, doubled with each
/// failure, and up to a quarter more so that replicas do not call in step.
pub(super) fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    let mut random = [0];
    // Without randomness there is no jitter, and nothing worse.
    let share = aws_lc_rs::rand::fill(&mut random).map_or(0, |()| u32::from(u8::from_be_bytes(random)));
    pause.saturating_add(pause / 4 * share / 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_bucket_grants_three_then_one_per_refill() {
        let mut bucket = TokenBucket::full();
        let rows = [
            (100, true),
            (100, true),
            (101, true),
            (101, false),
            (109, false),
            (110, true),
            (110, false),
            (119, false),
            (120, true),
            (120, false),
            (1000, true),
            (1000, true),
            (1000, true),
            (1000, false),
        ];
        for (row, (now, granted)) in rows.into_iter().enumerate() {
            assert_eq!(bucket.try_spend(at(now)), granted, "row {row} at {now} s");
        }
    }

    #[test]
    fn absent_keys_are_remembered_for_a_while() {
        let mut absent = AbsentKeys::none();
        absent.remember(SignatureAlgorithm::Es256, Some("a"), at(0));
        absent.remember(SignatureAlgorithm::Rs256, None, at(0));
        assert!(absent.contains(SignatureAlgorithm::Rs256, Some("a"), at(9)));
        assert!(!absent.contains(SignatureAlgorithm::Es256, Some("a"), at(10)));
        assert!(!absent.contains(SignatureAlgorithm::Es256, Some("b"), at(0)));
        assert!(absent.contains(SignatureAlgorithm::Rs256, None, at(0)));
        assert!(!absent.contains(SignatureAlgorithm::Es256, None, at(0)));
        absent.forget_all();
        assert!(!absent.contains(SignatureAlgorithm::Es256, Some("a"), at(0)));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut absent = AbsentKeys::none();
        for number in 0..2 * MAX_ABSENT {
            absent.remember(SignatureAlgorithm::Es256, Some(&number.to_string()), at(0));
        }
        assert_eq!(absent.until.len(), MAX_ABSENT);
        absent.remember(SignatureAlgorithm::Es256, Some("late"), at(30));
        assert_eq!(absent.until.len(), 1, "expired ones make room");
    }

    #[test]
    fn pauses_grow_to_five_minutes() {
        for (failures, least, most) in
            [(1, 1, 2), (2, 2, 3), (5, 16, 20), (9, 240, 300), (u32::MAX, 240, 300)]
        {
            let pause = pause_after(failures);
            assert!(pause >= at(least) && pause <= at(most), "{failures}: {pause:?}");
        }
    }
}
