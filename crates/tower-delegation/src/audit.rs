//! One `tracing` event per request: who asked, through which application, what
//! was decided and why.
//!
//! Target [`TARGET`], level `INFO`; `ERROR` where the service is wired wrongly,
//! `WARN` where something of ours could not be reached. Field names are stable:
//!
//! | field | what |
//! |---|---|
//! | `decision` | `allow`; `deny`; `none`: no requirement was evaluated; `abandoned`: the client left, or the handler panicked |
//! | `reason` | [`DenialReason::code`], where there was a denial |
//! | `status` | the response's status, where there was a response |
//! | `method`, `route` | the route's template (feature `axum`), never the raw path |
//! | `requirements` | the names of the requirements evaluated, in order; `deny (shadow)` or `deny (exception: …)` behind one whose denial was let through |
//! | `issuer`, `subject`, `subject_kind`, `client`, `actor`, `earlier_actors`, `scopes`, `token_id` | from the verified token; `scopes` are the effective ones |
//! | `application`, `application_kind` | the registered application of the client, and its kind: `application`, `service`, `agent` |
//! | `presenter` | the registered application that presents the token: the current actor's, else the client's |
//! | `sender_constraint` | how the token is tied to its presenter: `none`, `mutual_tls`, `dpop`, `mutual_tls_and_dpop` |
//! | `workload` | the SPIFFE ID of the client certificate, or else its thumbprint in hex |
//! | `duration_us` | from the arrival of the head to the response's head, in microseconds |
//!
//! A field without a value is left out. Values from outside are escaped and
//! cut at 256 characters; tokens never appear.
//!
//! No subscriber asks for the target: no event is made, nothing is paid.

use std::{fmt, time::Duration};

use http::{Method, StatusCode};
use tracing::Level;

use crate::{
    context::{Actor, DelegationContext, Effect, Evaluation, RequestRecord, WorkloadIdentity},
    reason::{DenialReason, RejectionKind},
};

/// The `tracing` target of audit events.
pub const TARGET: &str = "tower_delegation::audit";

/// The most characters of one value.
const MAX_VALUE_LEN: usize = 256;

/// What one event tells.
pub(crate) struct AuditEvent<'a> {
    pub(crate) delegation: Option<&'a DelegationContext>,
    pub(crate) record: Option<&'a RequestRecord>,
    /// Why the layer itself refused the request.
    pub(crate) refusal: Option<DenialReason>,
    /// `None`: there was no response.
    pub(crate) status: Option<StatusCode>,
    pub(crate) method: &'a Method,
    pub(crate) route: Option<&'a str>,
    pub(crate) duration: Duration,
}

/// Does any subscriber want audit events?
pub(crate) fn is_enabled() -> bool {
    tracing::enabled!(target: TARGET, Level::ERROR)
}

impl AuditEvent<'_> {
    pub(crate) fn emit(&self) {
        let evaluations = self.record.map(RequestRecord::evaluations).unwrap_or_default();
        let denial = self.refusal.or_else(|| evaluations.iter().find_map(Evaluation::refusal));
        let decision = match denial {
            Some(_) => "deny",
            None if self.status.is_none() => "abandoned",
            None if evaluations.is_empty() => "none",
            None => "allow",
        };
        let names: Vec<String> = evaluations.iter().map(named).collect();
        let delegation = self.delegation;
        let subject = delegation.map(DelegationContext::subject);
        let application = delegation.and_then(DelegationContext::application);
        let actors = delegation.map(DelegationContext::actors).unwrap_or_default();
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(
                    target: TARGET,
                    $level,
                    decision,
                    reason = denial.map(DenialReason::code),
                    status = self.status.map(|status| status.as_u16()),
                    method = %Capped(self.method.as_str()),
                    route = self.route.map(text),
                    requirements = (!names.is_empty()).then(|| text(&names.join(" "))),
                    issuer = subject.map(|subject| text(subject.issuer().as_str())),
                    subject = subject.map(|subject| text(subject.id().as_str())),
                    subject_kind = subject.map(|subject| subject.kind().as_str()),
                    client = delegation.and_then(DelegationContext::client).map(|client| text(client.as_str())),
                    actor = actors.first().map(|actor| text(actor.id().as_str())),
                    earlier_actors = earlier(actors),
                    scopes = delegation.map(|delegation| text(delegation.scopes().as_str())),
                    application = application.map(|application| text(application.name())),
                    application_kind = application.map(|application| application.kind().as_str()),
                    presenter = delegation.and_then(DelegationContext::presenter).map(|one| text(one.name())),
                    sender_constraint = delegation.map(|delegation| delegation.sender_constraint().as_str()),
                    workload = delegation.and_then(DelegationContext::workload).map(workload),
                    token_id = delegation.map(|delegation| text(delegation.token_id().as_str())),
                    duration_us = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
                    "request {decision}",
                )
            };
        }
        match denial.map(DenialReason::kind) {
            Some(RejectionKind::Misconfigured) => event!(Level::ERROR),
            Some(RejectionKind::Unavailable) => event!(Level::WARN),
            Some(_) | None => event!(Level::INFO),
        }
    }
}

/// A requirement's name, and what came of its denial where that is no refusal.
fn named(evaluation: &Evaluation) -> String {
    let name = &evaluation.requirement;
    match (evaluation.denial, &evaluation.effect) {
        (Some(_), Effect::Shadowed) => format!("{name}: deny (shadow)"),
        (Some(_), Effect::Excepted(reason)) => format!("{name}: deny (exception: {reason})"),
        _ => name.to_string(),
    }
}

fn earlier(actors: &[Actor]) -> Option<String> {
    let earlier = actors.get(1..).filter(|earlier| !earlier.is_empty())?;
    let ids: Vec<&str> = earlier.iter().map(|actor| actor.id().as_str()).collect();
    Some(text(&ids.join(" ")))
}

fn workload(workload: &WorkloadIdentity) -> String {
    match (workload.spiffe_id(), workload.thumbprint()) {
        (Some(id), _) => text(id.as_str()),
        (None, Some(thumbprint)) => thumbprint.iter().map(|byte| format!("{byte:02x}")).collect(),
        (None, None) => String::new(),
    }
}

fn text(value: &str) -> String {
    Capped(value).to_string()
}

/// A value from outside: control characters escaped, cut at [`MAX_VALUE_LEN`].
struct Capped<'a>(&'a str);

impl fmt::Display for Capped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(MAX_VALUE_LEN) {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        if characters.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_forge_lines() {
        assert_eq!(text("alice\ndecision=allow\r\u{1b}[0m"), "alice\\ndecision=allow\\r\\u{1b}[0m");
    }

    #[test]
    fn values_are_cut() {
        assert_eq!(text(&"é".repeat(300)).chars().count(), MAX_VALUE_LEN + 1);
        assert_eq!(text(&"a".repeat(256)), "a".repeat(256));
    }
}
