//! What can be taken back by a revocation, and what is no revocation at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Extension;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use integration_tests::{AUDIENCE, Answer, Served, World, whoami};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity, DelegationLayer, Requirement, TrustedIssuer,
    clock::{Clock, DEFAULT_LEEWAY, Timestamp},
    credential::{ClientCertHeader, TrustedHop},
    issuer::ClaimMapping,
    revocation::{InMemoryRevocations, Revocation, RevocationErrorKind, RevocationTarget},
    routing::{GuardedRouter, revocation_routes},
    spiffe::SpiffeId,
};
use tower_delegation_testing::{MockIssuer, TestIdentity, TokenBuilder};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);

/// A store by the clock of `world`, and a service that asks it.
async fn serve(world: &World) -> (InMemoryRevocations, Served) {
    let store = InMemoryRevocations::new().clock(world.clock.clone());
    let service = world.serve(world.layer().revocations(store.clone())).await;
    (store, service)
}

/// The same, with the routes of operators.
async fn serve_operators(world: &World, store: &InMemoryRevocations) -> Served {
    let layer = world.layer().revocations(store.clone()).build().unwrap();
    let operators = Requirement::named("operators").scope("revocations:write");
    let routes = revocation_routes(store.clone(), operators).unwrap();
    let routes = GuardedRouter::new().nest("/revocations", routes).behind(layer.clone()).unwrap();
    Served::start(routes.beside("asks for no rule", whoami().layer(layer)).unwrap()).await
}

async fn order(service: &Served, path: &str, token: &str, order: &Value) -> Answer {
    Answer::of(service.request(Method::POST, path).bearer_auth(token).json(order)).await
}

fn operator(world: &World) -> String {
    world.token().subject("olga").client("console").scopes(["revocations:write"]).sign()
}

