use std::time::Duration;

use serde_json::json;

use super::*;
use crate::ExchangeLife;

const GATEWAY: (&str, &str) = ("gateway", "s3:cret");

fn gateway() -> MockClient {
    MockClient::new("gateway").secret("s3:cret")
}

#[tokio::test]
async fn a_client_exchanges_for_its_targets_and_their_scopes() {
    let (idp, _) = idp().await;
    idp.register(
        gateway().exchanges_for(STOCK, ["stock:read", "stock:count"]).exchanges_for("ledger", ["post"]),
    );
    let user = idp.token().user("alice").scopes(["orders:read"]).sign();
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Result<(Value, &'a str, Option<&'a str>), &'a str>);
    let rows: &[Row<'_>] = &[
        (
            "a scope that the subject token has not",
            &[("resource", STOCK), ("scope", "stock:read")],
            Ok((json!(STOCK), "stock:read", None)),
        ),
        (
            "no scope named",
            &[("audience", STOCK)],
            Ok((json!(STOCK), "stock:count stock:read", Some("stock:count stock:read"))),
        ),
        (
            "two targets",
            &[("resource", STOCK), ("audience", "ledger"), ("scope", "post stock:read")],
            Ok((json!([STOCK, "ledger"]), "post stock:read", None)),
        ),
        (
            "one target named both ways",
            &[("resource", STOCK), ("audience", STOCK), ("scope", "stock:read")],
            Ok((json!(STOCK), "stock:read", None)),
        ),
        ("another target", &[("resource", "https://hr.example.com")], Err("invalid_target")),
        ("another in addition", &[("resource", STOCK), ("audience", "hr")], Err("invalid_target")),
        ("no target", &[], Err("invalid_target")),
        ("another scope", &[("resource", STOCK), ("scope", "stock:write")], Err("invalid_scope")),
        ("a scope of another target", &[("resource", STOCK), ("scope", "post")], Err("invalid_scope")),
        ("the subject token's own", &[("resource", STOCK), ("scope", "orders:read")], Err("invalid_scope")),
    ];
    for (name, more, expected) in rows {
        let (status, answer) = exchange(&idp, &user, more).await;
        match expected {
            Ok((audience, scope, said)) => {
                assert_eq!(status, 200, "{name}: {answer}");
                let token = claims(&answer["access_token"]);
                assert_eq!((&token["aud"], &token["scope"]), (audience, &json!(scope)), "{name}");
                assert_eq!(answer.get("scope").and_then(Value::as_str), *said, "{name}");
            }
            Err(error) => assert_eq!((status, &answer["error"]), (400, &json!(error)), "{name}"),
        }
    }
}

#[tokio::test]
async fn a_client_uses_its_grants_only() {
    let (idp, _) = idp().await;
    let user = idp.token().sign();
    let form = |grant: Grant| match grant {
        Grant::TokenExchange => exchange_form(&user),
        _ => vec![("grant_type", grant.as_str())],
    };
    for (allowed, refused) in
        [(Grant::ClientCredentials, Grant::TokenExchange), (Grant::TokenExchange, Grant::ClientCredentials)]
    {
        idp.register(gateway().grants([allowed]));
        assert_eq!(post(&idp, GATEWAY, &form(allowed)).await.0, 200, "{allowed:?}");
        let (status, answer) = post(&idp, GATEWAY, &form(refused)).await;
        assert_eq!((status, &answer["error"]), (400, &json!("unauthorized_client")), "{refused:?}");
    }
}

