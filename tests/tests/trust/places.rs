//! Places in the queue of an audit sink, under `Overflow::Block`: what waits for
//! something else holds none, and what has waited for one is judged again.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    routing::get as plain_get,
};
use integration_tests::{AUDIENCE, Served, World, whoami};
use tokio::task::yield_now;
use tower_delegation::{
    DelegationContext, DelegationLayer, RequireLayer, Requirement, RouteTable, RouteTableLayer,
    TrustedIssuer,
    audit::{Audit, AuditEvent, AuditSink, SinkError},
    clock::Clock as _,
    requires_scope,
    revocation::{InMemoryRevocations, Revocation, RevocationQuery, RevocationStore, Standing},
    routing::{GuardedRouter, get, public},
};
use tower_delegation_testing::{Endpoint, MockIdp};

/// A sink that writes while it is open.
#[derive(Clone, Debug, Default)]
struct Gate(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    statuses: Mutex<Vec<Option<u16>>>,
    opens: Condvar,
    is_open: AtomicBool,
}

impl Gate {
    fn opened() -> Self {
        let gate = Self::default();
        gate.open();
        gate
    }

    fn open(&self) {
        let _statuses = self.0.statuses.lock().unwrap();
        self.0.is_open.store(true, Ordering::Relaxed);
        self.0.opens.notify_all();
    }

    fn statuses(&self) -> Vec<Option<u16>> {
        self.0.statuses.lock().unwrap().clone()
    }
}

impl AuditSink for Gate {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        let statuses = self.0.statuses.lock().unwrap();
        let is_closed = |_: &mut _| !self.0.is_open.load(Ordering::Relaxed);
        let mut statuses = self.0.opens.wait_while(statuses, is_closed).unwrap();
        statuses.push(event.status().map(|status| status.as_u16()));
        Ok(())
    }
}

/// Counts how often it is asked.
#[derive(Clone, Debug)]
struct Counting(InMemoryRevocations, Arc<AtomicUsize>);

impl RevocationStore for Counting {
    fn check(&self, query: &RevocationQuery<'_>) -> Standing {
        let standing = self.0.check(query);
        self.1.fetch_add(1, Ordering::Relaxed);
        standing
    }
}

/// What holds a place for too long fails the test, in place of waiting for ever.
async fn in_time<T>(awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), awaited).await.unwrap()
}

async fn until(is_so: impl Fn() -> bool) {
    in_time(async {
        while !is_so() {
            yield_now().await;
        }
    })
    .await;
}

/// [`whoami`] behind the layer, and how many requests have come so far.
async fn counted(layer: &DelegationLayer) -> (Arc<Served>, Arc<AtomicUsize>) {
    let arrived = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&arrived);
    let counting = from_fn(move |request: Request, next: Next| {
        count.fetch_add(1, Ordering::Relaxed);
        next.run(request)
    });
    (Arc::new(Served::start(whoami().layer(layer.clone()).layer(counting)).await), arrived)
}

/// Anyone can send tokens of an issuer whose keys take long; signed or not, they wait.
#[tokio::test]
async fn unsigned_tokens_of_a_slow_issuer_keep_no_one_waiting() {
    const FORGED: usize = 6;
    let world = World::new().await;
    let partner = MockIdp::builder().clock(world.clock.clone()).audience(AUDIENCE).start().await;
    let sink = Gate::opened();
    let trusted = TrustedIssuer::discover(partner.issuer()).unwrap().add_audience(AUDIENCE);
    let (trusted, own) = (trusted.namespace("corp"), world.issuer().namespace("corp"));
    let audit = Audit::new(sink.clone()).max_entries(2);
    let layer = DelegationLayer::builder().clock(world.clock.clone()).add_issuer(own).add_issuer(trusted);
    let layer = layer.add_audit(audit).build().unwrap();
    let (served, arrived) = counted(&layer).await;
    let token = world.token().sign();
    assert_eq!(served.get("/", &token).await.status, 200, "the keys are there");

    let hold = partner.hold(Endpoint::Jwks);
    let forged: Vec<_> = (0..FORGED)
        .map(|number| {
            let (served, signed) = (Arc::clone(&served), number % 2 == 0);
            let token = partner.token().subject("mallory");
            let token = if signed { token.sign() } else { token.sign_with_other_key().sign() };
            tokio::spawn(async move { served.get("/", &token).await.status })
        })
        .collect();
    until(|| arrived.load(Ordering::Relaxed) == 1 + FORGED).await;
    partner.wait_for_requests(Endpoint::Jwks, 1).await;
    for round in 0..5 {
        assert_eq!(in_time(served.get("/", &token)).await.status, 200, "{round}");
    }
    hold.release();
    let mut statuses = Vec::new();
    for request in forged {
        statuses.push(request.await.unwrap());
    }
    assert_eq!(statuses, [200, 401, 200, 401, 200, 401]);
    // Every one of them has left its event.
    layer.flush_audit(Duration::from_secs(5)).await.unwrap();
    let recorded = sink.statuses();
    assert_eq!(recorded.len(), 1 + 5 + FORGED);
    assert_eq!(recorded.iter().filter(|status| **status == Some(401)).count(), FORGED / 2);
}

