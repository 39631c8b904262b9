use tower_delegation::{requires, requires_audience};

#[requires_audience(any("", " https://orders.example.com", "https://orders\n.example.com"))]
async fn audiences() {}

#[requires_audience("a", "b")]
async fn both_or_any() {}

#[requires(issuer = issuer, client = 7, actor = "", tenant = format!("acme"))]
async fn identifiers() {}

fn main() {}
