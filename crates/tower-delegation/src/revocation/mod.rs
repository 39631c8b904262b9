//! Revocation: what was verified once and must not be accepted any more.
//!
//! 1. Asked on every request, also for tokens whose verification is cached:
//!    [`RevocationStore::check`] is synchronous and local, and decides by what
//!    the process knows now.
//! 2. A token is refused if it is revoked itself, or its subject, its log-in,
//!    its client, one of its actors (earlier ones too: a chain is no better than
//!    its worst link), or the workload that presents it.
//! 3. A subject that is revoked is refused as an actor too. The reverse does not
//!    hold: revoking an actor says nothing of the party's own requests.
//! 4. A store that cannot tell is a 503, never a pass.
//! 5. Identities are issuer and id together (RFC 8725 section 3.8): revoking
//!    `alice` of one issuer leaves `alice` of another alone.
//!
//! # Deployment caveat
//!
//! [`InMemoryRevocations`] knows what this process was told, and forgets it when
//! the process ends. Several replicas have to be told each.
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
//!     .issuer(TrustedIssuer::discover("https://idp.example.com")?.audience("https://orders.example.com"))
//!     .revocations(revocations.clone())
//!     .build()?;
//!
//! // The laptop of Alice is stolen. Her next request is refused.
//! revocations.revoke(Revocation::subject("https://idp.example.com", "alice"))?;
//! # Ok(())
//! # }
//! ```

mod memory;

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{LazyLock, Weak},
};

use siphasher::sip128::{Hasher128, SipHasher13};

pub use self::memory::{
    DEFAULT_CAPACITY, DEFAULT_RETENTION, InMemoryRevocations, InMemoryRevocationsBuilder, RevocationError,
};
use crate::{
    clock::Timestamp,
    credential::WorkloadIdentity,
    names::{ClientId, IssuerUrl, SessionId, SubjectId, TokenId},
    reason::DenialReason,
    spiffe::SpiffeId,
};

/// Knows what is revoked.
///
/// The layer calls [`check`](Self::check) once for every request with a
/// verified token, on the request's own task. It must answer from memory: no
/// I/O, no lock that a writer holds for long. An implementation whose source
/// is elsewhere keeps a local replica and answers [`Standing::Unknown`] once
/// that is older than it may be.
pub trait RevocationStore: fmt::Debug + Send + Sync + 'static {
    /// Is anything about this token revoked?
    fn check(&self, query: &RevocationQuery<'_>) -> Standing;

    /// Calls `listener` after each change, for as long as it lives. What is
    /// cached because of a verification can then be dropped early; nothing
    /// relies on it. By default nobody is called.
    fn subscribe(&self, listener: Weak<dyn RevocationListener>) {
        drop(listener);
    }
}

/// Wants to know that something was revoked.
pub trait RevocationListener: Send + Sync {
    /// Called on the thread of whoever revokes, after the store has taken it in.
    fn revoked(&self);
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

/// What was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationKind {
    /// One token, by `jti`.
    Token,
    /// A subject.
    Subject,
    /// A log-in, by `sid`.
    Session,
    /// A client.
    Client,
    /// An actor, anywhere in the chain.
    Actor,
    /// A workload, by SPIFFE ID or certificate.
    Workload,
    /// Everything that was issued before a point in time.
    Everything,
}

impl RevocationKind {
    fn reason(self) -> DenialReason {
        match self {
            Self::Token | Self::Everything => DenialReason::TokenRevoked,
            Self::Subject => DenialReason::SubjectRevoked,
            Self::Session => DenialReason::SessionRevoked,
            Self::Client => DenialReason::ClientRevoked,
            Self::Actor => DenialReason::ActorRevoked,
            Self::Workload => DenialReason::WorkloadRevoked,
        }
    }
}

/// One thing that is revoked, and for which tokens.
#[derive(Clone, Debug)]
#[must_use = "nothing is revoked before a store is told"]
pub struct Revocation {
    target: RevocationTarget,
    issued_before: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// What a [`Revocation`] is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationTarget {
    /// One token of an issuer.
    Token(IssuerUrl, TokenId),
    /// A subject of an issuer.
    Subject(IssuerUrl, SubjectId),
    /// A log-in at an issuer.
    Session(IssuerUrl, SessionId),
    /// A client of an issuer.
    Client(IssuerUrl, ClientId),
    /// A party that acts for others, by the issuer that vouches for it.
    Actor(IssuerUrl, SubjectId),
    /// A workload.
    Workload(SpiffeId),
    /// The holder of a certificate, by the SHA-256 digest of its DER.
    Certificate([u8; 32]),
}

impl Revocation {
    /// Revokes `target`: every token that has to do with it, whenever issued,
    /// for as long as the store [retains](DEFAULT_RETENTION) it.
    pub fn new(target: RevocationTarget) -> Self {
        Self { target, issued_before: None, until: None }
    }

    /// Revokes one token by its `jti`.
    pub fn token(issuer: impl Into<IssuerUrl>, id: impl Into<TokenId>) -> Self {
        Self::new(RevocationTarget::Token(issuer.into(), id.into()))
    }

    /// Revokes the tokens of a subject. Set [`issued_before`](Self::issued_before)
    /// to let the subject come back with new ones.
    pub fn subject(issuer: impl Into<IssuerUrl>, id: impl Into<SubjectId>) -> Self {
        Self::new(RevocationTarget::Subject(issuer.into(), id.into()))
    }

    /// Revokes the tokens of one log-in, by `sid`.
    pub fn session(issuer: impl Into<IssuerUrl>, id: impl Into<SessionId>) -> Self {
        Self::new(RevocationTarget::Session(issuer.into(), id.into()))
    }

