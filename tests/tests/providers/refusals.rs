//! What the presets refuse: nothing that they relax opens more than it names.

use serde_json::{Value, json};
use tower_delegation::{DenialReason as R, RequestFacts, Requirement, issuer::ClaimMapping};

use crate::{
    Mint, NOW,
    presets::{all, audience, auth0, cognito, entra_v2, keycloak, okta, ping_one},
    with,
};

const AUDIENCE: &str = "https://api.example.com";

#[tokio::test]
async fn tokens_of_another_kind() {
    let mint = Mint::new().await;
    // The same provider's other tokens, for this very audience.
    let rows = [
        ("keycloak", "ID token", json!({ "typ": "ID" })),
        ("keycloak", "refresh token", json!({ "typ": "Refresh" })),
        ("keycloak", "logout token", json!({ "typ": "Logout" })),
        ("keycloak", "no type", json!({ "typ": null })),
        ("entra_v1", "ID token", json!({ "appid": null, "scp": null })),
        ("entra_v2", "ID token", json!({ "azp": null, "scp": null })),
        ("entra_v2", "ID token with a nonce", json!({ "nonce": "n" })),
        ("auth0", "ID token", json!({ "nonce": "n" })),
        ("okta", "ID token", json!({ "at_hash": "h" })),
        ("cognito", "ID token", json!({ "token_use": "id" })),
        ("cognito", "no use", json!({ "token_use": null })),
        ("ping_one", "ID token", json!({ "at_hash": "h" })),
        ("ping_federate", "ID token", json!({ "nonce": "n" })),
        ("curity", "ID token", json!({ "purpose": "id" })),
        ("kubernetes", "another token of the cluster's issuer", json!({ "kubernetes.io": null })),
    ];
    for (preset, name, change) in rows {
        let (_, mapping, typ, claims) = all().into_iter().find(|(of, ..)| *of == preset).unwrap();
        let audience = audience(&claims);
        let refused = mint.map(mapping, audience, typ, &with(&claims, &change)).await;
        assert_eq!(refused.err(), Some(R::NotAnAccessToken), "{preset}: {name}");
    }
}

#[tokio::test]
async fn what_no_preset_relaxes() {
    let mint = Mint::new().await;
    for (preset, mapping, typ, claims) in all() {
        let audience = audience(&claims);
        let rows = [
            ("no issue time", json!({ "iat": null }), R::ClaimMissing),
            ("no expiry", json!({ "exp": null }), R::ClaimMissing),
            ("expired", json!({ "exp": NOW - 60 }), R::TokenExpired),
            ("bound to a key", json!({ "cnf": { "jkt": "A".repeat(43) } }), R::ConfirmationUnsupported),
            ("bound to nothing", json!({ "cnf": {} }), R::ConfirmationMalformed),
            ("another audience", json!({ "aud": "https://other.example.com" }), R::AudienceMismatch),
            ("a subject that is no string", json!({ "sub": 1 }), R::ClaimMalformed),
            ("an actor that is none", json!({ "act": 1 }), R::ActorMalformed),
            ("an actor without a name", json!({ "act": {} }), R::ActorMalformed),
            ("an actor as a word", json!({ "act": "admin" }), R::ActorMalformed),
        ];
        for (name, change, reason) in rows {
            let claims = with(&claims, &change);
            let refused = mint.map(mapping.clone(), audience, typ, &claims).await;
            assert_eq!(refused.err(), Some(reason), "{preset}: {name}");
        }
        for typ in ["logout+jwt", "oauth-id-jag+jwt", "dpop+jwt", "secevent+jwt"] {
            let refused = mint.map(mapping.clone(), audience, Some(typ), &claims).await;
            assert_eq!(refused.err(), Some(R::TypeNotAccepted), "{preset}: {typ}");
        }
        // Behind the last member, so that a reader who takes the last value would believe it.
        let twice = claims.to_string().replace("\"exp\":", "\"x\":{\"a\":1,\"a\":2},\"exp\":");
        let token = mint.idp.token().claims_json(twice).typ("at+jwt").sign();
        let issuer = mint.issuer(claims["iss"].as_str().unwrap()).claim_mapping(mapping.clone());
        let issuer = audience.map_or(issuer.clone(), |audience| issuer.add_audience(audience));
        assert_eq!(mint.verify(issuer.clone(), &token).await.err(), Some(R::DuplicateMember), "{preset}");
        let forged = mint.idp.token().claims_json(claims.to_string()).sign_with_other_key().sign();
        assert_eq!(mint.verify(issuer, &forged).await.err(), Some(R::SignatureInvalid), "{preset}");
    }
}

