//! Route tables: what is refused when they are read, and over real sockets.

use std::convert::Infallible;

use axum::{Router, body::Body, routing::get};
use http::{Method, Request, Response, header};
use integration_tests::{Answer, AuditLog, Served};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_delegation::{
    ConfigError, RouteTable, RouteTableLayer,
    routes::RuledRoute,
    routing::{GuardedRouter, by_table, get as guarded_get, post},
};

use crate::World;

pub(crate) const TABLE: &str = r#"
    [[route]]
    methods = ["GET"]
    path = "/orders/{id}"
    scope = "orders:read"

    [[route]]
    methods = ["DELETE"]
    path = "/orders/{id}"
    name = "remove"
    scope = "orders:write"
    subject_matches_path = "id"

    [[route]]
    methods = ["*"]
    path = "/me"
    any_caller = true

    [[route]]
    methods = ["GET"]
    path = "/tried"
    role = "clerk"
    shadow = true

    [[route]]
    methods = ["GET"]
    path = "/alive"
    public = "probe"

    [[route]]
    methods = ["GET"]
    path = "/files/{*rest}"
    public = "downloads"
"#;

fn row(text: &str) -> String {
    format!("[[route]]\nmethods = [\"GET\"]\npath = \"/a\"\n{text}\n")
}

