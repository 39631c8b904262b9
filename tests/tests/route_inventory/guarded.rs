//! Guarded routers over real sockets.

use axum::{Router, extract::State};
use integration_tests::{AuditLog, Served};
use reqwest::Method;
use tower_delegation::{
    Authorized, ConfigError, DelegationLayer, Requirement, Requires, requires, requires_scope,
    routing::{AnyCaller, GuardedRouter, any, by_table, get, public},
};

use crate::World;

#[requires_scope("orders:read")]
async fn list() -> &'static str {
    "orders"
}

#[requires_scope("orders:write")]
#[requires(on_behalf_of_user)]
async fn create(State(shop): State<&'static str>) -> String {
    format!("created in {shop}")
}

async fn whoami(Authorized(permit): Authorized<AnyCaller>) -> String {
    permit.subject().id().to_string()
}

async fn open() -> &'static str {
    "open"
}

fn router() -> GuardedRouter {
    let orders = GuardedRouter::new().route("/", get(list).post(create)).route("/me", get(whoami));
    GuardedRouter::new()
        .nest("/orders", orders)
        .with_state("shop")
        .route("/alive", get(public("probe of the orchestrator", open)))
        .merge(GuardedRouter::new().route("/any", any(whoami)))
}

#[test]
fn the_inventory_names_every_route() {
    let expected = "\
GET   /orders     list: scope \"orders:read\"
POST  /orders     create: scope \"orders:write\" and create: on_behalf_of_user
GET   /orders/me  any_caller: a verified token
GET   /alive      public: probe of the orchestrator
*     /any        any_caller: a verified token
";
    assert_eq!(router().inventory().to_string(), expected);
    assert_eq!(router().inventory().scopes(), ["orders:read", "orders:write"]);
    assert_eq!(router().inventory().public().count(), 1);
}

#[test]
fn paths_in_the_inventory_are_those_that_axum_serves() {
    let inner = || GuardedRouter::<()>::new().route("/", get(list)).route("/{id}", get(list)).fallback(list);
    for (prefix, expected) in
        [("/a", ["/a", "/a/{id}", "/a/{*fallback}"]), ("/a/", ["/a/", "/a/{id}", "/a/{*fallback}"])]
    {
        let router = GuardedRouter::new().nest(prefix, inner());
        let paths: Vec<_> = router.inventory().routes().iter().map(|route| route.path()).collect();
        assert_eq!(paths, expected, "{prefix}");
    }
}

struct Contradictory;

impl Requires for Contradictory {
    fn requirement() -> Requirement {
        Requirement::named("Contradictory").delegated().not_delegated()
    }
}

#[tokio::test]
async fn what_is_wrong_is_found_before_any_request() {
    let layer = World::new().await.layer().build().unwrap();
    async fn contradictory(_: Authorized<Contradictory>) {}
    for (name, router, expected) in [
        ("a contradiction", GuardedRouter::<()>::new().route("/", get(contradictory)), "Contradictory"),
        (
            "a nested contradiction",
            GuardedRouter::new().nest("/a", GuardedRouter::new().fallback(contradictory)),
            "Contradictory",
        ),
        ("no reason", GuardedRouter::new().route("/open", get(public(" ", open))), "GET /open"),
    ] {
        let error: ConfigError = router.behind(layer.clone()).unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn each_route_asks_for_what_its_rule_says() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let app = router().behind(world.layer().build().unwrap()).unwrap();
    let served = Served::start(app).await;
    let reader = world.token().scopes(["orders:read"]).sign();
    let nothing = world.token().scopes([""; 0]).sign();

    for (name, method, path, token, status, code) in [
        ("no token", Method::GET, "/orders", None, 401, "missing_credentials"),
        ("no scope", Method::GET, "/orders", Some(&nothing), 403, "insufficient_scope"),
        ("HEAD is GET", Method::HEAD, "/orders", Some(&nothing), 403, ""),
        ("another scope", Method::POST, "/orders", Some(&reader), 403, "insufficient_scope"),
        ("no token where any caller may", Method::GET, "/orders/me", None, 401, "missing_credentials"),
        ("no token, any method", Method::PUT, "/any", None, 401, "missing_credentials"),
        ("a bad token on a public route", Method::GET, "/alive", Some(&"x".to_owned()), 200, ""),
        ("no such route", Method::GET, "/admin", Some(&reader), 404, ""),
        ("no such method", Method::DELETE, "/orders", Some(&reader), 405, ""),
        ("enough", Method::GET, "/orders", Some(&reader), 200, ""),
        ("any caller", Method::PATCH, "/any", Some(&nothing), 200, ""),
        ("public", Method::GET, "/alive", None, 200, ""),
        ("public, with a token", Method::GET, "/alive", Some(&nothing), 200, ""),
    ] {
        let request = served.request(method, path);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = integration_tests::Answer::of(request).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}: {}", answer.body);
    }
    let writer = world.token().scopes(["orders:write"]).user("alice").sign();
    let _ = audit.take();
    let answer = served.request(Method::POST, "/orders").bearer_auth(writer).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "created in shop");
    assert_eq!(audit.one().field("requirements"), "create, create");

    served.get_anonymously("/alive").await;
    let event = audit.one();
    assert_eq!(event.field("decision"), "allow");
    assert_eq!(event.field("requirements"), "public (probe of the orchestrator)");
}

/// Where every route demands a token, the layer itself refuses what has none.
#[tokio::test]
async fn without_a_public_route_the_layer_stays_closed() {
    let world = World::new().await;
    let app =
        GuardedRouter::new().route("/orders", get(list)).behind(world.layer().build().unwrap()).unwrap();
    let served = Served::start(app).await;
    for path in ["/orders", "/no/such/route"] {
        assert_eq!(served.get_anonymously(path).await.status, 401, "{path}");
    }
}

/// A handler that leaves its rule to a table answers 500 where there is none.
#[tokio::test]
async fn a_handler_for_a_table_is_closed_without_one() {
    let world = World::new().await;
    let layer: DelegationLayer = world.layer().build().unwrap();
    let guarded = GuardedRouter::new().route("/orders", get(by_table(open)));
    let plain = || Router::new().route("/orders", axum::routing::get(by_table(open)));
    let token = world.token().scopes(["orders:read"]).sign();
    let guarded = Served::start(guarded.behind(layer.clone()).unwrap()).await;
    let outside = Served::start(plain().layer(layer)).await;
    let bare = Served::start(plain()).await;
    for (name, served) in
        [("no table", guarded), ("no table, on a plain router", outside), ("no layer at all", bare)]
    {
        let answer = served.get("/orders", &token).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "misconfigured"), "{name}");
        assert!(!answer.body.contains("open"), "{name}");
    }
}
