//! Demands on the token itself, on its times, and on the hour of the request.

use std::time::Duration;

use integration_tests::{AUDIENCE, AuditLog};
use reqwest::Method;
use tower_delegation::{
    ClientIdentity, DenialReason as R, RequestFacts, Requirement,
    clock::Timestamp,
    context::{RiskRequest, RiskSignal},
    credential::{CertificateTrust, PeerInfo},
    requirement::{Decision, TimeWindow, Weekday},
};
use tower_delegation_testing::TestPki;

use crate::{Judging, PATH, Row, World, judge};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_token_is_the_one_that_is_demanded() {
    let world = World::new().await;
    let new = Requirement::new;
    let idp = world.idp.issuer().to_owned();
    let rows: Vec<Row> = vec![
        ("another issuer", new().issuer("https://idp.example.com"), |t| t, Some(R::IssuerNotAllowed)),
        ("an issuer with a slash", new().issuer(format!("{idp}/")), |t| t, Some(R::IssuerNotAllowed)),
        ("another tenant", new().tenant("globex"), |t| t, Some(R::TenantMismatch)),
        ("a tenant in another case", new().tenant("Acme"), |t| t, Some(R::TenantMismatch)),
        ("no tenant", new().tenant("acme"), |t| t.without("tenant"), Some(R::TenantMismatch)),
        ("another audience", new().audience("https://other"), |t| t, Some(R::AudienceNotAllowed)),
        (
            "an audience with a slash",
            new().audience(format!("{AUDIENCE}/")),
            |t| t,
            Some(R::AudienceNotAllowed),
        ),
        (
            "an audience beyond",
            new().audiences_within([AUDIENCE]),
            |t| t.audiences([AUDIENCE, "https://other"]),
            Some(R::AudienceTooBroad),
        ),
        (
            "an audience beyond, first",
            new().audiences_within([AUDIENCE]),
            |t| t.audiences(["https://other", AUDIENCE]),
            Some(R::AudienceTooBroad),
        ),
        (
            "a scope beyond",
            new().scopes_within(["orders:read"]),
            |t| t.scopes(["orders:read", "orders:write"]),
            Some(R::ScopeTooBroad),
        ),
        ("any scope", new().scopes_within([]), |t| t, Some(R::ScopeTooBroad)),
        ("a scope that is a prefix", new().scopes_within(["orders:read:all"]), |t| t, Some(R::ScopeTooBroad)),
        ("lives too long", new().max_token_lifetime(MINUTE), |t| t, Some(R::TokenLifetimeNotAllowed)),
        (
            "lives a second too long",
            new().max_token_lifetime(MINUTE),
            |t| t.expires_in(MINUTE + Duration::from_secs(1)),
            Some(R::TokenLifetimeNotAllowed),
        ),
        ("issuer", new().any_issuer(["x", idp.as_str()]), |t| t, None),
        ("tenant", new().any_tenant(["globex", "acme"]), |t| t, None),
        ("audience", new().audience(AUDIENCE), |t| t, None),
        ("audience within", new().audiences_within([AUDIENCE, "https://other"]), |t| t, None),
        ("scope within", new().scopes_within(["orders:read", "orders:write"]), |t| t, None),
        ("no scope within nothing", new().scopes_within([]), |t| t.without("scope"), None),
        ("lifetime", new().max_token_lifetime(MINUTE), |t| t.expires_in(MINUTE), None),
    ];
    world.check(rows).await;
}

#[tokio::test]
async fn a_token_of_age_is_refused_though_it_lives() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let layer = world.layer().leeway(Duration::from_secs(5));
    let service = world.guard_behind(layer, Requirement::new().max_token_age(MINUTE)).await;
    let token = world.member().sign();
    // The leeway is added, as for every time of a token.
    for (advance, expected) in
        [(0, None), (65, None), (1, Some(R::TokenAgeNotAllowed)), (60, Some(R::TokenAgeNotAllowed))]
    {
        world.clock.advance(Duration::from_secs(advance));
        let request = service.request(Method::GET, PATH).bearer_auth(&token);
        judge(&format!("{advance} s later"), request, expected, &audit).await;
    }
    let fresh = service.request(Method::GET, PATH).bearer_auth(world.member().sign());
    judge("a new one", fresh, None, &audit).await;
}

#[tokio::test]
async fn a_route_has_its_hours() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let now = tower_delegation::clock::Clock::now(&world.clock).unix_seconds();
    let since_midnight = now.rem_euclid(86_400);
    let to_noon = u64::try_from((86_400 + 12 * 3600 - since_midnight) % 86_400).unwrap();
    world.clock.advance(Duration::from_secs(to_noon));
    let noon = Timestamp::from_unix_seconds(now + i64::try_from(to_noon).unwrap());
    let days = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
    let whole = TimeWindow::daily((0, 0), (24, 0));
    let today = *days.iter().find(|day| whole.on([**day]).contains(noon)).unwrap();
    let others = days.into_iter().filter(|day| *day != today);
    let denied = Some(R::OutsideTimeWindow);
    for (name, window, expected) in [
        ("too early", TimeWindow::daily((12, 1), (18, 0)), denied),
        ("over", TimeWindow::daily((8, 0), (12, 0)), denied),
        ("another day", whole.on(others), denied),
        ("over there", TimeWindow::daily((8, 0), (13, 0)).utc_offset_minutes(60), denied),
        ("at night", TimeWindow::daily((22, 0), (6, 0)), denied),
        ("open", TimeWindow::daily((8, 0), (18, 0)), None),
        ("today", whole.on([today]), None),
        ("open there", TimeWindow::daily((7, 0), (8, 0)).utc_offset_minutes(-300), None),
    ] {
        let service = world.guard(Requirement::new().time_window(window)).await;
        let token = world.member().sign();
        judge(name, service.request(Method::GET, PATH).bearer_auth(&token), expected, &audit).await;
    }
    let shifts = [TimeWindow::daily((6, 0), (8, 0)), TimeWindow::daily((11, 0), (13, 0))];
    let shifts = Requirement::new().any_time_window(shifts);
    let service = world.guard(shifts).await;
    assert_eq!(service.get(PATH, &world.member().sign()).await.status, 200, "one of two windows");
}

