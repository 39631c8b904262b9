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
//!    for the response. Anything else is authenticated anew; the DPoP proof that the
//!    request came with is [its own](crate::replay) then, too.
//!
//! The layer authenticates. Authorization is the route's: an attribute,
//! [`Authorized`](crate::routing::Authorized), [`RequireLayer`], or a call.
//! Handlers that never check a requirement are caught by
//! [`refuse_undecided`](DelegationLayerBuilder::refuse_undecided).
//!
//! # Deployment caveat
//!
//! TLS must end in front of this layer or in this process: a bearer token in
//! clear text belongs to anyone who reads it (RFC 6750 section 5.2). CORS
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
//! let issuer = TrustedIssuer::discover("https://idp.example.com")?.add_audience("https://orders.example.com");
//! let service = ServiceBuilder::new()
//!     .layer(DelegationLayer::builder().add_issuer(issuer).build()?)
//!     .layer(RequireLayer::new(Requirement::new().scope("orders:read"))?)
//!     .service(service_fn(async |request: Request<String>| {
//!         let delegation = DelegationContext::of(&request);
//!         Ok::<_, Infallible>(Response::new(format!("{delegation:?}")))
//!     }));
//! # let _ = service;
//! # Ok(())
//! # }
//! ```

mod arrival;
mod body;
mod builder;
mod future;
mod gate;
mod guard;
mod observer;
mod require;
mod routes;
mod service;
mod table;
mod undecided;

use std::time::Duration;

pub use self::table::RouteTableLayer;
pub use self::{
    body::DelegationBody,
    builder::DelegationLayerBuilder,
    future::ResponseFuture,
    guard::{Guard, GuardFuture},
    require::RequireLayer,
    service::Delegation,
};
use self::{
    gate::{AnonymousRequests, Gate, InnerAuthenticators},
    routes::KnownRoutes,
    undecided::UndecidedResponses,
};
pub use crate::authorization::Policy;
#[cfg(feature = "axum")]
use crate::routes::{RouteInventory, RouteScopes};
use crate::{
    audit::{AuditGuard, FlushError, Trail},
    authenticator::{Authenticator, Status},
    jwks::{KeyRefresh, KeySourceError},
    protected_resource::ResourceMetadata,
};
#[cfg(feature = "http-client")]
use crate::{
    error::ConfigError,
    exchange::{Downstream, Exchange},
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
    routes: KnownRoutes,
}

impl DelegationLayer {
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
    /// then a mistake, and a refusal names what the route needs.
    #[cfg(feature = "axum")]
    pub(crate) fn around_rules(self, routes: &RouteInventory) -> Self {
        let routes = self.routes.clone().ruled(RouteScopes::of(routes));
        Self { undecided: UndecidedResponses::Refused, routes, ..self }
    }

    /// The layer around public handlers: nothing is verified before they run.
    #[cfg(feature = "axum")]
    pub(crate) fn around_public(self) -> Self {
        let routes = self.routes.clone().public();
        Self { undecided: UndecidedResponses::Refused, routes, ..self }
    }

    /// Sets up the exchange of callers' tokens for tokens of a downstream. Call it before the
    /// service takes requests: the token of a request that came earlier was not kept.
    ///
    /// # Errors
    /// Every mistake of the downstream: [`ConfigError::InvalidDownstream`], and what its
    /// authorization server, its requirement and its terms report.
    #[cfg(feature = "http-client")]
    pub fn exchange(&self, downstream: Downstream) -> Result<Exchange, ConfigError> {
        Exchange::new(downstream, self.authenticator.clone(), self.trail.clone())
    }

    /// The authenticator behind the layer, for tokens that come by other ways than HTTP.
    /// What it verifies leaves no audit event.
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
            routes: self.routes.clone(),
            trail: self.trail.clone(),
        };
        Delegation::new(inner, gate)
    }
}
