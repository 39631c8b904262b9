//! [`RevocationListener`]: what a layer tells a store, and hears from it.

use super::{
    error::{Problem, RevocationError},
    target::RevocationTarget,
};

/// A layer that a store serves.
pub trait RevocationListener: Send + Sync {
    /// Called after each change, on the thread of the caller that revokes, once the
    /// store has taken the revocation in.
    fn revoked(&self);

    /// Why no request that this layer lets in can be about `target`; `None` if one
    /// may be. A store refuses what is a mismatch for every layer that it serves. It
    /// may ask with a lock held: the answer must not call the store.
    fn mismatch(&self, target: &RevocationTarget) -> Option<TargetMismatch> {
        let _ = target;
        None
    }
}

/// Why a target can match nothing that a layer lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetMismatch {
    /// The layer does not trust the issuer.
    IssuerNotTrusted,
    /// The issuer's tokens never name a client: its mapping reads none.
    WithoutClient,
    /// The issuer's tokens never name an actor: its mapping refuses them.
    WithoutActor,
    /// The layer does not look at client identity, so it never knows a workload.
    WithoutWorkload,
}

impl TargetMismatch {
    pub(super) fn into_error(self, target: &RevocationTarget) -> RevocationError {
        let why = match self {
            Self::IssuerNotTrusted => {
                let issuer = target.issuer().map(ToString::to_string).unwrap_or_default();
                return Problem::IssuerNotTrusted { issuer }.into();
            }
            Self::WithoutClient => "the claim mapping of the issuer reads no client",
            Self::WithoutActor => "the claim mappings of the issuers refuse actors",
            Self::WithoutWorkload => "no layer that this store serves has `.client_identity(..)`",
        };
        Problem::MatchesNothing { target: target.name(), why }.into()
    }
}
