//! [`HttpTransport`]: what sends the client's requests.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};

type BoxError = Box<dyn Error + Send + Sync>;

/// The future that [`HttpTransport::send`] returns.
pub type TransportFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Response<TransportBody>, TransportError>> + Send + 'a>>;

/// Sends the requests of an [`HttpClient`](super::HttpClient), in place of the
/// built-in client: through a sidecar, a socket of another kind, or a client that the
/// service has anyway.
///
/// Called for each request, with an absolute URL that may be fetched and with all header
/// fields of the configuration. The time-out, the cap of the body, the refusal of
/// redirects and codings, and everything that is read stay with the `HttpClient`; the
/// future is dropped when the time is over.
///
/// An implementation makes sure that the answer comes from the host of the URL (it
/// verifies the server's certificate), follows no redirect, and logs no header field
/// that is marked as sensitive and no body. An error is an outage: what needs the
/// answer is answered with 503.
///
/// # Example
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tower_delegation::http_client::{
///     HttpClient, HttpTransport, TransportBody, TransportError, TransportErrorKind, TransportFuture,
/// };
///
/// /// Answers from memory: for tests, for example.
/// #[derive(Debug)]
/// struct Fixed(&'static str);
///
/// impl HttpTransport for Fixed {
///     fn send<'a>(&'a self, request: http::Request<Bytes>) -> TransportFuture<'a> {
///         Box::pin(async move {
///             if request.uri().host() != Some("idp.example.com") {
///                 return Err(TransportError::new(TransportErrorKind::Unreachable, "no such host"));
///             }
///             Ok(http::Response::new(TransportBody::new(Full::from(self.0))))
///         })
///     }
/// }
///
/// let client = HttpClient::new().transport(Fixed(r#"{"keys": []}"#));
/// ```
pub trait HttpTransport: fmt::Debug + Send + Sync + 'static {
    /// Sends `request`, and returns the answer as soon as its head is there.
    fn send<'a>(&'a self, request: Request<Bytes>) -> TransportFuture<'a>;
}

/// The body of an answer, read as it arrives.
pub struct TransportBody(Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>);

impl TransportBody {
    /// Any body of `Bytes`.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Box::pin(Erased(Box::pin(body))))
    }
}

impl Body for TransportBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for TransportBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransportBody(..)")
    }
}

/// A body whose errors are boxed.
struct Erased<B>(Pin<Box<B>>);

impl<B: Body<Data = Bytes>> Body for Erased<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A request could not be sent, or has no answer.
#[derive(Debug)]
pub struct TransportError {
    kind: TransportErrorKind,
    cause: Option<BoxError>,
}

impl TransportError {
    /// An error with its cause, whose text must hold no credential.
    pub fn new(kind: TransportErrorKind, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, cause: Some(cause.into()) }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    pub(super) fn into_cause(self) -> Option<BoxError> {
        self.cause
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| -> &(dyn Error + 'static) { cause })
    }
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// There is no connection, or it broke.
    #[error("the server cannot be reached")]
    Unreachable,
    /// The server's certificate is not trusted, or it does not accept this client's.
    #[error("TLS with the server cannot be established")]
    Tls,
    /// There was no answer in time.
    #[error("the server did not answer in time")]
    Timeout,
}
