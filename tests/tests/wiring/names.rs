//! A name counts only with who vouches for it: two issuers, of which the other one is
//! in the hands of an attacker.

use axum::{Router, routing::get};
use integration_tests::{AUDIENCE, AuditLog, Served, World};
use serde_json::{Value, json};
use tower_delegation::{
    Applications, ConfigError, DelegationContext, DelegationLayer, RequireLayer, Requirement, TrustedIssuer,
    application::{Application, ApplicationKind},
    issuer::{ClaimMapping, Grants, IssuerResolver, TenantIssuers},
    layer::DelegationLayerBuilder,
    requirement::AuthorizationDetail,
    revocation::{InMemoryRevocations, Revocation},
};
use tower_delegation_testing::{MockIssuer, TokenBuilder, USER_CLAIM};

/// Our issuer and a partner's.
struct Two {
    world: World,
    ours: MockIssuer,
    partner: MockIssuer,
}

impl Two {
    async fn new() -> Self {
        let world = World::new().await;
        let (ours, partner) = (world.idp.issuer_at("/ours"), world.idp.issuer_at("/partner"));
        Self { world, ours, partner }
    }

    fn trust(issuer: &MockIssuer) -> TrustedIssuer {
        let mapping = ClaimMapping::rfc9068().add_roles("roles").add_permissions("permissions");
        let mapping = mapping.add_groups("groups").tenant("tenant").add_user_claim(USER_CLAIM);
        TrustedIssuer::discover(issuer.issuer()).unwrap().add_audience(AUDIENCE).claim_mapping(mapping)
    }

    /// A layer that lets the partner grant this.
    fn layer(&self, partner: Grants) -> DelegationLayerBuilder {
        self.layer_of(Self::trust(&self.partner).may_grant(partner))
    }

    fn layer_of(&self, partner: TrustedIssuer) -> DelegationLayerBuilder {
        let ours = Self::trust(&self.ours).may_grant(Grants::all());
        DelegationLayer::builder().add_issuer(ours).add_issuer(partner).clock(self.world.clock.clone())
    }
}

/// Alice, through shop-web.
fn alice(issuer: &MockIssuer) -> TokenBuilder {
    issuer.token().user("alice").client("shop-web").audience(AUDIENCE)
}

/// What requirements see, at `/`; one demand each at other paths.
async fn serve(layer: DelegationLayerBuilder, rules: &[(&str, Requirement)]) -> Served {
    let seen = async |delegation: DelegationContext| {
        let roles: Vec<_> = delegation.roles().unwrap().iter().map(str::to_owned).collect();
        let actor = delegation.actor().map(|actor| [actor.issuer().to_string(), actor.id().to_string()]);
        json!({ "scopes": delegation.scopes().as_str(), "roles": roles, "actor": actor }).to_string()
    };
    let router = rules.iter().fold(Router::new().route("/", get(seen)), |router, (path, requirement)| {
        let rule = RequireLayer::new(requirement.clone()).unwrap();
        router.route(path, get(async || "in").layer(rule))
    });
    Served::start(router.layer(layer.build().unwrap())).await
}

