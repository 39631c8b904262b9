//! What each preset makes of the tokens that its provider issues.

use serde_json::{Value, json};
use tower_delegation::{
    DelegationContext, DenialReason, RequestFacts, Requirement,
    issuer::{ClaimMapping, ScopeForm},
    requirement::Decision,
};

use crate::{Mint, NOW, with};

const AUDIENCE: &str = "https://api.example.com";
const TENANT: &str = "aaaabbbb-0000-cccc-1111-dddd2222eeee";

/// What every token here has.
fn claims(issuer: &str, own: &Value) -> Value {
    with(&json!({ "iss": issuer, "aud": AUDIENCE, "iat": NOW - 100, "exp": NOW + 100 }), own)
}

pub(crate) fn keycloak() -> Value {
    claims(
        "https://sso.example.com/realms/shop",
        &json!({
            "sub": "51f8ba90-dd4e-4de3-a86e-15ca60d6861b", "typ": "Bearer", "azp": "shop-web", "jti": "j1",
            "sid": "s1", "scope": "openid profile orders:read", "preferred_username": "alice",
            "realm_access": { "roles": ["offline_access", "auditor"] },
            "resource_access": { "my.api": { "roles": ["clerk"] } },
        }),
    )
}

pub(crate) fn entra_v1() -> Value {
    claims(
        &format!("https://sts.windows.net/{TENANT}/"),
        &json!({
            "sub": "pairwise", "oid": "o-alice", "appid": "app-1", "scp": "Orders.Read Orders.Write",
            "roles": ["Clerk"], "tid": TENANT, "uti": "u1", "ver": "1.0",
        }),
    )
}

pub(crate) fn entra_v2() -> Value {
    let claims = with(&entra_v1(), &json!({ "appid": null, "azp": "app-1", "ver": "2.0" }));
    with(&claims, &json!({ "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0") }))
}

pub(crate) fn auth0() -> Value {
    claims(
        "https://tenant.auth0.com/",
        &json!({
            "sub": "auth0|123456", "aud": [AUDIENCE, "https://tenant.auth0.com/userinfo"], "azp": "shop-web",
            "scope": "openid orders:read", "permissions": ["orders:write"], "org_id": "org_1",
        }),
    )
}

pub(crate) fn okta() -> Value {
    claims(
        "https://example.okta.com/oauth2/default",
        &json!({
            "ver": 1, "jti": "AT.1", "cid": "shop-web", "uid": "00u1", "sub": "alice@example.com",
            "scp": ["orders:read", "profile"], "groups": ["Everyone"],
        }),
    )
}

pub(crate) fn cognito() -> Value {
    let own = json!({
        "aud": null, "sub": "aaaa-bbbb", "token_use": "access", "client_id": "shop-web", "username": "alice",
        "scope": "orders/read", "cognito:groups": ["clerks"], "jti": "j1", "origin_jti": "j0",
    });
    claims("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_pool", &own)
}

pub(crate) fn ping_one() -> Value {
    claims(
        "https://auth.pingone.com/env-1/as",
        &json!({
            "aud": [AUDIENCE], "client_id": "shop-web", "jti": "j1", "scope": "orders:read", "sub": "alice",
            "sid": "s1", "auth_time": NOW - 200, "env": "env-1", "org": "org-1", "p1.userId": "u-1",
        }),
    )
}

pub(crate) fn ping_federate() -> Value {
    let own = json!({ "Username": "alice", "client_id": "shop-web", "scope": ["orders:read", "profile"] });
    claims("https://sso.example.com", &own)
}

pub(crate) fn curity() -> Value {
    claims(
        "https://login.example.com/oauth/v2/oauth-anonymous",
        &json!({ "jti": "j1", "sub": "35996a48", "scope": "openid", "purpose": "access_token" }),
    )
}

pub(crate) fn kubernetes() -> Value {
    claims(
        "https://kubernetes.default.svc.cluster.local",
        &json!({
            "aud": [AUDIENCE], "sub": "system:serviceaccount:shop:orders",
            "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "orders", "uid": "u" } },
        }),
    )
}

