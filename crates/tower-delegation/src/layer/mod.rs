//! [`DelegationLayer`]: wraps a service so that every request is authenticated
//! before it is served.
//!
//! 1. A request with a good token is served; its
//!    [`DelegationContext`](crate::context::DelegationContext) is in the
//!    request's extensions. What an outer layer left there is removed on arrival,
//!    before anything can refuse or wait.
//! 2. A request with bad credentials is refused, also under
//!    [`allow_anonymous`](DelegationLayerBuilder::allow_anonymous).
//! 3. A request without credentials is refused, unless `allow_anonymous` is set.
//! 4. Keys that cannot be fetched are a 503, never a 401 and never a pass.
//! 5. A response to a request whose DPoP nonce is about to end carries the next
//!    one in `DPoP-Nonce`, and `Cache-Control: no-store` (RFC 9449 section 8.2).
//!    A response that the service itself lets be cached carries none: the client
//!    then gets it with a challenge.
//!
//! 6. A request that an enforced requirement has denied is never answered with
//!    success: where the service does, head and body of its answer are dropped and
//!    the refusal is sent. With gRPC it is the `grpc-status` that fits.
//! 7. A layer of the same authenticator further inside lets the request pass, with
//!    the context that it has: one proof is checked, and one audit event made. The
//!    request must be the very same: method, target, `Authorization` and `DPoP` are
//!    compared, the path must be what nested routers leave of the target, nothing that it was let in by may have ended or been revoked
//!    since, and the outer layer must still wait
//!    for the response. Anything else is authenticated anew.
//!
//! The layer authenticates. Authorization is the route's: an attribute,
//! [`Authorized`](crate::routing::Authorized), [`RequireLayer`], or a call.
//! Handlers that never check a requirement are caught by
//! [`refuse_undecided`](DelegationLayerBuilder::refuse_undecided).
//!
//! # Deployment caveat
//!
//! TLS must end in front of this layer or in this process: a bearer token in
//! clear text belongs to whoever reads it (RFC 6750 section 5.2). CORS
//! preflights carry no token: put the CORS layer outside of this one.
//!
//! # Example
//!
//! A plain tower service, without axum:
//!
//! ```
//! use std::convert::Infallible;
//! use http::{Request, Response};
//! use tower_delegation::{DelegationContext, DelegationLayer, Requirement, RequireLayer, TrustedIssuer};
//! use tower::{ServiceBuilder, service_fn};
//!
//! # fn wire() -> Result<(), tower_delegation::ConfigError> {
//! let issuer = TrustedIssuer::discover("https://idp.example.com")?.audience("https://orders.example.com");
//! let service = ServiceBuilder::new()
//!     .layer(DelegationLayer::builder().issuer(issuer).build()?)
//!     .layer(RequireLayer::new(Requirement::new().scope("orders:read"))?)
//!     .service(service_fn(async |request: Request<String>| {
//!         let delegation = request.extensions().get::<DelegationContext>();
//!         Ok::<_, Infallible>(Response::new(format!("{delegation:?}")))
//!     }));
//! # let _ = service;
//! # Ok(())
//! # }
//! ```

mod arrival;
mod body;
mod future;
mod gate;
mod observer;
mod require;
mod service;
#[cfg(feature = "toml")]
mod table;
mod undecided;

use std::time::Duration;

#[cfg(feature = "toml")]
pub use self::table::{RouteTableLayer, TableGuard};
pub use self::{
    body::DelegationBody,
    future::ResponseFuture,
    require::{Require, RequireFuture, RequireLayer},
    service::Delegation,
};
use self::{
    gate::{AnonymousRequests, Gate, InnerAuthenticators},
    undecided::UndecidedResponses,
};
use crate::{
    application::Applications,
    audit::{Audit, AuditGuard, FlushError, TokenHashKey, Trail},
    authenticator::{Authenticator, AuthenticatorBuilder, ClientIdentity, Status},
    clock::Clock,
    context::RiskSignal,
    error::ConfigError,
    issuer::{IssuerResolver, TrustedIssuer},
    jwks::{KeyRefresh, KeySourceError},
    proof::Dpop,
    protected_resource::{ProtectedResource, ResourceMetadata},
    revocation::RevocationStore,
    token::TokenCache,
};

