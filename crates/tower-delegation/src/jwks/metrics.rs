//! What an operator watches of the keys, through the `metrics` facade.
//!
//! Labels come from the configuration and from fixed lists, so that their
//! number is bounded and no stranger writes into the operator's metrics.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use super::KeySourceErrorKind;
use crate::{clock::Timestamp, names::IssuerUrl};

const FETCHES: &str = "tower_delegation_jwks_fetches_total";
const KEYS: &str = "tower_delegation_jwks_keys";
const LAST_SUCCESS: &str = "tower_delegation_jwks_last_success_timestamp_seconds";

/// How a fetch ended.
#[derive(Clone, Copy)]
pub(super) enum FetchOutcome {
    /// With a document of this many usable keys.
    Changed {
        keys: usize,
    },
    /// The set in use is current.
    NotModified,
    Failed(KeySourceErrorKind),
}

impl FetchOutcome {
    fn code(self) -> &'static str {
        match self {
            Self::Changed { .. } => "changed",
            Self::NotModified => "not_modified",
            Self::Failed(kind) => kind.code(),
        }
    }
}

pub(super) fn describe() {
    describe_counter!(FETCHES, "Fetches of an issuer's key set, by how they ended");
    describe_gauge!(KEYS, "Usable keys of an issuer's last good key set");
    describe_gauge!(
        LAST_SUCCESS,
        Unit::Seconds,
        "When an issuer's key set was last brought or confirmed, since 1970-01-01"
    );
}

/// Records the end of a fetch that began at `started_at`.
pub(super) fn fetched(issuer: &IssuerUrl, outcome: FetchOutcome, started_at: Timestamp) {
    let label = || issuer.as_str().to_owned();
    counter!(FETCHES, "issuer" => label(), "outcome" => outcome.code()).increment(1);
    if let FetchOutcome::Changed { keys } = outcome {
        gauge!(KEYS, "issuer" => label()).set(u32::try_from(keys).map_or(f64::INFINITY, f64::from));
    }
    if !matches!(outcome, FetchOutcome::Failed(_)) {
        gauge!(LAST_SUCCESS, "issuer" => label()).set(seconds(started_at));
    }
}

/// Records the end of a fetch for one of a resolver's issuers: how many there are is for
/// its clients to decide, so all have one label, and no gauge, which would be the last one's.
pub(super) fn fetched_for_resolver(label: &str, outcome: FetchOutcome) {
    counter!(FETCHES, "issuer" => label.to_owned(), "outcome" => outcome.code()).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "exact to the millisecond for 285 000 years")]
fn seconds(time: Timestamp) -> f64 {
    time.unix_millis() as f64 / 1000.0
}
