//! Loading keys because the service asks: before the first request, or at once.

use std::sync::Arc;

use super::{
    flight::{Progress, outcome},
    key_cache::KeyCache,
};
use crate::{
    clock::Moment,
    jwks::{FetchReason, KeySourceError},
};

impl KeyCache {
    /// Makes sure that there are keys, fetching them if there are none.
    pub(crate) async fn warm_up(self: &Arc<Self>) -> Result<(), KeySourceError> {
        match self.begin_load()? {
            Some(progress) => outcome(progress).await,
            None => Ok(()),
        }
    }

    fn begin_load(self: &Arc<Self>) -> Result<Option<Progress>, KeySourceError> {
        let now = Moment::of(&*self.clock);
        let state = self.lock();
        if self.snapshot.load().as_deref().is_some_and(|snapshot| self.is_usable(snapshot, now)) {
            return Ok(None);
        }
        if let Some(flight) = &state.flight {
            return Ok(Some(flight.progress.clone()));
        }
        match &state.last_error {
            Some(error) if now.monotonic < state.retry_at => Err(error.clone()),
            Some(_) | None => self.start_fetch(state, FetchReason::Due, now).map(Some),
        }
    }

    /// Waits until the fetch under way has ended, if there is one: what it brings
    /// may be older than the call.
    pub(crate) async fn settle(&self) {
        let progress = self.lock().flight.as_ref().map(|flight| flight.progress.clone());
        if let Some(progress) = progress {
            // Its failure has been noted where it landed.
            drop(outcome(progress).await);
        }
    }

    /// Fetches the keys because the service asks, sharing a fetch that began since
    /// the last [`settle`](Self::settle), unless that is a mere refresh, which may not
    /// look for a set that has moved: it is waited for first. An explicitly empty set is
    /// taken as the withdrawal of all keys. A fetch has begun when this returns.
    pub(crate) fn refresh(
        self: &Arc<Self>,
    ) -> impl Future<Output = Result<(), KeySourceError>> + Send + use<> {
        let (cache, mut begun) = (Arc::clone(self), self.begin_refresh());
        async move {
            if let Ok(Some((progress, true))) = &begun {
                drop(outcome(progress.clone()).await);
                begun = cache.begin_refresh();
            }
            match begun? {
                Some((progress, _)) => outcome(progress).await,
                None => Ok(()),
            }
        }
    }

    /// The fetch, and whether it is a mere refresh.
    fn begin_refresh(self: &Arc<Self>) -> Result<Option<(Progress, bool)>, KeySourceError> {
        if self.source.is_none() {
            return Ok(None);
        }
        let mut state = self.lock();
        if let Some(flight) = &mut state.flight {
            flight.is_requested = true;
            return Ok(Some((flight.progress.clone(), flight.is_refresh)));
        }
        let progress = self.start_fetch(state, FetchReason::Requested, Moment::of(&*self.clock))?;
        Ok(Some((progress, false)))
    }
}
