//! [`GuardedApp`]: guarded routers behind their layer, as they are served.

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    BoxError, Router,
    body::HttpBody,
    extract::{Request, connect_info::IntoMakeServiceWithConnectInfo},
    response::{IntoResponse, Response},
    routing::{IntoMakeService, Route, future::RouteFuture},
    serve::{IncomingStream, Listener},
};
use bytes::Bytes;
use tower_layer::Layer;
use tower_service::Service;

use super::{GuardedRouter, resource_metadata};
use crate::{
    error::{ConfigError, Mistakes},
    layer::DelegationLayer,
    protected_resource::ResourceMetadata,
    routes::RouteInventory,
    text::Text,
};

/// Guarded routers behind one [`DelegationLayer`], made by
/// [`GuardedRouter::behind`] and served as it is: by [`axum::serve()`], by
/// `tower_delegation_rustls::serve`, or as a tower service.
///
/// It takes further guarded routers, which go behind the same layer, and what is
/// declared to stand [beside](Self::beside) them. A plain router cannot be added in
/// any other way, and this type cannot be turned into one: a route without a rule
/// cannot be added afterwards.
///
/// A request that no route is for goes to the fallback of a guarded router or of a
/// router beside, and where none has one, to the layer, which answers 401 without a
/// good token and 404 with one. The order of calls makes no difference: neither that in
/// which routers are added, nor whether that is before or after [`layer`](Self::layer).
///
/// As a part of a larger axum application it is nested as a service:
/// `Router::new().nest_service("/orders", app)`.
///
/// # Example
///
/// ```no_run
/// // Not run: it serves for ever.
/// use tower_delegation::{ConfigError, DelegationLayer, requires_scope};
/// use tower_delegation::routing::{GuardedApp, GuardedRouter, get};
///
/// #[requires_scope("orders:read")]
/// async fn list_orders() {}
///
/// fn app(delegation: DelegationLayer) -> Result<GuardedApp, ConfigError> {
///     let metadata = delegation.resource_metadata();
///     let shop = axum::Router::new().route("/", axum::routing::get(async || "the shop"));
///     GuardedRouter::new()
///         .route("/orders", get(list_orders))
///         .behind(delegation)?
///         .resource_metadata(metadata)
///         .beside("the pages of the shop, for everyone", shop)
/// }
///
/// # async fn serve(delegation: DelegationLayer) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// axum::serve(listener, app(delegation)?).await?;
/// # Ok(())
/// # }
/// ```
///
/// A plain router does not fit in, and neither does this into one:
///
/// ```compile_fail
/// # use tower_delegation::routing::GuardedApp;
/// fn more(app: GuardedApp) -> GuardedApp {
///     app.merge(axum::Router::new()).unwrap()
/// }
/// ```
///
/// ```compile_fail
/// # use tower_delegation::routing::GuardedApp;
/// fn more(app: GuardedApp) -> axum::Router {
///     axum::Router::new().merge(app)
/// }
/// ```
#[derive(Clone)]
#[must_use]
pub struct GuardedApp {
    /// As it is served.
    router: Router,
    /// Shared, because servers clone the whole for each request.
    assembly: Arc<Assembly>,
}

/// What the whole is made of.
#[derive(Clone)]
struct Assembly {
    delegation: DelegationLayer,
    inventory: RouteInventory,
    routes: Router,
    /// What goes around all routes, from the inside out.
    layers: Vec<Arc<dyn Fn(Router) -> Router + Send + Sync>>,
}

impl GuardedApp {
    pub(super) fn new(routes: GuardedRouter, delegation: DelegationLayer) -> Result<Self, ConfigError> {
        let (router, inventory) = layered(routes, &delegation)?;
        let assembly = Assembly { delegation, inventory, routes: router.clone(), layers: Vec::new() };
        Ok(Self { router, assembly: Arc::new(assembly) })
    }

    /// The same with another assembly, and with all of its layers around all of its routes.
    fn with(mut self, change: impl FnOnce(&mut Assembly)) -> Self {
        let assembly = Arc::make_mut(&mut self.assembly);
        change(assembly);
        self.router = assembly.layers.iter().fold(assembly.routes.clone(), |routes, wrap| wrap(routes));
        self
    }

    /// Adds the routes of another guarded router, behind the same layer.
    ///
    /// # Panics
    /// As [`Router::merge`]: on routes that overlap, and where both have a fallback.
    ///
    /// # Errors
    /// Those of [`GuardedRouter::behind`].
    pub fn merge(self, routes: GuardedRouter) -> Result<Self, ConfigError> {
        let (router, inventory) = layered(routes, &self.assembly.delegation)?;
        Ok(self.with(|assembly| {
            assembly.routes = router.merge(mem::take(&mut assembly.routes)).with_state(());
            assembly.inventory.extend(inventory.into_routes(str::to_owned));
        }))
    }

    /// Adds the routes of another guarded router below `prefix`, behind the same layer.
    ///
    /// # Panics
    /// As [`Router::nest`] and [`merge`](Self::merge).
    ///
    /// # Errors
    /// Those of [`GuardedRouter::behind`].
    pub fn nest(self, prefix: &str, routes: GuardedRouter) -> Result<Self, ConfigError> {
        self.merge(GuardedRouter::new().nest(prefix, routes))
    }

