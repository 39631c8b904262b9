//! The configuration: one TOML file, and the environment over it.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use figment::{
    Figment,
    providers::{Env, Format as _, Toml},
    value::magic::RelativePathBuf,
};
use serde::Deserialize;

/// With both underscores: an orchestrator that sets `GATEWAY_PORT` by itself, for a service of
/// that name, configures nothing.
const ENVIRONMENT: &str = "GATEWAY__";

/// What `gateway.toml` explains. Keys that are missing or unknown are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub(crate) audience: String,
    pub(crate) issuer: String,
    pub(crate) user_claim: String,
    clock_leeway_seconds: u64,
    pub(crate) applications: RelativePathBuf,
    pub(crate) identity_headers: Vec<String>,
    pub(crate) listen: Listen,
    pub(crate) tls: Tls,
    pub(crate) orders: Orders,
    pub(crate) audit: AuditTrail,
    shutdown: Shutdown,
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
}

/// The service behind the gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Orders {
    pub(crate) url: String,
    pub(crate) resource: String,
    pub(crate) authorities: RelativePathBuf,
    pub(crate) certificate: RelativePathBuf,
    pub(crate) key: RelativePathBuf,
    pub(crate) client_id: String,
    pub(crate) client_secret: RelativePathBuf,
    pub(crate) issuer_caps_life: bool,
    idle_timeout_millis: u64,
    pub(crate) forward_cookies: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditTrail {
    pub(crate) file: RelativePathBuf,
    pub(crate) max_bytes: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shutdown {
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

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_secs(self.shutdown.drain_seconds)
    }
}

impl Orders {
    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_millis)
    }
}
