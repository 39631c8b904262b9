//! Revocation: what was verified once and must not be accepted any more.
//!
//! 1. Asked on every request, also for tokens whose verification is cached:
//!    [`RevocationStore::check`] is synchronous and local, and decides by what
//!    the process knows now.
//! 2. A token is refused if it is revoked itself, or its subject, its session,
//!    its client, one of its actors (earlier ones too: a chain is no better than
//!    its worst link), the workload that presents it, or the proxy that passes it on.
//! 3. A subject that is revoked is refused as an actor too. The reverse does not
//!    hold: revoking an actor says nothing of the party's own requests.
//! 4. A store that cannot tell is a 503, never a pass.
//! 5. Identities are issuer and id together (RFC 8725 section 3.8): revoking
//!    `alice` of one issuer leaves `alice` of another alone. The id is the one that
//!    the issuer's mapping reads, or that of the standard claim.
//! 6. A [`Revocation`] holds until it is lifted, unless it says until when. One
//!    that can have no effect is a [`RevocationError`], never in force.
//! 7. Written to by a [`RevocationSink`], from code or over HTTP
//!    ([`revocation_routes`](crate::routing::revocation_routes)). The [guide] has the rules.
//!
//! # Deployment caveat
//!
//! [`InMemoryRevocations`] knows what this process was given, and forgets it when
//! the process ends, unless a [snapshot](InMemoryRevocations::snapshot) is loaded.
//! Each of several replicas has to be given every revocation.
//!
//! # Example
//!
//! ```
//! use tower_delegation::{
//!     DelegationLayer, TrustedIssuer,
//!     revocation::{InMemoryRevocations, Revocation},
//! };
//!
//! # fn wire() -> Result<(), Box<dyn std::error::Error>> {
//! let revocations = InMemoryRevocations::new();
//! let delegation = DelegationLayer::builder()
//!     .add_issuer(TrustedIssuer::discover("https://idp.example.com")?.add_audience("https://orders.example.com"))
//!     .revocations(revocations.clone())
//!     .build()?;
//!
//! // The laptop of Alice is stolen. Her next request is refused.
//! revocations.revoke(Revocation::subject("https://idp.example.com", "alice"))?;
//! # Ok(())
//! # }
//! ```

mod change;
mod error;
mod listener;
mod memory;
mod query;
mod record;
mod sink;
mod snapshot;
mod target;
mod unix_time;

#[doc = include_str!("../../../../docs/revocation.md")]
pub mod guide {}

use std::{fmt, sync::Weak};

pub(crate) use self::change::RevocationChange;
#[cfg(feature = "axum")]
pub(crate) use self::record::RevocationForm;
pub use self::{
    change::RevocationAction,
    error::{RevocationError, RevocationErrorKind, RevocationErrors},
    listener::{RevocationListener, TargetMismatch},
    memory::InMemoryRevocations,
    query::RevocationQuery,
    record::{MAX_REASON_LEN, Revocation},
    sink::{MAX_PAGE, RevocationFuture, RevocationList, RevocationPage, RevocationSink},
    snapshot::RevocationSnapshot,
    target::{RevocationKey, RevocationKind, RevocationTarget},
};
use crate::reason::DenialReason;

/// Knows what is revoked.
///
/// The layer calls [`check`](Self::check) once for every request with a
/// verified token, on the request's own task. It must answer from memory: no
/// I/O, no lock that a writer holds for long. An implementation whose source
/// is elsewhere keeps a local replica and answers [`Standing::Unknown`] once
/// that is older than it may be.
///
/// What a revocation covers is [`Revocation::covers`]; `check_revocations` of the
/// testing crate is the contract as tests.
pub trait RevocationStore: fmt::Debug + Send + Sync + 'static {
    /// Says whether anything about this token is revoked.
    fn check(&self, query: &RevocationQuery<'_>) -> Standing;

    /// Returns a number that is another one whenever the answer about any token may have
    /// become another one, [`Standing::Unknown`] included. A context that was judged under
    /// the number of now is not looked up again: by a guard further inside, by
    /// [`authorize`](crate::DelegationContext::authorize), by
    /// [`recheck`](crate::DelegationContext::recheck). Read by each of them: an atomic
    /// read, no lock. Change it after the answers have changed, and never use a number
    /// again for other answers.
    ///
    /// Default: `None`, for a store that cannot tell. It is then asked each time.
    fn generation(&self) -> Option<u64> {
        None
    }

    /// Called once by each layer that asks the store, when it is built. The store
    /// calls `listener` after each change, for as long as it lives, so that what
    /// is cached can be dropped early, and may ask it what can match at all. By
    /// default it is never called.
    ///
    /// # Errors
    /// A revocation that the store holds can match nothing. The layer is then not built.
    fn subscribe(&self, listener: Weak<dyn RevocationListener>) -> Result<(), RevocationError> {
        drop(listener);
        Ok(())
    }
}

/// What a store says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a fourth answer would have to be handled by every caller")]
pub enum Standing {
    /// Nothing about it is revoked.
    Good,
    /// Something is.
    Revoked(RevocationKind),
    /// The store cannot tell: its copy of the truth is too old.
    Unknown,
}

impl Standing {
    pub(crate) fn into_result(self) -> Result<(), DenialReason> {
        match self {
            Self::Good => Ok(()),
            Self::Revoked(kind) => Err(kind.reason()),
            Self::Unknown => Err(DenialReason::RevocationUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_tell_is_our_outage() {
        use crate::reason::RejectionKind;
        let reason = Standing::Unknown.into_result().unwrap_err();
        assert_eq!(reason.kind(), RejectionKind::Unavailable);
        let reason = Standing::Revoked(RevocationKind::Everything).into_result().unwrap_err();
        assert_eq!(reason.kind(), RejectionKind::InvalidToken);
        assert!(Standing::Good.into_result().is_ok());
    }
}