    /// Adds the routes of these documents (RFC 9728), beside the guarded ones: see
    /// [`resource_metadata`]. The layer's own is
    /// [`DelegationLayer::resource_metadata`].
    ///
    /// # Panics
    /// As [`Router::merge`]: on routes that overlap.
    pub fn resource_metadata(self, documents: impl IntoIterator<Item = ResourceMetadata>) -> Self {
        self.with_beside("metadata of the protected resource (RFC 9728)".into(), resource_metadata(documents))
    }

    /// Adds a router whose routes are not behind the layer and have no rule, with the
    /// reason why: it is in the inventory. Requests to these routes are not
    /// authenticated, and leave no audit event.
    ///
    /// Its fallback, if it has one, serves what no route is for: a web application
    /// with routes of its own, for example.
    ///
    /// # Panics
    /// As [`Router::merge`]: on routes that overlap, and where both have a fallback.
    ///
    /// # Errors
    /// [`ConfigError::BesideWithoutReason`].
    pub fn beside(self, reason: impl Into<Cow<'static, str>>, router: Router) -> Result<Self, ConfigError> {
        let reason = reason.into();
        if reason.trim().is_empty() {
            return Err(ConfigError::BesideWithoutReason);
        }
        Ok(self.with_beside(reason, router))
    }

    fn with_beside(self, reason: Cow<'static, str>, router: Router) -> Self {
        self.with(|assembly| {
            // Of two routers without a fallback of their own, the second one's answer to
            // what is found nowhere is kept: that of the layer.
            assembly.routes = router.merge(mem::take(&mut assembly.routes)).with_state(());
            assembly.inventory.add_beside(reason);
        })
    }

    /// Wraps everything, as [`Router::layer`]: for CORS, tracing, compression and the
    /// like. Routers that are added afterwards are inside of it too. Of several layers the
    /// last is the outermost.
    ///
    /// Middleware that changes a path before it is matched goes around this type as
    /// around any other tower service.
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        let wrap = move |routes: Router| routes.layer(layer.clone());
        self.with(|assembly| assembly.layers.push(Arc::new(wrap)))
    }

    /// Every route with its rule, and the reasons of what stands beside.
    #[must_use]
    pub fn inventory(&self) -> &RouteInventory {
        &self.assembly.inventory
    }

    /// A make-service for servers that want one. [`axum::serve()`] takes the app itself.
    #[must_use]
    pub fn into_make_service(self) -> IntoMakeService<Self> {
        <Self as axum::ServiceExt<Request>>::into_make_service(self)
    }

    /// A make-service that puts what the listener knows of each connection into its
    /// requests: see [`Router::into_make_service_with_connect_info`].
    #[must_use]
    pub fn into_make_service_with_connect_info<C>(self) -> IntoMakeServiceWithConnectInfo<Self, C> {
        <Self as axum::ServiceExt<Request>>::into_make_service_with_connect_info(self)
    }
}

impl GuardedRouter {
    /// Puts everything behind `delegation`. The result is served as it is, and takes
    /// no route without a rule.
    ///
    /// Requests without credentials get no further than the layer, which names the
    /// scopes of the route; those to public handlers go on. The layer
    /// [refuses what nothing has decided](crate::layer::DelegationLayerBuilder::refuse_undecided);
    /// a route whose rules are all in shadow mode, or have an exception, is named
    /// in a warning here.
    ///
    /// # Errors
    /// Every mistake of every route: in a requirement ([`ConfigError::InvalidRequirement`]), a
    /// rule that does not say whose a name is ([`ConfigError::UnqualifiedRule`]) or that can
    /// never be met ([`ConfigError::UnsatisfiableRule`]), a public route without a reason
    /// ([`ConfigError::PublicWithoutReason`]).
    pub fn behind(self, delegation: DelegationLayer) -> Result<GuardedApp, ConfigError> {
        GuardedApp::new(self, delegation)
    }
}

/// The routes behind the layer, once nothing is wrong with them.
fn layered(
    routes: GuardedRouter,
    delegation: &DelegationLayer,
) -> Result<(Router, RouteInventory), ConfigError> {
    let GuardedRouter { ruled, public, inventory, prefixes } = routes;
    let mut mistakes = Mistakes::default();
    mistakes.take(inventory.check());
    mistakes.take(delegation.authenticator().supply().check_all(&inventory, &prefixes));
    mistakes.into_result()?;
    for route in inventory.on_trial() {
        tracing::warn!(
            route = %Text::new(&route.to_string()),
            "every rule of the route is on trial: unless something else decides, success is answered with 500"
        );
    }
    let ruled = ruled.layer(delegation.clone().around_rules(&inventory));
    let public = public.layer(delegation.clone().around_public());
    // The handlers become services here, and not anew for each request. What is found
    // nowhere, and a method without a handler, is the ruled ones' to answer.
    Ok((public.merge(ruled).with_state(()), inventory))
}

impl<B> Service<http::Request<B>> for GuardedApp
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<http::Request<B>>::poll_ready(&mut self.router, cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.router.call(request)
    }
}

/// For `axum::serve(listener, app)`.
impl<L: Listener> Service<IncomingStream<'_, L>> for GuardedApp {
    type Response = Router;
    type Error = Infallible;
    type Future = Ready<Result<Router, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: IncomingStream<'_, L>) -> Self::Future {
        ready(Ok(self.router.clone()))
    }
}

impl fmt::Debug for GuardedApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedApp").field("inventory", &self.assembly.inventory).finish_non_exhaustive()
    }
}
