//! Which header fields pass.
//!
//! Names are compared in every spelling: servers exist that take `_` and `.` for `-`.

use std::net::IpAddr;

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, SET_COOKIE, VIA, WWW_AUTHENTICATE},
};

/// Fields of one connection (RFC 9110 section 7.6.1), in addition to those that `Connection`
/// names. Trailers do not pass, so they are not announced.
const OF_ONE_CONNECTION: &[&str] = &[
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the caller proves itself with, here and nowhere else.
const CREDENTIALS: &[&str] = &["authorization", "dpop"];

/// Where a request has come from, as the caller says.
const ORIGINS: &[&str] =
    &["cf-connecting-ip", "forwarded", "true-client-ip", "x-client-ip", "x-cluster-client-ip", "x-real-ip"];

/// Fields that give a request another method or target than the one that the rule was
/// about.
const OVERRIDES: &[&str] =
    &["x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Leaves what the service may see of the caller's header fields, and adds what this gateway
/// knows itself. `Authorization` is not there afterwards.
pub(crate) fn for_upstream(
    headers: &mut HeaderMap,
    caller: Option<IpAddr>,
    version: Version,
    forward_cookies: bool,
) {
    let nominated = nominated(headers);
    remove(headers, |name| {
        OF_ONE_CONNECTION.contains(&name)
            || CREDENTIALS.contains(&name)
            || ORIGINS.contains(&name)
            || OVERRIDES.contains(&name)
            || name.starts_with("x-forwarded-")
            || nominated.iter().any(|nominated| nominated == name)
            || (!forward_cookies && matches!(name, "cookie" | "cookie2"))
    });
    // The client sets them, by the URL and by the body that there is.
    for field in [HOST, CONTENT_LENGTH, EXPECT] {
        headers.remove(field);
    }
    headers.append(VIA, via(version));
    if let Some(value) = caller.and_then(|caller| HeaderValue::try_from(caller.to_string()).ok()) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

/// Leaves what the caller may see of the service's header fields.
pub(crate) fn for_caller(headers: &mut HeaderMap, forward_cookies: bool) {
    let nominated = nominated(headers);
    remove(headers, |name| {
        OF_ONE_CONNECTION.contains(&name) || nominated.iter().any(|nominated| nominated == name)
    });
    if !forward_cookies {
        headers.remove(SET_COOKIE);
    }
    // It is about the gateway's token: the caller is asked for its own.
    if headers.remove(WWW_AUTHENTICATE).is_some() {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
}

/// The fields that `Connection` names.
fn nominated(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| spelled(name.trim())).collect()
}

fn remove(headers: &mut HeaderMap, is_removed: impl Fn(&str) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| is_removed(&spelled(name.as_str()))).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn spelled(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// RFC 9110 section 7.6.3: with which version the request came, and a pseudonym.
fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 gateway",
        Version::HTTP_10 => "1.0 gateway",
        _ => "1.1 gateway",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(fields: &[(&str, &str)], forward_cookies: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        for_upstream(&mut headers, None, Version::HTTP_11, forward_cookies);
        headers.remove(VIA);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_the_services_business_stays_here() {
        for (name, field, value) in [
            ("the token", "authorization", "Bearer t"),
            ("a proof", "dpop", "p"),
            ("the session", "cookie", "session=1"),
            ("whence, as the caller says", "x-forwarded-for", "203.0.113.7"),
            ("the same, as another server reads it", "x_forwarded_for", "203.0.113.7"),
            ("whence, by the standard", "forwarded", "for=203.0.113.7"),
            ("whence, by a vendor", "true-client-ip", "203.0.113.7"),
            ("another method", "x-http-method-override", "DELETE"),
            ("another target", "x-original-url", "/admin"),
            ("of one connection", "te", "trailers"),
            ("an upgrade", "upgrade", "websocket"),
            ("another host", "host", "admin.internal"),
            ("another length", "content-length", "5"),
        ] {
            assert_eq!(left(&[(field, value)], false), [""; 0], "{name}: {field}");
        }
    }

    #[test]
    fn connection_names_what_stays_here_too() {
        let fields =
            [("connection", "close, X-Hop ,x.other"), ("x-hop", "1"), ("x_other", "2"), ("accept", "*/*")];
        assert_eq!(left(&fields, false), ["accept"]);
    }

    #[test]
    fn everything_else_passes() {
        let fields = [
            ("content-type", "application/json"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("idempotency-key", "7"),
        ];
        assert_eq!(left(&fields, false), ["content-type", "traceparent", "idempotency-key"]);
        assert_eq!(left(&[("cookie", "theme=dark")], true), ["cookie"], "by choice");
    }
}
