//! Every key of the declaration, once: its method, its row of a table, its argument of
//! the attribute, its row in the documentation, and a request that it refuses.

use std::time::Duration;

use axum::{Router, routing::get};
use integration_tests::{Answer, AuditLog};
use reqwest::header::AUTHORIZATION;
use serde_json::json;
use tower_delegation::{
    ClientIdentity, DenialReason as R, Dpop, RequireLayer, Requirement, RouteTable, SubjectKind,
    application::{Application, Applications},
    clock::{Clock as _, Timestamp},
    context::{
        ApplicationKind::{Agent, Application as App, Service},
        RiskRequest, RiskSignal,
    },
    requirement::{AuthorizationDetail, TimeWindow},
    requires,
    routing::{self, GuardedRouter},
};
use tower_delegation_demands::Key;
use tower_delegation_testing::{DpopKey, USER_CLAIM};

use crate::{Change, Judging, World};

/// Names the provider in tables and attributes, where its address is not known.
const IDP: &str = "https://idp.example.com";
const ORIGIN: &str = "https://api.example.com";

/// How a token is sent.
#[derive(Clone, Copy)]
enum Sent {
    Plainly,
    /// Bound to the certificate of the connection.
    ByMutualTls,
    /// Bound to the key of a proof.
    WithProof,
    /// By a user who has just authenticated.
    SignedInNow,
    /// Some minutes after it was issued.
    Late,
    /// Eight hours after noon.
    AtNight,
    /// By another issuer, none of whose applications is registered, to a service that asks
    /// no registry.
    ByPartner,
    /// Not at all: for the modes, which let through what they deny.
    Never,
}

use Sent::{AtNight, ByMutualTls, ByPartner, Late, Never, Plainly, SignedInNow, WithProof};

/// One key. `attribute` is how an attributed handler prints.
struct Row {
    key: Key,
    toml: &'static str,
    build: fn(Requirement, &str) -> Requirement,
    attribute: Option<String>,
    refused: (Sent, Change, R),
    accepted: (Sent, Change),
}

/// The requirement of a handler with these arguments, in one line.
macro_rules! attributed {
    () => {
        None
    };
    ($($argument:tt)+) => {{
        #[requires(name = "row", $($argument)+)]
        async fn handler() {}
        let router = GuardedRouter::<()>::new().route("/", routing::get(handler));
        router.inventory().routes().first().map(|route| route.rule().to_string())
    }};
}

macro_rules! rows {
    ($($key:ident $toml:literal [$($attribute:tt)*] $build:expr,
        no $refused:expr, $no:expr, $reason:ident; yes $accepted:expr, $yes:expr;)*) => {
        vec![$(Row {
            key: Key::$key,
            toml: $toml,
            build: $build,
            attribute: attributed!($($attribute)*),
            refused: ($refused, $no, R::$reason),
            accepted: ($accepted, $yes),
        },)*]
    };
}

