//! Header fields that are read anew for each request.

use std::fs;

use integration_tests::World;
use tower_delegation::{
    TrustedIssuer,
    http_client::{HttpClient, RequestField},
    issuer::ClaimMapping,
    jwks::KeySourceErrorKind,
    material::Material,
};

use crate::{Api, Document, Keys, keys_at};

/// A cluster whose API server has its keys for service accounts only, and a pod's
/// projected token, which the kubelet replaces.
#[tokio::test]
async fn the_keys_of_a_cluster_are_fetched_with_the_token_of_the_moment() {
    let world = World::new().await;
    let jwks = world.idp.jwks().to_string();
    let cluster =
        Keys::default().with("/openid/v1/jwks", Document::For("Bearer first".to_owned(), jwks.clone()));
    let server = cluster.serve().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let issuer = || {
        let keys = keys_at(&world, &format!("{}/openid/v1/jwks", server.origin));
        keys.claim_mapping(ClaimMapping::kubernetes_service_account())
    };
    let account = serde_json::json!({"namespace": "shop", "serviceaccount": {"name": "web"}});
    let token = world.idp.token().subject("system:serviceaccount:shop:web").claim("kubernetes.io", account);
    let token = token.typ("JWT").sign();

    let anonymous = Api::new(&world, issuer(), HttpClient::new()).await;
    assert_eq!(anonymous.status(&token).await, 503);
    assert_eq!(anonymous.last_error(), Some(KeySourceErrorKind::Refused));

    let with_token = || {
        let client = HttpClient::new();
        client.add_field(&server.origin, RequestField::bearer(Material::file(&file)))
    };
    let asked = cluster.paths().len();
    let early = Api::new(&world, issuer(), with_token()).await;
    assert_eq!(early.status(&token).await, 503, "no token, no request");
    assert_eq!(early.last_error(), Some(KeySourceErrorKind::Credential));
    assert_eq!(cluster.paths().len(), asked, "it is not asked for without the field");

    fs::write(&file, "first\n").unwrap();
    let api = Api::new(&world, issuer(), with_token()).await;
    assert_eq!(api.status(&token).await, 200);

    let cluster = cluster.with("/openid/v1/jwks", Document::For("Bearer second".to_owned(), jwks));
    assert!(!api.refreshes().await, "the old token is no longer good");
    fs::write(&file, "second").unwrap();
    assert!(api.refreshes().await, "the new one is read without a restart");
    assert_eq!(cluster.authorizations(), ["Bearer first", "Bearer first", "Bearer second"]);

    let asked = cluster.paths().len();
    for content in ["", "\n", "two\nlines"] {
        fs::write(&file, content).unwrap();
        assert!(!api.refreshes().await, "{content:?}");
    }
    fs::remove_file(&file).unwrap();
    assert!(!api.refreshes().await);
    assert_eq!(api.last_error(), Some(KeySourceErrorKind::Credential));
    assert_eq!(cluster.paths().len(), asked, "nothing was sent");
    assert_eq!(api.status(&token).await, 200, "the keys from before go on");
}

#[tokio::test]
async fn a_credential_goes_to_its_origin_and_to_no_other() {
    let world = World::new().await;
    let elsewhere = Keys::of(&world);
    let other = elsewhere.serve().await;
    let metadata = |jwks_uri: &str| {
        let document = serde_json::json!({"issuer": world.idp.issuer(), "jwks_uri": jwks_uri});
        Document::Open(document.to_string())
    };
    let own = Keys::of(&world).with("/metadata", metadata(&format!("{}/keys", other.origin)));
    let server = own.serve().await;
    let client = || HttpClient::new().add_field(&server.origin, RequestField::bearer("secret"));
    let discovered =
        || TrustedIssuer::discover_at(world.idp.issuer(), &format!("{}/metadata", server.origin)).unwrap();
    let token = world.token().sign();

    let api = Api::new(&world, discovered(), client()).await;
    assert_eq!(api.status(&token).await, 200);
    assert_eq!(own.authorizations(), ["Bearer secret"]);
    assert_eq!((elsewhere.paths().len(), elsewhere.authorizations().len()), (1, 0), "named by the metadata");

    // A redirect is followed neither with the credential nor without.
    let own = own.with("/keys", Document::At(format!("{}/keys", other.origin)));
    let api = Api::new(&world, keys_at(&world, &format!("{}/keys", server.origin)), client()).await;
    assert_eq!(api.status(&token).await, 503);
    assert_eq!(api.last_error(), Some(KeySourceErrorKind::Refused));
    assert_eq!(own.authorizations().len(), 2);
    assert_eq!(elsewhere.paths().len(), 1);

    // The same host at another port is another origin.
    let client = HttpClient::new()
        .add_field(&other.origin, RequestField::new("x-api-key", "secret"))
        .add_field(&other.origin, RequestField::new("user-agent", "orders"));
    let api = Api::new(&world, discovered(), client).await;
    assert_eq!(api.status(&token).await, 200);
    let asked = |keys: &Keys| keys.asked.lock().unwrap().last().unwrap().1.clone();
    assert_eq!(asked(&elsewhere)["x-api-key"], "secret");
    assert!(!asked(&own).contains_key("x-api-key"));
    assert_eq!(asked(&elsewhere)["user-agent"], "orders");
    assert!(asked(&own)["user-agent"].to_str().unwrap().starts_with("tower-delegation/"));
}
