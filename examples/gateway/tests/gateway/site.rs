//! Everything around the gateway: a mock identity provider, a throw-away certificate authority,
//! a service behind it, and a folder with the gateway's files, which are the example files
//! with other addresses.

use std::{fs, path::PathBuf, time::Duration};

use axum::Router;
use gateway::{Service, Settings};
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};
use tower_delegation::{ClientIdentity, DelegationLayer, RequireLayer, Requirement, TrustedIssuer};
use tower_delegation_rustls::{Pem, TlsConfig, TlsListener};
use tower_delegation_testing::{MockClient, MockIdp, MtlsClient, TestPki, TokenBuilder};

pub(crate) const GATEWAY: &str = "https://gateway.example.com";
pub(crate) const ORDERS: &str = "https://orders.example.com";
pub(crate) const WORKLOAD: &str = "/edge/gateway";

/// The surroundings, and a service that runs behind.
pub(crate) struct Site {
    pub(crate) idp: MockIdp,
    pub(crate) pki: TestPki,
    folder: TempDir,
    /// How it is asked to end. It ends with this in any case.
    service: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// A gateway that runs.
pub(crate) struct Gateway {
    pub(crate) api: String,
    stop: oneshot::Sender<()>,
    end: JoinHandle<anyhow::Result<()>>,
}

impl Site {
    async fn new() -> Self {
        let idp = MockIdp::builder().audience(GATEWAY).start().await;
        let client = MockClient::new("gateway").secret_basic("s3cret").add_audience(GATEWAY);
        idp.register(client.exchanges_for(ORDERS, ["orders:read", "orders:write"]));
        let site = Self { idp, pki: TestPki::new(), folder: tempfile::tempdir().unwrap(), service: None };
        for folder in ["tls", "secrets", "orders/tls"] {
            fs::create_dir_all(site.path(folder)).unwrap();
        }
        for folder in ["tls", "orders/tls"] {
            let server = site.pki.server().issue();
            fs::write(site.path(&format!("{folder}/chain.pem")), server.chain_pem()).unwrap();
            fs::write(site.path(&format!("{folder}/key.pem")), server.key_pem()).unwrap();
            fs::write(site.path(&format!("{folder}/bundle.pem")), site.pki.bundle_pem()).unwrap();
        }
        fs::write(site.path("secrets/client"), "s3cret\n").unwrap();
        site.present(WORKLOAD);
        site.write("applications.toml", include_str!("../../applications.toml"));
        site
    }

