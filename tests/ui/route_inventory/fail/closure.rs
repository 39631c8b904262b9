use tower_delegation::axum::{GuardedRouter, get};

fn main() {
    let _ = GuardedRouter::<()>::new().route("/orders", get(async || "orders"));
}
