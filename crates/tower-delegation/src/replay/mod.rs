//! Proofs that were used: each is good for one request only.
//!
//! 1. A proof is remembered when everything else about the request's
//!    credentials has been found good, the token's own binding included: nobody
//!    can burn the identifier of another's proof (RFC 9449 section 11.1).
//! 2. It is remembered for as long as it would be accepted again, also by a
//!    replica whose clock is a little behind.
//! 3. A store that is full or cannot be reached refuses the request, with 503:
//!    what cannot be remembered could be replayed.
//!
//! # Deployment caveat
//!
//! [`InMemoryReplayStore`] knows what this process has seen. Behind a load
//! balancer, a proof can be replayed once to each other replica, unless they
//! share a store, or demand nonces of keys of their own
//! ([`DpopNonces`](crate::proof::DpopNonces), RFC 9449 section 11.1).

mod memory;

use std::{error::Error, fmt, future::Future, pin::Pin};

pub use self::memory::InMemoryReplayStore;
use crate::clock::Timestamp;

/// Remembers which proofs were used.
///
/// Called once for each request with a proof, after every other check of its
/// credentials. What an implementation owes:
///
/// 1. Of all the calls with one key before the first one's
///    [`expires_at`](UsedProof::expires_at), exactly one gets
///    [`Sighting::First`], also if they come at the same time and from several
///    replicas.
/// 2. Nothing is forgotten early, neither to make room nor by a restart that
///    others survive. A store without room answers
///    [`ReplayStoreErrorKind::Full`].
/// 3. Waiting is bounded: a store that does not answer within about a second
///    gives [`ReplayStoreErrorKind::Unavailable`].
///
/// An error refuses the request with 503. `tower-delegation-testing` holds the
/// tests of this contract, `check_replay_store`.
///
/// ```
/// use tower_delegation::replay::{InMemoryReplayStore, Remembering, ReplayStore, UsedProof};
///
/// /// Says how much is being asked.
/// #[derive(Debug)]
/// struct Counted(InMemoryReplayStore);
///
/// impl ReplayStore for Counted {
///     fn remember(&self, proof: UsedProof) -> Remembering {
///         tracing::trace!(key = ?proof.key, "a proof is used");
///         self.0.remember(proof)
///     }
/// }
/// ```
pub trait ReplayStore: fmt::Debug + Send + Sync + 'static {
    /// Remembers a proof, and says whether it was used before.
    fn remember(&self, proof: UsedProof) -> Remembering;
}

/// A proof that is being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsedProof {
    /// Which proof it is.
    pub key: ReplayKey,
    /// The time of the request.
    pub now: Timestamp,
    /// From here on the proof is refused for its age: the store may forget it.
    pub expires_at: Timestamp,
}

impl UsedProof {
    /// A proof that is used at `now` and refused for its age from `expires_at` on.
    #[must_use]
    pub fn new(key: ReplayKey, now: Timestamp, expires_at: Timestamp) -> Self {
        Self { key, now, expires_at }
    }
}

/// Stands for a proof: a SHA-256 hash of its key's thumbprint, its `jti` and its
/// `htu`. Tells nothing of any of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplayKey([u8; 32]);

impl ReplayKey {
    /// The key of these bytes, which are uniformly distributed.
    #[must_use]
    pub fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ReplayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayKey(")?;
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// The answer of a [`ReplayStore`].
#[non_exhaustive]
pub enum Remembering {
    /// At hand.
    Ready(Result<Sighting, ReplayStoreError>),
    /// Still on its way: the request waits for it.
    Pending(RememberFuture),
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Pending(_) => f.debug_tuple("Pending").finish_non_exhaustive(),
        }
    }
}

/// The answer of a store that is asked over a network.
pub type RememberFuture = Pin<Box<dyn Future<Output = Result<Sighting, ReplayStoreError>> + Send>>;

/// Was a proof used before?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Sighting {
    /// No, and it is remembered now.
    First,
    /// Yes.
    Again,
}

/// A proof could not be remembered.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct ReplayStoreError {
    kind: ReplayStoreErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ReplayStoreError {
    /// There is no room.
    #[must_use]
    pub fn full() -> Self {
        Self { kind: ReplayStoreErrorKind::Full, source: None }
    }

    /// The store cannot be reached, or answers with an error of its own.
    #[must_use]
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: ReplayStoreErrorKind::Unavailable, source: Some(source.into()) }
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> ReplayStoreErrorKind {
        self.kind
    }
}

/// Why a proof could not be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayStoreErrorKind {
    /// There is no room.
    #[error("the store of used proofs is full")]
    Full,
    /// The store cannot be reached.
    #[error("the store of used proofs cannot be reached")]
    Unavailable,
}
