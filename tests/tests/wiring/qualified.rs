//! Whose the names in a rule are: with issuers of two namespaces a rule says it, or it is
//! no rule.

use std::sync::{Arc, RwLock};

use axum::{Router, routing::get as plain};
use integration_tests::{AUDIENCE, AuditLog, Served, World};
use tower_delegation::{
    ConfigError, DelegationLayer, RequireLayer, Requirement, RouteTable, RouteTableLayer, TrustedIssuer,
    issuer::{ClaimMapping, Grants, IssuerResolver, TenantIssuers},
    layer::DelegationLayerBuilder,
    routing::{GuardedRouter, guard},
};
use tower_delegation_testing::{MockIssuer, TokenBuilder, USER_CLAIM};

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

    fn layer(&self, change: impl Fn(TrustedIssuer) -> TrustedIssuer) -> DelegationLayerBuilder {
        let layer = DelegationLayer::builder().clock(self.world.clock.clone());
        [&self.ours, &self.partner].into_iter().fold(layer, |layer, one| layer.add_issuer(change(trust(one))))
    }
}

fn mapping() -> ClaimMapping {
    let mapping = ClaimMapping::rfc9068().tenant("tenant").add_user_claim(USER_CLAIM);
    mapping.add_roles("roles").add_permissions("permissions").add_groups("groups")
}

fn trust(issuer: &MockIssuer) -> TrustedIssuer {
    let trusted = TrustedIssuer::discover(issuer.issuer()).unwrap().add_audience(AUDIENCE);
    trusted.claim_mapping(mapping()).may_grant(Grants::all())
}

/// Alice of acme, an administrator, through the portal and its agent.
fn alice(issuer: &MockIssuer) -> TokenBuilder {
    let token = issuer.token().user("alice").client("portal").audience(AUDIENCE).actor("copilot");
    let token = token.claim("tenant", "acme").claim("department", "sales").claim("purpose", "treatment");
    token.claim("roles", ["admin"]).claim("groups", ["board"]).claim("permissions", ["approve"])
}

/// Every demand that names a party or a privilege, each met by alice's token of
/// whichever issuer.
fn rules() -> Vec<(&'static str, Requirement)> {
    let new = || Requirement::named("rule");
    vec![
        ("subject_matches_path", new().subject_matches_path("account")),
        ("client", new().client("portal")),
        ("deny_client", new().deny_client("stranger")),
        ("client", new().any_client(["portal", "shop"])),
        ("actor", new().actor("copilot")),
        ("role", new().role("admin")),
        ("role", new().any_role(["admin", "root"])),
        ("permission", new().permission("approve")),
        ("group", new().group("board")),
        ("tenant", new().tenant("acme")),
        ("claim_equals", new().claim_equals("department", "sales")),
        ("purpose", new().purpose("purpose", "treatment")),
        ("role", new().all_of([new().role("admin"), new().on_behalf_of_user()])),
        ("role", new().any_of([new().role("admin"), new().role("root")])),
        ("client", new().not(new().client("stranger"))),
        // Who is not denied is let in.
        ("deny_actor", new().not(new().deny_actor("copilot"))),
        ("deny_actor", new().not(new().all_of([new().deny_actor("copilot")]))),
        // An issuer in one alternative, or one that is excluded, tells nothing of the rest.
        ("role", new().role("admin").any_of([new().issuer("https://x.example"), new().on_behalf_of_user()])),
        ("role", new().role("admin").not(new().issuer("https://x.example"))),
    ]
}

fn guarded(requirement: Requirement) -> GuardedRouter {
    GuardedRouter::new().route("/{account}", guard(requirement, plain(async || "in")))
}

async fn serve(requirement: Requirement, layer: DelegationLayer) -> Served {
    // Qualified rules build.
    Served::start(guarded(requirement).behind(layer).unwrap()).await
}

