//! What a trusted proxy says of its client, and what its client made it say.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use integration_tests::{Answer, Site, World};
use reqwest::Client;
use serde_json::json;
use tower_delegation::{
    ClientIdentity, ConfigError, DelegationContext, Requirement,
    credential::{ClientCertHeader, TrustedHop},
    jwt_svid::{JwtBundles, JwtSvidSource},
    layer::RequireLayer,
};
use tower_delegation_testing::TestIdentity;

const ADMIN: &str = "spiffe://example.org/shop/admin";
const WEB: &str = "spiffe://example.org/shop/web";

/// A service behind a proxy that is known by its own certificate.
struct Behind {
    world: World,
    site: Site,
    proxy: Client,
}

impl Behind {
    async fn new(header: ClientCertHeader) -> Self {
        let world = World::new().await;
        let gateway = TrustedHop::spiffe("spiffe://example.org/gateway").unwrap();
        let layer =
            world.layer().client_identity(ClientIdentity::from_proxy(header, gateway)).build().unwrap();
        let admins = RequireLayer::new(Requirement::named("admins").workload(ADMIN)).unwrap();
        let router = Router::new()
            .route("/admin", get(async || "admin").layer(admins))
            .route("/", get(workload))
            .layer(layer);
        let site = world.serve_tls(router).await;
        let proxy = world.client(Some(&world.pki.workload("/gateway").issue()));
        Self { world, site, proxy }
    }

    async fn ask(&self, path: &str, token: &str, element: &str) -> Answer {
        let url = format!("{}{path}", self.site.base);
        Answer::of(self.proxy.get(url).bearer_auth(token).header("x-forwarded-client-cert", element)).await
    }

    fn bound_to(&self, identity: &TestIdentity) -> String {
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, identity.certificate_der()));
        self.world.token().claim("cnf", json!({ "x5t#S256": thumbprint })).sign()
    }
}

/// Which names the handler sees.
async fn workload(delegation: DelegationContext) -> String {
    let Some(workload) = delegation.workload() else { return "-".to_owned() };
    let names = workload.spiffe_id().map(ToString::to_string).into_iter();
    let names: Vec<_> = names.chain(workload.dns_names().map(str::to_owned)).collect();
    if names.is_empty() { "unnamed".to_owned() } else { names.join(" ") }
}

