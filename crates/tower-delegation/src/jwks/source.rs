//! Where keys come from.

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

/// The future that [`KeySource::fetch`] returns.
pub type KeyFetch<'a> = Pin<Box<dyn Future<Output = Result<FetchedKeys, KeySourceError>> + Send + 'a>>;

/// A place that publishes an issuer's key set.
///
/// The layer calls [`fetch`](Self::fetch), one call at a time for each source, and
/// says [why](FetchReason):
///
/// 1. when the first token arrives, and then ahead of the set's expiry (8 minutes
///    after the last answer by default);
/// 2. when a token does not fit the set: at most three times in a row, then once in
///    10 seconds, for all such tokens together;
/// 3. when the service calls [`refresh_keys`](crate::Authenticator::refresh_keys).
///
/// A call is given up after 45 seconds; the future is then dropped.
///
/// An implementation hands out the document as it found it, and makes sure that
/// it comes from the issuer alone: anyone who can write it can mint any token of
/// that issuer. It keeps no copy that outlives the answer, or asks anew whenever
/// the reason is not [`FetchReason::Due`]. Size, shape and keys are checked by the caller.
///
/// An error never admits or refuses a token by itself. The last good set is
/// used on for up to [`max_key_staleness`](crate::TrustedIssuer::max_key_staleness),
/// 24 hours by default, with growing pauses between attempts; without one, requests
/// are answered 503.
///
/// # Example
/// Keys from a file that another process keeps current:
/// ```
/// use std::path::PathBuf;
/// use tower_delegation::{
///     DelegationLayer, TrustedIssuer,
///     jwks::{FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind},
/// };
///
/// #[derive(Debug)]
/// struct KeyFile(PathBuf);
///
/// impl KeySource for KeyFile {
///     fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a> {
///         if request.reason.is_missed_key() {
///             eprintln!("a token does not fit the key file: {}", request.reason.code());
///         }
///         Box::pin(async {
///             std::fs::read(&self.0)
///                 .map(FetchedKeys::document)
///                 .map_err(|error| KeySourceError::new(KeySourceErrorKind::Unreachable, error))
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let idp = tower_delegation_testing::MockIdp::start().await;
/// # let path = std::env::temp_dir().join(format!("keys-{}.json", std::process::id()));
/// # std::fs::write(&path, idp.jwks().to_string())?;
/// let issuer = TrustedIssuer::with_key_source("https://idp.example.com", KeyFile(path.clone()))?;
/// let layer = DelegationLayer::builder().add_issuer(issuer.add_audience("https://orders.example.com")).build()?;
/// # let token = || idp.token().issuer("https://idp.example.com").subject("a").client("b");
/// # let token = || token().audience("https://orders.example.com").sign();
/// # assert!(layer.authenticator().verify(&token()).await.is_ok());
/// # // A rotation is followed, and a withdrawn key is not accepted after a refresh.
/// # let old = token();
/// # idp.rotate_keys();
/// # idp.withdraw_old_keys();
/// # std::fs::write(&path, idp.jwks().to_string())?;
/// # assert!(layer.authenticator().verify(&token()).await.is_ok());
/// # assert!(layer.authenticator().verify(&old).await.is_err());
/// # std::fs::remove_file(&path)?;
/// # assert!(layer.refresh_keys().await[0].outcome.is_err());
/// # assert!(layer.authenticator().verify(&token()).await.is_ok());
/// # Ok(())
/// # }
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
    /// Why the set is asked for.
    pub reason: FetchReason,
}

/// Why a key set is asked for.
///
/// All but [`Due`](Self::Due) and [`Requested`](Self::Requested) mean that a
/// token does not fit the set in use: the key may be new, or the set may have
/// moved. A source that caches anything asks the issuer again. Any stranger can
/// cause these, within the budget that [`KeySource`] names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchReason {
    /// There is no set yet, or it is old enough to be fetched again.
    #[default]
    Due,
    /// The service asks, by `refresh_keys`: an incident, for example.
    Requested,
    /// A token names a key that the set does not have.
    KeyUnknown,
    /// A token names a key of the set that is for another algorithm.
    KeyMismatch,
    /// Several different keys of the set fit a token.
    KeyAmbiguous,
    /// A signature does not verify with the key of the set that the token names.
    SignatureInvalid,
}

impl FetchReason {
    /// A stable code in `snake_case`, for logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Requested => "requested",
            Self::KeyUnknown => "key_unknown",
            Self::KeyMismatch => "key_mismatch",
            Self::KeyAmbiguous => "key_ambiguous",
            Self::SignatureInvalid => "signature_invalid",
        }
    }

    /// Whether a token does not fit the set in use.
    #[must_use]
    pub const fn is_missed_key(self) -> bool {
        match self {
            Self::Due | Self::Requested => false,
            Self::KeyUnknown | Self::KeyMismatch | Self::KeyAmbiguous | Self::SignatureInvalid => true,
        }
    }
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
    /// and [`max_key_age`](crate::TrustedIssuer::max_key_age), one hour by default;
    /// ten minutes where it is not given.
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
    // Shared by all who wait for one fetch.
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
    /// The place's certificate is not trusted, or it does not accept this client's.
    #[error("TLS with the key source cannot be established")]
    Tls,
    /// A credential that the place asks for cannot be read here: it was not asked.
    #[error("a credential for the key source cannot be read")]
    Credential,
    /// There was no answer in time.
    #[error("the key source did not answer in time")]
    Timeout,
    /// The answer was a refusal, a redirect, of the wrong type (metadata only) or too long.
    #[error("the key source's answer is not acceptable")]
    Refused,
    /// The answer is compressed or encoded otherwise, though the request asks for
    /// none of this (RFC 9110 section 12.5.3).
    #[error("the key source's answer has a content coding that was not asked for")]
    ContentEncoding,
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
            Self::Tls => "tls",
            Self::Credential => "credential",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::ContentEncoding => "content_encoding",
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
