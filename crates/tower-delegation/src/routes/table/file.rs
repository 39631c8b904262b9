//! The table's TOML.

use http::Method;
use serde::Deserialize;
use toml::{Table, Value};

use super::{Access, TableRow, demands, path};
use crate::{
    error::{ConfigError, all},
    requirement::Requirement,
};

/// The document: nothing but rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, rename = "route")]
    routes: Vec<Table>,
}

/// Reads every row.
pub(super) fn read(text: &str) -> Result<Vec<TableRow>, ConfigError> {
    let document: Document = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        ConfigError::RouteTableMalformed { line, source: Box::new(error) }
    })?;
    let rows = document.routes.into_iter().zip(1_usize..);
    all(rows.map(|(row, place)| self::row(row, place)))
}

fn row(mut row: Table, place: usize) -> Result<TableRow, ConfigError> {
    let methods = row.remove("methods");
    let path = row.remove("path");
    let label = label(methods.as_ref(), path.as_ref(), place);
    let wrong = |problem: String| ConfigError::InvalidRouteRow { row: label.clone(), problem };

    let methods = self::methods(methods.as_ref()).map_err(wrong)?;
    let Some(Value::String(path)) = path else {
        return Err(wrong(r#"it has no path: write `path = "/orders/{id}"`"#.to_owned()));
    };
    if !path::is_template(&path) {
        return Err(wrong(format!("{path:?} is no path: it begins with `/` and has no query")));
    }
    let name = match row.remove("name") {
        None => label.clone(),
        Some(Value::String(name)) if !name.trim().is_empty() => name,
        Some(_) => return Err(wrong("`name` is not some text".to_owned())),
    };
    let access = match row.remove("public") {
        Some(Value::String(reason)) if !reason.trim().is_empty() => match row.keys().next() {
            None => Access::Public(reason.into()),
            Some(key) => {
                return Err(wrong(format!("it is public, so `{key}` means nothing: remove one of the two")));
            }
        },
        Some(_) => {
            return Err(wrong(
                r#"`public` is the reason why: write `public = "probe of the load balancer"`"#.to_owned(),
            ));
        }
        None => Access::Requirements(requirements(name, row).map_err(wrong)?),
    };
    Ok(TableRow { methods, path, access })
}

/// What remains of a row: demands, or the word that there are none; or both, where
/// the demands are on trial.
fn requirements(name: String, mut row: Table) -> Result<Vec<Requirement>, String> {
    let any_caller = match row.remove("any_caller") {
        None => false,
        Some(Value::Boolean(true)) => true,
        Some(_) => return Err("write `any_caller = true`, or leave it out".to_owned()),
    };
    let is_mode = |key: &str| key == "shadow" || key == "exception";
    let demands = row.keys().filter(|key| !is_mode(key)).count();
    let is_lenient = demands < row.len();
    match (any_caller, demands) {
        (false, 0) => {
            return Err(r#"it demands nothing: name a demand, or say `any_caller = true` for every verified token, or `public = "why"`"#.to_owned());
        }
        (true, 0) if is_lenient => {
            return Err("nothing is on trial: name the demands in addition to `any_caller`".to_owned());
        }
        (true, 1..) if !is_lenient => {
            return Err("`any_caller` means that there are no demands, and there are: remove one of the two"
                .to_owned());
        }
        (false, _) | (true, _) => {}
    }
    let mut requirements = Vec::new();
    if any_caller && is_lenient {
        requirements.push(Requirement::named(name.clone()));
    }
    let read = demands::read(Requirement::named(name), &row)?;
    requirements.push(read.checked().map_err(|error| error.to_string())?);
    Ok(requirements)
}

fn methods(value: Option<&Value>) -> Result<Vec<Method>, String> {
    const EXPECTED: &str = r#"write `methods = ["GET", "POST"]`, or `methods = ["*"]` for every one"#;
    let Some(Value::Array(values)) = value else { return Err(format!("it has no methods: {EXPECTED}")) };
    let mut methods = Vec::new();
    for value in values {
        let Value::String(name) = value else { return Err(EXPECTED.to_owned()) };
        if name == "*" && values.len() == 1 {
            return Ok(Vec::new());
        }
        // Methods are case-sensitive (RFC 9110 section 9.1): `get` would never match.
        let is_upper = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) if is_upper => methods.push(method),
            _ => return Err(format!("{name:?} is no method: {EXPECTED}")),
        }
    }
    if methods.is_empty() { Err(format!("it has no methods: {EXPECTED}")) } else { Ok(methods) }
}

/// `GET|POST /orders`, or the row's place where it says too little.
fn label(methods: Option<&Value>, path: Option<&Value>, place: usize) -> String {
    let names: Vec<&str> = match methods {
        Some(Value::Array(methods)) => methods.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match path.and_then(Value::as_str) {
        Some(path) if !names.is_empty() => format!("{} {path}", names.join("|")),
        Some(path) => format!("{place} ({path})"),
        None => format!("{place}"),
    }
}

impl TableRow {
    /// `GET|POST /orders`.
    pub(super) fn name(&self) -> String {
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let methods = if methods.is_empty() { "*".to_owned() } else { methods.join("|") };
        format!("{methods} {}", self.path)
    }
}