#[tokio::test]
async fn an_impersonating_client_leaves_no_trace() {
    let (idp, _) = idp().await;
    idp.register(gateway().impersonates());
    let user = idp.token().user("alice").actor("planner").sign();
    let (_, answer) = exchange(&idp, &user, &[]).await;
    let token = claims(&answer["access_token"]);
    assert_eq!(
        (token.get("act"), &token["sub"], &token["client_id"]),
        (None, &json!("alice"), &json!("gateway"))
    );
    let actor = [("actor_token", user.as_str()), ("actor_token_type", ACCESS_TOKEN)];
    let (status, answer) = exchange(&idp, &user, &actor).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn may_act_decides_who_may_become_the_actor() {
    let (idp, _) = idp().await;
    let own = idp.issuer().to_owned();
    let copilot = idp.token().subject("copilot").sign();
    let as_copilot = [("actor_token", copilot.as_str()), ("actor_token_type", ACCESS_TOKEN)];
    for (name, may_act, by_client, by_copilot) in [
        ("the client", json!({ "sub": "gateway" }), 200, 400),
        ("the client, with its issuer", json!({ "sub": "gateway", "iss": own }), 200, 400),
        ("an agent", json!({ "sub": "copilot" }), 400, 200),
        ("an agent of another issuer", json!({ "sub": "copilot", "iss": "https://b" }), 400, 400),
        ("a client of another issuer", json!({ "sub": "gateway", "iss": "https://b" }), 400, 400),
        ("no subject", json!({ "client_id": "gateway" }), 400, 400),
        ("no object", json!("gateway"), 400, 400),
    ] {
        let user = idp.token().claim("may_act", may_act).sign();
        for (more, expected) in [(&[][..], by_client), (&as_copilot, by_copilot)] {
            let (status, answer) = exchange(&idp, &user, more).await;
            assert_eq!(status, expected, "{name}");
            if expected == 400 {
                assert_eq!(answer["error"], "invalid_request", "{name}");
            } else {
                assert_eq!(claims(&answer["access_token"]).get("may_act"), None, "{name}: used up");
            }
        }
    }
    idp.register(gateway().impersonates());
    let user = idp.token().claim("may_act", json!({ "sub": "copilot" })).sign();
    assert_eq!(exchange(&idp, &user, &[]).await.0, 400, "it holds for impersonation too");
}

#[tokio::test]
async fn a_client_trades_only_tokens_for_itself_if_it_says_so() {
    let (idp, _) = idp().await;
    idp.register(gateway().add_audience("https://gateway.example.com"));
    for (name, audiences, expected) in [
        ("its own", vec!["https://gateway.example.com"], 200),
        ("one of two", vec!["https://a.example", "https://gateway.example.com"], 200),
        ("another's", vec!["https://a.example"], 400),
    ] {
        let (status, answer) = exchange(&idp, &idp.token().audiences(audiences).sign(), &[]).await;
        assert_eq!(status, expected, "{name}");
        assert!(expected == 200 || answer["error"] == "invalid_request", "{name}");
    }
}

#[tokio::test]
async fn the_life_is_capped_or_renewed() {
    let (idp, clock) = idp().await;
    let user = idp.token().sign();
    clock.advance(Duration::from_secs(200));
    for (life, expires_in) in [(ExchangeLife::Capped, 100), (ExchangeLife::Renewed, 300)] {
        idp.set_exchange_life(life);
        let (_, answer) = exchange(&idp, &user, &[]).await;
        assert_eq!(answer["expires_in"], expires_in, "{life:?}");
        assert_eq!(claims(&answer["access_token"])["exp"], NOW + 200 + expires_in, "{life:?}");
    }
}

#[tokio::test]
async fn an_audience_can_have_a_name_of_its_own() {
    let (idp, _) = idp().await;
    idp.name_audience("api://stock", "0f3c5a1e-stock");
    let (_, answer) = exchange(&idp, &idp.token().sign(), &[("audience", "api://stock")]).await;
    assert_eq!(claims(&answer["access_token"])["aud"], "0f3c5a1e-stock");
}

#[tokio::test]
async fn authorization_details_get_no_wider() {
    let (idp, _) = idp().await;
    let (small, large) = (json!({ "type": "pay", "most": 10 }), json!({ "type": "pay", "most": 1000 }));
    let user = idp.token().claim("authorization_details", json!([small, { "type": "read" }])).sign();
    for (name, asked, expected) in [
        ("one of two", json!([small]).to_string(), Ok(json!([small]))),
        ("more", json!([large]).to_string(), Err("invalid_authorization_details")),
        ("one more", json!([small, large]).to_string(), Err("invalid_authorization_details")),
        ("no array", small.to_string(), Err("invalid_authorization_details")),
        ("no JSON", "pay".to_owned(), Err("invalid_authorization_details")),
    ] {
        let (status, answer) = exchange(&idp, &user, &[("authorization_details", &asked)]).await;
        match expected {
            Ok(details) => {
                assert_eq!(answer["authorization_details"], details, "{name}");
                assert_eq!(claims(&answer["access_token"])["authorization_details"], details, "{name}");
            }
            Err(error) => assert_eq!((status, &answer["error"]), (400, &json!(error)), "{name}"),
        }
    }
    let (_, answer) = exchange(&idp, &user, &[]).await;
    assert_eq!(claims(&answer["access_token"]).get("authorization_details"), None, "not asked for");
}

#[tokio::test]
async fn id_tokens_are_subject_tokens_of_their_client() {
    let (idp, _) = idp().await;
    let id_token = |client: &str| idp.id_token().user("alice").client(client).sign();
    let typed = |token: String, typ: &'static str| (token, typ);
    let id_type = "urn:ietf:params:oauth:token-type:id_token";
    for (name, (token, token_type), expected) in [
        ("its own", typed(id_token("gateway"), id_type), 200),
        ("another client's", typed(id_token("shop-web"), id_type), 400),
        ("under another type", typed(id_token("gateway"), ACCESS_TOKEN), 400),
        ("an access token under its type", typed(idp.token().audience("gateway").sign(), id_type), 400),
    ] {
        let form = [
            ("grant_type", Grant::TokenExchange.as_str()),
            ("subject_token", &token),
            ("subject_token_type", token_type),
        ];
        let (status, answer) = post(&idp, GATEWAY, &form).await;
        assert_eq!(status, expected, "{name}: {answer}");
        assert!(expected == 200 || answer["error"] == "invalid_request", "{name}");
    }
}
