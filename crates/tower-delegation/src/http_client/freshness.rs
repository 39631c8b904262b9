//! How long an answer is good, and what it is called.

use std::time::Duration;

use http::{HeaderMap, header};

use super::answer::text;

/// The longest `ETag` that is kept, in octets.
const MAX_ETAG_LEN: usize = 1024;

/// What the answer says about its validity (RFC 9111 section 5.2, RFC 9110 section 8.8.3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Freshness {
    pub(crate) etag: Option<String>,
    /// How long the answer stays fresh from now; `None` if it does not say.
    pub(crate) max_age: Option<Duration>,
}

impl Freshness {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let etag = text(headers, &header::ETAG).filter(|etag| etag.len() <= MAX_ETAG_LEN).map(str::to_owned);
        let directives = headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim);
        let max_age = directives.filter_map(lifetime_of_directive).min();
        let age = text(headers, &header::AGE).and_then(seconds).unwrap_or_default();
        Self { etag, max_age: max_age.map(|max_age| max_age.saturating_sub(age)) }
    }
}

fn lifetime_of_directive(directive: &str) -> Option<Duration> {
    if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache") {
        return Some(Duration::ZERO);
    }
    let (name, value) = directive.split_once('=')?;
    name.eq_ignore_ascii_case("max-age").then(|| seconds(value)).flatten()
}

fn seconds(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn cache_control_is_read() {
        type Fields = &'static [(&'static str, &'static str)];
        let rows: &[(&str, Fields, Option<u64>)] = &[
            ("none", &[], None),
            ("max-age", &[("cache-control", "public, max-age=600")], Some(600)),
            ("case and space", &[("cache-control", "Max-Age=60 , must-revalidate")], Some(60)),
            (
                "several: the least",
                &[("cache-control", "max-age=600"), ("cache-control", "max-age=5")],
                Some(5),
            ),
            ("no-store wins", &[("cache-control", "max-age=600, no-store")], Some(0)),
            ("no-cache", &[("cache-control", "no-cache")], Some(0)),
            ("minus the age", &[("cache-control", "max-age=600"), ("age", "200")], Some(400)),
            ("older than it may be", &[("cache-control", "max-age=600"), ("age", "9999")], Some(0)),
            ("not a number", &[("cache-control", "max-age=-1, s-maxage=9")], None),
            ("too large a number", &[("cache-control", "max-age=99999999999999999999999")], None),
        ];
        for (name, fields, expected) in rows {
            let mut headers = HeaderMap::new();
            for (field, value) in *fields {
                headers.append(HeaderName::from_static(field), value.parse().unwrap());
            }
            assert_eq!(Freshness::of(&headers).max_age, expected.map(Duration::from_secs), "{name}");
        }
    }

    #[test]
    fn an_overlong_etag_is_not_kept() {
        for (len, kept) in [(MAX_ETAG_LEN, true), (MAX_ETAG_LEN + 1, false)] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ETAG, "e".repeat(len).parse().unwrap());
            assert_eq!(Freshness::of(&headers).etag.is_some(), kept, "{len}");
        }
    }
}
