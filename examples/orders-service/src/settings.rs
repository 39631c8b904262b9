//! The configuration: one TOML file, and the environment over it.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use figment::{
    Figment,
    providers::{Env, Format as _, Toml},
    value::magic::RelativePathBuf,
};
use serde::Deserialize;

/// Both underscores belong to it: an orchestrator that sets `ORDERS_PORT` of
/// its own accord, for a service of that name, configures nothing.
const ENVIRONMENT: &str = "ORDERS__";

/// What `orders-service.toml` explains. Keys that are missing or unknown are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub(crate) audience: String,
    pub(crate) issuer: String,
    pub(crate) user_claim: String,
    pub(crate) clock_leeway_seconds: u64,
    pub(crate) applications: RelativePathBuf,
    pub(crate) routes: RelativePathBuf,
    pub(crate) listen: Listen,
    pub(crate) tls: Tls,
    pub(crate) audit: AuditTrail,
    pub(crate) shutdown: Shutdown,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    pub(crate) api: SocketAddr,
    pub(crate) operations: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: RelativePathBuf,
    pub(crate) key: RelativePathBuf,
    pub(crate) trust_domains: BTreeMap<String, RelativePathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditTrail {
    pub(crate) file: RelativePathBuf,
    pub(crate) max_bytes: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shutdown {
    drain_seconds: u64,
}

impl Settings {
    /// Reads the file, then the environment.
    ///
    /// # Errors
    /// There is no such file, or a key is missing, unknown or wrong: the message names it.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        ensure!(file.is_file(), "there is no configuration file {}", file.display());
        let figment = Figment::from(Toml::file_exact(file)).merge(Env::prefixed(ENVIRONMENT).split("__"));
        figment.extract().context("the configuration is wrong")
    }

    pub(crate) fn clock_leeway(&self) -> Duration {
        Duration::from_secs(self.clock_leeway_seconds)
    }
}

impl Shutdown {
    pub(crate) fn drain(self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}
