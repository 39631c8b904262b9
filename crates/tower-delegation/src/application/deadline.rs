//! [`Deadline`]: a day or a moment after which something no longer holds.

use std::{fmt, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::clock::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Until when something holds: `2027-03-31`, the whole of that day in UTC, or
/// `2027-03-31T18:00:00+02:00`, up to that moment (RFC 3339).
#[derive(Clone, PartialEq, Eq)]
pub struct Deadline {
    text: Box<str>,
    end: Timestamp,
}

impl Deadline {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let is_day = text.len() == "2027-03-31".len();
        let moment = if is_day { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let moment = OffsetDateTime::parse(&moment, &Rfc3339).map_err(|error| {
            format!("{text:?} is neither a date (2027-03-31) nor a timestamp (2027-03-31T18:00:00Z): {error}")
        })?;
        let start = Timestamp::from_unix_seconds(moment.unix_timestamp())
            .saturating_add(Duration::from_millis(moment.millisecond().into()));
        let end = if is_day { start.saturating_add(DAY) } else { start };
        Ok(Self { text: text.into(), end })
    }

    /// The date or timestamp as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first moment at which it has passed.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// Has it passed at `now`?
    #[must_use]
    pub fn has_passed(&self, now: Timestamp) -> bool {
        now >= self.end
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_whole_day_and_a_timestamp_its_moment() {
        for (text, end) in [
            ("1970-01-01", 86_400),
            ("1970-01-01T00:00:10Z", 10),
            ("1970-01-01T01:00:10+01:00", 10),
            ("2024-02-29", 1_709_251_200),
        ] {
            let deadline = Deadline::parse(text).unwrap();
            let end = Timestamp::from_unix_seconds(end);
            assert_eq!((deadline.as_str(), deadline.end()), (text, end));
            assert!(deadline.has_passed(end), "{text}");
            assert!(!deadline.has_passed(end.saturating_sub(Duration::from_millis(1))), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "2027",
            "2027-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-01-32",
            "2027-1-1",
            "01.01.2027",
            "2027-01-01T00:00:00",
            "2027-01-01T24:00:01Z",
            "2027-01-01Z",
            "tomorrow..",
            "1800000000",
        ] {
            assert!(Deadline::parse(text).is_err(), "{text:?}");
        }
    }
}
