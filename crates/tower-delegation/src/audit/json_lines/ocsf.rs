//! The Open Cybersecurity Schema Framework.

use std::net::IpAddr;

use http::Method;
use serde::Serialize;

use super::{ecs::Operation, format::Format, native::Details};
use crate::{
    audit::{AuditDecision, AuditEvent, AuditedRequirement, TraceId},
    context::SubjectKind,
    reason::DenialReason,
    text::Text,
};

/// The version of the schema.
const VERSION: &str = "1.6.0";
/// Application Activity.
const CATEGORY: u32 = 6;
/// API Activity.
const CLASS: u32 = 6003;

/// Fields of the Open Cybersecurity Schema Framework: class API Activity
/// (6003). `actor.user` is the subject, also of a delegated request, and
/// `actor.app_uid` the client. What the schema has no name for, such as the
/// actors of RFC 8693, stands under `unmapped`, as
/// [`NativeFormat`](super::NativeFormat) names it.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name to be written down")]
pub struct OcsfFormat;

/// What [`OcsfFormat`] writes.
#[derive(Debug, Serialize)]
pub struct OcsfRecord<'a> {
    activity_id: u32,
    activity_name: &'static str,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    type_uid: u32,
    severity_id: u32,
    severity: &'static str,
    /// In milliseconds since 1970.
    time: i64,
    status_id: u32,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<&'static str>,
    metadata: Metadata<'a>,
    actor: Actor<'a>,
    api: Api<'a>,
    http_request: HttpRequest<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_response: Option<HttpResponse>,
    src_endpoint: Endpoint,
    unmapped: Details<'a>,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    version: &'static str,
    product: Product,
    log_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_uid: Option<TraceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_uid: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_uid: Option<Text<'a>>,
    /// The schema wants at least one of the actor's attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idp: Option<Idp<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorizations: Vec<Authorization<'a>>,
}

#[derive(Debug, Serialize)]
struct User<'a> {
    uid: Text<'a>,
    type_id: u32,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Session<'a> {
    uid: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
struct Idp<'a> {
    uid: Text<'a>,
    issuer: Text<'a>,
}

#[derive(Debug, Serialize)]
struct Authorization<'a> {
    decision: &'static str,
    policy: Policy<'a>,
}

#[derive(Debug, Serialize)]
struct Policy<'a> {
    name: Text<'a>,
    /// Did the outcome count?
    is_applied: bool,
}

#[derive(Debug, Serialize)]
struct Api<'a> {
    operation: Operation<'a>,
}

#[derive(Debug, Serialize)]
struct HttpRequest<'a> {
    http_method: Text<'a>,
}

#[derive(Debug, Serialize)]
struct HttpResponse {
    code: u16,
    /// In milliseconds.
    latency: u64,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The schema wants at least one of the endpoint's attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
}

impl Format for OcsfFormat {
    type Record<'a> = OcsfRecord<'a>;

    fn record<'a>(&self, event: &'a AuditEvent) -> OcsfRecord<'a> {
        let (activity_id, activity_name) = activity(&event.method);
        let (status_id, status) = match event.decision() {
            AuditDecision::Allow | AuditDecision::None => (1, "Success"),
            AuditDecision::Deny => (2, "Failure"),
            AuditDecision::Abandoned => (0, "Unknown"),
        };
        let address = event.client_address();
        OcsfRecord {
            activity_id,
            activity_name,
            category_uid: CATEGORY,
            category_name: "Application Activity",
            class_uid: CLASS,
            class_name: "API Activity",
            type_uid: CLASS * 100 + activity_id,
            severity_id: 1,
            severity: "Informational",
            time: event.time().unix_millis(),
            status_id,
            status,
            status_code: event.reason().map(DenialReason::code),
            metadata: Metadata {
                version: VERSION,
                product: Product {
                    name: "tower-delegation",
                    vendor_name: "tower-delegation",
                    version: env!("CARGO_PKG_VERSION"),
                },
                log_name: "audit",
                correlation_uid: event.trace().map(|trace| trace.trace_id()),
                tenant_uid: event.tenant(),
            },
            actor: Actor::of(event),
            api: Api { operation: Operation(event) },
            http_request: HttpRequest { http_method: event.method() },
            http_response: event.status().map(|status| HttpResponse {
                code: status.as_u16(),
                latency: u64::try_from(event.latency().as_millis()).unwrap_or(u64::MAX),
            }),
            src_endpoint: Endpoint {
                ip: address.map(|address| address.ip()),
                port: address.map(|address| address.port()),
                name: address.is_none().then_some("unknown"),
            },
            unmapped: Details::of(event),
        }
    }
}

impl<'a> Actor<'a> {
    fn of(event: &'a AuditEvent) -> Self {
        let (type_id, kind) = match event.subject_kind() {
            Some(SubjectKind::User) => (1, "User"),
            Some(SubjectKind::Service) => (4, "Service"),
            Some(SubjectKind::Unknown) | None => (0, "Unknown"),
        };
        let user = event.subject().map(|uid| User { uid, type_id, kind });
        Self {
            app_name: user.is_none().then_some("unknown"),
            user,
            app_uid: event.client(),
            session: event.session_id().map(|uid| Session { uid, issuer: event.issuer() }),
            idp: event.issuer().map(|issuer| Idp { uid: issuer, issuer }),
            authorizations: event.requirements().map(Authorization::of).collect(),
        }
    }
}

impl<'a> Authorization<'a> {
    fn of(requirement: AuditedRequirement<'a>) -> Self {
        let outcome = requirement.outcome();
        Self {
            decision: outcome,
            policy: Policy { name: requirement.name(), is_applied: matches!(outcome, "allow" | "deny") },
        }
    }
}

fn activity(method: &Method) -> (u32, &'static str) {
    match *method {
        Method::POST => (1, "Create"),
        Method::GET | Method::HEAD => (2, "Read"),
        Method::PUT | Method::PATCH => (3, "Update"),
        Method::DELETE => (4, "Delete"),
        _ => (99, "Other"),
    }
}
