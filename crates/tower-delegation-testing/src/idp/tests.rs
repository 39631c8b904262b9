use std::time::Duration;

use axum::http::{Response, StatusCode, header};
use reqwest::Client;
use serde_json::{Value, json};
use tower_delegation::clock::Timestamp;

use super::*;
use crate::{TestClock, TokenBuilder, USER_CLAIM, keys::from_base64url};

const NOW: i64 = 1_800_000_000;
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn http() -> Client {
    Client::builder().build().unwrap()
}

async fn json_at(url: String) -> Value {
    let response = http().get(&url).send().await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    response.json().await.unwrap()
}

fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&from_base64url(payload).unwrap()).unwrap()
}

async fn idp() -> (MockIdp, TestClock) {
    let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
    let idp = MockIdp::builder().clock(clock.clone()).start().await;
    idp.register_client("gateway", "s3:cret");
    idp.register_client_with_scopes("reader", "secret", ["orders:read"]);
    (idp, clock)
}

async fn post(idp: &MockIssuer, client: (&str, &str), form: &[(&str, &str)]) -> (u16, Value) {
    let request = http().post(idp.token_endpoint()).basic_auth(client.0, Some(client.1)).form(form);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn exchange(idp: &MockIssuer, subject: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut form = vec![
        ("grant_type", exchange::TOKEN_EXCHANGE),
        ("subject_token", subject),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    form.extend(more);
    post(idp, ("gateway", "s3:cret"), &form).await
}

#[tokio::test]
async fn metadata_is_served_in_both_forms() {
    let (idp, _) = idp().await;
    let tenant = idp.issuer_at("/tenant-a");
    let origin = format!("http://{}", idp.address());
    assert_eq!(idp.issuer(), origin);
    assert_eq!(tenant.issuer(), format!("{origin}/tenant-a"));
    for (path, issuer) in [
        ("/.well-known/openid-configuration", &*idp),
        ("/.well-known/oauth-authorization-server", &*idp),
        ("/tenant-a/.well-known/openid-configuration", &tenant),
        ("/.well-known/oauth-authorization-server/tenant-a", &tenant),
    ] {
        let metadata = json_at(format!("{origin}{path}")).await;
        assert_eq!(metadata["issuer"], issuer.issuer(), "{path}");
        assert_eq!(metadata["jwks_uri"], issuer.jwks_uri(), "{path}");
        assert_eq!(json_at(issuer.jwks_uri()).await, issuer.jwks(), "{path}");
    }
    assert_eq!(idp.requests(Endpoint::Discovery), 2);
    assert_eq!(tenant.requests(Endpoint::Jwks), 2);
    let unknown = http().get(format!("{origin}/tenant-b/jwks")).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn issuers_have_keys_of_their_own_under_the_same_names() {
    let (idp, _) = idp().await;
    let tenant = idp.issuer_at("/tenant-a");
    assert_eq!(idp.key_ids(), tenant.key_ids());
    assert_ne!(idp.jwks(), tenant.jwks());
    assert_eq!(idp.issuer_at("tenant-a/").jwks(), tenant.jwks());
    assert_eq!(idp.issuer_at("/").issuer(), idp.issuer());
    assert!(idp.issuer_at("/a b?c#d").issuer().ends_with("/a%20b%3Fc%23d"));
}

#[tokio::test]
async fn metadata_can_be_wrong() {
    let (idp, _) = idp().await;
    idp.set_metadata("issuer", "https://evil.example");
    idp.remove_metadata("token_endpoint");
    let metadata = json_at(format!("{}/.well-known/openid-configuration", idp.issuer())).await;
    assert_eq!(metadata["issuer"], "https://evil.example");
    assert!(metadata.get("token_endpoint").is_none());
    assert_eq!(metadata, idp.metadata());
}

#[tokio::test]
async fn key_sets_are_conditional() {
    let (idp, _) = idp().await;
    idp.set_jwks_cache_control(Some(HeaderValue::from_static("max-age=60")));
    let first = http().get(idp.jwks_uri()).send().await.unwrap();
    assert_eq!(first.headers()[header::CONTENT_TYPE], "application/jwk-set+json");
    assert_eq!(first.headers()[header::CACHE_CONTROL], "max-age=60");
    let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();

    for (name, condition, status) in [
        ("same tag", tag.clone(), 304),
        ("weak tag in a list", format!("\"x\", W/{tag}"), 304),
        ("any", "*".to_owned(), 304),
        ("another tag", "\"x\"".to_owned(), 200),
    ] {
        let request = http().get(idp.jwks_uri()).header(header::IF_NONE_MATCH, &condition);
        assert_eq!(request.send().await.unwrap().status(), status, "{name}");
        let seen = idp.last_request_headers(Endpoint::Jwks).unwrap();
        assert_eq!(seen[header::IF_NONE_MATCH], condition, "{name}");
    }

    idp.rotate_keys();
    let request = http().get(idp.jwks_uri()).header(header::IF_NONE_MATCH, tag);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn rotation_odd_keys_and_garbage_reach_the_wire() {
    let (idp, _) = idp().await;
    let kids = async || -> Vec<Value> {
        let set = json_at(idp.jwks_uri()).await;
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
    };
    idp.rotate_keys();
    assert_eq!(kids().await, ["es256-1", "es256-2"]);
    idp.withdraw_old_keys();
    assert_eq!(kids().await, ["es256-2"]);
    let _ = idp.token().algorithm(Algorithm::EdDsa).sign();
    idp.publish_extra_jwk(json!({ "kty": "oct", "kid": 7 }));
    assert_eq!(kids().await, [json!(7), json!("es256-2"), json!("eddsa-1")]);

    idp.replace_jwks_document("<html>");
    let body = http().get(idp.jwks_uri()).send().await.unwrap().text().await.unwrap();
    assert_eq!(body, "<html>");
    idp.restore_jwks_document();
    assert_eq!(kids().await.len(), 3);
}

#[tokio::test]
async fn endpoints_fail_one_by_one_and_recover() {
    let (idp, _) = idp().await;
    let status = async |url: String| http().get(url).send().await.unwrap().status();
    let discovery = format!("{}/.well-known/openid-configuration", idp.issuer());
    idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
    assert_eq!(status(idp.jwks_uri()).await, 502);
    assert_eq!(status(discovery.clone()).await, 200);
    idp.answer_with(Endpoint::Discovery, Response::builder().status(418).body("teapot").unwrap());
    assert_eq!(status(discovery.clone()).await, 418);
    idp.recover(Endpoint::Jwks);
    idp.recover(Endpoint::Discovery);
    assert_eq!(status(idp.jwks_uri()).await, 200);
    assert_eq!(status(discovery).await, 200);
    assert_eq!(idp.requests(Endpoint::Jwks), 2);
}

#[tokio::test]
async fn a_held_answer_tells_the_past_and_comes_when_released() {
    let (idp, _) = idp().await;
    let hold = idp.hold(Endpoint::Jwks);
    let held = tokio::spawn(json_at(idp.jwks_uri()));
    idp.wait_for_requests(Endpoint::Jwks, 1).await;
    idp.rotate_keys();
    assert!(!held.is_finished());

    idp.recover(Endpoint::Jwks);
    assert_eq!(json_at(idp.jwks_uri()).await["keys"].as_array().unwrap().len(), 2);
    assert!(!held.is_finished());
    hold.release();
    assert_eq!(held.await.unwrap()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_released_hold_lets_later_requests_pass() {
    let (idp, _) = idp().await;
    idp.hold(Endpoint::Jwks).release();
    json_at(idp.jwks_uri()).await;
}

#[tokio::test]
async fn a_delay_passes_on_the_providers_clock() {
    let (idp, clock) = idp().await;
    idp.delay(Endpoint::Jwks, Duration::from_secs(10));
    let delayed = tokio::spawn(json_at(idp.jwks_uri()));
    idp.wait_for_requests(Endpoint::Jwks, 1).await;
    clock.advance(Duration::from_secs(9));
    assert!(!delayed.is_finished());
    clock.advance(Duration::from_secs(1));
    delayed.await.unwrap();
}

#[tokio::test]
async fn a_stopped_provider_refuses_connections_and_cuts_hanging_answers() {
    let (idp, _) = idp().await;
    let root = idp.issuer_at("/");
    root.hang(Endpoint::Jwks);
    let hanging = tokio::spawn(http().get(root.jwks_uri()).send());
    root.wait_for_requests(Endpoint::Jwks, 1).await;
    idp.stop().await;
    assert_eq!(hanging.await.unwrap().unwrap().status(), 503);
    assert!(http().get(root.jwks_uri()).send().await.unwrap_err().is_connect());
    assert_eq!(root.token().sign().split('.').count(), 3);
}

#[tokio::test]
async fn a_dropped_provider_closes_its_socket() {
    let (idp, _) = idp().await;
    let (address, task) = (idp.address(), {
        let MockIdp { task, stop, .. } = idp;
        drop(stop);
        task
    });
    task.await.unwrap();
    tokio::net::TcpStream::connect(address).await.unwrap_err();
}

#[tokio::test]
async fn client_credentials() {
    let (idp, _) = idp().await;
    let grant = ("grant_type", "client_credentials");
    let form = [grant, ("scope", "orders:read orders:write")];
    let (status, answer) = post(&idp, ("reader", "secret"), &form).await;
    assert_eq!(status, 200);
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 300);
    assert_eq!(answer["scope"], "orders:read");
    let token = claims(&answer["access_token"]);
    assert_eq!((&token["sub"], &token["client_id"]), (&json!("reader"), &json!("reader")));
    assert_eq!(token["aud"], DEFAULT_AUDIENCE);
    assert_eq!(token["scope"], "orders:read");

    let form = [grant, ("resource", "https://a.example"), ("audience", "b")];
    let (_, answer) = post(&idp, ("gateway", "s3:cret"), &form).await;
    assert_eq!(claims(&answer["access_token"])["aud"], json!(["https://a.example", "b"]));

    let form = [grant, ("client_id", "gateway"), ("client_secret", "s3:cret")];
    let answer = http().post(idp.token_endpoint()).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(idp.requests(Endpoint::Token), 3);
}

#[tokio::test]
async fn client_credentials_refused() {
    let (idp, _) = idp().await;
    idp.limit_targets(["https://a.example"]);
    let good = ("gateway", "s3:cret");
    let grant = ("grant_type", "client_credentials");
    type Row<'a> = (&'a str, (&'a str, &'a str), &'a [(&'a str, &'a str)], u16, &'a str);
    let rows: &[Row<'_>] = &[
        ("unknown client", ("nobody", "s"), &[grant], 401, "invalid_client"),
        ("wrong secret", ("gateway", "s"), &[grant], 401, "invalid_client"),
        ("two ways", good, &[grant, ("client_secret", "s3:cret")], 400, "invalid_request"),
        ("another id", good, &[grant, ("client_id", "reader")], 400, "invalid_request"),
        ("no grant", good, &[], 400, "invalid_request"),
        ("grant twice", good, &[grant, grant], 400, "invalid_request"),
        ("unknown grant", good, &[("grant_type", "password")], 400, "unsupported_grant_type"),
        ("scope not allowed", ("reader", "secret"), &[grant, ("scope", "x")], 400, "invalid_scope"),
        ("relative resource", good, &[grant, ("resource", "/a")], 400, "invalid_target"),
        ("fragment", good, &[grant, ("resource", "https://a.example#f")], 400, "invalid_target"),
        ("target not served", good, &[grant, ("audience", "b")], 400, "invalid_target"),
    ];
    for (name, client, form, status, error) in rows {
        let (got, answer) = post(&idp, *client, form).await;
        assert_eq!((got, &answer["error"]), (*status, &json!(error)), "{name}");
        assert!(answer.get("access_token").is_none(), "{name}");
    }

    let get = http().get(idp.token_endpoint()).send().await.unwrap();
    assert_eq!(get.status(), 405);
    let json = http().post(idp.token_endpoint()).json(&json!({})).send().await.unwrap();
    assert_eq!(json.status(), 400);
    let anonymous = http().post(idp.token_endpoint()).form(&[grant]).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    assert!(anonymous.headers().contains_key(header::WWW_AUTHENTICATE));
}

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
    assert_eq!(answer["scope"], "orders:read");
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
    let form = [
        ("grant_type", exchange::TOKEN_EXCHANGE),
        ("subject_token", &both),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let (_, answer) = post(&idp, ("reader", "secret"), &form).await;
    assert_eq!(answer["scope"], "orders:read", "a client's own limit narrows too");
}

#[test]
fn handles_go_into_tasks() {
    fn sendable<T: Send + Sync + 'static>() {}
    sendable::<MockIdp>();
    sendable::<MockIssuer>();
    sendable::<TokenBuilder>();
    sendable::<Hold>();
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let (idp, _) = idp().await;
    let shown = format!("{idp:?} {:?}", MockIdp::builder());
    assert!(shown.contains("es256-1") && !shown.contains("s3:cret"), "{shown}");
}
