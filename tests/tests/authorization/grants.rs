//! Roles, permissions, groups, purpose, claims.

use serde_json::json;
use tower_delegation::{DenialReason as R, Requirement};

use crate::{Change, Judging, Row, World};

#[tokio::test]
async fn grants_beside_scopes() {
    let world = World::new().await;
    let new = Requirement::new;
    let same: Change = |t| t;
    let clinician: Change = |t| t.claim("roles", json!(["clinician", "staff"]));
    let granted: Change = |t| t.claim("permissions", json!(["charts:read"]));
    let member: Change = |t| t.claim("groups", json!(["ward-7"]));
    let elsewhere: Change = |t| t.claim("groups", json!(["ward-7"])).claim("has_groups", true);
    let (role, permission, group) = (Some(R::RoleMissing), Some(R::PermissionMissing), Some(R::GroupMissing));
    let rows: Vec<Row> = vec![
        ("no role", new().role("clinician"), same, role),
        ("another role", new().role("admin"), clinician, role),
        ("a part of a role", new().role("clinic"), clinician, role),
        ("one of two roles", new().role("staff").role("admin"), clinician, role),
        ("none of the roles", new().any_role(["admin", "root"]), clinician, role),
        ("a scope is no role", new().role("orders:read"), same, role),
        ("a group is no role", new().role("ward-7"), member, role),
        ("no permission", new().permission("charts:read"), same, permission),
        ("another permission", new().permission("charts:write"), granted, permission),
        ("none of the permissions", new().any_permission(["a", "b"]), granted, permission),
        ("a role is no permission", new().permission("clinician"), clinician, permission),
        ("another group", new().group("ward-8"), member, group),
        ("none of the groups", new().any_group(["a", "b"]), member, group),
        ("no groups at all", new().group("ward-7"), |t| t.claim("groups", json!([])), group),
        ("groups not known", new().group("ward-7"), same, Some(R::GroupsUnknown)),
        ("groups elsewhere", new().any_group(["ward-7"]), elsewhere, Some(R::GroupsUnknown)),
        ("role", new().role("clinician").role("staff"), clinician, None),
        ("any role", new().any_role(["admin", "staff"]), clinician, None),
        ("permission", new().permission("charts:read"), granted, None),
        ("any permission", new().any_permission(["x", "charts:read"]), granted, None),
        ("group", new().group("ward-7"), member, None),
        ("any group", new().any_group(["ward-7", "ward-8"]), member, None),
    ];
    world.check(rows).await;
}

#[tokio::test]
async fn claims_say_what_is_demanded() {
    let world = World::new().await;
    let new = Requirement::new;
    let same: Change = |t| t;
    let plan = || new().claim_equals("plan", "gold");
    let seats = || new().claim_equals("seats", "42");
    let claim = Some(R::ClaimNotAllowed);
    let purpose = || new().purpose("purpose", "treatment");
    let unfit = Some(R::PurposeNotAllowed);
    let rows: Vec<Row> = vec![
        ("absent", plan(), same, claim),
        ("another", plan(), |t| t.claim("plan", "silver"), claim),
        ("in another case", plan(), |t| t.claim("plan", "Gold"), claim),
        ("with a space", plan(), |t| t.claim("plan", "gold "), claim),
        ("null", plan(), |t| t.claim("plan", json!(null)), claim),
        ("a list with it", plan(), |t| t.claim("plan", json!(["gold"])), claim),
        ("an object with it", plan(), |t| t.claim("plan", json!({ "gold": "gold" })), claim),
        ("another number", seats(), |t| t.claim("seats", 43), claim),
        ("another spelling of the number", seats(), |t| t.claim("seats", 42.0), claim),
        ("another boolean", new().claim_equals("vip", "true"), |t| t.claim("vip", false), claim),
        ("null is no text", new().claim_equals("vip", "null"), |t| t.claim("vip", json!(null)), claim),
        (
            "a nested claim absent",
            new().claim_equals(["org", "plan"], "gold"),
            |t| t.claim("org", "gold"),
            claim,
        ),
        (
            "a nested claim outside",
            new().claim_equals(["org", "plan"], "gold"),
            |t| t.claim("plan", "gold"),
            claim,
        ),
        (
            "a dot is part of a name",
            new().claim_equals("org.plan", "gold"),
            |t| t.claim("org", json!({ "plan": "gold" })),
            claim,
        ),
        (
            "none of several",
            new().claim_one_of("plan", ["gold", "silver"]),
            |t| t.claim("plan", "bronze"),
            claim,
        ),
        ("no purpose", purpose(), same, unfit),
        ("another purpose", purpose(), |t| t.claim("purpose", "billing"), unfit),
        ("several purposes", purpose(), |t| t.claim("purpose", json!(["treatment", "billing"])), unfit),
        ("a purpose that is a number", new().purpose("purpose", "1"), |t| t.claim("purpose", 1), unfit),
        ("equal", plan(), |t| t.claim("plan", "gold"), None),
        ("equal behind an escape", plan(), |t| t.claim("plan", "gold").claim("other", "\u{e9}\n"), None),
        ("a number", seats(), |t| t.claim("seats", 42), None),
        ("a number as text", seats(), |t| t.claim("seats", "42"), None),
        ("a boolean", new().claim_equals("vip", "true"), |t| t.claim("vip", true), None),
        (
            "nested",
            new().claim_equals(["org", "plan"], "gold"),
            |t| t.claim("org", json!({ "plan": "gold" })),
            None,
        ),
        ("a registered claim", new().claim_equals("client_id", "shop-web"), same, None),
        (
            "one of several",
            new().claim_one_of("plan", ["gold", "silver"]),
            |t| t.claim("plan", "silver"),
            None,
        ),
        ("purpose", purpose(), |t| t.claim("purpose", "treatment"), None),
        (
            "one of two purposes",
            new().any_purpose("purpose", ["treatment", "billing"]),
            |t| t.claim("purpose", "billing"),
            None,
        ),
        (
            "a purpose inside",
            new().purpose(["tctx", "purpose"], "x"),
            |t| t.claim("tctx", json!({ "purpose": "x" })),
            None,
        ),
    ];
    world.check(rows).await;
}
