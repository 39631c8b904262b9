//! A guarded router behind its layer, as it is served.

use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    middleware::{Next, from_fn},
    response::Response,
    routing::get as plain_get,
};
use http::StatusCode;
use integration_tests::{AuditLog, Served, World};
use reqwest::Method;
use tokio::net::TcpListener;
use tower::{ServiceExt as _, service_fn};
use tower_delegation::{
    Authorized, ClientIdentity, ConfigError, Requirement,
    credential::PeerInfo,
    protected_resource::{ProtectedResource, WELL_KNOWN},
    requires_scope,
    revocation::InMemoryRevocations,
    routing::{AnyCaller, GuardedApp, GuardedRouter, get, public, revocation_routes},
};
use tower_service::Service;

#[requires_scope("orders:read")]
async fn orders() -> &'static str {
    "orders"
}

#[requires_scope("invoices:read")]
async fn invoices() -> &'static str {
    "invoices"
}

async fn hop(_: Authorized<AnyCaller>, ConnectInfo(peer): ConnectInfo<PeerInfo>) -> String {
    peer.address().unwrap().ip().to_string()
}

async fn open() -> &'static str {
    "open"
}

/// Answers with the path that it was given.
fn echo() -> impl Service<
    Request,
    Response = Response<String>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<String>, Infallible>> + Send,
> + Clone
+ Send
+ Sync
+ 'static {
    service_fn(async |request: Request| Ok(Response::new(format!("served {}", request.uri().path()))))
}

fn read(name: &'static str) -> Requirement {
    Requirement::named(name).scope("orders:read")
}

async fn ask(base: &str, path: &str, token: Option<&str>) -> (u16, String) {
    let request = reqwest::Client::default().get(format!("{base}{path}"));
    let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
    let answer = integration_tests::Answer::of(request).await;
    (answer.status, answer.body)
}

/// By axum with and without what it knows of the connection, as a tower service, and
/// as a part of a larger application.
#[tokio::test]
async fn it_is_served_as_it_is() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let app = || -> GuardedApp {
        GuardedRouter::new()
            .route("/orders", get(orders))
            .route("/hop", get(hop))
            .route("/alive", get(public("probe", open)))
            .behind(layer.clone())
            .unwrap()
    };
    let listen = async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        (listener, base)
    };
    let (listener, plain) = listen().await;
    let axum = tokio::spawn(axum::serve(listener, app()).into_future());
    let (listener, made) = listen().await;
    let made_by = tokio::spawn(axum::serve(listener, app().into_make_service()).into_future());
    let (listener, connected) = listen().await;
    let with_peer = app().into_make_service_with_connect_info::<PeerInfo>();
    let connect_info = tokio::spawn(axum::serve(listener, with_peer).into_future());
    let (listener, nested) = listen().await;
    let larger = Router::new().nest_service("/shop", app()).route("/front", plain_get(open));
    let larger = tokio::spawn(axum::serve(listener, larger).into_future());

    let (good, other) = (world.token().sign(), world.token().scopes(["x"]).sign());
    for (name, base, path, token, expected) in [
        ("axum, no token", &plain, "/orders", None, (401, "")),
        ("axum, another scope", &plain, "/orders", Some(&other), (403, "")),
        ("axum, no connect info", &plain, "/hop", Some(&good), (500, "")),
        ("axum", &plain, "/orders", Some(&good), (200, "orders")),
        ("axum, public", &plain, "/alive", None, (200, "open")),
        ("a make-service, no token", &made, "/orders", None, (401, "")),
        ("a make-service", &made, "/orders", Some(&good), (200, "orders")),
        ("with connect info, no token", &connected, "/hop", None, (401, "")),
        ("with connect info, another scope", &connected, "/orders", Some(&other), (403, "")),
        ("with connect info", &connected, "/hop", Some(&good), (200, "127.0.0.1")),
        ("nested, no token", &nested, "/shop/orders", None, (401, "")),
        ("nested, another scope", &nested, "/shop/orders", Some(&other), (403, "")),
        ("nested, beyond the prefix", &nested, "/orders", Some(&good), (404, "")),
        ("nested", &nested, "/shop/orders", Some(&good), (200, "orders")),
        ("next to the nested one", &nested, "/front", None, (200, "open")),
    ] {
        let (status, body) = ask(base, path, token.map(String::as_str)).await;
        assert_eq!(status, expected.0, "{name}: {body}");
        assert!(status != 200 || body == expected.1, "{name}: {body}");
    }
    for (name, token, status) in
        [("no token", None, 401), ("another scope", Some(&other), 403), ("enough", Some(&good), 200)]
    {
        let mut request = Request::get("/orders");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = app().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "a tower service, {name}");
    }
    [axum, made_by, connect_info, larger].iter().for_each(|server| server.abort());
}

