//! Tokens that are bound to a key of the exchange (RFC 9449), or to its certificate (RFC 8705).

use axum::{Router, extract::Request, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Response;
use integration_tests::{AUDIENCE, AuditLog, Site, World};
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity, DelegationContext, DelegationLayer, Requirement, TrustedIssuer,
    clock::Clock as _,
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, Exchange},
    http_client::HttpClient,
    material::Material,
    proof::DpopNonces,
};
use tower_delegation_rustls::Pem;
use tower_delegation_testing::{
    DpopKey, Endpoint, ExchangeFault, MockClient, TestIdentity, TestPki, TokenBuilder, USER_CLAIM,
};

use crate::shop::{ORDERS, STOCK, Shop, terms};

fn part(jws: &str, index: usize) -> Value {
    let part = URL_SAFE_NO_PAD.decode(jws.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&part).unwrap()
}

/// The proofs of all token requests.
fn proofs(shop: &Shop) -> Vec<String> {
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let requests = shop.world.idp.token_requests();
    requests.iter().flat_map(|request| request.headers().get_all("dpop").iter().map(text)).collect()
}

/// The reason in the event of the one exchange.
fn reason(heard: &AuditLog) -> String {
    let events = heard.take();
    let exchange = events.iter().find(|event| event.field("downstream") == "stock");
    exchange.map(|event| event.field("reason").to_owned()).unwrap_or_default()
}

/// What the provider would have issued for alice, to be changed.
fn granted(world: &World) -> TokenBuilder {
    let token = world.idp.token().user("alice").client(ORDERS).audience(STOCK).scopes(["stock:read"]);
    token.claim("act", json!({ "sub": ORDERS }))
}

fn answer(token_type: &str, token: TokenBuilder) -> Response<String> {
    let body = json!({
        "access_token": token.sign(),
        "token_type": token_type,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "expires_in": 60,
    });
    Response::builder().header("content-type", "application/json").body(body.to_string()).unwrap()
}

#[tokio::test]
async fn a_token_is_bound_to_a_key_of_the_exchange() {
    let shop = Shop::with(|layer| layer, Downstream::dpop_bound).await;
    let token = shop.token().sign();
    for _ in 0..2 {
        let seen = shop.seen(&token).await;
        assert_eq!(seen["sender_constraint"], "dpop", "9449-7.1-1: a proof of its own for each request");
        assert_eq!(seen["sub"], "alice");
    }
    shop.seen(&shop.token().sign()).await;
    let proofs = proofs(&shop);
    assert_eq!(proofs.len(), 2, "one for each token request");
    for proof in &proofs {
        let (header, claims) = (part(proof, 0), part(proof, 1));
        assert_eq!(header["typ"], "dpop+jwt", "9449-4.3-4");
        assert_eq!(header["alg"], "ES256", "9449-4.3-5");
        assert_eq!(header["jwk"]["d"], Value::Null, "9449-4.3-7");
        assert_eq!(claims["htm"], "POST", "9449-4.3-8");
        assert_eq!(claims["htu"], shop.world.idp.token_endpoint(), "9449-4.3-9");
        assert_eq!(claims["iat"], shop.world.clock.now().unix_seconds(), "9449-4.3-11");
        assert_eq!((&claims["ath"], &claims["nonce"]), (&Value::Null, &Value::Null));
    }
    let [one, other] = &*proofs else { panic!("{proofs:?}") };
    assert_eq!(part(one, 0)["jwk"], part(other, 0)["jwk"], "one key for one exchange");
    assert_ne!(part(one, 1)["jti"], part(other, 1)["jti"], "9449-4.2-2");
    assert!(part(one, 1)["jti"].as_str().unwrap().len() >= 16, "9449-4.2-2: 96 bits at least");
}

