//! `htu`: which URI a proof is for (RFC 9449 section 4.3, RFC 3986 section 6.2).

use url::{Position, Url};

use crate::{error::ConfigError, web_url::check_protected};

/// What this service is called by its clients.
#[derive(Debug)]
pub(super) struct Targets(Box<[Origin]>);

/// A URL that the path of each request is appended to, normalized and without a
/// slash at its end.
#[derive(Debug)]
pub(super) struct Origin {
    uri: String,
    /// Scheme, host and port alone.
    root: String,
}

impl Targets {
    pub(super) fn new(origins: Box<[Origin]>) -> Self {
        Self(origins)
    }

    /// Scheme, host and port of each, in order.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|origin| origin.root.as_str())
    }

    /// The place of the origin at which `htu` is the URI of a request with this path.
    /// Query and fragment do not count, and the spelling does not matter where RFC
    /// 3986 section 6.2 says so.
    pub(super) fn find(&self, htu: &str, path: &str) -> Option<usize> {
        // `*` and an authority are no paths (RFC 9112 section 3.2).
        if !path.starts_with('/') {
            return None;
        }
        // Most clients spell it as we do: nothing is parsed then.
        let is_same = |origin: &Origin| htu.strip_prefix(origin.uri.as_str()) == Some(path);
        self.0.iter().position(is_same).or_else(|| {
            let htu = normalized(htu)?;
            let is_equal = |uri: String| uri == htu;
            self.0
                .iter()
                .position(|origin| normalized(&format!("{}{path}", origin.uri)).is_some_and(is_equal))
        })
    }
}

impl Targets {
    /// Whether any of the URLs has the scheme, host and port of this one.
    pub(super) fn are_at_host_of(&self, url: &str) -> bool {
        let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
        let wanted = origin(url);
        wanted.is_some() && self.0.iter().any(|own| origin(&own.uri) == wanted)
    }
}

impl Origin {
    pub(super) fn parse(origin: &str) -> Result<Self, ConfigError> {
        let invalid = |problem| ConfigError::InvalidUrl {
            url: origin.to_owned(),
            purpose: "the URL that clients know the service by",
            problem,
        };
        let url = Url::parse(origin).or(Err(invalid("it does not parse: give an absolute `https` URL")))?;
        check_protected(&url).map_err(invalid)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it holds credentials: leave them out"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it has a query or a fragment: give no more than a path"));
        }
        let mut uri = normalized(origin).ok_or(invalid("it is not spelled as a URL: give it in full"))?;
        while uri.ends_with('/') {
            uri.pop();
        }
        Ok(Self { uri, root: url[..Position::BeforePath].to_owned() })
    }

    /// Any origin, also plain `http`.
    #[cfg(test)]
    pub(super) fn of_test(origin: &str) -> Self {
        let uri = normalized(origin).unwrap().trim_end_matches('/').to_owned();
        Self { root: uri.clone(), uri }
    }
}

/// An `http` or `https` URI in the one spelling of RFC 3986 sections 6.2.2 and
/// 6.2.3, without query and fragment. `None` for anything that is not spelled as
/// such a URI: what the parser for browsers would mend is not mended here.
pub(super) fn normalized(uri: &str) -> Option<String> {
    let is_odd = |byte: u8| byte <= b' ' || byte == 0x7f || byte == b'\\';
    if uri.bytes().any(is_odd) {
        return None;
    }
    let (scheme, rest) = uri.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    // Case of scheme and host, default port, dot segments, empty path, non-ASCII.
    let url = Url::parse(uri).ok()?;
    let mut normal = String::with_capacity(uri.len());
    normal.push_str(&url[..Position::BeforePath]);
    push_path(&mut normal, url.path())?;
    Some(normal)
}

