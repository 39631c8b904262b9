//! How this service proves who it is at the authorization server.

use std::time::Duration;

use integration_tests::{AuditLog, World};
use tower_delegation::{
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, SigningKey},
    http_client::HttpClient,
    jwks::SignatureAlgorithm,
    material::Material,
};
use tower_delegation_testing::{ClientAuthMethod, ClientKey, MockClient, TestIdentity, TestPki};

use crate::shop::{ORDERS, Shop, terms};

const ID: &str = "spiffe://example.org/ns/shop/sa/orders";

/// The reason in the event of the one exchange.
fn reason(heard: &AuditLog) -> String {
    let events = heard.take();
    let exchange = events.iter().find(|event| event.field("downstream") == "stock");
    exchange.map(|event| event.field("reason").to_owned()).unwrap_or_default()
}

fn signing(key: &ClientKey) -> SigningKey {
    let signing = SigningKey::from_pem(key.private_key_pem(), SignatureAlgorithm::Es256);
    signing.unwrap().key_id(key.key_id())
}

fn presenting(pki: &TestPki, identity: &TestIdentity) -> HttpClient {
    HttpClient::new()
        .add_root_certificates(pki.bundle_pem())
        .client_certificate(identity.chain_pem(), identity.key_pem())
}

async fn outcome(shop: &Shop) -> (u16, String) {
    let heard = AuditLog::listen();
    let status = shop.call(&shop.token().sign()).await.status;
    (status, reason(&heard))
}

#[tokio::test]
async fn a_secret_is_taken_where_it_is_registered() {
    use ClientAuthMethod as M;
    let (basic, post) = (ClientAuthentication::secret_basic, ClientAuthentication::secret_post);
    for (name, client, authentication, method) in [
        ("basic", MockClient::new(ORDERS).secret_basic("s:/ ü"), basic("s:/ ü"), Some(M::ClientSecretBasic)),
        ("post", MockClient::new(ORDERS).secret_post("s:/ ü"), post("s:/ ü"), Some(M::ClientSecretPost)),
        ("by post in place of basic", MockClient::new(ORDERS).secret_basic("s"), post("s"), None),
        ("by basic in place of post", MockClient::new(ORDERS).secret_post("s"), basic("s"), None),
        ("another secret", MockClient::new(ORDERS).secret_post("s"), post("t"), None),
        ("another client", MockClient::new("stock").secret_post("s"), post("s"), None),
    ] {
        let world = World::new().await;
        world.idp.register(client);
        let shop = Shop::of_client(world, authentication, HttpClient::new(), |stock| stock).await;
        let found = outcome(&shop).await;
        let request = shop.world.idp.last_token_request().unwrap();
        assert_eq!(request.client_auth_method(), method, "{name}");
        assert_eq!(
            request.headers().contains_key("authorization"),
            name.contains("basic") && !name.contains("by post")
        );
        match method {
            Some(_) => assert_eq!(found, (200, String::new()), "{name}"),
            None => assert_eq!(
                found,
                (500, "exchange_misconfigured".to_owned()),
                "{name}: ours, not the caller's"
            ),
        }
    }
}

#[tokio::test]
async fn an_assertion_is_signed_for_the_server_and_good_once() {
    let world = World::new().await;
    let key = ClientKey::generate();
    world.idp.register(MockClient::new(ORDERS).private_key_jwt(&key));
    let client = ClientAuthentication::private_key_jwt(signing(&key));
    let shop = Shop::of_client(world, client, HttpClient::new(), |stock| stock).await;
    for _ in 0..2 {
        assert_eq!(outcome(&shop).await.0, 200, "7523-2.2-1: a new jti each time");
    }
    let requests = shop.world.idp.token_requests();
    assert!(
        requests.iter().all(|request| request.client_auth_method() == Some(ClientAuthMethod::PrivateKeyJwt))
    );
    // A thief sends what was sent.
    let parameters =
        ["grant_type", "subject_token", "subject_token_type", "client_assertion_type", "client_assertion"];
    let sent = &requests[0];
    let form: Vec<_> = parameters.iter().map(|name| (*name, sent.parameter(name).unwrap())).collect();
    let http = reqwest::Client::default();
    let again = http.post(shop.world.idp.token_endpoint()).form(&form).send().await.unwrap();
    assert_eq!(again.status(), 401, "7523-2.2-1: a jti that was used");
    assert_eq!(shop.world.idp.last_token_request().unwrap().error(), Some("invalid_client"));
    assert_ne!(sent.parameter("client_assertion"), requests[1].parameter("client_assertion"));
}

