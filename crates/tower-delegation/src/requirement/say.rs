//! A requirement for people and for inventories: one line, or one JSON object.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use tower_delegation_demands::{CLAIM_SEPARATOR, Key, Stated};

use super::{
    demand::{Demand, Enforcement, Requirement},
    detail::{AuthorizationDetail, Identifier},
    window::{TimeWindow, Weekday},
};
use crate::{
    issuer::ClaimPath,
    names::{IssuerUrl, SubjectId},
    spiffe::SpiffePattern,
};

/// What is demanded under one key.
pub(super) enum Said<'r> {
    Flag,
    Number(i64),
    Text(Cow<'r, str>),
    Claim(&'r ClaimPath),
    /// One of these is enough.
    Any(Vec<Self>),
    /// Each of these must hold.
    All(Vec<Self>),
    List(Vec<Self>),
    Members(Vec<(&'static str, Self)>),
    Part(&'r Requirement),
}

impl<'r> Said<'r> {
    pub(super) fn text(text: &'r (impl AsRef<str> + ?Sized)) -> Self {
        Self::Text(Cow::Borrowed(text.as_ref()))
    }

    pub(super) fn number(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// Whole seconds, rounded up.
    pub(super) fn seconds(duration: Duration) -> Self {
        let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
        Self::Number(i64::try_from(seconds).unwrap_or(i64::MAX))
    }

    /// One text, or one of several.
    pub(super) fn any<T: AsRef<str> + ?Sized + 'r>(texts: impl IntoIterator<Item = &'r T>) -> Self {
        Self::one_of(texts.into_iter().map(Self::text).collect())
    }

    pub(super) fn list<T: AsRef<str> + ?Sized + 'r>(texts: impl IntoIterator<Item = &'r T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    pub(super) fn one_of(alternatives: Vec<Self>) -> Self {
        one_or(alternatives, Self::Any)
    }

    pub(super) fn actor((issuer, actor): &'r (IssuerUrl, SubjectId)) -> Self {
        Self::Members(vec![("issuer", Self::text(issuer)), ("actor", Self::text(actor))])
    }

    pub(super) fn level(signal: &'r str, level: u8) -> Self {
        Self::Members(vec![("signal", Self::text(signal)), ("level", Self::Number(level.into()))])
    }

    pub(super) fn claim(claim: &'r ClaimPath, name: &'static str, with: Self) -> Self {
        Self::Members(vec![("claim", Self::Claim(claim)), (name, with)])
    }

    /// Its texts and its number, one after the other.
    pub(super) fn state(self, to: &mut Stated<'r>) {
        match self {
            Self::Number(number) => to.number = u64::try_from(number).ok(),
            Self::Text(text) => to.texts.push(Some(text)),
            Self::Claim(path) => {
                let names: Vec<&str> = path.segments().collect();
                to.texts.push(Some(names.join(CLAIM_SEPARATOR.encode_utf8(&mut [0; 4])).into()));
            }
            Self::Any(several) => {
                to.key = to.key.any().unwrap_or(to.key);
                several.into_iter().for_each(|said| said.state(to));
            }
            Self::All(several) | Self::List(several) => several.into_iter().for_each(|said| said.state(to)),
            Self::Members(members) => members.into_iter().for_each(|(_, said)| said.state(to)),
            Self::Flag | Self::Part(_) => {}
        }
    }
}

fn one_or<'r>(mut several: Vec<Said<'r>>, more: impl FnOnce(Vec<Said<'r>>) -> Said<'r>) -> Said<'r> {
    match several.pop() {
        Some(only) if several.is_empty() => only,
        last => more(several.into_iter().chain(last).collect()),
    }
}

impl Demand {
    /// What it demands under its key.
    pub(super) fn say(&self) -> Said<'_> {
        match self {
            Self::SenderConstrained
            | Self::MutualTls
            | Self::Dpop
            | Self::OnBehalfOfUser
            | Self::NotOnBehalfOfUser
            | Self::Delegated
            | Self::NotDelegated => Said::Flag,
            Self::Issuer(any) => Said::any(any),
            Self::Tenant(any) => Said::any(any),
            Self::Audience(any) => Said::any(any),
            Self::AudiencesWithin(bound) => Said::list(bound),
            Self::ScopesWithin(bound) => Said::list(bound),
            Self::MaxTokenLifetime(max) | Self::MaxTokenAge(max) | Self::MaxAuthenticationAge(max) => {
                Said::seconds(*max)
            }
            Self::Workload(any) => Said::any(any.iter().map(SpiffePattern::as_str)),
            Self::SubjectKind(any) => Said::any(any.iter().map(|kind| kind.as_str())),
            Self::MaxActors(max) => Said::number(*max),
            Self::DenyActor(id) => Said::text(id),
            Self::Actor(any) => Said::any(any),
            Self::ActorOf(any) => Said::one_of(any.iter().map(Said::actor).collect()),
            Self::DenyClient(id) => Said::text(id),
            Self::Client(any) => Said::any(any),
            Self::ApplicationKind(any) | Self::PresenterKind(any) | Self::ActorKind(any) => {
                Said::any(any.iter().map(|kind| kind.as_str()))
            }
            Self::Application(any)
            | Self::ApplicationTenant(any)
            | Self::ApplicationEnvironment(any)
            | Self::Presenter(any)
            | Self::PresenterTenant(any)
            | Self::PresenterEnvironment(any)
            | Self::Role(any)
            | Self::Permission(any)
            | Self::Group(any)
            | Self::Acr(any)
            | Self::Scope(any) => Said::any(any),
            Self::TimeWindow(any) => Said::one_of(any.iter().map(TimeWindow::say).collect()),
            Self::RiskBelow(signal, level) => Said::level(signal, *level),
            Self::ClaimOneOf(claim, values) => Said::claim(claim, "value", Said::any(values)),
            Self::ClaimMatchesPath(claim, name) => Said::claim(claim, "parameter", Said::text(name)),
            Self::ClaimMatchesHeader(claim, name) => Said::claim(claim, "header", Said::text(name)),
            Self::Purpose(claim, any) => Said::claim(claim, "purpose", Said::any(any)),
            Self::TenantMatchesPath(name) | Self::SubjectMatchesPath(name) => Said::text(name),
            Self::TenantMatchesHeader(name) => Said::text(name),
            Self::AuthorizationDetail(detail) => detail.say(),
            Self::AllOf(parts) | Self::AnyOf(parts) => Said::List(parts.iter().map(Said::Part).collect()),
            Self::Not(part) => Said::Part(part),
        }
    }

    /// As the declaration judges it.
    pub(super) fn stated(&self) -> Stated<'_> {
        let mut stated = Stated { key: self.key(), texts: Vec::new(), number: None };
        self.say().state(&mut stated);
        stated
    }
}

impl AuthorizationDetail {
    fn say(&self) -> Said<'_> {
        let mut members = vec![("type", Said::text(&self.kind))];
        for (name, list) in [
            ("actions", &self.actions),
            ("locations", &self.locations),
            ("datatypes", &self.datatypes),
            ("privileges", &self.privileges),
        ] {
            if !list.is_empty() {
                members.push((name, Said::list(list)));
            }
        }
        members.extend(self.identifier.as_ref().map(|identifier| match identifier {
            Identifier::Text(text) => ("identifier", Said::text(text)),
            Identifier::PathParameter(name) => ("identifier_matches_path", Said::text(name)),
        }));
        Said::Members(members)
    }
}

