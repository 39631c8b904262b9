//! What the server hands out as it should.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use integration_tests::{AUDIENCE, AuditLog};
use serde_json::json;
use tower_delegation::{
    Requirement,
    audit::{Audit, AuditEvent, AuditSink, SinkError},
    clock::{Clock as _, SystemClock},
    exchange::{ActorMode, ClientAuthentication, Downstream},
};

use crate::oidc_provider::claims_of;

use super::{ARCHIVE, Authgent, EXCHANGED_LIFE, STOCK, USER, ask, call, refusal, serve};

#[tokio::test]
async fn each_hop_names_the_user_and_every_service_before_it() {
    let Some(server) = Authgent::start().await else { return };
    let (orders, stock) = (server.layer(AUDIENCE), server.layer(STOCK));
    let at_stock = serve(server.builder(STOCK)).await;
    let at_archive = serve(server.builder(ARCHIVE)).await;
    let to_stock = orders.exchange(server.downstream(STOCK, &server.orders, &at_stock.base)).unwrap();
    let to_archive = stock.exchange(server.downstream(ARCHIVE, &server.stock, &at_archive.base)).unwrap();

    let first = server.user_token("stock:read orders:read").await;
    let caller = orders.authenticator().verify(&first).await.unwrap();
    let heard = AuditLog::listen();
    let (seen, second) = call(&to_stock, &caller).await;
    let expected = json!({
        "sub": USER,
        "user": true,
        "actors": [server.orders.subject()],
        "client": server.orders.id,
        "aud": [STOCK],
        "scope": "stock:read",
    });
    assert_eq!(seen, expected, "8693-4.1-2");
    let events = heard.take();
    let exchange = events.iter().find(|event| event.field("downstream") == "next").unwrap();
    assert_eq!(exchange.field("decision"), "allow");
    assert_eq!(exchange.field("verified"), "token");

    let caller = stock.authenticator().verify(&second).await.unwrap();
    let (seen, third) = call(&to_archive, &caller).await;
    assert_eq!(seen["sub"], USER);
    assert_eq!(seen["actors"], json!([server.stock.subject(), server.orders.subject()]), "8693-4.1-2");
    assert_eq!(seen["aud"], json!([ARCHIVE]));
    assert_eq!(seen["scope"], "stock:read");

    // MCP-3: the token of each hop is for one service.
    for (name, service, own, others) in
        [("stock", &at_stock, &second, [&first, &third]), ("archive", &at_archive, &third, [&first, &second])]
    {
        assert_eq!(service.get("/", own).await.status, 200, "{name}");
        for other in others {
            assert_eq!(service.get("/", other).await.status, 401, "{name}");
        }
    }
}

#[tokio::test]
async fn each_way_of_asking_that_it_knows_is_taken() {
    let Some(server) = Authgent::start().await else { return };
    let layer = server.layer(AUDIENCE);
    let token = server.user_token("stock:read").await;
    let (orders, url) = (&server.orders, "https://stock.example.com");
    let usual = || server.downstream(STOCK, orders, url);
    let basic = ClientAuthentication::secret_basic(orders.secret.as_str());
    let rows = [
        ("by resource", usual()),
        ("by audience", usual().ask_by_audience()),
        (
            "by another name than its place",
            usual().resource("urn:example:stock").audience("urn:example:stock"),
        ),
        ("actor recorded only", usual().actor_mode(ActorMode::RecordedOnly)),
        ("not read", server.bare(STOCK, orders, url).opaque("a test of the answer alone")),
        (
            "client_secret_basic",
            Downstream::new("next", url, server.server_with(orders, basic))
                .resource(STOCK)
                .require(Requirement::named("calls").on_behalf_of_user())
                .add_scopes(["stock:read"])
                .reads(server.terms())
                .acts_as(server.issuer.as_str(), orders.subject()),
        ),
    ];
    for (name, downstream) in rows {
        assert_eq!(refusal(&layer, downstream, &token).await, None, "{name}");
    }
}

#[tokio::test]
async fn a_token_bound_to_the_key_of_the_exchange_is_good_with_its_proof_alone() {
    let Some(server) = Authgent::start().await else { return };
    let layer = server.layer(AUDIENCE);
    let at_stock = serve(server.builder(STOCK)).await;
    let bound = server.downstream(STOCK, &server.orders, &at_stock.base).dpop_bound();
    let exchange = layer.exchange(bound).unwrap();
    let token = server.user_token("stock:read").await;
    let caller = layer.authenticator().verify(&token).await.unwrap();
    let (seen, token) = call(&exchange, &caller).await;
    assert_eq!(seen["actors"], json!([server.orders.subject()]));
    assert!(claims_of(&token)["cnf"]["jkt"].is_string());
    assert_eq!(at_stock.get("/", &token).await.status, 401, "9449-7.2-1: as a bearer token");
}

/// Counts the events of tokens that outlive their caller's.
#[derive(Clone, Debug, Default)]
struct Outliving(Arc<AtomicUsize>);

impl AuditSink for Outliving {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        if event.exchange().is_some_and(|exchange| exchange.outlives_caller()) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Each exchange begins a full life, whatever is left of the caller's.
#[tokio::test]
async fn its_lives_are_renewed_and_not_used() {
    let settings = [("AUTHGENT_ACCESS_TOKEN_TTL", "120")];
    let Some(server) = Authgent::start_with(&settings).await else { return };
    let outliving = Outliving::default();
    let layer = server.builder(AUDIENCE).add_audit(Audit::inline(outliving.clone())).build().unwrap();
    let caller = server.user_token("stock:read").await;
    let usual = || server.downstream(STOCK, &server.orders, "https://stock.example.com");

    let token = ask(&layer, usual(), &caller, &[]).await.unwrap();
    let end = layer.authenticator().verify(&caller).await.unwrap().expires_at();
    assert!(end < SystemClock::new().now().saturating_add(EXCHANGED_LIFE));
    assert_eq!(token.used_until(), end, "8693-c7: no longer than the caller's");
    assert_eq!(outliving.0.load(Ordering::Relaxed), 1, "the event says so");

    let capped = usual().issuer_caps_life();
    assert_eq!(refusal(&layer, capped, &caller).await, Some("exchange_life_too_long"));
}
