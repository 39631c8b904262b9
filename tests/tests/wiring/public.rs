//! Public routes: nothing is verified before their handlers run.

use std::time::Duration;

use axum::{
    Router,
    extract::{OriginalUri, Request},
    http::StatusCode,
    middleware::{Next, from_fn},
    response::Response,
    routing::get as plain_get,
};
use integration_tests::{Answer, AuditLog, Served, World};
use reqwest::Method;
use tower_delegation::{
    Authorized, DelegationContext, Rejection, RequireLayer, Requirement, Requires, RouteTable,
    RouteTableLayer,
    audit::{Audit, AuditEvent, AuditSink, SinkError},
    layer::DelegationLayerBuilder,
    proof::Dpop,
    requires_scope,
    revocation::{InMemoryRevocations, Revocation, RevocationTarget},
    routing::{AnyCaller, GuardedRouter, by_table, get, guard, public},
};
use tower_delegation_testing::{DpopKey, Endpoint};

const ROWS: &str = r#"
[[route]]
methods = ["GET"]
path = "/alive"
public = "probe of the load balancer"

[[route]]
methods = ["POST"]
path = "/alive"
scope = "orders:write"

[[route]]
methods = ["GET"]
path = "/orders"
scope = "orders:read"
"#;

async fn alive() -> &'static str {
    "alive"
}

#[requires_scope("orders:write")]
async fn write() {}

#[requires_scope("orders:read")]
async fn orders() {}

async fn ask(served: &Served, method: Method, path: &str, token: Option<&str>) -> Answer {
    let request = served.request(method, path);
    Answer::of(token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth)).await
}

/// The code of a guarded router, a table on a plain router, a table that a guarded
/// router leaves its rules to, and a table around a whole router.
async fn sites(layer: impl Fn() -> DelegationLayerBuilder) -> Vec<(&'static str, Served)> {
    let table = RouteTable::from_toml(ROWS).unwrap();
    let plain =
        || Router::new().route("/alive", plain_get(alive).post(alive)).route("/orders", plain_get(alive));
    let with_table = || layer().route_table(&table).build().unwrap();
    let guarded = GuardedRouter::new()
        .route("/alive", get(public("probe of the load balancer", alive)).post(write))
        .route("/orders", get(orders));
    let left = GuardedRouter::new()
        .route("/alive", get(by_table(alive)).post(by_table(alive)))
        .route("/orders", get(by_table(alive)))
        .layer(RouteTableLayer::new(&table));
    let around =
        tower::ServiceBuilder::new().layer(with_table()).layer(RouteTableLayer::new(&table)).service(plain());
    vec![
        ("guarded", Served::start(guarded.behind(layer().build().unwrap()).unwrap()).await),
        ("a table", Served::start(plain().layer(RouteTableLayer::new(&table)).layer(with_table())).await),
        ("a guarded router by a table", Served::start(left.behind(with_table()).unwrap()).await),
        ("a table around a router", Served::start(Router::new().fallback_service(around)).await),
    ]
}

/// Whatever a browser or a probe sends: also a stale token, and also while the
/// provider is down. The other routes, and the other methods of the path, stay closed.
#[tokio::test]
async fn a_public_route_is_served_whatever_the_token() {
    let world = World::new().await;
    world.idp.fail_with(Endpoint::Jwks, StatusCode::INTERNAL_SERVER_ERROR);
    let expired = world.token().claim("exp", 1).sign();
    let good = world.token().scopes(["orders:read", "orders:write"]).sign();
    let forged = world.token().tamper_signature().sign();
    let foreign = world.token().audience("https://other.example.com").sign();
    for (site, served) in sites(|| world.layer()).await {
        for (name, token) in [
            ("no token", None),
            ("a good one, no keys", Some(&*good)),
            ("an expired one", Some(&*expired)),
            ("no token at all", Some("abc")),
            ("a forged one", Some(&*forged)),
            ("for another service", Some(&*foreign)),
            ("two in one", Some("a b")),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let answer = ask(&served, method.clone(), "/alive", token).await;
                assert_eq!(answer.status, 200, "{site}, {name}, {method}: {}", answer.body);
            }
        }
        let fetched = world.idp.requests(Endpoint::Jwks);
        for (path, method) in [("/alive", Method::POST), ("/orders", Method::GET)] {
            for (name, token, status) in [
                ("no token", None, 401),
                ("no token at all", Some("abc"), 401),
                ("two in one", Some("a b"), 400),
                ("a good one, no keys", Some(&*good), 503),
            ] {
                let answer = ask(&served, method.clone(), path, token).await;
                assert_eq!(answer.status, status, "{site}, {method} {path}, {name}");
            }
        }
        assert!(world.idp.requests(Endpoint::Jwks) >= fetched);
        assert_eq!(ask(&served, Method::GET, "/nowhere", None).await.status, 401, "{site}");
    }
    let count = world.idp.requests(Endpoint::Jwks);
    for (site, served) in sites(|| world.layer()).await {
        assert_eq!(ask(&served, Method::GET, "/alive", Some(&good)).await.status, 200, "{site}");
        let url = "/alive?access_token=abc";
        assert_eq!(ask(&served, Method::GET, url, None).await.status, 200, "{site}, in the query");
    }
    assert_eq!(world.idp.requests(Endpoint::Jwks), count, "nothing is fetched for a public route");
}

