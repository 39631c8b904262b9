//! [`Audit`]: one sink, and how its events reach it.

use std::{sync::Arc, time::Duration};

use super::{channel::Channel, overflow::Overflow, sink::AuditSink};
use crate::error::ConfigError;

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
    pub(super) patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Inline,
    Queued,
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
    /// [`TracingSink`](super::TracingSink), and for what neither waits nor blocks.
    pub fn inline(sink: impl AuditSink) -> Self {
        Self { delivery: Delivery::Inline, overflow: Overflow::DropAndCount, ..Self::new(sink) }
    }

    /// The sink's name in [`AuditStatus`](super::AuditStatus) and in the logs. Default `audit`.
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

    pub(super) fn blocks(&self) -> bool {
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

    pub(super) fn start(self) -> Result<Channel, ConfigError> {
        match self.delivery {
            Delivery::Inline => Ok(Channel::inline(self.name, self.sink)),
            Delivery::Queued => Channel::queued(self.name, self.sink, self.overflow, self.max_entries)
                .map_err(|error| ConfigError::AuditThread { problem: error.to_string() }),
        }
    }
}
