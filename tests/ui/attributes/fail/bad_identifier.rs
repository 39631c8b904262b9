use tower_delegation::{requires, requires_audience};

#[requires_audience("", " https://orders.example.com", "https://orders\n.example.com")]
async fn audiences() {}

#[requires_audience(any("a", "b"))]
async fn always_any() {}

const ISSUER: &str = "https://idp.example.com";

#[requires(issuer = ISSUER, issuer = "", client = 7, actor = "")]
async fn identifiers() {}

fn main() {}
