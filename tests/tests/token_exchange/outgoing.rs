//! Calls to a downstream through reqwest: to its own origin, each on behalf of its caller.

use std::time::Duration;

use axum::{Router, extract::State, routing::get};
use http::{HeaderMap, Method, StatusCode};
use integration_tests::{Answer, AuditLog, Served};
use serde_json::json;
use tower_delegation::{
    DelegationContext, Rejection,
    exchange::{
        Downstream,
        outgoing::{CallErrorKind, DownstreamClient},
    },
    proof::{Dpop, DpopNonces},
};
use tower_delegation_testing::Endpoint;

use crate::{
    shop::{STOCK, Shop},
    witness::Witness,
};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_call_carries_a_token_for_the_downstream_and_not_the_callers() {
    let (shop, stock) = (Shop::new().await, Witness::start().await);
    let client = shop.client_of(&stock);
    let token = shop.token().sign();
    let caller = shop.layer.authenticator().verify(&token).await.unwrap();
    for (request, line, body) in [
        (client.get("/items/7?full=1"), "GET /items/7?full=1", ""),
        (client.get("/items").query(&[("name", "a b&c")]), "GET /items?name=a+b%26c", ""),
        (client.post("/items").json(&json!({"amount": 2})), "POST /items", r#"{"amount":2}"#),
        (client.put("/items/7").body("text"), "PUT /items/7", "text"),
        (client.patch("/items/7").form(&[("a", "b")]), "PATCH /items/7", "a=b"),
        (client.delete("/items/7"), "DELETE /items/7", ""),
        (client.request(Method::OPTIONS, "/"), "OPTIONS /", ""),
    ] {
        let request = request.header("x-request-id", "1").timeout(Duration::from_secs(20));
        let answer = request.on_behalf_of(&caller).scope("stock:read").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "served", "{line}");
        let seen = stock.one();
        assert_eq!(seen.line, line);
        assert_eq!(seen.body, body, "{line}");
        assert_eq!(seen.field("x-request-id"), Some("1"), "{line}");
        let claims = seen.token();
        assert_eq!(claims["aud"], STOCK, "{line}");
        assert_eq!(claims["sub"], "alice", "{line}");
        assert_eq!(claims["scope"], "stock:read", "{line}");
        let carried = format!("{:?}{:?}", seen.headers, seen.body);
        assert!(!carried.contains(&token), "{line}: the caller's own token stays here");
    }
    assert_eq!(shop.exchanges(), 1);
}

#[tokio::test]
async fn a_path_that_leads_elsewhere_is_refused_before_anything_is_exchanged() {
    let (shop, stock) = (Shop::new().await, Witness::start().await);
    let evil = Witness::start().await;
    let client = DownstreamClient::new(shop.exchange_at(&format!("{}/api", stock.served.base))).unwrap();
    let caller = shop.caller().await;
    let host = evil.served.base.strip_prefix("http://").unwrap();
    for path in [
        "".to_owned(),
        "items".to_owned(),
        evil.served.base.clone(),
        format!("{}/items", evil.served.base),
        format!("//{host}/items"),
        format!("/\\{host}/items"),
        format!("\\\\{host}/items"),
        format!("/\t/{host}/items"),
        format!("@{host}/items"),
        format!(":1@{host}/items"),
        "/../admin".to_owned(),
        "/items/..".to_owned(),
        "/%2e%2e/admin".to_owned(),
        "/..%2fadmin".to_owned(),
        "/%252e%252e/admin".to_owned(),
        "/items\r\nx: y".to_owned(),
        "/items#7".to_owned(),
    ] {
        let error = client.get(&path).on_behalf_of(&caller).send().await.unwrap_err();
        assert_eq!(error.kind(), CallErrorKind::Request, "{path:?}");
        assert_eq!(error.reason().code(), "path_ambiguous", "{path:?}");
        let passed = client.get(&path).dangerous_with_callers_token("why", &caller).send().await.unwrap_err();
        assert_eq!(passed.reason().code(), "path_ambiguous", "{path:?}");
        assert_eq!(Rejection::from(error).status(), 403, "{path:?}");
    }
    assert_eq!(shop.exchanges(), 0);
    client.get("/items/7").on_behalf_of(&caller).send().await.unwrap();
    assert_eq!(stock.one().line, "GET /api/items/7");
    assert_eq!(evil.take().len(), 0);
}

