//! [`Authenticator`]: credentials in, context out; no server types.
//!
//! The layer is one user of it. Another is code that gets a token by other
//! means than HTTP through tower: a WebSocket message, a queue, a test.

mod admission;
mod pending;
mod status;

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, request::Parts};

pub(crate) use self::pending::{Authentication, Head, Pending, peer_info};
pub use self::status::Status;
use crate::{
    application::Applications,
    clock::{Clock, SystemClock, Timestamp},
    context::{Anonymous, DelegationContext, NamedSignal, RiskSignal, RiskSignals},
    credential::{
        ClientCertHeader, Credential, ForwardedIdentity, IdentityHeaders, PeerInfo, ProtectionSpace, Scheme,
        TlsPeer, TrustedHop, Vouched, WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest, credential,
    },
    error::ConfigError,
    issuer::{BuildContext, IssuerResolver, Issuers, TrustedIssuer},
    jwks::{KeySourceError, VerifyingKey},
    proof::{Dpop, DpopVerifier, Transport},
    protected_resource::{Capabilities, ProtectedResource, ResourceMetadata},
    reason::{DenialReason, RejectionKind},
    rejection::{Rejection, is_quotable},
    revocation::{RevocationListener, RevocationQuery, RevocationStore, Standing},
    token::{TokenCache, Verification, VerifiedToken, Verifier},
};

/// The leeway where none is set.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// The most leeway that can be set.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// The most actors in one chain where no other number is set.
pub const DEFAULT_MAX_ACTORS: usize = 8;

/// Verifies the credentials of requests. Cheap to clone; clones share keys.
///
/// Made by [`AuthenticatorBuilder`], or taken from a
/// [`DelegationLayer`](crate::layer::DelegationLayer).
#[derive(Clone, Debug)]
pub struct Authenticator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    verifier: Verifier,
    client_identity: Option<ClientIdentity>,
    revocations: Option<Arc<dyn RevocationStore>>,
    /// When the cache was last searched for revoked tokens, in milliseconds of the monotonic clock.
    last_eviction: AtomicU64,
    dpop: Option<DpopVerifier>,
    space: Arc<ProtectionSpace>,
    applications: Option<Applications>,
    identity_headers: IdentityHeaders,
    leeway: Duration,
    risk: Option<Arc<RiskSignals>>,
    protected_resource: Option<ProtectedResource>,
}

/// Where the identity of the workload at the other end of the connection comes
/// from. Not considered unless configured: then no request has a workload
/// identity, and every token that is bound to a certificate is refused.
#[derive(Clone, Debug)]
pub struct ClientIdentity(Vec<Identity>);

#[derive(Clone, Debug)]
enum Identity {
    Tls,
    Source(Arc<dyn WorkloadIdentitySource>),
    Proxy(ForwardedIdentity),
}

impl ClientIdentity {
    /// From the TLS listener of this process, such as that of
    /// `tower-delegation-rustls`: it puts a [`PeerInfo`], or axum's
    /// `ConnectInfo<PeerInfo>`, into the extensions of each request. A request
    /// without either is answered with 500, because then the service is wired
    /// to another listener than it believes.
    #[must_use]
    pub fn from_tls() -> Self {
        Self(vec![Identity::Tls])
    }

    /// From a proxy that ends the TLS connections of its clients, in a header
    /// field, believed only from `hop`. Without the field, the request's client
    /// has no certificate; a field that is there and wrong refuses the request.
    ///
    /// The listener must tell of each connection's other end as it must for
    /// [`from_tls`](Self::from_tls): a request without [`PeerInfo`] is answered
    /// with 500. For plain listeners of axum,
    /// `app.into_make_service_with_connect_info::<PeerInfo>()` does it.
    ///
    /// [What is refused and which configurations work](crate::credential#the-certificate-of-a-proxys-client).
    #[must_use]
    pub fn from_proxy(header: ClientCertHeader, hop: TrustedHop) -> Self {
        Self(vec![Identity::Proxy(ForwardedIdentity::new(header, hop))])
    }

