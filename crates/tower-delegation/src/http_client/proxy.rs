//! [`EgressProxy`]: the proxy that outgoing requests take.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use ipnet::IpNet;
use url::{Host, Url};

use super::origin::{Given, has_credentials, shown};
use crate::{
    error::{ConfigError, Mistakes},
    material::{Material, MaterialError},
    web_url::is_loopback,
};

const PURPOSE: &str = "an egress proxy";

/// The proxy that every request takes, but for those to declared hosts. For
/// [`HttpClient::proxy`](super::HttpClient::proxy).
///
/// A request to an `https` URL goes through a tunnel (`CONNECT`), and the proxy sees
/// the host and nothing else. The proxy resolves names.
///
/// ```
/// use tower_delegation::{
///     http_client::{EgressProxy, HttpClient},
///     material::Material,
/// };
///
/// let proxy = EgressProxy::new("https://proxy.internal:3129")
///     .credentials("orders", Material::file("/run/secrets/proxy-password"))
///     .add_direct("kubernetes.default.svc")
///     .add_direct("10.0.0.0/8");
/// let client = HttpClient::new().proxy(proxy);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a proxy is not used before it is given to the client"]
pub struct EgressProxy {
    url: Given,
    credentials: Option<(String, Material)>,
    insecure_credentials: bool,
    direct: Vec<String>,
}

impl EgressProxy {
    /// The proxy at `url`: `https` or `http`, a host and a port. Credentials are
    /// given by [`credentials`](Self::credentials), never in the URL.
    pub fn new(url: &str) -> Self {
        Self {
            url: Given(url.to_owned()),
            credentials: None,
            insecure_credentials: false,
            direct: Vec::new(),
        }
    }

    /// The name and password that the proxy asks for (`Basic`). A file is read again
    /// before each request; its trailing line break is not part of the password.
    ///
    /// They are sent only to a proxy that is spoken to by `https` or on this machine;
    /// otherwise it is a mistake, unless
    /// [`insecure_credentials_over_plain_http`](Self::insecure_credentials_over_plain_http)
    /// allows it.
    pub fn credentials(mut self, name: &str, password: impl Into<Material>) -> Self {
        self.credentials = Some((name.to_owned(), password.into()));
        self
    }

    /// Sends the credentials to a proxy on another machine by plain `http`.
    ///
    /// A party on the way to the proxy can read the password, and use the proxy.
    pub fn insecure_credentials_over_plain_http(mut self) -> Self {
        self.insecure_credentials = true;
        self
    }

    /// Adds a host that is spoken to directly: a name, which stands for itself alone and
    /// not for names below it, an IP address, or a range of addresses (`10.0.0.0/8`),
    /// which covers URLs that name an address.
    pub fn add_direct(mut self, host: &str) -> Self {
        self.direct.push(host.to_owned());
        self
    }

