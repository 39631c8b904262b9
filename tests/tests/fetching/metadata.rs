//! Metadata that is not below the issuer's URL.

use integration_tests::World;
use serde_json::json;
use tower_delegation::{
    ConfigError, DelegationLayer, TrustedIssuer,
    http_client::HttpClient,
    issuer::{ClaimMapping, KindCheck, ScopeForm, TenantIssuers},
    jwks::KeySourceErrorKind,
};

use crate::{Api, Document, Keys};

/// Azure AD B2C: the issuer has a slash at its end, and the metadata is under the path of
/// the policy. No `tid`, no `oid`: the mapping is one of the operator's own.
const B2C: &str = "https://c.b2clogin.test/0a1b2c3d-0000-4000-8000-000000000001/v2.0/";
const POLICY: &str = "/c.onmicrosoft.test/b2c_1_signup/v2.0/.well-known/openid-configuration";

fn b2c() -> ClaimMapping {
    ClaimMapping::rfc9068()
        .accept_generic_type(KindCheck::not_an_id_token().and(KindCheck::claim_present("scp")))
        .client("azp")
        .scopes("scp", ScopeForm::String)
        .allow_absent_token_id()
}

#[tokio::test]
async fn metadata_below_the_path_of_a_policy() {
    let world = World::new().await;
    let keys = Keys::of(&world);
    let server = keys.serve().await;
    let metadata = |issuer: &str| {
        Document::Open(json!({"issuer": issuer, "jwks_uri": format!("{}/keys", server.origin)}).to_string())
    };
    let keys = keys.with(POLICY, metadata(B2C));
    let url = format!("{}{POLICY}", server.origin);
    let issuer = || TrustedIssuer::discover_at(B2C, &url).unwrap().claim_mapping(b2c());
    let token = |issuer: &str| {
        let token = world.idp.token().issuer(issuer).subject("5d1c7a90-user").without("client_id");
        let token = token.claim("azp", "shop-web").claim("scp", "orders.read").claim("tfp", "signup");
        token.without("jti").typ("JWT").sign()
    };
    let api = Api::new(&world, issuer(), HttpClient::new()).await;
    assert_eq!(api.served.get("/", &token(B2C)).await.body, "5d1c7a90-user");
    assert_eq!(keys.paths(), [POLICY, "/keys"], "nowhere else is looked");

    for (name, other) in [
        ("without its slash", B2C.trim_end_matches('/')),
        ("another tenant", "https://c.b2clogin.test/0a1b2c3d-0000-4000-8000-000000000002/v2.0/"),
        ("the host of the metadata", server.origin.as_str()),
        ("none", ""),
    ] {
        assert_eq!(api.status(&token(other)).await, 401, "{name}: a token of it");
        let _keys = keys.clone().with(POLICY, metadata(other));
        let misled = Api::new(&world, issuer(), HttpClient::new()).await;
        assert_eq!(misled.status(&token(B2C)).await, 503, "{name}: metadata of it");
        assert_eq!(misled.last_error(), Some(KeySourceErrorKind::IssuerMismatch), "{name}");
    }
    let asked = keys.paths().iter().filter(|path| *path == "/keys").count();
    assert_eq!(asked, 1, "keys of another issuer are not fetched");
}

#[tokio::test]
async fn where_there_is_no_metadata_no_other_place_is_asked() {
    let world = World::new().await;
    let keys = Keys::of(&world);
    let server = keys.serve().await;
    let own = json!({"issuer": world.idp.issuer(), "jwks_uri": format!("{}/keys", server.origin)});
    let keys = keys.with("/.well-known/openid-configuration", Document::Open(own.to_string()));
    let issuer = TrustedIssuer::discover_at(world.idp.issuer(), &format!("{}/metadata", server.origin));
    let api = Api::new(&world, issuer.unwrap(), HttpClient::new()).await;
    assert_eq!(api.status(&world.token().sign()).await, 503);
    assert_eq!(keys.paths(), ["/metadata"]);
    assert_eq!(world.idp.requests(tower_delegation_testing::Endpoint::Discovery), 0);
}

#[tokio::test]
async fn each_tenant_has_its_own_metadata() {
    let world = World::new().await;
    let keys = Keys::of(&world);
    let server = keys.serve().await;
    let issuer_of = |tenant: &str| format!("https://login.test/{tenant}/v2.0/");
    let document = |tenant: &str| {
        json!({"issuer": issuer_of(tenant), "jwks_uri": format!("{}/keys", server.origin)}).to_string()
    };
    let keys = keys
        .with("/inside/t1/metadata", Document::Open(document("t1")))
        .with("/inside/t2/metadata", Document::Open(document("t1")));
    let template = format!("{}/inside/{{tenant}}/metadata", server.origin);
    let terms = TrustedIssuer::discover_at(&issuer_of("{tenant}"), &template).unwrap();
    let tenants = TenantIssuers::new(terms.add_audience(integration_tests::AUDIENCE), ["t1", "t2"]).unwrap();
    let layer = DelegationLayer::builder().clock(world.clock.clone()).add_issuer_resolver(tenants);
    let served = world.serve(layer).await;
    let token = |tenant: &str| world.token().issuer(issuer_of(tenant)).sign();
    assert_eq!(served.get("/", &token("t1")).await.status, 200);
    assert_eq!(served.get("/", &token("t2")).await.status, 503, "its metadata is that of another tenant");
    assert_eq!(served.get("/", &token("t3")).await.status, 401, "not in the list");
    assert_eq!(keys.paths(), ["/inside/t1/metadata", "/keys", "/inside/t2/metadata"]);
}

#[test]
fn a_template_by_plain_http_needs_the_word_of_the_client() {
    let build = |client: HttpClient| {
        let terms = TrustedIssuer::discover("http://login.mesh/{tenant}").unwrap().add_audience("a");
        let tenants = TenantIssuers::new(terms, ["t1"]).unwrap();
        DelegationLayer::builder().http_client(client).add_issuer_resolver(tenants).build()
    };
    let error = build(HttpClient::new()).unwrap_err();
    assert!(matches!(error, ConfigError::InvalidUrl { .. }), "{error}");
    assert!(build(HttpClient::new().insecure_plain_http("http://login.mesh")).is_ok());
}

#[test]
fn places_that_cannot_be_fetched_are_refused() {
    for (issuer, url, mistakes) in [
        ("https://idp.example.com", "/metadata", 1),
        ("https://idp.example.com", "ftp://idp.example.com/metadata", 1),
        ("https://idp.example.com", "https://a:secret@idp.example.com/metadata", 1),
        ("https://idp.example.com", "https://idp.example.com/metadata#a", 1),
        ("", "https://idp.example.com/metadata", 1),
        (" idp", "metadata", 2),
    ] {
        let error = TrustedIssuer::discover_at(issuer, url).unwrap_err();
        assert_eq!(error.mistakes().count(), mistakes, "{url}: {error}");
        assert!(error.mistakes().all(|error| matches!(error, ConfigError::InvalidUrl { .. })), "{url}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(TrustedIssuer::discover_at("my-issuer", "https://idp.example.com/metadata?p=b2c_1").is_ok());
}
