//! What tells a subject's kind.

use super::ClaimPath;

/// What can be asked of a token's claims to tell a subject's kind.
///
/// A claim that is absent makes a test fail; one of the wrong JSON type makes
/// the token malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimTest(pub(crate) Test);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Always,
    Present(ClaimPath),
    Equals(ClaimPath, Box<str>),
    StartsWith(ClaimPath, Box<str>),
    EndsWith(ClaimPath, Box<str>),
    Contains(ClaimPath, Box<str>),
    HasWord(ClaimPath, Box<str>),
    Same(ClaimPath, ClaimPath),
    NamesClient { path: ClaimPath, prefix: Box<str> },
    SubjectIsClient,
    SubjectIsNotClient,
}

impl ClaimTest {
    /// Holds for every token.
    #[must_use]
    pub fn always() -> Self {
        Self(Test::Always)
    }

    /// The claim is there, whatever its value; `null` is malformed.
    pub fn present(path: impl Into<ClaimPath>) -> Self {
        Self(Test::Present(path.into()))
    }

    /// The claim is this string.
    pub fn equals(path: impl Into<ClaimPath>, value: &str) -> Self {
        Self(Test::Equals(path.into(), value.into()))
    }

    /// The claim is a string that starts like this.
    pub fn starts_with(path: impl Into<ClaimPath>, start: &str) -> Self {
        Self(Test::StartsWith(path.into(), start.into()))
    }

    /// The claim is a string that ends like this.
    pub fn ends_with(path: impl Into<ClaimPath>, end: &str) -> Self {
        Self(Test::EndsWith(path.into(), end.into()))
    }

    /// The claim is a string with this in it.
    pub fn contains(path: impl Into<ClaimPath>, part: &str) -> Self {
        Self(Test::Contains(path.into(), part.into()))
    }

    /// The claim is a space-delimited string, and this is one of its words.
    pub fn has_word(path: impl Into<ClaimPath>, word: &str) -> Self {
        Self(Test::HasWord(path.into(), word.into()))
    }

    /// Both claims are there and are the same string.
    pub fn same(path: impl Into<ClaimPath>, other: impl Into<ClaimPath>) -> Self {
        Self(Test::Same(path.into(), other.into()))
    }

    /// The claim is `prefix` followed by the token's client, ASCII letters in
    /// any case. Fails without a client.
    pub fn names_client(path: impl Into<ClaimPath>, prefix: &str) -> Self {
        Self(Test::NamesClient { path: path.into(), prefix: prefix.into() })
    }

    /// The subject, as mapped, is the client. Fails without a client.
    #[must_use]
    pub fn subject_is_client() -> Self {
        Self(Test::SubjectIsClient)
    }

    /// The subject, as mapped, is another party than the client. Fails without a client.
    #[must_use]
    pub fn subject_is_not_client() -> Self {
        Self(Test::SubjectIsNotClient)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &ClaimPath> {
        let (first, second) = match &self.0 {
            Test::Present(path)
            | Test::Equals(path, _)
            | Test::StartsWith(path, _)
            | Test::EndsWith(path, _)
            | Test::Contains(path, _)
            | Test::HasWord(path, _)
            | Test::NamesClient { path, .. } => (Some(path), None),
            Test::Same(path, other) => (Some(path), Some(other)),
            Test::Always | Test::SubjectIsClient | Test::SubjectIsNotClient => (None, None),
        };
        first.into_iter().chain(second)
    }
}
