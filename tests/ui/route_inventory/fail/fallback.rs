use axum::http::StatusCode;
use tower_delegation::axum::GuardedRouter;

fn main() {
    let _ = GuardedRouter::<()>::new().fallback(async || StatusCode::NOT_FOUND);
}
