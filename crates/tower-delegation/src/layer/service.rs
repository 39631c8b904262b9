//! [`Delegation`]: the service that the layer makes.

use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    AnonymousRequests, DelegationBody,
    future::{ResponseFuture, Waiting},
    observer::{Caller, Observer},
};
use crate::{
    authenticator::{Authentication, Authenticator, Head, peer_info},
    context::DelegationContext,
    reason::DenialReason,
    rejection::Rejection,
};

/// Authenticates requests before the inner service sees them.
///
/// The inner service's errors pass through unchanged; refusals are responses.
#[derive(Clone, Debug)]
pub struct Delegation<S> {
    inner: S,
    gate: Gate,
}

impl<S> Delegation<S> {
    pub(super) fn new(inner: S, authenticator: Authenticator, anonymous: AnonymousRequests) -> Self {
        Self { inner, gate: Gate { authenticator, anonymous } }
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
        let authenticator = &self.gate.authenticator;
        let mut observer = Observer::start(authenticator.clock(), &request);
        let peer = peer_info(request.extensions()).cloned();
        let authentication = match authenticator.identify(request.headers_mut(), peer.as_ref()) {
            Ok(transport) => authenticator.begin(Head::of(&request), transport),
            Err(reason) => Authentication::Done(Err(authenticator.rejection(reason, None))),
        };
        match authentication {
            Authentication::Done(result) => match self.gate.admit(result, &mut request, &mut observer) {
                Ok(admitted) => ResponseFuture::serving(self.inner.call(request), admitted, observer),
                Err(rejection) => ResponseFuture::refused(rejection),
            },
            Authentication::Pending(pending) => {
                // The service that was polled ready must be the one that is called.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                let gate = self.gate.clone();
                ResponseFuture::waiting(Waiting { service, request, pending, gate, observer })
            }
        }
    }
}

/// Decides whether a request goes in.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) authenticator: Authenticator,
    anonymous: AnonymousRequests,
}

/// A request goes in.
pub(super) struct Admitted {
    /// A nonce for the response. Boxed, because it is rare and travels with the
    /// future of every request.
    pub(super) dpop_nonce: Option<Box<HeaderValue>>,
}

impl Gate {
    /// Puts what is known about the caller into the request's extensions, or
    /// says why the request is refused.
    pub(super) fn admit<B>(
        &self,
        authenticated: Result<Option<DelegationContext>, Rejection>,
        request: &mut Request<B>,
        observer: &mut Observer,
    ) -> Result<Admitted, Rejection> {
        let rejection = match (authenticated, self.anonymous) {
            (Ok(Some(delegation)), _) => {
                observer.identify(|| Caller::Known(delegation.clone()));
                let dpop_nonce = delegation.dpop_nonce().cloned().map(Box::new);
                request.extensions_mut().insert(delegation);
                return Ok(Admitted { dpop_nonce });
            }
            (Ok(None), AnonymousRequests::Allowed) => {
                let anonymous = self.authenticator.anonymous();
                observer.identify(|| Caller::Anonymous(anonymous.clone()));
                request.extensions_mut().insert(anonymous);
                return Ok(Admitted { dpop_nonce: None });
            }
            (Ok(None), AnonymousRequests::Refused) => {
                self.authenticator.rejection(DenialReason::CredentialsMissing, None)
            }
            (Err(rejection), _) => rejection,
        };
        observer.refused(rejection.reason(), rejection.status());
        Err(rejection)
    }
}
