//! Each provider's user, machine, refresh and ID token, held against every
//! mapping: no token is ever taken for more than it is.

use std::{collections::BTreeSet, io::Write as _};

use serde_json::{Value, json};
use tower_delegation::{
    SubjectKind,
    issuer::{ClaimCondition, ClaimMapping, KindCheck, ScopeForm},
};

use crate::{Mint, presets, with};

const AUDIENCE: &str = "https://api.example.com";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    User,
    Machine,
    Refresh,
    Id,
}

/// A token of a provider as the provider issues it, but for this very audience.
struct Row {
    name: &'static str,
    what: What,
    typ: Option<&'static str>,
    claims: Value,
}

/// ID tokens that lack every mark of their kind: only their audience, which is
/// the client and here was changed, keeps them out. Each is of unknown kind.
const ACCEPTED_AS_ACCESS_TOKENS: &[(&str, &[&str], &str)] = &[(
    "entra: ID, no nonce",
    &["okta"],
    "its access tokens may name no client, and an ID token that was asked for without a nonce has no mark",
)];

/// What `assume_user_unless_client` assumes wrongly, as its name says.
const ASSUMED_USERS: &[&str] = &[
    "keycloak: machine",
    "keycloak: machine, older",
    "keycloak: machine, exchanged",
    "entra_v1: machine",
    "entra_v2: machine",
    "entra: agent",
    "entra: agent, no idtyp",
    "entra: device",
    "entra: agent's account",
    "auth0: machine",
    "auth0: machine, no grant",
    "auth0: machine, RFC 9068",
    "auth0: agent",
    "okta: agent",
    "kubernetes: machine",
    "github: machine",
];

fn row(name: &'static str, what: What, typ: Option<&'static str>, claims: &Value, own: &Value) -> Row {
    let claims = with(claims, &json!({ "aud": AUDIENCE }));
    Row { name, what, typ, claims: with(&claims, own) }
}

/// What every token has.
fn bare(issuer: &str) -> Value {
    json!({ "iss": issuer, "iat": crate::NOW - 100, "exp": crate::NOW + 100 })
}

fn keycloak() -> Vec<Row> {
    use What::{Id, Machine, Refresh, User};
    let (jwt, user) = (Some("JWT"), presets::keycloak());
    let machine = json!({
        "preferred_username": "service-account-shop-web", "client_id": "shop-web", "clientHost": "10.0.0.1",
        "clientAddress": "10.0.0.1", "acr": "1", "email_verified": false,
    });
    let session = json!({ "realm_access": null, "resource_access": null, "preferred_username": null });
    let of_session = with(&user, &session);
    vec![
        row("keycloak: user", User, jwt, &user, &json!({})),
        row(
            "keycloak: user, such a name",
            User,
            jwt,
            &user,
            &json!({ "preferred_username": "service-account-shop-web" }),
        ),
        row("keycloak: machine", Machine, jwt, &user, &machine),
        row(
            "keycloak: machine, older",
            Machine,
            jwt,
            &with(&user, &machine),
            &json!({ "client_id": null, "clientId": "shop-web" }),
        ),
        row(
            "keycloak: machine, exchanged",
            Machine,
            jwt,
            &with(&user, &machine),
            &json!({ "client_id": null, "azp": "gateway" }),
        ),
        row("keycloak: refresh", Refresh, jwt, &of_session, &json!({ "typ": "Refresh" })),
        row("keycloak: offline", Refresh, jwt, &of_session, &json!({ "typ": "Offline" })),
        row(
            "keycloak: ID",
            Id,
            jwt,
            &user,
            &json!({ "typ": "ID", "at_hash": "h", "nonce": "n", "scope": null }),
        ),
        row("keycloak: ID, no nonce", Id, jwt, &user, &json!({ "typ": "ID", "scope": null })),
    ]
}

