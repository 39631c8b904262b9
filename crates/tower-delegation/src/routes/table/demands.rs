//! A row's demands. A key bears the name of the method of [`Requirement`] that
//! it becomes, and of the key in `#[requires(..)]`; its form says how its value is written.

use std::time::Duration;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};
use tower_delegation_demands::{Form, Key, Repeat, Word, closest};

use super::row::of_requirement;
use crate::{
    clock::Timestamp,
    context::{ApplicationKind, SubjectKind},
    error::ConfigError,
    issuer::ClaimPath,
    requirement::{AuthorizationDetail, Requirement, TimeWindow, Weekday},
};

pub(super) type Value<'t> = Spanned<DeValue<'t>>;
pub(super) type Entry<'a, 't> = (&'a Spanned<DeString<'t>>, &'a Value<'t>);
pub(super) type Read<T> = Result<T, Vec<Wrong>>;
type Text<'a> = Spanned<&'a str>;

/// What is wrong at a byte of the table's text.
pub(super) struct Wrong {
    pub(super) byte: usize,
    pub(super) problem: String,
}

pub(super) fn wrong<T, V>(at: &Spanned<V>, problem: impl Into<String>) -> Read<T> {
    Err(vec![Wrong { byte: at.span().start, problem: problem.into() }])
}

/// A row's key that is none.
pub(super) fn unknown(key: &Spanned<DeString<'_>>) -> Vec<Wrong> {
    const OF_ROW: [&str; 5] = ["methods", "path", "name", "public", "any_caller"];
    let known = Key::ALL.iter().map(|key| key.name()).chain(OF_ROW);
    not_one_of(key, "a row", known)
}

fn not_one_of<'k>(
    key: &Spanned<DeString<'_>>,
    what: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Vec<Wrong> {
    let name = key.get_ref();
    let like = closest(name, known).map(|like| format!(", did you mean `{like}`?")).unwrap_or_default();
    vec![Wrong { byte: key.span().start, problem: format!("`{name}` is no key of {what}{like}") }]
}

/// What a table says, in the order of its text.
pub(super) fn entries<'a, 't>(table: &'a DeTable<'t>) -> Vec<Entry<'a, 't>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// Adds every demand of `entries`, which are those of `whole`, and reports every mistake.
pub(super) fn read(mut is: Requirement, whole: &Value<'_>, entries: &[Entry<'_, '_>]) -> Read<Requirement> {
    let mut mistakes = Vec::new();
    for (name, value) in entries {
        let read = match Key::of(name.get_ref()) {
            None => Err(unknown(name)),
            Some(key) => demand(is.clone(), key, value).map_err(|wrong| {
                let named =
                    |Wrong { byte, problem }| Wrong { byte, problem: format!("`{}`: {problem}", key.name()) };
                wrong.into_iter().map(named).collect()
            }),
        };
        match read {
            Ok(more) => is = more,
            Err(more) => mistakes.extend(more),
        }
    }
    match is.checked() {
        Ok(is) if mistakes.is_empty() => return Ok(is),
        Ok(_) => {}
        Err(error) => mistakes.extend(error.mistakes().map(|mistake| together(mistake, whole, entries))),
    }
    Err(mistakes)
}

/// A mistake of demands that were read, at the key that it is about.
fn together(mistake: &ConfigError, whole: &Value<'_>, entries: &[Entry<'_, '_>]) -> Wrong {
    let of =
        |name: &str| entries.iter().find(|(key, _)| key.get_ref() == name).map(|(key, _)| key.span().start);
    let any = |key| Key::of(key).and_then(Key::any).and_then(|any| of(any.name()));
    let byte = match mistake {
        ConfigError::InvalidRequirement { key, .. } => of(key).or_else(|| any(key)),
        _ => None,
    };
    Wrong { byte: byte.unwrap_or(whole.span().start), problem: of_requirement(mistake) }
}

/// A key of a form whose keys are listed here, and that is not among them.
fn unlisted<T, V>(at: &Spanned<V>) -> Read<T> {
    wrong(at, "it cannot be written in a table")
}