#[tokio::test]
async fn the_default_accepts_none_of_their_tokens() {
    let mint = Mint::new().await;
    for (preset, _, typ, claims) in all() {
        let refused = mint.map(ClaimMapping::rfc9068(), Some(AUDIENCE), typ, &claims).await;
        assert_eq!(refused.err(), Some(R::TypeNotAccepted), "{preset}");
    }
}

#[tokio::test]
async fn malformed_and_contradictory_claims() {
    let mint = Mint::new().await;
    let act = json!({ "sub": "a" });
    let rows = [
        ("keycloak", "clients that differ", json!({ "client_id": "other" }), R::ClaimsContradictory),
        ("keycloak", "no client", json!({ "azp": null }), R::ClaimMissing),
        ("keycloak", "no subject", json!({ "sub": null }), R::ClaimMissing),
        ("keycloak", "a session that is none", json!({ "sid": 1 }), R::ClaimMalformed),
        ("keycloak", "scopes that differ", json!({ "scp": ["admin"] }), R::ClaimsContradictory),
        ("entra_v1", "clients that differ", json!({ "azp": "other" }), R::ClaimsContradictory),
        ("entra_v2", "clients that differ", json!({ "appid": "other" }), R::ClaimsContradictory),
        ("entra_v2", "no object identifier", json!({ "oid": null }), R::ClaimMissing),
        ("entra_v2", "no tenant", json!({ "tid": null }), R::ClaimMissing),
        ("entra_v2", "another tenant", json!({ "tid": "other" }), R::ClaimsContradictory),
        (
            "entra_v2",
            "the host as the tenant",
            json!({ "tid": "login.microsoftonline.com" }),
            R::ClaimsContradictory,
        ),
        ("entra_v2", "an empty tenant", json!({ "tid": "" }), R::ClaimMalformed),
        ("entra_v2", "scopes as an array", json!({ "scp": ["Orders.Read"] }), R::ClaimMalformed),
        ("entra_v2", "scopes that differ", json!({ "scope": "admin" }), R::ClaimsContradictory),
        ("auth0", "clients that differ", json!({ "client_id": "other" }), R::ClaimsContradictory),
        ("okta", "clients that differ", json!({ "client_id": "other" }), R::ClaimsContradictory),
        ("okta", "a scope with a space", json!({ "scp": ["orders:read admin"] }), R::ClaimMalformed),
        ("okta", "an empty scope", json!({ "scp": [""] }), R::ClaimMalformed),
        ("okta", "scopes as a string", json!({ "scp": "orders:read" }), R::ClaimMalformed),
        ("okta", "scopes that differ", json!({ "scope": "orders:read" }), R::ClaimsContradictory),
        ("okta", "a user that is none", json!({ "uid": null, "sub": null }), R::ClaimMissing),
        ("okta", "earlier actors of no one", json!({ "delegated_through": [act] }), R::ActorMalformed),
        (
            "okta",
            "earlier actors of no one, an object",
            json!({ "delegated_through": {} }),
            R::ActorMalformed,
        ),
        ("okta", "earlier actors of no one, a text", json!({ "delegated_through": "" }), R::ActorMalformed),
        (
            "okta",
            "earlier actors, no list",
            json!({ "act": act, "delegated_through": act }),
            R::ActorMalformed,
        ),
        (
            "okta",
            "both forms of a chain",
            json!({ "act": { "sub": "a", "act": act }, "delegated_through": [act] }),
            R::ActorMalformed,
        ),
        (
            "okta",
            "too many actors",
            json!({ "act": act, "delegated_through": vec![&act; 8] }),
            R::ActorChainTooLong,
        ),
        ("ping_one", "a user without a subject", json!({ "sub": null }), R::ClaimMissing),
        (
            "ping_one",
            "a session without a subject",
            json!({ "sub": null, "p1.userId": null, "auth_time": null, "sid": "s" }),
            R::ClaimMissing,
        ),
        (
            "ping_one",
            "a sign-in without a subject",
            json!({ "sub": null, "p1.userId": null, "sid": null, "auth_time": 1 }),
            R::ClaimMissing,
        ),
        ("ping_one", "nobody, in another spelling", json!({ "act": "noactor" }), R::ActorMalformed),
        ("ping_one", "a string with no object", json!({ "act": "\"noActor\"" }), R::ActorMalformed),
        (
            "ping_one",
            "an object given twice",
            json!({ "act": r#"{"sub":"a","sub":"b"}"# }),
            R::DuplicateMember,
        ),
        ("curity", "a client that is none", json!({ "client_id": 1 }), R::ClaimMalformed),
        ("kubernetes", "an actor", json!({ "act": act }), R::ActorMalformed),
    ];
    for (preset, name, change, reason) in rows {
        let (_, mapping, typ, claims) = all().into_iter().find(|(of, ..)| *of == preset).unwrap();
        let claims = with(&claims, &change);
        let refused = mint.map(mapping, Some(AUDIENCE), typ, &claims).await;
        assert_eq!(refused.err(), Some(reason), "{preset}: {name}");
    }
}

/// What a preset reads and no rule demands refuses nothing; what demands it is denied.
#[tokio::test]
async fn malformed_facts_deny_what_demands_them() {
    let mint = Mint::new().await;
    let new = Requirement::new;
    let rows = [
        ("keycloak", "roles as a text", json!({ "realm_access": { "roles": "admin" } }), new().role("admin")),
        ("keycloak", "roles in no object", json!({ "realm_access": ["admin"] }), new().role("admin")),
        ("entra_v2", "roles as a text", json!({ "roles": "Admin" }), new().role("Admin")),
        ("entra_v2", "a role that is none", json!({ "roles": ["Admin", 1] }), new().role("Admin")),
        ("entra_v2", "groups that are none", json!({ "groups": true }), new().group("a")),
        ("entra_v2", "groups elsewhere, no object", json!({ "_claim_names": 1 }), new().group("a")),
        ("auth0", "permissions as a text", json!({ "permissions": "admin" }), new().permission("admin")),
        ("auth0", "a tenant that is none", json!({ "org_id": 1 }), new().tenant("org_1")),
        ("ping_one", "a tenant that is none", json!({ "env": true }), new().tenant("env-1")),
        ("cognito", "groups as a text", json!({ "cognito:groups": "clerks" }), new().group("clerks")),
        (
            "kubernetes",
            "a namespace that is none",
            json!({ "kubernetes.io": { "namespace": 1 } }),
            new().tenant("shop"),
        ),
        ("kubernetes", "no object", json!({ "kubernetes.io": "shop" }), new().tenant("shop")),
    ];
    for (preset, name, change, demand) in rows {
        let (_, mapping, typ, claims) = all().into_iter().find(|(of, ..)| *of == preset).unwrap();
        let claims = with(&claims, &change);
        let delegation = mint.map(mapping, audience(&claims), typ, &claims).await.unwrap();
        let facts = RequestFacts::none();
        for demand in [demand.clone(), new().not(demand)] {
            let refused = delegation.authorize(&demand, &facts).unwrap_err();
            assert_eq!(refused.reason(), R::FactMalformed, "{preset}: {name}");
        }
        // The kind of what cannot be read is at most unknown, and never more.
        assert!(delegation.authorize(&new().max_actors(8), &facts).is_ok(), "{preset}: {name}");
    }
}

#[tokio::test]
async fn claims_that_agree_pass() {
    let mint = Mint::new().await;
    let rows: [(&str, Value); 4] = [
        ("keycloak", json!({ "client_id": "shop-web", "clientId": "shop-web" })),
        ("auth0", json!({ "client_id": "shop-web" })),
        ("okta", json!({ "scope": "profile orders:read" })),
        ("entra_v2", json!({ "scope": "Orders.Write Orders.Read", "appid": "app-1" })),
    ];
    for (preset, change) in rows {
        let (_, mapping, typ, claims) = all().into_iter().find(|(of, ..)| *of == preset).unwrap();
        let accepted = mint.map(mapping, Some(AUDIENCE), typ, &with(&claims, &change)).await;
        assert!(accepted.is_ok(), "{preset}: {:?}", accepted.err());
    }
}

#[tokio::test]
async fn clients_in_place_of_an_audience() {
    let mint = Mint::new().await;
    let listed = || ClaimMapping::cognito(["shop-web", "shop-app"]);
    let keycloak_listed = || ClaimMapping::keycloak().insecure_clients_instead_of_audience(["shop-web"]);
    let no_aud = || with(&keycloak(), &json!({ "aud": null }));
    let named = |claims: Value, aud: Value| with(&claims, &json!({ "aud": aud }));
    let rows = [
        ("listed", listed(), None, cognito(), None),
        ("not listed", ClaimMapping::cognito(["other"]), None, cognito(), Some(R::ClientNotAccepted)),
        ("another case", ClaimMapping::cognito(["SHOP-WEB"]), None, cognito(), Some(R::ClientNotAccepted)),
        ("no client", listed(), None, with(&cognito(), &json!({ "client_id": null })), Some(R::ClaimMissing)),
        (
            "an audience nobody asked for",
            listed(),
            None,
            named(cognito(), json!("x")),
            Some(R::AudienceMismatch),
        ),
        ("no audience at all", listed(), Some("x"), named(cognito(), json!([])), Some(R::AudienceMismatch)),
        ("this audience too", listed(), Some("x"), named(cognito(), json!("x")), None),
        (
            "this audience, another client",
            ClaimMapping::cognito(["other"]),
            Some("x"),
            named(cognito(), json!("x")),
            Some(R::ClientNotAccepted),
        ),
        ("Keycloak without", ClaimMapping::keycloak(), Some(AUDIENCE), no_aud(), Some(R::ClaimMissing)),
        ("Keycloak, listed", keycloak_listed(), None, no_aud(), None),
        (
            "Keycloak, its own",
            keycloak_listed(),
            None,
            named(no_aud(), json!("account")),
            Some(R::AudienceMismatch),
        ),
    ];
    for (name, mapping, audience, claims, reason) in rows {
        let outcome = mint.map(mapping, audience, Some("JWT"), &claims).await;
        assert_eq!(outcome.err(), reason, "{name}");
    }
}

#[tokio::test]
async fn nobody_is_an_actor_only_where_the_preset_says_so() {
    let mint = Mint::new().await;
    let act = json!({ "act": "noActor", "client_id": "shop-web", "jti": "j1" });
    for (name, mapping, claims) in [
        ("default", ClaimMapping::rfc9068(), ping_one()),
        ("keycloak", ClaimMapping::keycloak(), keycloak()),
        ("entra", ClaimMapping::entra_v2(), entra_v2()),
        ("auth0", ClaimMapping::auth0(), auth0()),
        ("okta", ClaimMapping::okta(), okta()),
    ] {
        let refused = mint.map(mapping, Some(AUDIENCE), Some("at+jwt"), &with(&claims, &act)).await;
        assert_eq!(refused.err(), Some(R::ActorMalformed), "{name}");
    }
}