#[tokio::test]
async fn what_an_issuer_may_not_grant_is_cut_and_recorded() {
    let two = Two::new().await;
    let (ours, partner) = (two.ours.issuer(), two.partner.issuer());
    // Either issuer is named: the rules are about what each may grant.
    let of = || Requirement::new().any_issuer([ours, partner]);
    let detail = |kind| of().authorization_detail(AuthorizationDetail::of_type(kind));
    let rules = [
        ("/scope", of().scope("orders:refund")),
        ("/any-scope", of().any_scope(["orders:refund", "orders:delete"])),
        ("/role", Requirement::new().issuer(partner).role("admin")),
        ("/any-role", Requirement::new().issuer(partner).any_role(["admin", "root"])),
        ("/group", Requirement::new().issuer(partner).group("board")),
        ("/permission", Requirement::new().issuer(partner).permission("approve")),
        ("/detail", detail("payment")),
    ];
    let within = Grants::none()
        .add_scopes(["orders:refund"])
        .add_roles(["admin"])
        .add_groups(["board"])
        .add_permissions(["approve"])
        .add_authorization_detail_types(["payment"]);
    let other = Grants::none()
        .add_scopes(["orders:read"])
        .add_roles(["clerk"])
        .add_groups(["staff"])
        .add_permissions(["read"])
        .add_authorization_detail_types(["note"]);
    let full = |token: TokenBuilder| {
        token
            .scopes(["orders:read", "orders:refund"])
            .claim("roles", json!(["clerk", "admin"]))
            .claim("groups", json!(["staff", "board"]))
            .claim("permissions", json!(["read", "approve"]))
            .claim("authorization_details", json!([{ "type": "note" }, { "type": "payment" }]))
            .sign()
    };
    let audit = AuditLog::listen();
    let nothing = "scope orders:read, scope orders:refund, role clerk, role admin, permission read, \
                   permission approve, group staff, group board, authorization_detail note, \
                   authorization_detail payment";
    let beyond = "scope orders:refund, role admin, permission approve, group board, \
                  authorization_detail payment";
    let rest = "scope orders:read, role clerk, permission read, group staff, authorization_detail note";
    for (name, grants, is_in, recorded) in [
        ("all", Grants::all(), true, ""),
        ("within", within, true, rest),
        ("other names", other.clone(), false, beyond),
        ("none", Grants::none(), false, nothing),
    ] {
        let service = serve(two.layer(grants), &rules).await;
        for (path, reason) in [
            ("/scope", "scope_beyond_issuer"),
            ("/any-scope", "scope_beyond_issuer"),
            ("/role", "role_missing"),
            ("/any-role", "role_missing"),
            ("/group", "group_missing"),
            ("/permission", "permission_missing"),
            ("/detail", "authorization_detail_missing"),
        ] {
            let answer = service.get(path, &full(alice(&two.partner))).await;
            assert_eq!(answer.status, if is_in { 200 } else { 403 }, "{name} {path}");
            // No broader token of this issuer would help, so none is asked for.
            assert!(!answer.challenges.concat().contains("error"), "{name} {path}");
            let event = audit.one();
            assert_eq!(event.field("reason"), if is_in { "" } else { reason }, "{name} {path}");
            assert_eq!(event.field("beyond_issuer"), recorded, "{name} {path}");
        }
    }
    // Our own tokens are as they were, also beside a bounded partner, and the other's bound is not theirs.
    let service = serve(two.layer(other), &rules).await;
    for path in ["/scope", "/detail"] {
        assert_eq!(service.get(path, &full(alice(&two.ours))).await.status, 200, "{path}");
        assert_eq!(audit.one().field("beyond_issuer"), "");
    }
    let seen: Value = serde_json::from_str(&service.get("/", &full(alice(&two.partner))).await.body).unwrap();
    assert_eq!(seen, json!({ "scopes": "orders:read", "roles": ["clerk"], "actor": null }));
}

/// What an issuer says too much is what its token holds: a rule that tolerates no more
/// scopes than its own is not met by leaving some out.
#[tokio::test]
async fn a_token_that_is_too_broad_stays_so() {
    let two = Two::new().await;
    let narrow = Requirement::new().issuer(two.partner.issuer()).scope("a").scopes_within(["a"]);
    let service = serve(two.layer(Grants::none().add_scopes(["a"])), &[("/a", narrow)]).await;
    assert_eq!(service.get("/a", &alice(&two.partner).scopes(["a"]).sign()).await.status, 200);
    assert_eq!(service.get("/a", &alice(&two.partner).scopes(["a", "b"]).sign()).await.status, 403);
}

