//! What the orchestrator asks, on a plain listener of its own.

use std::{future::ready, time::Duration};

use axum::{Router, http::StatusCode, routing::get};
use tokio::time::interval;
use tower_delegation::DelegationLayer;

/// `/live` and `/ready`. A gateway whose upstream is down is ready: it says so to its callers.
pub(crate) fn routes(delegation: DelegationLayer) -> Router {
    Router::new()
        .route("/live", get(async || "alive\n"))
        .route("/ready", get(move || ready(readiness(&delegation))))
}

fn readiness(delegation: &DelegationLayer) -> (StatusCode, &'static str) {
    if delegation.status().is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// Fetches the issuer's keys, so that the gateway is ready before its first request.
pub(crate) async fn warm_up(delegation: DelegationLayer) {
    let mut attempts = interval(Duration::from_secs(5));
    loop {
        attempts.tick().await;
        match delegation.warm_up().await {
            Ok(()) => return tracing::info!("keys are here"),
            Err(error) => tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "no keys yet"),
        }
    }
}
