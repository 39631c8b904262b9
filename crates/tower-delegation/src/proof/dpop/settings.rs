//! [`DpopSettings`]: what of the configuration of DPoP is plain data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Dpop, DpopNonces};
use crate::{jwks::SignatureAlgorithm, replay::InMemoryReplayStore};

/// What of [`Dpop`] is plain data: a part of [`Settings`](crate::settings::Settings),
/// which has the table of all keys. Each setting has a setter on `Dpop`, which documents
/// what it does.
///
/// Handles are set on the `Dpop` that is made of it:
///
/// ```
/// use tower_delegation::{Dpop, DpopNonces, proof::DpopSettings};
///
/// let settings: DpopSettings = serde_json::from_str(r#"{"origins": ["https://api.example.com"]}"#)?;
/// let dpop = Dpop::from(settings).nonces(DpopNonces::with_keys([[0x0b; 32]]));
/// # let _ = dpop;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DpopSettings {
    /// The URLs that clients know the service by; at least one is needed.
    pub origins: Vec<String>,
    /// The algorithms that proofs may be signed with.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// How old a proof may be, where no nonces are demanded.
    #[serde(rename = "max_age_seconds", with = "crate::seconds")]
    pub max_age: Duration,
    /// How far clocks may differ.
    #[serde(rename = "future_tolerance_seconds", with = "crate::seconds")]
    pub future_tolerance: Duration,
    /// Whether nonces of this process are demanded, and how long one is given out.
    #[serde(
        rename = "rotate_nonces_every_seconds",
        with = "crate::seconds::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub rotate_nonces_every: Option<Duration>,
    /// The most proofs that are remembered in memory.
    pub max_entries: usize,
    /// The most proofs of one key that are remembered in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries_per_key: Option<usize>,
}

impl Default for DpopSettings {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            algorithms: SignatureAlgorithm::ALL.to_vec(),
            max_age: super::DEFAULT_MAX_AGE,
            future_tolerance: super::DEFAULT_FUTURE_TOLERANCE,
            rotate_nonces_every: None,
            max_entries: crate::replay::DEFAULT_MAX_ENTRIES,
            max_entries_per_key: None,
        }
    }
}

impl From<DpopSettings> for Dpop {
    fn from(settings: DpopSettings) -> Self {
        let store = InMemoryReplayStore::new().max_entries(settings.max_entries);
        let store = match settings.max_entries_per_key {
            Some(entries) => store.max_entries_per_key(entries),
            None => store,
        };
        let dpop = Self::of(settings.origins)
            .algorithms(settings.algorithms)
            .max_age(settings.max_age)
            .future_tolerance(settings.future_tolerance)
            .replay_store(store);
        match settings.rotate_nonces_every {
            Some(rotation) => dpop.nonces(DpopNonces::new().rotate_every(rotation)),
            None => dpop,
        }
    }
}
