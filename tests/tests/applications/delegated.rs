//! Tokens with an `act`: the current actor's application presents them.

use super::*;

fn agent(world: &World, name: &str) -> ApplicationBuilder {
    Application::builder(name, ApplicationKind::Agent)
        .issuer(world.idp.issuer())
        .add_actor_id(name)
        .add_workload(&format!("spiffe://example.org/shop/{name}"))
        .add_scopes(["orders:read", "orders:draft"])
        .acts_for_users()
}

#[tokio::test]
async fn the_current_actors_workload_presents_the_token() {
    let world = World::new().await;
    let site = world
        .serve_registry(registry([world.application("web"), agent(&world, "bot"), agent(&world, "old")]))
        .await;
    let (web, bot, old) = (world.client_of("web"), world.client_of("bot"), world.client_of("old"));
    let issuer = world.idp.issuer();
    let token = || world.token_of("web");
    let act = |act| token().claim("act", act).sign();
    let wrong = Err(R::WorkloadNotRegistered);
    for (name, client, token, expected) in [
        ("the actor's own", &bot, token().actor("bot").sign(), Ok(())),
        ("the actor, its issuer written out", &bot, act(json!({ "sub": "bot", "iss": issuer })), Ok(())),
        ("behind an earlier actor", &bot, token().actor("bot").earlier_actor("old").sign(), Ok(())),
        ("behind an earlier actor of nobody's", &bot, token().actor("bot").earlier_actor("x").sign(), Ok(())),
        ("the client's workload", &web, token().actor("bot").sign(), wrong),
        ("an earlier actor's workload", &old, token().actor("bot").earlier_actor("old").sign(), wrong),
        ("the actor's workload without an actor", &bot, token().sign(), wrong),
        ("no workload", &world.client(None), token().actor("bot").sign(), Err(R::WorkloadUnknown)),
        ("an actor of nobody's", &bot, token().actor("stranger").sign(), Err(R::ActorUnregistered)),
        (
            "registered, but earlier",
            &bot,
            token().actor("x").earlier_actor("bot").sign(),
            Err(R::ActorUnregistered),
        ),
        (
            "the actor's name at another issuer",
            &bot,
            act(json!({ "sub": "bot", "iss": "https://other.example" })),
            Err(R::ActorUnregistered),
        ),
        (
            "a client of no application",
            &bot,
            world.token_of("x").actor("bot").sign(),
            Err(R::ClientUnregistered),
        ),
        ("the actor in the client's place", &bot, world.token_of("bot").sign(), Err(R::ClientUnregistered)),
    ] {
        site.expect(name, client, &token, expected).await;
    }
    let event = site.expect("the audit event", &bot, &token().actor("bot").sign(), Ok(())).await;
    for (field, value) in [("application", "web"), ("application_kind", "application"), ("presenter", "bot")]
    {
        assert_eq!(event.field(field), value, "{field}");
    }
}

#[tokio::test]
async fn both_must_be_in_order() {
    let world = World::new().await;
    let client = || world.application("web");
    let actor = || agent(&world, "bot");
    let brief = Duration::from_secs(60);
    let bot = world.client_of("bot");
    let token = world.token_of("web").actor("bot").expires_in(Duration::from_secs(300)).sign();
    for (name, client, actor, expected) in [
        ("both are", client(), actor(), Ok(())),
        ("the client need not act for users: the actor does", not_for_users(&world), actor(), Ok(())),
        ("the client is suspended", client().suspended(), actor(), Err(R::ClientSuspended)),
        ("the actor is suspended", client(), actor().suspended(), Err(R::ActorSuspended)),
        ("the client has ended", client().expires("2020-01-01"), actor(), Err(R::ClientExpired)),
        ("the actor has ended", client(), actor().expires("2020-01-01"), Err(R::ActorExpired)),
        ("the client is of another tenant", client().add_tenant("x"), actor(), Err(R::TenantNotAllowed)),
        ("the actor is of another tenant", client(), actor().add_tenant("x"), Err(R::TenantNotAllowed)),
        (
            "the client is for elsewhere",
            client().add_environment("x"),
            actor(),
            Err(R::EnvironmentNotAllowed),
        ),
        ("the actor is for elsewhere", client(), actor().add_environment("x"), Err(R::EnvironmentNotAllowed)),
        ("the actor may not", client(), not_for_users_agent(&world), Err(R::ActingNotAllowed)),
        (
            "too long for the client",
            client().max_token_lifetime(brief),
            actor(),
            Err(R::ApplicationTokenLifetimeTooLong),
        ),
        (
            "too long for the actor",
            client(),
            actor().max_token_lifetime(brief),
            Err(R::ApplicationTokenLifetimeTooLong),
        ),
        (
            "not bound, and the client's must be",
            client().require_sender_constraint(),
            actor(),
            Err(R::ApplicationSenderConstraintMissing),
        ),
        (
            "not bound, and the actor's must be",
            client(),
            actor().require_sender_constraint(),
            Err(R::ApplicationSenderConstraintMissing),
        ),
        (
            "the client may come from anywhere, the actor not",
            anywhere(&world),
            elsewhere(&world),
            Err(R::WorkloadNotRegistered),
        ),
    ] {
        let site = world.serve_registry(registry([client, actor])).await;
        site.expect(name, &bot, &token, expected).await;
    }
}

fn not_for_users(world: &World) -> ApplicationBuilder {
    Application::builder("web", ApplicationKind::Application)
        .add_client_id_at(world.idp.issuer(), "web")
        .add_scope("orders:read")
}

fn not_for_users_agent(world: &World) -> ApplicationBuilder {
    Application::builder("bot", ApplicationKind::Agent)
        .add_actor_id_at(world.idp.issuer(), "bot")
        .add_workload("spiffe://example.org/shop/bot")
        .acts_for_services()
}

fn anywhere(world: &World) -> ApplicationBuilder {
    not_for_users(world).allow_any_workload().acts_for_users()
}

fn elsewhere(world: &World) -> ApplicationBuilder {
    Application::builder("bot", ApplicationKind::Agent)
        .add_actor_id_at(world.idp.issuer(), "bot")
        .add_workload("spiffe://example.org/elsewhere/*")
        .acts_for_users()
}
