//! An egress proxy: taken where it is configured, and never from the environment.

use std::{
    fs, io,
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex},
};

use integration_tests::{Site, World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower_delegation::{
    TrustedIssuer,
    http_client::{EgressProxy, HttpClient},
    jwks::KeySourceErrorKind,
    material::Material,
};

use crate::{Api, Keys, keys_at};

/// The first line of a request, and its credentials for the proxy.
type Head = (String, Option<String>);

/// A forward proxy that connects every name to one address, as the only one who
/// resolves it. It keeps the first line of each request and its credentials.
struct Proxy {
    url: String,
    seen: Arc<Mutex<Vec<Head>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// With `credentials`, requests with others are answered 407.
    async fn start(target: SocketAddr, credentials: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let heads = Arc::clone(&heads);
                // Either side may hang up: the client sees it.
                tokio::spawn(async move { forward(stream, target, credentials, &heads).await.ok() });
            }
        });
        Self { url, seen, task }
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    mut client: TcpStream,
    target: SocketAddr,
    credentials: Option<&str>,
    seen: &Mutex<Vec<Head>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let line = text.lines().next().unwrap_or_default().to_owned();
    let sent = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.to_owned())
    });
    let is_let_in = credentials.is_none() || credentials == sent.as_deref();
    seen.lock().unwrap().push((line.clone(), sent));
    if !is_let_in {
        return client
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            .await;
    }
    let mut server = TcpStream::connect(target).await?;
    if line.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    } else {
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// An issuer of `idp.test`, a name that only the proxy resolves, with a certificate for it.
struct Inside {
    world: World,
    target: SocketAddr,
    _site: Site,
}

impl Inside {
    async fn new() -> Self {
        let world = World::new().await;
        let identity = world.pki.server().dns_name("idp.test").issue();
        let pem = tower_delegation_rustls::Pem::text;
        let config = tower_delegation_rustls::TlsConfig::builder()
            .server_certificate(pem(identity.chain_pem()), pem(identity.key_pem()));
        let site = Site::start(config, Keys::of(&world).router()).await;
        let target = site.base.strip_prefix("https://").unwrap().parse().unwrap();
        Self { world, target, _site: site }
    }

    fn client(&self) -> HttpClient {
        HttpClient::new().add_root_certificates(self.world.pki.bundle_pem())
    }

    async fn api(&self, client: HttpClient) -> Api {
        Api::new(&self.world, keys_at(&self.world, "https://idp.test/keys"), client).await
    }

    async fn status(&self, client: HttpClient) -> u16 {
        self.api(client).await.status(&self.world.token().sign()).await
    }
}

#[tokio::test]
async fn https_goes_through_a_tunnel_of_the_proxy() {
    let inside = Inside::new().await;
    let proxy = Proxy::start(inside.target, None).await;
    assert_eq!(inside.status(inside.client()).await, 503, "the name is known inside only");
    assert_eq!(proxy.lines(), Vec::<String>::new());

    let through = || inside.client().proxy(EgressProxy::new(&proxy.url));
    assert_eq!(inside.status(through()).await, 200);
    assert_eq!(proxy.lines(), ["CONNECT idp.test:443 HTTP/1.1"]);

    // The tunnel is no authority: the server's certificate is checked through it.
    let untrusting = HttpClient::new().proxy(EgressProxy::new(&proxy.url));
    assert_eq!(inside.status(untrusting).await, 503);

    // A declared host is spoken to directly, which fails here.
    let direct = inside.client().proxy(EgressProxy::new(&proxy.url).add_direct("idp.test"));
    assert_eq!(inside.status(direct).await, 503);
    assert_eq!(proxy.lines().len(), 2);

    let url = proxy.url.clone();
    drop(proxy);
    let gone = inside.client().proxy(EgressProxy::new(&url));
    assert_eq!(inside.status(gone).await, 503, "no way past a proxy that is gone");
}

#[tokio::test]
async fn a_proxy_gets_its_credentials_as_they_are_now() {
    let inside = Inside::new().await;
    // `orders` and `open sesame`, by RFC 7617.
    let proxy = Proxy::start(inside.target, Some("Basic b3JkZXJzOm9wZW4gc2VzYW1l")).await;
    let with = |password: Material| {
        inside.client().proxy(EgressProxy::new(&proxy.url).credentials("orders", password))
    };
    assert_eq!(inside.status(inside.client().proxy(EgressProxy::new(&proxy.url))).await, 503, "none");
    assert_eq!(inside.status(with(Material::text("guessed"))).await, 503, "wrong");
    assert_eq!(inside.status(with(Material::text("open sesame"))).await, 200);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "guessed\n").unwrap();
    let api = inside.api(with(Material::file(&file))).await;
    assert!(!api.refreshes().await);
    fs::write(&file, "open sesame\n").unwrap();
    assert!(api.refreshes().await, "without a restart");
    fs::remove_file(&file).unwrap();
    assert!(api.refreshes().await, "the one from before stays in use");
    assert!(proxy.lines().iter().all(|line| line == "CONNECT idp.test:443 HTTP/1.1"));
}

