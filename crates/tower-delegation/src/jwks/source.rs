//! Where keys come from.

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

/// The future that [`KeySource::fetch`] returns.
pub type KeyFetch<'a> = Pin<Box<dyn Future<Output = Result<FetchedKeys, KeySourceError>> + Send + 'a>>;

/// A place that publishes an issuer's key set.
///
/// The layer calls [`fetch`](Self::fetch): one call at a time for each source,
/// when the first token arrives, then ahead of the set's expiry (8 minutes
/// after the last answer by default), and when a token names a key that is not
/// in the set (at most three times in a row, then once in 10 seconds). A call
/// is given up after 30 seconds; the future is then dropped.
///
/// An implementation hands out the document as it found it, and makes sure that
/// it comes from the issuer and nobody else: whoever can write it can mint any
/// token of that issuer. Size, shape and keys are checked by the caller.
///
/// An error never admits or refuses a token by itself. The last good set is
/// used on for up to 24 hours, with growing pauses between attempts; without
/// one, requests are answered 503.
///
/// # Example
/// Keys from a file that another process keeps current:
/// ```
/// use std::path::PathBuf;
/// use tower_delegation::jwks::{
///     FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind,
/// };
///
/// #[derive(Debug)]
/// struct KeyFile(PathBuf);
///
/// impl KeySource for KeyFile {
///     fn fetch<'a>(&'a self, _request: KeyRequest<'a>) -> KeyFetch<'a> {
///         Box::pin(async {
///             std::fs::read(&self.0)
///                 .map(FetchedKeys::document)
///                 .map_err(|error| KeySourceError::new(KeySourceErrorKind::Unreachable, error))
///         })
///     }
/// }
/// ```
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// Fetches the key set.
    fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a>;
}

/// What a [`KeySource`] is asked for.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct KeyRequest<'a> {
    /// The `ETag` of the set in use. If the set is still that one, the source
    /// may answer [`FetchedKeys::not_modified`].
    pub etag: Option<&'a str>,
}

/// A source's answer.
#[derive(Clone, Debug)]
pub struct FetchedKeys {
    pub(crate) document: Option<Bytes>,
    pub(crate) etag: Option<String>,
    pub(super) max_age: Option<Duration>,
}

impl FetchedKeys {
    /// A JWK Set, as its JSON text.
    #[must_use]
    pub fn document(document: impl Into<Bytes>) -> Self {
        Self { document: Some(document.into()), etag: None, max_age: None }
    }

    /// The set is the one that [`KeyRequest::etag`] stands for.
    #[must_use]
    pub fn not_modified() -> Self {
        Self { document: None, etag: None, max_age: None }
    }

    /// The document's `ETag`, to be sent with the next request.
    #[must_use]
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.etag = Some(etag.into());
        self
    }

    /// How long the answer says that it stays fresh. Brought between one minute
    /// and one hour; ten minutes where it is not given.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}

/// A key set could not be had.
#[derive(Clone, Debug)]
pub struct KeySourceError {
    kind: KeySourceErrorKind,
    // Shared: everybody who waits for one fetch is told.
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl KeySourceError {
    /// An error with its cause.
    pub fn new(kind: KeySourceErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: Some(Arc::from(source.into())) }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> KeySourceErrorKind {
        self.kind
    }
}

impl From<KeySourceErrorKind> for KeySourceError {
    fn from(kind: KeySourceErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl fmt::Display for KeySourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for KeySourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| -> &(dyn Error + 'static) { source })
    }
}

/// Why a key set could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KeySourceErrorKind {
    /// The place cannot be reached or read.
    #[error("the key source cannot be reached")]
    Unreachable,
    /// There was no answer in time.
    #[error("the key source did not answer in time")]
    Timeout,
    /// The answer was a refusal, a redirect, of the wrong type or too long.
    #[error("the key source's answer is not acceptable")]
    Refused,
    /// The issuer's metadata is not usable (RFC 8414 section 3.2).
    #[error("the issuer's metadata is not usable")]
    MetadataInvalid,
    /// The issuer's metadata is that of another issuer (RFC 8414 section 3.3).
    #[error("the metadata names another issuer")]
    IssuerMismatch,
    /// The document is no JWK Set.
    #[error("the document is not usable as a key set")]
    DocumentInvalid,
    /// The document is a JWK Set, and no key of it can verify a token.
    #[error("the key set has no usable key")]
    NoUsableKey,
    /// The fetch ended without a result: the source panicked, or the runtime
    /// is shutting down.
    #[error("the fetch was interrupted")]
    Interrupted,
    /// The call was made outside a tokio runtime, where nothing can be fetched.
    #[error("there is no tokio runtime to fetch on")]
    NoRuntime,
}

impl KeySourceErrorKind {
    /// A stable code in `snake_case`, for logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::MetadataInvalid => "metadata_invalid",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::DocumentInvalid => "document_invalid",
            Self::NoUsableKey => "no_usable_key",
            Self::Interrupted => "interrupted",
            Self::NoRuntime => "no_runtime",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_cause_out_of_its_text() {
        let error = KeySourceError::new(KeySourceErrorKind::Unreachable, "disk on fire");
        assert_eq!(error.to_string(), "the key source cannot be reached");
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
        assert!(KeySourceError::from(KeySourceErrorKind::Timeout).source().is_none());
    }
}
