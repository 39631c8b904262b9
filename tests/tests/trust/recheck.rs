//! A context is judged again wherever it decides: in a guard that a request comes to
//! late, and in code that keeps it beyond the request.

mod registry;
mod workloads;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
    routing::get,
};
use futures_util::future::BoxFuture;
use integration_tests::{AUDIENCE, Answer, AuditLog, Served, World};
use reqwest::Method;
use tokio::sync::Semaphore;
use tower_delegation::{
    Applications, Authorized, DelegationContext, DelegationLayer, DenialReason, Rejection, RequestFacts,
    RequireLayer, Requirement, Requires, RouteTable, RouteTableLayer, TrustedIssuer,
    application::{Application, ApplicationBuilder, ApplicationKind},
    clock::Clock as _,
    issuer::IssuerResolver,
    reason::RejectionKind,
    revocation::{
        InMemoryRevocations, Revocation, RevocationListener, RevocationQuery, RevocationStore, Standing,
    },
};
use tower_delegation_testing::Endpoint;

const MINUTE: Duration = Duration::from_secs(60);

struct ReadOrders;

impl Requires for ReadOrders {
    fn requirement() -> Requirement {
        Requirement::named("orders").scope("orders:read")
    }
}

/// Holds requests that have passed the outer layer, for as long as the test wants.
#[derive(Clone)]
struct Pause {
    arrived: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

impl Pause {
    fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { arrived: none(), go_on: none() }
    }

    async fn hold(&self) {
        self.arrived.add_permits(1);
        self.go_on.acquire().await.unwrap().forget();
    }
}

/// What a handler keeps of its request.
type Kept = Arc<Mutex<Option<DelegationContext>>>;

/// A service in which requests wait between the layer and their guard.
struct Bench {
    world: World,
    revocations: InMemoryRevocations,
    applications: Applications,
    layer: DelegationLayer,
    pause: Pause,
    service: Served,
    kept: Kept,
}

fn shop_web(world: &World) -> ApplicationBuilder {
    Application::builder("shop-web", ApplicationKind::Application)
        .issuer(world.idp.issuer())
        .add_client_id("shop-web")
        .allow_any_workload()
        .acts_for_users()
}

fn may_read(world: &World) -> ApplicationBuilder {
    shop_web(world).add_scope("orders:read")
}

impl Bench {
    async fn new() -> Self {
        let world = World::new().await;
        let revocations = InMemoryRevocations::new().clock(world.clock.clone());
        let applications = Applications::builder().add_application(may_read(&world)).build().unwrap();
        let layer = world.layer().revocations(revocations.clone()).applications(applications.clone());
        let layer = layer.build().unwrap();
        let (pause, kept) = (Pause::new(), Kept::default());
        let service = Served::start(routes(&layer, &pause, &kept).layer(layer.clone())).await;
        Self { world, revocations, applications, layer, pause, service, kept }
    }

    /// A request for `path`, which waits in front of its guard while `change` happens.
    async fn send(&self, path: &str, token: &str, change: &Change) -> Answer {
        let request = self.service.request(Method::GET, path).bearer_auth(token);
        let (answer, ()) = tokio::join!(Answer::of(request), async {
            self.pause.arrived.acquire().await.unwrap().forget();
            change(self).await;
            self.pause.go_on.add_permits(1);
        });
        answer
    }

    /// The context of a request that has its response.
    async fn kept(&self, token: &str) -> DelegationContext {
        assert_eq!(self.service.get("/keep", token).await.status, 204);
        self.kept.lock().unwrap().take().unwrap()
    }

    fn register(&self, application: ApplicationBuilder) {
        self.applications.replace(Applications::builder().add_application(application)).unwrap();
    }

    fn revoke(&self, revocation: Revocation) {
        self.revocations.revoke(revocation).unwrap();
    }

    fn issuer(&self) -> &str {
        self.world.idp.issuer()
    }
}

