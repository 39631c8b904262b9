//! [`RevocationError`]: why a revocation was not taken in.

use std::{error::Error, fmt, sync::Arc};

/// Why a revocation was not taken in, not lifted or not listed.
///
/// Unless the kind is [`Full`](RevocationErrorKind::Full) or
/// [`Unavailable`](RevocationErrorKind::Unavailable), the input is at fault and
/// nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct RevocationError(Problem);

/// What kind of error a [`RevocationError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationErrorKind {
    /// The target is not written as its kind demands: no issuer, no SPIFFE ID,
    /// a digest of the wrong length.
    InvalidTarget,
    /// No token and no workload can have what the target names.
    MatchesNothing,
    /// No layer that the store serves trusts the issuer.
    IssuerNotTrusted,
    /// `until` has passed.
    UntilPassed,
    /// `issued_before` is in the future, by more than clocks may differ.
    IssuedBeforeAhead,
    /// A number that is no time of this era: a duration, or milliseconds.
    NotATime,
    /// An identifier or a reason is too long.
    TooLong,
    /// The place in the list is none that the store has given.
    InvalidPage,
    /// The revocation cannot be lifted by itself: it was taken in by a store that
    /// was full, which keeps no list of those.
    NotListed,
    /// The store is full. [`InMemoryRevocations`](super::InMemoryRevocations) says
    /// what holds then.
    Full,
    /// The sink cannot be reached, so whether the revocation is in force is not known.
    Unavailable,
}

impl RevocationErrorKind {
    /// A stable code, such as `issuer_not_trusted`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidTarget => "invalid_target",
            Self::MatchesNothing => "matches_nothing",
            Self::IssuerNotTrusted => "issuer_not_trusted",
            Self::UntilPassed => "until_passed",
            Self::IssuedBeforeAhead => "issued_before_ahead",
            Self::NotATime => "not_a_time",
            Self::TooLong => "too_long",
            Self::InvalidPage => "invalid_page",
            Self::NotListed => "not_listed",
            Self::Full => "full",
            Self::Unavailable => "unavailable",
        }
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("the target cannot be read: {0}")]
    InvalidTarget(&'static str),
    #[error("the {target} can match nothing: {why}")]
    MatchesNothing { target: &'static str, why: &'static str },
    #[error("no layer that this store serves trusts the issuer {issuer:?}")]
    IssuerNotTrusted { issuer: String },
    #[error("`until` has passed: leave it out to revoke until the revocation is lifted")]
    UntilPassed,
    #[error("`issued_before` is in the future: leave it out to revoke what is issued later, too")]
    IssuedBeforeAhead,
    #[error("`{member}` is no time between 2001 and 9999: give seconds since 1970, not a duration")]
    NotATime { member: &'static str },
    #[error("the {what} is longer than {max} bytes")]
    TooLong { what: &'static str, max: usize },
    #[error("the place in the list is none that this store has given")]
    InvalidPage,
    #[error("the revocation was taken in while the store was full, and ends with the process only")]
    NotListed,
    #[error(
        "the store holds {max_entries} revocations and lists no more: what was asked for is refused until the \
         process ends, and so is every token that was issued before the store became full"
    )]
    Full { max_entries: usize },
    #[error("the sink of revocations cannot be reached")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
}

impl RevocationError {
    /// The sink could not be reached: for sinks whose store is elsewhere.
    #[must_use]
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Problem::Unavailable(source.into().into()))
    }

    /// The sink takes in no more than `max_entries` revocations.
    #[must_use]
    pub fn full(max_entries: usize) -> Self {
        Self(Problem::Full { max_entries })
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> RevocationErrorKind {
        match &self.0 {
            Problem::InvalidTarget(_) => RevocationErrorKind::InvalidTarget,
            Problem::MatchesNothing { .. } => RevocationErrorKind::MatchesNothing,
            Problem::IssuerNotTrusted { .. } => RevocationErrorKind::IssuerNotTrusted,
            Problem::UntilPassed => RevocationErrorKind::UntilPassed,
            Problem::IssuedBeforeAhead => RevocationErrorKind::IssuedBeforeAhead,
            Problem::NotATime { .. } => RevocationErrorKind::NotATime,
            Problem::TooLong { .. } => RevocationErrorKind::TooLong,
            Problem::InvalidPage => RevocationErrorKind::InvalidPage,
            Problem::NotListed => RevocationErrorKind::NotListed,
            Problem::Full { .. } => RevocationErrorKind::Full,
            Problem::Unavailable(_) => RevocationErrorKind::Unavailable,
        }
    }
}

impl From<Problem> for RevocationError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// Which of many revocations were not taken in; the others are in force.
#[derive(Clone, Debug)]
pub struct RevocationErrors(Vec<(usize, RevocationError)>);

impl RevocationErrors {
    /// No error is no value of this type.
    pub(super) fn result(errors: Vec<(usize, RevocationError)>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// Each error with the position of its revocation among those given. At least one.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, &RevocationError)> {
        self.0.iter().map(|(position, error)| (*position, error))
    }
}

impl fmt::Display for RevocationErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} revocations were not taken in", self.0.len())?;
        match self.0.first() {
            Some((position, error)) => write!(f, "; number {position}: {error}"),
            None => Ok(()),
        }
    }
}

impl Error for RevocationErrors {}