    /// Revokes the tokens of a client.
    pub fn client(issuer: impl Into<IssuerUrl>, id: impl Into<ClientId>) -> Self {
        Self::new(RevocationTarget::Client(issuer.into(), id.into()))
    }

    /// Revokes the tokens in whose chain of actors this one stands.
    pub fn actor(issuer: impl Into<IssuerUrl>, id: impl Into<SubjectId>) -> Self {
        Self::new(RevocationTarget::Actor(issuer.into(), id.into()))
    }

    /// Revokes whatever this workload presents.
    pub fn workload(id: SpiffeId) -> Self {
        Self::new(RevocationTarget::Workload(id))
    }

    /// Revokes whatever the holder of this certificate presents.
    pub fn certificate(thumbprint: [u8; 32]) -> Self {
        Self::new(RevocationTarget::Certificate(thumbprint))
    }

    /// Only tokens that were issued at or before the second of `time`. `iat`
    /// counts whole seconds, so a token of that very second is refused too.
    pub fn issued_before(mut self, time: Timestamp) -> Self {
        self.issued_before = Some(time);
        self
    }

    /// How long the revocation is kept. No shorter than the longest life of a
    /// token that it is about: afterwards such a token would be good again.
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// What it is about.
    #[must_use]
    pub fn target(&self) -> &RevocationTarget {
        &self.target
    }
}

/// What a store is asked about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RevocationQuery<'a> {
    /// The keys of the token, its subject, log-in, client and actors.
    pub keys: &'a [RevocationKey],
    /// Who presents it, if that is known.
    pub workload: Option<&'a WorkloadIdentity>,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// The time of the request.
    pub now: Timestamp,
}

impl<'a> RevocationQuery<'a> {
    /// A question about a token of these keys, issued at `issued_at`.
    #[must_use]
    pub fn new(keys: &'a [RevocationKey], issued_at: Timestamp, now: Timestamp) -> Self {
        Self { keys, workload: None, issued_at, now }
    }

    pub(crate) fn presented_by(mut self, workload: Option<&'a WorkloadIdentity>) -> Self {
        self.workload = workload;
        self
    }
}

/// Stands for one thing that can be revoked: a hash, so that a request is
/// looked up without touching a string. Computed once, when a token is verified.
///
/// Keyed by a secret of this process: it means nothing outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RevocationKey {
    kind: RevocationKind,
    hash: u128,
}

impl RevocationKey {
    /// The key of `target`.
    #[must_use]
    pub fn of(target: &RevocationTarget) -> Self {
        use RevocationKind as Kind;
        use RevocationTarget as Target;
        let (kind, issuer, id) = match target {
            Target::Token(issuer, id) => (Kind::Token, issuer, id.as_str()),
            Target::Subject(issuer, id) => (Kind::Subject, issuer, id.as_str()),
            Target::Session(issuer, id) => (Kind::Session, issuer, id.as_str()),
            Target::Client(issuer, id) => (Kind::Client, issuer, id.as_str()),
            Target::Actor(issuer, id) => (Kind::Actor, issuer, id.as_str()),
            Target::Workload(id) => return Self::of_workload(id),
            Target::Certificate(thumbprint) => return Self::of_certificate(thumbprint),
        };
        Self::of_party(kind, issuer, id)
    }

    pub(crate) fn of_party(kind: RevocationKind, issuer: &IssuerUrl, id: &str) -> Self {
        Self::hash(kind, issuer.as_str().as_bytes(), id.as_bytes())
    }

    fn of_workload(id: &SpiffeId) -> Self {
        Self::hash(RevocationKind::Workload, b"spiffe", id.as_str().as_bytes())
    }

    fn of_certificate(thumbprint: &[u8; 32]) -> Self {
        Self::hash(RevocationKind::Workload, b"certificate", thumbprint)
    }

    fn hash(kind: RevocationKind, space: &[u8], id: &[u8]) -> Self {
        /// Unforeseeable, so that nobody can choose an identifier that collides with another's.
        static SECRET: LazyLock<(u64, u64)> = LazyLock::new(|| {
            let random = RandomState::new();
            (random.hash_one(0), random.hash_one(1))
        });
        let (first, second) = *SECRET;
        let mut hasher = SipHasher13::new_with_keys(first, second);
        hasher.write_u8(kind as u8);
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hasher.write_usize(space.len());
        hasher.write(space);
        hasher.write(id);
        Self { kind, hash: hasher.finish128().as_u128() }
    }

    /// What it stands for.
    #[must_use]
    pub fn kind(&self) -> RevocationKind {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_keep_kinds_issuers_and_ids_apart() {
        let one: IssuerUrl = "https://one".into();
        let targets = [
            RevocationTarget::Token(one.clone(), "x".into()),
            RevocationTarget::Subject(one.clone(), "x".into()),
            RevocationTarget::Session(one.clone(), "x".into()),
            RevocationTarget::Client(one.clone(), "x".into()),
            RevocationTarget::Actor(one.clone(), "x".into()),
            RevocationTarget::Subject("https://two".into(), "x".into()),
            RevocationTarget::Subject(one.clone(), "y".into()),
            RevocationTarget::Subject("https://on".into(), "ex".into()),
            RevocationTarget::Subject(one, String::new().into()),
            RevocationTarget::Certificate([0; 32]),
            RevocationTarget::Certificate([1; 32]),
        ];
        let keys: HashSet<_> = targets.iter().map(RevocationKey::of).collect();
        assert_eq!(keys.len(), targets.len());
        assert!(targets.iter().all(|target| keys.contains(&RevocationKey::of(target))), "keys are stable");
    }

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
