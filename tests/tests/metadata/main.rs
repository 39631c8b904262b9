//! What the service tells clients about itself (RFC 9728), over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod challenges;
mod vectors;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::Router;
use http::{HeaderMap, Method, header};
use integration_tests::{AUDIENCE, Answer, Served, World};
use serde_json::{Value, json};
use tower_delegation::{
    Applications, ClientIdentity, ConfigError, DelegationLayer, RouteTable, TrustedIssuer,
    application::{Application, ApplicationKind},
    credential::{ClientCertHeader, TrustedHop},
    issuer::{Grants, IssuerResolver, TenantIssuers},
    jwks::SignatureAlgorithm,
    jwt_svid::{JwtBundles, JwtSvidSource},
    proof::Dpop,
    protected_resource::{ProtectedResource, WELL_KNOWN},
    requires_scope,
    routing::{GuardedApp, GuardedRouter, get, resource_metadata},
};

const RESOURCE: &str = "https://orders.example.com/api";

#[requires_scope("orders:read")]
async fn list() -> &'static str {
    "orders"
}

#[requires_scope("orders:write")]
async fn create() {}

fn guarded() -> GuardedRouter {
    GuardedRouter::new().route("/api/orders", get(list).post(create))
}

fn app(resources: impl IntoIterator<Item = DelegationLayer>) -> GuardedApp {
    let mut layers = resources.into_iter().peekable();
    let first = layers.peek().cloned().unwrap();
    let documents: Vec<_> = layers.filter_map(|layer| layer.resource_metadata()).collect();
    guarded().behind(first).unwrap().resource_metadata(documents)
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
    let other = TrustedIssuer::discover("https://a.example.com")
        .unwrap()
        .add_audience(AUDIENCE)
        .may_grant(Grants::all());
    let tenants = || {
        let terms = TrustedIssuer::discover("https://{tenant}.example.com")
            .unwrap()
            .add_audience(AUDIENCE)
            .may_grant(Grants::all());
        TenantIssuers::new(terms, ["tenant"]).unwrap()
    };
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
                .add_issuer(other)
                .add_issuer_resolver(tenants())
                .client_identity(ClientIdentity::from_tls())
                .dpop(Dpop::at("https://orders.example.com").algorithms([SignatureAlgorithm::Es256]))
                .protected_resource(
                    plain()
                        .add_scopes_of(guarded().inventory())
                        .add_scopes_of_table(&table)
                        .add_scope("profile")
                        .add_authorization_server("https://tenant.example.com")
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
    let layer = world.layer().protected_resource(plain().add_scopes_of_table(&table)).build().unwrap();
    let served = Served::start(app([layer])).await;
    table.replace(RouteTable::builder()).unwrap();
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
    let bad = ProtectedResource::new(RESOURCE).unwrap().add_scope("a b");
    let error = world.layer().protected_resource(bad).build().unwrap_err();
    assert!(matches!(error, ConfigError::InvalidScope { .. }), "{error}");
    assert!(world.layer().build().unwrap().resource_metadata().is_none());
    let _: Router =
        Router::new().merge(resource_metadata(world.layer().build().unwrap().resource_metadata()));
}

/// 9728-2-1: a client that does what the document says is not refused for it.
#[tokio::test]
async fn promises_that_cannot_be_kept_are_left_out() {
    let world = World::new().await;
    let issuer = world.idp.issuer();
    let plain = || ProtectedResource::new(RESOURCE).unwrap();
    let jwks = world.idp.jwks().to_string();
    let of = |issuer: &str| {
        TrustedIssuer::with_static_keys(issuer, &jwks)
            .unwrap()
            .add_audience(AUDIENCE)
            .may_grant(Grants::all())
    };
    let svids = || {
        let source = JwtSvidSource::new("x-jwt-svid", JwtBundles::new()).add_audience(AUDIENCE);
        ClientIdentity::from_source(source)
    };
    let proxy = || {
        let hop = TrustedHop::spiffe("spiffe://prod.example/gateway").unwrap();
        ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), hop)
    };
    let application = Application::builder("web", ApplicationKind::Application)
        .add_client_id_at(issuer, "web")
        .allow_any_workload()
        .add_scopes(["orders:read"])
        .acts_for_users();
    let applications = Applications::builder().add_application(application).build().unwrap();
    let adfs = "http://adfs.corp.test/adfs/services/trust";
    let certificates = "tls_client_certificate_bound_access_tokens";
    let proofs = "dpop_signing_alg_values_supported";
    for (name, layer, member, expected) in [
        ("no workload identity", world.layer(), certificates, json!(null)),
        ("one that proves no certificate", world.layer().client_identity(svids()), certificates, json!(null)),
        ("a proxy's", world.layer().client_identity(proxy().or(svids())), certificates, json!(true)),
        ("no proofs", world.layer(), proofs, json!(null)),
        (
            "proofs for another host",
            world.layer().dpop(Dpop::at("https://internal.example.com/api")),
            proofs,
            json!(null),
        ),
        (
            "proofs for another port",
            world.layer().dpop(Dpop::at("https://orders.example.com:8443")),
            proofs,
            json!(null),
        ),
        (
            "proofs for this host, too",
            world.layer().dpop(
                Dpop::at("https://internal.example.com")
                    .add_origin("https://orders.example.com/v1")
                    .algorithms([SignatureAlgorithm::Es256]),
            ),
            proofs,
            json!(["ES256"]),
        ),
        ("proofs are demanded by routes", world.layer(), "dpop_bound_access_tokens_required", json!(null)),
        (
            "an issuer that is no URL",
            world.layer().add_issuer(of("urn:example:signer")),
            "authorization_servers",
            json!([issuer]),
        ),
        (
            "an issuer without https",
            world.layer().add_issuer(of(adfs)),
            "authorization_servers",
            json!([issuer]),
        ),
        (
            "an issuer with a query",
            world.layer().add_issuer(of("https://b.example.com/?t=1")),
            "authorization_servers",
            json!([issuer]),
        ),
    ] {
        let layer = layer.protected_resource(plain()).build().unwrap();
        let document: Value = serde_json::from_str(&layer.resource_metadata().unwrap().to_json()).unwrap();
        assert_eq!(document.get(member).cloned().unwrap_or_default(), expected, "{name}");
    }
    for (name, layer, resource, member, expected) in [
        (
            "where its server is",
            world.layer().add_issuer(of(adfs)),
            plain().add_authorization_server_of(adfs, "https://adfs.corp.test/adfs"),
            "authorization_servers",
            json!([issuer, "https://adfs.corp.test/adfs"]),
        ),
        (
            "scopes that no application may use",
            world.layer().applications(applications),
            plain().add_scopes_of(guarded().inventory()).add_scope("profile"),
            "scopes_supported",
            json!(["orders:read"]),
        ),
        ("an empty name", world.layer(), plain().name(""), "resource_name", json!(null)),
    ] {
        let layer = layer.protected_resource(resource).build().unwrap();
        let document: Value = serde_json::from_str(&layer.resource_metadata().unwrap().to_json()).unwrap();
        assert_eq!(document.get(member).cloned().unwrap_or_default(), expected, "{name}");
    }
}

