//! [`RouteScopes`]: what a challenge names for each route.

use std::collections::HashMap;

use http::Method;

use super::{RouteInventory, RouteRule, RuledRoute};
use crate::{context::Needs, requirement::Requirement};

/// The scopes that the rules of each route name.
///
/// Routes are found by the path, as axum finds them, and not by the `MatchedPath` that
/// it leaves: nested services and fallbacks have none.
#[derive(Debug, Default)]
pub(crate) struct RouteScopes {
    routes: Templates,
    /// What serves the rest, by the prefix of its router.
    fallbacks: Templates,
}

/// What the routes of one method need; of every other one where there is none.
type ByMethod = (Option<Method>, Option<Box<Needs>>);

impl RouteScopes {
    pub(crate) fn of(inventory: &RouteInventory) -> Self {
        let mut scopes = Self::default();
        for route in inventory.routes() {
            let by_method = (route.method().cloned(), needs_of_rule(route));
            if let Some(prefix) = route.fallback_of() {
                scopes.fallbacks.add(prefix, by_method.clone());
                scopes.fallbacks.add(route.path(), by_method);
            } else {
                scopes.routes.add(route.path(), by_method);
            }
        }
        scopes
    }

    /// What a request for this path needs, as far as scopes say it.
    pub(crate) fn needs(&self, path: &str, method: &Method) -> Option<Box<Needs>> {
        let rules = self.routes.at(path).or_else(|| self.fallbacks.at(path))?;
        let by = |method: Option<&Method>| rules.iter().find(|(own, _)| own.as_ref() == method);
        let as_get = (*method == Method::HEAD).then_some(&Method::GET);
        let (_, needs) = by(Some(method)).or_else(|| by(Some(as_get?))).or_else(|| by(None))?;
        needs.clone()
    }
}

/// Rules by the template of their path.
#[derive(Debug, Default)]
struct Templates {
    rules: Vec<Vec<ByMethod>>,
    by_text: HashMap<Box<str>, usize>,
    by_path: matchit::Router<usize>,
}

impl Templates {
    fn add(&mut self, template: &str, rule: ByMethod) {
        let next = self.rules.len();
        let at = *self.by_text.entry(template.into()).or_insert(next);
        if at == next {
            self.rules.push(Vec::new());
            // A template that is none is a mistake, or a panic of axum's.
            let _ = self.by_path.insert(template, at);
        }
        if let Some(rules) = self.rules.get_mut(at) {
            rules.push(rule);
        }
    }

    fn at(&self, path: &str) -> Option<&[ByMethod]> {
        let matched = self.by_path.at(path).ok()?;
        self.rules.get(*matched.value).map(Vec::as_slice)
    }
}

fn needs_of_rule(route: &RuledRoute) -> Option<Box<Needs>> {
    match route.rule() {
        RouteRule::Requirements(requirements) => Needs::of_all(requirements.iter().map(Requirement::needs)),
        RouteRule::Public(_) | RouteRule::Table => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{requirement::Requirement, routes::RuledRoute};

    #[test]
    fn a_route_needs_what_all_its_rules_name() {
        let read = || Requirement::new().scope("read");
        let write = || Requirement::new().scope("write").scope("read");
        let rows = [
            (Some(Method::GET), "/orders", vec![read()]),
            (Some(Method::POST), "/orders", vec![read(), write()]),
            (None, "/orders", vec![Requirement::new().scope("admin")]),
            (Some(Method::GET), "/orders/{id}", vec![Requirement::new().scope("order")]),
            (None, "/files/{*rest}", vec![Requirement::new().scope("files")]),
            (Some(Method::GET), "/me", vec![Requirement::new()]),
            (Some(Method::HEAD), "/head", vec![write()]),
            (Some(Method::GET), "/head", vec![read()]),
        ];
        let mut inventory = RouteInventory::default();
        for (method, path, rule) in rows {
            inventory.add(RuledRoute::new(method, path.to_owned(), RouteRule::Requirements(rule)));
        }
        inventory.add(RuledRoute::new(None, "/open".to_owned(), RouteRule::Public("why".into())));
        inventory.add(RuledRoute::new(None, "/table".to_owned(), RouteRule::Table));
        let rest = |scope: &str| {
            RuledRoute::fallback(RouteRule::Requirements(vec![Requirement::new().scope(scope)]))
        };
        inventory.add(rest("rest"));
        let mut nested = RouteInventory::default();
        nested.add(rest("nested"));
        inventory.extend(nested.into_routes(|path| format!("/nested{}", path.trim_end_matches('/'))));
        let scopes = RouteScopes::of(&inventory);
        for (name, method, path, expected) in [
            ("its own", Method::GET, "/orders", "read"),
            ("HEAD is GET", Method::HEAD, "/orders", "read"),
            ("several rules", Method::POST, "/orders", "read write"),
            ("what is left", Method::PUT, "/orders", "admin"),
            ("HEAD by itself", Method::HEAD, "/head", "write read"),
            ("no scope", Method::GET, "/me", ""),
            ("another method", Method::POST, "/me", ""),
            ("a parameter", Method::GET, "/orders/1", "order"),
            ("a wildcard", Method::GET, "/files/a/b", "files"),
            ("no route", Method::GET, "/order", "rest"),
            ("no route, the root", Method::GET, "/", "rest"),
            ("no nested route", Method::PUT, "/nested/a", "nested"),
            ("no nested route, its root", Method::GET, "/nested", "nested"),
            ("beyond the nested router", Method::GET, "/nested/", "rest"),
            ("public", Method::GET, "/open", ""),
            ("by the table", Method::GET, "/table", ""),
        ] {
            let needs = scopes.needs(path, &method);
            assert_eq!(needs.map(|needs| needs.scope).unwrap_or_default(), expected, "{name}");
        }
    }
}