    /// From a source of your own.
    #[must_use]
    pub fn from_source(source: impl WorkloadIdentitySource) -> Self {
        Self(vec![Identity::Source(Arc::new(source))])
    }

    /// From this one or, where this one does not know the workload, from `next`.
    ///
    /// Both are asked on every request, so that both remove their header fields;
    /// an error of either refuses the request. A token that is bound to a
    /// certificate needs a workload that is known by it: put the source of
    /// certificates first. Together with [`from_proxy`](Self::from_proxy), the
    /// certificate of a connection that comes from the trusted hop names nobody:
    /// it is the hop's own.
    ///
    /// ```
    /// use tower_delegation::{ClientIdentity, jwt_svid::{JwtBundles, JwtSvidSource}};
    ///
    /// let bundles = JwtBundles::new(); // filled from the Workload API or a file
    /// let svids = JwtSvidSource::builder("x-jwt-svid", bundles).audience("https://orders.example.com").build()?;
    /// let identity = ClientIdentity::from_tls().or(svids);
    /// # Ok::<(), tower_delegation::ConfigError>(())
    /// ```
    #[must_use]
    pub fn or(mut self, next: impl Into<Self>) -> Self {
        self.0.extend(next.into().0);
        self
    }

    fn proxies(&self) -> impl Iterator<Item = &ForwardedIdentity> {
        self.0.iter().filter_map(|identity| match identity {
            Identity::Proxy(proxy) => Some(proxy),
            Identity::Tls | Identity::Source(_) => None,
        })
    }
}

impl<S: WorkloadIdentitySource> From<S> for ClientIdentity {
    fn from(source: S) -> Self {
        Self::from_source(source)
    }
}

impl Authenticator {
    /// Starts a configuration.
    pub fn builder() -> AuthenticatorBuilder {
        AuthenticatorBuilder::default()
    }

    /// Verifies the credentials in a request's head: `None` if there are none.
    /// Header fields that speak for the workload are removed from the head.
    ///
    /// Waits only where the issuer's keys have to be fetched first.
    ///
    /// # Errors
    /// The [`Rejection`] to answer with.
    pub async fn authenticate(&self, head: &mut Parts) -> Result<Option<DelegationContext>, Rejection> {
        let peer = peer_info(&head.extensions).cloned();
        let mut authentication = match self.identify(&mut head.headers, peer.as_ref()) {
            Err(reason) => return Err(self.rejection(reason, None)),
            Ok(transport) => self.begin(Head::of_parts(head), transport),
        };
        loop {
            let mut pending = match authentication {
                Authentication::Done(result) => return result,
                Authentication::Pending(pending) => pending,
            };
            authentication = poll_fn(|cx| pending.poll(cx, self, Head::of_parts(head))).await;
        }
    }

    /// Verifies an access token that did not come in a request's head. A token
    /// that is bound to a certificate is refused: see [`verify_from`](Self::verify_from).
    /// One that is bound to a key is refused too: a DPoP proof is for a request.
    ///
    /// # Errors
    /// The [`Rejection`] to answer with.
    pub async fn verify(&self, token: &str) -> Result<DelegationContext, Rejection> {
        let transport = match self.0.client_identity {
            None => Transport::NotConsidered,
            Some(_) => Transport::Considered(None),
        };
        self.verify_of(token, transport).await
    }

    /// Verifies an access token that came by a connection whose other end is
    /// known, but not in a request's head.
    ///
    /// # Errors
    /// The [`Rejection`] to answer with.
    pub async fn verify_from(&self, token: &str, peer: &PeerInfo) -> Result<DelegationContext, Rejection> {
        let transport = self.identify(&mut HeaderMap::new(), Some(peer));
        self.verify_of(token, transport.map_err(|reason| self.rejection(reason, None))?).await
    }

