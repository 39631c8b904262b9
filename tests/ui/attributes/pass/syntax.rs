//! Every form of argument.

use axum::Router;
use axum::routing::get;
use tower_delegation::{requires, requires_audience, requires_scope};

#[requires_scope("orders:read")]
async fn one_scope() {}

#[requires_scope("orders:read", "profile")]
async fn all_scopes() {}

#[requires_scope(any("orders:read", "orders:admin"))]
async fn one_of_two_scopes() {}

#[requires_scope("profile", any("orders:read", "orders:admin"), any(r"a", "b", "c"))]
async fn a_mixture() {}

#[requires_audience("https://orders.example.com")]
async fn one_audience() {}


#[requires(
    scope = "orders:refund",
    scope = "profile",
    deny_actor = "bot",
    deny_actor = "other bot",
    any_scope("a", "b"),
    any_scope("a", "c"),
    audience = "https://orders.example.com",
    issuer = "https://idp.example.com",
    subject_kind = user,
    on_behalf_of_user,
    delegated,
    actor = "agent",
    client = "web"
)]
async fn everything() {}

#[requires(not_delegated)]
async fn only_a_flag() {}

#[requires(
    scopes_within("orders:read", "orders:refund"),
    audiences_within("https://orders.example.com"),
    tenant = "acme",
    max_token_lifetime = 900,
    max_token_age = 300,
    mutual_tls,
    dpop,
    not_on_behalf_of_user,
    max_actors = 2,
    deny_actor = "bot",
    actor_of("https://idp.example.com", "agent"),
    application = "Shop",
    application_kind = application,
    application_tenant = "acme",
    application_environment = "production",
    presenter = "Copilot",
    presenter_kind = agent,
    actor_kind = agent,
    presenter_tenant = "acme",
    presenter_environment = "production",
    risk_below("device", 70),
    claim_equals("plan", "gold"),
    claim_equals(["realm", "plan"], "gold"),
    claim_one_of("seats", any("1", "2")),
    claim_matches_path("account", "account_id"),
    claim_matches_header("account", "x-account"),
    tenant_matches_path = "tenant",
    tenant_matches_header = "x-tenant",
    subject_matches_path = "user_id",
    purpose("purpose", "treatment"),
    role = "clinician",
    any_role("a", "b"),
    permission = "charts:read",
    any_permission("a", "b"),
    group = "ward-7",
    any_group("a", "b"),
    acr = "urn:example:mfa",
    max_authentication_age = 0,
    shadow,
    name = "everything else"
)]
async fn everything_else() {}

#[requires(
    any_issuer("https://idp.example.com", "https://idp.example.org"),
    any_tenant("a", "b"),
    any_audience("a", "b"),
    any_workload("spiffe://prod/ns/*/web", "spiffe://prod/**"),
    any_subject_kind(user, service),
    any_actor("a", "b"),
    any_client("web", "app"),
    any_application("a", "b"),
    any_application_kind(agent, service),
    any_application_tenant("a", "b"),
    any_application_environment("a", "b"),
    any_presenter("a", "b"),
    any_presenter_kind(agent, service),
    any_presenter_tenant("a", "b"),
    any_presenter_environment("a", "b"),
    any_actor_kind(agent, service),
    any_purpose("purpose", any("a", "b")),
    any_acr("mfa", "phr")
)]
async fn alternatives() {}

#[requires(any_actor_of(("https://idp.example.com", "a"), ("https://idp.example.org", "b")))]
async fn actors_of_several_issuers() {}

#[requires_audience(any("https://orders.example.com", "https://orders.example.com/"))]
async fn one_of_two_audiences() {}

fn main() {
    let _: Router = Router::new()
        .route("/1", get(one_scope))
        .route("/2", get(all_scopes))
        .route("/3", get(one_of_two_scopes))
        .route("/4", get(a_mixture))
        .route("/5", get(one_audience))
        .route("/7", get(everything))
        .route("/8", get(only_a_flag))
        .route("/6", get(one_of_two_audiences))
        .route("/9", get(everything_else))
        .route("/10", get(alternatives))
        .route("/11", get(actors_of_several_issuers));
}