/// Without a place no request is answered as if it had left a trace, whatever came of it.
#[tokio::test]
async fn what_finds_no_place_after_its_keys_is_unavailable() {
    for (name, is_good) in [("a good token", true), ("a forged token", false)] {
        let world = World::new().await;
        let sink = Gate::default();
        let audit = Audit::new(sink.clone()).max_entries(1).patience(Duration::from_secs(2));
        let layer = world.layer().add_audit(audit).build().unwrap();
        let (served, _) = counted(&layer).await;
        let hold = world.idp.hold(Endpoint::Jwks);
        let token = if is_good { world.token().sign() } else { world.token().sign_with_other_key().sign() };
        let waiting = tokio::spawn({
            let served = Arc::clone(&served);
            async move { served.get("/", &token).await }
        });
        world.idp.wait_for_requests(Endpoint::Jwks, 1).await;
        fill(&served, &layer).await;
        hold.release();
        until(|| layer.status().issuers.iter().all(|issuer| issuer.has_keys)).await;
        until(|| {
            world.clock.advance(Duration::from_millis(1));
            waiting.is_finished()
        })
        .await;
        let answer = waiting.await.unwrap();
        assert_eq!(answer.status, 503, "{name}: {answer:?}");
        assert_eq!(layer.status().audit[0].refused, 1, "{name}: for want of a place");
        sink.open();
    }
}

/// Requests that are refused at once take every place: one event is being written, one waits.
async fn fill(served: &Served, layer: &DelegationLayer) {
    let is_full = || layer.status().audit.iter().all(|sink| sink.queued == sink.max_entries);
    assert_eq!(in_time(served.get_anonymously("/")).await.status, 401);
    until(|| layer.status().audit.iter().all(|sink| sink.queued == 0)).await;
    assert_eq!(in_time(served.get_anonymously("/")).await.status, 401);
    assert!(is_full());
}

/// The queue may be full for long. What was good before counts no more than after any
/// other wait.
#[tokio::test]
async fn what_ends_while_a_place_is_waited_for_is_refused() {
    type Change = fn(&World, &InMemoryRevocations);
    let rows: [(&str, Change, u16); 4] = [
        ("nothing", |_, _| {}, 200),
        (
            "the subject is revoked",
            |world, store| store.revoke(Revocation::subject(world.idp.issuer(), "alice")).unwrap(),
            401,
        ),
        (
            "another subject is revoked",
            |world, store| store.revoke(Revocation::subject(world.idp.issuer(), "bob")).unwrap(),
            200,
        ),
        ("the token expires", |world, _| world.clock.advance(Duration::from_secs(3)), 401),
    ];
    for (name, change, status) in rows {
        let world = World::new().await;
        let sink = Gate::default();
        let store = InMemoryRevocations::new().clock(world.clock.clone());
        let counting = Counting(store.clone(), Arc::default());
        let audit = Audit::new(sink.clone()).max_entries(1);
        let layer = world.layer().revocations(counting.clone()).add_audit(audit).build().unwrap();
        let (served, _) = counted(&layer).await;
        // Accepted by the leeway for two seconds more.
        let ago = |seconds| world.clock.now().saturating_sub(Duration::from_secs(seconds));
        let token = world.token().issued_at(ago(60)).expires_at(ago(28)).sign();
        let hold = world.idp.hold(Endpoint::Jwks);
        let waiting = tokio::spawn({
            let served = Arc::clone(&served);
            async move { served.get("/", &token).await }
        });
        world.idp.wait_for_requests(Endpoint::Jwks, 1).await;
        fill(&served, &layer).await;
        hold.release();
        // Judged, with its key: now it waits for a place.
        until(|| counting.1.load(Ordering::Relaxed) == 1).await;
        change(&world, &store);
        sink.open();
        let answer = waiting.await.unwrap();
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(counting.1.load(Ordering::Relaxed) > 1, name != "the token expires", "{name}");
    }
}

async fn greet(delegation: Option<DelegationContext>) -> &'static str {
    if delegation.is_some() { "known" } else { "stranger" }
}

async fn greet_anyone() -> &'static str {
    "anyone"
}

#[requires_scope("orders:read")]
async fn orders() -> &'static str {
    "orders"
}

const GREETING: &str = "[[route]]\nmethods = [\"GET\"]\npath = \"/\"\npublic = \"a greeting\"\n";

/// Makes a site of a layer, and of the table that the layer knows.
type Build = fn(DelegationLayer, &RouteTable) -> Router;

fn app(routes: GuardedRouter, layer: DelegationLayer) -> Router {
    Router::new().fallback_service(routes.behind(layer).unwrap())
}

fn greeting() -> GuardedRouter {
    GuardedRouter::new().route("/", get(public("a greeting", greet_anyone)))
}

