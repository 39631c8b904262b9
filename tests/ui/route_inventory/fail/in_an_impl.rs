use axum::extract::Path;
use tower_delegation::routing::{GuardedRouter, delete};

struct Orders;

impl Orders {
    async fn remove(_: Path<u64>) {}
}

fn main() {
    let _ = GuardedRouter::<()>::new().route("/orders/{id}", delete(Orders::remove));
}