/// What is wrong with each rule: its code, and the demand.
fn mistakes(error: &ConfigError) -> Vec<(&'static str, &'static str)> {
    let demand = |error: &ConfigError| match error {
        ConfigError::UnqualifiedRule { demand, .. } => *demand,
        ConfigError::UnsatisfiableRule { demand, .. } => *demand,
        other => panic!("{other}"),
    };
    error.mistakes().map(|one| (one.code(), demand(one))).collect()
}

#[tokio::test]
async fn a_name_without_its_issuer_does_not_build_and_never_allows() {
    let two = Two::new().await;
    let audit = AuditLog::listen();
    for (demand, requirement) in rules() {
        let name = requirement.to_string();
        let layer = || two.layer(|issuer| issuer).build().unwrap();
        let error = guarded(requirement.clone()).behind(layer()).unwrap_err();
        let unqualified: Vec<_> =
            mistakes(&error).into_iter().filter(|(code, _)| *code == "unqualified_rule").collect();
        assert!(unqualified.contains(&("unqualified_rule", demand)), "{name}: {error}");
        // Where the rule is not known before.
        let rule = RequireLayer::new(requirement.clone()).unwrap();
        let router = Router::new().route("/{account}", plain(async || "in").layer(rule)).layer(layer());
        let service = Served::start(router).await;
        for issuer in [&two.ours, &two.partner] {
            assert_eq!(service.get("/alice", &alice(issuer).sign()).await.status, 500, "{name}");
            assert_eq!(audit.one().field("reason"), "requirement_unqualified", "{name}");
        }
    }
}

/// The same rules where they mean one thing: the issuer is named, is one of a house, or
/// the only one.
#[tokio::test]
async fn a_name_with_its_issuer_is_that_issuers() {
    let two = Two::new().await;
    let ours = two.ours.issuer();
    for (_, requirement) in rules().into_iter().filter(|(_, rule)| !rule.to_string().contains("x.example")) {
        let name = requirement.to_string();
        let beside = requirement.clone().issuer(ours);
        let around = Requirement::named("around").issuer(ours).all_of([requirement.clone()]);
        let among =
            Requirement::named("among").all_of([Requirement::new().issuer(ours), requirement.clone()]);
        let each = Requirement::named("each").any_of([requirement.clone().issuer(ours)]);
        for qualified in [beside, around, among, each] {
            let app = guarded(qualified.clone()).behind(two.layer(|issuer| issuer).build().unwrap());
            let service = Served::start(Router::new().fallback_service(app.unwrap())).await;
            assert_eq!(service.get("/alice", &alice(&two.ours).sign()).await.status, 200, "{qualified}");
            assert_eq!(service.get("/alice", &alice(&two.partner).sign()).await.status, 403, "{qualified}");
        }
        let house = two.layer(|issuer| issuer.namespace("corp")).build().unwrap();
        let service =
            Served::start(Router::new().fallback_service(guarded(requirement).behind(house).unwrap())).await;
        for issuer in [&two.ours, &two.partner] {
            assert_eq!(service.get("/alice", &alice(issuer).sign()).await.status, 200, "{name}");
        }
    }
    // Two issuers that are named are two, and one of them twice is one.
    let both = || Requirement::new().any_issuer([ours, two.partner.issuer()]).role("admin");
    assert!(guarded(both()).behind(two.layer(|issuer| issuer).build().unwrap()).is_err());
    assert!(guarded(both()).behind(two.layer(|issuer| issuer.namespace("corp")).build().unwrap()).is_ok());
    // An actor that is denied is anyone's, and a scope is this service's own.
    let free = Requirement::new().deny_actor("bot").scope("a").on_behalf_of_user();
    assert!(guarded(free).behind(two.layer(|issuer| issuer).build().unwrap()).is_ok());
}

