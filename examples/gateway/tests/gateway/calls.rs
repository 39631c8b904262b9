//! In front of the orders service: the coarse rule of the gateway, and the final one behind it.

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tower_delegation_testing::TokenBuilder;

use crate::site::{Gateway, ORDERS, Site};

async fn call(site: &Site, gateway: &Gateway, method: Method, path: &str, token: &str) -> Response {
    let request = site.client().request(method.clone(), format!("{}{path}", gateway.api)).bearer_auth(token);
    let request = if method == Method::POST {
        request.json(&json!({ "item": "a lamp", "cents": 1250 }))
    } else {
        request
    };
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_user_orders_through_the_gateway() {
    let mut site = Site::of_orders().await;
    let gateway = site.start().await;
    let token = site.alice().sign();
    let placed = call(&site, &gateway, Method::POST, "/orders", &token).await;
    assert_eq!(placed.status(), 201);
    let order: Value = placed.json().await.unwrap();
    assert_eq!(order["customer"], json!({ "issuer": site.idp.issuer(), "subject": "alice" }));
    for _ in 0..2 {
        let listed = call(&site, &gateway, Method::GET, "/orders", &token).await;
        assert_eq!(listed.status(), 200);
        assert_eq!(listed.json::<Value>().await.unwrap()[0]["item"], "a lamp");
    }
    gateway.stop().await;
    site.finish_service().await;

    // A token that can write, one that can read, and nothing more.
    let asked: Vec<_> = site.idp.token_requests();
    let asked: Vec<_> = asked.iter().filter_map(|request| request.parameter("scope")).collect();
    assert_eq!(asked, ["orders:write", "orders:read"]);
    let (at_gateway, at_orders) = (site.audit("audit/audit.jsonl"), site.audit("orders/audit/audit.jsonl"));
    assert_eq!((at_gateway.len(), at_orders.len()), (5, 3), "{at_gateway:?}");
    for line in at_gateway.iter().chain(&at_orders) {
        assert_eq!((&line["decision"], &line["subject"]), (&json!("allow"), &json!("alice")), "{line}");
    }
    for line in &at_orders {
        assert_eq!((&line["client"], &line["actor"]["id"]), (&json!("gateway"), &json!("gateway")), "{line}");
        assert_eq!(line["workload"], "spiffe://example.org/edge/gateway", "{line}");
        assert!(at_gateway.iter().all(|other| other["token_hash"] != line["token_hash"]), "its own token");
    }
}

#[tokio::test]
async fn each_of_the_two_rules_refuses_by_itself() {
    let mut site = Site::of_orders().await;
    let gateway = site.start().await;
    let alice = || site.alice();
    let rows: &[(&str, Method, &str, TokenBuilder, u16, &str)] = &[
        // The coarse rule, before anything is exchanged.
        (
            "a token of the service behind",
            Method::GET,
            "/orders",
            alice().audience(ORDERS),
            401,
            "audience_mismatch",
        ),
        ("forged", Method::GET, "/orders", alice().sign_with_other_key(), 401, "signature_invalid"),
        ("scope missing", Method::POST, "/orders", alice().scopes(["orders:read"]), 403, "scope_missing"),
        (
            "more than the application may",
            Method::POST,
            "/orders",
            alice().client("newsletter"),
            403,
            "scope_beyond_application",
        ),
        (
            "unknown application",
            Method::GET,
            "/orders",
            alice().client("shiny-new-tool"),
            403,
            "client_unregistered",
        ),
        (
            "no user",
            Method::GET,
            "/orders",
            site.idp.token().subject("shop-web").client("shop-web").scopes(["orders:read"]),
            403,
            "acting_not_allowed",
        ),
        ("a route that is not offered", Method::POST, "/orders/1/refund", alice(), 404, ""),
        ("another one", Method::GET, "/revocations", alice(), 404, ""),
    ];
    for (name, method, path, token, status, _) in rows {
        let answer = call(&site, &gateway, method.clone(), path, &token.clone().sign()).await;
        assert_eq!(answer.status().as_u16(), *status, "{name}");
    }
    assert!(site.idp.token_requests().is_empty(), "nothing was exchanged");

    // The final rule, of which the gateway knows nothing: no agent orders.
    let agent = alice().actor("copilot").sign();
    assert_eq!(call(&site, &gateway, Method::GET, "/orders", &agent).await.status(), 200);
    let refused = call(&site, &gateway, Method::POST, "/orders", &agent).await;
    assert_eq!(refused.status(), 403);
    gateway.stop().await;
    site.finish_service().await;
    let lines = site.audit("audit/audit.jsonl");
    for ((name, .., reason), line) in rows.iter().zip(&lines) {
        assert_eq!(line["reason"].as_str().unwrap_or_default(), *reason, "{name}: {line}");
    }
    let reasons: Vec<_> =
        site.audit("orders/audit/audit.jsonl").iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, [Value::Null, json!("actor_chain_not_allowed")]);
}