/// `GET /` is public, by the code or by a row of a table, and something asks all the same
/// who the caller is. Nothing does at the last one.
fn public_sites() -> [(&'static str, bool, Build); 7] {
    [
        ("a handler asks", false, |layer, _| {
            app(GuardedRouter::new().route("/", get(public("a greeting", greet))), layer)
        }),
        ("a guard asks", false, |layer, _| {
            let guard = RequireLayer::new(Requirement::named("read").scope("orders:read")).unwrap();
            app(greeting().layer(guard), layer)
        }),
        ("a rule in the code of a guarded router", true, |layer, _| {
            app(GuardedRouter::new().route("/", get(orders)), layer)
        }),
        ("a rule in the code, and the table", true, |layer, table| {
            app(GuardedRouter::new().route("/", get(orders)).layer(RouteTableLayer::new(table)), layer)
        }),
        ("a rule on a plain router", true, |layer, _| {
            Router::new().route("/", plain_get(orders)).layer(layer)
        }),
        ("a layer further inside", false, |layer, _| app(greeting().layer(layer.clone()), layer)),
        ("nothing asks", true, |layer, _| app(greeting(), layer)),
    ]
}

/// Before a public route nothing is waited for. What comes of it where something asks who
/// the caller is leaves its event all the same.
#[tokio::test]
async fn what_asks_on_a_public_route_waits_for_a_place() {
    let outcomes = [
        ("the sink writes", true, false, 200),
        ("and alice is revoked", true, true, 401),
        ("never", false, false, 503),
    ];
    for (site, has_table, build) in public_sites() {
        for (name, opens, is_revoked, status) in outcomes {
            let world = World::new().await;
            let sink = Gate::default();
            let store = InMemoryRevocations::new().clock(world.clock.clone());
            let audit = Audit::new(sink.clone()).max_entries(1).patience(Duration::from_secs(2));
            let table = RouteTable::from_toml(GREETING).unwrap();
            let layer = world.layer().revocations(store.clone()).add_audit(audit);
            let layer = if has_table { layer.route_table(&table) } else { layer };
            let layer = layer.build().unwrap();
            let (elsewhere, _) = counted(&layer).await;
            let served = Arc::new(Served::start(build(layer.clone(), &table)).await);
            fill(&elsewhere, &layer).await;
            let token = world.token().sign();
            let waiting = tokio::spawn({
                let served = Arc::clone(&served);
                async move { served.get("/", &token).await }
            });
            let asks = site != "nothing asks";
            if !asks {
                until(|| waiting.is_finished()).await;
            } else if opens {
                // Its keys are there, so all that it waits for is a place.
                until(|| layer.status().issuers.iter().all(|issuer| issuer.has_keys)).await;
                if is_revoked {
                    store.revoke(Revocation::subject(world.idp.issuer(), "alice")).unwrap();
                }
                sink.open();
            } else {
                until(|| {
                    world.clock.advance(Duration::from_millis(1));
                    waiting.is_finished()
                })
                .await;
            }
            let answer = in_time(waiting).await.unwrap();
            assert_eq!(answer.status, if asks { status } else { 200 }, "{site}, {name}: {answer:?}");
            let reported = layer.status().audit[0].clone();
            let lost = (reported.dropped, reported.refused);
            let expected = if !asks {
                (1, 0)
            } else if opens {
                (0, 0)
            } else {
                (0, 1)
            };
            assert_eq!(lost, expected, "{site}, {name}");
            sink.open();
            layer.flush_audit(Duration::from_secs(5)).await.unwrap();
            let is_recorded =
                sink.statuses().contains(&Some(status)) && status != 401 || sink.statuses().len() == 3;
            assert_eq!(is_recorded, asks && opens, "{site}, {name}: {:?}", sink.statuses());
        }
    }
}

/// The layer outside has the only place, and writes the only event.
#[tokio::test]
async fn a_layer_further_inside_waits_for_no_place_of_its_own() {
    let world = World::new().await;
    let sink = Gate::opened();
    let layer = world.layer().add_audit(Audit::new(sink.clone()).max_entries(1)).build().unwrap();
    let served = Arc::new(Served::start(app(greeting().layer(layer.clone()), layer.clone())).await);
    for (name, is_good, status) in [("a good token", true, 200), ("a forged token", false, 401)] {
        world.idp.rotate_keys();
        layer.authenticator().forget_all_tokens();
        let token = if is_good { world.token().sign() } else { world.token().sign_with_other_key().sign() };
        let hold = world.idp.hold(Endpoint::Jwks);
        let fetches = world.idp.requests(Endpoint::Jwks);
        let waiting = tokio::spawn({
            let served = Arc::clone(&served);
            async move { served.get("/", &token).await }
        });
        if is_good {
            world.idp.wait_for_requests(Endpoint::Jwks, fetches + 1).await;
        }
        hold.release();
        let answer = in_time(waiting).await.unwrap();
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        layer.flush_audit(Duration::from_secs(5)).await.unwrap();
        assert_eq!(sink.statuses().last(), Some(&Some(status)), "{name}");
    }
    assert_eq!(sink.statuses().len(), 2, "one event each");
}
