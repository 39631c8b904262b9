//! The workloads of the tour: each has a SPIFFE ID, a certificate, and an HTTP
//! client that presents it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use reqwest::{Certificate, ClientBuilder, Identity};
use tower_delegation_rustls::{Pem, TlsConfig, TlsConfigError};
use tower_delegation_testing::{MtlsClient, TestIdentity, TestPki};

/// Everybody who calls the orders API, by the path of the SPIFFE ID.
const PATHS: [&str; 11] = [
    "/shop/web",
    "/marketing/newsletter",
    "/partners/crm",
    "/partners/reports",
    "/agents/copilot",
    "/agents/helper-bot",
    "/warehouse/sync",
    "/batch/nightly",
    "/shop/app",
    "/edge/gateway",
    "/orders/api",
];

/// A certificate authority, what it issued, and clients.
pub(crate) struct Workloads {
    pki: TestPki,
    issued: BTreeMap<&'static str, TestIdentity>,
}

impl Workloads {
    pub(crate) fn new() -> Self {
        let pki = TestPki::new();
        let issued = PATHS.into_iter().map(|path| (path, pki.workload(path).issue())).collect();
        Self { pki, issued }
    }

    /// What the orders API listens with. A certificate is optional: `/health` needs none.
    pub(crate) fn server(&self) -> Result<TlsConfig, TlsConfigError> {
        let server = self.pki.server().issue();
        TlsConfig::builder()
            .server_certificate(Pem::text(server.chain_pem()), Pem::text(server.key_pem()))
            .accept_workloads([("example.org", Pem::text(self.pki.bundle_pem()))])
            .build()
    }

    /// The certificate of a workload, as DER.
    pub(crate) fn certificate(&self, path: &str) -> &[u8] {
        self.issued.get(path).map_or(&[], TestIdentity::certificate_der)
    }

    /// A client that is this workload, or no one in particular.
    pub(crate) fn client(&self, path: Option<&str>) -> reqwest::Client {
        let client = MtlsClient::new(&self.pki);
        match path.and_then(|path| self.issued.get(path)) {
            Some(identity) => client.identity(identity).build(),
            None => client.build(),
        }
    }

    /// The same as a client to be set up further, with this workload's certificate.
    pub(crate) fn client_builder(&self, path: &str) -> Result<ClientBuilder, reqwest::Error> {
        let authorities = Certificate::from_pem_bundle(self.pki.bundle_pem().as_bytes())?;
        let builder = ClientBuilder::new().tls_certs_only(authorities).no_proxy();
        Ok(match self.issued.get(path) {
            Some(identity) => {
                let pem = identity.chain_pem() + &identity.key_pem();
                builder.identity(Identity::from_pem(pem.as_bytes())?)
            }
            None => builder,
        })
    }

    /// Writes the authority's certificates, and each workload's certificate with its key, for `curl`.
    pub(crate) fn write_to(&self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("ca.pem"), self.pki.bundle_pem())?;
        for (path, identity) in &self.issued {
            fs::write(Self::file(folder, path), identity.chain_pem() + &identity.key_pem())?;
        }
        Ok(())
    }

    /// Where [`write_to`](Self::write_to) puts a workload's certificate and key.
    pub(crate) fn file(folder: &Path, path: &str) -> PathBuf {
        folder.join(path.trim_start_matches('/').replace('/', "-")).with_extension("pem")
    }
}