#[tokio::test]
async fn a_proof_is_for_the_request_as_it_is() {
    let shop = Shop::with(|layer| layer, Downstream::dpop_bound).await;
    let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
    let token = shop.exchange.on_behalf_of(&context).token().await.unwrap();
    let url = format!("{}a/b?c=d", shop.exchange.url());
    let mut request = http::Request::put(&url).header("dpop", "another's").body(()).unwrap();
    token.authorize(&mut request).unwrap();
    let fields: Vec<_> = request.headers().get_all("dpop").iter().collect();
    assert_eq!(fields.len(), 1, "9449-4.1-1");
    let claims = part(fields[0].to_str().unwrap(), 1);
    assert_eq!(claims["htm"], "PUT", "9449-4.3-8");
    assert_eq!(claims["htu"], url.split('?').next().unwrap(), "9449-4.3-9");
    let authorization = request.headers()["authorization"].to_str().unwrap();
    let sent = authorization.strip_prefix("DPoP ").unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sent.as_bytes());
    assert_eq!(claims["ath"], URL_SAFE_NO_PAD.encode(hash), "9449-4.3-12a");
    for url in ["http://127.0.0.1:1/", "/items", "https://stock.example.com/"] {
        let mut request = http::Request::get(url).body(()).unwrap();
        assert!(token.authorize(&mut request).unwrap_err().is_wrong_origin(), "{url}");
        assert!(request.headers().is_empty(), "{url}: neither token nor proof");
    }
    let shown = format!("{token:?} {:?} {:?}", shop.exchange, request.headers());
    assert!(!shown.contains("eyJ") && !shown.contains("PRIVATE"), "{shown}");
}

