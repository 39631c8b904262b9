//! [`TlsConfigError`]: what is wrong with a TLS configuration.

use std::{error::Error, fmt, io, path::PathBuf, slice};

/// A TLS configuration that cannot be served.
///
/// Each variant says what was given for what, and names the fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The service has no certificate of its own.
    #[error("no server certificate: give one with `.server_certificate(chain, key)`")]
    NoServerCertificate,
    /// A file cannot be read.
    #[error("{path:?}, given as {purpose}, cannot be read: {source}")]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// What it was given for.
        purpose: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// A text is not PEM.
    #[error("what was given as {purpose} is not PEM: {source}")]
    InvalidPem {
        /// What it was given for.
        purpose: &'static str,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A PEM text has no section of the kind that is needed.
    #[error("what was given as {purpose} holds none: is it another file?")]
    NothingInPem {
        /// What it was given for.
        purpose: &'static str,
    },
    /// The server's certificate cannot be used with the key.
    #[error("the server certificate and its key cannot be used together: {source}")]
    ServerCertificate {
        /// What is wrong with them.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A trust anchor cannot be used.
    #[error("a certificate of the client bundle is no usable trust anchor: {source}")]
    TrustAnchor {
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A name is not that of a trust domain (SPIFFE-ID section 2.1).
    #[error("{name:?} is not a trust domain: use lower-case letters, digits, dots, dashes and underscores")]
    InvalidTrustDomain {
        /// The name as given.
        name: String,
    },
    /// Workloads are let in, but of no trust domain.
    #[error("workloads of no trust domain: name at least one, with its bundle")]
    NoTrustDomain,
    /// The client certificates cannot be checked with what was given.
    #[error("the client bundle and its revocation lists cannot be used: {source}")]
    ClientCertificates {
        /// What is wrong with them.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The TLS implementation refuses the protocol versions or cipher suites.
    #[error("the TLS implementation cannot be set up: {source}")]
    Protocol {
        /// What it says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It was said twice how client certificates are to be treated.
    #[error("client certificates are set up twice: require them, accept them or accept any")]
    ClientCertificatesTwice,
    /// Revocation lists were given, but no bundle that they could belong to.
    #[error(
        "revocation lists without a client bundle: add one with `.require_client_certificates(..)` or leave them out"
    )]
    RevocationListsUnused,
    /// A configuration that was not read from files cannot be watched.
    #[error("the TLS configuration has no file to watch: give at least one by `Pem::file(..)`")]
    NoFile,
    /// The files of the configuration cannot be watched.
    #[error("the TLS configuration cannot be watched at {path:?}: {source}")]
    Unwatchable {
        /// The first of them.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// More than one thing is wrong.
    #[error("{} mistakes: {}", .mistakes.len(), Numbered(.mistakes))]
    Several {
        /// Each by itself, in the order of the checks: two at the least, and none of
        /// them is again several.
        mistakes: Vec<Self>,
    },
}

impl TlsConfigError {
    /// Each mistake by itself; this error alone, unless it is [`Several`](Self::Several).
    pub fn mistakes(&self) -> impl Iterator<Item = &Self> {
        match self {
            Self::Several { mistakes } => mistakes.iter(),
            only => slice::from_ref(only).iter(),
        }
    }

    fn into_each(self) -> Vec<Self> {
        match self {
            Self::Several { mistakes } => mistakes,
            only => vec![only],
        }
    }
}

/// Both values, or the mistakes of both.
pub(crate) fn both<A, B>(
    one: Result<A, TlsConfigError>,
    other: Result<B, TlsConfigError>,
) -> Result<(A, B), TlsConfigError> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(mistake), Ok(_)) | (Ok(_), Err(mistake)) => Err(mistake),
        (Err(one), Err(other)) => {
            let mut mistakes = one.into_each();
            mistakes.extend(other.into_each());
            Err(TlsConfigError::Several { mistakes })
        }
    }
}

/// `(1) …; (2) …`
struct Numbered<'a>(&'a [TlsConfigError]);

impl fmt::Display for Numbered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in (1..).zip(self.0) {
            let separator = if number == 1 { "" } else { "; " };
            write!(f, "{separator}({number}) {mistake}")?;
        }
        Ok(())
    }
}
