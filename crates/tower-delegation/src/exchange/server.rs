//! [`AuthorizationServer`]: where tokens for downstreams come from, and who asks for them.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, Method};
use moka::future::Cache;
use serde_json::value::RawValue;
use url::Url;

use super::{
    answer::Answer,
    authentication::{ClientAuthentication, Form},
    dpop::{DPOP, DpopKey, Nonce},
    error::{Failure, Party},
};
use crate::{
    clock::Clock,
    error::{ConfigError, Mistakes},
    http_client::{Answer as HttpAnswer, DocumentKind, Fetched, Fetcher, HttpClient, configured_url},
    issuer::metadata_urls,
    json::{Nested, read_object, string},
    names::{ClientId, IssuerUrl},
    reason::DenialReason,
};

/// How long metadata is current (as of issuers of requests).
const METADATA_LIFETIME: Duration = Duration::from_secs(3600);

/// An authorization server that exchanges tokens, and the client that this service is there.
///
/// A value with setters, checked where it is used:
/// [`DelegationLayer::exchange`](crate::layer::DelegationLayer::exchange). Nothing is fetched
/// before the first exchange.
///
/// ```
/// use tower_delegation::{exchange::{AuthorizationServer, ClientAuthentication}, material::Material};
///
/// # fn server(secret: Material) -> Result<AuthorizationServer, tower_delegation::ConfigError> {
/// Ok(AuthorizationServer::discover("https://idp.example.com")?
///     .client("orders", ClientAuthentication::secret_basic(secret)))
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before the server is given to a downstream"]
pub struct AuthorizationServer {
    pub(super) issuer: IssuerUrl,
    place: Place,
    client: Option<(ClientId, ClientAuthentication)>,
    http_client: Option<HttpClient>,
}

/// Where the token endpoint is.
#[derive(Clone, Debug)]
enum Place {
    /// Named by the metadata at one of these places (RFC 8414 section 3).
    Discovered(Vec<Url>),
    /// Named by the configuration.
    Url(Url),
}

impl AuthorizationServer {
    /// A server whose metadata names its token endpoint (RFC 8414 section 2). The metadata
    /// is looked for at the [places](crate::issuer::metadata_urls) of an issuer of requests,
    /// and read again after one hour.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] unless `issuer` is an `https` URL (or `http` to a loopback
    /// address) without query and fragment.
    pub fn discover(issuer: &str) -> Result<Self, ConfigError> {
        let places = metadata_urls(issuer)?.filter_map(|place| Url::parse(&place).ok()).collect();
        Ok(Self::new(issuer, Place::Discovered(places)))
    }

    /// A server whose token endpoint is at `url`.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] unless `url` is an `https` URL (or `http` to a loopback
    /// address).
    pub fn with_token_endpoint(issuer: &str, url: &str) -> Result<Self, ConfigError> {
        Ok(Self::new(issuer, Place::Url(configured_url(url, "a token endpoint")?)))
    }

    fn new(issuer: &str, place: Place) -> Self {
        Self { issuer: issuer.into(), place, client: None, http_client: None }
    }

    /// The client that this service is at the server, and how it proves that. Required: a
    /// token is exchanged for no one unknown.
    pub fn client(mut self, id: impl Into<ClientId>, authentication: ClientAuthentication) -> Self {
        self.client = Some((id.into(), authentication));
        self
    }

    /// The HTTP client that asks the server. Default: the one of the
    /// [layer](crate::layer::DelegationLayerBuilder::http_client).
    pub fn http_client(mut self, http_client: HttpClient) -> Self {
        self.http_client = Some(http_client);
        self
    }

    /// Who this service is at the server.
    pub(super) fn client_id(&self) -> Option<&ClientId> {
        self.client.as_ref().map(|(id, _)| id)
    }

    /// Checks everything; asks nothing.
    pub(super) fn build(
        self,
        mistakes: &mut Mistakes,
        downstream: &str,
        of_layer: Option<&HttpClient>,
        is_certificate_bound: bool,
    ) -> Option<Server> {
        let mut wrong = |problem: &str| {
            let (downstream, problem) = (downstream.to_owned(), problem.to_owned());
            mistakes.add(ConfigError::InvalidDownstream { downstream, problem });
        };
        let client = self.client.filter(|(id, _)| !id.as_str().is_empty());
        if client.is_none() {
            wrong(
                "its authorization server does not know who asks: name this service with \
                 `.client(id, authentication)`",
            );
        }
        let is_mutual_tls = client.as_ref().is_some_and(|(_, authentication)| authentication.is_mutual_tls());
        let presents_certificate = is_mutual_tls || is_certificate_bound;
        let fetcher =
            self.http_client.or_else(|| of_layer.cloned()).unwrap_or_else(HttpClient::new).fetcher();
        if let Ok(fetcher) = &fetcher
            && presents_certificate
            && fetcher.certificate_thumbprint().is_none()
        {
            wrong(
                "its authorization server must see a certificate of this service, and none is known: give one to \
                 the server's HTTP client with `HttpClient::client_certificate(..)`",
            );
        }
        let (fetcher, (client_id, authentication)) = (mistakes.take(fetcher), client?);
        Some(Server {
            issuer: self.issuer,
            place: self.place,
            client_id,
            authentication,
            presents_certificate,
            fetcher: fetcher?,
            nonce: Nonce::default(),
            endpoints: Cache::builder().max_capacity(1).time_to_live(METADATA_LIFETIME).build(),
        })
    }
}

/// The same, checked.
pub(super) struct Server {
    pub(super) issuer: IssuerUrl,
    place: Place,
    pub(super) client_id: ClientId,
    authentication: ClientAuthentication,
    presents_certificate: bool,
    fetcher: Fetcher,
    /// What it demands in proofs.
    nonce: Nonce,
    endpoints: Cache<(), Arc<Endpoints>>,
}