const LIVES: u64 = 3600;

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let same: Change = |t| t;
    let agent: Change = |t| t.actor("copilot");
    let bot: Change = |t| t.actor("bot");
    let job: Change = |t| t.subject("nightly").client("nightly");
    let globex: Change = |t| t.claim("tenant", "globex");
    let gold: Change = |t| t.claim("plan", "gold");
    let staff: Change = |t| t.claim("roles", json!(["staff"])).claim("groups", json!(["staff"])).claim("permissions", json!(["staff"]));
    rows! {
        Issuer r#"issuer = "https://idp.example.com""# [issuer = "https://idp.example.com"] |r, idp| r.issuer(idp), no ByPartner, same, IssuerNotAllowed; yes Plainly, same;
        AnyIssuer r#"any_issuer = ["https://idp.example.com", "https://x"]"# [any_issuer("https://idp.example.com", "https://x")] |r, idp| r.any_issuer([idp, "https://x"]), no ByPartner, same, IssuerNotAllowed; yes Plainly, same;
        Tenant r#"tenant = "acme""# [tenant = "acme"] |r, _| r.tenant("acme"), no Plainly, globex, TenantMismatch; yes Plainly, same;
        AnyTenant r#"any_tenant = ["acme", "x"]"# [any_tenant("acme", "x")] |r, _| r.any_tenant(["acme", "x"]), no Plainly, globex, TenantMismatch; yes Plainly, same;
        Audience r#"audience = "b""# [audience = "b"] |r, _| r.audience("b"), no Plainly, same, AudienceNotAllowed; yes Plainly, |t| t.audiences([integration_tests::AUDIENCE, "b"]);
        AnyAudience r#"any_audience = ["b", "c"]"# [any_audience("b", "c")] |r, _| r.any_audience(["b", "c"]), no Plainly, same, AudienceNotAllowed; yes Plainly, |t| t.audiences([integration_tests::AUDIENCE, "c"]);
        AudiencesWithin r#"audiences_within = ["https://orders.example.com"]"# [audiences_within("https://orders.example.com")] |r, _| r.audiences_within(["https://orders.example.com"]), no Plainly, |t| t.audiences([integration_tests::AUDIENCE, "b"]), AudienceTooBroad; yes Plainly, same;
        ScopesWithin r#"scopes_within = ["orders:read"]"# [scopes_within("orders:read")] |r, _| r.scopes_within(["orders:read"]), no Plainly, |t| t.scopes(["orders:read", "x"]), ScopeTooBroad; yes Plainly, same;
        MaxTokenLifetime "max_token_lifetime = 3600" [max_token_lifetime = 3600] |r, _| r.max_token_lifetime(Duration::from_secs(LIVES)), no Plainly, |t| t.expires_in(Duration::from_secs(LIVES + 1)), TokenLifetimeNotAllowed; yes Plainly, same;
        MaxTokenAge "max_token_age = 60" [max_token_age = 60] |r, _| r.max_token_age(Duration::from_secs(60)), no Late, same, TokenAgeNotAllowed; yes Plainly, same;
        SenderConstrained "sender_constrained = true" [sender_constrained] |r, _| r.sender_constrained(), no Plainly, same, SenderConstraintMissing; yes ByMutualTls, same;
        MutualTls "mutual_tls = true" [mutual_tls] |r, _| r.mutual_tls(), no WithProof, same, SenderConstraintNotAllowed; yes ByMutualTls, same;
        Dpop "dpop = true" [dpop] |r, _| r.dpop(), no ByMutualTls, same, SenderConstraintNotAllowed; yes WithProof, same;
        Workload r#"workload = "spiffe://example.org/*/web""# [workload = "spiffe://example.org/*/web"] |r, _| r.workload("spiffe://example.org/*/web"), no Plainly, same, WorkloadNotAllowed; yes ByMutualTls, same;
        AnyWorkload r#"any_workload = ["spiffe://x/y", "spiffe://example.org/*/web"]"# [any_workload("spiffe://x/y", "spiffe://example.org/*/web")] |r, _| r.any_workload(["spiffe://x/y", "spiffe://example.org/*/web"]), no Plainly, same, WorkloadNotAllowed; yes ByMutualTls, same;
        SubjectKind r#"subject_kind = "user""# [subject_kind = user] |r, _| r.subject_kind(SubjectKind::User), no Plainly, job, SubjectKindNotAllowed; yes Plainly, same;
        AnySubjectKind r#"any_subject_kind = ["user", "service"]"# [any_subject_kind(user, service)] |r, _| r.any_subject_kind([SubjectKind::User, SubjectKind::Service]), no ByPartner, |t| t.without(USER_CLAIM), SubjectKindNotAllowed; yes Plainly, job;
        OnBehalfOfUser "on_behalf_of_user = true" [on_behalf_of_user] |r, _| r.on_behalf_of_user(), no Plainly, job, NotOnBehalfOfUser; yes Plainly, same;
        NotOnBehalfOfUser "not_on_behalf_of_user = true" [not_on_behalf_of_user] |r, _| r.not_on_behalf_of_user(), no Plainly, same, OnBehalfOfUserForbidden; yes Plainly, job;
        Delegated "delegated = true" [delegated] |r, _| r.delegated(), no Plainly, same, DelegationRequired; yes Plainly, agent;
        NotDelegated "not_delegated = true" [not_delegated] |r, _| r.not_delegated(), no Plainly, agent, DelegationForbidden; yes Plainly, same;
        MaxActors "max_actors = 1" [max_actors = 1] |r, _| r.max_actors(1), no Plainly, |t| t.actor("copilot").earlier_actor("bot"), ActorChainNotAllowed; yes Plainly, agent;
        DenyActor r#"deny_actor = "bot""# [deny_actor = "bot"] |r, _| r.deny_actor("bot"), no Plainly, bot, ActorDenied; yes Plainly, agent;
        Actor r#"actor = "copilot""# [actor = "copilot"] |r, _| r.actor("copilot"), no Plainly, bot, ActorNotAllowed; yes Plainly, agent;
        AnyActor r#"any_actor = ["copilot", "x"]"# [any_actor("copilot", "x")] |r, _| r.any_actor(["copilot", "x"]), no Plainly, bot, ActorNotAllowed; yes Plainly, agent;
        ActorOf r#"actor_of = { "https://idp.example.com" = "copilot" }"# [actor_of("https://idp.example.com", "copilot")] |r, idp| r.actor_of(idp, "copilot"), no Plainly, bot, ActorNotAllowed; yes Plainly, agent;
        AnyActorOf r#"any_actor_of = [["https://idp.example.com", "copilot"], ["https://x", "bot"]]"# [any_actor_of(("https://idp.example.com", "copilot"), ("https://x", "bot"))] |r, idp| r.any_actor_of([(idp, "copilot"), ("https://x", "bot")]), no Plainly, bot, ActorNotAllowed; yes Plainly, agent;
        DenyClient r#"deny_client = "nightly""# [deny_client = "nightly"] |r, _| r.deny_client("nightly"), no Plainly, job, ClientDenied; yes Plainly, same;
        Client r#"client = "shop-web""# [client = "shop-web"] |r, _| r.client("shop-web"), no Plainly, job, ClientNotAllowed; yes Plainly, same;
        AnyClient r#"any_client = ["shop-web", "x"]"# [any_client("shop-web", "x")] |r, _| r.any_client(["shop-web", "x"]), no Plainly, job, ClientNotAllowed; yes Plainly, same;
        Application r#"application = "Shop""# [application = "Shop"] |r, _| r.application("Shop"), no Plainly, job, ApplicationNotAllowed; yes Plainly, same;
        AnyApplication r#"any_application = ["Shop", "x"]"# [any_application("Shop", "x")] |r, _| r.any_application(["Shop", "x"]), no Plainly, job, ApplicationNotAllowed; yes Plainly, same;
        ApplicationKind r#"application_kind = "application""# [application_kind = application] |r, _| r.application_kind(App), no Plainly, job, ApplicationNotAllowed; yes Plainly, same;
        AnyApplicationKind r#"any_application_kind = ["application", "agent"]"# [any_application_kind(application, agent)] |r, _| r.any_application_kind([App, Agent]), no Plainly, job, ApplicationNotAllowed; yes Plainly, same;
        ApplicationTenant r#"application_tenant = "acme""# [application_tenant = "acme"] |r, _| r.application_tenant("acme"), no Plainly, job, ApplicationNotAllowed; yes Plainly, same;
        AnyApplicationTenant r#"any_application_tenant = ["acme", "x"]"# [any_application_tenant("acme", "x")] |r, _| r.any_application_tenant(["acme", "x"]), no Plainly, job, ApplicationNotAllowed; yes Plainly, same;
        ApplicationEnvironment r#"application_environment = "canary""# [application_environment = "canary"] |r, _| r.application_environment("canary"), no Plainly, job, ApplicationNotAllowed; yes Plainly, same;
        AnyApplicationEnvironment r#"any_application_environment = ["canary", "x"]"# [any_application_environment("canary", "x")] |r, _| r.any_application_environment(["canary", "x"]), no Plainly, job, ApplicationNotAllowed; yes Plainly, same;
        Presenter r#"presenter = "Copilot""# [presenter = "Copilot"] |r, _| r.presenter("Copilot"), no Plainly, same, PresenterNotAllowed; yes Plainly, agent;
        AnyPresenter r#"any_presenter = ["Copilot", "x"]"# [any_presenter("Copilot", "x")] |r, _| r.any_presenter(["Copilot", "x"]), no Plainly, same, PresenterNotAllowed; yes Plainly, agent;
        PresenterKind r#"presenter_kind = "agent""# [presenter_kind = agent] |r, _| r.presenter_kind(Agent), no Plainly, same, PresenterNotAllowed; yes Plainly, agent;
        AnyPresenterKind r#"any_presenter_kind = ["agent", "service"]"# [any_presenter_kind(agent, service)] |r, _| r.any_presenter_kind([Agent, Service]), no Plainly, same, PresenterNotAllowed; yes Plainly, agent;
        PresenterTenant r#"presenter_tenant = "acme""# [presenter_tenant = "acme"] |r, _| r.presenter_tenant("acme"), no Plainly, agent, PresenterNotAllowed; yes Plainly, same;
        AnyPresenterTenant r#"any_presenter_tenant = ["acme", "x"]"# [any_presenter_tenant("acme", "x")] |r, _| r.any_presenter_tenant(["acme", "x"]), no Plainly, agent, PresenterNotAllowed; yes Plainly, same;
        PresenterEnvironment r#"presenter_environment = "canary""# [presenter_environment = "canary"] |r, _| r.presenter_environment("canary"), no Plainly, agent, PresenterNotAllowed; yes Plainly, same;
        AnyPresenterEnvironment r#"any_presenter_environment = ["canary", "x"]"# [any_presenter_environment("canary", "x")] |r, _| r.any_presenter_environment(["canary", "x"]), no Plainly, agent, PresenterNotAllowed; yes Plainly, same;
        ActorKind r#"actor_kind = "agent""# [actor_kind = agent] |r, _| r.actor_kind(Agent), no Plainly, same, DelegationRequired; yes Plainly, agent;
        AnyActorKind r#"any_actor_kind = ["agent", "service"]"# [any_actor_kind(agent, service)] |r, _| r.any_actor_kind([Agent, Service]), no Plainly, same, DelegationRequired; yes Plainly, agent;
        TimeWindow r#"time_window = { start = "08:00", end = "18:00" }"# [] |r, _| r.time_window(TimeWindow::daily((8, 0), (18, 0))), no AtNight, same, OutsideTimeWindow; yes Plainly, same;
        AnyTimeWindow r#"any_time_window = [{ start = "08:00", end = "18:00" }, { start = "01:00", end = "02:00" }]"# [] |r, _| r.any_time_window([TimeWindow::daily((8, 0), (18, 0)), TimeWindow::daily((1, 0), (2, 0))]), no AtNight, same, OutsideTimeWindow; yes Plainly, same;
        RiskBelow "risk_below = { device = 70 }" [risk_below("device", 70)] |r, _| r.risk_below("device", 70), no Plainly, |t| t.user("mallory"), RiskTooHigh; yes Plainly, same;
        ClaimEquals r#"claim_equals = { plan = "gold" }"# [claim_equals("plan", "gold")] |r, _| r.claim_equals("plan", "gold"), no Plainly, same, ClaimNotAllowed; yes Plainly, gold;
        ClaimOneOf r#"claim_one_of = { plan = ["gold", "x"] }"# [claim_one_of("plan", any("gold", "x"))] |r, _| r.claim_one_of("plan", ["gold", "x"]), no Plainly, same, ClaimNotAllowed; yes Plainly, gold;
        ClaimMatchesPath r#"claim_matches_path = { plan = "account" }"# [claim_matches_path("plan", "account")] |r, _| r.claim_matches_path("plan", "account"), no Plainly, gold, PathParameterMismatch; yes Plainly, |t| t.claim("plan", "alice");
        ClaimMatchesHeader r#"claim_matches_header = { plan = "x-plan" }"# [claim_matches_header("plan", "x-plan")] |r, _| r.claim_matches_header("plan", "x-plan"), no Plainly, same, HeaderMismatch; yes Plainly, gold;
        TenantMatchesPath r#"tenant_matches_path = "tenant""# [tenant_matches_path = "tenant"] |r, _| r.tenant_matches_path("tenant"), no Plainly, globex, PathParameterMismatch; yes Plainly, same;
        TenantMatchesHeader r#"tenant_matches_header = "x-tenant""# [tenant_matches_header = "x-tenant"] |r, _| r.tenant_matches_header("x-tenant"), no Plainly, globex, HeaderMismatch; yes Plainly, same;
        SubjectMatchesPath r#"subject_matches_path = "account""# [subject_matches_path = "account"] |r, _| r.subject_matches_path("account"), no Plainly, |t| t.user("bob"), PathParameterMismatch; yes Plainly, same;
        Purpose r#"purpose = { plan = "gold" }"# [purpose("plan", "gold")] |r, _| r.purpose("plan", "gold"), no Plainly, same, PurposeNotAllowed; yes Plainly, gold;
        AnyPurpose r#"any_purpose = { plan = ["gold", "x"] }"# [any_purpose("plan", any("gold", "x"))] |r, _| r.any_purpose("plan", ["gold", "x"]), no Plainly, same, PurposeNotAllowed; yes Plainly, gold;
        Role r#"role = "staff""# [role = "staff"] |r, _| r.role("staff"), no Plainly, same, RoleMissing; yes Plainly, staff;
        AnyRole r#"any_role = ["staff", "x"]"# [any_role("staff", "x")] |r, _| r.any_role(["staff", "x"]), no Plainly, same, RoleMissing; yes Plainly, staff;
        Permission r#"permission = "staff""# [permission = "staff"] |r, _| r.permission("staff"), no Plainly, same, PermissionMissing; yes Plainly, staff;
        AnyPermission r#"any_permission = ["staff", "x"]"# [any_permission("staff", "x")] |r, _| r.any_permission(["staff", "x"]), no Plainly, same, PermissionMissing; yes Plainly, staff;
        Group r#"group = "staff""# [group = "staff"] |r, _| r.group("staff"), no Plainly, same, GroupsUnknown; yes Plainly, staff;
        AnyGroup r#"any_group = ["staff", "x"]"# [any_group("staff", "x")] |r, _| r.any_group(["staff", "x"]), no Plainly, same, GroupsUnknown; yes Plainly, staff;
        AuthorizationDetail r#"authorization_detail = { type = "pay" }"# [] |r, _| r.authorization_detail(AuthorizationDetail::of_type("pay")), no Plainly, same, AuthorizationDetailMissing; yes Plainly, |t| t.claim("authorization_details", json!([{ "type": "pay" }]));
        AllOf r#"all_of = { client = "shop-web" }"# [] |r, _| r.all_of([Requirement::new().client("shop-web")]), no Plainly, job, ClientNotAllowed; yes Plainly, same;
        AnyOf r#"any_of = [{ client = "shop-web" }, { client = "x" }]"# [] |r, _| r.any_of(["shop-web", "x"].map(|id| Requirement::new().client(id))), no Plainly, job, ClientNotAllowed; yes Plainly, same;
        Not r#"not = { client = "nightly" }"# [] |r, _| r.not(Requirement::new().client("nightly")), no Plainly, job, Excluded; yes Plainly, same;
        Acr r#"acr = "mfa""# [acr = "mfa"] |r, _| r.acr("mfa"), no Plainly, same, AuthenticationTooWeak; yes Plainly, |t| t.acr("mfa");
        AnyAcr r#"any_acr = ["mfa", "x"]"# [any_acr("mfa", "x")] |r, _| r.any_acr(["mfa", "x"]), no Plainly, same, AuthenticationTooWeak; yes Plainly, |t| t.acr("mfa");
        MaxAuthenticationAge "max_authentication_age = 60" [max_authentication_age = 60] |r, _| r.max_authentication_age(Duration::from_secs(60)), no Plainly, same, AuthenticationTooOld; yes SignedInNow, same;
        Scope r#"scope = "orders:read""# [scope = "orders:read"] |r, _| r.scope("orders:read"), no Plainly, |t| t.without("scope"), ScopeMissing; yes Plainly, same;
        AnyScope r#"any_scope = ["orders:read", "x"]"# [any_scope("orders:read", "x")] |r, _| r.any_scope(["orders:read", "x"]), no Plainly, |t| t.without("scope"), ScopeMissing; yes Plainly, same;
        Shadow "scope = \"x\"\nshadow = true" [scope = "x", shadow] |r, _| r.scope("x").shadow(), no Never, same, CredentialsMissing; yes Plainly, same;
        Exception "scope = \"x\"\nexception = { reason = \"why\", until = 2100-01-01T00:00:00Z }" [] |r, _| r.scope("x").exception("why", Timestamp::from_unix_seconds(4_102_444_800)), no Never, same, CredentialsMissing; yes Plainly, same;
    }
}