/// Believes the header field `x-risk`, as a test may.
#[derive(Debug)]
struct Told;

impl RiskSignal for Told {
    fn assess(&self, request: &RiskRequest<'_>) -> Option<u8> {
        assert_eq!(*request.delegation.subject().id(), "alice");
        request.facts.headers?.get("x-risk")?.to_str().ok()?.parse().ok()
    }
}

#[tokio::test]
async fn risk_is_known_and_low_or_the_request_is_refused() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let requirement = || Requirement::new().risk_below("device", 70);
    let service = world.guard_behind(world.layer().add_risk_signal("device", Told), requirement()).await;
    for (name, risk, expected) in [
        ("not known", None, Some(R::RiskUnknown)),
        ("not understood", Some("low"), Some(R::RiskUnknown)),
        ("on the bound", Some("70"), Some(R::RiskTooHigh)),
        ("above", Some("100"), Some(R::RiskTooHigh)),
        ("below", Some("69"), None),
        ("none", Some("0"), None),
    ] {
        let request = service.request(Method::GET, PATH).bearer_auth(world.member().sign());
        let request = risk.into_iter().fold(request, |request, risk| request.header("x-risk", risk));
        judge(name, request, expected, &audit).await;
    }
    // A signal that nobody registered is a mistake of the service, not of the client.
    for layer in [world.layer(), world.layer().add_risk_signal("address", Told)] {
        let service = world.guard_behind(layer, requirement()).await;
        let request =
            service.request(Method::GET, PATH).bearer_auth(world.member().sign()).header("x-risk", "0");
        judge("not registered", request, Some(R::RiskSignalMissing), &audit).await;
    }
}

#[tokio::test]
async fn risk_signals_have_names_of_their_own() {
    let world = World::new().await;
    let twice = world.layer().add_risk_signal("device", Told).add_risk_signal("device", Told).build();
    assert!(twice.unwrap_err().to_string().contains("\"device\""));
    assert!(world.layer().add_risk_signal("", Told).build().is_err());
}

#[tokio::test]
async fn the_token_is_held_in_the_way_that_is_demanded() {
    let world = World::new().await;
    let pki = TestPki::new();
    let layer = world.layer().client_identity(ClientIdentity::from_tls()).build().unwrap();
    let identity = pki.workload("/shop/web").issue();
    let trust = CertificateTrust::ChainedToTrustAnchor;
    let peer = PeerInfo::with_certificate(([127, 0, 0, 1], 1).into(), &identity.chain_der(), trust).unwrap();
    let thumbprint = thumbprint_of(&identity);
    let bound = world.member().claim("cnf", serde_json::json!({ "x5t#S256": thumbprint })).sign();
    let (bound, plain) = (
        layer.authenticator().verify_from(&bound, &peer).await.unwrap(),
        layer.authenticator().verify_from(&world.member().sign(), &peer).await.unwrap(),
    );
    let any = Requirement::new().sender_constrained();
    let mutual_tls = Requirement::new().mutual_tls();
    let denied = |requirement: &Requirement, delegation| match requirement
        .evaluate(delegation, &RequestFacts::none())
    {
        Decision::Allow => None,
        Decision::Deny(denial) => Some(denial.reason()),
    };
    assert_eq!(denied(&any, &plain), Some(R::SenderConstraintMissing));
    assert_eq!(denied(&mutual_tls, &plain), Some(R::SenderConstraintMissing));
    assert_eq!(denied(&any, &bound), None);
    assert_eq!(denied(&mutual_tls, &bound), None);
}

fn thumbprint_of(identity: &tower_delegation_testing::TestIdentity) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    URL_SAFE_NO_PAD.encode(digest(&SHA256, identity.chain_der().first().unwrap()))
}

#[tokio::test]
async fn a_misconfigured_requirement_denies_by_call_too() {
    let world = World::new().await;
    let delegation =
        world.layer().build().unwrap().authenticator().verify(&world.member().sign()).await.unwrap();
    let contradiction = Requirement::new().delegated().not_delegated();
    for requirement in [contradiction.clone(), contradiction.shadow(), Requirement::new().scope("").shadow()]
    {
        let refused = delegation.authorize(&requirement, &RequestFacts::none()).unwrap_err();
        assert_eq!(refused.reason(), R::RequirementContradictory);
        assert_eq!(refused.status(), 500);
    }
}
