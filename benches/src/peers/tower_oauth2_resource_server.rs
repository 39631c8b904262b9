//! `tower-oauth2-resource-server`. Verifies with jsonwebtoken 11, here on aws-lc-rs.

use axum::body::Body;
use tokio::runtime::Runtime;
use tower_oauth2_resource_server::{
    server::OAuth2ResourceServer, tenant::TenantConfiguration, validation::ClaimsValidationSpec,
};

use crate::{AUDIENCE, HttpSubject, Provider, Subject, ours};

pub(super) fn subject(runtime: &Runtime, provider: &Provider) -> Option<Box<dyn Subject>> {
    let claims = ClaimsValidationSpec::new().exp(true).iss(provider.issuer()).aud(&vec![AUDIENCE.to_owned()]);
    let tenant = TenantConfiguration::static_builder(provider.jwks())
        .audiences(&[AUDIENCE])
        .claims_validation(claims)
        .build()
        .unwrap();
    let server = runtime
        .block_on(OAuth2ResourceServer::<super::Claims>::builder().add_tenant(tenant).build())
        .unwrap();
    Some(HttpSubject::<_, Body>::boxed(ours::router().layer(server.into_layer::<Body>()).with_state(())))
}