fn entra() -> Vec<Row> {
    use What::{Id, Machine, User};
    let (jwt, v1, v2) = (Some("JWT"), presets::entra_v1(), presets::entra_v2());
    let machine = json!({ "scp": null, "sub": "o-alice", "roles": ["Orders.Read.All"], "appidacr": "1" });
    let id = json!({ "scp": null, "roles": null, "appid": null, "azp": null, "rh": "r", "preferred_username": "alice@a.test" });
    vec![
        row("entra_v1: user", User, jwt, &v1, &json!({})),
        row("entra_v2: user", User, jwt, &v2, &json!({})),
        row("entra_v1: machine", Machine, jwt, &v1, &machine),
        row("entra_v2: machine", Machine, jwt, &v2, &with(&machine, &json!({ "idtyp": "app" }))),
        row(
            "entra: agent",
            Machine,
            jwt,
            &v2,
            &json!({ "idtyp": "app", "scp": null, "xms_sub_fct": "9 3 11" }),
        ),
        row("entra: agent, no idtyp", Machine, jwt, &v2, &json!({ "xms_sub_fct": "9 3 11" })),
        row("entra: device", Machine, jwt, &v2, &json!({ "idtyp": "device" })),
        row("entra: agent's account", Machine, jwt, &v2, &json!({ "idtyp": "user", "xms_sub_fct": "3 13" })),
        row("entra: ID", Id, jwt, &with(&v2, &id), &json!({ "nonce": "n" })),
        row("entra: ID, no nonce", Id, jwt, &with(&v2, &id), &json!({ "jti": "j" })),
    ]
}

fn auth0() -> Vec<Row> {
    use What::{Id, Machine, User};
    let (jwt, user) = (Some("JWT"), presets::auth0());
    let machine = json!({ "sub": "shop-web@clients", "gty": "client-credentials", "org_id": null });
    let profile = json!({ "azp": null, "client_id": "shop-web", "jti": "j1" });
    let id = json!({ "scope": null, "permissions": null, "sid": "s1", "name": "Alice", "nonce": "n" });
    vec![
        row("auth0: user", User, jwt, &user, &json!({})),
        row("auth0: user, refreshed", User, jwt, &user, &json!({ "gty": ["refresh_token", "password"] })),
        row("auth0: user, such a name", User, jwt, &user, &json!({ "sub": "auth0|x@clients" })),
        row("auth0: user, RFC 9068", User, Some("at+jwt"), &with(&user, &profile), &json!({})),
        row("auth0: machine", Machine, jwt, &user, &machine),
        row("auth0: machine, no grant", Machine, jwt, &user, &with(&machine, &json!({ "gty": null }))),
        row("auth0: machine, RFC 9068", Machine, Some("at+jwt"), &with(&user, &profile), &machine),
        row(
            "auth0: agent",
            Machine,
            Some("at+jwt"),
            &with(&user, &profile),
            &json!({ "sub_profile": "service ai_agent" }),
        ),
        row("auth0: ID", Id, jwt, &user, &id),
    ]
}

fn okta() -> Vec<Row> {
    use What::{Id, Machine, User};
    let user = presets::okta();
    let machine = json!({ "sub": "shop-web", "uid": null, "groups": null, "auth_time": crate::NOW - 100 });
    let id = json!({
        "scp": null, "cid": null, "uid": null, "groups": null, "sub": "00u1", "at_hash": "h", "nonce": "n",
        "amr": ["pwd"], "idp": "00o1", "auth_time": crate::NOW - 200, "preferred_username": "alice@a.test",
    });
    vec![
        row("okta: user", User, None, &user, &json!({})),
        row("okta: machine", Machine, None, &user, &machine),
        row("okta: agent", Machine, None, &user, &json!({ "sub_profile": "ai_agent" })),
        row("okta: ID", Id, None, &user, &id),
        row("okta: ID, no nonce", Id, None, &user, &with(&id, &json!({ "nonce": null }))),
    ]
}

