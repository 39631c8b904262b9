//! The presenter rule: user and application and workload, in one decision.
//! Over real TLS sockets.
#![expect(clippy::unwrap_used, reason = "tests")]

mod ceilings;
mod delegated;
mod reload;
mod scopes;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use integration_tests::{AUDIENCE, AuditEvent, AuditLog, Served, Site, World};
use reqwest::Client;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tower_delegation::{
    Applications, ClientIdentity, DelegationContext, DelegationLayer, DenialReason as R, TrustedIssuer,
    application::{Application, ApplicationBuilder, ApplicationKind, ApplicationsBuilder},
    clock::{Clock as _, Timestamp},
    context::SubjectKind,
    credential::{CertificateTrust, PeerInfo},
    issuer::{ClaimCondition, ClaimMapping, Grants},
    layer::DelegationLayerBuilder,
    requires_scope,
};
use tower_delegation_rustls::{Pem, TlsConfig};
use tower_delegation_testing::{TestIdentity, TokenBuilder, USER_CLAIM};

/// What this binary asks of a [`World`].
trait Registering {
    /// An application of which a client and an actor are known by its name, and
    /// a workload too. It may read orders, for users.
    fn application(&self, name: &str) -> ApplicationBuilder;
    /// Serves with a registry, and with client certificates of this PKI.
    async fn serve_registry(&self, applications: Applications) -> Site;
    async fn serve_layer(&self, layer: DelegationLayerBuilder) -> Site;
    /// A token of this client, for a user who reads orders.
    fn token_of(&self, client: &str) -> TokenBuilder;
    /// A client with the certificate of this application's workload.
    fn client_of(&self, name: &str) -> Client;
    fn workload_of(&self, name: &str) -> TestIdentity;
}

impl Registering for World {
    fn application(&self, name: &str) -> ApplicationBuilder {
        Application::builder(name, ApplicationKind::Application)
            .issuer(self.idp.issuer())
            .add_client_id(name)
            .add_actor_id(name)
            .add_workload(&format!("spiffe://example.org/shop/{name}"))
            .add_scope("orders:read")
            .acts_for_users()
    }

    async fn serve_registry(&self, applications: Applications) -> Site {
        self.serve_layer(self.layer().applications(applications)).await
    }

    async fn serve_layer(&self, layer: DelegationLayerBuilder) -> Site {
        let layer = layer.client_identity(ClientIdentity::from_tls()).build().unwrap();
        self.serve_tls(router().layer(layer)).await
    }

    fn token_of(&self, client: &str) -> TokenBuilder {
        self.token().client(client)
    }

    fn client_of(&self, name: &str) -> Client {
        self.client(Some(&self.workload_of(name)))
    }

    fn workload_of(&self, name: &str) -> TestIdentity {
        self.workload(&format!("/shop/{name}"))
    }
}

/// What this binary asks of a [`Site`].
trait Expecting {
    /// Asks twice, so that the token is a stranger once and known once.
    async fn expect(&self, name: &str, client: &Client, token: &str, expected: Result<(), R>) -> AuditEvent;
}

impl Expecting for Site {
    async fn expect(&self, name: &str, client: &Client, token: &str, expected: Result<(), R>) -> AuditEvent {
        let audit = AuditLog::listen();
        let mut last = None;
        for round in ["first", "second"] {
            let answer = self.get(client, "/", token).await;
            let event = audit.one();
            match expected {
                Ok(()) => assert_eq!(answer.status, 200, "{name}, {round}: {}", event.field("reason")),
                Err(reason) => {
                    let is_bound = reason == R::ApplicationSenderConstraintMissing;
                    let status = if is_bound { (401, "invalid_token") } else { (403, "forbidden") };
                    assert_eq!(event.field("reason"), reason.code(), "{name}, {round}");
                    assert_eq!((answer.status, answer.code().as_str()), status, "{name}, {round}");
                    assert!(!answer.challenge().contains("insufficient_scope"), "{name}, {round}");
                    assert!(!answer.body.contains(reason.code()), "{name}: clients learn the kind only");
                }
            }
            last = Some(event);
        }
        last.unwrap()
    }
}

