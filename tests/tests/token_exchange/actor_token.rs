//! The token of this service in the exchange (RFC 8693 section 2.1).

use std::time::Duration;

use http::Response;
use integration_tests::{AuditLog, World};
use serde_json::json;
use tower_delegation::{
    Requirement,
    exchange::{ActorMode, ActorToken, Downstream},
    material::Material,
};
use tower_delegation_testing::{ClientKey, Endpoint, Grant, MockClient};

use crate::shop::{ORDERS, STOCK, Shop, server, terms};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID: &str = "spiffe://example.org/ns/shop/sa/orders";

/// The reason in the event of the one exchange.
fn reason(heard: &AuditLog) -> String {
    let events = heard.take();
    let exchange = events.iter().find(|event| event.field("downstream") == "stock");
    exchange.map(|event| event.field("reason").to_owned()).unwrap_or_default()
}

async fn outcome(shop: &Shop) -> (u16, String) {
    let heard = AuditLog::listen();
    let status = shop.call(&shop.token().sign()).await.status;
    (status, reason(&heard))
}

fn with_client_credentials(stock: Downstream) -> Downstream {
    stock.actor_token(ActorToken::client_credentials())
}

/// How often the service asked for a token of its own.
fn own_requests(shop: &Shop) -> usize {
    let requests = shop.world.idp.token_requests();
    requests.iter().filter(|request| request.parameter("grant_type") == Some("client_credentials")).count()
}

