use std::time::Duration;

use serde_json::json;
use tower_delegation::clock::Timestamp;

use super::*;
use crate::USER_CLAIM;

#[tokio::test]
async fn exchange_narrows_and_names_the_actor() {
    let (idp, clock) = idp().await;
    let user = idp
        .token()
        .user("alice")
        .client("shop-web")
        .scopes(["orders:read", "orders:refund"])
        .acr("mfa")
        .session("s1")
        .actor("planner")
        .sign();
    let narrow = [("scope", "orders:read"), ("audience", "https://stock.example.com")];
    let (status, answer) = exchange(&idp, &user, &narrow).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
    assert_eq!(answer.get("scope"), None, "as asked");
    let token = claims(&answer["access_token"]);
    assert_eq!((&token["sub"], &token[USER_CLAIM]), (&json!("alice"), &json!("alice")));
    assert_eq!(token["client_id"], "gateway");
    assert_eq!(token["aud"], "https://stock.example.com");
    assert_eq!(token["scope"], "orders:read");
    assert_eq!(token["act"], json!({ "sub": "gateway", "act": { "sub": "planner" } }));
    assert_eq!((&token["acr"], &token["sid"]), (&json!("mfa"), &json!("s1")));

    // The exchanged token is as good a subject token as the first one, never lives longer,
    // and an actor token decides who acts.
    clock.advance(Duration::from_secs(100));
    let actor = idp.token().subject("copilot").sign();
    let second = answer["access_token"].as_str().unwrap();
    let as_actor = [("actor_token", actor.as_str()), ("actor_token_type", ACCESS_TOKEN)];
    let (status, answer) = exchange(&idp, second, &as_actor).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["expires_in"], 200);
    let token = claims(&answer["access_token"]);
    assert_eq!(
        token["act"],
        json!({ "sub": "copilot", "act": { "sub": "gateway", "act": { "sub": "planner" } } })
    );
    assert_eq!((&token["scope"], &token["exp"]), (&json!("orders:read"), &json!(NOW + 300)));
    assert_eq!(token[USER_CLAIM], "alice");
}

#[tokio::test]
async fn only_a_users_token_and_its_exchange_have_the_mark_of_a_user() {
    let (idp, _) = idp().await;
    let grant = [("grant_type", "client_credentials")];
    let (_, machine) = post(&idp, ("reader", "secret"), &grant).await;
    let machine = machine["access_token"].as_str().unwrap().to_owned();
    assert_eq!(claims(&json!(machine)).get(USER_CLAIM), None);
    for (name, token) in [
        ("of client credentials", machine),
        ("of a subject", idp.token().subject("alice").sign()),
        ("of no one", idp.token().sign()),
        ("of a subject after a user", idp.token().user("alice").subject("reader").sign()),
        ("of a session", idp.token().acr("mfa").session("s1").subject("shop").sign()),
    ] {
        assert_eq!(claims(&json!(token)).get(USER_CLAIM), None, "{name}");
        let (status, answer) = exchange(&idp, &token, &[]).await;
        assert_eq!(status, 200, "{name}");
        assert_eq!(claims(&answer["access_token"]).get(USER_CLAIM), None, "{name}, exchanged");
    }
}

#[tokio::test]
async fn exchange_refuses_what_is_not_a_good_token_of_its_own() {
    let (idp, _) = idp().await;
    let at = |seconds| Timestamp::from_unix_seconds(NOW + seconds);
    idp.rotate_keys();
    idp.withdraw_old_keys();
    let token = || idp.token();
    let rows: [(&str, TokenBuilder); 15] = [
        ("another key", token().sign_with_other_key()),
        ("withdrawn key", token().key_id("es256-1")),
        ("tampered", token().tamper_payload()),
        ("unsigned", token().unsigned()),
        ("key confusion", token().hmac_with_public_key()),
        ("alg of another key", token().header("alg", "RS256")),
        ("another issuer", idp.issuer_at("/b").token()),
        ("another issuer's name", token().issuer("https://evil.example")),
        ("expired", token().expires_at(at(0))),
        ("no expiry", token().without("exp")),
        ("not yet valid", token().not_before(at(1))),
        ("no subject", token().without("sub")),
        ("id token", idp.id_token()),
        ("logout token", idp.logout_token()),
        ("no object", token().claims_json("[]")),
    ];
    for (name, bad) in rows {
        let bad = bad.sign();
        let (status, answer) = exchange(&idp, &bad, &[]).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{name}");
        let actor = [("actor_token", bad.as_str()), ("actor_token_type", ACCESS_TOKEN)];
        let (status, answer) = exchange(&idp, &token().sign(), &actor).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{name} as actor");
    }
}

#[tokio::test]
async fn exchange_refuses_broader_scope_and_other_parties() {
    let (idp, _) = idp().await;
    let user = idp.token().scopes(["orders:read"]).sign();
    let locked = idp.token().claim("may_act", json!({ "sub": "someone" })).sign();
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
    let rows: &[Row<'_>] = &[
        ("broader", &user, &[("scope", "orders:read orders:write")], "invalid_scope"),
        ("fragment", &user, &[("resource", "https://a.example#f")], "invalid_target"),
        ("may_act", &locked, &[], "invalid_request"),
        ("token type", &user, &[("requested_token_type", "urn:x")], "invalid_request"),
        ("type without actor", &user, &[("actor_token_type", ACCESS_TOKEN)], "invalid_request"),
        ("actor without type", &user, &[("actor_token", &user)], "invalid_request"),
        ("subject twice", &user, &[("subject_token", &user)], "invalid_request"),
        ("no subject", "", &[], "invalid_request"),
    ];
    for (name, subject, more, error) in rows {
        let (status, answer) = exchange(&idp, subject, more).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{name}");
    }

    let both = idp.token().scopes(["orders:read", "orders:write"]).sign();
    let (_, answer) = post(&idp, ("reader", "secret"), &exchange_form(&both)).await;
    assert_eq!(answer["scope"], "orders:read", "a client's own limit narrows too");
}
