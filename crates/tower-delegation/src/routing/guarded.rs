//! [`GuardedRouter`]: a router in which no route is without a rule.

use std::{convert::Infallible, fmt};

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    response::IntoResponse,
    routing::{Route, any_service},
};
use http::Method;
use tower_layer::Layer;
use tower_service::Service;

use super::{GuardedMethods, Ruled, RuledMethods, guard};
use crate::{
    requirement::Requirement,
    routes::{RouteInventory, RouteRule, RuledRoute},
};

/// A router that takes only handlers with a rule: an attribute,
/// [`Authorized<R>`](super::Authorized) as the first argument,
/// [`guard`](super::guard) around every method of a path, or
/// [`public`](super::public) with a reason. A route without one does not
/// compile, and every route is in the [inventory](Self::inventory).
///
/// The rule is read from the handler's **first** argument. What further
/// arguments demand is enforced and recorded like anything else, but is
/// not in the inventory: write [`Both`](super::Both), or several attributes.
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
/// let app = guarded.behind(DelegationLayer::builder().add_issuer(issuer).build()?)?;
/// # let _ = app;
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
    pub(super) ruled: Router<S>,
    /// The public handlers, which another layer goes around.
    pub(super) public: Router<S>,
    pub(super) inventory: RouteInventory,
    /// Below which the whole is served.
    pub(super) prefixes: Vec<String>,
}

