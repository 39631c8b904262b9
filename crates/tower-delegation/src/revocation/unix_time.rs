//! Times as JSON has them here: seconds since 1970, with a fraction where there is one.

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

use crate::clock::Timestamp;

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        None => serializer.serialize_none(),
        Some(time) if time.unix_millis() % 1000 == 0 => serializer.serialize_i64(time.unix_seconds()),
        #[expect(clippy::cast_precision_loss, reason = "milliseconds up to the year 9999 have 48 bits")]
        Some(time) => serializer.serialize_f64(time.unix_millis() as f64 / 1000.0),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    /// Beyond it a `f64` counts no milliseconds; every time that can be meant is far below.
    const MAX_SECONDS: f64 = 1e15;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(i64),
        Fraction(f64),
    }
    Ok(match Option::<Number>::deserialize(deserializer)? {
        None => None,
        Some(Number::Whole(seconds)) => Some(Timestamp::from_unix_seconds(seconds)),
        #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
        Some(Number::Fraction(seconds)) if seconds.abs() <= MAX_SECONDS => {
            Some(Timestamp::from_unix_millis((seconds * 1000.0).round() as i64))
        }
        Some(Number::Fraction(_)) => return Err(D::Error::custom("a time is out of range")),
    })
}