fn registry(entries: impl IntoIterator<Item = ApplicationBuilder>) -> Applications {
    entries.into_iter().fold(Applications::builder(), ApplicationsBuilder::add_application).build().unwrap()
}

fn router() -> Router {
    Router::new()
        .route("/", get(whoami))
        .route("/orders", get(orders))
        .route("/refund", get(refund))
        .route("/admin", get(admin))
        .route("/either", get(either))
}

/// Subject, client's application, presenter, effective scopes, the token's scopes.
async fn whoami(delegation: DelegationContext) -> String {
    let name = |application: Option<&Application>| application.map_or("-", Application::name).to_owned();
    let (application, presenter) = (name(delegation.application()), name(delegation.presenter()));
    let (scopes, token_scopes) = (delegation.scopes(), delegation.token_scopes());
    format!("{} {application} {presenter} [{scopes}] [{token_scopes}]", delegation.subject().id())
}

#[requires_scope("orders:read")]
async fn orders() -> &'static str {
    "orders"
}

#[requires_scope("orders:refund")]
async fn refund() -> &'static str {
    "refund"
}

#[requires_scope("admin")]
async fn admin() -> &'static str {
    "admin"
}

#[requires_scope(any("admin", "orders:refund"))]
async fn either() -> &'static str {
    "either"
}

#[tokio::test]
async fn the_right_application_from_its_own_workload_and_nothing_else() {
    let world = World::new().await;
    let site = world.serve_registry(registry([world.application("web"), world.application("office")])).await;
    let (web, office, stranger) =
        (world.client_of("web"), world.client_of("office"), world.client_of("stranger"));
    let token = |client| world.token_of(client).sign();
    for (name, client, token, expected) in [
        ("a user through the shop", &web, token("web"), Ok(())),
        ("a user through the back office", &office, token("office"), Ok(())),
        ("the right user, the wrong application", &web, token("office"), Err(R::WorkloadNotRegistered)),
        ("the right application, the wrong workload", &office, token("web"), Err(R::WorkloadNotRegistered)),
        ("a workload of nobody's", &stranger, token("web"), Err(R::WorkloadNotRegistered)),
        ("no workload", &world.client(None), token("web"), Err(R::WorkloadUnknown)),
        ("an application of nobody's", &stranger, token("stranger"), Err(R::ClientUnregistered)),
        ("another one's name in other letters", &web, token("Web"), Err(R::ClientUnregistered)),
    ] {
        site.expect(name, client, &token, expected).await;
    }
    let event = site.expect("the audit event", &web, &token("web"), Ok(())).await;
    for (field, value) in [("application", "web"), ("application_kind", "application"), ("presenter", "web")]
    {
        assert_eq!(event.field(field), value, "{field}");
    }
}

#[tokio::test]
async fn a_client_is_that_of_its_issuer() {
    let world = World::new().await;
    let other = world.idp.issuer_at("/other");
    let issuer =
        TrustedIssuer::discover(other.issuer()).unwrap().add_audience(AUDIENCE).add_user_claim(USER_CLAIM);
    let layer =
        world.layer().add_issuer(issuer.may_grant(Grants::all())).client_identity(ClientIdentity::from_tls());
    let layer = layer.applications(registry([world.application("web")])).build().unwrap();
    let site = world.serve_tls(router().layer(layer)).await;
    let theirs = other.token().user("alice").client("web").audience(AUDIENCE).sign();
    site.expect("theirs", &world.client_of("web"), &theirs, Err(R::ClientUnregistered)).await;
    site.expect("ours", &world.client_of("web"), &world.token_of("web").sign(), Ok(())).await;
}

#[tokio::test]
async fn without_a_registry_clients_are_taken_as_they_come() {
    let world = World::new().await;
    let layer = world.layer().client_identity(ClientIdentity::from_tls()).build().unwrap();
    let site = world.serve_tls(router().layer(layer)).await;
    let answer = site.get(&world.client(None), "/", &world.token_of("anyone").sign()).await;
    assert_eq!(answer.body, "alice - - [orders:read] [orders:read]");
}

