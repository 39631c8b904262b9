//! The fixture of a test: a provider, a PKI, and the clock that all share.

use std::convert::Infallible;

use axum::{Router, extract::Request, response::Response, routing::get};
use reqwest::Client;
use tokio::task::JoinHandle;
use tower_delegation::{
    ClientIdentity, DelegationContext, DelegationLayer, TrustedIssuer,
    issuer::{ClaimMapping, Grants},
    layer::DelegationLayerBuilder,
};
use tower_delegation_rustls::{Pem, TlsConfig, TlsConfigBuilder, TlsListener, into_make_service_with_peer};
use tower_delegation_testing::{
    MockIdp, MockIdpBuilder, MtlsClient, TestClock, TestIdentity, TestPki, TokenBuilder, USER_CLAIM,
};
use tower_service::Service;

use crate::{AUDIENCE, Answer, Served};

/// A provider, a PKI, and the clock that the service shares with them.
#[derive(Debug)]
#[non_exhaustive]
pub struct World {
    /// Moved by hand.
    pub clock: TestClock,
    /// Issues the tokens.
    pub idp: MockIdp,
    /// Issues the certificates, by the machine's clock.
    pub pki: TestPki,
}

impl World {
    /// A provider whose tokens name [`AUDIENCE`].
    pub async fn new() -> Self {
        Self::with(|idp| idp).await
    }

    /// The same with a provider that is different.
    pub async fn with(configure: impl FnOnce(MockIdpBuilder) -> MockIdpBuilder) -> Self {
        let clock = TestClock::new();
        let idp = MockIdp::builder().clock(clock.clone()).audience(AUDIENCE);
        Self { clock, idp: configure(idp).start().await, pki: TestPki::new() }
    }

    /// The usual trust: the provider's metadata, this service's audience, the
    /// provider's mark of users, every kind of grant, and its word on the actors of
    /// `https://agents.example.com`.
    pub fn issuer(&self) -> TrustedIssuer {
        self.issuer_at(self.idp.issuer()).may_speak_for("https://agents.example.com")
    }

    /// The same for another issuer of the provider.
    pub fn issuer_at(&self, issuer: &str) -> TrustedIssuer {
        let mapping = ClaimMapping::rfc9068()
            .tenant("tenant")
            .add_permissions("permissions")
            .groups_elsewhere("has_groups");
        let issuer = TrustedIssuer::discover(issuer).unwrap().add_audience(AUDIENCE);
        issuer.claim_mapping(mapping).add_user_claim(USER_CLAIM).may_grant(Grants::all())
    }

    /// A layer that trusts the provider.
    pub fn layer(&self) -> DelegationLayerBuilder {
        DelegationLayer::builder().add_issuer(self.issuer()).clock(self.clock.clone())
    }

    /// Serves [`whoami`] behind `layer`, over HTTP.
    pub async fn serve(&self, layer: DelegationLayerBuilder) -> Served {
        Served::start(whoami().layer(layer.build().unwrap())).await
    }

    /// TLS with a certificate of this PKI, and no word yet on clients'.
    pub fn server(&self) -> TlsConfigBuilder {
        let identity = self.pki.server().issue();
        TlsConfig::builder()
            .server_certificate(Pem::text(identity.chain_pem()), Pem::text(identity.key_pem()))
    }

    /// Serves `app` over TLS; client certificates of this PKI are optional.
    pub async fn serve_tls<S>(&self, app: S) -> Site
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let bundle = Pem::text(self.pki.bundle_pem());
        Site::start(self.server().accept_client_certificates(bundle), app).await
    }

    /// [`whoami`] behind a layer that takes the client identity from TLS.
    pub fn whoami_of_tls_clients(&self) -> Router {
        whoami().layer(self.layer().client_identity(ClientIdentity::from_tls()).build().unwrap())
    }

    /// A good token: alice, who is proved to be a user, through shop-web, may
    /// read orders.
    pub fn token(&self) -> TokenBuilder {
        self.idp.token().user("alice").client("shop-web").scopes(["orders:read"])
    }

    /// The same, bound to the certificate of `identity` (RFC 8705 section 3).
    pub fn bound_to(&self, identity: &TestIdentity) -> TokenBuilder {
        self.token().bound_to_certificate(identity.certificate_der())
    }

    /// A workload of `example.org`, by the path of its SPIFFE ID.
    #[must_use]
    pub fn workload(&self, path: &str) -> TestIdentity {
        self.pki.workload(path).issue()
    }

    /// A client for [`Site`] that presents `identity`, if there is one.
    #[must_use]
    pub fn client(&self, identity: Option<&TestIdentity>) -> Client {
        let client = MtlsClient::new(&self.pki);
        match identity {
            Some(identity) => client.identity(identity).build(),
            None => client.build(),
        }
    }
}

/// `GET /` answers the subject's id.
pub fn whoami() -> Router {
    Router::new().route("/", get(async |delegation: DelegationContext| delegation.subject().id().to_string()))
}

/// A service on a TLS socket until it is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct Site {
    /// Such as `https://127.0.0.1:50000`.
    pub base: String,
    /// Replaces certificates and trust anchors while the service runs.
    pub config: TlsConfig,
    task: JoinHandle<()>,
}

impl Site {
    /// Serves `app` by `config`.
    pub async fn start<S>(config: TlsConfigBuilder, app: S) -> Self
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        crate::audit::install();
        let config = config.build().unwrap();
        let listener = TlsListener::bind("127.0.0.1:0", config.clone()).await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            axum::serve(listener, into_make_service_with_peer(app)).await.unwrap();
        });
        Self { base, config, task }
    }

    /// `GET` with a bearer token.
    pub async fn get(&self, client: &Client, path: &str, token: &str) -> Answer {
        Answer::of(client.get(format!("{}{path}", self.base)).bearer_auth(token)).await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}
