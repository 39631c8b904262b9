//! What the service tells clients about itself (RFC 9728), over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod challenges;
mod vectors;

use axum::Router;
use http::{HeaderMap, Method, header};
use integration_tests::{AUDIENCE, Answer, Served};
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity, ConfigError, DelegationLayer, RouteTable, TrustedIssuer,
    axum::{GuardedRouter, get, resource_metadata},
    jwks::SignatureAlgorithm,
    layer::DelegationLayerBuilder,
    proof::Dpop,
    protected_resource::{ProtectedResource, WELL_KNOWN},
    requires_scope,
};
use tower_delegation_testing::MockIdp;

const RESOURCE: &str = "https://orders.example.com/api";

struct World {
    idp: MockIdp,
}

impl World {
    async fn new() -> Self {
        Self { idp: MockIdp::builder().audience(AUDIENCE).start().await }
    }

    fn layer(&self) -> DelegationLayerBuilder {
        let issuer = TrustedIssuer::discover(self.idp.issuer()).unwrap().audience(AUDIENCE);
        DelegationLayer::builder().issuer(issuer)
    }
}

#[requires_scope("orders:read")]
async fn list() -> &'static str {
    "orders"
}

#[requires_scope("orders:write")]
async fn create() {}

fn guarded() -> GuardedRouter {
    GuardedRouter::new().route("/api/orders", get(list).post(create))
}

fn app(resources: impl IntoIterator<Item = DelegationLayer>) -> Router {
    let mut layers = resources.into_iter().peekable();
    let first = layers.peek().cloned().unwrap();
    let documents: Vec<_> = layers.filter_map(|layer| layer.resource_metadata()).collect();
    guarded().behind(first).unwrap().merge(resource_metadata(documents))
}