fn demand(is: Requirement, key: Key, value: &Value<'_>) -> Read<Requirement> {
    Ok(match key.form() {
        Form::Flag => return flag(is, key, value),
        Form::One(_) => texts(value)?.into_iter().try_fold(is, |is, text| one_of(is, key, &[text]))?,
        Form::Any(_) if key.repeat() == Repeat::All => {
            choices(value)?.iter().try_fold(is, |is, choice| one_of(is, key, choice))?
        }
        Form::Any(_) => one_of(is, key, &list(value)?)?,
        Form::Within(Word::Scope) => is.scopes_within(plain(&list(value)?)),
        Form::Within(Word::Audience) => is.audiences_within(plain(&list(value)?)),
        Form::Number if key == Key::MaxActors => is.max_actors(number(value)?),
        Form::Seconds => match key {
            Key::MaxTokenLifetime => is.max_token_lifetime(seconds(value)?),
            Key::MaxTokenAge => is.max_token_age(seconds(value)?),
            Key::MaxAuthenticationAge => is.max_authentication_age(seconds(value)?),
            _ => return unlisted(value),
        },
        Form::Pair(..) | Form::PairAny(..) => {
            pairs(value)?.into_iter().try_fold(is, |is, (first, second)| pair(is, key, &first, second))?
        }
        Form::AnyPair(..) if key == Key::AnyActorOf => {
            let pairs =
                pairs(value)?.into_iter().map(|(issuer, actor)| Ok((single(value, &issuer)?, text(actor)?)));
            is.any_actor_of(pairs.collect::<Read<Vec<_>>>()?)
        }
        Form::Level(_) if key == Key::RiskBelow => {
            pairs(value)?.into_iter().try_fold(is, |is, (signal, level)| {
                single(value, &signal).and_then(|signal| Ok(is.risk_below(signal, number(level)?)))
            })?
        }
        Form::Window => each(is, value, window, Requirement::time_window)?,
        Form::AnyWindow => {
            is.any_time_window(tables(value)?.into_iter().map(window).collect::<Read<Vec<_>>>()?)
        }
        Form::Detail => each(is, value, detail, Requirement::authorization_detail)?,
        Form::Parts => match key {
            Key::AllOf => is.all_of(tables(value)?.into_iter().map(part).collect::<Read<Vec<_>>>()?),
            Key::AnyOf => is.any_of(tables(value)?.into_iter().map(part).collect::<Read<Vec<_>>>()?),
            Key::Not => each(is, value, part, Requirement::not)?,
            _ => return unlisted(value),
        },
        Form::Exception => exception(is, value)?,
        Form::Within(_) | Form::Number | Form::AnyPair(..) | Form::Level(_) => return unlisted(value),
    })
}

fn each<'a, 't, T>(
    is: Requirement,
    value: &'a Value<'t>,
    read: impl Fn(Table<'a, 't>) -> Read<T>,
    add: impl Fn(Requirement, T) -> Requirement,
) -> Read<Requirement> {
    tables(value)?.into_iter().try_fold(is, |is, table| Ok(add(is, read(table)?)))
}

fn flag(is: Requirement, key: Key, value: &Value<'_>) -> Read<Requirement> {
    // `false` would read as a demand of the opposite, and is none.
    if !matches!(value.get_ref(), DeValue::Boolean(true)) {
        return wrong(value, "write `true`, or leave the key out");
    }
    match key {
        Key::Shadow => Ok(is.shadow()),
        _ => is.with_flag(key).map_or_else(|| unlisted(value), Ok),
    }
}

/// One text, or a choice of texts.
fn one_of(is: Requirement, key: Key, texts: &[Text<'_>]) -> Read<Requirement> {
    let words = plain(texts);
    let [first, ..] = texts else { return Ok(is) };
    Ok(match key.plain() {
        Key::Workload => is.any_workload(words),
        Key::SubjectKind => is.any_subject_kind(kinds(texts, SUBJECT_KINDS, SubjectKind::as_str)?),
        Key::ApplicationKind => is.any_application_kind(application_kinds(texts)?),
        Key::PresenterKind => is.any_presenter_kind(application_kinds(texts)?),
        Key::ActorKind => is.any_actor_kind(application_kinds(texts)?),
        Key::TenantMatchesHeader => is.tenant_matches_header(first.get_ref()),
        _ => return is.with_texts(key, &words).map_or_else(|| unlisted(first), Ok),
    })
}

fn pair(is: Requirement, key: Key, first: &[Text<'_>], second: &Value<'_>) -> Read<Requirement> {
    let claim = ClaimPath::from(plain(first).as_slice());
    Ok(match key {
        Key::ActorOf => is.actor_of(single(second, first)?, text(second)?),
        Key::ClaimEquals => is.claim_equals(claim, text(second)?),
        Key::ClaimOneOf => is.claim_one_of(claim, plain(&list(second)?)),
        Key::ClaimMatchesPath => is.claim_matches_path(claim, text(second)?),
        Key::ClaimMatchesHeader => is.claim_matches_header(claim, text(second)?),
        Key::Purpose => is.purpose(claim, text(second)?),
        Key::AnyPurpose => is.any_purpose(claim, plain(&list(second)?)),
        _ => return unlisted(second),
    })
}

fn plain<'a>(texts: &[Text<'a>]) -> Vec<&'a str> {
    texts.iter().map(|text| *text.get_ref()).collect()
}

