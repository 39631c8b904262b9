//! [`InMemoryRevocationsBuilder`]: how many, by which clock, and whose actors.

use std::{collections::HashSet, sync::Arc};

use super::{inner::Inner, store::InMemoryRevocations};
use crate::{
    clock::{Clock, SystemClock},
    names::IssuerUrl,
};

/// How many revocations are kept where no other number is set.
const DEFAULT_MAX_ENTRIES: usize = 1_000_000;

/// Configures [`InMemoryRevocations`].
#[derive(Debug)]
#[must_use]
pub struct InMemoryRevocationsBuilder {
    max_entries: usize,
    actor_issuers: HashSet<IssuerUrl>,
    clock: Arc<dyn Clock>,
}

impl InMemoryRevocationsBuilder {
    fn new() -> Self {
        Self {
            max_entries: DEFAULT_MAX_ENTRIES,
            actor_issuers: HashSet::new(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The most revocations that are listed. Default 1,000,000.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// An issuer that is trusted for no tokens and named by `act.iss` of another's:
    /// its actors can then be revoked, as actors and as subjects. Otherwise an
    /// issuer that no layer trusts is an error.
    pub fn add_actor_issuer(mut self, issuer: impl Into<IssuerUrl>) -> Self {
        self.actor_issuers.insert(issuer.into());
        self
    }

    /// The clock that decides when a revocation ends. Default: the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// An empty store.
    #[must_use]
    pub fn build(self) -> InMemoryRevocations {
        InMemoryRevocations::of(Inner::new(self.max_entries, self.actor_issuers, self.clock))
    }
}

impl InMemoryRevocations {
    /// An empty store with the default bounds and the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts a configuration.
    pub fn builder() -> InMemoryRevocationsBuilder {
        InMemoryRevocationsBuilder::new()
    }
}

impl Default for InMemoryRevocations {
    fn default() -> Self {
        Self::new()
    }
}
