//! Debian's Apache with `mod_oauth2`, which looks at certificates as we do, and
//! npm `oauth4webapi`, which cannot and refuses what is bound: they judge the
//! tokens of a real provider beside us. Nothing may pass here alone.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use integration_tests::{AUDIENCE, AuditLog, leave_out};
use reqwest::Client;
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity,
    clock::{Clock as _, SystemClock},
};
use tower_delegation_testing::MtlsClient;

use crate::{
    oidc_provider::{Provider, WORKER, claims_of, judge::Judge, resource},
    process::{ATTEMPTS, Folder, Process, free_port},
    tampered,
    tls::TlsSite,
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
    let verify = |policy| {
        format!(
            "jwks_uri {issuer}/jwks jwks_uri.ssl_verify=false&type=mtls&mtls.policy={policy}\
             &verify.exp=required&verify.iat=skip"
        )
    };
    let location = |path, policy| {
        format!(
            "<Location {path}>\n AuthType oauth2\n OAuth2TokenVerify {}\n \
             Require oauth2_claim aud:{AUDIENCE}\n</Location>\n",
            verify(policy)
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
         {}{}",
        location("/any", "optional"),
        location("/bound", "required"),
    )
}

#[tokio::test]
async fn no_token_passes_here_alone() {
    if !Apache::is_installed() {
        return;
    }
    let Some(mut provider) = Provider::start() else { return };
    let Some(mut oauth4webapi) = Judge::of(&provider) else { return };
    let apache = Apache::start(&provider);
    let layer = provider.layer().client_identity(ClientIdentity::from_tls()).build().unwrap();
    let (site, audit) = (TlsSite::start(layer, &provider.pki).await, AuditLog::listen());
    let (worker, other) =
        (provider.pki.workload(WORKER).issue(), provider.pki.workload("/shop/other").issue());
    let client = MtlsClient::new(&provider.pki);
    let clients = [
        ("right", client.clone().identity(&worker).build()),
        ("wrong", client.clone().identity(&other).build()),
        ("none", client.build()),
    ];

    let plain = provider.token("ES256").await;
    let bound = provider.certificate_bound_token(&worker, &resource("ES256")).await;
    let elsewhere = "https://stock.example.com/ES256";
    let mut tokens = vec![
        ("plain", plain.clone()),
        ("bound", bound.clone()),
        ("plain, for another API", provider.token_for(elsewhere).await),
        ("bound, for another API", provider.certificate_bound_token(&worker, elsewhere).await),
        ("bound to a key", provider.key_bound_token().await),
    ];
    let now = SystemClock::new().now().unix_seconds();
    for (name, token, patch) in [
        ("plain, expired", &plain, json!({ "exp": now - 60, "iat": now - 120 })),
        ("bound, expired", &bound, json!({ "exp": now - 60, "iat": now - 120 })),
        ("bound, no expiry", &bound, json!({ "exp": null })),
        ("bound, no audience", &bound, json!({ "aud": null })),
        ("bound to nothing", &bound, json!({ "cnf": {} })),
        ("bound, malformed", &bound, json!({ "cnf": { "x5t#S256": 1 } })),
        ("bound to both", &bound, json!({ "cnf": both(&bound) })),
    ] {
        let mut claims = claims_of(token);
        for (claim, value) in patch.as_object().unwrap() {
            claims.insert(claim.clone(), value.clone());
        }
        claims.retain(|_, value| !value.is_null());
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "ES256-1" });
        tokens.push((name, provider.sign("ES256-1", &header, &Value::Object(claims).to_string())));
    }
    let names = ["plain, tampered claims", "plain, tampered signature"];
    tokens.extend(names.into_iter().zip(tampered(&plain)).map(|(name, (_, token))| (name, token)));
    let names = ["bound, tampered claims", "bound, tampered signature"];
    tokens.extend(names.into_iter().zip(tampered(&bound)).map(|(name, (_, token))| (name, token)));

    let mut table =
        format!("{:<26} {:<12} {:<7} we   apache  oauth4webapi\n", "token", "certificate", "route");
    let mark = |accepted| if accepted { "yes" } else { "no" };
    let mut accepted = Vec::new();
    let cases = std::iter::once(("none", None))
        .chain(tokens.iter().map(|(name, token)| (*name, Some(token.as_str()))));
    for (name, token) in cases {
        let third = token.is_some_and(|token| oauth4webapi.judge(token).is_ok());
        for (certificate, client) in &clients {
            for (route, path) in [("any", "/"), ("bound", "/bound")] {
                let ours = site.judge(&audit, client, path, token).await.is_ok();
                let theirs = apache.judge(client, &format!("/{route}"), token).await;
                writeln!(
                    table,
                    "{name:<26} {certificate:<12} {route:<7} {:<4} {:<7} {}",
                    mark(ours),
                    mark(theirs),
                    mark(third)
                )
                .unwrap();
                assert!(theirs || !ours, "only we accept: {name}, {certificate}, {route}\n{table}");
                if ours {
                    accepted.push((name, *certificate, route));
                    assert_eq!(third, name == "plain", "{name}: it knows no certificates\n{table}");
                }
            }
        }
    }
    println!("{table}");
    assert_eq!(
        accepted,
        [
            ("plain", "right", "any"),
            ("plain", "wrong", "any"),
            ("plain", "none", "any"),
            ("bound", "right", "any"),
            ("bound", "right", "bound"),
        ],
        "{table}"
    );
}

/// The thumbprint of the certificate, and one of a key beside it.
fn both(bound: &str) -> Value {
    let mut cnf = claims_of(bound)["cnf"].clone();
    cnf["jkt"] = "A".repeat(43).into();
    cnf
}
