//! [`Authenticator`]: credentials in, context out; no server types.
//!
//! The layer is one user of it. Another is code that gets a token by other
//! means than HTTP through tower: a WebSocket message, a queue, a test.

mod admission;
mod client_identity;
mod configuration;
mod deferred;
mod downstream;
mod same_request;
mod status;
mod supply;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, request::Parts};

use self::client_identity::Identity;
pub use self::{client_identity::ClientIdentity, status::Status};
pub(crate) use self::{configuration::Configuration, deferred::Deferred};
use crate::{
    arrival::{Arrival, peer_info},
    clock::{Clock, Moment, Timestamp},
    context::{Anonymous, DelegationContext, Judge, RiskSignals},
    credential::{
        Credential, IdentityHeaders, PeerInfo, ProtectionSpace, Scheme, TlsPeer, Vouched, WorkloadIdentity,
        WorkloadIdentitySource, WorkloadRequest, credential, dpop_proof, mark_sensitive,
    },
    issuer::{ActorForm, IssuerPolicy},
    jwks::{KeyRefresh, KeySourceError},
    proof::{DpopVerifier, OwnProof, Presented, PresentingRequest, Transport},
    protected_resource::{Capabilities, ProtectedResource, ResourceMetadata},
    reason::DenialReason,
    rejection::Rejection,
    revocation::{RevocationListener, RevocationTarget, Standing, TargetMismatch},
    step::Step,
    token::Verifier,
};

/// A context, or no credentials, or a refusal.
pub(crate) type Outcome = Result<Option<DelegationContext>, Rejection>;

/// Verifies the credentials of requests. Cheap to clone; clones share keys.
///
/// Taken from a [`DelegationLayer`](crate::layer::DelegationLayer::authenticator), also
/// where no request comes by HTTP:
///
/// ```
/// use tower_delegation::{Authenticator, ConfigError, DelegationLayer, TrustedIssuer};
///
/// fn of_a_queue(issuer: TrustedIssuer) -> Result<Authenticator, ConfigError> {
///     Ok(DelegationLayer::builder().add_issuer(issuer).build()?.authenticator().clone())
/// }
/// # let _ = of_a_queue;
/// ```
#[derive(Clone, Debug)]
pub struct Authenticator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Which authenticator of the process it is.
    number: u64,
    verifier: Arc<Verifier>,
    judge: Arc<Judge>,
    client_identity: Option<ClientIdentity>,
    /// Are there issuers that are known only at run time?
    resolves_issuers: bool,
    /// When the cache was last searched for revoked tokens, in milliseconds of the monotonic clock.
    last_eviction: AtomicU64,
    /// Are tokens kept with their contexts, to be exchanged?
    keeps_credentials: AtomicBool,
    /// The client that fetches keys, where one is configured.
    #[cfg(feature = "http-client")]
    http_client: Option<crate::http_client::HttpClient>,
    dpop: Option<DpopVerifier>,
    space: Arc<ProtectionSpace>,
    identity_headers: IdentityHeaders,
    risk: Option<Arc<RiskSignals>>,
    protected_resource: Option<ProtectedResource>,
}

impl Authenticator {
    /// Verifies the credentials in a request's head: `None` if there are none.
    /// Header fields that speak for the workload are removed from the head, and so
    /// is the context that a layer further outside left in its extensions.
    ///
    /// Waits only where the issuer's keys have to be fetched first.
    ///
    /// # Errors
    /// The [`Rejection`] to answer with.
    pub async fn authenticate(&self, head: &mut Parts) -> Result<Option<DelegationContext>, Rejection> {
        Self::forget_callers(&mut head.extensions);
        let now = self.now();
        // The fields of the head are disjoint, so the peer needs no copy here.
        match self.identify(&mut head.headers, peer_info(&head.extensions), now.wall) {
            Ok(transport) => {
                self.authenticate_arrival(Arrival::of_parts(head, now), transport).answer().await
            }
            Err(reason) => Err(self.rejection(reason, None)),
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
            Some(_) => Transport::of(None, None),
        };
        self.verify_of(token, transport, self.now()).await
    }

