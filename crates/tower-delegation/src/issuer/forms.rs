//! Where a claim is found in a token, and in which form it lists things.

use std::fmt;

/// The claims of RFC 9068 section 2.2.3.1.
pub(super) const ROLES: &str = "roles";
pub(super) const PERMISSIONS: &str = "entitlements";
pub(super) const GROUPS: &str = "groups";

/// Where a claim is found in a token: one member name, or several, each inside
/// the object that the former one names.
///
/// A dot is part of a name: `"p1.userId"` is one claim, and
/// `["realm_access", "roles"]` is the member `roles` of the claim `realm_access`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath(pub(super) Box<[Box<str>]>);

impl ClaimPath {
    /// The member names, the outermost first.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|segment| &**segment)
    }

    pub(crate) fn is_sound(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|segment| !segment.is_empty())
    }

    /// Does it lead to an actor before the current one, which never grants (RFC 8693 section 4.1)?
    pub(super) fn is_of_earlier_actors(&self) -> bool {
        matches!(&*self.0, [first, second, ..] if **first == *"act" && **second == *"act")
    }

    /// Does it lead to this claim, or to something in it?
    pub(super) fn is_in(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    pub(super) fn is(&self, name: &str) -> bool {
        matches!(&*self.0, [only] if **only == *name)
    }
}

/// The member names with dots between them, for people to read.
impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl From<&str> for ClaimPath {
    fn from(name: &str) -> Self {
        Self([name.into()].into())
    }
}

impl From<String> for ClaimPath {
    fn from(name: String) -> Self {
        Self([name.into()].into())
    }
}

impl From<Vec<String>> for ClaimPath {
    fn from(names: Vec<String>) -> Self {
        Self(names.into_iter().map(Box::from).collect())
    }
}

impl<const N: usize> From<[&str; N]> for ClaimPath {
    fn from(names: [&str; N]) -> Self {
        Self::from(names.as_slice())
    }
}

impl From<&[&str]> for ClaimPath {
    fn from(names: &[&str]) -> Self {
        Self(names.iter().map(|name| Box::from(*name)).collect())
    }
}

/// How a claim lists scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScopeForm {
    /// One string, space-delimited (RFC 8693 section 4.2).
    String,
    /// An array with one scope in each entry. An entry with a space is
    /// malformed, never split.
    Array,
    /// Either of the two.
    Either,
}

/// How a claim lists roles, permissions or groups. A text is never split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameForm {
    /// An array with one name in each entry.
    Array,
    /// One text, which is one name.
    String,
    /// An array or one text: for providers that write a list of one as a text.
    Either,
    /// An array whose entries are names, or objects with the name in the member
    /// `value` (RFC 7643 section 2.4), such as
    /// `[{ "value": "clerk", "display": "Clerk" }]`.
    Values,
    /// An object whose member names are the names, such as
    /// `{ "clerk": { "1": "org.test" } }`. A member that is `null`, `false`,
    /// zero or empty, all through, grants nothing.
    Members,
}

/// How a token lists its actors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ActorForm {
    /// `act` inside `act` (RFC 8693 section 4.1).
    Nested,
    /// The current one in `act`, those before it in a list of their own.
    Beside(ClaimPath),
    /// This issuer knows no actors: a token with one is refused.
    Refused,
}

/// May `act` be a string with a JSON object in it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActorText {
    Refused,
    Allowed,
}

/// How RFC 9068 section 2.2.3.1 lists names: as the resource schema of a user
/// does (RFC 7643 section 4.1.2).
pub(super) fn standard(name: &str) -> Vec<(ClaimPath, NameForm)> {
    vec![(name.into(), NameForm::Values)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_is_part_of_a_name() {
        assert_eq!(ClaimPath::from("p1.userId").segments().collect::<Vec<_>>(), ["p1.userId"]);
        let path = ClaimPath::from(["kubernetes.io", "namespace"]);
        assert_eq!(path.segments().collect::<Vec<_>>(), ["kubernetes.io", "namespace"]);
        assert_eq!(ClaimPath::from("kubernetes.io".to_owned()), ClaimPath::from("kubernetes.io"));
        assert_eq!(ClaimPath::from(vec!["kubernetes.io".to_owned(), "namespace".to_owned()]), path);
    }

    #[test]
    fn a_path_from_a_configuration_can_be_unsound() {
        for (name, path) in [
            ("no name", ClaimPath::from(String::new())),
            ("no segment", ClaimPath::from(Vec::<String>::new())),
            ("an empty segment", ClaimPath::from(vec!["a".to_owned(), String::new()])),
        ] {
            assert!(!path.is_sound(), "{name}");
        }
    }
}
