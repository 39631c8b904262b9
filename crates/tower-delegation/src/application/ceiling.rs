//! [`Ceiling`]: how much of one kind of grant an application may ever use.

use std::fmt;

use serde::{Serialize, Serializer};

/// The roles, permissions, groups or types of authorization details that an
/// application may ever use: all of them, or those that its entry lists.
///
/// `Display` and `Serialize` write `all`, or the names as a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling(Option<Box<[Box<str>]>>);

impl Ceiling {
    pub(super) const ALL: Self = Self(None);

    pub(super) fn of(mut names: Vec<Box<str>>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self(Some(names.into()))
    }

    /// May it ever use everything of this kind?
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// The names that it may ever use, in alphabetical order. `None`: all.
    #[must_use]
    pub fn names(&self) -> Option<impl ExactSizeIterator<Item = &str>> {
        self.0.as_deref().map(|names| names.iter().map(|name| &**name))
    }

    /// May it ever use this very name? No prefixes, no wildcards.
    #[must_use]
    pub fn permits(&self, name: &str) -> bool {
        self.0.as_deref().is_none_or(|names| names.binary_search_by(|one| (**one).cmp(name)).is_ok())
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names() {
            None => f.write_str("all"),
            Some(names) => f.debug_list().entries(names).finish(),
        }
    }
}

impl Serialize for Ceiling {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.names() {
            None => serializer.serialize_str("all"),
            Some(names) => serializer.collect_seq(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_is_exact() {
        let named = Ceiling::of(vec!["b".into(), "a c".into(), "b".into()]);
        assert_eq!(named.to_string(), r#"["a c", "b"]"#);
        assert!(!named.is_all() && named.permits("b") && named.permits("a c"));
        for beyond in ["a", "c", "B", "", "b "] {
            assert!(!named.permits(beyond), "{beyond:?}");
        }
        assert!(Ceiling::ALL.permits("anything"));
        assert_eq!(Ceiling::ALL.to_string(), "all");
        assert!(!Ceiling::of(Vec::new()).permits(""));
        assert_eq!(Ceiling::of(Vec::new()).to_string(), "[]");
    }
}