    /// Verifies an access token that came by a connection whose other end is
    /// known, but not in a request's head.
    ///
    /// # Errors
    /// The [`Rejection`] to answer with.
    pub async fn verify_from(&self, token: &str, peer: &PeerInfo) -> Result<DelegationContext, Rejection> {
        let now = self.now();
        let transport = self.identify(&mut HeaderMap::new(), Some(peer), now.wall);
        self.verify_of(token, transport.map_err(|reason| self.rejection(reason, None))?, now).await
    }

    async fn verify_of(
        &self,
        token: &str,
        transport: Transport,
        now: Moment,
    ) -> Result<DelegationContext, Rejection> {
        let credential = Credential::new(token).map_err(|reason| self.rejection(reason, None))?;
        self.judge(Presented { credential, request: None }, transport, now).answer().await
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

    /// How many verified tokens are held right now.
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
        for issuer in self.0.verifier.issuers().configured() {
            let warmed = issuer.keys().warm_up().await;
            outcome = outcome.and(warmed);
        }
        outcome
    }

    /// Fetches every issuer's keys now, whatever their age: for an incident, when a
    /// provider has withdrawn a key. Tokens that the withdrawn key signed are refused
    /// from the next request on, cached ones included. Of resolved issuers, those are
    /// meant whose keys are in use: all others fetch them before they are used again.
    ///
    /// Shares fetches with requests and other callers: never more than one at a
    /// time for an issuer, and each that is reported here began after the call. Not
    /// counted against the budget of fetches that tokens cause, so it belongs
    /// behind a rule of its own.
    ///
    /// Only here is an explicitly empty key set (`{"keys": []}`) a withdrawal of
    /// all keys: the issuer's tokens are then refused (401) until it publishes
    /// keys again. In the background, an empty set is taken for a mistake of the
    /// provider, and the last good one stays in use.
    ///
    /// One report for each issuer, in the order of their identifiers. After a
    /// failure, the keys from before stay in use, and the next attempt follows by
    /// itself.
    ///
    /// # Example
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::error::Error as _;
    ///
    /// # use tower_delegation::{DelegationLayer, TrustedIssuer};
    /// # let idp = tower_delegation_testing::MockIdp::start().await;
    /// # let issuer = TrustedIssuer::discover(idp.issuer())?.add_audience("https://orders.example.com");
    /// let delegation = DelegationLayer::builder().add_issuer(issuer).build()?;
    /// for refresh in delegation.refresh_keys().await {
    ///     match refresh.outcome {
    ///         Ok(keys) => println!("{}: {} keys", refresh.issuer, keys.key_count),
    ///         Err(error) => {
    ///             println!("{}: {error}", refresh.issuer);
    ///             // Which place has answered what.
    ///             let mut cause = error.source();
    ///             while let Some(error) = cause {
    ///                 println!("  {error}");
    ///                 cause = error.source();
    ///             }
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn refresh_keys(&self) -> Vec<KeyRefresh> {
        let issuers = self.0.verifier.issuers();
        let resolved = issuers.resolved().filter(|issuer| !issuer.keys().rests());
        let mut issuers: Vec<_> = issuers.configured().map(Arc::clone).chain(resolved).collect();
        issuers.sort_by(|one, other| one.issuer().cmp(other.issuer()));
        let mut reports = Vec::with_capacity(issuers.len());
        for some in issuers.chunks(CONCURRENT_REFRESHES) {
            for issuer in some {
                issuer.keys().settle().await;
            }
            // All fetches begin before the first is waited for.
            let begun: Vec<_> = some.iter().map(|issuer| (issuer, issuer.keys().refresh())).collect();
            for (issuer, fetched) in begun {
                let outcome = fetched.await.map(|()| issuer.status());
                reports.push(KeyRefresh { issuer: issuer.issuer().clone(), outcome });
            }
        }
        reports
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
    ///     let delegation = DelegationLayer::builder().add_issuer(issuer).build()?;
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
    /// # let issuer = TrustedIssuer::discover(idp.issuer())?.add_audience("https://orders.example.com");
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
        let issuers = self.0.verifier.issuers();
        let configured = issuers.configured().map(|issuer| issuer.status());
        let resolved = issuers.resolved().map(|issuer| issuer.status());
        let mut issuers: Vec<_> = configured.chain(resolved).collect();
        issuers.sort_by(|one, other| one.issuer.cmp(&other.issuer));
        let untrusted_identity_headers = self.0.identity_headers.untrusted();
        Status { issuers, untrusted_identity_headers, audit: Vec::new() }
    }

