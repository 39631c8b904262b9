//! What a kept context says after the registry was replaced.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use integration_tests::World;
use serde_json::json;
use tower_delegation::{
    Applications, RequestFacts, Requirement, Requires as _,
    application::{Application, ApplicationBuilder, ApplicationKind},
    requirement::AuthorizationDetail,
    revocation::{InMemoryRevocations, Revocation},
};

use super::{Counted, MINUTE, ReadOrders, may_read, reason, shop_web};

/// All that a reload of the registry can take from an application, each by itself; and what
/// takes nothing from this token.
#[tokio::test]
async fn whatever_a_registry_takes_away_is_noticed() {
    type Entry = fn(ApplicationBuilder) -> ApplicationBuilder;
    const ENVIRONMENT: &str = "production";
    let same: Entry = |entry| entry;
    let detail = || AuthorizationDetail::of_type("payment");
    let read = || Requirement::new().scope("orders:read");
    // Before, after, what a rule then finds, and what `recheck` says.
    let rows: Vec<(&str, Entry, Entry, Requirement, &str, &str)> = vec![
        ("nothing", same, same, read(), "", ""),
        ("a scope", same, |_| web(&[]), read(), "scope_beyond_application", "context_outdated"),
        (
            "a role",
            same,
            |it| it.add_roles(["other"]),
            Requirement::new().role("clerk"),
            "role_missing",
            "context_outdated",
        ),
        (
            "a permission",
            same,
            |it| it.add_permissions(["other"]),
            Requirement::new().permission("refund"),
            "permission_missing",
            "context_outdated",
        ),
        (
            "a group",
            same,
            |it| it.add_groups(["other"]),
            Requirement::new().group("desk"),
            "group_missing",
            "context_outdated",
        ),
        (
            "a type of authorization details",
            same,
            |it| it.add_authorization_detail_types(["other"]),
            Requirement::new().authorization_detail(detail()),
            "authorization_detail_missing",
            "context_outdated",
        ),
        (
            "one of several types",
            |it| it.add_authorization_detail_types(["payment", "account"]),
            |it| it.add_authorization_detail_types(["account"]),
            Requirement::new().authorization_detail(detail()),
            "authorization_detail_missing",
            "context_outdated",
        ),
        (
            "a tenant that it is for",
            |it| it.add_tenant("acme").add_tenant("globex"),
            |it| it.add_tenant("acme"),
            Requirement::new().application_tenant("globex"),
            "application_not_allowed",
            "context_outdated",
        ),
        (
            "the list of tenants",
            |it| it.add_tenant("acme"),
            same,
            Requirement::new().presenter_tenant("acme"),
            "presenter_not_allowed",
            "context_outdated",
        ),
        (
            "an environment that it is for",
            |it| it.add_environment("staging"),
            same,
            Requirement::new().application_environment("staging"),
            "application_not_allowed",
            "context_outdated",
        ),
        (
            "the tenant of the token",
            same,
            |it| it.add_tenant("globex"),
            read(),
            "tenant_not_allowed",
            "tenant_not_allowed",
        ),
        (
            "the environment of the registry",
            same,
            |_| web_elsewhere(),
            read(),
            "environment_not_allowed",
            "environment_not_allowed",
        ),
        (
            "long lives",
            same,
            |it| it.max_token_lifetime(MINUTE),
            read(),
            "application_token_lifetime_too_long",
            "application_token_lifetime_too_long",
        ),
        (
            "plain bearer tokens",
            same,
            ApplicationBuilder::require_sender_constraint,
            read(),
            "application_sender_constraint_missing",
            "application_sender_constraint_missing",
        ),
        (
            "tokens that grant too much",
            same,
            |_| web(&["x"]).refuse_excess(),
            read(),
            "token_too_broad",
            "token_too_broad",
        ),
        ("its status", same, ApplicationBuilder::suspended, read(), "client_suspended", "client_suspended"),
        ("its time", same, |it| it.expires("2001-01-01"), read(), "client_expired", "client_expired"),
        ("what the token does not grant", |it| it.add_scope("orders:write"), same, read(), "", ""),
        (
            "types that the token has none of",
            |it| it.add_authorization_detail_types(["payment", "account"]),
            |it| it.add_authorization_detail_types(["payment"]),
            Requirement::new().authorization_detail(detail()),
            "",
            "",
        ),
        ("its owner", |it| it.owner("desk").vendor("us"), |it| it.owner("shop"), read(), "", ""),
        (
            "nothing, and more tenants",
            |it| it.add_tenant("acme"),
            |it| it.add_tenant("acme").add_tenant("globex"),
            read(),
            "",
            "",
        ),
    ];
    for (name, before, after, rule, decision, recheck) in rows {
        let world = World::new().await;
        let issuer = world.idp.issuer().to_owned();
        let registry = |entry: ApplicationBuilder| {
            Applications::builder().environment(ENVIRONMENT).add_application(entry.issuer(&issuer))
        };
        let applications = registry(before(web(&["orders:read"]))).build().unwrap();
        let layer = world.layer().applications(applications.clone()).build().unwrap();
        let token =
            world.token().claim("tenant", "acme").claim("roles", ["clerk"]).claim("permissions", ["refund"]);
        let token =
            token.claim("groups", ["desk"]).claim("authorization_details", json!([{ "type": "payment" }]));
        let kept = layer.authenticator().verify(&token.sign()).await.unwrap();
        assert!(kept.recheck().is_ok() && kept.permits(&rule, &RequestFacts::none()), "{name}: before");
        applications.replace(registry(after(web(&["orders:read"])))).unwrap();
        for kept in [&kept, &kept.clone()] {
            assert_eq!(reason(&kept.authorize(&rule, &RequestFacts::none())), decision, "{name}");
            assert_eq!(reason(&kept.recheck()), recheck, "{name}");
            assert_eq!(kept.permits(&rule, &RequestFacts::none()), decision.is_empty(), "{name}");
        }
        // And back again.
        applications.replace(registry(before(web(&["orders:read"])))).unwrap();
        assert!(kept.recheck().is_ok() && kept.permits(&rule, &RequestFacts::none()), "{name}: back");
    }
}

