//! [`Circuit`]: requests to a server that is down are not sent.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// After so many outages in a row nothing is sent for a while.
const OUTAGES: u32 = 5;

/// For how long nothing is sent, unless the server says until when.
const PAUSE: Duration = Duration::from_secs(5);

/// Open after [`OUTAGES`] in a row. Then one request at a time finds out whether the server is
/// back.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    outages: u32,
    /// By the monotonic clock.
    closed_until: Duration,
}

impl Circuit {
    /// May a request be sent? Where the pause is over, the caller is the one that finds out.
    pub(super) fn allows(&self, now: Duration) -> bool {
        let mut state = self.state();
        if state.outages < OUTAGES && state.closed_until <= now {
            return true;
        }
        let is_over = state.closed_until <= now;
        if is_over {
            state.closed_until = now.saturating_add(PAUSE);
        }
        is_over
    }

    /// The server has answered.
    pub(super) fn answered(&self) {
        *self.state() = State::default();
    }

    /// The server has not, or has said that it cannot before `retry_after`.
    pub(super) fn failed(&self, now: Duration, retry_after: Option<Duration>) {
        let mut state = self.state();
        state.outages = state.outages.saturating_add(1);
        if retry_after.is_some() || state.outages >= OUTAGES {
            state.closed_until = now.saturating_add(retry_after.unwrap_or(PAUSE));
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn five_outages_in_a_row_open_it() {
        let circuit = Circuit::default();
        for _ in 0..4 {
            circuit.failed(Duration::ZERO, None);
            assert!(circuit.allows(Duration::ZERO));
        }
        circuit.answered();
        for _ in 0..5 {
            assert!(circuit.allows(Duration::ZERO), "an answer starts the count anew");
            circuit.failed(Duration::ZERO, None);
        }
        assert!(!circuit.allows(4 * SECOND));
        assert!(circuit.allows(5 * SECOND), "one finds out");
        assert!(!circuit.allows(5 * SECOND), "and no other meanwhile");
        circuit.answered();
        assert!(circuit.allows(5 * SECOND));
    }

    #[test]
    fn the_server_says_when_to_ask_again() {
        let circuit = Circuit::default();
        circuit.failed(Duration::ZERO, Some(30 * SECOND));
        assert!(!circuit.allows(29 * SECOND));
        assert!(circuit.allows(30 * SECOND));
    }
}
