//! Demands on the registered applications of client and presenter.

use integration_tests::{AuditLog, Served};
use reqwest::Method;
use tower_delegation::{
    DenialReason as R, RequireLayer, Requirement,
    application::{Application, ApplicationBuilder, Applications},
    context::ApplicationKind::{Agent, Application as App, Service},
};

use crate::{Change, Judging, Row, World, judge};

/// The shop for people, its copilot, and a nightly job; each with the scopes it may ever use.
fn registry(issuer: &str) -> Applications {
    let entry = |name: &str, kind| Application::builder(name, kind).issuer(issuer).allow_any_workload();
    let shop = entry("Shop", App)
        .add_client_id("shop-web")
        .acts_for_users()
        .add_tenant("acme")
        .add_environment("production")
        .add_scopes(["orders:read", "orders:refund"]);
    let copilot = entry("Copilot", Agent)
        .add_actor_id("copilot")
        .acts_for_users()
        .add_scope("orders:read")
        .add_environment("production")
        .add_environment("staging");
    let nightly = entry("Nightly", Service)
        .add_client_id("nightly")
        .acts_for_services()
        .add_scope("orders:read")
        .add_environment("production");
    [shop, copilot, nightly]
        .into_iter()
        .fold(Applications::builder().environment("production"), |all, one: ApplicationBuilder| {
            all.add_application(one)
        })
        .build()
        .unwrap()
}

#[tokio::test]
async fn the_applications_are_those_that_are_demanded() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let new = Requirement::new;
    let same: Change = |t| t;
    let copilot: Change = |t| t.actor("copilot");
    let job: Change = |t| t.subject("nightly").client("nightly");
    let (application, presenter) = (Some(R::ApplicationNotAllowed), Some(R::PresenterNotAllowed));
    let rows: Vec<Row> = vec![
        ("another client's application", new().application("Nightly"), same, application),
        ("a name in another case", new().application("shop"), same, application),
        ("the presenter is not the client", new().application("Copilot"), copilot, application),
        ("a service where people are due", new().application_kind(App), job, application),
        ("people where a service is due", new().application_kind(Service), same, application),
        ("another tenant", new().application_tenant("globex"), same, application),
        ("every tenant is not this one", new().application_tenant("acme"), job, application),
        ("another environment", new().application_environment("staging"), same, application),
        ("an environment beside", new().application_environment("staging"), job, application),
        ("the client is not the presenter", new().presenter("Shop"), copilot, presenter),
        ("no agent", new().presenter_kind(Agent), same, presenter),
        ("an agent", new().presenter_kind(App), copilot, presenter),
        ("an agent for every tenant", new().presenter_tenant("acme"), copilot, presenter),
        ("an agent elsewhere", new().presenter_environment("test"), copilot, presenter),
        ("no actor", new().actor_kind(App), same, Some(R::DelegationRequired)),
        ("an actor of another kind", new().actor_kind(Service), copilot, Some(R::ActorNotAllowed)),
        (
            "an actor of one kind, a presenter of another",
            new().actor_kind(Agent).presenter_kind(App),
            copilot,
            presenter,
        ),
        ("what no token can give", new().scope("orders:refund"), copilot, Some(R::ScopeBeyondApplication)),
        ("what a token could give", new().scope("orders:refund"), same, Some(R::ScopeMissing)),
        (
            "the token's own scopes",
            new().scopes_within(["orders:read"]),
            |t| t.actor("copilot").scopes(["orders:read", "admin"]),
            Some(R::ScopeTooBroad),
        ),
        ("excluded kind", new().not(new().presenter_kind(Agent)), copilot, Some(R::Excluded)),
        ("application", new().any_application(["Nightly", "Shop"]), same, None),
        ("application kind", new().application_kind(App), copilot, None),
        ("tenant", new().application_tenant("acme"), copilot, None),
        ("environment", new().application_environment("production"), same, None),
        ("presenter without an actor", new().presenter("Shop").presenter_kind(App), same, None),
        ("presenter with an actor", new().presenter("Copilot").presenter_kind(Agent), copilot, None),
        (
            "presenter's tenant",
            new().presenter_tenant("acme").presenter_environment("production"),
            same,
            None,
        ),
        ("actor kind", new().any_actor_kind([Service, Agent]), copilot, None),
        ("no agent, as excluded", new().not(new().presenter_kind(Agent)), same, None),
    ];
    let registry = registry(world.idp.issuer());
    for (name, requirement, change, expected) in rows {
        let service = world.guard_behind(world.layer().applications(registry.clone()), requirement).await;
        let request = service.request(Method::GET, crate::PATH).bearer_auth(change(world.member()).sign());
        judge(name, request, expected, &audit).await;
    }
}