fn web(scopes: &[&str]) -> ApplicationBuilder {
    web_elsewhere().add_scopes(scopes.iter().copied()).add_environment("production")
}

fn web_elsewhere() -> ApplicationBuilder {
    Application::builder("shop-web", ApplicationKind::Application)
        .add_client_id("shop-web")
        .allow_any_workload()
        .acts_for_users()
}

/// The registry was replaced: what is left is worked out once, and revocations are asked
/// about once for each state of their store.
#[tokio::test]
async fn what_is_left_is_worked_out_once() {
    let world = World::new().await;
    let (store, checks) = (InMemoryRevocations::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Counted { store: store.clone(), has_generation: true, checks: checks.clone() };
    let applications = Applications::builder().add_application(may_read(&world)).build().unwrap();
    let layer = world.layer().revocations(counted).applications(applications.clone()).build().unwrap();
    let context = layer.authenticator().verify(&world.token().sign()).await.unwrap();
    let count = || checks.swap(0, Ordering::Relaxed);
    assert_eq!(count(), 1);
    for (name, entry, is_less) in [
        ("less", shop_web(&world), true),
        ("as much", may_read(&world), false),
        ("more", may_read(&world).add_scope("orders:write"), false),
    ] {
        applications.replace(Applications::builder().add_application(entry)).unwrap();
        for _ in 0..3 {
            assert_eq!(context.recheck().is_err(), is_less, "{name}");
            let read = ReadOrders::requirement();
            assert_eq!(context.permits(&read, &RequestFacts::none()), !is_less, "{name}");
        }
        assert_eq!(count(), 1, "{name}");
        store.revoke(Revocation::subject(world.idp.issuer(), "bob")).unwrap();
        let _ = count();
        for _ in 0..3 {
            assert_eq!(context.recheck().is_err(), is_less, "{name}: another is revoked");
        }
        assert_eq!(count(), 1, "{name}: another is revoked");
    }
    store.revoke(Revocation::subject(world.idp.issuer(), "alice")).unwrap();
    assert_eq!(reason(&context.recheck()), "subject_revoked");
}
