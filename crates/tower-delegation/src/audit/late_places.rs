//! [`LatePlaces`]: places in the audit queues for a request that was let in without them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{PendingPlaces, Places, Trail};

/// The places of a request that found a queue full, and was let in because its route is
/// public. They are waited for where something asks who the caller is: what comes of that
/// is to be recorded. Cheap to clone; clones are for the same request.
#[derive(Clone)]
pub(crate) struct LatePlaces(Arc<Inner>);

struct Inner {
    trail: Trail,
    places: Mutex<Option<Places>>,
}

impl LatePlaces {
    pub(crate) fn new(trail: &Trail) -> Self {
        Self(Arc::new(Inner { trail: trail.clone(), places: Mutex::default() }))
    }

    /// Takes the places, or says what to wait for.
    pub(crate) fn reserve(&self) -> Option<PendingPlaces> {
        if self.places().is_some() {
            return None;
        }
        match self.0.trail.reserve() {
            Ok(places) => {
                self.hold(places);
                None
            }
            Err(pending) => Some(pending),
        }
    }

    /// The places were waited for.
    pub(crate) fn hold(&self, places: Places) {
        *self.places() = Some(places);
    }

    /// For the event of the request; `None` where nothing has asked.
    pub(crate) fn take(&self) -> Option<Places> {
        self.places().take()
    }

    fn places(&self) -> MutexGuard<'_, Option<Places>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
