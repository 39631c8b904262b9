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
    routing::{AnyCaller, GuardedRouter, get, public},
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
    table.replace(&row("second")).unwrap();
    assert_eq!(named().await.as_deref(), Some("second"));
    applications.replace(registry(&["first", "never"])).unwrap();
    assert_eq!(named().await.as_deref(), Some("never"));
}
