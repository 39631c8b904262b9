use tower_delegation::routing::{GuardedRouter, get};

fn main() {
    let _ = GuardedRouter::<()>::new().route("/orders", get(async || "orders"));
}
