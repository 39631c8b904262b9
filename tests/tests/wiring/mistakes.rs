//! Every kind of mistake in a configuration is found by a test, and all of them at once.

use std::{collections::BTreeSet, fs, time::Duration};

use tower_delegation::{
    Applications, ClientIdentity, ConfigError, DelegationLayer, Dpop, Requirement, RouteTable, TrustedIssuer,
    application::{Application, ApplicationKind},
    audit::{Audit, JsonLines},
    context::{RiskRequest, RiskSignal},
    credential::{ClientCertHeader, TrustedHop},
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, SigningKey},
    http_client::HttpClient,
    issuer::{ClaimMapping, Grants, TenantIssuers},
    jwks::SignatureAlgorithm,
    jwt_svid::{JwtBundles, JwtSvidSource},
    layer::{DelegationLayerBuilder, RequireLayer},
    protected_resource::ProtectedResource,
    replay::InMemoryReplayStore,
    requirement::Weekday,
    revocation::{InMemoryRevocations, Revocation, RevocationSnapshot},
    routing::{GuardedRouter, get, guard, public},
    spiffe::SpiffeId,
};

use integration_tests::AUDIENCE;

const ISSUER: &str = "https://idp.example.com";

/// Those that no test can cause.
const NOT_REACHED: [(&str, &str); 1] = [("audit_thread", "the operating system refuses a thread")];

fn discovered() -> TrustedIssuer {
    TrustedIssuer::discover(ISSUER).unwrap()
}

fn layer() -> DelegationLayerBuilder {
    DelegationLayer::builder().add_issuer(discovered().add_audience(AUDIENCE))
}

fn two_issuers() -> DelegationLayerBuilder {
    let other = TrustedIssuer::discover("https://idp.partner.example").unwrap().add_audience(AUDIENCE);
    let ours = discovered().add_audience(AUDIENCE);
    [ours, other]
        .into_iter()
        .fold(DelegationLayer::builder(), |layer, issuer| layer.add_issuer(issuer.may_grant(Grants::none())))
}

fn of(builder: DelegationLayerBuilder) -> ConfigError {
    builder.build().unwrap_err()
}

fn with(issuer: TrustedIssuer) -> ConfigError {
    of(DelegationLayer::builder().add_issuer(issuer))
}

fn resource() -> ProtectedResource {
    ProtectedResource::new("https://api.example.com").unwrap()
}

fn rule(requirement: Requirement) -> ConfigError {
    RequireLayer::new(requirement).unwrap_err()
}

fn table(text: &str) -> ConfigError {
    RouteTable::from_toml(text).unwrap_err()
}

#[derive(Debug)]
struct NoRisk;

impl RiskSignal for NoRisk {
    fn assess(&self, _: &RiskRequest<'_>) -> Option<u8> {
        None
    }
}

/// A registry and the folder that its file was in.
fn registry_in_a_folder() -> (Applications, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("applications.toml");
    fs::write(&file, "[[application]]\nname = 'a'\nkind = 'agent'\nissuer = 'i'\nactor_ids = ['a']").unwrap();
    (Applications::from_toml_file(&file).unwrap(), folder)
}

fn differing_replay_stores() -> ConfigError {
    let dpop = || Dpop::at("https://differing.example");
    let _in_use = layer().dpop(dpop()).build().unwrap();
    of(layer().dpop(dpop().replay_store(InMemoryReplayStore::new().max_entries(10))))
}

fn unmatched_revocation() -> ConfigError {
    let store = InMemoryRevocations::new();
    let snapshot = RevocationSnapshot::new(vec![Revocation::subject("https://other.example.com", "alice")]);
    store.load(snapshot).unwrap();
    of(layer().revocations(store))
}

fn unread_downstream() -> ConfigError {
    let client = ClientAuthentication::secret_basic("secret");
    let server = AuthorizationServer::discover(ISSUER).unwrap().client("orders", client);
    let downstream = Downstream::new("stock", "https://stock.example.com", server)
        .require(Requirement::named("calls stock").scope("orders:read"))
        .add_scopes(["stock:read"])
        .opaque("");
    layer().build().unwrap().exchange(downstream).map(drop).unwrap_err()
}