#[tokio::test]
async fn plain_http_that_is_allowed_goes_through_the_proxy_too() {
    let world = World::new().await;
    let document = serde_json::json!({"issuer": world.idp.issuer(), "jwks_uri": "http://inside.test/keys"});
    let path = "/realms/shop/.well-known/openid-configuration";
    let keys = Keys::of(&world).with(path, crate::Document::Open(document.to_string()));
    let server = keys.serve().await;
    let proxy = Proxy::start(server.origin.strip_prefix("http://").unwrap().parse().unwrap(), None).await;
    // The issuer's own URL is not reached from here: its metadata is under another host.
    let issuer =
        || TrustedIssuer::discover_at(world.idp.issuer(), &format!("http://inside.test{path}")).unwrap();
    let client = || HttpClient::new().proxy(EgressProxy::new(&proxy.url));
    let allowed = client().insecure_plain_http("http://inside.test");
    let api = Api::new(&world, issuer(), allowed).await;
    assert_eq!(api.status(&world.token().sign()).await, 200);
    // Both in one connection, of which this proxy reads the first head.
    assert_eq!(proxy.lines(), [format!("GET http://inside.test{path} HTTP/1.1")]);
    assert_eq!(keys.paths(), [path, "/keys"]);
    for (name, client) in [
        ("not allowed", client()),
        ("another port", client().insecure_plain_http("http://inside.test:8080")),
        ("another host", client().insecure_plain_http("http://outside.test")),
    ] {
        let error = Api::build(&world, issuer(), client).await.err().unwrap();
        assert_eq!(error.code(), "invalid_url", "{name}: {error}");
        assert!(error.to_string().contains("insecure_plain_http"), "{name}: {error}");
    }
    assert_eq!(keys.paths().len(), 2);

    // Allowed for the metadata alone: what it names is refused.
    let document = serde_json::json!({"issuer": world.idp.issuer(), "jwks_uri": "http://outside.test/keys"});
    let _keys = keys.clone().with(path, crate::Document::Open(document.to_string()));
    let allowed = client().insecure_plain_http("http://inside.test");
    let api = Api::new(&world, issuer(), allowed).await;
    assert_eq!(api.status(&world.token().sign()).await, 503);
    assert_eq!(api.last_error(), Some(KeySourceErrorKind::MetadataInvalid));
}

/// Run again in a process whose environment names a proxy.
#[tokio::test]
async fn keys_are_fetched_directly() {
    let world = World::new().await;
    let server = Keys::of(&world).serve().await;
    let api = Api::new(&world, keys_at(&world, &format!("{}/keys", server.origin)), HttpClient::new()).await;
    assert!(api.refreshes().await);
    let site = Site::start(world.server(), Keys::of(&world).router()).await;
    let client = HttpClient::new().add_root_certificates(world.pki.bundle_pem());
    let api = Api::new(&world, keys_at(&world, &format!("{}/keys", site.base)), client).await;
    assert!(api.refreshes().await);
}

#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "proxies::keys_are_fetched_directly"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        again.env(name, &url).env(name.to_lowercase(), &url);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        again.env_remove(name);
    }
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let connection = proxy.accept().map(|(_, address)| address);
    assert_eq!(connection.unwrap_err().kind(), io::ErrorKind::WouldBlock, "no one came");
}
