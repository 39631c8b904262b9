//! The Elastic Common Schema.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use data_encoding::HEXUPPER;
use serde::{Serialize, Serializer};

use super::{format::Format, native::Details, time::Time};
use crate::{
    audit::{AuditDecision, AuditEvent, AuditedActor, SpanId, TraceId},
    context::WorkloadIdentity,
    reason::DenialReason,
    text::Text,
};

/// The version whose names are used; later ones have them, too.
const VERSION: &str = "8.17.0";

/// Fields of the Elastic Common Schema. `user` is the subject, also of a
/// delegated request; `user.effective` is the current actor. What the schema
/// has no name for stands under `tower_delegation`, as [`NativeFormat`](super::NativeFormat)
/// names it.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name to be written down")]
pub struct EcsFormat;

/// What [`EcsFormat`] writes.
#[derive(Debug, Serialize)]
pub struct EcsRecord<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Time,
    ecs: Version,
    event: Event<'a>,
    http: Http<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<Id<Text<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Id<TraceId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<Id<SpanId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    tower_delegation: Details<'a>,
}

#[derive(Debug, Serialize)]
struct Version {
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Id<T> {
    id: T,
}

#[derive(Debug, Serialize)]
struct Event<'a> {
    kind: &'static str,
    category: [&'static str; 1],
    #[serde(rename = "type")]
    types: &'static [&'static str],
    outcome: &'static str,
    action: Operation<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// In nanoseconds.
    duration: u64,
    provider: &'static str,
    dataset: &'static str,
}

#[derive(Debug, Serialize)]
struct Http<'a> {
    request: Request<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response>,
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    method: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Response {
    status_code: u16,
}

#[derive(Debug, Serialize)]
struct User<'a> {
    id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<Effective<'a>>,
}

#[derive(Debug, Serialize)]
struct Effective<'a> {
    id: Text<'a>,
    domain: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Rule<'a> {
    name: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    address: IpAddr,
    ip: IpAddr,
    port: u16,
}

#[derive(Debug, Serialize)]
struct Tls<'a> {
    client: TlsClient<'a>,
}

#[derive(Debug, Serialize)]
struct TlsClient<'a> {
    hash: Hash<'a>,
}

#[derive(Debug, Serialize)]
struct Hash<'a> {
    sha256: UpperHex<'a>,
}

impl Format for EcsFormat {
    type Record<'a> = EcsRecord<'a>;

    fn record<'a>(&self, event: &'a AuditEvent) -> EcsRecord<'a> {
        EcsRecord {
            timestamp: Time(event.time()),
            ecs: Version { version: VERSION },
            event: Event::of(event),
            http: Http {
                request: Request { method: event.method() },
                response: event.status().map(|status| Response { status_code: status.as_u16() }),
            },
            user: event.subject().map(|id| User {
                id,
                domain: event.issuer(),
                effective: event.actor().map(Effective::of),
            }),
            organization: event.tenant().map(|id| Id { id }),
            rule: rule(event).map(|name| Rule { name }),
            trace: event.trace().map(|trace| Id { id: trace.trace_id() }),
            span: event.trace().map(|trace| Id { id: trace.span_id() }),
            client: event.client_address().map(Endpoint::of),
            tls: event
                .workload()
                .and_then(WorkloadIdentity::thumbprint)
                .map(|thumbprint| Tls { client: TlsClient { hash: Hash { sha256: UpperHex(thumbprint) } } }),
            tower_delegation: Details::of(event),
        }
    }
}

impl<'a> Event<'a> {
    fn of(event: &'a AuditEvent) -> Self {
        let (types, outcome): (&[_], _) = match event.decision() {
            AuditDecision::Allow => (&["access", "allowed"], "success"),
            AuditDecision::Deny => (&["access", "denied"], "failure"),
            AuditDecision::None => (&["access"], "success"),
            AuditDecision::Abandoned => (&["access"], "unknown"),
        };
        Self {
            kind: "event",
            category: ["api"],
            types,
            outcome,
            action: Operation(event),
            reason: event.reason().map(DenialReason::code),
            duration: u64::try_from(event.latency().as_nanos()).unwrap_or(u64::MAX),
            provider: "tower-delegation",
            dataset: "tower_delegation.audit",
        }
    }
}

impl<'a> Effective<'a> {
    fn of(actor: AuditedActor<'a>) -> Self {
        Self { id: actor.id(), domain: actor.issuer() }
    }
}

impl Endpoint {
    fn of(address: SocketAddr) -> Self {
        Self { address: address.ip(), ip: address.ip(), port: address.port() }
    }
}

/// The requirement that decided: the one that refused, or else the last one.
fn rule(event: &AuditEvent) -> Option<Text<'_>> {
    let refusing = event.requirements().find(|requirement| requirement.outcome() == "deny");
    refusing.or_else(|| event.requirements().last()).map(|requirement| requirement.name())
}

/// What was called: the method and the route's template.
#[derive(Debug)]
pub(super) struct Operation<'a>(pub(super) &'a AuditEvent);

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.method(), f)?;
        match self.0.route() {
            Some(route) => write!(f, " {route}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Operation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As the schema wants fingerprints.
#[derive(Debug)]
struct UpperHex<'a>(&'a [u8]);

impl Serialize for UpperHex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&HEXUPPER.encode_display(self.0))
    }
}
