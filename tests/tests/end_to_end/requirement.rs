//! The whole vocabulary of a requirement, by each of its four ways.

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use integration_tests::{Answer, AuditLog, Served};
use reqwest::Method;
use tower_delegation::{
    Authorized, DelegationContext, DenialReason as R, Rejection, RequestFacts, RequireLayer, Requirement,
    Requires, SubjectKind, requirement::Decision, requires, requires_audience, requires_scope,
};
use tower_delegation_testing::TokenBuilder;

use crate::World;

type Change = fn(TokenBuilder) -> TokenBuilder;

/// Refusals first. `None`: allowed. Base token: alice through shop-web, `orders:read`.
fn rows() -> Vec<(&'static str, Requirement, Change, Option<R>)> {
    let new = Requirement::new;
    let service: Change = |t| t.subject("shop-web");
    let same: Change = |t| t;
    let copilot: Change = |t| t.actor("copilot");
    vec![
        ("scope missing", new().scope("orders:write"), same, Some(R::ScopeMissing)),
        ("scope a prefix", new().scope("orders"), same, Some(R::ScopeMissing)),
        ("scope in another case", new().scope("Orders:read"), same, Some(R::ScopeMissing)),
        ("scope a part", new().scope("read"), same, Some(R::ScopeMissing)),
        ("one of two missing", new().scopes(["orders:read", "orders:write"]), same, Some(R::ScopeMissing)),
        ("none of any", new().any_scope(["a", "b"]), same, Some(R::ScopeMissing)),
        ("no scope at all", new().scope("orders:read"), |t| t.without("scope"), Some(R::ScopeMissing)),
        (
            "roles are no scopes",
            new().scope("admin"),
            |t| t.claim("roles", serde_json::json!(["admin"])),
            Some(R::ScopeMissing),
        ),
        (
            "audience of a sibling",
            new().audience("https://other.example.com"),
            same,
            Some(R::AudienceNotAllowed),
        ),
        ("another issuer", new().issuer("https://idp.example.com"), same, Some(R::IssuerNotAllowed)),
        (
            "a user where a service is due",
            new().subject_kind(SubjectKind::Service),
            same,
            Some(R::SubjectKindNotAllowed),
        ),
        (
            "a service where a user is due",
            new().subject_kind(SubjectKind::User),
            service,
            Some(R::SubjectKindNotAllowed),
        ),
        ("a service for itself", new().on_behalf_of_user(), service, Some(R::NotOnBehalfOfUser)),
        ("no actor", new().delegated(), same, Some(R::DelegationRequired)),
        ("an actor", new().not_delegated(), copilot, Some(R::DelegationForbidden)),
        ("no actor where one is named", new().actor("copilot"), same, Some(R::DelegationRequired)),
        ("the client is no actor", new().actor("shop-web"), same, Some(R::DelegationRequired)),
        ("another actor", new().actor("copilot"), |t| t.actor("bot"), Some(R::ActorNotAllowed)),
        (
            "an earlier actor",
            new().actor("copilot"),
            |t| t.actor("bot").earlier_actor("copilot"),
            Some(R::ActorNotAllowed),
        ),
        (
            "an actor of another issuer",
            new().actor("copilot"),
            |t| t.claim("act", serde_json::json!({"sub": "copilot", "iss": "https://elsewhere"})),
            Some(R::ActorNotAllowed),
        ),
        (
            "right user, wrong application",
            new().client("shop-web"),
            |t| t.client("newsletter"),
            Some(R::ClientNotAllowed),
        ),
        ("the actor is no client", new().client("copilot"), copilot, Some(R::ClientNotAllowed)),
        (
            "may_act grants nothing",
            new().actor("copilot"),
            |t| t.claim("may_act", serde_json::json!({"sub": "copilot"})),
            Some(R::DelegationRequired),
        ),
        (
            "the first failure in order",
            new().scope("none").client("none").issuer("none"),
            same,
            Some(R::IssuerNotAllowed),
        ),
        ("scope comes last", new().scope("none").client("none"), same, Some(R::ClientNotAllowed)),
        ("nothing but a token", new(), same, None),
        ("scope", new().scope("orders:read"), same, None),
        ("any scope", new().any_scope(["a", "orders:read"]), same, None),
        ("audience", new().audience(integration_tests::AUDIENCE), same, None),
        ("one of two audiences", new().any_audience(["a", integration_tests::AUDIENCE]), same, None),
        ("kind", new().subject_kind(SubjectKind::Service), service, None),
        ("user through an application", new().on_behalf_of_user(), same, None),
        ("user through an agent", new().on_behalf_of_user().delegated(), copilot, None),
        ("actor", new().actor("copilot"), copilot, None),
        ("one of two actors", new().any_actor(["x", "copilot"]), copilot, None),
        ("client", new().client("shop-web"), same, None),
        ("no actor, as demanded", new().not_delegated(), same, None),
    ]
}

