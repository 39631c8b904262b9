//! Other libraries, each in a file of its own, each set up as its documentation
//! says to check signature, expiry, issuer and audience. Keys are given as a key
//! set; over HTTP where the library takes none otherwise.

mod aliri_tower;
mod axum_jwt_auth;
mod huskarl_axum;
mod jwt_authorizer;
mod oauth_resource_server;
mod tower_oauth2_resource_server;

use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::{Provider, Subject};

/// Sets a library up on the runtime that it is going to be measured on. `None`
/// where it has no support for the provider's algorithm.
pub type Setup = fn(&Runtime, &Provider) -> Option<Box<dyn Subject>>;

/// Every library, by the name of its package.
pub const PEERS: &[(&str, Setup)] = &[
    ("aliri_tower", aliri_tower::subject),
    ("axum-jwt-auth", axum_jwt_auth::subject),
    ("huskarl-axum", huskarl_axum::subject),
    ("jwt-authorizer", jwt_authorizer::subject),
    ("oauth-resource-server", oauth_resource_server::subject),
    ("tower-oauth2-resource-server", tower_oauth2_resource_server::subject),
];

/// What a service would read from its tokens, for the libraries that ask.
#[derive(Clone, Debug, Deserialize)]
#[expect(dead_code, reason = "reading the claims is what is measured")]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    client_id: String,
    scope: String,
}