fn hash(identity: &TestIdentity) -> String {
    digest(&SHA256, identity.certificate_der()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// The element that Envoy writes of a certificate with these names: its own values
/// first, then the names as they are. `URI=` is written also where there is none.
fn element(certificate: &TestIdentity, uri: Option<&str>, dns: Option<&str>) -> String {
    let mut element = format!("By=spiffe://example.org/gateway;Hash={};Subject=\"\"", hash(certificate));
    for (key, name) in [("URI", uri), ("DNS", dns)] {
        if let Some(name) = name {
            write!(element, ";{key}={name}").unwrap();
        }
    }
    element
}

/// The names of a client's certificate are text that the client may have chosen.
#[tokio::test]
async fn a_name_in_a_certificate_supplies_nothing_but_itself() {
    let behind = Behind::new(ClientCertHeader::xfcc()).await;
    let (own, victim) =
        (behind.world.pki.workload("/shop/web").issue(), behind.world.pki.workload("/shop/admin").issue());
    let victims = hash(&victim);
    let forged_element = format!("x,Hash={victims};URI={ADMIN}");
    let forged_hash = format!("{WEB};Hash={victims}");
    let forged_by = format!("{WEB},By=spiffe://example.org/gateway;Hash={victims};URI={ADMIN}");
    let (pair, dns_pair) = (format!(";URI={ADMIN}"), format!("x;URI={ADMIN}"));
    let (plain, bound) = (behind.world.token().sign(), behind.bound_to(&victim));
    // (name, URI, DNS name, status, names)
    for (name, uri, dns, status, names) in [
        ("a URI", Some(WEB), None, 200, WEB),
        ("a DNS name", None, Some("web.example"), 200, "web.example"),
        ("both: each may be the text of the other", Some(WEB), Some("web.example"), 200, "unnamed"),
        ("a URI in quotes", Some("\"spiffe://example.org/shop/admin\""), None, 200, "unnamed"),
        ("a DNS name in quotes", None, Some("\"admin.example\""), 200, "unnamed"),
        ("a URI that ends early", Some("spiffe://example.org/shop/admin;x=y"), None, 200, "unnamed"),
        (
            "a URI that ends early, at a URI",
            Some("spiffe://example.org/shop/admin;URI="),
            None,
            200,
            "unnamed",
        ),
        ("a DNS name that ends early", None, Some("admin.example;x=y"), 200, "unnamed"),
        ("no name", Some(""), None, 200, "unnamed"),
        ("an element in a URI", Some(&*forged_element), None, 400, ""),
        ("an element in a DNS name", None, Some(&*forged_element), 400, ""),
        ("an element in a DNS name, behind a URI", Some(WEB), Some(&*forged_element), 400, ""),
        ("an element with the proxy's own By", Some(&*forged_by), None, 400, ""),
        ("a hash in a URI", Some(&*forged_hash), None, 400, ""),
        ("a hash in a DNS name", None, Some(&*forged_hash), 400, ""),
        ("a URI in a URI", Some(&*pair), None, 200, "unnamed"),
        ("a URI in a DNS name", None, Some(&*dns_pair), 400, ""),
        ("a URI in a DNS name that begins with it", None, Some(&*pair), 400, ""),
        (
            "a DNS name in a URI",
            Some("spiffe://example.org/shop/web;DNS=admin.example"),
            None,
            200,
            "unnamed",
        ),
        ("a DNS name in an empty URI", Some(";DNS=admin.example"), None, 200, "unnamed"),
        ("a DNS name in a DNS name", None, Some("web.example;DNS=admin.example"), 200, "unnamed"),
        ("a DNS name in an empty DNS name", None, Some(";DNS=admin.example"), 200, "unnamed"),
        ("a By in a URI", Some("x;By=spiffe://example.org/gateway"), None, 400, ""),
        ("a subject in a DNS name", None, Some("x;Subject=\"CN=admin\""), 400, ""),
        ("an open quote", Some("x;Subject=\""), None, 400, ""),
    ] {
        let element = element(&own, uri, dns);
        let answer = behind.ask("/", &plain, &element).await;
        let seen = if answer.status == 200 { answer.body.as_str() } else { "" };
        assert_eq!((answer.status, seen), (status, names), "{name}: {element}");
        let answer = behind.ask("/admin", &plain, &element).await;
        assert!(matches!(answer.status, 400 | 403), "{name}: {}", answer.status);
        let answer = behind.ask("/", &bound, &element).await;
        assert!(matches!(answer.status, 400 | 401), "{name}, with the token of another: {}", answer.status);
    }
    let genuine = element(&victim, Some(ADMIN), None);
    assert_eq!(behind.ask("/admin", &bound, &genuine).await.status, 200);
}

/// The setting's name says what it opens; the safe form needs no setting.
#[tokio::test]
async fn elements_of_clients_count_only_where_the_configuration_says_so() {
    for (name, header, status) in [
        ("by default", ClientCertHeader::xfcc(), 400),
        ("of two proxies", ClientCertHeader::xfcc().trusted_proxies(2), 200),
        ("only presented", ClientCertHeader::xfcc().presented_only(), 400),
        ("kept", ClientCertHeader::xfcc().keep_headers(), 400),
        ("let through", ClientCertHeader::xfcc().insecure_allow_client_elements(), 200),
    ] {
        let behind = Behind::new(header).await;
        let web = behind.world.pki.workload("/shop/web").issue();
        let two = format!("{},{}", element(&web, Some(WEB), None), element(&web, Some(WEB), None));
        assert_eq!(behind.ask("/", &behind.world.token().sign(), &two).await.status, status, "{name}");
        let three = format!("{two},{}", element(&web, Some(WEB), None));
        let status = if name == "let through" { 200 } else { 400 };
        assert_eq!(behind.ask("/", &behind.world.token().sign(), &three).await.status, status, "{name}");
    }
    let misplaced = World::new().await.layer().client_identity(ClientIdentity::from_proxy(
        ClientCertHeader::rfc9440().insecure_allow_client_elements(),
        TrustedHop::loopback(),
    ));
    let error = misplaced.build().err();
    assert!(matches!(error, Some(ConfigError::XfccOnly { setting: "insecure_allow_client_elements" })));
}

/// One list for all settings, in every spelling.
#[tokio::test]
async fn no_setting_takes_a_field_that_has_a_meaning_of_its_own() {
    let world = World::new().await;
    let names = [
        "authorization",
        "Proxy-Authorization",
        "DPoP",
        "cookie",
        "host",
        "content-length",
        "content_length",
        "Content-Type",
        "connection",
        "proxy.connection",
        "transfer-encoding",
        "te",
        "upgrade",
        "forwarded",
        "X-Forwarded-For",
        "x_real_ip",
        "via",
    ];
    let svids = |name: &str| {
        let source = JwtSvidSource::new(name, JwtBundles::new()).add_audience("us");
        world.layer().client_identity(ClientIdentity::from_source(source))
    };
    let refuses = |error: Option<ConfigError>| matches!(error, Some(ConfigError::InvalidHeader { .. }));
    for name in names {
        assert!(refuses(ClientCertHeader::escaped_pem(name).err()), "escaped_pem: {name}");
        assert!(refuses(world.layer().add_identity_header(name).build().err()), "identity header: {name}");
        assert!(refuses(svids(name).build().err()), "JWT-SVIDs: {name}");
        for requirement in [
            Requirement::new().tenant_matches_header(name),
            Requirement::new().claim_matches_header("plan", name),
        ] {
            assert!(RequireLayer::new(requirement).is_err(), "requirement: {name}");
        }
    }
    for name in ["x-tenant", "ssl-client-cert", "x-jwt-svid"] {
        assert!(ClientCertHeader::escaped_pem(name).is_ok(), "{name}");
        assert!(world.layer().add_identity_header(name).build().is_ok(), "{name}");
        assert!(svids(name).build().is_ok(), "{name}");
        assert!(RequireLayer::new(Requirement::new().tenant_matches_header(name)).is_ok(), "{name}");
    }
}

/// A connection outlives its certificate: who asks later, hears of none.
#[tokio::test]
async fn a_certificate_is_asked_for_at_a_time() {
    use axum::extract::ConnectInfo;
    use std::time::Duration;
    use tower_delegation::{clock::Clock as _, credential::PeerInfo};

    let world = World::new().await;
    let clock = world.clock.clone();
    let router = Router::new().route(
        "/",
        get(async move |ConnectInfo(peer): ConnectInfo<PeerInfo>| {
            let certificate = peer.certificate(clock.now());
            let id = certificate.and_then(|certificate| certificate.spiffe_id()).map(ToString::to_string);
            assert!(peer.certificate_at_handshake().is_some());
            id.unwrap_or_else(|| "none".to_owned())
        }),
    );
    let site = world.serve_tls(router).await;
    let web = world.pki.workload("/shop/web").valid_for(Duration::from_secs(120)).issue();
    let client = world.client(Some(&web));
    assert_eq!(site.get(&client, "/", "x").await.body, WEB);
    world.clock.advance(Duration::from_secs(180));
    assert_eq!(site.get(&client, "/", "x").await.body, "none");
}
