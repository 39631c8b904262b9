//! What is refused of the server's tokens where less was agreed, what the server itself refuses,
//! and what it hands out although it should not.

use std::time::Duration;

use integration_tests::AUDIENCE;
use serde_json::Value;
use tower_delegation::{
    Requirement, TrustedIssuer,
    clock::Timestamp,
    exchange::{ActorMode, ClientAuthentication, Downstream},
    issuer::KindCheck,
};

use super::{ARCHIVE, Authgent, Registered, STOCK, TOKEN_EXCHANGE, ask, refusal};

/// Name, downstream, the caller's token, the scopes that are asked for by name, the server's code,
/// and the reason.
type Refused<'a> = (&'a str, Downstream, &'a str, &'a [&'a str], &'a str, &'a str);

const URL: &str = "https://stock.example.com";

#[tokio::test]
async fn a_token_that_is_more_than_was_agreed_is_refused() {
    let Some(server) = Authgent::start().await else { return };
    let layer = server.layer(AUDIENCE);
    let token = server.user_token("stock:read").await;
    let orders = &server.orders;
    let usual = || server.downstream(STOCK, orders, URL);
    let bare = || server.bare(STOCK, orders, URL);
    let generic = |terms: TrustedIssuer| terms.accept_generic_type(KindCheck::not_an_id_token());
    let jwks = format!("{}/.well-known/jwks.json", server.issuer);
    let another = TrustedIssuer::with_jwks_url("https://idp.example.com", &jwks).unwrap();
    let plain = TrustedIssuer::discover(&server.issuer).unwrap();
    let rows: [(&str, Downstream, &str); 10] = [
        (
            "8693-c6: a client's name as an actor is not its identifier",
            bare().reads(server.terms()),
            "exchange_actor_mismatch",
        ),
        (
            "8693-c6: another client",
            usual().acts_as(server.issuer.as_str(), server.stock.subject()),
            "exchange_actor_mismatch",
        ),
        (
            "8693-4.1-5: at another issuer",
            usual().acts_as("https://idp.example.com", orders.subject()),
            "exchange_actor_mismatch",
        ),
        ("8693-c6: no actor agreed", usual().actor_mode(ActorMode::None), "exchange_actor_mismatch"),
        (
            "an actor that is not required, of another name",
            bare().reads(server.terms()).actor_mode(ActorMode::RecordedOnly),
            "exchange_actor_mismatch",
        ),
        ("9068-2.1-1: typ JWT", bare().reads(plain.clone()), "exchange_unreadable"),
        (
            "8693-c7: a subject of a kind that is not known",
            bare().reads(generic(plain)).acts_as(server.issuer.as_str(), orders.subject()),
            "exchange_subject_changed",
        ),
        (
            "8693-c7: another issuer",
            bare().reads(generic(another)).acts_as(server.issuer.as_str(), orders.subject()),
            "exchange_issuer_mismatch",
        ),
        ("8693-c7: another audience", usual().audience(ARCHIVE), "exchange_audience_mismatch"),
        (
            "8693-c7: above the ceiling",
            usual().max_token_lifetime(Duration::from_secs(60)),
            "exchange_life_too_long",
        ),
    ];
    for (name, downstream, reason) in rows {
        assert_eq!(refusal(&layer, downstream, &token).await, Some(reason), "{name}");
    }
    assert_eq!(refusal(&layer, usual(), &token).await, None, "the control");
}

#[tokio::test]
async fn what_the_server_refuses_has_its_code() {
    // One hop, and no more.
    let settings = [("AUTHGENT_MAX_DELEGATION_DEPTH", "1")];
    let Some(server) = Authgent::start_with(&settings).await else { return };
    let layer = server.layer(AUDIENCE);
    let (token, revoked) = (server.user_token("stock:read").await, server.user_token("stock:read").await);
    server.revoke(&revoked).await;
    let far = exchanged(&server, &server.orders, &token, AUDIENCE, "stock:read").await;
    let far = far["access_token"].as_str().unwrap();
    let (orders, year_9000) = (&server.orders, Timestamp::from_unix_seconds(221_845_392_000));
    let usual = || server.downstream(STOCK, orders, URL);
    let with = |client, secret: &str| {
        let server = server.server_with(client, ClientAuthentication::secret_post(secret));
        let requirement = Requirement::named("calls").on_behalf_of_user();
        Downstream::new("next", URL, server)
            .resource(STOCK)
            .require(requirement)
            .add_scopes(["stock:read"])
            .opaque("nothing comes back")
    };
    let wider = |scope: &str| usual().add_scopes([scope]).exception([scope], "a test", year_9000);
    let rows: [Refused<'_>; 6] = [
        (
            "a secret of another",
            with(orders, &server.stock.secret),
            &token,
            &[],
            "invalid_client",
            "exchange_misconfigured",
        ),
        // RFC 6749 section 5.2 has `unauthorized_client` for this.
        (
            "a client without the grant",
            with(&server.web, &server.web.secret),
            &token,
            &[],
            "invalid_request",
            "exchange_refused",
        ),
        // RFC 6749 section 5.2 has `invalid_scope` for these.
        (
            "more than the caller has",
            wider("stock:write"),
            &token,
            &["stock:write"],
            "scope_escalation",
            "exchange_refused",
        ),
        (
            "more than the client is registered for",
            wider("admin"),
            &token,
            &["admin"],
            "insufficient_scope",
            "exchange_refused",
        ),
        // RFC 8693 section 2.2.2 has `invalid_request` for these.
        ("a token that was revoked there", usual(), &revoked, &[], "token_revoked", "exchange_refused"),
        ("a chain that is too long", usual(), far, &[], "delegation_depth_exceeded", "exchange_refused"),
    ];
    for (name, downstream, caller, scopes, code, reason) in rows {
        let error = ask(&layer, downstream, caller, scopes).await.unwrap_err();
        assert_eq!((error.oauth_error(), error.reason().code()), (Some(code), reason), "{name}");
    }
}

/// A machine's subject is none of its client's identifiers: by the terms that fit it is a
/// service all the same, so that nothing is asked for in its name.
#[tokio::test]
async fn nothing_is_asked_for_a_machine() {
    let Some(server) = Authgent::start().await else { return };
    let layer = server.layer(AUDIENCE);
    let token = server.machine_token("stock:read").await;
    let caller = layer.authenticator().verify(&token).await.unwrap();
    assert_eq!(caller.subject().id().as_str(), server.web.subject());
    let error = ask(&layer, server.downstream(STOCK, &server.orders, URL), &token, &[]).await.unwrap_err();
    assert_eq!((error.rejection().status().as_u16(), error.oauth_error()), (403, None));
}

/// Each of these is why the guide says not to rely on the server alone. When one of them no
/// longer holds, the guide changes.
#[tokio::test]
async fn what_the_server_hands_out_although_it_should_not() {
    let Some(server) = Authgent::start().await else { return };
    let nameless = Registered { id: server.orders.id.clone(), secret: String::new() };
    let token = server.user_token("stock:read").await;
    let unscoped = server.user_token("").await;
    let at_stock = exchanged(&server, &server.orders, &token, STOCK, "stock:read").await;
    let at_stock = at_stock["access_token"].as_str().unwrap();
    let rows = [
        ("to a confidential client that sends no secret", &nameless, token.as_str(), "stock:read"),
        ("for a token that is for another service", &server.orders, at_stock, "stock:read"),
        ("any scope, for a token without one", &server.orders, &unscoped, "stock:read stock:write"),
    ];
    for (name, client, token, scope) in rows {
        let answer = exchanged(&server, client, token, ARCHIVE, scope).await;
        assert_eq!(answer["scope"], scope, "{name}: {answer}");
    }
    // What is asked for here never depends on the server's table.
    let layer = server.layer(AUDIENCE);
    let downstream = server.downstream(STOCK, &server.orders, URL);
    assert_eq!(refusal(&layer, downstream, &unscoped).await, Some("exchange_scope_not_granted"));
}

/// What the server answers to a request that this library did not make.
async fn exchanged(server: &Authgent, client: &Registered, token: &str, target: &str, scope: &str) -> Value {
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", target),
        ("scope", scope),
        ("client_id", &client.id),
        ("client_secret", &client.secret),
    ];
    let request = server.http.post(format!("{}/token", server.issuer)).form(&form);
    request.send().await.unwrap().json().await.unwrap()
}