/// Providers whose mapping reads other claims than the standard ones. A logout
/// token, a ticket or a log names a party by either.
#[tokio::test]
async fn a_revocation_finds_a_party_by_the_raw_claim_and_by_the_mapped_one() {
    const TENANT: &str = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
    let world = World::new().await;
    let entra = world.idp.issuer_at(&format!("/{TENANT}/v2.0"));
    let okta = world.idp.issuer_at("/oauth2/default");
    let keycloak = world.idp.issuer_at("/realms/shop");
    let own = world.idp.issuer_at("/own");
    let of_entra = || {
        let token = entra.token().subject("pairwise-of-ana").typ("JWT").without("client_id").without("scope");
        let token = token.claim("oid", "object-of-ana").claim("azp", "app-1").claim("tid", TENANT);
        token.claim("uti", "uti-1").token_id("jti-1").session("session-9").claim("scp", "Orders.Read")
    };
    let of_okta = || {
        let token = okta.token().subject("ana@example.com").typ("JWT").without("client_id").without("scope");
        token.claim("uid", "00u1").claim("cid", "shop").claim("scp", json!(["orders:read"]))
    };
    let of_keycloak = || {
        let token = keycloak.token().subject("ana").typ("JWT").claim("typ", "Bearer").claim("azp", "shop");
        token.without("client_id").session("session-9").claim("preferred_username", "ana")
    };
    let mapping = ClaimMapping::rfc9068().subject("user").add_subject("upn").token_id("tid");
    let mapping = mapping.session("login").client("app").add_client("azp").allow_differing_clients();
    let mapping = mapping.actor_id("client_id");
    let of_own = || {
        let token = own.token().subject("raw").client("raw-client").token_id("raw-jti").session("raw-sid");
        let token = token.claim("user", "ana").claim("tid", "t-1").claim("login", "s-1").claim("app", "shop");
        let token = token.claim("upn", "ana@example.com").claim("azp", "portal");
        token.claim(
            "act",
            json!({"sub": "raw-bot", "client_id": "bot", "act": {"sub": "raw-relay", "client_id": "relay"}}),
        )
    };
    type Token<'a> = &'a dyn Fn() -> TokenBuilder;
    type Row<'a> = (&'a str, &'a MockIssuer, ClaimMapping, Token<'a>, RevocationTarget, &'a str);
    let target = |issuer: &MockIssuer, kind: &str, id: &str| {
        let order = json!({ "target": kind, "issuer": issuer.issuer(), "id": id });
        serde_json::from_value::<Revocation>(order).unwrap().target().clone()
    };
    let (entra_v2, keycloak_mapping) = (ClaimMapping::entra_v2, ClaimMapping::keycloak);
    let row = |name, issuer, mapping, token, kind, id, code| -> Row<'_> {
        (name, issuer, mapping, token, target(issuer, kind, id), code)
    };
    let rows = [
        row("entra, raw sub", &entra, entra_v2(), &of_entra, "subject", "pairwise-of-ana", "revoked"),
        row("entra, oid", &entra, entra_v2(), &of_entra, "subject", "object-of-ana", "revoked"),
        row("entra, uti", &entra, entra_v2(), &of_entra, "token", "uti-1", "revoked"),
        row("entra, raw jti", &entra, entra_v2(), &of_entra, "token", "jti-1", "revoked"),
        row("entra, sid", &entra, entra_v2(), &of_entra, "session", "session-9", "revoked"),
        row("entra, azp", &entra, entra_v2(), &of_entra, "client", "app-1", "revoked"),
        row("entra, tenant as subject", &entra, entra_v2(), &of_entra, "subject", TENANT, ""),
        row("entra, uti as subject", &entra, entra_v2(), &of_entra, "subject", "uti-1", ""),
        row("entra, sub as client", &entra, entra_v2(), &of_entra, "client", "pairwise-of-ana", ""),
        row("entra, sub as actor", &entra, entra_v2(), &of_entra, "actor", "pairwise-of-ana", ""),
        row("okta, raw sub", &okta, ClaimMapping::okta(), &of_okta, "subject", "ana@example.com", "revoked"),
        row("okta, uid", &okta, ClaimMapping::okta(), &of_okta, "subject", "00u1", "revoked"),
        row("okta, cid", &okta, ClaimMapping::okta(), &of_okta, "client", "shop", "revoked"),
        row("okta, another user", &okta, ClaimMapping::okta(), &of_okta, "subject", "ana@example.org", ""),
        row("keycloak, sub", &keycloak, keycloak_mapping(), &of_keycloak, "subject", "ana", "revoked"),
        row("keycloak, sid", &keycloak, keycloak_mapping(), &of_keycloak, "session", "session-9", "revoked"),
        row("own, raw sub", &own, mapping.clone(), &of_own, "subject", "raw", "revoked"),
        row("own, subject", &own, mapping.clone(), &of_own, "subject", "ana", "revoked"),
        row("own, raw jti", &own, mapping.clone(), &of_own, "token", "raw-jti", "revoked"),
        row("own, token id", &own, mapping.clone(), &of_own, "token", "t-1", "revoked"),
        row("own, raw sid", &own, mapping.clone(), &of_own, "session", "raw-sid", "revoked"),
        row("own, session", &own, mapping.clone(), &of_own, "session", "s-1", "revoked"),
        row("own, raw client", &own, mapping.clone(), &of_own, "client", "raw-client", "revoked"),
        row("own, client", &own, mapping.clone(), &of_own, "client", "shop", "revoked"),
        row(
            "own, the claim not read",
            &own,
            mapping.clone(),
            &of_own,
            "subject",
            "ana@example.com",
            "revoked",
        ),
        row("own, the client that lost", &own, mapping.clone(), &of_own, "client", "portal", "revoked"),
        row("own, actor", &own, mapping.clone(), &of_own, "actor", "bot", "revoked"),
        row("own, raw actor", &own, mapping.clone(), &of_own, "actor", "raw-bot", "revoked"),
        row("own, earlier actor", &own, mapping.clone(), &of_own, "actor", "relay", "revoked"),
        row("own, raw earlier actor", &own, mapping.clone(), &of_own, "subject", "raw-relay", "revoked"),
        row("own, actor as client", &own, mapping.clone(), &of_own, "client", "bot", ""),
        row("own, portal as subject", &own, mapping.clone(), &of_own, "subject", "portal", ""),
        row("own, subject as session", &own, mapping.clone(), &of_own, "session", "raw", ""),
        row("own, session as token", &own, mapping, &of_own, "token", "raw-sid", ""),
    ];
    for (name, issuer, mapping, token, target, code) in rows {
        let store = InMemoryRevocations::new().clock(world.clock.clone());
        let trusted = TrustedIssuer::discover(issuer.issuer()).unwrap().add_audience(AUDIENCE);
        let layer = DelegationLayer::builder().clock(world.clock.clone());
        let layer = layer.add_issuer(trusted.claim_mapping(mapping)).revocations(store.clone());
        let service = world.serve(layer).await;
        let token = token().sign();
        let answer = service.get("/", &token).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        store.revoke(Revocation::new(target)).unwrap();
        let expected = if code.is_empty() { 200 } else { 401 };
        assert_eq!(service.get("/", &token).await.status, expected, "{name}");
    }
}

