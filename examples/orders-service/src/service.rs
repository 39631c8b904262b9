//! The service put together: what is read at the start, what runs, how it ends.

use std::{future::Future, net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet, time::sleep};
use tower_delegation::{
    Applications, ClientIdentity, DelegationLayer, RouteTable, RouteTableLayer, TrustedIssuer,
    audit::{Audit, AuditFile, JsonLines},
    protected_resource::ProtectedResource,
    revocation::InMemoryRevocations,
    routes::{RouteInventory, RuledRoute},
    routing::{GuardedApp, revocation_routes},
    watch::FileWatcher,
};
use tower_delegation_rustls::{Pem, TlsConfig, TlsListener};

use crate::{
    Files, Settings, api, operations,
    orders::Orders,
    settings::{AuditTrail, Listen, Tls},
};

/// How long the last audit events may take to be written.
const FLUSH: Duration = Duration::from_secs(5);

/// The service, listening and not yet serving.
#[derive(Debug)]
pub struct Service {
    files: Files,
    delegation: DelegationLayer,
    api: (TlsListener, GuardedApp),
    operations: (TcpListener, Router),
    metrics: PrometheusHandle,
    drain: Duration,
    _watchers: [FileWatcher; 2],
}

impl Service {
    /// Reads every file, checks every rule and listens. Asks the issuer nothing.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn start(settings: &Settings, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let files = Files {
            tls: tls(&settings.tls)?,
            applications: applications(settings)?,
            routes: RouteTable::from_toml_file(settings.routes.relative())?,
        };
        let watchers = [files.tls.watch()?, files.applications.watch()?];
        let revocations = InMemoryRevocations::new();
        let routes = api::routes(Orders::default());
        let routes = routes.nest("/revocations", revocation_routes(revocations.clone(), api::revoking())?);
        compare(&files.routes, routes.inventory())?;
        let resource = ProtectedResource::new(&settings.audience)?.add_scopes_of(routes.inventory());
        let delegation = delegation(settings, &files, revocations, resource)?;
        let app = routes
            .layer(RouteTableLayer::new(&files.routes))
            .behind(delegation.clone())?
            .resource_metadata(delegation.resource_metadata())
            .beside("what the service is, for everyone", api::front_page())?;
        let Listen { api, operations } = settings.listen;
        Ok(Self {
            api: (TlsListener::new(listen(api).await?, files.tls.clone()), app),
            operations: (listen(operations).await?, operations::routes(delegation.clone(), metrics.clone())),
            delegation,
            files,
            metrics,
            drain: settings.shutdown.drain(),
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

    /// The files that can be read again.
    #[must_use]
    pub fn files(&self) -> Files {
        self.files.clone()
    }

    /// Serves until `shutdown` completes, and then until the requests under way
    /// are answered.
    ///
    /// # Errors
    /// The audit trail is not complete.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        // They end with this function.
        let mut beside = JoinSet::new();
        beside.spawn(operations::warm_up(self.delegation.clone()));
        beside.spawn(operations::keep_up(self.metrics));
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

fn tls(settings: &Tls) -> anyhow::Result<TlsConfig> {
    let bundles = settings.trust_domains.iter();
    TlsConfig::builder()
        .server_certificate(Pem::file(settings.certificate.relative()), Pem::file(settings.key.relative()))
        .require_workloads(bundles.map(|(name, bundle)| (name, Pem::file(bundle.relative()))))
        .build()
        .context("`tls` of the configuration cannot be used")
}

/// To a file, and behind a queue: requests wait when it is full, and are refused when it stays full.
fn audit(settings: &AuditTrail) -> anyhow::Result<Audit> {
    let file = AuditFile::at(settings.file.relative()).max_bytes(settings.max_bytes).open();
    let file = file.context("`audit` of the configuration cannot be used")?;
    Ok(Audit::new(JsonLines::to(file)).named("file"))
}

fn applications(settings: &Settings) -> anyhow::Result<Applications> {
    Applications::from_toml_file(settings.applications.relative())
        .context("`applications` of the configuration cannot be used")
}

/// A row without a route was left behind; a route without a row is reached by nobody.
fn compare(table: &RouteTable, routes: &RouteInventory) -> anyhow::Result<()> {
    let (unused, unlisted) = (table.unused(routes), table.unlisted(routes));
    ensure!(unused.is_empty(), "the route table has rows for no route: {}", listed(&unused));
    ensure!(unlisted.is_empty(), "the route table has no row for {}", listed(&unlisted));
    Ok(())
}

fn listed(routes: &[RuledRoute]) -> String {
    routes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn delegation(
    settings: &Settings,
    files: &Files,
    revocations: InMemoryRevocations,
    resource: ProtectedResource,
) -> anyhow::Result<DelegationLayer> {
    let issuer = TrustedIssuer::discover(&settings.issuer)?
        .add_audience(settings.audience.as_str())
        .add_user_claim(settings.user_claim.as_str());
    let delegation = DelegationLayer::builder()
        .add_issuer(issuer)
        .leeway(settings.clock_leeway())
        .realm("orders")
        .protected_resource(resource.name("Orders"))
        .client_identity(ClientIdentity::from_tls())
        .applications(files.applications.clone())
        .revocations(revocations)
        .add_audit(audit(&settings.audit)?);
    Ok(delegation.build()?)
}