/// Authenticates every request of the service that it wraps. Cheap to clone;
/// clones share keys.
#[derive(Clone, Debug)]
pub struct DelegationLayer {
    authenticator: Authenticator,
    anonymous: AnonymousRequests,
    trail: Trail,
    undecided: UndecidedResponses,
    inner_authenticators: InnerAuthenticators,
}

impl DelegationLayer {
    /// Starts a configuration.
    pub fn builder() -> DelegationLayerBuilder {
        DelegationLayerBuilder {
            authenticator: Authenticator::builder(),
            anonymous: AnonymousRequests::Refused,
            audits: Vec::new(),
            token_hash_key: None,
            undecided: UndecidedResponses::Sent,
            inner_authenticators: InnerAuthenticators::Reported,
        }
    }

    /// Fetches every issuer's keys now, for a readiness probe. Without it they
    /// load on first use.
    ///
    /// # Errors
    /// The first issuer's failure; the others are tried all the same.
    pub async fn warm_up(&self) -> Result<(), KeySourceError> {
        self.authenticator.warm_up().await
    }

    /// Fetches every issuer's keys now, for an incident: see
    /// [`Authenticator::refresh_keys`].
    pub async fn refresh_keys(&self) -> Vec<KeyRefresh> {
        self.authenticator.refresh_keys().await
    }

    /// How the keys of every issuer and the audit sinks are doing, for a
    /// readiness probe: see [`Authenticator::status`] for one. Fetches nothing
    /// and waits for nothing.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.authenticator.status();
        status.audit = self.trail.status();
        status
    }

    /// Waits until every audit event so far is written, for at most this long:
    /// for the end of the service, when no requests come any more.
    ///
    /// # Errors
    /// [`FlushError`] if the time is over first, or a sink fails.
    pub async fn flush_audit(&self, timeout: Duration) -> Result<(), FlushError> {
        self.trail.flush(timeout).await
    }

    /// A guard that does the same when it is dropped, and blocks its thread
    /// for that long.
    pub fn audit_guard(&self, timeout: Duration) -> AuditGuard {
        AuditGuard::new(self.trail.clone(), timeout)
    }

    /// What the service tells clients about itself (RFC 9728). `None` unless
    /// [`protected_resource`](DelegationLayerBuilder::protected_resource) is set.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<ResourceMetadata> {
        self.authenticator.resource_metadata()
    }

    /// The layer around routes that all have a rule: success without a decision is
    /// then a mistake. Where some of them are public, requests without
    /// credentials go on to the routes.
    #[cfg(feature = "axum")]
    pub(crate) fn around_rules(mut self, has_public: bool) -> Self {
        self.undecided = UndecidedResponses::Refused;
        if has_public {
            self.anonymous = AnonymousRequests::Allowed;
        }
        self
    }

    /// The authenticator behind the layer, for tokens that come by other ways.
    #[must_use]
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }
}

impl<S> tower_layer::Layer<S> for DelegationLayer {
    type Service = Delegation<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let gate = Gate {
            authenticator: self.authenticator.clone(),
            anonymous: self.anonymous,
            undecided: self.undecided,
            inner_authenticators: self.inner_authenticators,
            trail: self.trail.clone(),
        };
        Delegation::new(inner, gate)
    }
}

/// Configures a [`DelegationLayer`]. Nothing is checked and nothing fetched
/// before [`build`](Self::build).
#[derive(Debug)]
#[must_use]
pub struct DelegationLayerBuilder {
    authenticator: AuthenticatorBuilder,
    anonymous: AnonymousRequests,
    audits: Vec<Audit>,
    token_hash_key: Option<TokenHashKey>,
    undecided: UndecidedResponses,
    inner_authenticators: InnerAuthenticators,
}