    async fn verify_of(&self, token: &str, transport: Transport) -> Result<DelegationContext, Rejection> {
        let verify = async {
            let credential = Credential::new(token)?;
            let token = match self.0.verifier.verify(credential) {
                Verification::Done(result) => result,
                Verification::NeedsKey(key) => self.0.verifier.verify_with(credential, &*key.await?),
            };
            Ok((credential, token?))
        };
        let (credential, token) = verify.await.map_err(|reason| match reason {
            // No request presented it, so no request is malformed.
            DenialReason::CredentialsMalformed => self.rejection(DenialReason::TokenMalformed, None),
            other => self.rejection(other, None),
        })?;
        match self.prove(Ok(token), credential, None, transport) {
            Authentication::Done(Ok(Some(delegation))) => Ok(delegation),
            Authentication::Done(Err(rejection)) => Err(rejection),
            // There was a token, and without a request there is no proof to be remembered.
            Authentication::Done(Ok(None)) | Authentication::Pending(_) => {
                Err(self.rejection(DenialReason::DpopProofMissing, None))
            }
        }
    }

    /// Forgets what was verified about a token, if it is held. Its next request
    /// is verified from scratch.
    pub fn forget_token(&self, token: &str) {
        self.0.verifier.forget(token);
    }

    /// Forgets everything that was verified so far.
    pub fn forget_all_tokens(&self) {
        self.0.verifier.forget_all();
    }

    /// How many verified tokens are held right now. Does pending clean-up
    /// first, so it is for status pages, not for every request.
    #[must_use]
    pub fn cached_tokens(&self) -> u64 {
        self.0.verifier.held()
    }

    /// Fetches every issuer's keys now, for a readiness probe. Without it they
    /// load on first use.
    ///
    /// # Errors
    /// The first issuer's failure; the others are tried all the same.
    pub async fn warm_up(&self) -> Result<(), KeySourceError> {
        let mut outcome = Ok(());
        for issuer in self.0.verifier.issuers() {
            let warmed = issuer.keys().warm_up().await;
            outcome = outcome.and(warmed);
        }
        outcome
    }

