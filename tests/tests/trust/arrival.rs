//! What a request presents, as it arrives: marked as sensitive before anything else
//! sees it, and told apart from what is no credential of ours.

use std::time::Duration;

use axum::{Router, http::HeaderMap, routing::get};
use http::{Method, Request, header::AUTHORIZATION};
use integration_tests::{AUDIENCE, Answer, AuditLog, PlainLog, Served, World, whoami};
use tower_delegation::{
    ConfigError, DelegationLayer, Dpop, TrustedIssuer,
    issuer::{ClaimMapping, Grants, TenantIssuers},
    layer::DelegationLayerBuilder,
};
use tower_delegation_testing::DpopKey;

/// What middleware behind the layer sees of the header fields when it prints them.
async fn printed(headers: HeaderMap) -> String {
    let shown = format!("{headers:?}");
    let values = headers.values().map(|value| format!(" {}", value.is_sensitive()));
    values.fold(shown, |shown, value| shown + &value)
}

async fn serve(layer: DelegationLayerBuilder) -> Served {
    Served::start(Router::new().route("/", get(printed)).layer(layer.build().unwrap())).await
}

#[tokio::test]
async fn credentials_are_not_printed_behind_the_layer() {
    let world = World::new().await;
    let service = serve(world.layer().allow_anonymous().dpop(Dpop::at("https://orders.example.com"))).await;
    let key = DpopKey::generate();
    let plain = world.token().sign();
    let bound = world.token().bound_to_key(&key).sign();
    let proof = key.proof("GET", "https://orders.example.com/").for_token(&bound).sign();
    for (name, fields, sensitive) in [
        ("a bearer token", vec![("authorization", format!("Bearer {plain}"))], 1),
        (
            "a bound token and its proof",
            vec![("authorization", format!("DPoP {bound}")), ("dpop", proof.clone())],
            2,
        ),
        ("a password, which the layer does not know", vec![("authorization", "Basic c2VjcmV0".into())], 1),
        (
            "two passwords",
            vec![("authorization", "Basic c2VjcmV0".into()), ("authorization", "Basic bQ".into())],
            2,
        ),
        ("a proof without a token", vec![("dpop", proof.clone())], 1),
        ("several proofs without a token", vec![("dpop", proof.clone()), ("DPoP", proof)], 2),
        ("nothing", vec![("x-other", "public".into())], 0),
    ] {
        let request = service.request(Method::GET, "/");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        assert_eq!(answer.body.matches("Sensitive").count(), sensitive, "{name}: {}", answer.body);
        assert_eq!(answer.body.matches(" true").count(), sensitive, "{name}: {}", answer.body);
        for (field, value) in &fields {
            assert_eq!(answer.body.contains(value), *field == "x-other", "{name}: {}", answer.body);
        }
    }
}

/// Also where the head comes by another way than the layer, whatever the outcome.
#[tokio::test]
async fn the_authenticator_marks_what_it_looks_at() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    for (name, fields, is_good) in [
        ("a good token", vec![("authorization", format!("Bearer {}", world.token().sign()))], true),
        ("a bad token", vec![("authorization", "Bearer abc".into())], false),
        (
            "two tokens",
            vec![("authorization", "Bearer a".into()), ("authorization", "Bearer b".into())],
            false,
        ),
        ("a proof in two fields", vec![("dpop", "a".into()), ("dpop", "b".into())], true),
    ] {
        let mut head = Request::new(()).into_parts().0;
        for (field, value) in &fields {
            head.headers.append(*field, value.parse().unwrap());
        }
        assert_eq!(layer.authenticator().authenticate(&mut head).await.is_ok(), is_good, "{name}");
        assert!(head.headers.values().all(http::HeaderValue::is_sensitive), "{name}");
        assert_eq!(head.headers.len(), fields.len(), "{name}");
    }
}

