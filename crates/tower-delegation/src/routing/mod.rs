//! Extractors for axum handlers, and a router that takes no route without a rule.
//!
//! 1. `DelegationContext`: a verified token, else 401.
//! 2. `Option<DelegationContext>`: `None` only where the layer ran, allows
//!    anonymous requests, and the request carried no credentials. Of a [`public`]
//!    handler it is verified here, for the first time: bad credentials are a 401, keys
//!    that cannot be fetched a 503.
//! 3. [`Authorized<R>`]: a verified token that meets the requirement `R`, else
//!    401 or 403 with a challenge that names what `R` needs. Where `R` is in
//!    shadow mode or has an exception, a verified token is enough.
//! 4. Without a [`DelegationLayer`](crate::layer::DelegationLayer) each of them
//!    answers 500: nothing was verified.
//!
//! # Example
//!
//! ```
//! use tower_delegation::{DelegationContext, routing::Authorized, Requirement, Requires};
//!
//! struct RefundOrder;
//!
//! impl Requires for RefundOrder {
//!     fn requirement() -> Requirement {
//!         Requirement::named("RefundOrder").scope("orders:refund").on_behalf_of_user()
//!     }
//! }
//!
//! async fn refund(Authorized(permit): Authorized<RefundOrder>) -> String {
//!     format!("refunded for {}", permit.subject().id())
//! }
//!
//! async fn whoami(delegation: DelegationContext) -> String {
//!     delegation.subject().id().to_string()
//! }
//! # let _: axum::Router = axum::Router::new()
//! #     .route("/refund", axum::routing::post(refund))
//! #     .route("/whoami", axum::routing::get(whoami));
//! ```

mod app;
mod connect_info;
mod guarded;
mod metadata;
mod methods;
mod revocations;
mod rule;

use std::{fmt, marker::PhantomData, ops::Deref};

use axum::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;

pub use self::{
    app::GuardedApp,
    guarded::GuardedRouter,
    metadata::resource_metadata,
    methods::{
        GuardedMethods, RuledMethods, any, connect, delete, get, guard, head, options, patch, post, put,
        trace,
    },
    revocations::revocation_routes,
    rule::{AnyCaller, Both, ByTable, OfPublic, OfTable, Public, Rule, Ruled, by_table, public},
};

use crate::{
    authorization::{admit, asked, context, optional_context},
    context::DelegationContext,
    rejection::Rejection,
    requirement::{Requirement, Requires},
};

/// Extracts a [`Permit`]: runs before the body is read, refuses what `R` does
/// not allow.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made to be taken apart in a handler's arguments")]
pub struct Authorized<R: Requires>(pub Permit<R>);

/// Stands for one attribute on a handler, for which [`ByAttribute`] finds the
/// requirement: the type that holds it is declared inside of the handler, where a
/// signature cannot name it.
#[doc(hidden)]
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "written by the attributes only")]
pub struct AttributeNumber<const N: u64>;

/// The requirement `R` of an attribute. No number has two.
#[doc(hidden)]
pub trait ByAttribute<R: Requires> {}

/// Proof that the requirement `R` let this request through: that it allowed it,
/// or is in [shadow mode](Requirement::shadow), or has an
/// [exception](Requirement::exception). Reads like the
/// [`DelegationContext`] that was judged.
pub struct Permit<R: Requires> {
    delegation: DelegationContext,
    requirement: PhantomData<fn() -> R>,
}

impl<R: Requires> Permit<R> {
    /// Makes the proof. The one caller has just evaluated `R`.
    fn assertion(delegation: DelegationContext) -> Self {
        Self { delegation, requirement: PhantomData }
    }

    /// The context by itself.
    #[must_use]
    pub fn into_context(self) -> DelegationContext {
        self.delegation
    }
}

impl<R: Requires> Deref for Permit<R> {
    type Target = DelegationContext;

    fn deref(&self) -> &DelegationContext {
        &self.delegation
    }
}

impl<R: Requires> Clone for Permit<R> {
    fn clone(&self) -> Self {
        Self::assertion(self.delegation.clone())
    }
}

impl<R: Requires> fmt::Debug for Permit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.delegation).finish()
    }
}

impl<S: Sync, R: Requires> FromRequestParts<S> for Authorized<R> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let requirement = Requirement::of::<R>();
        admit(requirement, parts).await?;
        context(&parts.extensions, Some(requirement)).cloned().map(|it| Self(Permit::assertion(it)))
    }
}

impl<S: Sync> FromRequestParts<S> for DelegationContext {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        asked(parts).await?;
        context(&parts.extensions, None).cloned()
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for DelegationContext {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        asked(parts).await?;
        optional_context(&parts.extensions).map(Option::<&Self>::cloned)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.to_response().map(Body::from)
    }
}
