//! SPIFFE identifiers of workloads, and patterns over them.
//!
//! 1. `spiffe://`, a trust domain of `[a-z0-9.-_]`, a path of segments of
//!    `[a-zA-Z0-9.-_]`: accepted (SPIFFE-ID section 2).
//! 2. A port, user information, a query, a fragment, percent-encoding, an empty
//!    segment, `.`, `..`, a trailing slash: refused.
//! 3. An upper-case scheme or trust domain: refused. The text of an identifier
//!    is what is compared and written down, so there is one text for each.
//! 4. More than [`MAX_SPIFFE_ID_LEN`] bytes: refused (SPIFFE-ID section 2.3).
//!
//! # Deployment caveat
//!
//! An identifier proves nothing by itself: anyone who makes a certificate can write
//! any into it. What counts is that the certificate chains to the trust bundle
//! of the identifier's own trust domain (X509-SVID section 5).
//!
//! # Example
//!
//! ```
//! use tower_delegation::spiffe::{SpiffeId, SpiffePattern};
//!
//! let workload = SpiffeId::new("spiffe://example.org/ns/shop/sa/orders")?;
//! assert_eq!(workload.trust_domain(), "example.org");
//!
//! let any_in_shop = SpiffePattern::new("spiffe://example.org/ns/shop/**")?;
//! assert!(any_in_shop.matches(&workload));
//! let any_account = SpiffePattern::new("spiffe://example.org/ns/*/sa/orders")?;
//! assert!(any_account.matches(&workload));
//! let another = SpiffePattern::new("spiffe://example.org/ns/sho")?;
//! assert!(!another.matches(&workload));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use crate::error::ConfigError;

/// The longest SPIFFE ID that is accepted, in bytes.
pub const MAX_SPIFFE_ID_LEN: usize = 2048;

const SCHEME: &str = "spiffe://";

/// The identifier of a workload or, without a path, of a trust domain.
///
/// Cheap to clone. Compares by its text, of which there is only one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId(Arc<str>);

impl SpiffeId {
    /// Reads an identifier, strictly.
    ///
    /// # Errors
    ///
    /// The text is not a SPIFFE ID in its one normal form.
    pub fn new(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > MAX_SPIFFE_ID_LEN {
            return Err(SpiffeIdError(Problem::TooLong));
        }
        let parsed = spiffe::SpiffeId::new(text).map_err(|cause| SpiffeIdError(Problem::Grammar(cause)))?;
        // The parser puts scheme and trust domain into lower case.
        let name = text.strip_prefix(SCHEME).and_then(|rest| rest.split('/').next());
        if name != Some(parsed.trust_domain_name()) {
            return Err(SpiffeIdError(Problem::UpperCase));
        }
        Ok(Self(text.into()))
    }

    /// The whole identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain: `example.org` of `spiffe://example.org/ns/shop`.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.parts().0
    }

    /// The path with its leading slash, or the empty string.
    #[must_use]
    pub fn path(&self) -> &str {
        let (domain, _) = self.parts();
        self.0.get(SCHEME.len() + domain.len()..).unwrap_or_default()
    }

    /// Whether this names a workload, not just a trust domain.
    #[must_use]
    pub fn has_path(&self) -> bool {
        self.parts().1.is_some()
    }

    /// The segments of the path, from left to right.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.parts().1.into_iter().flat_map(|path| path.split('/'))
    }

    /// The trust domain, and what is behind the slash that ends it.
    fn parts(&self) -> (&str, Option<&str>) {
        let rest = self.0.strip_prefix(SCHEME).unwrap_or_default();
        rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)))
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        Self::new(text)
    }
}

impl AsRef<str> for SpiffeId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text is not a [`SpiffeId`].
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SpiffeIdError(Problem);

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("a SPIFFE ID has at most {MAX_SPIFFE_ID_LEN} bytes")]
    TooLong,
    #[error("the scheme and the trust domain of a SPIFFE ID are in lower case")]
    UpperCase,
    #[error("not a SPIFFE ID")]
    Grammar(#[source] spiffe::SpiffeIdError),
}

/// Which workloads are meant: one, or all whose path has a certain shape.
///
/// The trust domain always stands for itself. A segment `*` stands for exactly
/// one segment, a last segment `**` for one or more. Segments are compared
/// whole: `/ns/a` matches neither `/ns/ab` nor `/ns/a/b`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SpiffePattern {
    text: Box<str>,
    trust_domain: Box<str>,
    /// What every match begins with: up to the first wildcard and with the slash
    /// before it, so that whole segments are compared; all where there is none.
    literal: Box<str>,
    /// From the first wildcard on.
    segments: Box<[Segment]>,
    /// Whether one or more further segments follow: the pattern ends in `**`.
    open_ended: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Segment {
    Literal(Box<str>),
    Any,
}

