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

use super::{KeyCache, State};
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

    /// What metrics call the issuers of this resolver.
    #[cfg(feature = "metrics")]
    pub(super) fn label(&self) -> &str {
        &self.label
    }
}

impl KeyCache {
    /// A key of these has verified a token. Costs nothing for a configured issuer.
    pub(crate) fn mark_used(&self) {
        let Some(rest) = &self.rest else { return };
        let now = millis(self.clock.monotonic());
        if now.saturating_sub(rest.used_at.load(Ordering::Relaxed)) >= millis(USE_RESOLUTION) {
            rest.used_at.store(now, Ordering::Relaxed);
        }
    }

    /// Ends the refreshing at once: the issuer is trusted no longer, or has other keys.
    pub(crate) fn retire(&self) {
        let Some(rest) = &self.rest else { return };
        rest.is_resting.store(true, Ordering::Relaxed);
        let keeper = self.lock().keeper.take();
        if let Some(keeper) = keeper {
            keeper.abort();
        }
    }

    /// Begins to rest if nothing has used the keys for long enough. The caller is the
    /// keeper, which then ends.
    pub(super) fn falls_asleep(&self, state: &mut State, now: Moment) -> bool {
        let Some(rest) = &self.rest else { return false };
        let used_at = rest.used_at.load(Ordering::Relaxed);
        if millis(now.monotonic).saturating_sub(used_at) < millis(IDLE_LIMIT) {
            return false;
        }
        rest.is_resting.store(true, Ordering::Relaxed);
        // The next fetch starts another keeper.
        state.keeper = None;
        true
    }

    /// A fetch has brought or confirmed the keys.
    pub(super) fn wake(&self) {
        if let Some(rest) = &self.rest {
            rest.is_resting.store(false, Ordering::Relaxed);
        }
    }

    pub(crate) fn rests(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.is_resting.load(Ordering::Relaxed))
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
