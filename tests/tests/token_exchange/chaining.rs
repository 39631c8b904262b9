//! Tokens of another domain, by way of a grant of one's own: identity chaining, and ID-JAG.

use std::sync::{Arc, Mutex};

use axum::{Router, routing::get};
use integration_tests::{Served, World};
use serde_json::{Value, json};
use tower_delegation::{
    DelegationContext, DelegationLayer, Dpop, Requirement, TrustedIssuer,
    audit::{Audit, AuditEvent, AuditSink, SinkError},
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, Exchange, Flow},
    issuer::ClaimMapping,
};
use tower_delegation_testing::{ExchangeFault, MockClient, MockIssuer, TokenBuilder, USER_CLAIM};

use crate::shop::{ORDERS, STOCK, server};

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// What orders is to the partner.
const GUEST: &str = "guest-orders";

/// Hears which exchanges gave the subject another name.
#[derive(Clone, Debug, Default)]
struct Remapped(Arc<Mutex<Vec<bool>>>);

impl AuditSink for Remapped {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        self.0.lock().unwrap().extend(event.exchange().map(|exchange| exchange.is_subject_remapped()));
        Ok(())
    }
}

/// The domain of the caller, and that of stock.
struct Domains {
    world: World,
    partner: MockIssuer,
    layer: DelegationLayer,
    exchange: Exchange,
    stock: Served,
    remapped: Remapped,
}

/// The terms of the partner, which speaks for the actors of the caller's domain.
fn terms(world: &World, partner: &MockIssuer) -> TrustedIssuer {
    TrustedIssuer::discover(partner.issuer())
        .unwrap()
        .may_speak_for(world.idp.issuer())
        .claim_mapping(ClaimMapping::rfc9068().tenant("tenant"))
        .add_user_claim(USER_CLAIM)
}