/// One route for each way to decide, all of them behind the pause.
fn routes(layer: &DelegationLayer, pause: &Pause, kept: &Kept) -> Router {
    let table = RouteTable::from_toml(
        r#"
        [[route]]
        methods = ["GET"]
        path = "/table"
        scope = "orders:read"
    "#,
    );
    let by_table = RouteTableLayer::new(&table.unwrap());
    let by_layer = RequireLayer::of::<ReadOrders>().unwrap();
    let call = async |delegation: DelegationContext| -> Result<&'static str, Rejection> {
        delegation.authorize(&ReadOrders::requirement(), &RequestFacts::none()).map(|()| "orders")
    };
    let (held, kept) = (pause.clone(), kept.clone());
    let keep = async move |delegation: DelegationContext| {
        *kept.lock().unwrap() = Some(delegation);
        StatusCode::NO_CONTENT
    };
    Router::new()
        .route("/layer", get(async || "orders").layer(by_layer))
        .route("/extractor", get(async |_: Authorized<ReadOrders>| "orders"))
        .route("/call", get(call))
        .route("/inner", get(async |_: DelegationContext| "orders").layer(layer.clone()))
        .merge(Router::new().route("/table", get(async || "orders")).layer(by_table))
        .layer(from_fn(move |request: Request, next: Next| {
            let held = held.clone();
            async move {
                held.hold().await;
                next.run(request).await
            }
        }))
        .route("/keep", get(keep))
}

type Change = Box<dyn for<'b> Fn(&'b Bench) -> BoxFuture<'b, ()>>;

