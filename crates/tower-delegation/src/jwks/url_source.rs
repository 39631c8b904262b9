//! A key set at a URL.

use url::Url;

use super::{FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind};
use crate::{
    error::ConfigError,
    http_client::{DocumentKind, FetchError, FetchErrorKind, Fetched, Freshness, HttpClient, configured_url},
};

/// A key set at a fixed URL: `GET`, status 200, of any media type and without a
/// content coding; conditional where the server sends an `ETag`.
#[derive(Clone, Debug)]
pub struct JwksUrl {
    url: Url,
    client: HttpClient,
}

impl JwksUrl {
    /// The key set at `url`: `https`, or `http` to a loopback address.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] for any other URL.
    pub fn new(url: &str, client: HttpClient) -> Result<Self, ConfigError> {
        Ok(Self::from_checked(configured_url(url, "a JWK Set URL")?, client))
    }

    /// The key set at a URL that the caller has checked.
    pub(crate) fn from_checked(url: Url, client: HttpClient) -> Self {
        Self { url, client }
    }
}

impl KeySource for JwksUrl {
    fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a> {
        Box::pin(async move {
            Ok(match self.client.get(&self.url, DocumentKind::KeySet, request.etag).await? {
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
