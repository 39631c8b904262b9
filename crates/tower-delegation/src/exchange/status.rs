//! [`ExchangeStatus`]: how the exchanges for one downstream are doing.

use std::sync::atomic::{AtomicU64, Ordering};

/// How the exchanges for one downstream are doing, since the service started: for a status page.
///
/// With the feature `metrics`, the same numbers are
/// `tower_delegation_exchanges_total{downstream, outcome}`: `issued`, `outlives_caller` and `failed`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExchangeStatus {
    /// The name of the downstream.
    pub downstream: String,
    /// How many tokens were issued and passed every check.
    pub issued: u64,
    /// How many of them outlive the token that they were exchanged for: the issuer does not cap
    /// their life. None is used for longer than the caller's.
    pub outliving_caller: u64,
    /// How many attempts brought no token: the server cannot be reached, refuses, or has handed
    /// out something else than was asked for.
    pub failed: u64,
    /// Whether nothing is sent for now, because the server is down or has asked for a pause.
    pub is_paused: bool,
}

/// What became of the requests to the server.
#[derive(Debug, Default)]
pub(super) struct Account {
    issued: AtomicU64,
    outliving_caller: AtomicU64,
    failed: AtomicU64,
}

impl Account {
    /// A token is used.
    pub(super) fn add_issued(&self, downstream: &str, outlives_caller: bool) {
        self.issued.fetch_add(1, Ordering::Relaxed);
        if outlives_caller {
            self.outliving_caller.fetch_add(1, Ordering::Relaxed);
        }
        count(downstream, if outlives_caller { "outlives_caller" } else { "issued" });
    }

    /// There is no token.
    pub(super) fn add_failed(&self, downstream: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        count(downstream, "failed");
    }

    pub(super) fn status(&self, downstream: &str, is_paused: bool) -> ExchangeStatus {
        ExchangeStatus {
            downstream: downstream.to_owned(),
            issued: self.issued.load(Ordering::Relaxed),
            outliving_caller: self.outliving_caller.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            is_paused,
        }
    }
}

#[cfg(feature = "metrics")]
const EXCHANGES: &str = "tower_delegation_exchanges_total";

/// Says what the counter is.
pub(super) fn describe() {
    #[cfg(feature = "metrics")]
    metrics::describe_counter!(EXCHANGES, "Requests for tokens of a downstream, by what came of them");
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
fn count(downstream: &str, outcome: &'static str) {
    // The name is the configuration's: no stranger writes into the operator's metrics.
    #[cfg(feature = "metrics")]
    metrics::counter!(EXCHANGES, "downstream" => downstream.to_owned(), "outcome" => outcome).increment(1);
}
