//! [`LastSeen`]: when an application was last let in.

use std::sync::atomic::{AtomicI64, Ordering};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::clock::Timestamp;

/// Whole seconds since 1970, or never.
#[derive(Debug)]
pub(super) struct LastSeen(AtomicI64);

const NEVER: i64 = i64::MIN;

impl LastSeen {
    /// Marks the time. Written once a second at most: requests on other cores
    /// read the same line of memory.
    pub(super) fn mark(&self, at: Timestamp) {
        let second = at.unix_seconds();
        if self.0.load(Ordering::Relaxed) < second {
            self.0.fetch_max(second, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> Option<Timestamp> {
        let second = self.0.load(Ordering::Relaxed);
        (second != NEVER).then(|| Timestamp::from_unix_seconds(second))
    }

    /// Remembers what another entry of the same name has seen.
    pub(super) fn inherit(&self, former: &Self) {
        self.0.fetch_max(former.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// As RFC 3339 has it, in UTC.
    pub(super) fn to_text(&self) -> Option<String> {
        let time = OffsetDateTime::from_unix_timestamp(self.get()?.unix_seconds()).ok()?;
        time.format(&Rfc3339).ok()
    }
}

impl Default for LastSeen {
    fn default() -> Self {
        Self(AtomicI64::new(NEVER))
    }
}

impl Clone for LastSeen {
    fn clone(&self) -> Self {
        Self(AtomicI64::new(self.0.load(Ordering::Relaxed)))
    }
}
