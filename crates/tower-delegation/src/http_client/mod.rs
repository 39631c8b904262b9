//! The one HTTP client: it fetches small JSON documents from configured places,
//! and is made so that the answer can do as little harm as possible.
//!
//! 1. `https` only; plain `http` to a loopback address, for development, and to an
//!    origin that [`insecure_plain_http`](HttpClient::insecure_plain_http) names.
//! 2. No redirects: a redirect is an error, since it would let the answer choose
//!    where the next request goes (RFC 8725 section 3.10), and take credentials there.
//! 3. Five seconds for the whole exchange by default, so that a silent server
//!    does not hold requests up.
//! 4. At most 512 KiB of body, counted as it arrives. Requests ask for it
//!    unencoded; an answer with a `Content-Encoding` all the same is an error of
//!    its own.
//! 5. No proxy from the environment: where keys come from is decided by the
//!    configuration, not by the variable `HTTPS_PROXY`. One is given by
//!    [`proxy`](HttpClient::proxy).
//! 6. No cookies, no query of ours, and no credentials but those that the
//!    configuration gives for an [origin](HttpClient::add_field).
//! 7. A credential that cannot be read is an outage of ours: the request is not sent,
//!    and what needs the answer is answered with 503.
//!
//! *Deployment caveat*: the server's certificate is checked against the
//! platform's root certificates; a private authority is added with
//! [`add_root_certificates`](HttpClient::add_root_certificates). An authority that is
//! added is trusted for every host, unless a client of its own is given to the
//! [issuer](crate::TrustedIssuer::http_client) that needs it.

mod answer;
mod built_in;
mod error;
mod fetcher;
mod field;
mod freshness;
mod origin;
mod proxy;
mod transport;

#[doc = include_str!("../../../../docs/fetching.md")]
pub mod fetching {}

use std::{sync::Arc, time::Duration};

use url::Url;

