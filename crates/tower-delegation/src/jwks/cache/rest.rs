//! Keys of resolved issuers: not refreshed while nothing uses them.
//!
//! A resolver may know thousands of issuers, and each that ever sent a token would be
//! fetched from for as long as the service runs.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::{Clock, Moment};

/// How long after the last verified token the keys are still refreshed.
const IDLE_LIMIT: Duration = Duration::from_secs(3600);

/// How exactly the last use is known: a hot issuer writes this often only.
const USE_RESOLUTION: Duration = Duration::from_secs(30);

/// Whether keys rest, and when they were used last.
pub(super) struct Rest {
    label: Arc<str>,
    /// In monotonic milliseconds.
    used_at: AtomicU64,
    /// Resting keys are good for nothing before they were fetched again.
    is_resting: AtomicBool,
}

impl Rest {
    pub(super) fn new(label: Arc<str>, clock: &dyn Clock) -> Self {
        let used_at = AtomicU64::new(millis(clock.monotonic()));
        Self { label, used_at, is_resting: AtomicBool::new(false) }
    }

    /// A key has verified a token.
    pub(super) fn mark_used(&self, clock: &dyn Clock) {
        let now = millis(clock.monotonic());
        if now.saturating_sub(self.used_at.load(Ordering::Relaxed)) >= millis(USE_RESOLUTION) {
            self.used_at.store(now, Ordering::Relaxed);
        }
    }

    /// Begins to rest at once.
    pub(super) fn begin(&self) {
        self.is_resting.store(true, Ordering::Relaxed);
    }

    /// Begins to rest if nothing has used the keys for long enough.
    pub(super) fn begin_if_idle(&self, now: Moment) -> bool {
        let used_at = self.used_at.load(Ordering::Relaxed);
        let is_idle = millis(now.monotonic).saturating_sub(used_at) >= millis(IDLE_LIMIT);
        if is_idle {
            self.begin();
        }
        is_idle
    }

    pub(super) fn end(&self) {
        self.is_resting.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_resting(&self) -> bool {
        self.is_resting.load(Ordering::Relaxed)
    }

    /// What metrics call the issuers of this resolver.
    #[cfg(feature = "metrics")]
    pub(super) fn label(&self) -> &str {
        &self.label
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("label", &self.label).finish_non_exhaustive()
    }
}
