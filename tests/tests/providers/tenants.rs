//! Issuers by tenant: found at run time, fetched over real sockets, and only
//! where they are allowed.

use serde_json::json;
use tower_delegation::{
    Authenticator, DelegationContext, DelegationLayer, DenialReason as R, TrustedIssuer,
    issuer::{ClaimMapping, TenantIssuers},
};
use tower_delegation_testing::{Endpoint, MockIssuer};

use crate::{Mint, NOW, sign, with};

const AUDIENCE: &str = "https://api.example.com";

/// A provider with one issuer for each tenant, as Entra has: `{host}/{tenant}/v2.0`.
struct Tenants {
    mint: Mint,
    authenticator: Authenticator,
}

impl Tenants {
    async fn trusting(tenants: &[&str]) -> Self {
        let mint = Mint::new().await;
        let template = format!("{}/{{tenant}}/v2.0", mint.idp.issuer());
        let terms = TrustedIssuer::discover(&template).unwrap().add_audience(AUDIENCE);
        let tenants = TenantIssuers::new(terms.claim_mapping(ClaimMapping::entra_v2()), tenants).unwrap();
        let layer = DelegationLayer::builder().add_issuer_resolver(tenants).clock(mint.clock.clone()).build();
        Self { mint, authenticator: layer.unwrap().authenticator().clone() }
    }

    fn issuer(&self, tenant: &str) -> MockIssuer {
        self.mint.idp.issuer_at(&format!("/{tenant}/v2.0"))
    }

    /// A token that `signer` signs in the name of `tenant`.
    fn token(&self, signer: &MockIssuer, tenant: &str, changes: &serde_json::Value) -> String {
        let claims = json!({
            "iss": self.issuer(tenant).issuer(), "aud": AUDIENCE, "iat": NOW - 1, "exp": NOW + 60,
            "sub": "pairwise", "oid": "o-alice", "azp": "app-1", "scp": "Orders.Read", "tid": tenant, "uti": "u",
        });
        sign(signer, Some("JWT"), &with(&claims, changes))
    }

    async fn verify(&self, token: &str) -> Result<DelegationContext, R> {
        self.authenticator.verify(token).await.map_err(|rejection| rejection.reason())
    }
}

fn fetches(issuer: &MockIssuer) -> usize {
    issuer.requests(Endpoint::Discovery) + issuer.requests(Endpoint::Jwks)
}

#[tokio::test]
async fn each_tenant_is_an_issuer_of_its_own() {
    let tenants = Tenants::trusting(&["t1", "t2"]).await;
    let (one, two) = (tenants.issuer("t1"), tenants.issuer("t2"));
    for (issuer, tenant) in [(&one, "t1"), (&two, "t2"), (&one, "t1")] {
        let delegation = tenants.verify(&tenants.token(issuer, tenant, &json!({}))).await.unwrap();
        assert_eq!(delegation.tenant().unwrap().unwrap().as_str(), tenant);
        assert_eq!(delegation.issuer().as_str(), issuer.issuer());
    }
    assert_eq!((fetches(&one), fetches(&two)), (2, 2), "metadata and keys, once for each");
    // Their keys bear the same name.
    assert_eq!(one.key_ids(), two.key_ids());
    let refused = tenants.verify(&tenants.token(&one, "t2", &json!({}))).await;
    assert_eq!(refused.err(), Some(R::SignatureInvalid));
}

#[tokio::test]
async fn nothing_is_fetched_for_a_tenant_that_is_not_allowed() {
    let tenants = Tenants::trusting(&["t1"]).await;
    for tenant in ["t2", "T1", "common", "t1%2F..%2Ft2", "{tenant}"] {
        let issuer = tenants.issuer(tenant);
        let iss = format!("{}/{tenant}/v2.0", tenants.mint.idp.issuer());
        let token = tenants.token(&issuer, tenant, &json!({ "iss": iss }));
        assert_eq!(tenants.verify(&token).await.err(), Some(R::IssuerUnknown), "{tenant}");
        assert_eq!(fetches(&issuer), 0, "{tenant}");
    }
    let allowed = tenants.issuer("t1");
    let slash = tenants.token(&allowed, "t1", &json!({ "iss": format!("{}/", allowed.issuer()) }));
    assert_eq!(tenants.verify(&slash).await.err(), Some(R::IssuerUnknown));
    assert_eq!(fetches(&allowed) + fetches(&tenants.mint.idp), 0);
}

#[tokio::test]
async fn the_tenant_in_the_token_is_the_issuers() {
    let tenants = Tenants::trusting(&["t1", "t2"]).await;
    let issuer = tenants.issuer("t1");
    for (name, change, reason) in [
        ("another", json!({ "tid": "t2" }), R::ClaimsContradictory),
        ("none", json!({ "tid": null }), R::ClaimMissing),
        ("not a string", json!({ "tid": ["t1"] }), R::ClaimMalformed),
    ] {
        let refused = tenants.verify(&tenants.token(&issuer, "t1", &change)).await;
        assert_eq!(refused.err(), Some(reason), "{name}");
    }
}

#[tokio::test]
async fn a_key_serves_only_the_issuer_that_it_names() {
    for (name, owner, is_usable) in [
        ("its own", "{host}/t1/v2.0", true),
        ("a template", "{host}/{tenantid}/v2.0", true),
        ("another tenant's", "{host}/t2/v2.0", false),
        ("another template", "https://login.example/{tenantid}/v2.0", false),
    ] {
        let tenants = Tenants::trusting(&["t1"]).await;
        let issuer = tenants.issuer("t1");
        let mut jwks = issuer.jwks();
        jwks["keys"][0]["issuer"] = owner.replace("{host}", tenants.mint.idp.issuer()).into();
        issuer.replace_jwks_document(jwks.to_string());
        let outcome = tenants.verify(&tenants.token(&issuer, "t1", &json!({}))).await;
        // A set without a usable key is the provider's failure, not the token's.
        assert_eq!(outcome.err(), (!is_usable).then_some(R::KeysUnavailable), "{name}");
    }
}

#[tokio::test]
async fn a_thousand_first_tokens_are_one_fetch() {
    let tenants = Tenants::trusting(&["t1"]).await;
    let issuer = tenants.issuer("t1");
    let token = tenants.token(&issuer, "t1", &json!({}));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (authenticator, token) = (tenants.authenticator.clone(), token.clone());
        calls.spawn(async move { authenticator.verify(&token).await.is_ok() });
    }
    assert!(calls.join_all().await.into_iter().all(|accepted| accepted));
    assert_eq!(fetches(&issuer), 2);
}