    /// What the service tells clients about itself, as it is configured
    /// (RFC 9728). `None` unless
    /// [`protected_resource`](crate::layer::DelegationLayerBuilder::protected_resource) is set.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<ResourceMetadata> {
        let resource = self.0.protected_resource.clone()?;
        let serves_proofs = self.0.dpop.as_ref().is_some_and(|dpop| dpop.is_at_host_of(resource.resource()));
        let algorithms = self.0.space.algorithms(Scheme::Dpop).filter(|_| serves_proofs);
        let capabilities = Capabilities {
            issuers: Arc::clone(self.0.verifier.issuers()),
            applications: self.0.judge.applications.clone(),
            takes_certificate_bound_tokens: self
                .0
                .client_identity
                .as_ref()
                .is_some_and(ClientIdentity::proves_certificates),
            dpop_algorithms: algorithms.map(str::to_owned),
        };
        Some(ResourceMetadata::new(resource, capabilities))
    }

    /// Who is at the other end. First, and for every request: header fields that
    /// speak for the workload are removed here, and credentials are marked as sensitive.
    pub(crate) fn identify(
        &self,
        headers: &mut HeaderMap,
        peer: Option<&PeerInfo>,
        now: Timestamp,
    ) -> Result<Transport, DenialReason> {
        mark_sensitive(headers);
        let (transport, vouched) = match &self.0.client_identity {
            None => (Ok(Transport::NotConsidered), Vouched::ForNothing),
            Some(identity) => self.workload(identity, headers, peer, now),
        };
        // Also where the request is refused anyway: nothing behind the layer is to see them.
        let swept = self.0.identity_headers.sweep(headers, vouched);
        transport.and_then(|transport| swept.map(|()| transport))
    }

    /// Who the sources say it is, the first that names a workload before all others.
    /// All of them are asked, so that each removes its header fields.
    fn workload(
        &self,
        identity: &ClientIdentity,
        headers: &mut HeaderMap,
        peer: Option<&PeerInfo>,
        now: Timestamp,
    ) -> (Result<Transport, DenialReason>, Vouched) {
        let (mut known, mut vouched) = (Ok(None::<WorkloadIdentity>), Vouched::ForNothing);
        // The connection's certificate is then the proxy's own, and names none of its clients.
        let is_behind_proxy = peer.is_some_and(|peer| {
            identity.proxies().any(|proxy| proxy.vouched(peer, now) != Vouched::ForNothing)
        });
        for one in &identity.0 {
            let found = match (one, peer) {
                (Identity::Tls, _) if is_behind_proxy => Ok(None),
                (Identity::Tls, _) => TlsPeer.identify(WorkloadRequest::new(&mut *headers, peer, now)),
                (Identity::Source(source), _) => {
                    source.identify(WorkloadRequest::new(&mut *headers, peer, now))
                }
                (Identity::Proxy(_), None) => {
                    tracing::error!(
                        "client identity from a proxy is configured, but the listener provides no `PeerInfo`"
                    );
                    Err(DenialReason::PeerInfoMissing)
                }
                (Identity::Proxy(proxy), Some(peer)) => match proxy.vouched(peer, now) {
                    Vouched::ForNothing => Ok(None),
                    by_this => {
                        // Fields of several proxies cannot be told apart by who wrote them: none is kept.
                        let is_only_proxy = identity.proxies().nth(1).is_none();
                        vouched = if is_only_proxy { by_this } else { Vouched::ToBeRemoved };
                        proxy.identify(headers, peer, now)
                    }
                },
            };
            known = match (known, found) {
                (Ok(Some(known)), Ok(Some(found))) => Ok(Some(known.or(found))),
                (Ok(known), Ok(found)) => Ok(known.or(found)),
                (Err(reason), _) | (Ok(_), Err(reason)) => Err(reason),
            };
        }
        (known.map(|workload| Transport::of(workload, peer)), vouched)
    }

    /// Authenticates a request; at once, unless keys or a store of used proofs have to
    /// be waited for. Then nothing of the request is held but what is judged.
    pub(crate) fn authenticate_arrival(&self, arrival: Arrival<'_>, transport: Transport) -> Step<Outcome> {
        match self.presented(arrival) {
            Ok(Some(presented)) => {
                let trace = self.carried_trace(arrival.headers);
                self.judge(presented, transport, arrival.now).map(|judged| {
                    judged.map(|delegation| {
                        if let Some(trace) = trace {
                            delegation.record().set_trace(trace);
                        }
                        Some(delegation)
                    })
                })
            }
            Ok(None) => Step::Ready(Ok(None)),
            Err(rejection) => Step::Ready(Err(rejection)),
        }
    }

    /// What a request presents, if it presents anything.
    fn presented<'r>(&self, arrival: Arrival<'r>) -> Result<Option<Presented<'r>>, Rejection> {
        let credential = credential(arrival.headers, arrival.uri, &self.0.space)
            .map_err(|error| self.rejection(error.reason, error.scheme))?;
        Ok(credential.map(|credential| {
            let proof = match credential.scheme() {
                Scheme::Bearer => Err(DenialReason::DpopProofMissing),
                Scheme::Dpop => dpop_proof(arrival.headers),
            };
            let own = proof.ok().and_then(|proof| OwnProof::of(arrival, proof.as_bytes()));
            let request =
                PresentingRequest { method: arrival.method, uri: arrival.received_uri(), proof, own };
            Presented { credential, request: Some(request) }
        }))
    }

    /// A refusal of a request that used `scheme`, if it used one.
    pub(crate) fn rejection(&self, reason: DenialReason, scheme: Option<Scheme>) -> Rejection {
        Rejection::new(reason, self.0.space.clone(), scheme)
    }

    /// The mark of a request without credentials.
    pub(crate) fn anonymous(&self, arrival: Arrival<'_>) -> Anonymous {
        Anonymous::new(self.0.space.clone(), self.passage(arrival))
    }

    /// This moment.
    pub(crate) fn now(&self) -> Moment {
        Moment::of(&**self.clock())
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.0.verifier.clock()
    }
}

