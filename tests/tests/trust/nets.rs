//! Nets that only an enforced yes switches off: what was denied is never answered
//! with success, and what is on trial decides nothing.

mod rows;

use std::convert::Infallible;

use axum::{
    Json, Router,
    body::Body,
    extract::Request,
    http::{Method, StatusCode},
    middleware::{from_fn, map_response},
    response::Response,
    routing::{any, get},
};
use integration_tests::{Answer, AuditLog, Served, World};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_delegation::{
    Authorized, DelegationContext, Rejection, RequestFacts, RequireLayer, Requirement, Requires, RouteTable,
    RouteTableLayer,
    clock::Clock as _,
    requires, requires_scope,
    routing::{AnyCaller, GuardedRouter, by_table, get as guarded_get, guard},
};

const SECRET: &str = "a secret";

struct Admin;

impl Requires for Admin {
    fn requirement() -> Requirement {
        admin()
    }
}

fn admin() -> Requirement {
    Requirement::named("admin").scope("admin")
}

fn none() -> RequestFacts<'static> {
    RequestFacts::none()
}

fn table(rows: &[(&str, &str)]) -> RouteTableLayer {
    let row = |(path, access): &(&str, &str)| {
        format!("[[route]]\nmethods = [\"*\"]\npath = \"{path}\"\n{access}\n")
    };
    let rows: String = rows.iter().map(row).collect();
    RouteTableLayer::new(&RouteTable::from_toml(&rows).unwrap())
}

/// Middleware that makes a success of whatever comes out.
async fn swallow(response: Response) -> Response {
    match response.status() {
        StatusCode::NOT_FOUND => response,
        _ => Response::builder().header("x-secret", "1").body(Body::from(SECRET)).unwrap(),
    }
}

#[requires_scope("admin")]
async fn by_attribute() -> &'static str {
    SECRET
}

async fn ignoring(delegation: DelegationContext) -> &'static str {
    let _ = delegation.authorize(&admin(), &none());
    SECRET
}

/// Asks in a task of its own, and never hears of it.
async fn ignoring_elsewhere(delegation: DelegationContext) -> &'static str {
    tokio::spawn(async move { delegation.authorize(&admin(), &none()).is_ok() }).await.unwrap();
    SECRET
}

/// The denial is followed by an allow: still a denial.
async fn falling_back(delegation: DelegationContext) -> &'static str {
    let _ = delegation.authorize(&admin(), &none());
    delegation.authorize(&Requirement::named("less").scope("orders:read"), &none()).unwrap();
    SECRET
}

async fn by_result(permit: Result<Authorized<Admin>, Rejection>) -> &'static str {
    drop(permit);
    SECRET
}

async fn by_context(delegation: Result<DelegationContext, Rejection>) -> &'static str {
    drop(delegation);
    SECRET
}

async fn redirecting(delegation: DelegationContext) -> (StatusCode, &'static str) {
    let _ = delegation.authorize(&admin(), &none());
    (StatusCode::SEE_OTHER, SECRET)
}

async fn failing(delegation: DelegationContext) -> StatusCode {
    let _ = delegation.authorize(&admin(), &none());
    StatusCode::NOT_FOUND
}

fn denied() -> Router {
    let swallowed = |router: Router| router.layer(map_response(swallow));
    let layer = RequireLayer::new(admin()).unwrap();
    let rows = table(&[("/row", "scope = \"admin\""), ("/public", "public = \"no secret\"")]);
    Router::new()
        .route("/call", get(ignoring))
        .route("/task", get(ignoring_elsewhere))
        .route("/fallback", get(falling_back))
        .route("/result", get(by_result))
        .route("/redirect", get(redirecting))
        .route("/failure", get(failing))
        .route("/context", get(by_context))
        .merge(swallowed(Router::new().route("/attribute", get(by_attribute))))
        .merge(swallowed(Router::new().route("/layer", get(async || SECRET).layer(layer))))
        .merge(swallowed(
            Router::new()
                .route("/row", get(async || SECRET))
                .route("/unlisted", get(async || SECRET))
                .layer(rows),
        ))
}