#[tokio::test]
async fn workloads_by_certificate() {
    let world = World::new().await;
    let pinned = world.pki.workload("/pinned").self_signed().issue();
    let other = world.pki.workload("/pinned").self_signed().issue();
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, pinned.chain_der().first().unwrap()));
    let named = world.pki.certificate().dns_name("export.example").issue();
    let claims_the_name = world.pki.certificate().dns_name("export.example").self_signed().issue();
    let below = world.pki.certificate().dns_name("x.export.example").issue();
    let new = |name: &str| {
        Application::builder(name, ApplicationKind::Service)
            .add_client_id_at(world.idp.issuer(), name)
            .add_scope("orders:read")
            .acts_for_users()
    };
    let applications = registry([
        new("pinned").add_workload_thumbprint(&thumbprint),
        new("named").add_workload_dns_name("Export.Example"),
        new("anywhere").allow_any_workload(),
        new("nowhere"),
    ]);
    let layer = world.layer().client_identity(ClientIdentity::from_tls()).applications(applications);
    let layer = layer.build().unwrap();
    let identity = world.pki.server().issue();
    let config = TlsConfig::builder()
        .server_certificate(Pem::text(identity.chain_pem()), Pem::text(identity.key_pem()))
        .accept_any_client_certificate();
    let anybody = Site::start(config, router().layer(layer.clone())).await;
    let vouched = world.serve_tls(router().layer(layer)).await;
    let token = |client| world.token_of(client).sign();
    let wrong = Err(R::WorkloadNotRegistered);
    for (name, site, client, token, expected) in [
        ("its certificate", &anybody, Some(&pinned), token("pinned"), Ok(())),
        ("another of the same name", &anybody, Some(&other), token("pinned"), wrong),
        ("no certificate", &anybody, None, token("pinned"), Err(R::WorkloadUnknown)),
        ("its name", &vouched, Some(&named), token("named"), Ok(())),
        ("its name, vouched for by nobody", &anybody, Some(&claims_the_name), token("named"), wrong),
        ("a name below its own", &vouched, Some(&below), token("named"), wrong),
        ("anywhere", &anybody, None, token("anywhere"), Ok(())),
        ("no workload registered", &vouched, Some(&named), token("nowhere"), wrong),
        ("no workload registered, none known", &vouched, None, token("nowhere"), Err(R::WorkloadUnknown)),
    ] {
        let client = client.map_or_else(|| world.client(None), |identity| world.client(Some(identity)));
        site.expect(name, &client, &token, expected).await;
    }
}

#[tokio::test]
async fn suspended_and_expired() {
    let world = World::new().await;
    let soon = world.clock.now().saturating_add(Duration::from_secs(60));
    let applications = registry([
        world.application("suspended").suspended(),
        world.application("ended").expires("2020-02-29"),
        world.application("ending").expires(&rfc3339(soon)),
        world.application("lasting").expires("9999-12-30").review_by("2020-01-01"),
    ]);
    let site = world.serve_registry(applications).await;
    let token = |client| world.token_of(client).sign();
    let ending = token("ending");
    for (client, token, expected) in [
        ("suspended", token("suspended"), Err(R::ClientSuspended)),
        ("ended", token("ended"), Err(R::ClientExpired)),
        ("ending", ending.clone(), Ok(())),
        ("lasting", token("lasting"), Ok(())),
    ] {
        site.expect(client, &world.client_of(client), &token, expected).await;
    }
    let client = world.client_of("ending");
    world.clock.advance(Duration::from_secs(59));
    site.expect("a second before the end", &client, &ending, Ok(())).await;
    world.clock.advance(Duration::from_secs(1));
    site.expect("at the end", &client, &ending, Err(R::ClientExpired)).await;
    site.expect("a new token", &client, &token("ending"), Err(R::ClientExpired)).await;
}

fn rfc3339(time: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp(time.unix_seconds()).unwrap().format(&Rfc3339).unwrap()
}

