//! [`Delegation`]: the service that the layer makes.

use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    arrival::{Judged, take_judged},
    body::DelegationBody,
    future::{Parked, ResponseFuture},
    gate::{AnonymousRequests, Gate},
    observer::Observer,
};
use crate::{arrival::Arrival, authenticator::Outcome, clock::Moment, step::Step};

/// Authenticates requests before the inner service sees them.
///
/// The inner service's errors pass through unchanged; refusals are responses.
#[derive(Clone, Debug)]
pub struct Delegation<S> {
    inner: S,
    gate: Gate,
}

impl<S> Delegation<S> {
    pub(super) fn new(inner: S, gate: Gate) -> Self {
        Self { inner, gate }
    }

    /// The service that was polled ready, to be called later: no other may be.
    fn take_ready(&mut self) -> S
    where
        S: Clone,
    {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Delegation<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    ResBody: Body,
    ResBody::Data: From<Bytes>,
{
    type Response = Response<DelegationBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let now = self.gate.authenticator.now();
        // Before anything that can refuse or wait: what an outer layer found is not
        // what this one will find.
        let is_public = self.gate.routes.is_public(&request);
        let judged = take_judged(&self.gate.authenticator, &mut request, now);
        if let Some(Judged::Deferred(deferred)) = &judged
            && !is_public
            && self.gate.anonymous == AnonymousRequests::Refused
        {
            let outcome = self.gate.take_over(deferred, &request, now);
            return self.enter(outcome, request, Observer::silent(), now);
        }
        if let Some(judged) = judged {
            return match self.gate.pass(judged, &mut request, now) {
                Ok(admitted) => {
                    ResponseFuture::serving(self.inner.call(request), admitted, Observer::silent())
                }
                Err(rejection) => ResponseFuture::refused(rejection),
            };
        }
        let mut observer = Observer::start(&self.gate.trail, Arrival::of(&request, now));
        if is_public {
            let late = observer.reserve_without_waiting(&self.gate.trail);
            let admitted = self.gate.defer(&mut request, late, &mut observer, now);
            return ResponseFuture::serving(self.inner.call(request), admitted, observer);
        }
        if let Some(places) = observer.reserve(&self.gate.trail) {
            let (service, gate) = (self.take_ready(), self.gate.clone());
            return ResponseFuture::queued(places, None, Parked { service, request, gate, observer });
        }
        let outcome = self.gate.authenticate(&mut request, now);
        self.enter(outcome, request, observer, now)
    }
}

impl<S> Delegation<S> {
    /// Lets a request in, or refuses it, as soon as that is known.
    fn enter<ReqBody, ResBody>(
        &mut self,
        outcome: Step<Outcome>,
        mut request: Request<ReqBody>,
        mut observer: Observer,
        now: Moment,
    ) -> ResponseFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    {
        match outcome {
            Step::Ready(outcome) => match self.gate.admit(outcome, &mut request, &mut observer, now) {
                Ok(admitted) => ResponseFuture::serving(self.inner.call(request), admitted, observer),
                Err(rejection) => ResponseFuture::refused(rejection),
            },
            Step::Wait(outcome) => {
                let (service, gate) = (self.take_ready(), self.gate.clone());
                ResponseFuture::waiting(outcome, Parked { service, request, gate, observer })
            }
        }
    }
}