#[tokio::test]
async fn a_token_of_ones_own_is_kept_until_its_margin() {
    let shop = Shop::with(|layer| layer, with_client_credentials).await;
    for (name, seconds, asked) in
        [("new", 0, 1), ("kept", 0, 1), ("before the margin", 289, 1), ("within it", 1, 2), ("kept", 0, 2)]
    {
        shop.world.clock.advance(Duration::from_secs(seconds));
        let seen = shop.seen(&shop.token().sign()).await;
        assert_eq!(seen["actors"], json!([ORDERS]), "{name}");
        assert_eq!(own_requests(&shop), asked, "{name}");
        let exchange = shop.world.idp.last_token_request().unwrap();
        assert_eq!(exchange.parameter("actor_token_type"), Some(ACCESS_TOKEN), "8693-2.1-1: {name}");
        assert_ne!(exchange.parameter("actor_token"), exchange.parameter("subject_token"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_at_a_time_cause_one_request_for_it() {
    let shop = Shop::with(|layer| layer, with_client_credentials).await;
    let mut contexts = Vec::new();
    for _ in 0..50 {
        contexts.push(shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap());
    }
    let hold = shop.world.idp.hold(Endpoint::Token);
    let calls: Vec<_> = contexts
        .into_iter()
        .map(|context| {
            let exchange = shop.exchange.clone();
            tokio::spawn(async move { exchange.on_behalf_of(&context).token().await })
        })
        .collect();
    shop.world.idp.wait_for_requests(Endpoint::Token, 1).await;
    hold.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!((own_requests(&shop), shop.exchanges()), (1, 51));
}

#[tokio::test]
async fn what_the_server_does_not_give_is_our_mistake() {
    let good = || MockClient::new(ORDERS).secret_basic("s3cret/+: ü");
    for (name, client, member, value, expected) in [
        ("control", good(), "scope", json!("any"), (200, "")),
        (
            "it may not have one",
            good().grants([Grant::TokenExchange]),
            "scope",
            json!("any"),
            (500, "exchange_misconfigured"),
        ),
        ("no access token", good(), "token_type", json!("N_A"), (503, "exchange_type_mismatch")),
        ("a refresh token", good(), "refresh_token", json!("r"), (503, "exchange_refresh_token")),
        ("no life", good(), "expires_in", json!("long"), (503, "exchange_unavailable")),
    ] {
        let shop = Shop::with(|layer| layer, with_client_credentials).await;
        shop.world.idp.register(client);
        if name != "control" {
            shop.world.idp.set_token_answer(member, value);
        }
        let (status, reason) = outcome(&shop).await;
        assert_eq!((status, &*reason), expected, "{name}");
        if status != 200 {
            assert_eq!(shop.exchanges(), own_requests(&shop), "{name}: no exchange was asked for");
        }
    }
}

#[tokio::test]
async fn a_token_that_the_server_refuses_is_not_kept() {
    let shop = Shop::with(|layer| layer, with_client_credentials).await;
    shop.seen(&shop.token().sign()).await;
    // Of no key that the provider publishes any more: also those of callers.
    shop.world.idp.rotate_keys();
    shop.world.idp.withdraw_old_keys();
    assert_eq!(outcome(&shop).await, (503, "exchange_refused".to_owned()), "8693-2.2.2-1");
    assert_eq!(own_requests(&shop), 1);
    assert_eq!(outcome(&shop).await.0, 200);
    assert_eq!(own_requests(&shop), 2, "a new one");
}

#[tokio::test]
async fn a_refusal_of_two_tokens_is_not_the_callers() {
    for (name, actor, expected) in [
        ("the caller's alone", None, (401, "exchange_subject_refused")),
        ("one of two", Some(ActorToken::given("a.b.c", JWT)), (503, "exchange_refused")),
    ] {
        let shop = Shop::with(
            |layer| layer,
            |stock| match actor {
                Some(actor) => stock.actor_token(actor),
                None => stock,
            },
        )
        .await;
        let answer = Response::builder().status(400).header("content-type", "application/json");
        let body = json!({ "error": "invalid_grant" }).to_string();
        shop.world.idp.answer_with(Endpoint::Token, answer.body(body).unwrap());
        let (status, reason) = outcome(&shop).await;
        assert_eq!((status, &*reason), expected, "{name}");
    }
}

#[tokio::test]
async fn a_jwt_svid_is_the_proof_of_a_workload() {
    let world = World::new().await;
    let key = ClientKey::generate().clock(world.clock.clone());
    let other = ClientKey::generate().clock(world.clock.clone());
    world.idp.trust_spiffe_keys("example.org", &key.jwks());
    let issuer = world.idp.issuer().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("svid");
    let token = ActorToken::jwt_svid(Material::file(&file));
    let acts_as = issuer.clone();
    let shop = Shop::of(world, |layer| layer, |stock| stock.actor_token(token).acts_as(acts_as, ID)).await;
    let svid = || key.jwt_svid(ID, &issuer);
    for (name, svid, expected) in [
        ("control", svid().sign(), (200, "")),
        ("an agent has replaced it", svid().claim("jti", "2").sign(), (200, "")),
        (
            "of another workload",
            key.jwt_svid("spiffe://example.org/ns/shop/sa/web", &issuer).sign(),
            (503, "exchange_actor_mismatch"),
        ),
        ("for another audience", key.jwt_svid(ID, STOCK).sign(), (503, "exchange_refused")),
        ("by another key", svid().sign_with(&other).sign(), (503, "exchange_refused")),
        ("it has ended", svid().expires_in(Duration::ZERO).sign(), (503, "exchange_refused")),
        ("nothing", String::new(), (500, "exchange_misconfigured")),
    ] {
        std::fs::write(&file, svid).unwrap();
        let (status, reason) = outcome(&shop).await;
        assert_eq!((status, &*reason), expected, "{name}");
        if status == 200 {
            let request = shop.world.idp.last_token_request().unwrap();
            assert_eq!(request.parameter("actor_token_type"), Some(JWT), "8693-2.1-1: {name}");
        }
    }
}

#[tokio::test]
async fn any_token_is_sent_with_its_type() {
    let world = World::new().await;
    let own = world.idp.token().subject("planner").client("planner").sign();
    let acts_as = world.idp.issuer().to_owned();
    for (name, token_type, status) in [
        ("control", ACCESS_TOKEN, 200),
        ("of another type", "urn:ietf:params:oauth:token-type:id_token", 503),
    ] {
        let other = World::new().await;
        let token = other.idp.token().subject("planner").client("planner").sign();
        let acts_as = other.idp.issuer().to_owned();
        let token = ActorToken::given(token, token_type);
        assert!(!format!("{token:?}").contains("eyJ"), "{token:?}");
        let shop =
            Shop::of(other, |layer| layer, |stock| stock.actor_token(token).acts_as(acts_as, "planner"))
                .await;
        assert_eq!(outcome(&shop).await.0, status, "{name}");
    }
    // Of another party than the configured one.
    let token = ActorToken::given(own, ACCESS_TOKEN);
    let shop =
        Shop::of(world, |layer| layer, |stock| stock.actor_token(token).acts_as(acts_as, ORDERS)).await;
    assert_eq!(outcome(&shop).await, (503, "exchange_actor_mismatch".to_owned()), "8693-c7");
}

#[tokio::test]
async fn an_actor_that_no_token_names_is_a_mistake() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let good = || {
        Downstream::new("stock", STOCK, server(&world))
            .require(Requirement::named("calls stock"))
            .add_scopes(["stock:read"])
            .actor_token(ActorToken::client_credentials())
            .reads(terms(&world))
    };
    for (name, downstream, words) in [
        ("control", good(), None),
        ("no actor", good().actor_mode(ActorMode::None), Some("name no actor")),
        ("no type", good().actor_token(ActorToken::given("a", " ")), Some("no type")),
    ] {
        let found: Vec<String> = match layer.exchange(downstream) {
            Ok(_) => Vec::new(),
            Err(error) => error.mistakes().map(ToString::to_string).collect(),
        };
        assert_eq!(found.len(), usize::from(words.is_some()), "{name}: {found:?}");
        assert!(words.is_none_or(|words| found[0].contains(words)), "{name}: {found:?}");
    }
}