#[test]
fn a_table_with_a_mistake_is_refused_and_the_row_named() {
    let good = row("scope = \"a\"");
    for (name, text, expected) in [
        ("no TOML", "[[route]".to_owned(), "line 1"),
        ("a key beside the rows", format!("{good}\n[routes]\n"), "not readable"),
        ("a misspelt table", "[[routes]]\npath = \"/a\"".to_owned(), "not readable"),
        (
            "an unknown key",
            row("scopes = [\"a\"]"),
            "GET /a of the route table is not usable: line 4, column 1: `scopes` is no key of a row, did you mean `scope`?",
        ),
        (
            "an unknown key of the second row",
            format!("{good}{}", row("scoep = 1").replace("/a", "/b")),
            "GET /b",
        ),
        ("no methods", "[[route]]\npath = \"/a\"\nscope = \"a\"".to_owned(), "1 (/a)"),
        ("an empty list of methods", row("scope = \"a\"").replace("\"GET\"", ""), "no methods"),
        ("a method in lower case", row("scope = \"a\"").replace("GET", "get"), "\"get\" is no method"),
        (
            "a star among methods",
            row("scope = \"a\"").replace("\"GET\"", "\"GET\", \"*\""),
            "\"*\" is no method",
        ),
        ("no path", "[[route]]\nmethods = [\"GET\"]\nscope = \"a\"".to_owned(), "row 1"),
        ("a path without a slash", row("scope = \"a\"").replace("/a", "a"), "begins with `/`"),
        ("a path with a query", row("scope = \"a\"").replace("/a", "/a?b"), "has no query"),
        ("an open brace", row("scope = \"a\"").replace("/a", "/{a"), "path is not usable"),
        ("nothing demanded", row(""), "demands nothing"),
        ("only shadow", row("shadow = true"), "demands nothing"),
        ("any caller and more", row("any_caller = true\nscope = \"a\""), "`any_caller` means"),
        ("any caller, not", row("any_caller = false"), "`any_caller = true`"),
        ("any caller, and nothing on trial", row("any_caller = true\nshadow = true"), "nothing is on trial"),
        ("public without a reason", row("public = true"), "`public` is the reason why"),
        ("public with an empty one", row("public = \"  \""), "`public` is the reason why"),
        ("public and more", row("public = \"a\"\nscope = \"a\""), "so `scope` means nothing"),
        ("public in shadow", row("public = \"a\"\nshadow = true"), "so `shadow` means nothing"),
        ("a false flag", row("delegated = false"), "`delegated`: write `true`"),
        ("a scope that is none", row("scope = \"a b\""), "the scope contains a space"),
        ("two clients", row("client = [\"a\", \"b\"]"), "write `any_client`"),
        ("an empty list", row("scope = []"), "`scope`: expected text"),
        ("a number for text", row("client = 7"), "`client`: expected text"),
        ("text for a number", row("max_actors = \"1\""), "`max_actors`"),
        ("a negative age", row("max_token_age = -1"), "number of seconds"),
        ("a kind that is none", row("subject_kind = \"robot\""), "`subject_kind`: expected"),
        ("an application kind that is none", row("presenter_kind = \"robot\""), "`presenter_kind`: expected"),
        ("half a pair", row("claim_equals = [[\"a\"]]"), "`claim_equals`: write"),
        ("a time that is none", row("time_window = { start = \"8\", end = \"9:00\" }"), "no time of day"),
        (
            "a key of a window",
            row("time_window = { start = \"8:00\", end = \"9:00\", day = \"monday\" }"),
            "`day`",
        ),
        ("a detail without a type", row("authorization_detail = { actions = \"a\" }"), "`type"),
        ("an unknown key in a part", row("any_of = [{ scoep = \"a\" }]"), "`scoep`"),
        ("an empty part", row("any_of = [{}]"), "not usable"),
        (
            "an exception without an end",
            row("scope = \"a\"\nexception = { reason = \"x\" }"),
            "`exception`: write",
        ),
        (
            "an exception to a local time",
            row("scope = \"a\"\nexception = { reason = \"x\", until = 2027-03-31T00:00:00 }"),
            "is no moment",
        ),
        ("a contradiction", row("delegated = true\nnot_delegated = true"), "GET /a"),
        ("the same twice", format!("{good}{good}"), "another row is for GET /a"),
        ("every method twice", format!("{0}{0}", good.replace("GET", "*")), "every method of /a"),
        (
            "two templates for the same paths",
            format!("{}{}", good.replace("/a", "/{a}"), good.replace("/a", "/{b}")),
            "GET /{b} of the route table is not usable: line 5, column 1: its path",
        ),
    ] {
        let error: ConfigError = RouteTable::from_toml(&text).unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
}

#[test]
fn every_mistake_names_its_line_and_column() {
    let second = |text: &str| row("scope = \"a\"") + &row(text).replace("/a", "/b");
    for (name, text, expected) in [
        ("no TOML", "[[route]]\nmethods = [\"GET\"]\npath =\n".to_owned(), "line 3, column"),
        ("a key twice", row("client = \"a\"\nclient = \"b\""), "line 5, column 1: duplicate key"),
        ("another table", row("scope = \"a\"") + "[[routes]]\n", "line 5, column 3: `routes` is no list"),
        ("rows that are none", "\nroute = 7".to_owned(), "line 2, column 1: `route` is no list"),
        ("a row that is none", "route = [7]".to_owned(), "line 1, column 10: a row is a table"),
        (
            "an unknown key",
            second("\n  scoep = \"a\""),
            "line 9, column 3: `scoep` is no key of a row, did you mean `scope`?",
        ),
        ("an unknown key like none", second("colour = 1"), "line 8, column 1: `colour` is no key of a row"),
        ("a key of the row itself", second("methodes = 1"), "did you mean `methods`?"),
        ("a wrong type", second("scope = 7"), "line 8, column 9: `scope`: expected text"),
        ("in a list", second("scope = [\"a\",\n  7]"), "line 9, column 3: `scope`: expected a list"),
        (
            "behind more than ASCII",
            second("claim_equals = { \"größe\" = 7 }"),
            "line 8, column 28: `claim_equals`: expected text",
        ),
        (
            "a wrong value",
            second("any_presenter_kind = [\"agent\", \"robot\"]"),
            "line 8, column 32: `any_presenter_kind`: expected",
        ),
        (
            "a scope that is none",
            second("role = \"a\"\nscope = \"a b\""),
            "line 9, column 1: `scope`: the scope contains",
        ),
        (
            "a contradiction",
            second("not_delegated = true\ndelegated = true"),
            "of the route table is not usable: line",
        ),
        (
            "a choice and one",
            second("client = \"a\"\nany_client = [\"b\", \"c\"]"),
            "line 9, column 1: `any_client`: `client` is demanded already",
        ),
        ("a flag that is none", second("dpop = false"), "line 8, column 8: `dpop`: write `true`"),
        (
            "a number out of range",
            second("max_actors = -1"),
            "line 8, column 14: `max_actors`: expected a number",
        ),
        (
            "a part",
            second("any_of = [{ role = \"a\" }, { rolle = \"b\" }]"),
            "line 8, column 29: `any_of`: `rolle` is no key of a row, did you mean `role`?",
        ),
        (
            "a contradiction in a part",
            second("not = { client = [\"a\", \"b\"] }"),
            "line 8, column 9: `not`: `client`: ",
        ),
        (
            "a key of a window",
            second("time_window = { start = \"8:00\", end = \"9:00\", day = \"monday\" }"),
            "line 8, column 47: `time_window`: `day` is no key of a time window, did you mean `days`?",
        ),
        (
            "a key of a detail",
            second("authorization_detail = { type = \"a\", action = \"b\" }"),
            "did you mean `actions`?",
        ),
        (
            "an exception's end",
            second("scope = \"a\"\nexception = { reason = \"a\", until = 7 }"),
            "line 9, column 37: `exception`: write",
        ),
        ("no path", row("scope = \"a\"").replace("path", "name"), "line 1, column 1: it has no path"),
        (
            "a path that is none",
            row("scope = \"a\"").replace("/a", "a"),
            "line 3, column 8: \"a\" is no path",
        ),
        (
            "a method that is none",
            row("scope = \"a\"").replace("\"GET\"", "\"GET\", \"put\""),
            "line 2, column 19: \"put\" is no method",
        ),
        ("nothing demanded", second(""), "line 5, column 1: it demands nothing"),
        ("public, and not", second("public = \"a\"\nscope = \"a\""), "line 9, column 1: it is public"),
        (
            "any caller, and no key",
            second("any_caller = true\nscoep = \"a\""),
            "line 9, column 1: `scoep` is no key",
        ),
        ("the same row twice", row("scope = \"a\"").repeat(2), "line 5, column 1: another row is for GET /a"),
        ("a parameter of old", row("scope = \"a\"").replace("/a", "/:a"), "(line 1, column 1)"),
    ] {
        let error = RouteTable::from_toml(&text).unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(!error.to_string().contains("row GET /a of") || !text.contains("/b"), "{name}: {error}");
    }
    let error = RouteTable::from_toml(&second("scoep = \"a\"\nclient = 7\nrole = \"\"")).unwrap_err();
    assert_eq!(error.mistakes().count(), 3, "every key of a row: {error}");
}

#[test]
fn every_demand_can_stand_in_a_row() {
    let rows: &[(&str, &str)] = &[
        (r#"scope = ["a", "b"]"#, r#"scope all [ "a", "b" ]"#),
        (r#"any_scope = ["a", "b"]"#, r#"scope any [ "a", "b" ]"#),
        (r#"any_scope = [["a", "b"], ["c", "d"]]"#, r#"scope all [ any [ "a", "b" ], any [ "c", "d" ] ]"#),
        (r#"scopes_within = ["a"]"#, r#"scopes_within [ "a" ]"#),
        (r#"issuer = "https://a""#, r#"issuer "https://a""#),
        (r#"tenant = "a""#, r#"tenant "a""#),
        (r#"any_audience = ["a", "b"]"#, r#"audience any [ "a", "b" ]"#),
        (r#"audiences_within = ["a"]"#, r#"audiences_within [ "a" ]"#),
        ("max_token_lifetime = 60", "max_token_lifetime 60"),
        ("max_token_age = 60", "max_token_age 60"),
        ("sender_constrained = true", "sender_constrained"),
        ("mutual_tls = true", "mutual_tls"),
        ("dpop = true", "dpop"),
        (r#"workload = "spiffe://a/b""#, r#"workload "spiffe://a/b""#),
        (r#"any_subject_kind = ["user", "service"]"#, r#"subject_kind any [ "user", "service" ]"#),
        ("on_behalf_of_user = true", "on_behalf_of_user"),
        ("not_on_behalf_of_user = true", "not_on_behalf_of_user"),
        ("delegated = true", "delegated"),
        ("not_delegated = true", "not_delegated"),
        ("max_actors = 2", "max_actors 2"),
        (r#"deny_actor = "a""#, r#"deny_actor "a""#),
        (r#"actor = "a""#, r#"actor "a""#),
        (r#"actor_of = { "https://a" = "b" }"#, "actor_of"),
        (r#"client = "a""#, r#"client "a""#),
        (
            r#"time_window = { start = "08:00", end = "18:00", days = ["monday"], utc_offset_minutes = 60 }"#,
            "time_window",
        ),
        (r#"application = "a""#, r#"application "a""#),
        (
            r#"any_application_kind = ["service", "application"]"#,
            r#"application_kind any [ "service", "application" ]"#,
        ),
        (r#"application_tenant = "a""#, "application_tenant"),
        (r#"application_environment = "a""#, "application_environment"),
        (r#"presenter = "a""#, r#"presenter "a""#),
        (r#"presenter_kind = "agent""#, r#"presenter_kind "agent""#),
        (r#"presenter_tenant = "a""#, "presenter_tenant"),
        (r#"presenter_environment = "a""#, "presenter_environment"),
        (r#"actor_kind = "agent""#, r#"actor_kind "agent""#),
        ("risk_below = { device = 70 }", "risk_below"),
        (r#"claim_equals = { plan = "gold" }"#, r#"claim "plan"; value "gold""#),
        (r#"claim_equals = [[["a", "b"], "gold"]]"#, r#"[ "a", "b" ]"#),
        (r#"claim_one_of = { plan = ["gold", "silver"] }"#, "claim_one_of"),
        (r#"claim_matches_path = { plan = "plan" }"#, "claim_matches_path"),
        (r#"claim_matches_header = { plan = "x-plan" }"#, "claim_matches_header"),
        (r#"purpose = { purpose = "treatment" }"#, "purpose"),
        (r#"tenant_matches_path = "tenant""#, "tenant_matches_path"),
        (r#"tenant_matches_header = "x-tenant""#, "tenant_matches_header"),
        (r#"subject_matches_path = "user""#, "subject_matches_path"),
        (r#"role = "a""#, r#"role "a""#),
        (r#"any_role = ["a", "b"]"#, r#"role any [ "a", "b" ]"#),
        (r#"permission = "a""#, r#"permission "a""#),
        (r#"any_permission = ["a", "b"]"#, r#"permission any [ "a", "b" ]"#),
        (r#"group = "a""#, r#"group "a""#),
        (r#"any_group = ["a", "b"]"#, r#"group any [ "a", "b" ]"#),
        (
            r#"authorization_detail = { type = "pay", actions = ["a"], locations = "https://a", datatypes = "d", privileges = "p", identifier = "i" }"#,
            "authorization_detail",
        ),
        (
            r#"authorization_detail = [{ type = "pay", identifier_matches_path = "id" }]"#,
            "authorization_detail",
        ),
        (r#"all_of = [{ scope = "a" }, { role = "b" }]"#, "all_of"),
        (r#"any_of = [{ scope = "a" }, { role = "b" }]"#, "any_of"),
        (r#"not = { client = "a" }"#, "not"),
        (r#"acr = "mfa""#, r#"acr "mfa""#),
        ("max_authentication_age = 60", "max_authentication_age 60"),
        ("scope = \"a\"\nshadow = true", "shadow"),
        ("scope = \"a\"\nexception = { reason = \"late\", until = 2027-03-31T00:00:00Z }", "1806451200"),
    ];
    for (demand, expected) in rows {
        let table = RouteTable::from_toml(&row(demand)).unwrap_or_else(|error| panic!("{demand}: {error}"));
        let text = table.inventory().to_string();
        assert!(text.contains(expected), "{demand}: {text}");
    }
}

fn table() -> RouteTable {
    RouteTable::from_toml(TABLE).unwrap()
}

#[test]
fn the_table_is_held_against_the_routes() {
    let open = async || "";
    let router = GuardedRouter::<()>::new()
        .route("/orders/{id}", guarded_get(by_table(open)))
        .merge(GuardedRouter::new().route("/orders/{order}/lines", post(by_table(open))))
        .route("/me", guarded_get(by_table(open)).head(by_table(open)));
    let names = |routes: Vec<RuledRoute>| -> Vec<String> { routes.iter().map(ToString::to_string).collect() };
    let table = table();
    assert_eq!(
        names(table.unused(router.inventory())),
        ["DELETE /orders/{id}", "GET /tried", "GET /alive", "GET /files/{*rest}"]
    );
    assert_eq!(names(table.unlisted(router.inventory())), ["POST /orders/{order}/lines"]);
}

async fn open() -> &'static str {
    "served"
}

fn router() -> Router {
    Router::new()
        .route("/orders/{id}", get(open).delete(open).post(open))
        .route("/me", get(open).patch(open))
        .route("/tried", get(open))
        .route("/alive", get(open).post(open))
        .route("/admin", get(open))
        .nest_service(
            "/files",
            service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from("a file")))),
        )
}

#[tokio::test]
async fn what_has_no_row_is_refused_before_the_handler() {
    is_refused_without_a_row(table()).await;
}

/// Holds a table with the rows of [`TABLE`] against requests, however it was written.
pub(crate) async fn is_refused_without_a_row(table: RouteTable) {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let layer = world.layer().allow_anonymous().refuse_undecided().build().unwrap();
    let served = Served::start(router().layer(RouteTableLayer::new(&table)).layer(layer)).await;
    let reader = world.token().scopes(["orders:read"]).sign();
    let writer = world.token().scopes(["orders:write"]).sign();
    let (reader, writer) = (Some(&reader), Some(&writer));
    for (name, method, path, token, status, reason, requirements) in [
        ("no row for the path", "GET", "/admin", reader, 403, "route_unlisted", "route_table"),
        ("no row, no token", "GET", "/admin", None, 403, "route_unlisted", "route_table"),
        ("no row for the method", "POST", "/orders/1", writer, 403, "route_unlisted", "route_table"),
        (
            "no row for the method of a public path",
            "POST",
            "/alive",
            reader,
            403,
            "route_unlisted",
            "route_table",
        ),
        ("no route and no row", "GET", "/nowhere", reader, 403, "route_unlisted", "route_table"),
        ("no token", "GET", "/orders/1", None, 401, "credentials_missing", "GET /orders/{id}"),
        ("no scope", "GET", "/orders/1", writer, 403, "scope_missing", "GET /orders/{id}"),
        ("HEAD is GET", "HEAD", "/orders/1", writer, 403, "scope_missing", "GET /orders/{id}"),
        ("another subject's", "DELETE", "/orders/bob", writer, 403, "path_parameter_mismatch", "remove"),
        ("no token in shadow mode", "GET", "/tried", None, 401, "credentials_missing", "GET /tried"),
        (
            "an encoded slash in a nested service",
            "GET",
            "/files/a%2fb",
            reader,
            403,
            "path_ambiguous",
            "route_table",
        ),
        ("an encoded dot", "GET", "/files/a%2eb", reader, 403, "path_ambiguous", "route_table"),
        ("enough", "GET", "/orders/1", reader, 200, "", "GET /orders/{id}"),
        ("one's own", "DELETE", "/orders/alice", writer, 200, "", "remove"),
        ("any method", "PATCH", "/me", writer, 200, "", "* /me"),
        ("public", "GET", "/alive", None, 200, "", "public (probe)"),
        ("a nested service", "GET", "/files/a/b", None, 200, "", "public (downloads)"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = served.request(method, path);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        let event = audit.one();
        assert_eq!(event.field("reason"), reason, "{name}");
        let evaluated = event.field("requirements");
        assert_eq!(evaluated.trim_end_matches(": deny"), requirements, "{name}");
    }
    // A row on trial decides nothing; without the last net it lets the request go on.
    let answer = served.get("/tried", reader.unwrap()).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "misconfigured"), "in shadow mode");
    assert!(audit.one().field("requirements").contains("shadow"), "in shadow mode");
    let layer = world.layer().allow_anonymous().build().unwrap();
    let served = Served::start(router().layer(RouteTableLayer::new(&table)).layer(layer)).await;
    let answer = served.get("/tried", reader.unwrap()).await;
    assert_eq!(answer.status, 200, "in shadow mode, without the net");
    assert!(audit.one().field("requirements").contains("shadow"), "in shadow mode, without the net");
}

/// A plain tower service has nobody who chose a route.
#[tokio::test]
async fn without_a_router_the_raw_path_is_matched() {
    let world = World::new().await;
    let layer = world.layer().allow_anonymous().build().unwrap();
    let service = layer.layer(RouteTableLayer::new(&table()).layer(service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::from("served")))
    })));
    let reader = world.token().scopes(["orders:read", "orders:write"]).sign();
    for (name, method, path, status) in [
        ("no row", "GET", "/admin", 403),
        ("a slash more", "GET", "/orders/1/", 403),
        ("a double slash", "GET", "//alive", 403),
        ("a dot segment", "GET", "/files/../admin", 403),
        ("an encoded slash", "GET", "/orders/1%2Frefund", 403),
        ("an encoded letter", "GET", "/%61live", 403),
        ("no path", "OPTIONS", "*", 403),
        ("another subject's, encoded", "DELETE", "/orders/bob%20", 403),
        ("a row", "GET", "/orders/1?a=%2f", 200),
        ("one's own", "DELETE", "/orders/alice", 200),
        ("a catch-all", "GET", "/files/a/b.c", 200),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {reader}"))
            .body(Body::empty())
            .unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{name}");
    }
}

#[tokio::test]
async fn a_table_without_the_layer_is_closed() {
    let served = Served::start(router().layer(RouteTableLayer::new(&table()))).await;
    for path in ["/alive", "/orders/1", "/admin"] {
        let answer = served.get_anonymously(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "misconfigured"), "{path}");
    }
}

#[tokio::test]
async fn a_bad_table_changes_nothing_and_a_good_one_everything() {
    let world = World::new().await;
    let folder = std::env::temp_dir().join(format!("routes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("routes.toml");
    std::fs::write(&file, TABLE).unwrap();
    let table = RouteTable::from_toml_file(&file).unwrap();
    let app = router().layer(RouteTableLayer::new(&table)).layer(world.layer().build().unwrap());
    let served = Served::start(app).await;
    let token = world.token().scopes(["orders:read"]).sign();
    let status = async |path| served.get(path, &token).await.status;
    assert_eq!((status("/orders/1").await, status("/admin").await), (200, 403));

    for bad in ["[[route]]", "no toml", &TABLE.replace("scope", "scoep")] {
        std::fs::write(&file, bad).unwrap();
        for error in
            [table.reload().unwrap_err(), table.replace(RouteTable::builder().toml(bad)).unwrap_err()]
        {
            assert!(matches!(error, ConfigError::RouteTableNotReplaced { .. }), "{bad}: {error}");
            let cause = RouteTable::from_toml(bad).unwrap_err().to_string();
            assert_eq!(error.to_string(), format!("the route table stays as it was: {cause}"));
            assert_eq!(table.failure().unwrap().to_string(), cause);
        }
        assert_eq!((status("/orders/1").await, status("/admin").await), (200, 403), "{bad}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(table.reload().is_err());
    assert!(matches!(*table.failure().unwrap(), ConfigError::RouteTableUnreadable { .. }));
    assert_eq!(status("/orders/1").await, 200);

    std::fs::write(&file, "[[route]]\nmethods = [\"GET\"]\npath = \"/admin\"\nany_caller = true").unwrap();
    table.reload().unwrap();
    assert!(table.failure().is_none());
    assert_eq!((status("/orders/1").await, status("/admin").await), (403, 200));
    // A table without rows is one: it closes everything.
    table.replace(RouteTable::builder()).unwrap();
    assert_eq!((status("/orders/1").await, status("/admin").await), (403, 403));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(RouteTable::from_toml("").unwrap().reload(), Err(ConfigError::NoRouteTableFile)));
}

#[test]
fn every_mistake_of_every_row_is_reported_at_once() {
    let row = |methods: &str, path: &str, rest: &str| {
        format!("[[route]]\nmethods = [{methods}]\npath = \"{path}\"\n{rest}\n")
    };
    let text = row("'get'", "/a", "scope = 'a'")
        + &row("'GET'", "b", "scope = 'a'")
        + &row("'GET'", "/c", "scoep = 'a'");
    let error = RouteTable::from_toml(&text).unwrap_err();
    assert_eq!(error.mistakes().count(), 3, "{error}");
    // What is wrong with the rows together.
    let text = row("'GET'", "/{a", "any_caller = true")
        + &row("'GET', 'PUT'", "/d", "any_caller = true").repeat(2)
        + &row("'*'", "/e", "any_caller = true").repeat(2);
    let error = RouteTable::from_toml(&text).unwrap_err();
    let texts: Vec<_> = error.mistakes().map(ToString::to_string).collect();
    for told in
        ["path is not usable", "another row is for GET /d", "another row is for PUT /d", "every method of /e"]
    {
        assert_eq!(texts.iter().filter(|text| text.contains(told)).count(), 1, "{told}: {texts:#?}");
    }
}

#[tokio::test]
async fn the_file_of_a_table_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    std::fs::write(&file, TABLE).unwrap();
    let table = RouteTable::from_toml_file(&file).unwrap();
    let rows = table.inventory().routes().len();
    let watcher = table.watch().unwrap();
    let replace = |text: &str| {
        std::fs::write(folder.path().join("next"), text).unwrap();
        std::fs::rename(folder.path().join("next"), &file).unwrap();
    };
    let until = async |holds: &dyn Fn() -> bool| {
        let wait = async {
            while !holds() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.unwrap();
    };
    replace("no table");
    until(&|| table.failure().is_some()).await;
    assert_eq!(table.inventory().routes().len(), rows, "a bad file changes nothing");
    replace("[[route]]\nmethods = ['GET']\npath = '/watched'\nany_caller = true");
    until(&|| table.inventory().routes().len() == 1).await;
    assert!(table.failure().is_none());
    drop(watcher);
    replace("no table");
    assert!(table.failure().is_none(), "no longer watched");
    assert!(matches!(RouteTable::from_toml("").unwrap().watch(), Err(ConfigError::NoRouteTableFile)));
}

/// Handlers that leave their rules to the table, behind it.
#[tokio::test]
async fn a_guarded_router_may_leave_its_rules_to_the_table() {
    let world = World::new().await;
    let table = table();
    let guarded = GuardedRouter::new()
        .route("/orders/{id}", guarded_get(by_table(open)))
        .route("/admin", guarded_get(by_table(open)))
        .layer(RouteTableLayer::new(&table));
    let served = Served::start(guarded.behind(world.layer().build().unwrap()).unwrap()).await;
    let token = world.token().scopes(["orders:read"]).sign();
    assert_eq!(served.get("/admin", &token).await.status, 403);
    assert_eq!(served.get("/orders/1", &world.token().scopes([""; 0]).sign()).await.status, 403);
    assert_eq!(served.get("/orders/1", &token).await.body, "served");
}