fn text<'a>(value: &'a Value<'_>) -> Read<&'a str> {
    value.get_ref().as_str().map_or_else(|| wrong(value, "expected text"), Ok)
}

/// One text, or a list of them.
fn texts<'a>(value: &'a Value<'_>) -> Read<Vec<Text<'a>>> {
    match value.get_ref() {
        DeValue::String(text) => Ok(vec![Spanned::new(value.span(), text)]),
        DeValue::Array(values) if !values.is_empty() => list(value),
        _ => wrong(value, "expected text, or a list of texts that is not empty"),
    }
}

fn list<'a>(value: &'a Value<'_>) -> Read<Vec<Text<'a>>> {
    const EXPECTED: &str = "expected a list of texts that is not empty";
    let values = value.get_ref().as_array().filter(|values| !values.is_empty());
    let Some(values) = values else { return wrong(value, EXPECTED) };
    let text = |value: &'a Value<'_>| match value.get_ref().as_str() {
        Some(text) => Ok(Spanned::new(value.span(), text)),
        None => wrong(value, EXPECTED),
    };
    values.iter().map(text).collect()
}

/// One choice, or a list of choices.
fn choices<'a>(value: &'a Value<'_>) -> Read<Vec<Vec<Text<'a>>>> {
    match value.get_ref().as_array() {
        Some(values) if values.first().is_some_and(|first| first.get_ref().is_array()) => {
            values.iter().map(list).collect()
        }
        _ => Ok(vec![list(value)?]),
    }
}

fn number<N: TryFrom<i64>>(value: &Value<'_>) -> Read<N> {
    let number = value.get_ref().as_integer();
    let number = number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
    let number = number.and_then(|number| N::try_from(number).ok());
    number.map_or_else(|| wrong(value, "expected a number in its range"), Ok)
}

fn seconds(value: &Value<'_>) -> Read<Duration> {
    number(value)
        .map(Duration::from_secs)
        .or_else(|_: Vec<Wrong>| wrong(value, "expected a number of seconds"))
}

const SUBJECT_KINDS: &[SubjectKind] = &[SubjectKind::User, SubjectKind::Service];
const APPLICATION_KINDS: &[ApplicationKind] =
    &[ApplicationKind::Application, ApplicationKind::Service, ApplicationKind::Agent];

