//! The orders API: what a team would write. One layer, one rule per route.

use std::convert::Infallible;

use axum::{
    Router,
    extract::{Path, Request},
    response::Response,
};
use tower::service_fn;
use tower_delegation::{
    Applications, Authorized, ClientIdentity, DelegationContext, DelegationLayer, Requirement, Requires,
    TrustedIssuer,
    error::ConfigError,
    requires, requires_scope,
    routing::{GuardedApp, GuardedRouter, get, post, public},
};

/// The identifier of this API: the `aud` of every token that it accepts.
pub(crate) const AUDIENCE: &str = "https://orders.example.com";

/// What only the tokens of users have at this issuer. Without it, no one is
/// taken for a user, and rules about users are not met.
pub(crate) const USER_CLAIM: &str = "user_id";

/// The registry. A service would name its file: `Applications::from_toml_file`.
pub(crate) fn applications(issuer: &str) -> Result<Applications, ConfigError> {
    Applications::from_toml(&include_str!("../applications.toml").replace("https://idp.example.com", issuer))
}

/// The routes behind the layer, and what is beside.
pub(crate) fn app(issuer: &str) -> Result<GuardedApp, ConfigError> {
    let delegation = DelegationLayer::builder()
        .add_issuer(TrustedIssuer::discover(issuer)?.add_audience(AUDIENCE).add_user_claim(USER_CLAIM))
        .client_identity(ClientIdentity::from_tls())
        .applications(applications(issuer)?)
        .realm("orders")
        .build()?;
    let front_page = Router::new().route("/", axum::routing::get(async || "The orders API\n"));
    GuardedRouter::new()
        .route("/health", get(public("probe of the orchestrator", health)))
        .route("/orders", get(list_orders).post(create_order))
        .route("/orders/export", get(export_orders))
        .route("/orders/{id}/draft-reply", post(draft_reply))
        .route("/orders/{id}/refund", post(refund))
        .service("/labels/{*file}", Requirement::named("labels").scope("orders:read"), service_fn(label))
        .behind(delegation)?
        .beside("the front page, for everyone", front_page)
}

/// For everyone: most callers have no token.
async fn health() -> &'static str {
    "well"
}

/// A tower service that knows nothing of tokens, such as a folder of files.
async fn label(request: Request) -> Result<Response<String>, Infallible> {
    Ok(Response::new(format!("the label {}", request.uri().path())))
}

#[requires_scope("orders:read")]
async fn list_orders(delegation: DelegationContext) -> String {
    let client = delegation.client().map_or("no application", |client| client.as_str());
    format!("orders of {}, read by {client}", delegation.subject().id())
}

#[requires(scope = "orders:write", on_behalf_of_user)]
async fn create_order() -> &'static str {
    "order created"
}

/// Only the warehouse's own service, never a person.
#[requires(scope = "orders:export", subject_kind = service, client = "warehouse-sync")]
async fn export_orders() -> &'static str {
    "all orders"
}

/// Only the copilot, and only for a user that it acts for.
#[requires(scope = "orders:draft", on_behalf_of_user, actor = "copilot")]
async fn draft_reply(Path(id): Path<u32>) -> String {
    format!("draft for order {id}")
}

/// The same as a type: a user through the shop's own application, no agent in between.
struct RefundOrder;

impl Requires for RefundOrder {
    fn requirement() -> Requirement {
        Requirement::named("RefundOrder")
            .scope("orders:refund")
            .on_behalf_of_user()
            .not_delegated()
            .client("shop-web")
    }
}

async fn refund(Authorized(permit): Authorized<RefundOrder>, Path(id): Path<u32>) -> String {
    format!("order {id} refunded for {}", permit.subject().id())
}
