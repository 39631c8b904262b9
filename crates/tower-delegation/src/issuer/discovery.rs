//! Keys by way of the issuer's metadata (RFC 8414, OpenID Connect Discovery).

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use url::Url;

use crate::{
    clock::Clock,
    error::ConfigError,
    http_client::{FetchErrorKind, Fetched, HttpClient, check_transport, configured_url, is_loopback},
    jwks::{JwksUrl, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind},
    names::IssuerUrl,
};

const MEDIA_TYPES: &[&str] = &["application/json"];

/// How long metadata is taken as current, unless a key set cannot be fetched.
const METADATA_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The places where an issuer's metadata may stand, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetadataUrls(Vec<Url>);

impl MetadataUrls {
    /// For an issuer that is an `https` URL, or `http` to a loopback address,
    /// without query and fragment (RFC 8414 section 2).
    pub(super) fn of(issuer: &str) -> Result<Self, ConfigError> {
        const PURPOSE: &str = "an issuer to discover";
        let url = configured_url(issuer, PURPOSE)?;
        if url.query().is_some() {
            let problem = "it has a query: an issuer identifier has none";
            return Err(ConfigError::InvalidUrl { url: issuer.to_owned(), purpose: PURPOSE, problem });
        }
        // A terminating slash is removed in every form (RFC 8414 section 3.1,
        // OpenID Connect Discovery section 4.1).
        let path = url.path().strip_suffix('/').unwrap_or(url.path());
        let mut urls = Vec::new();
        for path in [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("/.well-known/openid-configuration{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ] {
            let mut candidate = url.clone();
            candidate.set_path(&path);
            if !urls.contains(&candidate) {
                urls.push(candidate);
            }
        }
        Ok(Self(urls))
    }

    /// Whether the issuer is on this machine, so that its keys may be, too.
    fn are_loopback_http(&self) -> bool {
        self.0.first().is_some_and(|url| url.scheme() == "http" && is_loopback(url))
    }
}

/// Where [`TrustedIssuer::discover`](super::TrustedIssuer::discover) looks for
/// an issuer's metadata, in the order in which the places are tried: what a
/// firewall for outgoing requests has to let through, beside the key set itself.
///
/// 1. `/.well-known/oauth-authorization-server{path}` on the issuer's host (RFC 8414 section 3.1)
/// 2. `/.well-known/openid-configuration{path}` on the issuer's host (RFC 8414 section 5)
/// 3. `{issuer}/.well-known/openid-configuration` (OpenID Connect Discovery section 4)
///
/// A slash at the end of the issuer's path is left out; the third is the second
/// again for an issuer without a path. The next place is tried where one has no
/// metadata or another issuer's, which is not followed; never after an outage.
///
/// # Errors
/// [`ConfigError::InvalidUrl`] for an issuer that cannot be discovered.
///
/// # Example
/// ```
/// use tower_delegation::issuer::metadata_urls;
///
/// let urls: Vec<String> = metadata_urls("https://idp.example.com/tenant-a")?.collect();
/// assert_eq!(urls, [
///     "https://idp.example.com/.well-known/oauth-authorization-server/tenant-a",
///     "https://idp.example.com/.well-known/openid-configuration/tenant-a",
///     "https://idp.example.com/tenant-a/.well-known/openid-configuration",
/// ]);
/// assert!(metadata_urls("https://idp.example.com?tenant=a").is_err());
/// # Ok::<(), tower_delegation::error::ConfigError>(())
/// ```
pub fn metadata_urls(issuer: &str) -> Result<impl Iterator<Item = String> + use<>, ConfigError> {
    Ok(MetadataUrls::of(issuer)?.0.into_iter().map(String::from))
}

/// A key source that learns the key set's URL from the issuer's metadata.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: IssuerUrl,
    metadata_urls: MetadataUrls,
    client: HttpClient,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    jwks_uri: Url,
    /// On the monotonic clock; zero once a key set could not be fetched.
    valid_until: Duration,
    /// The `ETag` that this URL sent last.
    etag: Option<String>,
}

