//! The four rules of `docs/scenarios.md`, with real requests.

mod second_issuer;

use std::time::Duration;

use axum::{
    Router,
    routing::{get, post},
};
use integration_tests::{Answer, AuditLog, Served};
use reqwest::Method;
use serde_json::json;
use tower_delegation::{
    Applications, Authorized, DenialReason as R, RequireLayer, Requirement, Requires,
    application::{Application, ApplicationKind},
    requirement::AuthorizationDetail,
    requires,
};
use tower_delegation_testing::TokenBuilder;

use crate::{Judging, World};

type Cases<'c> = Vec<(&'c str, Method, &'c str, TokenBuilder, Option<R>)>;

async fn check(service: &Served, audit: &AuditLog, cases: Cases<'_>) {
    for (name, method, path, token, expected) in cases {
        let answer = Answer::of(service.request(method, path).bearer_auth(token.sign())).await;
        assert_eq!(audit.one().field("reason"), expected.map_or("", R::code), "{name}");
        assert_eq!(answer.status == 200, expected.is_none(), "{name}: {}", answer.status);
    }
}

struct OwnAccount;

impl Requires for OwnAccount {
    fn requirement() -> Requirement {
        Requirement::named("OwnAccount")
            .on_behalf_of_user()
            .client("support-portal")
            .subject_matches_path("account")
            .scope("accounts:read")
    }
}

async fn account(Authorized(permit): Authorized<OwnAccount>) -> String {
    format!("the account of {}", permit.subject().id())
}

#[tokio::test]
async fn a_support_portal_shows_ones_own_account() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let router = Router::new().route("/accounts/{account}", get(account));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    let customer = || world.member().client("support-portal").scopes(["accounts:read"]);
    let portal = || world.member().client("support-portal").subject("support-portal");
    check(
        &service,
        &audit,
        vec![
            (
                "the portal for itself",
                Method::GET,
                "/accounts/alice",
                portal().scopes(["accounts:read", "accounts:read:all"]),
                Some(R::NotOnBehalfOfUser),
            ),
            (
                "the portal's own account",
                Method::GET,
                "/accounts/support-portal",
                portal().scopes(["accounts:read"]),
                Some(R::NotOnBehalfOfUser),
            ),
            ("another account", Method::GET, "/accounts/bob", customer(), Some(R::PathParameterMismatch)),
            (
                "another account, all scopes",
                Method::GET,
                "/accounts/bob",
                customer().scopes(["accounts:read", "accounts:read:all"]),
                Some(R::PathParameterMismatch),
            ),
            (
                "another application",
                Method::GET,
                "/accounts/alice",
                customer().client("newsletter"),
                Some(R::ClientNotAllowed),
            ),
            (
                "without the scope",
                Method::GET,
                "/accounts/alice",
                customer().scopes(["profile"]),
                Some(R::ScopeMissing),
            ),
            ("one's own", Method::GET, "/accounts/alice", customer(), None),
            ("another's own", Method::GET, "/accounts/bob", customer().user("bob"), None),
        ],
    )
    .await;
}

#[requires(
    on_behalf_of_user,
    role = "employee",
    actor = "copilot",
    max_actors = 1,
    scope = "tickets:create",
    scopes_within("tickets:create")
)]
async fn file_ticket() -> &'static str {
    "filed"
}