/// Every preset with a token of a user, or of what it is for, and the `typ` it comes with.
pub(crate) fn all() -> Vec<(&'static str, ClaimMapping, Option<&'static str>, Value)> {
    vec![
        ("keycloak", ClaimMapping::keycloak(), Some("JWT"), keycloak()),
        ("entra_v1", ClaimMapping::entra_v1(), Some("JWT"), entra_v1()),
        ("entra_v2", ClaimMapping::entra_v2(), Some("JWT"), entra_v2()),
        ("auth0", ClaimMapping::auth0(), Some("JWT"), auth0()),
        ("okta", ClaimMapping::okta(), None, okta()),
        ("cognito", ClaimMapping::cognito(["shop-web"]), None, cognito()),
        ("ping_one", ClaimMapping::ping_one(), Some("JWT"), ping_one()),
        ("ping_federate", ClaimMapping::ping_federate("Username", "client_id"), None, ping_federate()),
        ("curity", ClaimMapping::curity(), None, curity()),
        ("kubernetes", ClaimMapping::kubernetes_service_account(), None, kubernetes()),
    ]
}

/// The audience to configure: none where the provider issues none.
pub(crate) fn audience(claims: &Value) -> Option<&'static str> {
    claims.get("aud").map(|_| AUDIENCE)
}

/// One line that tells everything that is mapped.
fn summary(delegation: &DelegationContext) -> String {
    let subject = delegation.subject();
    let client = delegation.client().map_or("-", |client| client.as_str());
    let list = |names: Vec<&str>| names.join(",");
    format!(
        "{} {} via {client}; scopes {}; roles {}; permissions {}; groups {}; tenant {}; session {}; actors {}",
        subject.kind().as_str(),
        subject.id(),
        list(delegation.scopes().iter().collect()),
        list(delegation.roles().unwrap().iter().collect()),
        list(delegation.permissions().unwrap().iter().collect()),
        delegation.groups().unwrap().map_or("?".to_owned(), |groups| list(groups.iter().collect())),
        delegation.tenant().unwrap().map_or("-", |tenant| tenant.as_str()),
        delegation.session_id().map_or("-", |session| session.as_str()),
        list(delegation.actors().iter().map(|actor| actor.id().as_str()).collect()),
    )
}

#[tokio::test]
async fn tokens_of_users() {
    let mint = Mint::new().await;
    let expected = [
        (
            "keycloak",
            "user 51f8ba90-dd4e-4de3-a86e-15ca60d6861b via shop-web; scopes openid,profile,orders:read; \
             roles offline_access,auditor; permissions ; groups ?; tenant -; session s1; actors ",
        ),
        (
            "entra_v1",
            "user o-alice via app-1; scopes Orders.Read,Orders.Write; roles Clerk; permissions ; groups ?; \
             tenant aaaabbbb-0000-cccc-1111-dddd2222eeee; session -; actors ",
        ),
        (
            "entra_v2",
            "user o-alice via app-1; scopes Orders.Read,Orders.Write; roles Clerk; permissions ; groups ?; \
             tenant aaaabbbb-0000-cccc-1111-dddd2222eeee; session -; actors ",
        ),
        (
            "auth0",
            "user auth0|123456 via shop-web; scopes openid,orders:read; roles ; permissions orders:write; \
             groups ?; tenant org_1; session -; actors ",
        ),
        (
            "okta",
            "user 00u1 via shop-web; scopes orders:read,profile; roles ; permissions ; groups Everyone; \
             tenant -; session -; actors ",
        ),
        (
            "cognito",
            "user aaaa-bbbb via shop-web; scopes orders/read; roles ; permissions ; groups clerks; tenant -; \
             session -; actors ",
        ),
        (
            "ping_one",
            "user alice via shop-web; scopes orders:read; roles ; permissions ; groups ?; tenant env-1; \
             session s1; actors ",
        ),
        (
            "ping_federate",
            "unknown alice via shop-web; scopes orders:read,profile; roles ; permissions ; groups ?; \
             tenant -; session -; actors ",
        ),
        (
            "curity",
            "unknown 35996a48 via -; scopes openid; roles ; permissions ; groups ?; tenant -; session -; actors ",
        ),
        (
            "kubernetes",
            "service system:serviceaccount:shop:orders via -; scopes ; roles ; permissions ; groups ?; \
             tenant shop; session -; actors ",
        ),
    ];
    let presets = all();
    assert_eq!(presets.len(), expected.len());
    for ((name, mapping, typ, claims), (of, expected)) in presets.into_iter().zip(expected) {
        assert_eq!(name, of);
        let audience = audience(&claims);
        let delegation = mint.map(mapping, audience, typ, &claims).await;
        assert_eq!(summary(&delegation.unwrap()), expected, "{name}");
    }
}