impl Discovery {
    pub(super) fn new(
        issuer: IssuerUrl,
        metadata_urls: MetadataUrls,
        client: HttpClient,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { issuer, metadata_urls, client, clock, known: Mutex::new(None) }
    }

    /// Reads the metadata from the first place that has any.
    async fn discover(&self) -> Result<Url, KeySourceError> {
        let mut nothing_found = None;
        let mut other_issuer = None;
        for url in &self.metadata_urls.0 {
            match self.client.get_json(url, MEDIA_TYPES, None).await {
                Ok(Fetched::Document { body, .. }) => match Metadata::parse(&body) {
                    Ok(Some(metadata)) => match self.jwks_uri(&metadata) {
                        Err(error) if error.kind() == KeySourceErrorKind::IssuerMismatch => {
                            other_issuer.get_or_insert(error);
                        }
                        found => return found,
                    },
                    Ok(None) => {
                        nothing_found.get_or_insert_with(|| KeySourceErrorKind::MetadataInvalid.into());
                    }
                    Err(error) => {
                        return Err(KeySourceError::new(KeySourceErrorKind::MetadataInvalid, error));
                    }
                },
                Ok(Fetched::NotModified(_)) => {
                    nothing_found.get_or_insert_with(|| KeySourceErrorKind::Refused.into());
                }
                Err(error) => match error.kind() {
                    FetchErrorKind::Status(400..=499)
                    | FetchErrorKind::ContentType
                    | FetchErrorKind::Redirect => {
                        nothing_found.get_or_insert_with(|| error.into());
                    }
                    FetchErrorKind::Status(_)
                    | FetchErrorKind::InsecureUrl
                    | FetchErrorKind::Unreachable
                    | FetchErrorKind::Timeout
                    | FetchErrorKind::TooLarge => return Err(error.into()),
                },
            }
        }
        // Metadata of another issuer tells an operator more than its absence elsewhere.
        Err(other_issuer.or(nothing_found).unwrap_or_else(|| KeySourceErrorKind::MetadataInvalid.into()))
    }

