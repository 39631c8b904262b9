//! A workload that is known by a signed text in a header field.

use std::{ops::Deref, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use integration_tests::{AUDIENCE, Answer, AuditLog, Served, World};
use reqwest::Method;
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity, DelegationContext, DelegationLayer, DenialReason as R, TrustedIssuer,
    clock::Clock as _,
    issuer::{ClaimMapping, KindCheck},
    jwt_svid::{JwtBundles, JwtSvidSource},
    requires,
    revocation::{InMemoryRevocations, Revocation},
    spiffe::SpiffeId,
};
use tower_delegation_testing::{Algorithm, MockIdp, MtlsClient, TestIdentity, TestPki, TokenBuilder};

use crate::site::{Loop, Site, bundle, server};

mod vectors;

const FIELD: &str = "x-jwt-svid";
const WEB: &str = "spiffe://example.org/shop/web";

/// Two signers: one of access tokens, one of the JWT-SVIDs of `example.org`.
struct Signers {
    world: World,
    spire: MockIdp,
    bundles: JwtBundles,
}

impl Deref for Signers {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Signers {
    async fn new() -> Self {
        let world = World::new().await;
        let spire = MockIdp::builder().clock(world.clock.clone()).start().await;
        let signers = Self { world, spire, bundles: JwtBundles::new() };
        signers.publish("example.org");
        signers
    }

    /// The signer's keys become the bundle of `trust_domain`.
    fn publish(&self, trust_domain: &str) {
        self.bundles.set(trust_domain, &bundle_of(&self.spire.jwks(), "jwt-svid")).unwrap();
    }

    fn source(&self) -> JwtSvidSource {
        JwtSvidSource::new(FIELD, self.bundles.clone()).add_audience(AUDIENCE)
    }

    fn guarded(&self) -> Router {
        let identity = ClientIdentity::from_source(self.source());
        router().layer(self.layer().client_identity(identity).allow_anonymous().build().unwrap())
    }

    fn token(&self) -> String {
        self.idp.token().sign()
    }

    /// A JWT-SVID, its claims changed: `null` leaves one out.
    fn svid(&self, claims: Value) -> TokenBuilder {
        self.svid_under(json!({}), claims)
    }

    fn svid_under(&self, header: Value, claims: Value) -> TokenBuilder {
        self.svid_by(Algorithm::Es256, header, claims)
    }