#[tokio::test]
async fn a_token_lives_no_longer_than_its_application_may_hold_one() {
    let world = World::new().await;
    let brief = world.application("web").max_token_lifetime(Duration::from_secs(600));
    let site = world.serve_registry(registry([brief])).await;
    let client = world.client_of("web");
    let denied = Err(R::ApplicationTokenLifetimeTooLong);
    for (seconds, expected) in [(599, Ok(())), (600, Ok(())), (601, denied), (86_400, denied)] {
        let token = world.token_of("web").expires_in(Duration::from_secs(seconds)).sign();
        site.expect(&seconds.to_string(), &client, &token, expected).await;
    }
    // The whole lifetime counts, not what is left of it.
    let old = world.token_of("web").expires_in(Duration::from_secs(3600)).sign();
    world.clock.advance(Duration::from_secs(3500));
    site.expect("nearly over", &client, &old, denied).await;
}

#[tokio::test]
async fn tenants() {
    let world = World::new().await;
    let applications = registry([world.application("web").add_tenant("ours"), world.application("office")]);
    let site = world.serve_registry(applications).await;
    let token = |client: &str, tenant: Option<&str>| match tenant {
        Some(tenant) => world.token_of(client).claim("tenant", tenant).sign(),
        None => world.token_of(client).sign(),
    };
    let denied = Err(R::TenantNotAllowed);
    for (client, tenant, expected) in [
        ("web", Some("ours"), Ok(())),
        ("web", Some("theirs"), denied),
        ("web", Some("OURS"), denied),
        ("web", None, denied),
        ("office", Some("theirs"), Ok(())),
    ] {
        let name = format!("{client} for {tenant:?}");
        site.expect(&name, &world.client_of(client), &token(client, tenant), expected).await;
    }
}

#[tokio::test]
async fn environments() {
    let world = World::new().await;
    let entries = || {
        [
            world.application("live").add_environment("live"),
            world.application("test").add_environment("test"),
            world.application("both").add_environment("test").add_environment("live"),
            world.application("none"),
        ]
    };
    let builder =
        || entries().into_iter().fold(Applications::builder(), ApplicationsBuilder::add_application);
    let live = world.serve_registry(builder().environment("live").build().unwrap()).await;
    let unsaid = world.serve_registry(builder().build().unwrap()).await;
    let denied = Err(R::EnvironmentNotAllowed);
    for (client, in_live, in_unsaid) in [
        ("live", Ok(()), denied),
        ("test", denied, denied),
        ("both", Ok(()), denied),
        ("none", denied, Ok(())),
    ] {
        let token = world.token_of(client).sign();
        live.expect(client, &world.client_of(client), &token, in_live).await;
        unsaid.expect(client, &world.client_of(client), &token, in_unsaid).await;
    }
}

#[tokio::test]
async fn whom_it_may_act_for() {
    let world = World::new().await;
    let new = |name: &str| {
        Application::builder(name, ApplicationKind::Service)
            .add_client_id_at(world.idp.issuer(), name)
            .add_workload(&format!("spiffe://example.org/shop/{name}"))
    };
    let applications = || {
        registry([
            new("users").acts_for_users(),
            new("services").acts_for_services(),
            new("both").acts_for_users().acts_for_services(),
            new("nobody"),
        ])
    };
    let site = world.serve_registry(applications()).await;
    let denied = Err(R::ActingNotAllowed);
    for (client, for_user, for_itself) in [
        ("users", Ok(()), denied),
        ("services", denied, Ok(())),
        ("both", Ok(()), Ok(())),
        ("nobody", denied, denied),
    ] {
        let caller = world.client_of(client);
        site.expect(client, &caller, &world.token_of(client).sign(), for_user).await;
        site.expect(client, &caller, &world.token_of(client).subject(client).sign(), for_itself).await;
    }

    // What the subject is, is not known: that is no user, and no service either.
    let kinds =
        ClaimMapping::rfc9068().subject_kinds([(ClaimCondition::present("employee"), SubjectKind::User)]);
    let issuer = TrustedIssuer::discover(world.idp.issuer()).unwrap().add_audience(AUDIENCE);
    let layer = DelegationLayer::builder().add_issuer(issuer.claim_mapping(kinds)).clock(world.clock.clone());
    let site = world.serve_layer(layer.applications(applications())).await;
    let caller = world.client_of("both");
    site.expect("of unknown kind", &caller, &world.token_of("both").sign(), denied).await;
    let employee = world.token_of("both").claim("employee", 1).sign();
    site.expect("of known kind", &caller, &employee, Ok(())).await;
}