#[tokio::test]
async fn a_token_that_is_bound_otherwise_is_refused() {
    let other = DpopKey::generate();
    let world = World::new().await;
    let identity = world.workload("/ns/shop/sa/orders");
    let certificate = identity.certificate_der();
    let unbound = |downstream: Downstream| downstream;
    let bound = Downstream::dpop_bound;
    type Change<'a> = &'a dyn Fn(TokenBuilder) -> TokenBuilder;
    type Setting = fn(Downstream) -> Downstream;
    let rows: &[(&str, Setting, &str, Change<'_>, &str)] = &[
        ("control", unbound, "Bearer", &|token| token, ""),
        ("9449-5: the proof was ignored", bound, "Bearer", &|token| token, "exchange_binding_mismatch"),
        ("said to be bound, and not", bound, "DPoP", &|token| token, "exchange_binding_mismatch"),
        ("to another key", bound, "DPoP", &|token| token.bound_to_key(&other), "exchange_binding_mismatch"),
        (
            "to a certificate in place of the key",
            bound,
            "DPoP",
            &|token| token.bound_to_certificate(certificate),
            "exchange_binding_mismatch",
        ),
        ("no access token", bound, "N_A", &|token| token, "exchange_type_mismatch"),
        (
            "7800-3.1-2: by a method that no one knows",
            bound,
            "DPoP",
            &|token| token.claim("cnf", json!({ "kid": "1" })),
            "exchange_unreadable",
        ),
        (
            "to a key, and none was asked for",
            unbound,
            "Bearer",
            &|token| token.bound_to_key(&other),
            "exchange_binding_mismatch",
        ),
        (
            "to a certificate, and none was asked for",
            unbound,
            "Bearer",
            &|token| token.bound_to_certificate(certificate),
            "exchange_binding_mismatch",
        ),
        ("by DPoP, and none was asked for", unbound, "DPoP", &|token| token, "exchange_type_mismatch"),
    ];
    for (name, setting, token_type, change, expected) in rows {
        let shop = Shop::with(|layer| layer, setting).await;
        let token = change(granted(&shop.world));
        shop.world.idp.answer_with(Endpoint::Token, answer(token_type, token));
        let heard = AuditLog::listen();
        let status = shop.call(&shop.token().sign()).await.status;
        assert_eq!(reason(&heard), *expected, "{name}");
        assert_eq!(status, if expected.is_empty() { 200 } else { 503 }, "{name}");
    }
}

#[tokio::test]
async fn the_fault_of_a_binding_that_is_missing_has_its_reason() {
    let shop = Shop::with(|layer| layer, Downstream::dpop_bound).await;
    shop.world.idp.misissue_next(ExchangeFault::Unbound);
    let heard = AuditLog::listen();
    assert_eq!(shop.call(&shop.token().sign()).await.status, 503);
    assert_eq!(reason(&heard), "exchange_binding_mismatch");
    assert_eq!(shop.call(&shop.token().sign()).await.status, 200, "the control");
}

#[tokio::test]
async fn the_servers_nonce_is_used_and_kept() {
    let shop = Shop::with(|layer| layer, Downstream::dpop_bound).await;
    for (name, demands_another, requests) in [
        ("9449-4.3-10: none is demanded", false, 1),
        ("one is demanded", true, 2),
        ("it is kept for the next", false, 1),
        ("it is replaced", true, 2),
        ("the new one is kept", false, 1),
    ] {
        if demands_another {
            shop.world.idp.require_dpop_nonce();
        }
        let before = shop.exchanges();
        shop.seen(&shop.token().sign()).await;
        assert_eq!(shop.exchanges() - before, requests, "{name}");
    }
    let last = part(proofs(&shop).last().unwrap(), 1);
    assert_eq!(last["nonce"].as_str(), shop.world.idp.dpop_nonce().as_deref());
}

#[tokio::test]
async fn a_server_is_asked_once_more_and_not_again() {
    for (name, nonces, requests) in [
        ("it gives none", &[][..], 1),
        ("it gives two", &["a", "b"], 1),
        ("it gives one that no proof can hold", &["a b"], 1),
        ("it is never content", &["a"], 2),
    ] {
        let shop = Shop::with(|layer| layer, Downstream::dpop_bound).await;
        let mut refusal = Response::builder().status(400).header("content-type", "application/json");
        for nonce in nonces {
            refusal = refusal.header("dpop-nonce", *nonce);
        }
        let body = json!({ "error": "use_dpop_nonce" }).to_string();
        shop.world.idp.answer_with(Endpoint::Token, refusal.body(body).unwrap());
        let heard = AuditLog::listen();
        assert_eq!(shop.call(&shop.token().sign()).await.status, 503, "{name}");
        assert_eq!(reason(&heard), "exchange_refused", "{name}");
        assert_eq!(shop.world.idp.requests(Endpoint::Token), requests, "{name}");
    }
}

#[tokio::test]
async fn an_assertion_is_new_where_the_request_is_repeated() {
    let world = World::new().await;
    let key = tower_delegation_testing::ClientKey::generate();
    world.idp.register(MockClient::new(ORDERS).private_key_jwt(&key).dpop_bound_tokens());
    world.idp.require_dpop_nonce();
    let signing = tower_delegation::exchange::SigningKey::from_pem(
        key.private_key_pem(),
        tower_delegation::jwks::SignatureAlgorithm::Es256,
    );
    let client = ClientAuthentication::private_key_jwt(signing.unwrap().key_id(key.key_id()));
    let shop = Shop::of_client(world, client, HttpClient::new(), Downstream::dpop_bound).await;
    shop.seen(&shop.token().sign()).await;
    assert_eq!(shop.exchanges(), 2, "7523-2.2-1: the first assertion was used up");
}

#[tokio::test]
async fn the_downstreams_nonce_is_used_and_kept() {
    let shop = Shop::of_stock(|dpop| dpop.nonces(DpopNonces::new()), Downstream::dpop_bound).await;
    let heard = AuditLog::listen();
    for (name, refused) in [("9449-9-1: demanded", 1), ("kept", 0)] {
        shop.seen(&shop.token().sign()).await;
        let events = heard.take();
        let found = events.iter().filter(|event| event.field("reason") == "dpop_nonce_missing").count();
        assert_eq!(found, refused, "{name}");
    }
    assert_eq!(proofs(&shop).len(), 2, "9449-9-1: it is not the authorization server's");
    let last = part(proofs(&shop).last().unwrap(), 1);
    assert_eq!(last["nonce"], Value::Null);
}

/// A provider that asks for certificates of the world's PKI.
async fn over_mtls() -> World {
    let pki = TestPki::new();
    let mut world = World::with(|idp| idp.mtls(&pki)).await;
    world.pki = pki;
    world
}

/// A stock over mTLS, and the exchange for it.
struct OverTls {
    world: World,
    layer: DelegationLayer,
    exchange: Exchange,
    stock: Site,
}

impl OverTls {
    async fn new(identity: &TestIdentity, world: World) -> Self {
        let http_client = HttpClient::new()
            .add_root_certificates(world.pki.bundle_pem())
            .client_certificate(identity.chain_pem(), identity.key_pem());
        let server = AuthorizationServer::discover(world.idp.issuer())
            .unwrap()
            .client(ORDERS, ClientAuthentication::mutual_tls())
            .http_client(http_client);
        let issuer = TrustedIssuer::discover(world.idp.issuer()).unwrap().add_audience(STOCK);
        let stock = DelegationLayer::builder()
            .add_issuer(issuer.add_user_claim(USER_CLAIM))
            .client_identity(ClientIdentity::from_tls())
            .clock(world.clock.clone());
        let constraint =
            async |delegation: DelegationContext| delegation.sender_constraint().as_str().to_owned();
        let app = Router::new().route("/", get(constraint)).layer(stock.build().unwrap());
        let bundle = Pem::text(world.pki.bundle_pem());
        let stock = Site::start(world.server().accept_client_certificates(bundle), app).await;
        let layer = world.layer().build().unwrap();
        let downstream = Downstream::new("stock", &stock.base, server)
            .resource(STOCK)
            .require(Requirement::named("calls stock").on_behalf_of_user())
            .add_scopes(["stock:read"])
            .reads(terms(&world))
            .certificate_bound();
        let exchange = layer.exchange(downstream).unwrap();
        Self { world, layer, exchange, stock }
    }

    fn token(&self) -> String {
        self.world.token().audience(AUDIENCE).scopes(["stock:read"]).sign()
    }
}

#[tokio::test]
async fn a_token_is_bound_to_the_certificate_of_the_client() {
    let world = over_mtls().await;
    let (own, other) = (world.workload("/ns/shop/sa/orders"), world.workload("/ns/shop/sa/stranger"));
    let id = "spiffe://example.org/ns/shop/sa/orders";
    world.idp.register(MockClient::new(ORDERS).certificate_uri(id));
    let shop = OverTls::new(&own, world).await;
    let context = shop.layer.authenticator().verify(&shop.token()).await.unwrap();
    let token = shop.exchange.on_behalf_of(&context).token().await.unwrap();
    for (name, identity, status) in
        [("8705-3-2: ours", Some(&own), 200), ("another's", Some(&other), 401), ("none", None, 401)]
    {
        let mut request = Request::get(shop.exchange.url()).body(reqwest::Body::default()).unwrap();
        token.authorize(&mut request).unwrap();
        let answer = shop.world.client(identity).execute(request.try_into().unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
        if status == 200 {
            assert_eq!(answer.text().await.unwrap(), "mutual_tls", "{name}");
        }
    }
    assert_eq!(shop.stock.base, shop.exchange.url().trim_end_matches('/'));
}

#[tokio::test]
async fn a_token_that_is_bound_to_another_certificate_is_refused() {
    let world = over_mtls().await;
    let (own, other) = (world.workload("/ns/shop/sa/orders"), world.workload("/ns/shop/sa/stranger"));
    let shop = OverTls::new(&own, world).await;
    let key = DpopKey::generate();
    type Change<'a> = &'a dyn Fn(TokenBuilder) -> TokenBuilder;
    let rows: &[(&str, Change<'_>, Option<&str>)] = &[
        ("control", &|token| token.bound_to_certificate(own.certificate_der()), None),
        ("unbound", &|token| token, Some("exchange_binding_mismatch")),
        (
            "8705-3-2: another's",
            &|token| token.bound_to_certificate(other.certificate_der()),
            Some("exchange_binding_mismatch"),
        ),
        (
            "7800-3.1-1: to a key too",
            &|token| token.bound_to_certificate(own.certificate_der()).bound_to_key(&key),
            Some("exchange_binding_mismatch"),
        ),
        ("a key's in place of it", &|token| token.bound_to_key(&key), Some("exchange_binding_mismatch")),
    ];
    for (name, change, expected) in rows {
        let token = change(granted(&shop.world));
        shop.world.idp.answer_with(Endpoint::Token, answer("Bearer", token));
        let context = shop.layer.authenticator().verify(&shop.token()).await.unwrap();
        let found = shop.exchange.on_behalf_of(&context).token().await;
        assert_eq!(found.err().map(|error| error.reason().code()), *expected, "{name}");
    }
}

#[tokio::test]
async fn a_token_is_bound_to_both_however_the_client_authenticates() {
    let id = "spiffe://example.org/ns/shop/sa/orders";
    let secret = ClientAuthentication::secret_basic("s");
    let by_certificate = MockClient::new(ORDERS).certificate_uri(id);
    let by_secret = MockClient::new(ORDERS).secret_basic("s").certificate_bound_tokens();
    for (name, client, authentication) in [
        ("by the certificate", by_certificate, ClientAuthentication::mutual_tls()),
        ("8705-3.4/5-1: by a secret, at the alias", by_secret, secret),
    ] {
        let world = over_mtls().await;
        world.idp.register(client);
        let own = world.workload("/ns/shop/sa/orders");
        let http_client = HttpClient::new()
            .add_root_certificates(world.pki.bundle_pem())
            .client_certificate(own.chain_pem(), own.key_pem());
        let both = |stock: Downstream| stock.certificate_bound().dpop_bound();
        let shop = Shop::of_client(world, authentication, http_client, both).await;
        let endpoint = shop.world.idp.mtls_token_endpoint().unwrap();
        for (fault, expected) in
            [(None, None), (Some(ExchangeFault::Unbound), Some("exchange_binding_mismatch"))]
        {
            if let Some(fault) = fault {
                shop.world.idp.misissue_next(fault);
            }
            let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
            let found = shop.exchange.on_behalf_of(&context).token().await;
            assert_eq!(found.err().map(|error| error.reason().code()), expected, "7800-3.1-1: {name}");
            assert_eq!(part(proofs(&shop).last().unwrap(), 1)["htu"], endpoint, "9449-4.3-9: {name}");
        }
    }
}

#[tokio::test]
async fn each_exchange_has_a_key_of_its_own() {
    let shop = Shop::with(|layer| layer, Downstream::dpop_bound).await;
    let server = crate::shop::server(&shop.world);
    let other = Downstream::new("stock", STOCK, server)
        .require(Requirement::named("calls stock"))
        .add_scopes(["stock:read"])
        .reads(terms(&shop.world))
        .dpop_bound();
    let other = shop.layer.exchange(other).unwrap();
    let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
    for exchange in [&shop.exchange, &other] {
        exchange.on_behalf_of(&context).token().await.unwrap();
    }
    let proofs = proofs(&shop);
    let [one, other] = &*proofs else { panic!("{proofs:?}") };
    assert_ne!(part(one, 0)["jwk"], part(other, 0)["jwk"], "8693-c4");
}

#[tokio::test]
async fn a_kept_token_is_not_used_with_another_certificate() {
    let world = over_mtls().await;
    let id = "spiffe://example.org/ns/shop/sa/orders";
    world.idp.register(MockClient::new(ORDERS).certificate_uri(id));
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let write = |identity: &TestIdentity| {
        std::fs::write(&chain, identity.chain_pem()).unwrap();
        std::fs::write(&key, identity.key_pem()).unwrap();
    };
    write(&world.workload("/ns/shop/sa/orders"));
    let http_client = HttpClient::new()
        .add_root_certificates(world.pki.bundle_pem())
        .client_certificate(Material::file(&chain), Material::file(&key));
    let client = ClientAuthentication::mutual_tls();
    let shop = Shop::of_client(world, client, http_client, Downstream::certificate_bound).await;
    let verified = async || shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
    let (one, other) = (verified().await, verified().await);
    for (name, context, exchanges) in [("new", &one, 1), ("kept", &one, 1)] {
        shop.exchange.on_behalf_of(context).token().await.unwrap();
        assert_eq!(shop.exchanges(), exchanges, "{name}");
    }
    write(&shop.world.workload("/ns/shop/sa/orders"));
    for (name, context, exchanges) in
        [("the next exchange sees the new one", &other, 2), ("8705-6.5-1: the kept one is replaced", &one, 3)]
    {
        shop.exchange.on_behalf_of(context).token().await.unwrap();
        assert_eq!(shop.exchanges(), exchanges, "{name}");
    }
}

#[tokio::test]
async fn a_binding_without_its_means_is_a_mistake() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let secret = ClientAuthentication::secret_basic("s");
    for (name, authentication, is_bound, is_mistake) in [
        ("control", secret.clone(), false, false),
        ("bound to no certificate", secret, true, true),
        ("no certificate to authenticate by", ClientAuthentication::mutual_tls(), false, true),
        ("neither", ClientAuthentication::mutual_tls(), true, true),
    ] {
        let server =
            AuthorizationServer::discover(world.idp.issuer()).unwrap().client(ORDERS, authentication);
        let downstream = Downstream::new("stock", STOCK, server)
            .require(Requirement::named("calls stock"))
            .add_scopes(["stock:read"])
            .opaque("a test");
        let downstream = if is_bound { downstream.certificate_bound() } else { downstream };
        let found: Vec<String> = match layer.exchange(downstream) {
            Ok(_) => Vec::new(),
            Err(error) => error.mistakes().map(ToString::to_string).collect(),
        };
        assert_eq!(found.len(), usize::from(is_mistake), "{name}: {found:?}");
        assert!(found.iter().all(|mistake| mistake.contains("client_certificate")), "{name}: {found:?}");
    }
}