/// What happens, and what is said then: of a request, of a context that is kept.
struct Row {
    name: &'static str,
    change: Change,
    /// The status and the reason of a decision. Empty: it allows.
    decision: (u16, &'static str),
    /// The reason of [`DelegationContext::recheck`].
    recheck: &'static str,
}

fn row(
    name: &'static str,
    change: impl Fn(&Bench) + Clone + Send + Sync + 'static,
    decision: (u16, &'static str),
    recheck: &'static str,
) -> Row {
    let change: Change = Box::new(move |bench| {
        let change = change.clone();
        Box::pin(async move { change(bench) })
    });
    Row { name, change, decision, recheck }
}

fn rows() -> Vec<Row> {
    let same = |name, change: fn(&Bench)| row(name, change, (200, ""), "");
    let over = |name, change: fn(&Bench), status, reason| row(name, change, (status, reason), reason);
    let mut rows = vec![
        same("nothing", |_| {}),
        same("time passes", |bench| bench.world.clock.advance(MINUTE)),
        same("another subject is revoked", |bench| {
            bench.revoke(Revocation::subject(bench.issuer(), "bob"));
        }),
        same("a revocation is lifted", |bench| {
            let bob = Revocation::subject(bench.issuer(), "bob");
            bench.revoke(bob.clone());
            assert!(bench.revocations.lift(bob.target()).unwrap());
        }),
        same("another registry that says the same", |bench| bench.register(may_read(&bench.world))),
        same("the registry lets the application use more", |bench| {
            bench.register(may_read(&bench.world).add_scope("orders:write"));
        }),
        over("the token expires", |bench| bench.world.clock.advance(10 * MINUTE), 401, "token_expired"),
        over(
            "the subject is revoked",
            |bench| bench.revoke(Revocation::subject(bench.issuer(), "alice")),
            401,
            "subject_revoked",
        ),
        over(
            "the client is revoked",
            |bench| bench.revoke(Revocation::client(bench.issuer(), "shop-web")),
            401,
            "client_revoked",
        ),
        over(
            "everything is revoked",
            |bench| {
                let now = bench.world.clock.now();
                bench.revocations.revoke_everything_issued_before(now).unwrap();
            },
            401,
            "token_revoked",
        ),
        over(
            "the application is suspended",
            |bench| bench.register(may_read(&bench.world).suspended()),
            403,
            "client_suspended",
        ),
        over(
            "the application is registered no longer",
            |bench| {
                let other = Application::builder("other", ApplicationKind::Application)
                    .issuer(bench.issuer())
                    .add_client_id("other")
                    .allow_any_workload();
                bench.register(other);
            },
            403,
            "client_unregistered",
        ),
        over(
            "the application may act for no user",
            |bench| {
                let other = Application::builder("shop-web", ApplicationKind::Application)
                    .issuer(bench.issuer())
                    .add_client_id("shop-web")
                    .allow_any_workload();
                bench.register(other);
            },
            403,
            "acting_not_allowed",
        ),
        row(
            "the application may not use the scope any more",
            |bench| bench.register(shop_web(&bench.world)),
            (403, "scope_beyond_application"),
            "context_outdated",
        ),
    ];
    rows.push(Row {
        name: "the key is withdrawn",
        change: Box::new(|bench| {
            Box::pin(async move {
                bench.world.idp.rotate_keys();
                bench.world.idp.withdraw_old_keys();
                bench.layer.refresh_keys().await;
            })
        }),
        decision: (401, "key_unknown"),
        recheck: "key_unknown",
    });
    rows
}

/// Whatever decides, and however long a request took to get there.
#[tokio::test]
async fn a_guard_judges_what_has_happened_since() {
    for path in ["/layer", "/table", "/extractor", "/call", "/inner"] {
        let audit = AuditLog::listen();
        for row in rows() {
            let bench = Bench::new().await;
            let token = bench.world.token().expires_in(5 * MINUTE).sign();
            let answer = bench.send(path, &token, &row.change).await;
            let reasons: Vec<_> = audit.take().iter().map(|event| event.field("reason").to_owned()).collect();
            // A layer only authenticates: what the route may use is another's to say.
            let only_less = path == "/inner" && row.recheck == "context_outdated";
            let expected = if only_less { (200, "") } else { row.decision };
            let reason = reasons.iter().find(|reason| !reason.is_empty()).map_or("", String::as_str);
            assert_eq!((answer.status, reason), expected, "{path}, {}: {answer:?}", row.name);
        }
    }
}

fn reason(outcome: &Result<(), Rejection>) -> &'static str {
    outcome.as_ref().map_or_else(|rejection| rejection.reason().code(), |()| "")
}

/// A stream, a job or a tool goes on with the context of a request that has its response.
#[tokio::test]
async fn a_kept_context_says_yes_no_longer_than_a_request_would() {
    let (read, none) = (ReadOrders::requirement(), RequestFacts::none());
    for row in rows() {
        let name = row.name;
        let bench = Bench::new().await;
        let kept = bench.kept(&bench.world.token().expires_in(5 * MINUTE).sign()).await;
        assert!(kept.recheck().is_ok() && kept.permits(&read, &none), "{name}: before");
        (row.change)(&bench).await;
        let clone = kept.clone();
        // Again and again, and by whichever clone is asked first.
        for kept in [&clone, &kept, &clone] {
            let decision = kept.authorize(&read, &none);
            assert_eq!(reason(&decision), row.decision.1, "{name}");
            assert_eq!(kept.permits(&read, &none), row.decision.1.is_empty(), "{name}");
            assert_eq!(reason(&kept.recheck()), row.recheck, "{name}");
            if let Err(refusal) = decision {
                assert_eq!(refusal.status(), row.decision.0, "{name}");
            }
        }
        // What is on trial is not tried on a context that is good no longer.
        let on_trial = Requirement::named("on trial").scope("none:has").shadow();
        let is_over = !row.recheck.is_empty() && row.recheck != "context_outdated";
        assert_eq!(kept.authorize(&on_trial, &none).is_err(), is_over, "{name}");
    }
}

/// What takes time to end, ends while the context is kept.
#[tokio::test]
async fn an_exception_ends_in_a_kept_context() {
    let bench = Bench::new().await;
    let kept = bench.kept(&bench.world.token().expires_in(60 * MINUTE).sign()).await;
    let until = bench.world.clock.now().saturating_add(5 * MINUTE);
    let write = Requirement::named("write").scope("orders:write").exception("to be moved", until);
    for (name, minutes, expected) in
        [("before", 0, ""), ("still", 4, ""), ("then", 1, "scope_beyond_application")]
    {
        bench.world.clock.advance(minutes * MINUTE);
        assert_eq!(reason(&kept.authorize(&write, &RequestFacts::none())), expected, "{name}");
    }
    assert!(kept.recheck().is_ok(), "the token is good");
}

/// What a rule demands of a time, it demands of now.
#[tokio::test]
async fn ages_are_those_of_now_in_a_kept_context() {
    let bench = Bench::new().await;
    let signed_in = bench.world.clock.now().unix_seconds();
    let token = bench.world.token().claim("auth_time", signed_in).expires_in(60 * MINUTE);
    let kept = bench.kept(&token.sign()).await;
    let fresh = Requirement::named("fresh").max_token_age(10 * MINUTE);
    let lately = Requirement::named("lately").max_authentication_age(10 * MINUTE);
    for (name, minutes, [of_token, of_user]) in [
        ("at once", 0, ["", ""]),
        ("still", 9, ["", ""]),
        ("then", 2, ["token_age_not_allowed", "authentication_too_old"]),
        ("for good", 20, ["token_age_not_allowed", "authentication_too_old"]),
    ] {
        bench.world.clock.advance(minutes * MINUTE);
        assert_eq!(reason(&kept.authorize(&fresh, &RequestFacts::none())), of_token, "{name}");
        assert_eq!(reason(&kept.authorize(&lately, &RequestFacts::none())), of_user, "{name}");
        assert!(kept.recheck().is_ok(), "{name}: the token is good");
    }
}

/// A store that counts how often it is asked.
#[derive(Debug)]
struct Counted {
    store: InMemoryRevocations,
    has_generation: bool,
    checks: Arc<AtomicUsize>,
}

impl RevocationStore for Counted {
    fn check(&self, query: &RevocationQuery<'_>) -> Standing {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.store.check(query)
    }

