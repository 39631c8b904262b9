//! [`Fetcher`]: a checked client, ready to send requests.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use url::{Url, form_urlencoded};

use super::{
    HttpTransport, TransportBody,
    answer::{Answer, is_encoded, is_json, media_type, read_body},
    built_in::BuiltIn,
    error::{FetchError, FetchErrorKind},
    field::CheckedField,
    freshness::Freshness,
    origin::{Origin, has_credentials},
    proxy::Route,
};
use crate::{
    error::ConfigError,
    web_url::{check_protected, is_loopback},
};

/// A client whose configuration has been checked. Cheap to clone; clones share their
/// connections.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sender: Sender,
    rules: Rules,
}

/// What sends the requests.
#[derive(Clone, Debug)]
pub(super) enum Sender {
    BuiltIn(Arc<BuiltIn>),
    Given(Arc<dyn HttpTransport>),
}

/// What holds for every transport.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) timeout: Duration,
    pub(super) fields: Vec<CheckedField>,
    /// Where plain http is allowed to another machine.
    pub(super) plain_http: Vec<Origin>,
    pub(super) proxy: Option<Route>,
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

impl Fetcher {
    pub(super) fn new(sender: Sender, rules: Rules) -> Self {
        Self(Arc::new(Inner { sender, rules }))
    }

    /// The SHA-256 hash of the certificate that servers see who ask for one (RFC 8705 section
    /// 3.1), as of the last request. What a transport of one's own presents is not known.
    pub(crate) fn certificate_thumbprint(&self) -> Option<[u8; 32]> {
        match &self.0.sender {
            Sender::BuiltIn(client) => client.certificate_thumbprint(),
            Sender::Given(_) => None,
        }
    }

    /// Whether a request may be sent to `url`: by `https`, by plain `http` on this very
    /// machine, and by plain `http` to an origin that the configuration allows.
    pub(crate) fn check(&self, url: &Url) -> Result<(), &'static str> {
        let rules = &self.0.rules;
        if has_credentials(url) {
            return Err("it holds credentials: leave them out");
        }
        if rules.plain_http.iter().any(|origin| origin.is_of(url)) {
            return Ok(());
        }
        check_protected(url).map_err(|problem| match url.scheme() {
            "http" => {
                "it is plain http to another machine: use https, or allow its origin inside a mesh with \
                 `HttpClient::insecure_plain_http(..)`"
            }
            _ => problem,
        })?;
        let proxy = rules.proxy.as_ref().and_then(|route| route.proxy_for(url));
        if url.scheme() == "http" && proxy.is_some_and(|proxy| !is_loopback(proxy)) {
            return Err(
                "it is plain http by way of a proxy on another machine: declare its host with `.add_direct(..)`",
            );
        }
        Ok(())
    }

    /// The same, for a URL of the configuration.
    pub(crate) fn check_configured(&self, url: &Url, purpose: &'static str) -> Result<(), ConfigError> {
        self.check(url).map_err(|problem| ConfigError::InvalidUrl { url: url.to_string(), purpose, problem })
    }

    /// Fetches `url`. Only 200 is a document, only in a media type that `kind`
    /// may have; 304 only if `etag` was sent.
    pub(crate) async fn get(
        &self,
        url: &Url,
        kind: DocumentKind,
        etag: Option<&str>,
    ) -> Result<Fetched, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(kind.accept()));
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            headers.insert(header::IF_NONE_MATCH, etag);
        }
        let is_conditional = headers.contains_key(header::IF_NONE_MATCH);
        self.in_time(async {
            let response = self.send(Method::GET, url, headers, Bytes::new()).await?;
            let (head, body) = response.into_parts();
            let freshness = Freshness::of(&head.headers);
            if head.status == StatusCode::NOT_MODIFIED && is_conditional {
                return Ok(Fetched::NotModified(freshness));
            }
            if head.status.is_redirection() {
                return Err(FetchErrorKind::Redirect.into());
            }
            if head.status != StatusCode::OK {
                return Err(FetchErrorKind::Status(head.status.as_u16()).into());
            }
            // Before the type: an encoded document is not what its type says.
            if is_encoded(&head.headers) {
                return Err(FetchErrorKind::ContentEncoding.into());
            }
            if !kind.may_have(media_type(&head.headers)) {
                return Err(FetchErrorKind::ContentType.into());
            }
            Ok(Fetched::Document { body: read_body(body).await?, freshness })
        })
        .await
    }

    /// Sends the pairs of `form` to `url` by `POST`, with `headers` in addition to those
    /// of the configuration, which they take precedence over. The answer is of any status
    /// but a redirect: what it means is for the caller to judge. Credentials in `headers`
    /// are marked as sensitive by the caller.
    pub(crate) async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        mut headers: HeaderMap,
    ) -> Result<Answer, FetchError> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        self.in_time(async {
            let response = self.send(Method::POST, url, headers, Bytes::from(form)).await?;
            let (head, body) = response.into_parts();
            if head.status.is_redirection() {
                return Err(FetchErrorKind::Redirect.into());
            }
            if is_encoded(&head.headers) {
                return Err(FetchErrorKind::ContentEncoding.into());
            }
            Ok(Answer { status: head.status, headers: head.headers, body: read_body(body).await? })
        })
        .await
    }

    /// The whole of a request, up to the last octet of its answer.
    async fn in_time<T>(
        &self,
        exchange: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        match tokio::time::timeout(self.0.rules.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(elapsed) => Err(FetchError::new(FetchErrorKind::Timeout, elapsed)),
        }
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<TransportBody>, FetchError> {
        let insecure = |problem| FetchError::new(FetchErrorKind::InsecureUrl, problem);
        self.check(url).map_err(insecure)?;
        let uri: Uri = url.as_str().parse().map_err(|_cause| insecure("it is no URI"))?;
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for field in self.0.rules.fields.iter().filter(|field| field.is_for(url)) {
            if !headers.contains_key(field.name()) {
                headers.insert(field.name(), field.value().await?);
            }
        }
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(agent));
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(match &self.0.sender {
            Sender::BuiltIn(client) => client.send(request).await?,
            Sender::Given(transport) => transport.send(request).await?,
        })
    }
}
