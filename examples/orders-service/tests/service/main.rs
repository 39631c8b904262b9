//! The service over real mutual TLS, with a mock identity provider.
#![expect(clippy::unwrap_used, reason = "a harness for tests")]

mod calls;
mod configuration;
mod lifecycle;
#[path = "../site/mod.rs"]
mod site;

use metrics_exporter_prometheus::PrometheusBuilder;
use orders_service::{Files, Service, Settings};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};

use self::site::Site;

/// A service that runs.
struct Running {
    api: String,
    operations: String,
    files: Files,
    stop: oneshot::Sender<()>,
    end: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// The service, started and ready.
    async fn ready(site: &Site) -> Self {
        let service = Self::start(site).await;
        service.wait_until_ready().await;
        service
    }

    async fn start(site: &Site) -> Self {
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let settings = Settings::load(&site.settings()).unwrap();
        let service = Service::start(&settings, metrics).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        Self {
            api: format!("https://{}", service.api_address().unwrap()),
            operations: format!("http://{}", service.operations_address().unwrap()),
            files: service.files(),
            stop,
            end: tokio::spawn(service.serve(async { stopped.await.unwrap() })),
        }
    }

    async fn wait_until_ready(&self) {
        while self.operations("/ready").await != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    }

    async fn operations(&self, path: &str) -> StatusCode {
        reqwest::get(format!("{}{path}", self.operations)).await.unwrap().status()
    }

    /// A call: its status, and the body as JSON or text.
    async fn call(&self, client: &reqwest::Client, call: Call<'_>, token: &str) -> (u16, Value) {
        let request = client.request(call.0, format!("{}{}", self.api, call.1)).bearer_auth(token);
        let response = call.2.iter().fold(request, reqwest::RequestBuilder::json).send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.end.await.unwrap().unwrap();
    }
}

/// Method, path, and a body of JSON.
type Call<'a> = (Method, &'a str, Option<Value>);

fn get(path: &str) -> Call<'_> {
    (Method::GET, path, None)
}

fn post(path: &str) -> Call<'_> {
    (Method::POST, path, None)
}

fn place(item: &str) -> Call<'static> {
    (Method::POST, "/orders", Some(serde_json::json!({ "item": item, "cents": 1250 })))
}

/// What the audit file says, line by line. Each is complete.
fn audit_lines(site: &Site) -> Vec<Value> {
    let text = std::fs::read_to_string(site.path("audit/audit.jsonl")).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
