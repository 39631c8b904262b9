//! One row of a table.

use std::sync::Arc;

use http::Method;

use super::super::{RouteRule, RuledRoute};
use crate::{error::ConfigError, requirement::Requirement};

/// One row of a table.
#[derive(Clone, Debug)]
pub struct TableRow {
    /// Empty: every method.
    pub(super) methods: Vec<Method>,
    pub(super) path: String,
    pub(super) access: Access,
    pub(super) place: Place,
}

/// A place in the text of a table, each part counted from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) line: usize,
    /// In characters.
    pub(super) column: usize,
}

/// What a row allows.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// What each of the requirements allows.
    Requirements(Vec<Requirement>),
    /// Everything, for this reason.
    Public(Arc<str>),
}

impl TableRow {
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// `GET|POST /orders`.
    pub(super) fn name(&self) -> String {
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let methods = if methods.is_empty() { "*".to_owned() } else { methods.join("|") };
        format!("{methods} {}", self.path)
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = RuledRoute> {
        let methods = self.methods.iter().cloned().map(Some);
        let every = self.methods.is_empty().then_some(None);
        methods.chain(every).map(|method| RuledRoute::new(method, self.path.clone(), self.rule()))
    }

    fn rule(&self) -> RouteRule {
        match &self.access {
            Access::Requirements(requirements) => RouteRule::Requirements(requirements.clone()),
            Access::Public(reason) => RouteRule::Public(reason.to_string().into()),
        }
    }
}

impl Place {
    /// The place of a byte of the text.
    pub(super) fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count().saturating_add(1),
            column: line.chars().count().saturating_add(1),
        }
    }

    pub(super) fn wrong(self, row: String, problem: String) -> ConfigError {
        ConfigError::InvalidRouteRow { row, line: self.line, column: self.column, problem }
    }
}
