//! Every case of the provider tokens among the conformance vectors, where the
//! environment names them.

use serde_json::{Value, json};
use tower_delegation::{
    DelegationContext, DenialReason as R, SubjectKind,
    issuer::{ClaimCondition, ClaimMapping, KindCheck, ScopeForm},
};

use crate::{Mint, with};

#[expect(clippy::print_stderr, reason = "a run without the vectors must say so")]
fn load() -> Vec<Value> {
    const NAME: &str = "claims/provider_tokens.json";
    let Some(folder) = std::env::var_os("CONFORMANCE_VECTORS") else {
        eprintln!("CONFORMANCE_VECTORS is not set: {NAME} is not tried");
        return Vec::new();
    };
    let text = std::fs::read_to_string(std::path::Path::new(&folder).join(NAME)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "what was compared is to be seen")]
async fn tokens_of_providers() {
    let (mut mapped, mut refused, mut untried) = (0, 0, 0);
    for case in load() {
        let id = case["id"].as_str().unwrap();
        // A host in braces is a placeholder of the documentation, and no host.
        let claims = without_braces(&case["claims"]);
        let Some(mapping) = mapping_for(case["provider"].as_str().unwrap_or_default(), &claims, &case) else {
            eprintln!("{id}: no preset");
            untried += 1;
            continue;
        };
        let now =
            claims["iat"].as_i64().or(claims["exp"].as_i64().map(|exp| exp - 1)).unwrap_or_default() + 1;
        let typ = case["header"]["typ"].as_str();
        let audience = claims["aud"].as_str().or_else(|| claims["aud"][0].as_str());
        let mint = Mint::at(now).await;
        if !claims["cnf"].is_null() {
            let bound = mint.map(mapping.clone(), audience, typ, &claims).await.err();
            assert!(
                matches!(bound, Some(R::ConfirmationUnsupported | R::ConfirmationMalformed)),
                "{id}: {bound:?}"
            );
            eprintln!("{id}: refused, {bound:?}; compared without its binding");
        }
        let claims = with(&claims, &json!({ "cnf": null }));
        let outcome = mint.map(mapping, audience, typ, &claims).await;
        match (expected_refusal(typ, &case["provider"], &claims), outcome) {
            (Some(reason), outcome) => {
                let refusal = outcome.err();
                eprintln!("{id}: refused, {refusal:?}");
                assert_eq!(refusal, Some(reason), "{id}");
                refused += 1;
            }
            (None, Ok(delegation)) => {
                compare(id, &delegation, &case["expected"]);
                mapped += 1;
            }
            (None, Err(reason)) => panic!("{id}: {reason}"),
        }
    }
    eprintln!(
        "provider tokens: {mapped} mapped as expected, {refused} refused as they must be, {untried} without a preset"
    );
}

fn without_braces(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace(['{', '}'], "").into(),
        Value::Array(entries) => entries.iter().map(without_braces).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), without_braces(value))).collect())
        }
        other => other.clone(),
    }
}

/// The preset for a provider, or a mapping made by the builder as a user would.
fn mapping_for(provider: &str, claims: &Value, case: &Value) -> Option<ClaimMapping> {
    let client = case["expected"]["client"].as_str().unwrap_or("none");
    let is = |name: &str| provider.to_ascii_lowercase().contains(name);
    let service = || [(ClaimCondition::always(), SubjectKind::Service)];
    let no_id_token = KindCheck::not_an_id_token;
    let mapping = if is("entra") {
        let is_v1 = claims["iss"].as_str().is_some_and(|iss| iss.contains("sts.windows.net"));
        if is_v1 { ClaimMapping::entra_v1() } else { ClaimMapping::entra_v2() }
    } else if is("okta") {
        ClaimMapping::okta()
    } else if is("auth0") {
        ClaimMapping::auth0()
    } else if is("keycloak") {
        // The roles of clients are read where they are asked for.
        let clients = claims["resource_access"].as_object().into_iter().flatten();
        let realm = &claims["realm_access"]["roles"];
        let expected = case["expected"]["roles"].as_array().cloned().unwrap_or_default();
        let is_realms =
            expected.iter().all(|role| realm.as_array().is_some_and(|realm| realm.contains(role)));
        clients.filter(|_| !is_realms).fold(ClaimMapping::keycloak(), |mapping, (name, _)| {
            mapping.add_roles(["resource_access", name.as_str(), "roles"])
        })
    } else if is("cognito") {
        ClaimMapping::cognito([client])
    } else if is("pingone") {
        ClaimMapping::ping_one()
    } else if is("pingfederate") {
        let names = ["sub", "uid", "Username", "username"];
        let subject = names.into_iter().find(|name| claims[*name] == case["expected"]["subject"])?;
        ClaimMapping::ping_federate(subject, "client_id")
    } else if is("curity") {
        ClaimMapping::curity()
    } else if is("kubernetes") {
        ClaimMapping::kubernetes_service_account()
    } else if is("rfc") {
        ClaimMapping::rfc9068()
    } else if is("duende") {
        ClaimMapping::rfc9068().scopes("scope", ScopeForm::Either).allow_absent_subject(["sid", "auth_time"])
    } else if is("hydra") {
        ClaimMapping::rfc9068()
            .accept_generic_type(no_id_token())
            .scopes("scp", ScopeForm::Array)
            .add_scopes("scope", ScopeForm::String)
    } else if is("ad fs") || is("adfs") {
        ClaimMapping::rfc9068()
            .accept_generic_type(no_id_token())
            .client("appid")
            .scopes("scp", ScopeForm::String)
            .allow_absent_token_id()
    } else if is("github") {
        ClaimMapping::rfc9068()
            .accept_generic_type(no_id_token())
            .without_client()
            .without_scopes()
            .subject_kinds(service())
    } else if is("google") {
        ClaimMapping::rfc9068()
            .accept_generic_type(no_id_token())
            .client("azp")
            .without_scopes()
            .tenant("hd")
            .allow_absent_token_id()
            .subject_kinds([(
                ClaimCondition::ends_with("email", "gserviceaccount.com"),
                SubjectKind::Service,
            )])
    } else {
        return None;
    };
    Some(match claims["aud"] {
        Value::Null if !is("cognito") => mapping.insecure_clients_instead_of_audience([client]),
        _ => mapping,
    })
}