    /// In front of the orders service.
    pub(crate) async fn of_orders() -> Self {
        let mut site = Self::new().await;
        let settings = include_str!("../../../orders-service/orders-service.toml")
            .replace("0.0.0.0:8443", "127.0.0.1:0")
            .replace("127.0.0.1:9000", "127.0.0.1:0");
        site.write("orders/orders-service.toml", &settings);
        site.write("orders/routes.toml", include_str!("../../../orders-service/routes.toml"));
        site.write("orders/applications.toml", include_str!("../../../orders-service/applications.toml"));
        let settings = orders_service::Settings::load(&site.path("orders/orders-service.toml")).unwrap();
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let orders = orders_service::Service::start(&settings, metrics).await.unwrap();
        let url = format!("https://{}", orders.api_address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = async { orders.serve(async { drop(stopped.await) }).await.unwrap() };
        site.service = Some((stop, tokio::spawn(served)));
        site.configure(&url, "30000");
        site
    }

    /// In front of this service, which lets in no one but the gateway.
    pub(crate) async fn of(app: Router) -> Self {
        let mut site = Self::new().await;
        let issuer = TrustedIssuer::discover(site.idp.issuer()).unwrap().add_audience(ORDERS);
        let delegation =
            DelegationLayer::builder().add_issuer(issuer).client_identity(ClientIdentity::from_tls());
        let rule =
            Requirement::named("gateway").workload("spiffe://example.org/edge/gateway").actor("gateway");
        let app = app.layer(RequireLayer::new(rule).unwrap()).layer(delegation.build().unwrap());
        let tls = TlsConfig::builder()
            .server_certificate(
                Pem::file(site.path("orders/tls/chain.pem")),
                Pem::file(site.path("orders/tls/key.pem")),
            )
            .require_workloads([("example.org", Pem::text(site.pki.bundle_pem()))]);
        let listener = TlsListener::bind("127.0.0.1:0", tls.build().unwrap()).await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = tower_delegation_rustls::serve(listener, app, async { drop(stopped.await) });
        site.service = Some((stop, tokio::spawn(served)));
        site.configure(&url, "30000");
        site
    }

    /// The gateway's settings, with this service behind.
    pub(crate) fn configure(&self, upstream: &str, idle_timeout: &str) {
        let settings = include_str!("../../gateway.toml")
            .replace("0.0.0.0:8443", "127.0.0.1:0")
            .replace("127.0.0.1:9000", "127.0.0.1:0")
            .replace("https://orders.internal:8443", upstream)
            .replace("idle_timeout_millis = 30000", &format!("idle_timeout_millis = {idle_timeout}"));
        self.write("gateway.toml", &settings);
    }

    /// How long the gateway waits.
    pub(crate) fn idle_timeout(&self, timeout: Duration) {
        let settings = fs::read_to_string(self.path("gateway.toml")).unwrap();
        let timeout = format!("idle_timeout_millis = {}", timeout.as_millis());
        self.write("gateway.toml", &settings.replace("idle_timeout_millis = 30000", &timeout));
    }

    /// Gives the gateway the certificate of this workload.
    pub(crate) fn present(&self, workload: &str) {
        let identity = self.pki.workload(workload).issue();
        fs::write(self.path("tls/gateway.key.new"), identity.key_pem()).unwrap();
        fs::write(self.path("tls/gateway.new"), identity.chain_pem()).unwrap();
        fs::rename(self.path("tls/gateway.key.new"), self.path("tls/gateway.key.pem")).unwrap();
        fs::rename(self.path("tls/gateway.new"), self.path("tls/gateway.pem")).unwrap();
    }

    /// Starts the gateway, and waits until it is ready.
    pub(crate) async fn start(&self) -> Gateway {
        let service = Service::start(&Settings::load(&self.path("gateway.toml")).unwrap()).await.unwrap();
        let operations = format!("http://{}", service.operations_address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let api = format!("https://{}", service.api_address().unwrap());
        let end = tokio::spawn(service.serve(async { drop(stopped.await) }));
        while Client::default().get(format!("{operations}/ready")).send().await.unwrap().status()
            != StatusCode::OK
        {
            tokio::task::yield_now().await;
        }
        Gateway { api, stop, end }
    }

    /// Ends what runs behind the gateway, at once.
    pub(crate) fn end_service(&mut self) {
        if let Some((_, served)) = self.service.take() {
            served.abort();
        }
    }

    /// Ends it so that its audit trail is complete.
    pub(crate) async fn finish_service(&mut self) {
        if let Some((stop, served)) = self.service.take() {
            drop(stop);
            served.await.unwrap();
        }
    }

    pub(crate) fn client(&self) -> Client {
        MtlsClient::new(&self.pki).build()
    }

    /// A token of alice, who uses the shop.
    pub(crate) fn alice(&self) -> TokenBuilder {
        self.idp.token().user("alice").client("shop-web").scopes(["orders:read", "orders:write"])
    }

    /// The lines of an audit file; the first word of its path is the service's folder.
    pub(crate) fn audit(&self, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(file)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text.replace("https://idp.example.com", self.idp.issuer())).unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.end_service();
    }
}

impl Gateway {
    /// Ends it, so that its audit trail is complete.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.end.await.unwrap().unwrap();
    }
}