#[tokio::test]
async fn a_revocation_holds_until_it_is_lifted() {
    let world = World::new().await;
    let issuer = world.idp.issuer();
    let token = || world.token().session("session-1").token_id("t-1").actor("bot").sign();
    for (name, revocation) in [
        ("a subject", Revocation::subject(issuer, "alice")),
        ("a client", Revocation::client(issuer, "shop-web")),
        ("a session", Revocation::session(issuer, "session-1")),
        ("an actor", Revocation::actor(issuer, "bot")),
        ("a token", Revocation::token(issuer, "t-1")),
    ] {
        let store = InMemoryRevocations::new().clock(world.clock.clone());
        // Keys that do not age, as the days go by at once.
        let trusted = TrustedIssuer::with_static_keys(issuer, &world.idp.jwks().to_string()).unwrap();
        let layer =
            DelegationLayer::builder().add_issuer(trusted.add_audience(AUDIENCE)).clock(world.clock.clone());
        let service = world.serve(layer.revocations(store.clone())).await;
        store.revoke(revocation.clone()).unwrap();
        for days in [0, 1, 30, 400] {
            world.clock.advance(DAY * days);
            assert_eq!(service.get("/", &token()).await.status, 401, "{name}, {days} days later");
        }
        assert!(store.lift(revocation.target()).unwrap(), "{name}");
        assert_eq!(service.get("/", &token()).await.status, 200, "{name}, lifted");
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_until_its_exp_is_not_revived_by_the_leeway() {
    let world = World::new().await;
    for leeway in [Duration::ZERO, DEFAULT_LEEWAY, Duration::from_secs(300)] {
        let store = InMemoryRevocations::new().clock(world.clock.clone());
        let service = world.serve(world.layer().leeway(leeway).revocations(store.clone())).await;
        let expires_at = world.clock.now().saturating_add(Duration::from_secs(60));
        let token = |id: &str| world.token().token_id(id).expires_at(expires_at).sign();
        let (revoked, other) = (token("t-1"), token("t-2"));
        store.revoke(Revocation::token(world.idp.issuer(), "t-1").until(expires_at)).unwrap();
        let mut alive = 0;
        for step in [0, 59, 1, 29, 1, 240, 29, 1] {
            world.clock.advance(SECOND * step);
            alive += usize::from(service.get("/", &other).await.status == 200);
            assert_eq!(service.get("/", &revoked).await.status, 401, "leeway {leeway:?}");
        }
        assert!(alive >= 2, "the other token lived on: {alive} of 8, leeway {leeway:?}");
        assert_eq!(service.get("/", &other).await.status, 401, "leeway {leeway:?}");
    }
}

#[tokio::test]
async fn issued_before_covers_a_clock_that_is_ahead_and_fractions() {
    let world = World::new().await;
    let (store, service) = serve(&world).await;
    world.clock.advance(Duration::from_millis(900));
    let at = world.clock.now();
    store.revoke(Revocation::subject(world.idp.issuer(), "alice").issued_before(at)).unwrap();
    // Every token is old enough by then, and none has expired.
    world.clock.advance(DEFAULT_LEEWAY * 3);
    let second = at.unix_seconds();
    let leeway = i64::try_from(DEFAULT_LEEWAY.as_secs()).unwrap();
    for (name, issued_at, status) in [
        ("long before", json!(second - 60), 401),
        ("in that second", json!(second), 401),
        ("in that second, with a fraction", json!(format!("{second}.5").parse::<f64>().unwrap()), 401),
        ("a second later", json!(second + 1), 401),
        ("ahead by the leeway", json!(second + leeway), 401),
        ("ahead by a fraction more", json!(format!("{}.9", second + leeway).parse::<f64>().unwrap()), 401),
        ("afterwards", json!(second + leeway + 1), 200),
        ("well afterwards", json!(second + leeway + 2), 200),
    ] {
        let token = world.token().claim("iat", issued_at).claim("exp", second + 3600).sign();
        assert_eq!(service.get("/", &token).await.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_say_when_it_was_issued_counts_as_issued_before() {
    let world = World::new().await;
    let mapping = || ClaimMapping::rfc9068().allow_absent_issued_at();
    let now = world.clock.now();
    let issuer = world.idp.issuer();
    let full = |store: &InMemoryRevocations| {
        store.revoke(Revocation::client(issuer, "one")).unwrap();
        store.revoke(Revocation::client(issuer, "two")).unwrap_err();
    };
    type Take<'a> = &'a dyn Fn(&InMemoryRevocations);
    let rows: [(&str, Take<'_>, u16, u16); 5] = [
        ("nothing", &|_| {}, 200, 200),
        (
            "the subject",
            &|store| store.revoke(Revocation::subject(issuer, "alice").issued_before(now)).unwrap(),
            401,
            200,
        ),
        (
            "another subject",
            &|store| store.revoke(Revocation::subject(issuer, "bob").issued_before(now)).unwrap(),
            200,
            200,
        ),
        ("everything", &|store| store.revoke_everything_issued_before(now).unwrap(), 401, 200),
        ("a full store", &full, 401, 200),
    ];
    for (name, take, without_iat, with_iat) in rows {
        let store = InMemoryRevocations::new().clock(world.clock.clone()).max_entries(1);
        let trusted = TrustedIssuer::with_static_keys(issuer, &world.idp.jwks().to_string()).unwrap();
        let trusted = trusted.add_audience(AUDIENCE).claim_mapping(mapping());
        let layer = DelegationLayer::builder().add_issuer(trusted).clock(world.clock.clone());
        let service = world.serve(layer.revocations(store.clone())).await;
        take(&store);
        world.clock.advance(DAY);
        let fresh = world.token().sign();
        let silent = world.token().without("iat").sign();
        assert_eq!(service.get("/", &silent).await.status, without_iat, "{name}, without iat");
        assert_eq!(service.get("/", &fresh).await.status, with_iat, "{name}, issued afterwards");
    }
}

#[tokio::test]
async fn what_can_have_no_effect_is_an_error_over_http() {
    let world = World::new().await;
    let store = InMemoryRevocations::new().clock(world.clock.clone());
    let service = serve_operators(&world, &store).await;
    let (issuer, now) = (world.idp.issuer().to_owned(), world.clock.now().unix_seconds());
    let (token, operator) = (world.token().sign(), operator(&world));
    let alice = |limit: &str, value: i64| {
        let mut order = json!({ "target": "subject", "issuer": issuer, "id": "alice" });
        order[limit] = json!(value);
        order
    };
    let of = |target: &str, issuer: &str, id: &str| json!({ "target": target, "issuer": issuer, "id": id });
    for (name, problem, body) in [
        ("an end in the past", "until_passed", alice("until", now - 1)),
        ("an end that is now", "until_passed", alice("until", now)),
        ("a duration as the end", "not_a_time", alice("until", 3600)),
        ("a duration of a year as the end", "not_a_time", alice("until", 31_536_000)),
        ("milliseconds as the end", "not_a_time", alice("until", (now + 3600) * 1000)),
        ("a negative end", "not_a_time", alice("until", -3600)),
        ("a limit in the future", "issued_before_ahead", alice("issued_before", now + 3600)),
        ("a limit beyond the longest leeway", "issued_before_ahead", alice("issued_before", now + 301)),
        ("a duration as the limit", "not_a_time", alice("issued_before", 3600)),
        ("milliseconds as the limit", "not_a_time", alice("issued_before", now * 1000)),
        ("an unknown issuer", "issuer_not_trusted", of("subject", "https://elsewhere.example.com", "alice")),
        ("an issuer but for a slash", "issuer_not_trusted", of("token", &format!("{issuer}/"), "t-1")),
        ("an issuer in capitals", "issuer_not_trusted", of("client", &issuer.to_uppercase(), "shop-web")),
        (
            "an issuer without its scheme",
            "issuer_not_trusted",
            of("session", issuer.trim_start_matches("http://"), "session-1"),
        ),
        ("no issuer", "invalid_target", json!({ "target": "subject", "id": "alice" })),
        ("no id", "matches_nothing", of("subject", &issuer, "")),
        ("an id that is too long", "too_long", of("subject", &issuer, &"a".repeat(1025))),
        (
            "a reason that is too long",
            "too_long",
            json!({ "target": "subject", "issuer": issuer, "id": "alice", "reason": "r".repeat(513) }),
        ),
        (
            "a workload where none is known",
            "matches_nothing",
            json!({ "target": "workload", "id": "spiffe://example.org/w" }),
        ),
        ("a trust domain", "matches_nothing", json!({ "target": "workload", "id": "spiffe://example.org" })),
        ("no SPIFFE ID", "invalid_target", json!({ "target": "workload", "id": "shop-web" })),
        (
            "a certificate where none is known",
            "matches_nothing",
            json!({ "target": "certificate", "id": "A".repeat(43) }),
        ),
        ("a short digest", "invalid_target", json!({ "target": "certificate", "id": "A".repeat(42) })),
        ("an unknown target", "unreadable", of("user", &issuer, "alice")),
        ("an unknown member", "unreadable", alice("untill", now + 3600)),
        ("who has revoked", "unreadable", alice("revoked_at", now)),
    ] {
        let answer = order(&service, "/revocations", &operator, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_revocation"), "{name}");
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(told["problem"], problem, "{name}: {told}");
        assert!(
            store.is_empty(),
            "{name}: {:?}",
            store.list(&tower_delegation::revocation::RevocationPage::first(1))
        );
    }
    assert_eq!(service.get("/", &token).await.status, 200);
    let good = of("subject", &issuer, "alice");
    assert_eq!(order(&service, "/revocations", &operator, &good).await.status, 204);
    assert_eq!(service.get("/", &token).await.status, 401);
}

/// A proxy whose key was stolen passes on whatever its holder writes.
#[tokio::test]
async fn a_revoked_proxy_passes_nothing_on() {
    let world = World::new().await;
    let (gateway, other) = (world.pki.workload("/gateway").issue(), world.pki.workload("/spare").issue());
    let client = world.pki.workload("/shop/web").issue();
    let thumbprint = |identity: &TestIdentity| {
        use tower_delegation::credential::{CertificateTrust, PeerCertificate};
        let chain = identity.chain_der();
        *PeerCertificate::from_der(&chain, CertificateTrust::PresentedOnly).unwrap().thumbprint()
    };
    let spiffe = |path: &str| SpiffeId::new(&format!("spiffe://example.org{path}")).unwrap();
    let rows = [
        ("nothing", None, 200, 200),
        ("the proxy by its name", Some(Revocation::workload(spiffe("/gateway"))), 401, 200),
        ("the proxy by its certificate", Some(Revocation::certificate(thumbprint(&gateway))), 401, 200),
        ("the client by its name", Some(Revocation::workload(spiffe("/shop/web"))), 401, 401),
        ("the client by its certificate", Some(Revocation::certificate(thumbprint(&client))), 401, 401),
        ("another workload", Some(Revocation::workload(spiffe("/shop"))), 200, 200),
        ("another certificate", Some(Revocation::certificate([7; 32])), 200, 200),
    ];
    let token = world.token().sign();
    let field = format!(":{}:", STANDARD.encode(&client.chain_der()[0]));
    let ask = async |site: &integration_tests::Site, http: &Client| {
        let request = http.get(format!("{}/", site.base)).bearer_auth(&token).header("client-cert", &field);
        Answer::of(request).await.status
    };
    for (name, revocation, by_gateway, by_spare) in rows {
        let store = InMemoryRevocations::new().clock(world.clock.clone());
        let hops = TrustedHop::spiffe("spiffe://example.org/*").unwrap();
        let identity = ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), hops);
        let layer = world.layer().client_identity(identity).revocations(store.clone());
        let site = world.serve_tls(whoami().layer(layer.build().unwrap())).await;
        if let Some(revocation) = revocation {
            store.revoke(revocation).unwrap();
        }
        assert_eq!(ask(&site, &world.client(Some(&gateway))).await, by_gateway, "{name}");
        assert_eq!(ask(&site, &world.client(Some(&other))).await, by_spare, "{name}, by another proxy");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_204_is_in_force_for_every_request_that_starts_afterwards() {
    const READERS: usize = 8;
    const ROUNDS: usize = 60;
    let world = World::new().await;
    let store = InMemoryRevocations::new().clock(world.clock.clone()).max_entries(ROUNDS);
    let service = Arc::new(serve_operators(&world, &store).await);
    let (operator, issuer) = (operator(&world), world.idp.issuer().to_owned());
    let bystander: Arc<str> = world.token().subject("bystander").sign().into();
    let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (service, bystander) = (service.clone(), bystander.clone());
            let (stop, refused) = (stop.clone(), refused.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if service.get("/", &bystander).await.status != 200 {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for round in 0..ROUNDS {
        let subject = format!("user-{round}");
        let token = world.token().subject(&subject).sign();
        assert_eq!(service.get("/", &token).await.status, 200, "{subject}, verified and cached");
        let body = json!({ "target": "subject", "issuer": issuer, "id": subject });
        assert_eq!(order(&service, "/revocations", &operator, &body).await.status, 204, "{subject}");
        let after = futures_util::future::join_all((0..4).map(|_| service.get("/", &token))).await;
        assert!(after.iter().all(|answer| answer.status == 401), "{subject}");
        if round % 3 == 0 {
            assert_eq!(order(&service, "/revocations/lift", &operator, &body).await.status, 204, "{subject}");
            assert_eq!(service.get("/", &token).await.status, 200, "{subject}, lifted");
        }
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(refused.load(Ordering::Relaxed), 0, "no one else was refused");
}

#[tokio::test]
async fn a_handler_revokes_the_token_of_its_request() {
    use axum::routing::post;
    use tower_delegation::DelegationContext;
    let world = World::new().await;
    let store = InMemoryRevocations::new().clock(world.clock.clone());
    let sign_out = async |Extension(store): Extension<InMemoryRevocations>, delegation: DelegationContext| {
        store.revoke(delegation.token_revocation().reason("signed out")).unwrap();
    };
    let router = whoami().route("/sign-out", post(sign_out)).layer(Extension(store.clone()));
    let layer = world.layer().revocations(store.clone()).build().unwrap();
    let service = Served::start(router.layer(layer)).await;
    let token = |id: &str| world.token().token_id(id).expires_in(Duration::from_secs(60)).sign();
    let (revoked, other) = (token("t-1"), token("t-2"));
    // In the last second in which the leeway lets it live, too.
    let late = token("t-3");
    let ask = async |token: &str| {
        Answer::of(service.request(Method::POST, "/sign-out").bearer_auth(token)).await.status
    };
    assert_eq!(ask(&revoked).await, 200);
    assert_eq!(service.get("/", &revoked).await.status, 401);
    assert_eq!(service.get("/", &other).await.status, 200);
    world.clock.advance(Duration::from_secs(89));
    assert_eq!(ask(&late).await, 200);
    for (name, token, status) in [("revoked", &revoked, 401), ("late", &late, 401), ("other", &other, 200)] {
        assert_eq!(service.get("/", token).await.status, status, "{name}");
    }
    // Once no token can be alive, the entries make room.
    world.clock.advance(Duration::from_secs(3600));
    assert!(store.snapshot().revocations.is_empty());
}

#[tokio::test]
async fn a_moment_for_everything_is_no_duration() {
    let world = World::new().await;
    let (store, service) = serve(&world).await;
    let token = world.token().sign();
    for (name, time, kind) in [
        ("a duration", Timestamp::from_unix_seconds(86_400), RevocationErrorKind::NotATime),
        ("tomorrow", world.clock.now().saturating_add(DAY), RevocationErrorKind::IssuedBeforeAhead),
    ] {
        let error = store.revoke_everything_issued_before(time).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}");
        assert_eq!(service.get("/", &token).await.status, 200, "{name}");
    }
    store.revoke_everything_issued_before(world.clock.now()).unwrap();
    assert_eq!(service.get("/", &token).await.status, 401);
}