#[tokio::test]
async fn a_sender_constraint_where_the_application_must_have_one() {
    let world = World::new().await;
    let site = world.serve_registry(registry([world.application("web").require_sender_constraint()])).await;
    let web = world.workload_of("web");
    let client = world.client(Some(&web));
    let denied = Err(R::ApplicationSenderConstraintMissing);
    site.expect("a plain token", &client, &world.token_of("web").sign(), denied).await;
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, web.chain_der().first().unwrap()));
    let bound = world.token_of("web").claim("cnf", json!({ "x5t#S256": thumbprint })).sign();
    site.expect("a bound one", &client, &bound, Ok(())).await;
}

#[tokio::test]
async fn a_token_of_no_client_is_of_no_application() {
    let world = World::new().await;
    let mapping = ClaimMapping::rfc9068().allow_absent_client();
    let issuer = TrustedIssuer::discover(world.idp.issuer())
        .unwrap()
        .add_audience(AUDIENCE)
        .add_user_claim(USER_CLAIM);
    let layer =
        DelegationLayer::builder().add_issuer(issuer.claim_mapping(mapping)).clock(world.clock.clone());
    let site = world.serve_layer(layer.applications(registry([world.application("web")]))).await;
    for (name, token) in [
        ("alone", world.token_of("web").without("client_id").sign()),
        ("with an actor", world.token_of("web").without("client_id").actor("web").sign()),
    ] {
        site.expect(name, &world.client_of("web"), &token, Err(R::ClientMissing)).await;
    }
}

#[tokio::test]
async fn a_service_that_knows_no_workloads_serves_only_what_may_come_from_anywhere() {
    let world = World::new().await;
    let anywhere = Application::builder("phone", ApplicationKind::Application)
        .add_client_id_at(world.idp.issuer(), "phone")
        .allow_any_workload()
        .acts_for_users();
    let applications = registry([world.application("web"), anywhere]);
    let site = Served::start(router().layer(world.layer().applications(applications).build().unwrap())).await;
    let audit = AuditLog::listen();
    assert_eq!(site.get("/", &world.token_of("phone").sign()).await.status, 200);
    let _ = audit.take();
    assert_eq!(site.get("/", &world.token_of("web").sign()).await.status, 403);
    assert_eq!(audit.one().field("reason"), "workload_unknown");
}

#[tokio::test]
async fn a_token_without_a_request_is_judged_too() {
    let world = World::new().await;
    let applications = registry([world.application("web"), world.application("office").suspended()]);
    let layer = world.layer().client_identity(ClientIdentity::from_tls()).applications(applications);
    let layer = layer.build().unwrap();
    let authenticator = layer.authenticator();
    let peer = |name: &str| {
        let trust = CertificateTrust::ChainedToTrustAnchor;
        PeerInfo::with_certificate(([127, 0, 0, 1], 1).into(), &world.workload_of(name).chain_der(), trust)
            .unwrap()
    };
    let (web, office) = (world.token_of("web").sign(), world.token_of("office").sign());
    let delegation = authenticator.verify_from(&web, &peer("web")).await.unwrap();
    assert_eq!(delegation.presenter().map(Application::name), Some("web"));
    for (name, outcome, reason) in [
        ("another's peer", authenticator.verify_from(&web, &peer("office")).await, R::WorkloadNotRegistered),
        ("no peer", authenticator.verify(&web).await, R::WorkloadUnknown),
        ("suspended", authenticator.verify_from(&office, &peer("office")).await, R::ClientSuspended),
        ("unregistered", authenticator.verify(&world.token_of("x").sign()).await, R::ClientUnregistered),
    ] {
        assert_eq!(outcome.err().map(|rejection| rejection.reason()), Some(reason), "{name}");
    }
}
