//! [`Rows`]: a table, ready to be asked.

use std::{collections::HashMap, sync::Weak};

use http::Method;

use super::{
    path,
    row::{Access, TableRow},
};
use crate::{
    error::{ConfigError, Mistakes},
    reason::DenialReason,
    requirement::Requirement,
    routes::RouteInventory,
};

/// What rows are held against before they are used: whether a layer can meet them.
pub(crate) trait RowsCheck: Send + Sync {
    fn check(&self, rows: &RouteInventory) -> Result<(), ConfigError>;
}

/// A table, ready to be asked.
pub(crate) struct Rows {
    pub(super) rows: Vec<TableRow>,
    has_public: bool,
    /// The rows of each template.
    templates: Vec<(Box<str>, Methods)>,
    /// Places in `templates` by the text, as axum names the route that it has chosen.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "axum asks by it"))]
    by_text: HashMap<Box<str>, usize>,
    /// The same by the path, where no router has chosen.
    by_path: matchit::Router<usize>,
}

/// The rows of one template, as places in the table.
#[derive(Debug, Default)]
struct Methods {
    by_method: Vec<(Method, usize)>,
    every: Option<usize>,
}

/// A row that was found.
pub(crate) struct Found<'t> {
    pub(crate) row: &'t TableRow,
    pub(crate) template: &'t str,
    pub(crate) parameters: Parameters,
}

/// The parameters of the path.
pub(crate) enum Parameters {
    /// Those that axum has found.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "axum finds them"))]
    OfRoute,
    /// Those that the table has found itself.
    OfTable(Vec<(String, String)>),
}

/// A route as axum has chosen it, seen from where the request is now.
#[cfg(feature = "axum")]
pub(crate) struct ChosenRoute<'r> {
    /// The whole template.
    pub(crate) template: &'r str,
    /// What of it lies below the prefix of the nested routers that were passed.
    pub(crate) below_nested: &'r str,
    /// The path below that prefix.
    pub(crate) path: &'r str,
}

impl Rows {
    /// Whether there is a public row at all.
    pub(crate) fn has_public(&self) -> bool {
        self.has_public
    }

    pub(super) fn inventory(&self) -> RouteInventory {
        let mut inventory = RouteInventory::default();
        for row in &self.rows {
            inventory.extend(row.routes());
        }
        inventory
    }

    pub(super) fn held_against(self, checks: &[Weak<dyn RowsCheck>]) -> Result<Self, ConfigError> {
        let inventory = self.inventory();
        let mut mistakes = Mistakes::default();
        for check in checks.iter().filter_map(Weak::upgrade) {
            mistakes.take(check.check(&inventory));
        }
        mistakes.into_result().map(|()| self)
    }

    pub(super) fn of(rows: Vec<TableRow>) -> Result<Self, ConfigError> {
        let mut templates: Vec<(Box<str>, Methods)> = Vec::new();
        let mut by_text = HashMap::new();
        let mut by_path = matchit::Router::new();
        let mut mistakes = Mistakes::default();
        for (place, row) in rows.iter().enumerate() {
            mistakes.take(row.check());
            let wrong = |problem: String| row.place.wrong(row.name(), problem);
            let text = row.path.as_str();
            let at = *by_text.entry(Box::from(text)).or_insert(templates.len());
            if text.split('/').any(|segment| segment.starts_with([':', '*'])) {
                let missing = format!(
                    "a parameter: write `{{id}}` for `:id`, and `{{*rest}}` for `*rest` ({})",
                    row.place
                );
                mistakes.add(ConfigError::UnsatisfiableRule { route: row.name(), demand: "path", missing });
            }
            if at == templates.len() {
                let unusable = |error| wrong(format!("its path is not usable: {error}"));
                mistakes.take(by_path.insert(text, at).map_err(unusable));
                templates.push((text.into(), Methods::default()));
            }
            let Some((_, methods)) = templates.get_mut(at) else { continue };
            let twice = |method: &str| wrong(format!("another row is for {method} {} already", row.path));
            if row.methods.is_empty() && methods.every.replace(place).is_some() {
                mistakes.add(twice("every method of"));
            }
            for method in &row.methods {
                if methods.by_method.iter().any(|(known, _)| known == method) {
                    mistakes.add(twice(method.as_str()));
                }
                methods.by_method.push((method.clone(), place));
            }
        }
        mistakes.into_result()?;
        let has_public = rows.iter().any(|row| matches!(row.access, Access::Public(_)));
        Ok(Self { rows, has_public, templates, by_text, by_path })
    }