impl Domains {
    async fn new(
        flow: fn(AuthorizationServer) -> Flow,
        downstream: impl FnOnce(Downstream) -> Downstream,
    ) -> Self {
        let world = World::new().await;
        let partner = world.idp.issuer_at("/partner");
        partner.accept_grants_of(&world.idp);
        partner.name_subject("alice", "a.smith");
        partner.register(MockClient::new(GUEST).secret_post("g"));
        let client = MockClient::new(ORDERS).secret_basic("s3cret/+: ü");
        world.idp.register(client.known_as(partner.issuer(), GUEST));
        let second = AuthorizationServer::discover(partner.issuer())
            .unwrap()
            .client(GUEST, ClientAuthentication::secret_post("g"));
        let issuer = terms(&world, &partner).add_audience(STOCK);
        let builder = DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone());
        let seen = async |delegation: DelegationContext| {
            let names =
                |actor: &tower_delegation::token::Actor| format!("{}: {}", actor.issuer(), actor.id());
            axum::Json(json!({
                "sub": delegation.subject().id().as_str(),
                "actors": delegation.actors().iter().map(names).collect::<Vec<_>>(),
                "scope": delegation.scopes().as_str(),
            }))
        };
        let stock = Served::start_with(|base| {
            let layer = builder.dpop(Dpop::at(base)).build().unwrap();
            Router::new().route("/items", get(seen)).layer(layer)
        })
        .await;
        let usual = Downstream::new("stock", &stock.base, second)
            .resource(STOCK)
            .flow(flow(server(&world)))
            .require(Requirement::named("calls stock").on_behalf_of_user())
            .add_scopes(["stock:read"])
            .reads(terms(&world, &partner));
        let remapped = Remapped::default();
        let layer = world.layer().add_audit(Audit::inline(remapped.clone())).build().unwrap();
        let exchange = layer.exchange(downstream(usual)).unwrap();
        Self { world, partner, layer, exchange, stock, remapped }
    }

    fn token(&self) -> TokenBuilder {
        self.world.token().scopes(["stock:read"])
    }

    /// The reason for which there is no token.
    async fn refusal(&self) -> Option<(u16, &'static str)> {
        let token = self.token().claim("act", json!({ "sub": "planner" })).sign();
        let context = self.layer.authenticator().verify(&token).await.unwrap();
        let error = self.exchange.on_behalf_of(&context).token().await.err()?;
        Some((error.rejection().status().as_u16(), error.reason().code()))
    }

    /// What stock saw of a call for this token.
    async fn seen(&self, token: &str) -> Value {
        let context = self.layer.authenticator().verify(token).await.unwrap();
        let token = self.exchange.on_behalf_of(&context).token().await.unwrap();
        let url = format!("{}items", self.exchange.url());
        let mut request = http::Request::get(url).body(reqwest::Body::default()).unwrap();
        token.authorize(&mut request).unwrap();
        let response = reqwest::Client::default().execute(request.try_into().unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_user_is_known_in_another_domain() {
    for (name, flow, token_type, resource) in [
        ("identity chaining", Flow::identity_chaining as fn(AuthorizationServer) -> Flow, JWT, None),
        ("ID-JAG", Flow::id_jag, ID_JAG, Some(STOCK)),
    ] {
        let domains = Domains::new(flow, Downstream::subject_remapped).await;
        let own = domains.world.idp.issuer();
        let token = domains.token().claim("act", json!({ "sub": "planner" })).sign();
        let seen = domains.seen(&token).await;
        assert_eq!(seen["sub"], "a.smith", "CHAIN-2.5-1: {name}");
        let actors = json!([format!("{own}: {ORDERS}"), format!("{own}: planner")]);
        assert_eq!(seen["actors"], actors, "8693-c7: {name}");
        assert_eq!(seen["scope"], "stock:read", "{name}");
        assert_eq!(*domains.remapped.0.lock().unwrap(), [true], "8693-c7: the event says so: {name}");

        let first = domains.world.idp.last_token_request().unwrap();
        assert_eq!(first.parameter("requested_token_type"), Some(token_type), "CHAIN-2.3-1, IDJAG-4.3-1");
        assert_eq!(first.parameter("audience"), Some(domains.partner.issuer()), "CHAIN-2.3-1: {name}");
        assert_eq!(first.parameter("resource"), resource, "{name}");
        assert_eq!(first.parameter("subject_token"), Some(&*token), "CHAIN-rs-2: {name}");
        let second = domains.partner.last_token_request().unwrap();
        let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        assert_eq!(second.parameter("grant_type"), Some(grant_type), "CHAIN-2.4-1: {name}");
        assert_eq!(second.client_id(), Some(GUEST), "IDJAG-4.4.1-1: {name}");
        assert_eq!(second.parameter("subject_token"), None, "the partner never sees the caller's token");
        let grant = second.parameter("assertion").unwrap();
        assert_ne!(grant, token, "{name}");

        // A grant that was seen on its way opens nothing.
        let answer = domains.stock.get("/items", grant).await;
        assert_eq!(answer.status, 401, "CHAIN-rs-1, IDJAG-rs-1: {name}");
        assert!(domains.layer.authenticator().verify(grant).await.is_err(), "CHAIN-rs-1, IDJAG-rs-1: {name}");

        domains.seen(&token).await;
        assert_eq!(domains.partner.token_requests().len(), 1, "{name}: it is kept");
    }
}

#[tokio::test]
async fn another_name_of_the_subject_is_declared() {
    let domains = Domains::new(Flow::id_jag, |stock| stock).await;
    assert_eq!(domains.refusal().await, Some((503, "exchange_subject_changed")));
}

#[tokio::test]
async fn a_grant_is_nothing_but_a_grant() {
    for (name, member, value, expected) in [
        ("control", "expires_in", json!(60), None),
        (
            "CHAIN-2.3-1: an access token",
            "token_type",
            json!("Bearer"),
            Some((503, "exchange_type_mismatch")),
        ),
        (
            "of another type",
            "issued_token_type",
            json!("urn:ietf:params:oauth:token-type:access_token"),
            Some((503, "exchange_type_mismatch")),
        ),
        ("the other kind of grant", "issued_token_type", json!(JWT), Some((503, "exchange_type_mismatch"))),
        ("of no type", "issued_token_type", Value::Null, Some((503, "exchange_type_mismatch"))),
        ("with a refresh token", "refresh_token", json!("r"), Some((503, "exchange_refresh_token"))),
        ("for more", "scope", json!("stock:read admin"), Some((503, "exchange_scope_wider"))),
    ] {
        let domains = Domains::new(Flow::id_jag, Downstream::subject_remapped).await;
        domains.world.idp.set_token_answer(member, value);
        assert_eq!(domains.refusal().await, expected, "{name}");
        let asked = domains.partner.token_requests().len();
        assert_eq!(asked, usize::from(expected.is_none()), "{name}: nothing is sent to the partner");
    }
}

#[tokio::test]
async fn what_the_partner_issues_is_verified() {
    use ExchangeFault as F;
    for (fault, expected) in [
        (F::WiderScope, "exchange_scope_wider"),
        (F::OtherAudience, "exchange_audience_mismatch"),
        (F::SecondAudience, "exchange_audience_mismatch"),
        (F::ActorDropped, "exchange_actor_missing"),
        (F::ActorReplaced, "exchange_actor_mismatch"),
        (F::ChainCut, "exchange_chain_changed"),
        (F::LongerLife, "exchange_life_too_long"),
        (F::OtherType, "exchange_unreadable"),
        (F::Unbound, "exchange_binding_mismatch"),
        (F::OtherIssuer, "exchange_issuer_mismatch"),
        // CHAIN-2.4-2.
        (F::RefreshTokenAdded, "exchange_refresh_token"),
    ] {
        let domains =
            Domains::new(Flow::identity_chaining, |stock| stock.subject_remapped().dpop_bound()).await;
        domains.partner.misissue_next(fault);
        assert_eq!(domains.refusal().await, Some((503, expected)), "{fault:?}");
    }
}

#[tokio::test]
async fn a_token_of_another_domain_is_bound_too() {
    let domains = Domains::new(Flow::id_jag, |stock| stock.subject_remapped().dpop_bound()).await;
    domains.partner.require_dpop_nonce();
    assert_eq!(domains.seen(&domains.token().sign()).await["sub"], "a.smith");
    let (first, second) = (domains.world.idp.token_requests(), domains.partner.token_requests());
    assert_eq!((first.len(), second.len()), (1, 2), "9449-9-1: each server has nonces of its own");
}

#[tokio::test]
async fn a_refusal_of_the_partner_is_not_the_callers() {
    for (name, client, expected) in [
        ("control", GUEST, None),
        ("IDJAG-4.4.1-1: the grant is another client's", "another", Some((503, "exchange_refused"))),
    ] {
        let domains = Domains::new(Flow::id_jag, Downstream::subject_remapped).await;
        let orders = MockClient::new(ORDERS).secret_basic("s3cret/+: ü");
        domains.world.idp.register(orders.known_as(domains.partner.issuer(), client));
        assert_eq!(domains.refusal().await, expected, "7523-2.1-1: {name}");
    }
    let domains = Domains::new(Flow::id_jag, Downstream::subject_remapped).await;
    domains.partner.register(MockClient::new(GUEST).secret_post("another"));
    assert_eq!(domains.refusal().await, Some((500, "exchange_misconfigured")), "CHAIN-rs-2");
}