/// Appends a path with its percent-encoding in upper case, and with what needs no
/// encoding decoded (RFC 3986 sections 6.2.2.1 and 6.2.2.2).
fn push_path(normal: &mut String, path: &str) -> Option<()> {
    let mut parts = path.split('%');
    normal.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        // `from_str_radix` alone would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let octet = u8::from_str_radix(digits, 16).ok()?;
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            normal.push(char::from(octet));
        } else {
            normal.push('%');
            normal.push_str(&digits.to_ascii_uppercase());
        }
        normal.push_str(rest);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(origins: &[&str]) -> Targets {
        Targets::new(origins.iter().map(|origin| Origin::parse(origin).unwrap()).collect())
    }

    #[test]
    fn spellings_of_one_uri() {
        let api = targets(&["https://api.example.com", "http://[::1]:8080/v1/"]);
        for (name, htu, path) in [
            ("the same", "https://api.example.com/orders", "/orders"),
            ("case of scheme and host", "HTTPS://API.Example.COM/orders", "/orders"),
            ("default port", "https://api.example.com:443/orders", "/orders"),
            ("empty port", "https://api.example.com:/orders", "/orders"),
            ("empty path", "https://api.example.com", "/"),
            ("query", "https://api.example.com/orders?a=b", "/orders"),
            ("fragment", "https://api.example.com/orders#a", "/orders"),
            ("case of the encoding in htu", "https://api.example.com/a%2fb", "/a%2Fb"),
            ("case of the encoding in the path", "https://api.example.com/a%2Fb", "/a%2fb"),
            ("unreserved in htu", "https://api.example.com/%7Eal%69ce", "/~alice"),
            ("unreserved in the path", "https://api.example.com/~alice", "/%7ealice"),
            ("dot segments", "https://api.example.com/a/./b/../c", "/a/c"),
            ("encoded dot segments", "https://api.example.com/a/%2E%2e/c", "/c"),
            ("two slashes", "https://api.example.com//a", "//a"),
            ("IRI", "https://api.example.com/\u{fc}", "/%C3%BC"),
            ("the other origin", "http://[::1]:8080/v1/orders", "/orders"),
            ("the other origin, other spelling", "http://[0:0::1]:8080/v1/orders", "/orders"),
        ] {
            assert!(api.find(htu, path).is_some(), "{name}");
        }
    }

    #[test]
    fn the_root_has_no_path_and_one_spelling() {
        let api =
            targets(&["https://API.example.com:443/v1/", "https://api.example.com", "http://[0::1]:80"]);
        let roots: Vec<_> = api.roots().collect();
        assert_eq!(roots, ["https://api.example.com", "https://api.example.com", "http://[::1]"]);
        assert_eq!(api.find("https://api.example.com/v1/a", "/a"), Some(0));
        assert_eq!(api.find("https://api.example.com/v1/a", "/v1/a"), Some(1));
    }

    #[test]
    fn other_uris() {
        let api = targets(&["https://api.example.com", "https://example.com/orders"]);
        for (name, htu, path) in [
            ("another path", "https://api.example.com/orders", "/orders/"),
            ("case of the path", "https://api.example.com/Orders", "/orders"),
            ("a prefix", "https://api.example.com/orders/1", "/orders"),
            ("another host", "https://api.example.org/orders", "/orders"),
            ("a longer host", "https://api.example.com.evil.org/orders", "/orders"),
            ("a host in the user part", "https://api.example.com@evil.org/orders", "/orders"),
            ("a user part", "https://user@api.example.com/orders", "/orders"),
            ("an empty user part", "https://@api.example.com/orders", "/orders"),
            ("http", "http://api.example.com/orders", "/orders"),
            ("another port", "https://api.example.com:8443/orders", "/orders"),
            ("without the prefix", "https://example.com/1", "/1"),
            ("the prefix is no segment", "https://example.com/orders1", "1"),
            ("an encoded slash is no slash", "https://api.example.com/a%2Fb", "/a/b"),
            ("a reserved character stays encoded", "https://api.example.com/a%3Bb", "/a;b"),
            ("broken encoding", "https://api.example.com/a%2", "/a%252"),
            ("encoding with a sign", "https://api.example.com/a%+5", "/a%05"),
            ("relative", "/orders", "/orders"),
            ("no slashes", "https:api.example.com/orders", "/orders"),
            ("three slashes", "https:///api.example.com/orders", "/orders"),
            ("backslashes", "https:\\\\api.example.com\\orders", "/orders"),
            ("a space", " https://api.example.com/orders", "/orders"),
            ("a line feed", "https://api.example.com/ord\ners", "/orders"),
            ("another scheme", "ftp://api.example.com/orders", "/orders"),
            ("empty", "", "/"),
            ("asterisk form", "https://api.example.com*", "*"),
            ("authority form", "https://api.example.com", ""),
        ] {
            assert_eq!(api.find(htu, path), None, "{name}");
        }
    }

    #[test]
    fn origins_that_are_refused() {
        for (name, origin) in [
            ("plain http", "http://api.example.com"),
            ("no URL", "api.example.com"),
            ("another scheme", "ftp://api.example.com"),
            ("credentials", "https://user@api.example.com"),
            ("query", "https://api.example.com/?a"),
            ("fragment", "https://api.example.com/#a"),
            ("empty", ""),
            ("mended by browsers", "https:/api.example.com"),
        ] {
            assert!(Origin::parse(origin).is_err(), "{name}");
        }
        for origin in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1", "https://a.example/b/"]
        {
            assert!(Origin::parse(origin).is_ok(), "{origin}");
        }
    }
}