    /// How the keys of every issuer are doing. Fetches nothing and waits for nothing.
    ///
    /// # Example
    /// A readiness probe. Warming up starts the fetching; where it fails, the
    /// layer tries again by itself, so the probe only has to look:
    /// ```
    /// use axum::{Router, http::StatusCode, routing::get};
    /// use tower_delegation::{ConfigError, DelegationLayer, TrustedIssuer};
    ///
    /// fn router(issuer: TrustedIssuer) -> Result<(Router, DelegationLayer), ConfigError> {
    ///     let delegation = DelegationLayer::builder().issuer(issuer).build()?;
    ///     let watched = delegation.clone();
    ///     let ready = async move || {
    ///         if watched.status().is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    ///     };
    ///     let router = Router::new()
    ///         .route("/orders", get(async || "orders"))
    ///         .layer(delegation.clone())
    ///         // After the layer, so that the probe needs no token.
    ///         .route("/ready", get(ready));
    ///     Ok((router, delegation))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use axum::{body::Body, http::Request};
    /// # use tower::ServiceExt as _;
    /// # let idp = tower_delegation_testing::MockIdp::start().await;
    /// # let issuer = TrustedIssuer::discover(idp.issuer())?.audience("https://orders.example.com");
    /// let (router, delegation) = router(issuer)?;
    /// # let probe = async || router.clone().oneshot(Request::get("/ready").body(Body::empty()).unwrap()).await;
    /// # assert_eq!(probe().await?.status(), 503);
    /// if let Err(error) = delegation.warm_up().await {
    ///     eprintln!("not ready yet: {error}");
    /// }
    /// # assert_eq!(probe().await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Status {
        let mut issuers: Vec<_> = self.0.verifier.issuers().map(|issuer| issuer.keys().status()).collect();
        issuers.sort_by(|one, other| one.issuer.cmp(&other.issuer));
        let untrusted_identity_headers = self.0.identity_headers.untrusted();
        Status { issuers, untrusted_identity_headers, audit: Vec::new() }
    }

    /// What the service tells clients about itself, as it is configured
    /// (RFC 9728). `None` unless [`protected_resource`](AuthenticatorBuilder::protected_resource)
    /// is set.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<ResourceMetadata> {
        let resource = self.0.protected_resource.clone()?;
        let issuers = self.0.verifier.issuers();
        let capabilities = Capabilities {
            authorization_servers: issuers.map(|issuer| issuer.issuer().to_string()).collect(),
            takes_certificate_bound_tokens: self.0.client_identity.is_some(),
            dpop_algorithms: self.0.space.algorithms(Scheme::Dpop).map(str::to_owned),
        };
        Some(ResourceMetadata::new(resource, capabilities))
    }

    /// Who is at the other end. First, and for every request: header fields that
    /// speak for the workload are removed here.
    pub(crate) fn identify(
        &self,
        headers: &mut HeaderMap,
        peer: Option<&PeerInfo>,
    ) -> Result<Transport, DenialReason> {
        let (transport, vouched) = match &self.0.client_identity {
            None => (Ok(Transport::NotConsidered), Vouched::ForNothing),
            Some(identity) => self.workload(identity, headers, peer),
        };
        // Also where the request is refused anyway: nobody is to see them.
        let swept = self.0.identity_headers.sweep(headers, vouched);
        transport.and_then(|transport| swept.map(|()| transport))
    }

    /// Who the first of the sources knows. All of them are asked, so that each
    /// removes its header fields.
    fn workload(
        &self,
        identity: &ClientIdentity,
        headers: &mut HeaderMap,
        peer: Option<&PeerInfo>,
    ) -> (Result<Transport, DenialReason>, Vouched) {
        let now = self.clock().now();
        let (mut known, mut vouched) = (Ok(None), Vouched::ForNothing);
        // The connection's certificate is then the proxy's own, and names none of its clients.
        let is_behind_proxy = peer.is_some_and(|peer| {
            identity.proxies().any(|proxy| proxy.vouched(peer, now) != Vouched::ForNothing)
        });
        for one in &identity.0 {
            let found = match (one, peer) {
                (Identity::Tls, _) if is_behind_proxy => Ok(None),
                (Identity::Tls, _) => {
                    TlsPeer.identify(WorkloadRequest::new(&mut *headers, peer.cloned(), now))
                }
                (Identity::Source(source), _) => {
                    source.identify(WorkloadRequest::new(&mut *headers, peer.cloned(), now))
                }
                (Identity::Proxy(_), None) => {
                    tracing::error!(
                        "client identity comes from a proxy, and the listener says nothing of the peer"
                    );
                    Err(DenialReason::PeerInfoMissing)
                }
                (Identity::Proxy(proxy), Some(peer)) => match proxy.vouched(peer, now) {
                    Vouched::ForNothing => Ok(None),
                    by_this => {
                        // Fields of several proxies cannot be told apart by who wrote them: none is kept.
                        let is_only_proxy = identity.proxies().nth(1).is_none();
                        vouched = if is_only_proxy { by_this } else { Vouched::ToBeRemoved };
                        proxy.certificate(headers, now).map(|it| it.map(WorkloadIdentity::from))
                    }
                },
            };
            known = match (known, found) {
                (Ok(known), Ok(found)) => Ok(known.or(found)),
                (Err(reason), _) | (Ok(_), Err(reason)) => Err(reason),
            };
        }
        (known.map(Transport::Considered), vouched)
    }

    /// Authenticates as far as is possible without waiting.
    pub(crate) fn begin(&self, head: Head<'_>, transport: Transport) -> Authentication {
        let credential = match self.credential(head) {
            Ok(Some(credential)) => credential,
            Ok(None) => return Authentication::Done(Ok(None)),
            Err(rejection) => return Authentication::Done(Err(rejection)),
        };
        match self.0.verifier.verify(credential) {
            Verification::Done(result) => self.prove(result, credential, Some(head.presenting()), transport),
            Verification::NeedsKey(key) => Authentication::Pending(Pending::Key { key, transport }),
        }
    }

    /// Goes on with the same head, now that the key is there or known not to be.
    fn resume(
        &self,
        head: Head<'_>,
        transport: Transport,
        key: Result<Arc<VerifyingKey>, DenialReason>,
    ) -> Authentication {
        let credential = match self.credential(head) {
            Ok(Some(credential)) => credential,
            Ok(None) => return Authentication::Done(Ok(None)),
            Err(rejection) => return Authentication::Done(Err(rejection)),
        };
        let token = key.and_then(|key| self.0.verifier.verify_with(credential, &key));
        self.prove(token, credential, Some(head.presenting()), transport)
    }

    fn credential<'a>(&self, head: Head<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        credential(head.headers, head.uri, &self.0.space)
            .map_err(|error| self.rejection(error.reason, error.scheme))
    }

    /// A refusal of a request that used `scheme`, if it used one.
    pub(crate) fn rejection(&self, reason: DenialReason, scheme: Option<Scheme>) -> Rejection {
        Rejection::new(reason, self.0.space.clone(), scheme)
    }

    /// The same, with what the client needs to try again.
    fn refusal(&self, reason: DenialReason, scheme: Scheme) -> Rejection {
        let rejection = self.rejection(reason, Some(scheme));
        match &self.0.dpop {
            Some(dpop) if reason.kind() == RejectionKind::UseDpopNonce => {
                rejection.with_dpop_nonce(dpop.current_nonce(self.clock().now()))
            }
            _ => rejection,
        }
    }

    pub(crate) fn anonymous(&self) -> Anonymous {
        Anonymous::new(self.0.space.clone())
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.0.verifier.clock()
    }
}

