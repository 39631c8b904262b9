//! One fetch that is under way.

use tokio::{sync::watch, task::AbortHandle};

use crate::jwks::{KeySourceError, KeySourceErrorKind};

/// The fetch under way.
pub(super) struct Flight {
    pub(super) sequence: u64,
    pub(super) progress: Progress,
    pub(super) task: Option<AbortHandle>,
    /// Whether the service asks for this fetch, so that an empty set is a withdrawal.
    pub(super) is_requested: bool,
    /// Whether a set that is in use is only refreshed: the source then need not look for
    /// one that has moved, as it does when a key is missed.
    pub(super) is_refresh: bool,
}

/// `None` while the fetch is under way.
pub(super) type Progress = watch::Receiver<Option<Result<(), KeySourceError>>>;

/// Waits for a fetch to end. A sender that is gone is a fetch that was cut off.
pub(super) async fn outcome(mut progress: Progress) -> Result<(), KeySourceError> {
    match progress.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(KeySourceErrorKind::Interrupted.into())),
        Err(closed) => Err(KeySourceError::new(KeySourceErrorKind::Interrupted, closed)),
    }
}
