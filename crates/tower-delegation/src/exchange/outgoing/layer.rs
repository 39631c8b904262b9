//! [`OnBehalfOfLayer`]: calls to one downstream, through any tower service.

use std::{
    error::Error,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, Uri};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

use super::{error::CallError, target};
use crate::{
    context::DelegationContext,
    exchange::{
        issued::DownstreamToken,
        request::{Exchange, ExchangeRequest},
    },
    reason::DenialReason,
};

type BoxError = Box<dyn Error + Send + Sync>;

/// Puts a token for the caller on each request to one downstream, around a client that is a tower
/// service of `http` requests: hyper's, tonic's `Channel`, or a stack of other layers.
///
/// The caller is the [`DelegationContext`] in the request's extensions: that of the request that
/// is passed on, or the one that [`on_behalf_of`](OnBehalfOfExt::on_behalf_of) puts there. It is
/// taken out; a request without one is refused. [What else is refused](super).
///
/// The header fields of a request go along, but for those that name credentials: a gateway removes
/// what is not for the downstream, such as `Cookie`.
///
/// A request whose target names no origin goes to that path beneath the downstream's URL, and its
/// target is made absolute: hyper's clients need that. tonic's `Channel` has an origin of its own;
/// it must be the downstream's. The inner service must follow no redirect.
///
/// # Example
/// ```
/// use std::convert::Infallible;
///
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt as _, service_fn};
/// use tower_delegation::{
///     DelegationContext,
///     exchange::{Exchange, outgoing::{CallError, OnBehalfOfExt as _, OnBehalfOfLayer}},
/// };
///
/// async fn items(stock: Exchange, delegation: &DelegationContext) -> Result<Response<String>, CallError> {
///     // In place of the function: a client of hyper or tonic.
///     let client = service_fn(async |request: Request<String>| {
///         assert!(request.headers().contains_key("authorization"));
///         Ok::<_, Infallible>(Response::new(String::from("[]")))
///     });
///     let stock = ServiceBuilder::new().layer(OnBehalfOfLayer::new(stock).scope("stock:read")).service(client);
///     stock.oneshot(Request::new(String::new()).on_behalf_of(delegation)).await
/// }
/// # let _ = items;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing by itself"]
pub struct OnBehalfOfLayer {
    exchange: Exchange,
    scopes: Arc<[Box<str>]>,
}

impl OnBehalfOfLayer {
    /// For calls to the downstream of this exchange.
    pub fn new(exchange: Exchange) -> Self {
        Self { exchange, scopes: Arc::default() }
    }

    /// Asks for tokens with this scope, and no others than those that are named. By default they
    /// have all that the caller's effective scopes are worth there.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes = self.scopes.iter().cloned().chain([scope.into()]).collect();
        self
    }
}

impl<S> Layer<S> for OnBehalfOfLayer {
    type Service = OnBehalfOf<S>;

    fn layer(&self, inner: S) -> OnBehalfOf<S> {
        OnBehalfOf { inner, layer: self.clone() }
    }
}

/// Says for whom a request to a downstream is.
///
/// Implemented for [`Request`], and for no type of another crate.
pub trait OnBehalfOfExt: sealed::Sealed {
    /// Puts the caller into the extensions of the request, for an [`OnBehalfOf`].
    #[must_use]
    fn on_behalf_of(self, delegation: &DelegationContext) -> Self;
}

impl<B> OnBehalfOfExt for Request<B> {
    fn on_behalf_of(mut self, delegation: &DelegationContext) -> Self {
        self.extensions_mut().insert(delegation.clone());
        self
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Sealed {}

    impl<B> Sealed for http::Request<B> {}
}

/// Calls one downstream, each time on behalf of the request's caller.
#[derive(Clone, Debug)]
pub struct OnBehalfOf<S> {
    inner: S,
    layer: OnBehalfOfLayer,
}

impl<S> OnBehalfOf<S> {
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

