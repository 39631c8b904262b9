//! The ceiling bounds everything that a token can grant, not only scopes.

use super::*;
use serde_json::Value;
use tower_delegation::{RequireLayer, Requirement, requirement::AuthorizationDetail};

/// A service that demands one thing at each path.
async fn site(world: &World, applications: Applications) -> Site {
    let mapping =
        ClaimMapping::rfc9068().add_roles("roles").add_permissions("permissions").add_groups("groups");
    let issuer = TrustedIssuer::discover(world.idp.issuer()).unwrap().add_audience(AUDIENCE);
    let issuer = issuer.claim_mapping(mapping.add_user_claim(USER_CLAIM));
    let layer = DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone());
    let layer = layer.client_identity(ClientIdentity::from_tls()).applications(applications);
    let barred = Requirement::new().authorization_detail(AuthorizationDetail::of_type("barred"));
    let router = [
        ("/role", Requirement::new().role("clerk")),
        ("/any_role", Requirement::new().any_role(["clerk", "admin"])),
        ("/permission", Requirement::new().permission("file")),
        ("/group", Requirement::new().group("staff")),
        ("/detail", Requirement::new().authorization_detail(AuthorizationDetail::of_type("payment"))),
        ("/not/role", Requirement::new().not(Requirement::new().role("barred"))),
        ("/not/permission", Requirement::new().not(Requirement::new().permission("barred"))),
        ("/not/group", Requirement::new().not(Requirement::new().group("barred"))),
        ("/not/scope", Requirement::new().not(Requirement::new().scope("barred"))),
        ("/not/detail", Requirement::new().not(barred)),
    ]
    .into_iter()
    .fold(Router::new(), |router, (path, requirement)| {
        router.route(path, get(|| async {}).layer(RequireLayer::new(requirement).unwrap()))
    });
    world.serve_tls(router.layer(layer.build().unwrap())).await
}

/// The token of a user who was granted a bit of everything.
fn granted(token: TokenBuilder) -> String {
    token
        .claim("roles", ["clerk", "admin"])
        .claim("permissions", ["file", "approve"])
        .claim("groups", ["staff", "board"])
        .claim("authorization_details", json!([{ "type": "payment" }, { "type": "account" }]))
        .sign()
}

fn agent(world: &World, name: &str) -> ApplicationBuilder {
    Application::builder(name, ApplicationKind::Agent)
        .add_actor_id_at(world.idp.issuer(), name)
        .add_workload(&format!("spiffe://example.org/shop/{name}"))
        .add_scope("orders:read")
        .acts_for_users()
}