/// What is wrong at first sight is on record; the rest is not known.
#[tokio::test]
async fn what_is_wrong_is_recorded() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let app = GuardedRouter::new().route("/alive", get(public("probe", alive)));
    let served = Served::start(app.behind(world.layer().build().unwrap()).unwrap()).await;
    let expired = world.token().claim("exp", 1).sign();
    for (name, token, expected) in [
        ("no token", None, "public (probe)"),
        ("a good one", Some(world.token().sign()), "public (probe)"),
        ("not known before it is verified", Some(expired), "public (probe)"),
        ("no token at all", Some("abc".to_owned()), "credentials:deny (shadow), public (probe)"),
        ("two in one", Some("a b".to_owned()), "credentials:deny (shadow), public (probe)"),
    ] {
        assert_eq!(ask(&served, Method::GET, "/alive", token.as_deref()).await.status, 200, "{name}");
        let event = audit.one();
        assert_eq!((event.field("decision"), event.field("subject")), ("allow", ""), "{name}");
        assert_eq!(event.field("requirements").replace(": ", ":"), expected, "{name}");
    }
}

async fn greet(delegation: Option<DelegationContext>) -> String {
    delegation.map_or("stranger".to_owned(), |delegation| delegation.subject().id().to_string())
}

async fn strict(delegation: DelegationContext) -> String {
    delegation.subject().id().to_string()
}

async fn forgiving(delegation: Result<Option<DelegationContext>, Rejection>) -> String {
    greet(delegation.ok().flatten()).await
}

async fn demanding(_: Option<DelegationContext>, _: Authorized<AnyCaller>) -> &'static str {
    "known"
}

/// A handler that asks gets the answer that was due, and the record says who it was.
#[tokio::test]
async fn a_handler_that_asks_gets_what_was_due() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let revocations = InMemoryRevocations::new().clock(world.clock.clone());
    let app = || {
        GuardedRouter::new()
            .route("/greet", get(public("a greeting", greet)))
            .route("/strict", get(public("by hand", strict)))
            .route("/forgiving", get(public("by hand", forgiving)))
            .route("/demanding", get(public("by hand", demanding)))
    };
    let layer = || world.layer().revocations(revocations.clone()).build().unwrap();
    let served = Served::start(app().behind(layer()).unwrap()).await;
    let good = world.token().sign();
    let expired = world.token().claim("exp", 1).sign();
    let revoked = world.token().subject("mallory").sign();
    let mallory = RevocationTarget::Subject(world.idp.issuer().into(), "mallory".into());
    revocations.revoke(Revocation::new(mallory)).unwrap();
    for (path, anonymous) in [
        ("/greet", (200, "stranger")),
        ("/strict", (401, "")),
        ("/forgiving", (200, "stranger")),
        ("/demanding", (401, "")),
    ] {
        for (name, token, status, reason, subject) in [
            ("no token", None, anonymous.0, "", ""),
            ("a good one", Some(&*good), 200, "", "alice"),
            ("again", Some(&*good), 200, "", "alice"),
            ("an expired one", Some(&*expired), 401, "token_expired", ""),
            ("a revoked one", Some(&*revoked), 401, "subject_revoked", "mallory"),
            ("no token at all", Some("abc"), 401, "token_malformed", ""),
        ] {
            let answer = ask(&served, Method::GET, path, token).await;
            let event = audit.one();
            if path == "/forgiving" {
                assert_eq!(answer.status, 200, "{path}, {name}");
                continue;
            }
            assert_eq!(answer.status, status, "{path}, {name}: {}", answer.body);
            if token.is_some() {
                assert_eq!(event.field("reason"), reason, "{path}, {name}");
            }
            assert_eq!(event.field("subject"), subject, "{path}, {name}");
        }
    }
    // 503 is ours, here too.
    let other = World::new().await;
    other.idp.fail_with(Endpoint::Jwks, StatusCode::INTERNAL_SERVER_ERROR);
    let served = Served::start(app().behind(other.layer().build().unwrap()).unwrap()).await;
    for (path, status) in [("/greet", 503), ("/strict", 503), ("/demanding", 503)] {
        assert_eq!(
            ask(&served, Method::GET, path, Some(&other.token().sign())).await.status,
            status,
            "{path}"
        );
    }
    other.idp.recover(Endpoint::Jwks);
    other.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&served, Method::GET, "/greet", Some(&other.token().sign())).await.body, "alice");
}

