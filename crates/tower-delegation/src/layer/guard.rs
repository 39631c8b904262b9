//! [`Guard`]: the service behind every layer that decides, and the future in which a
//! request waits for the decision.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::DelegationBody;
use crate::{
    authorization::{Policy, Verdict},
    rejection::Rejection,
    step::{Step, Wait},
};

/// Puts a policy before a service.
#[derive(Clone, Debug)]
pub(super) struct GuardLayer<P> {
    policy: P,
}

impl<P> GuardLayer<P> {
    pub(super) fn new(policy: P) -> Self {
        Self { policy }
    }
}

impl<S, P: Clone> tower_layer::Layer<S> for GuardLayer<P> {
    type Service = Guard<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Guard { inner, policy: self.policy.clone() }
    }
}

/// Lets a request through only if a policy allows it: the service that
/// [`RequireLayer`](super::RequireLayer) makes, and every other layer that decides.
///
/// Where the policy answers at once, the inner service is called at once. Otherwise the
/// request waits, and the service that was polled ready is kept for it. What was judged
/// before the wait is judged again after it.
#[derive(Clone, Debug)]
pub struct Guard<S, P> {
    inner: S,
    policy: P,
}

impl<S, P> Guard<S, P> {
    /// Returns the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, ReqBody, ResBody> Service<Request<ReqBody>> for Guard<S, P>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    P: Policy,
    ResBody: Body,
    ResBody::Data: From<Bytes>,
{
    type Response = Response<DelegationBody<ResBody>>;
    type Error = S::Error;
    type Future = GuardFuture<S, P, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let state = match self.policy.judge(&mut head) {
            Step::Ready(Ok(())) => {
                State::Serving { future: self.inner.call(Request::from_parts(head, body)) }
            }
            Step::Ready(Err(rejection)) => State::Refused { rejection },
            Step::Wait(verdict) => {
                // The service that was polled ready is the one to be called later.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                let request = Request::from_parts(head, body);
                let held = Held { verdict, service, policy: self.policy.clone(), request };
                State::Waiting { held: Some(Box::new(held)) }
            }
        };
        GuardFuture { state }
    }
}

pin_project! {
    /// The future of [`Guard`].
    pub struct GuardFuture<S, P, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<S, P, ReqBody, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, P, ReqBody, F> {
        Waiting { held: Option<Box<Held<S, P, ReqBody>>> },
        Serving { #[pin] future: F },
        Refused { rejection: Rejection },
    }
}

/// A request that waits for its verdict. Boxed: the future of every request would
/// carry the room for it.
struct Held<S, P, ReqBody> {
    verdict: Wait<Verdict>,
    service: S,
    policy: P,
    request: Request<ReqBody>,
}

impl<S, P, ReqBody> Held<S, P, ReqBody>
where
    S: Service<Request<ReqBody>>,
    P: Policy,
{
    /// The verdict is there.
    fn decided(self, verdict: Verdict) -> State<S, P, ReqBody, S::Future> {
        let Self { mut service, policy, request, .. } = self;
        let (mut head, body) = request.into_parts();
        match verdict.and_then(|()| policy.judge_again(&mut head)) {
            Ok(()) => State::Serving { future: service.call(Request::from_parts(head, body)) },
            Err(rejection) => State::Refused { rejection },
        }
    }
}

impl<S, P, ReqBody, ResBody> Future for GuardFuture<S, P, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    P: Policy,
    ResBody: Body,
    ResBody::Data: From<Bytes>,
{
    type Output = Result<Response<DelegationBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Waiting { held } => {
                    let Some(waiting) = held else { return Poll::Pending };
                    let verdict = ready!(waiting.verdict.as_mut().poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    held.decided(verdict)
                }
                StateProjection::Serving { future } => {
                    let response = ready!(future.poll(cx))?;
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

impl<S, P, ReqBody> fmt::Debug for GuardFuture<S, P, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
