//! npm `oidc-provider`, a certified OpenID Provider, over TLS of a private
//! authority: discovery, keys of five algorithms, rotation, outage.

mod bound;
mod exchanges;
pub(crate) mod judge;
mod outage;
mod rotation;
mod tokens;

use std::{path::PathBuf, process::Command};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use integration_tests::{AUDIENCE, leave_out};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Map, Value, json};
use tower_delegation::{
    DelegationLayer, TrustedIssuer, http_client::HttpClient, layer::DelegationLayerBuilder,
};
use tower_delegation_testing::{ClientKey, DpopKey, MtlsClient, TestIdentity, TestPki};

use crate::process::Process;

const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES512", "EdDSA"];

/// The oldest that runs the packages.
const OLDEST_NODE: u32 = 20;

/// The path of the one workload to which the provider gives certificate-bound tokens.
pub(crate) const WORKER: &str = "/shop/worker";

/// The provider, and the means of a client to speak to it.
pub(crate) struct Provider {
    process: Process,
    /// Signs the provider's certificate and those of its clients.
    pub(crate) pki: TestPki,
    pub(crate) issuer: String,
    client: Client,
    /// Of its clients that authenticate by `private_key_jwt`.
    client_key: ClientKey,
}

impl Provider {
    /// A provider of its own for each test; `None`, said on the terminal, where
    /// it cannot run.
    pub(crate) fn start() -> Option<Self> {
        let mut process = script("provider.mjs")?;
        let pki = TestPki::new();
        let identity = pki.server().issue();
        let tls = json!({ "key": identity.key_pem(), "cert": identity.chain_pem(), "ca": pki.bundle_pem() });
        let client_key = ClientKey::generate();
        let started = process.ask(&json!({ "tls": tls, "clientKeys": client_key.jwks() }));
        let client = MtlsClient::new(&pki).build();
        Some(Self { process, pki, issuer: text(&started["issuer"]), client, client_key })
    }

    /// The usual layer: discovery, the private authority, this service's audience.
    pub(crate) fn layer(&self) -> DelegationLayerBuilder {
        self.layer_trusting(&self.pki)
    }

    fn layer_trusting(&self, authority: &TestPki) -> DelegationLayerBuilder {
        let client = HttpClient::new().add_root_certificates(authority.bundle_pem());
        // A machine's `sub` is its client here: `tokens.rs` shows it.
        let issuer = TrustedIssuer::discover(&self.issuer).unwrap().add_audience(AUDIENCE);
        let issuer = issuer.assume_user_unless_client();
        DelegationLayer::builder().add_issuer(issuer).http_client(client)
    }

    /// A token for the application itself, signed with `algorithm` (or `opaque`).
    pub(crate) async fn token(&self, algorithm: &str) -> String {
        self.token_for(&resource(algorithm)).await
    }

    pub(crate) async fn token_for(&self, resource: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("resource", resource), ("scope", "orders:read")];
        access_token(self.token_request("worker").form(&form)).await
    }

    /// The tokens of a user who logged in to the application `web`.
    async fn user_tokens(&mut self, subject: &str) -> UserTokens {
        let resource = resource("ES256");
        let authorized =
            self.process.ask(&json!({ "command": "authorize", "subject": subject, "resource": resource }));
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &text(&authorized["code"])),
            ("redirect_uri", &text(&authorized["redirect_uri"])),
            ("resource", &resource),
        ];
        let answer = answer(self.token_request("web").form(&form)).await;
        UserTokens { access: text(&answer["access_token"]), id: text(&answer["id_token"]) }
    }

    /// A token that is bound to `key` (RFC 9449 section 5).
    pub(crate) async fn key_bound_token(&self, key: &DpopKey) -> String {
        let proof = key.proof("POST", format!("{}/token", self.issuer)).sign();
        let answer = answer(self.ask_for_key_bound(Some(&proof))).await;
        assert_eq!(answer["token_type"], "DPoP");
        text(&answer["access_token"])
    }

    /// The request for one, with this proof.
    fn ask_for_key_bound(&self, proof: Option<&str>) -> RequestBuilder {
        let resource = resource("ES256");
        let form = [("grant_type", "client_credentials"), ("resource", &resource), ("scope", "orders:read")];
        let request = self.token_request("wallet").form(&form);
        proof.into_iter().fold(request, |request, proof| request.header("dpop", proof))
    }

    /// A token that is bound to the certificate of `identity` (RFC 8705 section 3).
    pub(crate) async fn certificate_bound_token(&self, identity: &TestIdentity, resource: &str) -> String {
        let answer = self.ask_for_certificate_bound(Some(identity), resource).await;
        assert_eq!(answer.status(), 200);
        text(&answer.json::<Value>().await.unwrap()["access_token"])
    }

    /// The request for one, by a client that says who it is by its certificate alone.
    async fn ask_for_certificate_bound(&self, identity: Option<&TestIdentity>, resource: &str) -> Response {
        let client = MtlsClient::new(&self.pki);
        let client = identity.map_or_else(|| client.clone(), |identity| client.clone().identity(identity));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "mtls-worker"),
            ("resource", resource),
            ("scope", "orders:read"),
        ];
        client.build().post(format!("{}/token", self.issuer)).form(&form).send().await.unwrap()
    }

    /// Any payload under any header, signed with the key of that `kid`.
    pub(crate) fn sign(&mut self, key: &str, header: &Value, payload: &str) -> String {
        let command = json!({ "command": "sign", "key": key, "header": header, "payload": payload });
        text(&self.process.ask(&command)["token"])
    }

    /// New keys sign from now on; the old ones stay published.
    fn rotate_keys(&mut self) {
        self.process.ask(&json!({ "command": "rotate" }));
    }

    /// Only the keys that sign are published from now on.
    fn withdraw_old_keys(&mut self) {
        self.process.ask(&json!({ "command": "withdraw" }));
    }

    fn token_request(&self, client: &str) -> RequestBuilder {
        let request = self.client.post(format!("{}/token", self.issuer));
        request.basic_auth(client, Some(format!("{client}-secret")))
    }
}

struct UserTokens {
    access: String,
    id: String,
}

/// The API under test, to be called with tokens of one algorithm.
pub(crate) fn resource(algorithm: &str) -> String {
    format!("{AUDIENCE}/{algorithm}")
}

/// Starts a script of `tests/real_provider`.
fn script(name: &'static str) -> Option<Process> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("real_provider");
    let missing = match node_version() {
        None => Some("there is no node on this machine"),
        Some(major) if major < OLDEST_NODE => Some("node is older than 20"),
        // What npm writes when it has installed everything.
        Some(_) if !folder.join("node_modules/.package-lock.json").exists() => {
            Some("its npm packages are not installed")
        }
        Some(_) => None,
    };
    if let Some(why) = missing {
        leave_out("oidc-provider", why);
        return None;
    }
    Some(Process::start(name, Command::new("node").arg(folder.join(name))))
}

/// The major version, of `v20.1.0`.
fn node_version() -> Option<u32> {
    let output = Command::new("node").arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// What a token says, whoever signed it.
pub(crate) fn claims_of(token: &str) -> Map<String, Value> {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn access_token(request: RequestBuilder) -> String {
    text(&answer(request).await["access_token"])
}

async fn answer(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    let (status, body) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}")).to_owned()
}
