//! Inventories as text, JSON and OpenAPI.

use serde_json::json;
use tower_delegation::{
    Authorized, Requirement, Requires, RouteTable, requires, requires_scope,
    routing::{GuardedRouter, any, by_table, get, public},
};

struct Composed;

impl Requires for Composed {
    fn requirement() -> Requirement {
        let part = |scope| Requirement::new().scope(scope);
        Requirement::named("composed")
            .scope("a")
            .all_of([part("b")])
            .any_of([part("c"), part("d")])
            .not(part("e"))
    }
}

/// 2^7 ways to meet it.
struct Many;

impl Requires for Many {
    fn requirement() -> Requirement {
        (0..7).fold(Requirement::named("many"), |many, at| {
            many.any_scope([format!("a{at}").as_str(), format!("b{at}").as_str()])
        })
    }
}

async fn composed(_: Authorized<Composed>) {}

async fn many(_: Authorized<Many>) {}

#[requires_scope("orders:read")]
#[requires_scope(any("web", "app"))]
async fn list() {}

#[requires(client = "shop-web")]
async fn no_scope() {}

async fn open() {}

fn router() -> GuardedRouter {
    GuardedRouter::new()
        .route("/orders", any(no_scope).get(list))
        .route("/orders/{*rest}", get(composed))
        .route("/many", get(many))
        .route("/alive", get(public("probe", open)))
        .route("/table", get(by_table(open)))
}

#[test]
fn openapi_lists_what_is_enough() {
    let paths = router().inventory().openapi_security("oauth2");
    assert_eq!(
        paths["/orders"]["get"]["security"],
        json!([{ "oauth2": ["orders:read", "web"] }, { "oauth2": ["app", "orders:read"] }])
    );
    for method in ["post", "put", "patch", "delete", "head", "options", "trace"] {
        assert_eq!(paths["/orders"][method]["security"], json!([{ "oauth2": [] }]), "{method}");
    }
    assert_eq!(
        paths["/orders/{rest}"]["get"]["security"],
        json!([{ "oauth2": ["a", "b", "c"] }, { "oauth2": ["a", "b", "d"] }])
    );
    assert_eq!(paths["/alive"]["get"]["security"], json!([]));
    assert!(paths.get("/table").is_none(), "its rule is elsewhere");
    assert_eq!(paths["/many"]["get"]["security"].as_array().unwrap().len(), 64);
}

#[test]
fn json_says_of_each_route_what_it_demands() {
    let inventory = serde_json::to_value(router().inventory()).unwrap();
    let routes = inventory["routes"].as_array().unwrap();
    assert_eq!(routes.len(), 6);
    assert_eq!(
        routes[0],
        json!({ "method": "*", "path": "/orders", "requirements": [{ "name": "no_scope", "client": "shop-web" }] })
    );
    assert_eq!(routes[1]["requirements"].as_array().unwrap().len(), 2);
    assert_eq!(routes[4], json!({ "method": "GET", "path": "/alive", "public": "probe" }));
    assert_eq!(routes[5], json!({ "method": "GET", "path": "/table", "table": true }));
}

#[test]
fn a_table_has_an_inventory_too() {
    let table = RouteTable::from_toml(
        "[[route]]\nmethods = [\"GET\", \"POST\"]\npath = \"/a\"\nscope = \"b\"\n\
         [[route]]\nmethods = [\"*\"]\npath = \"/b\"\npublic = \"why\"\n",
    )
    .unwrap();
    let expected =
        "GET   /a  GET|POST /a: scope \"b\"\nPOST  /a  GET|POST /a: scope \"b\"\n*     /b  public: why\n";
    assert_eq!(table.inventory().to_string(), expected);
    assert_eq!(table.inventory().scopes(), ["b"]);
}
