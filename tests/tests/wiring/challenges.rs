//! What a refusal tells a client to ask its authorization server for.

use std::collections::BTreeMap;

use axum::{Router, routing::get as plain_get};
use integration_tests::{Answer, Served, World};
use reqwest::Method;
use tower_delegation::{
    Applications, Authorized, DelegationContext, RequireLayer, Requirement, RouteTable, RouteTableLayer,
    application::{Application, ApplicationKind},
    layer::DelegationLayerBuilder,
    proof::Dpop,
    protected_resource::ProtectedResource,
    requires, requires_scope,
    routing::{AnyCaller, GuardedRouter, any, by_table, get, head, post, public},
};
use tower_service::Service;

const RESOURCE: &str = "https://orders.example.com";

#[requires_scope("orders:read")]
async fn list() -> &'static str {
    "orders"
}

#[requires_scope("orders:write")]
#[requires(scope = "audit:write", on_behalf_of_user)]
async fn create() {}

#[requires(any_scope("orders:admin", "admin"))]
async fn choose() {}

async fn anyone_known(_: Authorized<AnyCaller>) {}

async fn whoami(delegation: DelegationContext) -> String {
    delegation.subject().id().to_string()
}

fn resource(scopes: &[&str]) -> ProtectedResource {
    scopes.iter().fold(ProtectedResource::new(RESOURCE).unwrap(), |resource, scope| resource.add_scope(scope))
}

fn echo() -> impl Service<
    axum::extract::Request,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future = impl Future<Output = Result<axum::response::Response, std::convert::Infallible>> + Send,
> + Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(async |_| Ok(axum::response::Response::default()))
}

/// The parameters of each challenge, by scheme.
fn challenges(answer: &Answer) -> Vec<(String, BTreeMap<String, String>)> {
    let parse = |field: &String| {
        let challenges = http_auth::parse_challenges(field).unwrap();
        let read = |one: http_auth::ChallengeRef<'_>| {
            let parameters = one.params.iter().map(|(name, value)| (name.to_string(), value.to_unescaped()));
            (one.scheme.to_owned(), parameters.collect())
        };
        challenges.into_iter().map(read).collect::<Vec<_>>()
    };
    answer.challenges.iter().flat_map(parse).collect()
}

/// The one scope parameter, or nothing.
fn scope(answer: &Answer) -> Option<String> {
    let challenges = challenges(answer);
    assert_eq!(challenges.len(), 1, "{challenges:?}");
    challenges[0].1.get("scope").cloned()
}

async fn ask(served: &Served, method: Method, path: &str, token: Option<&str>) -> Answer {
    let request = served.request(method, path);
    Answer::of(token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth)).await
}

