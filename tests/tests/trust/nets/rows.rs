//! A table's row is looked up for the route that was really chosen.

use axum::{extract::MatchedPath, http::Uri, routing::any_service};
use tower::util::MapRequestLayer;
use tower_delegation::DelegationLayer;

use super::*;

/// What axum leaves behind in release builds: `nest_service` inside of a route keeps
/// the `MatchedPath` of the outer router. Debug builds of axum panic instead, so it
/// is put aside before, and back behind.
#[derive(Clone)]
struct Aside(MatchedPath);

fn put_aside(mut request: Request) -> Request {
    if let Some(matched) = request.extensions_mut().remove::<MatchedPath>() {
        request.extensions_mut().insert(Aside(matched));
    }
    request
}

fn put_back(mut request: Request) -> Request {
    if let Some(Aside(matched)) = request.extensions_mut().remove() {
        request.extensions_mut().insert(matched);
    }
    request
}

/// Inner routers as services of an outer router's route, at several depths.
fn outer(path: &str, inner: Router) -> Router {
    let inner = MapRequestLayer::new(put_aside).layer(inner);
    Router::new().route_service(path, inner)
}

fn leaf(rows: &RouteTableLayer) -> Router {
    let leaf =
        rows.layer(service_fn(async |_: Request| Ok::<_, Infallible>(Response::new(Body::from(SECRET)))));
    Router::new().fallback_service(MapRequestLayer::new(put_back).layer(leaf))
}

const SCOPE: &str = "scope = \"admin\"";
const PUBLIC: &str = "public = \"no secret\"";

