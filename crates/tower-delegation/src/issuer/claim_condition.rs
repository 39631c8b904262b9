//! What tells a subject's kind.

use super::ClaimPath;
use crate::{names::IssuerUrl, text::Text};

/// A condition on a token's claims that tells a subject's kind.
///
/// 1. A condition on a claim that is absent, or `null`, does not hold: the next
///    condition is judged.
/// 2. A claim that the condition cannot read (a number in place of a text, an
///    empty text) ends the search, and the kind is unknown. No later condition
///    may decide in place of one that could not.
/// 3. A list of texts can be read: if the condition holds for one of them, the
///    kind is unknown; otherwise the next condition is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimCondition(pub(crate) Condition);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Always,
    Present(ClaimPath),
    Equals(ClaimPath, Box<str>),
    StartsWith(ClaimPath, Box<str>),
    EndsWith(ClaimPath, Box<str>),
    Contains(ClaimPath, Box<str>),
    HasWord(ClaimPath, Box<str>),
    Same(ClaimPath, ClaimPath),
    NamesClient { path: ClaimPath, prefix: Box<str>, suffix: Box<str> },
    SubjectIsClient,
    SubjectIsNotClient,
    All(Box<[Self]>),
}

/// Tells the operator why no user was found. What a stranger can trigger is
/// logged at `DEBUG`.
pub(crate) fn log_unknown_kind(issuer: &IssuerUrl) {
    tracing::debug!(
        issuer = %Text::new(issuer.as_str()),
        "the kind of the subject is unknown, so it is not taken for a user: name the claim that only users' \
         tokens have by `TrustedIssuer::add_user_claim`, or call `TrustedIssuer::assume_user_unless_client` \
         if every token of a machine has its client as `sub`"
    );
}

impl ClaimCondition {
    /// Holds for every token.
    #[must_use]
    pub fn always() -> Self {
        Self(Condition::Always)
    }

    /// The claim is present and says something, whatever it is. `null` and `false`
    /// count as absent. What else says nothing cannot be read: zero, a blank text,
    /// the texts `false` and `null`, and a list or an object with nothing but such
    /// values in it.
    pub fn present(path: impl Into<ClaimPath>) -> Self {
        Self(Condition::Present(path.into()))
    }

    /// The claim is this text.
    pub fn equals(path: impl Into<ClaimPath>, value: &str) -> Self {
        Self(Condition::Equals(path.into(), value.into()))
    }

    /// The claim is a text that starts like this.
    pub fn starts_with(path: impl Into<ClaimPath>, start: &str) -> Self {
        Self(Condition::StartsWith(path.into(), start.into()))
    }

    /// The claim is a text that ends like this.
    pub fn ends_with(path: impl Into<ClaimPath>, end: &str) -> Self {
        Self(Condition::EndsWith(path.into(), end.into()))
    }

    /// The claim is a text that contains this one.
    pub fn contains(path: impl Into<ClaimPath>, part: &str) -> Self {
        Self(Condition::Contains(path.into(), part.into()))
    }

    /// The claim is a space-delimited text, and this is one of its words.
    pub fn has_word(path: impl Into<ClaimPath>, word: &str) -> Self {
        Self(Condition::HasWord(path.into(), word.into()))
    }

    /// Both claims are present and are the same text.
    pub fn same(path: impl Into<ClaimPath>, other: impl Into<ClaimPath>) -> Self {
        Self(Condition::Same(path.into(), other.into()))
    }

    /// The claim is the token's client between `prefix` and `suffix`, ASCII
    /// letters of the client in any case. Does not hold without a client.
    pub fn names_client(path: impl Into<ClaimPath>, prefix: &str, suffix: &str) -> Self {
        Self(Condition::NamesClient { path: path.into(), prefix: prefix.into(), suffix: suffix.into() })
    }

    /// The subject, as mapped, or `sub` is the client, by any of the claims that name
    /// it. Does not hold without a client.
    #[must_use]
    pub fn subject_is_client() -> Self {
        Self(Condition::SubjectIsClient)
    }

    /// Neither the subject, as mapped, nor `sub` is the client, by any of the claims
    /// that name it. Does not hold without a client. It proves no kind, so mappings cannot be given it:
    /// see `ClaimMapping::assume_user_unless_client`.
    pub(super) fn subject_is_not_client() -> Self {
        Self(Condition::SubjectIsNotClient)
    }

    /// Combines this condition with `other`, judged in this order: `other` is judged
    /// only if this one holds.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut conditions = match self.0 {
            Condition::All(conditions) => conditions.into_vec(),
            one => vec![one],
        };
        conditions.push(other.0);
        Self(Condition::All(conditions.into()))
    }

    pub(super) fn paths(&self) -> Vec<&ClaimPath> {
        self.0.paths()
    }
}

impl Condition {
    fn paths(&self) -> Vec<&ClaimPath> {
        match self {
            Self::Present(path)
            | Self::Equals(path, _)
            | Self::StartsWith(path, _)
            | Self::EndsWith(path, _)
            | Self::Contains(path, _)
            | Self::HasWord(path, _)
            | Self::NamesClient { path, .. } => vec![path],
            Self::Same(path, other) => vec![path, other],
            Self::Always | Self::SubjectIsClient | Self::SubjectIsNotClient => Vec::new(),
            Self::All(conditions) => conditions.iter().flat_map(Self::paths).collect(),
        }
    }
}