#[tokio::test]
async fn an_assertion_that_is_not_for_the_server_or_not_the_clients_is_our_mistake() {
    let (key, other) = (ClientKey::generate(), ClientKey::generate());
    let named = |signer: &ClientKey, key_id: &str| {
        let signing = SigningKey::from_pem(signer.private_key_pem(), SignatureAlgorithm::Es256).unwrap();
        ClientAuthentication::private_key_jwt(signing.key_id(key_id))
    };
    for (name, audience, authentication, status) in [
        ("control", None, named(&key, key.key_id()), 200),
        ("7523-3-1: another aud", Some("https://another.example.com"), named(&key, key.key_id()), 500),
        ("another key", None, named(&other, key.key_id()), 500),
        ("a key that is not registered", None, named(&other, other.key_id()), 500),
    ] {
        let world = World::new().await;
        world.idp.register(MockClient::new(ORDERS).private_key_jwt(&key));
        let issuer = audience.unwrap_or(world.idp.issuer());
        let server = AuthorizationServer::with_token_endpoint(issuer, &world.idp.token_endpoint()).unwrap();
        let acts_as = world.idp.issuer().to_owned();
        let server = server.client(ORDERS, authentication);
        let shop = Shop::of_server(world, server, |stock| stock.acts_as(acts_as, ORDERS)).await;
        let (found, reason) = outcome(&shop).await;
        assert_eq!(found, status, "{name}");
        assert_eq!(reason, if status == 200 { "" } else { "exchange_misconfigured" }, "{name}");
    }
}

