//! Scopes: single ones and sets (RFC 6749 section 3.3).

use std::fmt;

use crate::error::ConfigError;

/// One scope: printable ASCII without space, `"` and `\` (RFC 6749 section 3.3).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Box<str>);

impl Scope {
    /// Checks and keeps a scope.
    ///
    /// # Errors
    /// [`ConfigError::InvalidScope`] if `scope` is not a `scope-token`.
    pub fn new(scope: &str) -> Result<Self, ConfigError> {
        if is_scope_token(scope) {
            Ok(Self(scope.into()))
        } else {
            Err(ConfigError::InvalidScope { scope: scope.to_owned() })
        }
    }

    /// The scope's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The scopes of a token: an ordered set, kept as the space-delimited string
/// that the standards use (RFC 8693 section 4.2).
///
/// A token has a handful of scopes, so membership is a scan over one string:
/// no hashing, one allocation for the whole set.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(Box<str>);

impl ScopeSet {
    /// Reads the `scope` claim. The empty string is the empty set; anything but
    /// scope-tokens separated by single spaces is `None`.
    pub(crate) fn parse(claim: &str) -> Option<Self> {
        if claim.is_empty() {
            return Some(Self::default());
        }
        claim.split(' ').all(is_scope_token).then(|| Self(claim.into()))
    }

    /// Is this very scope in the set? No prefixes, no wildcards.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|member| member == scope)
    }

    /// The scopes, in the token's order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|scope| !scope.is_empty())
    }

    /// The scopes that `keep` holds for. `None` if it holds for all.
    pub(crate) fn cut(&self, keep: impl Fn(&str) -> bool) -> Option<Self> {
        if self.iter().all(&keep) {
            return None;
        }
        let kept: Vec<_> = self.iter().filter(|scope| keep(scope)).collect();
        Some(Self(kept.join(" ").into()))
    }

    /// Has the token no scope at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes as one space-delimited string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`, RFC 6749 section 3.3.
fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership_is_exact() {
        let scopes = ScopeSet::parse("orders:read profile orders:refund").unwrap();
        assert!(scopes.contains("orders:read"));
        for absent in ["orders", "orders:rea", "orders:read profile", "ORDERS:READ", "", " "] {
            assert!(!scopes.contains(absent), "{absent:?}");
        }
        assert_eq!(scopes.iter().count(), 3);
    }

    #[test]
    fn malformed_sets_are_refused() {
        for claim in [" a", "a ", "a  b", " ", "a\tb", "a\nb", "a\"b", "a\\b", "grüße"] {
            assert_eq!(ScopeSet::parse(claim), None, "{claim:?}");
        }
        assert!(ScopeSet::parse("").unwrap().is_empty());
    }

    #[test]
    fn a_scope_is_one_token() {
        assert!(Scope::new("orders:read").is_ok());
        for bad in ["", "a b", "a\"", "a\\", "a\n", "é"] {
            assert!(Scope::new(bad).is_err(), "{bad:?}");
        }
    }
}
