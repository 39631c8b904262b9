//! A suspended or ended registration counts wherever its application is in the
//! chain of actors.

use std::time::Duration;

use integration_tests::{AuditLog, World};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tower_delegation::{
    Applications, ConfigError, DelegationLayer, SubjectKind,
    application::{Application, ApplicationBuilder, ApplicationKind},
    clock::Clock as _,
    issuer::{ClaimCondition, ClaimMapping},
};
use tower_delegation_testing::USER_CLAIM;

const MINUTE: Duration = Duration::from_secs(60);

fn entry(world: &World, name: &str) -> ApplicationBuilder {
    Application::builder(name, ApplicationKind::Agent)
        .issuer(world.idp.issuer())
        .allow_any_workload()
        .add_scope("orders:read")
        .acts_for_users()
}

fn web(world: &World) -> ApplicationBuilder {
    entry(world, "shop-web").add_client_id("shop-web")
}

fn agent(world: &World, name: &str) -> ApplicationBuilder {
    entry(world, name).add_actor_id(name)
}

#[tokio::test]
async fn what_is_taken_back_counts_anywhere_in_the_chain() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let token = world.token().actor("desk").earlier_actor("planner").earlier_actor("scout").sign();
    let desk = || agent(&world, "desk");
    let planner = || agent(&world, "planner");
    let scout = || agent(&world, "scout");
    let scout_client = || entry(&world, "scout").add_client_id("scout");
    for (name, planner, scout, refuses_unknown, reason) in [
        ("all in order", Some(planner()), Some(scout()), true, ""),
        ("unknown ones are recorded", None, None, false, ""),
        ("one is suspended", Some(planner().suspended()), Some(scout()), false, "actor_suspended"),
        ("the oldest is suspended", None, Some(scout().suspended()), false, "actor_suspended"),
        ("one has ended", Some(planner().expires("2020-01-01")), None, false, "actor_expired"),
        ("the oldest has ended", None, Some(scout().expires("2020-01-01")), false, "actor_expired"),
        (
            "registered as a client, suspended",
            None,
            Some(scout_client().suspended()),
            false,
            "actor_suspended",
        ),
        ("unknown ones are refused", None, Some(scout()), true, "actor_unregistered"),
        ("the oldest is unknown", Some(planner()), None, true, "actor_unregistered"),
        ("registered as a client only", Some(planner()), Some(scout_client()), true, "actor_unregistered"),
    ] {
        let mut builder = Applications::builder().add_application(web(&world)).add_application(desk());
        for entry in [planner, scout].into_iter().flatten() {
            builder = builder.add_application(entry);
        }
        if refuses_unknown {
            builder = builder.refuse_unknown_earlier_actors();
        }
        let layer = world.layer().applications(builder.build().unwrap());
        let served = world.serve(layer).await;
        // The second request finds the token in the cache.
        for _ in 0..2 {
            let answer = served.get("/", &token).await;
            assert_eq!(answer.status, if reason.is_empty() { 200 } else { 403 }, "{name}: {}", answer.body);
            let event = audit.one();
            assert_eq!(event.field("reason"), reason, "{name}");
            assert!(event.field("earlier_actors").contains("scout"), "{name}");
        }
    }
}

/// A party is one party, however often it is registered, and a service for whom
/// others act is a party too.
#[tokio::test]
async fn what_is_taken_back_under_one_name_is_taken_back() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let acting = || world.token().actor("desk");
    let service = |client: &str| {
        let token = world.idp.token().subject("batch").client(client).scopes(["orders:read"]);
        token.claim("machine", true)
    };
    let machines = [(ClaimCondition::present("machine"), SubjectKind::Service)];
    let mapping = ClaimMapping::rfc9068().subject_kinds(machines).add_user_claim(USER_CLAIM);
    let other = |name: &str| entry(&world, name).acts_for_services();
    let batch = || other("batch").add_client_id("batch");
    for (name, other, token, reason) in [
        ("the actor, as a client", other("x").add_client_id("desk"), acting(), "actor_suspended"),
        ("the client, as an actor", other("x").add_actor_id("shop-web"), acting(), "actor_suspended"),
        ("the service", batch(), service("shop-web").actor("desk"), "actor_suspended"),
        (
            "the service, as an actor",
            other("x").add_actor_id("batch"),
            service("shop-web"),
            "actor_suspended",
        ),
        ("the service itself", batch(), service("batch"), "client_suspended"),
        ("a user of such a name", batch(), world.token().user("batch"), ""),
        ("another", other("x").add_client_id("x"), acting(), ""),
    ] {
        let token = token.sign();
        let first = || [web(&world).acts_for_services(), agent(&world, "desk").acts_for_services()];
        let registry = |other: ApplicationBuilder| {
            let all = first().into_iter().chain([other]);
            all.fold(Applications::builder(), |builder, one| builder.add_application(one)).build().unwrap()
        };
        let ended = if reason == "client_suspended" { "client_expired" } else { "actor_expired" };
        for (other, reason) in [
            (other.clone(), ""),
            (other.clone().suspended(), reason),
            (other.expires("2020-01-01"), if reason.is_empty() { "" } else { ended }),
        ] {
            let layer = DelegationLayer::builder().add_issuer(world.issuer().claim_mapping(mapping.clone()));
            let layer = layer.clock(world.clock.clone()).applications(registry(other));
            let answer = world.serve(layer).await.get("/", &token).await;
            assert_eq!(answer.status, if reason.is_empty() { 200 } else { 403 }, "{name}: {}", answer.body);
            assert_eq!(audit.one().field("reason"), reason, "{name}");
        }
    }
}