    fn svid_by(&self, algorithm: Algorithm, header: Value, claims: Value) -> TokenBuilder {
        let now = self.clock.now().unix_seconds();
        // Signing makes the key, so that its name is known.
        let _ = self.spire.token().algorithm(algorithm).sign();
        let kid = format!("{}-1", algorithm.as_str().to_ascii_lowercase());
        let header = merged(json!({ "alg": algorithm.as_str(), "kid": kid, "typ": "JWT" }), header);
        let claims = merged(json!({ "sub": WEB, "aud": [AUDIENCE], "exp": now + 300, "iat": now }), claims);
        let token = self.spire.token().algorithm(algorithm);
        token.header_json(header.to_string()).claims_json(claims.to_string())
    }
}

/// As a JSON Merge Patch: `null` removes a member (RFC 7396).
fn merged(base: Value, patch: Value) -> Value {
    let (Value::Object(mut members), Value::Object(patch)) = (base, patch) else { panic!("no objects") };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    Value::Object(members)
}

/// A SPIFFE bundle of the keys of a JWK Set.
fn bundle_of(jwks: &Value, usage: &str) -> String {
    let mut bundle = jwks.clone();
    for key in bundle["keys"].as_array_mut().unwrap() {
        key["use"] = usage.into();
    }
    bundle["spiffe_sequence"] = 1.into();
    bundle.to_string()
}

fn router() -> Router {
    Router::new().route("/", get(whoami)).route("/web", get(web)).route("/open", get(fields))
}

async fn whoami(delegation: DelegationContext, headers: HeaderMap) -> String {
    assert!(!headers.contains_key(FIELD), "nothing behind the layer sees it");
    let workload = delegation.workload().and_then(|workload| workload.spiffe_id());
    let workload = workload.map_or_else(|| "-".to_owned(), ToString::to_string);
    format!("{workload} {}", delegation.sender_constraint().as_str())
}

#[requires(workload = "spiffe://example.org/shop/*")]
async fn web() {}

async fn fields(headers: HeaderMap) -> Json<usize> {
    Json(headers.get_all(FIELD).iter().count())
}

async fn ask(site: &Served, path: &str, token: Option<&str>, svids: &[&str]) -> Answer {
    let mut request = site.request(Method::GET, path);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    for svid in svids {
        request = request.header(FIELD, *svid);
    }
    Answer::of(request).await
}

#[tokio::test]
async fn a_jwt_svid_names_the_workload() {
    let world = Signers::new().await;
    let site = Served::start(world.guarded()).await;
    let token = world.token();
    let (web, stock) =
        (world.svid(json!({})).sign(), world.svid(json!({"sub": "spiffe://example.org/stock"})).sign());
    for _ in 0..2 {
        let answer = ask(&site, "/", Some(&token), &[&web]).await;
        assert_eq!((answer.status, answer.body), (200, format!("{WEB} none")));
        assert_eq!(ask(&site, "/", Some(&token), &[]).await.body, "- none");
        for (svid, status) in [(&[web.as_str()][..], 200), (&[&stock], 403), (&[], 403)] {
            assert_eq!(ask(&site, "/web", Some(&token), svid).await.status, status);
        }
    }
    // Who comes without a token has the field removed too.
    assert_eq!(ask(&site, "/open", None, &[&web]).await.body, "0");
}

#[tokio::test]
async fn what_a_jwt_svid_may_look_like() {
    let world = Signers::new().await;
    let mut accepted = vec![
        ("no typ", world.svid_under(json!({"typ": null}), json!({}))),
        ("typ JOSE", world.svid_under(json!({"typ": "JOSE"}), json!({}))),
        ("aud as text", world.svid(json!({"aud": AUDIENCE}))),
        ("among others", world.svid(json!({"aud": ["other", AUDIENCE]}))),
        ("no iat", world.svid(json!({"iat": null}))),
        ("further claims", world.svid(json!({"jti": "1", "iss": "spire", "x": {"y": [1]}}))),
        ("expired within the leeway", world.svid(json!({"exp": world.clock.now().unix_seconds() - 29}))),
    ];
    use Algorithm::{Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    for algorithm in [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, Es512] {
        accepted.push((algorithm.as_str(), world.svid_by(algorithm, json!({}), json!({}))));
    }
    world.publish("example.org");
    let site = Served::start(world.guarded()).await;
    for (name, svid) in accepted {
        let answer = ask(&site, "/web", Some(&world.token()), &[&svid.sign()]).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
    }
}

/// JWT-SVID-2, JWT-SVID-3, JWT-SVID-6.
#[tokio::test]
async fn refused() {
    let world = Signers::new().await;
    let audit = AuditLog::listen();
    let now = world.clock.now().unix_seconds();
    let header = |header| world.svid_under(header, json!({})).sign();
    let claims = |claims| world.svid(claims).sign();
    let good = claims(json!({}));
    let elsewhere = Signers::new().await;
    let long = "a".repeat(17 * 1024);
    let other = claims(json!({"sub": "spiffe://example.org/shop/admin"}));
    let spliced = {
        let (other, _) = other.rsplit_once('.').unwrap();
        let (_, signature) = good.rsplit_once('.').unwrap();
        format!("{other}.{signature}")
    };
    let edwards = world.svid_by(Algorithm::EdDsa, json!({}), json!({})).sign();
    world.publish("example.org");
    let site = Served::start(world.guarded()).await;
    let cases = [
        ("empty", String::new(), R::SvidMalformed),
        ("no JWT", "spiffe://example.org/shop/web".into(), R::SvidMalformed),
        ("behind a scheme", format!("Bearer {good}"), R::SvidMalformed),
        ("two in one field", format!("{good}, {good}"), R::SvidMalformed),
        ("too long", long, R::SvidMalformed),
        ("a part too many", format!("{good}.AAAA"), R::SvidMalformed),
        ("unsigned", world.svid(json!({})).unsigned().sign(), R::SvidSignatureInvalid),
        ("alg none", header(json!({"alg": "none"})), R::SvidMalformed),
        ("alg HS256", header(json!({"alg": "HS256"})), R::SvidMalformed),
        ("alg EdDSA", edwards, R::SvidMalformed),
        ("alg of another key", header(json!({"alg": "RS256"})), R::SvidKeyUnknown),
        ("typ of an access token", header(json!({"typ": "at+jwt"})), R::SvidMalformed),
        ("typ in small letters", header(json!({"typ": "jwt"})), R::SvidMalformed),
        ("typ is no text", header(json!({"typ": 1})), R::SvidMalformed),
        ("jku", header(json!({"jku": "https://evil.example/jwks"})), R::SvidMalformed),
        ("jwk", header(json!({"jwk": {}})), R::SvidMalformed),
        ("x5c", header(json!({"x5c": []})), R::SvidMalformed),
        ("crit", header(json!({"crit": ["x"], "x": 1})), R::SvidMalformed),
        ("no kid", header(json!({"kid": null})), R::SvidMalformed),
        ("an empty kid", header(json!({"kid": ""})), R::SvidMalformed),
        ("unknown kid", header(json!({"kid": "es256-9"})), R::SvidKeyUnknown),
        ("no sub", claims(json!({"sub": null})), R::SvidMalformed),
        ("sub is no text", claims(json!({"sub": [WEB]})), R::SvidMalformed),
        ("sub is no SPIFFE ID", claims(json!({"sub": "https://example.org/shop/web"})), R::SvidMalformed),
        ("sub is a trust domain", claims(json!({"sub": "spiffe://example.org"})), R::SvidMalformed),
        ("sub with a slash too many", claims(json!({"sub": format!("{WEB}/")})), R::SvidMalformed),
        ("sub in upper case", claims(json!({"sub": "spiffe://Example.org/shop/web"})), R::SvidMalformed),
        (
            "of another trust domain",
            claims(json!({"sub": "spiffe://example.com/shop/web"})),
            R::SvidTrustDomainUnknown,
        ),
        ("no aud", claims(json!({"aud": null})), R::SvidMalformed),
        ("aud is a number", claims(json!({"aud": 1})), R::SvidMalformed),
        ("an empty aud", claims(json!({"aud": []})), R::SvidAudienceMismatch),
        ("for somebody else", claims(json!({"aud": "https://stock.example.com"})), R::SvidAudienceMismatch),
        ("for somebody like us", claims(json!({"aud": format!("{AUDIENCE}/")})), R::SvidAudienceMismatch),
        ("no exp", claims(json!({"exp": null})), R::SvidMalformed),
        ("exp is text", claims(json!({"exp": "9999999999"})), R::SvidMalformed),
        ("expired", claims(json!({"exp": now - 30})), R::SvidExpired),
        ("nbf ahead", claims(json!({"nbf": now + 60})), R::SvidNotYetValid),
        ("nbf is text", claims(json!({"nbf": "0"})), R::SvidMalformed),
        ("iat ahead", claims(json!({"iat": now + 60})), R::SvidNotYetValid),
        ("bound to a key", claims(json!({"cnf": {"jkt": "x"}})), R::SvidMalformed),
        ("with a client", claims(json!({"client_id": "shop-web"})), R::SvidMalformed),
        ("with scopes", claims(json!({"scope": "orders:read"})), R::SvidMalformed),
        ("with an actor", claims(json!({"act": {"sub": "copilot"}})), R::SvidMalformed),
        (
            "a claim twice",
            world.svid(json!({})).claims_json(r#"{"sub":"a","sub":"b"}"#).sign(),
            R::SvidMalformed,
        ),
        ("no claims", world.svid(json!({})).claims_json("[]").sign(), R::SvidMalformed),
        ("another payload", spliced, R::SvidSignatureInvalid),
        ("another signature", world.svid(json!({})).tamper_signature().sign(), R::SvidSignatureInvalid),
        (
            "a key of somebody else",
            world.svid(json!({})).sign_with_other_key().sign(),
            R::SvidSignatureInvalid,
        ),
        ("of another signer", elsewhere.svid(json!({})).sign(), R::SvidSignatureInvalid),
    ];
    for (name, svid, reason) in &cases {
        // Neither with a good token nor without one.
        for token in [Some(world.token()), None] {
            let answer = ask(&site, "/open", token.as_deref(), &[svid]).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "jwt_svid_refused"), "{name}");
            assert!(answer.challenges.is_empty(), "{name}: nothing is said of the access token");
            assert_eq!(audit.one().field("reason"), reason.code(), "{name}");
        }
    }
    let answer = ask(&site, "/open", Some(&world.token()), &[&good, &good]).await;
    assert_eq!((answer.status, audit.one().field("reason")), (403, "svid_malformed"), "two fields");
    assert_eq!(ask(&site, "/open", None, &[&good]).await.status, 200);
}

/// JWT-SVID-6: the two are never taken for each other, whoever is trusted for what.
#[tokio::test]
async fn an_access_token_is_no_jwt_svid_nor_the_other_way_round() {
    let world = Signers::new().await;
    let audit = AuditLog::listen();
    // One signer, trusted for everything, with tokens whose `typ` does not tell.
    let issuer = || TrustedIssuer::discover(world.spire.issuer()).unwrap().add_audience(AUDIENCE);
    let generic = issuer().accept_generic_type(KindCheck::not_an_id_token());
    let kubernetes = issuer().claim_mapping(ClaimMapping::kubernetes_service_account());
    let iss = world.spire.issuer();
    let svid = world.svid(json!({"iss": iss, "jti": "1"}));
    let shaped = world.spire.token().subject(WEB).audience(AUDIENCE).typ("JWT");
    let access = world.spire.token().subject(WEB).audience(AUDIENCE);
    for (name, issuer) in [("generic", generic), ("RFC 9068", issuer()), ("Kubernetes", kubernetes)] {
        let layer = DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone());
        let identity = ClientIdentity::from_source(world.source());
        let site = Served::start(router().layer(layer.client_identity(identity).build().unwrap())).await;
        let reason = if name == "RFC 9068" { R::TypeNotAccepted } else { R::NotAnAccessToken };
        for token in
            [svid.clone(), shaped.clone(), world.svid(json!({"iss": iss, "client_id": "web", "jti": "1"}))]
        {
            let answer = ask(&site, "/", Some(&token.sign()), &[]).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"), "{name}");
            assert_eq!(audit.one().field("reason"), reason.code(), "{name}");
        }
        let answer = ask(&site, "/", None, &[&svid.clone().sign()]).await;
        assert_eq!((answer.status, audit.one().field("reason")), (401, "credentials_missing"), "{name}");

        for (kind, token) in [
            ("by its typ", access.clone()),
            ("by its claims", shaped.clone()),
            ("of another subject", world.spire.token().typ("JWT").audience(AUDIENCE)),
        ] {
            let answer = ask(&site, "/", None, &[&token.sign()]).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "jwt_svid_refused"), "{name} {kind}");
            assert_eq!(audit.one().field("reason"), "svid_malformed", "{name} {kind}");
        }
    }
    // A key for access tokens verifies no JWT-SVID.
    world.bundles.set("example.org", &bundle_of(&world.spire.jwks(), "sig")).unwrap();
    let site = Served::start(world.guarded()).await;
    assert_eq!(ask(&site, "/open", None, &[&svid.sign()]).await.status, 403);
    assert_eq!(audit.one().field("reason"), "svid_key_unknown");
}

