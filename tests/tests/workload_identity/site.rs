//! A service on a TLS socket that tells its callers who they are.

use std::{net::SocketAddr, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Extension, Json, Router,
    extract::{ConnectInfo, State},
    routing::get,
};
use reqwest::Client;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    client::{ResolvesClientCert, Resumption},
    crypto::aws_lc_rs::{default_provider, sign::any_supported_type},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;
use tower_delegation::{
    clock::Clock as _,
    credential::{CertificateTrust, PeerInfo},
};
use tower_delegation_rustls::{
    Pem, TlsConfig, TlsConfigBuilder, TlsListener, into_make_service_with_peer, serve,
};
use tower_delegation_testing::{TestClock, TestIdentity, TestPki};

/// The two ways to serve.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loop {
    Ours,
    Axum,
}

pub(crate) const LOOPS: [Loop; 2] = [Loop::Ours, Loop::Axum];

/// A service until it is dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) config: TlsConfig,
    pub(crate) clock: TestClock,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Site {
    /// Serves `/who` with these settings, by our loop.
    pub(crate) async fn start(config: TlsConfigBuilder) -> Self {
        Self::start_with(Loop::Ours, config, |listener| listener, Router::new()).await
    }

    pub(crate) async fn start_by(by: Loop, config: TlsConfigBuilder) -> Self {
        Self::start_with(by, config, |listener| listener, Router::new()).await
    }

    pub(crate) async fn start_with(
        by: Loop,
        config: TlsConfigBuilder,
        limit: impl FnOnce(TlsListener) -> TlsListener,
        more: Router,
    ) -> Self {
        let clock = TestClock::new();
        let config = config.build().unwrap();
        let listener = limit(TlsListener::bind("127.0.0.1:0", config.clone()).await.unwrap());
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/who", get(who)).with_state(clock.clone()).merge(more);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let task = match by {
            Loop::Ours => tokio::spawn(serve(listener, app, stopped)),
            Loop::Axum => tokio::spawn(async move {
                let served = axum::serve(listener, into_make_service_with_peer(app));
                served.with_graceful_shutdown(stopped).await.unwrap();
            }),
        };
        Self { address, config, clock, stop: Some(stop), task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Who the service says that `client` is.
    pub(crate) async fn who(&self, client: &Client) -> Result<Value, reqwest::Error> {
        client.get(self.url("/who")).send().await?.error_for_status()?.json().await
    }

    /// Begins a graceful shutdown.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the service has ended.
    pub(crate) async fn ended(&mut self) {
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn who(
    State(clock): State<TestClock>,
    ConnectInfo(peer): ConnectInfo<PeerInfo>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Extension(plain): Extension<PeerInfo>,
    version: http::Version,
) -> Json<Value> {
    assert_eq!((peer.address(), plain.address()), (Some(address), Some(address)));
    let thumbprint =
        |peer: &PeerInfo| peer.certificate_at_handshake().map(|certificate| *certificate.thumbprint());
    assert_eq!(thumbprint(&plain), thumbprint(&peer));
    let certificate = peer.certificate_at_handshake().map(|certificate| {
        json!({
            "thumbprint": certificate.thumbprint(),
            "spiffe_id": certificate.spiffe_id().map(ToString::to_string),
            "dns_names": certificate.dns_names().collect::<Vec<_>>(),
            "uris": certificate.uris().collect::<Vec<_>>(),
            "chained": certificate.trust() == CertificateTrust::ChainedToTrustAnchor,
            "current": certificate.is_current(clock.now()),
        })
    });
    Json(json!({ "address": address, "certificate": certificate, "version": format!("{version:?}") }))
}

/// Settings with a server certificate of `pki` and nothing else.
pub(crate) fn server(pki: &TestPki) -> TlsConfigBuilder {
    let identity = pki.server().issue();
    TlsConfig::builder().server_certificate(Pem::text(identity.chain_pem()), Pem::text(identity.key_pem()))
}

pub(crate) fn bundle(pki: &TestPki) -> Pem {
    Pem::text(pki.bundle_pem())
}

/// The thumbprint of a certificate as `/who` writes it.
pub(crate) fn thumbprint(identity: &TestIdentity) -> Value {
    json!(digest(&SHA256, &identity.chain_der()[0]).as_ref())
}

/// A TLS client without a connection pool: each request is a handshake.
pub(crate) struct RawClient(Arc<ClientConfig>);

impl RawClient {
    /// Presents the certificate of `identity`, signs with the key of `signer`,
    /// and remembers sessions.
    pub(crate) fn new(
        pki: &TestPki,
        identity: &TestIdentity,
        signer: &TestIdentity,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pki.bundle_pem().as_bytes()).unwrap()).unwrap();
        let chain = identity.chain_der().into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signer.key_der()));
        let identity = CertifiedKey::new(chain, any_supported_type(&key).unwrap());
        let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(identity));
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(resolver);
        config.resumption = Resumption::in_memory_sessions(8);
        Self(Arc::new(config))
    }

    /// Asks `/who` over a new connection.
    pub(crate) async fn who(&self, address: SocketAddr) -> std::io::Result<RawAnswer> {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&self.0)).connect(name, tcp).await?;
        stream.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, session): (_, &ClientConnection) = stream.get_ref();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        Ok(RawAnswer {
            who: serde_json::from_str(body).unwrap(),
            kind: session.handshake_kind().unwrap(),
            server: session.peer_certificates().unwrap()[0].to_vec(),
        })
    }
}

/// What came back, and how the connection was made.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) who: Value,
    pub(crate) kind: HandshakeKind,
    pub(crate) server: Vec<u8>,
}
