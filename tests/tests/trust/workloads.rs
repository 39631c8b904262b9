//! What was said of a workload is judged again after each wait: the JWT-SVID, the
//! certificate of the proxy, the word of a source.

use std::time::Duration;

use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use integration_tests::{AUDIENCE, Answer, Served, World};
use reqwest::Method;
use serde_json::json;
use tower_delegation::{
    ClientIdentity, DenialReason, Dpop, Requirement,
    clock::Clock as _,
    credential::{ClientCertHeader, TrustedHop, WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest},
    jwt_svid::{JwtBundles, JwtSvidSource},
    layer::{DelegationLayerBuilder, RequireLayer},
    spiffe::SpiffeId,
};
use tower_delegation_rustls::{Pem, TlsConfig};
use tower_delegation_testing::{DpopKey, Endpoint, MockIdp, TestPki};

use super::waits::{ORIGIN, Slow};

const WEB: &str = "spiffe://example.org/shop/web";
const SECOND: Duration = Duration::from_secs(1);

/// `GET /`, for one workload alone.
fn for_web(layer: DelegationLayerBuilder) -> Router {
    let only = RequireLayer::new(Requirement::named("web").workload(WEB)).unwrap();
    Router::new().route("/", get(async || "web").layer(only)).layer(layer.build().unwrap())
}

/// The keys of JWT-SVIDs as a bundle.
fn bundle(spire: &MockIdp) -> String {
    let mut bundle = spire.jwks();
    for key in bundle.pointer_mut("/keys").unwrap().as_array_mut().unwrap() {
        key.as_object_mut().unwrap().insert("use".to_owned(), "jwt-svid".into());
    }
    bundle.to_string()
}

/// Signs the JWT-SVIDs of `example.org`.
struct Spire {
    signer: MockIdp,
    bundles: JwtBundles,
}

impl Spire {
    async fn new(world: &World) -> Self {
        let signer = MockIdp::builder().clock(world.clock.clone()).start().await;
        let bundles = JwtBundles::new();
        bundles.set("example.org", &bundle(&signer)).unwrap();
        Self { signer, bundles }
    }

    /// Accepted for two seconds more, by the leeway.
    fn svid(&self, world: &World) -> String {
        let now = world.clock.now().unix_seconds();
        let claims = json!({ "sub": WEB, "aud": [AUDIENCE], "exp": now - 28, "iat": now - 60 });
        let header = json!({ "alg": "ES256", "kid": "es256-1", "typ": "JWT" });
        self.signer.token().header_json(header.to_string()).claims_json(claims.to_string()).sign()
    }

    fn identity(&self) -> ClientIdentity {
        let source = JwtSvidSource::new("x-jwt-svid", self.bundles.clone());
        ClientIdentity::from_source(source.add_audience(AUDIENCE))
    }
}

type Change = fn(&World, &Spire);

