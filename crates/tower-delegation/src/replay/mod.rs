//! Proofs that were used: each is good for one request only.
//!
//! 1. A proof is remembered when everything else about the request's
//!    credentials has been found good, the token's own binding included: no client
//!    can use up the identifier of another's proof (RFC 9449 section 11.1).
//! 2. It is remembered for as long as it would be accepted again, also by a
//!    replica whose clock is a little behind: `max_age` and a second behind its
//!    `iat`, or, where nonces are demanded, to the end of its nonce; in both cases
//!    `future_tolerance` longer. That time passes by the monotonic clock. Where layers
//!    that share a store differ in these settings, the longest time counts for all.
//! 3. A store that is full or cannot be reached refuses the request, with 503:
//!    what cannot be remembered could be replayed.
//!    Where the answer had to be waited for, token, certificate, registry and
//!    revocations are judged again.
//! 4. One key has a share of the store. A client that uses it up is refused with
//!    429, and others go on.
//! 5. All layers of this process at one origin and by one clock share one store, also
//!    those that are built after others have been dropped: see
//!    [`Dpop::replay_store`](crate::proof::Dpop::replay_store).
//! 6. A request uses its proof up once, however many layers and handlers on its way
//!    authenticate it, while the outermost of these layers waits for the response. Of two
//!    authenticators this holds where they share a store: that of the process, or that of
//!    one [`Dpop`](crate::proof::Dpop) value and its clones.
//!
//! # Deployment caveat
//!
//! [`InMemoryReplayStore`] knows what this process has seen. Behind a load
//! balancer, a proof can be replayed once to each other replica, unless they
//! share a store, or demand nonces of keys of their own
//! ([`DpopNonces`](crate::proof::DpopNonces), RFC 9449 section 11.1).

mod chosen;
mod memory;
mod process;

use std::{error::Error, fmt, time::Duration};

use data_encoding::HEXLOWER;

pub use self::memory::InMemoryReplayStore;
pub(crate) use self::{
    chosen::ChosenReplayStore,
    memory::{Bounds, DEFAULT_MAX_ENTRIES},
    process::{Acceptance, ProcessReplayStore},
};
use crate::{clock::Timestamp, step::Step};

/// Remembers which proofs were used.
///
/// Called once for each request with a proof, after every other check of its
/// credentials. What an implementation owes:
///
/// 1. Of all the calls with one [`key`](UsedProof::key) within the first one's
///    [`lifetime`](UsedProof::lifetime), exactly one gets
///    [`Sighting::First`], also if they come at the same time and from several
///    replicas, and whatever times the others name. Equal keys have equal signers.
/// 2. Nothing is forgotten early, neither to make room nor by a restart that
///    others survive. A store without room answers
///    [`ReplayStoreErrorKind::Full`].
/// 3. Waiting is bounded: a store that does not answer within about a second
///    gives [`ReplayStoreErrorKind::Unavailable`].
/// 4. The lifetime passes whatever the wall clock is set to: a store in this process
///    counts from [`now`](UsedProof::now), one that is asked over a network by
///    its own time-outs.
/// 5. One [`signer`](UsedProof::signer) does not fill the store for the others: what
///    is beyond its share is [`ReplayStoreErrorKind::ShareExhausted`].
///
/// An error refuses the request: with 429 where the signer's share is exhausted,
/// else with 503. `tower-delegation-testing` holds the tests of this contract,
/// `check_replay_store` and `check_replay_share`.
///
/// ```
/// use tower_delegation::{
///     replay::{InMemoryReplayStore, ReplayStore, ReplayStoreError, Sighting, UsedProof},
///     step::Step,
/// };
///
/// /// Logs each proof, and passes it on unchanged.
/// #[derive(Debug)]
/// struct Logged(InMemoryReplayStore);
///
/// impl ReplayStore for Logged {
///     fn remember(&self, proof: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
///         tracing::trace!(key = ?proof.key, "a proof is used");
///         self.0.remember(proof)
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let store = || Logged(InMemoryReplayStore::new().max_entries_per_key(20));
/// # tower_delegation_testing::check_replay_store([store()]).await;
/// # tower_delegation_testing::check_replay_share(store(), 20).await;
/// # }
/// ```
pub trait ReplayStore: fmt::Debug + Send + Sync + 'static {
    /// Remembers a proof, and says whether it was used before. A store that is asked
    /// over a network returns [`Step::Wait`], and the request waits for it.
    fn remember(&self, proof: UsedProof) -> Step<Result<Sighting, ReplayStoreError>>;
}

/// A proof that is being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsedProof {
    /// Which proof it is.
    pub key: ReplayKey,
    /// Which key signed it: its SHA-256 thumbprint (RFC 7638).
    pub signer: [u8; 32],
    /// The time of the request by [`Clock::monotonic`](crate::clock::Clock::monotonic):
    /// comparable within one process and clock, and nowhere else.
    pub now: Duration,
    /// How long from now on the proof would be accepted again. The store may then forget it.
    pub lifetime: Duration,
    /// From here on, by the wall clock, the proof is refused for its age.
    pub expires_at: Timestamp,
}

impl UsedProof {
    /// A proof that `signer` has signed, that is used at `now` of the monotonic
    /// clock, and that is refused for its age after `lifetime`, which is at
    /// `expires_at` by the wall clock.
    #[must_use]
    pub fn new(
        key: ReplayKey,
        signer: [u8; 32],
        now: Duration,
        lifetime: Duration,
        expires_at: Timestamp,
    ) -> Self {
        Self { key, signer, now, lifetime, expires_at }
    }
}

/// Identifies a proof: a SHA-256 hash of its key's thumbprint, its `jti` and its
/// `htu`. Reveals none of them.
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
        write!(f, "ReplayKey({})", HEXLOWER.encode_display(&self.0))
    }
}

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

    /// The key that signed the proof has used up its share.
    #[must_use]
    pub fn share_exhausted() -> Self {
        Self { kind: ReplayStoreErrorKind::ShareExhausted, source: None }
    }

    /// The wall clock was set back, and the proof may be one that was forgotten.
    #[must_use]
    pub fn clock_set_back() -> Self {
        Self { kind: ReplayStoreErrorKind::ClockSetBack, source: None }
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
    /// The key that signed the proof has used up its share of the store.
    #[error("the key has used up its share of the store of used proofs")]
    ShareExhausted,
    /// The wall clock was set back, and the proof may be one that was forgotten.
    #[error("the clock was set back, and whether the proof was used is not known")]
    ClockSetBack,
    /// The store cannot be reached.
    #[error("the store of used proofs cannot be reached")]
    Unavailable,
}
