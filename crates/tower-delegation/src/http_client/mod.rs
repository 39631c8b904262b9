//! The one HTTP client: it fetches small JSON documents from configured places,
//! and is made so that the answer can do as little harm as possible.
//!
//! 1. `https` only; plain `http` to a loopback address, for development.
//! 2. No redirects: a redirect is an error, since it would let the answer choose
//!    where the next request goes (RFC 8725 section 3.10).
//! 3. Five seconds for the whole exchange by default, so that a silent server
//!    does not hold requests up.
//! 4. At most 512 KiB of body, counted as it arrives. Requests ask for it
//!    unencoded; an answer with a `Content-Encoding` all the same is an error of
//!    its own.
//! 5. No proxy from the environment: where keys come from is decided by the
//!    configuration, not by the variable `HTTPS_PROXY`.
//! 6. No cookies, no credentials, no query of ours.
//!
//! *Deployment caveat*: the server's certificate is checked against the
//! platform's root certificates; a private authority is added with
//! [`HttpClientBuilder::add_root_certificate_pem`].

mod freshness;

use std::{error::Error, fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Certificate, Client, ClientBuilder, Response, redirect};
use url::Url;

pub(crate) use self::freshness::Freshness;
use self::freshness::text;
use crate::{error::ConfigError, web_url::check_protected};

/// The largest body, in octets.
const MAX_BODY_LEN: usize = 512 * 1024;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than this no caller would wait for a key.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// The client with which discovery and key sets are fetched. Cheap to clone;
/// clones share their connections.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use tower_delegation::http_client::HttpClient;
///
/// let client = HttpClient::builder().timeout(Duration::from_secs(2)).build()?;
/// # Ok::<(), tower_delegation::error::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct HttpClient {
    client: Client,
}

impl HttpClient {
    /// A client to be set up.
    pub fn builder() -> HttpClientBuilder {
        HttpClientBuilder { timeout: DEFAULT_TIMEOUT, root_certificates: Vec::new() }
    }

    /// Fetches `url`. Only 200 is a document, only in a media type that `kind`
    /// may have; 304 only if `etag` was sent.
    pub(crate) async fn get(
        &self,
        url: &Url,
        kind: DocumentKind,
        etag: Option<&str>,
    ) -> Result<Fetched, FetchError> {
        if let Err(problem) = check_transport(url) {
            return Err(FetchError::new(FetchErrorKind::InsecureUrl, problem));
        }
        let mut request = self.client.get(url.clone()).header(header::ACCEPT, kind.accept());
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let response = request.send().await?;
        let status = response.status();
        let freshness = Freshness::of(response.headers());
        if status == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(Fetched::NotModified(freshness));
        }
        if status.is_redirection() {
            return Err(FetchErrorKind::Redirect.into());
        }
        if status != StatusCode::OK {
            return Err(FetchErrorKind::Status(status.as_u16()).into());
        }
        // Before the type: an encoded document is not what its type says.
        if is_encoded(response.headers()) {
            return Err(FetchErrorKind::ContentEncoding.into());
        }
        if !kind.may_have(media_type(response.headers())) {
            return Err(FetchErrorKind::ContentType.into());
        }
        let body = read_body(response).await?;
        Ok(Fetched::Document { body, freshness })
    }
}

/// What is fetched, as far as its media type goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    /// At a well-known place, where anything may stand: JSON only.
    Metadata,
    /// At a place that the configuration or the metadata names: of any type, as
    /// object stores and static hosts serve what they do not know.
    KeySet,
}

impl DocumentKind {
    const fn accept(self) -> &'static str {
        match self {
            Self::Metadata => "application/json",
            Self::KeySet => "application/jwk-set+json, application/json, */*;q=0.1",
        }
    }

    fn may_have(self, media_type: Option<&str>) -> bool {
        match self {
            Self::Metadata => media_type.is_some_and(is_json),
            Self::KeySet => true,
        }
    }
}

