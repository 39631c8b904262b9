//! [`Arrival`]: what the head of a request says, and when it came.
//!
//! The one file outside of `routing` that knows what axum puts into a request's extensions.

use std::net::SocketAddr;

#[cfg(feature = "axum")]
use axum::extract::{ConnectInfo, MatchedPath, NestedPath, OriginalUri};
use http::{
    Extensions, HeaderMap, Method, Request, Uri,
    header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE},
    request::Parts,
};

use crate::{clock::Moment, credential::PeerInfo};

/// The head of a request as it arrived, and when that was: the time that all of its
/// judgements go by, until it has to wait.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'r> {
    pub(crate) method: &'r Method,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) now: Moment,
    /// The target as it is here.
    pub(crate) uri: &'r Uri,
    extensions: &'r Extensions,
}

/// How answers are written, by what the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Http,
    Grpc,
}

impl<'r> Arrival<'r> {
    pub(crate) fn of<B>(request: &'r Request<B>, now: Moment) -> Self {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        Self { method, uri, headers, extensions: request.extensions(), now }
    }

    pub(crate) fn of_parts(parts: &'r Parts, now: Moment) -> Self {
        let Parts { method, uri, headers, extensions, .. } = parts;
        Self { method, uri, headers, extensions, now }
    }

    /// The target that the client sent: routers that are nested, and layers inside
    /// of them, see a shorter one.
    pub(crate) fn received_uri(self) -> &'r Uri {
        #[cfg(feature = "axum")]
        if let Some(OriginalUri(uri)) = self.extensions.get() {
            return uri;
        }
        self.uri
    }

    /// Whether the target is what is left of the one that the client sent.
    pub(crate) fn is_received(self) -> bool {
        #[cfg(feature = "axum")]
        return is_rest_of(self.extensions, self.received_uri(), self.uri);
        #[cfg(not(feature = "axum"))]
        true
    }

    /// How the request is to be answered.
    pub(crate) fn dialect(self) -> Dialect {
        // Every call in gRPC is a `POST`.
        if *self.method == Method::POST && is_grpc(self.headers) { Dialect::Grpc } else { Dialect::Http }
    }

    /// Whether it is a browser's question whether another request may be sent (CORS).
    pub(crate) fn is_preflight(self) -> bool {
        *self.method == Method::OPTIONS && self.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The other end of the connection, where the listener reports its address.
    pub(crate) fn client_address(self) -> Option<SocketAddr> {
        if let Some(peer) = peer_info(self.extensions) {
            return peer.address();
        }
        #[cfg(feature = "axum")]
        if let Some(ConnectInfo(address)) = self.extensions.get() {
            return Some(*address);
        }
        None
    }

    /// What a layer further outside has left for those inside.
    pub(crate) fn left<T: Clone + Send + Sync + 'static>(self) -> Option<&'r T> {
        self.extensions.get()
    }

    /// The template of the route, where a router has chosen one.
    pub(crate) fn route(self) -> Option<&'r Route> {
        #[cfg(feature = "axum")]
        return matched_route(self.extensions);
        #[cfg(not(feature = "axum"))]
        None
    }
}

/// The template of a route, shared with the router.
#[cfg(feature = "axum")]
pub(crate) type Route = MatchedPath;
/// Without axum no one names the route.
#[cfg(not(feature = "axum"))]
pub(crate) type Route = std::convert::Infallible;

/// What the listener put into the request's extensions.
pub(crate) fn peer_info(extensions: &Extensions) -> Option<&PeerInfo> {
    #[cfg(feature = "axum")]
    if let Some(ConnectInfo(peer)) = extensions.get() {
        return Some(peer);
    }
    extensions.get()
}

/// `application/grpc`, `application/grpc+proto`, but not `application/grpc-web`,
/// whose clients expect trailers in the body.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.splitn(2, ['+', ';']);
    parts.next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/grpc"))
}

/// The template of the route that axum has chosen; `None` where no router has
/// chosen one for the place where the request is now.
///
/// A `MatchedPath` that does not begin with the `NestedPath` is left over from a
/// router further outside: `nest_service` inside of a route adds to the one and
/// keeps the other.
#[cfg(feature = "axum")]
pub(crate) fn matched_route(extensions: &Extensions) -> Option<&MatchedPath> {
    let matched = extensions.get::<MatchedPath>()?;
    below_nested(extensions, matched.as_str()).map(|_| matched)
}

/// What of a template lies below the prefix of the nested routers that the request
/// has passed; `None` where the template does not begin with it.
#[cfg(feature = "axum")]
pub(crate) fn below_nested<'t>(extensions: &Extensions, template: &'t str) -> Option<&'t str> {
    match extensions.get::<NestedPath>() {
        Some(nested) => below(nested.as_str(), template),
        None => Some(template),
    }
}

/// What follows the prefix of a nested router in a template, by whole segments.
#[cfg(feature = "axum")]
fn below<'t>(prefix: &str, template: &'t str) -> Option<&'t str> {
    let rest = template.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Is `uri` what the nested routers that the request has passed leave of `received`?
/// Otherwise the request is another one, with the extensions of the one that was
/// received: of a batch, of a gateway.
#[cfg(feature = "axum")]
fn is_rest_of(extensions: &Extensions, received: &Uri, uri: &Uri) -> bool {
    let (received_path, path) = (received.path(), uri.path());
    let cut = match (received_path.strip_suffix(path), path) {
        (Some(cut), _) => cut,
        // What is left of the prefix itself.
        (None, "/") => received_path,
        (None, _) => return false,
    };
    let nested = extensions.get::<NestedPath>().map_or("", NestedPath::as_str);
    received.query() == uri.query() && segments(cut) == segments(nested)
}

/// The path as the client sent it, also where a router or a layer has cut off a
/// prefix. `OriginalUri` is that of another request where the path is no rest of it:
/// then the path is what is in the request, and `None` where nested routers have
/// cut off some of that.
#[cfg(feature = "axum")]
pub(crate) fn received_path<'r>(extensions: &'r Extensions, uri: &'r Uri) -> Option<&'r str> {
    let path = uri.path();
    match extensions.get::<OriginalUri>() {
        Some(OriginalUri(received))
            if (path != "/" && received.path().ends_with(path)) || is_rest_of(extensions, received, uri) =>
        {
            Some(received.path())
        }
        Some(_) if extensions.get::<NestedPath>().is_some() => None,
        _ => Some(path),
    }
}

#[cfg(feature = "axum")]
fn segments(path: &str) -> usize {
    path.split('/').filter(|segment| !segment.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc; charset=x", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_grpc(&headers), expected, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[cfg(feature = "axum")]
    #[test]
    fn a_prefix_ends_where_a_segment_does() {
        for (prefix, template, expected) in [
            ("/api", "/api/orders", Some("/orders")),
            ("/api", "/api", Some("")),
            ("/api", "/api/", Some("/")),
            ("/api/", "/api/orders", Some("/orders")),
            ("/{tenant}", "/{tenant}/orders", Some("/orders")),
            ("/api", "/apis", None),
            ("/api", "/{*rest}", None),
            ("/api/v1", "/api/{*rest}", None),
        ] {
            assert_eq!(below(prefix, template), expected, "{prefix} {template}");
        }
    }
}
