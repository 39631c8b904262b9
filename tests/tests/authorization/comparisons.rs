//! What the token says against the path and the header fields of the request.

use axum::{
    Router,
    routing::{any_service, get},
};
use integration_tests::{AuditLog, Served};
use reqwest::Method;
use tower::service_fn;
use tower_delegation::{
    Authorized, DenialReason as R, RequestFacts, RequireLayer, Requirement, Requires, requirement::Decision,
    requires,
};

use crate::{Change, Judging, PATH, World, judge};

#[tokio::test]
async fn the_path_names_what_the_token_names() {
    let world = World::new().await;
    let new = Requirement::new;
    let account = || new().claim_matches_path("account", "account");
    let same: Change = |t| t;
    let a7: Change = |t| t.claim("account", "A 7/ü");
    let mismatch = Some(R::PathParameterMismatch);
    let rows: Vec<(&str, Requirement, Change, &str, Option<R>)> = vec![
        ("no claim", account(), same, PATH, mismatch),
        ("another account", account(), a7, "/acme/accounts/A8", mismatch),
        ("a part of it", account(), a7, "/acme/accounts/A", mismatch),
        ("in another case", account(), a7, "/acme/accounts/a%207%2F%C3%BC", mismatch),
        ("encoded twice", account(), a7, "/acme/accounts/A%25207%252F%25C3%25BC", mismatch),
        ("a plus is a plus", account(), a7, "/acme/accounts/A+7%2F%C3%BC", mismatch),
        ("no UTF-8", account(), a7, "/acme/accounts/%ff", mismatch),
        ("no such parameter", new().claim_matches_path("account", "id"), a7, PATH, mismatch),
        ("a list", account(), |t| t.claim("account", serde_json::json!(["alice"])), PATH, mismatch),
        ("null", account(), |t| t.claim("account", serde_json::json!(null)), "/acme/accounts/null", mismatch),
        ("another tenant", new().tenant_matches_path("tenant"), same, "/globex/accounts/alice", mismatch),
        ("no tenant", new().tenant_matches_path("tenant"), |t| t.without("tenant"), PATH, mismatch),
        ("another user", new().subject_matches_path("account"), same, "/acme/accounts/bob", mismatch),
        ("a user's prefix", new().subject_matches_path("account"), same, "/acme/accounts/alic", mismatch),
        ("account", account(), a7, "/acme/accounts/A%207%2F%C3%BC", None),
        ("a number", account(), |t| t.claim("account", 7), "/acme/accounts/7", None),
        ("tenant", new().tenant_matches_path("tenant"), same, PATH, None),
        ("oneself", new().subject_matches_path("account"), same, PATH, None),
    ];
    let requests = rows.into_iter().map(|(name, requirement, change, path, expected)| {
        (name, requirement, change(world.member()).sign(), path, expected)
    });
    world.check_requests(requests.collect()).await;
}

#[tokio::test]
async fn a_header_field_says_what_the_token_says() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let mismatch = Some(R::HeaderMismatch);
    let tenant = || Requirement::new().tenant_matches_header("X-Tenant");
    let region = || Requirement::new().claim_matches_header("region", "x-region");
    type Row<'n> = (&'n str, Requirement, Change, &'n [(&'n str, &'n str)], Option<R>);
    let rows: [Row<'_>; 9] = [
        ("no field", tenant(), |t| t, &[], mismatch),
        ("another tenant", tenant(), |t| t, &[("x-tenant", "globex")], mismatch),
        ("two fields", tenant(), |t| t, &[("x-tenant", "acme"), ("x-tenant", "globex")], mismatch),
        ("the same twice", tenant(), |t| t, &[("x-tenant", "acme"), ("x-tenant", "acme")], mismatch),
        ("no tenant", tenant(), |t| t.without("tenant"), &[("x-tenant", "acme")], mismatch),
        ("two empty texts", region(), |t| t.claim("region", ""), &[("x-region", "")], mismatch),
        ("no claim", region(), |t| t, &[("x-region", "eu")], mismatch),
        ("tenant", tenant(), |t| t, &[("X-TENANT", "acme")], None),
        ("region", region(), |t| t.claim("region", "eu"), &[("x-region", "eu")], None),
    ];
    for (name, requirement, change, fields, expected) in rows {
        let service = world.guard(requirement).await;
        let request = service.request(Method::GET, PATH).bearer_auth(change(world.member()).sign());
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        judge(name, request, expected, &audit).await;
    }
}

struct OwnAccount;

impl Requires for OwnAccount {
    fn requirement() -> Requirement {
        Requirement::named("OwnAccount").subject_matches_path("account")
    }
}

async fn by_type(_: Authorized<OwnAccount>) -> &'static str {
    "in"
}

#[requires(subject_matches_path = "account", tenant_matches_path = "tenant")]
async fn by_attribute() -> &'static str {
    "in"
}

#[tokio::test]
async fn every_way_knows_the_parameters() {
    let world = World::new().await;
    let guard = || RequireLayer::of::<OwnAccount>().unwrap();
    let plain = service_fn(async |_: axum::extract::Request| {
        Ok::<_, std::convert::Infallible>(axum::response::Response::new(axum::body::Body::from("in")))
    });
    let router = Router::new()
        .route("/type/{tenant}/{account}", get(by_type))
        .route("/attribute/{tenant}/{account}", get(by_attribute))
        .route("/layer/{tenant}/{account}", get(async || "in").layer(guard()))
        .route("/service/{tenant}/{account}", any_service(plain).layer(guard()))
        .nest("/nested/{tenant}", Router::new().route("/{account}", get(by_attribute)))
        .nest("/twice/{account}", Router::new().route("/{account}", get(by_type)));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    let token = world.member().sign();
    for way in ["type", "attribute", "layer", "service", "nested"] {
        assert_eq!(service.get(&format!("/{way}/acme/alice"), &token).await.status, 200, "{way}");
        assert_eq!(service.get(&format!("/{way}/acme/bob"), &token).await.status, 403, "{way}");
    }
    for way in ["attribute", "nested"] {
        assert_eq!(service.get(&format!("/{way}/globex/alice"), &token).await.status, 403, "{way}");
    }
    // Which of two parameters of one name the handler reads, nobody knows.
    assert_eq!(service.get("/twice/alice/bob", &token).await.status, 403);
    assert_eq!(service.get("/twice/alice/alice", &token).await.status, 403);
}

#[tokio::test]
async fn without_parameters_every_comparison_denies() {
    let world = World::new().await;
    let guard = RequireLayer::of::<OwnAccount>().unwrap();
    // Around the router: nothing has matched yet.
    let router = Router::new().route("/{account}", get(async || "in"));
    let service = Served::start(Router::new().fallback_service(tower::Layer::layer(
        &world.layer().build().unwrap(),
        tower::Layer::layer(&guard, router),
    )))
    .await;
    assert_eq!(service.get("/alice", &world.member().sign()).await.status, 403);

    // By call: only what the caller says is known.
    let layer = world.layer().build().unwrap();
    let delegation = layer.authenticator().verify(&world.member().sign()).await.unwrap();
    let requirement = Requirement::new().subject_matches_path("account");
    let decide = |facts: &RequestFacts<'_>| requirement.evaluate(&delegation, facts) == Decision::Allow;
    assert!(!decide(&RequestFacts::none()));
    assert!(!decide(&RequestFacts::none().with_path_parameters(&[("account", "bob")])));
    assert!(!decide(&RequestFacts::none().with_path_parameters(&[("user", "alice")])));
    assert!(decide(
        &RequestFacts::none().with_path_parameters(&vec![("account".to_owned(), "alice".to_owned())])
    ));
}
