//! [`ResponseFuture`]: waits for a place in the audit queue and for authentication
//! where it must, then for the service.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CACHE_CONTROL};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::DelegationBody,
    gate::{Admitted, Gate},
    observer::Observer,
};
use crate::{
    audit::{NoPlace, PendingPlaces},
    authenticator::Outcome,
    clock::Moment,
    reason::DenialReason,
    rejection::{DPOP_NONCE, Rejection},
    step::{Step, Wait},
};

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
        Queued {
            places: PendingPlaces,
            outcome: Option<Outcome>,
            parked: Option<Box<Parked<S, ReqBody>>>,
        },
        Waiting { outcome: Wait<Outcome>, parked: Option<Box<Parked<S, ReqBody>>> },
        Serving { #[pin] future: F, admitted: Admitted, observer: Observer },
        Refused { rejection: Rejection },
    }
}

/// A request that waits before its service may be called. Boxed: the future of
/// every request would carry the room for it.
pub(super) struct Parked<S, ReqBody> {
    pub(super) service: S,
    pub(super) request: Request<ReqBody>,
    pub(super) gate: Gate,
    pub(super) observer: Observer,
}

impl<S, ReqBody> ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    /// For places in the audit queue: before anything is judged, or, after a wait for
    /// something else, with what came of that.
    pub(super) fn queued(
        places: PendingPlaces,
        outcome: Option<Outcome>,
        parked: Parked<S, ReqBody>,
    ) -> Self {
        Self { state: State::Queued { places, outcome, parked: Some(Box::new(parked)) } }
    }

    pub(super) fn waiting(outcome: Wait<Outcome>, parked: Parked<S, ReqBody>) -> Self {
        Self { state: Box::new(parked).wait(outcome) }
    }

    pub(super) fn serving(future: S::Future, admitted: Admitted, observer: Observer) -> Self {
        Self { state: State::Serving { future, admitted, observer } }
    }

    pub(super) fn refused(rejection: Rejection) -> Self {
        Self { state: State::Refused { rejection } }
    }
}

impl<S, ReqBody> Parked<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    /// The request holds its places: it is judged, or what came of that is judged again.
    fn enter(mut self: Box<Self>, outcome: Option<Outcome>) -> State<S, ReqBody, S::Future> {
        let authenticator = &self.gate.authenticator;
        let now = authenticator.now();
        let outcome = match outcome {
            Some(Ok(Some(delegation))) => authenticator.renew(&delegation, now).map(Some),
            Some(outcome) => outcome,
            None => match self.gate.authenticate(&mut self.request, now) {
                Step::Ready(outcome) => outcome,
                Step::Wait(outcome) => return self.wait(outcome),
            },
        };
        (*self).admit(outcome, now)
    }

    /// Waits without a place in the audit queue.
    fn wait(mut self: Box<Self>, outcome: Wait<Outcome>) -> State<S, ReqBody, S::Future> {
        self.observer.release();
        State::Waiting { outcome, parked: Some(self) }
    }

    /// The wait is over. The event of what came of it needs places too.
    fn leave(mut self: Box<Self>, outcome: Outcome) -> State<S, ReqBody, S::Future> {
        match self.observer.reserve(&self.gate.trail) {
            Some(places) => State::Queued { places, outcome: Some(outcome), parked: Some(self) },
            None => {
                let now = self.gate.authenticator.now();
                (*self).admit(outcome, now)
            }
        }
    }

    fn admit(self, outcome: Outcome, now: Moment) -> State<S, ReqBody, S::Future> {
        let Self { mut service, mut request, gate, mut observer } = self;
        match gate.admit(outcome, &mut request, &mut observer, now) {
            Ok(admitted) => State::Serving { future: service.call(request), admitted, observer },
            Err(rejection) => State::Refused { rejection },
        }
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
                StateProjection::Queued { places, outcome, parked } => {
                    let places = ready!(places.as_mut().poll(cx));
                    let Some(mut parked) = parked.take() else { return Poll::Pending };
                    match places {
                        Ok(places) => {
                            parked.observer.hold(places);
                            parked.enter(outcome.take())
                        }
                        Err(NoPlace) => {
                            let Parked { gate, observer, .. } = &mut *parked;
                            State::Refused {
                                rejection: gate.refuse(DenialReason::AuditUnavailable, observer),
                            }
                        }
                    }
                }
                StateProjection::Waiting { outcome, parked } => {
                    let outcome = ready!(outcome.as_mut().poll(cx));
                    let Some(parked) = parked.take() else { return Poll::Pending };
                    parked.leave(outcome)
                }
                StateProjection::Serving { future, admitted, observer } => {
                    let mut response = ready!(future.poll(cx))?;
                    if let Some(rejection) = admitted.watch.refusal(&response) {
                        // The body goes with the head, unpolled.
                        drop(response);
                        observer.refused(rejection.reason(), rejection.status());
                        return Poll::Ready(Ok(admitted.watch.answer(&rejection)));
                    }
                    let nonce = admitted.dpop_nonce.take().map(|nonce| *nonce);
                    if let Some(nonce) = nonce.or_else(|| admitted.watch.late_nonce()) {
                        hand_out(nonce, response.headers_mut());
                    }
                    match admitted.watch.late_refusal(&response) {
                        Some(reason) => observer.refused(reason, response.status()),
                        None => observer.answered(response.status()),
                    }
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

/// Adds a nonce to a response, which must then not be cached: a nonce from a
/// cache is an old one (RFC 9449 section 8.2). What the service says of caching
/// goes first, so a response that may be stored gets none.
fn hand_out(nonce: HeaderValue, headers: &mut HeaderMap) {
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = directives.flat_map(|value| value.split(','));
    if directives.any(|directive| directive.trim().eq_ignore_ascii_case("no-store")) {
        headers.insert(DPOP_NONCE, nonce);
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
