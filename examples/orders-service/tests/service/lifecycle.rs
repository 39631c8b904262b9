//! From the start to the end.

use std::fs;

use reqwest::StatusCode;
use serde_json::json;
use tower_delegation_testing::Endpoint;

use crate::{
    Running, audit_lines, get,
    site::{SHOP, Site},
};

#[tokio::test]
async fn the_service_is_alive_first_and_ready_when_it_has_keys() {
    let site = Site::new().await.unwrap();
    let hold = site.idp.hold(Endpoint::Jwks);
    let service = Running::start(&site).await;
    site.idp.wait_for_requests(Endpoint::Jwks, 1).await;
    assert_eq!(service.operations("/live").await, StatusCode::OK);
    assert_eq!(service.operations("/ready").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.operations("/metrics").await, StatusCode::OK);
    // What only the orchestrator may see is not part of the API, nor the other way round.
    assert_eq!(service.operations("/orders").await, StatusCode::NOT_FOUND);
    hold.release();
    service.wait_until_ready().await;
    service.stop().await;
}

#[tokio::test]
async fn an_application_is_suspended_without_a_restart() {
    let site = Site::new().await.unwrap();
    let service = Running::ready(&site).await;
    let shop = site.client(SHOP);
    let token = site.alice().scopes(["orders:read"]).sign();
    assert_eq!(service.call(&shop, get("/orders"), &token).await.0, 200);

    let registry = include_str!("../../applications.toml");
    let active = "name = \"shop-web\"";
    site.register(&registry.replace(active, &format!("{active}\nstatus = \"suspended\""))).unwrap();
    // The watcher waits until the folder is quiet; nothing is asked of it.
    while service.call(&shop, get("/orders"), &token).await.0 == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.call(&shop, get("/orders"), &token).await.0, 403);
    service.stop().await;
}

#[tokio::test]
async fn files_are_read_again_and_mistakes_in_them_change_nothing() {
    let site = Site::new().await.unwrap();
    let service = Running::ready(&site).await;
    let token = site.alice().scopes(["orders:read"]).sign();
    site.issue_server_certificate().unwrap();
    service.files.reload().unwrap();
    assert_eq!(service.call(&site.client(SHOP), get("/orders"), &token).await.0, 200);

    for (name, file) in [
        ("certificates", "tls/chain.pem"),
        ("the registry", "applications.toml"),
        ("the route table", "routes.toml"),
    ] {
        let before = fs::read(site.path(file)).unwrap();
        fs::write(site.path(file), "nonsense").unwrap();
        let error = format!("{:#}", service.files.reload().unwrap_err());
        assert!(error.contains(name), "{error}");
        assert_eq!(service.call(&site.client(SHOP), get("/orders"), &token).await.0, 200, "{name}");
        fs::write(site.path(file), before).unwrap();
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stricter_table_is_in_force_without_a_restart() {
    let site = Site::new().await.unwrap();
    let service = Running::ready(&site).await;
    let shop = site.client(SHOP);
    let token = site.alice().scopes(["orders:read"]).sign();
    assert_eq!(service.call(&shop, get("/orders"), &token).await.0, 200);
    let table = fs::read_to_string(site.path("routes.toml")).unwrap();
    let stricter = table.replace("name = \"read own orders\"", "sender_constrained = true");
    assert_ne!(stricter, table);
    fs::write(site.path("routes.toml"), stricter).unwrap();
    service.files.reload().unwrap();
    assert_eq!(service.call(&shop, get("/orders"), &token).await.0, 401);
    let bound = site.bound(site.alice().scopes(["orders:read"]), SHOP);
    assert_eq!(service.call(&shop, get("/orders"), &bound).await.0, 200);
    service.stop().await;
}

#[tokio::test]
async fn clients_find_out_by_whom_tokens_are_issued() {
    let site = Site::new().await.unwrap();
    let service = Running::ready(&site).await;
    let shop = site.client(SHOP);
    let refused = shop.get(format!("{}/orders", service.api)).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
    let well_known = "/.well-known/oauth-protected-resource";
    let named = format!("resource_metadata=\"https://orders.example.com{well_known}\"");
    assert!(challenge.contains(&named), "{challenge}");

    let document = shop.get(format!("{}{well_known}", service.api)).send().await.unwrap();
    let document: serde_json::Value = document.json().await.unwrap();
    assert_eq!(document["resource"], "https://orders.example.com");
    assert_eq!(document["authorization_servers"], json!([site.idp.issuer()]));
    assert_eq!(
        document["scopes_supported"],
        json!([
            "orders:draft",
            "orders:export",
            "orders:read",
            "orders:refund",
            "orders:write",
            "revocations:write"
        ])
    );
    service.stop().await;
}

#[tokio::test]
async fn every_request_is_on_record_when_the_service_has_ended() {
    let site = Site::new().await.unwrap();
    let service = Running::ready(&site).await;
    let shop = site.client(SHOP);
    let token = site.alice().scopes(["orders:read"]).sign();
    let calls = (0..200).map(|_| service.call(&shop, get("/orders"), &token));
    assert!(futures_util::future::join_all(calls).await.iter().all(|(status, _)| *status == 200));
    service.stop().await;
    let lines = audit_lines(&site);
    assert_eq!(lines.len(), 200);
    for line in lines {
        assert_eq!((&line["decision"], &line["route"]), (&json!("allow"), &json!("/orders")), "{line}");
        assert_eq!((&line["subject"], &line["client"]), (&json!("alice"), &json!("shop-web")), "{line}");
        assert_eq!(line["workload"], "spiffe://example.org/shop/web", "{line}");
    }
}

#[tokio::test]
async fn a_full_audit_file_is_put_aside_and_nothing_is_lost() {
    let site = Site::new().await.unwrap();
    let settings = fs::read_to_string(site.settings()).unwrap();
    fs::write(site.settings(), settings.replace("67108864", "65536")).unwrap();
    let service = Running::ready(&site).await;
    let shop = site.client(SHOP);
    let token = site.alice().scopes(["orders:read"]).sign();
    for _ in 0..150 {
        assert_eq!(service.call(&shop, get("/orders"), &token).await.0, 200);
    }
    service.stop().await;
    let first = fs::read_to_string(site.path("audit/audit.jsonl.1")).unwrap();
    assert_eq!(first.lines().count() + audit_lines(&site).len(), 150);
}
