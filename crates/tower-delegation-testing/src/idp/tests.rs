use std::time::Duration;

use axum::http::{Response, StatusCode, header};
use reqwest::Client;
use serde_json::{Value, json};
use tower_delegation::clock::Timestamp;

use super::*;
use crate::{TestClock, TokenBuilder, keys::from_base64url};

pub(super) const NOW: i64 = 1_800_000_000;

pub(super) fn http() -> Client {
    Client::builder().build().unwrap()
}

async fn json_at(url: String) -> Value {
    let response = http().get(&url).send().await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    response.json().await.unwrap()
}

pub(super) fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&from_base64url(payload).unwrap()).unwrap()
}

pub(super) async fn idp() -> (MockIdp, TestClock) {
    let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
    let idp = MockIdp::builder().clock(clock.clone()).start().await;
    idp.register_client("gateway", "s3:cret");
    (idp, clock)
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
async fn each_endpoint_has_every_fault() {
    let (idp, _) = idp().await;
    let discovery = format!("{}/.well-known/openid-configuration", idp.issuer());
    let grant = [("grant_type", "client_credentials")];
    for endpoint in [Endpoint::Discovery, Endpoint::Jwks, Endpoint::Token] {
        let ask = || match endpoint {
            Endpoint::Discovery => http().get(&discovery).send(),
            Endpoint::Jwks => http().get(idp.jwks_uri()).send(),
            Endpoint::Token => {
                let request = http().post(idp.token_endpoint()).basic_auth("gateway", Some("s3:cret"));
                request.form(&grant).send()
            }
        };
        let good = ask().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice::<Value>(&good).unwrap();

        idp.fail_with_retry_after(endpoint, StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(7));
        let answer = ask().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[header::RETRY_AFTER]),
            (429, &HeaderValue::from(7))
        );

        idp.garble(endpoint);
        let answer = ask().await.unwrap();
        assert_eq!(answer.status(), 200, "{endpoint:?}");
        answer.json::<Value>().await.unwrap_err();

        idp.truncate(endpoint);
        let answer = ask().await.unwrap();
        assert_eq!(answer.status(), 200, "{endpoint:?}");
        assert!(answer.content_length().unwrap() > 20, "{endpoint:?}: the whole is announced");
        let error = answer.bytes().await.unwrap_err();
        assert!(error.is_body() || error.is_decode(), "{endpoint:?}: {error:?}");

        idp.hang_up(endpoint);
        let error = ask().await.unwrap_err();
        assert!(error.is_request() && !error.is_connect(), "{endpoint:?}: {error:?}");

        idp.pad(endpoint, 1 << 20);
        let padded = ask().await.unwrap().bytes().await.unwrap();
        assert_eq!(padded.len(), 1 << 20, "{endpoint:?}");
        serde_json::from_slice::<Value>(&padded).unwrap();

        idp.recover(endpoint);
        assert_eq!(ask().await.unwrap().bytes().await.unwrap().len(), good.len(), "{endpoint:?}");
        // Each request was counted once; a client may ask again when the connection breaks.
        assert!(idp.requests(endpoint) >= 7, "{endpoint:?}");
    }
}

#[tokio::test]
async fn a_fault_can_pass_by_itself() {
    let (idp, _) = idp().await;
    let status = async || http().get(idp.jwks_uri()).send().await.unwrap().status().as_u16();
    idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
    idp.recover_after(Endpoint::Jwks, 2);
    assert_eq!([status().await, status().await, status().await], [502, 502, 200]);
    idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
    assert_eq!([status().await, status().await], [502, 502], "a new fault stays");
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

#[test]
fn handles_go_into_tasks() {
    fn sendable<T: Send + Sync + 'static>() {}
    sendable::<MockIdp>();
    sendable::<MockIssuer>();
    sendable::<TokenBuilder>();
    sendable::<Hold>();
    sendable::<MockClient>();
    sendable::<TokenRequest>();
    sendable::<crate::ClientKey>();
    sendable::<crate::AssertionBuilder>();
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let (idp, _) = idp().await;
    let shown = format!("{idp:?} {:?}", MockIdp::builder());
    assert!(shown.contains("es256-1") && !shown.contains("s3:cret"), "{shown}");
}