#[tokio::test]
async fn kinds_of_subjects() {
    let mint = Mint::new().await;
    let rows = [
        (
            "keycloak",
            "a service account",
            json!({ "preferred_username": "service-account-SHOP-web", "client_id": "shop-web" }),
            "service",
        ),
        (
            "keycloak",
            "a service account of an older version",
            json!({ "preferred_username": "service-account-shop-web", "clientId": "shop-web" }),
            "service",
        ),
        (
            "keycloak",
            "a person who chose the name of the client's account",
            json!({ "preferred_username": "service-account-shop-web" }),
            "unknown",
        ),
        (
            "keycloak",
            "another client's service account",
            json!({ "preferred_username": "service-account-x", "client_id": "shop-web" }),
            "unknown",
        ),
        ("keycloak", "two names", json!({ "preferred_username": ["alice", "service-account-x"] }), "unknown"),
        ("keycloak", "a name that is none", json!({ "preferred_username": 1 }), "unknown"),
        ("keycloak", "no name", json!({ "preferred_username": null }), "unknown"),
        ("entra_v1", "marked as an application", json!({ "idtyp": "app" }), "service"),
        (
            "entra_v1",
            "an application by its identifiers",
            json!({ "scp": null, "sub": "o-alice" }),
            "service",
        ),
        ("entra_v1", "neither", json!({ "scp": null }), "unknown"),
        ("entra_v2", "an agent's user", json!({ "idtyp": "user", "xms_sub_fct": "3 13" }), "unknown"),
        ("entra_v2", "no agent's user", json!({ "xms_sub_fct": "3 113" }), "user"),
        ("auth0", "by the grant", json!({ "gty": "client-credentials" }), "service"),
        ("auth0", "by the name", json!({ "sub": "shop-web@clients" }), "service"),
        ("auth0", "by another client's name", json!({ "sub": "other@clients" }), "unknown"),
        ("auth0", "a person who chose such a name", json!({ "sub": "auth0|shop-web@clients" }), "unknown"),
        (
            "auth0",
            "after a refresh: grants of a person",
            json!({ "gty": ["refresh_token", "password"] }),
            "user",
        ),
        ("auth0", "grants of both", json!({ "gty": ["password", "client-credentials"] }), "unknown"),
        ("auth0", "no readable grant", json!({ "gty": { "grant": "password" } }), "unknown"),
        ("auth0", "a grant that is a number", json!({ "gty": 1 }), "unknown"),
        ("auth0", "an agent", json!({ "sub_profile": "service ai_agent" }), "service"),
        ("auth0", "no connection", json!({ "sub": "123456" }), "unknown"),
        ("okta", "the client's own", json!({ "sub": "shop-web", "uid": null }), "service"),
        ("okta", "an agent", json!({ "sub_profile": "ai_agent" }), "service"),
        ("okta", "no mark", json!({ "uid": null }), "unknown"),
        ("cognito", "the client's own", json!({ "sub": "shop-web", "username": null }), "service"),
        ("cognito", "no mark", json!({ "username": null }), "unknown"),
        (
            "ping_one",
            "the client's own",
            json!({ "sub": null, "sid": null, "auth_time": null, "p1.userId": null }),
            "service",
        ),
        ("ping_one", "no mark", json!({ "p1.userId": null }), "unknown"),
        ("curity", "another than the client", json!({ "client_id": "shop-web" }), "unknown"),
        ("curity", "the client", json!({ "client_id": "35996a48" }), "service"),
        ("kubernetes", "no service account", json!({ "sub": "system:node:a" }), "unknown"),
        (
            "kubernetes",
            "a name without its account",
            json!({ "kubernetes.io": { "namespace": "shop" } }),
            "unknown",
        ),
    ];
    for (preset, name, change, expected) in rows {
        let (_, mapping, typ, claims) = all().into_iter().find(|(of, ..)| *of == preset).unwrap();
        let claims = with(&claims, &change);
        let delegation = mint.map(mapping, audience(&claims), typ, &claims).await.unwrap();
        assert_eq!(delegation.subject().kind().as_str(), expected, "{preset}: {name}");
    }
}

