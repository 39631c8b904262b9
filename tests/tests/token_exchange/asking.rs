//! What is asked for, and who may ask: decided before anything is sent.

use std::time::Duration;

use integration_tests::{Answer, AuditLog, World};
use tower_delegation::{
    ConfigError, DelegationLayer, Requirement,
    clock::Clock as _,
    exchange::{AuthorizationServer, ClientAuthentication, Downstream},
};

use crate::shop::{STOCK, Shop, server, terms};

/// The reason in the event of the one exchange.
fn reason(heard: &AuditLog) -> String {
    let events = heard.take();
    let exchange = events.iter().find(|event| event.field("downstream") == "stock");
    exchange.map(|event| event.field("reason").to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_scope_is_worth_what_the_table_says_and_no_more_than_the_most() {
    for (name, held, asked) in [
        ("the same name", &["stock:read"][..], Some("stock:read")),
        ("by the table", &["orders:admin"], Some("stock:read stock:write")),
        ("both", &["stock:write", "orders:view"], Some("stock:read stock:write")),
        ("the table says nothing else", &["stock:read", "orders:view"], Some("stock:read")),
        ("beyond the most", &["stock:delete", "stock:read"], Some("stock:read")),
        ("nothing", &["stock:delete"], None),
        ("none at all", &[], None),
    ] {
        let shop = Shop::with(
            |layer| layer,
            |stock| {
                stock
                    .grants("orders:admin", ["stock:read", "stock:write"])
                    .grants("orders:view", ["stock:read"])
            },
        )
        .await;
        // What the provider lets this client ask for is not the question here.
        let client =
            tower_delegation_testing::MockClient::new(crate::shop::ORDERS).secret_basic("s3cret/+: ü");
        shop.world.idp.register(client.exchanges_for(STOCK, ["stock:read", "stock:write", "stock:delete"]));
        let heard = AuditLog::listen();
        let answer = shop.call(&shop.world.token().scopes(held).sign()).await;
        match asked {
            Some(asked) => {
                assert_eq!(answer.status, 200, "{name}: {}", answer.body);
                let request = shop.world.idp.last_token_request().unwrap();
                assert_eq!(request.parameter("scope"), Some(asked), "{name}");
            }
            None => {
                assert_eq!(answer.status, 403, "{name}");
                assert_eq!(reason(&heard), "exchange_scope_not_granted", "{name}");
                assert_eq!(shop.exchanges(), 0, "{name}: nothing was sent");
            }
        }
    }
}

#[tokio::test]
async fn the_request_is_that_of_rfc_8693() {
    let shop = Shop::new().await;
    let token = shop.token().sign();
    shop.seen(&token).await;
    let request = shop.world.idp.last_token_request().unwrap();
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &*token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", STOCK),
        ("scope", "stock:read"),
    ] {
        assert_eq!(request.parameter(name), Some(value), "8693-2.1-1: {name}");
    }
    for absent in ["actor_token", "actor_token_type", "audience", "client_secret", "client_id"] {
        assert_eq!(request.parameter(absent), None, "8693-2.1-1: {absent}");
    }
}

#[tokio::test]
async fn who_may_cause_an_exchange_is_a_requirement() {
    let of_agents = Requirement::named("calls stock").delegated();
    let shop = Shop::with(|layer| layer, |stock| stock.require(of_agents)).await;
    let heard = AuditLog::listen();
    let refused = shop.call(&shop.token().sign()).await;
    assert_eq!(refused.status, 403);
    assert_eq!(reason(&heard), "delegation_required");
    assert_eq!(shop.exchanges(), 0, "decided before any call");
    let act = serde_json::json!({ "sub": "planner" });
    assert_eq!(shop.call(&shop.token().claim("act", act).sign()).await.status, 200);
}

#[tokio::test]
async fn an_exception_is_asked_for_by_name_and_ends() {
    let world = World::new().await;
    let until = world.clock.now().saturating_add(Duration::from_secs(60));
    let shop =
        Shop::of(world, |layer| layer, |stock| stock.exception(["stock:write"], "stocktaking", until)).await;
    let client = tower_delegation_testing::MockClient::new(crate::shop::ORDERS).secret_basic("s3cret/+: ü");
    shop.world.idp.register(client.exchanges_for(STOCK, ["stock:read", "stock:write"]));
    let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
    let heard = AuditLog::listen();
    let by_default = shop.exchange.on_behalf_of(&context).token().await.unwrap();
    assert_eq!(by_default.scopes().as_str(), "stock:read");
    let by_name = shop.exchange.on_behalf_of(&context).scope("stock:write").token().await.unwrap();
    assert_eq!(by_name.scopes().as_str(), "stock:write");
    let events = heard.take();
    assert!(events.iter().any(|event| event.field("exception") == "stocktaking"), "{events:?}");
    shop.world.clock.advance(Duration::from_secs(60));
    let over = shop.exchange.on_behalf_of(&context).scope("stock:write").token().await.unwrap_err();
    assert_eq!(over.reason().code(), "exchange_scope_not_granted");
}

#[tokio::test]
async fn a_context_of_another_layer_has_no_token_to_exchange() {
    let shop = Shop::new().await;
    let other = shop.world.layer().build().unwrap();
    let context = other.authenticator().verify(&shop.token().sign()).await.unwrap();
    let error = shop.exchange.on_behalf_of(&context).token().await.unwrap_err();
    assert_eq!(error.reason().code(), "exchange_misconfigured");
    assert_eq!(error.rejection().status(), 500);
    assert_eq!(shop.exchanges(), 0);
    // Also where that layer keeps tokens for an exchange of its own: what it takes for a caller
    // is not what this one does.
    let downstream = Downstream::new("stock", STOCK, server(&shop.world))
        .require(Requirement::named("calls stock").on_behalf_of_user())
        .add_scopes(["stock:read"])
        .reads(terms(&shop.world));
    let _exchange = other.exchange(downstream).unwrap();
    let context = other.authenticator().verify(&shop.token().sign()).await.unwrap();
    let error = shop.exchange.on_behalf_of(&context).token().await.unwrap_err();
    assert_eq!(error.reason().code(), "exchange_misconfigured");
    assert_eq!(shop.exchanges(), 0);
}

#[tokio::test]
async fn a_token_leaves_for_its_own_origin_only() {
    let shop = Shop::new().await;
    let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
    let token = shop.exchange.on_behalf_of(&context).token().await.unwrap();
    let own = shop.exchange.url().to_owned();
    for (name, url, is_own) in [
        ("own", own.clone(), true),
        ("own path", format!("{own}a/b?c=d"), true),
        ("another port", "http://127.0.0.1:1/".to_owned(), false),
        ("another host", own.replace("127.0.0.1", "localhost"), false),
        ("another scheme", own.replace("http:", "https:"), false),
        (
            "its name as a user",
            own.replace("http://", "http://stock@").replace("127.0.0.1", "evil.example.com"),
            false,
        ),
        ("its own origin with a user", own.replace("http://", "http://alice@"), false),
        ("in capitals", own.replace("http:", "HTTP:"), true),
        ("its name, and a dot", own.replace("127.0.0.1", "127.0.0.1.example.com."), false),
        ("a name of IPv6", own.replace("127.0.0.1", "[::ffff:127.0.0.1]"), false),
        ("no origin", "/items".to_owned(), false),
    ] {
        let mut request = http::Request::get(&url).body(()).unwrap();
        assert_eq!(token.authorize(&mut request).is_ok(), is_own, "{name}: {url}");
        assert_eq!(request.headers().contains_key("authorization"), is_own, "{name}: {url}");
    }
    // A server with several names goes by `Host`: a head that was passed on can name another.
    let authority = own.trim_start_matches("http://").trim_end_matches('/');
    for (name, hosts, is_kept) in [
        ("its own name", &[authority][..], true),
        ("another name", &["evil.example.com"], false),
        ("another port", &["127.0.0.1:1"], false),
        ("without the port", &["127.0.0.1"], false),
        ("its own name, and another", &[authority, "evil.example.com"], false),
        ("nothing", &[""], false),
        ("its own name as a user", &["127.0.0.1@evil.example.com"], false),
    ] {
        let request =
            hosts.iter().fold(http::Request::get(&own), |request, host| request.header("host", *host));
        let mut request = request.body(()).unwrap();
        token.authorize(&mut request).unwrap();
        assert_eq!(request.headers().contains_key("host"), is_kept, "{name}: {hosts:?}");
    }
    assert!(!format!("{token:?}").contains("eyJ"), "{token:?}");
    let mut request = http::Request::get(&own).body(()).unwrap();
    token.authorize(&mut request).unwrap();
    assert!(!format!("{:?}", request.headers()).contains("eyJ"), "the field is sensitive");
}

#[tokio::test]
async fn a_secret_is_never_shown_and_a_wrong_one_is_our_mistake() {
    let shop = Shop::new().await;
    shop.world
        .idp
        .register(tower_delegation_testing::MockClient::new(crate::shop::ORDERS).secret_basic("another"));
    let heard = AuditLog::listen();
    let answer: Answer = shop.call(&shop.token().sign()).await;
    assert_eq!(answer.status, 500, "invalid_client is not the caller's fault");
    assert_eq!(reason(&heard), "exchange_misconfigured");
    assert!(!format!("{:?}", server(&shop.world)).contains("s3cret"));
}

#[tokio::test]
async fn every_mistake_of_a_downstream_is_reported() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let mistakes = |downstream: Downstream, layer: &DelegationLayer| match layer.exchange(downstream) {
        Ok(_) => Vec::new(),
        Err(error) => error.mistakes().map(ToString::to_string).collect(),
    };
    let good = || {
        Downstream::new("stock", STOCK, server(&world))
            .require(Requirement::named("calls stock").on_behalf_of_user())
            .add_scopes(["stock:read"])
            .reads(terms(&world))
    };
    assert_eq!(mistakes(good(), &layer), [""; 0]);
    let bare = AuthorizationServer::discover(world.idp.issuer()).unwrap();
    let unknown = bare.clone().client("", ClientAuthentication::secret_post("s"));
    for (name, downstream, words) in [
        (
            "nothing said",
            Downstream::new("", "stock.example.com", bare),
            &["no name", "absolute URL", "RFC 8707", ".require(", ".add_scopes(", ".reads(", ".client("][..],
        ),
        ("an empty client", Downstream::new("stock", STOCK, unknown), &[".client("]),
        ("plain http", Downstream::new("stock", "http://stock.example.com", server(&world)), &["plain http"]),
        ("both agreements", good().opaque("why"), &["say once"]),
        ("no reason", Downstream::new("stock", STOCK, server(&world)).opaque(" "), &["need a reason"]),
        ("a grant beyond the most", good().grants("a", ["stock:write"]), &["stock:write"]),
        ("no scope", good().add_scopes(["a b"]), &["a b"]),
        (
            "an unreasoned exception",
            good().exception(["stock:read"], "", world.clock.now()),
            &["needs a reason"],
        ),
        ("an endless life", good().max_token_lifetime(Duration::from_secs(90_000)), &["24 hours"]),
        (
            "a rule that cannot be met",
            good().require(Requirement::new().risk_below("fraud", 5)),
            &["risk_below", "\"fraud\"", "add_risk_signal"],
        ),
        ("a rule on the path", good().require(Requirement::new().subject_matches_path("id")), &["id"]),
    ] {
        let found = mistakes(downstream, &layer);
        for word in words {
            assert!(found.iter().any(|mistake| mistake.contains(word)), "{name}: {word} in {found:#?}");
        }
    }
    let error = layer.exchange(good().margin(Duration::from_secs(301))).unwrap_err();
    assert!(matches!(error, ConfigError::InvalidDownstream { .. }), "{error}");
}
