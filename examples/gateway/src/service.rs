//! The gateway put together: what is read at the start, what runs, how it ends.

use std::{future::Future, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use axum::Router;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet, time::sleep};
use tower_delegation::{
    Applications, ClientIdentity, DelegationLayer, TrustedIssuer,
    audit::{Audit, AuditFile, JsonLines},
    protected_resource::ProtectedResource,
    routing::GuardedApp,
    watch::FileWatcher,
};
use tower_delegation_rustls::{Pem, TlsConfig, TlsListener};

use crate::{
    Settings, operations, routes,
    settings::{AuditTrail, Listen, Tls},
    upstream::Upstream,
};

/// How long the last audit events may take to be written.
const FLUSH: Duration = Duration::from_secs(5);

/// The gateway, listening and not yet serving.
#[derive(Debug)]
pub struct Service {
    delegation: DelegationLayer,
    api: (TlsListener, GuardedApp),
    operations: (TcpListener, Router),
    drain: Duration,
    _watchers: [FileWatcher; 3],
}

impl Service {
    /// Reads every file, checks every rule and listens. Asks neither the issuer nor the service
    /// behind.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let tls = tls(&settings.tls)?;
        let applications = Applications::from_toml_file(settings.applications.relative())
            .context("`applications` of the configuration cannot be used")?;
        let routes = routes::routes();
        let resource = ProtectedResource::new(&settings.audience)?.add_scopes_of(routes.inventory());
        let delegation = delegation(settings, &applications, resource)?;
        let orders = Upstream::new(settings, &delegation)?;
        let watchers = [tls.watch()?, applications.watch()?, orders.watch()?];
        let app = routes
            .with_state(orders)
            .behind(delegation.clone())?
            .resource_metadata(delegation.resource_metadata());
        let Listen { api, operations } = settings.listen;
        Ok(Self {
            api: (TlsListener::new(listen(api).await?, tls), app),
            operations: (listen(operations).await?, operations::routes(delegation.clone())),
            delegation,
            drain: settings.drain(),
            _watchers: watchers,
        })
    }

    /// Where the API listens.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn api_address(&self) -> std::io::Result<SocketAddr> {
        self.api.0.local_addr()
    }

    /// Where the orchestrator's questions are answered.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn operations_address(&self) -> std::io::Result<SocketAddr> {
        self.operations.0.local_addr()
    }

    /// Serves until `shutdown` completes, and then until the requests under way are answered.
    ///
    /// # Errors
    /// The audit trail is not complete.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        // They end with this function.
        let mut beside = JoinSet::new();
        beside.spawn(operations::warm_up(self.delegation.clone()));
        let (listener, routes) = self.operations;
        beside.spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the orchestrator is not answered any more");
            }
        });

        let (draining, drain) = oneshot::channel();
        let shutdown = async {
            shutdown.await;
            tracing::info!("shutting down");
            // The other side is there for as long as this future runs.
            let _ = draining.send(());
        };
        let too_late = async {
            let _ = drain.await;
            sleep(self.drain).await;
        };
        let (listener, app) = self.api;
        tokio::select! {
            () = tower_delegation_rustls::serve(listener, app, shutdown) => {}
            () = too_late => tracing::warn!("requests that took too long were cut off"),
        }
        self.delegation.flush_audit(FLUSH).await.context("the audit trail is not complete")
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Callers come from the internet: no certificate is asked for.
fn tls(settings: &Tls) -> anyhow::Result<TlsConfig> {
    TlsConfig::builder()
        .server_certificate(Pem::file(settings.certificate.relative()), Pem::file(settings.key.relative()))
        .build()
        .context("`tls` of the configuration cannot be used")
}

/// To a file, and behind a queue: requests wait when it is full, and are refused when it stays full.
fn audit(settings: &AuditTrail) -> anyhow::Result<Audit> {
    let file = AuditFile::at(settings.file.relative()).max_bytes(settings.max_bytes).open();
    let file = file.context("`audit` of the configuration cannot be used")?;
    Ok(Audit::new(JsonLines::to(file)).named("file"))
}

fn delegation(
    settings: &Settings,
    applications: &Applications,
    resource: ProtectedResource,
) -> anyhow::Result<DelegationLayer> {
    let issuer = TrustedIssuer::discover(&settings.issuer)?
        .add_audience(settings.audience.as_str())
        .add_user_claim(settings.user_claim.as_str());
    let delegation = DelegationLayer::builder()
        .add_issuer(issuer)
        .leeway(settings.clock_leeway())
        .realm("gateway")
        .protected_resource(resource.name("Orders"))
        .client_identity(ClientIdentity::from_tls())
        .applications(applications.clone())
        .add_audit(audit(&settings.audit)?);
    let delegation = settings
        .identity_headers
        .iter()
        .fold(delegation, |delegation, field| delegation.add_identity_header(field.as_str()));
    Ok(delegation.build()?)
}