/// 6750-3.1-1, MCP-7: by the layer, a guarded router with and without public routes, a
/// requirement as a layer, an extractor, a table.
#[tokio::test]
async fn each_401_without_credentials_names_scopes() {
    let world = World::new().await;
    let layer = || world.layer().protected_resource(resource(&["orders:read", "offline_access", "basic"]));
    let open = |builder: DelegationLayerBuilder| builder.allow_anonymous().build().unwrap();
    let table = RouteTable::from_toml(
        "[[route]]\nmethods = [\"GET\"]\npath = \"/row\"\nscope = \"row:read\"\n\
         [[route]]\nmethods = [\"GET\"]\npath = \"/any\"\nany_caller = true\n",
    )
    .unwrap();
    let read = Requirement::new().scope("layer:read");
    let plain = || {
        Router::new()
            .route("/whoami", plain_get(whoami))
            .route("/attribute", plain_get(list).post(create))
            .route("/required", plain_get(async || "").layer(RequireLayer::new(read.clone()).unwrap()))
            .merge(
                Router::new()
                    .route("/row", plain_get(async || ""))
                    .route("/any", plain_get(async || ""))
                    .layer(RouteTableLayer::new(&table)),
            )
    };
    let routes = || {
        let admin = Requirement::named("files").scope("files:read");
        GuardedRouter::new()
            .route("/orders", get(list).post(create))
            .route("/choose", get(choose))
            .route("/any", get(anyone_known))
            .service("/files/{*file}", admin, echo())
            .nest("/nested/{id}", GuardedRouter::new().route("/", get(create)))
    };
    let with_public = || routes().route("/open", get(public("everyone", list)).post(list));
    let closed = Served::start(plain().layer(layer().build().unwrap())).await;
    let anonymous = Served::start(plain().layer(open(layer()))).await;
    let guarded = Served::start(routes().behind(layer().build().unwrap()).unwrap()).await;
    let public = Served::start(with_public().behind(layer().build().unwrap()).unwrap()).await;
    let allowing = Served::start(with_public().behind(open(layer())).unwrap()).await;
    let inside = Router::new().nest_service("/shop", routes().behind(layer().build().unwrap()).unwrap());
    let inside = Served::start(inside).await;
    let of_resource = "basic orders:read";
    let (expired, bad) = (world.token().claim("exp", 1).sign(), "x".to_owned());
    let (get, post) = (Method::GET, Method::POST);
    for (name, served, method, path, expected) in [
        ("the layer", &closed, &get, "/whoami", of_resource),
        ("the layer before an attribute", &closed, &get, "/attribute", of_resource),
        ("the layer, nowhere", &closed, &get, "/nowhere", of_resource),
        ("an extractor", &anonymous, &get, "/whoami", of_resource),
        ("an attribute", &anonymous, &get, "/attribute", "orders:read"),
        ("a requirement as a layer", &anonymous, &get, "/required", "layer:read"),
        ("a row", &anonymous, &get, "/row", "row:read"),
        ("a row for any caller", &anonymous, &get, "/any", of_resource),
        ("guarded", &guarded, &get, "/orders", "orders:read"),
        ("guarded, all rules of a route", &guarded, &post, "/orders", "orders:write audit:write"),
        ("guarded, HEAD", &guarded, &Method::HEAD, "/orders", "orders:read"),
        ("guarded, the first of a choice", &guarded, &get, "/choose", "orders:admin"),
        ("guarded, any caller", &guarded, &get, "/any", of_resource),
        ("guarded, a service", &guarded, &Method::PUT, "/files/a/b", "files:read"),
        ("guarded, nested", &guarded, &get, "/nested/1", "orders:write audit:write"),
        ("guarded, no such method", &guarded, &Method::DELETE, "/orders", of_resource),
        ("guarded, nowhere", &guarded, &get, "/nowhere", of_resource),
        ("guarded as a service of another router", &inside, &get, "/shop/orders", "orders:read"),
        ("with a public route", &public, &post, "/orders", "orders:write audit:write"),
        ("with a public method", &public, &post, "/open", "orders:read"),
        ("with a public route, nowhere", &public, &get, "/nowhere", of_resource),
        ("with a layer that lets anonymous requests in", &allowing, &get, "/orders", "orders:read"),
    ] {
        let answer = ask(served, method.clone(), path, None).await;
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(scope(&answer).as_deref(), Some(expected), "{name}");
        // 6750-3.1-3: another scope would not make a bad token good.
        for (kind, token) in [("expired", &expired), ("bad", &bad)] {
            let answer = ask(served, method.clone(), path, Some(token)).await;
            assert_eq!(answer.status, 401, "{name}, {kind}");
            assert_eq!(scope(&answer), None, "{name}, {kind}");
        }
        let answer = ask(served, method.clone(), path, Some("x y")).await;
        assert_eq!((answer.status, scope(&answer)), (400, None), "{name}, no single token");
    }
}

#[requires_scope("rest")]
async fn rest() {}

#[requires_scope("shop:rest")]
async fn shop_rest() {}