#[tokio::test]
async fn what_an_application_may_never_use_grants_nothing() {
    let world = World::new().await;
    let site = site(
        &world,
        registry([
            world.application("web"),
            world
                .application("bounded")
                .add_roles(["clerk"])
                .add_permissions(["file"])
                .add_groups(["staff"])
                .add_authorization_detail_types(["payment"]),
            world
                .application("elsewhere")
                .add_roles(["admin"])
                .add_permissions(["approve"])
                .add_groups(["board"])
                .add_authorization_detail_types(["account"]),
            world.application("empty").add_roles([""; 0]),
            agent(&world, "bot"),
            agent(&world, "clerks")
                .add_roles(["clerk"])
                .add_permissions(["file"])
                .add_groups(["staff"])
                .add_authorization_detail_types(["payment"]),
        ]),
    )
    .await;
    let audit = AuditLog::listen();
    let paths = ["/role", "/any_role", "/permission", "/group", "/detail"];
    let missing = [
        "role_missing",
        "role_missing",
        "permission_missing",
        "group_missing",
        "authorization_detail_missing",
    ];
    let all = [true; 5];
    let none = [false; 5];
    for (name, caller, client, actor, expected) in [
        ("an application that lists nothing is not bounded", "web", "web", None, all),
        ("an application with these in its lists", "bounded", "bounded", None, all),
        ("an application with others", "elsewhere", "elsewhere", None, [false, true, false, false, false]),
        ("an empty list is none", "empty", "empty", None, [false, false, true, true, true]),
        ("an agent that lists nothing has none", "bot", "web", Some("bot"), none),
        ("an agent with these in its lists", "clerks", "web", Some("clerks"), all),
        ("an agent, and a client that bounds it", "clerks", "elsewhere", Some("clerks"), none),
        ("an agent that lists nothing, for a client that does", "bot", "bounded", Some("bot"), none),
    ] {
        let token = world.token_of(client);
        let token = granted(actor.into_iter().fold(token, TokenBuilder::actor));
        let client = world.client_of(caller);
        for ((path, reason), is_allowed) in paths.into_iter().zip(missing).zip(expected) {
            // Once as a stranger, once from memory.
            for round in ["first", "second"] {
                let answer = site.get(&client, path, &token).await;
                let event = audit.one();
                if is_allowed {
                    assert_eq!(answer.status, 200, "{name}, {path}, {round}: {}", event.field("reason"));
                } else {
                    assert_eq!((answer.status, event.field("reason")), (403, reason), "{name}, {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_grants_too_much_of_any_kind_is_refused_where_that_is_said() {
    let world = World::new().await;
    let strict = || {
        world
            .application("strict")
            .add_roles(["clerk"])
            .add_permissions(["file"])
            .add_groups(["staff"])
            .add_authorization_detail_types(["payment"])
            .refuse_excess()
    };
    let unbounded = world.application("unbounded").refuse_excess();
    let bot = agent(&world, "bot").refuse_excess();
    let site = site(&world, registry([world.application("web"), strict(), unbounded, bot])).await;
    let audit = AuditLog::listen();
    let payment = json!([{ "type": "payment" }]);
    let broad = "token_too_broad";
    for (name, caller, claim, value, reason) in [
        ("one role within", "strict", "roles", json!(["clerk"]), "role_missing"),
        ("a role too many", "strict", "roles", json!(["clerk", "admin"]), broad),
        ("a role in other letters", "strict", "roles", json!(["Clerk"]), broad),
        ("roles that are none", "strict", "roles", json!([7]), "claim_malformed"),
        ("a permission too many", "strict", "permissions", json!(["approve"]), broad),
        ("permissions that are none", "strict", "permissions", json!({}), "claim_malformed"),
        ("a group too many", "strict", "groups", json!(["staff", "board"]), broad),
        ("groups that are none", "strict", "groups", json!([[]]), "claim_malformed"),
        ("details within", "strict", "authorization_details", payment.clone(), "role_missing"),
        ("a type too many", "strict", "authorization_details", json!([{ "type": "account" }]), broad),
        ("a detail without type", "strict", "authorization_details", json!([{}]), "claim_malformed"),
        ("details that are none", "strict", "authorization_details", json!("payment"), "claim_malformed"),
        ("an agent that lists none", "bot", "groups", json!(["staff"]), broad),
        ("an agent's details", "bot", "authorization_details", payment, broad),
        ("what is not bounded", "unbounded", "groups", json!(["anything"]), "role_missing"),
        ("malformed and not bounded", "unbounded", "roles", json!(7), "claim_malformed"),
        ("malformed, not bounded, not demanded", "unbounded", "permissions", json!(7), "role_missing"),
    ] {
        let token = match caller {
            "bot" => world.token_of("web").actor("bot"),
            client => world.token_of(client),
        };
        // What the rule demands is missing everywhere, unless something is said before.
        let token = match (claim, &value) {
            ("roles", Value::Array(roles)) if *roles == ["clerk"] => token.claim("roles", [""; 0]),
            _ => token.claim(claim, value),
        };
        let answer = site.get(&world.client_of(caller), "/role", &token.sign()).await;
        let event = audit.one();
        assert_eq!((answer.status, event.field("reason")), (403, reason), "{name}");
    }
}

/// A mark that was cut is not proved to be absent.
#[tokio::test]
async fn what_was_cut_is_still_excluded() {
    let world = World::new().await;
    let bounded = world
        .application("web")
        .add_roles(["clerk"])
        .add_permissions(["file"])
        .add_groups(["staff"])
        .add_authorization_detail_types(["payment"]);
    let site = site(&world, registry([bounded])).await;
    let audit = AuditLog::listen();
    let client = world.client_of("web");
    for (path, claim, good, barred) in [
        ("/not/role", "roles", json!(["clerk"]), json!(["clerk", "barred"])),
        ("/not/permission", "permissions", json!(["file"]), json!(["barred", "file"])),
        ("/not/group", "groups", json!(["staff"]), json!(["staff", "barred"])),
        ("/not/scope", "scope", json!("orders:read"), json!("orders:read barred")),
        (
            "/not/detail",
            "authorization_details",
            json!([{ "type": "payment" }]),
            json!([{ "type": "payment" }, { "type": "barred" }]),
        ),
    ] {
        for (value, expected) in [(good, None), (barred, Some((403, "excluded")))] {
            let answer = site.get(&client, path, &world.token_of("web").claim(claim, value).sign()).await;
            let event = audit.one();
            match expected {
                None => assert_eq!(answer.status, 200, "{path}: {}", event.field("reason")),
                Some(expected) => assert_eq!((answer.status, event.field("reason")), expected, "{path}"),
            }
        }
    }
}
