//! This crate's own format.

use serde::{Serialize, Serializer};

use super::{format::Format, time::Time};
use crate::{
    audit::{
        AuditEvent, AuditedActor, AuditedExchange, AuditedRequirement, AuditedRevocation, SpanId, TraceId,
        party::workload_name, token_hash::TokenHash,
    },
    context::{ApplicationKind, SenderConstraint, SubjectKind, WorkloadIdentity},
    issuer::GrantKind,
    reason::DenialReason,
    text::Text,
};

/// Every field under the name that [the guide](crate::audit::guide) gives it.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name to be written down")]
pub struct NativeFormat;

/// What [`NativeFormat`] writes.
#[derive(Debug, Serialize)]
pub struct NativeRecord<'a> {
    time: Time,
    decision: &'static str,
    #[serde(flatten)]
    details: Details<'a>,
}

/// What no standard has a name for stands under these, in every format.
#[derive(Debug, Serialize)]
pub(super) struct Details<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    method: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requirements: Vec<AuditedRequirement<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted_requirements: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presenter: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    malformed_claims: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<AuditedActor<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier_actors: Vec<AuditedActor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_scopes: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beyond_issuer: Vec<Grant<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_constraint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<Workload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<AuditedRevocation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<AuditedExchange<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_hash: Option<TokenHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<TraceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<SpanId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_address: Option<std::net::SocketAddr>,
    duration_us: u64,
}

impl Format for NativeFormat {
    type Record<'a> = NativeRecord<'a>;

    fn record<'a>(&self, event: &'a AuditEvent) -> NativeRecord<'a> {
        NativeRecord {
            time: Time(event.time()),
            decision: event.decision().as_str(),
            details: Details::of(event),
        }
    }
}

impl<'a> Details<'a> {
    pub(super) fn of(event: &'a AuditEvent) -> Self {
        Self {
            reason: event.reason().map(DenialReason::code),
            status: event.status().map(|status| status.as_u16()),
            method: event.method(),
            route: event.route(),
            requirements: event.requirements().collect(),
            omitted_requirements: Some(event.omitted_requirements()).filter(|omitted| *omitted > 0),
            issuer: event.issuer(),
            subject: event.subject(),
            subject_kind: event.subject_kind().map(SubjectKind::as_str),
            client: event.client(),
            application: event.application(),
            application_kind: event.application_kind().map(ApplicationKind::as_str),
            presenter: event.presenter(),
            tenant: event.tenant(),
            malformed_claims: event.malformed_claims().collect(),
            session_id: event.session_id(),
            actor: event.actor(),
            earlier_actors: event.earlier_actors().collect(),
            scopes: event.scopes(),
            token_scopes: event.token_scopes(),
            beyond_issuer: event.beyond_issuer().map(Grant::of).collect(),
            sender_constraint: event.sender_constraint().map(SenderConstraint::as_str),
            workload: event.workload().map(Workload),
            revocation: event.revocation(),
            exchange: event.exchange(),
            token_id: event.token_id(),
            token_hash: event.token_hash(),
            trace_id: event.trace().map(|trace| trace.trace_id()),
            span_id: event.trace().map(|trace| trace.span_id()),
            client_address: event.client_address(),
            duration_us: u64::try_from(event.latency().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// What a token says that its issuer may not grant.
#[derive(Debug, Serialize)]
struct Grant<'a> {
    kind: &'static str,
    name: Text<'a>,
}

impl<'a> Grant<'a> {
    fn of((kind, name): (GrantKind, Text<'a>)) -> Self {
        Self { kind: kind.as_str(), name }
    }
}

/// The SPIFFE ID, or else the thumbprint.
#[derive(Clone, Copy, Debug)]
struct Workload<'a>(&'a WorkloadIdentity);

impl Serialize for Workload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Text::new(&workload_name(self.0).unwrap_or_default()).serialize(serializer)
    }
}