impl TimeWindow {
    fn say(&self) -> Said<'_> {
        let clock = |(hour, minute): (u8, u8)| Said::Text(format!("{hour:02}:{minute:02}").into());
        Said::Members(vec![
            ("start", clock(self.start)),
            ("end", clock(self.end)),
            ("utc_offset_minutes", Said::Number(self.utc_offset_minutes.into())),
            ("days", Said::list(self.days().map(Weekday::as_str))),
        ])
    }
}

/// Everything that a requirement demands, in the order of its checks, each under
/// its key.
fn members(requirement: &Requirement) -> Vec<(&'static str, Said<'_>)> {
    let mut keys: Vec<(Key, Vec<Said<'_>>)> = Vec::new();
    for (key, said) in requirement.demands.iter().map(|demand| (demand.key(), demand.say())) {
        match keys.last_mut() {
            Some((last, several)) if *last == key => several.push(said),
            _ => keys.push((key, vec![said])),
        }
    }
    let of = |(key, several): (Key, Vec<_>)| {
        let is_flag = matches!(several.as_slice(), [Said::Flag, ..]);
        (key.name(), if is_flag { Said::Flag } else { one_or(several, Said::All) })
    };
    let mode = match &requirement.enforcement {
        Enforcement::Enforced => None,
        Enforcement::Shadow => Some((Key::Shadow.name(), Said::Flag)),
        Enforcement::Excepted { reason, until } => {
            let until = Said::Number(until.unix_seconds());
            Some((
                Key::Exception.name(),
                Said::Members(vec![("reason", Said::text(reason)), ("until", until)]),
            ))
        }
    };
    keys.into_iter().map(of).chain(mode).collect()
}

/// One line: the name, and every demand by its key, in the order in which they
/// are checked. Several values are `all [ .. ]` or `any [ .. ]`, as they must be met.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name.escape_debug())?;
        match members(self) {
            demands if demands.is_empty() => f.write_str("a verified token"),
            demands => each(f, "; ", &demands, |f, (name, said)| write!(f, "{name}{said}")),
        }
    }
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, several: &[Said<'_>]| {
            write!(f, "{word} [")?;
            each(f, ",", several, |f, said| write!(f, "{said}"))?;
            f.write_str(" ]")
        };
        match self {
            Self::Flag => Ok(()),
            Self::Number(number) => write!(f, " {number}"),
            Self::Text(text) => write!(f, " \"{}\"", text.escape_debug()),
            // One name as text, several as a list: a dot may be part of a name.
            Self::Claim(path) => {
                write!(f, "{}", one_or(path.segments().map(Self::text).collect(), Self::List))
            }
            Self::Any(several) => list(f, " any", several),
            Self::All(several) => list(f, " all", several),
            Self::List(several) => list(f, "", several),
            Self::Members(members) => {
                f.write_str(" { ")?;
                each(f, "; ", members, |f, (name, said)| write!(f, "{name}{said}"))?;
                f.write_str(" }")
            }
            Self::Part(requirement) => write!(f, " ({requirement})"),
        }
    }
}

