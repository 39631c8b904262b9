//! Requirements made of requirements.

use serde_json::json;
use tower_delegation::{DenialReason as R, Requirement, SubjectKind};

use crate::{Change, Judging, Row, World};

#[tokio::test]
async fn parts_alternatives_and_exclusions() {
    let world = World::new().await;
    let new = Requirement::new;
    let same: Change = |t| t;
    let read = || new().scope("orders:read");
    let web = || new().client("shop-web");
    let admin = || new().role("admin");
    let excluded = Some(R::Excluded);
    let rows: Vec<Row> = vec![
        ("one part fails", new().all_of([web(), new().scope("x")]), same, Some(R::ScopeMissing)),
        (
            "both parts fail: what nothing cures",
            new().all_of([new().scope("x"), admin()]),
            same,
            Some(R::RoleMissing),
        ),
        ("own demand first", new().tenant("x").all_of([new().issuer("x")]), same, Some(R::TenantMismatch)),
        ("no alternative: the first", new().any_of([admin(), new().client("x")]), same, Some(R::RoleMissing)),
        (
            "no alternative: the curable",
            new().any_of([admin(), new().scope("x")]),
            same,
            Some(R::ScopeMissing),
        ),
        (
            "no alternative: the first curable",
            new().any_of([admin(), new().acr("x"), new().scope("x")]),
            same,
            Some(R::AuthenticationTooWeak),
        ),
        (
            "two choices",
            new().any_of([web(), admin()]).any_of([admin(), new().client("x")]),
            same,
            Some(R::RoleMissing),
        ),
        ("a choice in a choice", new().any_of([new().any_of([admin()])]), same, Some(R::RoleMissing)),
        ("the case", new().not(web()), same, excluded),
        ("the case, in all", new().not(web().scope("orders:read")), same, excluded),
        (
            "one of two is the case",
            new().not(admin()).not(web()),
            |t| t.claim("roles", json!(["x"])),
            excluded,
        ),
        ("one alternative is the case", new().not(new().any_of([admin(), web()])), same, excluded),
        ("not not", new().not(new().not(new().client("x"))), same, excluded),
        // What is absent or not known may be the case all the same.
        ("roles not known", new().not(admin()), same, excluded),
        ("groups not known", new().not(new().group("contractors")), same, excluded),
        ("permissions not known", new().not(new().permission("all")), same, excluded),
        ("claim absent", new().not(new().claim_equals("region", "us")), same, excluded),
        (
            "claim malformed",
            new().not(new().claim_equals("region", "us")),
            |t| t.claim("region", json!(["us"])),
            excluded,
        ),
        (
            "parameter not known",
            new().not(new().claim_matches_path("account", "id")),
            |t| t.claim("account", "x"),
            excluded,
        ),
        ("header absent", new().not(new().tenant_matches_header("x-tenant")), same, excluded),
        ("class absent", new().not(new().acr("pwd")), same, excluded),
        ("tenant absent", new().not(new().tenant("globex")), |t| t.without("tenant"), excluded),
        ("workload not known", new().not(new().workload("spiffe://prod/x")), same, excluded),
        ("details absent", new().not(new().authorization_detail(detail())), same, excluded),
        (
            "details malformed",
            new().not(new().authorization_detail(detail())),
            |t| t.claim("authorization_details", "x"),
            excluded,
        ),
        (
            "a detail whose list is a text",
            new().not(new().authorization_detail(detail().action("a"))),
            |t| t.claim("authorization_details", json!([{ "type": "x", "actions": "a" }])),
            excluded,
        ),
        (
            "a detail whose list holds more than texts",
            new().not(new().authorization_detail(detail().action("a"))),
            |t| t.claim("authorization_details", json!([{ "type": "x", "actions": ["a", 1] }])),
            excluded,
        ),
        (
            "a detail whose identifier is a number",
            new().not(new().authorization_detail(detail().identifier("1"))),
            |t| t.claim("authorization_details", json!([{ "type": "x", "identifier": 1 }])),
            excluded,
        ),
        (
            "a detail by a parameter that is not known",
            new().not(new().authorization_detail(detail().identifier_matches_path("id"))),
            |t| t.claim("authorization_details", json!([{ "type": "x", "identifier": "1" }])),
            excluded,
        ),
        (
            "another detail's malformed list",
            new().not(new().authorization_detail(detail().action("a"))),
            |t| t.claim("authorization_details", json!([{ "type": "other", "actions": "a" }])),
            None,
        ),
        ("purpose absent", new().not(new().purpose("purpose", "x")), same, excluded),
        ("not known, twice turned", new().not(new().not(new().group("x"))), same, excluded),
        (
            "an alternative not known",
            new().not(new().any_of([new().client("x"), new().group("x")])),
            same,
            excluded,
        ),
        ("a part not known", new().not(new().all_of([new().group("x")])), same, excluded),
        ("all parts", new().all_of([web(), read()]), same, None),
        ("an alternative", new().any_of([admin(), read()]), same, None),
        (
            "parts of alternatives",
            new().all_of([new().any_of([admin(), web()]), new().any_of([read(), admin()])]),
            same,
            None,
        ),
        ("not the case", new().not(new().client("x")), same, None),
        ("one part is not the case", new().not(web().scope("x")), same, None),
        (
            "neither alternative is",
            new().not(new().any_of([new().client("x"), new().tenant("x")])),
            same,
            None,
        ),
        ("not not the case", new().not(new().not(web())), same, None),
        ("another role", new().not(admin()), |t| t.claim("roles", json!(["staff"])), None),
        ("another group", new().not(new().group("x")), |t| t.claim("groups", json!([])), None),
        ("another claim", new().not(new().claim_equals("region", "us")), |t| t.claim("region", "eu"), None),
        ("no actor is no bot", new().not(new().actor("bot")), same, None),
        ("a user is no service", new().not(new().subject_kind(SubjectKind::Service)), same, None),
    ];
    world.check(rows).await;
}

