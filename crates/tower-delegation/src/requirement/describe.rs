//! A requirement for people and for inventories: one line, or one JSON object.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::Requirement;
use crate::{clock::Timestamp, issuer::ClaimPath};

/// Everything that a requirement demands, in the order of its checks, each
/// under the name of the method that demands it.
pub(super) struct Description<'r>(Vec<(&'static str, Said<'r>)>);

/// What is demanded under one name.
pub(super) enum Said<'r> {
    Flag,
    Number(u64),
    Signed(i64),
    Text(String),
    Several(Vec<Self>),
    Members(Vec<(&'static str, Self)>),
    Part(&'r Requirement),
}

impl Said<'_> {
    pub(super) fn text(text: &(impl ToString + ?Sized)) -> Self {
        Self::Text(text.to_string())
    }

    pub(super) fn texts(texts: impl IntoIterator<Item: ToString>) -> Self {
        Self::Several(texts.into_iter().map(|text| Self::text(&text)).collect())
    }

    /// One name as text, several as a list: a dot may be part of a name.
    pub(super) fn path(path: &ClaimPath) -> Self {
        let mut names: Vec<Self> = path.segments().map(Self::text).collect();
        match names.pop() {
            Some(only) if names.is_empty() => only,
            last => Self::Several(names.into_iter().chain(last).collect()),
        }
    }
}

impl<'r> Description<'r> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of(requirement: &'r Requirement) -> Self {
        let mut this = Self(Vec::new());
        let to = &mut this;
        requirement.origin.describe(to);
        requirement.sender.describe(to);
        requirement.parties.describe(to);
        requirement.applications.describe(to);
        requirement.circumstances.describe(to);
        requirement.comparisons.describe(to);
        requirement.grants.describe(to);
        requirement.composition.describe(to);
        requirement.authentication.describe(to);
        requirement.scopes.describe(to);
        if let Some(leniency) = &requirement.leniency {
            leniency.describe(to);
        }
        this
    }

    pub(super) fn flag(&mut self, name: &'static str, is_set: bool) {
        if is_set {
            self.0.push((name, Said::Flag));
        }
    }

    pub(super) fn number(&mut self, name: &'static str, number: Option<usize>) {
        let number = number.map(|number| Said::Number(u64::try_from(number).unwrap_or(u64::MAX)));
        self.0.extend(number.map(|number| (name, number)));
    }

    pub(super) fn seconds(&mut self, name: &'static str, duration: Option<Duration>) {
        self.0.extend(duration.map(|duration| (name, Said::Number(duration.as_secs()))));
    }

    /// A list, left out where it is empty.
    pub(super) fn texts(&mut self, name: &'static str, texts: impl IntoIterator<Item: ToString>) {
        self.several(name, texts.into_iter().map(|text| Said::text(&text)));
    }

    /// A list that says something when it is empty, too.
    pub(super) fn list(&mut self, name: &'static str, texts: impl IntoIterator<Item: ToString>) {
        self.0.push((name, Said::texts(texts)));
    }

    /// A list of choices.
    pub(super) fn choices<T: ToString>(&mut self, name: &'static str, choices: &[Vec<T>]) {
        let texts = |choice: &Vec<T>| Said::texts(choice.iter().map(T::to_string));
        self.several(name, choices.iter().map(texts));
    }

    pub(super) fn several(&mut self, name: &'static str, several: impl IntoIterator<Item = Said<'r>>) {
        let several: Vec<_> = several.into_iter().collect();
        if !several.is_empty() {
            self.0.push((name, Said::Several(several)));
        }
    }

    pub(super) fn exception(&mut self, reason: &str, until: Timestamp) {
        let until = Said::Signed(until.unix_seconds());
        self.0.push(("exception", Said::Members(vec![("reason", Said::text(reason)), ("until", until)])));
    }
}

/// One line: the name, and every demand by the name of its method, in the order
/// in which they are checked.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Description(demands) = Description::of(self);
        write!(f, "{}: ", self.name.escape_debug())?;
        if demands.is_empty() {
            return f.write_str("a verified token");
        }
        members(f, &demands)
    }
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => Ok(()),
            Self::Number(number) => write!(f, " {number}"),
            Self::Signed(number) => write!(f, " {number}"),
            Self::Text(text) => write!(f, " \"{}\"", text.escape_debug()),
            Self::Several(several) => {
                f.write_str(" [")?;
                for (at, said) in several.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    write!(f, "{said}")?;
                }
                f.write_str(" ]")
            }
            Self::Members(list) => {
                f.write_str(" { ")?;
                members(f, list)?;
                f.write_str(" }")
            }
            Self::Part(requirement) => write!(f, " ({requirement})"),
        }
    }
}

fn members(f: &mut fmt::Formatter<'_>, list: &[(&str, Said<'_>)]) -> fmt::Result {
    for (at, (name, said)) in list.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { "; " })?;
        write!(f, "{name}{said}")?;
    }
    Ok(())
}

/// One object, for inventories: `name`, and every demand under the name of its
/// method. A flag is `true`, durations are whole seconds, times are seconds
/// since 1970. What is not demanded is left out. The shape is stable: members
/// may be added in a minor version.
impl Serialize for Requirement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Description(demands) = Description::of(self);
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
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Signed(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Several(several) => serializer.collect_seq(several),
            Self::Members(list) => serializer.collect_map(list.iter().map(|(name, said)| (name, said))),
            Self::Part(requirement) => requirement.serialize(serializer),
        }
    }
}
