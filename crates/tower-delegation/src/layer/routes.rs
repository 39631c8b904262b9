//! [`KnownRoutes`]: what a layer knows of the routes that it is around.

use http::Request;

use crate::context::Needs;
#[cfg(feature = "axum")]
use crate::{
    arrival::{below_nested, matched_route},
    routes::RouteScopes,
};

/// What is known of the routes behind the layer; nothing on a plain router.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownRoutes {
    #[cfg(feature = "axum")]
    scopes: Option<std::sync::Arc<RouteScopes>>,
}

impl KnownRoutes {
    #[cfg(feature = "axum")]
    pub(super) fn of(scopes: RouteScopes) -> Self {
        Self { scopes: Some(std::sync::Arc::new(scopes)) }
    }

    /// The scopes that the route of a request needs.
    #[cfg_attr(not(feature = "axum"), expect(clippy::unused_self, reason = "axum knows the route"))]
    pub(super) fn needs<B>(&self, request: &Request<B>) -> Option<Box<Needs>> {
        #[cfg(feature = "axum")]
        {
            let extensions = request.extensions();
            let template = matched_route(extensions)?.as_str();
            // The prefix of routers further outside is none of the routes'.
            let own = below_nested(extensions, template)?;
            self.scopes.as_ref()?.needs(own, request.method())
        }
        #[cfg(not(feature = "axum"))]
        {
            let _ = request;
            None
        }
    }
}
