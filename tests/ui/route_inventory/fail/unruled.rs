use axum::extract::{Path, State};
use tower_delegation::{DelegationContext, routing::{GuardedRouter, get, post}};

async fn no_arguments() -> &'static str {
    "orders"
}

async fn arguments(_: State<()>, _: Path<u64>) {}

async fn only_a_token(_: DelegationContext) {}

fn main() {
    let _ = GuardedRouter::<()>::new()
        .route("/orders", get(no_arguments).post(arguments))
        .route("/whoami", post(only_a_token));
}
