//! `gateway --config gateway.toml`

use std::path::PathBuf;

use clap::Parser;
use gateway::{Service, Settings, shutdown_requested};
use tracing_subscriber::filter::LevelFilter;

/// A gateway in front of the orders API.
#[derive(Parser)]
struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "gateway.toml")]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr).init();
    let service = Service::start(&Settings::load(&arguments.config)?).await?;
    let shutdown = shutdown_requested()?;
    tracing::info!(
        api = %format_args!("https://{}", service.api_address()?),
        operations = %format_args!("http://{}", service.operations_address()?),
        "serving"
    );
    service.serve(shutdown).await?;
    tracing::info!("ended, and the audit trail is written out");
    Ok(())
}
