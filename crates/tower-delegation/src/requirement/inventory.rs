//! [`RouteInventory`]: every route and the rule before it, for those who
//! review, document and test them.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use http::Method;

use super::Requirement;
use crate::{error::ConfigError, scope::Scope};

/// What stands before a route.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RouteRule {
    /// Each of these must allow, in this order.
    Requirements(Vec<Requirement>),
    /// Anybody may, with or without a token, for this reason.
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
}

impl RuledRoute {
    pub(crate) fn new(method: Option<Method>, path: String, rule: RouteRule) -> Self {
        Self { method, path, rule }
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

    fn method_name(&self) -> &str {
        self.method.as_ref().map_or("*", Method::as_str)
    }
}

/// Every route of a router or a table, with its rule.
///
/// As text it is one line for each route.
#[derive(Clone, Debug, Default)]
pub struct RouteInventory {
    routes: Vec<RuledRoute>,
}

impl RouteInventory {
    /// The routes, in the order in which they were given.
    #[must_use]
    pub fn routes(&self) -> &[RuledRoute] {
        &self.routes
    }

    /// The routes that anybody may use.
    pub fn public(&self) -> impl Iterator<Item = &RuledRoute> {
        self.routes.iter().filter(|route| matches!(route.rule, RouteRule::Public(_)))
    }

    /// Every scope that a rule names, in the order of the alphabet: the
    /// `scopes_supported` of RFC 9728 section 2.
    #[must_use]
    pub fn scopes(&self) -> Vec<&str> {
        let mut scopes = BTreeSet::new();
        self.requirements().for_each(|(_, requirement)| requirement.add_named_scopes(&mut scopes));
        scopes.into_iter().collect()
    }

    pub(crate) fn add(&mut self, route: RuledRoute) {
        self.routes.push(route);
    }

    pub(crate) fn extend(&mut self, routes: impl IntoIterator<Item = RuledRoute>) {
        self.routes.extend(routes);
    }

    /// The routes, each with its path rewritten.
    pub(crate) fn into_routes(self, path: impl Fn(&str) -> String) -> impl Iterator<Item = RuledRoute> {
        self.routes.into_iter().map(move |route| RuledRoute { path: path(&route.path), ..route })
    }

    /// Are all requirements free of mistakes, and all reasons reasons?
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for route in self.public() {
            if matches!(&route.rule, RouteRule::Public(reason) if reason.trim().is_empty()) {
                return Err(ConfigError::PublicWithoutReason { route: route.to_string() });
            }
        }
        self.requirements().try_for_each(|(_, requirement)| requirement.clone().checked().map(drop))
    }

    fn requirements(&self) -> impl Iterator<Item = (&RuledRoute, &Requirement)> {
        self.routes.iter().flat_map(|route| {
            let requirements = match &route.rule {
                RouteRule::Requirements(requirements) => requirements.as_slice(),
                RouteRule::Public(_) | RouteRule::Table => &[],
            };
            requirements.iter().map(move |requirement| (route, requirement))
        })
    }
}

impl Requirement {
    /// Every scope that is demanded by itself, in a choice, or by a part.
    fn add_named_scopes<'r>(&'r self, to: &mut BTreeSet<&'r str>) {
        let choices = self.scopes.any.iter().flatten();
        to.extend(self.scopes.all.iter().chain(choices).map(Scope::as_str));
        self.composition.parts().for_each(|part| part.add_named_scopes(to));
    }
}

/// Method and path.
impl fmt::Display for RuledRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method_name(), self.path)
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
        Ok(())
    }
}
