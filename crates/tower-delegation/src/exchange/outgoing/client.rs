//! [`DownstreamClient`]: calls to one downstream, through reqwest.

use std::{fmt, time::Duration};

use http::Method;
use reqwest::{Client, ClientBuilder, redirect};

use super::{request::DownstreamRequest, target};
use crate::{error::ConfigError, exchange::request::Exchange, text::causes};

/// For how long a connection is waited for where the service brings no client of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long the next bytes of an answer are waited for there.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls to one downstream, each on behalf of its caller. Cheap to clone; clones share
/// connections and tokens.
///
/// Needs the feature `reqwest`. [What is refused](super).
///
/// # Example
/// ```no_run
/// // no_run: it would call a service.
/// use tower_delegation::{
///     ConfigError, DelegationContext,
///     exchange::{Exchange, outgoing::{CallError, DownstreamClient}},
/// };
///
/// fn client(exchange: Exchange) -> Result<DownstreamClient, ConfigError> {
///     DownstreamClient::new(exchange)
/// }
///
/// async fn reserve(stock: &DownstreamClient, delegation: &DelegationContext) -> Result<u16, CallError> {
///     let call = stock.post("/items/7/reservations").json(&[("amount", 2)]);
///     let answer = call.on_behalf_of(delegation).scope("stock:reserve").send().await?;
///     Ok(answer.status().as_u16())
/// }
/// # let _ = (client, reserve);
/// ```
///
/// A call that does not say for whom it is cannot be sent:
/// ```compile_fail
/// async fn items(stock: &tower_delegation::exchange::outgoing::DownstreamClient) {
///     let _ = stock.get("/items").send().await;
/// }
/// ```
#[derive(Clone)]
pub struct DownstreamClient {
    exchange: Exchange,
    client: Client,
}

impl DownstreamClient {
    /// A client with time-outs (five seconds for a connection, thirty for the next bytes of an
    /// answer) that uses no proxy, whatever the environment says.
    ///
    /// # Errors
    /// [`ConfigError::HttpClient`] if TLS cannot be set up.
    pub fn new(exchange: Exchange) -> Result<Self, ConfigError> {
        let builder = ClientBuilder::new().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
        Self::with_client(exchange, builder.no_proxy())
    }

    /// A client of the service's own: its certificates, time-outs, proxy and pool. It comes as a
    /// builder, because its policy for redirects is replaced: none is followed, since reqwest
    /// would take some header fields along to another origin.
    ///
    /// Leave its cookies off: they are the downstream's memory of one caller, and would go
    /// along with the calls of another.
    ///
    /// # Errors
    /// [`ConfigError::HttpClient`] if the client cannot be built.
    pub fn with_client(exchange: Exchange, client: ClientBuilder) -> Result<Self, ConfigError> {
        let client = client.redirect(redirect::Policy::none()).referer(false).build();
        let client = client
            .map_err(|error| ConfigError::HttpClient { problem: format!("{error}: {}", causes(&error)) })?;
        Ok(Self { exchange, client })
    }

    /// Starts a `GET` of a path beneath the downstream's URL, such as `/items/7?full=1`. What comes
    /// from outside is to be percent-encoded before it is made part of a path.
    pub fn get<'c>(&'c self, path: &str) -> DownstreamRequest<'c> {
        self.request(Method::GET, path)
    }

    /// Starts a `POST`.
    pub fn post<'c>(&'c self, path: &str) -> DownstreamRequest<'c> {
        self.request(Method::POST, path)
    }

    /// Starts a `PUT`.
    pub fn put<'c>(&'c self, path: &str) -> DownstreamRequest<'c> {
        self.request(Method::PUT, path)
    }

    /// Starts a `PATCH`.
    pub fn patch<'c>(&'c self, path: &str) -> DownstreamRequest<'c> {
        self.request(Method::PATCH, path)
    }

    /// Starts a `DELETE`.
    pub fn delete<'c>(&'c self, path: &str) -> DownstreamRequest<'c> {
        self.request(Method::DELETE, path)
    }

    /// Starts a request with any method. A path that is none beneath the downstream's URL is an
    /// error of `send`, before anything is exchanged.
    pub fn request<'c>(&'c self, method: Method, path: &str) -> DownstreamRequest<'c> {
        let url = target::beneath(self.exchange.base(), path);
        let builder = url.map(|url| self.client.request(method, url));
        DownstreamRequest::new(&self.exchange, &self.client, builder)
    }

    /// What tokens come from.
    #[must_use]
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}

impl fmt::Debug for DownstreamClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownstreamClient").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
