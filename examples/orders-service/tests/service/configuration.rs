//! What is wrong with a configuration is said in one line, and nothing is served.

use std::fs;

use metrics_exporter_prometheus::PrometheusBuilder;
use orders_service::{Service, Settings};

use crate::site::Site;

/// The message of a service that does not start.
async fn message(site: &Site) -> String {
    let error = match Settings::load(&site.settings()) {
        Err(error) => error,
        Ok(settings) => {
            let metrics = PrometheusBuilder::new().build_recorder().handle();
            Service::start(&settings, metrics).await.unwrap_err()
        }
    };
    format!("{error:#}")
}

#[tokio::test]
async fn mistakes_are_named() {
    let site = Site::new().await.unwrap();
    let good = fs::read_to_string(site.settings()).unwrap();
    let row = |name, find: &str, put: &str, expected: [&'static str; 2]| {
        assert!(good.contains(find), "{name}");
        (name, good.replace(find, put), expected)
    };
    for (name, settings, expected) in [
        row("a key is unknown", "audience =", "audiense =", ["audiense", "orders-service.toml"]),
        row("a key is missing", "drain_seconds = 20", "", ["drain_seconds", "shutdown"]),
        row(
            "no number",
            "drain_seconds = 20",
            "drain_seconds = \"soon\"",
            ["shutdown.drain_seconds", "soon"],
        ),
        row("no address", "api = \"127.0.0.1:0\"", "api = \"here\"", ["listen.api", "address"]),
        row("no TOML", "[tls]", "[tls", ["TOML", "configuration"]),
        row(
            "issuer in clear text",
            "issuer = \"http://127.0.0.1",
            "issuer = \"http://idp.example.com",
            ["idp.example.com", "https"],
        ),
        row("leeway", "clock_leeway_seconds = 30", "clock_leeway_seconds = 3000", ["leeway", "3000"]),
        row("no certificate", "tls/chain.pem", "tls/nowhere.pem", ["`tls`", "nowhere.pem"]),
        row("no bundle", "tls/bundle.pem", "tls/key.pem", ["`tls`", "bundle"]),
        row("audit file too small", "max_bytes = 67108864", "max_bytes = 10", ["`audit`", "65536"]),
        row("audit file is a folder", "audit/audit.jsonl", "tls", ["`audit`", "directory"]),
        row("no registry", "\"applications.toml\"", "\"nowhere.toml\"", ["`applications`", "nowhere.toml"]),
    ] {
        fs::write(site.settings(), settings).unwrap();
        let message = message(&site).await;
        assert!(expected.iter().all(|part| message.contains(part)), "{name}: {message}");
        assert!(message.lines().count() == 1 || name == "no TOML", "{name}: {message}");
    }
    fs::write(site.settings(), good).unwrap();
    let table = fs::read_to_string(site.path("routes.toml")).unwrap();
    for (name, find, put, expected) in [
        ("a row without a route", "/orders/export", "/orders/exports", "no route: GET /orders/exports"),
        (
            "a route without a row",
            "methods = [\"POST\"]\npath = \"/orders\"\n",
            "methods = [\"GET\"]\npath = \"/new\"\n",
            "/new",
        ),
        ("an unknown demand", "mutual_tls = true", "mutual_tsl = true", "mutual_tsl"),
    ] {
        assert!(table.contains(find), "{name}");
        fs::write(site.path("routes.toml"), table.replace(find, put)).unwrap();
        let message = message(&site).await;
        assert!(message.contains(expected), "{name}: {message}");
    }
    fs::remove_file(site.settings()).unwrap();
    assert!(message(&site).await.contains("there is no configuration file"));
}
