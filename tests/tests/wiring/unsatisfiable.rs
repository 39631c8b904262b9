//! Rules that no request could ever meet are found when the service is put together.

use axum::routing::get as plain;
use integration_tests::{AUDIENCE, World};
use tower_delegation::{
    Applications, ClientIdentity, ConfigError, Dpop, Requirement, RouteTable, TrustedIssuer,
    application::{Application, ApplicationKind},
    context::{RiskRequest, RiskSignal},
    issuer::{ClaimMapping, Grants},
    layer::DelegationLayerBuilder,
    requirement::AuthorizationDetail,
    routing::{GuardedRouter, guard},
};
use tower_delegation_testing::USER_CLAIM;

#[derive(Debug)]
struct Calm;

impl RiskSignal for Calm {
    fn assess(&self, _: &RiskRequest<'_>) -> Option<u8> {
        Some(0)
    }
}

fn guarded(path: &str, requirement: Requirement) -> GuardedRouter {
    GuardedRouter::new().route(path, guard(requirement, plain(async || "in")))
}

/// The demand that nothing supplies.
fn unmet(result: Result<impl Sized, ConfigError>) -> Option<&'static str> {
    match result {
        Ok(_) => None,
        Err(ConfigError::UnsatisfiableRule { demand, .. }) => Some(demand),
        Err(ConfigError::RouteTableNotReplaced { source }) => match &*source {
            ConfigError::UnsatisfiableRule { demand, .. } => Some(demand),
            other => panic!("{other}"),
        },
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_nothing_supplies_does_not_build() {
    let world = World::new().await;
    let new = || Requirement::named("rule");
    let issuer = || TrustedIssuer::discover(world.idp.issuer()).unwrap().add_audience(AUDIENCE);
    let layer = |change: &dyn Fn(TrustedIssuer) -> TrustedIssuer| {
        tower_delegation::DelegationLayer::builder().add_issuer(change(issuer()))
    };
    let with = |mapping: fn() -> ClaimMapping| layer(&move |issuer| issuer.claim_mapping(mapping()));
    let workloads = || with(ClaimMapping::kubernetes_service_account);
    let bare = || layer(&|issuer| issuer);
    let narrow = || layer(&|issuer| issuer.may_grant(Grants::none().add_scopes(["a"])));
    let registry = || {
        let web = Application::builder("web", ApplicationKind::Application);
        let web = web.add_client_id_at(world.idp.issuer(), "web").allow_any_workload();
        Applications::builder().add_application(web).build().unwrap()
    };
    let detail = || AuthorizationDetail::of_type("payment");
    type Row = (&'static str, Requirement, DelegationLayerBuilder, DelegationLayerBuilder);
    let rows: Vec<Row> = vec![
        (
            "issuer",
            new().issuer("https://x.example"),
            bare(),
            layer(&|_| TrustedIssuer::discover("https://x.example").unwrap().add_audience(AUDIENCE)),
        ),
        ("audience", new().audience("urn:x"), bare(), layer(&|issuer| issuer.add_audience("urn:x"))),
        (
            "audiences_within",
            new().audiences_within(["urn:x"]),
            bare(),
            layer(&|issuer| issuer.add_audience("urn:x")),
        ),
        ("tenant", new().tenant("acme"), bare(), with(|| ClaimMapping::rfc9068().tenant("tid"))),
        ("role", new().role("admin"), with(|| ClaimMapping::rfc9068().without_roles()), bare()),
        (
            "role",
            new().role("admin"),
            narrow(),
            layer(&|issuer| issuer.may_grant(Grants::none().add_roles(["admin"]))),
        ),
        ("permission", new().permission("x"), with(|| ClaimMapping::rfc9068().without_permissions()), bare()),
        ("group", new().any_group(["x", "y"]), with(|| ClaimMapping::rfc9068().without_groups()), bare()),
        ("authorization_detail", new().authorization_detail(detail()), narrow(), bare()),
        ("scope", new().scope("b"), narrow(), bare()),
        ("scope", new().scope("a"), workloads(), narrow()),
        ("client", new().client("web"), workloads(), bare()),
        (
            "client",
            new().client("web"),
            with(|| ClaimMapping::cognito(["shop"])),
            with(|| ClaimMapping::cognito(["web"])),
        ),
        ("deny_client", new().deny_client("web"), workloads(), bare()),
        ("actor", new().actor("bot"), workloads(), bare()),
        ("delegated", new().delegated(), workloads(), bare()),
        (
            "actor_of",
            new().actor_of("https://x.example", "bot"),
            bare(),
            layer(&|issuer| issuer.may_speak_for("https://x.example")),
        ),
        (
            "on_behalf_of_user",
            new().on_behalf_of_user(),
            bare(),
            layer(&|issuer| issuer.add_user_claim(USER_CLAIM)),
        ),
        ("application", new().application("web"), bare(), bare().applications(registry())),
        ("presenter", new().presenter("web"), bare(), bare().applications(registry())),
        ("actor_kind", new().actor_kind(ApplicationKind::Agent), bare(), bare().applications(registry())),
        (
            "workload",
            new().workload("spiffe://td/x"),
            bare(),
            bare().client_identity(ClientIdentity::from_tls()),
        ),
        ("mutual_tls", new().mutual_tls(), bare(), bare().client_identity(ClientIdentity::from_tls())),
        (
            "sender_constrained",
            new().sender_constrained(),
            bare(),
            bare().client_identity(ClientIdentity::from_tls()),
        ),
        ("dpop", new().dpop(), bare(), bare().dpop(Dpop::at("https://orders.example.com"))),
        (
            "risk_below",
            new().risk_below("calm", 50),
            bare().add_risk_signal("other", Calm),
            bare().add_risk_signal("calm", Calm),
        ),
        // Inside: all of them must be met, one of them, or none for certain.
        (
            "dpop",
            new().all_of([new().scope("a"), new().dpop()]),
            bare(),
            bare().dpop(Dpop::at("https://orders.example.com")),
        ),
        (
            "dpop",
            new().any_of([new().dpop(), new().tenant("x")]),
            bare(),
            with(|| ClaimMapping::rfc9068().tenant("tid")),
        ),
        ("not", new().not(new().tenant("acme")), bare(), with(|| ClaimMapping::rfc9068().tenant("tid"))),
    ];
    for (demand, requirement, lacking, enough) in rows {
        let name = requirement.to_string();
        assert_eq!(
            unmet(guarded("/a", requirement.clone()).behind(lacking.build().unwrap())),
            Some(demand),
            "{name}"
        );
        assert_eq!(unmet(guarded("/a", requirement).behind(enough.build().unwrap())), None, "{name}");
    }
}

/// Every demand that cannot be met is reported; of a choice, one alternative.
#[tokio::test]
async fn all_that_is_missing_is_reported_at_once() {
    let world = World::new().await;
    let issuer = TrustedIssuer::discover(world.idp.issuer()).unwrap().add_audience(AUDIENCE);
    let layer = tower_delegation::DelegationLayer::builder().add_issuer(issuer).build().unwrap();
    let new = || Requirement::named("rule");
    let either = [new().mutual_tls().risk_below("calm", 50), new().presenter("web")];
    let rule = new().tenant("acme").application("web").all_of([new().dpop()]).any_of(either);
    let error = guarded("/a", rule.scope("a")).behind(layer).map(drop).unwrap_err();
    let demand = |mistake: &ConfigError| match mistake {
        ConfigError::UnsatisfiableRule { demand, .. } => *demand,
        other => panic!("{other}"),
    };
    let demands: Vec<_> = error.mistakes().map(demand).collect();
    assert_eq!(demands, ["tenant", "application", "dpop", "mutual_tls", "risk_below"]);
}

#[tokio::test]
async fn a_parameter_that_no_path_has_does_not_build() {
    let world = World::new().await;
    let layer = || {
        let issuer = TrustedIssuer::discover(world.idp.issuer()).unwrap().add_audience(AUDIENCE);
        let issuer = issuer.claim_mapping(ClaimMapping::rfc9068().tenant("tid"));
        tower_delegation::DelegationLayer::builder().add_issuer(issuer).build().unwrap()
    };
    let new = || Requirement::named("rule");
    let detail = || AuthorizationDetail::of_type("payment").identifier_matches_path("id");
    let rows = [
        ("subject_matches_path", new().subject_matches_path("id")),
        ("tenant_matches_path", new().tenant_matches_path("id")),
        ("claim_matches_path", new().claim_matches_path("account", "id")),
        ("authorization_detail", new().authorization_detail(detail())),
    ];
    for (demand, requirement) in rows {
        for (path, expected) in [
            ("/a/{id}", None),
            ("/a/{id}/b", None),
            ("/a/{*id}", None),
            ("/a", Some(demand)),
            ("/a/{ids}", Some(demand)),
            ("/{other}/id", Some(demand)),
        ] {
            let built = guarded(path, requirement.clone()).behind(layer());
            assert_eq!(unmet(built), expected, "{demand} at {path}");
        }
        let below = guarded("/a", requirement.clone()).below("/t/{id}");
        assert_eq!(unmet(below.behind(layer())), None, "{demand}, below");
        let nested = GuardedRouter::new().nest("/t/{id}", guarded("/a", requirement.clone()));
        assert_eq!(unmet(nested.behind(layer())), None, "{demand}, nested");
        // A prefix is that of its own routes, not of those that stand next to them.
        let with = GuardedRouter::new().merge(guarded("/b", requirement.clone()).below("/t/{id}"));
        assert_eq!(unmet(with.clone().behind(layer())), None, "{demand}, merged");
        let next_to_it = with.merge(guarded("/a", requirement.clone()));
        assert_eq!(unmet(next_to_it.behind(layer())), Some(demand), "{demand}, next to it");
        let elsewhere = guarded("/a", requirement).below("/t/{tenant}");
        assert_eq!(unmet(elsewhere.behind(layer())), Some(demand), "{demand}, below another");
    }
}

#[tokio::test]
async fn the_rows_of_a_table_can_be_met() {
    let world = World::new().await;
    let row =
        |path: &str, demand: &str| format!("[[route]]\nmethods = [\"GET\"]\npath = \"{path}\"\n{demand}");
    for path in ["/a/:id", "/a/*rest"] {
        assert_eq!(unmet(RouteTable::from_toml(&row(path, "scope = \"a\""))), Some("path"), "{path}");
    }
    let table = RouteTable::from_toml(&row("/a/{id}", "scope = \"a\"")).unwrap();
    let replace = |text: &str| table.replace(RouteTable::builder().toml(text));
    let layer = world.layer().route_table(&table).build().unwrap();
    for (demand, row) in [
        ("dpop", row("/a/{id}", "dpop = true")),
        ("presenter", row("/a/{id}", "presenter = \"web\"")),
        ("subject_matches_path", row("/a/{id}", "subject_matches_path = \"account\"")),
        ("path", row("/a/:id", "scope = \"a\"")),
    ] {
        assert_eq!(unmet(replace(&row)), Some(demand));
        assert_eq!(
            unmet(RouteTable::from_toml(&row).and_then(|table| world.layer().route_table(&table).build())),
            Some(demand)
        );
        assert!(table.inventory().to_string().contains("scope"), "the rows in use stay: {demand}");
    }
    assert_eq!(unmet(replace(&row("/a/{id}", "subject_matches_path = \"id\""))), None);
    // For as long as the layer lives.
    drop(layer);
    assert_eq!(unmet(replace(&row("/a/{id}", "dpop = true"))), None);
}