#[tokio::test]
async fn without_a_registry_nobody_is_registered() {
    let world = World::new().await;
    let new = Requirement::new;
    let copilot: Change = |t| t.actor("copilot");
    let rows: Vec<Row> = vec![
        ("application", new().application("Shop"), |t| t, Some(R::ApplicationNotAllowed)),
        ("kind", new().application_kind(App), |t| t, Some(R::ApplicationNotAllowed)),
        ("presenter", new().presenter_kind(App), copilot, Some(R::PresenterNotAllowed)),
        ("actor", new().actor_kind(Agent), copilot, Some(R::ActorNotAllowed)),
        (
            "not an agent, as far as is known",
            new().not(new().presenter_kind(Agent)),
            |t| t,
            Some(R::Excluded),
        ),
    ];
    world.check(rows).await;
}

/// Incident automation: the operator's token says more than the agent may ever
/// use, so the effective scopes are what both may.
#[tokio::test]
async fn an_agent_reads_within_clearance_and_its_own_scopes() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let entry =
        |name: &str, kind| Application::builder(name, kind).issuer(world.idp.issuer()).allow_any_workload();
    let desk = entry("Operations desk", App)
        .add_client_id("desk")
        .acts_for_users()
        .add_scopes(["logs:read", "logs:delete"]);
    let automation = entry("Incident automation", Agent)
        .add_actor_id("incident-automation")
        .acts_for_users()
        .add_scope("logs:read")
        .add_permissions(["clearance:restricted"]);
    let registry = Applications::builder().add_application(desk).add_application(automation).build().unwrap();
    let guard = |requirement: Requirement| {
        let requirement = requirement.on_behalf_of_user().any_permission(["clearance:restricted"]);
        RequireLayer::new(requirement).unwrap()
    };
    let router = axum::Router::new()
        .route(
            "/read",
            axum::routing::get(async || "logs")
                .layer(guard(Requirement::new().scope("logs:read").actor_kind(Agent))),
        )
        .route(
            "/delete",
            axum::routing::get(async || "gone").layer(guard(Requirement::new().scope("logs:delete"))),
        );
    let service = Served::start(router.layer(world.layer().applications(registry).build().unwrap())).await;
    let operator = || {
        let token = world.member().client("desk").scopes(["logs:read", "logs:delete"]);
        token.claim("permissions", serde_json::json!(["clearance:restricted"]))
    };
    for (name, path, token, expected) in [
        (
            "the agent deletes with the operator's scope",
            "/delete",
            operator().actor("incident-automation"),
            Some(R::ScopeBeyondApplication),
        ),
        (
            "beyond the clearance",
            "/read",
            operator().actor("incident-automation").without("permissions"),
            Some(R::PermissionMissing),
        ),
        ("an agent that nobody knows", "/read", operator().actor("other"), Some(R::ActorUnregistered)),
        ("the operator by hand, at the agent's door", "/read", operator(), Some(R::DelegationRequired)),
        ("the agent reads", "/read", operator().actor("incident-automation"), None),
        ("the operator deletes", "/delete", operator(), None),
    ] {
        let request = service.request(Method::GET, path).bearer_auth(token.sign());
        judge(name, request, expected, &audit).await;
    }
}
