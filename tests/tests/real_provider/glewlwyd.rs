//! Debian's `glewlwyd`, a provider written in C: RS256, plain HTTP on loopback,
//! and URLs with a double slash in its metadata.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use http::header::{COOKIE, SET_COOKIE};
use integration_tests::{AUDIENCE, leave_out};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use reqwest::Client;
use serde_json::{Value, json};
use tower_delegation::{DelegationLayer, DenialReason as R, TrustedIssuer, layer::DelegationLayerBuilder};
use tower_delegation_testing::TestClock;

use crate::{
    Gate,
    process::{ATTEMPTS, Folder, Process, free_port},
    tampered,
};

/// The empty database, as the Debian package brings it: the administrator is
/// `admin`, with the password `password`.
const SCHEMA: &str = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3";

struct Glewlwyd {
    origin: String,
    client: Client,
    // Killed before its folder is removed.
    _process: Process,
    _folder: Folder,
}

impl Glewlwyd {
    /// A provider of its own for each test; `None`, said on the terminal, where
    /// it cannot run.
    async fn start() -> Option<Self> {
        if !["glewlwyd", "sqlite3"].into_iter().all(runs) || !Path::new(SCHEMA).exists() {
            leave_out("glewlwyd", "it is not installed");
            return None;
        }
        let (process, origin, folder) = (0..ATTEMPTS).find_map(|_| Self::try_start()).unwrap();
        let glewlwyd = Self { origin, client: Client::default(), _process: process, _folder: folder };
        glewlwyd.set_up().await;
        Some(glewlwyd)
    }

    fn try_start() -> Option<(Process, String, Folder)> {
        let port = free_port();
        let origin = format!("http://127.0.0.1:{port}");
        let folder = Folder::new(&format!("glewlwyd-{port}"));
        let schema = fs::File::open(SCHEMA).unwrap();
        let mut sqlite = Command::new("sqlite3");
        assert!(
            sqlite.arg("glewlwyd.db").current_dir(folder.path()).stdin(schema).status().unwrap().success()
        );
        let configuration = format!(
            r#"
            port = {port}
            bind_address = "127.0.0.1"
            external_url = "{origin}/"
            api_prefix = "api"
            log_mode = "console"
            log_level = "INFO"
            cookie_secure = 0
            session_key = "SESSION"
            admin_scope = "g_admin"
            profile_scope = "g_profile"
            user_module_path = "/usr/lib/glewlwyd/user"
            client_module_path = "/usr/lib/glewlwyd/client"
            user_auth_scheme_module_path = "/usr/lib/glewlwyd/scheme"
            plugin_module_path = "/usr/lib/glewlwyd/plugin"
            hash_algorithm = "SHA512"
            database = {{ type = "sqlite3" path = "glewlwyd.db" }};
            "#
        );
        fs::write(folder.path().join("glewlwyd.conf"), configuration).unwrap();
        let mut command = Command::new("glewlwyd");
        command.arg("--config-file=glewlwyd.conf").current_dir(folder.path());
        let mut process = Process::start("glewlwyd", &mut command);
        process.says("Glewlwyd started").then_some((process, origin, folder))
    }

    fn issuer(&self) -> String {
        format!("{}/api/oidc", self.origin)
    }

    /// Over its own API: the OpenID Connect plugin, a scope, a client.
    async fn set_up(&self) {
        let login = self.client.post(format!("{}/api/auth", self.origin));
        let login = login.json(&json!({ "username": "admin", "password": "password" })).send().await.unwrap();
        let cookie = login.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let plugin = json!({
            "module": "oidc",
            "name": "oidc",
            "display_name": "oidc",
            "enabled": true,
            "parameters": {
                "iss": self.issuer(),
                "jwt-type": "rsa",
                "jwt-key-size": "256",
                "key": key.serialize_pem(),
                "cert": key.public_key_pem(),
                "subject-type": "public",
                "access-token-duration": 300,
                "refresh-token-duration": 300,
                "code-duration": 60,
                "refresh-token-rolling": false,
                "allow-non-oidc": true,
                "auth-type-code-enabled": false,
                "auth-type-token-enabled": false,
                "auth-type-id-token-enabled": false,
                "auth-type-none-enabled": false,
                "auth-type-password-enabled": false,
                "auth-type-client-enabled": true,
                "auth-type-device-enabled": false,
                "auth-type-refresh-enabled": false,
                "jwks-show": true,
                "resource-allowed": true,
                "resource-scope": { "orders": [AUDIENCE, "https://stock.example.com"] },
            },
        });
        let scope = json!({ "name": "orders", "password_required": false, "scheme": {} });
        let client = json!({
            "client_id": "worker",
            "password": "worker-secret",
            "enabled": true,
            "confidential": true,
            "authorization_type": ["client_credentials"],
            "scope": ["orders"],
            "redirect_uri": [],
            "token_endpoint_auth_method": ["client_secret_basic"],
        });
        for (path, document) in [("mod/plugin", plugin), ("scope", scope), ("client", client)] {
            let request = self.client.post(format!("{}/api/{path}", self.origin)).header(COOKIE, &cookie);
            let answer = request.json(&document).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}: {}", answer.text().await.unwrap());
        }
    }

    async fn token_for(&self, resource: &str) -> String {
        let request = self.client.post(format!("{}/token", self.issuer()));
        let form = [("grant_type", "client_credentials"), ("scope", "orders"), ("resource", resource)];
        let request = request.basic_auth("worker", Some("worker-secret")).form(&form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    fn layer(&self) -> DelegationLayerBuilder {
        let issuer = TrustedIssuer::discover(&self.issuer()).unwrap().add_audience(AUDIENCE);
        DelegationLayer::builder().add_issuer(issuer)
    }
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

#[tokio::test]
async fn tokens_open_the_service() {
    let Some(glewlwyd) = Glewlwyd::start().await else { return };
    let metadata = format!("{}/.well-known/openid-configuration", glewlwyd.issuer());
    let metadata: Value = glewlwyd.client.get(metadata).send().await.unwrap().json().await.unwrap();
    assert_eq!(metadata["jwks_uri"], format!("{}//api/oidc/jwks", glewlwyd.origin));

    let gate = Gate::behind(glewlwyd.layer().build().unwrap()).await;
    let token = glewlwyd.token_for(AUDIENCE).await;
    let seen = json!({ "subject": "worker", "client": "worker", "scopes": "orders", "user": false });
    assert_eq!(gate.judge(&token).await, Ok(seen));
    for (name, token) in tampered(&token) {
        gate.assert_refused(name, &token, R::SignatureInvalid).await;
    }
    let elsewhere = glewlwyd.token_for("https://stock.example.com").await;
    gate.assert_refused("for another API", &elsewhere, R::AudienceMismatch).await;
}

#[tokio::test]
async fn a_token_ends_and_another_providers_key_is_not_taken() {
    let (Some(glewlwyd), Some(other)) = (Glewlwyd::start().await, Glewlwyd::start().await) else { return };
    let clock = TestClock::new();
    let gate = Gate::behind(glewlwyd.layer().clock(clock.clone()).build().unwrap()).await;
    gate.assert_refused("of another", &other.token_for(AUDIENCE).await, R::IssuerUnknown).await;
    let token = glewlwyd.token_for(AUDIENCE).await;
    assert!(gate.judge(&token).await.is_ok());
    clock.advance(std::time::Duration::from_secs(360));
    gate.assert_refused("expired", &token, R::TokenExpired).await;
}
