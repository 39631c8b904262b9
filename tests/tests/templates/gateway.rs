//! `gateway`, in front of `orders-service`.

use std::{fs, io, path::PathBuf, process::Command};

use serde_json::{Value, json};
use tower_delegation_testing::{MockClient, TokenBuilder};

use crate::{
    Process, built, field,
    orders::wait_until_ready,
    site::{GATEWAY, SHOP, Site},
};

const AUDIENCE: &str = "https://gateway.example.com";
const ORDERS: &str = "https://orders.example.com";

/// Writes the gateway's files beside those of the service: the example files with other
/// addresses.
fn configure(site: &Site, orders: &str) -> io::Result<PathBuf> {
    let client = MockClient::new("gateway").secret_basic("s3cret").add_audience(AUDIENCE);
    site.idp.register(client.exchanges_for(ORDERS, ["orders:read", "orders:write"]));
    fs::write(site.path("secret"), "s3cret\n")?;
    let issuer = |text: &str| text.replace("https://idp.example.com", site.idp.issuer());
    let applications = include_str!("../../../examples/gateway/applications.toml");
    fs::write(site.path("callers.toml"), issuer(applications))?;
    let identity = fs::read_to_string(site.certificate(GATEWAY))?;
    let (chain, key) = identity.split_at(identity.find("-----BEGIN PRIVATE").unwrap_or_default());
    fs::write(site.path("tls/gateway.pem"), chain)?;
    fs::write(site.path("tls/gateway.key.pem"), key)?;
    let settings = issuer(include_str!("../../../examples/gateway/gateway.toml"))
        .replace("0.0.0.0:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9000", "127.0.0.1:0")
        .replace("https://orders.internal:8443", orders)
        .replace("secrets/client", "secret")
        .replace("\"applications.toml\"", "\"callers.toml\"")
        .replace("audit/audit.jsonl", "edge/audit.jsonl");
    fs::write(site.path("gateway.toml"), settings)?;
    Ok(site.path("gateway.toml"))
}

fn alice(site: &Site) -> TokenBuilder {
    site.alice().audience(AUDIENCE).scopes(["orders:read", "orders:write"])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_passes_two_services_and_is_on_record_in_both() {
    let site = Site::new().await.unwrap();
    let mut orders =
        Process::start(Command::new(built("--bin", "orders-service")).arg("--config").arg(site.settings()));
    let line = orders.wait_for("serving");
    let (behind, operations) = (field(&line, "api"), field(&line, "operations"));
    wait_until_ready(&operations).await;
    let config = configure(&site, &behind).unwrap();
    let mut gateway = Process::start(Command::new(built("--bin", "gateway")).arg("--config").arg(config));
    let line = gateway.wait_for("serving");
    let (api, operations) = (field(&line, "api"), field(&line, "operations"));
    wait_until_ready(&operations).await;

    let token = alice(&site).sign();
    let order = json!({ "item": "a lamp", "cents": 1250 });
    // A client without a certificate: the gateway is for the internet.
    let caller = site.client("/unknown");
    let placed = caller.post(format!("{api}/orders")).bearer_auth(&token).json(&order).send().await.unwrap();
    assert_eq!(placed.status(), 201);
    // Past the gateway, even from a workload that is known there.
    let past = site.client(SHOP).get(format!("{behind}/orders")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(past.status(), 401);

    for process in [&mut gateway, &mut orders] {
        process.signal("-TERM");
        process.wait_for("the audit trail is written out");
        assert!(process.wait().success());
    }
    let lines = |file: &str| -> Vec<Value> {
        let audit = fs::read_to_string(site.path(file)).unwrap();
        assert!(!audit.contains(&token), "no token is on record");
        audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let outcomes = |lines: &[Value]| -> Vec<String> {
        let outcome = |line: &Value| line["reason"].as_str().or(line["decision"].as_str()).map(str::to_owned);
        lines.iter().filter_map(outcome).collect()
    };
    let (edge, service) = (lines("edge/audit.jsonl"), lines("audit/audit.jsonl"));
    assert_eq!(outcomes(&edge), ["allow", "allow"], "the exchange, and the request");
    assert_eq!(outcomes(&service), ["allow", "audience_mismatch"]);
    assert_eq!((&service[0]["subject"], &service[0]["client"]), (&json!("alice"), &json!("gateway")));
}

#[tokio::test]
async fn it_does_not_start_with_a_mistake() {
    let site = Site::new().await.unwrap();
    let config = configure(&site, "https://127.0.0.1:1").unwrap();
    for (name, variable, value, expected) in [
        ("unknown", "GATEWAY__LISTEN__APl", "127.0.0.1:0", "unknown field"),
        ("not an address", "GATEWAY__LISTEN__API", "here", "LISTEN.API"),
        ("a service in clear text", "GATEWAY__ORDERS__URL", "http://orders.internal", "orders.internal"),
        ("no resource", "GATEWAY__ORDERS__RESOURCE", "orders", "RFC 8707"),
        ("no certificate", "GATEWAY__ORDERS__CERTIFICATE", "/nowhere.pem", "/nowhere.pem"),
        ("no key in it", "GATEWAY__ORDERS__KEY", "/dev/null", "orders"),
        (
            "an identity header of another meaning",
            "GATEWAY__IDENTITY_HEADERS",
            "[authorization]",
            "authorization",
        ),
    ] {
        let mut command = Command::new(built("--bin", "gateway"));
        let output = command.arg("--config").arg(&config).env(variable, value).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {message}");
        assert!(message.contains(expected), "{name}: {message}");
    }
}