#[tokio::test]
async fn fields_that_speak_for_a_caller_or_another_host_are_not_the_requests_to_set() {
    let (shop, stock) = (Shop::new().await, Witness::start().await);
    let (client, caller) = (shop.client_of(&stock), shop.caller().await);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer of-the-caller"),
        ("dpop", "proof-of-the-caller"),
        ("proxy-authorization", "Basic YTpi"),
        ("host", "admin.example.com"),
        ("x-kept", "1"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let request = client.get("/items").headers(headers).header("authorization", "Bearer another");
    request.on_behalf_of(&caller).send().await.unwrap();
    let seen = stock.one();
    assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
    assert_eq!(seen.token()["aud"], STOCK);
    assert_eq!(seen.field("dpop"), None);
    assert_eq!(seen.field("proxy-authorization"), None);
    assert_eq!(seen.field("host"), stock.served.base.strip_prefix("http://"));
    assert_eq!(seen.field("x-kept"), Some("1"));
}

#[tokio::test]
async fn an_answer_of_the_downstream_is_the_downstreams() {
    let shop = Shop::new().await;
    let caller = shop.caller().await;
    for status in [401, 403, 404, 429, 500, 503].map(|status| StatusCode::from_u16(status).unwrap()) {
        let stock = Witness::refusing(status).await;
        let answer = shop.client_of(&stock).get("/items").on_behalf_of(&caller).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(stock.take().len(), 1);
    }
}

#[tokio::test]
async fn without_an_answer_the_caller_is_not_to_blame() {
    let (shop, stock) = (Shop::new().await, Witness::start().await);
    let caller = shop.caller().await;
    let client = shop.client_of(&stock);

    let gone = DownstreamClient::new(shop.exchange_at("http://127.0.0.1:1")).unwrap();
    let error = gone.get("/items").on_behalf_of(&caller).send().await.unwrap_err();
    assert_eq!(error.kind(), CallErrorKind::Transport);
    assert_eq!(error.reason().code(), "downstream_unavailable");
    assert_eq!(error.rejection().status(), 503);
    assert!(std::error::Error::source(&error).is_some());

    let late = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let late = format!("http://{}", late.local_addr().unwrap());
    let late = DownstreamClient::new(shop.exchange_at(&late)).unwrap();
    let late = late.get("/items").timeout(Duration::from_millis(20)).on_behalf_of(&caller).send().await;
    assert_eq!(late.unwrap_err().rejection().status(), 503);

    let error = client.get("/items").header("x", "a\nb").on_behalf_of(&caller).send().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.rejection().status()),
        (CallErrorKind::Request, StatusCode::INTERNAL_SERVER_ERROR)
    );

    let more = client.get("/items").on_behalf_of(&caller).scope("stock:write").send().await.unwrap_err();
    assert_eq!(more.kind(), CallErrorKind::Exchange);
    assert_eq!(more.rejection().status(), 403);

    shop.world.idp.fail_with(Endpoint::Token, StatusCode::BAD_GATEWAY);
    let error = client.get("/items").on_behalf_of(&caller).send().await.unwrap_err();
    assert_eq!(error.exchange_error().map(|error| error.reason().code()), Some("exchange_unavailable"));
    assert_eq!(error.rejection().status(), 503);
    assert_eq!(stock.take().len(), 0, "nothing was sent");
}

#[tokio::test]
async fn a_bound_token_has_a_proof_for_each_request_and_the_nonce_that_stock_demands() {
    let nonces = |dpop: Dpop| dpop.nonces(DpopNonces::new());
    let shop = Shop::of_stock(nonces, Downstream::dpop_bound).await;
    let caller = shop.caller().await;
    let client = DownstreamClient::new(shop.exchange.clone()).unwrap();
    for round in 0..2 {
        let answer =
            client.get("/items").header("dpop", "another").on_behalf_of(&caller).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{round}");
        let seen: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(seen["sender_constraint"], "dpop", "{round}");
    }
    // A request whose body cannot be sent twice is answered with what stock said.
    let fresh =
        DownstreamClient::new(shop.exchange_with(shop.exchange.url(), Downstream::dpop_bound)).unwrap();
    let stream = || reqwest::Body::wrap(http_body_util::Full::new(bytes::Bytes::from_static(b"text")));
    let once = fresh.get("/items").body(stream()).on_behalf_of(&caller).send().await.unwrap();
    assert_eq!(once.status(), 401);
    let then = fresh.get("/items").body(stream()).on_behalf_of(&caller).send().await.unwrap();
    assert_eq!(then.status(), 200, "its nonce is known by then");
}

