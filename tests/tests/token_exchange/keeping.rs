//! A token is kept for the token that it was exchanged for, and used no longer than that.

use std::time::Duration;

use http::Response;
use integration_tests::World;
use serde_json::json;
use tower_delegation::{
    Applications,
    application::{Application, ApplicationBuilder, ApplicationKind},
    names::{ClientId, IssuerUrl},
    revocation::{InMemoryRevocations, Revocation},
};
use tower_delegation_testing::{Endpoint, ExchangeLife, MockClient};

use crate::shop::{ORDERS, STOCK, Shop};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_with_one_token_cause_one_exchange() {
    let shop = Shop::new().await;
    let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
    let hold = shop.world.idp.hold(Endpoint::Token);
    let calls: Vec<_> = (0..1_000)
        .map(|_| {
            let (exchange, context) = (shop.exchange.clone(), context.clone());
            tokio::spawn(async move { exchange.on_behalf_of(&context).token().await })
        })
        .collect();
    shop.world.idp.wait_for_requests(Endpoint::Token, 1).await;
    hold.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(shop.exchanges(), 1, "8693-c2");
    assert_eq!(shop.exchange.kept_tokens().await, 1);
}

#[tokio::test]
async fn what_is_kept_is_for_one_token_and_one_set_of_scopes() {
    let shop = Shop::new().await;
    let authenticator = shop.layer.authenticator();
    let one = authenticator.verify(&shop.token().scopes(["stock:read", "stock:write"]).sign()).await.unwrap();
    // Of the same subject, by the same client.
    let other =
        authenticator.verify(&shop.token().scopes(["stock:read", "stock:write"]).sign()).await.unwrap();
    for (name, context, scope, exchanges) in [
        ("new", &one, None, 1),
        ("kept", &one, None, 1),
        ("other scopes", &one, Some("stock:read"), 2),
        ("other scopes, kept", &one, Some("stock:read"), 2),
        ("another token of the same subject", &other, None, 3),
        ("the first again", &one, None, 3),
    ] {
        let request = shop.exchange.on_behalf_of(context);
        let request = match scope {
            Some(scope) => request.scope(scope),
            None => request,
        };
        request.token().await.unwrap();
        assert_eq!(shop.exchanges(), exchanges, "8693-c1: {name}");
    }
}

#[tokio::test]
async fn a_token_is_replaced_before_its_end_and_never_used_past_the_callers() {
    let shop =
        Shop::with(|layer| layer.leeway(Duration::ZERO), |stock| stock.margin(Duration::from_secs(10))).await;
    shop.world.idp.set_exchange_life(ExchangeLife::Renewed);
    let token = shop.token().expires_in(2 * MINUTE).sign();
    let context = shop.layer.authenticator().verify(&token).await.unwrap();
    let issued = shop.exchange.on_behalf_of(&context).token().await.unwrap();
    assert_eq!(issued.used_until(), context.expires_at(), "8693-c7: the caller's end comes first");
    shop.world.clock.advance(MINUTE);
    shop.exchange.on_behalf_of(&context).token().await.unwrap();
    assert_eq!(shop.exchanges(), 1);
    shop.world.clock.advance(Duration::from_secs(51));
    shop.exchange.on_behalf_of(&context).token().await.unwrap();
    assert_eq!(shop.exchanges(), 2, "nine seconds before its end it is replaced");
    shop.world.clock.advance(Duration::from_secs(9));
    let over = shop.exchange.on_behalf_of(&context).token().await.unwrap_err();
    assert_eq!(over.reason().code(), "token_expired");
    assert_eq!(over.rejection().status(), 401);
    assert_eq!(shop.exchanges(), 2, "nothing is asked for a caller whose time is over");
}

#[tokio::test]
async fn an_issuer_that_is_said_to_cap_life_must() {
    for (life, caps, code) in [
        (ExchangeLife::Capped, true, None),
        (ExchangeLife::Renewed, false, None),
        (ExchangeLife::Renewed, true, Some("exchange_life_too_long")),
    ] {
        let shop =
            Shop::with(|layer| layer, |stock| if caps { stock.issuer_caps_life() } else { stock }).await;
        shop.world.idp.set_exchange_life(life);
        let context =
            shop.layer.authenticator().verify(&shop.token().expires_in(MINUTE).sign()).await.unwrap();
        let outcome = shop.exchange.on_behalf_of(&context).token().await;
        assert_eq!(outcome.err().map(|error| error.reason().code()), code, "{life:?} {caps}");
        let status = shop.exchange.status();
        let outlives = u64::from(life == ExchangeLife::Renewed && !caps);
        assert_eq!(status.outliving_caller, outlives, "{life:?} {caps}");
        assert_eq!((status.issued, status.failed), if code.is_none() { (1, 0) } else { (0, 1) });
    }
}

#[tokio::test]
async fn a_revoked_caller_gets_nothing_at_once_and_what_was_kept_is_gone() {
    let revocations = InMemoryRevocations::new();
    let shop = Shop::with(|layer| layer.revocations(revocations.clone()), |stock| stock).await;
    let issuer = IssuerUrl::from(shop.world.idp.issuer());
    let (alice, bob) = (shop.token().sign(), shop.token().user("bob").sign());
    for token in [&alice, &bob] {
        assert_eq!(shop.call(token).await.status, 200);
    }
    assert_eq!(shop.exchange.kept_tokens().await, 2);
    revocations.revoke(Revocation::subject(issuer, "alice")).unwrap();
    assert_eq!(shop.call(&alice).await.status, 401);
    assert_eq!(shop.call(&bob).await.status, 200, "of others nothing is gone");
    assert_eq!(shop.exchanges(), 2);
    assert_eq!(shop.exchange.kept_tokens().await, 1, "the token of the revoked subject is not kept");
}

