//! `orders-service --config orders-service.toml`

use std::path::PathBuf;

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use orders_service::{Service, Settings, reload_on_hangup, shutdown_requested};
use tracing::level_filters::LevelFilter;

/// The orders API.
#[derive(Parser)]
struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "orders-service.toml")]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr).init();
    // Before the service is put together: what is counted earlier is lost.
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let service = Service::start(&Settings::load(&arguments.config)?, metrics).await?;
    let shutdown = shutdown_requested()?;
    tokio::spawn(reload_on_hangup(service.files())?);
    tracing::info!(
        api = %format_args!("https://{}", service.api_address()?),
        operations = %format_args!("http://{}", service.operations_address()?),
        "serving"
    );
    service.serve(shutdown).await?;
    tracing::info!("ended, and the audit trail is written out");
    Ok(())
}
