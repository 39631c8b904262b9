//! [`Time`]: a time as the formats write it.

use serde::{Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::clock::Timestamp;

/// More than any time takes: `9999-12-31T23:59:59.999999999Z`.
const TIME_LEN: usize = 40;

/// A time as RFC 3339 has it, in UTC; as milliseconds outside of its years.
#[derive(Debug)]
pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.unix_millis();
        let mut text = [0; TIME_LEN];
        let mut rest = text.as_mut_slice();
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok();
        // What is left says how much was written; the length that is returned leaves out parts of seconds.
        let is_written = time.is_some_and(|time| time.format_into(&mut rest, &Rfc3339).is_ok());
        let length = TIME_LEN - rest.len();
        let text = text.get(..length).filter(|_| is_written).and_then(|text| str::from_utf8(text).ok());
        match text {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_i64(millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (millis, expected) in [
            (0, "\"1970-01-01T00:00:00Z\""),
            (1_700_000_000_123, "\"2023-11-14T22:13:20.123Z\""),
            (-1, "\"1969-12-31T23:59:59.999Z\""),
            (i64::MAX, "9223372036854775807"),
        ] {
            let time = Time(Timestamp::from_unix_millis(millis));
            assert_eq!(serde_json::to_string(&time).unwrap(), expected);
        }
    }
}