/// A requirement around public routes still demands, and has the caller verified.
#[tokio::test]
async fn a_requirement_around_a_public_route_still_demands() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let layer = || RequireLayer::new(Requirement::named("known").scope("orders:read")).unwrap();
    let app = GuardedRouter::new().route("/greet", get(public("a greeting", greet))).layer(layer());
    let served = Served::start(app.behind(world.layer().build().unwrap()).unwrap()).await;
    let stranger = world.token().scopes(["x"]).sign();
    for (name, token, status) in [
        ("no token", None, 401),
        ("a bad one", Some("abc".to_owned()), 401),
        ("another scope", Some(stranger), 403),
        ("enough", Some(world.token().sign()), 200),
    ] {
        let answer = ask(&served, Method::GET, "/greet", token.as_deref()).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert_eq!(audit.one().field("status"), status.to_string(), "{name}");
    }
}

/// A proof that no one has asked about is not used up; one that was asked about is.
#[tokio::test]
async fn a_proof_is_used_up_only_where_someone_asks() {
    const ORIGIN: &str = "https://orders.example.com";
    let world = World::new().await;
    let app = GuardedRouter::new()
        .route("/alive", get(public("probe", alive)))
        .route("/greet", get(public("a greeting", greet)));
    let served =
        Served::start(app.behind(world.layer().dpop(Dpop::at(ORIGIN)).build().unwrap()).unwrap()).await;
    let key = DpopKey::generate().clock(world.clock.clone());
    let token = world.token().bound_to_key(&key).sign();
    for (path, statuses) in [("/alive", [200, 200]), ("/greet", [200, 401])] {
        let proof = key.proof("GET", format!("{ORIGIN}{path}")).for_token(&token).sign();
        for status in statuses {
            let request = served.request(Method::GET, path).header("dpop", &proof);
            let answer = Answer::of(request.header("authorization", format!("DPoP {token}"))).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
        }
    }
}

async fn ignoring(permit: Result<Authorized<Write>, Rejection>) -> &'static str {
    drop(permit);
    "a secret"
}

struct Write;

impl Requires for Write {
    fn requirement() -> Requirement {
        Requirement::named("write").scope("orders:write")
    }
}

/// Middleware changes what is left of a target: it is the same request, asked about once,
/// with one record.
#[tokio::test]
async fn a_target_that_was_rewritten_is_that_of_the_same_request() {
    const ORIGIN: &str = "https://rewritten.example.com";
    type Rewrite = fn(&mut Request);
    let world = World::new().await;
    let audit = AuditLog::listen();
    let key = DpopKey::generate().clock(world.clock.clone());
    let rewrites: [(&str, Rewrite); 3] = [
        ("nothing", |_| {}),
        ("the path", |request| *request.uri_mut() = "/elsewhere?a=b".parse().unwrap()),
        // So that nothing tells what the client has sent.
        ("the query", |request| {
            let target = format!("{}?page=1", request.uri().path());
            *request.uri_mut() = target.parse().unwrap();
            request.extensions_mut().remove::<OriginalUri>();
        }),
    ];
    for (name, rewrite) in rewrites {
        let change = from_fn(move |mut request: Request, next: Next| {
            rewrite(&mut request);
            next.run(request)
        });
        let app = GuardedRouter::new()
            .route("/greet", get(public("a greeting", greet)))
            .route("/demanding", get(public("by hand", demanding)))
            .route("/ignoring", get(public("by mistake", ignoring)))
            .layer(change);
        let layer = world.layer().dpop(Dpop::at(ORIGIN)).build().unwrap();
        let served = Served::start(app.behind(layer).unwrap()).await;
        for (path, scope, status, decision) in [
            ("/greet", "orders:read", 200, "allow"),
            ("/demanding", "orders:read", 200, "allow"),
            ("/ignoring", "orders:write", 200, "allow"),
            ("/ignoring", "orders:read", 403, "deny"),
        ] {
            let token = world.token().scopes([scope]).bound_to_key(&key).sign();
            let proof = key.proof("GET", format!("{ORIGIN}{path}")).for_token(&token).sign();
            // A handler that goes by no refusal serves anyone: its route is public.
            let again = if path == "/ignoring" { (200, "allow") } else { (401, "deny") };
            for (attempt, (status, decision)) in [("first", (status, decision)), ("again", again)] {
                let request = served.request(Method::GET, path).header("dpop", &proof);
                let answer = Answer::of(request.header("authorization", format!("DPoP {token}"))).await;
                assert_eq!(answer.status, status, "{name}, {path}, {attempt}: {}", answer.body);
                let event = audit.one();
                assert_eq!(event.field("decision"), decision, "{name}, {path}, {attempt}");
                // Of a head that is not the one that arrived, it is not known who sent that one.
                let is_known = name != "the query";
                assert_eq!(event.field("subject") == "alice", is_known, "{name}, {path}, {attempt}");
            }
        }
    }
}

