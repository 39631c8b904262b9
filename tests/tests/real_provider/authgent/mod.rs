//! `authgent-server` of PyPI: token exchange with nested actors by another hand, and by names
//! of its own: `typ` is `JWT`, and a client is `client:agnt_…` as a subject and as an actor.

mod exchanges;
mod refusals;

use std::{path::Path, process::Command, time::Duration};

use axum::{Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use integration_tests::{AUDIENCE, Served, leave_out};
use reqwest::{Client, redirect};
use serde_json::{Value, json};
use tower_delegation::{
    DelegationContext, DelegationLayer, Dpop, Requirement, TrustedIssuer,
    context::SubjectKind,
    exchange::{
        AuthorizationServer, ClientAuthentication, Downstream, DownstreamToken, Exchange, ExchangeError,
    },
    issuer::{ClaimCondition, ClaimMapping, KindCheck},
    layer::DelegationLayerBuilder,
};

use crate::process::{ATTEMPTS, Folder, Process, free_port};

const STOCK: &str = "https://stock.example.com";
const ARCHIVE: &str = "https://archive.example.com";
const REDIRECT_URI: &str = "https://web.example.com/callback";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Everyone that the server calls a user where it approves by itself.
const USER: &str = "auto_approved_user";

/// The server, and its clients.
struct Authgent {
    issuer: String,
    http: Client,
    web: Registered,
    orders: Registered,
    stock: Registered,
    // Killed before its folder is removed.
    _process: Process,
    _folder: Folder,
}

/// A client that was registered (RFC 7591).
struct Registered {
    id: String,
    secret: String,
}

impl Registered {
    /// What the client is called as a subject and as an actor.
    fn subject(&self) -> String {
        format!("client:{}", self.id)
    }
}

impl Authgent {
    /// A server of its own for each test; `None`, said on the terminal, where it cannot run.
    async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// With settings: variables of its environment.
    async fn start_with(settings: &[(&str, &str)]) -> Option<Self> {
        // Where `cargo xtask test` installs it.
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("pip");
        if !packages.join("authgent_server/cli.py").exists() {
            leave_out("authgent", "it is not installed");
            return None;
        }
        let (process, issuer, folder) =
            (0..ATTEMPTS).find_map(|_| Self::try_start(&packages, settings)).unwrap();
        let http = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        let web = register(&http, &issuer, &["authorization_code", "client_credentials"]).await;
        let orders = register(&http, &issuer, &[TOKEN_EXCHANGE]).await;
        let stock = register(&http, &issuer, &[TOKEN_EXCHANGE]).await;
        Some(Self { issuer, http, web, orders, stock, _process: process, _folder: folder })
    }

    fn try_start(packages: &Path, settings: &[(&str, &str)]) -> Option<(Process, String, Folder)> {
        let port = free_port();
        let issuer = format!("http://127.0.0.1:{port}");
        let folder = Folder::new(&format!("authgent-{port}"));
        let mut command = Command::new("python3");
        command
            .args(["-m", "authgent_server.cli", "run", "--host", "127.0.0.1", "--port", &port.to_string()])
            .env("PYTHONPATH", packages)
            .env("AUTHGENT_SERVER_URL", &issuer)
            // For this process alone.
            .env("AUTHGENT_SECRET_KEY", format!("{:064}", std::process::id()))
            .env("AUTHGENT_TOKEN_RATE_LIMIT", "10000")
            .envs(settings.iter().copied())
            .current_dir(folder.path());
        let mut process = Process::start("authgent-server", &mut command);
        process.listens_on(port).then_some((process, issuer, folder))
    }

    /// The token of a user who signed in to the application `web`, for the service `orders`.
    async fn user_token(&self, scope: &str) -> String {
        let verifier = "v".repeat(43);
        let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        let query = [
            ("response_type", "code"),
            ("client_id", &self.web.id),
            ("redirect_uri", REDIRECT_URI),
            ("scope", scope),
            ("resource", AUDIENCE),
            ("code_challenge", &URL_SAFE_NO_PAD.encode(challenge)),
        ];
        let url = reqwest::Url::parse_with_params(&format!("{}/authorize", self.issuer), query).unwrap();
        let answer = self.http.get(url).send().await.unwrap();
        let location = answer.headers()["location"].to_str().unwrap();
        let location = reqwest::Url::parse(location).unwrap();
        let (_, code) = location.query_pairs().find(|(name, _)| name == "code").unwrap();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", &verifier),
            ("redirect_uri", REDIRECT_URI),
        ];
        self.token(&self.web, &form).await
    }

    /// The token of the application `web` itself, for the service `orders`.
    async fn machine_token(&self, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope), ("resource", AUDIENCE)];
        self.token(&self.web, &form).await
    }

    async fn token(&self, client: &Registered, form: &[(&str, &str)]) -> String {
        let client = [("client_id", client.id.as_str()), ("client_secret", &client.secret)];
        let request = self.http.post(format!("{}/token", self.issuer));
        let answer = request.form(&[form, &client].concat()).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Revokes a token at the server (RFC 7009).
    async fn revoke(&self, token: &str) {
        let form = [("token", token), ("client_id", &self.web.id), ("client_secret", &self.web.secret)];
        let answer = self.http.post(format!("{}/revoke", self.issuer)).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// The terms that fit its tokens: what its clients are called as subjects is the one mark
    /// that tells machines from users.
    fn terms(&self) -> TrustedIssuer {
        let kinds = [
            (ClaimCondition::starts_with("sub", "client:"), SubjectKind::Service),
            (ClaimCondition::always(), SubjectKind::User),
        ];
        let mapping = ClaimMapping::rfc9068()
            .subject_kinds(kinds)
            .accept_generic_type(KindCheck::claim_present("client_id").and(KindCheck::not_an_id_token()));
        TrustedIssuer::discover(&self.issuer).unwrap().claim_mapping(mapping)
    }

    /// The layer of the service with this audience.
    fn layer(&self, audience: &str) -> DelegationLayer {
        self.builder(audience).build().unwrap()
    }

    fn builder(&self, audience: &str) -> DelegationLayerBuilder {
        DelegationLayer::builder().add_issuer(self.terms().add_audience(audience))
    }

    /// The server as it knows this client.
    fn server(&self, client: &Registered) -> AuthorizationServer {
        self.server_with(client, ClientAuthentication::secret_post(client.secret.as_str()))
    }

    fn server_with(&self, client: &Registered, authentication: ClientAuthentication) -> AuthorizationServer {
        AuthorizationServer::discover(&self.issuer).unwrap().client(client.id.as_str(), authentication)
    }

    /// What `client` may ask for at the service `target`, without the agreement to read it.
    fn bare(&self, target: &str, client: &Registered, url: &str) -> Downstream {
        Downstream::new("next", url, self.server(client))
            .resource(target)
            .require(Requirement::named("calls the next service").on_behalf_of_user())
            .add_scopes(["stock:read", "stock:write"])
    }

    /// The same, by terms that fit.
    fn downstream(&self, target: &str, client: &Registered, url: &str) -> Downstream {
        self.bare(target, client, url).reads(self.terms()).acts_as(self.issuer.as_str(), client.subject())
    }
}

async fn register(http: &Client, issuer: &str, grants: &[&str]) -> Registered {
    let registration = json!({
        "client_name": "client",
        "redirect_uris": [REDIRECT_URI],
        "scope": "stock:read stock:write orders:read",
        "grant_types": grants,
        "token_endpoint_auth_method": "client_secret_post",
    });
    let answer = http.post(format!("{issuer}/register")).json(&registration).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    Registered { id: text("client_id"), secret: text("client_secret") }
}

/// Serves what a handler reads of its caller, behind a layer that takes proofs too.
async fn serve(layer: DelegationLayerBuilder) -> Served {
    let seen = async |delegation: DelegationContext| {
        let actors: Vec<_> = delegation.actors().iter().map(|actor| actor.id().to_string()).collect();
        Json(json!({
            "sub": delegation.subject().id().as_str(),
            "user": delegation.is_on_behalf_of_user(),
            "actors": actors,
            "client": delegation.client().map(|client| client.as_str()),
            "aud": delegation.audience().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "scope": delegation.scopes().as_str(),
        }))
    };
    Served::start_with(|base| {
        let layer = layer.dpop(Dpop::at(base)).build().unwrap();
        Router::new().route("/", get(seen)).layer(layer)
    })
    .await
}

/// Calls the service behind an exchange, and returns its answer and the token that it was
/// called with.
async fn call(exchange: &Exchange, caller: &DelegationContext) -> (Value, String) {
    let token = exchange.on_behalf_of(caller).token().await.unwrap();
    let mut request = http::Request::get(exchange.url()).body(reqwest::Body::default()).unwrap();
    token.authorize(&mut request).unwrap();
    let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
    let answer = Client::default().execute(request.try_into().unwrap()).await.unwrap();
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{body}");
    let (_, token) = authorization.split_once(' ').unwrap();
    (serde_json::from_str(&body).unwrap(), token.to_owned())
}

/// What comes of asking for a token, on behalf of the caller with `token`.
async fn ask(
    layer: &DelegationLayer,
    downstream: Downstream,
    token: &str,
    scopes: &[&str],
) -> Result<DownstreamToken, ExchangeError> {
    let exchange = layer.exchange(downstream).unwrap();
    let caller = layer.authenticator().verify(token).await.unwrap();
    let request = exchange.on_behalf_of(&caller);
    scopes.iter().fold(request, |request, scope| request.scope(scope)).token().await
}

/// The reason for which there is no token.
async fn refusal(layer: &DelegationLayer, downstream: Downstream, token: &str) -> Option<&'static str> {
    ask(layer, downstream, token, &[]).await.err().map(|error| error.reason().code())
}

/// Five minutes: what the server gives to each token that it exchanges.
const EXCHANGED_LIFE: Duration = Duration::from_secs(300);
