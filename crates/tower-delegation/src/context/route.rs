//! The route that axum has chosen for a request.

#[cfg(feature = "toml")]
use axum::extract::OriginalUri;
use axum::extract::{MatchedPath, NestedPath};
use http::{Extensions, Uri};

/// The template of the route that axum has chosen; `None` where no router has
/// chosen one for the place where the request is now.
///
/// A `MatchedPath` that does not begin with the `NestedPath` is left over from a
/// router further outside: `nest_service` inside of a route adds to the one and
/// keeps the other.
pub(crate) fn matched_route(extensions: &Extensions) -> Option<&MatchedPath> {
    let matched = extensions.get::<MatchedPath>()?;
    below_nested(extensions, matched.as_str()).map(|_| matched)
}

/// What of a template lies below the prefix of the nested routers that the request
/// has passed; `None` where the template does not begin with it.
pub(crate) fn below_nested<'t>(extensions: &Extensions, template: &'t str) -> Option<&'t str> {
    match extensions.get::<NestedPath>() {
        Some(nested) => below(nested.as_str(), template),
        None => Some(template),
    }
}

/// What follows the prefix of a nested router in a template, by whole segments.
fn below<'t>(prefix: &str, template: &'t str) -> Option<&'t str> {
    let rest = template.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Is `uri` what the nested routers that the request has passed leave of `received`?
/// Otherwise the request is another one, with the extensions of the one that was
/// received: of a batch, of a gateway.
pub(crate) fn is_rest_of(extensions: &Extensions, received: &Uri, uri: &Uri) -> bool {
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
#[cfg(feature = "toml")]
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

fn segments(path: &str) -> usize {
    path.split('/').filter(|segment| !segment.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

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
