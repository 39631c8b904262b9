use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{DEFAULT_AUDIENCE, ExchangeFault, ExchangeLife, USER_CLAIM};

const GATEWAY: (&str, &str) = ("gateway", "s3:cret");

async fn on_behalf_of(idp: &MockIssuer, assertion: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut form = vec![
        ("grant_type", Grant::JwtBearer.as_str()),
        ("requested_token_use", "on_behalf_of"),
        ("assertion", assertion),
    ];
    form.extend(more);
    post(idp, GATEWAY, &form).await
}

fn gateway() -> MockClient {
    MockClient::new("gateway").secret("s3:cret").exchanges_for("api://stock", ["read", "count"])
}

#[tokio::test]
async fn a_users_token_is_traded_without_any_actor() {
    let (idp, clock) = idp().await;
    idp.register(gateway().add_audience("api://gateway"));
    idp.name_audience("api://stock", "0f3c5a1e-stock");
    let user = idp.token().user("alice").audience("api://gateway").actor("planner").acr("mfa").sign();
    clock.advance(Duration::from_secs(100));
    let (status, answer) = on_behalf_of(&idp, &user, &[("scope", "api://stock/read")]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(changed(&json!({}), &answer).as_object().unwrap().len(), 4, "{answer}");
    assert_eq!((&answer["scope"], &answer["token_type"]), (&json!("api://stock/read"), &json!("Bearer")));
    assert_eq!(answer["expires_in"], 200);
    let token = claims(&answer["access_token"]);
    assert_eq!(
        (&token["sub"], &token[USER_CLAIM], &token["acr"]),
        (&json!("alice"), &json!("alice"), &json!("mfa"))
    );
    assert_eq!((&token["client_id"], token.get("act")), (&json!("gateway"), None));
    assert_eq!((&token["aud"], &token["scope"]), (&json!("0f3c5a1e-stock"), &json!("read")));

    idp.set_exchange_life(ExchangeLife::Renewed);
    let (_, answer) = on_behalf_of(&idp, &user, &[("scope", "api://stock/.default")]).await;
    assert_eq!(
        (&answer["scope"], &answer["expires_in"]),
        (&json!("api://stock/count api://stock/read"), &json!(300))
    );

    // The name of the client is its audience too.
    let user = idp.token().user("alice").audience("gateway").sign();
    let (status, _) = on_behalf_of(&idp, &user, &[("scope", "api://stock/read")]).await;
    assert_eq!(status, 200);

    idp.misissue_next(ExchangeFault::OtherAudience);
    let (_, answer) = on_behalf_of(&idp, &user, &[("scope", "api://stock/read")]).await;
    assert_eq!(claims(&answer["access_token"])["aud"], ExchangeFault::OTHER_AUDIENCE);
    idp.misissue_next(ExchangeFault::OtherType);
    let (_, answer) = on_behalf_of(&idp, &user, &[("scope", "api://stock/read")]).await;
    assert_eq!(answer.get("issued_token_type"), None, "it is no answer of RFC 8693");

    idp.register(MockClient::new("gateway").secret("s3:cret"));
    let user = idp.token().user("alice").audience("gateway").scopes(["read"]).sign();
    let (_, answer) = on_behalf_of(&idp, &user, &[("scope", "read")]).await;
    assert_eq!(claims(&answer["access_token"])["aud"], DEFAULT_AUDIENCE, "a scope without a resource");
    assert_eq!(answer["scope"], "read");
}

#[tokio::test]
async fn on_behalf_of_is_refused() {
    let (idp, _) = idp().await;
    idp.register(gateway());
    let user = || idp.token().user("alice").audience("gateway");
    let stock = &[("scope", "api://stock/read")][..];
    let rows: &[TokenRow<'_>] = &[
        ("for another client", user().audience("shop-web"), stock, "invalid_grant"),
        ("an application's", user().subject("gateway"), stock, "invalid_grant"),
        ("another key", user().sign_with_other_key(), stock, "invalid_grant"),
        (
            "another issuer",
            idp.issuer_at("/b").token().user("alice").audience("gateway"),
            stock,
            "invalid_grant",
        ),
        ("an ID token", idp.id_token().user("alice").client("gateway"), stock, "invalid_grant"),
        ("expired", user().expires_in(Duration::ZERO), stock, "invalid_grant"),
        ("no scope", user(), &[], "invalid_request"),
        ("another scope", user(), &[("scope", "api://stock/write")], "invalid_scope"),
        ("another resource", user(), &[("scope", "api://hr/read")], "invalid_target"),
        ("two resources", user(), &[("scope", "api://stock/read api://hr/read")], "invalid_scope"),
        ("all of nothing", user(), &[("scope", "api://hr/.default")], "invalid_scope"),
        (
            "repeated",
            user(),
            &[("scope", "api://stock/read"), ("scope", "api://stock/read")],
            "invalid_request",
        ),
    ];
    for (name, assertion, more, error) in rows {
        let (status, answer) = on_behalf_of(&idp, &assertion.clone().sign(), more).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{name}");
    }
    let good = user().sign();
    for (name, form, error) in [
        ("no assertion", vec![("requested_token_use", "on_behalf_of")], "invalid_request"),
        ("another use", vec![("requested_token_use", "x"), ("assertion", &good)], "invalid_request"),
        ("no use: an access token is no grant", vec![("assertion", &good)], "invalid_grant"),
    ] {
        let mut form = form;
        form.extend([("grant_type", Grant::JwtBearer.as_str()), ("scope", "api://stock/read")]);
        let (status, answer) = post(&idp, GATEWAY, &form).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{name}");
    }
    assert_eq!(on_behalf_of(&idp, &good, stock).await.0, 200, "the control");
    idp.limit_targets(["api://hr"]);
    assert_eq!(on_behalf_of(&idp, &good, stock).await.1["error"], "invalid_target");
    idp.require_interaction(r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#);
    let (status, answer) = on_behalf_of(&idp, &good, stock).await;
    assert_eq!((status, &answer["error"]), (400, &json!("interaction_required")));
    assert!(answer["claims"].as_str().unwrap().contains("acrs"));
}

#[tokio::test]
async fn claims_can_have_the_names_of_a_provider() {
    let (idp, _) = idp().await;
    idp.register(gateway());
    idp.rename_claim("scope", "scp");
    idp.rename_claim("client_id", "azp");
    let user = idp.token().user("alice").audience("gateway").sign();
    let (_, answer) = on_behalf_of(&idp, &user, &[("scope", "api://stock/read")]).await;
    let token = claims(&answer["access_token"]);
    assert_eq!((&token["scp"], &token["azp"]), (&json!("read"), &json!("gateway")));
    assert_eq!((token.get("scope"), token.get("client_id")), (None, None));
}