fn cognito() -> Vec<Row> {
    use What::{Id, Machine, User};
    let user = presets::cognito();
    let machine = json!({ "sub": "shop-web", "username": null, "cognito:groups": null, "auth_time": crate::NOW - 100, "version": 2 });
    let id = json!({ "token_use": "id", "username": null, "client_id": null, "scope": null, "cognito:username": "alice", "auth_time": crate::NOW - 200 });
    vec![
        row("cognito: user", User, None, &user, &json!({})),
        row("cognito: machine", Machine, None, &user, &machine),
        row("cognito: ID", Id, None, &user, &with(&id, &json!({ "at_hash": "h" }))),
        row("cognito: ID, no hash", Id, None, &user, &id),
    ]
}

fn ping() -> Vec<Row> {
    use What::{Id, Machine, User};
    let (jwt, one, federate) = (Some("JWT"), presets::ping_one(), presets::ping_federate());
    let machine = json!({ "sub": null, "sid": null, "auth_time": null, "p1.userId": null, "p1.rid": "r" });
    let id = json!({ "client_id": null, "scope": null, "at_hash": "h", "nonce": "n", "acr": "1" });
    vec![
        row("ping_one: user", User, jwt, &one, &json!({})),
        row("ping_one: machine", Machine, jwt, &one, &machine),
        row("ping_one: machine, sub", Machine, jwt, &one, &with(&machine, &json!({ "sub": "shop-web" }))),
        row("ping_one: ID", Id, jwt, &one, &id),
        row("ping_federate: user", User, None, &federate, &json!({})),
        row("ping_federate: machine", Machine, None, &federate, &json!({ "Username": "shop-web" })),
        row(
            "ping_federate: ID",
            Id,
            None,
            &federate,
            &json!({ "sub": "alice", "scope": null, "nonce": "n" }),
        ),
    ]
}

/// Providers whose tokens are of one kind, or that have no preset.
fn others() -> Vec<Row> {
    use What::{Id, Machine, Refresh, User};
    let (jwt, at) = (Some("JWT"), Some("at+jwt"));
    let rfc = with(
        &bare("https://idp.test"),
        &json!({ "sub": "alice", "client_id": "shop-web", "jti": "j1", "scope": "a" }),
    );
    let hydra = with(&rfc, &json!({ "scope": null, "scp": ["a"], "ext": { "user_id": "alice" } }));
    let adfs = json!({ "client_id": null, "appid": "shop-web", "scope": null, "scp": "openid", "apptype": "Confidential" });
    let adfs = with(&rfc, &adfs);
    let id = json!({ "client_id": null, "scope": null, "azp": "shop-web", "nonce": "n", "at_hash": "h", "sid": "s" });
    let github = json!({ "client_id": null, "scope": null, "sub": "repo:a/b:ref:c", "job_workflow_ref": "w", "actor": "octocat" });
    let google = json!({ "client_id": null, "scope": null, "jti": null, "sub": "1139", "azp": "1139", "email": "a@b.iam.gserviceaccount.com" });
    let curity = presets::curity();
    vec![
        row("rfc9068: user", User, at, &rfc, &json!({})),
        row("rfc9068: machine", Machine, at, &rfc, &json!({ "sub": "shop-web" })),
        row(
            "rfc9068: machine's session",
            Machine,
            at,
            &rfc,
            &json!({ "sub": "shop-web", "sid": "s", "acr": "1", "auth_time": 1 }),
        ),
        row("rfc9068: ID", Id, jwt, &rfc, &id),
        row("curity: user", User, None, &curity, &json!({})),
        row(
            "curity: machine",
            Machine,
            None,
            &curity,
            &json!({ "sub": "shop-web", "client_id": "shop-web" }),
        ),
        row("curity: ID", Id, None, &curity, &json!({ "purpose": "id", "scope": null, "azp": "shop-web" })),
        row("hydra: user", User, jwt, &hydra, &json!({})),
        row("hydra: machine", Machine, jwt, &hydra, &json!({ "sub": "shop-web", "ext": {} })),
        row("hydra: ID", Id, jwt, &rfc, &with(&id, &json!({ "rat": 1 }))),
        row(
            "duende: user",
            User,
            at,
            &rfc,
            &json!({ "scope": ["a"], "amr": ["pwd"], "sid": "s", "auth_time": 1 }),
        ),
        row("duende: machine", Machine, at, &rfc, &json!({ "scope": ["a"], "sub": null })),
        row("duende: ID", Id, jwt, &rfc, &id),
        row(
            "adfs: user",
            User,
            jwt,
            &adfs,
            &json!({ "upn": "ana@corp.test", "auth_time": "2024-05-01T08:00:00.123Z" }),
        ),
        row("adfs: machine", Machine, jwt, &adfs, &json!({ "sub": null })),
        row("adfs: ID", Id, jwt, &adfs, &json!({ "scp": null, "upn": "ana@corp.test", "nonce": "n" })),
        row("kubernetes: machine", Machine, None, &presets::kubernetes(), &json!({ "jti": "j1" })),
        row("github: machine", Machine, jwt, &rfc, &github),
        row("google: machine", Machine, jwt, &rfc, &google),
        row("google: ID", Id, jwt, &with(&rfc, &google), &json!({ "sub": "1076", "nonce": "n" })),
        row(
            "others: token_type refresh",
            Refresh,
            jwt,
            &rfc,
            &json!({ "token_type": "refresh", "user_id": 1 }),
        ),
        row("others: type refresh", Refresh, jwt, &rfc, &json!({ "type": "refresh", "fresh": false })),
        row("others: token_use refresh", Refresh, jwt, &rfc, &json!({ "token_use": "refresh_token" })),
        row("others: in other words", Refresh, jwt, &rfc, &json!({ "token_type": "RefreshToken" })),
        row("others: as a media type", Refresh, jwt, &rfc, &json!({ "token_use": "rt+jwt" })),
        row("others: tty", Id, jwt, &rfc, &json!({ "tty": "it" })),
    ]
}

