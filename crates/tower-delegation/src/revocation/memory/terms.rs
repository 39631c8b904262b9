//! [`Terms`]: how many revocations, by which clock, and whose actors.

use std::{collections::HashSet, sync::Arc};

use crate::{
    clock::{Clock, SystemClock},
    names::IssuerUrl,
};

/// What is set of a store. Read by writers only.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) max_entries: usize,
    /// Who vouches for actors, and is trusted for no tokens.
    pub(super) actor_issuers: HashSet<IssuerUrl>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { max_entries: 1_000_000, actor_issuers: HashSet::new(), clock: Arc::new(SystemClock::new()) }
    }
}