impl DelegationLayerBuilder {
    /// Trusts one more issuer. Issuers are isolated: keys, algorithms, audiences
    /// and limits of one never serve another's tokens (RFC 8725 section 3.8).
    pub fn issuer(self, issuer: TrustedIssuer) -> Self {
        self.map(|authenticator| authenticator.issuer(issuer))
    }

    /// Trusts the issuers that `resolver` knows: for issuers that are known only
    /// at run time. See [`AuthenticatorBuilder::issuer_resolver`].
    pub fn issuer_resolver(self, resolver: impl IssuerResolver) -> Self {
        self.map(|authenticator| authenticator.issuer_resolver(resolver))
    }

    /// Serves requests without credentials too, for routers with public routes.
    /// `Option<DelegationContext>` is then `None`; a handler that asks for a
    /// `DelegationContext` or `Authorized<R>` answers 401. Bad credentials are
    /// refused all the same.
    pub fn allow_anonymous(mut self) -> Self {
        self.anonymous = AnonymousRequests::Allowed;
        self
    }

    /// Refuses what nothing has decided: where no enforced requirement allowed a
    /// request, its route is not public, and the service answers with success
    /// (below 400) all the same, head and body of the answer are dropped and a
    /// 500 `misconfigured` is sent instead, with an error event. With gRPC it is
    /// `grpc-status: 13`. Answers of failure pass.
    ///
    /// Requirements in [shadow mode](crate::requirement::Requirement::shadow) or
    /// under an [exception](crate::requirement::Requirement::exception) count for
    /// nothing, and neither does what was only
    /// [asked](crate::context::DelegationContext::permits): where a rule is on
    /// trial, another one decides, such as
    /// [`AnyCaller`](crate::routing::AnyCaller).
    ///
    /// This is the last net, not the first: the handler **has run** by then, and
    /// what it has written is written. What keeps an unruled route from being
    /// built at all is [`GuardedRouter`](crate::routing::GuardedRouter); what refuses
    /// before the handler is a [`RouteTable`](crate::requirement).
    ///
    /// Off by default, because a service may want nothing but a verified token,
    /// and read the context by itself. A `GuardedRouter` turns it on.
    pub fn refuse_undecided(mut self) -> Self {
        self.undecided = UndecidedResponses::Refused;
        self
    }

    /// Says that a layer with another authenticator further inside is meant: it
    /// replaces what this one finds. By default the first request on which that
    /// happens is reported with a warning, once in the life of the process.
    ///
    /// The inner layer's decisions are about its own context: this layer's
    /// [`refuse_undecided`](Self::refuse_undecided) does not count them. Two layers
    /// that take DPoP proofs for one origin cannot both judge a request: the outer
    /// one uses its proof up. A layer that is only nested is cloned instead.
    pub fn allow_inner_authenticator(mut self) -> Self {
        self.inner_authenticators = InnerAuthenticators::Allowed;
        self
    }

    /// How far clocks may differ. Default 30 s, at most 300 s.
    pub fn leeway(self, leeway: Duration) -> Self {
        self.map(|authenticator| authenticator.leeway(leeway))
    }

    /// Refuses tokens of any issuer that were issued to live longer (`exp` minus
    /// `iat`). See [`AuthenticatorBuilder::max_token_lifetime`].
    pub fn max_token_lifetime(self, lifetime: Duration) -> Self {
        self.map(|authenticator| authenticator.max_token_lifetime(lifetime))
    }

    /// How many actors one chain may have; longer ones are refused, not cut.
    /// Default 8, from 1 to 64.
    pub fn max_actors(self, max_actors: usize) -> Self {
        self.map(|authenticator| authenticator.max_actors(max_actors))
    }

    /// The protection space that challenges name. Default `api`.
    pub fn realm(self, realm: &str) -> Self {
        self.map(|authenticator| authenticator.realm(realm))
    }