/// A tenant that is a part of its issuer's own name cannot be said by another one.
#[tokio::test]
async fn a_tenant_is_vouched_for_where_the_mapping_holds_it_against_the_issuer() {
    let two = Two::new().await;
    let held = |issuer: TrustedIssuer| issuer.claim_mapping(mapping().require_tenant_in_issuer());
    let demand = || Requirement::new().tenant("ours");
    let app = guarded(demand()).behind(two.layer(held).build().unwrap()).unwrap();
    let service = Served::start(Router::new().fallback_service(app)).await;
    for (name, issuer, tenant, status) in [
        ("its own", &two.ours, "ours", 200),
        ("another's", &two.partner, "ours", 401),
        ("the partner's own", &two.partner, "partner", 403),
    ] {
        let token = alice(issuer).claim("tenant", tenant).sign();
        assert_eq!(service.get("/alice", &token).await.status, status, "{name}");
    }
    // One that says what it likes can say the other's.
    let layer = DelegationLayer::builder().add_issuer(held(trust(&two.ours))).add_issuer(trust(&two.partner));
    assert!(guarded(demand()).behind(layer.build().unwrap()).is_err());
}

#[tokio::test]
async fn an_issuer_that_cannot_say_a_fact_makes_no_name_ambiguous() {
    let two = Two::new().await;
    let silent = mapping().without_roles().without_permissions().without_groups().without_actor();
    let layer = || {
        let partner = trust(&two.partner).claim_mapping(silent.clone());
        DelegationLayer::builder().add_issuer(trust(&two.ours)).add_issuer(partner).build().unwrap()
    };
    for requirement in [
        Requirement::new().role("admin"),
        Requirement::new().permission("approve"),
        Requirement::new().group("board"),
        Requirement::new().actor("copilot"),
    ] {
        assert!(guarded(requirement.clone()).behind(layer()).is_ok(), "{requirement}");
    }
    assert!(guarded(Requirement::new().client("portal")).behind(layer()).is_err());
}

/// Knows what it is given.
#[derive(Clone, Debug, Default)]
struct Customers(Arc<RwLock<Vec<(String, TrustedIssuer)>>>);

impl IssuerResolver for Customers {
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
        let known = self.0.read().unwrap();
        known.iter().find(|(name, _)| name == issuer).map(|(_, terms)| terms.clone())
    }
}

#[tokio::test]
async fn a_resolver_that_brings_a_second_namespace_later_counts() {
    let two = Two::new().await;
    let customers = Customers::default();
    let put = |issuer: &MockIssuer, terms: TrustedIssuer| {
        customers.0.write().unwrap().push((issuer.issuer().to_owned(), terms));
    };
    put(&two.ours, trust(&two.ours));
    let layer =
        DelegationLayer::builder().clock(two.world.clock.clone()).add_issuer_resolver(customers.clone());
    let app = guarded(Requirement::new().subject_matches_path("account")).behind(layer.build().unwrap());
    let service = Served::start(Router::new().fallback_service(app.unwrap())).await;
    let of_ours = alice(&two.ours).sign();
    assert_eq!(service.get("/alice", &of_ours).await.status, 200);
    put(&two.partner, trust(&two.partner).namespace("customer"));
    assert_eq!(service.get("/alice", &alice(&two.partner).sign()).await.status, 500);
    assert_eq!(service.get("/alice", &of_ours).await.status, 500, "also for a token that is held");
}

/// A resolver whose terms are known.
#[derive(Debug)]
struct Known {
    common: TrustedIssuer,
    customers: Customers,
}

impl IssuerResolver for Known {
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
        self.customers.resolve(issuer)
    }

    fn common_terms(&self) -> Option<&TrustedIssuer> {
        Some(&self.common)
    }
}

