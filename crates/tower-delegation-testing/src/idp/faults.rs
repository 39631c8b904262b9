//! What an endpoint does instead of answering, and who asked it.

use std::{
    fmt, io,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::watch;
use tower_delegation::clock::Clock;

use super::{MockIssuer, lock};

/// One of the endpoints that every issuer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// The metadata, under either of its two well-known forms.
    Discovery,
    /// The key set.
    Jwks,
    /// The token endpoint.
    Token,
}

/// Withholds the answers of one endpoint while it lives: see
/// [`MockIssuer::hold`](super::MockIssuer::hold).
#[must_use = "the answers are released as soon as this is dropped"]
pub struct Hold {
    /// Closing the channel is the release.
    _release: watch::Sender<()>,
}

impl Hold {
    /// Sends every answer withheld so far; later requests are answered at once.
    pub fn release(self) {}
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    None,
    Status(StatusCode, Option<Duration>),
    Answer(Box<Response<Bytes>>),
    Garbage,
    Truncated,
    HangUp,
    Padded(usize),
    Hang,
    Delay(Duration),
    Hold(watch::Receiver<()>),
}

impl Fault {
    fn hold() -> (Self, Hold) {
        let (release, released) = watch::channel(());
        (Self::Hold(released), Hold { _release: release })
    }

    /// Passes `answer` on, sooner, later, changed or never. `stopped` closes
    /// when the provider stops, so that no client waits for longer; `arrived` is
    /// the monotonic time of the arrival.
    pub(crate) async fn apply(
        self,
        answer: Response<Body>,
        arrived: Duration,
        clock: &dyn Clock,
        mut stopped: watch::Receiver<()>,
    ) -> Response<Body> {
        let mut released = match self {
            Self::None => return answer,
            Self::Status(status, retry_after) => {
                let mut response = text(status, "the test has the mock provider fail");
                if let Some(delay) = retry_after {
                    let seconds = HeaderValue::from(delay.as_secs());
                    response.headers_mut().insert(header::RETRY_AFTER, seconds);
                }
                return response;
            }
            Self::Answer(canned) => return canned.map(Body::from),
            Self::Garbage => return answer.map(|_| Body::from("{\"\u{0}garbage")),
            Self::Truncated => return truncated(answer).await,
            Self::HangUp => return answer.map(|_| Body::new(BrokenBody { begun: None, flushed: true })),
            Self::Padded(size) => return padded(answer, size).await,
            Self::Hang => {
                closed(&mut stopped).await;
                return text(StatusCode::SERVICE_UNAVAILABLE, "the mock provider has stopped");
            }
            Self::Delay(delay) => {
                let deadline = arrived.saturating_add(delay);
                tokio::select! {
                    () = clock.sleep_until(deadline) => {}
                    () = closed(&mut stopped) => {}
                }
                return answer;
            }
            Self::Hold(released) => released,
        };
        tokio::select! {
            () = closed(&mut released) => {}
            () = closed(&mut stopped) => {}
        }
        answer
    }
}

/// Announces the whole answer, sends half of it, and closes the connection.
async fn truncated(answer: Response<Body>) -> Response<Body> {
    let (mut head, whole) = in_memory(answer).await;
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let begun = Some(whole.slice(..whole.len() / 2));
    Response::from_parts(head, Body::new(BrokenBody { begun, flushed: false }))
}

/// White space behind a JSON document is part of it: only the size is wrong.
async fn padded(answer: Response<Body>, size: usize) -> Response<Body> {
    let (head, whole) = in_memory(answer).await;
    let mut bytes = whole.to_vec();
    if bytes.len() < size {
        bytes.resize(size, b' ');
    }
    Response::from_parts(head, Body::from(bytes))
}

async fn in_memory(answer: Response<Body>) -> (axum::http::response::Parts, Bytes) {
    let (head, body) = answer.into_parts();
    // Never an error: the answer was made from bytes.
    (head, to_bytes(body, usize::MAX).await.unwrap_or_default())
}

/// A body that breaks off: the server closes the connection.
struct BrokenBody {
    begun: Option<Bytes>,
    /// Whether what was begun is on its way.
    flushed: bool,
}

impl http_body::Body for BrokenBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(begun) = self.begun.take() {
            return Poll::Ready(Some(Ok(Frame::data(begun))));
        }
        if !self.flushed {
            // The server sends what it has before it asks again.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }
}

/// Completes when the sender is gone; nothing is ever sent.
pub(crate) async fn closed(channel: &mut watch::Receiver<()>) {
    while channel.changed().await.is_ok() {}
}

pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

/// Counts the requests to one endpoint, and holds the fault to apply.
#[derive(Debug)]
pub(crate) struct Gate {
    mood: Mutex<Mood>,
    arrived: watch::Sender<usize>,
    last_headers: Mutex<Option<HeaderMap>>,
}

