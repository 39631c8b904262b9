//! [`RouteScopes`]: what a challenge names for each route.

use std::collections::HashMap;

use http::Method;

use super::{RouteInventory, RouteRule};
use crate::context::Needs;

/// The scopes that the rules of each route name, by its template and method.
#[derive(Debug, Default)]
pub(crate) struct RouteScopes(HashMap<Box<str>, Vec<ByMethod>>);

/// What the routes of one method need; of every other one where there is none.
type ByMethod = (Option<Method>, Option<Box<Needs>>);

impl RouteScopes {
    pub(crate) fn of(routes: &RouteInventory) -> Self {
        let mut scopes = Self::default();
        for route in routes.routes() {
            let RouteRule::Requirements(requirements) = route.rule() else { continue };
            let needs = requirements.iter().filter_map(|requirement| requirement.needs());
            let needs = needs.reduce(|mut all, more| {
                all.add_scopes(&more.scope);
                all
            });
            scopes.0.entry(route.path().into()).or_default().push((route.method().cloned(), needs));
        }
        scopes
    }

    /// What a request for this route needs, as far as scopes say it.
    pub(crate) fn needs(&self, template: &str, method: &Method) -> Option<Box<Needs>> {
        let rules = self.0.get(template)?;
        let by = |method: Option<&Method>| rules.iter().find(|(own, _)| own.as_ref() == method);
        let as_get = (*method == Method::HEAD).then_some(&Method::GET);
        let (_, needs) = by(Some(method)).or_else(|| by(Some(as_get?))).or_else(|| by(None))?;
        needs.clone()
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
        let scopes = RouteScopes::of(&inventory);
        for (name, method, template, expected) in [
            ("its own", Method::GET, "/orders", "read"),
            ("HEAD is GET", Method::HEAD, "/orders", "read"),
            ("several rules", Method::POST, "/orders", "read write"),
            ("what is left", Method::PUT, "/orders", "admin"),
            ("HEAD by itself", Method::HEAD, "/head", "write read"),
            ("no scope", Method::GET, "/me", ""),
            ("another method", Method::POST, "/me", ""),
            ("another route", Method::GET, "/order", ""),
            ("public", Method::GET, "/open", ""),
            ("by the table", Method::GET, "/table", ""),
        ] {
            let needs = scopes.needs(template, &method);
            assert_eq!(needs.map(|needs| needs.scope).unwrap_or_default(), expected, "{name}");
        }
    }
}
