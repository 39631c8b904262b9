//! What an operator watches of decisions and of the record, through the
//! `metrics` facade; nothing without the feature.
//!
//! Every label is a word of a fixed list: no stranger writes into the
//! operator's metrics.

use std::time::Duration;

#[cfg(feature = "metrics")]
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use super::AuditDecision;
use crate::reason::DenialReason;

#[cfg(feature = "metrics")]
const REQUESTS: &str = "tower_delegation_requests_total";
#[cfg(feature = "metrics")]
const DECISION: &str = "tower_delegation_decision_seconds";
#[cfg(feature = "metrics")]
const EVENTS: &str = "tower_delegation_audit_events_total";

/// Is anything counted? Then every request is observed.
pub(crate) const COUNTED: bool = cfg!(feature = "metrics");

/// What became of an event in one sink.
#[derive(Clone, Copy)]
pub(super) enum EventFate {
    /// It is on record.
    Recorded,
    /// It never will be.
    Dropped,
    /// There was no place for it, and the request was not served.
    Refused,
}

pub(super) fn describe() {
    #[cfg(feature = "metrics")]
    {
        describe_counter!(REQUESTS, "Requests, by what was decided and why");
        describe_histogram!(
            DECISION,
            Unit::Seconds,
            "From a request's arrival to its admission or refusal by the layer"
        );
        describe_counter!(EVENTS, "Audit events, by what became of them in a sink");
    }
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn request(decision: AuditDecision, reason: Option<DenialReason>, decided_in: Option<Duration>) {
    #[cfg(feature = "metrics")]
    {
        let reason = reason.map_or("none", DenialReason::code);
        counter!(REQUESTS, "decision" => decision.as_str(), "reason" => reason).increment(1);
        if let Some(decided_in) = decided_in {
            histogram!(DECISION).record(decided_in.as_secs_f64());
        }
    }
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn event(outcome: EventFate) {
    #[cfg(feature = "metrics")]
    {
        let outcome = match outcome {
            EventFate::Recorded => "recorded",
            EventFate::Dropped => "dropped",
            EventFate::Refused => "refused",
        };
        counter!(EVENTS, "outcome" => outcome).increment(1);
    }
}
