//! A service on a TLS socket that looks at the certificates of its clients.

use axum::{Router, routing::get};
use integration_tests::{Answer, AuditLog};
use reqwest::{Client, RequestBuilder};
use tokio::task::JoinHandle;
use tower_delegation::{DelegationContext, DelegationLayer, requires};
use tower_delegation_rustls::{Pem, TlsConfig, TlsListener, serve};
use tower_delegation_testing::TestPki;

/// Served until it is dropped.
pub(crate) struct TlsSite {
    base: String,
    task: JoinHandle<()>,
}

impl TlsSite {
    /// `pki` signs the service's certificate and vouches for those of clients,
    /// which need not have one.
    pub(crate) async fn start(layer: DelegationLayer, pki: &TestPki) -> Self {
        let identity = pki.server().issue();
        let config = TlsConfig::builder()
            .server_certificate(Pem::text(identity.chain_pem()), Pem::text(identity.key_pem()))
            .accept_client_certificates(Pem::text(pki.bundle_pem()));
        let listener = TlsListener::bind("127.0.0.1:0", config.build().unwrap()).await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", get(whoami)).route("/bound", get(bound)).layer(layer);
        let task = tokio::spawn(serve(listener, router, std::future::pending()));
        Self { base, task }
    }

    /// What the handler saw, or the code of the reason for the refusal.
    pub(crate) async fn judge(
        &self,
        audit: &AuditLog,
        client: &Client,
        path: &str,
        token: Option<&str>,
    ) -> Result<String, String> {
        let mut request = self.get(client, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Self::judge_request(audit, request).await
    }

    /// A request without credentials.
    pub(crate) fn get(&self, client: &Client, path: &str) -> RequestBuilder {
        client.get(format!("{}{path}", self.base))
    }

    /// As [`judge`](Self::judge), of a request as it is.
    pub(crate) async fn judge_request(audit: &AuditLog, request: RequestBuilder) -> Result<String, String> {
        let answer = Answer::of(request).await;
        let event = audit.one();
        if answer.status == 200 {
            return Ok(answer.body);
        }
        assert_eq!(answer.status, 401, "{}", answer.body);
        Err(event.field("reason").to_owned())
    }
}

impl Drop for TlsSite {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn whoami(delegation: DelegationContext) -> String {
    let workload = delegation.workload().and_then(|workload| workload.spiffe_id());
    let workload = workload.map_or_else(|| "-".to_owned(), ToString::to_string);
    format!("{} {workload} {}", delegation.subject().id(), delegation.sender_constraint().as_str())
}

#[requires(sender_constrained)]
async fn bound() -> &'static str {
    "bound"
}
