//! [`RequireLayer`]: a requirement as a layer, for routes and plain services.

use std::sync::Arc;

use super::guard::{Guard, GuardLayer};
use crate::{
    error::ConfigError,
    requirement::{Requirement, Requires},
};

/// Lets a request through only if a [`Requirement`] allows it.
///
/// Goes inside of a [`DelegationLayer`](super::DelegationLayer); without one
/// every request is answered with 500, because then nothing was verified.
/// A request without credentials is answered with 401, also where the
/// requirement is in [shadow mode](Requirement::shadow).
///
/// Under axum it knows the parameters of the path where the path was matched
/// before: inside of a router, not around it.
///
/// # Deployment caveat
///
/// It guards what it wraps, and axum's `MethodRouter::route_layer` does not wrap
/// everything: `any(h).get(h).route_layer(..)` leaves every method but `GET` open,
/// and so does a handler that is added afterwards. For routes use
/// [`routing::guard`](crate::routing::guard), which wraps every method and fits into a
/// [`GuardedRouter`](crate::routing::GuardedRouter) only; for whole routers and other
/// services `layer`.
#[derive(Clone, Debug)]
pub struct RequireLayer(GuardLayer<Arc<Requirement>>);

impl RequireLayer {
    /// Checks the requirement and makes the layer.
    ///
    /// # Errors
    /// Those of [`Requirement::checked`].
    pub fn new(requirement: Requirement) -> Result<Self, ConfigError> {
        requirement.checked().map(Self::unchecked)
    }

    /// The layer of a requirement that is checked elsewhere; with a mistake in it,
    /// it answers every request with 500.
    pub(crate) fn unchecked(requirement: Requirement) -> Self {
        Self(GuardLayer::new(Arc::new(requirement)))
    }

    /// The layer of a type's requirement.
    ///
    /// # Errors
    /// Those of [`Requirement::checked`].
    pub fn of<R: Requires>() -> Result<Self, ConfigError> {
        Self::new(Requirement::of::<R>().clone())
    }
}

impl<S> tower_layer::Layer<S> for RequireLayer {
    type Service = Guard<S, Arc<Requirement>>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}