#[tokio::test]
async fn time_is_judged_on_every_request() {
    let world = Signers::new().await;
    let audit = AuditLog::listen();
    let site = Served::start(world.guarded()).await;
    let svid = world.svid(json!({})).sign();
    for (advance, status, reason) in
        [(0, 200, ""), (329, 200, ""), (1, 403, "svid_expired"), (0, 403, "svid_expired")]
    {
        world.clock.advance(Duration::from_secs(advance));
        assert_eq!(ask(&site, "/open", None, &[&svid]).await.status, status, "{advance}");
        assert_eq!(audit.one().field("reason"), reason, "{advance}");
    }
}

#[tokio::test]
async fn a_bundle_that_is_replaced_counts_from_the_next_request_on() {
    let world = Signers::new().await;
    let audit = AuditLog::listen();
    let site = Served::start(world.guarded()).await;
    let svid = world.svid(json!({})).sign();
    let judge = async || {
        let answer = ask(&site, "/open", None, &[&svid]).await;
        (answer.status, audit.one().field("reason").to_owned())
    };
    let accepted = (200, String::new());
    let refused = |reason: R| (403, reason.code().to_owned());
    assert_eq!(judge().await, accepted);

    world.publish("example.org");
    assert_eq!(judge().await, accepted, "the same keys again");
    world.bundles.set("example.org", r#"{"keys":[]}"#).unwrap();
    assert_eq!(judge().await, refused(R::SvidKeyUnknown));
    world.publish("example.org");
    assert_eq!(judge().await, accepted);
    world.bundles.set("example.org", "no bundle").unwrap_err();
    assert_eq!(judge().await, accepted, "the bundle of before");

    // The same key, published by another trust domain.
    world.publish("example.com");
    world.bundles.remove("example.org");
    assert_eq!(judge().await, refused(R::SvidTrustDomainUnknown));
    world.bundles.remove("example.com");
    let answer = ask(&site, "/open", None, &[&svid]).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "temporarily_unavailable"),
        "no bundle at all is our fault"
    );
    assert_eq!(audit.one().field("reason"), "svid_bundles_missing");
}