/// Over mutual TLS, by the crate's accept loop and by axum's.
#[tokio::test]
async fn it_is_served_over_tls() {
    let world = World::new().await;
    let layer = world.layer().client_identity(ClientIdentity::from_tls()).build().unwrap();
    let app = GuardedRouter::new().route("/orders", get(orders)).behind(layer).unwrap();
    let site = world.serve_tls(app).await;
    let identity = world.pki.workload("/shop/web").issue();
    let (known, stranger) = (world.client(Some(&identity)), world.client(None));
    let bound = || world.token().bound_to_certificate(identity.certificate_der());
    for (name, client, token, status) in [
        ("no certificate", &stranger, bound(), 401),
        ("another scope", &known, bound().scopes(["x"]), 403),
        ("the certificate", &known, bound(), 200),
    ] {
        assert_eq!(site.get(client, "/orders", &token.sign()).await.status, status, "{name}");
    }
}

/// Whatever is added first: the same routes, the same rules, the same answer to what
/// is found nowhere.
#[tokio::test]
async fn the_order_makes_no_difference() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let resource = ProtectedResource::new("https://orders.example.com").unwrap();
    let layer = world.layer().protected_resource(resource).build().unwrap();
    let store = InMemoryRevocations::new();
    type Step<'a> = &'a dyn Fn(GuardedApp) -> Result<GuardedApp, ConfigError>;
    let merge: Step<'_> = &|app| app.merge(GuardedRouter::new().route("/invoices", get(invoices)));
    let nest: Step<'_> = &|app| {
        let operators = Requirement::named("operators").scope("revocations:write");
        app.nest("/revocations", revocation_routes(store.clone(), operators)?)
    };
    let beside: Step<'_> = &|app| app.beside("the pages", Router::new().route("/page", plain_get(open)));
    let metadata: Step<'_> = &|app| Ok(app.resource_metadata(layer.resource_metadata()));
    let good = world.token().sign();
    for (name, steps) in [
        ("as in the guide", [merge, nest, metadata, beside]),
        ("beside first", [beside, metadata, nest, merge]),
        ("metadata first", [metadata, merge, beside, nest]),
        ("guarded ones between", [nest, beside, merge, metadata]),
    ] {
        let app = GuardedRouter::new().route("/orders", get(orders)).behind(layer.clone()).unwrap();
        let app = steps.into_iter().try_fold(app, |app, step| step(app)).unwrap();
        let mut reasons: Vec<&str> = app.inventory().beside().collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["metadata of the protected resource (RFC 9728)", "the pages"], "{name}");
        assert_eq!(app.inventory().routes().len(), 5, "{name}");
        let served = Served::start(app).await;
        for (path, anonymous, with_token) in [
            ("/orders", 401, 200),
            ("/invoices", 401, 403),
            ("/revocations", 401, 403),
            ("/nowhere", 401, 404),
            ("/page", 200, 200),
            (WELL_KNOWN, 200, 200),
        ] {
            assert_eq!(served.get_anonymously(path).await.status, anonymous, "{name}: {path}");
            assert_eq!(served.get(path, &good).await.status, with_token, "{name}: {path}");
            let recorded = if anonymous == 200 { 0 } else { 2 };
            assert_eq!(audit.take().len(), recorded, "{name}: {path}");
        }
    }
}

