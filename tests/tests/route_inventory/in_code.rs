//! Route tables whose rows are in code: they are those of a file, with the same checks.

use http::Method;
use tower_delegation::{Requirement, RouteTable, clock::Timestamp, routes::RouteTableBuilder};

use crate::{World, table};

const LATER: Timestamp = Timestamp::from_unix_seconds(4_102_444_800);

fn builder() -> RouteTableBuilder {
    RouteTable::builder()
        .row(Method::GET, "/orders/{id}", Requirement::named("GET /orders/{id}").scope("orders:read"))
        .row(
            Method::DELETE,
            "/orders/{id}",
            Requirement::named("remove").scope("orders:write").subject_matches_path("id"),
        )
        .any_caller(None, "/me")
        .row(Method::GET, "/tried", Requirement::named("GET /tried").role("clerk").shadow())
        .public(Method::GET, "/alive", "probe")
        .public(Method::GET, "/files/{*rest}", "downloads")
}

#[test]
fn rows_in_code_are_those_of_a_file() {
    let json = |table: RouteTable| serde_json::to_string_pretty(&table.inventory()).unwrap();
    assert_eq!(json(builder().build().unwrap()), json(RouteTable::from_toml(table::TABLE).unwrap()));
    // Both at once, and what is on trial for any caller.
    let trial = || Requirement::named("GET /b").role("clerk").shadow();
    let text = "[[route]]\nmethods = ['GET']\npath = '/b'\nany_caller = true\nrole = 'clerk'\nshadow = true";
    let in_code =
        RouteTable::builder().public(None, "/a", "why").any_caller_on_trial(Method::GET, "/b", trial());
    let mixed = RouteTable::builder().toml(text).public(None, "/a", "why");
    assert_eq!(json(in_code.build().unwrap()), json(mixed.build().unwrap()));
}

#[tokio::test]
async fn what_has_no_row_in_code_is_refused_before_the_handler() {
    table::is_refused_without_a_row(builder().build().unwrap()).await;
}

#[test]
fn a_row_in_code_with_a_mistake_is_refused_and_its_place_named() {
    let new = RouteTable::builder;
    let get = || Method::GET;
    let scope = || Requirement::named("r").scope("a");
    let lower = Method::from_bytes(b"get").unwrap();
    for (name, builder, expected) in [
        ("a method in lower case", new().row(lower, "/a", scope()), &["\"get\" is no method"][..]),
        ("a path without a slash", new().row(get(), "a", scope()), &["begins with `/`"]),
        ("a path with a query", new().public(get(), "/a?b", "why"), &["has no query"]),
        ("an open brace", new().any_caller(get(), "/{a"), &["path is not usable"]),
        ("a parameter of old", new().row(get(), "/:a", scope()), &["write `{id}`"]),
        ("nothing demanded", new().row(get(), "/a", Requirement::new()), &["demands nothing"]),
        ("only shadow", new().row(get(), "/a", Requirement::new().shadow()), &["demands nothing"]),
        ("nothing on trial", new().any_caller_on_trial(get(), "/a", scope()), &["nothing is on trial"]),
        (
            "a trial of nothing",
            new().any_caller_on_trial(get(), "/a", Requirement::new().exception("why", LATER)),
            &["nothing is on trial"],
        ),
        ("public without a reason", new().public(get(), "/a", " "), &["public without a reason"]),
        (
            "a scope that is none",
            new().row(get(), "/a", Requirement::new().scope("a b")),
            &["`scope`: the scope"],
        ),
        (
            "a contradiction",
            new().row(get(), "/a", Requirement::new().client("a").client("b").delegated().not_delegated()),
            &["exclude each other", "`client`: `client` is demanded already"],
        ),
        (
            "a mistake alone",
            new().row(get(), "/a", Requirement::new().tenant_matches_header("host")),
            &["`tenant_matches_header`"],
        ),
        (
            "the same twice",
            new().row(get(), "/a", scope()).public(get(), "/a", "why"),
            &["another row is for GET /a"],
        ),
        ("every method twice", new().any_caller(None, "/a").any_caller(None, "/a"), &["every method of /a"]),
        (
            "two templates for the same paths",
            new().any_caller(None, "/{a}").any_caller(None, "/{b}"),
            &["* /{b}"],
        ),
        (
            "a row of the file again",
            new().any_caller(get(), "/a").toml("[[route]]\nmethods = ['GET']\npath = '/a'\nscope = 'a'"),
            &["GET /a of the route table is not usable: line 1, column 1: another row is for GET /a"],
        ),
        (
            "a mistake in each row",
            new().public(get(), "/a", "").row(get(), "/b", Requirement::new()),
            &["row GET /a (", "row GET /b ("],
        ),
    ] {
        let error = builder.build().unwrap_err();
        let mistakes: Vec<String> = error.mistakes().map(ToString::to_string).collect();
        assert_eq!(mistakes.len(), expected.len(), "{name}: {mistakes:#?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.contains(expected), "{name}: {mistake}");
        }
    }
    for path in ["a", "/:a"] {
        let line = line!() + 1;
        let error = new().row(get(), path, scope()).build().unwrap_err().to_string();
        assert!(error.contains(file!()) && error.contains(&format!("line {line}, column")), "{error}");
    }
}

#[tokio::test]
async fn rows_in_code_are_held_against_the_layer_at_each_replacement() {
    let world = World::new().await;
    let row = |requirement| RouteTable::builder().row(Method::GET, "/a/{id}", requirement);
    let table = row(Requirement::new().scope("a")).build().unwrap();
    let _layer = world.layer().route_table(&table).build().unwrap();
    for (demand, requirement) in [
        ("dpop", Requirement::new().dpop()),
        ("presenter", Requirement::new().presenter("web")),
        ("subject_matches_path", Requirement::new().subject_matches_path("account")),
    ] {
        let error = table.replace(row(requirement.clone())).unwrap_err().to_string();
        let expected = format!("the rule of GET /a/{{id}} can never be met: `{demand}` needs");
        assert!(error.contains(&expected), "{error}");
        assert!(table.inventory().to_string().contains("scope"), "the rows in use stay: {demand}");
        assert!(table.failure().is_some(), "{demand}");
        let table = row(requirement).build().unwrap();
        assert!(world.layer().route_table(&table).build().is_err(), "{demand}");
    }
    table.replace(row(Requirement::new().subject_matches_path("id"))).unwrap();
    assert!(table.failure().is_none());
}
