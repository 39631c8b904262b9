//! [`RevocationSnapshot`]: all revocations as a value, to be kept across a restart.

use serde::{Deserialize, Serialize};

use super::{record::Revocation, unix_time};
use crate::clock::Timestamp;

/// Everything that is revoked, as
/// [`InMemoryRevocations::snapshot`](super::InMemoryRevocations::snapshot) finds
/// it and [`load`](super::InMemoryRevocations::load) takes it in: with `serde` an
/// object to be kept in a file. It holds names of parties and no secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RevocationSnapshot {
    /// Every token that was issued up to this time is refused.
    #[serde(default, with = "unix_time", skip_serializing_if = "Option::is_none")]
    pub everything_issued_before: Option<Timestamp>,
    /// The revocations, the oldest first.
    pub revocations: Vec<Revocation>,
}

impl RevocationSnapshot {
    /// A snapshot of these.
    #[must_use]
    pub fn new(revocations: Vec<Revocation>) -> Self {
        Self { everything_issued_before: None, revocations }
    }
}
