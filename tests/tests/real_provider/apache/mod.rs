//! Debian's Apache with `mod_oauth2`, which looks at certificates and proofs as we
//! do, judges the tokens of a real provider beside us. Nothing may pass here alone.

mod certificates;
mod keys;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use integration_tests::{AUDIENCE, leave_out};
use reqwest::{Client, RequestBuilder};

use crate::{
    oidc_provider::Provider,
    process::{ATTEMPTS, Folder, Process, free_port},
};

const PROGRAM: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";

/// Stopped when this is dropped.
struct Apache {
    base: String,
    process: Process,
    folder: Folder,
}

impl Apache {
    /// Where not, it is said on the terminal.
    fn is_installed() -> bool {
        let installed = Path::new(PROGRAM).exists() && Path::new(MODULES).join("mod_oauth2.so").exists();
        if !installed {
            leave_out("apache", "it is not installed with mod_oauth2");
        }
        installed
    }

    fn start(provider: &Provider) -> Self {
        (0..ATTEMPTS).find_map(|_| Self::try_start(provider)).unwrap()
    }

    fn try_start(provider: &Provider) -> Option<Self> {
        let port = free_port();
        let folder = Folder::new(&format!("apache-{port}"));
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let identity = provider.pki.server().issue();
        write("server.pem", &identity.chain_pem());
        write("server.key", &identity.key_pem());
        write("ca.pem", &provider.pki.bundle_pem());
        write("apache.conf", &configuration(folder.path(), port, &provider.issuer));
        let mut process = Process::start("apache2", &mut Self::command(folder.path()));
        let base = format!("https://127.0.0.1:{port}");
        process.listens_on(port).then_some(Self { base, process, folder })
    }

    /// In one process, so that none is left behind.
    fn command(folder: &Path) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("-X").arg("-f").arg(folder.join("apache.conf"));
        command
    }

    async fn judge(&self, client: &Client, path: &str, token: Option<&str>) -> bool {
        let mut request = client.get(format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Self::passes(request).await
    }

    /// Whether a request gets in, as it is.
    async fn passes(request: RequestBuilder) -> bool {
        match request.send().await.unwrap().status().as_u16() {
            // It has no pages: who gets this far has passed.
            404 => true,
            401 | 403 => false,
            status => panic!("apache answers {status}"),
        }
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Asked to, it removes its semaphores; killed, it would leave them.
        let mut stop = Self::command(self.folder.path());
        stop.args(["-k", "stop"]).stdout(Stdio::null()).stderr(Stdio::null());
        if stop.status().is_ok_and(|status| status.success()) {
            self.process.ended();
        }
    }
}

/// The audience is a claim that the module is told to demand; the client's
/// certificate need not chain to anybody, as RFC 8705 section 2.2 has it.
fn configuration(folder: &Path, port: u16, issuer: &str) -> String {
    let folder = folder.display();
    let modules = ["mpm_event", "ssl", "authn_core", "authz_core", "authz_user", "oauth2"];
    let modules = modules.map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n")).concat();
    let location = |path, options| {
        format!(
            "<Location {path}>\n AuthType oauth2\n OAuth2TokenVerify jwks_uri {issuer}/jwks \
             jwks_uri.ssl_verify=false&verify.exp=required&verify.iat=skip&{options}\n \
             Require oauth2_claim aud:{AUDIENCE}\n</Location>\n"
        )
    };
    format!(
        "ServerRoot {folder}\n\
         DocumentRoot /\n\
         User nobody\n\
         Group nogroup\n\
         PidFile {folder}/apache.pid\n\
         DefaultRuntimeDir {folder}\n\
         Mutex file:{folder} default\n\
         ErrorLog {folder}/error.log\n\
         ServerName localhost\n\
         {modules}\
         Listen 127.0.0.1:{port}\n\
         SSLEngine on\n\
         SSLCertificateFile {folder}/server.pem\n\
         SSLCertificateKeyFile {folder}/server.key\n\
         SSLCACertificateFile {folder}/ca.pem\n\
         SSLVerifyClient optional\n\
         SSLOptions +ExportCertData +StdEnvVars\n\
         {}{}{}",
        location("/any", "type=mtls&mtls.policy=optional"),
        location("/bound", "type=mtls&mtls.policy=required"),
        // Five seconds by default: less than a loaded machine may take.
        location("/dpop", "type=dpop&dpop.iat.slack.before=60"),
    )
}
