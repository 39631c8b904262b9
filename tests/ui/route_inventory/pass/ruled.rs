//! Every way to give a route a rule.
#![deny(warnings)]

use axum::extract::{Path, State};
use axum::Json;
use tower_delegation::routing::{AnyCaller, Both, GuardedRouter, any, by_table, get, post, public};
use tower_delegation::{Authorized, Requirement, Requires, requires, requires_audience, requires_scope};

#[derive(Clone)]
struct Db;

struct Refund;

impl Requires for Refund {
    fn requirement() -> Requirement {
        Requirement::named("Refund").scope("orders:refund")
    }
}

#[requires_scope("orders:read")]
async fn list() {}

#[requires_scope("orders:write")]
#[requires_audience("https://orders.example.com")]
#[requires(on_behalf_of_user)]
async fn create(_: State<Db>, _: Json<String>) {}

#[requires_scope("orders:read")]
#[rustfmt::skip]
async fn fifteen_of_its_own(
    _1: State<Db>, _2: State<Db>, _3: State<Db>, _4: State<Db>, _5: State<Db>, _6: State<Db>, _7: State<Db>,
    _8: State<Db>, _9: State<Db>, _10: State<Db>, _11: State<Db>, _12: State<Db>, _13: State<Db>,
    _14: State<Db>, _15: State<Db>,
) {
}

async fn by_hand(Authorized(_permit): Authorized<Refund>, _: Path<u64>) {}

async fn twice(_: Both<Authorized<Refund>, Authorized<AnyCaller>>) {}

struct Orders;

impl Orders {
    async fn remove(_: Authorized<Refund>, _: Path<u64>) {}
}

async fn open() {}

fn main() {
    let nested = GuardedRouter::new().route("/", any(list));
    let router = GuardedRouter::new()
        .route("/orders", get(list).post(create))
        .route("/fifteen", get(fifteen_of_its_own))
        .route("/orders/{id}", post(by_hand).delete(Orders::remove))
        .route("/twice", get(twice))
        .route("/alive", get(public("probe", open)).head(public("probe", async || "")))
        .route("/table", get(by_table(open)))
        .fallback(public("says what it does not know", async || axum::http::StatusCode::NOT_FOUND))
        .with_state::<()>(Db)
        .nest("/nested", nested)
        .layer(axum::extract::DefaultBodyLimit::max(1024));
    assert_eq!(router.inventory().routes().len(), 11);
}
