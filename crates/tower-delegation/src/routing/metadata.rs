//! The routes of protected resource metadata (RFC 9728 section 3).

use std::sync::Arc;

use axum::{Router, body::Body, extract::Request, response::Response, routing::any};
use http::StatusCode;

use crate::protected_resource::{ResourceMetadata, WELL_KNOWN};

/// Routes that serve these documents, one or several of one host: everything
/// under `/.well-known/oauth-protected-resource`. What is not the document of
/// one of them is a 404 that repeats nothing of the request.
///
/// They need no token, so they stand beside the layer and not behind it. Merge
/// the guarded routes into them: with [`Router::merge`] the last router answers
/// for what is found nowhere. See [`protected_resource`](crate::protected_resource)
/// for an example.
pub fn resource_metadata<S>(documents: impl IntoIterator<Item = ResourceMetadata>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let documents: Arc<[ResourceMetadata]> = documents.into_iter().collect();
    let serve = any(move |request: Request| {
        let answer = documents.iter().find_map(|document| document.respond(&request));
        std::future::ready(answer.map_or_else(not_found, |answer| answer.map(Body::from)))
    });
    Router::new().route(WELL_KNOWN, serve.clone()).route(&format!("{WELL_KNOWN}/{{*resource}}"), serve)
}

fn not_found() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
