use axum::http::header;
use serde_json::json;

use super::*;
use crate::{DEFAULT_AUDIENCE, Endpoint};

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