/// What stands beside is never behind a rule, and takes no route of the guarded ones.
#[tokio::test]
async fn what_is_beside_has_no_rule_and_says_why() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let layer = world.layer().build().unwrap();
    let pages = Router::new()
        .route("/orders/help", plain_get(open))
        .fallback(async || (StatusCode::OK, "the web application"));
    let guarded = || GuardedRouter::new().route("/orders", get(orders)).route("/orders/{id}", get(orders));
    let app = guarded().behind(layer.clone()).unwrap().beside("the web application", pages).unwrap();
    assert_eq!(
        app.inventory().to_string().lines().last().unwrap(),
        "beside: the web application",
        "{}",
        app.inventory()
    );
    let json = serde_json::to_value(app.inventory()).unwrap();
    assert_eq!(json["beside"], serde_json::json!(["the web application"]));
    let served = Served::start(app).await;
    for (name, path, token, status, recorded) in [
        ("a guarded route", "/orders", None, 401, 1),
        ("a guarded route, bad token", "/orders", Some("x"), 401, 1),
        ("a guarded route with a parameter", "/orders/1", None, 401, 1),
        ("beside", "/orders/help", None, 200, 0),
        ("beside, bad token", "/orders/help", Some("x"), 200, 0),
        ("its fallback", "/anything", None, 200, 0),
        ("its fallback, bad token", "/anything/else", Some("x"), 200, 0),
    ] {
        let answer = match token {
            Some(token) => served.get(path, token).await,
            None => served.get_anonymously(path).await,
        };
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert_eq!(audit.take().len(), recorded, "{name}");
    }
    for reason in ["", "  "] {
        let app = guarded().behind(layer.clone()).unwrap();
        let error = app.beside(reason, Router::new()).unwrap_err();
        assert!(matches!(error, ConfigError::BesideWithoutReason), "{error}");
    }
}

/// A tower service behind a requirement: every method, whatever the path below.
#[tokio::test]
async fn a_service_has_a_rule() {
    let world = World::new().await;
    let files = GuardedRouter::new().nest_service("/files", read("files"), echo()).service(
        "/labels/{*label}",
        read("labels"),
        echo(),
    );
    let app = GuardedRouter::<()>::new()
        .service("/orders.v1.Orders/{*call}", read("calls"), echo())
        .service("/{tenant}/report", Requirement::named("report").tenant_matches_path("tenant"), echo())
        .nest("/shop/{shop}", files)
        .nest_service("/assets", Requirement::named("assets").scope("assets:read"), echo())
        .behind(world.layer().build().unwrap())
        .unwrap();
    let expected = "\
*  /orders.v1.Orders/{*call}     calls: scope \"orders:read\"
*  /{tenant}/report              report: tenant_matches_path \"tenant\"
*  /shop/{shop}/files            files: scope \"orders:read\"
*  /shop/{shop}/files/           files: scope \"orders:read\"
*  /shop/{shop}/files/{*rest}    files: scope \"orders:read\"
*  /shop/{shop}/labels/{*label}  labels: scope \"orders:read\"
*  /assets                       assets: scope \"assets:read\"
*  /assets/                      assets: scope \"assets:read\"
*  /assets/{*rest}               assets: scope \"assets:read\"
";
    assert_eq!(app.inventory().to_string(), expected);
    let served = Served::start(app).await;
    let reader = world.token().sign();
    let stranger = world.token().scopes(["x"]).sign();
    for (name, path, given) in [
        ("a gRPC call", "/orders.v1.Orders/List", "/orders.v1.Orders/List"),
        ("a wildcard below a nested prefix", "/shop/1/labels/a/b", "/labels/a/b"),
        ("nested, the prefix", "/shop/1/files", "/"),
        ("nested, the prefix with a slash", "/shop/1/files/", "/"),
        ("nested, below", "/shop/1/files/a/b.txt", "/a/b.txt"),
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PURGE"] {
            let send = async |token: Option<&str>| {
                let request = served.request(method.parse().unwrap(), path);
                let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
                integration_tests::Answer::of(request).await
            };
            for (token, status) in [(None, 401), (Some("x"), 401), (Some(&*stranger), 403)] {
                assert_eq!(send(token).await.status, status, "{name}, {method}, {token:?}");
            }
            let answer = send(Some(&reader)).await;
            assert_eq!(answer.status, 200, "{name}, {method}: {}", answer.body);
            if method != "HEAD" {
                assert_eq!(answer.body, format!("served {given}"), "{name}, {method}");
            }
        }
    }
    for (name, path, token, status) in [
        ("another service's scope", "/assets/a", &reader, 403),
        ("its prefix", "/assets", &reader, 403),
        ("its prefix with a slash", "/assets/", &reader, 403),
        ("a way around", "/shop/1/files/../../../assets/a", &reader, 403),
        ("no tenant", "/acme/report", &reader, 403),
        ("nothing below a wildcard", "/orders.v1.Orders", &reader, 404),
        ("beyond a prefix", "/assetsx", &reader, 404),
    ] {
        let answer = served.get(path, token).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
    }
    let mistaken = Requirement::named("mistaken").delegated().not_delegated();
    for router in [
        GuardedRouter::<()>::new().service("/a", mistaken.clone(), echo()),
        GuardedRouter::new().nest_service("/a", mistaken, echo()),
    ] {
        let error = router.behind(world.layer().build().unwrap()).unwrap_err();
        assert!(error.to_string().contains("mistaken"), "{error}");
    }
}