impl<S: Clone + Send + Sync + 'static> GuardedRouter<S> {
    /// A router without routes.
    pub fn new() -> Self {
        Self {
            ruled: Router::new(),
            public: Router::new(),
            inventory: RouteInventory::default(),
            prefixes: Vec::new(),
        }
    }

    /// Adds the handlers of one path.
    ///
    /// # Panics
    /// As [`Router::route`]: on a path that does not parse or overlaps another.
    #[track_caller]
    pub fn route(mut self, path: &str, methods: impl RuledMethods<S>) -> Self {
        let GuardedMethods { ruled, public, rules } = methods.into_guarded();
        let has_public = rules.iter().any(|(_, rule)| rule.is_public());
        if !has_public || rules.iter().any(|(_, rule)| !rule.is_public()) {
            self.ruled = self.ruled.route(path, ruled);
        }
        if has_public {
            self.public = self.public.route(path, public);
        }
        self.add_rules(path, rules);
        self
    }

    /// Adds a tower service, every method of it behind `requirement`: a gRPC service,
    /// for example. It gets the request as it came.
    ///
    /// A path with a wildcard is one route: `/orders.v1.Orders/{*call}`. A mistake in
    /// the requirement is found by [`behind`](Self::behind).
    ///
    /// # Panics
    /// As [`route`](Self::route).
    ///
    /// ```
    /// use axum::{extract::Request, response::Response};
    /// use tower_delegation::{Requirement, routing::GuardedRouter};
    ///
    /// let calls = tower::service_fn(async |_: Request| Ok(Response::new("an answer".to_owned())));
    /// let orders = Requirement::named("orders").scope("orders:read");
    /// let router = GuardedRouter::<()>::new().service("/orders.v1.Orders/{*call}", orders, calls);
    /// assert_eq!(
    ///     router.inventory().to_string(),
    ///     "*  /orders.v1.Orders/{*call}  orders: scope \"orders:read\"\n"
    /// );
    /// ```
    #[track_caller]
    pub fn service<T>(self, path: &str, requirement: Requirement, service: T) -> Self
    where
        T: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
        T::Response: IntoResponse + 'static,
        T::Future: Send + 'static,
    {
        self.route(path, guard(requirement, any_service(service)))
    }

    /// Adds a tower service for everything below `prefix`, every method of it behind
    /// `requirement`: static files, for example. It gets the request with the prefix
    /// taken off the path.
    ///
    /// Three routes are in the inventory: the prefix without and with a slash, and
    /// `{prefix}/{*rest}`. A mistake in the requirement is found by
    /// [`behind`](Self::behind).
    ///
    /// # Panics
    /// As [`Router::nest_service`].
    #[track_caller]
    pub fn nest_service<T>(mut self, prefix: &str, requirement: Requirement, service: T) -> Self
    where
        T: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
        T::Response: IntoResponse + 'static,
        T::Future: Send + 'static,
    {
        let GuardedMethods { ruled, rules, .. } = guard::<()>(requirement, any_service(service));
        let below = prefix.trim_end_matches('/');
        let mut paths = vec![prefix.to_owned(), format!("{below}/{{*rest}}")];
        if below == prefix {
            paths.insert(1, format!("{below}/"));
        }
        for path in paths {
            self.add_rules(&path, rules.clone());
        }
        self.ruled = self.ruled.nest_service(prefix, ruled);
        self
    }

    fn add_rules(&mut self, path: &str, rules: Vec<(Option<Method>, RouteRule)>) {
        let route = |(method, rule)| RuledRoute::new(method, path.to_owned(), rule);
        self.inventory.extend(rules.into_iter().map(route));
    }

    /// Serves what no route serves. Without one it is axum's 404. A request whose method
    /// has no handler on its path is answered with axum's 405.
    ///
    /// In the inventory the path of a fallback is `{prefix}/{*fallback}`.
    pub fn fallback<H, T>(mut self, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: Ruled<H> + 'static,
    {
        let rule = T::rule(&handler);
        match rule.is_public() {
            true => self.public = self.public.fallback(handler),
            false => self.ruled = self.ruled.fallback(handler),
        }
        self.inventory.add(RuledRoute::fallback(rule));
        self
    }

    /// Adds the routes of another guarded router below `prefix`.
    ///
    /// # Panics
    /// As [`Router::nest`].
    #[track_caller]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        let routes = other.inventory.into_routes(|path| nested(prefix, path));
        self.inventory.extend(routes.map(|route| route.below(&other.prefixes)));
        self.ruled = self.ruled.nest(prefix, other.ruled);
        self.public = self.public.nest(prefix, other.public);
        self
    }

    /// Adds the routes of another guarded router.
    ///
    /// # Panics
    /// As [`Router::merge`].
    #[track_caller]
    pub fn merge(mut self, other: Self) -> Self {
        let routes = other.inventory.into_routes(str::to_owned);
        self.inventory.extend(routes.map(|route| route.below(&other.prefixes)));
        self.ruled = self.ruled.merge(other.ruled);
        self.public = self.public.merge(other.public);
        self
    }

    /// Says that the whole will be nested below `prefix`, in a router that this type does
    /// not see: rules may then read the parameters of that prefix. Adds no route.
    ///
    /// A rule that reads a parameter which neither its route nor such a prefix has can
    /// never be met, and [`behind`](Self::behind) refuses it.
    ///
    /// ```
    /// use tower_delegation::{Requirement, routing::{GuardedRouter, guard}};
    ///
    /// let own_tenant = Requirement::named("own tenant").tenant_matches_path("tenant");
    /// let orders = guard(own_tenant, axum::routing::get(async || "orders"));
    /// let guarded = GuardedRouter::<()>::new().route("/orders", orders).below("/t/{tenant}");
    /// // axum::Router::new().nest_service("/t/{tenant}", guarded.behind(delegation)?)
    /// # let _ = guarded;
    /// ```
    pub fn below(mut self, prefix: &str) -> Self {
        self.prefixes.push(prefix.to_owned());
        self
    }

    /// Gives the handlers their state.
    pub fn with_state<S2>(self, state: S) -> GuardedRouter<S2> {
        GuardedRouter {
            ruled: self.ruled.with_state(state.clone()),
            public: self.public.with_state(state),
            inventory: self.inventory,
            prefixes: self.prefixes,
        }
    }

    /// Wraps every route so far, as [`Router::layer`]: one that is added afterwards is not
    /// inside of it. [`GuardedApp::layer`](super::GuardedApp::layer) wraps everything.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.ruled = self.ruled.layer(layer.clone());
        self.public = self.public.layer(layer);
        self
    }

    /// Every route with its rule.
    #[must_use]
    pub fn inventory(&self) -> &RouteInventory {
        &self.inventory
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
