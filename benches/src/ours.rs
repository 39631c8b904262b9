//! tower-delegation, and the bare router that everybody adds to.

use axum::{Router, body::Body, routing::get};
use tower_delegation::{DelegationLayer, TrustedIssuer, token::TokenCache};

use crate::{AUDIENCE, HttpSubject, PATH, Provider, Subject};

/// The router that subjects guard: one route whose handler does nothing.
///
/// A router is served once it has its state: `axum::serve` does that, and without it every
/// request would build the route's handler and layers anew.
pub fn router() -> Router {
    Router::new().route(PATH, get(async || "ok"))
}

/// The router without any layer. It refuses nothing.
pub fn bare() -> Box<dyn Subject> {
    HttpSubject::<_, Body>::boxed(router().with_state(()))
}

/// The router behind the layer as it comes, with the provider's keys given: it
/// has seen no token yet.
pub fn subject(provider: &Provider) -> Box<dyn Subject> {
    HttpSubject::<_, Body>::boxed(router().layer(layer(provider)).with_state(()))
}

/// The layer as it comes, but with room for the 100,000 tokens of the largest row.
pub fn layer(provider: &Provider) -> DelegationLayer {
    let issuer = TrustedIssuer::with_static_keys(provider.issuer(), &provider.jwks()).unwrap();
    let room = TokenCache::new().max_entries(120_000).max_bytes(512 * 1024 * 1024);
    DelegationLayer::builder().add_issuer(issuer.add_audience(AUDIENCE)).token_cache(room).build().unwrap()
}
