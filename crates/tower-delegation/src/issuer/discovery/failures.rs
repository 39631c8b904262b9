//! Why no place has the issuer's metadata.

use std::{error::Error, fmt};

use crate::{
    jwks::{KeySourceError, KeySourceErrorKind},
    text::{Text, causes},
};

/// How much a failure says about the search, from the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// There is nothing at this place.
    Absent,
    /// There is a document, but no metadata with keys.
    NoMetadata,
    /// There is metadata of another issuer.
    Foreign,
    /// There is metadata that cannot be used.
    Unusable,
    /// What is at this place cannot be known now: the metadata may be.
    Failing,
}

/// Why one place has no metadata.
#[derive(Debug)]
pub(super) struct Failure {
    rank: Rank,
    pub(super) error: KeySourceError,
}

impl Failure {
    pub(super) fn new(rank: Rank, error: KeySourceError) -> Self {
        Self { rank, error }
    }

    pub(super) fn no_metadata(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Rank::NoMetadata, KeySourceError::new(KeySourceErrorKind::MetadataInvalid, cause))
    }

    pub(super) fn unusable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Rank::Unusable, KeySourceError::new(KeySourceErrorKind::MetadataInvalid, cause))
    }
}

/// The failures of all places.
#[derive(Debug, Default)]
pub(super) struct Failures {
    worst: Option<(Rank, KeySourceErrorKind)>,
    texts: Vec<String>,
}

impl Failures {
    /// `path` is from the configuration: the well-known place and the issuer's path.
    pub(super) fn add(&mut self, path: &str, failure: Failure) {
        let Failure { rank, error } = failure;
        let text = match causes(&error) {
            causes if causes.is_empty() => format!("{path}: {error}"),
            // They may quote the document.
            causes => format!("{path}: {error}: {}", Text::new(&causes)),
        };
        self.texts.push(text);
        // Of two that say as much, the first place's.
        if self.worst.is_none_or(|(worst, _)| worst < rank) {
            self.worst = Some((rank, error.kind()));
        }
    }
}

impl From<Failures> for KeySourceError {
    /// The worst failure's kind, with the cause of each place.
    fn from(failures: Failures) -> Self {
        let kind = failures.worst.map_or(KeySourceErrorKind::MetadataInvalid, |(_, kind)| kind);
        Self::new(kind, NotFound(failures.texts))
    }
}

/// No place has the metadata.
#[derive(Debug)]
struct NotFound(Vec<String>);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl Error for NotFound {}
