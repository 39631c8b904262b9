//! [`Forgotten`]: which proofs may have been used and forgotten.

use std::{ops::RangeInclusive, time::Duration};

use crate::clock::Timestamp;

/// Ends that are no further apart are one range, in milliseconds.
const GAP: i64 = 120_000;

/// The most ranges. A clock that runs makes one; each time that it is set makes another.
const MAX_RANGES: usize = 4;

/// The ends, by the wall clock, of the proofs that were forgotten: a few ranges that
/// hold all of them.
///
/// A proof whose end is in none of them was not forgotten. While the clock runs on, no
/// proof that is in time has an end that lies in one: only a clock that is set back
/// leads there.
#[derive(Debug, Default)]
pub(super) struct Forgotten(Vec<RangeInclusive<i64>>);

impl Forgotten {
    pub(super) fn add(&mut self, end: Timestamp) {
        let end = end.unix_millis();
        let is_near = |range: &&mut RangeInclusive<i64>| {
            (range.start().saturating_sub(GAP)..=range.end().saturating_add(GAP)).contains(&end)
        };
        match self.0.iter_mut().find(is_near) {
            Some(range) => *range = end.min(*range.start())..=end.max(*range.end()),
            None => self.0.push(end..=end),
        }
        if self.0.len() > MAX_RANGES {
            // The two earliest become one, with what lies between: more may be
            // taken for forgotten, never less.
            self.0.sort_unstable_by_key(|range| *range.start());
            let first = self.0.remove(0);
            if let Some(second) = self.0.first_mut() {
                *second = *first.start()..=*first.end().max(second.end());
            }
        }
    }

    /// All of the ends are now so much later.
    pub(super) fn prolong(&mut self, more: Duration) {
        let more = i64::try_from(more.as_millis()).unwrap_or(i64::MAX);
        for range in &mut self.0 {
            // The start stays: more may be taken for forgotten, never less.
            *range = *range.start()..=range.end().saturating_add(more);
        }
    }

    /// Whether a proof with this end may have been forgotten.
    pub(super) fn may_hold(&self, end: Timestamp) -> bool {
        self.0.iter().any(|range| range.contains(&end.unix_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    #[test]
    fn what_was_forgotten_is_held_and_the_rest_is_not() {
        let mut forgotten = Forgotten::default();
        assert!(!forgotten.may_hold(at(0)));
        for second in (0..1_000).step_by(10) {
            forgotten.add(at(second));
        }
        // The clock was an hour ahead for a while.
        for second in 4_600..4_700 {
            forgotten.add(at(second));
        }
        for (seconds, held) in [
            (-1, false),
            (0, true),
            (5, true),
            (990, true),
            (991, false),
            (4_599, false),
            (4_600, true),
            (4_700, false),
        ] {
            assert_eq!(forgotten.may_hold(at(seconds)), held, "{seconds}");
        }
        assert_eq!(forgotten.0.len(), 2);
    }

    #[test]
    fn ranges_are_few_and_hold_everything() {
        let mut forgotten = Forgotten::default();
        for day in 0..1_000 {
            forgotten.add(at((day * 7_919 % 1_000) * 86_400));
        }
        assert!(forgotten.0.len() <= MAX_RANGES);
        assert!((0..1_000).all(|day| forgotten.may_hold(at(day * 86_400))));
    }
}
