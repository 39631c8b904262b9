//! One row of a table.

use std::{fmt, panic::Location, sync::Arc};

use http::Method;

use super::{
    super::{RouteRule, RuledRoute},
    path,
};
use crate::{
    error::{ConfigError, Mistakes},
    requirement::Requirement,
};

/// One row of a table.
#[derive(Clone, Debug)]
pub(crate) struct TableRow {
    /// Empty: every method.
    pub(super) methods: Vec<Method>,
    pub(super) path: String,
    pub(super) access: Access,
    pub(super) place: Place,
}

/// A place in the text of a table or in the source of a program, each part counted from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The source file of a row in code.
    file: Option<&'static str>,
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

    /// Whether it can be a row at all, however it was written.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        let mut wrong = |problem: String| mistakes.add(self.place.wrong(self.name(), problem));
        for method in self.methods.iter().filter(|method| !is_method(method.as_str())) {
            wrong(format!("{:?} is no method: write it in upper case", method.as_str()));
        }
        if !path::is_template(&self.path) {
            wrong(path::not_a_template(&self.path));
        }
        match &self.access {
            Access::Public(reason) if reason.trim().is_empty() => {
                wrong("it is public without a reason: say in a few words why".to_owned());
            }
            Access::Public(_) => {}
            Access::Requirements(requirements) => {
                match requirements.as_slice() {
                    [] => {
                        wrong("it demands nothing: name a demand, or say `any_caller` or `public`".to_owned())
                    }
                    [_, trial] if trial.is_empty() || !trial.is_mode_set() => {
                        wrong(
                            "nothing is on trial: name demands, and call `shadow` or `exception`".to_owned(),
                        );
                    }
                    _ => {}
                }
                let errors = requirements.iter().filter_map(|one| one.clone().checked().err());
                errors.for_each(|error| error.mistakes().map(of_requirement).for_each(&mut wrong));
            }
        }
        mistakes.into_result()
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
    #[cfg(feature = "toml")]
    pub(super) fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            file: None,
            line: before.matches('\n').count().saturating_add(1),
            column: line.chars().count().saturating_add(1),
        }
    }

    pub(super) fn of_code(location: &Location<'static>) -> Self {
        let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Self { file: Some(location.file()), line: number(location.line()), column: number(location.column()) }
    }

    pub(super) fn wrong(self, row: String, problem: String) -> ConfigError {
        let row = match self.file {
            Some(file) => format!("{row} ({file})"),
            None => row,
        };
        ConfigError::InvalidRouteRow { row, line: self.line, column: self.column, problem }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.iter().try_for_each(|file| write!(f, "{file}, "))?;
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Can a request have this method? They are case-sensitive (RFC 9110 section 9.1): `get`
/// would never match.
pub(super) fn is_method(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

/// What is wrong with the demands of a row, whose name is known.
pub(super) fn of_requirement(mistake: &ConfigError) -> String {
    match mistake {
        ConfigError::InvalidRequirement { key, problem, .. } => format!("`{key}`: {problem}"),
        other => other.to_string(),
    }
}
