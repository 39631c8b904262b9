//! [`ResponseFuture`]: waits for keys where it must, then for the service.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{DelegationBody, observer::Observer, service::Gate};
use crate::{authenticator::Head, jwks::PendingKey, proof::Transport, rejection::Rejection};

pin_project! {
    /// The future of [`Delegation`](super::Delegation).
    pub struct ResponseFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<S, ReqBody, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, ReqBody, F> {
        Waiting { key: PendingKey, parked: Option<Box<Waiting<S, ReqBody>>> },
        Serving { #[pin] future: F, observer: Observer },
        Refused { rejection: Rejection },
    }
}

/// A request whose issuer's keys are being fetched.
pub(super) struct Waiting<S, ReqBody> {
    pub(super) service: S,
    pub(super) request: Request<ReqBody>,
    pub(super) transport: Transport,
    pub(super) gate: Gate,
    pub(super) observer: Observer,
}

impl<S, ReqBody> ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(super) fn waiting(key: PendingKey, parked: Waiting<S, ReqBody>) -> Self {
        // Boxed: the future of every request would carry the room for it.
        Self { state: State::Waiting { key, parked: Some(Box::new(parked)) } }
    }

    pub(super) fn serving(future: S::Future, observer: Observer) -> Self {
        Self { state: State::Serving { future, observer } }
    }

    pub(super) fn refused(rejection: Rejection) -> Self {
        Self { state: State::Refused { rejection } }
    }
}

impl<S, ReqBody, ResBody> Future for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
    ResBody::Data: From<Bytes>,
{
    type Output = Result<Response<DelegationBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Waiting { key, parked } => {
                    let key = ready!(key.as_mut().poll(cx));
                    let Some(waiting) = parked.take() else { return Poll::Pending };
                    let Waiting { mut service, mut request, transport, gate, mut observer } = *waiting;
                    let authenticated = gate.authenticator.resume(Head::of(&request), transport, key);
                    match gate.admit(authenticated, &mut request, &mut observer) {
                        Ok(()) => State::Serving { future: service.call(request), observer },
                        Err(rejection) => State::Refused { rejection },
                    }
                }
                StateProjection::Serving { future, observer } => {
                    let response = ready!(future.poll(cx))?;
                    observer.answered(response.status());
                    return Poll::Ready(Ok(response.map(DelegationBody::service)));
                }
                StateProjection::Refused { rejection } => {
                    return Poll::Ready(Ok(DelegationBody::refusal(rejection)));
                }
            };
            state.set(next);
        }
    }
}

impl<S, ReqBody> fmt::Debug for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
