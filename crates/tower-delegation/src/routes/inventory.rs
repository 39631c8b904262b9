//! [`RouteInventory`]: every route and the rule before it, for those who
//! review, document and test them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use http::Method;
use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use serde_json::{Value, json};

#[cfg(feature = "axum")]
use crate::error::{ConfigError, Mistakes};
use crate::requirement::{Requirement, each_with_each};

/// The methods that an OpenAPI path item may have.
const OPENAPI_METHODS: [Method; 8] = [
    Method::GET,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
    Method::HEAD,
    Method::PATCH,
    Method::TRACE,
];

/// What stands before a route.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RouteRule {
    /// Each of these must allow, in this order.
    Requirements(Vec<Requirement>),
    /// Anyone may, with or without a token, for this reason.
    Public(Cow<'static, str>),
    /// The route's row in a route table decides, and nothing else.
    Table,
}

/// One route: a method, a path, a rule.
#[derive(Clone, Debug)]
pub struct RuledRoute {
    method: Option<Method>,
    path: String,
    rule: RouteRule,
    /// Below which a router is served that the route came with.
    prefixes: Vec<String>,
    /// Where the router begins whose fallback this is.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "axum's routers have fallbacks"))]
    fallback: Option<String>,
}

impl RuledRoute {
    /// A route of a framework that keeps no inventory by itself.
    #[must_use]
    pub fn new(method: Option<Method>, path: String, rule: RouteRule) -> Self {
        Self { method, path, rule, prefixes: Vec::new(), fallback: None }
    }

    /// What serves all that no route of a router serves.
    #[cfg(feature = "axum")]
    pub(crate) fn fallback(rule: RouteRule) -> Self {
        Self { fallback: Some("/".to_owned()), ..Self::new(None, "/{*fallback}".to_owned(), rule) }
    }

    /// Where the router begins whose fallback this is; `None` for a route.
    #[cfg(feature = "axum")]
    pub(crate) fn fallback_of(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// The method; `None` is every method that has no route of its own. `GET`
    /// covers `HEAD`, unless `HEAD` has a route of its own.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The path's template, such as `/orders/{id}`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands before it.
    #[must_use]
    pub fn rule(&self) -> &RouteRule {
        &self.rule
    }

    pub(crate) fn prefixes(&self) -> &[String] {
        &self.prefixes
    }

    /// The same, served below these prefixes too.
    #[cfg(feature = "axum")]
    pub(crate) fn below(mut self, prefixes: &[String]) -> Self {
        self.prefixes.extend_from_slice(prefixes);
        self
    }

    pub(crate) fn method_name(&self) -> &str {
        self.method.as_ref().map_or("*", Method::as_str)
    }
}

/// Every route of a router or a table, with its rule.
///
/// As text it is one line for each route, with `serde` an object with a list. What
/// stands beside the routes and has no rule is there with its reason alone.
#[derive(Clone, Debug, Default)]
pub struct RouteInventory {
    routes: Vec<RuledRoute>,
    beside: Vec<Cow<'static, str>>,
}

impl RouteInventory {
    /// The routes, in the order in which they were given.
    #[must_use]
    pub fn routes(&self) -> &[RuledRoute] {
        &self.routes
    }

    /// The routes that anyone may use.
    pub fn public(&self) -> impl Iterator<Item = &RuledRoute> {
        self.routes.iter().filter(|route| route.rule.is_public())
    }

    /// Why what stands [beside](crate::routing::GuardedApp::beside) the routes has no
    /// rule, one reason for each router.
    pub fn beside(&self) -> impl Iterator<Item = &str> {
        self.beside.iter().map(|reason| &**reason)
    }

    /// Every scope that a rule names, in the order of the alphabet: the
    /// `scopes_supported` of RFC 9728 section 2.
    #[must_use]
    pub fn scopes(&self) -> Vec<&str> {
        let mut scopes = BTreeSet::new();
        self.requirements().for_each(|(_, requirement)| requirement.add_named_scopes(&mut scopes));
        scopes.into_iter().collect()
    }

    /// The `paths` of an OpenAPI document with nothing but `security`, to be
    /// merged into one that says the rest. `scheme` is the name of its security
    /// scheme.
    ///
    /// Every element of a route's list is enough by itself: choices between
    /// scopes become several, 64 at most. A public route has an empty list. What
    /// is demanded beyond scopes has no place in OpenAPI and is not there.
    ///
    /// ```
    /// use tower_delegation::{requires_scope, routing::{GuardedRouter, get}};
    ///
    /// #[requires_scope("orders:read", any("web", "app"))]
    /// async fn list() {}
    ///
    /// let router = GuardedRouter::<()>::new().route("/orders", get(list));
    /// let expected = serde_json::json!({ "/orders": { "get": { "security": [
    ///     { "oauth2": ["orders:read", "web"] },
    ///     { "oauth2": ["app", "orders:read"] },
    /// ] } } });
    /// assert_eq!(router.inventory().openapi_security("oauth2"), expected);
    /// ```
    #[must_use]
    pub fn openapi_security(&self, scheme: &str) -> Value {
        let mut paths: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        // Routes for every method last: they serve what is left.
        let (exact, every): (Vec<_>, Vec<_>) = self.routes.iter().partition(|route| route.method.is_some());
        for route in exact.into_iter().chain(every) {
            let Some(security) = route.rule.security(scheme) else { continue };
            // A catch-all is a parameter like any other there.
            let path = paths.entry(route.path.replace("{*", "{")).or_default();
            for method in OPENAPI_METHODS {
                if route.method.as_ref().is_none_or(|own| *own == method) {
                    let operation = json!({ "security": security });
                    path.entry(method.as_str().to_ascii_lowercase()).or_insert(operation);
                }
            }
        }
        json!(paths)
    }