/// Behind every layer, not only behind those that refuse what is undecided.
#[tokio::test]
async fn an_enforced_denial_never_becomes_a_success() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let token = world.token().sign();
    for (kind, layer) in [("plain", world.layer()), ("with the last net", world.layer().refuse_undecided())] {
        let served = Served::start(denied().layer(layer.allow_anonymous().build().unwrap())).await;
        for (name, path, is_anonymous, status, reason) in [
            ("by a call", "/call", false, 403, "scope_missing"),
            ("by a call in a task", "/task", false, 403, "scope_missing"),
            ("by a call, then allowed by another", "/fallback", false, 403, "scope_missing"),
            ("by an extractor", "/result", false, 403, "scope_missing"),
            ("a redirect is a success", "/redirect", false, 403, "scope_missing"),
            ("by an attribute", "/attribute", false, 403, "scope_missing"),
            ("by a layer", "/layer", false, 403, "scope_missing"),
            ("by a row", "/row", false, 403, "scope_missing"),
            ("for want of a row", "/unlisted", false, 403, "route_unlisted"),
            ("a failure of the handler's own", "/failure", false, 404, "scope_missing"),
            ("no credentials, by an extractor", "/result", true, 401, "credentials_missing"),
            ("no credentials, for the context", "/context", true, 401, "credentials_missing"),
            ("no credentials, by a layer", "/layer", true, 401, "credentials_missing"),
            ("no credentials, by a row", "/row", true, 401, "credentials_missing"),
        ] {
            let request = served.request(Method::GET, path);
            let request = if is_anonymous { request } else { request.bearer_auth(&token) };
            let answer = Answer::of(request).await;
            let name = format!("{name}, {kind}");
            assert_eq!(answer.status, status, "{name}: {}", answer.body);
            assert!(!answer.body.contains(SECRET) && !answer.headers.contains_key("x-secret"), "{name}");
            let needs_scope = reason == "scope_missing" && status == 403;
            assert_eq!(
                answer.challenges.iter().any(|it| it.contains(r#"scope="admin""#)),
                needs_scope || (status == 401 && path != "/context"),
                "{name}"
            );
            let event = audit.one();
            assert_eq!((event.field("decision"), event.field("reason")), ("deny", reason), "{name}");
            assert_eq!(event.field("status"), status.to_string(), "{name}");
        }
    }
}

/// With the scope everything above is served.
#[tokio::test]
async fn what_was_allowed_is_served() {
    let world = World::new().await;
    let served = Served::start(denied().layer(world.layer().refuse_undecided().build().unwrap())).await;
    let token = world.token().scopes(["admin", "orders:read"]).sign();
    for path in ["/call", "/task", "/fallback", "/result", "/attribute", "/layer", "/row"] {
        let answer = served.get(path, &token).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, SECRET), "{path}");
    }
}

#[tokio::test]
async fn a_denial_in_grpc_is_told_in_grpc() {
    let world = World::new().await;
    let layer = world.layer().allow_anonymous().build().unwrap();
    let service = layer.layer(service_fn(async |request: Request<Body>| {
        if let Some(delegation) = DelegationContext::of(&request) {
            let facts = RequestFacts::of(&request);
            let _ = delegation
                .authorize(&admin().max_token_lifetime(std::time::Duration::from_secs(7200)), &facts);
            if request.uri().path() == "/risk" {
                let _ = delegation.authorize(&Requirement::new().risk_below("unregistered", 1), &facts);
            }
            if request.uri().path() == "/login" {
                let _ = delegation.authorize(&Requirement::new().acr("mfa"), &facts);
            }
        }
        Ok::<_, Infallible>(Response::new(Body::from(SECRET)))
    }));
    let reader = world.token().sign();
    let admin = world.token().scopes(["admin"]).sign();
    for (name, path, token, expected) in [
        ("no scope", "/", &reader, Some("7")),
        ("our mistake", "/risk", &admin, Some("13")),
        ("not strongly enough authenticated", "/login", &admin, Some("16")),
        ("allowed", "/", &admin, None),
    ] {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/grpc")
            .body(Body::empty())
            .unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{name}");
        let sent = response.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        assert_eq!(sent.as_deref(), expected, "{name}");
    }
}

