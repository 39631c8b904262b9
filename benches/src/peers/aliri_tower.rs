//! `aliri_tower`. Verifies with ring; elliptic curve keys are read with OpenSSL.

use aliri::{
    Jwks, jwa,
    jwt::{Audience, Audiences, CoreClaims, CoreValidator, Issuer, IssuerRef, Subject as Sub, SubjectRef},
};
use aliri_oauth2::{Authority, HasScope, Scope};
use aliri_tower::Oauth2Authorizer;
use axum::body::Body;
use serde::Deserialize;
use tokio::runtime::Runtime;
use tower_delegation_testing::Algorithm;

use crate::{AUDIENCE, HttpSubject, Provider, Subject, ours};

pub(super) fn subject(_: &Runtime, provider: &Provider) -> Option<Box<dyn Subject>> {
    let algorithm: jwa::Algorithm = match provider.algorithm() {
        Algorithm::Rs256 => jwa::rsa::SigningAlgorithm::RS256.into(),
        Algorithm::Es256 => jwa::ec::SigningAlgorithm::ES256.into(),
        // It has RSA, elliptic curves and HMAC.
        _ => return None,
    };
    let jwks: Jwks = serde_json::from_str(&provider.jwks()).unwrap();
    let validator = CoreValidator::default()
        .add_approved_algorithm(algorithm)
        .add_allowed_audience(Audience::from_static(AUDIENCE))
        .require_issuer(Issuer::new(provider.issuer().to_owned()));
    let layer = Oauth2Authorizer::new()
        .with_claims::<Claims>()
        .with_terse_error_handler::<Body>()
        .jwt_layer::<Body>(Authority::new(jwks, validator));
    Some(HttpSubject::<_, Body>::boxed(ours::router().layer(layer).with_state(())))
}

/// The claims of [`super::Claims`], in the library's types.
#[derive(Clone, Debug, Deserialize)]
struct Claims {
    iss: Issuer,
    sub: Sub,
    aud: Audiences,
    exp: aliri_clock::UnixTime,
    #[expect(dead_code, reason = "reading the claims is what is measured")]
    client_id: String,
    scope: Scope,
}

impl CoreClaims for Claims {
    fn nbf(&self) -> Option<aliri_clock::UnixTime> {
        None
    }

    fn exp(&self) -> Option<aliri_clock::UnixTime> {
        Some(self.exp)
    }

    fn aud(&self) -> &Audiences {
        &self.aud
    }

    fn iss(&self) -> Option<&IssuerRef> {
        Some(&self.iss)
    }

    fn sub(&self) -> Option<&SubjectRef> {
        Some(&self.sub)
    }
}

impl HasScope for Claims {
    fn scope(&self) -> &Scope {
        &self.scope
    }
}
