//! Why a request of the client has no usable answer.

use std::error::Error;

use super::transport::{TransportError, TransportErrorKind};

/// A request has no usable answer. Its texts never hold a URL or a credential.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub(crate) struct FetchError {
    kind: FetchErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchErrorKind {
    #[error("the URL may not be fetched")]
    InsecureUrl,
    /// A credential of ours cannot be read: nothing was sent.
    #[error("a credential for the request cannot be read")]
    Credential,
    #[error("the server cannot be reached")]
    Unreachable,
    #[error("TLS with the server cannot be established")]
    Tls,
    #[error("the server did not answer in time")]
    Timeout,
    #[error("the server answered with a redirect")]
    Redirect,
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("the answer is not of a JSON media type")]
    ContentType,
    #[error("the answer has a content coding that was not asked for")]
    ContentEncoding,
    #[error("the answer is longer than 512 KiB")]
    TooLarge,
}

impl FetchError {
    pub(super) fn new(kind: FetchErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    pub(crate) fn kind(&self) -> FetchErrorKind {
        self.kind
    }
}

impl From<FetchErrorKind> for FetchError {
    fn from(kind: FetchErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<TransportError> for FetchError {
    fn from(error: TransportError) -> Self {
        let kind = match error.kind() {
            TransportErrorKind::Unreachable => FetchErrorKind::Unreachable,
            TransportErrorKind::Tls => FetchErrorKind::Tls,
            TransportErrorKind::Timeout => FetchErrorKind::Timeout,
        };
        Self { kind, source: error.into_cause() }
    }
}