#[expect(clippy::too_many_lines, reason = "a table: one row for each kind of mistake")]
fn reached() -> Vec<ConfigError> {
    vec![
        of(DelegationLayer::builder()),
        of(layer().add_issuer(discovered().add_audience(AUDIENCE))),
        with(discovered()),
        with(discovered().add_audience("")),
        with(discovered().claim_mapping(ClaimMapping::cognito(Vec::<&str>::new()))),
        with(discovered().add_audience(AUDIENCE).claim_mapping(ClaimMapping::rfc9068().add_roles(""))),
        of(layer()
            .add_issuer(TrustedIssuer::discover("https://other.example.com").unwrap().add_audience("a"))),
        with(discovered().add_audience(AUDIENCE).may_grant(Grants::none().add_roles([""]))),
        with(discovered().add_audience(AUDIENCE).namespace("")),
        TenantIssuers::new(discovered().add_audience(AUDIENCE), ["a"]).unwrap_err(),
        with(discovered().add_audience(AUDIENCE).algorithms([])),
        TrustedIssuer::discover("idp.example.com").unwrap_err(),
        of(layer().protected_resource(resource().add_authorization_server("https://other.example.com"))),
        TrustedIssuer::with_static_keys(ISSUER, "{}").unwrap_err(),
        of(layer().leeway(Duration::from_secs(301))),
        unmatched_revocation(),
        of(layer().max_actors(0)),
        of(layer().realm("a\"b")),
        JwtBundles::new().set("example.org", "").unwrap_err(),
        differing_replay_stores(),
        of(layer().add_identity_header("authorization")),
        of(layer().client_identity(JwtSvidSource::new("x-jwt-svid", JwtBundles::new()).into())),
        of(layer().add_identity_header("two words")),
        TrustedHop::ip_range("0.0.0.0/0").unwrap_err(),
        of(layer().client_identity(ClientIdentity::from_proxy(
            ClientCertHeader::rfc9440().trusted_proxies(2),
            TrustedHop::loopback(),
        ))),
        of(layer().http_client(HttpClient::new().add_root_certificates("no certificate"))),
        unread_downstream(),
        SigningKey::from_pem("", SignatureAlgorithm::Es256).map(drop).unwrap_err(),
        of(layer().add_audit(Audit::new(JsonLines::to(Vec::new())).max_entries(0))),
        of(layer().protected_resource(resource().add_scope("a b"))),
        rule(Requirement::named("r").delegated().not_delegated()),
        of(layer().dpop(Dpop::at("https://api.example").algorithms([]))),
        rule(Requirement::named("r").risk_below("fraud", 0)),
        "funday".parse::<Weekday>().unwrap_err(),
        of(layer().add_risk_signal("", NoRisk)),
        table("[[route]]\nmethods = ['GET']\npath = '/'"),
        table("not toml"),
        RouteTable::from_toml_file("/nowhere/routes.toml").unwrap_err(),
        RouteTable::from_toml("").unwrap().reload().unwrap_err(),
        RouteTable::builder().build().unwrap().replace(RouteTable::builder().toml("not toml")).unwrap_err(),
        {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("routes.toml");
            fs::write(&file, "").unwrap();
            let table = RouteTable::from_toml_file(&file).unwrap();
            drop(folder);
            table.watch().unwrap_err()
        },
        GuardedRouter::new()
            .route("/", get(public("", async || "alive")))
            .behind(layer().build().unwrap())
            .map(drop)
            .unwrap_err(),
        GuardedRouter::new()
            .behind(layer().build().unwrap())
            .and_then(|served| served.beside("", axum::Router::new()))
            .map(drop)
            .unwrap_err(),
        TrustedHop::spiffe("web").unwrap_err(),
        GuardedRouter::new()
            .route("/", guard(Requirement::new().dpop(), axum::routing::get(async || "in")))
            .behind(layer().build().unwrap())
            .map(drop)
            .unwrap_err(),
        GuardedRouter::new()
            .route("/", guard(Requirement::new().client("web"), axum::routing::get(async || "in")))
            .behind(two_issuers().build().unwrap())
            .map(drop)
            .unwrap_err(),
        Applications::builder().build().unwrap_err(),
        Applications::builder()
            .add_application(Application::builder("a", ApplicationKind::Agent))
            .build()
            .unwrap_err(),
        Applications::from_toml("not toml").unwrap_err(),
        Applications::from_toml_file("/nowhere/applications.toml").unwrap_err(),
        registry_in_a_folder().0.replace(Applications::builder()).unwrap_err(),
        {
            let (applications, folder) = registry_in_a_folder();
            drop(folder);
            applications.watch().unwrap_err()
        },
        Applications::builder()
            .add_application(Application::builder("a", ApplicationKind::Agent).add_actor_id_at("i", "a"))
            .build()
            .unwrap()
            .reload()
            .unwrap_err(),
        of(layer().max_actors(0).leeway(Duration::MAX)),
    ]
}