#[test]
fn each_key_has_its_row_and_is_written_alike_everywhere() {
    let rows = rows();
    let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
    assert_eq!(keys, Key::ALL);
    let documentation = include_str!("../../../docs/routes.md");
    let first_cells = documentation.lines().filter(|line| line.starts_with("| `"));
    let first_cells: Vec<&str> = first_cells.filter_map(|line| line.split(" | ").next()).collect();
    for row in rows {
        let name = row.key.name();
        let built = (row.build)(Requirement::named("row"), IDP).checked().unwrap().to_string();
        assert!(built.contains(row.key.plain().name()), "{built}");
        let table = format!("[[route]]\nmethods = [\"GET\"]\npath = \"/\"\nname = \"row\"\n{}\n", row.toml);
        let table = RouteTable::from_toml(&table).unwrap().inventory();
        let said: Vec<String> = table.routes().iter().map(|route| route.rule().to_string()).collect();
        assert_eq!(said, [built.as_str()], "{name}");
        assert_eq!(row.attribute, row.key.is_literal().then_some(built), "{name}");
        let quoted = format!("`{name}`");
        assert_eq!(first_cells.iter().filter(|cell| cell.contains(&quoted)).count(), 1, "{name}");
    }
}

#[derive(Debug)]
struct Device;

