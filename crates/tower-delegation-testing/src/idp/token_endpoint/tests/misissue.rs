use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::{ExchangeFault, keys::from_base64url};

/// The claims of a token that are not new each time, and its `typ`.
fn facts(answer: &Value) -> Value {
    let token = answer["access_token"].as_str().unwrap();
    let header = from_base64url(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let mut claims = claims(&answer["access_token"]);
    claims.as_object_mut().unwrap().remove("jti");
    claims["typ"] = header["typ"].clone();
    claims
}

/// The answer without its token.
fn rest(answer: &Value) -> Value {
    let mut answer = answer.clone();
    answer.as_object_mut().unwrap().remove("access_token");
    answer
}

#[tokio::test]
async fn each_fault_changes_what_it_says_and_nothing_else() {
    let (idp, _) = idp().await;
    let user = idp.token().user("alice").scopes(["orders:read", "orders:write"]).actor("planner").sign();
    let asked = [("scope", "orders:read"), ("resource", STOCK)];
    let (_, honest) = exchange(&idp, &user, &asked).await;
    let rows = [
        (ExchangeFault::WiderScope, json!({ "scope": "orders:read admin" }), json!({})),
        (ExchangeFault::OtherAudience, json!({ "aud": "https://other.example.com" }), json!({})),
        (ExchangeFault::SecondAudience, json!({ "aud": [STOCK, "https://other.example.com"] }), json!({})),
        (ExchangeFault::OtherSubject, json!({ "sub": "mallory", "user_id": "mallory" }), json!({})),
        (ExchangeFault::ActorDropped, json!({ "act": null }), json!({})),
        (
            ExchangeFault::ActorReplaced,
            json!({ "act": { "sub": "mallory", "act": { "sub": "planner" } } }),
            json!({}),
        ),
        (ExchangeFault::ChainCut, json!({ "act": { "sub": "gateway" } }), json!({})),
        (ExchangeFault::LongerLife, json!({ "exp": NOW + 300 + 24 * 3600 }), json!({})),
        (
            ExchangeFault::OtherType,
            json!({ "typ": "JWT" }),
            json!({ "issued_token_type": "urn:ietf:params:oauth:token-type:id_token" }),
        ),
        (ExchangeFault::OtherIssuer, json!({ "iss": "https://other-issuer.example.com" }), json!({})),
    ];
    for (fault, token, answer) in rows {
        idp.misissue_next(fault);
        let (status, spoiled) = exchange(&idp, &user, &asked).await;
        assert_eq!(status, 200, "{fault:?}");
        assert_eq!(changed(&facts(&honest), &facts(&spoiled)), token, "{fault:?}");
        assert_eq!(changed(&rest(&honest), &rest(&spoiled)), answer, "{fault:?}");
    }

    idp.misissue_next(ExchangeFault::RefreshTokenAdded);
    let (_, spoiled) = exchange(&idp, &user, &asked).await;
    assert_eq!(facts(&honest), facts(&spoiled));
    assert!(spoiled["refresh_token"].is_string());

    let (_, control) = exchange(&idp, &user, &asked).await;
    assert_eq!((facts(&honest), rest(&honest)), (facts(&control), rest(&control)));
}

#[tokio::test]
async fn a_fault_is_for_the_next_granted_exchange_or_for_all() {
    let (idp, _) = idp().await;
    let user = idp.token().scopes(["orders:read"]).sign();
    let subject = async || facts(&exchange(&idp, &user, &[]).await.1)["sub"].clone();
    let audience = async || facts(&exchange(&idp, &user, &[]).await.1)["aud"].clone();

    idp.misissue_next(ExchangeFault::OtherSubject);
    idp.misissue_next(ExchangeFault::OtherAudience);
    // Neither a refusal nor another grant uses one up.
    assert_eq!(exchange(&idp, "garbage", &[]).await.0, 400);
    let grant = [("grant_type", "client_credentials")];
    let (_, machine) = post(&idp, ("gateway", "s3:cret"), &grant).await;
    assert_eq!(facts(&machine)["sub"], "gateway");
    assert_eq!(subject().await, "mallory");
    assert_eq!(audience().await, ExchangeFault::OTHER_AUDIENCE);
    assert_eq!(subject().await, "alice");

    idp.misissue_all(ExchangeFault::OtherSubject);
    for _ in 0..2 {
        assert_eq!(subject().await, "mallory");
    }
    idp.misissue_next(ExchangeFault::OtherAudience);
    assert_eq!(subject().await, "alice", "the next answer has its own fault");
    idp.issue_as_granted();
    assert_eq!(subject().await, "alice");
    // Other issuers of the provider are not touched.
    idp.issuer_at("/b").misissue_all(ExchangeFault::OtherSubject);
    assert_eq!(subject().await, "alice");
}

#[tokio::test]
async fn a_chain_of_one_and_a_machine_are_spoiled_too() {
    let (idp, _) = idp().await;
    let machine = idp.token().subject("batch").sign();
    for (fault, expected) in [
        (ExchangeFault::ChainCut, json!({})),
        (ExchangeFault::ActorReplaced, json!({ "act": { "sub": "mallory" } })),
        (ExchangeFault::OtherSubject, json!({ "sub": "mallory" })),
        (ExchangeFault::WiderScope, json!({ "scope": "admin" })),
        (ExchangeFault::Unbound, json!({})),
    ] {
        let (_, honest) = exchange(&idp, &machine, &[]).await;
        idp.misissue_next(fault);
        let (_, spoiled) = exchange(&idp, &machine, &[]).await;
        assert_eq!(changed(&facts(&honest), &facts(&spoiled)), expected, "{fault:?}");
    }
}

#[tokio::test]
async fn answers_can_say_anything() {
    let (idp, _) = idp().await;
    let user = idp.token().scopes(["orders:read"]).sign();
    idp.set_token_answer("token_type", "N_A");
    idp.set_token_answer("scope", "orders:read admin");
    idp.remove_token_answer("issued_token_type");
    let (status, answer) = exchange(&idp, &user, &[]).await;
    assert_eq!((status, &answer["token_type"]), (200, &json!("N_A")));
    assert_eq!(answer["scope"], "orders:read admin");
    assert_eq!(answer.get("issued_token_type"), None);
    assert_eq!(facts(&answer)["scope"], "orders:read", "the token is as granted");
    let (_, refused) = exchange(&idp, "garbage", &[]).await;
    assert_eq!(refused.get("token_type"), None, "only good answers are changed");
    idp.restore_token_answer();
    let (_, answer) = exchange(&idp, &user, &[]).await;
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("orders:read")));
}

#[test]
fn the_faults_are_twelve() {
    assert_eq!(ExchangeFault::ALL.into_iter().collect::<BTreeSet<_>>().len(), 12);
}