fn revocation_query(token: &VerifiedToken, now: Timestamp) -> RevocationQuery<'_> {
    let facts = token.facts();
    RevocationQuery::new(&facts.revocation_keys, facts.issued_at, now)
}

/// How often the cache is searched for revoked tokens at most. It holds facts
/// that are checked on every request, so this only gives back memory.
const EVICTION_INTERVAL: Duration = Duration::from_secs(1);

impl RevocationListener for Inner {
    fn revoked(&self) {
        let Some(revocations) = &self.revocations else { return };
        let clock = self.verifier.clock();
        let now = u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        let last = self.last_eviction.load(Ordering::Relaxed);
        let interval = u64::try_from(EVICTION_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        if last != NEVER && now.saturating_sub(last) < interval {
            return;
        }
        self.last_eviction.store(now, Ordering::Relaxed);
        let now = clock.now();
        self.verifier.forget_each(|token| {
            matches!(revocations.check(&revocation_query(token, now)), Standing::Revoked(_))
        });
    }
}

/// No search yet.
const NEVER: u64 = u64::MAX;

/// Configures an [`Authenticator`]. Nothing is checked and nothing fetched
/// before [`build`](Self::build).
#[derive(Debug)]
#[must_use]
pub struct AuthenticatorBuilder {
    issuers: Vec<TrustedIssuer>,
    resolvers: Vec<Arc<dyn IssuerResolver>>,
    leeway: Duration,
    max_actors: usize,
    realm: Arc<str>,
    clock: Arc<dyn Clock>,
    token_cache: TokenCache,
    client_identity: Option<ClientIdentity>,
    revocations: Option<Arc<dyn RevocationStore>>,
    dpop: Option<Dpop>,
    applications: Option<Applications>,
    more_identity_headers: Vec<Box<str>>,
    refuses_untrusted_identity_headers: bool,
    risk: Vec<NamedSignal>,
    protected_resource: Option<ProtectedResource>,
    #[cfg(feature = "discovery")]
    http_client: Option<crate::http_client::HttpClient>,
}

impl Default for AuthenticatorBuilder {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            resolvers: Vec::new(),
            leeway: DEFAULT_LEEWAY,
            max_actors: DEFAULT_MAX_ACTORS,
            realm: "api".into(),
            clock: Arc::new(SystemClock::new()),
            token_cache: TokenCache::new(),
            client_identity: None,
            revocations: None,
            dpop: None,
            applications: None,
            more_identity_headers: Vec::new(),
            refuses_untrusted_identity_headers: false,
            protected_resource: None,
            risk: Vec::new(),
            #[cfg(feature = "discovery")]
            http_client: None,
        }
    }
}

