//! [`RouteTable`]: the rules of a service, apart from its routes.

mod builder;
#[cfg(feature = "toml")]
mod demands;
#[cfg(feature = "toml")]
mod file;
mod path;
mod row;
mod rows;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arc_swap::{ArcSwap, Guard};

pub use self::builder::RouteTableBuilder;
#[cfg(feature = "http-client")]
pub(crate) use self::path::is_unambiguous;
#[cfg(feature = "axum")]
pub(crate) use self::rows::ChosenRoute;
pub(crate) use self::{
    row::Access,
    rows::{Found, Parameters, Rows, RowsCheck},
};
use super::{RouteInventory, RuledRoute};
use crate::error::ConfigError;
#[cfg(feature = "reload")]
use crate::text::Text;

/// The rules of a service as a table of routes that is reviewed and replaced apart from
/// the routes: in code by [`builder`](Self::builder), or as a file (feature `toml`).
/// [`RouteTableLayer`](crate::layer::RouteTableLayer) asks it before any handler.
///
/// 1. A request that no row is for is refused: 403, `route_unlisted`.
/// 2. A row with a requirement allows what its requirement allows.
/// 3. A row that is `public`, with a reason, allows every request.
/// 4. A table with a mistake in any row is no table: none of it is used.
///
/// Cheap to clone; clones share the rows, so [`replace`](Self::replace) and
/// `reload` reach every layer made of this table.
///
#[doc = include_str!("../../../../../docs/routes.md")]
#[derive(Clone)]
pub struct RouteTable(Arc<Inner>);

struct Inner {
    rows: ArcSwap<Rows>,
    /// Held for as long as a replacement takes: one at a time.
    last: Mutex<Last>,
}

/// The last attempt to read rows.
struct Last {
    /// What the rows in use were made of.
    builder: RouteTableBuilder,
    /// What was read, good or bad. `None`: it was not readable.
    text: Option<String>,
    failure: Option<Arc<ConfigError>>,
    /// What all rows are held against.
    checks: Vec<Weak<dyn RowsCheck>>,
}

impl RouteTable {
    /// Starts a table without rows.
    pub fn builder() -> RouteTableBuilder {
        RouteTableBuilder::default()
    }

    /// Reads a table.
    ///
    /// # Errors
    /// As [`RouteTableBuilder::build`].
    #[cfg(feature = "toml")]
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::builder().toml(text).build()
    }

    /// Reads a table from a file, which [`reload`](Self::reload) reads again.
    ///
    /// # Errors
    /// As [`RouteTableBuilder::build`].
    #[cfg(feature = "toml")]
    pub fn from_toml_file(path: impl Into<std::path::PathBuf>) -> Result<Self, ConfigError> {
        Self::builder().toml_file(path).build()
    }

    /// Takes these rows instead of those in use, all at once. Requests that are
    /// being served keep the decision that they got.
    ///
    /// # Errors
    /// [`ConfigError::RouteTableNotReplaced`], with what [`RouteTableBuilder::build`] reports,
    /// or with the rules that a layer of this table cannot meet or that do not say whose a
    /// name is; the rows in use then stay, and [`failure`](Self::failure) says so.
    pub fn replace(&self, builder: RouteTableBuilder) -> Result<(), ConfigError> {
        let mut last = self.last();
        let former = std::mem::replace(&mut last.builder, builder);
        let text = last.builder.read();
        let outcome = self.install(&mut last, text);
        if outcome.is_err() {
            last.builder = former;
        }
        outcome
    }

    /// Reads the table's file again.
    ///
    /// # Errors
    /// As [`replace`](Self::replace). [`ConfigError::NoRouteTableFile`] if the table has no
    /// file.
    #[cfg(feature = "toml")]
    pub fn reload(&self) -> Result<(), ConfigError> {
        let mut last = self.last();
        last.builder.file().ok_or(ConfigError::NoRouteTableFile)?;
        let text = last.builder.read();
        self.install(&mut last, text)
    }

    /// Watches the table's file and [reloads](Self::reload) it whenever its text has
    /// changed, on a thread of its own: see [`FileWatcher`](crate::watch::FileWatcher) for
    /// how a file is best replaced.
    ///
    /// A file that is missing or wrong leaves the rows as they were: that is an error event
    /// of `tracing`, and [`failure`](Self::failure) reports it.
    ///
    /// # Errors
    /// [`ConfigError::NoRouteTableFile`] if the table has no file,
    /// [`ConfigError::RouteTableUnwatchable`] if the operating system refuses.
    #[cfg(feature = "reload")]
    pub fn watch(&self) -> Result<crate::watch::FileWatcher, ConfigError> {
        let path = self.last().builder.file().cloned().ok_or(ConfigError::NoRouteTableFile)?;
        let table = self.clone();
        let look = move || {
            let mut last = table.last();
            let outcome = match last.builder.read() {
                Ok(text) if last.text.as_ref() == Some(&text) => Ok(()),
                text => table.install(&mut last, text),
            };
            if let Err(error) = outcome {
                tracing::error!(
                    error = %Text::account(&error.to_string()),
                    "the file of the route table is not usable"
                );
            }
        };
        crate::watch::FileWatcher::start([path.clone()], look)
            .map_err(|source| ConfigError::RouteTableUnwatchable { path, source: source.into() })
    }

    /// Why the last attempt to [`replace`](Self::replace) or reload the rows failed.
    /// `None`: it did not.
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
            let rows = last.builder.rows(&text).and_then(|rows| rows.held_against(&last.checks));
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

    /// The routes of `routes` that no row is for: behind this table no request reaches
    /// them.
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

impl RouteTableBuilder {
    /// Makes the table. Blocks while it reads a file.
    ///
    /// # Errors
    /// Every mistake of every row: [`ConfigError::InvalidRouteRow`],
    /// [`ConfigError::UnsatisfiableRule`], [`ConfigError::RouteTableMalformed`]. Or
    /// [`ConfigError::RouteTableUnreadable`].
    pub fn build(self) -> Result<RouteTable, ConfigError> {
        let text = self.read()?;
        let rows = self.rows(&text)?;
        let last = Last { builder: self, text: Some(text), failure: None, checks: Vec::new() };
        Ok(RouteTable(Arc::new(Inner { rows: ArcSwap::from_pointee(rows), last: Mutex::new(last) })))
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable").field("rows", &self.current().rows).finish()
    }
}

impl RuledRoute {
    /// Is this row for the route?
    fn covers(&self, route: &Self) -> bool {
        let covers_method = match (self.method(), route.method()) {
            (None, _) => true,
            (Some(mine), Some(other)) => {
                mine == other || (*mine == http::Method::GET && *other == http::Method::HEAD)
            }
            // A handler for every method is reached by this one.
            (Some(_), None) => true,
        };
        covers_method && self.path() == route.path()
    }
}