#[tokio::test]
async fn no_role_permission_or_group_is_ever_a_scope() {
    let mint = Mint::new().await;
    for (name, mapping, typ, claims) in all() {
        let grab = json!({
            "scope": null, "scp": null,
            "roles": ["admin"], "permissions": ["admin"], "groups": ["admin"], "cognito:groups": ["admin"],
            "realm_access": { "roles": ["admin"] },
        });
        let claims = with(&claims, &grab);
        let delegation = mint.map(mapping, audience(&claims), typ, &claims).await.unwrap();
        let decision = Requirement::new().scope("admin").evaluate(&delegation, &RequestFacts::none());
        let Decision::Deny(denial) = decision else { panic!("{name}: allowed") };
        assert_eq!(denial.reason(), DenialReason::ScopeMissing, "{name}");
        assert!(delegation.scopes().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_is_demanded_and_not_there_denies() {
    let mint = Mint::new().await;
    let claims = kubernetes();
    let mapping = ClaimMapping::kubernetes_service_account();
    let delegation = mint.map(mapping, Some(AUDIENCE), None, &claims).await.unwrap();
    let new = Requirement::new;
    for (name, requirement, reason) in [
        ("a client", new().client("orders"), DenialReason::ClientNotAllowed),
        ("for a user", new().on_behalf_of_user(), DenialReason::NotOnBehalfOfUser),
        ("a scope", new().scope("a"), DenialReason::ScopeMissing),
        ("an actor", new().delegated(), DenialReason::DelegationRequired),
    ] {
        let Decision::Deny(denial) = requirement.evaluate(&delegation, &RequestFacts::none()) else {
            panic!("{name}: allowed")
        };
        assert_eq!(denial.reason(), reason, "{name}");
    }
}

#[tokio::test]
async fn groups_that_are_elsewhere_are_not_known() {
    let mint = Mint::new().await;
    let rows = [
        ("listed", json!({ "groups": ["g1"] }), Some(vec!["g1"])),
        ("none", json!({ "groups": [] }), Some(vec![])),
        ("not listed", json!({}), None),
        ("elsewhere", json!({ "_claim_names": { "groups": "src1" } }), None),
        ("also elsewhere", json!({ "groups": ["g1"], "_claim_names": { "groups": "src1" } }), None),
        ("too many", json!({ "hasgroups": true }), None),
        ("nowhere", json!({ "groups": ["g1"], "_claim_names": { "groups": null } }), None),
        (
            "other claims elsewhere",
            json!({ "groups": ["g1"], "_claim_names": { "x": "y" } }),
            Some(vec!["g1"]),
        ),
    ];
    for (name, change, expected) in rows {
        let claims = with(&entra_v2(), &change);
        let delegation = mint.map(ClaimMapping::entra_v2(), Some(AUDIENCE), Some("JWT"), &claims).await;
        let delegation = delegation.unwrap();
        let groups = delegation.groups().unwrap().map(|groups| groups.iter().collect::<Vec<_>>());
        assert_eq!(groups, expected, "{name}");
    }
}

#[tokio::test]
async fn actors_in_every_form() {
    let mint = Mint::new().await;
    let pinged = |act: Value| (ClaimMapping::ping_one(), with(&ping_one(), &json!({ "act": act })));
    let by = |sub: &str| json!({ "sub": sub });
    let okta_chain = with(&okta(), &json!({ "act": by("a"), "delegated_through": [by("b"), by("c")] }));
    let nested = json!({ "sub": "agent", "act": { "sub": "app" } });
    let rows = [
        ("Okta, a list", (ClaimMapping::okta(), okta_chain), vec!["a", "b", "c"]),
        (
            "Okta, an empty list of earlier ones",
            (ClaimMapping::okta(), with(&okta(), &json!({ "act": by("a"), "delegated_through": [] }))),
            vec!["a"],
        ),
        (
            "Okta, an empty list and no actor",
            (ClaimMapping::okta(), with(&okta(), &json!({ "delegated_through": [] }))),
            vec![],
        ),
        ("Okta, one", (ClaimMapping::okta(), with(&okta(), &json!({ "act": by("a") }))), vec!["a"]),
        (
            "Auth0, nested",
            (ClaimMapping::auth0(), with(&auth0(), &json!({ "act": nested }))),
            vec!["agent", "app"],
        ),
        ("PingOne, an object", pinged(by("a")), vec!["a"]),
        ("PingOne, in a string", pinged(r#"{"sub":"a","act":{"sub":"b"}}"#.into()), vec!["a", "b"]),
        ("PingOne, nobody", pinged("noActor".into()), vec![]),
        (
            "may_act is no actor",
            (ClaimMapping::ping_one(), with(&ping_one(), &json!({ "may_act": by("a") }))),
            vec![],
        ),
    ];
    for (name, (mapping, claims), expected) in rows {
        let delegation = mint.map(mapping, Some(AUDIENCE), Some("JWT"), &claims).await.unwrap();
        let actors: Vec<_> = delegation.actors().iter().map(|actor| actor.id().as_str()).collect();
        assert_eq!(actors, expected, "{name}");
        assert_eq!(delegation.is_delegated(), !expected.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_token_without_an_identifier_gets_one_of_its_own() {
    let mint = Mint::new().await;
    let map = async |claims: &Value| {
        let delegation = mint.map(ClaimMapping::auth0(), Some(AUDIENCE), Some("JWT"), claims).await;
        delegation.unwrap().token_id().to_string()
    };
    let first = map(&auth0()).await;
    assert_eq!(first.len(), "sha-256:".len() + 43);
    // Signed anew, and with another signature: ECDSA is randomised.
    assert_eq!(map(&auth0()).await, first);
    assert_ne!(map(&with(&auth0(), &json!({ "iat": NOW - 99 }))).await, first);
    assert_eq!(map(&with(&auth0(), &json!({ "jti": "j1" }))).await, "j1");
}

#[tokio::test]
async fn the_raw_subject_stays_readable() {
    let mint = Mint::new().await;
    let delegation = mint.map(ClaimMapping::okta(), Some(AUDIENCE), None, &okta()).await.unwrap();
    assert_eq!(delegation.subject().id().as_str(), "00u1");
    assert_eq!(delegation.claim::<String>("sub").unwrap().as_deref(), Some("alice@example.com"));
}

#[tokio::test]
async fn a_mapping_of_ones_own() {
    let mint = Mint::new().await;
    let mapping = ClaimMapping::keycloak()
        .add_roles(["resource_access", "my.api", "roles"])
        .scopes("scp", ScopeForm::Either)
        .insecure_clients_instead_of_audience(["shop-web"]);
    for scp in [json!("a b"), json!(["a", "b"])] {
        let claims = with(&keycloak(), &json!({ "aud": null, "scope": null, "scp": scp }));
        let delegation = mint.map(mapping.clone(), None, Some("JWT"), &claims).await.unwrap();
        assert_eq!(delegation.scopes().as_str(), "a b");
        let roles = delegation.roles().unwrap();
        assert!(roles.contains("auditor") && roles.contains("clerk"));
        assert!(delegation.audience().is_empty());
    }
}
