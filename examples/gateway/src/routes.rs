//! What passes the gateway: a coarse rule above each route. The service behind it has the
//! final one, which the gateway does not know.

use axum::{
    extract::{Request, State},
    response::Response,
};
use tower_delegation::{
    DelegationContext, requires,
    routing::{GuardedRouter, get},
};

use crate::upstream::Upstream;

/// What may ever be asked for at the orders API.
pub(crate) const SCOPES: [&str; 2] = ["orders:read", "orders:write"];

/// The routes that pass. What is not here is closed, whatever the service behind offers.
pub(crate) fn routes() -> GuardedRouter<Upstream> {
    GuardedRouter::new().route("/orders", get(read_orders).post(place_order))
}

/// A token that can read and no more goes on.
#[requires(scope = "orders:read", on_behalf_of_user)]
async fn read_orders(
    State(orders): State<Upstream>,
    delegation: DelegationContext,
    request: Request,
) -> Response {
    orders.forward("orders:read", &delegation, request).await
}

#[requires(scope = "orders:write", on_behalf_of_user)]
async fn place_order(
    State(orders): State<Upstream>,
    delegation: DelegationContext,
    request: Request,
) -> Response {
    orders.forward("orders:write", &delegation, request).await
}
