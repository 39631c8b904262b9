//! Effective scopes: what requirements, challenges and audit events go by.

use super::*;

#[tokio::test]
async fn scopes_beyond_the_application_are_cut() {
    let world = World::new().await;
    let agent = Application::builder("bot", ApplicationKind::Agent)
        .add_actor_id_at(world.idp.issuer(), "bot")
        .add_workload("spiffe://example.org/shop/bot")
        .add_scopes(["orders:draft", "orders:read", "admin"])
        .acts_for_users();
    let applications = registry([world.application("web").add_scope("orders:refund"), agent]);
    let site = world.serve_registry(applications).await;
    let audit = AuditLog::listen();
    let (web, bot) = (world.client_of("web"), world.client_of("bot"));
    for (name, client, token, scopes, body) in [
        (
            "within",
            &web,
            world.token_of("web"),
            "orders:refund",
            "alice web web [orders:refund] [orders:refund]",
        ),
        (
            "the token's order stays",
            &web,
            world.token_of("web"),
            "orders:refund x orders:read",
            "alice web web [orders:refund orders:read] [orders:refund x orders:read]",
        ),
        ("none is left", &web, world.token_of("web"), "openid admin", "alice web web [] [openid admin]"),
        ("none was there", &web, world.token_of("web"), "", "alice web web [] []"),
        (
            "what both may",
            &bot,
            world.token_of("web").actor("bot"),
            "admin orders:refund orders:read orders:draft",
            "alice web bot [orders:read] [admin orders:refund orders:read orders:draft]",
        ),
    ] {
        let answer = site.get(client, "/", &token.claim("scope", scopes).sign()).await;
        assert_eq!(answer.body, body, "{name}");
        let effective = body.split(['[', ']']).nth(1).unwrap();
        assert_eq!(audit.one().field("scopes"), effective, "{name}");
    }
}

#[tokio::test]
async fn requirements_go_by_what_is_left() {
    let world = World::new().await;
    let site = world.serve_registry(registry([world.application("web").add_scope("orders:refund")])).await;
    let audit = AuditLog::listen();
    let client = world.client_of("web");
    let (curable, not) = (("insufficient_scope", "scope_missing"), ("forbidden", "scope_beyond_application"));
    for (name, scopes, path, denial) in [
        ("a scope within", "orders:read admin", "/orders", None),
        ("one of them within", "orders:refund", "/either", None),
        ("not granted, and could be", "orders:read admin", "/refund", Some(curable)),
        ("one of them not granted, and could be", "orders:read admin", "/either", Some(curable)),
        ("granted, and cut", "orders:read admin", "/admin", Some(not)),
        ("not granted, and never could be", "orders:read", "/admin", Some(not)),
    ] {
        let token = world.token_of("web").claim("scope", scopes).sign();
        let answer = site.get(&client, path, &token).await;
        let event = audit.one();
        let Some((code, reason)) = denial else {
            assert_eq!(answer.status, 200, "{name}");
            continue;
        };
        assert_eq!(
            (answer.status, answer.code().as_str(), event.field("reason")),
            (403, code, reason),
            "{name}"
        );
        // Asking for a scope that the application may never use would go on for ever.
        assert_eq!(answer.challenge().contains("scope=\""), reason == "scope_missing", "{name}");
    }
}

#[tokio::test]
async fn a_token_that_is_too_broad_is_refused_where_that_is_said() {
    let world = World::new().await;
    let strict_agent = Application::builder("bot", ApplicationKind::Agent)
        .add_actor_id_at(world.idp.issuer(), "bot")
        .add_workload("spiffe://example.org/shop/bot")
        .add_scope("orders:read")
        .refuse_excess()
        .acts_for_users();
    let broad_agent = Application::builder("broad", ApplicationKind::Agent)
        .add_actor_id_at(world.idp.issuer(), "broad")
        .add_workload("spiffe://example.org/shop/broad")
        .add_scopes(["orders:read", "admin"])
        .acts_for_users();
    let web = world.application("web").add_scope("orders:refund");
    let strict = world.application("strict").refuse_excess();
    let site = world.serve_registry(registry([web, strict, strict_agent, broad_agent])).await;
    let denied = Err(R::TokenTooBroad);
    for (name, caller, token, scopes, expected) in [
        ("within", "strict", world.token_of("strict"), "orders:read", Ok(())),
        ("nothing at all", "strict", world.token_of("strict"), "", Ok(())),
        ("one too many", "strict", world.token_of("strict"), "orders:read openid", denied),
        ("only others", "strict", world.token_of("strict"), "admin", denied),
        ("part of the word", "strict", world.token_of("strict"), "orders:rea", denied),
        (
            "too much for the actor",
            "bot",
            world.token_of("web").actor("bot"),
            "orders:read orders:refund",
            denied,
        ),
        ("too much for the client, which cuts", "web", world.token_of("web"), "orders:read admin", Ok(())),
        (
            "too much for the client behind an actor",
            "broad",
            world.token_of("strict").actor("broad"),
            "admin",
            denied,
        ),
        ("within both", "bot", world.token_of("web").actor("bot"), "orders:read", Ok(())),
    ] {
        site.expect(name, &world.client_of(caller), &token.claim("scope", scopes).sign(), expected).await;
    }
}