impl AuthenticatorBuilder {
    /// Trusts one more issuer. Issuers are isolated: keys, algorithms, audiences
    /// and limits of one never serve another's tokens (RFC 8725 section 3.8).
    pub fn issuer(mut self, issuer: TrustedIssuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Trusts the issuers that `resolver` knows, beside those given by
    /// [`issuer`](Self::issuer): for issuers that are known only at run time. It
    /// is asked only for issuers that are not configured, after the resolvers
    /// given before it. [`Authenticator::warm_up`] does not fetch their keys.
    pub fn issuer_resolver(mut self, resolver: impl IssuerResolver) -> Self {
        self.resolvers.push(Arc::new(resolver));
        self
    }

    /// How far clocks may differ: `exp`, `nbf` and `iat` are judged with this
    /// much forgiveness. Default 30 s, at most 300 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How many actors one chain may have (RFC 8693 section 4.1); longer ones
    /// are refused, not cut. Default 8, from 1 to 64.
    pub fn max_actors(mut self, max_actors: usize) -> Self {
        self.max_actors = max_actors;
        self
    }

    /// The protection space that challenges name (RFC 9110 section 11.5).
    /// Default `api`.
    pub fn realm(mut self, realm: &str) -> Self {
        self.realm = realm.into();
        self
    }

    /// The clock that decides every lifetime. Default [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where the identity of the workload at the other end of the connection
    /// comes from. Not considered unless set.
    pub fn client_identity(mut self, client_identity: ClientIdentity) -> Self {
        self.client_identity = Some(client_identity);
        self
    }

    /// What knows which tokens are revoked, asked on every request. None unless
    /// set: a token is then good until it expires.
    pub fn revocations(mut self, revocations: impl RevocationStore) -> Self {
        self.revocations = Some(Arc::new(revocations));
        self
    }

    /// Accepts tokens that are bound to a key, by scheme `DPoP` with a proof
    /// (RFC 9449). Not configured unless set: every such token is then refused.
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.dpop = Some(dpop);
        self
    }

    /// The [registry of applications](crate::application) that may present
    /// tokens, and how much each may do at most. Not set: the clients of an
    /// issuer are taken as they come.
    pub fn applications(mut self, applications: Applications) -> Self {
        self.applications = Some(applications);
        self
    }

    /// One more header field that speaks for a client, such as nginx's
    /// `ssl-client-verify` or `ssl-client-subject-dn`: removed from every request,
    /// in every spelling, as
    /// [those that are known anyway](crate::credential#header-fields-that-speak-for-a-client).
    /// The trusted hop's own is not counted as untrusted.
    pub fn add_identity_header(mut self, name: &str) -> Self {
        self.more_identity_headers.push(name.into());
        self
    }

    /// Refuses a request with a header field that speaks for a client and came
    /// from a hop that is not trusted: 400. Default: the field is removed and the
    /// request goes on.
    pub fn refuse_untrusted_identity_headers(mut self) -> Self {
        self.refuses_untrusted_identity_headers = true;
        self
    }

    /// Registers a risk signal under the name that requirements call it by.
    pub fn risk_signal(mut self, name: &str, signal: impl RiskSignal) -> Self {
        self.risk.push((name.into(), Arc::new(signal)));
        self
    }

    /// How clients know the service. Unless it is set, challenges name no
    /// metadata, and there is none to serve (RFC 9728).
    pub fn protected_resource(mut self, resource: ProtectedResource) -> Self {
        self.protected_resource = Some(resource);
        self
    }

    /// How many verified tokens are kept, so that their signature is checked
    /// once. Default 50,000 tokens, 64 MiB.
    pub fn token_cache(mut self, token_cache: TokenCache) -> Self {
        self.token_cache = token_cache;
        self
    }