    /// The rows for the route that axum has chosen: usually one.
    ///
    /// A template that does not match the path comes from routers that are services
    /// of routes: then no route was chosen, and the table matches the path as the
    /// client sent it. Where the template matches, but the table has a row that
    /// matches the path more closely, both are demanded: the template may be that
    /// of a router further outside, which has not chosen the handler.
    #[cfg(feature = "axum")]
    pub(crate) fn of_route(
        &self,
        route: &ChosenRoute<'_>,
        original_path: &str,
        method: &Method,
    ) -> Result<(Found<'_>, Option<Found<'_>>), DenialReason> {
        let by_template = self.by_text.get(route.template).copied();
        let by_path = self.by_path.at(original_path).ok();
        if let (Some(at), Some(matched)) = (by_template, &by_path)
            && at == *matched.value
        {
            return Ok((self.found(at, method)?, None));
        }
        if !route.matches() {
            return Ok((self.of_path(original_path, method)?, None));
        }
        let found = self.found(by_template.ok_or(DenialReason::RouteUnlisted)?, method)?;
        let closer = by_path.map(|matched| self.matched(&matched, method)).transpose()?;
        Ok((found, closer))
    }

    /// The row for a path that no router has matched.
    pub(crate) fn of_path(&self, path: &str, method: &Method) -> Result<Found<'_>, DenialReason> {
        if !path::is_unambiguous(path) {
            return Err(DenialReason::PathAmbiguous);
        }
        let matched = self.by_path.at(path).map_err(|_| DenialReason::RouteUnlisted)?;
        self.matched(&matched, method)
    }

    fn matched(
        &self,
        matched: &matchit::Match<'_, '_, &usize>,
        method: &Method,
    ) -> Result<Found<'_>, DenialReason> {
        let (row, template) = self.row(*matched.value, method)?;
        let reads_path = match &row.access {
            Access::Requirements(requirements) => requirements.iter().any(Requirement::reads_path),
            Access::Public(_) => false,
        };
        let parameters = if reads_path { decoded(&matched.params) } else { Vec::new() };
        Ok(Found { row, template, parameters: Parameters::OfTable(parameters) })
    }

    #[cfg(feature = "axum")]
    fn found(&self, at: usize, method: &Method) -> Result<Found<'_>, DenialReason> {
        let (row, template) = self.row(at, method)?;
        Ok(Found { row, template, parameters: Parameters::OfRoute })
    }

    /// The row of a template for a method. `GET` covers `HEAD`, which tells no more
    /// than it (RFC 9110 section 9.3.2).
    fn row(&self, at: usize, method: &Method) -> Result<(&TableRow, &str), DenialReason> {
        let (template, methods) = self.templates.get(at).ok_or(DenialReason::RouteUnlisted)?;
        let of = |wanted: &Method| methods.by_method.iter().find(|(known, _)| known == wanted);
        let exact = of(method).or_else(|| of(&Method::GET).filter(|_| *method == Method::HEAD));
        let place = exact.map(|(_, place)| *place).or(methods.every);
        let row = place.and_then(|place| self.rows.get(place)).ok_or(DenialReason::RouteUnlisted)?;
        Ok((row, template))
    }
}

#[cfg(feature = "axum")]
impl ChosenRoute<'_> {
    /// Does the template match the path?
    fn matches(&self) -> bool {
        if self.below_nested.is_empty() {
            return matches!(self.path, "" | "/");
        }
        let mut router = matchit::Router::new();
        router.insert(self.below_nested, ()).is_ok() && router.at(self.path).is_ok()
    }
}

/// The parameters, decoded; one that is no UTF-8 is left out, so that what
/// looks at it denies.
fn decoded(params: &matchit::Params<'_, '_>) -> Vec<(String, String)> {
    let decode = |value| percent_encoding::percent_decode_str(value).decode_utf8().ok();
    let decoded = params.iter().map(|(name, value)| Some((name.to_owned(), decode(value)?.into_owned())));
    decoded.flatten().collect()
}
