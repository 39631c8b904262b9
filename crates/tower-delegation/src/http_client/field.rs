//! [`RequestField`]: a header field that requests to one origin carry.

use http::{HeaderName, HeaderValue, header};
use url::Url;

use super::{
    error::{FetchError, FetchErrorKind},
    origin::Origin,
    proxy::trim_line_break,
};
use crate::{
    error::{ConfigError, Mistakes},
    material::Material,
};

const PURPOSE: &str = "requests of the HTTP client";

/// Fields that this client writes itself, and those that are for one hop only or
/// that frame the request.
const RESERVED: &[HeaderName] = &[
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::EXPECT,
    header::HOST,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A header field whose value is read anew for each request. For
/// [`HttpClient::add_field`](super::HttpClient::add_field).
///
/// The value is sensitive: it is in no log and no `Debug`. Where it cannot be read, is
/// empty or cannot be sent, the request is not made: what needs it is answered with
/// 503, and never asked for without the field.
#[derive(Clone, Debug)]
#[must_use = "a field is not sent before it is given to the client"]
pub struct RequestField {
    name: String,
    scheme: Option<&'static str>,
    value: Material,
}

impl RequestField {
    /// `Authorization: Bearer ` and `token`, such as the token of a Kubernetes
    /// service account:
    ///
    /// ```
    /// use tower_delegation::{
    ///     http_client::{HttpClient, RequestField},
    ///     material::Material,
    /// };
    ///
    /// let token = Material::file("/var/run/secrets/kubernetes.io/serviceaccount/token");
    /// let authority = Material::file("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
    /// let client = HttpClient::new()
    ///     .add_root_certificates(authority)
    ///     .add_field("https://kubernetes.default.svc", RequestField::bearer(token));
    /// ```
    pub fn bearer(token: impl Into<Material>) -> Self {
        Self { name: header::AUTHORIZATION.as_str().to_owned(), scheme: Some("Bearer"), value: token.into() }
    }

    /// The field `name` with `value`. A trailing line break is not part of the value.
    pub fn new(name: &str, value: impl Into<Material>) -> Self {
        Self { name: name.to_owned(), scheme: None, value: value.into() }
    }

    /// Checks the field for requests to `origin`.
    pub(super) fn check(&self, origin: &str) -> Result<CheckedField, ConfigError> {
        let mut mistakes = Mistakes::default();
        let origin = mistakes.take(Origin::parse(
            origin,
            "the origin that a header field is sent to",
            &["https", "http"],
        ));
        let name = mistakes.take(self.checked_name());
        mistakes.into_result()?;
        match (origin, name) {
            (Some(origin), Some(name)) => {
                Ok(CheckedField { origin, name, scheme: self.scheme, value: self.value.clone() })
            }
            // The mistakes would have ended it.
            _ => Err(ConfigError::HttpClient { problem: PURPOSE.to_owned() }),
        }
    }

    fn checked_name(&self) -> Result<HeaderName, ConfigError> {
        let name: HeaderName =
            self.name.parse().map_err(|_cause| ConfigError::InvalidHeaderName { name: self.name.clone() })?;
        if RESERVED.contains(&name) {
            let problem = "the client writes this field itself: name another one";
            return Err(ConfigError::InvalidHeader { header: self.name.clone(), purpose: PURPOSE, problem });
        }
        Ok(name)
    }
}

/// A checked field, and where it may be sent.
#[derive(Debug)]
pub(super) struct CheckedField {
    origin: Origin,
    name: HeaderName,
    scheme: Option<&'static str>,
    value: Material,
}

impl CheckedField {
    pub(super) fn is_for(&self, url: &Url) -> bool {
        self.origin.is_of(url)
    }

    /// Whether both would be in one request.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.origin == other.origin && self.name == other.name
    }

    pub(super) fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The value as it is now.
    pub(super) async fn value(&self) -> Result<HeaderValue, FetchError> {
        let content = self
            .value
            .read_async()
            .await
            .map_err(|error| FetchError::new(FetchErrorKind::Credential, error))?;
        let content = trim_line_break(&content);
        if content.is_empty() {
            return Err(FetchError::new(FetchErrorKind::Credential, "the value of a header field is empty"));
        }
        let value = match self.scheme {
            Some(scheme) => HeaderValue::from_bytes(&[scheme.as_bytes(), b" ", content].concat()),
            None => HeaderValue::from_bytes(content),
        };
        // The cause could quote it.
        let mut value = value.map_err(|_cause| {
            FetchError::new(FetchErrorKind::Credential, "the value of a header field has control characters")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_cannot_be_sent() {
        for (name, origin, field, code) in [
            ("no name", "https://idp", RequestField::new("", "a"), "invalid_header_name"),
            ("two words", "https://idp", RequestField::new("a b", "a"), "invalid_header_name"),
            ("framing", "https://idp", RequestField::new("Content-Length", "1"), "invalid_header"),
            ("the host", "https://idp", RequestField::new("host", "other"), "invalid_header"),
            ("the proxy's", "https://idp", RequestField::new("proxy-authorization", "a"), "invalid_header"),
            ("a path", "https://idp/keys", RequestField::bearer("a"), "invalid_url"),
            ("no origin", "idp", RequestField::bearer("a"), "invalid_url"),
            ("credentials", "https://a:secret@idp", RequestField::bearer("a"), "invalid_url"),
            ("both", "idp", RequestField::new("", "a"), "several"),
        ] {
            let error = field.check(origin).unwrap_err();
            assert_eq!(error.code(), code, "{name}: {error}");
            assert!(!error.to_string().contains("secret"), "{name}: {error}");
        }
        assert!(RequestField::new("x-api-key", "a").check("http://127.0.0.1:8080/").is_ok());
    }

    #[tokio::test]
    async fn a_value_is_whole_or_the_request_is_not_made() {
        let value = async |field: RequestField| field.check("https://idp").unwrap().value().await;
        let bearer = value(RequestField::bearer("abc\r\n")).await.unwrap();
        assert_eq!(bearer, "Bearer abc");
        assert!(bearer.is_sensitive());
        assert_eq!(value(RequestField::new("x-api-key", "abc")).await.unwrap(), "abc");
        for (name, field) in [
            ("empty", RequestField::bearer("")),
            ("a line break alone", RequestField::bearer("\n")),
            ("two lines", RequestField::bearer("secret\nx-other: a")),
            ("no file", RequestField::bearer(Material::file("/nonexistent/token"))),
        ] {
            let error = value(field).await.unwrap_err();
            assert_eq!(error.kind(), FetchErrorKind::Credential, "{name}");
            assert!(!format!("{error:?}").contains("secret"), "{name}: {error:?}");
        }
    }
}