#[test]
fn every_kind_of_mistake_is_reached() {
    let reached = reached();
    let found: BTreeSet<&str> = reached.iter().map(ConfigError::code).collect();
    let known: BTreeSet<&str> = ConfigError::CODES.iter().copied().collect();
    let exempt: BTreeSet<&str> = NOT_REACHED.iter().map(|(code, _)| *code).collect();
    let missing: Vec<_> = known.difference(&found).filter(|code| !exempt.contains(*code)).collect();
    assert!(missing.is_empty(), "no row reaches {missing:?}");
    assert_eq!(known.len(), ConfigError::CODES.len(), "each code is for one kind");
    for code in known {
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
    }
    for error in &reached {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{}: {text:?}", error.code());
    }
}

/// The wrong setting, its value and what would be right, of everything that is wrong.
#[test]
fn everything_that_is_wrong_with_a_layer_is_reported_at_once() {
    let broken = TrustedIssuer::discover("https://broken.example.com").unwrap();
    let nowhere: SpiffeId = "spiffe://example.org/gateway".parse().unwrap();
    let proxy = ClientCertHeader::rfc9440().trusted_proxies(0).expected_by(nowhere);
    let error = DelegationLayer::builder()
        .add_issuer(broken.algorithms([]).max_token_age(Duration::ZERO).max_key_wait(Duration::ZERO))
        .add_issuer(discovered().add_audience(AUDIENCE))
        .add_issuer(discovered().add_audience(AUDIENCE))
        .leeway(Duration::from_secs(301))
        .add_identity_header("cookie")
        .client_identity(ClientIdentity::from_proxy(proxy, TrustedHop::loopback()))
        .dpop(Dpop::at("http://api.example.com").max_age(Duration::ZERO))
        .protected_resource(
            resource()
                .add_scope("a b")
                .add_scope("c d")
                .documentation("docs")
                .add_authorization_server("https://broken.example.com")
                .add_authorization_server("https://other.example.com"),
        )
        .add_audit(Audit::new(JsonLines::to(Vec::new())).named("siem").max_entries(0))
        .add_audit(Audit::new(JsonLines::to(Vec::new())).named("file").max_entries(usize::MAX))
        .build()
        .unwrap_err();
    let texts: Vec<_> = error.mistakes().map(ToString::to_string).collect();
    for told in [
        "audit sink \"siem\" cannot hold 0 events",
        "audit sink \"file\" cannot hold 18446744073709551615 events",
        "issuer \"https://idp.example.com\" is configured twice",
        "trusted_proxies = 0",
        "`trusted_proxies` is for",
        "`expected_by` is for",
        "max_age = 0",
        "\"http://api.example.com\" is not usable",
        "\"a b\" is not a scope",
        "\"c d\" is not a scope",
        "authorization server \"https://other.example.com\", whose tokens are not accepted",
        "\"docs\" is not usable",
        "a leeway of 301s",
        "\"cookie\"",
        "issuer \"https://broken.example.com\" has no audience",
        "issuer \"https://broken.example.com\" may use no algorithm",
        "max_token_age = 0",
        "max_key_wait in milliseconds = 0",
    ] {
        assert_eq!(texts.iter().filter(|text| text.contains(told)).count(), 1, "{told}: {texts:#?}");
    }
    assert_eq!(texts.len(), 18, "{texts:#?}");
    assert_eq!(error.code(), "several");
    assert!(error.to_string().starts_with("18 mistakes: (1) "), "{error}");
}

#[test]
fn a_single_mistake_is_itself() {
    let error = of(layer().max_actors(0));
    assert!(matches!(error, ConfigError::OutOfRange { setting: "max_actors", value: 0, .. }), "{error}");
    assert_eq!(error.to_string(), "max_actors = 0 is out of range: from 1 to 64");
    assert_eq!(error.mistakes().count(), 1);
}