pub(crate) use self::{
    answer::Answer,
    error::{FetchError, FetchErrorKind},
    fetcher::{DocumentKind, Fetched, Fetcher},
    freshness::Freshness,
};
use self::{
    built_in::{BuiltIn, Connections},
    fetcher::{Rules, Sender},
    origin::{Given, Origin, has_credentials, shown},
};
pub use self::{
    field::RequestField,
    proxy::EgressProxy,
    transport::{HttpTransport, TransportBody, TransportError, TransportErrorKind, TransportFuture},
};
use crate::{
    error::{ConfigError, Mistakes},
    material::Material,
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than this no caller would wait for a key.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// How metadata and keys are fetched. It is checked where it is used: by
/// [`DelegationLayerBuilder::build`](crate::layer::DelegationLayerBuilder::build) and
/// [`JwksUrl::new`](crate::jwks::JwksUrl::new), which read its files and report every
/// mistake at once.
///
/// Files are read again before each request: new root certificates, a new client
/// certificate and a new password of the proxy are used from then on. Where they cannot
/// be read or used, those from before stay in use, and one error event says so.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use tower_delegation::{
///     http_client::{EgressProxy, HttpClient},
///     material::Material,
/// };
///
/// let client = HttpClient::new()
///     .timeout(Duration::from_secs(2))
///     .proxy(EgressProxy::new("http://proxy.internal:3128").add_direct("idp.internal"))
///     .add_root_certificates(Material::file("/etc/pki/internal-ca.pem"))
///     .client_certificate(Material::file("/run/tls/tls.crt"), Material::file("/run/tls/tls.key"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a client is not used before it is given to a layer, an issuer or a source"]
pub struct HttpClient {
    timeout: Duration,
    roots: Vec<Material>,
    only_added_roots: bool,
    certificate: Option<(Material, Material)>,
    proxy: Option<EgressProxy>,
    fields: Vec<(Given, RequestField)>,
    plain_http: Vec<Given>,
    transport: Option<Arc<dyn HttpTransport>>,
}

impl HttpClient {
    /// A client with the defaults.
    #[expect(clippy::new_without_default, reason = "there is one way to begin")]
    pub fn new() -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            roots: Vec::new(),
            only_added_roots: false,
            certificate: None,
            proxy: None,
            fields: Vec::new(),
            plain_http: Vec::new(),
            transport: None,
        }
    }

    /// The time for one whole exchange: connection, request and body. Default
    /// five seconds, at most ten.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Trusts the certificates of `pem` (one or more) in addition to the platform's.
    pub fn add_root_certificates(mut self, pem: impl Into<Material>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Trusts the [added](Self::add_root_certificates) certificates, and none of the
    /// platform's.
    pub fn only_added_root_certificates(mut self) -> Self {
        self.only_added_roots = true;
        self
    }

    /// Presents a certificate to servers that ask for one (mutual TLS): `chain` in PEM
    /// with the certificate first, and its key in PEM (PKCS #8, PKCS #1 or SEC 1); or
    /// both in DER, the key as PKCS #8.
    pub fn client_certificate(mut self, chain: impl Into<Material>, key: impl Into<Material>) -> Self {
        self.certificate = Some((chain.into(), key.into()));
        self
    }

    /// Sends every request through `proxy`, but for those to hosts that it declares as
    /// direct. Default: none, whatever the environment says.
    pub fn proxy(mut self, proxy: EgressProxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Adds a header field to the requests to `origin` (scheme, host and port) and to no
    /// others: metadata that names a key set on another host does not get the credential
    /// there.
    pub fn add_field(mut self, origin: &str, field: RequestField) -> Self {
        self.fields.push((Given(origin.to_owned()), field));
        self
    }

    /// Allows plain `http` to `origin` (scheme, host and port), such as
    /// `http://keycloak.auth:8080` inside a mesh whose sidecars encrypt.
    ///
    /// Where nothing encrypts, any party on the way can put its own keys in the place of
    /// the issuer's, and mint any token.
    pub fn insecure_plain_http(mut self, origin: &str) -> Self {
        self.plain_http.push(Given(origin.to_owned()));
        self
    }

    /// Sends the requests by `transport` in place of the built-in client. Certificates
    /// and the proxy are then for the transport to know: to give them here too is a
    /// mistake.
    pub fn transport(mut self, transport: impl HttpTransport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Checks everything, reads the files, and sets the client up. Sends nothing.
    ///
    /// # Errors
    /// Every mistake: [`ConfigError::OutOfRange`] for the time-out,
    /// [`ConfigError::InvalidUrl`], [`ConfigError::InvalidHeader`] and
    /// [`ConfigError::InvalidHeaderName`] for origins, proxy and fields, and
    /// [`ConfigError::HttpClient`] for what does not fit together, for files, and if TLS
    /// cannot be set up.
    pub(crate) fn fetcher(&self) -> Result<Fetcher, ConfigError> {
        let mut mistakes = Mistakes::default();
        if self.timeout.is_zero() || self.timeout > MAX_TIMEOUT {
            mistakes.add(ConfigError::OutOfRange {
                setting: "HTTP time-out in milliseconds",
                value: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
                expected: "more than 0, at most 10000",
            });
        }
        let proxy = self.proxy.as_ref().and_then(|proxy| mistakes.take(proxy.check()));
        let mut fields = Vec::new();
        for (origin, field) in &self.fields {
            let Some(field) = mistakes.take(field.check(&origin.0)) else { continue };
            if fields.iter().any(|other| field.is_same_as(other)) {
                mistakes.add(mistake(format!(
                    "the header field {:?} is given twice for {origin:?}: give it once",
                    field.name().as_str()
                )));
            }
            fields.push(field);
        }
        let purpose = "an origin that is spoken to by plain http";
        let plain_http = self
            .plain_http
            .iter()
            .filter_map(|origin| mistakes.take(Origin::parse(&origin.0, purpose, &["http"])))
            .collect();
        if self.only_added_roots && self.roots.is_empty() {
            mistakes.add(mistake(
                "no server would be trusted: add a certificate with `.add_root_certificates(..)`, or leave out \
                 `.only_added_root_certificates()`",
            ));
        }
        let sender = mistakes.take(self.sender(proxy.clone()));
        mistakes.into_result()?;
        // The mistakes would have ended it.
        let Some(sender) = sender else { return Err(mistake("there is no transport")) };
        Ok(Fetcher::new(sender, Rules { timeout: self.timeout, fields, plain_http, proxy }))
    }

    fn sender(&self, proxy: Option<proxy::Route>) -> Result<Sender, ConfigError> {
        let Some(transport) = &self.transport else {
            let connections = Connections {
                roots: self.roots.clone(),
                only_added_roots: self.only_added_roots,
                certificate: self.certificate.clone(),
                proxy,
            };
            return Ok(Sender::BuiltIn(Arc::new(BuiltIn::new(connections)?)));
        };
        let mut mistakes = Mistakes::default();
        for (is_given, setting) in [
            (!self.roots.is_empty(), "add_root_certificates"),
            (self.only_added_roots, "only_added_root_certificates"),
            (self.certificate.is_some(), "client_certificate"),
            (self.proxy.is_some(), "proxy"),
        ] {
            if is_given {
                mistakes.add(mistake(format!(
                    "`.{setting}(..)` is for the built-in client, and `.transport(..)` replaces it: leave out one \
                     of the two"
                )));
            }
        }
        mistakes.into_result()?;
        Ok(Sender::Given(Arc::clone(transport)))
    }
}

fn mistake(problem: impl Into<String>) -> ConfigError {
    ConfigError::HttpClient { problem: problem.into() }
}

/// Parses a URL from the configuration that is going to be fetched: `https` or
/// `http`. Whether plain `http` may be spoken to it is for the [`Fetcher`] to say.
pub(crate) fn configured_url(url: &str, purpose: &'static str) -> Result<Url, ConfigError> {
    let invalid = |problem| ConfigError::InvalidUrl { url: shown(url), purpose, problem };
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            return Err(invalid("it is no absolute URL: start it with `https://`"));
        }
        Err(_) => return Err(invalid("it does not parse: give an absolute `https` URL")),
    };
    if !matches!(parsed.scheme(), "https" | "http") {
        return Err(invalid("its scheme is not https"));
    }
    if has_credentials(&parsed) {
        return Err(invalid("it holds credentials: leave them out"));
    }
    if parsed.fragment().is_some() {
        return Err(invalid("it has a fragment: leave out what follows `#`"));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests;
