//! The keys of `#[requires]` on real handlers: each refuses, and lets in.

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use integration_tests::{Answer, Served};
use reqwest::Method;
use serde_json::json;
use tower_delegation::{
    ConfigError,
    clock::Clock as _,
    context::{RiskRequest, RiskSignal},
    requires, requires_scope,
    routing::{self, GuardedRouter},
};
use tower_delegation_testing::TokenBuilder;

use crate::{Judging, World};

#[derive(Debug)]
struct Calm;

impl RiskSignal for Calm {
    fn assess(&self, _: &RiskRequest<'_>) -> Option<u8> {
        Some(10)
    }
}

#[requires(
    scopes_within("orders:read", "profile"),
    audiences_within("https://orders.example.com"),
    tenant = "acme",
    max_token_lifetime = 900,
    max_token_age = 300,
    max_actors = 1,
    deny_actor = "bot",
    risk_below("device", 70),
    claim_equals("plan", "gold"),
    claim_matches_path("account", "account"),
    claim_matches_header("account", "x-account"),
    tenant_matches_path = "tenant",
    tenant_matches_header = "x-tenant",
    subject_matches_path = "user",
    purpose("purpose", "treatment"),
    role = "clinician",
    any_role("on duty", "nurse"),
    permission = "charts:read",
    any_permission("wards:read", "wards:write"),
    group = "ward-7",
    any_group("day", "night"),
    acr = "mfa",
    max_authentication_age = 60
)]
async fn everything() -> &'static str {
    "in"
}

#[requires(not_on_behalf_of_user)]
async fn machines() -> &'static str {
    "in"
}

#[requires(actor_of("https://agents.example.com", "copilot"))]
async fn agents() -> &'static str {
    "in"
}

const READ: &str = "orders:read";

/// Two handlers of one type, and what both demand.
struct Orders;

impl Orders {
    #[requires_scope(READ)]
    async fn list() -> &'static str {
        "in"
    }

    #[requires_scope(any("orders:write", READ), name = "for a user")]
    #[requires(on_behalf_of_user)]
    async fn of(State(orders): State<Self>, Path(user): Path<String>) -> String {
        let Self = orders;
        user
    }
}

impl Clone for Orders {
    fn clone(&self) -> Self {
        Self
    }
}

/// No scope: nothing says so before the value is known.
const TWO_SCOPES: &str = "orders:read profile";
const BOT: &str = "bot";

#[requires_scope(TWO_SCOPES)]
async fn no_scope() {}

#[requires(actor = BOT, deny_actor = "bot")]
async fn demanded_and_denied() {}

#[requires(scopes_within(READ), scope = "orders:write")]
async fn beyond_the_bound() {}

#[requires(mutual_tls)]
async fn bound() -> &'static str {
    "in"
}

#[tokio::test]
async fn each_key_refuses_and_all_together_let_in() {
    let world = World::new().await;
    let router = Router::new()
        .route("/{tenant}/{user}/{account}", get(everything))
        .route("/machines", get(machines))
        .route("/agents", get(agents))
        .route("/bound", get(bound));
    let layer = world.layer().add_risk_signal("device", Calm).build().unwrap();
    let service = Served::start(router.layer(layer)).await;
    let good = || {
        world
            .member()
            .expires_in(std::time::Duration::from_secs(900))
            .actor("copilot")
            .claim("plan", "gold")
            .claim("account", "7")
            .claim("purpose", "treatment")
            .claim("roles", json!(["clinician", "on duty"]))
            .claim("permissions", json!(["charts:read", "wards:read"]))
            .claim("groups", json!(["ward-7", "day"]))
            .acr("mfa")
            .auth_time(world.clock.now())
    };
    type Changed = Box<dyn Fn(TokenBuilder) -> TokenBuilder>;
    let rows: Vec<(&str, Changed, u16)> = vec![
        ("scopes_within", Box::new(|t| t.scopes(["admin"])), 403),
        ("audiences_within", Box::new(|t| t.audiences([integration_tests::AUDIENCE, "https://x"])), 403),
        ("tenant", Box::new(|t| t.claim("tenant", "globex")), 403),
        ("max_token_lifetime", Box::new(|t| t.expires_in(std::time::Duration::from_secs(901))), 403),
        ("max_actors", Box::new(|t| t.earlier_actor("planner")), 403),
        ("deny_actor", Box::new(|t| t.claim("act", json!({ "sub": "bot" }))), 403),
        ("claim_equals", Box::new(|t| t.without("plan")), 403),
        ("claim_matches_path", Box::new(|t| t.claim("account", "8")), 403),
        ("subject_matches_path", Box::new(|t| t.user("bob")), 403),
        ("purpose", Box::new(|t| t.claim("purpose", "billing")), 403),
        ("role", Box::new(|t| t.claim("roles", json!(["nurse"]))), 403),
        ("any_role", Box::new(|t| t.claim("roles", json!(["clinician"]))), 403),
        ("any_permission", Box::new(|t| t.claim("permissions", json!(["charts:read"]))), 403),
        ("any_group", Box::new(|t| t.claim("groups", json!(["ward-7"]))), 403),
        ("permission", Box::new(|t| t.claim("permissions", json!(["charts:write"]))), 403),
        ("group", Box::new(|t| t.claim("groups", json!(["ward-8"]))), 403),
        ("acr", Box::new(|t| t.acr("pwd")), 401),
        ("max_authentication_age", Box::new(|t| t.without("auth_time")), 401),
        ("all together", Box::new(|t| t), 200),
    ];
    let send = async |token: String, fields: [(&str, &str); 2]| {
        let request = service.request(Method::GET, "/acme/alice/7").bearer_auth(token);
        Answer::of(fields.into_iter().fold(request, |request, (name, value)| request.header(name, value)))
            .await
    };
    let fields = [("x-account", "7"), ("x-tenant", "acme")];
    for (name, change, status) in rows {
        assert_eq!(send(change(good()).sign(), fields).await.status, status, "{name}");
    }
    for fields in [[("x-account", "8"), ("x-tenant", "acme")], [("x-account", "7"), ("x-tenant", "globex")]] {
        assert_eq!(send(good().sign(), fields).await.status, 403, "{fields:?}");
    }

    let foreign = json!({ "sub": "copilot", "iss": "https://agents.example.com" });
    for (path, token, status) in [
        ("/machines", world.member(), 403),
        ("/machines", world.member().actor("copilot"), 403),
        ("/machines", world.member().subject("shop-web"), 200),
        ("/agents", world.member(), 403),
        ("/agents", world.member().actor("copilot"), 403),
        ("/agents", world.member().claim("act", foreign), 200),
        ("/bound", world.member(), 401),
    ] {
        assert_eq!(service.get(path, &token.sign()).await.status, status, "{path}");
    }
}