/// What a resolver knows now is what the document names, of those that may be named.
#[tokio::test]
async fn a_resolved_issuer_is_named_while_it_is_known() {
    #[derive(Clone, Debug)]
    struct Customers(Arc<AtomicBool>);

    impl IssuerResolver for Customers {
        fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
            let is_known = self.0.load(Ordering::Relaxed) && issuer.ends_with(".customer.test");
            is_known.then(|| {
                TrustedIssuer::discover(issuer).unwrap().add_audience(AUDIENCE).may_grant(Grants::all())
            })
        }

        fn generation(&self) -> Option<u64> {
            Some(self.0.load(Ordering::Relaxed).into())
        }
    }

    let world = World::new().await;
    let customers = Customers(Arc::default());
    let resource =
        ProtectedResource::new(RESOURCE).unwrap().add_authorization_server("https://a.customer.test");
    let layer = world.layer().add_issuer_resolver(customers.clone()).protected_resource(resource);
    let served = Served::start(app([layer.build().unwrap()])).await;
    for is_known in [false, true, false] {
        customers.0.store(is_known, Ordering::Relaxed);
        let answer = served.get_anonymously(&format!("{WELL_KNOWN}/api")).await;
        let named = document(&answer)["authorization_servers"].to_string();
        assert!(named.contains(world.idp.issuer()));
        assert_eq!(named.contains("https://a.customer.test"), is_known, "{named}");
    }
}

#[tokio::test]
async fn what_cannot_be_promised_does_not_build() {
    let world = World::new().await;
    let plain = || ProtectedResource::new(RESOURCE).unwrap();
    for (name, resource) in [
        ("an issuer that nothing trusts", plain().add_authorization_server("https://stranger.example")),
        ("a look-alike", plain().add_authorization_server(&format!("{}/", world.idp.issuer()))),
        ("an empty issuer", plain().add_authorization_server("")),
        (
            "the server of no issuer",
            plain().add_authorization_server_of("https://a.example", "https://b.example"),
        ),
    ] {
        let error = world.layer().protected_resource(resource).build().unwrap_err();
        let is_untrusted =
            |one: &ConfigError| matches!(one, ConfigError::UntrustedAuthorizationServer { .. });
        assert!(error.mistakes().any(is_untrusted), "{name}: {error}");
    }
    let own = world.idp.issuer();
    for (name, resource) in [
        ("a server that is no URL", plain().add_authorization_server_of(own, "urn:example:server")),
        ("a server with a query", plain().add_authorization_server_of(own, "https://b.example/?t=1")),
        ("a server without https", plain().add_authorization_server_of(own, "http://b.example")),
        ("a page that is none", plain().documentation("docs/index.html")),
        ("a policy that is a script", plain().policy("javascript:alert(1)")),
        ("empty terms", plain().terms_of_service("")),
    ] {
        let error = world.layer().protected_resource(resource).build().unwrap_err();
        assert!(matches!(error, ConfigError::InvalidUrl { .. }), "{name}: {error}");
    }
}
