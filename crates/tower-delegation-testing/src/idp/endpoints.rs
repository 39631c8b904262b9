//! From a path to an issuer's endpoint, and what each endpoint says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use aws_lc_rs::digest;
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::{
    MockIssuer,
    client::{ClientAuthMethod, Grant},
    faults::{Endpoint, text},
    lock, token_endpoint,
};
use crate::{
    algorithm::Algorithm,
    keys::{ALGORITHMS, base64url},
};

const MAX_BODY: usize = 256 * 1024;

/// What all issuers of one provider share.
pub(crate) struct Server {
    /// By path; the root's is empty.
    pub(crate) issuers: Mutex<BTreeMap<String, MockIssuer>>,
    /// Closed when the provider stops.
    pub(crate) stopped: watch::Receiver<()>,
}

impl Server {
    /// The well-known name stands behind the issuer's path for OpenID Connect
    /// (Discovery 1.0 section 4) and before it for OAuth (RFC 8414 section 3.1).
    fn route(&self, path: &str) -> Option<(MockIssuer, Endpoint)> {
        let (issuer, endpoint) =
            if let Some(issuer) = path.strip_prefix("/.well-known/oauth-authorization-server") {
                (issuer, Endpoint::Discovery)
            } else if let Some(issuer) = path.strip_suffix("/.well-known/openid-configuration") {
                (issuer, Endpoint::Discovery)
            } else if let Some(issuer) = path.strip_suffix("/jwks") {
                (issuer, Endpoint::Jwks)
            } else {
                (path.strip_suffix("/token")?, Endpoint::Token)
            };
        Some((lock(&self.issuers).get(issuer)?.clone(), endpoint))
    }
}

/// Serves one request. The answer is made before the request is counted, so
/// that an answer withheld says what was true when the request arrived.
pub(crate) async fn dispatch(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Some((issuer, endpoint)) = server.route(head.uri.path()) else {
        return text(StatusCode::NOT_FOUND, "no issuer has this endpoint");
    };
    let answer = match (endpoint, to_bytes(body, MAX_BODY).await) {
        (_, Err(_)) => text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        (Endpoint::Token, Ok(body)) => token_endpoint::answer(&issuer, &head, &body),
        (Endpoint::Discovery | Endpoint::Jwks, _) if !is_read(&head.method) => {
            text(StatusCode::METHOD_NOT_ALLOWED, "GET only")
        }
        (Endpoint::Discovery, _) => discovery(&issuer),
        (Endpoint::Jwks, _) => jwks(&issuer, &head.headers),
    };
    let clock = &*issuer.inner.clock;
    // Read before the count goes up: a test that waits for the count may then move the clock.
    let arrived = clock.monotonic();
    let fault = issuer.gate(endpoint).arrive(head.headers);
    fault.apply(answer, arrived, clock, server.stopped.clone()).await
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

fn discovery(issuer: &MockIssuer) -> Response<Body> {
    let mut response = Response::new(Body::from(metadata(issuer).to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// RFC 8414 section 2 and OpenID Connect Discovery 1.0 section 3, with the
/// members that the test changed.
pub(crate) fn metadata(issuer: &MockIssuer) -> Value {
    let algorithms: Vec<_> =
        lock(&issuer.inner.ring).algorithms().into_iter().map(|algorithm| algorithm.as_str()).collect();
    let url = issuer.issuer();
    let mtls = issuer.mtls_token_endpoint();
    let methods: Vec<_> = ClientAuthMethod::ALL
        .into_iter()
        .filter(|method| mtls.is_some() || !method.is_tls())
        .map(ClientAuthMethod::as_str)
        .collect();
    let mut members = Map::new();
    let document = json!({
        "issuer": url,
        "jwks_uri": issuer.jwks_uri(),
        "token_endpoint": issuer.token_endpoint(),
        "grant_types_supported": Grant::ALL.map(Grant::as_str),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS.map(Algorithm::as_str),
        "dpop_signing_alg_values_supported": ALGORITHMS.map(Algorithm::as_str),
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    });
    if let Value::Object(document) = document {
        members.extend(document);
    }
    if let Some(endpoint) = mtls {
        // RFC 8705 sections 3.3 and 5.
        members.insert("mtls_endpoint_aliases".to_owned(), json!({ "token_endpoint": endpoint }));
        members.insert("tls_client_certificate_bound_access_tokens".to_owned(), true.into());
    }
    for (name, value) in &*lock(&issuer.inner.metadata) {
        match value {
            Some(value) => members.insert(name.clone(), value.clone()),
            None => members.remove(name),
        };
    }
    Value::Object(members)
}

/// RFC 7517 section 8.5 and, for the conditional request, RFC 9110 section 13.1.2.
fn jwks(issuer: &MockIssuer, headers: &HeaderMap) -> Response<Body> {
    let document = lock(&issuer.inner.ring).document();
    let tag = entity_tag(&document);
    let fresh = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|candidate| candidate == "*" || candidate.trim_start_matches("W/") == tag);

    let mut response = Response::new(if fresh { Body::empty() } else { Body::from(document) });
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if let Some(cache_control) = lock(&issuer.inner.jwks_cache_control).clone() {
        headers.insert(header::CACHE_CONTROL, cache_control);
    }
    response
}

fn entity_tag(document: &Bytes) -> String {
    format!("\"{}\"", base64url(digest::digest(&digest::SHA256, document)))
}
