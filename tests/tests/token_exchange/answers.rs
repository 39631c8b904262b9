//! The members of an answer, read strictly (RFC 8693 section 2.2).

use std::time::Duration;

use http::Response;
use integration_tests::AuditLog;
use serde_json::{Value, json};
use tower_delegation_testing::{Endpoint, TokenBuilder};

use crate::shop::{STOCK, Shop};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn opaque() -> Value {
    json!({
        "access_token": "opaque-token",
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 60,
    })
}

async fn outcome(shop: &Shop, body: String) -> Result<(), &'static str> {
    let answer = Response::builder().header("content-type", "application/json").body(body).unwrap();
    shop.world.idp.answer_with(Endpoint::Token, answer);
    let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
    shop.exchange.on_behalf_of(&context).token().await.map(drop).map_err(|error| error.reason().code())
}

#[tokio::test]
async fn each_member_is_checked() {
    let shop = Shop::opaque().await;
    let rows: &[(&str, &str, Value, Option<&str>)] = &[
        ("control", "expires_in", json!(60), None),
        ("8693-2.2.1-2: in other letters", "token_type", json!("bEARER"), None),
        ("8693-2.2.1-5: no end", "expires_in", Value::Null, None),
        ("the same scope", "scope", json!("stock:read"), None),
        ("no refresh token", "refresh_token", Value::Null, None),
        ("8693-2.2.1-1: no token", "access_token", Value::Null, Some("exchange_unavailable")),
        ("an empty token", "access_token", json!(""), Some("exchange_unavailable")),
        ("a token that is no text", "access_token", json!(7), Some("exchange_unavailable")),
        ("a token with a line break", "access_token", json!("a\r\nx: y"), Some("exchange_unavailable")),
        ("a token with a space", "access_token", json!("a b"), Some("exchange_unavailable")),
        ("8693-2.2.1-1: no type", "token_type", Value::Null, Some("exchange_unavailable")),
        ("8693-2.2.1-2: no access token", "token_type", json!("N_A"), Some("exchange_type_mismatch")),
        ("another scheme", "token_type", json!("DPoP"), Some("exchange_type_mismatch")),
        ("8693-2.2.1-1: no issued type", "issued_token_type", Value::Null, Some("exchange_type_mismatch")),
        (
            "8693-2.2.1-4: another",
            "issued_token_type",
            json!("urn:ietf:params:oauth:token-type:id_token"),
            Some("exchange_type_mismatch"),
        ),
        ("8693-2.2.1-3: more scope", "scope", json!("stock:read admin"), Some("exchange_scope_wider")),
        ("other scope", "scope", json!("admin"), Some("exchange_scope_wider")),
        ("a scope that is a list", "scope", json!(["stock:read"]), Some("exchange_unavailable")),
        ("an end that is no number", "expires_in", json!("soon"), Some("exchange_unavailable")),
        ("an end in the past", "expires_in", json!(-1), Some("exchange_unavailable")),
        ("an end beyond all time", "expires_in", json!(1e30), Some("exchange_unavailable")),
        ("an end beyond all numbers", "expires_in", json!("1e999"), Some("exchange_unavailable")),
        ("it has ended", "expires_in", json!(0), Some("exchange_expired")),
        ("above the ceiling", "expires_in", json!(90_000), Some("exchange_life_too_long")),
        ("a refresh token", "refresh_token", json!("r"), Some("exchange_refresh_token")),
        (
            "9396: details that were not asked for",
            "authorization_details",
            json!([{"type": "payment"}]),
            Some("exchange_details_wider"),
        ),
        ("no details", "authorization_details", json!([]), None),
    ];
    for (name, member, value, expected) in rows {
        let mut answer = opaque();
        match value {
            Value::Null => drop(answer.as_object_mut().unwrap().remove(*member)),
            value => drop(answer.as_object_mut().unwrap().insert((*member).to_owned(), value.clone())),
        }
        // Five outages in a row would open the circuit.
        shop.world.clock.advance(Duration::from_secs(6));
        let found = outcome(&shop, answer.to_string()).await;
        assert_eq!(found.err(), *expected, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_single_object_is_garbage() {
    let shop = Shop::opaque().await;
    let good = opaque().to_string();
    let twice = good.replacen('{', r#"{"access_token":"first","#, 1);
    for (name, body) in [
        ("nothing", String::new()),
        ("a list", format!("[{good}]")),
        ("two objects", format!("{good}{good}")),
        ("a member twice", twice),
        ("text behind", format!("{good} ok")),
    ] {
        // Five outages in a row would open the circuit.
        assert_eq!(outcome(&shop, good.clone()).await, Ok(()), "{name}");
        assert_eq!(outcome(&shop, body).await, Err("exchange_unavailable"), "{name}");
    }
}

#[tokio::test]
async fn an_error_has_its_meaning() {
    let shop = Shop::opaque().await;
    for (error, reason, status) in [
        ("invalid_grant", "exchange_subject_refused", 401),
        ("invalid_request", "exchange_refused", 503),
        ("invalid_target", "exchange_misconfigured", 500),
        ("invalid_scope", "exchange_misconfigured", 500),
        ("invalid_client", "exchange_misconfigured", 500),
        ("unauthorized_client", "exchange_misconfigured", 500),
        ("unsupported_grant_type", "exchange_misconfigured", 500),
        ("temporarily_unavailable", "exchange_unavailable", 503),
        ("something_new", "exchange_refused", 503),
    ] {
        let answer = Response::builder().status(400).header("content-type", "application/json");
        let body = json!({ "error": error, "error_description": "no" }).to_string();
        shop.world.idp.answer_with(Endpoint::Token, answer.body(body).unwrap());
        let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
        let found = shop.exchange.on_behalf_of(&context).token().await.unwrap_err();
        assert_eq!(found.reason().code(), reason, "8693-2.2.2-1: {error}");
        assert_eq!(found.rejection().status(), status, "{error}");
        assert_eq!(found.oauth_error(), Some(error));
    }
}

#[tokio::test]
async fn the_event_says_that_only_the_answer_was_checked() {
    let shop = Shop::opaque().await;
    let heard = AuditLog::listen();
    assert_eq!(outcome(&shop, opaque().to_string()).await, Ok(()));
    assert_eq!(heard.one().field("verified"), "response");
}

/// A token for stock as the provider would issue it, changed.
type Lie = fn(TokenBuilder) -> TokenBuilder;

#[tokio::test]
async fn a_token_that_says_too_much_is_refused() {
    const UNREADABLE: Option<&str> = Some("exchange_unreadable");
    const CHAIN: Option<&str> = Some("exchange_chain_changed");
    const ACTOR: Option<&str> = Some("exchange_actor_mismatch");
    let rows: &[(&str, Lie, Option<&str>)] = &[
        ("control", |token| token, None),
        ("an audience in a list", |token| token.audiences([STOCK]), None),
        ("a client that may be between", |token| token.claim("act", between(&json!({}))), None),
        (
            "members of an actor that mean nothing",
            |token| {
                token.claim("act", json!({ "sub": "orders", "role": "admin", "act": { "sub": "planner" } }))
            },
            None,
        ),
        ("scope in other letters", |token| token.scopes(["Stock:Read"]), Some("exchange_scope_wider")),
        ("a scope that looks alike", |token| token.scopes(["st\u{43e}ck:read"]), UNREADABLE),
        ("scopes with a tab between", |token| token.claim("scope", "stock:read\tadmin"), UNREADABLE),
        (
            "an audience with a slash more",
            |token| token.audience(format!("{STOCK}/")),
            Some("exchange_audience_mismatch"),
        ),
        ("the audience twice", |token| token.audiences([STOCK, STOCK]), Some("exchange_audience_mismatch")),
        (
            "an actor of another issuer",
            |token| {
                token.claim("act", json!({ "sub": "orders", "iss": "https://evil.example.com", "act": { "sub": "planner" } }))
            },
            ACTOR,
        ),
        (
            "an actor of an issuer that may be spoken for",
            |token| {
                token.claim("act", json!({ "sub": "orders", "iss": "https://agents.example.com", "act": { "sub": "planner" } }))
            },
            ACTOR,
        ),
        (
            "a longer chain",
            |token| {
                token.claim(
                    "act",
                    json!({ "sub": "orders", "act": { "sub": "planner", "act": { "sub": "boss" } } }),
                )
            },
            CHAIN,
        ),
        (
            "the chain, of another issuer",
            |token| {
                token.claim("act", json!({ "sub": "orders", "act": { "sub": "planner", "iss": "https://evil.example.com" } }))
            },
            CHAIN,
        ),
        (
            "a client of another issuer between",
            |token| token.claim("act", between(&json!({ "iss": "https://agents.example.com" }))),
            CHAIN,
        ),
        (
            "a client of an unknown issuer between",
            |token| token.claim("act", between(&json!({ "iss": "https://evil.example.com" }))),
            CHAIN,
        ),
        (
            "a tenant that cannot be read",
            |token| token.claim("tenant", json!(["acme", "globex"])),
            Some("exchange_subject_changed"),
        ),
        ("another tenant", |token| token.claim("tenant", "globex"), Some("exchange_subject_changed")),
        ("no tenant", |token| token.without("tenant"), Some("exchange_subject_changed")),
        (
            "bound to a key",
            |token| token.claim("cnf", json!({ "jkt": "A".repeat(43) })),
            Some("exchange_binding_mismatch"),
        ),
        ("bound to what is not known", |token| token.claim("cnf", json!({ "kid": "a" })), UNREADABLE),
        (
            "details",
            |token| token.claim("authorization_details", json!([{ "type": "payment" }])),
            Some("exchange_details_wider"),
        ),
        ("an end that is huge", |token| token.claim("exp", json!(1e300)), UNREADABLE),
        ("an end in words", |token| token.claim("exp", "9999999999"), UNREADABLE),
        (
            "an end far away",
            |token| token.claim("exp", json!(99_999_999_999_u64)),
            Some("exchange_life_too_long"),
        ),
        ("an ID token", |token| token.typ("JWT").nonce("n").for_access_token("a"), UNREADABLE),
        ("other keys", |token| token.sign_with_other_key(), UNREADABLE),
        ("keys of another name", |token| token.key_id("another"), UNREADABLE),
    ];
    for (name, lie, expected) in rows {
        let shop =
            Shop::with(|layer| layer, |stock| stock.chain_may_gain("gateway").issuer_caps_life()).await;
        let caller = shop.token().claim("act", json!({ "sub": "planner" })).claim("tenant", "acme").sign();
        let token = shop.world.token().audience(STOCK).scopes(["stock:read"]).claim("tenant", "acme");
        let token = token.claim("act", json!({ "sub": "orders", "act": { "sub": "planner" } }));
        let token = lie(token.expires_in(Duration::from_secs(60))).sign();
        let answer =
            json!({ "access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer" });
        let answer = Response::builder().header("content-type", "application/json").body(answer.to_string());
        shop.world.idp.answer_with(Endpoint::Token, answer.unwrap());
        let context = shop.layer.authenticator().verify(&caller).await.unwrap();
        let outcome = shop.exchange.on_behalf_of(&context).token().await;
        assert_eq!(outcome.err().map(|error| error.reason().code()), *expected, "{name}");
    }
}

/// The caller's chain, beneath the client that may be between, beneath orders.
fn between(members: &Value) -> Value {
    let mut gateway = json!({ "sub": "gateway", "act": { "sub": "planner" } });
    gateway.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    json!({ "sub": "orders", "act": gateway })
}