    /// Adds a route.
    pub fn add(&mut self, route: RuledRoute) {
        self.routes.push(route);
    }

    /// Adds the reason of a router beside the routes.
    #[cfg(feature = "axum")]
    pub(crate) fn add_beside(&mut self, reason: Cow<'static, str>) {
        self.beside.push(reason);
    }

    /// The routes whose every requirement is in shadow mode or has an exception.
    #[cfg(feature = "axum")]
    pub(crate) fn on_trial(&self) -> impl Iterator<Item = &RuledRoute> {
        self.routes.iter().filter(|route| match &route.rule {
            RouteRule::Requirements(requirements) => requirements.iter().all(Requirement::is_lenient),
            RouteRule::Public(_) | RouteRule::Table => false,
        })
    }

    /// The routes, each with its path rewritten.
    #[cfg(feature = "axum")]
    pub(crate) fn into_routes(self, path: impl Fn(&str) -> String) -> impl Iterator<Item = RuledRoute> {
        self.routes.into_iter().map(move |route| RuledRoute {
            path: path(&route.path),
            fallback: route.fallback.as_deref().map(&path),
            ..route
        })
    }

    /// Are all requirements free of mistakes, and all reasons reasons?
    #[cfg(feature = "axum")]
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        for route in self.public() {
            if matches!(&route.rule, RouteRule::Public(reason) if reason.trim().is_empty()) {
                mistakes.add(ConfigError::PublicWithoutReason { route: route.to_string() });
            }
        }
        for (route, requirement) in self.requirements() {
            mistakes.take(requirement.clone().or_named(|| route.to_string()).checked());
        }
        mistakes.into_result()
    }

    pub(crate) fn requirements(&self) -> impl Iterator<Item = (&RuledRoute, &Requirement)> {
        self.routes.iter().flat_map(|route| {
            let requirements = match &route.rule {
                RouteRule::Requirements(requirements) => requirements.as_slice(),
                RouteRule::Public(_) | RouteRule::Table => &[],
            };
            requirements.iter().map(move |requirement| (route, requirement))
        })
    }
}

impl Extend<RuledRoute> for RouteInventory {
    fn extend<I: IntoIterator<Item = RuledRoute>>(&mut self, routes: I) {
        self.routes.extend(routes);
    }
}

/// Method and path.
impl fmt::Display for RuledRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method_name(), self.path)
    }
}

impl RouteRule {
    pub(crate) fn is_public(&self) -> bool {
        matches!(self, Self::Public(_))
    }

    /// Security requirements of OpenAPI; `None` where the rule is elsewhere.
    fn security(&self, scheme: &str) -> Option<Vec<Value>> {
        match self {
            Self::Requirements(requirements) => {
                let nothing = vec![BTreeSet::new()];
                let sets = requirements.iter().map(Requirement::sufficient_scopes);
                let sets = sets.fold(nothing, |sets, others| each_with_each(&sets, &others));
                Some(sets.into_iter().map(|scopes| json!({ scheme: scopes })).collect())
            }
            Self::Public(_) => Some(Vec::new()),
            Self::Table => None,
        }
    }
}

/// `{ "routes": [..] }`, and `beside` with the reasons where there are some.
impl Serialize for RouteInventory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_beside = !self.beside.is_empty();
        let mut object = serializer.serialize_struct("RouteInventory", 1 + usize::from(has_beside))?;
        object.serialize_field("routes", &self.routes)?;
        if has_beside {
            object.serialize_field("beside", &self.beside)?;
        }
        object.end()
    }
}

/// `method` (`*` for every one), `path`, and one of `requirements`, `public`
/// (the reason) and `table` (`true`).
impl Serialize for RuledRoute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("RuledRoute", 3)?;
        object.serialize_field("method", self.method_name())?;
        object.serialize_field("path", &self.path)?;
        match &self.rule {
            RouteRule::Requirements(requirements) => object.serialize_field("requirements", requirements)?,
            RouteRule::Public(reason) => object.serialize_field("public", reason)?,
            RouteRule::Table => object.serialize_field("table", &true)?,
        }
        object.end()
    }
}

impl fmt::Display for RouteRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requirements(requirements) => {
                for (at, requirement) in requirements.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { " and " })?;
                    write!(f, "{requirement}")?;
                }
                Ok(())
            }
            Self::Public(reason) => write!(f, "public: {reason}"),
            Self::Table => f.write_str("by the route table"),
        }
    }
}

impl fmt::Display for RouteInventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&RuledRoute) -> &str| {
            self.routes.iter().map(|route| text(route).chars().count()).max().unwrap_or_default()
        };
        let (methods, paths) = (width(RuledRoute::method_name), width(RuledRoute::path));
        for route in &self.routes {
            writeln!(f, "{:methods$}  {:paths$}  {}", route.method_name(), route.path, route.rule)?;
        }
        self.beside.iter().try_for_each(|reason| writeln!(f, "beside: {reason}"))
    }
}
