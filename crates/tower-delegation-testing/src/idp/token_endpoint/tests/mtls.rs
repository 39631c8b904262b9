use serde_json::json;

use super::*;
use crate::{ClientAuthMethod, DpopKey, ExchangeFault, MtlsClient, TestIdentity, TestPki, keys::base64url};

struct Site {
    pki: TestPki,
    idp: MockIdp,
}

impl Site {
    async fn start(any_certificate: bool) -> Self {
        let pki = TestPki::new();
        let builder = MockIdp::builder();
        let builder = if any_certificate { builder.mtls_any_certificate(&pki) } else { builder.mtls(&pki) };
        Self { idp: builder.start().await, pki }
    }

    /// Asks for a token over mTLS.
    async fn ask(&self, identity: Option<&TestIdentity>, form: &[(&str, &str)]) -> Option<(u16, Value)> {
        let client = MtlsClient::new(&self.pki);
        let client = identity.into_iter().fold(client, MtlsClient::identity).build();
        let mut all = vec![("grant_type", "client_credentials")];
        all.extend(form);
        let endpoint = self.idp.mtls_token_endpoint().unwrap();
        let answer = client.post(endpoint).form(&all).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.unwrap()))
    }
}

fn thumbprint(identity: &TestIdentity) -> String {
    base64url(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, identity.certificate_der()))
}

const REFUSED: (u16, &str) = (401, "invalid_client");

