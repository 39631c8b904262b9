//! The service behind the gateway: the exchange, the request to it, and its answer.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{self, StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use reqwest::{Certificate, Client, Identity, Url, redirect::Policy};
use tower_delegation::{
    DelegationContext, DelegationLayer, Rejection, Requirement, TrustedIssuer,
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, Exchange},
    material::Material,
    watch::FileWatcher,
};

use crate::{
    headers,
    routes::SCOPES,
    settings::{Orders, Settings},
    streams::{Download, Stalled, Upload},
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A service that requests are forwarded to. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    exchange: Exchange,
    settings: Orders,
    /// Replaced when its certificates change. Requests under way keep the former one.
    client: RwLock<Client>,
}

/// Why there is no answer of the service.
#[derive(Debug)]
enum Failure {
    /// There is no token for it: by the library's own table, 401, 403 or 503.
    NoToken(Rejection),
    /// The path is another one once dots and escapes are resolved, so the rule was not about it.
    Path,
    /// The caller has stopped sending.
    Caller,
    /// No connection.
    Unreachable(reqwest::Error),
    /// No proper answer.
    Broken(reqwest::Error),
    /// No answer in time.
    Late,
}

impl Upstream {
    /// Checks everything, and fetches nothing.
    pub(crate) fn new(settings: &Settings, delegation: &DelegationLayer) -> anyhow::Result<Self> {
        let orders = settings.orders.clone();
        let exchange = delegation.exchange(downstream(settings)?)?;
        let client = RwLock::new(client(&orders)?);
        Ok(Self(Arc::new(Inner { exchange, settings: orders, client })))
    }

    /// Follows the certificates.
    pub(crate) fn watch(&self) -> anyhow::Result<FileWatcher> {
        let Orders { authorities, certificate, key, .. } = &self.0.settings;
        let files = [authorities, certificate, key].map(|file| file.relative());
        let (upstream, mut seen) = (self.clone(), contents(&self.0.settings).ok());
        let look = move || {
            let found = match contents(&upstream.0.settings) {
                Ok(found) if seen.as_ref() == Some(&found) => return,
                found => found,
            };
            match found.and_then(|found| Ok((client(&upstream.0.settings)?, found))) {
                Ok((client, found)) => {
                    *upstream.0.client.write().unwrap_or_else(PoisonError::into_inner) = client;
                    seen = Some(found);
                    tracing::info!("the certificates for the upstream were read again");
                }
                Err(error) => {
                    tracing::error!("the certificates for the upstream stay as they were: {error:#}")
                }
            }
        };
        FileWatcher::start(files, look).context("the certificates for the upstream cannot be watched")
    }

    /// Forwards a request that its rule has let in, with a token of this scope for its caller.
    pub(crate) async fn forward(
        &self,
        scope: &str,
        delegation: &DelegationContext,
        request: Request,
    ) -> Response {
        match self.try_forward(scope, delegation, request).await {
            Ok(response) => response,
            Err(failure) => failure.into_response(),
        }
    }

    async fn try_forward(
        &self,
        scope: &str,
        delegation: &DelegationContext,
        request: Request,
    ) -> Result<Response, Failure> {
        let Inner { exchange, settings, .. } = &*self.0;
        let url = target(exchange.url(), request.uri()).ok_or(Failure::Path)?;
        let token = exchange.on_behalf_of(delegation).scope(scope).token().await?;
        let caller = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let caller: Option<IpAddr> = caller.map(|ConnectInfo(address)| address.ip());
        let (head, body) = request.into_parts();
        let (upload, progress) = Upload::new(body);
        let mut onward = http::Request::new(reqwest::Body::wrap(upload));
        *onward.method_mut() = head.method;
        *onward.uri_mut() = url.as_str().parse().map_err(|_| Failure::Path)?;
        *onward.headers_mut() = head.headers;
        headers::for_upstream(onward.headers_mut(), caller, head.version, settings.forward_cookies);
        // Fails for another origin than the service's, which the URL cannot have.
        token.authorize(&mut onward).map_err(|_| Failure::Path)?;
        let onward = onward.try_into().map_err(Failure::Broken)?;
        let client = self.0.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        let answered = pin!(client.execute(onward));
        let answer = tokio::select! {
            answer = answered => answer?,
            stalled = progress.stalled(settings.idle_timeout()) => return Err(stalled.into()),
        };
        let (head, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
        let mut response = Response::new(Body::new(Download::new(body, settings.idle_timeout())));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        headers::for_caller(response.headers_mut(), settings.forward_cookies);
        Ok(response)
    }
}

/// Where a request goes: to the path that its rule was about, at the service.
fn target(service: &str, uri: &Uri) -> Option<Url> {
    let service = service.trim_end_matches('/');
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let url = Url::parse(&format!("{service}{target}")).ok()?;
    // `/orders/%2e%2e/export` is `/export` in a URL.
    let rest = url.as_str().strip_prefix(service)?.strip_prefix(uri.path())?;
    (rest.is_empty() || rest.starts_with('?')).then_some(url)
}

/// What the gateway may ask for there, and who may cause it.
fn downstream(settings: &Settings) -> anyhow::Result<Downstream> {
    let orders = &settings.orders;
    let secret = Material::file(orders.client_secret.relative());
    let server = AuthorizationServer::discover(&settings.issuer)?
        .client(orders.client_id.as_str(), ClientAuthentication::secret_basic(secret));
    let terms = TrustedIssuer::discover(&settings.issuer)?.add_user_claim(settings.user_claim.as_str());
    let downstream = Downstream::new("orders", &orders.url, server)
        .resource(&orders.resource)
        .require(Requirement::named("calls orders").on_behalf_of_user())
        .add_scopes(SCOPES)
        .reads(terms);
    Ok(if orders.issuer_caps_life { downstream.issuer_caps_life() } else { downstream })
}

/// The files that the client is made of.
fn contents(settings: &Orders) -> anyhow::Result<[Vec<u8>; 3]> {
    let Orders { authorities, certificate, key, .. } = settings;
    let read = |file: &figment::value::magic::RelativePathBuf| {
        let file = file.relative();
        fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))
    };
    Ok([read(authorities)?, read(certificate)?, read(key)?])
}

