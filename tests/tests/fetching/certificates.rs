//! Private authorities and client certificates.

use std::fs;

use integration_tests::{Site, World};
use tower_delegation::{
    TrustedIssuer, http_client::HttpClient, jwks::KeySourceErrorKind, material::Material,
};
use tower_delegation_rustls::Pem;
use tower_delegation_testing::TestPki;

use crate::{Api, Keys, keys_at};

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_given() {
    let world = World::new().await;
    let site = Site::start(world.server(), Keys::of(&world).router()).await;
    let url = format!("{}/keys", site.base);
    let (own, other) = (world.pki.bundle_pem(), TestPki::new().bundle_pem());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, format!("{other}{own}")).unwrap();
    let new = HttpClient::new;
    for (name, client, status) in [
        ("the platform's alone", new(), 503),
        ("another", new().add_root_certificates(other.as_str()), 503),
        ("another alone", new().add_root_certificates(other.as_str()).only_added_root_certificates(), 503),
        ("in addition", new().add_root_certificates(own.as_str()), 200),
        ("instead", new().add_root_certificates(own.as_str()).only_added_root_certificates(), 200),
        ("from a file, with another", new().add_root_certificates(Material::file(&file)), 200),
    ] {
        let api = Api::new(&world, keys_at(&world, &url), client).await;
        assert_eq!(api.status(&world.token().sign()).await, status, "{name}");
        let error = (status == 503).then_some(KeySourceErrorKind::Tls);
        assert_eq!(api.last_error(), error, "{name}");
    }
}

#[tokio::test]
async fn an_authority_of_one_issuer_is_not_that_of_another() {
    let world = World::new().await;
    let site = Site::start(world.server(), Keys::of(&world).router()).await;
    let issuer = || keys_at(&world, &format!("{}/keys", site.base));
    let trusting = || HttpClient::new().add_root_certificates(world.pki.bundle_pem());
    let token = world.token().sign();
    for (name, issuer, of_layer, status) in [
        ("its own", issuer().http_client(trusting()), HttpClient::new(), 200),
        ("in place of the layer's", issuer().http_client(HttpClient::new()), trusting(), 503),
        ("the layer's", issuer(), trusting(), 200),
    ] {
        let api = Api::new(&world, issuer, of_layer).await;
        assert_eq!(api.status(&token).await, status, "{name}");
    }
    let unused = TrustedIssuer::with_static_keys(world.idp.issuer(), &world.idp.jwks().to_string()).unwrap();
    assert!(Api::build(&world, unused.http_client(trusting()), HttpClient::new()).await.is_err());
    let broken = issuer().http_client(HttpClient::new().add_root_certificates("none"));
    assert!(Api::build(&world, broken, HttpClient::new()).await.is_err());
}

#[tokio::test]
async fn a_server_that_demands_a_client_certificate_gets_the_one_that_is_configured() {
    let world = World::new().await;
    let config = world.server().require_client_certificates(Pem::text(world.pki.bundle_pem()));
    let site = Site::start(config, Keys::of(&world).router()).await;
    let url = format!("{}/keys", site.base);
    let client = || HttpClient::new().add_root_certificates(world.pki.bundle_pem());
    let (good, foreign) = (world.workload("/orders"), TestPki::new().workload("/orders").issue());
    let expired = world.pki.workload("/orders").expired().issue();
    let folder = tempfile::tempdir().unwrap();
    let [der, key_der] = ["tls.der", "key.der"].map(|name| folder.path().join(name));
    fs::write(&der, good.certificate_der()).unwrap();
    fs::write(&key_der, good.key_der()).unwrap();
    for (name, client, status) in [
        ("none", client(), 503),
        ("of another authority", client().client_certificate(foreign.chain_pem(), foreign.key_pem()), 503),
        ("expired", client().client_certificate(expired.chain_pem(), expired.key_pem()), 503),
        ("good", client().client_certificate(good.chain_pem(), good.key_pem()), 200),
        ("in DER", client().client_certificate(Material::file(&der), Material::file(&key_der)), 200),
    ] {
        let api = Api::new(&world, keys_at(&world, &url), client).await;
        assert_eq!(api.status(&world.token().sign()).await, status, "{name}");
        // The server's alert may be overtaken by the end of the connection.
        let error = api.last_error();
        let is_of_tls = matches!(error, Some(KeySourceErrorKind::Tls | KeySourceErrorKind::Unreachable));
        assert_eq!(is_of_tls, status == 503, "{name}: {error:?}");
    }
    // A key of another certificate.
    let mixed = client().client_certificate(good.chain_pem(), foreign.key_pem());
    let error = Api::build(&world, keys_at(&world, &url), mixed).await.err().unwrap();
    assert_eq!(error.code(), "http_client", "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_renewed_in_its_files() {
    let world = World::new().await;
    let config = world.server().require_client_certificates(Pem::text(world.pki.bundle_pem()));
    let site = Site::start(config, Keys::of(&world).router()).await;
    let folder = tempfile::tempdir().unwrap();
    let [chain, key, authority] = ["tls.crt", "tls.key", "ca.crt"].map(|name| folder.path().join(name));
    let (good, foreign) = (world.workload("/orders"), TestPki::new().workload("/orders").issue());
    let write = |identity: &tower_delegation_testing::TestIdentity| {
        fs::write(&chain, identity.chain_pem()).unwrap();
        fs::write(&key, identity.key_pem()).unwrap();
    };
    write(&foreign);
    fs::write(&authority, world.pki.bundle_pem()).unwrap();
    let client = HttpClient::new()
        .add_root_certificates(Material::file(&authority))
        .client_certificate(Material::file(&chain), Material::file(&key));
    let issuer = TrustedIssuer::with_jwks_url(world.idp.issuer(), &format!("{}/keys", site.base)).unwrap();
    let api = Api::new(&world, issuer, client).await;
    assert!(!api.refreshes().await, "of another authority");
    write(&good);
    assert!(api.refreshes().await, "without a restart");
    for (name, file, content) in [
        ("no certificate", &chain, "half of it"),
        ("no key", &key, ""),
        ("the key of another", &key, foreign.key_pem().as_str()),
        ("no authority", &authority, "none"),
    ] {
        let former = fs::read(file).unwrap();
        fs::write(file, content).unwrap();
        assert!(api.refreshes().await, "{name}: those from before stay in use");
        fs::write(file, former).unwrap();
    }
    fs::remove_file(&key).unwrap();
    assert!(api.refreshes().await, "a file that is gone changes nothing");
    write(&foreign);
    assert!(!api.refreshes().await, "what is whole again is used");
    fs::write(&authority, TestPki::new().bundle_pem()).unwrap();
    write(&good);
    assert!(!api.refreshes().await, "the server is no longer trusted");
    assert_eq!(api.last_error(), Some(KeySourceErrorKind::Tls));
}