/// Customers who have nothing to do with each other: by a list of tenants, and by a
/// resolver with and without common terms.
#[tokio::test]
async fn issuers_of_a_resolver_are_of_one_house_or_each_of_its_own() {
    let two = Two::new().await;
    let (ours, theirs) = (two.ours.issuer(), two.partner.issuer());
    let template = |change: fn(TrustedIssuer) -> TrustedIssuer| {
        let template = ours.replace("/ours", "/{tenant}");
        let terms =
            TrustedIssuer::discover(&template).unwrap().add_audience(AUDIENCE).claim_mapping(mapping());
        TenantIssuers::new(change(terms), ["ours", "partner"]).unwrap()
    };
    let resolver = |common: Option<TrustedIssuer>, change: fn(TrustedIssuer) -> TrustedIssuer| {
        let customers = Customers::default();
        for issuer in [&two.ours, &two.partner] {
            customers.0.write().unwrap().push((issuer.issuer().to_owned(), change(trust(issuer))));
        }
        match common {
            Some(common) => Arc::new(Known { common, customers }) as Arc<dyn IssuerResolver>,
            None => Arc::new(customers),
        }
    };
    let terms = || trust(&two.ours);
    let own = |issuer: TrustedIssuer| issuer.own_namespace();
    let tenants = |change| Arc::new(template(change)) as Arc<dyn IssuerResolver>;
    let builder = |resolver: Arc<dyn IssuerResolver>| {
        let layer = DelegationLayer::builder().clock(two.world.clock.clone());
        layer.add_issuer_resolver(resolver)
    };
    let admin = || Requirement::named("rule").role("admin");
    let qualified = || admin().issuer(ours);
    // What each may grant has to be said.
    for common in [tenants(own), resolver(Some(terms()), own)] {
        let is_list = format!("{common:?}").contains("TenantIssuers");
        match builder(common).build() {
            Err(error) => assert_eq!((is_list, error.code()), (true, "unbounded_issuers")),
            // These answers are not used: they differ from the common terms.
            Ok(layer) => {
                assert!(!is_list);
                let service = serve(qualified(), layer).await;
                assert_eq!(service.get("/alice", &alice(&two.ours).sign()).await.status, 401);
            }
        }
    }
    let bounded = |issuer: TrustedIssuer| issuer.own_namespace().may_grant(Grants::all());
    let shared = |issuer: TrustedIssuer| issuer.may_grant(Grants::all());
    for (name, resolver, builds, statuses) in [
        ("one house, by a list", tenants(|issuer| issuer), true, [200, 200]),
        ("one house, by common terms", resolver(Some(terms()), |issuer| issuer), true, [200, 200]),
        ("each its own, by a list", tenants(bounded), false, [500, 500]),
        ("each its own, by common terms", resolver(Some(bounded(terms())), own), false, [500, 500]),
        // Not known before the first token of each.
        ("each its own, by the answers", resolver(None, own), true, [500, 500]),
        ("each its own, against the common terms", resolver(Some(shared(terms())), own), true, [401, 401]),
        (
            "of one house, against the common terms",
            resolver(Some(bounded(terms())), shared),
            false,
            [401, 401],
        ),
    ] {
        let layer = || builder(resolver.clone()).build().unwrap();
        let built = guarded(admin()).behind(layer());
        let codes = built.map_or_else(|error| mistakes(&error), |_| Vec::new());
        assert_eq!(codes, if builds { vec![] } else { vec![("unqualified_rule", "role")] }, "{name}");
        // Where the rule is not known before.
        let rule = RequireLayer::new(admin()).unwrap();
        let router = Router::new().route("/{account}", plain(async || "in").layer(rule)).layer(layer());
        let unqualified = Served::start(router).await;
        let named = serve(qualified(), layer()).await;
        for (issuer, status) in [&two.ours, &two.partner].into_iter().zip(statuses) {
            let token = alice(issuer).sign();
            assert_eq!(unqualified.get("/alice", &token).await.status, status, "{name}, {}", issuer.issuer());
            let expected = match (status, issuer.issuer() == ours) {
                (401, _) => 401,
                (_, true) => 200,
                (_, false) => 403,
            };
            assert_eq!(named.get("/alice", &token).await.status, expected, "{name}, {}", issuer.issuer());
        }
    }
    // Two that are named are two; a tenant that is held against its issuer is vouched for.
    let both = || Requirement::new().any_issuer([ours, theirs]).role("admin");
    assert!(guarded(both()).behind(builder(tenants(bounded)).build().unwrap()).is_err());
    let held: fn(TrustedIssuer) -> TrustedIssuer = |issuer| {
        let issuer = issuer.claim_mapping(mapping().require_tenant_in_issuer());
        issuer.own_namespace().may_grant(Grants::all())
    };
    let service = serve(Requirement::new().tenant("ours"), builder(tenants(held)).build().unwrap()).await;
    for (issuer, tenant, status) in
        [(&two.ours, "ours", 200), (&two.partner, "ours", 401), (&two.partner, "partner", 403)]
    {
        let token = alice(issuer).claim("tenant", tenant).sign();
        assert_eq!(service.get("/alice", &token).await.status, status, "{tenant} of {}", issuer.issuer());
    }
}

