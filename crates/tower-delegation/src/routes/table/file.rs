//! The table's TOML.

use http::Method;
use toml::de::{DeTable, DeValue};
use tower_delegation_demands::{Key, closest};

use super::{
    demands::{self, Entry, Read, Value, Wrong, entries, unknown, wrong},
    path,
    row::{Access, Place, TableRow, is_method},
};
use crate::{
    error::{ConfigError, Mistakes},
    requirement::Requirement,
};

/// Reads every row.
pub(super) fn read(text: &str) -> Result<Vec<TableRow>, ConfigError> {
    let malformed = |byte: usize, problem: &str| {
        let Place { line, column, .. } = Place::of(text, byte);
        ConfigError::RouteTableMalformed { line, column, source: problem.into() }
    };
    let document = DeTable::parse(text)
        .map_err(|error| malformed(error.span().map_or(text.len(), |span| span.start), error.message()))?;
    let (mut rows, mut mistakes) = (Vec::new(), Mistakes::default());
    for (key, value) in entries(document.get_ref()) {
        let name = key.get_ref();
        let list = value.get_ref().as_array().filter(|_| name == "route");
        let Some(list) = list else {
            let like = closest(name, ["route"]).map_or("", |_| ", did you mean `[[route]]`?");
            let problem = format!("`{name}` is no list of rows{like}: write each row below `[[route]]`");
            mistakes.add(malformed(key.span().start, &problem));
            continue;
        };
        for (value, number) in list.iter().zip(1_usize..) {
            let Some(table) = value.get_ref().as_table() else {
                mistakes.add(malformed(value.span().start, "a row is a table: write it below `[[route]]`"));
                continue;
            };
            let place = Place::of(text, value.span().start);
            match row(value, table, place) {
                Ok(row) => rows.push(row),
                Err(wrong) => {
                    let label = label(table, number);
                    for Wrong { byte, problem } in wrong {
                        mistakes.add(Place::of(text, byte).wrong(label.clone(), problem));
                    }
                }
            }
        }
    }
    mistakes.into_result().map(|()| rows)
}

fn row(whole: &Value<'_>, table: &DeTable<'_>, place: Place) -> Read<TableRow> {
    let mut rest = entries(table);
    let mut take = |name: &str| {
        let at = rest.iter().position(|(key, _)| key.get_ref() == name)?;
        Some(rest.remove(at).1)
    };
    let (methods, path, name) = (take("methods"), take("path"), take("name"));
    let (public, any_caller) = (take("public"), take("any_caller"));
    let methods = self::methods(whole, methods)?;
    let path = match path {
        None => return wrong(whole, r#"it has no path: write `path = "/orders/{id}"`"#),
        Some(value) => match value.get_ref().as_str() {
            None => return wrong(value, r#"`path` is no text: write `path = "/orders/{id}"`"#),
            Some(path) if !path::is_template(path) => {
                return wrong(value, path::not_a_template(path));
            }
            Some(path) => path.to_owned(),
        },
    };
    let mut row = TableRow { methods, path, access: Access::Requirements(Vec::new()), place };
    let name = match name.map(|value| (value, value.get_ref().as_str())) {
        None => row.name(),
        Some((_, Some(name))) if !name.trim().is_empty() => name.to_owned(),
        Some((value, _)) => return wrong(value, "`name` is not some text"),
    };
    row.access = match public {
        Some(value) => Access::Public(reason(value, any_caller, &rest)?.into()),
        None => Access::Requirements(requirements(whole, name, any_caller, &rest)?),
    };
    Ok(row)
}

fn reason<'t>(value: &'t Value<'_>, any_caller: Option<&Value<'_>>, rest: &[Entry<'_, '_>]) -> Read<&'t str> {
    const ALONE: &str = "means nothing: remove one of the two";
    let Some(reason) = value.get_ref().as_str().filter(|reason| !reason.trim().is_empty()) else {
        return wrong(value, r#"`public` is the reason why: write `public = "probe of the load balancer"`"#);
    };
    if let Some((key, _)) = rest.first() {
        return wrong(key, format!("it is public, so `{}` {ALONE}", key.get_ref()));
    }
    any_caller.map_or(Ok(reason), |value| wrong(value, format!("it is public, so `any_caller` {ALONE}")))
}

/// What remains of a row: demands, or the word that there are none; or both, where
/// the demands are on trial.
fn requirements(
    whole: &Value<'_>,
    name: String,
    any_caller: Option<&Value<'_>>,
    rest: &[Entry<'_, '_>],
) -> Read<Vec<Requirement>> {
    let is_mode = |(key, _): &&Entry<'_, '_>| Key::of(key.get_ref()).is_some_and(Key::is_mode);
    let is_lenient = rest.iter().any(|entry| is_mode(&entry));
    let has_demands = rest.iter().any(|entry| !is_mode(&entry));
    let mut requirements = Vec::new();
    match any_caller {
        None if !has_demands => {
            return wrong(
                whole,
                r#"it demands nothing: name a demand, or say `any_caller = true` for every verified token, or `public = "why"`"#,
            );
        }
        None => {}
        Some(value) if !matches!(value.get_ref(), DeValue::Boolean(true)) => {
            return wrong(value, "write `any_caller = true`, or leave it out");
        }
        Some(value) if is_lenient && !has_demands => {
            return wrong(value, "nothing is on trial: name the demands in addition to `any_caller`");
        }
        Some(value) if has_demands && !is_lenient => {
            // A misspelt key is no demand.
            rest.iter()
                .try_for_each(|(key, _)| Key::of(key.get_ref()).map(drop).ok_or_else(|| unknown(key)))?;
            return wrong(
                value,
                "`any_caller` means that there are no demands, and there are: remove one of the two",
            );
        }
        Some(_) if is_lenient => requirements.push(Requirement::named(name.clone())),
        Some(_) => {}
    }
    requirements.push(demands::read(Requirement::named(name), whole, rest)?);
    Ok(requirements)
}

fn methods(whole: &Value<'_>, value: Option<&Value<'_>>) -> Read<Vec<Method>> {
    const EXPECTED: &str = r#"write `methods = ["GET", "POST"]`, or `methods = ["*"]` for every one"#;
    let Some(value) = value else { return wrong(whole, format!("it has no methods: {EXPECTED}")) };
    let Some(values) = value.get_ref().as_array().filter(|values| !values.is_empty()) else {
        return wrong(value, format!("it has no methods: {EXPECTED}"));
    };
    let mut methods = Vec::new();
    for value in values {
        let Some(name) = value.get_ref().as_str() else { return wrong(value, EXPECTED) };
        if name == "*" && values.len() == 1 {
            return Ok(Vec::new());
        }
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) if is_method(name) => methods.push(method),
            _ => return wrong(value, format!("{name:?} is no method: {EXPECTED}")),
        }
    }
    Ok(methods)
}

/// `GET|POST /orders`, or the row's number where it says too little.
fn label(table: &DeTable<'_>, number: usize) -> String {
    let methods = table.get("methods").and_then(|value| value.get_ref().as_array());
    let names: Vec<&str> =
        methods.into_iter().flatten().filter_map(|method| method.get_ref().as_str()).collect();
    match table.get("path").and_then(|value| value.get_ref().as_str()) {
        Some(path) if !names.is_empty() => format!("{} {path}", names.join("|")),
        Some(path) => format!("{number} ({path})"),
        None => format!("{number}"),
    }
}
