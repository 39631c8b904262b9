//! [`TimeWindow`]: hours of the day, on days of the week.

use std::str::FromStr;

use crate::{clock::Timestamp, error::ConfigError};

const MINUTES_PER_DAY: i64 = 24 * 60;

/// Hours of the day on days of the week, at a fixed distance from UTC: there is
/// no summer time in it.
///
/// From the first minute on, and up to the last, which is not in it. A window
/// that ends before it begins goes over midnight, and belongs to the day on
/// which it begins. The time is that of the decision.
///
/// ```
/// use tower_delegation::{clock::Timestamp, requirement::{TimeWindow, Weekday}};
///
/// let office = TimeWindow::daily((8, 0), (18, 0)).utc_offset_minutes(60).on([
///     Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday,
/// ]);
/// // 2024-03-01, a Friday, 16:59 and 17:00 UTC.
/// assert!(office.contains(Timestamp::from_unix_seconds(1_709_312_399)));
/// assert!(!office.contains(Timestamp::from_unix_seconds(1_709_312_400)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a window does nothing until a requirement demands it"]
pub struct TimeWindow {
    pub(super) start: (u8, u8),
    pub(super) end: (u8, u8),
    pub(super) utc_offset_minutes: i16,
    /// One bit for each day from Monday on.
    days: u8,
}

/// A day of the week (ISO 8601: the first is Monday).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there will not be an eighth")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// The day in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl FromStr for Weekday {
    type Err = ConfigError;

    /// Reads the English name in lower case.
    fn from_str(name: &str) -> Result<Self, ConfigError> {
        let day = Self::ALL.into_iter().find(|day| day.as_str() == name);
        day.ok_or_else(|| ConfigError::InvalidWeekday { name: name.to_owned() })
    }
}

impl TimeWindow {
    /// Every day from `start` to `end`, each as hour and minute, in UTC. The
    /// end may be (24, 0).
    pub fn daily(start: (u8, u8), end: (u8, u8)) -> Self {
        Self { start, end, utc_offset_minutes: 0, days: 0b111_1111 }
    }

    /// How far the clock on the wall is ahead of UTC: 60 for UTC+01:00.
    pub fn utc_offset_minutes(self, minutes: i16) -> Self {
        Self { utc_offset_minutes: minutes, ..self }
    }

    /// On these days only.
    pub fn on(self, days: impl IntoIterator<Item = Weekday>) -> Self {
        let days = days.into_iter().fold(0, |days, day| days | day.bit());
        Self { days, ..self }
    }

    /// Is this time inside?
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        let minutes = time.unix_seconds().div_euclid(60).saturating_add(self.utc_offset_minutes.into());
        let (day, minute) = (minutes.div_euclid(MINUTES_PER_DAY), minutes.rem_euclid(MINUTES_PER_DAY));
        let (start, end) = (minute_of(self.start), minute_of(self.end));
        if start < end {
            (start..end).contains(&minute) && self.is_on(day)
        } else {
            (minute >= start && self.is_on(day)) || (minute < end && self.is_on(day.saturating_sub(1)))
        }
    }

    /// `day`: days since 1970-01-01, which was a Thursday.
    fn is_on(&self, day: i64) -> bool {
        let weekday = day.saturating_add(3).rem_euclid(7);
        self.days & (1 << weekday) != 0
    }

    pub(super) fn days(&self) -> impl Iterator<Item = Weekday> {
        Weekday::ALL.into_iter().filter(|day| self.days & day.bit() != 0)
    }

    pub(super) fn mistake(&self) -> Option<&'static str> {
        let is_time = |(hour, minute): (u8, u8)| hour < 24 && minute < 60;
        if !is_time(self.start) || !(is_time(self.end) || self.end == (24, 0)) {
            return Some("a time window has hours up to 23, or 24:00 as its end, and minutes up to 59");
        }
        if minute_of(self.start) == minute_of(self.end) {
            return Some("a time window ends when it begins: use (0, 0) and (24, 0) for the whole day");
        }
        if !(-14 * 60..=14 * 60).contains(&self.utc_offset_minutes) {
            return Some("the offset of a time window is in minutes, and no more than 14 hours");
        }
        (self.days == 0).then_some("a time window has no day")
    }
}

fn minute_of((hour, minute): (u8, u8)) -> i64 {
    i64::from(hour) * 60 + i64::from(minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-03-01 00:00 UTC, a Friday.
    const FRIDAY: i64 = 1_709_251_200;

    fn at(day: i64, hour: i64, minute: i64) -> Timestamp {
        Timestamp::from_unix_seconds(FRIDAY + ((day * 24 + hour) * 60 + minute) * 60)
    }

    #[test]
    fn the_edges_of_windows() {
        use Weekday::{Friday, Monday, Saturday, Thursday};
        let office = TimeWindow::daily((8, 0), (18, 0));
        let night = TimeWindow::daily((22, 0), (6, 0)).on([Friday]);
        let ahead = TimeWindow::daily((0, 0), (24, 0)).on([Saturday]).utc_offset_minutes(330);
        let behind = TimeWindow::daily((0, 0), (24, 0)).on([Thursday]).utc_offset_minutes(-300);
        for (name, window, time, expected) in [
            ("a minute before", office, at(0, 7, 59), false),
            ("the end", office, at(0, 18, 0), false),
            ("another day", office.on([Monday]), at(0, 12, 0), false),
            ("before midnight, the day before", night, at(-1, 23, 0), false),
            ("after midnight, from the day before", night, at(0, 5, 0), false),
            ("after midnight, too late", night, at(1, 6, 0), false),
            ("before midnight, the day after", night, at(1, 22, 0), false),
            ("Friday there still", ahead, at(0, 18, 29), false),
            ("Friday there already", behind, at(0, 5, 0), false),
            ("the first minute", office, at(0, 8, 0), true),
            ("the last minute", office, at(0, 17, 59), true),
            ("every day", office, at(3, 12, 0), true),
            ("before midnight", night, at(0, 22, 0), true),
            ("after midnight", night, at(1, 5, 59), true),
            ("Saturday there already", ahead, at(0, 18, 30), true),
            ("Thursday there still", behind, at(0, 4, 59), true),
            (
                "before 1970, a Wednesday",
                office.on([Weekday::Wednesday]),
                Timestamp::from_unix_seconds(-3600 * 12),
                true,
            ),
        ] {
            assert_eq!(window.contains(time), expected, "{name}");
        }
    }

    #[test]
    fn impossible_windows_are_mistakes() {
        let whole = TimeWindow::daily((0, 0), (24, 0));
        for (name, window) in [
            ("hour", TimeWindow::daily((24, 0), (6, 0))),
            ("hour at the end", TimeWindow::daily((6, 0), (24, 1))),
            ("minute", TimeWindow::daily((8, 60), (18, 0))),
            ("minute at 23", TimeWindow::daily((23, 60), (6, 0))),
            ("no time", TimeWindow::daily((8, 0), (8, 0))),
            ("offset", whole.utc_offset_minutes(841)),
            ("no day", whole.on([])),
        ] {
            assert!(window.mistake().is_some(), "{name}");
        }
        for window in [whole, TimeWindow::daily((23, 59), (0, 0)), whole.utc_offset_minutes(-840)] {
            assert_eq!(window.mistake(), None, "{window:?}");
        }
    }

    #[test]
    fn days_are_read_by_name() {
        for day in Weekday::ALL {
            assert_eq!(day.as_str().parse::<Weekday>().unwrap(), day);
        }
        for name in ["", "Monday", "mon", "1", "monday "] {
            assert!(name.parse::<Weekday>().is_err(), "{name:?}");
        }
    }
}