impl SpiffePattern {
    /// Reads a pattern such as `spiffe://example.org/ns/*/sa/orders` or
    /// `spiffe://example.org/ns/shop/**`.
    ///
    /// # Errors
    ///
    /// The pattern has no path, has `**` before its last segment, `*` beside
    /// other characters or in the trust domain, or would not be a SPIFFE ID
    /// with its wildcards filled in.
    pub fn new(pattern: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: String| ConfigError::InvalidSpiffePattern { pattern: pattern.into(), problem };
        let Some((trust_domain, path)) = pattern
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.split_once('/'))
            .filter(|(_, path)| !path.is_empty())
        else {
            return Err(wrong(
                "write `spiffe://`, a trust domain and a path; `/**` for all its workloads".into(),
            ));
        };
        let (path, open_ended) = match path.rsplit_once('/') {
            Some((before, "**")) => (Some(before), true),
            None if path == "**" => (None, true),
            _ => (Some(path), false),
        };
        let mut segments: Vec<&str> = path.into_iter().flat_map(|path| path.split('/')).collect();
        if segments.contains(&"**") {
            return Err(wrong("`**` stands only at the end".into()));
        }
        // A wildcard stands for at least one character, so this is the shortest match.
        let example: Vec<_> =
            segments.iter().map(|segment| if *segment == "*" { "x" } else { segment }).collect();
        let tail = if open_ended { Some("x") } else { None };
        let path: Vec<_> = example.into_iter().chain(tail).collect();
        if let Err(error) = SpiffeId::new(&format!("{SCHEME}{trust_domain}/{}", path.join("/"))) {
            return Err(wrong(error.explain().into_owned()));
        }
        let wildcard = segments.iter().position(|segment| *segment == "*");
        let behind = segments.split_off(wildcard.unwrap_or(segments.len()));
        let literal = if wildcard.is_none() && !open_ended {
            pattern.to_owned()
        } else {
            let before = segments.into_iter().map(|segment| format!("{segment}/"));
            format!("{SCHEME}{trust_domain}/{}", before.collect::<String>())
        };
        let behind = behind.into_iter().map(|segment| match segment {
            "*" => Segment::Any,
            literal => Segment::Literal(literal.into()),
        });
        Ok(Self {
            text: pattern.into(),
            trust_domain: trust_domain.into(),
            literal: literal.into(),
            segments: behind.collect(),
            open_ended,
        })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain of every workload that is meant.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Whether `id` is one of the workloads that are meant.
    #[must_use]
    pub fn matches(&self, id: &SpiffeId) -> bool {
        let Some(rest) = id.as_str().strip_prefix(&*self.literal) else { return false };
        let has_wildcard = self.open_ended || !self.segments.is_empty();
        if !has_wildcard {
            return rest.is_empty();
        }
        let mut actual = rest.split('/');
        self.segments.iter().all(|wanted| {
            actual.next().is_some_and(|segment| match wanted {
                Segment::Literal(literal) => **literal == *segment,
                Segment::Any => true,
            })
        }) && actual.next().is_some() == self.open_ended
    }
}

impl FromStr for SpiffePattern {
    type Err = ConfigError;

    fn from_str(pattern: &str) -> Result<Self, ConfigError> {
        Self::new(pattern)
    }
}

