//! Functions without `self`, where there is one type for many handlers.
#![deny(warnings, missing_docs, unreachable_pub, non_local_definitions)]

use axum::Router;
use axum::extract::{Path, State};
use axum::routing;
use tower_delegation::routing::{GuardedRouter, get};
use tower_delegation::{requires, requires_audience, requires_scope};

mod scopes {
    pub(crate) const READ: &str = "orders:read";
    pub(crate) const WRITE: &str = "orders:write";
}

/// What the handlers share.
#[derive(Clone, Copy, Debug)]
pub struct Orders;

impl Orders {
    #[requires_scope("orders:read")]
    async fn list() -> &'static str {
        "orders"
    }

    /// Documented and public.
    #[requires_scope(scopes::READ)]
    #[requires_audience("https://orders.example.com")]
    #[requires(on_behalf_of_user, name = "a clerk")]
    pub async fn read<'a>(State(_orders): State<Self>, Path(id): Path<u64>) -> Result<String, Box<str>> {
        #![allow(unused_mut)]
        let mut id = id.to_string();
        Ok(id)
    }

    #[requires(any_scope(scopes::READ, scopes::WRITE))]
    pub(crate) async fn write(_: State<Self>, body: String) -> String {
        body
    }
}

/// A type with parameters.
#[derive(Debug)]
pub struct Store<T>(T);

impl<T: Send + Sync + 'static> Store<T> {
    #[requires_scope("orders:read")]
    async fn list() {}
}

fn main() {
    let router = GuardedRouter::<Orders>::new()
        .route("/orders", get(Orders::list).post(Orders::write))
        .route("/orders/{id}", get(Orders::read))
        .route("/store", get(Store::<u8>::list));
    let demanded: Vec<String> = router.inventory().routes().iter().map(|route| route.to_string()).collect();
    assert_eq!(demanded.len(), 4, "{demanded:?}");
    let _: Router = Router::new()
        .route("/orders", routing::get(Orders::list).post(Orders::write))
        .route("/orders/{id}", routing::get(Orders::read))
        .with_state(Orders);
}