#[tokio::test]
async fn a_name_in_a_certificate_authenticates() {
    let site = Site::start(false).await;
    let workload = site.pki.workload("/ns/shop/sa/gateway").dns_name("gateway.shop").issue();
    site.idp.register(MockClient::new("by-name").certificate_dns_name("gateway.shop"));
    site.idp.register(MockClient::new("by-uri").certificate_uri("spiffe://example.org/ns/shop/sa/gateway"));
    site.idp.register(MockClient::new("secretive").secret("s"));
    for id in ["by-name", "by-uri"] {
        let (status, answer) = site.ask(Some(&workload), &[("client_id", id)]).await.unwrap();
        assert_eq!(status, 200, "{id}: {answer}");
        assert_eq!(claims(&answer["access_token"])["cnf"], json!({ "x5t#S256": thumbprint(&workload) }));
        assert_eq!(answer["token_type"], "Bearer");
        let seen = site.idp.last_token_request().unwrap();
        assert_eq!(seen.client_auth_method(), Some(ClientAuthMethod::TlsClientAuth));
    }

    let other = site.pki.workload("/ns/shop/sa/stock").dns_name("gateway.shop.example").issue();
    for (name, identity, form, expected) in [
        ("another name", Some(&other), &[("client_id", "by-name")][..], REFUSED),
        ("another URI", Some(&other), &[("client_id", "by-uri")], REFUSED),
        ("no certificate", None, &[("client_id", "by-name")], REFUSED),
        ("no client_id", Some(&workload), &[], REFUSED),
        ("unknown client", Some(&workload), &[("client_id", "nobody")], REFUSED),
        ("a client with another method", Some(&workload), &[("client_id", "secretive")], REFUSED),
    ] {
        let (status, answer) = site.ask(identity, form).await.unwrap();
        assert_eq!((status, answer["error"].as_str().unwrap()), expected, "{name}");
    }
    let stranger = TestPki::new().certificate().dns_name("gateway.shop").issue();
    assert_eq!(site.ask(Some(&stranger), &[("client_id", "by-name")]).await, None, "no handshake");
    // Over plain HTTP there is no certificate.
    let form = [("grant_type", "client_credentials"), ("client_id", "by-name")];
    let answer = http().post(site.idp.token_endpoint()).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn a_registered_certificate_authenticates_and_its_names_do_not() {
    let site = Site::start(true).await;
    let own = site.pki.certificate().dns_name("gateway.shop").self_signed().issue();
    let other = site.pki.certificate().dns_name("gateway.shop").self_signed().issue();
    site.idp.register(MockClient::new("gateway").self_signed_certificate(own.certificate_der()));
    site.idp.register(MockClient::new("by-name").certificate_dns_name("gateway.shop"));
    let (status, answer) = site.ask(Some(&own), &[("client_id", "gateway")]).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(claims(&answer["access_token"])["cnf"]["x5t#S256"], json!(thumbprint(&own)));
    let seen = site.idp.last_token_request().unwrap();
    assert_eq!(seen.client_auth_method(), Some(ClientAuthMethod::SelfSignedTlsClientAuth));
    let chained = site.pki.certificate().dns_name("gateway.shop").issue();
    for (name, identity, id) in [
        ("another certificate", &other, "gateway"),
        ("its name only", &own, "by-name"),
        ("a chain that was not verified", &chained, "by-name"),
    ] {
        let (status, answer) = site.ask(Some(identity), &[("client_id", id)]).await.unwrap();
        assert_eq!((status, answer["error"].as_str().unwrap()), REFUSED, "{name}");
    }
}

#[tokio::test]
async fn other_clients_can_have_bound_tokens_too() {
    let site = Site::start(false).await;
    let workload = site.pki.certificate().issue();
    site.idp.register(MockClient::new("bound").secret("s").certificate_bound_tokens());
    site.idp.register_client("free", "s");
    let form = |id| [("client_id", id), ("client_secret", "s")];
    let (status, answer) = site.ask(Some(&workload), &form("bound")).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(claims(&answer["access_token"])["cnf"]["x5t#S256"], json!(thumbprint(&workload)));
    let (status, answer) = site.ask(None, &form("bound")).await.unwrap();
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")));
    let (_, answer) = site.ask(Some(&workload), &form("free")).await.unwrap();
    assert_eq!(claims(&answer["access_token"]).get("cnf"), None);
}

#[tokio::test]
async fn a_token_can_be_bound_to_a_certificate_and_a_key() {
    let site = Site::start(false).await;
    let workload = site.pki.certificate().dns_name("gateway.shop").issue();
    site.idp.register(MockClient::new("gateway").certificate_dns_name("gateway.shop"));
    let key = DpopKey::generate();
    let user = site.idp.token().sign();
    let client = MtlsClient::new(&site.pki).identity(&workload).build();
    let exchange = async || {
        let endpoint = site.idp.mtls_token_endpoint().unwrap();
        let mut form = exchange_form(&user);
        form.push(("client_id", "gateway"));
        let proof = key.proof("POST", &endpoint).sign();
        let answer = client.post(&endpoint).header("DPoP", proof).form(&form).send().await.unwrap();
        claims(&answer.json::<Value>().await.unwrap()["access_token"])
    };
    let bound = json!({ "x5t#S256": thumbprint(&workload), "jkt": key.thumbprint() });
    assert_eq!(exchange().await["cnf"], bound);
    site.idp.misissue_next(ExchangeFault::Unbound);
    assert_eq!(exchange().await.get("cnf"), None);
}

#[tokio::test]
async fn the_metadata_name_what_goes_over_mtls() {
    let site = Site::start(false).await;
    for issuer in [site.idp.issuer_at("/"), site.idp.issuer_at("/tenant-a")] {
        let metadata = issuer.metadata();
        let endpoint = issuer.mtls_token_endpoint().unwrap();
        assert!(endpoint.starts_with("https://127.0.0.1:"), "{endpoint}");
        assert_eq!(metadata["mtls_endpoint_aliases"], json!({ "token_endpoint": endpoint }));
        assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
        assert_ne!(metadata["token_endpoint"], endpoint);
        let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
        assert!(methods.contains(&json!("tls_client_auth")));
    }
    let plain = MockIdp::start().await;
    assert_eq!(plain.mtls_token_endpoint(), None);
    let metadata = plain.metadata();
    assert_eq!(metadata.get("mtls_endpoint_aliases"), None);
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
    assert!(!methods.contains(&json!("tls_client_auth")) && methods.contains(&json!("private_key_jwt")));
}

#[tokio::test]
async fn a_stopped_provider_closes_both_sockets() {
    let Site { idp, .. } = Site::start(false).await;
    let endpoint = url::Url::parse(&idp.mtls_token_endpoint().unwrap()).unwrap();
    let address = ("127.0.0.1", endpoint.port().unwrap());
    tokio::net::TcpStream::connect(address).await.unwrap();
    idp.stop().await;
    tokio::net::TcpStream::connect(address).await.unwrap_err();
}