/// 6750-3.1: an error is for a client that presented a credential of ours.
#[tokio::test]
async fn a_scheme_that_is_not_known_is_like_none() {
    let world = World::new().await;
    let token = world.token().sign();
    let service = serve(world.layer()).await;
    let audit = AuditLog::listen();
    for (name, fields, status, error, reason) in [
        ("none", vec![], 401, None, "credentials_missing"),
        ("Basic", vec!["Basic c2VjcmV0".to_owned()], 401, None, "credentials_missing"),
        ("Negotiate alone", vec!["Negotiate".into()], 401, None, "credentials_missing"),
        (
            "a list of parameters",
            vec![r#"Digest a="b, Bearer c", d=e"#.into()],
            401,
            None,
            "credentials_missing",
        ),
        ("a scheme that begins alike", vec![format!("Bearers {token}")], 401, None, "credentials_missing"),
        ("the token alone", vec![token.clone()], 401, None, "credentials_missing"),
        ("DPoP, which is not configured", vec![format!("DPoP {token}")], 401, None, "scheme_unsupported"),
        ("the same, empty", vec!["dpop".into()], 401, None, "scheme_unsupported"),
        ("Bearer alone", vec!["Bearer".into()], 400, Some("invalid_request"), "credentials_malformed"),
        ("Bearer and a space", vec!["Bearer ".into()], 400, Some("invalid_request"), "credentials_malformed"),
        ("another case", vec!["BEARER".into()], 400, Some("invalid_request"), "credentials_malformed"),
        ("a comma", vec!["Bearer,".into()], 400, Some("invalid_request"), "credentials_malformed"),
        (
            "Bearer twice",
            vec![format!("Bearer Bearer {token}")],
            400,
            Some("invalid_request"),
            "credentials_malformed",
        ),
        (
            "twice, empty",
            vec!["Bearer".into(), "Bearer".into()],
            400,
            Some("invalid_request"),
            "credentials_multiple",
        ),
        (
            "joined with another scheme",
            vec![format!("Basic c2VjcmV0, Bearer {token}")],
            400,
            Some("invalid_request"),
            "credentials_malformed",
        ),
        (
            "joined the other way round",
            vec![format!("Bearer {token}, Basic c2VjcmV0")],
            400,
            Some("invalid_request"),
            "credentials_malformed",
        ),
        (
            "not joined",
            vec!["Basic c2VjcmV0".into(), format!("Bearer {token}")],
            400,
            Some("invalid_request"),
            "credentials_multiple",
        ),
        ("a token that is none", vec!["Bearer abc".into()], 401, Some("invalid_token"), "token_malformed"),
    ] {
        let request = service.request(Method::GET, "/");
        let request = fields.iter().fold(request, |request, field| request.header(AUTHORIZATION, field));
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{name}");
        let expected = error.map(|error| format!(r#"error="{error}""#));
        match expected {
            Some(expected) => {
                assert!(answer.challenge().contains(&expected), "{name}: {}", answer.challenge())
            }
            None => assert_eq!(answer.challenge(), r#"Bearer realm="api""#, "{name}"),
        }
        assert_eq!(audit.one().field("reason"), reason, "{name}");
    }
    assert_eq!(service.get("/", &token).await.status, 200);
}

/// Anonymous requests are those without credentials of ours, not those with bad ones.
#[tokio::test]
async fn bad_credentials_are_never_anonymous() {
    let world = World::new().await;
    let layer: DelegationLayerBuilder = DelegationLayer::builder().add_issuer(world.issuer());
    let service = serve(layer.clock(world.clock.clone()).allow_anonymous()).await;
    let token = world.token().sign();
    for (name, field, status) in [
        ("another scheme", "Basic c2VjcmV0".to_owned(), 200),
        ("an empty field", String::new(), 200),
        ("Bearer alone", "Bearer".to_owned(), 400),
        ("joined with another scheme", format!("Basic c2VjcmV0, Bearer {token}"), 400),
        ("DPoP, which is not configured", format!("DPoP {token}"), 401),
        ("a good token", format!("bearer {token}"), 200),
    ] {
        let answer = Answer::of(service.request(Method::GET, "/").header(AUTHORIZATION, field)).await;
        assert_eq!(answer.status, status, "{name}");
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn one_limit_of_lifetimes_holds_for_every_issuer() {
    let world = World::new().await;
    let tenant = world.idp.issuer_at("/t1");
    let template = format!("{}/{{tenant}}", world.idp.issuer());
    let audit = AuditLog::listen();
    for (name, of_all, of_issuer, allowed, refused) in [
        ("none", None, None, 1000 * HOUR, None),
        ("of all", Some(HOUR), None, HOUR, Some(HOUR + Duration::from_secs(1))),
        ("of the issuer", None, Some(HOUR), HOUR, Some(2 * HOUR)),
        ("of all, shorter", Some(HOUR), Some(2 * HOUR), HOUR, Some(2 * HOUR)),
        ("of the issuer, shorter", Some(2 * HOUR), Some(HOUR), HOUR, Some(2 * HOUR)),
    ] {
        let limited = |issuer: TrustedIssuer| match of_issuer {
            Some(limit) => issuer.max_token_lifetime(limit),
            None => issuer,
        };
        let template = TrustedIssuer::discover(&template).unwrap().add_audience(AUDIENCE);
        let template = limited(template).may_grant(Grants::all());
        let layer = DelegationLayer::builder().clock(world.clock.clone());
        let layer = layer
            .add_issuer(limited(world.issuer()))
            .add_issuer_resolver(TenantIssuers::new(template, ["t1"]).unwrap());
        let layer = match of_all {
            Some(limit) => layer.max_token_lifetime(limit),
            None => layer,
        };
        let service = world.serve(layer).await;
        for (kind, token) in [("configured", world.idp.token()), ("resolved", tenant.token())] {
            let answer = service.get("/", &token.clone().expires_in(allowed).sign()).await;
            assert_eq!(answer.status, 200, "{name}, {kind}");
            let _ = audit.take();
            let Some(refused) = refused else { continue };
            // In the cache or not: the same.
            let token = token.expires_in(refused).sign();
            assert_eq!(service.get("/", &token).await.status, 401, "{name}, {kind}");
            assert_eq!(audit.one().field("reason"), "token_lifetime_too_long", "{name}, {kind}");
        }
    }
    let none = world.layer().max_token_lifetime(Duration::ZERO).build();
    assert!(matches!(none, Err(ConfigError::OutOfRange { setting: "max_token_lifetime", .. })));
}

#[tokio::test]
async fn the_first_token_that_lives_longer_than_a_day_is_reported() {
    let world = World::new().await;
    let template = format!("{}/{{tenant}}", world.idp.issuer());
    let terms = TrustedIssuer::discover(&template).unwrap().add_audience(AUDIENCE).may_grant(Grants::all());
    let layer = world.layer().add_issuer_resolver(TenantIssuers::new(terms, ["t1", "t2"]).unwrap());
    let dateless = world.idp.issuer_at("/dateless");
    let mapping = ClaimMapping::rfc9068().allow_absent_issued_at();
    let issuer = TrustedIssuer::discover(dateless.issuer()).unwrap().add_audience(AUDIENCE);
    let layer = layer.add_issuer(issuer.claim_mapping(mapping).may_grant(Grants::all()));
    let service = Served::start(whoami().layer(layer.build().unwrap())).await;
    let log = PlainLog::listen();
    let tenant = world.idp.issuer_at("/t1");
    let day = 24 * HOUR;
    for (name, token, status, reports) in [
        ("a day", world.token().expires_in(day), 200, 0),
        (
            "longer, of an issuer that is not trusted",
            world.token().issuer("https://stranger.test").expires_in(2 * day),
            401,
            0,
        ),
        ("longer, and forged", world.token().tamper_signature().expires_in(2 * day), 401, 0),
        ("longer", world.token().expires_in(day + Duration::from_secs(1)), 200, 1),
        ("longer still", world.token().expires_in(7 * day), 200, 0),
        ("of a resolved issuer", tenant.token().expires_in(2 * day), 200, 1),
        ("another of it", tenant.token().expires_in(3 * day), 200, 0),
        ("without iat", dateless.token().without("iat").expires_in(day), 200, 0),
        ("without iat, longer", dateless.token().without("iat").expires_in(2 * day), 200, 1),
        ("without iat, longer still", dateless.token().without("iat").expires_in(7 * day), 200, 0),
    ] {
        let token = token.sign();
        for _ in 0..2 {
            assert_eq!(service.get("/", &token).await.status, status, "{name}");
        }
        let lines = log.take_with("live longer than a day");
        assert_eq!(lines.len(), reports, "{name}: {lines:?}");
        assert!(lines.iter().all(|line| line.contains(" WARN ")), "{name}: {lines:?}");
    }
}
