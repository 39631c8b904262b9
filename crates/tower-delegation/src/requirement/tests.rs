use std::time::Duration;

use super::*;
use crate::{clock::Timestamp, context::SubjectKind};

const MINUTE: Duration = Duration::from_secs(60);
const LATER: Timestamp = Timestamp::from_unix_seconds(2_000_000_000);

/// One mistake of each form: what contradicts what is shown in the crate of the declaration.
#[test]
fn mistakes_are_found() {
    let new = Requirement::new;
    let window = TimeWindow::daily;
    for (name, requirement) in [
        ("no workload pattern", new().workload("orders")),
        ("a pattern without a trust domain", new().workload("spiffe://*/orders")),
        ("one of none", new().any_scope([""; 0])),
        ("both ways", new().delegated().not_delegated()),
        ("a service as a user", new().on_behalf_of_user().subject_kind(SubjectKind::Service)),
        ("a scope beyond", new().scope("a").scopes_within(["b"])),
        ("an audience beyond", new().audience("a").audiences_within(["b"])),
        ("two clients", new().client("a").client("b")),
        ("two kinds", new().subject_kind(SubjectKind::User).subject_kind(SubjectKind::Service)),
        ("an unknown kind", new().subject_kind(SubjectKind::Unknown)),
        ("two actors of issuers", new().actor_of("i", "a").actor_of("i", "b")),
        ("two windows", new().time_window(window((8, 0), (9, 0))).time_window(window((9, 0), (10, 0)))),
        ("two purposes", new().purpose("purpose", "a").purpose("purpose", "b")),
        ("a claim of an earlier actor", new().claim_equals(["act", "act", "sub"], "a")),
        ("the chain by a header field", new().claim_matches_header(["act", "sub"], "x-actor")),
        ("the chain as a purpose", new().any_purpose(["act", "act"], ["a"])),
        ("no audience at all", new().audiences_within([""; 0])),
        ("no lifetime", new().max_token_lifetime(Duration::ZERO)),
        ("a detail without type", new().authorization_detail(AuthorizationDetail::of_type(""))),
        (
            "a detail with an empty action",
            new().authorization_detail(AuthorizationDetail::of_type("a").action("")),
        ),
        ("a claim without name", new().claim_equals("", "a")),
        ("a claim of two values", new().claim_equals("a", "1").claim_equals("a", "2")),
        ("no header field", new().tenant_matches_header("a b")),
        ("purposes of two claims", new().purpose("a", "x").purpose("b", "x")),
        ("no risk is low enough", new().risk_below("device", 0)),
        ("a window of no time", new().time_window(window((8, 0), (8, 0)))),
        ("all of nothing", new().all_of([])),
        ("any of nothing", new().any_of([])),
        ("a part that demands nothing", new().any_of([new().scope("a"), new()])),
        ("not of nothing", new().not(new())),
        ("a mistake in a part", new().all_of([new().any_of([new().scope("a b")])])),
        ("a contradiction in a part", new().not(new().delegated().not_delegated())),
        ("a part in shadow mode", new().all_of([new().scope("a").shadow()])),
        ("a part with an exception", new().any_of([new().scope("a").exception("because", LATER)])),
        ("an exception without a reason", new().exception(" ", LATER)),
        ("an exception in shadow mode", new().shadow().exception("because", LATER)),
        ("shadow mode under an exception", new().exception("because", LATER).shadow()),
        ("two exceptions", new().exception("because", LATER).exception("because", LATER)),
    ] {
        assert!(requirement.checked().is_err(), "{name}");
    }
}

#[test]
fn consistent_requirements_pass() {
    let new = Requirement::new;
    for (name, requirement) in [
        ("nothing", new()),
        ("an actor", new().delegated().actor("bot")),
        ("a user", new().on_behalf_of_user().subject_kind(SubjectKind::User)),
        ("two scopes, two roles", new().scope("a").scope("b").role("a").role("b").any_role(["c", "d"])),
        ("two bounds", new().max_token_age(MINUTE).max_token_age(MINUTE * 2).max_actors(1).max_actors(2)),
        ("a choice of one", new().any_client(["a"]).any_scope(["a"])),
        ("the same twice", new().delegated().delegated()),
        ("one of two actors denied", new().any_actor(["a", "b"]).deny_actor("a")),
        ("a scope within", new().scopes_within(["a", "b"]).scope("a").any_scope(["b", "c"])),
        ("no scope at all", new().scopes_within([])),
        ("choices that meet", new().claim_one_of("a", ["1", "2"]).claim_one_of("a", ["2", "3"])),
        ("one claim, another claim", new().claim_equals("a", "1").claim_equals("b", "2")),
        ("no actors", new().max_actors(0).not_delegated()),
        ("authenticated right now", new().max_authentication_age(Duration::ZERO)),
        ("shadow mode", new().scope("a").shadow()),
    ] {
        assert!(requirement.checked().is_ok(), "{name}");
    }
}

#[test]
fn a_challenge_names_what_is_needed() {
    let new = Requirement::new;
    let scope = |requirement: &Requirement| requirement.needs().map(|needs| needs.scope);
    let requirement = new().scopes(["a", "b"]).any_scope(["c", "d"]);
    assert_eq!(scope(&requirement).as_deref(), Some("a b c"));
    let composed = requirement
        .all_of([new().scope("e"), new().scope("a")])
        .any_of([new().scope("f"), new().scope("g")])
        .not(new().scope("h"));
    assert_eq!(scope(&composed).as_deref(), Some("a b c e f"));
    assert_eq!(new().acr("mfa").max_authentication_age(MINUTE).needs(), None, "not before the token is good");
}

