//! [`ChosenReplayStore`]: the store of used proofs of one layer.

use std::{ptr, sync::Arc};

use super::{ProcessReplayStore, ReplayStore, ReplayStoreError, Sighting, UsedProof};
use crate::step::Step;

/// Where a layer remembers proofs for one origin.
#[derive(Clone, Debug)]
pub(crate) enum ChosenReplayStore {
    Process(ProcessReplayStore),
    Given(Arc<dyn ReplayStore>),
}

impl ChosenReplayStore {
    pub(crate) fn remember(&self, proof: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
        match self {
            Self::Process(store) => store.remember(proof),
            Self::Given(store) => store.remember(proof),
        }
    }

    /// Whether both remember the same proofs. Two handles to one store elsewhere count as
    /// two stores.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Process(one), Self::Process(other)) => one.is(other),
            (Self::Given(one), Self::Given(other)) => ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other)),
            (Self::Process(_), Self::Given(_)) | (Self::Given(_), Self::Process(_)) => false,
        }
    }
}
