//! What each request leaves on record: who asked, through which application,
//! what was decided and why.
//!
//! 1. Exactly one [`AuditEvent`] for each request: when the response's head is
//!    there, or when the request ends without one.
//! 2. It goes to every sink that the layer was given. Without any, it is a
//!    `tracing` event ([`TracingSink`]), and where no subscriber listens nothing
//!    is made and nothing is paid.
//! 3. A sink behind [`Audit::new`] has a bounded queue and a thread of its own.
//!    What happens when the queue is full is its [`Overflow`].
//! 4. Values from outside are cut and escaped in every sink; tokens never
//!    appear, only their keyed hash.
//!
//! [The guide](guide) has the list of fields, the mappings to ECS, OCSF and
//! OpenTelemetry, and what to do when a sink does not keep up.
//!
//! With the feature `metrics`, through the recorder that the service installed
//! for the [`metrics`](https://docs.rs/metrics) facade:
//!
//! | metric | labels | what |
//! |---|---|---|
//! | `tower_delegation_requests_total` | `decision`, `reason` | requests; `reason` is [`DenialReason::code`](crate::DenialReason::code) or `none` |
//! | `tower_delegation_decision_seconds` | | histogram: from arrival to admission or refusal by the layer |
//! | `tower_delegation_audit_events_total` | `outcome` | events, for each sink: `recorded`, `dropped`, or `refused` with their request |
//!
//! # Deployment caveat
//!
//! An event names persons. Where it goes, how long it is kept and who reads it
//! is for the operator to decide.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_delegation::{DelegationLayer, TrustedIssuer, audit::{Audit, JsonLines, Overflow}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let issuer = TrustedIssuer::discover("https://idp.example.com")?.add_audience("https://orders.example.com");
//! let delegation = DelegationLayer::builder()
//!     .add_issuer(issuer)
//!     .add_audit(Audit::new(JsonLines::to(std::io::stdout())).overflow(Overflow::Block))
//!     .build()?;
//! // … serve, and when that is over:
//! delegation.flush_audit(Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```

mod channel;
mod delivery;
mod event;
mod exchange;
mod json_lines;
mod late_places;
mod metrics;
mod otel;
mod overflow;
mod party;
mod requirement;
mod revocation;
mod sink;
mod status;
mod token_hash;
mod tracing_sink;
mod trail;

#[cfg_attr(
    not(feature = "http-client"),
    expect(unused_imports, reason = "tokens are exchanged over HTTP")
)]
pub(crate) use self::exchange::ExchangeRecord;
#[cfg(feature = "audit-file")]
pub use self::json_lines::{AuditFile, AuditFileBuilder};
pub use self::{
    delivery::Audit,
    event::{AuditDecision, AuditEvent},
    exchange::{AuditedExchange, Verified},
    json_lines::{
        EcsFormat, EcsRecord, Format, JsonLines, NativeFormat, NativeRecord, OcsfFormat, OcsfRecord,
    },
    otel::AttributeValue,
    overflow::Overflow,
    party::AuditedActor,
    requirement::{AuditedEffect, AuditedRequirement},
    revocation::AuditedRevocation,
    sink::{AuditSink, SinkError},
    status::AuditStatus,
    token_hash::{TokenHash, TokenHashKey},
    tracing_sink::{TARGET, TracingSink},
    trail::{AuditGuard, FlushError},
};
pub(crate) use self::{
    late_places::LatePlaces,
    metrics::COUNTED,
    token_hash::PresentedToken,
    trail::{NoPlace, PendingPlaces, Places, Trail},
};
pub use crate::{
    text::{MAX_TEXT_LEN, Text},
    trace::{SpanId, TraceContext, TraceId},
};

#[doc = include_str!("../../../../docs/audit.md")]
pub mod guide {}