    /// Checks everything.
    pub(super) fn check(&self) -> Result<Route, ConfigError> {
        let mut mistakes = Mistakes::default();
        let url = mistakes.take(self.checked_url());
        let direct: Vec<_> =
            self.direct.iter().filter_map(|host| mistakes.take(Direct::parse(host))).collect();
        if let Some((name, _)) = &self.credentials {
            if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
                mistakes.add(ConfigError::HttpClient {
                    problem: "the name for the egress proxy is empty, or has a colon or a control character"
                        .to_owned(),
                });
            }
            if url.as_ref().is_some_and(|url| url.scheme() == "http" && !is_loopback(url))
                && !self.insecure_credentials
            {
                mistakes.add(ConfigError::HttpClient {
                    problem:
                        "the credentials for the egress proxy would be sent by plain http: give its https \
                              URL, or allow it with `.insecure_credentials_over_plain_http()`"
                            .to_owned(),
                });
            }
        } else if self.insecure_credentials {
            mistakes.add(ConfigError::HttpClient {
                problem:
                    "`.insecure_credentials_over_plain_http()` is for a proxy with `.credentials(..)`: leave \
                          it out"
                        .to_owned(),
            });
        }
        mistakes.into_result()?;
        // The mistakes would have ended it.
        let Some(url) = url else { return Err(ConfigError::HttpClient { problem: PURPOSE.to_owned() }) };
        Ok(Route { url, direct, credentials: self.credentials.clone() })
    }

    fn checked_url(&self) -> Result<Url, ConfigError> {
        let invalid =
            |problem| ConfigError::InvalidUrl { url: shown(&self.url.0), purpose: PURPOSE, problem };
        let url = Url::parse(&self.url.0)
            .map_err(|_cause| invalid("it does not parse: give `https://` or `http://`, host and port"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(invalid("its scheme is neither https nor http"));
        }
        if has_credentials(&url) {
            return Err(invalid("it holds credentials: give them by `.credentials(..)`"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it is more than scheme, host and port: leave out what follows them"));
        }
        Ok(url)
    }
}

/// A checked proxy, and what goes past it.
#[derive(Clone, Debug)]
pub(super) struct Route {
    url: Url,
    direct: Vec<Direct>,
    credentials: Option<(String, Material)>,
}

impl Route {
    /// The proxy for a request to `url`; `None`: it goes there directly.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<&Url> {
        (!self.direct.iter().any(|direct| direct.covers(url))).then_some(&self.url)
    }

    pub(super) fn password(&self) -> Option<&Material> {
        self.credentials.as_ref().map(|(_, password)| password)
    }

    /// The value of `Proxy-Authorization` (RFC 7617 section 2).
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, MaterialError> {
        let Some((name, password)) = &self.credentials else { return Ok(None) };
        let password = password.read()?;
        let mut pair = format!("{name}:").into_bytes();
        pair.extend_from_slice(trim_line_break(&password));
        // Base64 is always a field value.
        let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok();
        Ok(value.map(|mut value| {
            value.set_sensitive(true);
            value
        }))
    }
}

/// Without the line break that editors leave at the end of a file.
pub(super) fn trim_line_break(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// A host that is spoken to directly.
#[derive(Clone, Debug)]
enum Direct {
    Name(String),
    Range(IpNet),
}

impl Direct {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Self::Range(range.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Range(address.into()));
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) if !name.contains('*') => Ok(Self::Name(name)),
            _ => Err(ConfigError::InvalidUrl {
                url: text.to_owned(),
                purpose: "a host that the egress proxy is not used for",
                problem: "give a host name without port and wildcard, an IP address, or a range of addresses",
            }),
        }
    }

    fn covers(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Self::Name(name), Some(Host::Domain(host))) => name == host,
            (Self::Range(range), Some(Host::Ipv4(address))) => range.contains(&IpAddr::V4(address)),
            (Self::Range(range), Some(Host::Ipv6(address))) => range.contains(&IpAddr::V6(address)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_past_the_proxy() {
        let proxy = EgressProxy::new("http://proxy.internal:3128")
            .add_direct("Kubernetes.default.svc")
            .add_direct("10.1.2.3/8")
            .add_direct("::1")
            .add_direct("192.0.2.1");
        let route = proxy.check().unwrap();
        for (url, direct) in [
            ("https://kubernetes.default.svc/keys", true),
            ("https://KUBERNETES.default.svc:6443/keys", true),
            ("https://10.200.0.1/keys", true),
            ("https://[::1]:8443/keys", true),
            ("https://192.0.2.1/keys", true),
            ("https://192.0.2.2/keys", false),
            ("https://a.kubernetes.default.svc/keys", false),
            ("https://kubernetes.default.svc.evil.example/keys", false),
            ("https://10.200.0.1.example.com/keys", false),
            ("http://127.0.0.1/keys", false),
            ("https://idp.example.com/keys", false),
        ] {
            assert_eq!(route.proxy_for(&Url::parse(url).unwrap()).is_none(), direct, "{url}");
        }
    }

    #[test]
    fn unusable_proxies() {
        let remote = || EgressProxy::new("http://proxy.internal:3128");
        let rows: &[(&str, EgressProxy, usize)] = &[
            ("no URL", EgressProxy::new("proxy.internal:3128"), 1),
            ("another scheme", EgressProxy::new("socks5://proxy.internal:1080"), 1),
            ("credentials in it", EgressProxy::new("https://a:secret@proxy.internal"), 1),
            ("a path", EgressProxy::new("https://proxy.internal/a"), 1),
            ("a query", EgressProxy::new("https://proxy.internal/?a"), 1),
            ("in clear", remote().credentials("a", "secret"), 1),
            ("nothing to allow", remote().insecure_credentials_over_plain_http(), 1),
            ("no name", EgressProxy::new("https://proxy.internal").credentials("", "secret"), 1),
            ("two names", EgressProxy::new("https://proxy.internal").credentials("a:b", "secret"), 1),
            ("a wildcard", remote().add_direct("*.svc"), 1),
            ("a port", remote().add_direct("idp:443"), 1),
            (
                "all at once",
                EgressProxy::new("x").credentials("", "secret").add_direct("").add_direct("*"),
                4,
            ),
        ];
        for (name, proxy, mistakes) in rows {
            let error = proxy.check().unwrap_err();
            assert_eq!(error.mistakes().count(), *mistakes, "{name}: {error}");
            assert!(!format!("{error} {error:?} {proxy:?}").contains("secret@"), "{name}: {error}");
        }
        for good in [
            remote(),
            remote().credentials("a", "secret").insecure_credentials_over_plain_http(),
            EgressProxy::new("https://proxy.internal").credentials("a", "secret"),
            EgressProxy::new("http://127.0.0.1:3128").credentials("a", "secret"),
        ] {
            assert!(good.check().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn credentials_are_basic_and_sensitive() {
        let route =
            EgressProxy::new("https://proxy.internal").credentials("Aladdin", "open sesame\n").check();
        let value = route.unwrap().authorization().unwrap().unwrap();
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(value.is_sensitive());
        let route =
            EgressProxy::new("https://proxy.internal").credentials("a", Material::file("/nonexistent"));
        assert!(route.check().unwrap().authorization().is_err());
    }
}
