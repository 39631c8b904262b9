//! [`RouteTableBuilder`]: the rows of a table, written in code or in a file.

use std::{panic::Location, path::PathBuf};

use http::Method;

use super::{
    row::{Access, Place, TableRow},
    rows::Rows,
};
use crate::{error::ConfigError, requirement::Requirement};

/// Collects the rows of a [`RouteTable`](crate::RouteTable).
///
/// Each row in code is for one method of one path; `None` is every method that no other
/// row of the path is for, and `GET` covers `HEAD`. Mistakes are reported by
/// [`build`](Self::build), each with the row and the place in the code that adds it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RouteTableBuilder {
    rows: Vec<TableRow>,
    document: Option<Document>,
}

/// A text or a file with rows. Only the feature `toml` makes one.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "toml"), expect(dead_code, reason = "no other format is read"))]
pub(super) enum Document {
    Text(String),
    File(PathBuf),
}

impl RouteTableBuilder {
    /// Adds a row: `requirement` must allow the request.
    #[track_caller]
    pub fn row(self, method: impl Into<Option<Method>>, path: &str, requirement: Requirement) -> Self {
        // One without demands is a mistake: that every verified token may, `any_caller` says.
        let requirements = if requirement.is_empty() { Vec::new() } else { vec![requirement] };
        self.add(method.into(), path, |_| Access::Requirements(requirements))
    }

    /// Adds a row that every verified token may use.
    #[track_caller]
    pub fn any_caller(self, method: impl Into<Option<Method>>, path: &str) -> Self {
        self.add(method.into(), path, |name| Access::Requirements(vec![Requirement::named(name)]))
    }

    /// Adds a row that every verified token may use while `requirement` is on trial: in
    /// [shadow mode](Requirement::shadow), or with an [exception](Requirement::exception).
    /// What it denies is recorded.
    #[track_caller]
    pub fn any_caller_on_trial(
        self,
        method: impl Into<Option<Method>>,
        path: &str,
        requirement: Requirement,
    ) -> Self {
        self.add(method.into(), path, |name| {
            Access::Requirements(vec![Requirement::named(name), requirement])
        })
    }

    /// Adds a row that anyone may use, whatever token they send, for this reason.
    #[track_caller]
    pub fn public(self, method: impl Into<Option<Method>>, path: &str, reason: &str) -> Self {
        self.add(method.into(), path, |_| Access::Public(reason.into()))
    }

    #[track_caller]
    fn add(mut self, method: Option<Method>, path: &str, access: impl FnOnce(String) -> Access) -> Self {
        let place = Place::of_code(Location::caller());
        let no_access = Access::Requirements(Vec::new());
        let methods = method.into_iter().collect();
        let mut row = TableRow { methods, path: path.to_owned(), access: no_access, place };
        row.access = access(row.name());
        self.rows.push(row);
        self
    }

    /// Adds the rows of a text of [TOML](crate::RouteTable), in place of an earlier text or file.
    #[cfg(feature = "toml")]
    pub fn toml(mut self, text: &str) -> Self {
        self.document = Some(Document::Text(text.to_owned()));
        self
    }

    /// Adds the rows of a file of [TOML](crate::RouteTable), in place of an earlier text or file.
    /// Read by [`build`](Self::build), and again by each [`reload`](crate::RouteTable::reload).
    #[cfg(feature = "toml")]
    pub fn toml_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.document = Some(Document::File(path.into()));
        self
    }

    #[cfg(feature = "toml")]
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match &self.document {
            Some(Document::File(path)) => Some(path),
            Some(Document::Text(_)) | None => None,
        }
    }

    /// The text of the document.
    pub(super) fn read(&self) -> Result<String, ConfigError> {
        match &self.document {
            Some(Document::File(path)) => std::fs::read_to_string(path)
                .map_err(|source| ConfigError::RouteTableUnreadable { path: path.clone(), source }),
            Some(Document::Text(text)) => Ok(text.clone()),
            None => Ok(String::new()),
        }
    }

    /// Every row, those of this text last.
    pub(super) fn rows(&self, text: &str) -> Result<Rows, ConfigError> {
        let rows = self.rows.clone();
        #[cfg(feature = "toml")]
        let rows = rows.into_iter().chain(super::file::read(text)?).collect();
        #[cfg(not(feature = "toml"))]
        let _ = text;
        Rows::of(rows)
    }
}