impl RiskSignal for Device {
    fn assess(&self, request: &RiskRequest<'_>) -> Option<u8> {
        Some(if *request.delegation.subject().id() == "mallory" { 90 } else { 10 })
    }
}

fn registry(issuer: &str) -> Applications {
    let entry = |name: &str, kind| {
        Application::builder(name, kind)
            .issuer(issuer)
            .allow_any_workload()
            .add_scopes(["orders:read"])
            .add_environment("live")
    };
    let shop = entry("Shop", App)
        .add_client_id("shop-web")
        .acts_for_users()
        .add_tenant("acme")
        .add_tenant("globex")
        .add_environment("canary");
    let copilot = entry("Copilot", Agent).add_actor_id("copilot").acts_for_users();
    let bot = entry("Bot", Agent).add_actor_id("bot").acts_for_users();
    let nightly = entry("Nightly", Service).add_client_id("nightly").acts_for_services();
    let all = [shop, copilot, bot, nightly].into_iter();
    all.fold(Applications::builder().environment("live"), |all, one| all.add_application(one))
        .build()
        .unwrap()
}

#[tokio::test]
async fn each_key_refuses_and_lets_in() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let rows = rows();
    let router = rows.iter().fold(Router::new(), |router, row| {
        let guard = RequireLayer::new((row.build)(Requirement::new(), world.idp.issuer())).unwrap();
        let path = format!("/{}/{{tenant}}/{{account}}", row.key.name());
        router.route(&path, get(async || "in").route_layer(guard))
    });
    let partner = world.idp.issuer_at("/partner");
    let of_both = world.layer().add_issuer(world.issuer_at(partner.issuer())).build().unwrap();
    let of_both = world.serve_tls(router.clone().layer(of_both)).await;
    let layer = world
        .layer()
        .client_identity(ClientIdentity::from_tls())
        .dpop(Dpop::at(ORIGIN))
        .applications(registry(world.idp.issuer()))
        .add_risk_signal("device", Device);
    let site = world.serve_tls(router.layer(layer.build().unwrap())).await;
    let identity = world.workload("/shop/web");
    let key = DpopKey::generate().clock(world.clock.clone());
    let mut wrong = Vec::new();
    for row in rows {
        if row.key == Key::TimeWindow {
            // Certificates are of this hour: to noon only when they have been shown.
            let since_midnight = u64::try_from(world.clock.now().unix_seconds().rem_euclid(86_400)).unwrap();
            world.clock.advance(Duration::from_secs(86_400 + 12 * 3600 - since_midnight));
        }
        let path = format!("/{}/acme/alice", row.key.name());
        let (refused, no, reason) = row.refused;
        let (accepted, yes) = row.accepted;
        for (sent, change, expected) in [(refused, no, Some(reason)), (accepted, yes, None)] {
            let member = match sent {
                ByPartner => partner.token().user("alice").client("shop-web"),
                _ => world.member(),
            };
            let token = change(member);
            let token = match sent {
                ByMutualTls => token.bound_to_certificate(identity.certificate_der()),
                WithProof => token.bound_to_key(&key),
                SignedInNow => token.auth_time(world.clock.now()),
                AtNight => token.expires_in(Duration::from_secs(86_400)),
                Plainly | Late | ByPartner | Never => token,
            };
            let token = token.sign();
            let later = match sent {
                Late => 120,
                AtNight => 8 * 3600,
                _ => 0,
            };
            world.clock.advance(Duration::from_secs(later));
            let client = world.client(matches!(sent, ByMutualTls).then_some(&identity));
            let site = if matches!(sent, ByPartner) { &of_both } else { &site };
            let request = client
                .get(format!("{}{path}", site.base))
                .header("x-tenant", "acme")
                .header("x-plan", "gold");
            let request = match sent {
                Never => request,
                WithProof => {
                    let proof = key.proof("GET", format!("{ORIGIN}{path}")).for_token(&token).sign();
                    request.header("DPoP", proof).header(AUTHORIZATION, format!("DPoP {token}"))
                }
                _ => request.bearer_auth(token),
            };
            let answer = Answer::of(request).await;
            let reason = audit.one().field("reason").to_owned();
            if (reason.as_str(), answer.status == 200) != (expected.map_or("", R::code), expected.is_none()) {
                wrong.push(format!("{path}: {} {reason:?} instead of {expected:?}", answer.status));
            }
            if matches!(sent, AtNight) {
                world.clock.advance(Duration::from_secs(16 * 3600));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}
