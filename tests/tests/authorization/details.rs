//! `authorization_details` (RFC 9396): one object grants all of it.

use integration_tests::AuditLog;
use reqwest::Method;
use serde_json::{Value, json};
use tower_delegation::{DenialReason as R, Requirement, requirement::AuthorizationDetail};

use crate::{Judging, PATH, World, judge};

const US: &str = "https://bank.example.com/payments";

#[tokio::test]
async fn one_object_grants_all_of_it() {
    let world = World::new().await;
    let pay = || AuthorizationDetail::of_type("payment").action("initiate").location(US);
    let type_alone = || AuthorizationDetail::of_type("payment");
    let own = || AuthorizationDetail::of_type("account").action("read").identifier_matches_path("account");
    let (missing, malformed) = (Some(R::AuthorizationDetailMissing), Some(R::AuthorizationDetailsMalformed));
    let good =
        json!({ "type": "payment", "actions": ["initiate", "status"], "locations": ["https://other", US] });
    let with = |member: &str, value: Value| {
        let mut object = good.clone();
        object[member] = value;
        json!([object])
    };
    let rows: Vec<(&str, AuthorizationDetail, Value, Option<R>)> = vec![
        ("nothing granted", pay(), json!([]), missing),
        // 9396-2-1: an unknown type is ignored for granting.
        ("another type", pay(), with("type", json!("payment_initiation")), missing),
        ("a type in another case", pay(), with("type", json!("Payment")), missing),
        ("another action", pay(), with("actions", json!(["status"])), missing),
        ("no action", pay(), json!([{ "type": "payment", "locations": [US] }]), missing),
        // 9396-9-1: the resource server is among the locations.
        ("another location", pay(), with("locations", json!(["https://other"])), missing),
        ("a location with a slash", pay(), with("locations", json!([format!("{US}/")])), missing),
        // 9396-2-2: members of two objects are not added up.
        (
            "action here, location there",
            pay(),
            json!([
                { "type": "payment", "actions": ["initiate"], "locations": ["https://other"] },
                { "type": "payment", "actions": ["status"], "locations": [US] },
            ]),
            missing,
        ),
        (
            "type here, action there",
            pay(),
            json!([{ "type": "payment", "locations": [US] }, { "type": "x", "actions": ["initiate"], "locations": [US] }]),
            missing,
        ),
        // What limits the object and is not asked for was not checked.
        ("for one account only", pay(), with("identifier", json!("DE01")), missing),
        ("for some data only", pay(), with("datatypes", json!(["balance"])), missing),
        ("for some privilege only", pay(), with("privileges", json!(["admin"])), missing),
        ("for some place only", type_alone(), json!([{ "type": "payment", "locations": [US] }]), missing),
        ("for no action", type_alone(), json!([{ "type": "payment", "actions": [] }]), missing),
        // 9396-2.2-1: a member of the wrong type makes the object grant nothing.
        ("actions as text", pay(), with("actions", json!("initiate")), missing),
        ("an action that is a number", pay(), with("actions", json!(["initiate", 1])), missing),
        ("locations as an object", pay(), with("locations", json!({ US: US })), missing),
        ("an identifier that is a number", pay().identifier("7"), with("identifier", json!(7)), missing),
        ("privileges as text", pay(), with("privileges", json!("admin")), missing),
        ("datatypes as null", pay(), with("datatypes", json!(null)), missing),
        ("another identifier", pay().identifier("DE01"), with("identifier", json!("DE02")), missing),
        ("no identifier", pay().identifier("DE01"), json!([good]), missing),
        ("one of two datatypes", pay().datatype("a").datatype("b"), with("datatypes", json!(["a"])), missing),
        ("another privilege", pay().privilege("admin"), with("privileges", json!(["user"])), missing),
        (
            "another account",
            own(),
            json!([{ "type": "account", "actions": ["read"], "identifier": "bob" }]),
            missing,
        ),
        ("every account", own(), json!([{ "type": "account", "actions": ["read"] }]), missing),
        // The claim is not what the RFC says: nothing in it counts.
        ("an object", pay(), good.clone(), malformed),
        ("text", pay(), json!("payment"), malformed),
        ("null", pay(), json!(null), malformed),
        ("JSON in a string", pay(), json!(json!([good]).to_string()), malformed),
        ("an entry that is text", pay(), json!([good, "payment"]), malformed),
        ("an entry without type", pay(), json!([good, { "actions": ["initiate"] }]), malformed),
        ("a type that is a number", pay(), json!([good, { "type": 1 }]), malformed),
        ("a list of lists", pay(), json!([[good]]), malformed),
        ("granted", pay(), json!([good]), None),
        (
            "granted by the second",
            pay(),
            json!([{ "type": "x" }, { "type": "payment", "actions": 1 }, good]),
            None,
        ),
        ("with members of its own", pay(), with("instructedAmount", json!({ "amount": "1.00" })), None),
        ("a type alone", type_alone(), json!([{ "type": "payment" }]), None),
        ("identifier", pay().identifier("DE01"), with("identifier", json!("DE01")), None),
        ("datatypes", pay().datatype("a"), with("datatypes", json!(["b", "a"])), None),
        ("privilege", pay().privilege("admin"), with("privileges", json!(["admin"])), None),
        (
            "one's own account",
            own(),
            json!([{ "type": "account", "actions": ["read"], "identifier": "alice" }]),
            None,
        ),
    ];
    let guarded = |detail| Requirement::new().authorization_detail(detail);
    let mut requests = vec![("no claim", guarded(pay()), world.member().sign(), PATH, missing)];
    requests.extend(rows.into_iter().map(|(name, detail, claim, expected)| {
        let token = world.member().claim("authorization_details", claim).sign();
        (name, guarded(detail), token, PATH, expected)
    }));
    world.check_requests(requests).await;
}

/// 9396-3-1: scopes and details are grants of their own; the route says which it demands.
#[tokio::test]
async fn scope_and_details_are_two_grants() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let read = AuthorizationDetail::of_type("account").action("read");
    let write = AuthorizationDetail::of_type("account").action("write");
    let both = Requirement::new().authorization_detail(read.clone()).scope("orders:read");
    let two = Requirement::new().authorization_detail(read).authorization_detail(write);
    let object = |action: &str| json!({ "type": "account", "actions": [action] });
    for (name, requirement, scopes, claim, expected) in [
        (
            "a scope is no detail",
            &both,
            vec!["orders:read", "account"],
            json!([]),
            Some(R::AuthorizationDetailMissing),
        ),
        ("a detail is no scope", &both, vec!["other"], json!([object("read")]), Some(R::ScopeMissing)),
        ("one of two details", &two, vec![], json!([object("read")]), Some(R::AuthorizationDetailMissing)),
        ("both grants", &both, vec!["orders:read"], json!([object("read")]), None),
        ("two details by two objects", &two, vec![], json!([object("read"), object("write")]), None),
    ] {
        let service = world.guard(requirement.clone()).await;
        let token = world.member().scopes(scopes).claim("authorization_details", claim).sign();
        judge(name, service.request(Method::GET, PATH).bearer_auth(token), expected, &audit).await;
    }
}
