//! The API: each handler with the rule that stands above it. A handler runs
//! only if its rule allows, and then reads from the context for whom.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tower_delegation::{
    DelegationContext, Requirement, requires,
    routing::{GuardedRouter, get, post},
};

use crate::orders::{Customer, NewOrder, Order, OrderError, Orders};

/// The routes of the API. One without a rule does not compile.
pub(crate) fn routes(orders: Orders) -> GuardedRouter {
    GuardedRouter::new()
        .route("/orders", get(list_orders).post(place_order))
        .route("/orders/export", get(export_orders))
        .route("/orders/{id}/refund", post(refund_order))
        .route("/orders/{id}/draft-reply", post(draft_reply))
        .with_state(orders)
}

/// Not behind the layer: no token is read and nothing is recorded here.
pub(crate) fn front_page() -> Router {
    Router::new().route("/", axum::routing::get(async || "The orders API\n"))
}

/// Who may revoke: one service, and only with a token that is bound to its certificate.
pub(crate) fn revoking() -> Requirement {
    Requirement::named("revoke").scope("revocations:write").client("security-desk").sender_constrained()
}

#[requires(scope = "orders:read", on_behalf_of_user)]
async fn list_orders(State(orders): State<Orders>, delegation: DelegationContext) -> Json<Vec<Order>> {
    Json(orders.of(&customer(&delegation)))
}

/// A user, by the shop or through the gateway in front of it: never through an agent, here or there.
#[requires(scope = "orders:write", on_behalf_of_user, max_actors = 1)]
async fn place_order(
    State(orders): State<Orders>,
    delegation: DelegationContext,
    Json(new): Json<NewOrder>,
) -> impl IntoResponse {
    (StatusCode::CREATED, Json(orders.place(customer(&delegation), new)))
}

/// Money moves: a user through the shop's own application, with a token that
/// is of no use to whoever steals it.
#[requires(
    scope = "orders:refund",
    on_behalf_of_user,
    not_delegated,
    client = "shop-web",
    sender_constrained
)]
async fn refund_order(
    State(orders): State<Orders>,
    Path(id): Path<u32>,
    delegation: DelegationContext,
) -> Result<Json<Order>, OrderError> {
    orders.refund(&customer(&delegation), id).map(Json)
}

/// Everybody's orders: for the warehouse's own service, never for a person.
#[requires(scope = "orders:export", subject_kind = service, client = "warehouse-sync")]
async fn export_orders(State(orders): State<Orders>) -> Json<Vec<Order>> {
    Json(orders.all())
}

/// Only the copilot, and only for a user that it acts for.
#[requires(scope = "orders:draft", on_behalf_of_user, actor = "copilot")]
async fn draft_reply(
    State(orders): State<Orders>,
    Path(id): Path<u32>,
    delegation: DelegationContext,
) -> Result<String, OrderError> {
    let order = orders.find(&customer(&delegation), id)?;
    Ok(format!("Dear customer, we are looking into your order of {}.\n", order.item))
}

/// For whom the request is: the subject, also where an agent acts for them.
fn customer(delegation: &DelegationContext) -> Customer {
    Customer {
        issuer: delegation.issuer().as_str().to_owned(),
        subject: delegation.subject().id().as_str().to_owned(),
    }
}

impl IntoResponse for OrderError {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "no such order\n"),
            Self::AlreadyRefunded => (StatusCode::CONFLICT, "this order is refunded already\n"),
        }
        .into_response()
    }
}
