//! [`RouteTable`]: the rules of a service as a file of their own.

mod demands;
mod file;
mod path;
mod row;

use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arc_swap::{ArcSwap, Guard};
use http::Method;

pub(crate) use self::row::Access;
pub use self::row::TableRow;
use super::{RouteInventory, RuledRoute};
#[cfg(feature = "reload")]
use crate::text::Text;
use crate::{
    error::{ConfigError, Mistakes},
    reason::DenialReason,
    requirement::Requirement,
};

/// The rules of a service as a table of routes that can be read, reviewed and
/// replaced apart from the code. [`RouteTableLayer`](crate::layer::RouteTableLayer)
/// asks it before any handler.
///
/// 1. A request that no row is for is refused: 403, `route_unlisted`.
/// 2. A row with a requirement allows what its requirement allows.
/// 3. A row that is `public`, with a reason, allows every request.
/// 4. A table with a mistake in any row is no table: none of it is used.
///
/// Cheap to clone; clones share the rows, so [`replace`](Self::replace) and
/// [`reload`](Self::reload) reach every layer made of this table.
///
#[doc = include_str!("../../../../../docs/routes.md")]
#[derive(Clone)]
pub struct RouteTable(Arc<Inner>);

struct Inner {
    rows: ArcSwap<Rows>,
    file: Option<PathBuf>,
    /// Held for as long as a reload takes: one at a time.
    last: Mutex<Last>,
}

/// The last attempt to read rows.
#[derive(Default)]
struct Last {
    /// What was read, good or bad. `None`: it was not readable.
    text: Option<String>,
    failure: Option<Arc<ConfigError>>,
    /// What all rows are held against.
    checks: Vec<Weak<dyn RowsCheck>>,
}

/// What rows are held against before they are used: whether a layer can meet them.
pub(crate) trait RowsCheck: Send + Sync {
    fn check(&self, rows: &RouteInventory) -> Result<(), ConfigError>;
}

impl RouteTable {
    /// Reads a table.
    ///
    /// # Errors
    /// [`ConfigError::RouteTableMalformed`] and [`ConfigError::InvalidRouteRow`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::of(text.to_owned(), None)
    }

    /// Reads a table from a file, which [`reload`](Self::reload) reads again.
    ///
    /// # Errors
    /// Those of [`from_toml`](Self::from_toml), and [`ConfigError::RouteTableUnreadable`].
    pub fn from_toml_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        Self::of(read_file(path)?, Some(path.to_owned()))
    }

    fn of(text: String, file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let rows = ArcSwap::from_pointee(Rows::of(file::read(&text)?)?);
        let last = Mutex::new(Last { text: Some(text), ..Last::default() });
        Ok(Self(Arc::new(Inner { rows, file, last })))
    }

    /// Takes these rows instead of those in use, all at once. Requests that are
    /// being served keep the decision that they got.
    ///
    /// # Errors
    /// [`ConfigError::RouteTableNotReplaced`], with what [`from_toml`](Self::from_toml)
    /// reports; the rows in use then stay, and [`failure`](Self::failure) says so.
    pub fn replace(&self, text: &str) -> Result<(), ConfigError> {
        self.install(&mut self.last(), Ok(text.to_owned()))
    }

    /// Reads the table's file again.
    ///
    /// # Errors
    /// [`ConfigError::RouteTableNotReplaced`], with what
    /// [`from_toml_file`](Self::from_toml_file) reports; the rows in use then stay, and
    /// [`failure`](Self::failure) says so. [`ConfigError::NoRouteTableFile`] if the table
    /// was not read from a file.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let file = self.0.file.as_deref().ok_or(ConfigError::NoRouteTableFile)?;
        let mut last = self.last();
        self.install(&mut last, read_file(file))
    }

    /// Watches the table's file and [reloads](Self::reload) it whenever its text has
    /// changed, on a thread of its own: see [`FileWatcher`](crate::watch::FileWatcher) for
    /// how a file is best replaced.
    ///
    /// A file that is missing or wrong leaves the rows as they were: that is an error event
    /// of `tracing`, and [`failure`](Self::failure) reports it.
    ///
    /// # Errors
    /// [`ConfigError::NoRouteTableFile`] if the table was not read from a file,
    /// [`ConfigError::RouteTableUnwatchable`] if the operating system refuses.
    #[cfg(feature = "reload")]
    pub fn watch(&self) -> Result<crate::watch::FileWatcher, ConfigError> {
        let path = self.0.file.clone().ok_or(ConfigError::NoRouteTableFile)?;
        let (table, file) = (self.clone(), path.clone());
        let look = move || {
            let mut last = table.last();
            let outcome = match read_file(&file) {
                Ok(text) if last.text.as_ref() == Some(&text) => Ok(()),
                text => table.install(&mut last, text),
            };
            if let Err(error) = outcome {
                tracing::error!(
                    error = %Text::account(&error.to_string()), "the file of the route table is not usable"
                );
            }
        };
        crate::watch::FileWatcher::start([path.clone()], look)
            .map_err(|source| ConfigError::RouteTableUnwatchable { path, source: source.into() })
    }

    /// Why the last attempt to [`replace`](Self::replace) or [`reload`](Self::reload) the
    /// rows failed. `None`: it did not.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<ConfigError>> {
        self.last().failure.clone()
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn install(&self, last: &mut Last, text: Result<String, ConfigError>) -> Result<(), ConfigError> {
        (last.text, last.failure) = (None, None);
        last.checks.retain(|check| check.strong_count() > 0);
        let rows = text.and_then(|text| {
            let rows = file::read(&text).and_then(Rows::of).and_then(|rows| rows.held_against(&last.checks));
            last.text = Some(text);
            rows
        });
        match rows {
            Ok(rows) => self.0.rows.store(Arc::new(rows)),
            Err(error) => {
                let source = Arc::new(error);
                last.failure = Some(Arc::clone(&source));
                return Err(ConfigError::RouteTableNotReplaced { source });
            }
        }
        Ok(())
    }

    /// Holds the rows against `check`, now and whenever they are replaced.
    pub(crate) fn check_by(&self, check: &Arc<impl RowsCheck + 'static>) -> Result<(), ConfigError> {
        let mut last = self.last();
        check.check(&self.inventory())?;
        let check: Weak<dyn RowsCheck> = Arc::downgrade(check) as Weak<dyn RowsCheck>;
        last.checks.push(check);
        Ok(())
    }

    /// Every row as a route with its rule.
    #[must_use]
    pub fn inventory(&self) -> RouteInventory {
        self.0.rows.load().inventory()
    }

    /// The rows, and of each row the methods, that are for no route of `routes`:
    /// what was left behind when a route was removed or renamed. Templates
    /// compare as they are written, the names of parameters included.
    #[must_use]
    pub fn unused(&self, routes: &RouteInventory) -> Vec<RuledRoute> {
        let mine = self.inventory();
        let is_unused = |row: &&RuledRoute| !routes.routes().iter().any(|route| row.covers(route));
        mine.routes().iter().filter(is_unused).cloned().collect()
    }

    /// The routes of `routes` that no row is for: behind this table nobody
    /// reaches them.
    #[must_use]
    pub fn unlisted(&self, routes: &RouteInventory) -> Vec<RuledRoute> {
        let mine = self.inventory();
        let is_unlisted = |route: &&RuledRoute| !mine.routes().iter().any(|row| row.covers(route));
        routes.routes().iter().filter(is_unlisted).cloned().collect()
    }

    /// The rows as they are now.
    pub(crate) fn current(&self) -> Guard<Arc<Rows>> {
        self.0.rows.load()
    }
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path)
        .map_err(|source| ConfigError::RouteTableUnreadable { path: path.to_owned(), source })
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.current();
        f.debug_struct("RouteTable").field("file", &self.0.file).field("rows", &rows.rows).finish()
    }
}