/// The bound is part of an issuer's terms: a registry cannot lift it, and its own ceiling
/// is within it.
#[tokio::test]
async fn a_registry_does_not_lift_the_bound() {
    let two = Two::new().await;
    let entry = |name: &str, issuer: &MockIssuer| {
        Application::builder(name, ApplicationKind::Application)
            .add_client_id_at(issuer.issuer(), "shop-web")
            .add_scopes(["a", "b"])
            .allow_any_workload()
            .acts_for_users()
    };
    let registry = Applications::builder()
        .add_application(entry("ours", &two.ours))
        .add_application(entry("partner's", &two.partner))
        .build();
    let rules = [("/a", Requirement::new().scope("a")), ("/b", Requirement::new().scope("b"))];
    let service =
        serve(two.layer(Grants::none().add_scopes(["a", "c"])).applications(registry.unwrap()), &rules).await;
    for (name, issuer, path, status) in [
        ("both allow", &two.partner, "/a", 200),
        ("the issuer may not grant it", &two.partner, "/b", 403),
        ("ours may", &two.ours, "/b", 200),
    ] {
        let token = alice(issuer).scopes(["a", "b", "c"]).sign();
        assert_eq!(service.get(path, &token).await.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_second_namespace_needs_bounds() {
    let two = Two::new().await;
    let (ours, partner) = (|| Two::trust(&two.ours), || Two::trust(&two.partner));
    let tenants = |terms: TrustedIssuer| TenantIssuers::new(terms, ["t1", "t2"]).unwrap();
    let template = || TrustedIssuer::discover("https://idp.example/{tenant}").unwrap().add_audience(AUDIENCE);
    let new = DelegationLayer::builder;
    let bounded = |issuer: TrustedIssuer| issuer.may_grant(Grants::none());
    let (our, partners) = (two.ours.issuer(), two.partner.issuer());
    let rows: Vec<(&str, DelegationLayerBuilder, Vec<&str>)> = vec![
        ("one issuer", new().add_issuer(ours()), vec![]),
        ("one resolver, many issuers", new().add_issuer_resolver(tenants(template())), vec![]),
        (
            "one house",
            new().add_issuer(ours().namespace("corp")).add_issuer(partner().namespace("corp")),
            vec![],
        ),
        (
            "a house with a resolver",
            new()
                .add_issuer(ours().namespace("corp"))
                .add_issuer_resolver(tenants(template().namespace("corp"))),
            vec![],
        ),
        ("both bounded", new().add_issuer(bounded(ours())).add_issuer(bounded(partner())), vec![]),
        ("neither bounded", new().add_issuer(ours()).add_issuer(partner()), vec![our, partners]),
        ("the second bounded", new().add_issuer(ours()).add_issuer(bounded(partner())), vec![our]),
        ("the first bounded", new().add_issuer(bounded(ours())).add_issuer(partner()), vec![partners]),
        (
            "two houses",
            new().add_issuer(ours().namespace("a")).add_issuer(partner().namespace("b")),
            vec![our, partners],
        ),
        (
            "a house and a loner",
            new().add_issuer(ours().namespace("a")).add_issuer(partner()),
            vec![our, partners],
        ),
        (
            "a namespace that is called like an issuer",
            new().add_issuer(ours().namespace(partners)).add_issuer(partner()),
            vec![our, partners],
        ),
        (
            "an issuer and a resolver",
            new().add_issuer(bounded(ours())).add_issuer_resolver(tenants(template())),
            vec!["https://idp.example/{tenant}"],
        ),
        (
            "an issuer and a bounded resolver",
            new().add_issuer(ours()).add_issuer_resolver(tenants(bounded(template()))),
            vec![our],
        ),
        (
            "two resolvers",
            new().add_issuer_resolver(tenants(template())).add_issuer_resolver(tenants(bounded(template()))),
            vec!["https://idp.example/{tenant}"],
        ),
    ];
    for (name, builder, unbounded) in rows {
        match builder.build() {
            Ok(_) => assert!(unbounded.is_empty(), "{name}"),
            Err(ConfigError::UnboundedIssuers { issuers }) => assert_eq!(issuers, unbounded, "{name}"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
    for (name, issuer) in [
        ("a namespace without a name", ours().namespace("")),
        ("a blank namespace", ours().namespace(" ")),
        ("a role without a name", ours().may_grant(Grants::none().add_roles([""]))),
        ("a type without a name", ours().may_grant(Grants::none().add_authorization_detail_types(["a", ""]))),
        ("what is no scope", ours().may_grant(Grants::none().add_scopes(["a b"]))),
        ("speaks for no one", ours().may_speak_for("")),
    ] {
        assert!(new().add_issuer(issuer).build().is_err(), "{name}");
    }
}

/// Knows one issuer, on terms that change from test to test.
#[derive(Debug)]
struct Resolver(TrustedIssuer, String);

impl IssuerResolver for Resolver {
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
        (issuer == self.1).then(|| self.0.clone())
    }
}

#[tokio::test]
async fn a_resolvers_answer_without_a_bound_is_not_used_in_another_namespace() {
    let two = Two::new().await;
    let terms = || Two::trust(&two.partner);
    for (name, is_alone, terms, status) in [
        ("alone", true, terms(), 200),
        ("alone, in a namespace of its own", true, terms().namespace("customer"), 401),
        (
            "alone, in a namespace of its own, bounded",
            true,
            terms().namespace("customer").may_grant(Grants::none()),
            200,
        ),
        ("in addition to an issuer", false, terms(), 401),
        ("in addition to an issuer, bounded", false, terms().may_grant(Grants::none()), 200),
        ("in the house of an issuer, unbounded", false, terms().namespace("house"), 401),
    ] {
        let resolver = Resolver(terms, two.partner.issuer().to_owned());
        let builder = DelegationLayer::builder().add_issuer_resolver(resolver).clock(two.world.clock.clone());
        let ours = Two::trust(&two.ours).namespace("house").may_grant(Grants::all());
        let builder = if is_alone { builder } else { builder.add_issuer(ours) };
        let service = serve(builder, &[]).await;
        assert_eq!(service.get("/", &alice(&two.partner).sign()).await.status, status, "{name}");
    }
}

/// The partner's word on our agents counts for nothing: RFC 8693 section 4.1, `act.iss`.
#[tokio::test]
async fn an_issuer_speaks_for_its_own_actors() {
    let two = Two::new().await;
    let (ours, partner) = (two.ours.issuer(), two.partner.issuer());
    let rules = [
        ("/ours", Requirement::new().actor_of(ours, "copilot")),
        ("/own", Requirement::new().issuer(partner).actor("copilot")),
        ("/partners", Requirement::new().issuer(partner).actor_of(partner, "copilot")),
        ("/not-denied", Requirement::new().issuer(partner).delegated().deny_actor("copilot")),
        ("/delegated", Requirement::new().issuer(partner).delegated()),
    ];
    let open = |paths: &'static [&'static str]| paths;
    let nested = json!({ "sub": "planner", "act": { "sub": "copilot", "iss": ours } });
    let audit = AuditLog::listen();
    for (name, speaks_for, act, paths, vouched, claimed) in [
        (
            "its own",
            None,
            json!({ "sub": "copilot" }),
            open(&["/own", "/partners", "/delegated"]),
            partner,
            "",
        ),
        (
            "its own, written out",
            None,
            json!({ "sub": "copilot", "iss": partner }),
            open(&["/own", "/partners", "/delegated"]),
            partner,
            "",
        ),
        (
            "ours, on its word",
            None,
            json!({ "sub": "copilot", "iss": ours }),
            open(&["/delegated"]),
            partner,
            ours,
        ),
        (
            "ours, given to speak for another",
            Some("https://third.example"),
            json!({ "sub": "copilot", "iss": ours }),
            open(&["/delegated"]),
            partner,
            ours,
        ),
        (
            "ours, given to speak for us",
            Some(ours),
            json!({ "sub": "copilot", "iss": ours }),
            open(&["/ours", "/delegated"]),
            ours,
            "",
        ),
        // Earlier actors never grant, and can deny on any issuer's word.
        ("ours before its own", None, nested, open(&["/delegated"]), partner, ""),
    ] {
        let terms = Two::trust(&two.partner).may_grant(Grants::none());
        let terms = speaks_for.map_or(terms.clone(), |other| terms.clone().may_speak_for(other));
        let service = serve(two.layer_of(terms), &rules).await;
        let token = alice(&two.partner).claim("act", act).sign();
        for (path, _) in &rules {
            let status = service.get(path, &token).await.status;
            assert_eq!(status, if paths.contains(path) { 200 } else { 403 }, "{name} {path}");
            assert_eq!(audit.one().field("actor_claimed_issuer"), claimed, "{name}");
        }
        let seen: Value = serde_json::from_str(&service.get("/", &token).await.body).unwrap();
        assert_eq!(seen["actor"][0], vouched, "{name}");
        drop(audit.take());
    }
}

/// An honest issuer of ours that says whose agent it is does not make it its own agent.
#[tokio::test]
async fn a_namesake_of_another_issuer_is_no_actor_of_ours() {
    let two = Two::new().await;
    let rules = [
        ("/bot", Requirement::new().actor("bot")),
        ("/bot-of", Requirement::new().actor_of(two.ours.issuer(), "bot")),
        ("/bot-of-third", Requirement::new().actor_of("https://third.example", "bot")),
    ];
    let layer = DelegationLayer::builder().add_issuer(Two::trust(&two.ours)).clock(two.world.clock.clone());
    let service = serve(layer, &rules).await;
    let foreign = alice(&two.ours).claim("act", json!({ "sub": "bot", "iss": "https://third.example" }));
    for (path, token, status) in [
        ("/bot", alice(&two.ours).actor("bot"), 200),
        ("/bot-of", alice(&two.ours).actor("bot"), 200),
        ("/bot-of-third", alice(&two.ours).actor("bot"), 403),
        ("/bot", foreign.clone(), 403),
        ("/bot-of", foreign.clone(), 403),
        ("/bot-of-third", foreign, 403),
    ] {
        assert_eq!(service.get(path, &token.sign()).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_registered_actor_is_one_that_its_own_issuer_vouches_for() {
    let two = Two::new().await;
    let (ours, partner) = (two.ours.issuer(), two.partner.issuer());
    let web = |name: &str, issuer: &str| {
        Application::builder(name, ApplicationKind::Application)
            .add_client_id_at(issuer, "shop-web")
            .add_scope("a")
            .allow_any_workload()
            .acts_for_users()
    };
    let bot = |name: &str, issuer: &str, id: &str| {
        Application::builder(name, ApplicationKind::Agent)
            .add_actor_id_at(issuer, id)
            .add_scope("a")
            .allow_any_workload()
            .acts_for_users()
    };
    let registry = |ours_suspended: bool| {
        let copilot = bot("copilot", ours, "copilot");
        let copilot = if ours_suspended { copilot.suspended() } else { copilot };
        Applications::builder()
            .add_application(web("web", ours))
            .add_application(web("partner's web", partner))
            .add_application(copilot)
            .add_application(bot("partner's bot", partner, "bot"))
    };
    let named = |act: Value| alice(&two.partner).claim("act", act).sign();
    let stolen = named(json!({ "sub": "copilot", "iss": ours }));
    let renamed = named(json!({ "sub": "bot", "iss": ours }));
    let own = named(json!({ "sub": "bot" }));
    let behind = named(json!({ "sub": "bot", "act": { "sub": "copilot", "iss": ours } }));
    let audit = AuditLog::listen();
    for (name, registry, speaks_for, token, reason) in [
        ("its own", registry(false), false, &own, ""),
        ("our agent, on its word", registry(false), false, &stolen, "actor_unregistered"),
        ("its own under our name", registry(false), false, &renamed, "actor_unregistered"),
        ("our agent, on our word", registry(false), true, &stolen, ""),
        ("our agent before its own", registry(false), false, &behind, ""),
        (
            "our agent before its own, all to be known",
            registry(false).refuse_unknown_earlier_actors(),
            false,
            &behind,
            "actor_unregistered",
        ),
        (
            "our agent before its own, on our word, all to be known",
            registry(false).refuse_unknown_earlier_actors(),
            true,
            &behind,
            "",
        ),
        // What is taken back is taken back on any issuer's word.
        ("our suspended agent before its own", registry(true), false, &behind, "actor_suspended"),
    ] {
        let terms = Two::trust(&two.partner).may_grant(Grants::all());
        let terms = if speaks_for { terms.may_speak_for(ours) } else { terms };
        let service = serve(two.layer_of(terms).applications(registry.build().unwrap()), &[]).await;
        let status = service.get("/", token).await.status;
        assert_eq!(
            (status, audit.one().field("reason")),
            (if reason.is_empty() { 200 } else { 403 }, reason),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_revoked_actor_is_revoked_on_anybodys_word() {
    let two = Two::new().await;
    let (ours, partner) = (two.ours.issuer(), two.partner.issuer());
    let claimed = alice(&two.partner).claim("act", json!({ "sub": "bot", "iss": ours })).sign();
    let own = alice(&two.partner).actor("bot").sign();
    for (name, revoked, token, status) in [
        ("ours, claimed", Revocation::actor(ours, "bot"), &claimed, 401),
        ("the partner's, claimed for ours", Revocation::actor(partner, "bot"), &claimed, 401),
        ("ours", Revocation::actor(ours, "bot"), &own, 200),
        ("the partner's", Revocation::actor(partner, "bot"), &own, 401),
        ("another", Revocation::actor(ours, "bot2"), &claimed, 200),
    ] {
        let store = InMemoryRevocations::new();
        let service = serve(two.layer(Grants::none()).revocations(store.clone()), &[]).await;
        store.revoke(revoked).unwrap();
        assert_eq!(service.get("/", token).await.status, status, "{name}");
    }
}
