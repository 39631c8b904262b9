//! Durations in a configuration: whole seconds, as a number. The name of the setting ends
//! in `_seconds`, so that the unit is read together with the value.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, ser::Error as _};

/// What a duration with a fraction of a second is refused with: rounded, it would be
/// another setting.
const FRACTION: &str = "a duration in the settings has whole seconds";

pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    match duration.subsec_nanos() {
        0 => duration.as_secs().serialize(serializer),
        _ => Err(S::Error::custom(FRACTION)),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// The same for a setting that may be left out.
pub(crate) mod optional {
    use super::{Deserializer, Duration, Serializer, serialize as serialize_seconds};

    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serialize_seconds(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}
