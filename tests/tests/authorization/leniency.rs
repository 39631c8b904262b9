//! Shadow mode and exceptions: recorded each time, and never for nobody.

use std::time::Duration;

use axum::{Router, routing::get};
use integration_tests::{AuditLog, Served};
use tower_delegation::{
    Authorized, DelegationContext, DenialReason as R, RequestFacts, RequireLayer, Requirement, Requires,
    clock::Clock as _, requirement::Decision, requires,
};

use crate::{Judging, PATH, World};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn shadow_mode_records_and_refuses_nobody() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let requirement =
        Requirement::named("trial").scope("x").client("y").acr("mfa").max_token_age(HOUR).shadow();
    let service = world.guard(requirement.clone()).await;
    assert_eq!(service.get(PATH, &world.member().sign()).await.status, 200);
    let event = audit.one();
    assert_eq!((event.field("decision"), event.field("reason")), ("allow", ""));
    assert!(event.field("requirements").contains("trial: deny (shadow)"), "{}", event.field("requirements"));

    // The decision is what it would be; only what comes of it differs.
    let layer = world.layer().build().unwrap();
    let delegation = layer.authenticator().verify(&world.member().sign()).await.unwrap();
    let decision = requirement.evaluate(&delegation, &RequestFacts::none());
    assert!(matches!(decision, Decision::Deny(denial) if denial.reason() == R::ClientNotAllowed));
    assert!(delegation.authorize(&requirement, &RequestFacts::none()).is_ok());
}

#[tokio::test]
async fn what_holds_is_recorded_as_such_in_shadow_mode() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let service = world.guard(Requirement::named("trial").scope("orders:read").shadow()).await;
    assert_eq!(service.get(PATH, &world.member().sign()).await.status, 200);
    assert!(!audit.one().field("requirements").contains("deny"));
}

#[tokio::test]
async fn an_exception_ends_by_itself_and_is_recorded_each_time() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let until = world.clock.now().saturating_add(HOUR);
    let requirement =
        Requirement::named("refunds").scope("x").exception("migration of the old client", until);
    let service = world.guard(requirement).await;
    for _ in 0..2 {
        assert_eq!(service.get(PATH, &world.member().sign()).await.status, 200);
        let event = audit.one();
        assert_eq!(event.field("decision"), "allow");
        assert!(
            event.field("requirements").contains("refunds: deny (exception"),
            "{}",
            event.field("requirements")
        );
    }
    // One second before its end it holds still; at its end no longer.
    world.clock.advance(HOUR - Duration::from_secs(1));
    assert_eq!(service.get(PATH, &world.member().sign()).await.status, 200);
    let _ = audit.take();
    world.clock.advance(Duration::from_secs(1));
    let answer = service.get(PATH, &world.member().sign()).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "insufficient_scope"));
    assert_eq!(audit.one().field("reason"), "scope_missing");
}

#[tokio::test]
async fn another_requirement_on_the_way_is_enforced_all_the_same() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let shadow = RequireLayer::new(Requirement::named("trial").scope("x").shadow()).unwrap();
    let strict = RequireLayer::new(Requirement::named("strict").client("y")).unwrap();
    let router = Router::new().route("/", get(async || "in").route_layer(strict).route_layer(shadow));
    let service = Served::start(router.layer(world.layer().build().unwrap())).await;
    assert_eq!(service.get("/", &world.member().sign()).await.status, 403);
    let event = audit.one();
    assert_eq!((event.field("decision"), event.field("reason")), ("deny", "client_not_allowed"));
}

#[requires(scope = "x", shadow)]
async fn by_attribute(delegation: DelegationContext) -> String {
    delegation.subject().id().to_string()
}

struct Trial;

impl Requires for Trial {
    fn requirement() -> Requirement {
        Requirement::named("Trial").scope("x").shadow()
    }
}

async fn by_type(Authorized(permit): Authorized<Trial>) -> String {
    permit.subject().id().to_string()
}

/// Neither lets anybody in who has shown no token: there is no context to be
/// judged, and a handler that relies on the requirement never runs for nobody.
#[tokio::test]
async fn nobody_is_let_in_by_shadow_mode_or_exception() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let until = world.clock.now().saturating_add(HOUR);
    let layer = |requirement: Requirement| RequireLayer::new(requirement).unwrap();
    let router = Router::new()
        .route("/attribute", get(by_attribute))
        .route("/type", get(by_type))
        .route("/shadow", get(async || "in").layer(layer(Requirement::new().scope("x").shadow())))
        .route("/exception", get(async || "in").layer(layer(Requirement::new().exception("because", until))))
        .route("/public", get(async || "in"));
    let service = Served::start(router.layer(world.layer().allow_anonymous().build().unwrap())).await;
    for path in ["/attribute", "/type", "/shadow", "/exception"] {
        assert_eq!(service.get_anonymously(path).await.status, 401, "{path}");
        assert_eq!(audit.one().field("reason"), "credentials_missing", "{path}");
        let forged = world.member().sign_with_other_key().sign();
        assert_eq!(service.get(path, &forged).await.status, 401, "{path}");
        let _ = audit.take();
        assert_eq!(service.get(path, &world.member().sign()).await.status, 200, "{path}");
        let _ = audit.take();
    }
    assert_eq!(service.get_anonymously("/public").await.status, 200);

    // Without the layer nobody has verified anything, whatever the mode.
    let unguarded = Router::new()
        .route("/type", get(by_type))
        .route("/shadow", get(async || "in").layer(layer(Requirement::new().scope("x").shadow())));
    let service = Served::start(unguarded).await;
    for path in ["/type", "/shadow"] {
        assert_eq!(service.get(path, &world.member().sign()).await.status, 500, "{path}");
    }
}

/// What cannot be judged is our mistake, and shadow mode is no cover for it.
#[tokio::test]
async fn what_cannot_be_judged_is_refused_in_every_mode() {
    let world = World::new().await;
    let until = world.clock.now().saturating_add(HOUR);
    let risky = || Requirement::new().risk_below("nobody registered this", 50);
    let new = Requirement::new;
    let alternatives = || [new().client("x"), risky(), new().scope("x")];
    for requirement in [
        risky(),
        risky().shadow(),
        risky().exception("because", until),
        new().not(risky()).shadow(),
        new().all_of([new().scope("x"), risky()]).shadow(),
        new().any_of(alternatives()).shadow(),
        new().not(new().any_of(alternatives())).shadow(),
    ] {
        let service = world.guard(requirement).await;
        assert_eq!(service.get(PATH, &world.member().sign()).await.status, 500);
    }
}
