//! How often a source is asked: the token bucket that missed keys spend from,
//! the memory of what the newest set has answered, and the pauses after failures.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::{FetchReason, KeyHint, SignatureAlgorithm};

/// Fetches that missed keys may cause in a row.
const BURST: u32 = 3;

/// Of these, how many are left for unknown keys. The names of published keys are
/// no secret: a flood of bad signatures must not delay a rotation.
const RESERVED_FOR_UNKNOWN: u32 = 1;

/// Time in which one more such fetch is granted.
pub(super) const REFILL: Duration = Duration::from_secs(10);

/// How long an answer holds. No longer than one refill: a client that names the
/// next key before it is published, by a guess or because one replica of the
/// provider is behind, must not keep it out for longer than a flood could.
const ANSWERED_FOR: Duration = REFILL;

/// The most answers that are remembered at a time.
const MAX_ANSWERED: usize = 1024;

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
    pub(super) fn try_spend(&mut self, reason: FetchReason, now: Duration) -> bool {
        while self.tokens < BURST && now.saturating_sub(self.granted_at) >= REFILL {
            self.tokens += 1;
            self.granted_at = self.granted_at.saturating_add(REFILL);
        }
        if self.tokens == BURST {
            self.granted_at = now;
        }
        let reserved = if reason == FetchReason::KeyUnknown { 0 } else { RESERVED_FOR_UNKNOWN };
        let granted = self.tokens > reserved;
        if granted {
            self.tokens -= 1;
        }
        granted
    }
}

/// What a token asks of a key set that does not serve it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) reason: FetchReason,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) hint: KeyHint<'a>,
}

/// Questions that the newest key set has answered. Holds hashes and no names, so
/// that its size is bounded whatever strangers send.
#[derive(Debug)]
pub(super) struct Answered {
    hasher: RandomState,
    until: HashMap<u64, Duration>,
}

impl Answered {
    pub(super) fn none() -> Self {
        Self { hasher: RandomState::new(), until: HashMap::new() }
    }

    /// Remembers a question; when the memory is full of younger ones it is not remembered.
    pub(super) fn remember(&mut self, question: Question<'_>, now: Duration) {
        if self.until.len() >= MAX_ANSWERED {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() < MAX_ANSWERED {
            self.until.insert(self.hash(question), now.saturating_add(ANSWERED_FOR));
        }
    }

    pub(super) fn contains(&self, question: Question<'_>, now: Duration) -> bool {
        self.until.get(&self.hash(question)).is_some_and(|until| now < *until)
    }

    pub(super) fn forget_all(&mut self) {
        self.until.clear();
    }

    fn hash(&self, question: Question<'_>) -> u64 {
        let Question { reason, algorithm, hint } = question;
        match (reason, hint.key_id()) {
            // A key is absent for every algorithm; without a name, the algorithm is.
            (FetchReason::KeyUnknown, None) if !hint.names_certificate() => {
                self.hasher.hash_one((reason, algorithm))
            }
            (FetchReason::KeyUnknown, _) => self.hasher.hash_one((reason, hint)),
            // About a key of the set: its other names are the stranger's choice.
            (_, Some(kid)) => self.hasher.hash_one((reason, kid)),
            (_, None) => self.hasher.hash_one((reason, algorithm)),
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
            assert_eq!(bucket.try_spend(FetchReason::KeyUnknown, at(now)), granted, "row {row} at {now} s");
        }
    }

    #[test]
    fn bad_signatures_leave_one_for_unknown_keys() {
        use FetchReason::{KeyAmbiguous, KeyMismatch, KeyUnknown, SignatureInvalid};
        let mut bucket = TokenBucket::full();
        let rows = [
            (100, SignatureInvalid, true),
            (100, KeyMismatch, true),
            (100, SignatureInvalid, false),
            (109, KeyAmbiguous, false),
            (110, SignatureInvalid, true),
            (110, KeyMismatch, false),
            (110, KeyUnknown, true),
            (110, KeyUnknown, false),
            (120, SignatureInvalid, false),
            (120, KeyUnknown, true),
            (140, SignatureInvalid, true),
            (140, SignatureInvalid, false),
        ];
        for (row, (now, reason, granted)) in rows.into_iter().enumerate() {
            assert_eq!(bucket.try_spend(reason, at(now)), granted, "row {row} at {now} s");
        }
    }

    fn question(reason: FetchReason, algorithm: SignatureAlgorithm, hint: KeyHint<'_>) -> Question<'_> {
        Question { reason, algorithm, hint }
    }

    #[test]
    fn answers_are_remembered_for_a_while() {
        use FetchReason::{KeyUnknown, SignatureInvalid};
        use SignatureAlgorithm::{Es256, Rs256};
        let kid = |kid| KeyHint::from(Some(kid));
        let nameless = KeyHint::default();
        let mut answered = Answered::none();
        answered.remember(question(KeyUnknown, Es256, kid("a")), at(0));
        answered.remember(question(KeyUnknown, Rs256, nameless), at(0));
        answered.remember(question(SignatureInvalid, Es256, kid("b").x5t("t")), at(0));
        for (name, asked, second, expected) in [
            ("the same", question(KeyUnknown, Es256, kid("a")), 9, true),
            ("for every algorithm", question(KeyUnknown, Rs256, kid("a")), 9, true),
            ("for a while", question(KeyUnknown, Es256, kid("a")), 10, false),
            ("another kid", question(KeyUnknown, Es256, kid("b")), 0, false),
            ("another certificate", question(KeyUnknown, Es256, kid("a").x5t("t")), 0, false),
            ("no name", question(KeyUnknown, Rs256, nameless), 0, true),
            ("no name, another algorithm", question(KeyUnknown, Es256, nameless), 0, false),
            ("no kid", question(KeyUnknown, Rs256, nameless.x5t("t")), 0, false),
            ("another question", question(SignatureInvalid, Es256, kid("a")), 0, false),
            ("a key of the set", question(SignatureInvalid, Es256, kid("b").x5t("u")), 0, true),
        ] {
            assert_eq!(answered.contains(asked, at(second)), expected, "{name}");
        }
        answered.forget_all();
        assert!(!answered.contains(question(KeyUnknown, Es256, kid("a")), at(0)));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut answered = Answered::none();
        let remember = |answered: &mut Answered, kid: &str, now| {
            let hint = KeyHint::from(Some(kid));
            answered.remember(question(FetchReason::KeyUnknown, SignatureAlgorithm::Es256, hint), now);
        };
        for number in 0..2 * MAX_ANSWERED {
            remember(&mut answered, &number.to_string(), at(0));
        }
        assert_eq!(answered.until.len(), MAX_ANSWERED);
        remember(&mut answered, "late", at(30));
        assert_eq!(answered.until.len(), 1, "expired ones make room");
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