    fn generation(&self) -> Option<u64> {
        if self.has_generation { self.store.generation() } else { None }
    }

    fn subscribe(
        &self,
        listener: std::sync::Weak<dyn RevocationListener>,
    ) -> Result<(), tower_delegation::revocation::RevocationError> {
        self.store.subscribe(listener)
    }
}

/// Only where something can have changed: once for a store that says that nothing has.
#[tokio::test]
async fn a_store_is_asked_again_only_where_it_may_have_changed() {
    for (has_generation, [first, calm, moved]) in [(true, [1, 1, 2]), (false, [1, 4, 7])] {
        let world = World::new().await;
        let (store, checks) = (InMemoryRevocations::new(), Arc::new(AtomicUsize::new(0)));
        let counted = Counted { store: store.clone(), has_generation, checks: checks.clone() };
        let layer = world.layer().revocations(counted).build().unwrap();
        let context = layer.authenticator().verify(&world.token().sign()).await.unwrap();
        let count = || checks.load(Ordering::Relaxed);
        let ask_thrice = || {
            for _ in 0..3 {
                assert!(context.recheck().is_ok());
            }
        };
        assert_eq!(count(), first, "{has_generation}");
        ask_thrice();
        assert_eq!(count(), calm, "{has_generation}");
        store.revoke(Revocation::subject(world.idp.issuer(), "bob")).unwrap();
        let before = count();
        ask_thrice();
        // The listener looks through the cache too, and asks for itself.
        assert_eq!(count() - before, moved - calm, "{has_generation}");
        store.revoke(Revocation::subject(world.idp.issuer(), "alice")).unwrap();
        assert_eq!(reason(&context.recheck()), "subject_revoked", "{has_generation}");
    }
}

/// An issuer that a resolver knows, and may take back.
#[derive(Clone, Debug)]
struct Customer(Arc<Mutex<(u64, Option<TrustedIssuer>)>>);

impl Customer {
    fn put(&self, terms: Option<TrustedIssuer>) {
        let mut known = self.0.lock().unwrap();
        *known = (known.0 + 1, terms);
    }
}

impl IssuerResolver for Customer {
    fn resolve(&self, _: &str) -> Option<TrustedIssuer> {
        self.0.lock().unwrap().1.clone()
    }

