//! The same four rules where the provider of a partner is trusted too.

use axum::{Router, routing::MethodRouter};
use integration_tests::{AUDIENCE, AuditLog, Served, World};
use reqwest::Method;
use serde_json::json;
use tower_delegation::{
    ConfigError, DelegationLayer, DenialReason as R, RequireLayer, Requirement, Requires, TrustedIssuer,
    issuer::{ClaimMapping, Grants},
    layer::DelegationLayerBuilder,
    requires,
    routing::{self, GuardedRouter, guard},
};
use tower_delegation_testing::{MockIdp, TokenBuilder, USER_CLAIM};

use super::{
    Answer, BookAppointment, OwnAccount, account, book, file_ticket, get, logs, page_registry, post,
};

const PAGE: &str = include_str!("../../../../docs/scenarios.md");

/// As on the page.
const OURS: &str = "https://idp.example.com";
const PARTNER: &str = "https://idp.partner.example";

#[requires(
    issuer = "https://idp.example.com",
    on_behalf_of_user,
    role = "employee",
    actor = "copilot",
    max_actors = 1,
    scope = "tickets:create",
    scopes_within("tickets:create")
)]
async fn file_our_ticket() -> &'static str {
    "filed"
}

#[requires(
    issuer = PARTNER,
    on_behalf_of_user,
    role = "employee",
    actor = "copilot",
    max_actors = 1,
    scope = "tickets:create",
    scopes_within("tickets:create")
)]
async fn file_partners_ticket() -> &'static str {
    "filed"
}

/// Two providers, each with keys of its own, that say the same.
struct Two {
    world: World,
    partner: MockIdp,
}

impl Two {
    async fn new() -> Self {
        let world = World::new().await;
        let partner = MockIdp::builder().clock(world.clock.clone()).audience(AUDIENCE).start().await;
        Self { world, partner }
    }

    fn layer(&self, change: fn(TrustedIssuer) -> TrustedIssuer) -> DelegationLayerBuilder {
        let layer = DelegationLayer::builder().clock(self.world.clock.clone());
        let trust = |issuer, idp: &MockIdp| {
            let mapping = ClaimMapping::rfc9068().add_permissions("permissions").add_user_claim(USER_CLAIM);
            let trusted = TrustedIssuer::with_static_keys(issuer, &idp.jwks().to_string()).unwrap();
            change(trusted.add_audience(AUDIENCE).claim_mapping(mapping).may_grant(Grants::all()))
        };
        layer.add_issuer(trust(OURS, &self.world.idp)).add_issuer(trust(PARTNER, &self.partner))
    }

    fn token(&self, issuer: &str) -> TokenBuilder {
        let idp = if issuer == OURS { &self.world.idp } else { &self.partner };
        idp.token().issuer(issuer).user("alice").client("shop-web")
    }
}

/// One of the page's rules, and what it is for.
struct Scenario {
    /// Its row in the page's table.
    name: &'static str,
    method: Method,
    path: &'static str,
    as_written: GuardedRouter,
    /// On a plain router, where it is not known before the first request.
    plain: Router,
    /// With the issuer that the page adds, and with the partner in its place.
    ours: GuardedRouter,
    partners: GuardedRouter,
    agent: Option<&'static str>,
    token: fn(TokenBuilder) -> TokenBuilder,
}

impl Scenario {
    /// A rule of builder lines, at this template.
    fn of(template: &str, rule: &Requirement, as_written: GuardedRouter) -> Self {
        let methods = || MethodRouter::new().get(async || "in").post(async || "in");
        let of = |issuer| GuardedRouter::new().route(template, guard(rule.clone().issuer(issuer), methods()));
        let layer = RequireLayer::new(rule.clone()).unwrap();
        Self {
            name: "",
            method: Method::POST,
            path: "",
            as_written,
            plain: Router::new().route(template, methods().layer(layer)),
            ours: of(OURS),
            partners: of(PARTNER),
            agent: None,
            token: |token| token,
        }
    }