fn changes() -> [(&'static str, Change, u16); 6] {
    [
        ("nothing", |_, _| {}, 200),
        ("a second passes", |world, _| world.clock.advance(SECOND), 200),
        ("it expires", |world, _| world.clock.advance(3 * SECOND), 403),
        ("its trust domain is removed", |_, spire| spire.bundles.remove("example.org"), 403),
        (
            "its key is withdrawn",
            |_, spire| {
                spire.signer.rotate_keys();
                spire.signer.withdraw_old_keys();
                spire.bundles.set("example.org", &bundle(&spire.signer)).unwrap();
            },
            403,
        ),
        (
            "the bundle is replaced, and has its key",
            |_, spire| {
                spire.signer.rotate_keys();
                spire.bundles.set("example.org", &bundle(&spire.signer)).unwrap();
            },
            200,
        ),
    ]
}

#[tokio::test]
async fn a_jwt_svid_that_ends_while_keys_are_fetched_names_no_one() {
    for (name, change, expected) in changes() {
        let world = World::new().await;
        let spire = Spire::new(&world).await;
        let served = Served::start(for_web(world.layer().client_identity(spire.identity()))).await;
        let svid = spire.svid(&world);
        let request = served.request(Method::GET, "/").bearer_auth(world.token().sign());
        let hold = world.idp.hold(Endpoint::Jwks);
        let (answer, ()) = tokio::join!(Answer::of(request.header("x-jwt-svid", svid)), async {
            world.idp.wait_for_requests(Endpoint::Jwks, 1).await;
            change(&world, &spire);
            hold.release();
        });
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_jwt_svid_that_ends_while_a_proof_is_remembered_names_no_one() {
    for (name, change, expected) in changes() {
        let world = World::new().await;
        let (spire, proofs) = (Spire::new(&world).await, Slow::new());
        let dpop = Dpop::at(ORIGIN).replay_store(proofs.clone());
        let layer = world.layer().client_identity(spire.identity()).dpop(dpop);
        let served = Served::start(for_web(layer)).await;
        let key = DpopKey::generate().clock(world.clock.clone());
        let token = world.token().bound_to_key(&key).sign();
        let proof = key.proof("GET", format!("{ORIGIN}/")).for_token(&token).sign();
        let request = served.request(Method::GET, "/").header("authorization", format!("DPoP {token}"));
        let request = request.header("dpop", proof).header("x-jwt-svid", spire.svid(&world));
        let (answer, ()) = tokio::join!(Answer::of(request), async {
            proofs.until_asked().await;
            change(&world, &spire);
            proofs.answer();
        });
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
    }
}

/// The proxy is known by its certificate: when the authority behind that is removed, what
/// the proxy said of its client counts no more.
#[tokio::test]
async fn a_proxy_whose_certificate_ends_while_keys_are_fetched_names_no_client() {
    let world = World::new().await;
    let gateway = || TrustedHop::spiffe("spiffe://example.org/gateway").unwrap();
    let web = world.pki.workload("/shop/web").issue();
    let field = format!(":{}:", STANDARD.encode(&web.chain_der()[0]));
    for (name, hop, is_replaced, expected) in [
        ("the same anchors", gateway(), false, 200),
        ("other anchors", gateway(), true, 403),
        (
            "other anchors, and an address that is trusted too",
            gateway().or(TrustedHop::loopback()),
            true,
            200,
        ),
        ("an address that is trusted alone", TrustedHop::loopback(), true, 200),
    ] {
        let identity = ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), hop);
        let site = world.serve_tls(for_web(world.layer().client_identity(identity))).await;
        let proxy = world.client(Some(&world.pki.workload("/gateway").issue()));
        let request = proxy.get(format!("{}/", site.base)).bearer_auth(world.token().sign());
        let fetches = world.idp.requests(Endpoint::Jwks);
        let hold = world.idp.hold(Endpoint::Jwks);
        let (answer, ()) = tokio::join!(Answer::of(request.header("client-cert", &field)), async {
            world.idp.wait_for_requests(Endpoint::Jwks, fetches + 1).await;
            if is_replaced {
                let server = world.pki.server().issue();
                let settings = TlsConfig::builder()
                    .server_certificate(Pem::text(server.chain_pem()), Pem::text(server.key_pem()))
                    .accept_client_certificates(Pem::text(TestPki::new().bundle_pem()));
                site.config.replace(settings).unwrap();
            }
            hold.release();
        });
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
    }
}

/// A source that says how long its word counts.
#[derive(Debug)]
struct Sidecar {
    lasts: Option<Duration>,
    follows_connection: bool,
}

impl WorkloadIdentitySource for Sidecar {
    fn identify(&self, mut request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason> {
        let caller = request.take_header(&http::HeaderName::from_static("x-sidecar-caller"))?;
        let Some(caller) = caller else { return Ok(None) };
        let id = caller.to_str().ok().and_then(|id| SpiffeId::new(id).ok());
        let workload = WorkloadIdentity::of_spiffe_id(id.ok_or(DenialReason::IdentityHeaderMalformed)?);
        let workload = match self.lasts {
            Some(lasts) => workload.until(request.now.saturating_add(lasts)),
            None => workload,
        };
        let certificate = request.peer.and_then(|peer| peer.certificate(request.now));
        Ok(Some(match certificate.filter(|_| self.follows_connection) {
            Some(certificate) => workload.while_current(certificate),
            None => workload,
        }))
    }
}

#[tokio::test]
async fn the_word_of_a_source_counts_for_as_long_as_it_says() {
    let world = World::new().await;
    let sidecar = world.pki.workload("/sidecar").issue();
    for (name, lasts, follows_connection, passes, is_replaced, expected) in [
        ("no end", None, false, 3, true, 200),
        ("before its end", Some(3 * SECOND), true, 2, false, 200),
        ("at its end", Some(3 * SECOND), true, 3, false, 403),
        ("past its end", Some(3 * SECOND), false, 4, false, 403),
        ("the connection's certificate has ended", None, true, 0, true, 403),
        ("either end", Some(3 * SECOND), true, 1, true, 403),
    ] {
        let source = ClientIdentity::from_source(Sidecar { lasts, follows_connection });
        let site = world.serve_tls(for_web(world.layer().client_identity(source))).await;
        let client = world.client(Some(&sidecar));
        let request = client.get(format!("{}/", site.base)).bearer_auth(world.token().sign());
        let fetches = world.idp.requests(Endpoint::Jwks);
        let hold = world.idp.hold(Endpoint::Jwks);
        let (answer, ()) = tokio::join!(Answer::of(request.header("x-sidecar-caller", WEB)), async {
            world.idp.wait_for_requests(Endpoint::Jwks, fetches + 1).await;
            world.clock.advance(passes * SECOND);
            if is_replaced {
                let server = world.pki.server().issue();
                let settings = TlsConfig::builder()
                    .server_certificate(Pem::text(server.chain_pem()), Pem::text(server.key_pem()))
                    .accept_client_certificates(Pem::text(TestPki::new().bundle_pem()));
                site.config.replace(settings).unwrap();
            }
            hold.release();
        });
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
    }
}
