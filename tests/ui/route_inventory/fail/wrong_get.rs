//! The `get` of one router, handed to the other.

use axum::Router;
use tower_delegation::requires_scope;
use tower_delegation::routing::GuardedRouter;

#[requires_scope("orders:read")]
async fn list() {}

fn main() {
    let _ = GuardedRouter::<()>::new().route("/orders", axum::routing::get(list));
    let _ = GuardedRouter::<()>::new().route("/orders", axum::routing::get(list).post(list));
    let _ = GuardedRouter::<()>::new().route("/orders", list);
    let _: Router = Router::new().route("/orders", tower_delegation::routing::get(list));
}