#[tokio::test]
async fn a_revoked_workload_is_refused() {
    let world = Signers::new().await;
    let audit = AuditLog::listen();
    let revocations = InMemoryRevocations::new().clock(world.clock.clone());
    let identity = ClientIdentity::from_source(world.source());
    let layer = world.layer().client_identity(identity).revocations(revocations.clone());
    let site = Served::start(router().layer(layer.build().unwrap())).await;
    let (token, svid) = (world.token(), world.svid(json!({})).sign());
    assert_eq!(ask(&site, "/", Some(&token), &[&svid]).await.status, 200);
    revocations.revoke(Revocation::workload(SpiffeId::new(WEB).unwrap())).unwrap();
    let _ = audit.take();
    let answer = ask(&site, "/", Some(&token), &[&svid]).await;
    assert_eq!((answer.status, audit.one().field("reason")), (401, "workload_revoked"));
    assert_eq!(ask(&site, "/", Some(&token), &[]).await.status, 200, "the token itself is good");
}

#[tokio::test]
async fn tls_and_jwt_svids_go_together() {
    let (world, pki) = (Signers::new().await, TestPki::new());
    let audit = AuditLog::listen();
    let tls_first = ClientIdentity::from_tls().or(world.source());
    let svid_first = ClientIdentity::from_source(world.source()).or(ClientIdentity::from_tls());
    let start = async |identity: ClientIdentity| {
        let more = router().layer(world.layer().client_identity(identity).build().unwrap());
        let config = server(&pki).accept_client_certificates(bundle(&pki));
        Site::start_with(Loop::Ours, config, |listener| listener, more).await
    };
    let (tls_first, svid_first) = (start(tls_first).await, start(svid_first).await);
    let proxy = pki.workload("/proxy").issue();
    // Certificates that name no workload: without any name, or with nothing behind the name.
    let (unnamed, of_clients) =
        (pki.certificate().issue(), pki.workload("/shop/admin").for_clients_only().issue());
    let client = |identity| MtlsClient::new(&pki).identity(identity).build();
    let (unnamed_client, of_clients_client) = (client(&unnamed), client(&of_clients));
    let (known, unknown) = (MtlsClient::new(&pki).identity(&proxy).build(), MtlsClient::new(&pki).build());
    let (svid, token) = (world.svid(json!({})).sign(), world.token());
    // A JWT-SVID is a bearer text: it holds no token that is bound to a certificate.
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &proxy.chain_der()[0]));
    let bound = world.idp.token().claim("cnf", json!({ "x5t#S256": thumbprint })).sign();
    for (name, site, client, status) in [
        ("certificate, TLS first", &tls_first, &known, 200),
        ("certificate, JWT-SVID first", &svid_first, &known, 401),
        ("no certificate", &tls_first, &unknown, 401),
    ] {
        let request = client.get(site.url("/")).bearer_auth(&bound).header(FIELD, &svid);
        assert_eq!(Answer::of(request).await.status, status, "{name}");
        let reason = if status == 200 { "" } else { R::CertificateMissing.code() };
        assert_eq!(audit.one().field("reason"), reason, "{name}");
    }
    let bound_to = |identity: &TestIdentity| {
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &identity.chain_der()[0]));
        world.idp.token().claim("cnf", json!({ "x5t#S256": thumbprint })).sign()
    };
    // It holds its tokens all the same, and the JWT-SVID says which workload it is.
    for (name, site, client, token, status) in [
        ("unnamed, TLS first", &tls_first, &unnamed_client, bound_to(&unnamed), 200),
        ("unnamed, JWT-SVID first", &svid_first, &unnamed_client, bound_to(&unnamed), 200),
        ("of clients, TLS first", &tls_first, &of_clients_client, bound_to(&of_clients), 200),
        ("the token of another", &tls_first, &unnamed_client, bound_to(&proxy), 401),
        ("the token of another, JWT-SVID first", &svid_first, &unnamed_client, bound_to(&proxy), 401),
    ] {
        let answer = Answer::of(client.get(site.url("/web")).bearer_auth(&token).header(FIELD, &svid)).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        // Without a JWT-SVID it names no workload.
        let answer = Answer::of(client.get(site.url("/web")).bearer_auth(&token)).await;
        assert_ne!(answer.status, 200, "{name}");
    }
    let _ = audit.take();
    let of_proxy = "spiffe://example.org/proxy none";
    let of_web = "spiffe://example.org/shop/web none";
    for (name, site, client, svid, expected) in [
        ("both, TLS first", &tls_first, &known, Some(svid.as_str()), Ok(of_proxy)),
        ("both, JWT-SVID first", &svid_first, &known, Some(&svid), Ok(of_web)),
        ("unnamed, TLS first", &tls_first, &unnamed_client, Some(&svid), Ok(of_web)),
        ("unnamed, JWT-SVID first", &svid_first, &unnamed_client, Some(&svid), Ok(of_web)),
        ("of clients, TLS first", &tls_first, &of_clients_client, Some(&svid), Ok(of_web)),
        ("unnamed alone", &tls_first, &unnamed_client, None, Ok("- none")),
        ("unnamed, malformed JWT-SVID", &tls_first, &unnamed_client, Some("x"), Err("svid_malformed")),
        ("TLS alone", &tls_first, &known, None, Ok(of_proxy)),
        ("TLS alone, in the second place", &svid_first, &known, None, Ok(of_proxy)),
        ("JWT-SVID alone", &svid_first, &unknown, Some(&svid), Ok(of_web)),
        ("JWT-SVID alone, in the second place", &tls_first, &unknown, Some(&svid), Ok(of_web)),
        ("neither", &tls_first, &unknown, None, Ok("- none")),
        ("TLS, malformed JWT-SVID", &tls_first, &known, Some("x"), Err("svid_malformed")),
        ("malformed JWT-SVID, TLS", &svid_first, &known, Some("x"), Err("svid_malformed")),
    ] {
        let mut request = client.get(site.url("/")).bearer_auth(&token);
        if let Some(svid) = svid {
            request = request.header(FIELD, svid);
        }
        let answer = Answer::of(request).await;
        let event = audit.one();
        let seen = if answer.status == 200 { Ok(answer.body.as_str()) } else { Err(event.field("reason")) };
        assert_eq!(seen, expected, "{name}");
    }
}