/// The same below nested services, at fallbacks and wherever else axum names no route.
#[tokio::test]
async fn a_401_names_the_scopes_of_the_rule_wherever_that_is_found() {
    let world = World::new().await;
    let layer = || world.layer().protected_resource(resource(&["basic"])).build().unwrap();
    let rule = |scope: &'static str| Requirement::named(scope).scope(scope);
    let shop = || {
        GuardedRouter::new()
            .route("/", get(list))
            .route("/{id}", get(list).any(create))
            .nest_service("/files", rule("shop:files"), echo())
            .fallback(shop_rest)
    };
    let routes = || {
        GuardedRouter::new()
            .route("/any", any(create).get(list))
            .route("/any/{*deeper}", any(choose))
            .route("/head", head(create).get(list))
            .route("/open", get(public("everyone", list)).post(create))
            .route("/open/{id}", get(public("everyone", async || "")))
            .service("/files/{*file}", rule("files:one"), echo())
            .nest_service("/files/all", rule("files:all"), echo())
            .nest_service("/t/{tenant}", rule("files:tenant"), echo())
            .nest("/shop", shop())
            .nest("/slash/", GuardedRouter::new().route("/orders", get(list)).fallback(rest))
    };
    let guarded = Served::start(routes().behind(layer()).unwrap()).await;
    let falling = Served::start(routes().fallback(rest).behind(layer()).unwrap()).await;
    let with_more = routes().behind(layer()).unwrap().nest("/more", shop()).unwrap();
    let pages = Router::new().route("/page", plain_get(async || "")).fallback(async || "page");
    let beside = with_more.clone().beside("pages", pages).unwrap();
    let with_more = Served::start(with_more).await;
    let beside = Served::start(beside).await;
    let nested = Router::new().nest_service("/a/{b}", routes().fallback(rest).behind(layer()).unwrap());
    let nested = Served::start(Router::new().nest("/outer", nested)).await;
    let whole = routes().fallback(rest).behind(layer()).unwrap();
    let as_route = Served::start(Router::new().route_service("/{*all}", whole.clone())).await;
    let as_fallback = Served::start(Router::new().fallback_service(whole)).await;
    let (get, put, delete, of_resource) = (Method::GET, Method::PUT, Method::DELETE, "basic");
    let of_create = "orders:write audit:write";
    for (name, served, method, path, expected) in [
        ("a nested service", &guarded, &get, "/files/all/a/b", "files:all"),
        ("a nested service, another method", &guarded, &delete, "/files/all/a", "files:all"),
        ("a nested service, HEAD", &guarded, &Method::HEAD, "/files/all/a", "files:all"),
        ("a nested service, its prefix", &guarded, &get, "/files/all", "files:all"),
        ("a nested service, its prefix and a slash", &guarded, &put, "/files/all/", "files:all"),
        ("the service around it", &guarded, &get, "/files/other", "files:one"),
        ("a nested service below a parameter", &guarded, &get, "/t/acme/a", "files:tenant"),
        ("a nested service of a nested router", &guarded, &get, "/shop/files/a", "shop:files"),
        ("any method", &guarded, &put, "/any", of_create),
        ("any method, one of its own", &guarded, &get, "/any", "orders:read"),
        ("any method, HEAD", &guarded, &Method::HEAD, "/any", "orders:read"),
        ("a wildcard", &guarded, &put, "/any/a/b", "orders:admin"),
        ("HEAD of its own", &guarded, &Method::HEAD, "/head", of_create),
        ("a public route, another method", &guarded, &Method::POST, "/open", of_create),
        ("a nested router, its root", &guarded, &get, "/shop", "orders:read"),
        ("a nested router, any method", &guarded, &delete, "/shop/1", of_create),
        ("a nested router, nowhere", &guarded, &get, "/shop/1/2", "shop:rest"),
        ("a nested router, nowhere, another method", &guarded, &put, "/shop/1/2", "shop:rest"),
        ("a prefix with a slash", &guarded, &get, "/slash/orders", "orders:read"),
        ("a prefix with a slash, nowhere", &guarded, &get, "/slash/nowhere", "rest"),
        ("a prefix with a slash, its root", &guarded, &get, "/slash/", "rest"),
        ("without a fallback, nowhere", &guarded, &get, "/nowhere", of_resource),
        ("without a fallback, the root", &guarded, &get, "/", of_resource),
        ("no such method", &falling, &put, "/head", of_resource),
        ("nowhere", &falling, &get, "/nowhere/at/all", "rest"),
        ("nowhere, the root", &falling, &put, "/", "rest"),
        ("nowhere, before a route", &falling, &get, "/any/", "rest"),
        ("nowhere, below a nested router", &falling, &get, "/shop/1/2", "shop:rest"),
        ("nowhere, a slash more than the nested router", &falling, &get, "/shop/", "rest"),
        ("added to the app", &with_more, &get, "/more/files/a", "shop:files"),
        ("added to the app, nowhere", &with_more, &get, "/more/1/2", "shop:rest"),
        ("nowhere in either", &with_more, &get, "/nowhere", of_resource),
        ("with a router beside", &beside, &get, "/more/1/2", "shop:rest"),
        ("below prefixes further outside", &nested, &get, "/outer/a/b/files/all/x", "files:all"),
        ("below prefixes further outside, a route", &nested, &put, "/outer/a/b/any", of_create),
        ("below prefixes further outside, nowhere", &nested, &get, "/outer/a/b/nowhere", "rest"),
        ("below prefixes further outside, the root", &nested, &get, "/outer/a/b", "rest"),
        ("as a route of another router", &as_route, &put, "/any", of_create),
        ("as a route of another router, nowhere", &as_route, &get, "/nowhere", "rest"),
        ("as a fallback of another router", &as_fallback, &get, "/files/all/x", "files:all"),
    ] {
        let answer = ask(served, method.clone(), path, None).await;
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(scope(&answer).as_deref(), Some(expected), "{name}");
    }
    // What no rule is for is open, or not there, as it was declared.
    for (served, method, path, status) in [
        (&guarded, &get, "/open/1", 200),
        (&guarded, &put, "/open/1", 405),
        (&beside, &get, "/page", 200),
        (&beside, &get, "/nowhere", 200),
    ] {
        assert_eq!(ask(served, method.clone(), path, None).await.status, status, "{path}");
    }
}