/// In any order of writing and of the checks: what certainly fails decides, beside
/// what is unknown. Alone, what is unknown denies.
#[tokio::test]
async fn a_certain_failure_outweighs_what_is_unknown() {
    let world = World::new().await;
    let new = Requirement::new;
    let excluded = Some(R::Excluded);
    let no_tenant: Change = |t| t.without("tenant");
    // Another class is certain, another tenant as well.
    let weak: Change = |t| t.without("tenant").acr("pwd");
    let same: Change = |t| t;
    let rows: Vec<Row> = vec![
        ("unknown, then certain", new().not(new().tenant("acme").client("x")), no_tenant, None),
        ("certain, then unknown", new().not(new().client("x").tenant("acme")), no_tenant, None),
        ("certain first in the checks", new().not(new().tenant("x").acr("mfa")), same, None),
        ("written last, checked first", new().not(new().acr("mfa").tenant("x")), same, None),
        ("unknown, then what is cured", new().not(new().tenant("acme").acr("mfa")), weak, None),
        (
            "between two that are unknown",
            new().not(new().group("x").client("x").tenant("acme")),
            no_tenant,
            None,
        ),
        ("in parts", new().not(new().all_of([new().tenant("acme"), new().client("x")])), no_tenant, None),
        (
            "in parts, turned",
            new().not(new().all_of([new().client("x"), new().tenant("acme")])),
            no_tenant,
            None,
        ),
        ("both unknown", new().not(new().tenant("acme").group("x")), no_tenant, excluded),
        ("unknown, and the case", new().not(new().tenant("acme").client("shop-web")), no_tenant, excluded),
        ("the case, and unknown", new().not(new().client("shop-web").tenant("acme")), no_tenant, excluded),
        (
            "an alternative that is unknown",
            new().not(new().any_of([new().tenant("acme"), new().client("x")])),
            no_tenant,
            excluded,
        ),
        (
            "the other alternative",
            new().not(new().any_of([new().client("x"), new().tenant("acme")])),
            no_tenant,
            excluded,
        ),
    ];
    world.check(rows).await;
}

/// RFC 8693 section 4.1: only the current actor counts, whatever is built around it.
#[tokio::test]
async fn earlier_actors_grant_through_no_composition() {
    let world = World::new().await;
    let new = Requirement::new;
    let idp = world.idp.issuer().to_owned();
    let chain: Change = |t| t.actor("copilot").earlier_actor("planner");
    let (other, excluded) = (Some(R::ActorNotAllowed), Some(R::Excluded));
    let planner = || new().actor("planner");
    let rows: Vec<Row> = vec![
        ("in all", new().all_of([planner()]), chain, other),
        ("in any", new().any_of([planner(), new().actor_of(idp.as_str(), "planner")]), chain, other),
        ("among others", new().any_actor(["planner", "bot"]), chain, other),
        ("not not", new().not(new().not(planner())), chain, excluded),
        ("not denied", new().not(new().deny_actor("planner")), chain, excluded),
        ("not so few", new().not(new().max_actors(1)), chain, excluded),
        ("not not denied, in all", new().all_of([new().not(new().deny_actor("planner"))]), chain, excluded),
        ("the current one", new().any_of([planner(), new().actor("copilot")]), chain, None),
        ("not the current one", new().not(planner()), chain, None),
    ];
    world.check(rows).await;

    let earlier = ["act", "act", "sub"];
    for (name, requirement) in [
        ("equal", new().claim_equals(earlier, "planner")),
        ("one of", new().claim_one_of(earlier, ["planner", "bot"])),
        ("path", new().claim_matches_path(earlier, "account")),
        ("header", new().claim_matches_header(earlier, "x-agent")),
        ("purpose", new().purpose(earlier, "planner")),
        ("the current one as a claim", new().claim_equals(["act", "sub"], "copilot")),
    ] {
        for (around, requirement) in [
            ("by itself", requirement.clone()),
            ("in all", new().all_of([requirement.clone()])),
            ("in any", new().any_of([new().client("shop-web"), requirement.clone()])),
            ("excluded", new().not(requirement.clone())),
        ] {
            let error = tower_delegation::RequireLayer::new(requirement).unwrap_err().to_string();
            assert!(error.contains("chain of actors"), "{name}, {around}: {error}");
        }
    }
}

fn detail() -> tower_delegation::requirement::AuthorizationDetail {
    tower_delegation::requirement::AuthorizationDetail::of_type("x")
}
