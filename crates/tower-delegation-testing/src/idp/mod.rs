//! The mock identity provider: a server on a loopback socket.

mod client;
mod endpoints;
mod faults;
mod issuer;
#[cfg(feature = "tls")]
mod mtls;
mod token_endpoint;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, http::HeaderValue};
use endpoints::Server;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tower_delegation::clock::{Clock, SystemClock};
use url::Url;

pub use self::{
    client::{ClientAuthMethod, Grant, MockClient},
    faults::{Endpoint, Hold},
    issuer::MockIssuer,
    token_endpoint::{ExchangeFault, ExchangeLife, TokenRequest},
};
use crate::algorithm::Algorithm;

/// The audience of tokens unless the builder or the token names another.
pub const DEFAULT_AUDIENCE: &str = "https://api.example.com";

const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// An OAuth and OpenID provider on a socket of its own at 127.0.0.1.
///
/// It is its own root [`MockIssuer`], and more issuers live under paths. Each
/// serves:
///
/// | endpoint | path |
/// |---|---|
/// | metadata, OpenID Connect Discovery 1.0 | `{issuer}/.well-known/openid-configuration` |
/// | metadata, RFC 8414 | `/.well-known/oauth-authorization-server{path}` |
/// | key set, with `ETag` | `{issuer}/jwks` |
/// | tokens: client credentials, token exchange (RFC 8693), JWT bearer (RFC 7523) | `{issuer}/token` |
///
/// It stops when it is dropped: it listens no more, and answers that hang are
/// cut short. [`stop`](Self::stop) waits until that is done.
pub struct MockIdp {
    root: MockIssuer,
    address: SocketAddr,
    mtls_address: Option<SocketAddr>,
    builder: MockIdpBuilder,
    server: Arc<Server>,
    /// Dropping it stops the task.
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl MockIdp {
    /// Starts a provider on the machine's clock, with one ES256 key.
    ///
    /// # Panics
    /// If no loopback socket can be bound, or outside of a tokio runtime.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A provider with another clock, other keys, another audience.
    pub fn builder() -> MockIdpBuilder {
        MockIdpBuilder {
            clock: Arc::new(SystemClock::new()),
            algorithms: vec![Algorithm::Es256],
            audience: DEFAULT_AUDIENCE.to_owned(),
            token_lifetime: DEFAULT_TOKEN_LIFETIME,
            jwks_cache_control: None,
            #[cfg(feature = "tls")]
            mtls: None,
        }
    }

    /// The issuer whose identifier has this path, made on first use. Slashes
    /// at the end are dropped, so `/` and the empty path are the root issuer.
    #[must_use]
    pub fn issuer_at(&self, path: &str) -> MockIssuer {
        let path = canonical_path(path);
        let mut issuers = lock(&self.server.issuers);
        if let Some(issuer) = issuers.get(&path) {
            return issuer.clone();
        }
        let mtls_url = self.mtls_address.map(|address| format!("https://{address}{path}"));
        let issuer = MockIssuer::new(&self.builder, format!("http://{}{path}", self.address), mtls_url);
        issuers.insert(path, issuer.clone());
        issuer
    }

    /// The socket that the provider listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the provider and waits until its socket is closed: connections
    /// are refused from then on.
    pub async fn stop(self) {
        let Self { stop, task, .. } = self;
        drop(stop);
        // An error is a runtime that shuts down, which closes the socket as well.
        let _ = task.await;
    }
}

impl Deref for MockIdp {
    type Target = MockIssuer;

    fn deref(&self) -> &MockIssuer {
        &self.root
    }
}

impl fmt::Debug for MockIdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<_> = lock(&self.server.issuers).values().cloned().collect();
        f.debug_struct("MockIdp")
            .field("address", &self.address)
            .field("issuers", &issuers)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`MockIdp`]; they hold for every issuer of it.
#[derive(Clone, Debug)]
#[must_use = "no provider runs until `start`"]
pub struct MockIdpBuilder {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) audience: String,
    pub(crate) token_lifetime: Duration,
    pub(crate) jwks_cache_control: Option<HeaderValue>,
    #[cfg(feature = "tls")]
    mtls: Option<mtls::Mtls>,
}

impl MockIdpBuilder {
    /// Where token times come from; the default is the machine's clock. A
    /// [`TestClock`](crate::TestClock) is given as a clone.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The keys made at the start; the first signs unless a token says
    /// otherwise. The default is ES256 alone, which is also what signs if the
    /// list is empty. Keys of other algorithms are made when a token asks.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// The audience of tokens that name none; the default is
    /// [`DEFAULT_AUDIENCE`].
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// How long tokens live that do not say it themselves; the default is five
    /// minutes.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// The `Cache-Control` of key sets; the default is none.
    pub fn jwks_cache_control(mut self, value: HeaderValue) -> Self {
        self.jwks_cache_control = Some(value);
        self
    }

    /// Binds a free port of 127.0.0.1 and serves it from a background task.
    ///
    /// # Panics
    /// If no loopback socket can be bound, or outside of a tokio runtime.
    #[expect(clippy::expect_used, reason = "without a loopback socket no test can go on")]
    pub async fn start(self) -> MockIdp {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind 127.0.0.1");
        let address = listener.local_addr().expect("a bound socket has an address");

        #[cfg(feature = "tls")]
        let mtls = match &self.mtls {
            Some(mtls) => Some(mtls.listen().await),
            None => None,
        };
        #[cfg(feature = "tls")]
        let mtls_address = mtls.as_ref().map(|(_, address)| *address);
        #[cfg(not(feature = "tls"))]
        let mtls_address: Option<SocketAddr> = None;

        let (stop, mut stopped) = watch::channel(());
        let mtls_url = mtls_address.map(|address| format!("https://{address}"));
        let root = MockIssuer::new(&self, format!("http://{address}"), mtls_url);
        let issuers = Mutex::new([(String::new(), root.clone())].into());
        let server = Arc::new(Server { issuers, stopped: stopped.clone() });
        let router = Router::new().fallback(endpoints::dispatch).with_state(Arc::clone(&server));
        #[cfg(feature = "tls")]
        let served_mtls = {
            let (router, mut stopped) = (router.clone(), stopped.clone());
            async move {
                if let Some((listener, _)) = mtls {
                    let stop = async move { faults::closed(&mut stopped).await };
                    tower_delegation_rustls::serve(listener, router, stop).await;
                }
            }
        };
        #[cfg(not(feature = "tls"))]
        let served_mtls = std::future::ready(());
        let task = tokio::spawn(async move {
            let served = axum::serve(listener, router)
                .with_graceful_shutdown(async move { faults::closed(&mut stopped).await });
            // Never an error: axum retries a failed accept.
            let _ = tokio::join!(served.into_future(), served_mtls);
        });
        MockIdp { root, address, mtls_address, builder: self, server, stop, task }
    }
}

/// As a URL spells the path: no slash at the end, odd characters escaped.
fn canonical_path(path: &str) -> String {
    let escaped = Url::parse("http://127.0.0.1").map(|mut url| {
        url.set_path(path);
        url.path().to_owned()
    });
    escaped.unwrap_or_default().trim_end_matches('/').to_owned()
}

/// A test that panics with the lock held must not make the others panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
