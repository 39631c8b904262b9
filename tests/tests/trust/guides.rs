//! The configurations of the guides, each attacked at what it promises.

use std::time::Duration;

use axum::{Router, routing::any};
use integration_tests::{Answer, Served, World};
use reqwest::Method;
use tower_delegation::{Applications, ClientIdentity, RouteTable, RouteTableLayer, issuer::ClaimMapping};
use tower_delegation_testing::TokenBuilder;

/// The first block of TOML in a guide.
fn toml(guide: &str) -> &str {
    guide.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0
}

/// `docs/routes.md`: what no row allows is refused, by every spelling of path or method.
#[tokio::test]
async fn the_table_of_the_guide_opens_what_it_lists_and_no_more() {
    let world = World::new().await;
    let table = RouteTable::from_toml(toml(include_str!("../../../docs/routes.md"))).unwrap();
    let router = Router::new()
        .route("/orders/{id}", any(async || "served"))
        .route("/tenants/{tenant}/orders/{id}/refund", any(async || "served"))
        .route("/me", any(async || "served"))
        .route("/alive", any(async || "served"))
        .route("/admin", any(async || "served"));
    let issuer = world.issuer().claim_mapping(ClaimMapping::rfc9068().tenant("tenant"));
    let layer = tower_delegation::DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone());
    let layer = layer.allow_anonymous().build().unwrap();
    let service = Served::start(router.layer(RouteTableLayer::new(&table)).layer(layer)).await;
    let reader = || world.token();
    let refunder = || reader().scopes(["orders:read", "orders:refund"]).claim("tenant", "acme");
    for (name, method, path, token, is_served) in [
        ("reading", Method::GET, "/orders/7", Some(reader()), true),
        ("reading, without a token", Method::GET, "/orders/7", None, false),
        ("reading, without the scope", Method::GET, "/orders/7", Some(reader().scopes(["orders"])), false),
        ("writing", Method::POST, "/orders/7", Some(reader()), false),
        ("deleting", Method::DELETE, "/orders/7", Some(refunder()), false),
        ("a slash more", Method::GET, "/orders/7/", Some(reader()), false),
        ("two slashes", Method::GET, "//orders/7", Some(reader()), false),
        ("another case", Method::GET, "/Orders/7", Some(reader()), false),
        (
            "a refund with a token that is not bound",
            Method::POST,
            "/tenants/acme/orders/7/refund",
            Some(refunder()),
            false,
        ),
        (
            "a refund for another tenant",
            Method::POST,
            "/tenants/other/orders/7/refund",
            Some(refunder()),
            false,
        ),
        ("a refund by reading it", Method::GET, "/tenants/acme/orders/7/refund", Some(refunder()), false),
        ("oneself", Method::GET, "/me", Some(reader()), true),
        ("oneself, without a token", Method::GET, "/me", None, false),
        ("the probe", Method::GET, "/alive", None, true),
        ("the probe, by another method", Method::POST, "/alive", None, false),
        ("what is not listed", Method::GET, "/admin", Some(refunder()), false),
        ("what is not listed, without a token", Method::GET, "/admin", None, false),
    ] {
        let mut request = service.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(TokenBuilder::sign(token));
        }
        let answer = Answer::of(request).await;
        assert_eq!(answer.body == "served", is_served, "{name}: {}", answer.status);
        assert_eq!(answer.status == 200, is_served, "{name}: {}", answer.status);
    }
}

/// `docs/applications.md`: the registry's applications, out of their bounds.
#[tokio::test]
async fn the_registry_of_the_guide_keeps_applications_in_their_bounds() {
    let world = World::new().await;
    let registry = toml(include_str!("../../../docs/applications.md"))
        .replace("https://idp.example.com", world.idp.issuer())
        .replace("spiffe://prod.example/", "spiffe://example.org/");
    let applications = Applications::builder().environment("production").clock(world.clock.clone());
    let applications = applications.add_toml(&registry).build().unwrap();
    let issuer = world.issuer().claim_mapping(ClaimMapping::rfc9068().tenant("tenant"));
    let layer = tower_delegation::DelegationLayer::builder()
        .add_issuer(issuer)
        .clock(world.clock.clone())
        .client_identity(ClientIdentity::from_tls())
        .applications(applications);
    let site = world.serve_tls(integration_tests::whoami().layer(layer.build().unwrap())).await;
    let [web, copilot] = ["/shop/web", "/agents/copilot"].map(|path| world.pki.workload(path).issue());
    let below = world.pki.workload("/shop/web/sub").issue();
    let export = world.pki.certificate().dns_name("export.prod.example").issue();
    let below_export = world.pki.certificate().dns_name("x.export.prod.example").issue();
    let shop = || world.token().claim("tenant", "example");
    let acting = || shop().actor("copilot");
    let machine =
        || world.idp.token().subject("nightly-export").client("nightly-export").scopes(["orders:read"]);
    for (name, workload, token, is_served) in [
        ("the shop", Some(&web), shop(), true),
        ("the shop's token elsewhere", Some(&copilot), shop(), false),
        ("the shop's token below its workload", Some(&below), shop(), false),
        ("the shop's token without a certificate", None, shop(), false),
        ("the shop for another tenant", Some(&web), shop().claim("tenant", "other"), false),
        ("the shop without a tenant", Some(&web), world.token(), false),
        ("the shop for longer", Some(&web), shop().expires_in(Duration::from_secs(3_601)), false),
        (
            "the shop for itself",
            Some(&web),
            world.idp.token().subject("shop-web").client("shop-web").claim("tenant", "example"),
            false,
        ),
        ("an unregistered client", Some(&web), shop().client("shop"), false),
        ("the agent, not bound", Some(&copilot), acting(), false),
        ("the agent's token by the shop", Some(&web), acting(), false),
        ("the agent as the client", Some(&copilot), shop().client("copilot"), false),
        ("an unregistered agent", Some(&copilot), shop().actor("other"), false),
        ("the export", Some(&export), machine(), true),
        ("a name below the export's", Some(&below_export), machine(), false),
        ("the export by the shop", Some(&web), machine(), false),
        ("the export for a user", Some(&export), world.token().client("nightly-export"), false),
        ("the application that is suspended", Some(&web), shop().client("shop-ios"), false),
        ("the suspended one without a certificate", None, shop().client("shop-android"), false),
    ] {
        let answer = site.get(&world.client(workload), "/", &token.sign()).await;
        assert_eq!(answer.status == 200, is_served, "{name}: {} {}", answer.status, answer.body);
    }
}
