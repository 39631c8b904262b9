//! A row's demands. A key bears the name of the method of [`Requirement`] that
//! it becomes, and of the key in `#[requires(..)]`.

use std::time::Duration;

use toml::{Table, Value};

use crate::{
    clock::Timestamp,
    context::{ApplicationKind, SubjectKind},
    issuer::ClaimPath,
    requirement::{AuthorizationDetail, Requirement, TimeWindow, Weekday},
};

type Read<T> = Result<T, String>;

/// Adds every demand in `row`; the first key that is wrong or not known ends it.
pub(super) fn read(requirement: Requirement, row: &Table) -> Read<Requirement> {
    row.iter().try_fold(requirement, |requirement, (key, value)| {
        demand(requirement, key, value).map_err(|problem| match problem {
            Problem::Unknown => format!("`{key}` is no key of a row"),
            Problem::Value(expected) => format!("`{key}`: {expected}"),
        })
    })
}

enum Problem {
    Unknown,
    Value(String),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Value(problem)
    }
}

fn demand(is: Requirement, key: &str, value: &Value) -> Result<Requirement, Problem> {
    Ok(match key {
        "scope" => each(is, texts(value)?, Requirement::scope),
        "any_scope" => each(is, choices(value)?, Requirement::any_scope),
        "scopes_within" => is.scopes_within(list(value)?),
        "issuer" => each(is, texts(value)?, Requirement::issuer),
        "any_issuer" => is.any_issuer(list(value)?),
        "tenant" => each(is, texts(value)?, Requirement::tenant),
        "any_tenant" => is.any_tenant(list(value)?),
        "audience" => each(is, texts(value)?, Requirement::audience),
        "any_audience" => is.any_audience(list(value)?),
        "audiences_within" => is.audiences_within(list(value)?),
        "max_token_lifetime" => is.max_token_lifetime(seconds(value)?),
        "max_token_age" => is.max_token_age(seconds(value)?),
        "sender_constrained" => flag(value).map(|()| is.sender_constrained())?,
        "mutual_tls" => flag(value).map(|()| is.mutual_tls())?,
        "dpop" => flag(value).map(|()| is.dpop())?,
        "workload" => each(is, texts(value)?, Requirement::workload),
        "any_workload" => is.any_workload(list(value)?),
        "subject_kind" => {
            let kinds = texts(value)?.into_iter().map(kind).collect::<Read<Vec<_>>>()?;
            each(is, kinds, Requirement::subject_kind)
        }
        "any_subject_kind" => {
            is.any_subject_kind(list(value)?.into_iter().map(kind).collect::<Read<Vec<_>>>()?)
        }
        "on_behalf_of_user" => flag(value).map(|()| is.on_behalf_of_user())?,
        "not_on_behalf_of_user" => flag(value).map(|()| is.not_on_behalf_of_user())?,
        "delegated" => flag(value).map(|()| is.delegated())?,
        "not_delegated" => flag(value).map(|()| is.not_delegated())?,
        "max_actors" => is.max_actors(number(value)?),
        "deny_actor" => each(is, texts(value)?, Requirement::deny_actor),
        "actor" => each(is, texts(value)?, Requirement::actor),
        "any_actor" => is.any_actor(list(value)?),
        "actor_of" => pairs(value)?.try_fold(is, |is, (issuer, actor)| {
            let issuer = issuer.as_str().ok_or_else(expected_pairs)?;
            text(actor).map(|actor| is.actor_of(issuer, actor))
        })?,
        "any_actor_of" => {
            let pairs = pairs(value)?.map(|(issuer, actor)| {
                Ok((issuer.as_str().ok_or_else(expected_pairs)?.to_owned(), text(actor)?.to_owned()))
            });
            is.any_actor_of(pairs.collect::<Read<Vec<_>>>()?)
        }
        "client" => each(is, texts(value)?, Requirement::client),
        "any_client" => is.any_client(list(value)?),
        "application" => each(is, texts(value)?, Requirement::application),
        "any_application" => is.any_application(list(value)?),
        "application_kind" => each(is, application_kinds(value)?, Requirement::application_kind),
        "any_application_kind" => is.any_application_kind(application_kinds(value)?),
        "application_tenant" => each(is, texts(value)?, Requirement::application_tenant),
        "any_application_tenant" => is.any_application_tenant(list(value)?),
        "application_environment" => each(is, texts(value)?, Requirement::application_environment),
        "any_application_environment" => is.any_application_environment(list(value)?),
        "presenter" => each(is, texts(value)?, Requirement::presenter),
        "any_presenter" => is.any_presenter(list(value)?),
        "presenter_kind" => each(is, application_kinds(value)?, Requirement::presenter_kind),
        "any_presenter_kind" => is.any_presenter_kind(application_kinds(value)?),
        "presenter_tenant" => each(is, texts(value)?, Requirement::presenter_tenant),
        "any_presenter_tenant" => is.any_presenter_tenant(list(value)?),
        "presenter_environment" => each(is, texts(value)?, Requirement::presenter_environment),
        "any_presenter_environment" => is.any_presenter_environment(list(value)?),
        "actor_kind" => each(is, application_kinds(value)?, Requirement::actor_kind),
        "any_actor_kind" => is.any_actor_kind(application_kinds(value)?),
        "time_window" => {
            let windows = tables(value)?.map(window).collect::<Read<Vec<_>>>()?;
            each(is, windows, Requirement::time_window)
        }
        "any_time_window" => is.any_time_window(tables(value)?.map(window).collect::<Read<Vec<_>>>()?),
        "risk_below" => pairs(value)?.try_fold(is, |is, (signal, level)| {
            let signal = signal.as_str().ok_or_else(expected_pairs)?;
            number(level).map(|level| is.risk_below(signal, level))
        })?,
        "claim_equals" => {
            claims(is, value, |is, claim, value| text(value).map(|value| is.claim_equals(claim, value)))?
        }
        "claim_one_of" => {
            claims(is, value, |is, claim, value| list(value).map(|values| is.claim_one_of(claim, values)))?
        }
        "claim_matches_path" => {
            claims(is, value, |is, claim, name| text(name).map(|name| is.claim_matches_path(claim, name)))?
        }
        "claim_matches_header" => {
            claims(is, value, |is, claim, name| text(name).map(|name| is.claim_matches_header(claim, name)))?
        }
        "any_purpose" => {
            claims(is, value, |is, claim, value| list(value).map(|values| is.any_purpose(claim, values)))?
        }
        "purpose" => claims(is, value, |is, claim, value| text(value).map(|value| is.purpose(claim, value)))?,
        "tenant_matches_path" => is.tenant_matches_path(text(value)?),
        "tenant_matches_header" => is.tenant_matches_header(text(value)?),
        "subject_matches_path" => is.subject_matches_path(text(value)?),
        "role" => each(is, texts(value)?, Requirement::role),
        "any_role" => each(is, choices(value)?, Requirement::any_role),
        "permission" => each(is, texts(value)?, Requirement::permission),
        "any_permission" => each(is, choices(value)?, Requirement::any_permission),
        "group" => each(is, texts(value)?, Requirement::group),
        "any_group" => each(is, choices(value)?, Requirement::any_group),
        "authorization_detail" => {
            let details = tables(value)?.map(detail).collect::<Read<Vec<_>>>()?;
            each(is, details, Requirement::authorization_detail)
        }
        "all_of" => is.all_of(parts(value)?),
        "any_of" => is.any_of(parts(value)?),
        "not" => each(is, parts(value)?, Requirement::not),
        "acr" => each(is, texts(value)?, Requirement::acr),
        "any_acr" => is.any_acr(list(value)?),
        "max_authentication_age" => is.max_authentication_age(seconds(value)?),
        "shadow" => flag(value).map(|()| is.shadow())?,
        "exception" => exception(is, value)?,
        _ => return Err(Problem::Unknown),
    })
}