/// A disk that is full.
#[derive(Debug)]
struct Full;

impl AuditSink for Full {
    fn record(&self, _: &AuditEvent) -> Result<(), SinkError> {
        Err(SinkError::new("no space left"))
    }
}

/// Every other request would wait for a place in the audit queue.
#[tokio::test]
async fn a_public_route_waits_for_no_place_in_the_audit_queue() {
    let world = World::new().await;
    let audit = Audit::new(Full).max_entries(1);
    let layer = world.layer().add_audit(audit).build().unwrap();
    let app = GuardedRouter::new().route("/alive", get(public("probe", alive)));
    let served = Served::start(app.behind(layer.clone()).unwrap()).await;
    let good = world.token().sign();
    // The thread holds one event, the queue another one.
    for _ in 0..5 {
        assert_eq!(ask(&served, Method::GET, "/alive", Some(&good)).await.status, 200);
    }
    let status = &layer.status().audit[0];
    assert!(status.dropped >= 1 && status.refused == 0, "{status:?}");
}

/// A browser's question before a request from another site: answered by a CORS layer
/// outside, refused by the layer without one, and never an error in the log.
#[tokio::test]
async fn preflights_are_for_a_layer_outside() {
    let world = World::new().await;
    // What every CORS layer does: it answers the question itself, and lets all else pass.
    let cors = || {
        from_fn(async |request: Request, next: Next| {
            let asks = request.headers().contains_key("access-control-request-method");
            let mut response = match *request.method() == Method::OPTIONS && asks {
                true => Response::default(),
                false => next.run(request).await,
            };
            response.headers_mut().insert("access-control-allow-origin", "*".parse().unwrap());
            response
        })
    };
    let routes = || {
        GuardedRouter::new()
            .route("/alive", get(public("probe", alive)))
            .route("/orders", get(orders))
            .route("/guarded", guard(Requirement::new().scope("x"), axum::routing::any(alive)))
    };
    let layer = || world.layer().build().unwrap();
    let outside = Served::start(routes().behind(layer()).unwrap().layer(cors())).await;
    let none = Served::start(routes().behind(layer()).unwrap()).await;
    let inside = Served::start(routes().layer(cors()).behind(layer()).unwrap()).await;
    let log = AuditLog::listen_to("tower_delegation::rejection");
    for path in ["/alive", "/orders", "/guarded", "/nowhere"] {
        for (name, served) in [("outside", &outside), ("none", &none), ("inside", &inside)] {
            let request = served.request(Method::OPTIONS, path).header("origin", "https://shop.example");
            let request = request.header("access-control-request-method", "GET");
            let answer = Answer::of(request.header("access-control-request-headers", "authorization")).await;
            assert_eq!(answer.status == 200, name == "outside", "{name}, {path}: {}", answer.status);
        }
        let answer = ask(&outside, Method::GET, path, None).await;
        assert_eq!(answer.status == 200, path == "/alive", "{path}");
    }
    assert!(log.take().iter().all(|event| event.level != tracing::Level::ERROR));
}

/// What a public handler learns of its caller opens no other request that it makes
/// with the same extensions.
#[tokio::test]
async fn the_caller_of_a_public_route_is_the_caller_of_no_other_request() {
    let world = World::new().await;
    let layer = world.layer().allow_anonymous().build().unwrap();
    let inner = plain_router(&layer);
    let batch = async move |parts: http::request::Parts, caller: Option<DelegationContext>| {
        assert!(caller.is_some());
        let mut statuses = Vec::new();
        for (path, token) in [("/whoami", None), ("/whoami", Some("Bearer stolen"))] {
            let mut request = Request::new(axum::body::Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            *request.extensions_mut() = parts.extensions.clone();
            if let Some(token) = token {
                request.headers_mut().insert("authorization", token.parse().unwrap());
            }
            let response = tower::ServiceExt::oneshot(inner.clone(), request).await.unwrap();
            statuses.push(response.status().as_u16());
        }
        format!("{statuses:?}")
    };
    let guarded = GuardedRouter::new().route("/batch", get(public("asks for several", batch)));
    let served = Served::start(guarded.behind(layer.clone()).unwrap()).await;
    let answer = ask(&served, Method::GET, "/batch", Some(&world.token().sign())).await;
    // Without credentials there is no caller; with bad ones, they are bad.
    assert_eq!((answer.status, answer.body.as_str()), (200, "[401, 401]"));
}

fn plain_router(layer: &tower_delegation::DelegationLayer) -> Router {
    Router::new().route("/whoami", plain_get(async |_: DelegationContext| "known")).layer(layer.clone())
}
