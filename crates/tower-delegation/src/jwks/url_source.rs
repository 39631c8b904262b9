//! A key set at a URL.

use url::Url;

use super::{FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind};
use crate::{
    error::{ConfigError, both},
    http_client::{
        DocumentKind, FetchError, FetchErrorKind, Fetched, Fetcher, Freshness, HttpClient, configured_url,
    },
};

/// A key set at a fixed URL: `GET`, status 200, of any media type and without a
/// content coding; conditional where the server sends an `ETag`.
#[derive(Clone, Debug)]
pub struct JwksUrl {
    url: Url,
    fetcher: Fetcher,
}

impl JwksUrl {
    /// The key set at `url`, fetched by `client`: `https`, or `http` to a loopback
    /// address or to an origin that the client
    /// [allows](HttpClient::insecure_plain_http).
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] for any other URL, and every mistake of `client`.
    pub fn new(url: &str, client: &HttpClient) -> Result<Self, ConfigError> {
        const PURPOSE: &str = "a JWK Set URL";
        let (url, fetcher) = both(configured_url(url, PURPOSE), client.fetcher())?;
        fetcher.check_configured(&url, PURPOSE)?;
        Ok(Self::from_checked(url, fetcher))
    }

    /// The key set at a URL that the caller has checked.
    pub(crate) fn from_checked(url: Url, fetcher: Fetcher) -> Self {
        Self { url, fetcher }
    }
}

impl KeySource for JwksUrl {
    fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a> {
        Box::pin(async move {
            Ok(match self.fetcher.get(&self.url, DocumentKind::KeySet, request.etag).await? {
                Fetched::NotModified(freshness) => FetchedKeys::not_modified().fresh(freshness),
                Fetched::Document { body, freshness } => FetchedKeys::document(body).fresh(freshness),
            })
        })
    }
}

impl FetchedKeys {
    fn fresh(self, freshness: Freshness) -> Self {
        Self { etag: freshness.etag, max_age: freshness.max_age, ..self }
    }
}

impl From<FetchError> for KeySourceError {
    fn from(error: FetchError) -> Self {
        let kind = match error.kind() {
            FetchErrorKind::Unreachable => KeySourceErrorKind::Unreachable,
            FetchErrorKind::Tls => KeySourceErrorKind::Tls,
            FetchErrorKind::Credential => KeySourceErrorKind::Credential,
            FetchErrorKind::Timeout => KeySourceErrorKind::Timeout,
            FetchErrorKind::ContentEncoding => KeySourceErrorKind::ContentEncoding,
            FetchErrorKind::InsecureUrl
            | FetchErrorKind::Redirect
            | FetchErrorKind::Status(_)
            | FetchErrorKind::ContentType
            | FetchErrorKind::TooLarge => KeySourceErrorKind::Refused,
        };
        Self::new(kind, error)
    }
}