fn each<T>(is: Requirement, values: Vec<T>, add: impl Fn(Requirement, T) -> Requirement) -> Requirement {
    values.into_iter().fold(is, add)
}

fn flag(value: &Value) -> Read<()> {
    // `false` would read as a demand of the opposite, and is none.
    match value {
        Value::Boolean(true) => Ok(()),
        _ => Err("write `true`, or leave the key out".to_owned()),
    }
}

fn text(value: &Value) -> Read<&str> {
    value.as_str().ok_or_else(|| "expected text".to_owned())
}

/// One text, or a list of them.
fn texts(value: &Value) -> Read<Vec<&str>> {
    match value {
        Value::String(text) => Ok(vec![text]),
        _ => list(value).map_err(|_| "expected text, or a list of texts that is not empty".to_owned()),
    }
}

fn list(value: &Value) -> Read<Vec<&str>> {
    let texts =
        value.as_array().and_then(|values| values.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    texts
        .filter(|texts| !texts.is_empty())
        .ok_or_else(|| "expected a list of texts that is not empty".to_owned())
}

/// One choice, or a list of choices.
fn choices(value: &Value) -> Read<Vec<Vec<&str>>> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::Array(_), ..]) => value.as_array().into_iter().flatten().map(list).collect(),
        _ => Ok(vec![list(value)?]),
    }
}

fn number<N: TryFrom<i64>>(value: &Value) -> Read<N> {
    let number = value.as_integer().and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| "expected a number in its range".to_owned())
}

fn seconds(value: &Value) -> Read<Duration> {
    number(value).map(Duration::from_secs).map_err(|_| "expected a number of seconds".to_owned())
}

