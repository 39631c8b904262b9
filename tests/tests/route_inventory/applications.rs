//! Which registered application could ever use which route.

use std::collections::BTreeMap;

use serde_json::json;
use tower_delegation::{
    Applications, DenialReason as R, Requirement,
    application::{Application, ApplicationBuilder, ApplicationKind as Kind},
    clock::Timestamp,
    requirement::AuthorizationDetail,
    requires,
    routes::{ApplicationInventory, Reach},
    routing::{GuardedRouter, by_table, get, guard, public},
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

#[requires(scope = "orders:read")]
async fn read() {}
#[requires(scope = "orders:write")]
async fn write() {}
#[requires(any_scope("orders:write", "orders:read"))]
async fn either() {}
#[requires(on_behalf_of_user)]
async fn for_user() {}
#[requires(subject_kind = service)]
async fn for_service() {}
#[requires(client = "web")]
async fn only_web() {}
#[requires(actor = "copilot")]
async fn only_copilot() {}
#[requires(not_delegated)]
async fn direct() {}
#[requires(delegated)]
async fn through_others() {}
#[requires(deny_actor = "copilot", delegated)]
async fn without_copilot() {}
#[requires(issuer = "https://other.example.com")]
async fn other_issuer() {}
#[requires(tenant = "acme")]
async fn acme() {}
#[requires(presenter_kind = agent)]
async fn only_agents() {}
#[requires(application = "web")]
async fn web_or_its_actors() {}
#[requires(scope = "orders:write", shadow)]
async fn tried() {}
async fn open() {}

fn router() -> GuardedRouter {
    GuardedRouter::new()
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/either", get(either))
        .route("/for_user", get(for_user))
        .route("/for_service", get(for_service))
        .route("/only_web", get(only_web))
        .route("/only_copilot", get(only_copilot))
        .route("/direct", get(direct))
        .route("/through_others", get(through_others))
        .route("/without_copilot", get(without_copilot))
        .route("/other_issuer", get(other_issuer))
        .route("/acme", get(acme))
        .route("/only_agents", get(only_agents))
        .route("/web_or_its_actors", get(web_or_its_actors))
        .route("/tried", get(tried))
        .route("/open", get(public("demo", open)))
        .route("/table", get(by_table(open)))
}

fn entry(name: &str, kind: Kind) -> ApplicationBuilder {
    Application::builder(name, kind).issuer("https://idp.example.com").allow_any_workload()
}

fn inventory() -> ApplicationInventory {
    let web = entry("web", Kind::Application)
        .add_client_id("web")
        .add_scopes(["orders:read"])
        .acts_for_users()
        .owner("team-shop")
        .review_by("2027-03-31");
    let nightly = entry("nightly", Kind::Service)
        .add_client_id("nightly")
        .add_scopes(["orders:read", "orders:write"])
        .acts_for_services()
        .add_tenant("globex");
    let copilot = entry("copilot", Kind::Agent)
        .add_actor_id("copilot")
        .add_scopes(["orders:read"])
        .add_roles(["clerk"])
        .acts_for_users()
        .vendor("Example");
    let asleep = entry("asleep", Kind::Application).add_client_id("asleep").acts_for_users().suspended();
    let ended =
        entry("ended", Kind::Application).add_client_id("ended").acts_for_users().expires("2026-01-01");
    let idle = entry("idle", Kind::Application).add_client_id("idle").add_scopes(["orders:read"]);
    let entries = [web, nightly, copilot, asleep, ended, idle];
    let registry = entries.into_iter().fold(Applications::builder(), |all, one| all.add_application(one));
    router().inventory().by_application(&registry.build().unwrap(), NOW)
}

#[test]
fn who_could_use_what_and_why_not() {
    let inventory = inventory();
    let expected: BTreeMap<&str, [&str; 15]> = BTreeMap::from([
        (
            "web",
            [
                "",
                "scope_missing",
                "",
                "",
                "subject_kind_not_allowed",
                "",
                "delegation_required",
                "",
                "delegation_required",
                "delegation_required",
                "issuer_not_allowed",
                "",
                "presenter_not_allowed",
                "",
                "",
            ],
        ),
        (
            "nightly",
            [
                "",
                "",
                "",
                "not_on_behalf_of_user",
                "",
                "client_not_allowed",
                "delegation_required",
                "",
                "delegation_required",
                "delegation_required",
                "issuer_not_allowed",
                "tenant_not_allowed",
                "presenter_not_allowed",
                "application_not_allowed",
                "",
            ],
        ),
        (
            "copilot",
            [
                "",
                "scope_missing",
                "",
                "",
                "subject_kind_not_allowed",
                "",
                "",
                "delegation_forbidden",
                "",
                "actor_denied",
                "",
                "",
                "",
                "",
                "",
            ],
        ),
        ("asleep", ["client_suspended"; 15]),
        ("ended", ["client_expired"; 15]),
        ("idle", ["acting_not_allowed"; 15]),
    ]);
    assert_eq!(inventory.applications().len(), expected.len());
    for application in inventory.applications() {
        let name = application.application().name();
        for ((route, reach), expected) in inventory.routes_of(application).zip(expected[name]) {
            let reason = match reach {
                Reach::Never(reason) => reason.code(),
                _ => "",
            };
            assert_eq!(reason, expected, "{name} at {route}");
        }
        let last: Vec<_> = inventory.routes_of(application).skip(15).map(|(_, reach)| reach).collect();
        assert_eq!(last, [Reach::Could, Reach::Table], "{name}");
    }
}

#[test]
fn grants_of_every_kind_are_held_against_the_ceiling() {
    let entry = |name, kind| {
        Application::builder(name, kind).issuer("https://idp.example").add_client_id(name).acts_for_users()
    };
    let registry = Applications::builder()
        .add_application(entry("web", Kind::Application))
        .add_application(entry("bot", Kind::Agent).add_roles(["clerk"]).add_groups(["staff"]))
        .build()
        .unwrap();
    let payment = || Requirement::new().authorization_detail(AuthorizationDetail::of_type("payment"));
    let never = Reach::Never;
    for (requirement, expected) in [
        (Requirement::new().role("clerk"), Reach::Could),
        (Requirement::new().role("clerk").role("chief"), never(R::RoleMissing)),
        (Requirement::new().any_role(["chief", "clerk"]), Reach::Could),
        (Requirement::new().any_role(["chief", "head"]), never(R::RoleMissing)),
        (Requirement::new().permission("file"), never(R::PermissionMissing)),
        (Requirement::new().any_group(["board", "staff"]), Reach::Could),
        (Requirement::new().group("board"), never(R::GroupMissing)),
        (payment(), never(R::AuthorizationDetailMissing)),
        (Requirement::new().all_of([payment()]), never(R::AuthorizationDetailMissing)),
        (Requirement::new().any_of([payment(), Requirement::new().role("clerk")]), Reach::Could),
    ] {
        let router = GuardedRouter::<()>::new()
            .route("/", guard(requirement.clone(), axum::routing::get(|| async {})));
        let inventory = router.inventory().by_application(&registry, NOW);
        for (application, expected) in inventory.applications().iter().zip([Reach::Could, expected]) {
            let (_, reach) = inventory.routes_of(application).next().unwrap();
            assert_eq!(reach, expected, "{requirement} for {}", application.application().name());
        }
    }
}

#[test]
fn it_is_written_for_people_and_for_programs() {
    let inventory = inventory();
    let text = inventory.to_string();
    for line in [
        "web (application, owner team-shop, review by 2027-03-31)\n  ceiling  scopes [\"orders:read\"], roles all, permissions all, groups all, authorization_detail_types all\n  could  GET /read\n  never  GET /write: scope_missing\n",
        "copilot (agent, vendor Example)\n  ceiling  scopes [\"orders:read\"], roles [\"clerk\"], permissions [], groups [], authorization_detail_types []\n",
        "  table  GET /table\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let value = serde_json::to_value(&inventory).unwrap();
    assert_eq!(value[0]["owner"], "team-shop");
    assert_eq!(value[0]["review_by"], "2027-03-31");
    assert!(value[1].get("owner").is_none());
    for (application, scopes, roles, groups) in [
        (0, json!(["orders:read"]), json!("all"), json!("all")),
        (2, json!(["orders:read"]), json!(["clerk"]), json!([])),
    ] {
        let entry = &value[application];
        assert_eq!((&entry["scopes"], &entry["roles"], &entry["groups"]), (&scopes, &roles, &groups));
    }
    assert_eq!(value[3]["status"], "suspended");
    assert_eq!(value[0]["routes"][0], json!({ "method": "GET", "path": "/read", "reach": "could" }));
    assert_eq!(
        value[0]["routes"][1],
        json!({ "method": "GET", "path": "/write", "reach": "never", "reason": "scope_missing" })
    );
}
