//! Entra's on-behalf-of: the caller's token as an assertion (RFC 7523).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Response;
use integration_tests::{AUDIENCE, AuditLog, World};
use serde_json::{Value, json};
use tower_delegation::{
    Requirement,
    exchange::{ActorMode, ActorToken, AuthorizationServer, Downstream, Flow},
    reason::RejectionKind,
};
use tower_delegation_testing::{Endpoint, ExchangeFault, MockClient};

use crate::shop::{ORDERS, STOCK, Shop, server, terms};

fn entra(stock: Downstream) -> Downstream {
    stock.flow(Flow::entra_on_behalf_of().application_uri(AUDIENCE)).actor_mode(ActorMode::None)
}

fn client() -> MockClient {
    MockClient::new(ORDERS).secret_basic("s3cret/+: ü").add_audience(AUDIENCE)
}

async fn shop(stock: impl FnOnce(Downstream) -> Downstream) -> Shop {
    let shop = Shop::with(|layer| layer, |downstream| stock(entra(downstream))).await;
    shop.world.idp.register(client());
    shop
}

/// The reason in the event of the one exchange.
fn reason(heard: &AuditLog) -> String {
    let events = heard.take();
    let exchange = events.iter().find(|event| event.field("downstream") == "stock");
    exchange.map(|event| event.field("reason").to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn the_request_is_that_of_entra() {
    let shop = shop(|stock| stock).await;
    let token = shop.token().sign();
    let seen = shop.seen(&token).await;
    assert_eq!((&seen["sub"], &seen["scope"]), (&json!("alice"), &json!("stock:read")));
    assert_eq!(seen["actors"], json!([]), "ENTRA-OBO-4: no actor");
    let request = shop.world.idp.last_token_request().unwrap();
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", &*token),
        ("requested_token_use", "on_behalf_of"),
        ("scope", "https://stock.example.com/stock:read"),
    ] {
        assert_eq!(request.parameter(name), Some(value), "ENTRA-OBO-1: {name}");
    }
    for absent in ["subject_token", "requested_token_type", "resource", "audience", "actor_token"] {
        assert_eq!(request.parameter(absent), None, "ENTRA-OBO-1: {absent}");
    }
}

#[tokio::test]
async fn what_is_registered_is_asked_for_and_held_against_the_table() {
    for (name, registered, expected) in [
        ("no more than is worth", &["stock:read"][..], None),
        ("more", &["stock:read", "stock:write"], Some("exchange_scope_wider")),
    ] {
        let shop = shop(|stock| stock.provider_scope("https://stock.example.com/.default")).await;
        shop.world.idp.register(client().exchanges_for(STOCK, registered.iter().copied()));
        let token = shop.world.token().scopes(["stock:read"]).sign();
        let context = shop.layer.authenticator().verify(&token).await.unwrap();
        let found = shop.exchange.on_behalf_of(&context).token().await;
        assert_eq!(found.err().map(|error| error.reason().code()), expected, "{name}");
    }
}

#[tokio::test]
async fn an_audience_that_is_a_number_is_declared() {
    const NUMBER: &str = "7d6e7b1c-4b4f-4d3f-9d5e-0f6c5c1f7c11";
    for (name, declared, expected) in
        [("control", true, None), ("not declared", false, Some("exchange_audience_mismatch"))]
    {
        let shop = shop(|stock| if declared { stock.audience(NUMBER) } else { stock }).await;
        shop.world.idp.name_audience(STOCK, NUMBER);
        let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
        let found = shop.exchange.on_behalf_of(&context).token().await;
        assert_eq!(found.err().map(|error| error.reason().code()), expected, "{name}");
    }
}

#[tokio::test]
async fn a_token_that_entra_would_not_take_is_not_sent() {
    let world = World::new().await;
    let anyone = || Requirement::named("calls stock");
    let flow =
        |uris: &[&str]| uris.iter().fold(Flow::entra_on_behalf_of(), |flow, uri| flow.application_uri(*uri));
    drop(world);
    for (name, uris, is_user, audiences, expected) in [
        ("ENTRA-OBO-2: by its URI", &[AUDIENCE][..], true, &[AUDIENCE][..], None),
        ("by its identifier", &[], true, &[AUDIENCE, ORDERS], None),
        ("an application's", &[AUDIENCE], false, &[AUDIENCE], Some("not_on_behalf_of_user")),
        ("for another application", &[], true, &[AUDIENCE], Some("audience_not_allowed")),
        (
            "another spelling",
            &["https://orders.example.com/"],
            true,
            &[AUDIENCE],
            Some("audience_not_allowed"),
        ),
    ] {
        let shop = Shop::with(
            |layer| layer,
            |stock| stock.flow(flow(uris)).actor_mode(ActorMode::None).require(anyone()),
        )
        .await;
        shop.world.idp.register(client());
        let token = shop.token().audiences(audiences.iter().copied());
        let token = if is_user {
            token
        } else {
            token.subject("batch").without(tower_delegation_testing::USER_CLAIM)
        };
        let heard = AuditLog::listen();
        let answer = shop.call(&token.sign()).await;
        assert_eq!(reason(&heard), expected.unwrap_or_default(), "{name}");
        assert_eq!(answer.status, if expected.is_none() { 200 } else { 403 }, "{name}");
        assert_eq!(
            shop.exchanges(),
            usize::from(expected.is_none()),
            "{name}: decided before anything is sent"
        );
    }
}

#[tokio::test]
async fn a_demand_for_a_new_proof_is_handed_to_the_caller() {
    let claims = r#"{"access_token":{"capolids":{"essential":true,"values":["c1"]}}}"#;
    let shop = shop(|stock| stock).await;
    shop.world.idp.require_interaction(claims);
    let heard = AuditLog::listen();
    let answer = shop.call(&shop.token().sign()).await;
    assert_eq!(reason(&heard), "exchange_interaction_required");
    assert_eq!((answer.status, &*answer.code()), (401, "insufficient_claims"), "ENTRA-OBO-3");
    let challenges = http_auth::parse_challenges(answer.challenge()).unwrap();
    let [challenge] = &*challenges else { panic!("{challenges:?}") };
    assert_eq!(challenge.scheme, "Bearer");
    let parameter = |name: &str| {
        challenge.params.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_unescaped())
    };
    assert_eq!(parameter("error").as_deref(), Some("insufficient_claims"), "ENTRA-OBO-3");
    let sent = STANDARD.decode(parameter("claims").unwrap()).unwrap();
    assert_eq!(sent, claims.as_bytes(), "ENTRA-OBO-3");
    assert!(!answer.body.contains("capolids"), "{}", answer.body);
}