/// What a request is made with.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    /// What the token is to be bound to.
    pub(super) key: Option<&'a DpopKey>,
    pub(super) clock: &'a dyn Clock,
}

/// What the metadata names.
struct Endpoints {
    token: Url,
    /// For clients that present a certificate (RFC 8705 section 5).
    mutual_tls: Option<Url>,
}

impl Endpoints {
    /// Where to send a request whose client presents a certificate, or not.
    fn token(&self, presents_certificate: bool) -> &Url {
        self.mutual_tls.as_ref().filter(|_| presents_certificate).unwrap_or(&self.token)
    }
}

impl Server {
    /// Asks for a token: with a proof of who this service is, and one by the key where the token
    /// is to be bound to it. Where the server demands a nonce, it is asked once more. `party`
    /// is whose fault it is where the server refuses the grant.
    pub(super) async fn request(
        &self,
        form: &Form<'_>,
        means: Means<'_>,
        party: Party,
    ) -> Result<Answer, Arc<Failure>> {
        let endpoints = self.endpoints().await?;
        let url = endpoints.token(self.presents_certificate);
        let mut may_repeat = means.key.is_some();
        loop {
            let answer = self.send(url, form.clone(), means).await.map_err(Arc::new)?;
            let has_nonce = self.nonce.learn(&answer.headers);
            match Answer::read(&answer, means.clock.now()) {
                Err(failure) if failure.demands_nonce() && has_nonce && may_repeat => may_repeat = false,
                outcome => return outcome.map_err(|failure| Arc::new(failure.of(party))),
            }
        }
    }

    /// Sends one request. Each has assertions and proofs of its own: they are good once.
    async fn send(&self, url: &Url, mut form: Form<'_>, means: Means<'_>) -> Result<HttpAnswer, Failure> {
        let mut headers = HeaderMap::new();
        let parties = (&self.client_id, &self.issuer);
        self.authentication.prove(&mut form, &mut headers, parties, means.clock.now()).await?;
        if let Some(key) = means.key {
            headers.insert(DPOP, key.proof(&Method::POST, url, &self.nonce, None)?);
        }
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, &**value)).collect();
        Ok(self.fetcher.post_form(url, &form, headers).await?)
    }

    /// The thumbprint of the certificate that the server sees, where it sees one.
    pub(super) fn certificate_thumbprint(&self) -> Option<[u8; 32]> {
        self.fetcher.certificate_thumbprint().filter(|_| self.presents_certificate)
    }

    /// Where the token endpoint is. Fetched once at a time, and not while it is current.
    async fn endpoints(&self) -> Result<Arc<Endpoints>, Arc<Failure>> {
        self.endpoints.try_get_with((), self.find_endpoints()).await.map_err(|failure| Arc::clone(&failure))
    }

    async fn find_endpoints(&self) -> Result<Arc<Endpoints>, Failure> {
        let places = match &self.place {
            Place::Url(url) => return Ok(Arc::new(Endpoints { token: url.clone(), mutual_tls: None })),
            Place::Discovered(places) => places,
        };
        let mut last = None;
        for place in places {
            match self.read(place).await {
                Ok(endpoints) => return Ok(Arc::new(endpoints)),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| Failure::garbled("the metadata is at no place")))
    }

    async fn read(&self, place: &Url) -> Result<Endpoints, Failure> {
        let fetched = self.fetcher.get(place, DocumentKind::Metadata, None).await?;
        let Fetched::Document { body, .. } = fetched else {
            return Err(Failure::garbled("the metadata is not there"));
        };
        let text = std::str::from_utf8(&body).map_err(|_| Failure::garbled("the metadata is no UTF-8"))?;
        let (mut issuer, mut token, mut aliases) = (None, None, None);
        let garbled = |_: DenialReason| Failure::garbled("the metadata is not one JSON object");
        read_object(text, DenialReason::ExchangeUnavailable, |name, value| {
            match name {
                "issuer" => issuer = string(value),
                "token_endpoint" => token = string(value),
                "mtls_endpoint_aliases" => aliases = Some(value),
                _ => {}
            }
            Ok(Nested::Checked)
        })
        .map_err(garbled)?;
        // RFC 8414 section 3.3: identical strings.
        if issuer.as_deref() != Some(self.issuer.as_str()) {
            return Err(Failure::garbled("the metadata is that of another issuer"));
        }
        let token = token.ok_or_else(|| Failure::garbled("the metadata names no token endpoint"))?;
        let alias = aliases.and_then(mutual_tls_alias).map(|alias| self.usable(&alias)).transpose()?;
        Ok(Endpoints { token: self.usable(&token)?, mutual_tls: alias })
    }

    /// An endpoint of metadata, if credentials may be sent there.
    fn usable(&self, endpoint: &str) -> Result<Url, Failure> {
        let unusable = || Failure::garbled("the metadata names a token endpoint that is not https");
        let url = Url::parse(endpoint).map_err(|_| unusable())?;
        let is_local = Url::parse(self.issuer.as_str()).is_ok_and(|issuer| issuer.scheme() == "http");
        if self.fetcher.check(&url).is_err() || (url.scheme() != "https" && !is_local) {
            return Err(unusable());
        }
        Ok(url)
    }
}

/// `mtls_endpoint_aliases.token_endpoint` (RFC 8705 section 5).
fn mutual_tls_alias(aliases: &RawValue) -> Option<String> {
    crate::json::find(aliases.get(), "token_endpoint").and_then(string).map(std::borrow::Cow::into_owned)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
