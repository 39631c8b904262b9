//! The files that can change while the service runs.

use anyhow::Context as _;
use tower_delegation::{Applications, RouteTable};
use tower_delegation_rustls::TlsConfig;

/// Certificates, the registry and the route table. Clones are the same files.
#[derive(Clone, Debug)]
pub struct Files {
    pub(crate) tls: TlsConfig,
    pub(crate) applications: Applications,
    pub(crate) routes: RouteTable,
}

impl Files {
    /// Reads everything again. What is wrong stays as it was. Blocks while it reads.
    ///
    /// # Errors
    /// The first file that could not be used; the others were read all the same.
    pub fn reload(&self) -> anyhow::Result<()> {
        let tls = self.tls.reload().context("certificates stay as they were");
        let applications = self.applications.reload().context("the registry stays as it was");
        let routes = self.routes.reload().context("the route table stays as it was");
        tls.map(drop).and(applications.map(drop)).and(routes)
    }
}
