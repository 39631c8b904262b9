//! The presets: tokens in the shapes that providers really issue, minted and
//! signed here, verified through the layer's own authenticator.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code outside of test functions"
)]

mod key_names;
mod matrix;
mod oddities;
mod presets;
mod refusals;
mod tenants;
mod vectors;

use serde_json::Value;
use tower_delegation::{
    DelegationContext, DelegationLayer, DenialReason, TrustedIssuer, clock::Timestamp, issuer::ClaimMapping,
};
use tower_delegation_testing::{MockIdp, MockIssuer, TestClock};

/// The moment at which all tokens here are good.
const NOW: i64 = 1_700_000_100;

/// A key that signs as any issuer, and a clock that stands still.
struct Mint {
    idp: MockIdp,
    clock: TestClock,
}

impl Mint {
    async fn new() -> Self {
        Self::at(NOW).await
    }

    async fn at(now: i64) -> Self {
        let clock = TestClock::at(Timestamp::from_unix_seconds(now));
        Self { idp: MockIdp::builder().clock(clock.clone()).start().await, clock }
    }

    /// An issuer of any name that this mint signs for.
    fn issuer(&self, issuer: &str) -> TrustedIssuer {
        TrustedIssuer::with_static_keys(issuer, &self.idp.jwks().to_string()).unwrap()
    }

    fn sign(&self, typ: Option<&str>, claims: &Value) -> String {
        sign(&self.idp, typ, claims)
    }

    async fn verify(&self, issuer: TrustedIssuer, token: &str) -> Result<DelegationContext, DenialReason> {
        let layer = DelegationLayer::builder().add_issuer(issuer).clock(self.clock.clone()).build().unwrap();
        layer.authenticator().verify(token).await.map_err(|rejection| rejection.reason())
    }

    /// Verifies claims as a token of their own issuer with this mapping.
    async fn map(
        &self,
        mapping: ClaimMapping,
        audience: Option<&str>,
        typ: Option<&str>,
        claims: &Value,
    ) -> Result<DelegationContext, DenialReason> {
        let mut issuer = self.issuer(claims["iss"].as_str().unwrap()).claim_mapping(mapping);
        if let Some(audience) = audience {
            issuer = issuer.add_audience(audience);
        }
        self.verify(issuer, &self.sign(typ, claims)).await
    }
}

/// A token with exactly these claims.
fn sign(issuer: &MockIssuer, typ: Option<&str>, claims: &Value) -> String {
    let token = issuer.token().claims_json(claims.to_string());
    match typ {
        Some(typ) => token.typ(typ),
        None => token.without_header("typ"),
    }
    .sign()
}

/// `claims` with some of them changed; `null` takes one out.
fn with(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    claims.into()
}
