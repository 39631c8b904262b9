//! The routes of protected resource metadata (RFC 9728 section 3).

use std::sync::Arc;

use axum::{Router, body::Body, extract::Request, response::Response, routing::any};
use http::StatusCode;

use crate::protected_resource::{ResourceMetadata, WELL_KNOWN};

/// Routes that serve these documents, one or several of one host: everything
/// under `/.well-known/oauth-protected-resource`. What is not the document of
/// one of them is a 404 that repeats nothing of the request.
///
/// They need no token, so they are not behind the layer. A guarded router takes them
/// by [`GuardedApp::resource_metadata`](super::GuardedApp::resource_metadata); see
/// [`protected_resource`](crate::protected_resource) for an example. Into a plain
/// router merge them last but for the routes that are behind the layer: with
/// [`Router::merge`] the last router answers what is found nowhere.
pub fn resource_metadata<S>(documents: impl IntoIterator<Item = ResourceMetadata>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let documents: Arc<[ResourceMetadata]> = documents.into_iter().collect();
    let serve = any(move |request: Request| {
        let answer = documents.iter().find_map(|document| document.respond(&request));
        std::future::ready(answer.map_or_else(not_found, |answer| answer.map(Body::from)))
    });
    // The wildcard matches no empty rest.
    [WELL_KNOWN.to_owned(), format!("{WELL_KNOWN}/"), format!("{WELL_KNOWN}/{{*resource}}")]
        .iter()
        .fold(Router::new(), |router, path| router.route(path, serve.clone()))
}

fn not_found() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
