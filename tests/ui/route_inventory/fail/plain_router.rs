use axum::{Router, routing};
use tower_delegation::routing::GuardedRouter;

fn main() {
    let plain = Router::new().route("/orders", routing::get(async || "orders"));
    let _ = GuardedRouter::<()>::new().merge(plain);
}