#[tokio::test]
async fn every_demand_by_layer_and_by_call() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let layer = world.layer().build().unwrap();
    for (name, requirement, change, denial) in rows() {
        let token = change(world.token()).sign();

        let delegation = layer.authenticator().verify(&token).await.unwrap();
        let decided = match requirement.evaluate(&delegation, &RequestFacts::none()) {
            Decision::Allow => None,
            Decision::Deny(denial) => Some(denial.reason()),
        };
        assert_eq!(decided, denial, "{name}");
        let called = delegation.authorize(&requirement, &RequestFacts::none()).err();
        assert_eq!(called.map(|rejection| rejection.reason()), denial, "{name}");

        let guard = RequireLayer::new(requirement).unwrap();
        let router = Router::new().route("/", get(async || "in").route_layer(guard)).layer(layer.clone());
        let answer = Served::start(router).await.get("/", &token).await;
        assert_eq!(answer.status, if denial.is_some() { 403 } else { 200 }, "{name}");
        assert_eq!(audit.one().field("reason"), denial.map_or("", R::code), "{name}");
    }
}

#[tokio::test]
async fn only_a_scope_denial_names_scope() {
    let world = World::new().await;
    let requirement = Requirement::new().scopes(["orders:write", "orders:read"]).any_scope(["a", "b"]);
    let guard = RequireLayer::new(requirement.client("shop-web")).unwrap();
    let router = Router::new().route("/", get(async || "in").route_layer(guard));
    let service = Served::start(router.layer(world.layer().realm("orders").build().unwrap())).await;

    let answer = service.get("/", &world.token().sign()).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "insufficient_scope"));
    assert_eq!(
        answer.challenge(),
        r#"Bearer realm="orders", error="insufficient_scope", error_description="The request needs more scope than the access token has", scope="orders:write orders:read a""#
    );

    let answer = service.get("/", &world.token().client("other").sign()).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"));
    assert_eq!(answer.challenge(), r#"Bearer realm="orders""#);
}

#[requires_scope("orders:read")]
async fn by_scope(State(name): State<&'static str>, delegation: DelegationContext) -> String {
    format!("{name} {}", delegation.subject().id())
}

#[requires_scope("orders:read", any("a", "b"))]
async fn by_any_scope() {}

#[requires_audience("https://orders.example.com")]
#[requires_scope("orders:read")]
async fn stacked() {}

#[requires(scope = "orders:read", on_behalf_of_user, delegated, actor = "copilot", client = "shop-web")]
async fn by_everything(body: String) -> String {
    body
}

struct Typed;

impl Requires for Typed {
    fn requirement() -> Requirement {
        Requirement::named("Typed").scope("orders:read").not_delegated()
    }
}

async fn by_type(Authorized(permit): Authorized<Typed>) -> String {
    permit.into_context().client().unwrap().to_string()
}

#[tokio::test]
async fn attributes_and_types_guard_handlers() {
    let world = World::new().await;
    let router = Router::new()
        .route("/scope", post(by_scope))
        .route("/any", post(by_any_scope))
        .route("/stacked", post(stacked))
        .route("/everything", post(by_everything))
        .route("/type", post(by_type))
        .with_state("shop");
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    let copilot = || world.token().actor("copilot");
    let rows = [
        ("/scope", world.token().scopes(["other"]), 403),
        ("/any", world.token(), 403),
        ("/stacked", world.token().without("scope"), 403),
        ("/everything", world.token(), 403),
        ("/everything", copilot().client("other"), 403),
        ("/everything", copilot().subject("shop-web"), 403),
        ("/type", copilot(), 403),
        ("/scope", world.token(), 200),
        ("/any", world.token().scopes(["orders:read", "b"]), 200),
        ("/stacked", world.token(), 200),
        ("/everything", copilot(), 200),
        ("/type", world.token(), 200),
    ];
    for (path, token, status) in rows {
        let request = service.request(Method::POST, path).bearer_auth(token.sign()).body("hello");
        assert_eq!(Answer::of(request).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_denied_request_never_reads_the_body() {
    let world = World::new().await;
    let router = Router::new().route("/", post(by_everything));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    // A body that never comes: a handler that waited for it would hang.
    let request = service
        .request(Method::POST, "/")
        .bearer_auth(world.token().sign())
        .header("content-length", "1000000")
        .header("expect", "100-continue");
    assert_eq!(Answer::of(request).await.status, 403);
}

#[tokio::test]
async fn a_rejection_travels_with_its_response() {
    let world = World::new().await;
    let router = Router::new().route("/", get(by_type)).layer(world.layer().build().unwrap()).layer(
        axum::middleware::map_response(async |response: axum::response::Response| {
            let reason = response.extensions().get::<Rejection>().map(|rejection| rejection.reason().code());
            (response.status(), reason.unwrap_or("none"))
        }),
    );
    let service = Served::start(router).await;
    assert_eq!(service.get("/", &world.token().actor("bot").sign()).await.body, "delegation_forbidden");
    assert_eq!(service.get("/", &world.token().tamper_payload().sign()).await.body, "signature_invalid");
    assert_eq!(service.get("/", &world.token().sign()).await.body, "none");
}