#[test]
fn it_describes_itself_in_the_order_of_its_checks() {
    let detail =
        AuthorizationDetail::of_type("payment").action("initiate").identifier_matches_path("account");
    let requirement = Requirement::named("everything")
        .scope("a")
        .any_scope(["b", "c"])
        .any_acr(["mfa", "pin"])
        .max_authentication_age(MINUTE)
        .any_of([Requirement::named("one").client("shop"), Requirement::named("two").mutual_tls()])
        .not(Requirement::named("no").deny_actor("bot").deny_actor("worm"))
        .authorization_detail(detail)
        .role("admin")
        .any_group(["x", "y"])
        .any_purpose("purpose", ["treatment", "billing"])
        .claim_equals(["realm", "name"], "acme")
        .claim_one_of("plan", ["gold", "silver"])
        .claim_matches_path("account", "id")
        .tenant_matches_header("X-Tenant")
        .subject_matches_path("user")
        .risk_below("device", 70)
        .risk_below("place", 50)
        .time_window(TimeWindow::daily((8, 0), (18, 0)).on([Weekday::Friday]).utc_offset_minutes(-60))
        .subject_kind(SubjectKind::User)
        .on_behalf_of_user()
        .max_actors(2)
        .actor_of("https://idp", "agent")
        .sender_constrained()
        .any_workload(["spiffe://prod/shop/*", "spiffe://prod/desk"])
        .issuer("https://idp")
        .audiences_within(["api"])
        .scopes_within([])
        .any_scope([""; 0])
        .max_token_age(MINUTE)
        .exception("migration \"42\"", LATER);
    let json = serde_json::to_string(&requirement).unwrap();
    assert_eq!(
        json,
        concat!(
            r#"{"name":"everything","issuer":"https://idp","audiences_within":["api"],"scopes_within":[],"#,
            r#""max_token_age":60,"sender_constrained":true,"#,
            r#""workload":{"any":["spiffe://prod/shop/*","spiffe://prod/desk"]},"#,
            r#""subject_kind":"user","on_behalf_of_user":true,"max_actors":2,"#,
            r#""actor_of":{"issuer":"https://idp","actor":"agent"},"#,
            r#""time_window":{"start":"08:00","end":"18:00","utc_offset_minutes":-60,"days":["friday"]},"#,
            r#""risk_below":{"all":[{"signal":"device","level":70},{"signal":"place","level":50}]},"#,
            r#""claim_equals":{"claim":["realm","name"],"value":"acme"},"#,
            r#""claim_one_of":{"claim":"plan","value":{"any":["gold","silver"]}},"#,
            r#""claim_matches_path":{"claim":"account","parameter":"id"},"#,
            r#""tenant_matches_header":"x-tenant","subject_matches_path":"user","#,
            r#""purpose":{"claim":"purpose","purpose":{"any":["treatment","billing"]}},"#,
            r#""role":"admin","group":{"any":["x","y"]},"#,
            r#""authorization_detail":{"type":"payment","actions":["initiate"],"identifier_matches_path":"account"},"#,
            r#""any_of":[{"name":"one","client":"shop"},{"name":"two","mutual_tls":true}],"#,
            r#""not":{"name":"no","deny_actor":{"all":["bot","worm"]}},"#,
            r#""acr":{"any":["mfa","pin"]},"max_authentication_age":60,"#,
            r#""scope":{"all":["a",{"any":["b","c"]},{"any":[]}]},"#,
            r#""exception":{"reason":"migration \"42\"","until":2000000000}}"#,
        )
    );
    let _: serde_json::Value = serde_json::from_str(&json).unwrap();
    let line = Requirement::named("a\nb")
        .role("x\u{1b}")
        .any_client(["shop", "desk"])
        .scope("c")
        .any_scope(["a", "b"])
        .shadow();
    let expected =
        r#"a\nb: client any [ "shop", "desk" ]; role "x\u{1b}"; scope all [ "c", any [ "a", "b" ] ]; shadow"#;
    assert_eq!(line.to_string(), expected);
    assert_eq!(Requirement::named("open").to_string(), "open: a verified token");
}

#[test]
fn every_mistake_is_kept() {
    let part = Requirement::named("part").scope("a b");
    let requirement = Requirement::named("r")
        .client("a")
        .client("b")
        .workload("orders")
        .delegated()
        .not_delegated()
        .tenant_matches_header("host")
        .any_of([part, Requirement::new()]);
    let error = requirement.checked().unwrap_err();
    let mistakes: Vec<String> = error.mistakes().map(ToString::to_string).collect();
    assert!(mistakes.iter().all(|mistake| mistake.starts_with("requirement \"r\"")), "{mistakes:#?}");
    for (name, expected) in [
        ("the second client", "`client`: `client` is demanded already"),
        ("the pattern", "`workload`: "),
        ("the contradiction", "`delegated` and `not_delegated` exclude each other"),
        ("the header field", "`tenant_matches_header`: "),
        ("the part's scope", "`any_of`: `scope`: the scope contains a space"),
        ("the empty part", "`any_of`: a part of it demands nothing"),
    ] {
        assert!(mistakes.iter().any(|mistake| mistake.contains(expected)), "{name}: {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
}