fn kind(name: &str) -> Read<SubjectKind> {
    match name {
        "user" => Ok(SubjectKind::User),
        "service" => Ok(SubjectKind::Service),
        _ => Err(r#"expected "user" or "service""#.to_owned()),
    }
}

fn application_kinds(value: &Value) -> Read<Vec<ApplicationKind>> {
    const KINDS: [ApplicationKind; 3] =
        [ApplicationKind::Application, ApplicationKind::Service, ApplicationKind::Agent];
    let kind = |name: &str| KINDS.into_iter().find(|kind| kind.as_str() == name);
    let kinds = texts(value)?.into_iter().map(kind).collect::<Option<Vec<_>>>();
    kinds.ok_or_else(|| r#"expected "application", "service" or "agent""#.to_owned())
}

fn expected_pairs() -> String {
    r#"write `{ "first" = "second" }`, or a list of pairs: `[["first", "second"]]`"#.to_owned()
}

/// `{ first = "second" }`, or `[["first", "second"], ..]`.
fn pairs(value: &Value) -> Read<impl Iterator<Item = (Value, &Value)>> {
    let pairs: Option<Vec<(Value, &Value)>> = match value {
        Value::Table(table) => {
            Some(table.iter().map(|(first, second)| (Value::String(first.clone()), second)).collect())
        }
        Value::Array(pairs) => pairs
            .iter()
            .map(|pair| match pair.as_array().map(Vec::as_slice) {
                Some([first, second]) => Some((first.clone(), second)),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    pairs.filter(|pairs| !pairs.is_empty()).map(Vec::into_iter).ok_or_else(expected_pairs)
}

/// Pairs that begin with a claim: its name, or the list of names that lead to it.
fn claims(
    is: Requirement,
    value: &Value,
    add: impl Fn(Requirement, ClaimPath, &Value) -> Read<Requirement>,
) -> Read<Requirement> {
    pairs(value)?.try_fold(is, |is, (claim, value)| {
        let claim = ClaimPath::from(texts(&claim)?.as_slice());
        add(is, claim, value)
    })
}

/// One table, or a list of tables.
fn tables(value: &Value) -> Read<impl Iterator<Item = &Table>> {
    let tables: Option<Vec<&Table>> = match value {
        Value::Table(table) => Some(vec![table]),
        Value::Array(values) => values.iter().map(Value::as_table).collect(),
        _ => None,
    };
    let tables = tables.filter(|tables| !tables.is_empty());
    tables.map(Vec::into_iter).ok_or_else(|| "expected a table, or a list of tables".to_owned())
}

/// Requirements without names of their own.
fn parts(value: &Value) -> Read<Vec<Requirement>> {
    tables(value)?.map(|part| read(Requirement::new(), part)).collect()
}

fn window(table: &Table) -> Read<TimeWindow> {
    let time = |key: &str| {
        let time = table.get(key).and_then(Value::as_str).and_then(|time| time.split_once(':'));
        let time = time.and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)));
        time.ok_or_else(|| format!(r#"`{key}` is no time of day: write `{key} = "08:30"`"#))
    };
    let mut window = TimeWindow::daily(time("start")?, time("end")?);
    for (key, value) in table {
        window = match key.as_str() {
            "start" | "end" => window,
            "utc_offset_minutes" => window.utc_offset_minutes(number(value)?),
            "days" => {
                let days = texts(value)?
                    .into_iter()
                    .map(|day| day.parse::<Weekday>().map_err(|error| error.to_string()));
                window.on(days.collect::<Read<Vec<_>>>()?)
            }
            _ => return Err(format!("`{key}` is no key of a time window")),
        };
    }
    Ok(window)
}

fn detail(table: &Table) -> Read<AuthorizationDetail> {
    let kind =
        table.get("type").and_then(Value::as_str).ok_or_else(|| r#"it has no `type = ".."`"#.to_owned())?;
    let mut detail = AuthorizationDetail::of_type(kind);
    for (key, value) in table {
        let all = |detail, add: fn(AuthorizationDetail, &str) -> AuthorizationDetail| -> Read<_> {
            Ok(texts(value)?.into_iter().fold(detail, add))
        };
        detail = match key.as_str() {
            "type" => detail,
            "actions" => all(detail, AuthorizationDetail::action)?,
            "locations" => all(detail, AuthorizationDetail::location)?,
            "datatypes" => all(detail, AuthorizationDetail::datatype)?,
            "privileges" => all(detail, AuthorizationDetail::privilege)?,
            "identifier" => detail.identifier(text(value)?),
            "identifier_matches_path" => detail.identifier_matches_path(text(value)?),
            _ => return Err(format!("`{key}` is no key of an authorization detail")),
        };
    }
    Ok(detail)
}

fn exception(is: Requirement, value: &Value) -> Read<Requirement> {
    const EXPECTED: &str = r#"write `{ reason = "..", until = 2027-03-31T00:00:00Z }`"#;
    let table = value.as_table().filter(|table| table.len() == 2).ok_or(EXPECTED)?;
    let reason = table.get("reason").and_then(Value::as_str).ok_or(EXPECTED)?;
    let until = match table.get("until") {
        Some(Value::Datetime(until)) => until.to_string(),
        _ => return Err(EXPECTED.to_owned()),
    };
    // A time without an offset would be another moment on another machine.
    let until = time::OffsetDateTime::parse(&until, &time::format_description::well_known::Rfc3339)
        .map_err(|error| format!("{until} is no moment: {error}; {EXPECTED}"))?;
    Ok(is.exception(reason.to_owned(), Timestamp::from_unix_seconds(until.unix_timestamp())))
}