#[tokio::test]
async fn a_copilot_files_a_ticket() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let router = Router::new().route("/tickets", post(file_ticket));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    let token = || world.member().claim("roles", json!(["employee"])).scopes(["tickets:create"]);
    let copilot = || token().actor("copilot");
    let at = |name, token, expected| (name, Method::POST, "/tickets", token, expected);
    check(
        &service,
        &audit,
        vec![
            at("the employee alone", token(), Some(R::DelegationRequired)),
            at("the copilot alone", copilot().subject("shop-web"), Some(R::NotOnBehalfOfUser)),
            at("for a guest", copilot().claim("roles", json!(["guest"])), Some(R::RoleMissing)),
            at("for nobody's role", copilot().without("roles"), Some(R::RoleMissing)),
            at("another tool's scope", copilot().scopes(["calendar:read"]), Some(R::ScopeTooBroad)),
            at("no scope", copilot().without("scope"), Some(R::ScopeMissing)),
            at("a broad token", copilot().scopes(["tickets:create", "mail:send"]), Some(R::ScopeTooBroad)),
            at("another agent", token().actor("mailer"), Some(R::ActorNotAllowed)),
            at("behind another agent", copilot().earlier_actor("mailer"), Some(R::ActorChainNotAllowed)),
            at("the employee and the copilot", copilot(), None),
        ],
    )
    .await;
}

/// The copilot's entry as the page shows it, and the client of its users.
fn page_registry(issuer: &str, change: (&str, &str)) -> Applications {
    let page = include_str!("../../../docs/scenarios.md");
    let (_, entry) = page.split_once("Applications::from_toml(\n    r#\"").unwrap();
    let (entry, _) = entry.split_once("\"#").unwrap();
    let workloads = r#"workloads = ["spiffe://prod.example/agents/copilot"]"#;
    assert!(entry.contains(workloads) && entry.contains(change.0), "{entry}");
    let entry = entry.replace("https://idp.example.com", issuer).replace(workloads, "any_workload = true");
    let portal = Application::builder("portal", ApplicationKind::Application)
        .add_client_id_at(issuer, "shop-web")
        .add_scope("tickets:create")
        .acts_for_users()
        .allow_any_workload();
    let registry = Applications::builder().add_toml(&entry.replace(change.0, change.1));
    registry.add_application(portal).build().unwrap()
}