#[derive(Debug)]
struct Mood {
    fault: Fault,
    /// How many more requests meet it; `None` is all.
    left: Option<usize>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            mood: Mutex::new(Mood { fault: Fault::None, left: None }),
            arrived: watch::Sender::new(0),
            last_headers: Mutex::new(None),
        }
    }

    fn set(&self, fault: Fault) {
        *lock(&self.mood) = Mood { fault, left: None };
    }

    /// Records a request and returns what is to happen to its answer.
    pub(crate) fn arrive(&self, headers: HeaderMap) -> Fault {
        let fault = lock(&self.mood).take();
        *lock(&self.last_headers) = Some(headers);
        self.arrived.send_modify(|arrived| *arrived += 1);
        fault
    }
}

impl Mood {
    fn take(&mut self) -> Fault {
        match &mut self.left {
            None => self.fault.clone(),
            Some(0) => Fault::None,
            Some(left) => {
                *left -= 1;
                self.fault.clone()
            }
        }
    }
}

/// # Outages
///
/// Each endpoint has at most one fault; a new one takes the place of the last.
/// A request meets the fault that is set when it arrives, and its answer is
/// made at that moment too: an answer that is held or delayed describes the past.
impl MockIssuer {
    /// Answers every request with `status`.
    pub fn fail_with(&self, endpoint: Endpoint, status: StatusCode) {
        self.gate(endpoint).set(Fault::Status(status, None));
    }

    /// Answers every request with `status`, and says in `Retry-After` when to
    /// come back, in whole seconds.
    pub fn fail_with_retry_after(&self, endpoint: Endpoint, status: StatusCode, delay: Duration) {
        self.gate(endpoint).set(Fault::Status(status, Some(delay)));
    }

    /// Answers every request with this response: a redirect, a wrong content
    /// type, a body without end.
    pub fn answer_with(&self, endpoint: Endpoint, response: Response<impl Into<Bytes>>) {
        self.gate(endpoint).set(Fault::Answer(Box::new(response.map(Into::into))));
    }

    /// Answers as it should be, but with a body that is no JSON.
    pub fn garble(&self, endpoint: Endpoint) {
        self.gate(endpoint).set(Fault::Garbage);
    }

    /// Breaks the connection off in the middle of every answer.
    pub fn truncate(&self, endpoint: Endpoint) {
        self.gate(endpoint).set(Fault::Truncated);
    }

    /// Closes the connection of every request without an answer.
    pub fn hang_up(&self, endpoint: Endpoint) {
        self.gate(endpoint).set(Fault::HangUp);
    }

    /// Fills every answer up to `size` bytes with white space, which is still
    /// JSON: only its size is wrong.
    pub fn pad(&self, endpoint: Endpoint, size: usize) {
        self.gate(endpoint).set(Fault::Padded(size));
    }

    /// Never answers. Requests that arrived stay without an answer until the
    /// provider stops, even after [`recover`](Self::recover).
    pub fn hang(&self, endpoint: Endpoint) {
        self.gate(endpoint).set(Fault::Hang);
    }

    /// Answers each request when `delay` has passed on the provider's clock,
    /// counted from its arrival.
    pub fn delay(&self, endpoint: Endpoint, delay: Duration) {
        self.gate(endpoint).set(Fault::Delay(delay));
    }

    /// Withholds all answers until the guard is released or dropped.
    pub fn hold(&self, endpoint: Endpoint) -> Hold {
        let (fault, hold) = Fault::hold();
        self.gate(endpoint).set(fault);
        hold
    }

    /// Limits the fault that is set now to the next `requests`: later ones are
    /// answered as they should be.
    pub fn recover_after(&self, endpoint: Endpoint, requests: usize) {
        lock(&self.gate(endpoint).mood).left = Some(requests);
    }

    /// Answers requests as they should be from now on.
    pub fn recover(&self, endpoint: Endpoint) {
        self.gate(endpoint).set(Fault::None);
    }
}

/// # Who asked
impl MockIssuer {
    /// Returns how many requests have arrived, faults or not.
    #[must_use]
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        *self.gate(endpoint).arrived.borrow()
    }

    /// Waits until `count` requests have arrived in all, answered or not.
    pub async fn wait_for_requests(&self, endpoint: Endpoint, count: usize) {
        // Never an error: `self` keeps the sender alive.
        let mut arrived = self.gate(endpoint).arrived.subscribe();
        let _ = arrived.wait_for(|arrived| *arrived >= count).await;
    }

    /// Returns the header fields of the last request, to see what the caller
    /// sent: `If-None-Match`, `Authorization`.
    #[must_use]
    pub fn last_request_headers(&self, endpoint: Endpoint) -> Option<HeaderMap> {
        lock(&self.gate(endpoint).last_headers).clone()
    }
}
