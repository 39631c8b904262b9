//! `jwt-authorizer`. Verifies with jsonwebtoken 9, which is ring. It is for
//! axum 0.7, so the bare router below it is of that version.

use axum_07::{Router, body::Body, routing::get};
use jwt_authorizer::{Authorizer, IntoLayer as _, JwtAuthorizer, Validation};
use tokio::runtime::Runtime;

use crate::{AUDIENCE, HttpSubject, PATH, Provider, Subject};

pub(super) fn subject(runtime: &Runtime, provider: &Provider) -> Option<Box<dyn Subject>> {
    let validation = Validation::new().iss(&[provider.issuer()]).aud(&[AUDIENCE]);
    let authorizer: Authorizer<super::Claims> = runtime
        .block_on(JwtAuthorizer::from_jwks_text(&provider.jwks()).validation(validation).build())
        .unwrap();
    let router = Router::new().route(PATH, get(|| async { "ok" })).layer(authorizer.into_layer());
    Some(HttpSubject::<_, Body>::boxed(router.with_state(())))
}
