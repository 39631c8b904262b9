//! [`RevocationTarget`]: what is revoked, and [`RevocationKey`]: the hash that it
//! is looked up by.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::error::{Problem, RevocationError};
use crate::{
    names::{ClientId, IssuerUrl, SessionId, SubjectId, TokenId},
    reason::DenialReason,
    spiffe::SpiffeId,
    text_hash::TextHasher,
};

/// The longest issuer or identifier that is taken in, in bytes.
pub(super) const MAX_ID_LEN: usize = 1024;

/// What was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationKind {
    /// One token, by its identifier.
    Token,
    /// A subject.
    Subject,
    /// A session, by `sid`.
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
    pub(super) fn reason(self) -> DenialReason {
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

/// What a [`Revocation`](super::Revocation) is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationTarget {
    /// One token of an issuer.
    Token(IssuerUrl, TokenId),
    /// A subject of an issuer.
    Subject(IssuerUrl, SubjectId),
    /// A session at an issuer.
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

impl RevocationTarget {
    /// `token`, `subject`, `session`, `client`, `actor`, `workload` or `certificate`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Token(..) => "token",
            Self::Subject(..) => "subject",
            Self::Session(..) => "session",
            Self::Client(..) => "client",
            Self::Actor(..) => "actor",
            Self::Workload(_) => "workload",
            Self::Certificate(_) => "certificate",
        }
    }

    /// The issuer that gives the identifier its meaning; `None` for a workload
    /// and a certificate.
    #[must_use]
    pub fn issuer(&self) -> Option<&IssuerUrl> {
        match self {
            Self::Token(issuer, _)
            | Self::Subject(issuer, _)
            | Self::Session(issuer, _)
            | Self::Client(issuer, _)
            | Self::Actor(issuer, _) => Some(issuer),
            Self::Workload(_) | Self::Certificate(_) => None,
        }
    }

    /// The identifier: of a workload its SPIFFE ID, of a certificate the
    /// base64url of its digest, as `x5t#S256` has it.
    #[must_use]
    pub fn id(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Token(_, id) => id.as_str().into(),
            Self::Session(_, id) => id.as_str().into(),
            Self::Client(_, id) => id.as_str().into(),
            Self::Subject(_, id) | Self::Actor(_, id) => id.as_str().into(),
            Self::Workload(id) => id.as_str().into(),
            Self::Certificate(thumbprint) => URL_SAFE_NO_PAD.encode(thumbprint).into(),
        }
    }

    /// Can any token or workload have this name at all?
    pub(super) fn check(&self) -> Result<(), RevocationError> {
        let nothing = |why| Err(Problem::MatchesNothing { target: self.name(), why }.into());
        if let Self::Workload(id) = self
            && !id.has_path()
        {
            return nothing("a SPIFFE ID without a path names a trust domain, and no workload");
        }
        if self.issuer().is_some_and(|issuer| issuer.as_str().is_empty()) {
            return nothing("the issuer is empty");
        }
        let (issuer_len, id) = (self.issuer().map_or(0, |issuer| issuer.as_str().len()), self.id());
        if id.is_empty() {
            return nothing("the identifier is empty");
        }
        if issuer_len.max(id.len()) > MAX_ID_LEN {
            return Err(Problem::TooLong { what: "issuer or identifier", max: MAX_ID_LEN }.into());
        }
        Ok(())
    }
}

impl fmt::Display for RevocationTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name(), self.id())?;
        match self.issuer() {
            Some(issuer) => write!(f, " of {:?}", issuer.as_str()),
            None => Ok(()),
        }
    }
}

/// Stands for one thing that can be revoked: a hash, so that a request is
/// looked up without touching a string. Computed once, when a token is verified.
///
/// Keyed by a secret of this process: it means nothing outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RevocationKey {
    kind: RevocationKind,
    pub(super) hash: u128,
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

    pub(super) fn of_workload(id: &SpiffeId) -> Self {
        Self::hash(RevocationKind::Workload, b"spiffe", id.as_str().as_bytes())
    }

    pub(super) fn of_certificate(thumbprint: &[u8; 32]) -> Self {
        Self::hash(RevocationKind::Workload, b"certificate", thumbprint)
    }

    fn hash(kind: RevocationKind, space: &[u8], id: &[u8]) -> Self {
        /// Unforeseeable, so that no one can choose an identifier that collides with another's.
        static HASHER: LazyLock<TextHasher> = LazyLock::new(|| {
            let random = RandomState::new();
            TextHasher::with_key([0, 1, 2, 3].map(|word| random.hash_one(word)))
        });
        Self { kind, hash: HASHER.hash_each([&[kind as u8], space, id]).bits() }
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
}