    /// Who the request is for, and where it goes. The caller is taken out of it.
    fn read<B>(&self, request: &mut Request<B>) -> Result<(DelegationContext, Url), CallError> {
        let exchange = &self.layer.exchange;
        let caller: Option<DelegationContext> = request.extensions_mut().remove();
        let Some(caller) = caller else {
            let reason = DenialReason::DownstreamRequestInvalid;
            return Err(CallError::request(
                exchange,
                None,
                reason,
                "it does not say on behalf of whom it is",
            ));
        };
        match target::of_uri(exchange.base(), request.uri()) {
            Ok(url) => Ok((caller, url)),
            Err(reason) => Err(CallError::target(exchange, Some(&caller), reason)),
        }
    }
}

impl<S, B, R> Service<Request<B>> for OnBehalfOf<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = CallError;
    type Future = OnBehalfOfFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.inner.poll_ready(cx).map_err(|error| CallError::transport(&self.layer.exchange, None, error))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let state = match self.read(&mut request) {
            Err(error) => State::Refused { error: Some(error) },
            Ok((caller, url)) => {
                let clone = self.inner.clone();
                // The service that was polled ready, and no other.
                let service = mem::replace(&mut self.inner, clone);
                let token = token(self.layer.clone(), caller.clone());
                State::Exchanging { token, parked: Some(Box::new(Parked { service, request, url })), caller }
            }
        };
        OnBehalfOfFuture { exchange: self.layer.exchange.clone(), state }
    }
}

type Token = Pin<Box<dyn Future<Output = Result<DownstreamToken, CallError>> + Send>>;

fn token(layer: OnBehalfOfLayer, caller: DelegationContext) -> Token {
    Box::pin(async move {
        let exchange = layer.exchange.on_behalf_of(&caller);
        Ok(layer.scopes.iter().map(|scope| &**scope).fold(exchange, ExchangeRequest::scope).token().await?)
    })
}

/// A request that waits for its token.
struct Parked<S, B> {
    service: S,
    request: Request<B>,
    url: Url,
}

pin_project! {
    /// The future of [`OnBehalfOf`].
    pub struct OnBehalfOfFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        exchange: Exchange,
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F> {
        Exchanging { token: Token, parked: Option<Box<Parked<S, B>>>, caller: DelegationContext },
        Calling { #[pin] future: F, token: DownstreamToken, caller: DelegationContext },
        Refused { error: Option<CallError> },
    }
}

impl<S, B, R> Future for OnBehalfOfFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Exchanging { token, parked, caller } => {
                    let token = ready!(token.as_mut().poll(cx));
                    let Some(parked) = parked.take() else { return Poll::Pending };
                    let called = token.and_then(|token| {
                        let future = (*parked).send(&token, caller, this.exchange)?;
                        Ok(State::Calling { future, token, caller: caller.clone() })
                    });
                    match called {
                        Ok(calling) => calling,
                        Err(error) => State::Refused { error: Some(error) },
                    }
                }
                StateProjection::Calling { future, token, caller } => {
                    let answer = ready!(future.poll(cx));
                    if let Ok(answer) = &answer {
                        // For the next request: this one's body is gone.
                        let _ = token.learn_nonce(answer.headers());
                    }
                    let failed = |error| CallError::transport(this.exchange, Some(caller), error);
                    return Poll::Ready(answer.map_err(failed));
                }
                // Polled after its end, it never answers again.
                StateProjection::Refused { error } => {
                    return error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> Parked<S, B>
where
    S: Service<Request<B>>,
{
    /// Authorizes the request and hands it to the service that was polled ready for it.
    fn send(
        self,
        token: &DownstreamToken,
        caller: &DelegationContext,
        exchange: &Exchange,
    ) -> Result<S::Future, CallError> {
        let Self { mut service, mut request, url } = self;
        let malformed = |error: BoxError| CallError::malformed(exchange, caller, error);
        *request.uri_mut() = Uri::try_from(url.as_str()).map_err(|error| malformed(error.into()))?;
        let method = request.method().clone();
        token.put_on(&method, &url, request.headers_mut()).map_err(|error| malformed(error.into()))?;
        if let Some(trace) = caller.record().trace() {
            trace.put_on(request.headers_mut());
        }
        Ok(service.call(request))
    }
}

impl<S, B> fmt::Debug for OnBehalfOfFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBehalfOfFuture").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
