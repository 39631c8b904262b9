//! What an endpoint does instead of answering, and who asked it.

use std::{fmt, sync::Mutex, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Response, StatusCode},
};
use bytes::Bytes;
use tokio::sync::watch;
use tower_delegation::clock::Clock;

use super::lock;

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
    Status(StatusCode),
    Answer(Box<Response<Bytes>>),
    Hang,
    Delay(Duration),
    Hold(watch::Receiver<()>),
}

impl Fault {
    pub(crate) fn hold() -> (Self, Hold) {
        let (release, released) = watch::channel(());
        (Self::Hold(released), Hold { _release: release })
    }

    /// Gives `answer` on, sooner, later, changed or never. `stopped` closes
    /// when the provider stops, so that nobody waits for longer; `arrived` is
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
            Self::Status(status) => return text(status, "the mock provider was told to fail"),
            Self::Answer(canned) => return canned.map(Body::from),
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

/// Completes when the sender is gone; nothing is ever sent.
pub(crate) async fn closed(channel: &mut watch::Receiver<()>) {
    while channel.changed().await.is_ok() {}
}

pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

/// The door of one endpoint: counts who comes in and holds the fault to apply.
#[derive(Debug)]
pub(crate) struct Gate {
    fault: Mutex<Fault>,
    arrived: watch::Sender<usize>,
    last_headers: Mutex<Option<HeaderMap>>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            fault: Mutex::new(Fault::None),
            arrived: watch::Sender::new(0),
            last_headers: Mutex::new(None),
        }
    }

    pub(crate) fn set(&self, fault: Fault) {
        *lock(&self.fault) = fault;
    }

    /// Records a request and tells what is to happen to its answer.
    pub(crate) fn arrive(&self, headers: HeaderMap) -> Fault {
        let fault = lock(&self.fault).clone();
        *lock(&self.last_headers) = Some(headers);
        self.arrived.send_modify(|arrived| *arrived += 1);
        fault
    }

    pub(crate) fn arrived(&self) -> usize {
        *self.arrived.borrow()
    }

    pub(crate) async fn wait_for(&self, count: usize) {
        // Never an error: `self` keeps the sender alive.
        let _ = self.arrived.subscribe().wait_for(|arrived| *arrived >= count).await;
    }

    pub(crate) fn last_headers(&self) -> Option<HeaderMap> {
        lock(&self.last_headers).clone()
    }
}
