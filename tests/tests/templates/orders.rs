//! `orders-service`.

use std::{fs, process::Command};

use integration_tests::leave_out;
use reqwest::Client;
use serde_json::Value;

use crate::{
    Process, built, field,
    site::{NEWSLETTER, SHOP, Site},
};

pub(crate) async fn wait_until_ready(operations: &str) {
    let http = Client::default();
    while http.get(format!("{operations}/ready")).send().await.unwrap().status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_and_ends_with_every_request_on_record() {
    let site = Site::new().await.unwrap();
    let mut service =
        Process::start(Command::new(built("--bin", "orders-service")).arg("--config").arg(site.settings()));
    let line = service.wait_for("serving");
    let (api, operations) = (field(&line, "api"), field(&line, "operations"));
    wait_until_ready(&operations).await;

    let shop = site.client(SHOP);
    let refund = site.bound(site.alice().scopes(["orders:read", "orders:write", "orders:refund"]), SHOP);
    let order = serde_json::json!({ "item": "a lamp", "cents": 1250 });
    let placed = shop.post(format!("{api}/orders")).bearer_auth(&refund).json(&order).send().await.unwrap();
    assert_eq!(placed.status(), 201);
    let refunds = format!("{api}/orders/1/refund");
    let stolen = site.client(NEWSLETTER).post(&refunds).bearer_auth(&refund).send().await.unwrap();
    assert_eq!(stolen.status(), 401);
    let refunded = shop.post(&refunds).bearer_auth(&refund).send().await.unwrap();
    assert_eq!(refunded.status(), 200);

    // New certificates, without a restart.
    site.issue_server_certificate().unwrap();
    service.signal("-HUP");
    service.wait_for("read again");
    let again = site.client(SHOP).get(format!("{api}/orders")).bearer_auth(&refund).send().await.unwrap();
    assert_eq!(again.status(), 200);

    let metrics = Client::default().get(format!("{operations}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for counted in [
        r#"tower_delegation_requests_total{decision="allow",reason="none"} 3"#,
        r#"tower_delegation_requests_total{decision="deny",reason="confirmation_mismatch"} 1"#,
    ] {
        assert!(metrics.contains(counted), "{metrics}");
    }

    service.signal("-TERM");
    service.wait_for("the audit trail is written out");
    assert!(service.wait().success());
    let audit = fs::read_to_string(site.path("audit/audit.jsonl")).unwrap();
    assert!(audit.ends_with('\n'));
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let decisions: Vec<_> = lines.iter().map(|line| line["decision"].as_str().unwrap()).collect();
    assert_eq!(decisions, ["allow", "deny", "allow", "allow"]);
    assert!(lines.iter().all(|line| line["token_hash"].is_string()));
    assert!(!audit.contains(&refund), "no token is on record");
}

#[tokio::test]
async fn the_environment_comes_before_the_file() {
    let site = Site::new().await.unwrap();
    let mut service = Process::start(
        Command::new(built("--bin", "orders-service"))
            .arg("--config")
            .arg(site.settings())
            .env("ORDERS__LISTEN__API", "127.0.0.2:0")
            // What an orchestrator sets for a service of that name.
            .env("ORDERS_PORT", "tcp://10.0.0.1:8443"),
    );
    assert!(field(&service.wait_for("serving"), "api").starts_with("https://127.0.0.2:"));
    service.signal("-INT");
    assert!(service.wait().success());
}

#[tokio::test]
async fn it_does_not_start_with_a_mistake() {
    let site = Site::new().await.unwrap();
    let config = site.settings();
    for (name, variable, value, expected) in [
        ("unknown", "ORDERS__LISTEN__APl", "127.0.0.1:0", "unknown field"),
        ("not an address", "ORDERS__LISTEN__API", "here", "LISTEN.API"),
        ("no such file", "ORDERS__TLS__KEY", "/nowhere.pem", "/nowhere.pem"),
        ("not a URL", "ORDERS__ISSUER", "idp", "idp"),
    ] {
        let mut command = Command::new(built("--bin", "orders-service"));
        let output = command.arg("--config").arg(&config).env(variable, value).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {message}");
        assert!(message.contains(expected), "{name}: {message}");
        assert!(!site.path("audit").exists(), "{name}: nothing was begun");
    }
}

#[test]
fn the_demonstration_prints_lines_that_do_what_they_say() {
    if Command::new("curl").arg("--version").output().is_err() {
        return leave_out("the demonstration's curl lines", "there is no curl");
    }
    let mut demo = Process::demonstrate(&mut Command::new(built("--example", "demo")));
    let lines = demo.read_to("Control-C ends it");
    let mut calls = 0;
    for pair in lines.windows(2) {
        let [what, curl] = pair else { unreachable!() };
        let Some(what) = what.strip_prefix("# ") else { continue };
        let quiet = curl.replace("curl -i", "curl -s -o /dev/null -w '%{http_code}'");
        let output = Command::new("sh").args(["-c", &quiet]).output().unwrap();
        let status = String::from_utf8(output.stdout).unwrap();
        assert!(what.trim_end().ends_with(&format!(": {status}")), "{what}: {status}");
        calls += 1;
    }
    assert_eq!(calls, 10);
    demo.signal("-TERM");
    assert!(demo.wait().success());
}
