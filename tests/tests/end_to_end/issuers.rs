//! Several issuers, each by itself; the three ways to their keys.

use integration_tests::{AUDIENCE, AuditLog, Served};
use tower_delegation::{
    DelegationLayer, DenialReason as R, TrustedIssuer, issuer::Grants, jwks::SignatureAlgorithm,
};
use tower_delegation_testing::{Algorithm, Endpoint};

use crate::{World, whoami};

#[tokio::test]
async fn issuers_share_nothing() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let (a, b) = (world.idp.issuer_at("/a"), world.idp.issuer_at("/b"));
    let trust = |issuer: &str| TrustedIssuer::discover(issuer).unwrap().may_grant(Grants::all());
    let layer = DelegationLayer::builder()
        .add_issuer(trust(a.issuer()).add_audience("for-a"))
        .add_issuer(trust(b.issuer()).add_audience("for-b").algorithms([SignatureAlgorithm::EdDsa]))
        .clock(world.clock.clone())
        .build()
        .unwrap();
    let service = Served::start(whoami().layer(layer)).await;
    let of_a = || a.token().audience("for-a");
    let of_b = || b.token().audience("for-b").algorithm(Algorithm::EdDsa);
    // Both issuers publish a key under the same `kid`.
    assert_eq!(a.key_ids(), b.key_ids());
    let rows = [
        ("a", of_a(), None),
        ("b", of_b(), None),
        ("a's key, b's name", of_a().issuer(b.issuer()).audience("for-b"), Some(R::AlgorithmNotAllowed)),
        ("b's key, a's name", b.token().audience("for-a").issuer(a.issuer()), Some(R::SignatureInvalid)),
        ("a's token for b's audience", of_a().audience("for-b"), Some(R::AudienceMismatch)),
        ("b's token for a's audience", of_b().audience("for-a"), Some(R::AudienceMismatch)),
        ("an algorithm that only a may use", b.token().audience("for-b"), Some(R::AlgorithmNotAllowed)),
        ("the provider's root issuer", world.token(), Some(R::IssuerUnknown)),
    ];
    for (name, token, refused) in rows {
        let answer = service.get("/", &token.sign()).await;
        assert_eq!(audit.one().field("reason"), refused.map_or("", R::code), "{name}");
        assert_eq!(answer.status, if refused.is_some() { 401 } else { 200 }, "{name}");
    }
    assert_eq!(world.idp.requests(Endpoint::Jwks), 0, "nobody asked the issuer that is not trusted");
}

#[tokio::test]
async fn keys_come_by_discovery_by_url_or_with_the_configuration() {
    let world = World::new().await;
    let issuer = world.idp.issuer();
    let jwks = world.idp.jwks().to_string();
    let ways = [
        ("discovery", TrustedIssuer::discover(issuer).unwrap()),
        ("URL", TrustedIssuer::with_jwks_url(issuer, &world.idp.jwks_uri()).unwrap()),
        ("static", TrustedIssuer::with_static_keys(issuer, &jwks).unwrap()),
    ];
    for (name, issuer) in ways {
        let (discovered, fetched) =
            (world.idp.requests(Endpoint::Discovery), world.idp.requests(Endpoint::Jwks));
        let layer =
            DelegationLayer::builder().add_issuer(issuer.add_audience(AUDIENCE)).clock(world.clock.clone());
        let service = Served::start(whoami().layer(layer.build().unwrap())).await;
        assert_eq!(
            world.idp.requests(Endpoint::Jwks),
            fetched,
            "{name}: nothing is fetched before a token comes"
        );
        for _ in 0..3 {
            assert_eq!(service.get("/", &world.token().sign()).await.status, 200, "{name}");
        }
        assert_eq!(service.get("/", &world.token().sign_with_other_key().sign()).await.status, 401, "{name}");
        let discovered = world.idp.requests(Endpoint::Discovery) - discovered;
        let fetched = world.idp.requests(Endpoint::Jwks) - fetched;
        // Once for all tokens, and once more for the signature that does not verify.
        let expected = match name {
            "discovery" => (2, 2),
            "URL" => (0, 2),
            _ => (0, 0),
        };
        assert_eq!((discovered, fetched), expected, "{name}");
    }
}

#[tokio::test]
async fn metadata_is_found_in_every_registered_place() {
    let world = World::new().await;
    for path in ["/tenant", "/deep/er"] {
        let issuer = world.idp.issuer_at(path);
        let trusted = TrustedIssuer::discover(issuer.issuer()).unwrap().add_audience(AUDIENCE);
        let layer =
            DelegationLayer::builder().add_issuer(trusted).clock(world.clock.clone()).build().unwrap();
        let service = Served::start(whoami().layer(layer)).await;
        assert_eq!(service.get("/", &issuer.token().audience(AUDIENCE).sign()).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_followed() {
    let world = World::new().await;
    let honest = world.idp.issuer_at("/honest");
    for named in [honest.issuer().to_owned(), format!("{}/", world.idp.issuer())] {
        world.idp.set_metadata("issuer", named.as_str());
        world.idp.set_metadata("jwks_uri", honest.jwks_uri());
        let service = world.serve(world.layer()).await;
        let answer = service.get("/", &world.token().sign()).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "temporarily_unavailable"), "{named}");
    }
    assert_eq!(honest.requests(Endpoint::Jwks), 0);
}