/// What is added later is held to the same, mistakes included.
#[tokio::test]
async fn mistakes_are_found_wherever_a_router_is_added() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let app = || GuardedRouter::new().route("/orders", get(orders)).behind(layer.clone()).unwrap();
    let mistaken = || {
        let mistake = Requirement::named("mistaken").delegated().not_delegated();
        GuardedRouter::new().service("/a", mistake, echo())
    };
    let silent = || GuardedRouter::new().route("/b", get(public("", open)));
    for (name, outcome) in [
        ("merged", app().merge(mistaken())),
        ("nested", app().nest("/x", mistaken())),
        ("public, merged", app().merge(silent())),
        ("public, nested", app().nest("/x", silent())),
    ] {
        assert!(outcome.is_err(), "{name}");
    }
    // A rule without a name is called by its route.
    let unnamed = GuardedRouter::new().service("/a", Requirement::new().delegated().not_delegated(), echo());
    let error = app().nest("/x", unnamed).unwrap_err().to_string();
    assert!(error.starts_with("requirement \"* /x/a\" is not usable"), "{error}");
}

/// Middleware around the whole, whenever it was added: refusals and what is beside go
/// through it, too.
#[tokio::test]
async fn a_layer_goes_around_the_whole() {
    let world = World::new().await;
    let stamp = |name: &'static str| {
        from_fn(async move |request: Request, next: Next| {
            let mut response = next.run(request).await;
            response.headers_mut().append("x-stamp", name.parse().unwrap());
            response
        })
    };
    let resource = ProtectedResource::new("https://orders.example.com").unwrap();
    let layer = world.layer().protected_resource(resource).build().unwrap();
    let app = || GuardedRouter::new().route("/orders", get(orders)).behind(layer.clone()).unwrap();
    type Step<'a> = &'a dyn Fn(GuardedApp) -> GuardedApp;
    let beside: Step<'_> =
        &|app| app.beside("the pages", Router::new().route("/page", plain_get(open))).unwrap();
    let merge: Step<'_> = &|app| app.merge(GuardedRouter::new().route("/invoices", get(invoices))).unwrap();
    let nest: Step<'_> =
        &|app| app.nest("/x", GuardedRouter::new().nest_service("/y", read("y"), echo())).unwrap();
    let metadata: Step<'_> = &|app| app.resource_metadata(layer.resource_metadata());
    let inner: Step<'_> = &|app| app.layer(stamp("inner"));
    let outer: Step<'_> = &|app| app.layer(stamp("outer"));
    let good = world.token().sign();
    for (order, steps) in [
        ("last", [beside, merge, nest, metadata, inner, outer]),
        ("first", [inner, outer, beside, merge, nest, metadata]),
        ("between", [merge, inner, beside, nest, outer, metadata]),
        ("before the last", [metadata, nest, merge, inner, outer, beside]),
    ] {
        let served = Served::start(steps.into_iter().fold(app(), |app, step| step(app))).await;
        for (name, path, token, status) in [
            ("a refusal", "/orders", None, 401),
            ("a refusal of what was merged", "/invoices", Some(&good), 403),
            ("a refusal of what was nested", "/x/y/z", None, 401),
            ("found nowhere", "/nowhere", None, 401),
            ("beside", "/page", None, 200),
            ("metadata", WELL_KNOWN, None, 200),
            ("an answer", "/orders", Some(&good), 200),
            ("an answer of what was nested", "/x/y/z", Some(&good), 200),
        ] {
            let request = served.request(Method::GET, path);
            let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            let answer = integration_tests::Answer::of(request).await;
            assert_eq!(answer.status, status, "{order}, {name}");
            let stamps: Vec<_> = answer.headers.get_all("x-stamp").iter().collect();
            assert_eq!(stamps, ["inner", "outer"], "{order}, {name}");
        }
    }
}