/// A handler that sends requests of its own with the extensions of the one that it
/// serves carries `OriginalUri` along: the row is that of the request that was sent.
#[tokio::test]
async fn the_row_of_another_request_is_not_asked() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let rows = table(&[
        ("/batch", "any_caller = true"),
        ("/api/batch", "any_caller = true"),
        ("/admin", SCOPE),
        ("/api/admin", SCOPE),
        ("/open", "any_caller = true"),
    ]);
    let inner = Router::new()
        .route("/open", get(async || SECRET))
        .nest_service(
            "/api",
            service_fn(async |_: Request| Ok::<_, Infallible>(Response::new(Body::from(SECRET)))),
        )
        .fallback(async || SECRET)
        .layer(rows.clone())
        .layer(layer.clone());
    let batch = async move |request: Request| -> Response {
        let (mut parts, body) = request.into_parts();
        parts.uri = parts.headers["x-to"].to_str().unwrap().parse().unwrap();
        // Debug builds of axum refuse to route what was routed.
        parts.extensions.remove::<MatchedPath>();
        inner.clone().oneshot(Request::from_parts(parts, body)).await.unwrap()
    };
    let router = Router::new()
        .route("/batch", get(batch.clone()))
        .nest("/api", Router::new().route("/batch", get(batch)));
    let served = Served::start(router.layer(rows).layer(layer)).await;
    let token = world.token().sign();
    for path in ["/batch", "/api/batch"] {
        for (to, status) in [
            ("/admin", 403),
            ("/", 403),
            ("/api/admin", 403),
            ("/api", 403),
            ("/unlisted", 403),
            ("/open", 200),
        ] {
            let request = served.request(Method::GET, path).header("x-to", to);
            let answer = Answer::of(request.bearer_auth(&token)).await;
            // What `NestedPath` says is that of the request outside, too.
            let status = if path == "/api/batch" { 403 } else { status };
            assert_eq!(answer.status, status, "{path} {to}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn an_outer_routers_template_chooses_no_row() {
    let world = World::new().await;
    type Build = fn(&RouteTableLayer) -> Router;
    let nested: Build = |rows| outer("/{*all}", Router::new().nest_service("/api", leaf(rows)));
    let nested_below: Build = |rows| outer("/api/{*all}", Router::new().nest_service("/api", leaf(rows)));
    let nested_deep: Build = |rows| {
        let inner = Router::new().nest_service("/v1", leaf(rows));
        outer("/{*all}", Router::new().nest_service("/api", inner))
    };
    let routed: Build = |rows| {
        let inner = Router::new().route("/{b}", get(async || SECRET)).layer(rows.clone());
        Router::new().route("/{a}", any_service(inner))
    };
    let fallen: Build = |rows| {
        let inner = Router::new().fallback(async || SECRET).layer(rows.clone());
        Router::new().route("/files/{*all}", any_service(inner))
    };
    let services: Build = |rows| {
        let inner = Router::new().route("/admin", get(async || SECRET)).layer(rows.clone());
        let middle = Router::new().nest_service("/v1", inner);
        Router::new().nest_service("/api", middle)
    };
    let plain: Build = |rows| {
        let inner =
            Router::new().route("/orders/{id}", get(async || SECRET)).route("/", get(async || SECRET));
        Router::new().nest("/{tenant}", inner).layer(rows.clone())
    };
    let inside: Build = |rows| {
        let inner =
            Router::new().route("/orders/{id}", get(async || SECRET)).route("/", get(async || SECRET));
        Router::new().nest("/{tenant}", inner.layer(rows.clone()))
    };
    let rewritten: Build = |rows| {
        let inner = Router::new().route("/orders/{id}", get(async || SECRET)).layer(rows.clone());
        let rewrite = MapRequestLayer::new(|mut request: Request| {
            let path = request.uri().path().replacen("/v2", "", 1);
            *request.uri_mut() = path.parse::<Uri>().unwrap();
            request
        });
        Router::new().fallback_service(rewrite.layer(inner))
    };
    for (name, build, rows, path, status) in [
        (
            "outside of the prefix, public",
            nested,
            &[("/{*all}", PUBLIC), ("/api/admin", SCOPE)][..],
            "/api/admin",
            401,
        ),
        (
            "outside of the prefix, the other way",
            nested,
            &[("/{*all}", SCOPE), ("/api/admin", PUBLIC)],
            "/api/admin",
            200,
        ),
        ("no row for the path", nested, &[("/api/admin", PUBLIC)], "/api/other", 403),
        ("an encoded slash, which no router has read", nested, &[("/{*all}", PUBLIC)], "/api/a%2fb", 403),
        (
            "inside of the prefix",
            nested_below,
            &[("/api/{*all}", PUBLIC), ("/api/admin", SCOPE)],
            "/api/admin",
            401,
        ),
        (
            "inside of the prefix, both allow",
            nested_below,
            &[("/api/{*all}", PUBLIC), ("/api/admin", PUBLIC)],
            "/api/admin",
            200,
        ),
        ("inside of the prefix, the only row", nested_below, &[("/api/{*all}", PUBLIC)], "/api/admin", 200),
        (
            "inside of the prefix, no row of its own",
            nested_below,
            &[("/api/admin", PUBLIC)],
            "/api/admin",
            403,
        ),
        (
            "two deep",
            nested_deep,
            &[("/{*all}", PUBLIC), ("/api/{*all}", PUBLIC), ("/api/v1/admin", SCOPE)],
            "/api/v1/admin",
            401,
        ),
        (
            "two deep, the only row",
            nested_deep,
            &[("/{*all}", SCOPE), ("/api/v1/admin", PUBLIC)],
            "/api/v1/admin",
            200,
        ),
        (
            "templates of two routers in a row",
            routed,
            &[("/{a}/{b}", PUBLIC), ("/{a}", SCOPE)],
            "/admin",
            401,
        ),
        ("the same, the other way", routed, &[("/{a}/{b}", SCOPE), ("/{a}", PUBLIC)], "/admin", 200),
        ("a fallback", fallen, &[("/files/{*all}", PUBLIC), ("/files/admin", SCOPE)], "/files/admin", 401),
        ("a fallback, the only row", fallen, &[("/files/{*all}", PUBLIC)], "/files/admin", 200),
        (
            "services in services",
            services,
            &[("/api/v1/admin", SCOPE), ("/api/{*all}", PUBLIC)],
            "/api/v1/admin",
            401,
        ),
        (
            "services in services, served",
            services,
            &[("/api/v1/admin", PUBLIC), ("/admin", SCOPE)],
            "/api/v1/admin",
            200,
        ),
        (
            "services in services, by a part of the path",
            services,
            &[("/admin", PUBLIC)],
            "/api/v1/admin",
            403,
        ),
        ("a plain nest", plain, &[("/{tenant}/orders/{id}", SCOPE)], "/acme/orders/1", 401),
        ("a plain nest, served", plain, &[("/{tenant}/orders/{id}", PUBLIC)], "/acme/orders/1", 200),
        (
            "an encoded slash, as axum has read it",
            plain,
            &[("/{tenant}/orders/{id}", PUBLIC)],
            "/acme/orders/1%2f2",
            200,
        ),
        ("its root", plain, &[("/{tenant}", PUBLIC)], "/acme", 200),
        ("layered inside", inside, &[("/{tenant}/orders/{id}", SCOPE)], "/acme/orders/1", 401),
        ("layered inside, served", inside, &[("/{tenant}/orders/{id}", PUBLIC)], "/acme/orders/1", 200),
        ("layered inside, its root", inside, &[("/{tenant}", PUBLIC)], "/acme", 200),
        (
            "a row that matches more closely counts too",
            plain,
            &[("/{tenant}/orders/{id}", PUBLIC), ("/acme/orders/{id}", SCOPE)],
            "/acme/orders/1",
            401,
        ),
        ("a path that was rewritten", rewritten, &[("/orders/{id}", SCOPE)], "/v2/orders/1", 401),
        ("a path that was rewritten, served", rewritten, &[("/orders/{id}", PUBLIC)], "/v2/orders/1", 200),
    ] {
        let layer: DelegationLayer = world.layer().allow_anonymous().refuse_undecided().build().unwrap();
        let served = Served::start(build(&table(rows)).layer(layer)).await;
        let answer = served.get_anonymously(path).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert_eq!(answer.body == SECRET, status == 200, "{name}");
    }
}