#[tokio::test]
async fn the_rows_of_a_table_are_held_against_the_layer_at_each_reload() {
    let two = Two::new().await;
    let row = |demand: &str| format!("[[route]]\nmethods = [\"GET\"]\npath = \"/{{account}}\"\n{demand}");
    let issuer = format!("issuer = \"{}\"\nrole = \"admin\"", two.ours.issuer());
    let bad = RouteTable::from_toml(&row("role = \"admin\"")).unwrap();
    let error = two.layer(|issuer| issuer).route_table(&bad).build().unwrap_err();
    assert_eq!(mistakes(&error), [("unqualified_rule", "role")]);

    let table = RouteTable::from_toml(&row(&issuer)).unwrap();
    let layer = two.layer(|issuer| issuer).route_table(&table).build().unwrap();
    let router = Router::new().route("/{account}", plain(async || "in"));
    let service = Served::start(router.layer(RouteTableLayer::new(&table)).layer(layer.clone())).await;
    for demand in ["role = \"admin\"", "subject_matches_path = \"account\"", "client = \"portal\""] {
        let ConfigError::RouteTableNotReplaced { source: error } =
            table.replace(RouteTable::builder().toml(&row(demand))).unwrap_err()
        else {
            panic!("{demand}")
        };
        assert!(mistakes(&error).iter().all(|(code, _)| *code == "unqualified_rule"), "{demand}: {error}");
        assert_eq!(service.get("/alice", &alice(&two.ours).sign()).await.status, 200, "{demand}");
        assert_eq!(service.get("/alice", &alice(&two.partner).sign()).await.status, 403, "{demand}");
    }
    assert!(table.replace(RouteTable::builder().toml(&row("delegated = true"))).is_ok());
}

/// What one demand allows and another does not is allowed by no rule.
#[tokio::test]
async fn issuers_that_exclude_each_other_do_not_build() {
    let two = Two::new().await;
    let (ours, theirs) = (two.ours.issuer(), two.partner.issuer());
    let new = || Requirement::named("rule");
    for (requirement, is_met) in [
        (new().issuer(ours).all_of([new().issuer(theirs).scope("a")]), false),
        (new().all_of([new().issuer(ours), new().issuer(theirs)]), false),
        (new().issuer(ours).any_of([new().issuer(theirs).scope("a")]), false),
        (new().issuer(ours).any_of([new().issuer(theirs), new().issuer(ours).scope("a")]), true),
        (new().issuer(ours).all_of([new().any_issuer([theirs, ours]).scope("a")]), true),
    ] {
        let built = guarded(requirement.clone()).behind(two.layer(|issuer| issuer).build().unwrap());
        let found = built.as_ref().map_or_else(mistakes, |_| Vec::new());
        let expected = if is_met { vec![] } else { vec![("unsatisfiable_rule", "issuer")] };
        assert_eq!(found, expected, "{requirement}");
    }
}
