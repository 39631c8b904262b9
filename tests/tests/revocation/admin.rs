//! Revoking over HTTP.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use integration_tests::{Answer, AuditLog, Served};
use reqwest::Method;
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity, Requirement, RouteTable, RouteTableLayer,
    clock::{Clock, Timestamp},
    credential::PeerInfo,
    revocation::{
        InMemoryRevocations, Revocation, RevocationError, RevocationFuture, RevocationList, RevocationPage,
        RevocationSink, RevocationTarget,
    },
    routing::{AnyCaller, Authorized, GuardedRouter, get, revocation_routes},
};

use crate::Fixture;

/// A service whose operators may revoke.
struct Site {
    world: Fixture,
    service: Served,
    operator: String,
}

async fn whoami(_: Authorized<AnyCaller>, delegation: tower_delegation::DelegationContext) -> String {
    delegation.subject().id().to_string()
}

impl Site {
    async fn new(capacity: usize) -> Self {
        let world = Fixture::with(|store| store.max_entries(capacity)).await;
        let sink = world.revocations.clone();
        Self::with_sink(world, sink).await
    }

    async fn with_sink(world: Fixture, sink: impl RevocationSink) -> Self {
        let identity = ClientIdentity::from_tls();
        let layer = world.layer().client_identity(identity).revocations(world.revocations.clone());
        let layer = layer.build().unwrap();
        layer.warm_up().await.unwrap();
        let operators = Requirement::named("operators").scope("revocations:write");
        let routes = revocation_routes(sink, operators).unwrap();
        let router = GuardedRouter::new().route("/", get(whoami)).nest("/revocations", routes);
        // What a TLS listener would say of the other end.
        let peer = PeerInfo::new(([127, 0, 0, 1], 1).into());
        let router = router.behind(layer).unwrap().layer(axum::Extension(peer));
        let operator =
            world.idp.token().subject("olga").client("console").scopes(["revocations:write"]).sign();
        Self { world, service: Served::start(router).await, operator }
    }

    async fn post(&self, path: &str, token: &str, body: String) -> Answer {
        let request = self.service.request(Method::POST, path);
        Answer::of(request.bearer_auth(token).header("content-type", "application/json").body(body)).await
    }

    async fn order(&self, token: &str, body: String) -> Answer {
        self.post("/revocations", token, body).await
    }

    async fn revoke(&self, order: Value) -> Answer {
        self.order(&self.operator, order.to_string()).await
    }

    async fn lift(&self, order: Value) -> Answer {
        self.post("/revocations/lift", &self.operator, order.to_string()).await
    }