#[tokio::test]
async fn a_caller_that_is_revoked_while_the_server_answers_gets_nothing() {
    let revocations = InMemoryRevocations::new();
    let shop = Shop::with(|layer| layer.revocations(revocations.clone()), |stock| stock).await;
    let context = shop.layer.authenticator().verify(&shop.token().sign()).await.unwrap();
    let hold = shop.world.idp.hold(Endpoint::Token);
    let exchange = shop.exchange.clone();
    let call = tokio::spawn(async move { exchange.on_behalf_of(&context).token().await });
    shop.world.idp.wait_for_requests(Endpoint::Token, 1).await;
    let issuer = IssuerUrl::from(shop.world.idp.issuer());
    revocations.revoke(Revocation::client(issuer, ClientId::from("shop-web"))).unwrap();
    hold.release();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.reason().code(), "client_revoked");
}

fn application(world: &World) -> ApplicationBuilder {
    Application::builder("shop", ApplicationKind::Application)
        .issuer(world.idp.issuer())
        .add_client_id("shop-web")
        .acts_for_users()
        .allow_any_workload()
}

#[tokio::test]
async fn scopes_that_are_taken_back_while_the_server_answers_are_not_used() {
    let world = World::new().await;
    let registry = |scopes: &[&str]| {
        Applications::builder().add_application(application(&world).add_scopes(scopes.iter().copied()))
    };
    let applications = registry(&["stock:read", "stock:write"]).build().unwrap();
    let (less, handle) = (registry(&["stock:read"]), applications.clone());
    let shop = Shop::of(world, |layer| layer.applications(handle), |stock| stock).await;
    let client = MockClient::new(ORDERS).secret_basic("s3cret/+: ü");
    shop.world.idp.register(client.exchanges_for(STOCK, ["stock:read", "stock:write"]));
    let token = shop.token().scopes(["stock:read", "stock:write"]).sign();
    let context = shop.layer.authenticator().verify(&token).await.unwrap();
    let hold = shop.world.idp.hold(Endpoint::Token);
    let (exchange, caller) = (shop.exchange.clone(), context.clone());
    let call = tokio::spawn(async move { exchange.on_behalf_of(&caller).token().await });
    shop.world.idp.wait_for_requests(Endpoint::Token, 1).await;
    applications.replace(less).unwrap();
    hold.release();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.reason().code(), "exchange_scope_not_granted");
    let issued = shop.exchange.on_behalf_of(&context).token().await.unwrap();
    assert_eq!(issued.scopes().as_str(), "stock:read");
}

#[tokio::test]
async fn details_that_are_taken_back_are_not_used_with_a_kept_token() {
    let world = World::new().await;
    let registry = |types: &[&str]| {
        let application = application(&world).add_scopes(["stock:read"]);
        Applications::builder()
            .add_application(application.add_authorization_detail_types(types.iter().copied()))
    };
    let applications = registry(&["payment"]).build().unwrap();
    let (less, handle) = (registry(&["other"]), applications.clone());
    let shop = Shop::of(
        world,
        |layer| layer.applications(handle),
        |stock| stock.add_authorization_detail_type("payment"),
    )
    .await;
    let details = json!([{ "type": "payment" }]);
    let caller = shop.token().claim("authorization_details", details.clone()).sign();
    let token =
        shop.world.token().audience(STOCK).scopes(["stock:read"]).claim("act", json!({ "sub": ORDERS }));
    let answer = json!({
        "access_token": token.claim("authorization_details", details).sign(),
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
    });
    let answer = Response::builder().header("content-type", "application/json").body(answer.to_string());
    shop.world.idp.answer_with(Endpoint::Token, answer.unwrap());
    let context = shop.layer.authenticator().verify(&caller).await.unwrap();
    shop.exchange.on_behalf_of(&context).token().await.unwrap();
    applications.replace(less).unwrap();
    let error = shop.exchange.on_behalf_of(&context).token().await.unwrap_err();
    assert_eq!(error.reason().code(), "exchange_details_wider");
}

#[tokio::test]
async fn a_suspended_application_gets_nothing_at_once() {
    let world = World::new().await;
    let registry = |active: bool| {
        let shop = Application::builder("shop", ApplicationKind::Application)
            .issuer(world.idp.issuer())
            .add_client_id("shop-web")
            .add_scopes(["stock:read", "orders:read"])
            .acts_for_users()
            .allow_any_workload();
        Applications::builder().add_application(if active { shop } else { shop.suspended() })
    };
    let applications = registry(true).build().unwrap();
    let (suspended, handle) = (registry(false), applications.clone());
    let shop = Shop::of(world, |layer| layer.applications(handle), |stock| stock).await;
    let token = shop.token().sign();
    let context = shop.layer.authenticator().verify(&token).await.unwrap();
    shop.exchange.on_behalf_of(&context).token().await.unwrap();
    applications.replace(suspended).unwrap();
    let error = shop.exchange.on_behalf_of(&context).token().await.unwrap_err();
    assert_eq!(error.reason().code(), "client_suspended");
    assert_eq!(error.rejection().status(), 403);
    assert_eq!(shop.exchanges(), 1);
}