/// A client that is this gateway's workload, and trusts the authorities of the service alone.
fn client(settings: &Orders) -> anyhow::Result<Client> {
    let [authorities, certificate, key] = contents(settings)?;
    let identity = [certificate, b"\n".to_vec(), key].concat();
    let build = || {
        Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(&authorities)?)
            .identity(Identity::from_pem(&identity)?)
            .https_only(true)
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .build()
    };
    build().context("the certificates of `orders` in the configuration cannot be used")
}

impl IntoResponse for Failure {
    /// 502 and 504 are about the service; what this gateway lacks itself is the library's 503,
    /// with another code.
    fn into_response(self) -> Response {
        let (status, code) = match self {
            Self::NoToken(rejection) => return rejection.into_response(),
            Self::Path => (StatusCode::BAD_REQUEST, "path_ambiguous"),
            Self::Caller => (StatusCode::REQUEST_TIMEOUT, "request_stalled"),
            Self::Unreachable(error) => {
                warn(&error, "the upstream cannot be reached");
                (StatusCode::BAD_GATEWAY, "upstream_unreachable")
            }
            Self::Broken(error) => {
                warn(&error, "the upstream has broken off");
                (StatusCode::BAD_GATEWAY, "upstream_failed")
            }
            Self::Late => {
                tracing::warn!("the upstream has not answered in time");
                (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout")
            }
        };
        let title = status.canonical_reason().unwrap_or_default();
        let problem = format!(r#"{{"title":"{title}","status":{},"code":"{code}"}}"#, status.as_u16());
        (status, [(CONTENT_TYPE, "application/problem+json")], problem).into_response()
    }
}

/// With its causes, which hold no token. Not with its URL, which holds what the caller asked for.
fn warn(error: &reqwest::Error, message: &'static str) {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    tracing::warn!(error = causes.join(": "), "{message}");
}

impl From<tower_delegation::exchange::ExchangeError> for Failure {
    fn from(error: tower_delegation::exchange::ExchangeError) -> Self {
        Self::NoToken(error.into())
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_connect() { Self::Unreachable(error) } else { Self::Broken(error) }
    }
}

impl From<Stalled> for Failure {
    fn from(stalled: Stalled) -> Self {
        match stalled {
            Stalled::Caller => Self::Caller,
            Stalled::Upstream => Self::Late,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_where_its_rule_was_about() {
        for (name, path, expected) in [
            ("a path", "/orders", Some("https://orders:8443/orders")),
            ("with a query", "/orders?a=b%20c&d", Some("https://orders:8443/orders?a=b%20c&d")),
            ("escapes stay", "/orders/a%2Fb", Some("https://orders:8443/orders/a%2Fb")),
            ("dots", "/orders/../export", None),
            ("escaped dots", "/orders/%2e%2E/export", None),
            ("one dot", "/orders/./export", None),
            ("a half of it escaped", "/orders/.%2e/export", None),
            ("a backslash", "/orders/..\\export", None),
            ("dots at the end", "/orders/..", None),
            ("no path", "*", None),
        ] {
            let uri: Uri = match path.parse() {
                Ok(uri) => uri,
                Err(_) => continue,
            };
            let url = target("https://orders:8443/", &uri);
            assert_eq!(url.as_ref().map(Url::as_str), expected, "{name}: {path}");
        }
    }
}