#[tokio::test]
async fn a_demand_that_cannot_be_read_is_not_handed_on() {
    let long = format!(r#"{{"a":"{}"}}"#, "b".repeat(2048));
    for (name, claims) in [
        ("nothing", Value::Null),
        ("no text", json!({ "access_token": {} })),
        ("no JSON", json!("capolids")),
        ("no object", json!("[1]")),
        ("a member twice", json!(r#"{"a":1,"a":2}"#)),
        ("more behind it", json!(r#"{"a":1} {"#)),
        ("too long", json!(long)),
    ] {
        let shop = shop(|stock| stock).await;
        let body = json!({ "error": "interaction_required", "claims": claims }).to_string();
        let answer = Response::builder().status(400).header("content-type", "application/json");
        shop.world.idp.answer_with(Endpoint::Token, answer.body(body).unwrap());
        let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
        let error = shop.exchange.on_behalf_of(&context).token().await.unwrap_err();
        assert_eq!(error.reason().code(), "exchange_subject_refused", "{name}");
        assert_eq!(error.kind(), RejectionKind::InvalidToken, "{name}");
        let shown = format!("{:?}", error.rejection().to_response().headers());
        assert!(!shown.contains("claims="), "{name}: {shown}");
    }
}

#[tokio::test]
async fn what_comes_back_is_verified() {
    use ExchangeFault as F;
    for (fault, expected) in [
        (F::WiderScope, "exchange_scope_wider"),
        (F::OtherAudience, "exchange_audience_mismatch"),
        (F::SecondAudience, "exchange_audience_mismatch"),
        (F::OtherSubject, "exchange_subject_changed"),
        (F::ActorReplaced, "exchange_actor_mismatch"),
        (F::LongerLife, "exchange_life_too_long"),
        (F::OtherType, "exchange_unreadable"),
        (F::OtherIssuer, "exchange_issuer_mismatch"),
        (F::RefreshTokenAdded, "exchange_refresh_token"),
    ] {
        let shop = shop(|stock| stock).await;
        shop.world.idp.misissue_next(fault);
        let heard = AuditLog::listen();
        assert_eq!(shop.call(&shop.token().sign()).await.status, 503, "{fault:?}");
        assert_eq!(reason(&heard), expected, "{fault:?}");
    }
    let other = "https://other.example.com/stock:read";
    for (name, member, value, expected) in [
        ("control: the full name", "scope", json!("https://stock.example.com/stock:read"), ""),
        ("the short name", "scope", json!("stock:read"), ""),
        (
            "more",
            "scope",
            json!("https://stock.example.com/stock:read https://stock.example.com/admin"),
            "exchange_scope_wider",
        ),
        ("of another resource", "scope", json!(other), "exchange_scope_wider"),
        (
            "of another type",
            "issued_token_type",
            json!("urn:ietf:params:oauth:token-type:id_token"),
            "exchange_type_mismatch",
        ),
        ("no access token", "token_type", json!("N_A"), "exchange_type_mismatch"),
    ] {
        let shop = shop(|stock| stock).await;
        shop.world.idp.set_token_answer(member, value);
        let heard = AuditLog::listen();
        shop.call(&shop.token().sign()).await;
        assert_eq!(reason(&heard), expected, "{name}");
    }
}

#[tokio::test]
async fn the_client_that_a_token_names_is_this_service() {
    let shop = shop(|stock| stock).await;
    for (name, client, expected) in
        [("control", ORDERS, None), ("another", "web", Some("exchange_actor_mismatch"))]
    {
        let token =
            shop.world.idp.token().user("alice").client(client).audience(STOCK).scopes(["stock:read"]);
        let body =
            json!({ "access_token": token.sign(), "token_type": "Bearer", "expires_in": 60 }).to_string();
        let answer = Response::builder().header("content-type", "application/json").body(body).unwrap();
        shop.world.idp.answer_with(Endpoint::Token, answer);
        let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
        let found = shop.exchange.on_behalf_of(&context).token().await;
        assert_eq!(found.err().map(|error| error.reason().code()), expected, "ENTRA-OBO-4: {name}");
    }
}

#[tokio::test]
async fn what_does_not_fit_the_flow_is_a_mistake() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let bare = || {
        Downstream::new("stock", STOCK, server(&world))
            .require(Requirement::named("calls stock").on_behalf_of_user())
            .add_scopes(["stock:read"])
            .reads(terms(&world))
    };
    let same = || AuthorizationServer::discover(world.idp.issuer()).unwrap();
    let secret = tower_delegation::exchange::ClientAuthentication::secret_basic("s");
    let token = ActorToken::client_credentials();
    for (name, downstream, words) in [
        ("control", entra(bare()), &[][..]),
        ("an actor is required", bare().flow(Flow::entra_on_behalf_of()), &["Entra names no actor"]),
        (
            "two at once",
            entra(bare()).ask_by_audience().actor_token(token),
            &["asked by scope", "leave out `.actor_token(..)`"],
        ),
        (
            "a URI of no use",
            bare().flow(Flow::token_exchange().application_uri("api://orders")),
            &["application_uri"],
        ),
        (
            "one server in place of two",
            bare().flow(Flow::id_jag(same().client(ORDERS, secret))),
            &["name two servers"],
        ),
        (
            "no client at the first",
            bare().flow(Flow::identity_chaining(
                AuthorizationServer::discover("https://a.example.com").unwrap(),
            )),
            &[".client(id, authentication)"],
        ),
    ] {
        let found: Vec<String> = match layer.exchange(downstream) {
            Ok(_) => Vec::new(),
            Err(error) => error.mistakes().map(ToString::to_string).collect(),
        };
        assert_eq!(found.len(), words.len(), "{name}: {found:?}");
        for word in words {
            assert!(found.iter().any(|mistake| mistake.contains(word)), "{name}: {word} in {found:?}");
        }
    }
}