#[tokio::test]
async fn a_jwt_svid_is_the_assertion_of_a_workload() {
    let minute = Duration::from_secs(60);
    let world = World::new().await;
    let key = ClientKey::generate().clock(world.clock.clone());
    let other = ClientKey::generate().clock(world.clock.clone());
    world.idp.trust_spiffe_keys("example.org", &key.jwks());
    world.idp.register(MockClient::new(ORDERS).spiffe_jwt(ID));
    let issuer = world.idp.issuer().to_owned();
    let svid = || key.jwt_svid(ID, &issuer);
    let rows = [
        ("JWT-SVID-3: control", svid().sign(), None),
        (
            "of another workload",
            key.jwt_svid("spiffe://example.org/ns/shop/sa/web", &issuer).sign(),
            Some(500),
        ),
        (
            "of another trust domain",
            key.jwt_svid("spiffe://example.com/ns/shop/sa/orders", &issuer).sign(),
            Some(500),
        ),
        ("for another audience", key.jwt_svid(ID, "https://stock.example.com").sign(), Some(500)),
        (
            "for a second audience",
            svid().claim("aud", vec![&issuer, "https://b.example.com"]).sign(),
            Some(500),
        ),
        ("by another key", svid().sign_with(&other).sign(), Some(500)),
        ("it has ended", svid().expires_in(Duration::ZERO).sign(), Some(500)),
        ("it lives for long", svid().expires_in(11 * minute).sign(), Some(500)),
        ("an empty file", String::new(), Some(500)),
        ("the line break of a file", format!("{}\n", svid().sign()), None),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("svid");
    std::fs::write(&file, "").unwrap();
    let client = ClientAuthentication::jwt_svid(Material::file(&file));
    let shop = Shop::of_client(world, client, HttpClient::new(), |stock| stock).await;
    for (name, svid, refused) in rows {
        // An agent replaces the file.
        std::fs::write(&file, svid).unwrap();
        let (status, reason) = outcome(&shop).await;
        assert_eq!(status, refused.unwrap_or(200), "{name}: {reason}");
        if refused.is_none() {
            let request = shop.world.idp.last_token_request().unwrap();
            assert_eq!(request.client_auth_method(), Some(ClientAuthMethod::SpiffeJwt), "{name}");
        }
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(outcome(&shop).await, (500, "exchange_misconfigured".to_owned()), "no file");
}

#[tokio::test]
async fn a_certificate_is_the_proof() {
    use ClientAuthMethod as M;
    let pki = TestPki::new();
    let (own, other) = (pki.workload("/ns/shop/sa/orders").issue(), pki.workload("/ns/shop/sa/web").issue());
    let self_signed = pki.certificate().dns_name("orders").self_signed().issue();
    let named = MockClient::new(ORDERS).certificate_uri(ID);
    let by_name = MockClient::new(ORDERS).certificate_dns_name("orders");
    let registered = MockClient::new(ORDERS).self_signed_certificate(self_signed.certificate_der());
    for (name, any, client, identity, expected) in [
        ("8705-2.1-1: by its name", false, &named, &own, Ok(M::TlsClientAuth)),
        ("another name", false, &named, &other, Err("exchange_misconfigured")),
        ("8705-2.1-1: it chains to nothing", false, &by_name, &self_signed, Err("exchange_unavailable")),
        ("8705-2.2: itself", true, &registered, &self_signed, Ok(M::SelfSignedTlsClientAuth)),
        ("8705-2.2: another", true, &registered, &own, Err("exchange_misconfigured")),
        ("a name that no authority vouches for", true, &by_name, &self_signed, Err("exchange_misconfigured")),
    ] {
        let world =
            World::with(|idp| if any { idp.mtls_any_certificate(&pki) } else { idp.mtls(&pki) }).await;
        world.idp.register(client.clone());
        let mutual_tls = ClientAuthentication::mutual_tls();
        let http_client = presenting(&pki, identity);
        let shop = Shop::of_client(world, mutual_tls, http_client, Downstream::certificate_bound).await;
        let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
        let found = shop.exchange.on_behalf_of(&context).token().await;
        assert_eq!(found.err().map(|error| error.reason().code()), expected.err(), "{name}");
        let request = shop.world.idp.last_token_request();
        if let Ok(method) = expected {
            let request = request.unwrap();
            assert_eq!(request.client_auth_method(), Some(method), "8705-3.4/5-1: over mTLS: {name}");
            assert_eq!(request.parameter("client_id"), Some(ORDERS), "8705-2.1-1: {name}");
            assert_eq!(request.parameter("client_secret"), None, "{name}");
        }
    }
}

#[tokio::test]
async fn a_server_without_an_alias_is_asked_at_its_one_endpoint() {
    let pki = TestPki::new();
    let world = World::with(|idp| idp.mtls(&pki)).await;
    let own = pki.workload("/ns/shop/sa/orders").issue();
    world.idp.register(MockClient::new(ORDERS).certificate_uri(ID));
    // The one endpoint is the one over mTLS, as where the whole server asks for certificates.
    let endpoint = world.idp.mtls_token_endpoint().unwrap();
    let issuer = world.idp.issuer().to_owned();
    for (name, server, is_good) in [
        (
            "named by the configuration",
            AuthorizationServer::with_token_endpoint(&issuer, &endpoint).unwrap(),
            true,
        ),
        ("by the metadata", AuthorizationServer::discover(&issuer).unwrap(), true),
        ("without a certificate there", AuthorizationServer::discover(&issuer).unwrap(), false),
    ] {
        world.idp.remove_metadata("mtls_endpoint_aliases");
        match is_good {
            true => world.idp.set_metadata("token_endpoint", endpoint.clone()),
            false => world.idp.set_metadata("token_endpoint", world.idp.token_endpoint()),
        }
        let server = server.client(ORDERS, ClientAuthentication::mutual_tls());
        let server = server.http_client(presenting(&pki, &own));
        let downstream = Downstream::new("stock", "https://stock.example.com", server)
            .require(tower_delegation::Requirement::named("calls stock"))
            .add_scopes(["stock:read"])
            .certificate_bound()
            .reads(terms(&world));
        let layer = world.layer().build().unwrap();
        let exchange = layer.exchange(downstream).unwrap();
        let token = world.token().scopes(["stock:read"]).sign();
        let context = layer.authenticator().verify(&token).await.unwrap();
        let found = exchange.on_behalf_of(&context).token().await;
        assert_eq!(found.is_ok(), is_good, "{name}: {:?}", found.err());
    }
}
