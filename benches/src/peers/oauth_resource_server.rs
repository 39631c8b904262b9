//! `oauth-resource-server`. Verifies with jsonwebtoken 9, which is ring.

use std::sync::Arc;

use axum::body::Body;
use oauth_resource_server::{KeyNaming, OAuthConfig, OAuthValidator, axum::AuthLayer};
use tokio::runtime::Runtime;

use crate::{AUDIENCE, HttpSubject, Provider, Subject, ours};

pub(super) fn subject(_: &Runtime, provider: &Provider) -> Option<Box<dyn Subject>> {
    let config = OAuthConfig {
        enabled: true,
        issuer: provider.issuer().to_owned(),
        jwks_uri: Some(provider.jwks_uri()),
        audience: AUDIENCE.to_owned(),
        resource: AUDIENCE.to_owned(),
        // No other row of the table asks for a scope.
        allow_unscoped_tokens: true,
        ..OAuthConfig::default()
    };
    let resolved = config.resolve(KeyNaming::Dotted("oauth")).unwrap().unwrap();
    let validator = OAuthValidator::builder(&resolved).initial_jwks(&provider.jwks()).build().unwrap();
    let layer = AuthLayer::builder().oauth(Arc::new(validator)).build().unwrap();
    Some(HttpSubject::<_, Body>::boxed(ours::router().layer(layer).with_state(())))
}