/// Where several rules must allow, a client that asked for the scopes of one would be
/// sent back for those of the next.
#[tokio::test]
async fn a_401_names_the_scopes_of_all_rules() {
    let world = World::new().await;
    let table = RouteTable::from_toml(
        "[[route]]\nmethods = [\"GET\"]\npath = \"/{*rest}\"\nscope = \"row:all\"\n\
         [[route]]\nmethods = [\"GET\", \"POST\"]\npath = \"/two\"\nscope = \"row:one\"\n\
         any_of = [{ scope = \"row:two\" }, { scope = \"row:three\" }]\n\
         [[route]]\nmethods = [\"*\"]\npath = \"/below/{*rest}\"\nscope = \"row:below\"\n\
         [[route]]\nmethods = [\"POST\"]\npath = \"/code\"\nscope = \"row:code\"\n\
         [[route]]\nmethods = [\"GET\"]\npath = \"/alone\"\nscope = \"row:alone\"\n",
    )
    .unwrap();
    let layer = || world.layer().protected_resource(resource(&["basic"])).route_table(&table);
    let plain = || {
        let below = Router::new().route("/{id}", plain_get(list));
        Router::new()
            .route("/two", plain_get(async || ""))
            .route("/{*rest}", plain_get(async || ""))
            .route("/code", axum::routing::post(create))
            .nest_service("/below", below)
            .layer(RouteTableLayer::new(&table))
    };
    let code = || {
        GuardedRouter::new()
            .route("/code", post(create))
            .route("/alone", get(by_table(list)))
            .layer(RouteTableLayer::new(&table))
    };
    let closed = Served::start(plain().layer(layer().build().unwrap())).await;
    let around = tower::ServiceBuilder::new().layer(layer().build().unwrap()).service(plain());
    let around = Served::start(Router::new().fallback_service(around)).await;
    let open = Served::start(plain().layer(layer().allow_anonymous().build().unwrap())).await;
    let guarded = Served::start(code().behind(layer().build().unwrap()).unwrap()).await;
    let attributes = Router::new().route("/create", axum::routing::post(create));
    let attributes = Served::start(attributes.layer(layer().allow_anonymous().build().unwrap())).await;
    let (get, post) = (Method::GET, Method::POST);
    for (name, served, method, path, expected) in [
        ("a row", &closed, &get, "/two", "row:one row:two"),
        ("a row, HEAD", &closed, &Method::HEAD, "/two", "row:one row:two"),
        ("a row with a wildcard", &closed, &get, "/other/a", "row:all"),
        ("a row below a nested service", &closed, &get, "/below/1", "row:below"),
        ("no row for the method", &closed, &Method::PUT, "/two", "basic"),
        ("a row, around the whole router", &around, &post, "/code", "row:code"),
        ("a row by a layer that lets anonymous requests in", &open, &get, "/two", "row:one row:two"),
        ("a row below a nested service, by itself", &open, &get, "/below/1", "row:below"),
        ("a rule in the code and a row", &guarded, &post, "/code", "orders:write audit:write row:code"),
        ("by the table alone", &guarded, &get, "/alone", "row:alone"),
        ("two attributes", &attributes, &post, "/create", "orders:write audit:write"),
    ] {
        let answer = ask(served, method.clone(), path, None).await;
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(scope(&answer).as_deref(), Some(expected), "{name}");
    }
}

