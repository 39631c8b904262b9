//! Every kind of function, under lints that would tell of anything left behind.
#![deny(warnings, missing_docs, unreachable_pub, non_camel_case_types, non_snake_case)]
#![deny(missing_debug_implementations, missing_copy_implementations, unnameable_types)]
#![deny(private_interfaces, private_bounds, dead_code, unused_qualifications)]

use std::future::Future;

use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use tower_delegation::{requires, requires_audience, requires_scope};

/// What the handlers share.
#[derive(Clone, Copy, Debug)]
pub struct Db;

#[requires_scope("orders:read")]
async fn with_extractors(
    State(_db): State<Db>,
    Path(id): Path<u64>,
    Json(order): Json<String>,
) -> Json<String> {
    Json(format!("{id} {order}"))
}

/// Documented and public.
#[requires_scope("orders:read")]
#[must_use]
pub async fn public() -> String {
    String::new()
}

#[requires_scope("orders:read")]
pub(crate) async fn visible_in_the_crate() {}

#[requires_scope("orders:read")]
async fn generic<S, const N: usize>(State(_state): State<S>) -> Json<[u8; N]>
where
    S: Clone + Send + Sync + 'static,
    [u8; N]: Default,
{
    Json(Default::default())
}

#[requires_scope("orders:read")]
async fn with_a_lifetime<'a>(_path: Path<std::borrow::Cow<'a, str>>) -> impl IntoResponse + use<'a> {
    "fine"
}

/// No route's, since nothing says which future it takes, but a function like any other.
#[requires_scope("orders:read")]
pub async fn with_impl_trait(ready: impl Future<Output = ()> + Send) {
    ready.await;
}

#[requires_scope("orders:read")]
#[requires_scope("orders:refund")]
#[requires_audience("https://orders.example.com")]
#[requires(on_behalf_of_user)]
async fn stacked(Query(_query): Query<Vec<(String, String)>>) {}

#[requires_scope("orders:read")]
async fn r#type(Path(r#in): Path<String>) -> String {
    r#in
}

#[requires_scope("orders:read")]
async fn __1() {}

#[requires_scope("orders:read")]
async fn größe() {}

#[requires_scope("orders:read")]
#[cfg(any())]
async fn conditional() -> NoSuchType {}

#[requires_scope("orders:read")]
#[cfg(not(any()))]
async fn conditional() {}

#[cfg_attr(all(), requires_scope("orders:read"))]
#[cfg_attr(all(), requires_scope("profile"))]
async fn conditionally_required() {}

pub(crate) mod nested {
    pub(super) mod deeper {
        use tower_delegation::requires_scope;

        #[requires_scope("orders:read")]
        pub(in crate::nested) async fn handler() {}

        #[requires_scope("orders:read")]
        pub(crate) async fn with_extractors() {}
    }

    pub(crate) use deeper::with_extractors;

    /// Uses what is visible here only.
    pub(crate) fn router() -> axum::Router<super::Db> {
        axum::Router::new().route("/", axum::routing::get(deeper::handler))
    }
}

fn main() {
    #[requires_scope("orders:read")]
    async fn inside_a_function() {}

    let _: Router = Router::new()
        .route("/1", post(with_extractors))
        .route("/2", get(public))
        .route("/3", get(visible_in_the_crate))
        .route("/4", get(generic::<Db, 4>))
        .route("/5", get(with_a_lifetime))
        .route("/7", get(stacked))
        .route("/8", get(r#type))
        .route("/9", get(__1))
        .route("/10", get(größe))
        .route("/11", get(conditional))
        .route("/12", get(conditionally_required))
        .route("/13", get(nested::with_extractors))
        .route("/14", get(inside_a_function))
        .nest("/15", nested::router())
        .with_state(Db);
}