fn application_kinds(texts: &[Text<'_>]) -> Read<Vec<ApplicationKind>> {
    kinds(texts, APPLICATION_KINDS, ApplicationKind::as_str)
}

fn kinds<K: Copy>(texts: &[Text<'_>], known: &[K], name: fn(K) -> &'static str) -> Read<Vec<K>> {
    let kind = |text: &Text<'_>| match known.iter().find(|kind| name(**kind) == *text.get_ref()) {
        Some(kind) => Ok(*kind),
        None => {
            let names: Vec<_> = known.iter().map(|kind| format!("{:?}", name(*kind))).collect();
            wrong(text, format!("expected {}", names.join(" or ")))
        }
    };
    texts.iter().map(kind).collect()
}

const PAIRS: &str = r#"write `{ "first" = "second" }`, or a list of pairs: `[["first", "second"]]`"#;

/// `{ first = "second" }`, or `[["first", "second"], ..]`; the first may be a list that
/// leads to a claim.
fn pairs<'a, 't>(value: &'a Value<'t>) -> Read<Vec<(Vec<Text<'a>>, &'a Value<'t>)>> {
    let pairs = match value.get_ref() {
        DeValue::Table(table) => {
            let pair =
                |(key, second): Entry<'a, 't>| (vec![Spanned::new(key.span(), &**key.get_ref())], second);
            entries(table).into_iter().map(pair).collect()
        }
        DeValue::Array(pairs) => {
            let pair = |pair: &'a Value<'t>| match pair.get_ref().as_array().map(|pair| &**pair) {
                Some([first, second]) => Ok((texts(first)?, second)),
                _ => wrong(pair, PAIRS),
            };
            pairs.iter().map(pair).collect::<Read<Vec<_>>>()?
        }
        _ => Vec::new(),
    };
    if pairs.is_empty() { wrong(value, PAIRS) } else { Ok(pairs) }
}

/// The first of a pair, where no list leads to it.
fn single<'a>(pair: &Value<'_>, first: &[Text<'a>]) -> Read<&'a str> {
    match first {
        [first] => Ok(first.get_ref()),
        _ => wrong(pair, PAIRS),
    }
}

type Table<'a, 't> = (&'a Value<'t>, &'a DeTable<'t>);

/// One table, or a list of tables.
fn tables<'a, 't>(value: &'a Value<'t>) -> Read<Vec<Table<'a, 't>>> {
    const EXPECTED: &str = "expected a table, or a list of tables";
    let table = |value: &'a Value<'t>| match value.get_ref().as_table() {
        Some(table) => Ok((value, table)),
        None => wrong(value, EXPECTED),
    };
    match value.get_ref().as_array() {
        Some(values) if values.is_empty() => wrong(value, EXPECTED),
        Some(values) => values.iter().map(table).collect(),
        None => Ok(vec![table(value)?]),
    }
}

/// A requirement without a name of its own.
fn part((whole, table): Table<'_, '_>) -> Read<Requirement> {
    read(Requirement::new(), whole, &entries(table))
}

fn window((whole, table): Table<'_, '_>) -> Read<TimeWindow> {
    let time = |key: &str| {
        let value = table.get(key);
        let time = value.and_then(|value| value.get_ref().as_str()?.split_once(':'));
        let time = time.and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)));
        let expected = || format!(r#"`{key}` is no time of day: write `{key} = "08:30"`"#);
        time.map_or_else(|| wrong(value.unwrap_or(whole), expected()), Ok)
    };
    let mut window = TimeWindow::daily(time("start")?, time("end")?);
    for (key, value) in entries(table) {
        window = match &**key.get_ref() {
            "start" | "end" => window,
            "utc_offset_minutes" => window.utc_offset_minutes(number(value)?),
            "days" => {
                let day = |text: Text<'_>| {
                    let day = text.get_ref().parse::<Weekday>();
                    day.or_else(|error| wrong(&text, error.to_string()))
                };
                window.on(texts(value)?.into_iter().map(day).collect::<Read<Vec<_>>>()?)
            }
            _ => {
                let known = ["start", "end", "utc_offset_minutes", "days"];
                return Err(not_one_of(key, "a time window", known));
            }
        };
    }
    Ok(window)
}

fn detail((whole, table): Table<'_, '_>) -> Read<AuthorizationDetail> {
    let Some(kind) = table.get("type") else { return wrong(whole, r#"it has no `type = ".."`"#) };
    let mut detail = AuthorizationDetail::of_type(text(kind)?);
    for (key, value) in entries(table) {
        let all = |detail, add: fn(AuthorizationDetail, &str) -> AuthorizationDetail| -> Read<_> {
            Ok(plain(&texts(value)?).into_iter().fold(detail, add))
        };
        detail = match &**key.get_ref() {
            "type" => detail,
            "actions" => all(detail, AuthorizationDetail::action)?,
            "locations" => all(detail, AuthorizationDetail::location)?,
            "datatypes" => all(detail, AuthorizationDetail::datatype)?,
            "privileges" => all(detail, AuthorizationDetail::privilege)?,
            "identifier" => detail.identifier(text(value)?),
            "identifier_matches_path" => detail.identifier_matches_path(text(value)?),
            _ => {
                let lists = ["type", "actions", "locations", "datatypes", "privileges"];
                let known = lists.into_iter().chain(["identifier", "identifier_matches_path"]);
                return Err(not_one_of(key, "an authorization detail", known));
            }
        };
    }
    Ok(detail)
}

fn exception(is: Requirement, value: &Value<'_>) -> Read<Requirement> {
    const EXPECTED: &str = r#"write `{ reason = "..", until = 2027-03-31T00:00:00Z }`"#;
    let table = value.get_ref().as_table().filter(|table| table.len() == 2);
    let member = |key: &str| table.and_then(|table| table.get(key));
    let (Some(reason), Some(until)) = (member("reason"), member("until")) else {
        return wrong(value, EXPECTED);
    };
    let Some(reason) = reason.get_ref().as_str() else { return wrong(reason, EXPECTED) };
    let Some(moment) = until.get_ref().as_datetime() else { return wrong(until, EXPECTED) };
    // A time without an offset would be another moment on another machine.
    let format = &time::format_description::well_known::Rfc3339;
    match time::OffsetDateTime::parse(&moment.to_string(), format) {
        Ok(moment) => {
            let until = Timestamp::from_unix_seconds(moment.unix_timestamp());
            Ok(is.exception(reason.to_owned(), until))
        }
        Err(error) => wrong(until, format!("{moment} is no moment: {error}; {EXPECTED}")),
    }
}