/// The presets, and the mappings that `docs/providers.md` writes out.
fn mappings(client: &str) -> Vec<(&'static str, ClaimMapping)> {
    let hydra = ClaimMapping::rfc9068()
        .accept_generic_type(KindCheck::not_an_id_token())
        .scopes("scp", ScopeForm::Array)
        .add_user_claim(["ext", "user_id"]);
    let adfs = ClaimMapping::rfc9068()
        .accept_generic_type(KindCheck::not_an_id_token())
        .client("appid")
        .scopes("scp", ScopeForm::String)
        .allow_absent_token_id()
        .add_user_claim("upn");
    let actions = ClaimMapping::rfc9068()
        .accept_generic_type(KindCheck::claim_present("job_workflow_ref"))
        .without_client()
        .without_scopes()
        .subject_kinds([(ClaimCondition::present("job_workflow_ref"), SubjectKind::Service)]);
    vec![
        ("rfc9068", ClaimMapping::rfc9068()),
        ("keycloak", ClaimMapping::keycloak()),
        ("entra_v1", ClaimMapping::entra_v1()),
        ("entra_v2", ClaimMapping::entra_v2()),
        ("auth0", ClaimMapping::auth0()),
        ("okta", ClaimMapping::okta()),
        ("cognito", ClaimMapping::cognito([client])),
        ("ping_one", ClaimMapping::ping_one()),
        ("ping_federate", ClaimMapping::ping_federate("Username", "client_id")),
        ("curity", ClaimMapping::curity()),
        ("kubernetes", ClaimMapping::kubernetes_service_account()),
        ("hydra", hydra),
        ("adfs", adfs),
        ("actions", actions),
        ("assumed", ClaimMapping::rfc9068().assume_user_unless_client()),
    ]
}

/// The client that the token names, whatever the name of the claim.
fn client(claims: &Value) -> &str {
    ["client_id", "azp", "cid", "appid"].iter().find_map(|name| claims[name].as_str()).unwrap_or("none")
}

