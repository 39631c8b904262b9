//! [`GuardedRouter`]: a router in which no route is without a rule.

use std::{convert::Infallible, fmt};

use axum::{Router, extract::Request, handler::Handler, response::IntoResponse, routing::Route};
use tower_layer::Layer;
use tower_service::Service;

use super::{GuardedMethods, Ruled};
use crate::{
    error::ConfigError,
    layer::DelegationLayer,
    routes::{RouteInventory, RuledRoute},
    text::Text,
};

/// A router that takes only handlers with a rule: an attribute,
/// [`Authorized<R>`](super::Authorized) as the first argument,
/// [`guard`](super::guard) around every method of a path, or
/// [`public`](super::public) with a reason. A route without one does not
/// compile, and every route stands in the [inventory](Self::inventory).
///
/// The rule is read from the handler's **first** argument. What further
/// arguments demand is enforced and recorded like anything else, but does not
/// stand in the inventory: write [`Both`](super::Both), or several attributes.
///
/// Paths, nesting, merging and panics on overlapping routes are axum's.
///
/// # Example
///
/// ```
/// use tower_delegation::{ConfigError, DelegationLayer, TrustedIssuer, requires_scope};
/// use tower_delegation::routing::{GuardedRouter, get, public};
///
/// #[requires_scope("orders:read")]
/// async fn list_orders() {}
///
/// #[requires_scope("orders:write")]
/// async fn create_order() {}
///
/// async fn alive() {}
///
/// # fn wire(issuer: TrustedIssuer) -> Result<(), ConfigError> {
/// let guarded = GuardedRouter::new()
///     .route("/orders", get(list_orders).post(create_order))
///     .route("/alive", get(public("probe of the orchestrator", alive)));
/// print!("{}", guarded.inventory());
/// let app: axum::Router = guarded.behind(DelegationLayer::builder().issuer(issuer).build()?)?;
/// # Ok(())
/// # }
/// ```
///
/// A handler without a rule:
///
/// ```compile_fail
/// use tower_delegation::routing::{GuardedRouter, get};
///
/// async fn list_orders() {}
///
/// let guarded = GuardedRouter::<()>::new().route("/orders", get(list_orders));
/// ```
#[derive(Clone)]
#[must_use]
pub struct GuardedRouter<S = ()> {
    router: Router<S>,
    inventory: RouteInventory,
}

impl<S: Clone + Send + Sync + 'static> GuardedRouter<S> {
    /// A router without routes.
    pub fn new() -> Self {
        Self { router: Router::new(), inventory: RouteInventory::default() }
    }

    /// Adds the handlers of one path.
    ///
    /// # Panics
    /// As [`Router::route`]: on a path that does not parse or overlaps another.
    pub fn route(mut self, path: &str, methods: GuardedMethods<S>) -> Self {
        let GuardedMethods { router, rules } = methods;
        self.inventory
            .extend(rules.into_iter().map(|(method, rule)| RuledRoute::new(method, path.to_owned(), rule)));
        self.router = self.router.route(path, router);
        self
    }

    /// Serves what no route serves. Without one it is axum's 404.
    ///
    /// In the inventory the path of a fallback is `{prefix}/{*fallback}`.
    pub fn fallback<H, T>(mut self, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: Ruled<H> + 'static,
    {
        self.inventory.add(RuledRoute::new(None, "/{*fallback}".to_owned(), T::rule(&handler)));
        self.router = self.router.fallback(handler);
        self
    }

    /// Adds the routes of another guarded router below `prefix`.
    ///
    /// # Panics
    /// As [`Router::nest`].
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        self.inventory.extend(other.inventory.into_routes(|path| nested(prefix, path)));
        self.router = self.router.nest(prefix, other.router);
        self
    }

    /// Adds the routes of another guarded router.
    ///
    /// # Panics
    /// As [`Router::merge`].
    pub fn merge(mut self, other: Self) -> Self {
        self.inventory.extend(other.inventory.into_routes(str::to_owned));
        self.router = self.router.merge(other.router);
        self
    }

    /// Gives the handlers their state.
    pub fn with_state<S2>(self, state: S) -> GuardedRouter<S2> {
        GuardedRouter { router: self.router.with_state(state), inventory: self.inventory }
    }

    /// Wraps every route so far, as [`Router::layer`].
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.router = self.router.layer(layer);
        self
    }

    /// Every route with its rule.
    #[must_use]
    pub fn inventory(&self) -> &RouteInventory {
        &self.inventory
    }

    /// The axum router behind `delegation`.
    ///
    /// Where there are public routes, the layer lets requests without
    /// credentials through to the routes, whose rules then decide. In any case it
    /// [refuses what nothing has decided](crate::layer::DelegationLayerBuilder::refuse_undecided);
    /// a route whose rules are all in shadow mode, or have an exception, is named
    /// in a warning here.
    ///
    /// # Errors
    /// What is wrong with a requirement: [`ConfigError::InvalidScope`],
    /// [`ConfigError::ContradictoryRequirement`] and the like; a public route
    /// without a reason: [`ConfigError::PublicWithoutReason`].
    pub fn behind(self, delegation: DelegationLayer) -> Result<Router<S>, ConfigError> {
        let has_public = self.inventory.public().next().is_some();
        for route in self.inventory.on_trial() {
            tracing::warn!(
                route = %Text::new(&route.to_string()),
                "every rule of the route is on trial: unless something else decides, success is answered with 500"
            );
        }
        Ok(self.into_router()?.layer(delegation.around_rules(has_public)))
    }

    /// The axum router, without a layer: for routers that become part of others.
    ///
    /// # Errors
    /// Those of [`behind`](Self::behind).
    pub fn into_router(self) -> Result<Router<S>, ConfigError> {
        self.inventory.check()?;
        Ok(self.router)
    }
}

/// The path under which axum serves a nested route.
fn nested(prefix: &str, path: &str) -> String {
    match prefix.strip_suffix('/') {
        Some(prefix) => format!("{prefix}/{}", path.trim_start_matches('/')),
        None if path == "/" => prefix.to_owned(),
        None => format!("{prefix}{path}"),
    }
}

impl<S: Clone + Send + Sync + 'static> Default for GuardedRouter<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for GuardedRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedRouter").field("inventory", &self.inventory).finish_non_exhaustive()
    }
}