    async fn list(&self, query: &str) -> Value {
        let answer = self.service.get(&format!("/revocations{query}"), &self.operator).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    async fn status(&self, token: &str) -> u16 {
        self.service.get("/", token).await.status
    }
}

#[tokio::test]
async fn an_operator_revokes() {
    type Order = fn(&str, i64) -> Value;
    let rows: [(&str, Order, bool); 9] = [
        ("a token", |iss, _| json!({"target": "token", "issuer": iss, "id": "t-1"}), true),
        ("a subject", |iss, _| json!({"target": "subject", "issuer": iss, "id": "alice"}), true),
        ("a session", |iss, _| json!({"target": "session", "issuer": iss, "id": "session-1"}), true),
        ("a client", |iss, _| json!({"target": "client", "issuer": iss, "id": "shop-web"}), true),
        ("an actor", |iss, _| json!({"target": "actor", "issuer": iss, "id": "bot"}), true),
        ("a workload", |_, _| json!({"target": "workload", "id": "spiffe://example.org/shop"}), false),
        ("a certificate", |_, _| json!({"target": "certificate", "id": "A".repeat(43)}), false),
        (
            "up to now",
            |iss, now| json!({"target": "subject", "issuer": iss, "id": "alice", "issued_before": now}),
            true,
        ),
        (
            "up to then",
            |iss, now| json!({"target": "subject", "issuer": iss, "id": "alice", "issued_before": now - 39}),
            false,
        ),
    ];
    for (name, order, hits) in rows {
        let site = Site::new(100).await;
        let token = site.world.token().sign();
        assert_eq!(site.status(&token).await, 200, "{name}");
        let now = site.world.clock.now().unix_seconds();
        assert_eq!(site.revoke(order(site.world.issuer(), now)).await.status, 204, "{name}");
        assert_eq!(site.status(&token).await, if hits { 401 } else { 200 }, "{name}");
    }
}

#[tokio::test]
async fn nobody_else_revokes() {
    let site = Site::new(100).await;
    let order = json!({"target": "subject", "issuer": site.world.issuer(), "id": "alice"}).to_string();
    let token = site.world.token().sign();
    assert_eq!(site.order(&token, order.clone()).await.status, 403);
    assert_eq!(site.order("nonsense", order.clone()).await.status, 401);
    let anonymous = site.service.request(Method::POST, "/revocations").body(order);
    assert_eq!(Answer::of(anonymous).await.status, 401);
    assert_eq!(site.status(&token).await, 200);
    assert!(site.world.revocations.is_empty());
}

#[test]
fn a_requirement_that_lets_any_token_revoke_is_refused() {
    let writers = || Requirement::named("writers").scope("revocations:write");
    let end = Timestamp::from_unix_seconds(4_000_000_000);
    let excepted = |requirement: Requirement| requirement.exception("until the migration", end);
    for (name, requirement) in [
        ("demands nothing", Requirement::new()),
        ("demands nothing, in shadow mode", Requirement::new().shadow()),
        ("contradicts itself", Requirement::new().delegated().not_delegated()),
        ("in shadow mode", writers().shadow()),
        ("with an exception", excepted(writers())),
        ("a part in shadow mode", Requirement::new().all_of([writers().shadow()])),
        ("an alternative with an exception", Requirement::new().any_of([excepted(writers())])),
        ("a part that demands nothing", Requirement::new().any_of([writers(), Requirement::new()])),
        (
            "an excluded part in shadow mode, deep inside",
            writers().all_of([Requirement::new().not(Requirement::new().client("x").shadow())]),
        ),
    ] {
        assert!(revocation_routes::<()>(InMemoryRevocations::new(), requirement).is_err(), "{name}");
    }
    assert!(revocation_routes::<()>(InMemoryRevocations::new(), writers()).is_ok());
}

#[test]
fn the_routes_are_in_the_inventory() {
    let operators = Requirement::named("operators").scope("revocations:write");
    let routes = revocation_routes(InMemoryRevocations::new(), operators).unwrap();
    let router = GuardedRouter::<()>::new().nest("/revocations", routes);
    let rule = r#"operators: scope "revocations:write""#;
    let expected = format!(
        "POST  /revocations       {rule}\nGET   /revocations       {rule}\nPOST  /revocations/lift  {rule}\n"
    );
    assert_eq!(router.inventory().to_string(), expected);
    assert_eq!(router.inventory().scopes(), ["revocations:write"]);
}

#[tokio::test]
async fn orders_that_are_not_clear_revoke_nothing() {
    type Order = fn(&str, i64) -> Value;
    const MILLION_YEARS: i64 = 31_557_600_000_000;
    let rows: [(&str, &str, Order); 30] = [
        ("no target", "unreadable", |iss, _| json!({"issuer": iss, "id": "x"})),
        ("unknown target", "unreadable", |iss, _| json!({"target": "planet", "issuer": iss, "id": "x"})),
        ("no id", "unreadable", |iss, _| json!({"target": "subject", "issuer": iss})),
        ("id no string", "unreadable", |iss, _| json!({"target": "subject", "issuer": iss, "id": 1})),
        (
            "a member too many",
            "unreadable",
            |iss, _| json!({"target": "subject", "issuer": iss, "id": "x", "sid": "y"}),
        ),
        (
            "a misspelt limit",
            "unreadable",
            |iss, _| json!({"target": "subject", "issuer": iss, "id": "x", "before": 1}),
        ),
        (
            "a limit as text",
            "unreadable",
            |iss, _| json!({"target": "subject", "issuer": iss, "id": "x", "until": "1"}),
        ),
        (
            "in the name of another",
            "unreadable",
            |iss, _| json!({"target": "subject", "issuer": iss, "id": "x", "revoked_by": "nadia"}),
        ),
        (
            "at another time",
            "unreadable",
            |iss, now| json!({"target": "subject", "issuer": iss, "id": "x", "revoked_at": now}),
        ),
        ("no issuer", "invalid_target", |_, _| json!({"target": "subject", "id": "x"})),
        ("no SPIFFE ID", "invalid_target", |_, _| json!({"target": "workload", "id": "shop"})),
        (
            "a workload of an issuer",
            "invalid_target",
            |iss, _| json!({"target": "workload", "issuer": iss, "id": "spiffe://a/b"}),
        ),
        ("no thumbprint", "invalid_target", |_, _| json!({"target": "certificate", "id": "AAAA"})),
        (
            "a thumbprint in hex",
            "invalid_target",
            |_, _| json!({"target": "certificate", "id": "ab".repeat(32)}),
        ),
        ("empty issuer", "matches_nothing", |_, _| json!({"target": "subject", "issuer": "", "id": "x"})),
        ("empty id", "matches_nothing", |iss, _| json!({"target": "subject", "issuer": iss, "id": ""})),
        (
            "empty id of a token",
            "matches_nothing",
            |iss, _| json!({"target": "token", "issuer": iss, "id": ""}),
        ),
        (
            "a trust domain",
            "matches_nothing",
            |_, _| json!({"target": "workload", "id": "spiffe://example.org"}),
        ),
        (
            "an issuer with a slash",
            "issuer_not_trusted",
            |iss, _| json!({"target": "subject", "issuer": format!("{iss}/"), "id": "alice"}),
        ),
        (
            "the token of another issuer",
            "issuer_not_trusted",
            |_, _| json!({"target": "token", "issuer": "https://other.example.com", "id": "t-1"}),
        ),
        (
            "the session of another issuer",
            "issuer_not_trusted",
            |_, _| json!({"target": "session", "issuer": "https://other.example.com", "id": "session-1"}),
        ),
        (
            "the client of another issuer",
            "issuer_not_trusted",
            |_, _| json!({"target": "client", "issuer": "https://other.example.com", "id": "shop-web"}),
        ),
        (
            "the actor of another issuer",
            "issuer_not_trusted",
            |_, _| json!({"target": "actor", "issuer": "https://other.example.com", "id": "bot"}),
        ),
        (
            "an end that has passed",
            "until_passed",
            |iss, now| json!({"target": "subject", "issuer": iss, "id": "alice", "until": now}),
        ),
        (
            "a duration as the end",
            "not_a_time",
            |iss, _| json!({"target": "subject", "issuer": iss, "id": "alice", "until": 3600}),
        ),
        (
            "a duration as the limit",
            "not_a_time",
            |iss, _| json!({"target": "subject", "issuer": iss, "id": "alice", "issued_before": 86400}),
        ),
        (
            "milliseconds as the end",
            "not_a_time",
            |iss, now| json!({"target": "subject", "issuer": iss, "id": "alice", "until": now * 1000}),
        ),
        (
            "a limit far ahead",
            "issued_before_ahead",
            |iss, now| json!({"target": "subject", "issuer": iss, "id": "alice", "issued_before": now + 3600}),
        ),
        (
            "a limit absurdly far ahead",
            "not_a_time",
            |iss, _| json!({"target": "subject", "issuer": iss, "id": "alice", "issued_before": MILLION_YEARS}),
        ),
        (
            "a long reason",
            "too_long",
            |iss, _| json!({"target": "subject", "issuer": iss, "id": "alice", "reason": "x".repeat(513)}),
        ),
    ];
    let site = Site::new(100).await;
    let token = site.world.token().sign();
    let now = site.world.clock.now().unix_seconds();
    for (name, problem, order) in rows {
        let order = order(site.world.issuer(), now);
        for lifted in [false, true] {
            // Where the limits are at fault, a lift has none.
            if lifted && (order.get("until").is_some() || order.get("issued_before").is_some()) {
                continue;
            }
            if lifted && problem == "issuer_not_trusted" {
                continue;
            }
            let answer =
                if lifted { site.lift(order.clone()).await } else { site.revoke(order.clone()).await };
            assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_revocation"), "{name}");
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{name}");
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(body["problem"], problem, "{name}: {body}");
        }
    }
    for (name, body) in [("no JSON", "nonsense".to_owned()), ("a long order", " ".repeat(20_000))] {
        let answer = site.order(&site.operator, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_revocation"), "{name}");
    }
    assert!(site.world.revocations.is_empty());
    assert_eq!(site.status(&token).await, 200);
}

#[tokio::test]
async fn a_full_store_says_so() {
    let site = Site::new(1).await;
    let issuer = site.world.issuer();
    let order = |id: &str| json!({"target": "subject", "issuer": issuer, "id": id});
    assert_eq!(site.revoke(order("one")).await.status, 204);
    let token = site.world.token().sign();
    let answer = site.revoke(order("two")).await;
    assert_eq!((answer.status, answer.code().as_str()), (507, "revocations_full"));
    assert_eq!(site.status(&token).await, 401);
}

#[tokio::test]
async fn what_is_lifted_is_good_again() {
    let site = Site::new(100).await;
    let (issuer, token) = (site.world.issuer(), site.world.token().sign());
    let alice = || json!({"target": "subject", "issuer": issuer, "id": "alice"});
    assert_eq!(site.revoke(alice()).await.status, 204);
    for (name, order, status, code) in [
        ("another subject", json!({"target": "subject", "issuer": issuer, "id": "bob"}), 404, "not_revoked"),
        ("another kind", json!({"target": "client", "issuer": issuer, "id": "alice"}), 404, "not_revoked"),
        (
            "in part",
            json!({"target": "subject", "issuer": issuer, "id": "alice", "until": 4_000_000_000_u32}),
            400,
            "invalid_revocation",
        ),
    ] {
        let answer = site.lift(order).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}");
        assert_eq!(site.status(&token).await, 401, "{name}");
    }
    assert_eq!(
        site.post("/revocations/lift", &token, alice().to_string()).await.status,
        401,
        "the revoked one"
    );
    let bob = site.world.idp.token().subject("bob").client("shop-web").sign();
    assert_eq!(site.post("/revocations/lift", &bob, alice().to_string()).await.status, 403, "no operator");
    assert_eq!(site.status(&token).await, 401);
    assert_eq!(site.lift(alice()).await.status, 204);
    assert_eq!(site.status(&token).await, 200);
    assert_eq!(site.lift(alice()).await.status, 404, "once");
}

#[tokio::test]
async fn the_list_says_what_is_revoked_by_whom_and_why() {
    let site = Site::new(100).await;
    let (issuer, now) = (site.world.issuer(), site.world.clock.now().unix_seconds());
    let order = json!({
        "target": "subject", "issuer": issuer, "id": "alice", "issued_before": now, "until": now + 3600,
        "reason": "stolen laptop",
    });
    assert_eq!(site.revoke(order.clone()).await.status, 204);
    assert_eq!(site.revoke(json!({"target": "client", "issuer": issuer, "id": "x"})).await.status, 204);
    assert_eq!(site.revoke(json!({"target": "workload", "id": "spiffe://a/b"})).await.status, 204);
    let mut expected = order;
    expected["revoked_by"] = json!(format!("olga of {issuer}"));
    expected["revoked_at"] = json!(now);
    let first = site.list("?limit=2").await;
    assert_eq!(first["revocations"][0], expected);
    assert_eq!(first["revocations"].as_array().unwrap().len(), 2);
    let rest = site.list(&format!("?limit=2&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!(rest["revocations"][0]["id"], "spiffe://a/b");
    assert_eq!((rest["revocations"].as_array().unwrap().len(), rest.get("next")), (1, None));
    for (name, query) in [("no place", "?after=x"), ("no number", "?limit=x"), ("unknown", "?offset=1")] {
        let answer = site.service.get(&format!("/revocations{query}"), &site.operator).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_revocation"), "{name}");
    }
    let token = site.world.idp.token().subject("bob").client("shop-web").sign();
    assert_eq!(site.service.get("/revocations", &token).await.status, 403, "the list is for operators, too");
}

#[tokio::test]
async fn the_audit_event_says_what_by_whom_why_and_until_when() {
    let site = Site::new(100).await;
    let issuer = site.world.issuer();
    let log = AuditLog::listen();
    let order = json!({
        "target": "subject", "issuer": issuer, "id": "al\nice", "until": 4_102_444_800_u32, "reason": "stolen\nlaptop",
    });
    assert_eq!(site.revoke(order).await.status, 204);
    let event = log.one();
    let said = format!("revoke subject al\\nice of {issuer} until 2100-01-01T00:00:00Z: stolen\\nlaptop");
    assert_eq!(event.field("revocation"), said);
    assert_eq!((event.field("subject"), event.field("client")), ("olga", "console"));
    assert_eq!((event.field("decision"), event.field("requirements")), ("allow", "operators"));
    let order = json!({"target": "subject", "issuer": issuer, "id": "al\nice", "reason": "found"});
    assert_eq!(site.lift(order).await.status, 204);
    assert_eq!(log.one().field("revocation"), format!("lift subject al\\nice of {issuer}: found"));
    let refused = json!({"target": "subject", "issuer": "https://other.example.com", "id": "alice"});
    assert_eq!(site.revoke(refused).await.status, 400);
    let event = log.one();
    assert_eq!(event.field("revocation"), "revoke subject alice of https://other.example.com");
    assert_eq!(event.field("status"), "400");
    assert_eq!(site.status(&site.world.token().sign()).await, 200);
    assert_eq!(log.one().field("revocation"), "", "other requests say nothing of it");
}

/// A row of a table can only demand more.
#[tokio::test]
async fn a_table_has_rows_for_the_routes_and_opens_none() {
    let table = r#"
        [[route]]
        methods = ["POST"]
        path = "/revocations"
        name = "on trial"
        client = "console"
        shadow = true
        [[route]]
        methods = ["GET"]
        path = "/revocations"
        client = "auditors"
    "#;
    let world = Fixture::new().await;
    let layer = world.layer().revocations(world.revocations.clone()).build().unwrap();
    layer.warm_up().await.unwrap();
    let operators = Requirement::named("operators").scope("revocations:write");
    let routes = revocation_routes(world.revocations.clone(), operators).unwrap();
    let routes = GuardedRouter::new().nest("/revocations", routes);
    let table = RouteTable::from_toml(table).unwrap();
    let unlisted: Vec<_> = table.unlisted(routes.inventory()).iter().map(ToString::to_string).collect();
    assert_eq!(unlisted, ["POST /revocations/lift"]);
    let router = routes.layer(RouteTableLayer::new(&table)).behind(layer).unwrap();
    let service = Served::start(router).await;
    let token =
        |client: &str, scope: &str| world.idp.token().subject("olga").client(client).scopes([scope]).sign();
    let order = json!({"target": "subject", "issuer": world.issuer(), "id": "alice"});
    for (name, method, path, token, status) in [
        ("lenient row, no scope", Method::POST, "/revocations", token("console", "orders:read"), 403),
        ("lenient row, other client", Method::POST, "/revocations", token("other", "orders:read"), 403),
        ("strict row", Method::GET, "/revocations", token("console", "revocations:write"), 403),
        ("no row", Method::POST, "/revocations/lift", token("console", "revocations:write"), 403),
        ("no scope", Method::GET, "/revocations", token("auditors", "orders:read"), 403),
        ("both allow", Method::GET, "/revocations", token("auditors", "revocations:write"), 200),
        (
            "lenient row, and the scope",
            Method::POST,
            "/revocations",
            token("other", "revocations:write"),
            204,
        ),
    ] {
        let request = service.request(method, path).bearer_auth(token).json(&order);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
    }
    assert_eq!(world.revocations.len(), 1);
}

/// A sink in another place, which can be reached or not.
#[derive(Debug, Default)]
struct Remote {
    taken: Arc<Mutex<Vec<Revocation>>>,
    is_gone: bool,
}

impl RevocationSink for Remote {
    fn revoke(&self, revocation: Revocation) -> RevocationFuture<'_, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.is_gone {
                return Err(RevocationError::unavailable("connection refused"));
            }
            self.taken.lock().unwrap().push(revocation);
            Ok(())
        })
    }

    fn lift(&self, _: RevocationTarget) -> RevocationFuture<'_, bool> {
        Box::pin(async { Err(RevocationError::unavailable("connection refused")) })
    }

    fn list(&self, _: RevocationPage) -> RevocationFuture<'_, RevocationList> {
        Box::pin(async { Err(RevocationError::full(1)) })
    }
}

