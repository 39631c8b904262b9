//! [`Circuit`]: requests to a server that is down are not sent.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::token::Subject;

/// After so many outages in a row nothing is sent for a while. What the token of a caller can
/// have brought about counts once for each subject: no one alone stops the exchanges of others.
const OUTAGES: usize = 5;

/// For how long nothing is sent, unless the server says until when.
const PAUSE: Duration = Duration::from_secs(5);

/// Open after [`OUTAGES`] in a row. Then one request at a time finds out whether the server is
/// back.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    outages: usize,
    /// Whose tokens some of them may be due to: each subject once.
    subjects: Vec<Subject>,
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

    /// Is nothing sent for now?
    pub(super) fn is_paused(&self, now: Duration) -> bool {
        now < self.state().closed_until
    }

    /// The server has answered.
    pub(super) fn answered(&self) {
        *self.state() = State::default();
    }

    /// The server has not, or has said that it cannot before `retry_after`. `caller` is given
    /// where its token may be the cause.
    pub(super) fn failed(&self, now: Duration, retry_after: Option<Duration>, caller: Option<&Subject>) {
        let mut state = self.state();
        if let Some(caller) = caller {
            if state.subjects.contains(caller) {
                if state.outages >= OUTAGES {
                    // Nothing is found out about the server. The next caller may.
                    state.closed_until = state.closed_until.min(now);
                }
                return;
            }
            if state.subjects.len() < OUTAGES {
                state.subjects.push(caller.clone());
            }
        }
        state.outages = state.outages.saturating_add(1);
        let retry_after = retry_after.filter(|_| caller.is_none());
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
    use crate::names::SubjectKind;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn five_outages_in_a_row_open_it() {
        let circuit = Circuit::default();
        for _ in 0..4 {
            circuit.failed(Duration::ZERO, None, None);
            assert!(circuit.allows(Duration::ZERO));
        }
        circuit.answered();
        for _ in 0..5 {
            assert!(circuit.allows(Duration::ZERO), "an answer starts the count anew");
            circuit.failed(Duration::ZERO, None, None);
        }
        assert!(!circuit.allows(4 * SECOND));
        assert!(circuit.allows(5 * SECOND), "one finds out");
        assert!(!circuit.allows(5 * SECOND), "and no other meanwhile");
        circuit.answered();
        assert!(circuit.allows(5 * SECOND));
    }

    #[test]
    fn no_subject_opens_it_alone() {
        let subject = |id: &str| Subject::new("https://idp".into(), id.into(), SubjectKind::User);
        let circuit = Circuit::default();
        for _ in 0..20 {
            circuit.failed(Duration::ZERO, Some(30 * SECOND), Some(&subject("mallory")));
            assert!(circuit.allows(Duration::ZERO));
        }
        for other in ["a", "b", "c", "d"] {
            assert!(circuit.allows(Duration::ZERO), "{other}");
            circuit.failed(Duration::ZERO, None, Some(&subject(other)));
        }
        assert!(!circuit.allows(4 * SECOND), "several subjects do");
        assert!(circuit.allows(5 * SECOND));
        circuit.failed(5 * SECOND, None, Some(&subject("mallory")));
        assert!(circuit.allows(5 * SECOND), "who failed before finds nothing out");
        circuit.failed(5 * SECOND, None, None);
        assert!(!circuit.allows(9 * SECOND));
    }

    #[test]
    fn the_server_says_when_to_ask_again() {
        let circuit = Circuit::default();
        circuit.failed(Duration::ZERO, Some(30 * SECOND), None);
        assert!(!circuit.allows(29 * SECOND));
        assert!(circuit.allows(30 * SECOND));
    }
}
