//! Bodies on their way, piece by piece: nothing is collected. Trailers do not pass.

use std::{
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How far a request's body is.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// When something last happened.
    at: Instant,
    /// Is the caller the one that is waited for?
    awaits_caller: bool,
}

/// Shows how far a request's body is.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Mutex<Mark>>);

/// Nothing has happened for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stalled {
    Caller,
    Upstream,
}

impl Progress {
    /// Completes when nothing has happened for this long.
    pub(crate) async fn stalled(&self, timeout: Duration) -> Stalled {
        loop {
            let Mark { at, awaits_caller } = *self.mark();
            let deadline = at + timeout;
            if deadline <= Instant::now() {
                return if awaits_caller { Stalled::Caller } else { Stalled::Upstream };
            }
            sleep_until(deadline).await;
        }
    }

    fn set(&self, awaits_caller: bool) {
        *self.mark() = Mark { at: Instant::now(), awaits_caller };
    }

    fn mark(&self) -> MutexGuard<'_, Mark> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Upload {
    /// The client's body must be `Sync`, which this one is not. The lock is never taken.
    body: Mutex<Body>,
    /// As it was announced.
    size: SizeHint,
    progress: Progress,
}

impl Upload {
    pub(crate) fn new(body: Body) -> (Self, Progress) {
        let progress = Progress(Arc::new(Mutex::new(Mark { at: Instant::now(), awaits_caller: false })));
        (Self { size: body.size_hint(), body: Mutex::new(body), progress: progress.clone() }, progress)
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let body = this.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let polled = Pin::new(body).poll_frame(context);
        match &polled {
            Poll::Pending => this.progress.set(true),
            Poll::Ready(_) => this.progress.set(false),
        }
        polled.map(without_trailers)
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }

    fn is_end_stream(&self) -> bool {
        self.size.exact() == Some(0)
    }
}

/// The body of an answer, which ends with an error where nothing has come for too long.
#[derive(Debug)]
pub(crate) struct Download {
    body: reqwest::Body,
    timeout: Duration,
    /// Since when the service is waited for.
    waits: Option<Pin<Box<Sleep>>>,
}

impl Download {
    pub(crate) fn new(body: reqwest::Body, timeout: Duration) -> Self {
        Self { body, timeout, waits: None }
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            // A caller that is slow to read is not the service's fault.
            this.waits = None;
            return Poll::Ready(without_trailers(frame).map(|frame| frame.map_err(Into::into)));
        }
        let waits = this.waits.get_or_insert_with(|| Box::pin(sleep(this.timeout)));
        match waits.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                tracing::warn!("an answer was given up: the service has sent nothing for too long");
                Poll::Ready(Some(Err("the service has sent nothing for too long".into())))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// They could carry header fields that were removed, and are the last of a body.
fn without_trailers<E>(frame: Option<Result<Frame<Bytes>, E>>) -> Option<Result<Frame<Bytes>, E>> {
    frame.filter(|frame| frame.as_ref().is_ok_and(Frame::is_data) || frame.is_err())
}
