//! How long keys are used, and how long a request waits for them.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    clock::Moment,
    error::{ConfigError, Mistakes},
};

/// The terms on which an issuer's keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyLimits {
    /// The longest time after which a set is fetched again, whatever its source says.
    pub(crate) max_age: Duration,
    /// How long a set is used after the last fetch that confirmed it.
    pub(crate) max_staleness: Duration,
    /// How long one request waits for a fetch.
    pub(crate) max_wait: Duration,
}

impl KeyLimits {
    pub(crate) const DEFAULT: Self = Self {
        max_age: Duration::from_secs(3600),
        max_staleness: Duration::from_secs(24 * 3600),
        max_wait: Duration::from_secs(10),
    };

    /// Whether the limits make sense, each by itself and together.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let seconds = Duration::as_secs;
        let millis = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mut mistakes = Mistakes::default();
        let mut out_of_range =
            |setting, value, expected| mistakes.add(ConfigError::OutOfRange { setting, value, expected });
        let is_age_in_range =
            (Duration::from_secs(10)..=Duration::from_secs(24 * 3600)).contains(&self.max_age);
        if !is_age_in_range {
            let value = seconds(&self.max_age);
            out_of_range("max_key_age in seconds", value, "from 10 to 86400");
        }
        // An age that is out of range itself is no measure for another setting.
        if (is_age_in_range && self.max_staleness < self.max_age)
            || self.max_staleness > Duration::from_secs(7 * 24 * 3600)
        {
            let value = seconds(&self.max_staleness);
            let expected = "at least max_key_age (3600 unless set), at most 604800";
            out_of_range("max_key_staleness in seconds", value, expected);
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(30)).contains(&self.max_wait) {
            let value = millis(&self.max_wait);
            out_of_range("max_key_wait in milliseconds", value, "from 100 to 30000");
        }
        mistakes.into_result()
    }
}

/// A moment that readers compare with without a lock.
///
/// The two halves are not written together: a reader in between sees one moment
/// by one clock and the next by the other, either of which is in order.
#[derive(Debug)]
pub(super) struct Deadline {
    monotonic: AtomicU64,
    wall: AtomicI64,
}

impl Deadline {
    pub(super) fn never() -> Self {
        Self { monotonic: AtomicU64::new(u64::MAX), wall: AtomicI64::new(i64::MAX) }
    }

    pub(super) fn set(&self, moment: Moment) {
        self.monotonic.store(millis(moment.monotonic), Ordering::Relaxed);
        self.wall.store(moment.wall.unix_millis(), Ordering::Relaxed);
    }

    pub(super) fn set_never(&self) {
        self.monotonic.store(u64::MAX, Ordering::Relaxed);
        self.wall.store(i64::MAX, Ordering::Relaxed);
    }

    /// Whether either clock has reached the moment.
    pub(super) fn has_come(&self, now: Moment) -> bool {
        millis(now.monotonic) >= self.monotonic.load(Ordering::Relaxed)
            || now.wall.unix_millis() >= self.wall.load(Ordering::Relaxed)
    }

    /// By the clock that can be slept on.
    pub(super) fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic.load(Ordering::Relaxed))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn limits_out_of_range_are_refused() {
        let seconds = Duration::from_secs;
        let day = 24 * 3600;
        for (name, max_age, max_staleness, max_wait, is_good) in [
            ("the default", 3600, day, 10_000, true),
            ("the least", 10, 10, 100, true),
            ("the most", day, 7 * day, 30_000, true),
            ("no age", 0, day, 10_000, false),
            ("too young", 9, day, 10_000, false),
            ("too old", day + 1, 7 * day, 10_000, false),
            ("stale before it is old", 3600, 3599, 10_000, false),
            ("stale for too long", 3600, 7 * day + 1, 10_000, false),
            ("no wait", 3600, day, 0, false),
            ("too short a wait", 3600, day, 99, false),
            ("too long a wait", 3600, day, 30_001, false),
        ] {
            let limits = KeyLimits {
                max_age: seconds(max_age),
                max_staleness: seconds(max_staleness),
                max_wait: Duration::from_millis(max_wait),
            };
            let checked = limits.check();
            assert_eq!(checked.is_ok(), is_good, "{name}");
            assert!(is_good || matches!(checked, Err(ConfigError::OutOfRange { .. })), "{name}");
        }
    }

    #[test]
    fn either_clock_can_reach_a_deadline() {
        let moment = |wall, monotonic| Moment {
            wall: Timestamp::from_unix_seconds(wall),
            monotonic: Duration::from_secs(monotonic),
        };
        let deadline = Deadline::never();
        assert!(!deadline.has_come(moment(4_000_000_000, 4_000_000_000)));
        deadline.set(moment(1000, 100));
        for (now, has_come) in [
            (moment(999, 99), false),
            (moment(1000, 99), true),
            (moment(999, 100), true),
            (moment(-5, 100), true),
            (moment(-5, 99), false),
        ] {
            assert_eq!(deadline.has_come(now), has_come, "{now:?}");
        }
    }
}