/// The requirement of a function in an `impl` is enforced as any other, by a plain
/// router and by a guarded one.
#[tokio::test]
async fn functions_of_a_type_are_guarded() {
    let world = World::new().await;
    let plain = Router::new().route("/", get(Orders::list)).route("/{user}", get(Orders::of));
    let plain = Served::start(plain.with_state(Orders).layer(world.layer().build().unwrap())).await;
    let guarded = GuardedRouter::new()
        .route("/", routing::get(Orders::list))
        .route("/{user}", routing::get(Orders::of));
    let said = guarded.inventory().to_string();
    assert!(said.contains("list: scope") && said.contains("for a user: scope any"), "{said}");
    let app = guarded.with_state(Orders).behind(world.layer().build().unwrap()).unwrap();
    let guarded = Served::start(app).await;
    for site in [&plain, &guarded] {
        for (name, path, token, status) in [
            ("the scope of the constant", "/", world.token(), 200),
            ("another scope", "/", world.token().scopes(["orders:reader"]), 403),
            ("no scope", "/", world.token().without("scope"), 403),
            ("for a user", "/7", world.token(), 200),
            ("one of two scopes", "/7", world.token().scopes(["orders:write"]), 200),
            ("none of two scopes", "/7", world.token().scopes(["profile"]), 403),
            ("the scope, and no user", "/7", world.token().subject("batch").client("batch"), 403),
        ] {
            assert_eq!(site.get(path, &token.sign()).await.status, status, "{name}");
        }
        assert_eq!(site.get_anonymously("/").await.status, 401);
    }
}

/// What a constant makes of a requirement is judged where the routes are served, and
/// on a plain router by the first request, which no one is let through by.
#[tokio::test]
async fn a_mistake_in_a_constant_is_found_at_start_up_or_denies() {
    let world = World::new().await;
    let layer = || world.layer().build().unwrap();
    let broken = || GuardedRouter::<()>::new();
    for (name, router, words) in [
        ("no scope", broken().route("/", routing::get(no_scope)), "space"),
        ("denied", broken().route("/", routing::get(demanded_and_denied)), "demanded and denied"),
        ("beyond", broken().route("/", routing::get(beyond_the_bound)), "beyond"),
    ] {
        let error: ConfigError = router.behind(layer()).unwrap_err();
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
    let plain = Router::new()
        .route("/no_scope", get(no_scope))
        .route("/denied", get(demanded_and_denied))
        .route("/beyond", get(beyond_the_bound));
    let plain = Served::start(plain.layer(layer())).await;
    let token = world.token().actor("bot").scopes(["orders:read", "orders:write"]).sign();
    for path in ["/no_scope", "/denied", "/beyond"] {
        assert_eq!(plain.get(path, &token).await.status, 500, "{path}");
    }
}
