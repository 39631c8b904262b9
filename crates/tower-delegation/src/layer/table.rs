//! [`RouteTableLayer`]: a route table as a layer.

use super::guard::{Guard, GuardLayer};
use crate::routes::RouteTable;

/// Lets a request through only if its row in a [`RouteTable`] allows it; where
/// it has none, it is refused.
///
/// Goes inside of a [`DelegationLayer`](super::DelegationLayer), which is given the
/// table too, by [`route_table`](super::DelegationLayerBuilder::route_table): it then
/// verifies nothing before a public row. Without a `DelegationLayer` every request is
/// answered with 500.
///
/// Under axum a request's row is that of the route that axum has chosen: the
/// method, and the route's template to the letter. Where no route was chosen (a
/// plain tower service, a nested service, a fallback), the table matches the
/// path as the client sent it, and refuses paths that could be read in two
/// ways: encoded slashes, dot segments, double slashes, backslashes. So it does
/// where the `MatchedPath` that axum left is that of a router further outside: it
/// does not begin with the `NestedPath`, or does not match the path. A request that a
/// handler sends with the extensions of its own is looked up by its own path, and
/// refused where that is not known any more. Where the
/// table has a row that matches the path more closely than the chosen route, both
/// rows must allow the request.
///
/// # Example
///
/// ```
/// use axum::{Router, routing::get};
/// use http::Method;
/// use tower_delegation::{ConfigError, DelegationLayer, Requirement, RouteTable, RouteTableLayer};
///
/// fn router(delegation: DelegationLayer) -> Result<Router, ConfigError> {
///     let read = Requirement::named("read orders").scope("orders:read");
///     let table = RouteTable::builder().row(Method::GET, "/orders/{id}", read).build()?;
///     Ok(Router::new()
///         .route("/orders/{id}", get(async || "an order"))
///         .layer(RouteTableLayer::new(&table))
///         .layer(delegation))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RouteTableLayer(GuardLayer<RouteTable>);

impl RouteTableLayer {
    /// A layer that asks this table, and follows it when it is replaced.
    #[must_use]
    pub fn new(table: &RouteTable) -> Self {
        Self(GuardLayer::new(table.clone()))
    }
}

impl<S> tower_layer::Layer<S> for RouteTableLayer {
    type Service = Guard<S, RouteTable>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}
