//! A provider, a PKI, and services that tell what a handler knows of its caller.

use std::{net::SocketAddr, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Json, Router,
    http::{HeaderMap, Uri},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use integration_tests::Answer;
pub(crate) use integration_tests::World;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixListener},
    task::JoinHandle,
};
use tower_delegation::{ClientIdentity, DelegationContext, DelegationLayer, credential::PeerInfo};
use tower_delegation_rustls::{Pem, TlsConfig, TlsListener, into_make_service_with_peer};
use tower_delegation_testing::{MtlsClient, TestIdentity, TestPki};

/// What this binary asks of a [`World`].
pub(crate) trait Proxied {
    /// A layer that takes the client identity from `source`.
    fn layer_with(&self, source: ClientIdentity) -> DelegationLayer;
    /// An HTTP/1.1 client that trusts this PKI.
    fn http1(&self, identity: Option<&TestIdentity>) -> Client;
}

impl Proxied for World {
    fn layer_with(&self, source: ClientIdentity) -> DelegationLayer {
        self.layer().client_identity(source).build().unwrap()
    }

    fn http1(&self, identity: Option<&TestIdentity>) -> Client {
        let client = MtlsClient::new(&self.pki).http1();
        identity.map_or_else(|| client.clone(), |identity| client.clone().identity(identity)).build()
    }
}

/// The digest that a token is bound to.
pub(crate) fn thumbprint(identity: &TestIdentity) -> String {
    thumbprint_of(&identity.chain_der()[0])
}

pub(crate) fn thumbprint_of(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, der))
}

/// The same in hex.
pub(crate) fn hash(identity: &TestIdentity) -> String {
    let digest = digest(&SHA256, &identity.chain_der()[0]);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a handler sees: who the workload is, and the header fields.
async fn seen(delegation: DelegationContext, uri: Uri, headers: HeaderMap) -> Json<Value> {
    let workload = delegation.workload();
    let fields: Vec<_> = headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    Json(json!({
        "spiffe_id": workload.and_then(|workload| workload.spiffe_id()).map(ToString::to_string),
        "thumbprint": workload.and_then(|it| it.thumbprint()).map(|it| URL_SAFE_NO_PAD.encode(it)),
        "dns": workload.map(|workload| workload.dns_names().map(str::to_owned).collect::<Vec<_>>()),
        "constraint": delegation.sender_constraint().as_str(),
        "fields": fields,
        "path": uri.path(),
    }))
}

/// What came of one request.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn of(answer: &Answer) -> Self {
        let body = serde_json::from_str(&answer.body).unwrap_or_default();
        Self { status: answer.status, code: answer.code(), body }
    }

    pub(crate) fn spiffe_id(&self) -> &str {
        self.body["spiffe_id"].as_str().unwrap_or("-")
    }

    pub(crate) fn constraint(&self) -> &str {
        self.body["constraint"].as_str().unwrap_or("-")
    }

    /// The names of the fields that the handler saw and that speak of certificates.
    pub(crate) fn identity_fields(&self) -> Vec<&str> {
        let fields = self.body["fields"].as_array().unwrap();
        let names = fields.iter().map(|field| field[0].as_str().unwrap());
        names
            .filter(|name| name.contains("client") && name.contains("cert") || name.contains("ssl"))
            .collect()
    }
}

/// Sends a request and reads what the handler saw.
pub(crate) async fn ask(client: &Client, url: &str, token: &str, fields: &[(&str, &str)]) -> Seen {
    try_ask(client, url, token, fields).await.unwrap()
}

/// The same, if there is an answer.
pub(crate) async fn try_ask(
    client: &Client,
    url: &str,
    token: &str,
    fields: &[(&str, &str)],
) -> Result<Seen, reqwest::Error> {
    let mut request = client.get(url).bearer_auth(token);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Answer::try_of(request).await.map(|answer| Seen::of(&answer))
}

/// A service until it is dropped.
pub(crate) struct Service {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) layer: DelegationLayer,
    task: JoinHandle<()>,
}

impl Service {
    /// On a free port, without TLS.
    pub(crate) async fn plain(layer: DelegationLayer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app(&layer).into_make_service_with_connect_info::<PeerInfo>();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address: Some(address), layer, task }
    }

    /// On a Unix socket.
    pub(crate) async fn unix(layer: DelegationLayer, path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let app = app(&layer).into_make_service_with_connect_info::<PeerInfo>();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address: None, layer, task }
    }

    /// On our TLS listener, with optional client certificates.
    pub(crate) async fn tls(layer: DelegationLayer, pki: &TestPki) -> Self {
        let identity = pki.server().issue();
        let config = TlsConfig::builder()
            .server_certificate(Pem::text(identity.chain_pem()), Pem::text(identity.key_pem()))
            .accept_client_certificates(Pem::text(pki.bundle_pem()))
            .build()
            .unwrap();
        let listener = TlsListener::bind("127.0.0.1:0", config).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = into_make_service_with_peer(app(&layer));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address: Some(address), layer, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.unwrap().port()
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/", self.port())
    }

    /// Writes a request's head as it is given, between the request line and the
    /// end, and reads the whole answer.
    pub(crate) async fn raw(&self, token: &str, fields: &str) -> Seen {
        let mut stream = TcpStream::connect(self.address.unwrap()).await.unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{fields}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let code = body["code"].as_str().unwrap_or_default().to_owned();
        Seen { status: head.split(' ').nth(1).unwrap().parse().unwrap(), code, body }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn app(layer: &DelegationLayer) -> Router {
    Router::new().route("/", get(seen)).route("/{*rest}", get(seen)).layer(layer.clone())
}
