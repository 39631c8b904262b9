//! `huskarl-axum`. Verifies with its default platform, which is RustCrypto.

use axum::body::Body;
use huskarl_axum::{
    layers::ValidatorLayer,
    resource_server::{core::EndpointUrl, validator::rfc9068::Rfc9068Validator},
};
use huskarl_reqwest::ReqwestClient;
use tokio::runtime::Runtime;

use crate::{AUDIENCE, HttpSubject, Provider, Subject, ours};

pub(super) fn subject(runtime: &Runtime, provider: &Provider) -> Option<Box<dyn Subject>> {
    let validator = runtime.block_on(async {
        // Key sets come by HTTP only.
        let client = ReqwestClient::builder().build().await.unwrap();
        Rfc9068Validator::builder()
            .issuer(provider.issuer())
            .audience(AUDIENCE)
            .jwks_uri(provider.jwks_uri().parse::<EndpointUrl>().unwrap())
            .jwks_source(client)
            .build()
            .await
            .unwrap()
    });
    let layer = ValidatorLayer::builder().validator(validator).build();
    Some(HttpSubject::<_, Body>::boxed(ours::router().layer(layer.authenticated()).with_state(())))
}
