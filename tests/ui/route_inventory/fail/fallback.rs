use axum::http::StatusCode;
use tower_delegation::routing::GuardedRouter;

fn main() {
    let _ = GuardedRouter::<()>::new().fallback(async || StatusCode::NOT_FOUND);
}