fn each<T>(
    f: &mut fmt::Formatter<'_>,
    between: &str,
    list: &[T],
    mut one: impl FnMut(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (at, entry) in list.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { between })?;
        one(f, entry)?;
    }
    Ok(())
}

/// One object, for inventories: `name`, and every demand under its key. Several
/// values are `{"all": [..]}` or `{"any": [..]}`, as they must be met. A flag is
/// `true`, durations are whole seconds, times are seconds since 1970. What is not
/// demanded is left out. The shape is stable: members may be added in a minor version.
impl Serialize for Requirement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let demands = members(self);
        let mut map = serializer.serialize_map(Some(demands.len() + 1))?;
        map.serialize_entry("name", &self.name)?;
        for (name, said) in &demands {
            map.serialize_entry(name, said)?;
        }
        map.end()
    }
}

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag => serializer.serialize_bool(true),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Claim(path) => {
                one_or(path.segments().map(Self::text).collect(), Self::List).serialize(serializer)
            }
            Self::Any(several) => serializer.collect_map([("any", several)]),
            Self::All(several) => serializer.collect_map([("all", several)]),
            Self::List(several) => serializer.collect_seq(several),
            Self::Members(list) => serializer.collect_map(list.iter().map(|(name, said)| (name, said))),
            Self::Part(requirement) => requirement.serialize(serializer),
        }
    }
}