    /// The clock that decides every lifetime. Default: the machine's.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.map(|authenticator| authenticator.clock(clock))
    }

    /// Where the identity of the workload at the other end of the connection
    /// comes from. Not considered unless set: every token that is bound to a
    /// certificate is then refused.
    pub fn client_identity(self, client_identity: ClientIdentity) -> Self {
        self.map(|authenticator| authenticator.client_identity(client_identity))
    }

    /// What knows which tokens are revoked, asked on every request, also for
    /// tokens whose verification is cached. None unless set.
    pub fn revocations(self, revocations: impl RevocationStore) -> Self {
        self.map(|authenticator| authenticator.revocations(revocations))
    }

    /// Accepts tokens that are bound to a key, by scheme `DPoP` with a proof
    /// (RFC 9449). Not configured unless set: every such token is then refused.
    pub fn dpop(self, dpop: Dpop) -> Self {
        self.map(|authenticator| authenticator.dpop(dpop))
    }

    /// The [registry of applications](crate::application) that may present
    /// tokens, and how much each may do at most. Not set: the clients of an
    /// issuer are taken as they come.
    pub fn applications(self, applications: Applications) -> Self {
        self.map(|authenticator| authenticator.applications(applications))
    }

    /// Adds an identity header. See [`AuthenticatorBuilder::add_identity_header`].
    pub fn add_identity_header(self, name: &str) -> Self {
        self.map(|authenticator| authenticator.add_identity_header(name))
    }

    /// Refuses a request with a header field that speaks for a client and came
    /// from a hop that is not trusted: 400. Default: the field is removed and the
    /// request goes on.
    pub fn refuse_untrusted_identity_headers(self) -> Self {
        self.map(AuthenticatorBuilder::refuse_untrusted_identity_headers)
    }

    /// Registers a risk signal under the name that requirements call it by.
    pub fn risk_signal(self, name: &str, signal: impl RiskSignal) -> Self {
        self.map(|authenticator| authenticator.risk_signal(name, signal))
    }

    /// How clients know the service: every challenge then names its metadata
    /// (RFC 9728). The metadata is served by
    /// [`resource_metadata`](crate::routing::resource_metadata).
    pub fn protected_resource(self, resource: ProtectedResource) -> Self {
        self.map(|authenticator| authenticator.protected_resource(resource))
    }

    /// How many verified tokens are kept, so that their signature is checked
    /// once. Default 50,000 tokens, 64 MiB.
    pub fn token_cache(self, token_cache: TokenCache) -> Self {
        self.map(|authenticator| authenticator.token_cache(token_cache))
    }

    /// Sends audit events to this sink, too. The first one replaces the
    /// default, a `tracing` event for each request;
    /// `Audit::inline(TracingSink)` brings that back.
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audits.push(audit);
        self
    }

    /// The key under which audit events name tokens. By default a random one,
    /// so that hashes of two processes cannot be compared.
    pub fn token_hash_key(mut self, key: TokenHashKey) -> Self {
        self.token_hash_key = Some(key);
        self
    }

    /// The client that fetches metadata and keys, for a private CA or another
    /// time-out.
    #[cfg(feature = "http-client")]
    pub fn http_client(self, http_client: crate::http_client::HttpClient) -> Self {
        self.map(|authenticator| authenticator.http_client(http_client))
    }

    /// Checks the configuration and starts the threads of the audit sinks. No network.
    ///
    /// # Errors
    /// The first mistake found.
    pub fn build(self) -> Result<DelegationLayer, ConfigError> {
        let authenticator = self.authenticator.build()?;
        let trail = Trail::new(self.audits, self.token_hash_key, authenticator.clock().clone())?;
        let Self { anonymous, undecided, inner_authenticators, .. } = self;
        Ok(DelegationLayer { authenticator, anonymous, undecided, inner_authenticators, trail })
    }

    fn map(mut self, change: impl FnOnce(AuthenticatorBuilder) -> AuthenticatorBuilder) -> Self {
        self.authenticator = change(self.authenticator);
        self
    }
}
