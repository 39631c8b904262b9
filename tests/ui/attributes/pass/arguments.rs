//! Sixteen arguments are axum's limit, and each attribute uses one.

use axum::Router;
use axum::http::{HeaderMap, Method, Uri, Version};
use axum::routing::get;
use tower_delegation::{requires_audience, requires_scope};

#[requires_scope("orders:read")]
#[rustfmt::skip]
async fn fifteen(
    _1: Method, _2: Uri, _3: Version, _4: HeaderMap, _5: Method, _6: Uri, _7: Version, _8: HeaderMap,
    _9: Method, _10: Uri, _11: Version, _12: HeaderMap, _13: Method, _14: Uri, _15: String,
) {
}

#[requires_scope("orders:read")]
#[requires_audience("https://orders.example.com")]
#[rustfmt::skip]
async fn fourteen(
    _1: Method, _2: Uri, _3: Version, _4: HeaderMap, _5: Method, _6: Uri, _7: Version, _8: HeaderMap,
    _9: Method, _10: Uri, _11: Version, _12: HeaderMap, _13: Method, _14: String,
) {
}

fn main() {
    let _: Router = Router::new().route("/15", get(fifteen)).route("/14", get(fourteen));
}