/// What no mapping admits, told by the token alone.
fn expected_refusal(typ: Option<&str>, provider: &Value, claims: &Value) -> Option<R> {
    let typ = typ.map(str::to_ascii_lowercase);
    let has = |name: &str| !claims[name].is_null();
    if !matches!(typ.as_deref(), None | Some("jwt" | "application/jwt" | "at+jwt" | "application/at+jwt")) {
        return Some(R::TypeNotAccepted);
    }
    if matches!(typ.as_deref(), None | Some("jwt" | "application/jwt")) {
        let is_id_token = ["nonce", "at_hash", "c_hash"].into_iter().any(has)
            || claims["token_use"] == "id"
            || claims["typ"] == "ID"
            || claims["typ"] == "Refresh"
            || claims["purpose"] == "id";
        if is_id_token {
            return Some(R::NotAnAccessToken);
        }
    }
    let is_entra = provider.as_str().is_some_and(|provider| provider.contains("Entra"));
    // What no rule demands refuses nothing: the `auth_time` of AD FS is a text.
    let is_contradictory =
        is_entra && !claims["iss"].as_str()?.split('/').any(|segment| claims["tid"] == segment);
    is_contradictory.then_some(R::ClaimsContradictory)
}

#[expect(clippy::print_stderr, reason = "a kind that is told more carefully is to be seen")]
fn compare(id: &str, delegation: &DelegationContext, expected: &Value) {
    let subject = delegation.subject();
    let client = delegation.client().map(|client| client.as_str());
    match expected["subject"].as_str() {
        Some(expected) => assert_eq!(subject.id().as_str(), expected, "{id}"),
        // RFC 9068 section 2.2: without a resource owner, the subject is the client.
        None => assert_eq!(Some(subject.id().as_str()), client, "{id}"),
    }
    assert_eq!(json!(client), expected["client"], "{id}: client");
    let list = |names: &Value| {
        let mut names: Vec<String> = serde_json::from_value(names.clone()).unwrap_or_default();
        names.sort_unstable();
        names
    };
    let sorted = |names: Vec<&str>| list(&json!(names));
    assert_eq!(sorted(delegation.scopes().iter().collect()), list(&expected["scopes"]), "{id}: scopes");
    // The vectors know three sets; groups are a fourth.
    let roles = sorted(delegation.roles().unwrap().iter().collect());
    let groups =
        delegation.groups().unwrap().map(|groups| sorted(groups.iter().collect())).unwrap_or_default();
    assert!([&roles, &groups].contains(&&list(&expected["roles"])), "{id}: roles {roles:?}");
    let permissions = sorted(delegation.permissions().unwrap().iter().collect());
    assert_eq!(permissions, list(&expected["permissions"]), "{id}: permissions");
    assert_eq!(
        json!(delegation.tenant().unwrap().map(|tenant| tenant.as_str())),
        expected["tenant"],
        "{id}: tenant"
    );
    let actors: Vec<&str> = delegation.actors().iter().map(|actor| actor.id().as_str()).collect();
    assert_eq!(json!(actors.first()), expected["actor"], "{id}: actor");
    let earlier = actors.get(1..).unwrap_or_default();
    assert_eq!(json!(earlier), expected["prior_actors"], "{id}: earlier actors");
    match expected["token_id"].as_str() {
        Some(expected) => assert_eq!(delegation.token_id().as_str(), expected, "{id}: token id"),
        None => assert!(delegation.token_id().as_str().starts_with("sha-256:"), "{id}: token id"),
    }
    match (expected["subject_type"].as_str(), subject.kind()) {
        (Some("user"), SubjectKind::User)
        | (Some("service" | "agent" | "workload"), SubjectKind::Service) => {}
        (Some(kind @ ("user" | "agent")), SubjectKind::Unknown) => {
            eprintln!("{id}: {kind}, and the token does not prove it: unknown");
        }
        (None | Some("unknown"), SubjectKind::Unknown) | (None, _) => {}
        (expected, kind) => panic!("{id}: {kind:?}, expected {expected:?}"),
    }
}
