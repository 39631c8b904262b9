//! [`Pem`]: where a certificate or key comes from.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use rustls::pki_types::pem::{self, PemObject};
use zeroize::Zeroizing;

use crate::error::TlsConfigError;

/// A text with sections of PEM (RFC 7468), or the file that holds it.
///
/// A file is read by `build()`, and again by each
/// [`reload`](crate::TlsConfig::reload).
#[derive(Clone)]
pub struct Pem(Source);

/// What was read: it may be a private key.
pub(crate) type Content = Arc<Zeroizing<Vec<u8>>>;

#[derive(Clone)]
enum Source {
    Text(Content),
    File(PathBuf),
}

impl Pem {
    /// A file of PEM sections.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// PEM sections.
    #[must_use]
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self(Source::Text(Arc::new(Zeroizing::new(text.into()))))
    }

    /// The file, if it is in one.
    #[cfg(feature = "reload")]
    pub(crate) fn path(&self) -> Option<&std::path::Path> {
        match &self.0 {
            Source::Text(_) => None,
            Source::File(path) => Some(path),
        }
    }

    pub(crate) fn read(&self, purpose: &'static str) -> Result<Content, TlsConfigError> {
        match &self.0 {
            Source::Text(text) => Ok(Arc::clone(text)),
            Source::File(path) => match fs::read(path) {
                Ok(text) => Ok(Arc::new(Zeroizing::new(text))),
                Err(source) => Err(TlsConfigError::Unreadable { path: path.clone(), purpose, source }),
            },
        }
    }

    /// Every section of one kind, and at least one.
    pub(crate) fn all<T: PemObject>(&self, purpose: &'static str) -> Result<Vec<T>, TlsConfigError> {
        let text = self.read(purpose)?;
        let found: Result<Vec<T>, _> = T::pem_slice_iter(&text).collect();
        match found {
            Ok(found) if found.is_empty() => Err(TlsConfigError::NothingInPem { purpose }),
            Ok(found) => Ok(found),
            Err(source) => Err(TlsConfigError::InvalidPem { purpose, source: source.into() }),
        }
    }

    /// The first section of one kind.
    pub(crate) fn first<T: PemObject>(&self, purpose: &'static str) -> Result<T, TlsConfigError> {
        T::from_pem_slice(&self.read(purpose)?).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsConfigError::NothingInPem { purpose },
            error => TlsConfigError::InvalidPem { purpose, source: error.into() },
        })
    }
}

/// Shows a path, never a text: it may be a private key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Text(_) => f.write_str("Pem(..)"),
            Source::File(path) => f.debug_tuple("Pem").field(path).finish(),
        }
    }
}