    fn generation(&self) -> Option<u64> {
        Some(self.0.lock().unwrap().0)
    }
}

#[tokio::test]
async fn a_kept_context_ends_with_the_trust_in_its_issuer() {
    type Change = fn(&TrustedIssuer) -> Option<TrustedIssuer>;
    let rows: [(&str, Change, &str); 3] = [
        ("the same terms", |terms| Some(terms.clone()), ""),
        ("no trust", |_| None, "issuer_unknown"),
        (
            "other terms",
            |terms| Some(terms.clone().add_audience("https://other.example.com")),
            "keys_unavailable",
        ),
    ];
    for (name, change, expected) in rows {
        let world = World::new().await;
        let terms = TrustedIssuer::with_static_keys(world.idp.issuer(), &world.idp.jwks().to_string());
        let terms = terms.unwrap().add_audience(AUDIENCE);
        let customer = Customer(Arc::new(Mutex::new((0, Some(terms.clone())))));
        let layer =
            DelegationLayer::builder().add_issuer_resolver(customer.clone()).clock(world.clock.clone());
        let layer = layer.build().unwrap();
        let context = layer.authenticator().verify(&world.token().sign()).await.unwrap();
        assert!(context.recheck().is_ok(), "{name}: before");
        customer.put(change(&terms));
        assert_eq!(reason(&context.recheck()), expected, "{name}");
        assert_eq!(
            context.permits(&Requirement::new(), &RequestFacts::none()),
            expected.is_empty(),
            "{name}"
        );
    }
}

/// Keys that are too old are no reason to say yes, nor to blame the token.
#[tokio::test]
async fn keys_that_are_too_old_are_our_outage() {
    let bench = Bench::new().await;
    let kept = bench.kept(&bench.world.token().expires_in(48 * 60 * MINUTE).sign()).await;
    for endpoint in [Endpoint::Jwks, Endpoint::Discovery] {
        bench.world.idp.fail_with(endpoint, StatusCode::BAD_GATEWAY);
    }
    bench.world.clock.advance(25 * 60 * MINUTE);
    let refusal = kept.recheck().unwrap_err();
    assert_eq!(
        (refusal.reason(), refusal.kind()),
        (DenialReason::KeysUnavailable, RejectionKind::Unavailable)
    );
    assert!(!kept.permits(&ReadOrders::requirement(), &RequestFacts::none()));
}

const DESK: &str = "spiffe://example.org/desk";

/// Grants that cannot be read say nothing of the others.
#[tokio::test]
async fn a_malformed_grant_hides_no_other_that_is_gone() {
    type Less = fn(ApplicationBuilder) -> ApplicationBuilder;
    let rows: [(&str, &str, &str, Less); 4] = [
        ("roles", "permissions", "permissions", |entry| entry.add_permissions([""; 0])),
        ("roles", "groups", "groups", |entry| entry.add_groups([""; 0])),
        ("permissions", "roles", "roles", |entry| entry.add_roles([""; 0])),
        ("groups", "roles", "roles", |entry| entry.add_roles([""; 0])),
    ];
    for (malformed, good, taken, less) in rows {
        let bench = Bench::new().await;
        let token = bench.world.token().claim(malformed, 7).claim(good, ["one"]).sign();
        let kept = bench.kept(&token).await;
        assert!(kept.recheck().is_ok(), "{malformed} malformed, {taken}");
        bench.register(less(may_read(&bench.world)));
        assert_eq!(reason(&kept.recheck()), "context_outdated", "{malformed} malformed, {taken} taken");
    }
}
