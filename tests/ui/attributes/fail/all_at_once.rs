//! Every mistake of every attribute, in one compilation, each at its place.

use tower_delegation::{requires, requires_audience, requires_scope};

#[requires_scope("orders read", any("a"), "profile", "profile")]
#[requires_audience("", "https://orders.example.com")]
#[requires(
    scop = "a",
    max_token_age = "5m",
    delegated,
    not_delegated,
    client = "web",
    client = "app",
    risk_below("device", 0),
    name = " "
)]
async fn list_orders() {}

fn main() {}
