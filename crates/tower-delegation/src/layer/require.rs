//! [`RequireLayer`]: a requirement as a layer, for routes and plain services.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::DelegationBody;
use crate::{
    authorization::context,
    context::{PathParameters, RequestFacts},
    error::ConfigError,
    rejection::Rejection,
    requirement::{Requirement, Requires},
};

/// Lets a request through only if a [`Requirement`] allows it.
///
/// Goes inside of a [`DelegationLayer`](super::DelegationLayer); without one
/// every request is answered with 500, because then nothing was verified.
/// A request without credentials is answered with 401, also where the
/// requirement is in [shadow mode](Requirement::shadow).
///
/// Under axum it knows the parameters of the path where the path was matched
/// before: inside of a router, not around it.
///
/// # Deployment caveat
///
/// It guards what it wraps, and axum's `MethodRouter::route_layer` does not wrap
/// everything: `any(h).get(h).route_layer(..)` leaves every method but `GET` open,
/// and so does a handler that is added afterwards. For routes use
/// [`routing::guard`](crate::routing::guard), which wraps every method and fits into a
/// [`GuardedRouter`](crate::routing::GuardedRouter) only; for whole routers and other
/// services `layer`.
#[derive(Clone, Debug)]
pub struct RequireLayer {
    requirement: Arc<Requirement>,
}

impl RequireLayer {
    /// Checks the requirement and makes the layer.
    ///
    /// # Errors
    /// Those of [`Requirement::checked`].
    pub fn new(requirement: Requirement) -> Result<Self, ConfigError> {
        Ok(Self { requirement: Arc::new(requirement.checked()?) })
    }

    /// The layer of a requirement that is checked elsewhere; with a mistake in it,
    /// it answers every request with 500.
    #[cfg(feature = "axum")]
    pub(crate) fn unchecked(requirement: Requirement) -> Self {
        Self { requirement: Arc::new(requirement) }
    }

    /// The layer of a type's requirement.
    ///
    /// # Errors
    /// Those of [`Requirement::checked`].
    pub fn of<R: Requires>() -> Result<Self, ConfigError> {
        Self::new(Requirement::of::<R>().clone())
    }
}

impl<S> tower_layer::Layer<S> for RequireLayer {
    type Service = Require<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Require { inner, requirement: self.requirement.clone() }
    }
}

/// The service that [`RequireLayer`] makes.
#[derive(Clone, Debug)]
pub struct Require<S> {
    inner: S,
    requirement: Arc<Requirement>,
}

impl<S> Require<S> {
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

    fn check<B>(
        &self,
        request: &Request<B>,
        path_parameters: Option<&dyn PathParameters>,
    ) -> Result<(), Rejection> {
        let delegation = context(request.extensions(), Some(&self.requirement))?;
        let mut facts = RequestFacts::of(request);
        facts.path_parameters = path_parameters;
        #[cfg(feature = "axum")]
        {
            facts.route =
                crate::context::matched_route(request.extensions()).map(axum::extract::MatchedPath::as_str);
        }
        delegation.authorize(&self.requirement, &facts)
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Require<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
    ResBody::Data: From<Bytes>,
{
    type Response = Response<DelegationBody<ResBody>>;
    type Error = S::Error;
    type Future = RequireFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        #[cfg(feature = "axum")]
        let (request, parameters) =
            if self.requirement.reads_path() { path_parameters(request) } else { (request, None) };
        #[cfg(feature = "axum")]
        let parameters = parameters.as_ref().map(|parameters| -> &dyn PathParameters { parameters });
        #[cfg(not(feature = "axum"))]
        let parameters = None;
        match self.check(&request, parameters) {
            Ok(()) => RequireFuture::allowed(self.inner.call(request)),
            Err(rejection) => RequireFuture::denied(rejection),
        }
    }
}

/// The parameters that axum found in the path; none without axum's router, and
/// none where one of them is no UTF-8.
#[cfg(feature = "axum")]
pub(super) fn path_parameters<B>(request: Request<B>) -> (Request<B>, Option<axum::extract::RawPathParams>) {
    use axum::extract::{FromRequestParts as _, RawPathParams};

    let (mut parts, body) = request.into_parts();
    let parameters = {
        // It looks into the extensions and never waits; if it did, there would be none.
        let read = std::pin::pin!(RawPathParams::from_request_parts(&mut parts, &()));
        match read.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(parameters) => parameters.ok(),
            Poll::Pending => None,
        }
    };
    (Request::from_parts(parts, body), parameters)
}

pin_project! {
    /// The future of a service that lets a request through or refuses it.
    #[derive(Debug)]
    pub struct RequireFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Allowed { #[pin] future: F },
        Denied { rejection: Rejection },
    }
}

impl<F> RequireFuture<F> {
    pub(super) fn allowed(future: F) -> Self {
        Self { state: State::Allowed { future } }
    }

    pub(super) fn denied(rejection: Rejection) -> Self {
        Self { state: State::Denied { rejection } }
    }
}

impl<F, ResBody, E> Future for RequireFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: Body,
    ResBody::Data: From<Bytes>,
{
    type Output = Result<Response<DelegationBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Allowed { future } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(response.map(DelegationBody::service)))
            }
            StateProjection::Denied { rejection } => Poll::Ready(Ok(DelegationBody::refusal(rejection))),
        }
    }
}