/// `application/json` or a type that is built on it (RFC 6839 section 3.1).
fn is_json(media_type: &str) -> bool {
    let Some((kind, subtype)) = media_type.split_once('/') else { return false };
    let suffix = subtype.rsplit_once('+').map_or(subtype, |(_, suffix)| suffix);
    kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// Sets up an [`HttpClient`].
#[derive(Debug)]
#[must_use = "nothing is set up before `build`"]
pub struct HttpClientBuilder {
    timeout: Duration,
    root_certificates: Vec<Vec<u8>>,
}

impl HttpClientBuilder {
    /// The time for one whole exchange: connection, request and body. Default
    /// five seconds, at most ten.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Trusts the certificates of `pem` (one or more) in addition to the platform's.
    pub fn add_root_certificate_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.root_certificates.push(pem.as_ref().to_vec());
        self
    }

    /// Sets up the client. Sends nothing.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for a time-out of zero or of more than ten
    /// seconds, [`ConfigError::HttpClient`] if a certificate is not readable or
    /// TLS cannot be set up.
    pub fn build(self) -> Result<HttpClient, ConfigError> {
        if self.timeout.is_zero() || self.timeout > MAX_TIMEOUT {
            return Err(ConfigError::OutOfRange {
                setting: "HTTP time-out in milliseconds",
                value: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
                expected: "more than 0, at most 10000",
            });
        }
        let mut roots = Vec::new();
        for pem in &self.root_certificates {
            let certificates = Certificate::from_pem_bundle(pem).map_err(setup_error)?;
            if certificates.is_empty() {
                return Err(ConfigError::HttpClient { problem: "a root certificate is not PEM".to_owned() });
            }
            roots.extend(certificates);
        }
        // The `no_*` calls hold even where another crate turns the feature on.
        let client = ClientBuilder::new()
            .timeout(self.timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .referer(false)
            .tls_certs_merge(roots)
            .default_headers(HeaderMap::from_iter([(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("identity"),
            )]))
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(setup_error)?;
        Ok(HttpClient { client })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "called as the argument of `map_err`")]
fn setup_error(error: reqwest::Error) -> ConfigError {
    let mut problem = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        problem = format!("{problem}: {error}");
        cause = error.source();
    }
    ConfigError::HttpClient { problem }
}

/// Parses a URL from the configuration that is going to be fetched.
pub(crate) fn configured_url(url: &str, purpose: &'static str) -> Result<Url, ConfigError> {
    let invalid = |problem| ConfigError::InvalidUrl { url: url.to_owned(), purpose, problem };
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            return Err(invalid("it is no absolute URL: start it with `https://`"));
        }
        Err(_) => return Err(invalid("it does not parse: give an absolute `https` URL")),
    };
    check_transport(&parsed).map_err(invalid)?;
    if parsed.fragment().is_some() {
        return Err(invalid("it has a fragment: leave out what follows `#`"));
    }
    Ok(parsed)
}

/// `https`, or `http` to this very machine, and no credentials in the URL.
pub(crate) fn check_transport(url: &Url) -> Result<(), &'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds credentials: leave them out");
    }
    check_protected(url)
}

/// The answer to a fetch.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// What the `ETag` stands for is current.
    NotModified(Freshness),
    Document {
        body: Bytes,
        freshness: Freshness,
    },
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    text(headers, &header::CONTENT_TYPE)?.split(';').next().map(str::trim)
}

/// Whether the body is in another coding than the one asked for (RFC 9110
/// section 8.4).
fn is_encoded(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    !codings.all(|coding| {
        matches!(coding.trim_ascii(), b"") || coding.trim_ascii().eq_ignore_ascii_case(b"identity")
    })
}

