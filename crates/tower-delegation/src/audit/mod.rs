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
mod event;
mod json_lines;
mod metrics;
mod otel;
mod revocation;
mod sink;
mod token_hash;
mod trace_context;
mod tracing_sink;
mod trail;

use std::{sync::Arc, time::Duration};

use self::channel::Channel;
#[cfg(feature = "audit-file")]
pub use self::json_lines::{AuditFile, AuditFileBuilder};
pub(crate) use self::{
    event::Route,
    metrics::COUNTED,
    token_hash::PresentedToken,
    trail::{NoPlace, PendingPlaces, Places, Trail},
};
pub use self::{
    event::{AuditDecision, AuditEvent, AuditedActor, AuditedEffect, AuditedRequirement},
    json_lines::{
        EcsFormat, EcsRecord, Format, JsonLines, NativeFormat, NativeRecord, OcsfFormat, OcsfRecord,
    },
    otel::AttributeValue,
    revocation::AuditedRevocation,
    sink::{AuditSink, SinkError},
    token_hash::{TokenHash, TokenHashKey},
    trace_context::{SpanId, TraceContext, TraceId},
    tracing_sink::{TARGET, TracingSink},
    trail::{AuditGuard, FlushError},
};
use crate::error::ConfigError;
pub use crate::text::{MAX_TEXT_LEN, Text};

#[doc = include_str!("../../../../docs/audit.md")]
pub mod guide {}

/// The most entries that a queue may be set to.
const MAX_ENTRIES: usize = 1 << 20;

/// One sink, and how events get there.
#[derive(Debug)]
#[must_use]
pub struct Audit {
    sink: Arc<dyn AuditSink>,
    name: Box<str>,
    delivery: Delivery,
    overflow: Overflow,
    max_entries: usize,
    patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Inline,
    Queued,
}

/// What happens when events come faster than a sink takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// No request is served without a place for its event. It takes the place
    /// before it is looked at, and waits for one where the queue is full. If
    /// none becomes free in [time](Audit::patience), the answer is 503, with
    /// the reason `audit_unavailable`. Events whose place is taken are kept
    /// until the sink takes them; a sink that fails is asked again and again.
    ///
    /// The [most entries](Audit::max_entries) are then also the most requests that are
    /// under way at one time.
    Block,
    /// Requests never wait. An event that finds the queue full, or that the
    /// sink fails to record, is dropped and [counted](AuditStatus::dropped).
    DropAndCount,
}

impl Audit {
    /// A sink behind a queue, with a thread of its own: for everything that
    /// writes or sends. Starts when the layer is built; ends, after it has
    /// emptied the queue, when the layer and all its services are dropped.
    ///
    /// By default requests wait for 8192 places ([`Overflow::Block`]).
    pub fn new(sink: impl AuditSink) -> Self {
        Self {
            sink: Arc::new(sink),
            name: "audit".into(),
            delivery: Delivery::Queued,
            overflow: Overflow::Block,
            max_entries: 8192,
            patience: Duration::from_secs(5),
        }
    }

    /// A sink that is called while the request is served, on its thread: for
    /// [`TracingSink`], and for what neither waits nor blocks.
    pub fn inline(sink: impl AuditSink) -> Self {
        Self { delivery: Delivery::Inline, overflow: Overflow::DropAndCount, ..Self::new(sink) }
    }

    /// The sink's name in [`AuditStatus`] and in the logs. Default `audit`.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// What happens when the queue is full. Default [`Overflow::Block`]. Means
    /// nothing for a sink that is called [inline](Self::inline).
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How many events the queue holds, those included whose requests are still
    /// under way under [`Overflow::Block`]. Default 8192, from 1 to 1,048,576.
    /// One event takes about one KiB, up to five with a large token.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// How long a request waits for a place under [`Overflow::Block`] before it
    /// is refused. Default 5 s. Of several sinks, the most impatient decides.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    fn blocks(&self) -> bool {
        self.delivery == Delivery::Queued && self.overflow == Overflow::Block
    }

    /// Whether the queue can be made.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if (1..=MAX_ENTRIES).contains(&self.max_entries) {
            return Ok(());
        }
        Err(ConfigError::InvalidAuditQueue {
            sink: self.name.to_string(),
            max_entries: self.max_entries,
            most: MAX_ENTRIES,
        })
    }

    fn start(self) -> Result<Channel, ConfigError> {
        match self.delivery {
            Delivery::Inline => Ok(Channel::inline(self.name, self.sink)),
            Delivery::Queued => Channel::queued(self.name, self.sink, self.overflow, self.max_entries)
                .map_err(|error| ConfigError::AuditThread { problem: error.to_string() }),
        }
    }
}

/// What became of the events of one sink, at one moment.
///
/// Once nothing is under way any more, every request is counted in exactly one
/// of [`recorded`](Self::recorded), [`dropped`](Self::dropped) and
/// [`refused`](Self::refused).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditStatus {
    /// The name that [`Audit::named`] gave it.
    pub name: String,
    /// Events that the sink has recorded.
    pub recorded: u64,
    /// Events that are lost: the queue was full, the sink failed, or it was
    /// still failing five seconds after the layer was dropped. Under
    /// [`Overflow::Block`] only the last.
    pub dropped: u64,
    /// Requests that ended without a place for their event under
    /// [`Overflow::Block`]: refused, or given up by their clients while they
    /// waited. None was served.
    pub refused: u64,
    /// How often the sink has failed, repeated attempts included.
    pub failures: u64,
    /// Did the latest attempt fail?
    pub is_failing: bool,
    /// Places that are taken.
    pub queued: usize,
    /// Places in all. 0 for a sink without a queue.
    pub max_entries: usize,
    /// Are requests refused now because this sink fails and its queue is full?
    pub is_stuck: bool,
}
