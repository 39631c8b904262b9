//! Where a call goes: to a path beneath the downstream's URL.

use http::Uri;
use url::Url;

use crate::{reason::DenialReason, routes::is_unambiguous};

/// The URL of a path, with or without a query, beneath `base`: whatever the path says, it is of
/// the same origin.
pub(super) fn beneath(base: &Url, path_and_query: &str) -> Result<Url, DenialReason> {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    // What a parser would cut off, strip or encode is refused, not mended.
    let is_query = |query: &str| query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !is_unambiguous(path) || path.contains('#') || !query.is_none_or(is_query) {
        return Err(DenialReason::PathAmbiguous);
    }
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url.set_fragment(None);
    Ok(url)
}

/// The URL that a request's target names at the downstream: that of its path where it names no
/// origin, else its own, which must be of the same origin.
pub(super) fn of_uri(base: &Url, uri: &Uri) -> Result<Url, DenialReason> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if uri.scheme().is_none() && uri.authority().is_none() {
        return beneath(base, path);
    }
    let origin = Url::parse(&uri.to_string()).map_err(|_cause| DenialReason::DownstreamRequestInvalid)?;
    if origin.origin() != base.origin() || !origin.username().is_empty() || origin.password().is_some() {
        return Err(DenialReason::DownstreamRequestInvalid);
    }
    let mut root = base.clone();
    root.set_path("");
    beneath(&root, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leaves_the_downstream() {
        for (name, path) in [
            ("nothing", ""),
            ("no slash in front", "items"),
            ("another host", "//evil.example.com/items"),
            ("three slashes", "///evil.example.com"),
            ("another host by backslashes", "/\\evil.example.com"),
            ("backslashes alone", "\\\\evil.example.com"),
            ("a URL", "https://evil.example.com/items"),
            ("a URL of its own", "https://stock.example.com/items"),
            ("a scheme", "javascript:alert(1)"),
            ("user information", "@evil.example.com/items"),
            ("a port", ":8443/items"),
            ("a longer host", ".evil.example.com/items"),
            ("up", "/../admin"),
            ("up in the middle", "/items/../../admin"),
            ("up at the end", "/items/.."),
            ("this", "/./items"),
            ("up, encoded", "/%2e%2e/admin"),
            ("up, half encoded", "/.%2E/admin"),
            ("up, encoded twice", "/%252e%252e/admin"),
            ("an encoded slash", "/items%2f7"),
            ("up by an encoded slash", "/..%2fadmin"),
            ("up by an encoded backslash", "/..%5cadmin"),
            ("an empty segment", "/items//7"),
            ("a tab, which parsers strip", "/\t/evil.example.com"),
            ("a line break", "/items\r\nx: y"),
            ("a space", "/items 7"),
            ("a fragment", "/items#7"),
            ("a fragment of the query", "/items?a=1#7"),
            ("a line break in the query", "/items?a=1\n"),
            ("a space in the query", "/items?a= 1"),
            ("beyond ASCII", "/ítems"),
            ("beyond ASCII in the query", "/items?a=í"),
        ] {
            for base in ["https://stock.example.com", "https://stock.example.com/api/v1/"] {
                let found = beneath(&Url::parse(base).unwrap(), path);
                assert_eq!(found, Err(DenialReason::PathAmbiguous), "{name}: {path}");
            }
        }
    }

    #[test]
    fn a_path_is_beneath_the_url() {
        for (base, path, expected) in [
            ("https://stock.example.com", "/", "https://stock.example.com/"),
            ("https://stock.example.com", "/items/7", "https://stock.example.com/items/7"),
            ("https://stock.example.com:8443/", "/items/", "https://stock.example.com:8443/items/"),
            (
                "https://stock.example.com/api",
                "/items?limit=5&x=%2F..//",
                "https://stock.example.com/api/items?limit=5&x=%2F..//",
            ),
            ("https://stock.example.com/api/", "/items", "https://stock.example.com/api/items"),
            ("https://stock.example.com/api?tenant=a", "/items", "https://stock.example.com/api/items"),
            ("https://stock.example.com", "/a%20b/@c:d", "https://stock.example.com/a%20b/@c:d"),
            ("http://[::1]:8080", "/100%25", "http://[::1]:8080/100%25"),
        ] {
            assert_eq!(beneath(&Url::parse(base).unwrap(), path).unwrap().as_str(), expected, "{path}");
        }
    }

    #[test]
    fn a_target_names_the_downstream_or_no_origin() {
        let base = Url::parse("https://stock.example.com/api").unwrap();
        for (uri, expected) in [
            ("/items?a=1", Ok("https://stock.example.com/api/items?a=1")),
            ("https://stock.example.com/items", Ok("https://stock.example.com/items")),
            ("https://STOCK.example.com:443/items", Ok("https://stock.example.com/items")),
            ("https://stock.example.com/../items", Err("path_ambiguous")),
            ("//evil.example.com/items", Err("path_ambiguous")),
            ("*", Err("path_ambiguous")),
            ("https://stock.example.com:8443/items", Err("downstream_request_invalid")),
            ("http://stock.example.com/items", Err("downstream_request_invalid")),
            ("https://stock.example.com.evil.example.com/items", Err("downstream_request_invalid")),
            ("https://stock.example.com@evil.example.com/items", Err("downstream_request_invalid")),
            ("https://alice@stock.example.com/items", Err("downstream_request_invalid")),
            ("stock.example.com:443", Err("downstream_request_invalid")),
        ] {
            let found = of_uri(&base, &uri.parse().unwrap());
            let found = found.as_ref().map(Url::as_str).map_err(|reason| reason.code());
            assert_eq!(found, expected, "{uri}");
        }
    }
}