#[tokio::test]
async fn the_routes_take_any_sink() {
    let remote = Remote::default();
    let taken = remote.taken.clone();
    let site = Site::with_sink(Fixture::new().await, remote).await;
    let order = json!({"target": "subject", "issuer": "https://anyone", "id": "alice", "reason": "left"});
    assert_eq!(site.revoke(order.clone()).await.status, 204);
    let taken = taken.lock().unwrap().clone();
    assert_eq!((taken.len(), taken[0].why()), (1, Some("left")));
    // What can never be meant does not reach the sink.
    assert_eq!(site.revoke(json!({"target": "subject", "issuer": "i", "id": ""})).await.status, 400);
    let answer = site.lift(order).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "revocations_unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    let answer = site.service.get("/revocations", &site.operator).await;
    assert_eq!(answer.status, StatusCode::INSUFFICIENT_STORAGE.as_u16());
}

#[tokio::test]
async fn a_sink_that_is_gone_is_a_503() {
    let remote = Remote { is_gone: true, ..Remote::default() };
    let shared: Arc<dyn RevocationSink> = Arc::new(remote);
    let site = Site::with_sink(Fixture::new().await, shared).await;
    let order = json!({"target": "subject", "issuer": site.world.issuer(), "id": "alice"});
    let answer = site.revoke(order).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "revocations_unavailable"));
}