/// orders, which hands on what stock answers.
async fn orders(shop: &Shop, client: DownstreamClient) -> Served {
    let items =
        async |State(stock): State<DownstreamClient>, headers: HeaderMap, caller: DelegationContext| {
            let mut request = stock.get("/items");
            if let Some(own) = headers.get("x-own-trace") {
                request = request.header("traceparent", own);
            }
            let answer = request.on_behalf_of(&caller).send().await?;
            Ok::<_, Rejection>(answer.text().await.unwrap())
        };
    let app = Router::new().route("/items", get(items)).with_state(client);
    Served::start(app.layer(shop.layer.clone())).await
}

#[tokio::test]
async fn one_trace_goes_through_and_a_malformed_one_does_not() {
    let (shop, stock) = (Shop::new().await, Witness::start().await);
    let orders = orders(&shop, shop.client_of(&stock)).await;
    let own = PARENT.replace("4bf9", "5bf9");
    for (name, fields, parent, state) in [
        ("a trace", &[("traceparent", PARENT)][..], Some(PARENT), None),
        ("with a state", &[("traceparent", PARENT), ("tracestate", "a=1")], Some(PARENT), Some("a=1")),
        (
            "a state in two fields",
            &[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")],
            Some(PARENT),
            Some("a=1,b=2"),
        ),
        ("a malformed state", &[("traceparent", PARENT), ("tracestate", "a")], Some(PARENT), None),
        ("none", &[], None, None),
        ("a state alone", &[("tracestate", "a=1")], None, None),
        ("a malformed trace", &[("traceparent", "00-4bf9-00f0-01"), ("tracestate", "a=1")], None, None),
        ("two traces", &[("traceparent", PARENT), ("traceparent", &own)], None, None),
        ("the call's own", &[("traceparent", PARENT), ("x-own-trace", &own)], Some(&*own), None),
    ] {
        let heard = AuditLog::listen();
        // Another token each time: each is exchanged.
        let mut request = orders.request(Method::GET, "/items").bearer_auth(shop.token().sign());
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        let seen = stock.one();
        assert_eq!(seen.field("traceparent"), parent, "{name}");
        assert_eq!(seen.field("tracestate"), state, "{name}");
        assert_eq!(seen.field("x-own-trace"), None, "{name}: nothing else of the caller's request goes on");
        let events = heard.take();
        let exchange = events.iter().find(|event| event.field("downstream") == "stock").unwrap();
        let request = events.iter().find(|event| event.field("downstream").is_empty()).unwrap();
        assert_eq!(exchange.field("trace_id"), request.field("trace_id"), "{name}");
        let is_traced =
            fields.iter().filter(|(name, value)| *name == "traceparent" && *value == PARENT).count() == 1
                && fields.iter().filter(|(name, _)| *name == "traceparent").count() == 1;
        let expected = if is_traced { "4bf92f3577b34da6a3ce929d0e0e4736" } else { "" };
        assert_eq!(exchange.field("trace_id"), expected, "{name}");
    }
}

#[tokio::test]
async fn a_handler_answers_with_what_went_wrong() {
    let shop = Shop::new().await;
    let gone = DownstreamClient::new(shop.exchange_at("http://127.0.0.1:1")).unwrap();
    let orders = orders(&shop, gone).await;
    let answer = orders.get("/items", &shop.token().sign()).await;
    assert_eq!((answer.status, &*answer.code()), (503, "temporarily_unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    let service = shop.world.idp.token().client("robot").scopes(["stock:read"]);
    let answer = orders.get("/items", &service.sign()).await;
    assert_eq!(answer.status, 403, "the downstream's requirement decides: {}", answer.body);
}