/// What a GraphQL resolver, a menu or a list does.
async fn asking(delegation: DelegationContext) -> Json<Value> {
    let fields: Vec<bool> = ["orders:read", "admin", "admin"]
        .map(|scope| Requirement::named("field").scope(scope))
        .map(|it| delegation.permits(&it, &none()))
        .into();
    Json(json!(fields))
}

async fn asking_for_any_caller(_: Authorized<AnyCaller>, delegation: DelegationContext) -> Json<Value> {
    asking(delegation).await
}

#[tokio::test]
async fn who_only_asks_decides_nothing() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let router = || Router::new().route("/", get(asking)).route("/any", get(asking_for_any_caller));
    let plain = Served::start(router().layer(world.layer().build().unwrap())).await;
    let strict = Served::start(router().layer(world.layer().refuse_undecided().build().unwrap())).await;
    let token = world.token().sign();
    let asked = "field: allow (asked), field: deny (asked)";
    for (name, served, path, status, decision, requirements) in [
        ("no decision is needed", &plain, "/", 200, "none", asked.to_owned()),
        ("none was made", &strict, "/", 500, "deny", asked.to_owned()),
        ("another rule decided", &strict, "/any", 200, "allow", format!("any_caller, {asked}")),
    ] {
        let answer = served.get(path, &token).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert!(status != 200 || answer.body == "[true,false,false]", "{name}: {}", answer.body);
        let event = audit.one();
        assert_eq!(event.field("decision"), decision, "{name}");
        assert_eq!(event.field("requirements"), requirements, "{name}");
    }
}

#[tokio::test]
async fn asking_answers_what_a_decision_would() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let until = |minutes: u64| world.clock.now().saturating_add(std::time::Duration::from_secs(60 * minutes));
    let new = || Requirement::new().scope("x");
    for (name, requirement, expected) in [
        ("it holds", Requirement::new().scope("orders:read"), true),
        ("it does not", new(), false),
        ("in shadow mode", new().shadow(), true),
        ("under an exception", new().exception("late", until(1)), true),
        ("after its end", new().exception("late", until(0)), false),
        ("it contradicts itself", Requirement::new().delegated().not_delegated(), false),
        ("it cannot be judged", Requirement::new().risk_below("unregistered", 1).shadow(), false),
        (
            "it cannot be judged, under an exception",
            Requirement::new().risk_below("unregistered", 1).exception("late", until(1)),
            false,
        ),
    ] {
        let delegation = layer.authenticator().verify(&world.token().sign()).await.unwrap();
        assert_eq!(delegation.permits(&requirement, &none()), expected, "{name}");
        assert_eq!(delegation.authorize(&requirement, &none()).is_ok(), expected, "{name}");
    }
}

#[requires(scope = "x", shadow)]
async fn on_trial() -> &'static str {
    SECRET
}

#[requires(scope = "x", shadow)]
async fn on_trial_and_any(_: Authorized<AnyCaller>) -> &'static str {
    SECRET
}

#[requires(scope = "orders:read", shadow)]
async fn on_trial_and_it_holds() -> &'static str {
    SECRET
}