/// Of how many issuers the keys are fetched at the same time for
/// [`Authenticator::refresh_keys`]: there may be thousands of resolved ones.
const CONCURRENT_REFRESHES: usize = 16;

/// How often the cache is searched for revoked tokens at most. It holds facts
/// that are checked on every request, so this only gives back memory.
const EVICTION_INTERVAL: Duration = Duration::from_secs(1);

impl RevocationListener for Inner {
    fn revoked(&self) {
        let Some(revocations) = &self.judge.revocations else { return };
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
            matches!(revocations.check(&self.judge.revocation_query(token, now)), Standing::Revoked(_))
        });
    }

    fn mismatch(&self, target: &RevocationTarget) -> Option<TargetMismatch> {
        let Some(issuer) = target.issuer() else {
            return self.client_identity.is_none().then_some(TargetMismatch::WithoutWorkload);
        };
        let policy = self.verifier.issuers().configured().find(|policy| policy.issuer() == issuer);
        match (policy, target) {
            // What a resolver does not know now, it may know later.
            _ if self.resolves_issuers => None,
            (None, _) => Some(TargetMismatch::IssuerNotTrusted),
            (Some(policy), RevocationTarget::Client(..)) => {
                policy.mapping().client.is_empty().then_some(TargetMismatch::WithoutClient)
            }
            // An actor may be named by the tokens of another issuer.
            (Some(_), RevocationTarget::Actor(..)) => {
                let refused = |policy: &Arc<IssuerPolicy>| policy.mapping().actor == ActorForm::Refused;
                self.verifier.issuers().configured().all(refused).then_some(TargetMismatch::WithoutActor)
            }
            (Some(_), _) => None,
        }
    }
}

/// No search yet.
const NEVER: u64 = u64::MAX;
