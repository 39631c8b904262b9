//! Everything around the service: a mock identity provider, a throw-away
//! certificate authority, and a folder with the service's files, which are the
//! example files with other addresses.

use std::{fs, io, path::PathBuf, time::Duration};

use tempfile::TempDir;
use tower_delegation_testing::{MockIdp, MtlsClient, TestIdentity, TestPki, TokenBuilder};

const SETTINGS: &str = include_str!("../../orders-service.toml");
const ROUTES: &str = include_str!("../../routes.toml");
const APPLICATIONS: &str = include_str!("../../applications.toml");

/// The workloads that call the service, by the path of the SPIFFE ID.
pub(crate) const SHOP: &str = "/shop/web";
pub(crate) const NEWSLETTER: &str = "/marketing/newsletter";
pub(crate) const REPORTS: &str = "/partners/reports";
pub(crate) const COPILOT: &str = "/agents/copilot";
pub(crate) const WAREHOUSE: &str = "/warehouse/sync";
pub(crate) const SECURITY_DESK: &str = "/security/desk";
/// In front of the service, where there is a gateway.
pub(crate) const GATEWAY: &str = "/edge/gateway";
pub(crate) const WORKLOADS: [&str; 7] =
    [SHOP, NEWSLETTER, REPORTS, COPILOT, WAREHOUSE, SECURITY_DESK, GATEWAY];

/// The surroundings of one service.
pub(crate) struct Site {
    pub(crate) idp: MockIdp,
    folder: TempDir,
    pki: TestPki,
    workloads: Vec<(&'static str, TestIdentity)>,
}

impl Site {
    /// Starts the provider and writes the files.
    pub(crate) async fn new() -> io::Result<Self> {
        let idp = MockIdp::builder()
            .audience("https://orders.example.com")
            .token_lifetime(Duration::from_secs(3600))
            .start()
            .await;
        let pki = TestPki::new();
        let workloads = WORKLOADS.map(|path| (path, pki.workload(path).issue())).to_vec();
        let site = Self { idp, folder: tempfile::tempdir()?, pki, workloads };
        fs::create_dir(site.path("tls"))?;
        site.issue_server_certificate()?;
        fs::write(site.path("tls/bundle.pem"), site.pki.bundle_pem())?;
        for (path, identity) in &site.workloads {
            fs::write(site.certificate(path), identity.chain_pem() + &identity.key_pem())?;
        }
        let settings = SETTINGS
            .replace("https://idp.example.com", site.idp.issuer())
            .replace("0.0.0.0:8443", "127.0.0.1:0")
            .replace("127.0.0.1:9000", "127.0.0.1:0");
        fs::write(site.settings(), settings)?;
        fs::write(site.path("routes.toml"), ROUTES)?;
        site.register(APPLICATIONS)?;
        Ok(site)
    }

    /// Puts a new server certificate in the place of the old one.
    pub(crate) fn issue_server_certificate(&self) -> io::Result<()> {
        let server = self.pki.server().issue();
        fs::write(self.path("tls/chain.pem"), server.chain_pem())?;
        fs::write(self.path("tls/key.pem"), server.key_pem())
    }

    /// Replaces the registry of applications.
    pub(crate) fn register(&self, applications: &str) -> io::Result<()> {
        let applications = applications.replace("https://idp.example.com", self.idp.issuer());
        fs::write(self.path("applications.new"), applications)?;
        fs::rename(self.path("applications.new"), self.path("applications.toml"))
    }

    /// A file of the service.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration file.
    pub(crate) fn settings(&self) -> PathBuf {
        self.path("orders-service.toml")
    }

    /// The file with a workload's certificate and key.
    pub(crate) fn certificate(&self, workload: &str) -> PathBuf {
        self.path(&format!("tls/{}.pem", workload.trim_start_matches('/').replace('/', "-")))
    }

    /// A token of the customer Alice, who uses the shop.
    pub(crate) fn alice(&self) -> TokenBuilder {
        self.idp.token().user("alice").client("shop-web")
    }

    /// A client that is this workload.
    pub(crate) fn client(&self, workload: &str) -> reqwest::Client {
        let client = MtlsClient::new(&self.pki);
        match self.identity(workload) {
            Some(identity) => client.identity(identity).build(),
            None => client.build(),
        }
    }

    /// The token, bound to a workload's certificate.
    pub(crate) fn bound(&self, token: TokenBuilder, workload: &str) -> String {
        match self.identity(workload) {
            Some(identity) => token.bound_to_certificate(identity.certificate_der()).sign(),
            None => token.sign(),
        }
    }

    fn identity(&self, workload: &str) -> Option<&TestIdentity> {
        self.workloads.iter().find(|(path, _)| *path == workload).map(|(_, identity)| identity)
    }
}
