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
    context::{Anonymous, DelegationContext, RequestFacts},
    error::ConfigError,
    rejection::Rejection,
    requirement::{Requirement, Requires},
};

/// Lets a request through only if a [`Requirement`] allows it.
///
/// Goes inside of a [`DelegationLayer`](super::DelegationLayer); without one
/// every request is answered with 500, because then nobody has verified anything.
#[derive(Clone, Debug)]
pub struct RequireLayer {
    requirement: Arc<Requirement>,
}

impl RequireLayer {
    /// Checks the requirement and makes the layer.
    ///
    /// # Errors
    /// [`ConfigError::InvalidScope`] and [`ConfigError::ContradictoryRequirement`].
    pub fn new(requirement: Requirement) -> Result<Self, ConfigError> {
        Ok(Self { requirement: Arc::new(requirement.checked()?) })
    }

    /// The layer of a type's requirement.
    ///
    /// # Errors
    /// [`ConfigError::InvalidScope`] and [`ConfigError::ContradictoryRequirement`].
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

    fn check<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        let extensions = request.extensions();
        if let Some(delegation) = extensions.get::<DelegationContext>() {
            return delegation.authorize(&self.requirement, &RequestFacts::of(request));
        }
        match extensions.get::<Anonymous>() {
            Some(anonymous) => {
                Err(Rejection::missing_credentials(Some(&self.requirement), anonymous.record()))
            }
            None => Err(Rejection::layer_missing()),
        }
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
        match self.check(&request) {
            Ok(()) => RequireFuture { state: State::Allowed { future: self.inner.call(request) } },
            Err(rejection) => RequireFuture { state: State::Denied { rejection } },
        }
    }
}

pin_project! {
    /// The future of [`Require`].
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