    /// The key set's URL, if the metadata is this issuer's (RFC 8414 section
    /// 3.3: identical strings). Metadata of another issuer is not followed.
    fn jwks_uri(&self, metadata: &Metadata<'_>) -> Result<Url, KeySourceError> {
        if self.issuer != *metadata.issuer {
            let problem = format!("it names {:?}", metadata.issuer);
            return Err(KeySourceError::new(KeySourceErrorKind::IssuerMismatch, problem));
        }
        let invalid =
            |problem: &'static str| KeySourceError::new(KeySourceErrorKind::MetadataInvalid, problem);
        let jwks_uri = metadata.jwks_uri.as_deref().ok_or_else(|| invalid("it has no jwks_uri"))?;
        let url = Url::parse(jwks_uri)
            .map_err(|error| KeySourceError::new(KeySourceErrorKind::MetadataInvalid, error))?;
        check_transport(&url).map_err(invalid)?;
        if url.scheme() != "https" && !self.metadata_urls.are_loopback_http() {
            return Err(invalid("its jwks_uri is not https"));
        }
        Ok(url)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeySource for Discovery {
    fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a> {
        Box::pin(async move {
            let now = self.clock.monotonic();
            let former = self.lock().clone();
            let mut known = match former {
                Some(known) if now < known.valid_until => known,
                former => {
                    let jwks_uri = self.discover().await?;
                    let etag =
                        former.filter(|former| former.jwks_uri == jwks_uri).and_then(|former| former.etag);
                    Known { jwks_uri, valid_until: now.saturating_add(METADATA_LIFETIME), etag }
                }
            };
            // An `ETag` from another URL means nothing at this one.
            let etag = request.etag.filter(|etag| known.etag.as_deref() == Some(*etag));
            let source = JwksUrl::from_checked(known.jwks_uri.clone(), self.client.clone());
            let fetched = source.fetch(KeyRequest { etag }).await;
            match &fetched {
                Ok(fetched) => known.etag = fetched.etag.clone().or(etag.map(str::to_owned)),
                // The key set may have moved: the metadata is read again next time.
                Err(_) => known.valid_until = Duration::ZERO,
            }
            *self.lock() = Some(known);
            fetched
        })
    }
}

/// The two members that matter here; a member given twice is an error.
#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    issuer: Cow<'a, str>,
    #[serde(borrow)]
    jwks_uri: Option<Cow<'a, str>>,
}

impl<'a> Metadata<'a> {
    /// `Ok(None)` for what is no JSON object at all: somebody's error page.
    fn parse(body: &'a [u8]) -> Result<Option<Self>, serde_json::Error> {
        if !body.trim_ascii_start().starts_with(b"{") {
            return Ok(None);
        }
        match serde_json::from_slice(body) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.is_data() => Err(error),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn metadata_urls() {
        let rows: &[(&str, &[&str])] = &[
            (
                "https://example.com",
                &[
                    "https://example.com/.well-known/oauth-authorization-server",
                    "https://example.com/.well-known/openid-configuration",
                ],
            ),
            (
                "https://example.com/",
                &[
                    "https://example.com/.well-known/oauth-authorization-server",
                    "https://example.com/.well-known/openid-configuration",
                ],
            ),
            // The example of RFC 8414 section 3.1.
            (
                "https://example.com/issuer1",
                &[
                    "https://example.com/.well-known/oauth-authorization-server/issuer1",
                    "https://example.com/.well-known/openid-configuration/issuer1",
                    "https://example.com/issuer1/.well-known/openid-configuration",
                ],
            ),
            (
                "https://example.com:8443/realms/a%20b/",
                &[
                    "https://example.com:8443/.well-known/oauth-authorization-server/realms/a%20b",
                    "https://example.com:8443/.well-known/openid-configuration/realms/a%20b",
                    "https://example.com:8443/realms/a%20b/.well-known/openid-configuration",
                ],
            ),
        ];
        for (issuer, expected) in rows {
            let urls: Vec<String> = super::metadata_urls(issuer).unwrap().collect();
            assert_eq!(urls, *expected, "{issuer}");
        }
    }

    #[test]
    fn what_cannot_be_discovered() {
        for issuer in [
            "",
            "idp.example.com",
            "http://idp.example.com",
            "https://idp.example.com?tenant=1",
            "https://idp.example.com/?",
            "https://idp.example.com#a",
            "https://user@idp.example.com",
            "urn:example:idp",
        ] {
            assert!(MetadataUrls::of(issuer).is_err(), "{issuer:?}");
        }
    }

    fn jwks_uri(issuer: &str, metadata: &str) -> Result<Url, KeySourceErrorKind> {
        let discovery = Discovery::new(
            issuer.into(),
            MetadataUrls::of(issuer).unwrap(),
            HttpClient::builder().build().unwrap(),
            Arc::new(SystemClock::new()),
        );
        let metadata =
            Metadata::parse(metadata.as_bytes()).map_err(|_| KeySourceErrorKind::MetadataInvalid)?.unwrap();
        discovery.jwks_uri(&metadata).map_err(|error| error.kind())
    }

    #[test]
    fn metadata_must_be_the_issuers_own() {
        use KeySourceErrorKind::{IssuerMismatch, MetadataInvalid};
        let remote = "https://idp.example.com";
        let local = "http://127.0.0.1:8080";
        let rows = [
            (
                "good",
                remote,
                r#"{"issuer": "https://idp.example.com", "jwks_uri": "https://keys.example.net/k"}"#,
                None,
            ),
            (
                "loopback",
                local,
                r#"{"issuer": "http://127.0.0.1:8080", "jwks_uri": "http://127.0.0.1:8080/k"}"#,
                None,
            ),
            (
                "trailing slash",
                remote,
                r#"{"issuer": "https://idp.example.com/", "jwks_uri": "https://keys.example.net/k"}"#,
                Some(IssuerMismatch),
            ),
            (
                "another issuer",
                remote,
                r#"{"issuer": "https://evil.example", "jwks_uri": "https://evil.example/k"}"#,
                Some(IssuerMismatch),
            ),
            ("no issuer", remote, r#"{"jwks_uri": "https://keys.example.net/k"}"#, Some(MetadataInvalid)),
            ("issuer no string", remote, r#"{"issuer": ["https://idp.example.com"]}"#, Some(MetadataInvalid)),
            ("no jwks_uri", remote, r#"{"issuer": "https://idp.example.com"}"#, Some(MetadataInvalid)),
            (
                "issuer twice",
                remote,
                r#"{"issuer": "https://idp.example.com", "issuer": "https://idp.example.com", "jwks_uri": "https://a/k"}"#,
                Some(MetadataInvalid),
            ),
            (
                "jwks_uri twice",
                remote,
                r#"{"issuer": "https://idp.example.com", "jwks_uri": "https://a/k", "jwks_uri": "https://b/k"}"#,
                Some(MetadataInvalid),
            ),
            (
                "plain http",
                remote,
                r#"{"issuer": "https://idp.example.com", "jwks_uri": "http://idp.example.com/k"}"#,
                Some(MetadataInvalid),
            ),
            (
                "sent to this machine",
                remote,
                r#"{"issuer": "https://idp.example.com", "jwks_uri": "http://127.0.0.1/k"}"#,
                Some(MetadataInvalid),
            ),
            (
                "relative",
                remote,
                r#"{"issuer": "https://idp.example.com", "jwks_uri": "/k"}"#,
                Some(MetadataInvalid),
            ),
        ];
        for (name, issuer, metadata, refused) in rows {
            assert_eq!(jwks_uri(issuer, metadata).err(), refused, "{name}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_no_metadata() {
        for body in ["", "<html>", "null", "[]", r#"["https://idp.example.com"]"#, r#"{"issuer": "#] {
            assert!(Metadata::parse(body.as_bytes()).unwrap().is_none(), "{body}");
        }
    }

    /// One exchange: the path that must be asked for, a field that the request
    /// must carry, and the answer's status, fields and body.
    type Exchange = (&'static str, &'static str, &'static str, &'static str, &'static str);

    const NOT_FOUND: (&str, &str, &str) = ("404 Not Found", "", "");
    const JSON: &str = "content-type: application/json\r\netag: \"v1\"\r\n";
    const KEYS: &str = r#"{"keys": []}"#;

    /// Fetches `fetches` times from an issuer that answers by `script`, and
    /// no more often than that. `{origin}` in a body is the issuer's origin.
    async fn fetch(
        path: &str,
        fetches: usize,
        script: Vec<Exchange>,
    ) -> Vec<Result<bool, KeySourceErrorKind>> {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let issuer = format!("{origin}{path}");
        let server = std::thread::spawn(move || {
            for (path, field, status, fields, body) in script {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                assert_eq!(head[0], format!("GET {path} HTTP/1.1"));
                assert!(field.is_empty() || head.iter().any(|line| line == field), "{head:?} lacks {field}");
                let has_etag = head.iter().any(|line| line.starts_with("if-none-match"));
                assert_eq!(has_etag, field.starts_with("if-none-match"), "{head:?}");
                let body = body.replace("{origin}", &origin);
                let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{fields}\r\n{body}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let client = HttpClient::builder().build().unwrap();
        let urls = MetadataUrls::of(&issuer).unwrap();
        let source = Discovery::new(issuer.as_str().into(), urls, client, Arc::new(SystemClock::new()));
        let mut outcomes = Vec::new();
        for _ in 0..fetches {
            let fetched = source.fetch(KeyRequest { etag: Some("\"v1\"") }).await;
            outcomes.push(fetched.map(|fetched| fetched.document.is_some()).map_err(|error| error.kind()));
        }
        server.join().unwrap();
        outcomes
    }

    #[tokio::test]
    async fn metadata_is_looked_for_in_three_places_and_kept() {
        let (status, fields, body) = NOT_FOUND;
        let metadata = r#"{"issuer": "{origin}/a", "jwks_uri": "{origin}/keys"}"#;
        let outcomes = fetch(
            "/a",
            2,
            vec![
                ("/.well-known/oauth-authorization-server/a", "", status, fields, body),
                (
                    "/.well-known/openid-configuration/a",
                    "",
                    "200 OK",
                    "content-type: text/html\r\n",
                    "<html>",
                ),
                ("/a/.well-known/openid-configuration", "", "200 OK", JSON, metadata),
                // The caller's `ETag` is not from this URL: it is not sent.
                ("/keys", "", "200 OK", JSON, KEYS),
                ("/keys", "if-none-match: \"v1\"", "304 Not Modified", "", ""),
            ],
        )
        .await;
        assert_eq!(outcomes, [Ok(true), Ok(false)]);
    }

    #[tokio::test]
    async fn metadata_of_another_issuer_is_passed_over() {
        let (status, fields, body) = NOT_FOUND;
        let other = r#"{"issuer": "{origin}/b", "jwks_uri": "{origin}/keys"}"#;
        let own = r#"{"issuer": "{origin}/a", "jwks_uri": "{origin}/keys"}"#;
        let places = |last: (&'static str, &'static str, &'static str)| {
            vec![
                ("/.well-known/oauth-authorization-server/a", "", "200 OK", JSON, other),
                ("/.well-known/openid-configuration/a", "", status, fields, body),
                ("/a/.well-known/openid-configuration", "", last.0, last.1, last.2),
            ]
        };
        let script = places((status, fields, body));
        assert_eq!(fetch("/a", 1, script).await, [Err(KeySourceErrorKind::IssuerMismatch)]);
        let mut script = places(("200 OK", JSON, own));
        script.push(("/keys", "", "200 OK", JSON, KEYS));
        assert_eq!(fetch("/a", 1, script).await, [Ok(true)]);
    }

    #[tokio::test]
    async fn an_outage_ends_the_search_and_a_redirect_is_passed_over() {
        let (status, fields, body) = NOT_FOUND;
        let first = "/.well-known/oauth-authorization-server/a";
        let script = vec![(first, "", "500 Internal Server Error", "", "")];
        assert_eq!(fetch("/a", 1, script).await, [Err(KeySourceErrorKind::Refused)]);
        let script = vec![
            (first, "", "302 Found", "location: /keys\r\n", ""),
            ("/.well-known/openid-configuration/a", "", status, fields, body),
            ("/a/.well-known/openid-configuration", "", status, fields, body),
        ];
        assert_eq!(fetch("/a", 1, script).await, [Err(KeySourceErrorKind::Refused)]);
    }

    #[tokio::test]
    async fn metadata_is_read_again_after_a_key_set_is_gone() {
        let (status, fields, body) = NOT_FOUND;
        let former = r#"{"issuer": "{origin}", "jwks_uri": "{origin}/keys"}"#;
        let present = r#"{"issuer": "{origin}", "jwks_uri": "{origin}/moved"}"#;
        let outcomes = fetch(
            "",
            3,
            vec![
                ("/.well-known/oauth-authorization-server", "", "200 OK", JSON, former),
                ("/keys", "", "200 OK", JSON, KEYS),
                ("/keys", "if-none-match: \"v1\"", status, fields, body),
                ("/.well-known/oauth-authorization-server", "", "200 OK", JSON, present),
                ("/moved", "", "200 OK", JSON, KEYS),
            ],
        )
        .await;
        assert_eq!(outcomes, [Ok(true), Err(KeySourceErrorKind::Refused), Ok(true)]);
    }
}