/// What is kept with a cached token does not outlive the registry that it was made
/// for, nor a moment at which a registration ends.
#[tokio::test]
async fn a_cached_token_is_judged_again() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let end = world.clock.now().saturating_add(10 * MINUTE).unix_seconds();
    let end = OffsetDateTime::from_unix_timestamp(end).unwrap().format(&Rfc3339).unwrap();
    let builder = |planner: ApplicationBuilder| {
        Applications::builder()
            .add_application(web(&world))
            .add_application(agent(&world, "desk"))
            .add_application(planner)
    };
    let applications = builder(agent(&world, "planner").expires(&end)).build().unwrap();
    let served = world.serve(world.layer().applications(applications.clone())).await;
    let token = world.token().expires_in(60 * MINUTE).actor("desk").earlier_actor("planner").sign();
    let expect = async |name: &str, reason: &str| {
        let answer = served.get("/", &token).await;
        assert_eq!(answer.status, if reason.is_empty() { 200 } else { 403 }, "{name}");
        assert_eq!(audit.one().field("reason"), reason, "{name}");
    };
    expect("before", "").await;
    world.clock.advance(10 * MINUTE - Duration::from_secs(1));
    expect("one second before its end", "").await;
    world.clock.advance(Duration::from_secs(1));
    expect("at its end", "actor_expired").await;
    applications.replace(builder(agent(&world, "planner"))).unwrap();
    expect("prolonged", "").await;
    applications.replace(builder(agent(&world, "planner").suspended())).unwrap();
    expect("suspended", "actor_suspended").await;
    applications.replace(builder(agent(&world, "other"))).unwrap();
    expect("removed", "").await;
    applications.replace(builder(agent(&world, "other")).refuse_unknown_earlier_actors()).unwrap();
    expect("removed, and unknown ones are refused", "actor_unregistered").await;
}

#[tokio::test]
async fn the_key_is_read_strictly() {
    let world = World::new().await;
    let rows = format!(
        r#"
        [[application]]
        name = "shop-web"
        kind = "application"
        issuer = "{0}"
        client_ids = ["shop-web"]
        any_workload = true
        acts_for = ["users"]

        [[application]]
        name = "desk"
        kind = "agent"
        issuer = "{0}"
        actor_ids = ["desk"]
        any_workload = true
        acts_for = ["users"]
        "#,
        world.idp.issuer()
    );
    let read = |key: &str| -> Result<Applications, ConfigError> {
        Applications::from_toml(&format!("{key}\n{rows}"))
    };
    for (name, key) in [
        ("another word", r#"unknown_earlier_actors = "deny""#),
        ("a flag", "unknown_earlier_actors = true"),
        ("an empty text", r#"unknown_earlier_actors = """#),
        ("misspelt", r#"unknown_earlier_actor = "refuse""#),
        ("twice", "unknown_earlier_actors = \"refuse\"\nunknown_earlier_actors = \"refuse\""),
    ] {
        let error = read(key).unwrap_err().to_string();
        assert!(error.contains("line"), "{name}: {error}");
    }
    let token = world.token().actor("desk").earlier_actor("x").sign();
    for (name, key, expected) in [
        ("not written", "", 200),
        ("recorded", r#"unknown_earlier_actors = "record""#, 200),
        ("refused", r#"unknown_earlier_actors = "refuse""#, 403),
    ] {
        let served = world.serve(world.layer().applications(read(key).unwrap())).await;
        assert_eq!(served.get("/", &token).await.status, expected, "{name}");
        // Where the code refuses, no file takes that back.
        let strict =
            Applications::builder().refuse_unknown_earlier_actors().add_toml(&format!("{key}\n{rows}"));
        let layer = world.layer().applications(strict.build().unwrap());
        assert_eq!(world.serve(layer).await.get("/", &token).await.status, 403, "{name}, refused in code");
    }
}