    fn all() -> Vec<Self> {
        let router = GuardedRouter::new;
        let clearance = logs(&["clearance:internal", "clearance:restricted"]);
        let own = router().route("/accounts/{account}", routing::get(account));
        let tickets = router().route("/tickets", routing::post(file_ticket));
        let bookings = router().route("/patients/{patient}/appointments", routing::post(book));
        let internal = router().route("/logs/internal", guard(clearance.clone(), get(async || "internal")));
        vec![
            Self {
                name: "OwnAccount",
                method: Method::GET,
                path: "/accounts/alice",
                token: |token| token.client("support-portal").scopes(["accounts:read"]),
                ..Self::of("/accounts/{account}", &OwnAccount::requirement(), own)
            },
            Self {
                name: "file_ticket",
                method: Method::POST,
                path: "/tickets",
                as_written: tickets,
                plain: Router::new().route("/tickets", post(file_ticket)),
                ours: router().route("/tickets", routing::post(file_our_ticket)),
                partners: router().route("/tickets", routing::post(file_partners_ticket)),
                agent: Some("copilot"),
                token: |token| token.claim("roles", json!(["employee"])).scopes(["tickets:create"]),
            },
            Self {
                name: "BookAppointment",
                path: "/patients/p-17/appointments",
                agent: Some("scheduler"),
                token: |token| {
                    let booking =
                        json!({ "type": "patient_record", "identifier": "p-17", "actions": ["schedule"] });
                    let token = token.claim("roles", json!(["clinician"])).claim("purpose", "treatment");
                    token.claim("authorization_details", json!([booking]))
                },
                ..Self::of("/patients/{patient}/appointments", &BookAppointment::requirement(), bookings)
            },
            Self {
                name: "logs",
                method: Method::GET,
                path: "/logs/internal",
                agent: Some("incident-automation"),
                token: |token| {
                    token.scopes(["logs:read"]).claim("permissions", json!(["clearance:internal"]))
                },
                ..Self::of("/logs/internal", &clearance, internal)
            },
        ]
    }

