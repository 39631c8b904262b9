//! How long a resolver's answer counts.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::IssuerResolver;
use crate::clock::{Clock, Moment, Timestamp};

/// How long an answer counts where the resolver has no generation.
const ANSWER_LIFETIME: Duration = Duration::from_secs(1);

/// Stands for a resolver without a generation.
const NO_GENERATION: u64 = u64::MAX;

/// That a resolver was asked, and when. Made before it is asked, so that what changes
/// meanwhile is noticed at the next look.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    resolver: Arc<dyn IssuerResolver>,
    generation: u64,
    at: Moment,
}

/// The answers that the terms of a resolved issuer rest on: that of the resolver which
/// knows it, and those of the resolvers before it, which did not.
pub(super) struct Tenure {
    answers: Box<[Answer]>,
    /// Whether the terms are held no more.
    has_ended: AtomicBool,
}

struct Answer {
    resolver: Arc<dyn IssuerResolver>,
    generation: AtomicU64,
    /// In milliseconds of each clock: the monotonic one may stand while the machine is
    /// asleep. They are not written together, and each is in order by itself.
    asked_at: AtomicU64,
    asked_at_wall: AtomicI64,
}

impl Asked {
    pub(super) fn now(resolver: &Arc<dyn IssuerResolver>, clock: &dyn Clock) -> Self {
        Self {
            generation: resolver.generation().unwrap_or(NO_GENERATION),
            at: Moment::of(clock),
            resolver: Arc::clone(resolver),
        }
    }
}

impl Tenure {
    pub(super) fn new(asked: &[Asked]) -> Self {
        let answers = asked.iter().map(|asked| Answer {
            resolver: Arc::clone(&asked.resolver),
            generation: AtomicU64::new(asked.generation),
            asked_at: AtomicU64::new(millis(asked.at.monotonic)),
            asked_at_wall: AtomicI64::new(asked.at.wall.unix_millis()),
        });
        Self { answers: answers.collect(), has_ended: AtomicBool::new(false) }
    }

    /// The same resolvers were asked again, and the answers are the same.
    pub(super) fn renew(&self, asked: &[Asked]) {
        for (answer, asked) in self.answers.iter().zip(asked) {
            answer.generation.store(asked.generation, Ordering::Relaxed);
            answer.asked_at.store(millis(asked.at.monotonic), Ordering::Relaxed);
            answer.asked_at_wall.store(asked.at.wall.unix_millis(), Ordering::Relaxed);
        }
    }

    /// The terms are held no more: none of the answers counts from now on.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Do all answers still count? On the path of every request: one comparison where
    /// the resolver has a generation, one look at the clocks where it has none.
    pub(super) fn holds(&self, clock: &dyn Clock) -> bool {
        !self.has_ended.load(Ordering::Relaxed)
            && self.answers.iter().all(|answer| match answer.resolver.generation() {
                Some(NO_GENERATION) => false,
                Some(generation) => generation == answer.generation.load(Ordering::Relaxed),
                None => answer.asked_at().elapsed(Moment::of(clock)) < ANSWER_LIFETIME,
            })
    }
}

impl Answer {
    fn asked_at(&self) -> Moment {
        Moment {
            wall: Timestamp::from_unix_millis(self.asked_at_wall.load(Ordering::Relaxed)),
            monotonic: Duration::from_millis(self.asked_at.load(Ordering::Relaxed)),
        }
    }
}

impl fmt::Debug for Tenure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.answers.iter().map(|answer| &answer.resolver)).finish()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