/// The token with what other providers have too, so that as few mappings as
/// possible refuse it for what it lacks. Only Keycloak's machines have `client_id`.
fn completed(claims: &Value, mapping: &str) -> Value {
    let mut claims = claims.clone();
    let client = client(&claims).to_owned();
    for name in ["jti", "client_id", "azp", "cid", "appid"] {
        if claims[name].is_null() && (mapping, name) != ("keycloak", "client_id") {
            claims[name] = client.as_str().into();
        }
    }
    claims
}

/// What a mapping makes of a token: its subject's kind, or `-` where it is refused.
async fn outcome(mint: &Mint, mapping: ClaimMapping, typ: Option<&str>, claims: &Value) -> &'static str {
    let mapped = mint.map(mapping, Some(AUDIENCE), typ, claims).await;
    mapped.map_or("-", |delegation| delegation.subject().kind().as_str())
}

#[tokio::test]
async fn no_token_is_taken_for_more_than_it_is() {
    let mint = Mint::new().await;
    let rows = [keycloak(), entra(), auth0(), okta(), cognito(), ping(), others()].into_iter().flatten();
    let mut printed = vec![format!("{:30}", "")];
    printed[0].extend(mappings("").iter().map(|(name, _)| format!("{name:>14}")));
    let mut mistakes = Vec::new();
    let (mut excepted, mut assumed) = (BTreeSet::new(), BTreeSet::new());
    for row in rows {
        let is_access_token = matches!(row.what, What::User | What::Machine);
        let mut line = format!("{:30}", row.name);
        for (mapping_name, mapping) in mappings(client(&row.claims)) {
            let own = outcome(&mint, mapping.clone(), row.typ, &row.claims).await;
            let profile = if is_access_token {
                outcome(&mint, mapping, Some("at+jwt"), &completed(&row.claims, mapping_name)).await
            } else {
                own
            };
            let shown = if own == profile { own.to_owned() } else { format!("{own}/{profile}") };
            let shown = shown.replace("unknown", "?");
            line.push_str(&format!("{shown:>14}"));
            let is_assumed = mapping_name == "assumed";
            for kind in [own, profile] {
                match (row.what, kind) {
                    (What::Machine, "user") if is_assumed && ASSUMED_USERS.contains(&row.name) => {
                        assumed.insert(row.name);
                    }
                    (What::Machine, "user") | (What::User, "service") => {
                        mistakes.push(format!("{} is a {kind} for {mapping_name}", row.name));
                    }
                    (What::Refresh | What::Id, "-") | (What::User | What::Machine, _) => {}
                    (What::Refresh | What::Id, kind) => {
                        let mut listed =
                            ACCEPTED_AS_ACCESS_TOKENS.iter().filter(|(name, ..)| *name == row.name);
                        if kind == "unknown"
                            && listed.any(|(_, mappings, _)| mappings.contains(&mapping_name))
                        {
                            excepted.insert((row.name, mapping_name));
                        } else {
                            mistakes.push(format!("{} is an access token for {mapping_name}", row.name));
                        }
                    }
                }
            }
        }
        printed.push(line);
    }
    print(&printed);
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    // No exception is listed that is none any more.
    let listed = ACCEPTED_AS_ACCESS_TOKENS
        .iter()
        .flat_map(|(name, mappings, _)| mappings.iter().map(|of| (*name, *of)));
    assert_eq!(excepted, listed.collect());
    assert_eq!(assumed, ASSUMED_USERS.iter().copied().collect());
}

/// The terminal itself: the test harness captures what `print` writes.
fn print(lines: &[String]) {
    let mut terminal = std::io::stdout().lock();
    let legend = "the subject's kind by each mapping, `?` if it is unknown, `-` if the token is refused; behind a slash, with `typ: at+jwt` and all that other providers have";
    writeln!(terminal, "\n{legend}\n{}\n", lines.join("\n")).unwrap();
    for (name, mappings, why) in ACCEPTED_AS_ACCESS_TOKENS {
        writeln!(terminal, "accepted all the same: {name} by {}: {why}", mappings.join(", ")).unwrap();
    }
    writeln!(terminal, "`assumed` is wrong, as its name says, about: {}\n", ASSUMED_USERS.join("; "))
        .unwrap();
}