    /// The demands that the page says are someone's, and what it adds to the rule.
    fn on_page(&self) -> (Vec<&'static str>, &'static str) {
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{}` |", self.name))).unwrap();
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, demands, fix] = cells.as_slice() else { panic!("{row}") };
        (demands.split(", ").map(|demand| demand.trim_matches('`')).collect(), fix.trim_matches('`'))
    }

    /// The token of this issuer's party, which names its agent.
    fn token(&self, two: &Two, issuer: &str, agents_issuer: Option<&str>) -> String {
        let token = (self.token)(two.token(issuer));
        let agent = self.agent.unwrap_or("portal");
        let act = match agents_issuer {
            Some(issuer) => json!({ "sub": agent, "iss": issuer }),
            None => json!({ "sub": agent }),
        };
        // The customer's own page has no agent, but for one that is claimed.
        let has_agent = self.agent.is_some() || agents_issuer.is_some();
        if has_agent { token.claim("act", act) } else { token }.sign()
    }

    async fn send(&self, service: &Served, token: &str) -> u16 {
        Answer::of(service.request(self.method.clone(), self.path).bearer_auth(token)).await.status
    }
}

/// The rules of these tests are those of the page, to the letter.
#[test]
fn the_rules_are_those_of_the_page() {
    let bare = |text: &str| {
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let code: String = code.collect();
        code.chars().filter(|char| !char.is_whitespace()).collect::<String>()
    };
    let (page, tests) = (bare(&PAGE.replace("https://", "https:")), bare(include_str!("../scenarios.rs")));
    for (begin, end) in [
        ("Requirement::named(\"OwnAccount\")", "}"),
        ("#[requires(", ")]"),
        ("letbooking=", ".authorization_detail(booking)}"),
        ("fnlogs(", "max_token_age(Duration::from_secs(900))}"),
    ] {
        let (_, rule) = page.split_once(begin).unwrap();
        let (rule, _) = rule.split_once(end).unwrap();
        assert!(rule.len() > 50 && tests.contains(&format!("{begin}{rule}{end}")), "{begin}{rule}{end}");
    }
    // And so is the attribute with its issuer.
    let (_, attribute) = page.split_once("#[requires(").unwrap();
    let (attribute, _) = attribute.split_once(")]").unwrap();
    let with_issuer = format!("#[requires(issuer=\"https:idp.example.com\",{attribute})]");
    assert!(bare(&include_str!("second_issuer.rs").replace("https://", "https:")).contains(&with_issuer));
}

#[tokio::test]
async fn a_rule_of_the_page_without_its_issuer_does_not_build() {
    let two = Two::new().await;
    let audit = AuditLog::listen();
    for scenario in Scenario::all() {
        let name = scenario.name;
        let layer = || two.layer(|issuer| issuer).build().unwrap();
        let (demands, fix) = scenario.on_page();
        let attribute = format!("issuer = \"{OURS}\"");
        assert!(
            [format!(".issuer(\"{OURS}\")"), attribute].iter().any(|known| known == fix),
            "{name}: {fix}"
        );
        let template = scenario.as_written.inventory().routes()[0].path().to_owned();
        let error = scenario.as_written.clone().behind(layer()).unwrap_err();
        let mut found = Vec::new();
        for mistake in error.mistakes() {
            let ConfigError::UnqualifiedRule { route, demand } = mistake else { panic!("{name}: {mistake}") };
            assert!(route.contains(&template), "{name}: {route}");
            assert!(mistake.to_string().contains("with `issuer`"), "{name}: {mistake}");
            found.push(*demand);
        }
        found.sort_unstable();
        let mut expected = demands;
        expected.sort_unstable();
        assert_eq!(found, expected, "{name}");
        // Where the rule is not known before, it is never an allow.
        let service = Served::start(scenario.plain.clone().layer(layer())).await;
        for issuer in [OURS, PARTNER] {
            assert_eq!(scenario.send(&service, &scenario.token(&two, issuer, None)).await, 500, "{name}");
            assert_eq!(audit.one().field("reason"), R::RequirementUnqualified.code(), "{name}");
        }
        // Two issuers of one house use one set of names.
        let house = two.layer(|issuer| issuer.namespace("corp")).build().unwrap();
        let service = Served::start(scenario.as_written.clone().behind(house).unwrap()).await;
        for issuer in [OURS, PARTNER] {
            assert_eq!(scenario.send(&service, &scenario.token(&two, issuer, None)).await, 200, "{name}");
        }
        drop(audit.take());
    }
}

#[tokio::test]
async fn a_rule_with_its_issuer_lets_in_that_issuers_parties() {
    let two = Two::new().await;
    let audit = AuditLog::listen();
    let not_allowed = Some(R::IssuerNotAllowed);
    for scenario in Scenario::all() {
        let layer = || two.layer(|issuer| issuer).build().unwrap();
        let ours = Served::start(scenario.ours.clone().behind(layer()).unwrap()).await;
        let partners = Served::start(scenario.partners.clone().behind(layer()).unwrap()).await;
        // Without a demand on the actor, whose agent it is matters to the audit trail alone.
        let claimed = scenario.agent.map(|_| R::ActorNotAllowed);
        for (name, service, issuer, agents_issuer, expected) in [
            ("the partner's party", &ours, PARTNER, None, not_allowed),
            ("the partner's party and agent, written out", &ours, PARTNER, Some(PARTNER), not_allowed),
            ("the partner's party, by our agent", &ours, PARTNER, Some(OURS), not_allowed),
            ("our party", &ours, OURS, None, None),
            ("our party and agent, written out", &ours, OURS, Some(OURS), None),
            ("our party, by the partner's agent", &ours, OURS, Some(PARTNER), claimed),
            ("our party, to the partner's door", &partners, OURS, None, not_allowed),
            ("our party by the partner's agent, to its door", &partners, OURS, Some(PARTNER), not_allowed),
            ("the partner's party by our agent, to its own door", &partners, PARTNER, Some(OURS), claimed),
            ("the partner's party, to its own door", &partners, PARTNER, None, None),
        ] {
            let name = format!("{}: {name}", scenario.name);
            let status = scenario.send(service, &scenario.token(&two, issuer, agents_issuer)).await;
            assert_eq!(status, if expected.is_none() { 200 } else { 403 }, "{name}");
            let event = audit.one();
            assert_eq!(event.field("reason"), expected.map_or("", R::code), "{name}");
            assert_eq!(event.field("issuer"), issuer, "{name}");
            // The agent is the token issuer's, whatever the token says of it.
            let other = agents_issuer.filter(|agents_issuer| *agents_issuer != issuer);
            assert_eq!(event.field("actor_claimed_issuer"), other.unwrap_or_default(), "{name}");
        }
    }
}

/// The entry on the page names its issuer already.
#[tokio::test]
async fn the_entry_of_our_copilot_is_not_the_partners() {
    let two = Two::new().await;
    let audit = AuditLog::listen();
    let listed = r#"roles = ["employee"]"#;
    let scenarios = Scenario::all();
    let tickets = scenarios.iter().find(|scenario| scenario.name == "file_ticket").unwrap();
    let layer =
        two.layer(|issuer| issuer).applications(page_registry(OURS, (listed, listed))).build().unwrap();
    let either = Requirement::named("either").any_issuer([OURS, PARTNER]).scope("tickets:create");
    let router = tickets.ours.clone().route("/either", guard(either, get(async || "in")));
    let service = Served::start(router.behind(layer).unwrap()).await;
    for (name, issuer, agents_issuer, expected) in [
        ("the partner's copilot", PARTNER, None, Some(R::ClientUnregistered)),
        ("our copilot, on the partner's word", PARTNER, Some(OURS), Some(R::ClientUnregistered)),
        ("our copilot", OURS, None, None),
        ("the partner's copilot, on our word", OURS, Some(PARTNER), Some(R::ActorUnregistered)),
    ] {
        let token = tickets.token(&two, issuer, agents_issuer);
        for status in [tickets.send(&service, &token).await, service.get("/either", &token).await.status] {
            assert_eq!(status, if expected.is_none() { 200 } else { 403 }, "{name}");
        }
        for event in audit.take() {
            assert_eq!(event.field("reason"), expected.map_or("", R::code), "{name}");
        }
    }
}
