//! Which header fields arrive.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    http::HeaderMap,
    response::{AppendHeaders, IntoResponse as _, Response},
    routing::get,
};
use serde_json::Value;

use crate::site::{ORDERS, Site};

/// Answers with the fields that it was sent, and with some of its own.
async fn echo(headers: HeaderMap) -> Response {
    let seen: BTreeMap<_, Vec<_>> = headers
        .keys()
        .map(|name| {
            let values = headers.get_all(name).iter();
            (name.as_str().to_owned(), values.map(|value| value.to_str().unwrap().to_owned()).collect())
        })
        .collect();
    let fields = [
        ("set-cookie", "session=2"),
        ("connection", "x-internal"),
        ("x-internal", "10.0.0.7"),
        ("etag", "\"7\""),
    ];
    (AppendHeaders(fields), Json(seen)).into_response()
}

#[tokio::test]
async fn only_what_concerns_the_service_arrives() {
    let site = Site::of(Router::new().route("/orders", get(echo))).await;
    let gateway = site.start().await;
    let token = site.alice().sign();
    let request = site.client().get(format!("{}/orders", gateway.api)).bearer_auth(&token);
    let removed = [
        ("cookie", "session=1"),
        ("dpop", "proof"),
        ("x-forwarded-host", "admin.internal"),
        ("x-forwarded-user", "root"),
        ("forwarded", "for=203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
        ("x-forwarded-client-cert", "By=a;Hash=b"),
        ("client-cert", ":YQ==:"),
        ("x-user", "root"),
        ("x_user", "root"),
        ("remote-user", "root"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/revocations"),
        ("te", "trailers"),
    ];
    let kept = [
        ("accept", "application/json"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let request =
        removed.iter().chain(&kept).fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.header("x-forwarded-for", "203.0.113.7").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["etag"], "\"7\"");
    for name in ["set-cookie", "x-internal", "connection"] {
        assert!(!answer.headers().contains_key(name), "{name} is not the caller's business");
    }
    let seen: Value = answer.json().await.unwrap();
    for (name, _) in removed {
        assert_eq!(seen[name], Value::Null, "{name}");
    }
    for (name, value) in kept {
        assert_eq!(seen[name][0], value, "{name}");
    }
    assert_eq!(seen["x-forwarded-for"], serde_json::json!(["127.0.0.1"]), "what the gateway sees itself");
    assert!(seen["via"][0].as_str().unwrap().ends_with("gateway"));
    // A token of its own, which is not the caller's.
    let onward = seen["authorization"][0].as_str().unwrap();
    assert!(onward.starts_with("Bearer ey") && !onward.ends_with(&token));
    let asked = site.idp.last_token_request().unwrap();
    assert_eq!(asked.parameter("resource"), Some(ORDERS));
    assert_eq!(asked.parameter("subject_token"), Some(&*token));
}