/// Where there is nothing to name, nothing is named; each scheme's challenge says the same.
#[tokio::test]
async fn scopes_are_named_for_each_scheme_and_only_where_there_are_some() {
    let world = World::new().await;
    let guarded = || GuardedRouter::new().route("/any", get(anyone_known)).route("/orders", get(list));
    let layer = world.layer().dpop(Dpop::at(RESOURCE)).build().unwrap();
    let served = Served::start(guarded().behind(layer).unwrap()).await;
    for (path, expected) in [("/any", None), ("/orders", Some("orders:read")), ("/nowhere", None)] {
        let challenges = challenges(&served.get_anonymously(path).await);
        assert_eq!(challenges.len(), 2, "{path}");
        for (scheme, parameters) in challenges {
            assert_eq!(parameters.get("scope").map(String::as_str), expected, "{path}, {scheme}");
        }
    }
    let many: Vec<String> = (0..500).map(|number| format!("scope:{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let served = world.serve(world.layer().protected_resource(resource(&many))).await;
    assert_eq!(scope(&served.get_anonymously("/").await), None, "too many for a header field");
}

/// The resource's scopes are those of now: of the table and the registry in use.
#[tokio::test]
async fn the_scopes_of_the_resource_follow_table_and_registry() {
    let world = World::new().await;
    let row = |scope: &str| format!("[[route]]\nmethods = [\"GET\"]\npath = \"/\"\nscope = \"{scope}\"\n");
    let table = RouteTable::from_toml(&row("first")).unwrap();
    let registry = |scopes: &[&str]| {
        let application = Application::builder("shop", ApplicationKind::Application)
            .add_client_id_at(world.idp.issuer(), "shop-web")
            .add_scopes(scopes.iter().copied())
            .allow_any_workload();
        Applications::builder().add_application(application)
    };
    let applications = registry(&["first", "second"]).build().unwrap();
    let resource = resource(&["never"]).add_scopes_of_table(&table);
    let layer = world.layer().protected_resource(resource).applications(applications.clone());
    let served = world.serve(layer).await;
    let named = async || scope(&served.get_anonymously("/").await);
    assert_eq!(named().await.as_deref(), Some("first"));
    assert_eq!(named().await.as_deref(), Some("first"));
    table.replace(RouteTable::builder().toml(&row("second"))).unwrap();
    assert_eq!(named().await.as_deref(), Some("second"));
    applications.replace(registry(&["first", "never"])).unwrap();
    assert_eq!(named().await.as_deref(), Some("never"));
}