fn document(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn field<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// 9728-3.1-2: what is not configured has no document, and nothing is repeated.
#[tokio::test]
async fn another_resource_has_none() {
    let world = World::new().await;
    let resource = ProtectedResource::new(RESOURCE).unwrap();
    let served = Served::start(app([world.layer().protected_resource(resource).build().unwrap()])).await;
    for path in [
        "",
        "/",
        "/ap",
        "/api/",
        "/api/orders",
        "/api?tenant=1",
        "/API",
        "/api%2f",
        "/%61pi",
        "/reflected-marker",
        "/api/../reflected-marker",
        "?reflected-marker",
    ] {
        let answer = served.get_anonymously(&format!("{WELL_KNOWN}{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("marker"), "{path}");
        assert!(!format!("{:?}", answer.headers).contains("marker"), "{path}");
    }
    let answer = Answer::of(served.request(Method::POST, &format!("{WELL_KNOWN}/api"))).await;
    assert_eq!(answer.status, 405);
    let found = served.get_anonymously(&format!("{WELL_KNOWN}/api")).await;
    assert_eq!(found.status, 200);
}

/// 9728-3.2-1, 9728-3.3-1, 9728-7.2-1.
#[tokio::test]
async fn the_document_says_what_is_configured_and_no_more() {
    let world = World::new().await;
    let issuer = world.idp.issuer();
    let plain = || ProtectedResource::new(RESOURCE).unwrap();
    let other = TrustedIssuer::discover("https://a.example.com").unwrap().audience(AUDIENCE);
    let table = RouteTable::from_toml(
        "[[route]]\nmethods = [\"GET\"]\npath = \"/a\"\nany_of = [{ scope = \"b\" }, { any_scope = [\"c\", \"a\"] }]",
    )
    .unwrap();
    for (name, layer, expected) in [
        (
            "the least",
            world.layer().protected_resource(plain()),
            json!({
                "resource": RESOURCE,
                "authorization_servers": [issuer],
                "bearer_methods_supported": ["header"],
            }),
        ),
        (
            "everything",
            world
                .layer()
                .issuer(other)
                .client_identity(ClientIdentity::from_tls())
                .dpop(Dpop::at("https://orders.example.com").algorithms([SignatureAlgorithm::Es256]))
                .protected_resource(
                    plain()
                        .scopes_of(guarded().inventory())
                        .scopes_of_table(&table)
                        .scope("profile")
                        .authorization_server("https://tenant.example.com")
                        .name("Orders")
                        .documentation("https://example.com/docs")
                        .policy("https://example.com/policy")
                        .terms_of_service("https://example.com/tos"),
                ),
            json!({
                "resource": RESOURCE,
                "authorization_servers": [issuer, "https://a.example.com", "https://tenant.example.com"],
                "scopes_supported": ["a", "b", "c", "orders:read", "orders:write", "profile"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Orders",
                "resource_documentation": "https://example.com/docs",
                "resource_policy_uri": "https://example.com/policy",
                "resource_tos_uri": "https://example.com/tos",
                "tls_client_certificate_bound_access_tokens": true,
                "dpop_signing_alg_values_supported": ["ES256"],
            }),
        ),
    ] {
        let served = Served::start(app([layer.build().unwrap()])).await;
        let answer = served.get_anonymously(&format!("{WELL_KNOWN}/api")).await;
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(document(&answer), expected, "{name}");
    }
    // The rows of a table as they are now.
    let layer = world.layer().protected_resource(plain().scopes_of_table(&table)).build().unwrap();
    let served = Served::start(app([layer])).await;
    table.replace("").unwrap();
    let answer = served.get_anonymously(&format!("{WELL_KNOWN}/api")).await;
    assert!(document(&answer).get("scopes_supported").is_none(), "no empty list: {}", answer.body);
}

/// 9728-5.2-1: without credentials, from any origin, kept by any cache.
#[tokio::test]
async fn the_document_is_for_everybody() {
    let world = World::new().await;
    let resource = ProtectedResource::new(RESOURCE).unwrap();
    let served = Served::start(app([world.layer().protected_resource(resource).build().unwrap()])).await;
    let path = format!("{WELL_KNOWN}/api");
    assert_eq!(served.get_anonymously("/api/orders").await.status, 401, "the layer is there");
    for (name, request) in [
        ("without credentials", served.request(Method::GET, &path)),
        ("with a bad token", served.request(Method::GET, &path).bearer_auth("x")),
        (
            "from another origin",
            served.request(Method::GET, &path).header(header::ORIGIN, "https://evil.example"),
        ),
        ("the head alone", served.request(Method::HEAD, &path)),
    ] {
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(field(&answer.headers, "content-type"), "application/json", "{name}");
        assert_eq!(field(&answer.headers, "access-control-allow-origin"), "*", "{name}");
        assert!(field(&answer.headers, "cache-control").contains("public"), "{name}");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"), "{name}");
        assert!(answer.challenges.is_empty(), "{name}");
    }
    let preflight = served
        .request(Method::OPTIONS, &path)
        .header(header::ORIGIN, "https://inspector.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "mcp-protocol-version");
    let answer = Answer::of(preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(field(&answer.headers, "access-control-allow-origin"), "*");
    assert_eq!(field(&answer.headers, "access-control-allow-headers"), "*");
    assert!(answer.body.is_empty());
}

/// Several resources of one host, told apart by path and query.
#[tokio::test]
async fn each_resource_has_its_own() {
    let world = World::new().await;
    let resources =
        ["https://h.example", "https://h.example/a", "https://h.example/a/", "https://h.example/a?t=1"];
    let layers = resources.map(|resource| {
        world.layer().protected_resource(ProtectedResource::new(resource).unwrap()).build().unwrap()
    });
    let served = Served::start(app(layers)).await;
    for (path, expected) in [("", 0), ("/a", 1), ("/a/", 2), ("/a?t=1", 3)] {
        let answer = served.get_anonymously(&format!("{WELL_KNOWN}{path}")).await;
        assert_eq!(document(&answer)["resource"], resources[expected], "{path}");
    }
    for path in ["/a?t=2", "/b", "?t=1"] {
        assert_eq!(served.get_anonymously(&format!("{WELL_KNOWN}{path}")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_found_when_the_layer_is_built() {
    let world = World::new().await;
    let bad = ProtectedResource::new(RESOURCE).unwrap().scope("a b");
    let error = world.layer().protected_resource(bad).build().unwrap_err();
    assert!(matches!(error, ConfigError::InvalidScope { .. }), "{error}");
    assert!(world.layer().build().unwrap().resource_metadata().is_none());
    let _: Router =
        Router::new().merge(resource_metadata(world.layer().build().unwrap().resource_metadata()));
}