/// A table, ready to be asked.
pub(crate) struct Rows {
    rows: Vec<TableRow>,
    has_public: bool,
    /// The rows of each template.
    templates: Vec<(Box<str>, Methods)>,
    /// Places in `templates` by the text, as axum names the route that it has chosen.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "axum asks by it"))]
    by_text: HashMap<Box<str>, usize>,
    /// The same by the path, where nobody has chosen.
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

    fn inventory(&self) -> RouteInventory {
        let mut inventory = RouteInventory::default();
        for row in &self.rows {
            inventory.extend(row.routes());
        }
        inventory
    }

    fn held_against(self, checks: &[Weak<dyn RowsCheck>]) -> Result<Self, ConfigError> {
        let inventory = self.inventory();
        let mut mistakes = Mistakes::default();
        for check in checks.iter().filter_map(Weak::upgrade) {
            mistakes.take(check.check(&inventory));
        }
        mistakes.into_result().map(|()| self)
    }

    fn of(rows: Vec<TableRow>) -> Result<Self, ConfigError> {
        let mut templates: Vec<(Box<str>, Methods)> = Vec::new();
        let mut by_text = HashMap::new();
        let mut by_path = matchit::Router::new();
        let mut mistakes = Mistakes::default();
        for (place, row) in rows.iter().enumerate() {
            let wrong = |problem: String| row.place.wrong(row.name(), problem);
            let text = row.path.as_str();
            let at = *by_text.entry(Box::from(text)).or_insert(templates.len());
            if text.split('/').any(|segment| segment.starts_with([':', '*'])) {
                let missing = format!(
                    "a parameter: write `{{id}}` for `:id`, and `{{*rest}}` for `*rest` (line {}, column {})",
                    row.place.line, row.place.column
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

impl RuledRoute {
    /// Is this row for the route?
    fn covers(&self, route: &Self) -> bool {
        let covers_method = match (self.method(), route.method()) {
            (None, _) => true,
            (Some(mine), Some(other)) => mine == other || (*mine == Method::GET && *other == Method::HEAD),
            // A handler for every method is reached by this one.
            (Some(_), None) => true,
        };
        covers_method && self.path() == route.path()
    }
}
