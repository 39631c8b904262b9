//! [`TracingSink`]: one `tracing` event per request.

use std::fmt;

use http::StatusCode;
use tracing::{Level, field::display as shown};

use super::{AuditEvent, AuditSink, AuditedActor, SinkError, party::workload_name};
use crate::{
    context::{ApplicationKind, SenderConstraint, SubjectKind},
    reason::{DenialReason, RejectionKind},
    text::Text,
};

/// The `tracing` target of audit events.
pub const TARGET: &str = "tower_delegation::audit";

/// Hands each event to the process's `tracing` subscriber, under [`TARGET`]:
/// what a layer does that has no [`Audit`](super::Audit) of its own.
///
/// Level `INFO`; `ERROR` where the service is wired wrongly, `WARN` where
/// something of ours could not be reached. No subscriber asks for the target:
/// no event is made, nothing is paid. Belongs behind
/// [`Audit::inline`](super::Audit::inline), so that events are in the
/// request's own span.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name to be written down")]
pub struct TracingSink;

impl AuditSink for TracingSink {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        emit(event);
        Ok(())
    }

    fn is_enabled(&self) -> bool {
        tracing::enabled!(target: TARGET, Level::ERROR)
    }
}

fn emit(event: &AuditEvent) {
    let decision = event.decision().as_str();
    let about = if event.exchange().is_some() { "exchange" } else { "request" };
    let workload = event.workload().and_then(workload_name);
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: TARGET,
                $level,
                decision,
                reason = event.reason().map(DenialReason::code),
                status = event.status().as_ref().map(StatusCode::as_u16),
                method = %event.method(),
                route = event.route().map(shown),
                requirements = (event.requirements().len() > 0).then(|| shown(Requirements(event))),
                issuer = event.issuer().map(shown),
                subject = event.subject().map(shown),
                subject_kind = event.subject_kind().map(SubjectKind::as_str),
                client = event.client().map(shown),
                tenant = event.tenant().map(shown),
                malformed_claims = event.malformed_claims().next().map(|_| shown(MalformedClaims(event))),
                actor = event.actor().map(|actor| shown(actor.id())),
                actor_claimed_issuer = event.actor().and_then(AuditedActor::claimed_issuer).map(shown),
                earlier_actors = (event.earlier_actors().len() > 0).then(|| shown(EarlierActors(event))),
                scopes = event.scopes().map(shown),
                beyond_issuer = event.beyond_issuer().next().map(|_| shown(BeyondIssuer(event))),
                application = event.application().map(shown),
                application_kind = event.application_kind().map(ApplicationKind::as_str),
                presenter = event.presenter().map(shown),
                sender_constraint = event.sender_constraint().map(SenderConstraint::as_str),
                workload = workload.as_deref().map(|workload| shown(Text::new(workload))),
                revocation = event.revocation().map(shown),
                downstream = event.exchange().map(|exchange| shown(exchange.downstream())),
                asked_scopes = event.exchange().and_then(|exchange| exchange.asked_scopes()).map(shown),
                issued_scopes = event.exchange().and_then(|exchange| exchange.issued_scopes()).map(shown),
                exception = event.exchange().and_then(|exchange| exchange.exception()).map(shown),
                passed_on = event.exchange().and_then(|exchange| exchange.passed_on()).map(shown),
                verified = event.exchange().map(|exchange| exchange.verified().as_str()),
                token_id = event.token_id().map(shown),
                trace_id = event.trace().map(|trace| shown(trace.trace_id())),
                client_address = event.client_address().map(shown),
                duration_us = u64::try_from(event.latency().as_micros()).unwrap_or(u64::MAX),
                "{about} {decision}",
            )
        };
    }
    match event.reason().map(DenialReason::kind) {
        Some(RejectionKind::Misconfigured) => event!(Level::ERROR),
        Some(RejectionKind::Unavailable) => event!(Level::WARN),
        Some(_) | None => event!(Level::INFO),
    }
}

/// The names of the malformed facts.
struct MalformedClaims<'a>(&'a AuditEvent);

impl fmt::Display for MalformedClaims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, name) in self.0.malformed_claims().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// Each with its kind.
struct BeyondIssuer<'a>(&'a AuditEvent);

impl fmt::Display for BeyondIssuer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (kind, name)) in self.0.beyond_issuer().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{} {name}", kind.as_str())?;
        }
        Ok(())
    }
}

/// The names of the requirements; those that do not hold with what came of it, and
/// those that were only asked with the answer.
struct Requirements<'a>(&'a AuditEvent);

impl fmt::Display for Requirements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, requirement) in self.0.requirements().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            fmt::Display::fmt(&requirement.name(), f)?;
            if requirement.denial().is_some() || requirement.is_asked() {
                write!(f, ": {}", requirement.outcome())?;
            }
        }
        Ok(())
    }
}

/// Their identifiers, newest first.
struct EarlierActors<'a>(&'a AuditEvent);

impl fmt::Display for EarlierActors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, actor) in self.0.earlier_actors().enumerate() {
            if number > 0 {
                f.write_str(" ")?;
            }
            fmt::Display::fmt(&actor.id(), f)?;
        }
        Ok(())
    }
}
