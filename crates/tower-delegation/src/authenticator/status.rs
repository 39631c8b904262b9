//! [`Status`]: what a readiness probe looks at.

use crate::{audit::AuditStatus, jwks::KeyStatus};

/// How an [`Authenticator`](super::Authenticator) is doing, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Each issuer's keys, in the order of the issuers' identifiers: the configured
    /// ones, and those of resolvers that are held now.
    pub issuers: Vec<KeyStatus>,
    /// How many header fields that speak for a client came from hops that are not
    /// trusted, and were removed.
    pub untrusted_identity_headers: u64,
    /// Each audit sink of the layer. Empty for an authenticator, which has none.
    pub audit: Vec<AuditStatus>,
}

impl Status {
    /// Whether the tokens of every configured issuer can be verified now, and no
    /// request is refused because its audit event cannot be recorded. Resolved issuers
    /// do not count: their keys are fetched when a token comes.
    ///
    /// A service of several issuers whose tokens are of use one without the
    /// other looks at [`issuers`](Self::issuers) instead.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.issuers.iter().all(|issuer| issuer.has_keys || issuer.is_resolved)
            && !self.audit.iter().any(|sink| sink.is_stuck)
    }
}
