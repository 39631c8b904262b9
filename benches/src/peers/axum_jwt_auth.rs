//! `axum-jwt-auth`: an extractor. Verifies with jsonwebtoken 10, here on aws-lc-rs.

use std::sync::Arc;

use axum::{Router, body::Body, extract::FromRef, routing::get};
use axum_jwt_auth::{Claims, Decoder, RemoteJwksDecoder};
use jsonwebtoken_10::{Algorithm as Alg, Validation, crypto::aws_lc};
use tokio::runtime::Runtime;
use tower_delegation_testing::Algorithm;

use crate::{AUDIENCE, HttpSubject, PATH, Provider, Subject};

pub(super) fn subject(runtime: &Runtime, provider: &Provider) -> Option<Box<dyn Subject>> {
    // Fails where it is installed already.
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
    let mut validation = Validation::new(match provider.algorithm() {
        Algorithm::Rs256 => Alg::RS256,
        Algorithm::Es256 => Alg::ES256,
        Algorithm::EdDsa => Alg::EdDSA,
        _ => return None,
    });
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[provider.issuer()]);
    // Key sets come by HTTP only.
    let decoder =
        RemoteJwksDecoder::builder().jwks_url(provider.jwks_uri()).validation(validation).build().unwrap();
    // Dropping the token does not stop the refresh, which is hourly.
    runtime.block_on(decoder.initialize()).unwrap();
    let router = Router::new()
        .route(PATH, get(async |_: Claims<super::Claims>| "ok"))
        .with_state(State { decoder: Arc::new(decoder) });
    Some(HttpSubject::<_, Body>::boxed(router))
}

#[derive(Clone)]
struct State {
    decoder: Decoder<super::Claims>,
}

impl FromRef<State> for Decoder<super::Claims> {
    fn from_ref(state: &State) -> Self {
        Arc::clone(&state.decoder)
    }
}
