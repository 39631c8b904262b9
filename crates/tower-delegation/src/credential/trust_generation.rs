//! [`TrustGeneration`]: which trust anchors of a listener are in force.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts how often a listener's trust anchors were replaced. Clones share one
/// count.
///
/// Certificates that were [verified under](super::PeerCertificate::verified_under) an
/// earlier generation are no longer current, although the connections that they
/// opened go on: an authority that has been removed vouches for no one.
#[derive(Clone, Debug, Default)]
pub struct TrustGeneration(Arc<AtomicU64>);

impl TrustGeneration {
    /// Starts counting at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The latest generation.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Begins the next generation: what was verified under earlier ones is
    /// stale from here on.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_count() {
        let anchors = TrustGeneration::new();
        let other = anchors.clone();
        assert_eq!(anchors.current(), 0);
        other.advance();
        assert_eq!(anchors.current(), 1);
    }
}