impl fmt::Display for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl SpiffeIdError {
    /// The innermost explanation, for an error that has no room for a source.
    fn explain(&self) -> Cow<'static, str> {
        match &self.0 {
            Problem::Grammar(cause) => cause.to_string().into(),
            problem @ (Problem::TooLong | Problem::UpperCase) => problem.to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_identifier() {
        for (text, domain, path, segments) in [
            ("spiffe://example.org", "example.org", "", &[][..]),
            ("spiffe://example.org/orders", "example.org", "/orders", &["orders"]),
            (
                "spiffe://a-b_c.9/ns/shop/sa/web-fe",
                "a-b_c.9",
                "/ns/shop/sa/web-fe",
                &["ns", "shop", "sa", "web-fe"],
            ),
            ("spiffe://td/MixedCase/...", "td", "/MixedCase/...", &["MixedCase", "..."]),
        ] {
            let id = SpiffeId::new(text).unwrap();
            assert_eq!(
                (id.as_str(), id.trust_domain(), id.path(), id.has_path()),
                (text, domain, path, !path.is_empty())
            );
            assert_eq!(id.segments().collect::<Vec<_>>(), segments, "{text}");
        }
    }

    #[test]
    fn refused_identifiers() {
        let long = |len: usize| format!("spiffe://td/{}", "a".repeat(len - "spiffe://td/".len()));
        assert!(SpiffeId::new(&long(MAX_SPIFFE_ID_LEN)).is_ok());
        let too_long = long(MAX_SPIFFE_ID_LEN + 1);
        let long_domain = format!("spiffe://{}/a", "a".repeat(256));
        for text in [
            "",
            "spiffe:",
            "spiffe://",
            "spiffe:///path",
            "SPIFFE://td/path",
            "Spiffe://td/path",
            "spiffe://TD/path",
            "spiffe://td:8443/path",
            "spiffe://user@td/path",
            "spiffe://td/",
            "spiffe://td/path/",
            "spiffe://td//path",
            "spiffe://td/./path",
            "spiffe://td/path/..",
            "spiffe://td/%70ath",
            "spiffe://td/path?query",
            "spiffe://td/path#fragment",
            "spiffe://td?query",
            "spiffe://td/*",
            "spiffe://[::1]/path",
            " spiffe://td/path",
            "spiffe://td/path\n",
            "https://td/path",
            &too_long,
            &long_domain,
        ] {
            assert!(SpiffeId::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn patterns_match_by_segment() {
        for (pattern, id, matches) in [
            ("spiffe://td/ns/a", "spiffe://td/ns/a", true),
            ("spiffe://td/ns/a", "spiffe://td/ns/ab", false),
            ("spiffe://td/ns/a", "spiffe://td/ns/a/b", false),
            ("spiffe://td/ns/a", "spiffe://td/ns", false),
            ("spiffe://td/ns/a", "spiffe://td/NS/a", false),
            ("spiffe://td/ns/a", "spiffe://td.evil/ns/a", false),
            ("spiffe://td/ns/a", "spiffe://other/ns/a", false),
            ("spiffe://td/ns/*", "spiffe://td/ns/a", true),
            ("spiffe://td/ns/*", "spiffe://td/ns", false),
            ("spiffe://td/ns/*", "spiffe://td/ns/a/b", false),
            ("spiffe://td/ns/*/sa/a", "spiffe://td/ns/x/sa/a", true),
            ("spiffe://td/ns/*/sa/a", "spiffe://td/ns/x/sa/b", false),
            ("spiffe://td/ns/*/sa/a", "spiffe://td/ns/x/sa/ab", false),
            ("spiffe://td/ns/*/sa/a", "spiffe://td/nsx/x/sa/a", false),
            ("spiffe://td/ns/a/**", "spiffe://td/ns/ab/c", false),
            ("spiffe://td/*/sa/*", "spiffe://td/a/sa/b", true),
            ("spiffe://td/*/sa/*", "spiffe://td/sa/b", false),
            ("spiffe://td/ns/**", "spiffe://td/ns/a", true),
            ("spiffe://td/ns/**", "spiffe://td/ns/a/b/c", true),
            ("spiffe://td/ns/**", "spiffe://td/ns", false),
            ("spiffe://td/ns/**", "spiffe://td/nsx/a", false),
            ("spiffe://td/*/**", "spiffe://td/a", false),
            ("spiffe://td/*/**", "spiffe://td/a/b", true),
            ("spiffe://td/**", "spiffe://td/a", true),
            ("spiffe://td/**", "spiffe://td", false),
            ("spiffe://td/*", "spiffe://td", false),
            ("spiffe://td/**", "spiffe://td2/a", false),
        ] {
            let read = SpiffePattern::new(pattern).unwrap();
            assert_eq!(read.matches(&SpiffeId::new(id).unwrap()), matches, "{pattern} on {id}");
            assert_eq!((read.as_str(), read.trust_domain()), (pattern, "td"));
        }
    }

    #[test]
    fn refused_patterns() {
        for pattern in [
            "",
            "*",
            "**",
            "td/ns/a",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://*/ns/a",
            "spiffe://*.td/ns/a",
            "spiffe://TD/ns/a",
            "spiffe:///**",
            "spiffe://td/ns/a*",
            "spiffe://td/ns/***",
            "spiffe://td/**/a",
            "spiffe://td/**/**",
            "spiffe://td/ns//a",
            "spiffe://td//**",
            "spiffe://td/ns/../a",
            "spiffe://td/ns/**/",
            "spiffe://td/ns/{name}",
        ] {
            let error = SpiffePattern::new(pattern).unwrap_err();
            assert!(matches!(error, ConfigError::InvalidSpiffePattern { .. }), "{pattern:?}: {error}");
        }
    }
}
