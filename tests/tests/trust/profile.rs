//! What the profile of RFC 9068 grants by section 2.2.3.1, at a service over HTTP.

use axum::routing::get;
use integration_tests::{Served, World, whoami};
use serde_json::{Value, json};
use tower_delegation::{
    DelegationLayer, Requirement, TrustedIssuer,
    issuer::{ClaimMapping, NameForm},
    layer::RequireLayer,
};
use tower_delegation_testing::USER_CLAIM;

const ROUTES: [&str; 4] = ["/role", "/permission", "/group", "/scope"];

/// A service that demands `orders:refund` on each route: as a role, a permission, a
/// group, a scope; and on `/not` that it is no role.
async fn serve(world: &World, issuer: TrustedIssuer) -> Served {
    let name = "orders:refund";
    let guard = |requirement: Requirement| RequireLayer::new(requirement).unwrap();
    let router = whoami()
        .route("/role", get(async || "").layer(guard(Requirement::new().role(name))))
        .route("/permission", get(async || "").layer(guard(Requirement::new().permission(name))))
        .route("/group", get(async || "").layer(guard(Requirement::new().group(name))))
        .route("/scope", get(async || "").layer(guard(Requirement::new().scope(name))))
        .route("/not", get(async || "").layer(guard(Requirement::new().not(Requirement::new().role(name)))));
    let layer = DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone());
    Served::start(router.layer(layer.build().unwrap())).await
}

/// Sends a token with these claims to each route, and returns those that are open.
async fn open(world: &World, site: &Served, name: &str, claims: &Value) -> Vec<&'static str> {
    let mut token = world.token();
    for (claim, value) in claims.as_object().unwrap() {
        token = token.claim(claim, value.clone());
    }
    let token = token.sign();
    assert_eq!(site.get("/", &token).await.status, 200, "{name}: the token itself is good");
    let mut open = Vec::new();
    for route in ROUTES {
        let status = site.get(route, &token).await.status;
        assert!([200, 403].contains(&status), "{name} {route}: {status}");
        if status == 200 {
            open.push(route);
        }
    }
    open
}

/// 9068-2.2.3.1-1: `roles`, `groups` and `entitlements`, as in RFC 7643 section 4.1.2,
/// each in its own set and never as scopes.
#[tokio::test]
async fn roles_groups_and_entitlements_are_read_by_default() {
    let world = World::new().await;
    let mapping = ClaimMapping::rfc9068().add_user_claim(USER_CLAIM);
    let default = serve(&world, world.issuer().claim_mapping(mapping)).await;
    let it = "orders:refund";
    for (name, claims, expected) in [
        ("a role", json!({ "roles": ["clerk", it] }), vec!["/role"]),
        ("an entitlement", json!({ "entitlements": [it] }), vec!["/permission"]),
        ("a group", json!({ "groups": [it] }), vec!["/group"]),
        (
            "each as a value",
            json!({ "roles": [{ "value": it }], "groups": [{ "value": it, "display": "x" }], "entitlements": ["x", { "value": it }] }),
            vec!["/role", "/permission", "/group"],
        ),
        ("the name for people", json!({ "groups": [{ "value": "g-1", "display": it }] }), vec![]),
        ("a part of a name", json!({ "roles": ["orders", "refund", "orders:refund:all"] }), vec![]),
        ("in other letters", json!({ "roles": ["Orders:Refund"], "Groups": [it] }), vec![]),
        ("a text", json!({ "roles": it, "entitlements": it, "groups": it }), vec![]),
        ("one entry of another type", json!({ "roles": [it, 1], "groups": [it, null] }), vec![]),
        ("an entry without a value", json!({ "roles": [it, { "display": it }] }), vec![]),
        ("member names", json!({ "roles": { it: {} }, "entitlements": { "value": it } }), vec![]),
        (
            "inside another claim",
            json!({ "ext": { "roles": [it] }, "realm_access": { "roles": [it] } }),
            vec![],
        ),
        (
            "by other names",
            json!({ "role": [it], "permissions": [it], "group": [it], "authorities": [it] }),
            vec![],
        ),
        ("null", json!({ "roles": null, "entitlements": null, "groups": null }), vec![]),
    ] {
        assert_eq!(open(&world, &default, name, &claims).await, expected, "{name}");
    }
    // What cannot be read is not known: it does not prove the absence of a role either.
    for (name, roles, status) in [
        ("another role", json!(["clerk"]), 200),
        ("the role", json!([it]), 403),
        ("the role as a value", json!([{ "value": it }]), 403),
        ("a text", json!("clerk"), 403),
        ("a value of another type", json!([{ "value": 1 }]), 403),
    ] {
        let token = world.token().claim("roles", roles).sign();
        assert_eq!(default.get("/not", &token).await.status, status, "not: {name}");
    }
}

/// A mapping that names a claim itself replaces what the default makes of it; a
/// preset reads what its provider writes, and no more.
#[tokio::test]
async fn a_mapping_of_ones_own_replaces_the_default() {
    let world = World::new().await;
    let it = "orders:refund";
    let new = || ClaimMapping::rfc9068().add_user_claim(USER_CLAIM);
    let all = json!({ "roles": [it], "entitlements": [it], "groups": [it] });
    for (name, mapping, claims, expected) in [
        ("none", new().without_roles().without_permissions().without_groups(), all.clone(), vec![]),
        ("no roles", new().without_roles(), all.clone(), vec!["/permission", "/group"]),
        (
            "groups as roles",
            new().without_roles().add_roles("groups"),
            all.clone(),
            vec!["/role", "/permission"],
        ),
        ("in one form", new().add_roles_as("roles", NameForm::String), json!({ "roles": it }), vec!["/role"]),
        (
            "not in the default's form",
            new().add_roles_as("roles", NameForm::String),
            json!({ "roles": [it] }),
            vec![],
        ),
        ("an array of names", new().add_groups("groups"), json!({ "groups": [{ "value": it }] }), vec![]),
        (
            "one more claim",
            new().add_roles("duties"),
            json!({ "roles": ["x"], "duties": [it] }),
            vec!["/role"],
        ),
        (
            "one of two is malformed",
            new().add_roles("duties"),
            json!({ "roles": "x", "duties": [it] }),
            vec![],
        ),
        (
            "from a file",
            new().add_roles(vec!["ext".to_owned(), "duties".to_owned()]),
            json!({ "ext": { "duties": [it] } }),
            vec!["/role"],
        ),
        (
            "a dot from a file",
            new().add_roles("ext.duties".to_owned()),
            json!({ "ext": { "duties": [it] } }),
            vec![],
        ),
    ] {
        let site = serve(&world, world.issuer().claim_mapping(mapping)).await;
        assert_eq!(open(&world, &site, name, &claims).await, expected, "{name}");
    }
    let keycloak = ClaimMapping::keycloak().client("client_id");
    let site = serve(&world, world.issuer().claim_mapping(keycloak)).await;
    assert_eq!(open(&world, &site, "a preset", &all).await, [""; 0]);
    let realm = json!({ "realm_access": { "roles": [it] } });
    assert_eq!(open(&world, &site, "a preset's own", &realm).await, ["/role"]);
}