#[tokio::test]
async fn the_copilot_uses_the_role_that_its_entry_lists() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let listed = r#"roles = ["employee"]"#;
    for (name, change, expected) in [
        ("as on the page", (listed, listed), None),
        ("without the role", (listed, ""), Some(R::RoleMissing)),
        ("with another role", (listed, r#"roles = ["guest"]"#), Some(R::RoleMissing)),
        ("with the role as a group", (listed, r#"groups = ["employee"]"#), Some(R::RoleMissing)),
    ] {
        let layer = world.layer().applications(page_registry(world.idp.issuer(), change));
        let router = Router::new().route("/tickets", post(file_ticket));
        let service = Served::start(router.layer(layer.build().unwrap())).await;
        let token = world.member().claim("roles", json!(["employee"])).scopes(["tickets:create"]);
        check(&service, &audit, vec![(name, Method::POST, "/tickets", token.actor("copilot"), expected)])
            .await;
    }
}

struct BookAppointment;

impl Requires for BookAppointment {
    fn requirement() -> Requirement {
        let booking = AuthorizationDetail::of_type("patient_record")
            .action("schedule")
            .identifier_matches_path("patient");
        Requirement::named("BookAppointment")
            .on_behalf_of_user()
            .actor("scheduler")
            .role("clinician")
            .purpose("purpose", "treatment")
            .authorization_detail(booking)
    }
}

async fn book(_: Authorized<BookAppointment>) -> &'static str {
    "booked"
}

#[tokio::test]
async fn a_scheduler_books_for_a_clinician() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let router = Router::new().route("/patients/{patient}/appointments", post(book));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    let record = |patient: &str, action: &str| json!({ "type": "patient_record", "identifier": patient, "actions": [action] });
    let granted = |details| {
        let token = world.member().actor("scheduler").claim("roles", json!(["clinician"]));
        token.claim("purpose", "treatment").claim("authorization_details", details)
    };
    let good = || granted(json!([record("p-17", "schedule")]));
    let at = |name, token, expected| (name, Method::POST, "/patients/p-17/appointments", token, expected);
    let missing = Some(R::AuthorizationDetailMissing);
    check(
        &service,
        &audit,
        vec![
            at("the scheduler for itself", good().subject("shop-web"), Some(R::NotOnBehalfOfUser)),
            at(
                "the clinician by hand",
                good().claim("act", json!({ "sub": "browser" })),
                Some(R::ActorNotAllowed),
            ),
            at("for the reception", good().claim("roles", json!(["reception"])), Some(R::RoleMissing)),
            at("for research", good().claim("purpose", "research"), Some(R::PurposeNotAllowed)),
            at("another patient", granted(json!([record("p-18", "schedule")])), missing),
            at("another action", granted(json!([record("p-17", "read")])), missing),
            at(
                "this patient here, the action there",
                granted(json!([record("p-17", "read"), record("p-18", "schedule")])),
                missing,
            ),
            at(
                "every patient",
                granted(json!([{ "type": "patient_record", "actions": ["schedule"] }])),
                missing,
            ),
            at("no grant", good().without("authorization_details"), missing),
            ("the path of another", Method::POST, "/patients/p-18/appointments", good(), missing),
            at("within role and patient", good(), None),
        ],
    )
    .await;
}

fn logs(clearance: &[&str]) -> Requirement {
    Requirement::named("incident logs")
        .on_behalf_of_user()
        .actor("incident-automation")
        .deny_actor("chat-bridge")
        .any_permission(clearance.iter().copied())
        .scopes_within(["logs:read"])
        .scope("logs:read")
        .max_token_age(Duration::from_secs(900))
}

#[tokio::test]
async fn incident_automation_reads_logs() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let layer = |clearance: &[&str]| RequireLayer::new(logs(clearance)).unwrap();
    let router = Router::new()
        .route(
            "/logs/internal",
            get(async || "internal").layer(layer(&["clearance:internal", "clearance:restricted"])),
        )
        .route("/logs/restricted", get(async || "restricted").layer(layer(&["clearance:restricted"])));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    let operator = |clearance: &str| {
        let token = world.member().actor("incident-automation").scopes(["logs:read"]);
        token.claim("permissions", json!([clearance]))
    };
    let (internal, restricted) = (|| operator("clearance:internal"), || operator("clearance:restricted"));
    check(
        &service,
        &audit,
        vec![
            ("beyond the clearance", Method::GET, "/logs/restricted", internal(), Some(R::PermissionMissing)),
            (
                "no clearance",
                Method::GET,
                "/logs/internal",
                internal().without("permissions"),
                Some(R::PermissionMissing),
            ),
            (
                "more than reading",
                Method::GET,
                "/logs/internal",
                restricted().scopes(["logs:read", "logs:delete"]),
                Some(R::ScopeTooBroad),
            ),
            (
                "less than reading",
                Method::GET,
                "/logs/internal",
                restricted().without("scope"),
                Some(R::ScopeMissing),
            ),
            (
                "the automation for itself",
                Method::GET,
                "/logs/internal",
                restricted().subject("shop-web"),
                Some(R::NotOnBehalfOfUser),
            ),
            (
                "another automation",
                Method::GET,
                "/logs/internal",
                world.member().actor("x").scopes(["logs:read"]),
                Some(R::ActorNotAllowed),
            ),
            (
                "through the chat",
                Method::GET,
                "/logs/internal",
                restricted().earlier_actor("chat-bridge"),
                Some(R::ActorDenied),
            ),
            (
                "the operator by hand",
                Method::GET,
                "/logs/internal",
                world.member().scopes(["logs:read"]),
                Some(R::DelegationRequired),
            ),
            ("within the clearance", Method::GET, "/logs/internal", internal(), None),
            ("the higher clearance", Method::GET, "/logs/internal", restricted(), None),
            ("restricted logs", Method::GET, "/logs/restricted", restricted(), None),
        ],
    )
    .await;
    let token = restricted().expires_in(Duration::from_secs(7200)).sign();
    world.clock.advance(Duration::from_secs(931));
    assert_eq!(service.get("/logs/restricted", &token).await.status, 401, "from the last incident");
}
