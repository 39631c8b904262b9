//! [`ResponseFuture`]: waits for authentication where it must, then for the service.

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
    DelegationBody,
    observer::Observer,
    service::{Admitted, Gate},
};
use crate::{
    authenticator::{Authentication, Head, Pending},
    rejection::{DPOP_NONCE, Rejection},
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
        Waiting { parked: Option<Box<Waiting<S, ReqBody>>> },
        Serving { #[pin] future: F, admitted: Admitted, observer: Observer },
        Refused { rejection: Rejection },
    }
}

/// A request whose authentication has to wait.
pub(super) struct Waiting<S, ReqBody> {
    pub(super) service: S,
    pub(super) request: Request<ReqBody>,
    pub(super) pending: Pending,
    pub(super) gate: Gate,
    pub(super) observer: Observer,
}

impl<S, ReqBody> ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(super) fn waiting(parked: Waiting<S, ReqBody>) -> Self {
        // Boxed: the future of every request would carry the room for it.
        Self { state: State::Waiting { parked: Some(Box::new(parked)) } }
    }

    pub(super) fn serving(future: S::Future, admitted: Admitted, observer: Observer) -> Self {
        Self { state: State::Serving { future, admitted, observer } }
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
                StateProjection::Waiting { parked } => {
                    let Some(mut waiting) = parked.take() else { return Poll::Pending };
                    let head = Head::of(&waiting.request);
                    let authenticated = match waiting.pending.poll(cx, &waiting.gate.authenticator, head) {
                        Poll::Ready(Authentication::Done(result)) => result,
                        Poll::Ready(Authentication::Pending(pending)) => {
                            waiting.pending = pending;
                            *parked = Some(waiting);
                            continue;
                        }
                        Poll::Pending => {
                            *parked = Some(waiting);
                            return Poll::Pending;
                        }
                    };
                    let Waiting { mut service, mut request, gate, mut observer, .. } = *waiting;
                    match gate.admit(authenticated, &mut request, &mut observer) {
                        Ok(admitted) => State::Serving { future: service.call(request), admitted, observer },
                        Err(rejection) => State::Refused { rejection },
                    }
                }
                StateProjection::Serving { future, admitted, observer } => {
                    let mut response = ready!(future.poll(cx))?;
                    if let Some(nonce) = admitted.dpop_nonce.take() {
                        hand_out(*nonce, response.headers_mut());
                    }
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