/// Rules in shadow mode or under an exception, whatever they say, and behind
/// whatever layer, table or guarded router.
#[tokio::test]
async fn what_is_on_trial_decides_nothing() {
    let world = World::new().await;
    let until = world.clock.now().saturating_add(std::time::Duration::from_secs(60));
    let layer = |requirement: Requirement| RequireLayer::new(requirement).unwrap();
    let open = || get(async || SECRET);
    let read = || Requirement::new().scope("orders:read");
    let parts = || [read(), Requirement::new().scope("x")];
    let rows = table(&[
        ("/row", "scope = \"x\"\nshadow = true"),
        ("/row-holds", "scope = \"orders:read\"\nshadow = true"),
        ("/row-excepted", "scope = \"x\"\nexception = { reason = \"late\", until = 2199-01-01T00:00:00Z }"),
        ("/row-any", "any_caller = true\nscope = \"x\"\nshadow = true"),
    ]);
    let tabled = Router::new()
        .route("/row", open())
        .route("/row-holds", open())
        .route("/row-excepted", open())
        .route("/row-any", open())
        .layer(rows.clone());
    let router = Router::new()
        .route("/shadow", open().layer(layer(admin().shadow())))
        .route("/shadow-holds", open().layer(layer(read().shadow())))
        .route("/excepted", open().layer(layer(admin().exception("late", until))))
        .route("/excepted-holds", open().layer(layer(read().exception("late", until))))
        .route("/composed", open().layer(layer(Requirement::new().any_of(parts()).shadow())))
        .route("/composed-not", open().layer(layer(Requirement::new().not(admin()).shadow())))
        .route("/also-enforced", open().layer((layer(read()), layer(admin().shadow()))))
        .route("/enforced-composition", open().layer(layer(Requirement::new().any_of(parts()))))
        .merge(tabled);
    let net = world.layer().refuse_undecided().build().unwrap();
    let served = Served::start(router.layer(net)).await;
    let guarded = GuardedRouter::new()
        .route("/attribute", guarded_get(on_trial))
        .route("/attribute-holds", guarded_get(on_trial_and_it_holds))
        .route("/attribute-any", guarded_get(on_trial_and_any))
        .behind(world.layer().build().unwrap())
        .unwrap();
    let guarded = Served::start(guarded).await;
    let by_table = Served::start(
        GuardedRouter::new()
            .route("/row", guarded_get(by_table(async || SECRET)))
            .route("/row-holds", guarded_get(by_table(async || SECRET)))
            .route("/row-excepted", guarded_get(by_table(async || SECRET)))
            .route("/row-any", guarded_get(by_table(async || SECRET)))
            .layer(rows)
            .behind(world.layer().build().unwrap())
            .unwrap(),
    )
    .await;
    let token = world.token().sign();
    for (name, served, path, status) in [
        ("a shadowed denial", &served, "/shadow", 500),
        ("a shadowed allow", &served, "/shadow-holds", 500),
        ("an excepted denial", &served, "/excepted", 500),
        ("an excepted allow", &served, "/excepted-holds", 500),
        ("a part that holds", &served, "/composed", 500),
        ("a part that is excluded", &served, "/composed-not", 500),
        ("a row", &served, "/row", 500),
        ("a row that holds", &served, "/row-holds", 500),
        ("a row with an exception", &served, "/row-excepted", 500),
        ("an attribute", &guarded, "/attribute", 500),
        ("an attribute that holds", &guarded, "/attribute-holds", 500),
        ("a row before a handler of the table", &by_table, "/row", 500),
        ("one that holds", &by_table, "/row-holds", 500),
        ("one with an exception", &by_table, "/row-excepted", 500),
        ("an enforced rule too", &served, "/also-enforced", 200),
        ("an enforced composition", &served, "/enforced-composition", 200),
        ("a row that lets any caller in meanwhile", &served, "/row-any", 200),
        ("any caller, by argument", &guarded, "/attribute-any", 200),
        ("any caller, by the table", &by_table, "/row-any", 200),
    ] {
        let answer = served.get(path, &token).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert_eq!(answer.body == SECRET, status == 200, "{name}");
    }
    // Once the exception is over, the requirement decides.
    world.clock.advance(std::time::Duration::from_secs(60));
    let token = world.token().sign();
    for (name, path, status) in [("denied", "/excepted", 403), ("allowed", "/excepted-holds", 200)] {
        assert_eq!(served.get(path, &token).await.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_route_whose_rules_are_all_on_trial_is_reported_at_start_up() {
    let world = World::new().await;
    let log = AuditLog::listen_to("tower_delegation::routing::app");
    let enforced = Requirement::new().scope("x");
    let guarded = GuardedRouter::<()>::new()
        .route("/trial", guarded_get(on_trial))
        .route("/guarded", guard(enforced.clone().shadow(), any(async || SECRET)))
        .route("/both", guarded_get(on_trial_and_any))
        .route("/enforced", guard(enforced, any(async || SECRET)))
        .route("/table", guarded_get(by_table(async || SECRET)));
    let _ = guarded.behind(world.layer().build().unwrap()).unwrap();
    let heard: Vec<String> = log.take().iter().map(|event| event.field("route").to_owned()).collect();
    // Of several arguments the inventory knows the first.
    assert_eq!(heard, ["GET /trial", "* /guarded", "GET /both"]);
}

/// A handler that leaves its rule to the table is served by a row, and by nothing else.
#[tokio::test]
async fn only_a_row_decides_for_a_handler_of_the_table() {
    let world = World::new().await;
    let handler = || guarded_get(by_table(async || SECRET));
    let any_caller = || RequireLayer::of::<AnyCaller>().unwrap();
    let rows = || table(&[("/row", "scope = \"orders:read\""), ("/public", "public = \"no secret\"")]);
    let ask = || {
        from_fn(async |request: Request, next: axum::middleware::Next| {
            let delegation = DelegationContext::of(&request).cloned();
            let _ = delegation.map(|delegation| delegation.permits(&Requirement::new(), &none()));
            next.run(request).await
        })
    };
    let routes = || GuardedRouter::new().route("/row", handler()).route("/public", handler());
    let token = world.token().sign();
    let stranger = world.token().scopes(["x"]).sign();
    for (name, router, path, token, status) in [
        ("no table, and nothing else", routes(), "/row", &token, 500),
        ("no table, and a layer that allows", routes().layer(any_caller()), "/row", &token, 500),
        ("no table, and somebody asked", routes().layer(ask()), "/row", &token, 500),
        ("a row that denies", routes().layer(rows()), "/row", &stranger, 403),
        ("a row", routes().layer(rows()), "/row", &token, 200),
        ("a public row", routes().layer(rows()), "/public", &stranger, 200),
        ("a row, and a layer", routes().layer(any_caller()).layer(rows()), "/row", &token, 200),
    ] {
        let served = Served::start(router.behind(world.layer().build().unwrap()).unwrap()).await;
        let answer = served.get(path, token).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert_eq!(answer.body == SECRET, status == 200, "{name}");
    }
}

/// Every method of a path, those that nothing serves by name included.
#[tokio::test]
async fn a_guard_wraps_every_method() {
    let world = World::new().await;
    let handler = async || SECRET;
    let read = || Requirement::named("orders").scope("orders:read");
    let routes = GuardedRouter::new()
        .route("/any", guard(read(), any(handler).get(handler)))
        .route("/some", guard(read(), get(handler).post(handler)))
        .route("/merged", guard(read(), get(handler)).post(by_attribute))
        .route("/mistaken", guard(Requirement::new().delegated(), any(handler)));
    assert_eq!(
        routes.inventory().to_string().lines().next().unwrap(),
        r#"*     /any       orders: scope "orders:read""#
    );
    let served =
        Served::start(routes.behind(world.layer().allow_anonymous().build().unwrap()).unwrap()).await;
    let (good, bad) = (world.token().sign(), world.token().scopes(["x"]).sign());
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"];
    for path in ["/any", "/some", "/merged"] {
        for method in methods {
            let name = format!("{method} {path}");
            let send = async |token: Option<&str>| {
                let request = served.request(method.parse().unwrap(), path);
                let answer =
                    Answer::of(token.into_iter().fold(request, |request, token| request.bearer_auth(token)))
                        .await;
                assert!(answer.status == 200 || !answer.body.contains(SECRET), "{name}");
                answer.status
            };
            assert_eq!(send(None).await, 401, "{name}");
            assert_eq!(send(Some(&bad)).await, 403, "{name}");
            let is_served = match path {
                "/any" => true,
                "/some" => matches!(method, "GET" | "HEAD" | "POST"),
                _ => matches!(method, "GET" | "HEAD"),
            };
            let other = if (path, method) == ("/merged", "POST") { 403 } else { 405 };
            assert_eq!(send(Some(&good)).await, if is_served { 200 } else { other }, "{name}");
        }
    }
    assert_eq!(served.get("/mistaken", &good).await.status, 403);
    let mistake = guard(Requirement::named("contradictory").delegated().not_delegated(), any(handler));
    let error = GuardedRouter::new().route("/", mistake).behind(world.layer().build().unwrap()).unwrap_err();
    assert!(error.to_string().contains("contradictory"), "{error}");
}