    /// The client that fetches metadata and keys. Default
    /// [`HttpClient::default`](crate::http_client::HttpClient).
    #[cfg(feature = "discovery")]
    pub fn http_client(mut self, http_client: crate::http_client::HttpClient) -> Self {
        self.http_client = Some(http_client);
        self
    }

    /// Checks the configuration. No network: keys load on first use, or with
    /// [`Authenticator::warm_up`].
    ///
    /// # Errors
    /// The first mistake found.
    pub fn build(self) -> Result<Authenticator, ConfigError> {
        if self.issuers.is_empty() && self.resolvers.is_empty() {
            return Err(ConfigError::NoIssuer);
        }
        if self.leeway > MAX_LEEWAY {
            return Err(ConfigError::LeewayTooLong { leeway: self.leeway, max: MAX_LEEWAY });
        }
        if !(1..=64).contains(&self.max_actors) {
            return Err(ConfigError::OutOfRange {
                setting: "max_actors",
                value: u64::try_from(self.max_actors).unwrap_or(u64::MAX),
                expected: "from 1 to 64",
            });
        }
        if self.realm.is_empty() || !is_quotable(&self.realm) {
            return Err(ConfigError::InvalidRealm { realm: self.realm.as_ref().to_owned() });
        }
        if let (Some(applications), None) = (&self.applications, &self.client_identity)
            && !applications.iter().any(|application| application.allows_any_workload())
        {
            // Not an error: the registry may change, and would then be one at run time.
            tracing::warn!(
                "every registered application is tied to its workloads, and none is ever known: \
                 set `.client_identity(..)`"
            );
        }
        let mut identity_headers =
            IdentityHeaders::new(&self.more_identity_headers, self.refuses_untrusted_identity_headers)?;
        for proxy in self.client_identity.iter().flat_map(ClientIdentity::proxies) {
            proxy.check(&mut identity_headers)?;
        }
        let dpop = self.dpop.map(Dpop::build).transpose()?;
        let algorithms = dpop.as_ref().map(DpopVerifier::algorithm_names);
        let metadata_url = self.protected_resource.as_ref().map(ProtectedResource::metadata_url);
        let space = ProtectionSpace::new(&self.realm, algorithms).with_resource_metadata(metadata_url);
        let space = Arc::new(space);
        let is_known = |at, name: &str| self.risk.iter().take(at).any(|(known, _)| **known == *name);
        for (at, (name, _)) in self.risk.iter().enumerate() {
            if name.is_empty() || is_known(at, name) {
                return Err(ConfigError::InvalidRiskSignal { name: name.to_string() });
            }
        }
        if let Some(resource) = &self.protected_resource {
            resource.check()?;
        }
        let context = BuildContext::new(self.clock.clone());
        #[cfg(feature = "discovery")]
        let context = match self.http_client {
            Some(http_client) => context.with_http_client(http_client),
            None => context,
        };
        let mut context = context;
        let mut issuers = HashMap::with_capacity(self.issuers.len());
        for issuer in self.issuers {
            let policy = issuer.build(&mut context)?;
            let name = policy.issuer().clone();
            if issuers.insert(name.clone(), Arc::new(policy)).is_some() {
                return Err(ConfigError::DuplicateIssuer { issuer: name.to_string() });
            }
        }
        let issuers = Issuers::new(issuers, self.resolvers, context);
        let verifier = Verifier::new(issuers, self.clock, self.leeway, self.max_actors, self.token_cache);
        let inner = Arc::new(Inner {
            verifier,
            client_identity: self.client_identity,
            revocations: self.revocations,
            last_eviction: AtomicU64::new(NEVER),
            dpop,
            space,
            applications: self.applications,
            identity_headers,
            leeway: self.leeway,
            risk: (!self.risk.is_empty()).then(|| Arc::new(RiskSignals::new(self.risk))),
            protected_resource: self.protected_resource,
        });
        if let Some(revocations) = &inner.revocations {
            let listener: Weak<Inner> = Arc::downgrade(&inner);
            revocations.subscribe(listener);
        }
        Ok(Authenticator(inner))
    }
}