async fn read_body(mut response: Response) -> Result<Bytes, FetchError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BODY_LEN {
            return Err(FetchErrorKind::TooLarge.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A document could not be fetched. Its texts never hold a URL.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub(crate) struct FetchError {
    kind: FetchErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchErrorKind {
    #[error("the URL may not be fetched")]
    InsecureUrl,
    #[error("the server cannot be reached")]
    Unreachable,
    #[error("the server did not answer in time")]
    Timeout,
    #[error("the server answered with a redirect")]
    Redirect,
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("the answer is not of a JSON media type")]
    ContentType,
    #[error("the answer has a content coding that was not asked for")]
    ContentEncoding,
    #[error("the answer is longer than 512 KiB")]
    TooLarge,
}

impl FetchError {
    fn new(kind: FetchErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    pub(crate) fn kind(&self) -> FetchErrorKind {
        self.kind
    }
}

impl From<FetchErrorKind> for FetchError {
    fn from(kind: FetchErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        let kind = if error.is_timeout() { FetchErrorKind::Timeout } else { FetchErrorKind::Unreachable };
        Self::new(kind, error.without_url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_loopback_http_are_fetched() {
        let rows = [
            ("https://idp.example.com/jwks", true),
            ("https://idp.example.com/jwks?tenant=1", true),
            ("http://127.0.0.1:8080/jwks", true),
            ("http://127.8.9.1/jwks", true),
            ("http://[::1]:8080/jwks", true),
            ("http://localhost:8080/jwks", true),
            ("http://idp.example.com/jwks", false),
            ("http://localhost.example.com/jwks", false),
            ("http://10.0.0.1/jwks", false),
            ("http://0.0.0.0/jwks", false),
            ("http://[::2]/jwks", false),
            ("https://user:secret@idp.example.com/jwks", false),
            ("https://user@idp.example.com/jwks", false),
            ("https://idp.example.com/jwks#keys", false),
            ("file:///etc/passwd", false),
            ("ftp://idp.example.com/jwks", false),
            ("data:application/json,{}", false),
            ("idp.example.com/jwks", false),
            ("/jwks", false),
            ("https://", false),
            ("", false),
        ];
        for (url, accepted) in rows {
            assert_eq!(configured_url(url, "a JWK Set").is_ok(), accepted, "{url}");
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for timeout in [Duration::ZERO, Duration::from_secs(11), Duration::MAX] {
            let built = HttpClient::builder().timeout(timeout).build();
            assert!(matches!(built, Err(ConfigError::OutOfRange { .. })), "{timeout:?}");
        }
        let built = HttpClient::builder().add_root_certificate_pem("no certificate").build();
        assert!(matches!(built, Err(ConfigError::HttpClient { .. })));
    }

    #[tokio::test]
    async fn the_client_itself_refuses_plain_http() {
        let client = HttpClient::builder().build().unwrap();
        let url = Url::parse("http://idp.example.com/jwks").unwrap();
        let error = client.get(&url, DocumentKind::KeySet, None).await.unwrap_err();
        assert_eq!(error.kind(), FetchErrorKind::InsecureUrl);
    }

    /// A server on a loopback address that gives each connection one of `answers`.
    /// Joining it yields the heads of the requests.
    fn serve(answers: Vec<String>) -> (Url, std::thread::JoinHandle<Vec<String>>) {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/jwks", listener.local_addr().unwrap())).unwrap();
        let server = std::thread::spawn(move || {
            let serve_one = |answer: String| {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                // The client hangs up early on a body that is too long.
                drop(stream.write_all(answer.as_bytes()));
                head.join("\n").to_ascii_lowercase()
            };
            answers.into_iter().map(serve_one).collect()
        });
        (url, server)
    }

    fn answer(status: &str, fields: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\n{fields}\r\n{body}")
    }

    #[tokio::test]
    async fn a_document_and_its_freshness() {
        let fields = "content-type: Application/JWK-Set+JSON; charset=utf-8\r\netag: \"v1\"\r\ncache-control: max-age=90\r\n";
        let (url, server) =
            serve(vec![answer("200 OK", fields, "{}"), answer("304 Not Modified", "etag: \"v1\"\r\n", "")]);
        let client = HttpClient::builder().build().unwrap();
        let Fetched::Document { body, freshness } =
            client.get(&url, DocumentKind::Metadata, None).await.unwrap()
        else {
            panic!("not modified")
        };
        assert_eq!(body, "{}");
        assert_eq!(freshness.max_age, Some(Duration::from_secs(90)));
        let etag = freshness.etag.unwrap();
        let again = client.get(&url, DocumentKind::KeySet, Some(&etag)).await.unwrap();
        assert!(matches!(again, Fetched::NotModified(_)), "{again:?}");
        let heads = server.join().unwrap();
        assert!(heads[0].contains("accept: application/json"), "{}", heads[0]);
        assert!(heads[1].contains("accept: application/jwk-set+json, application/json, */*"), "{}", heads[1]);
        for head in &heads {
            assert_eq!(head.matches("accept-encoding: identity").count(), 1, "{head}");
            assert_eq!(head.matches("accept-encoding").count(), 1, "{head}");
        }
        assert!(heads[1].contains("if-none-match: \"v1\""), "{}", heads[1]);
    }

    #[tokio::test]
    async fn answers_that_are_not_taken() {
        let json = "content-type: application/json\r\n";
        let long = "x".repeat(MAX_BODY_LEN + 1);
        let rows = [
            (
                "redirect",
                answer("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
                FetchErrorKind::Redirect,
            ),
            ("unasked 304", answer("304 Not Modified", "", ""), FetchErrorKind::Redirect),
            ("201", answer("201 Created", json, "{}"), FetchErrorKind::Status(201)),
            ("404", answer("404 Not Found", json, "{}"), FetchErrorKind::Status(404)),
            ("503", answer("503 Service Unavailable", json, "{}"), FetchErrorKind::Status(503)),
            ("HTML", answer("200 OK", "content-type: text/html\r\n", "{}"), FetchErrorKind::ContentType),
            ("no type", answer("200 OK", "", "{}"), FetchErrorKind::ContentType),
            (
                "gzip",
                answer("200 OK", "content-type: application/json\r\ncontent-encoding: gzip\r\n", "{}"),
                FetchErrorKind::ContentEncoding,
            ),
            (
                "identity, then another",
                answer("200 OK", "content-type: text/html\r\ncontent-encoding: identity, br\r\n", "{}"),
                FetchErrorKind::ContentEncoding,
            ),
            ("too long", answer("200 OK", json, &long), FetchErrorKind::TooLarge),
            (
                "cut off",
                answer("200 OK", "content-type: application/json\r\ncontent-length: 9\r\n", "{}"),
                FetchErrorKind::Unreachable,
            ),
        ];
        let client = HttpClient::builder().build().unwrap();
        for (name, answer, kind) in rows {
            let (url, server) = serve(vec![answer]);
            let error = client.get(&url, DocumentKind::Metadata, None).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{name}");
            let text = format!("{error} {:?}", error.source().map(ToString::to_string));
            assert!(!text.contains("127.0.0.1"), "{name}: {text}");
            server.join().unwrap();
        }
    }

    #[tokio::test]
    async fn media_types_and_codings_that_are_taken() {
        let rows = [
            ("json", DocumentKind::Metadata, "content-type: application/json\r\n"),
            ("built on json", DocumentKind::Metadata, "content-type: application/x+JSON; a=b\r\n"),
            (
                "identity",
                DocumentKind::Metadata,
                "content-type: application/json\r\ncontent-encoding: Identity\r\n",
            ),
            ("octets", DocumentKind::KeySet, "content-type: binary/octet-stream\r\n"),
            ("no type", DocumentKind::KeySet, ""),
        ];
        let client = HttpClient::builder().build().unwrap();
        for (name, kind, fields) in rows {
            let (url, server) = serve(vec![answer("200 OK", fields, "{}")]);
            let fetched = client.get(&url, kind, None).await;
            assert!(matches!(fetched, Ok(Fetched::Document { .. })), "{name}: {fetched:?}");
            server.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let client = HttpClient::builder().timeout(Duration::from_millis(50)).build().unwrap();
        let error = client.get(&url, DocumentKind::Metadata, None).await.unwrap_err();
        assert_eq!(error.kind(), FetchErrorKind::Timeout);
    }
}
