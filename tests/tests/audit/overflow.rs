//! What happens when events come faster than a sink takes them.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};

use axum::body::Body;
use futures_util::poll;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_delegation::{
    DelegationLayer,
    audit::{Audit, AuditEvent, AuditSink, AuditStatus, Overflow, SinkError},
};

use crate::{Memory, World, call, request, router, wait_until, warm};

const REQUESTS: u64 = 100_000;

/// Pauses for a millisecond now and then.
#[derive(Clone, Debug)]
struct Slow {
    delivered: Arc<AtomicU64>,
    /// After how many events.
    pauses_after: u64,
}

impl AuditSink for Slow {
    fn record(&self, _: &AuditEvent) -> Result<(), SinkError> {
        if self.delivered.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.pauses_after) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Fails while it is told to.
#[derive(Clone, Debug, Default)]
struct Failing {
    fails: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    delivered: Arc<AtomicU64>,
}

impl Failing {
    fn dead() -> Self {
        Self { fails: Arc::new(AtomicBool::new(true)), ..Self::default() }
    }

    fn revive(&self) {
        self.fails.store(false, Ordering::Relaxed);
        self.panics.store(false, Ordering::Relaxed);
    }
}

impl AuditSink for Failing {
    fn record(&self, _: &AuditEvent) -> Result<(), SinkError> {
        assert!(!self.panics.load(Ordering::Relaxed), "on purpose");
        if self.fails.load(Ordering::Relaxed) {
            return Err(SinkError::new("no space left"));
        }
        self.delivered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn status(layer: &DelegationLayer) -> AuditStatus {
    let status = layer.status();
    let [sink] = status.audit.as_slice() else { panic!("{status:?}") };
    sink.clone()
}

/// 100,000 requests of four tasks; how many of them were served.
async fn flood(layer: &DelegationLayer, token: &str) -> u64 {
    let credentials = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mut service = layer
            .layer(service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
        let credentials = credentials.clone();
        tasks.push(tokio::spawn(async move {
            let mut served = 0;
            for _ in 0..REQUESTS / 4 {
                let mut request = Request::new(Body::empty());
                request.headers_mut().insert(AUTHORIZATION, credentials.clone());
                let response = service.ready().await.unwrap().call(request).await.unwrap();
                served += u64::from(response.status() == 200);
            }
            served
        }));
    }
    let mut served = 0;
    for task in tasks {
        served += task.await.unwrap();
    }
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_100_000_events_none_is_lost_where_requests_wait_and_each_is_counted_where_they_do_not() {
    let world = World::new().await;
    let slow = |pauses_after| Slow { delivered: Arc::default(), pauses_after };
    let (waited_for, overrun) = (slow(100), slow(10));
    let audits = [
        Audit::new(waited_for.clone()).max_entries(16).overflow(Overflow::Block),
        Audit::new(overrun.clone()).max_entries(16).overflow(Overflow::DropAndCount),
    ];
    let layer = warm(&world, audits).await;
    assert_eq!(flood(&layer, &world.token().sign()).await, REQUESTS);
    layer.flush_audit(Duration::from_secs(5)).await.unwrap();

    let status = layer.status().audit;
    assert_eq!(waited_for.delivered.load(Ordering::Relaxed), REQUESTS);
    assert_eq!((status[0].recorded, status[0].dropped, status[0].refused), (REQUESTS, 0, 0));

    let delivered = overrun.delivered.load(Ordering::Relaxed);
    assert_eq!((status[1].recorded, status[1].refused), (delivered, 0));
    assert_eq!(delivered + status[1].dropped, REQUESTS);
    assert!(status[1].dropped > 0 && delivered > 0, "{status:?}");
}

#[tokio::test]
async fn a_dead_sink_ends_in_503_and_nothing_is_served_unrecorded() {
    let world = World::new().await;
    let sink = Failing::dead();
    let layer = warm(&world, [Audit::new(sink.clone()).max_entries(2).named("siem")]).await;
    let router = router(&layer);
    let token = world.token().sign();
    let get = || call(&router, request("/orders/7", &token));
    // One event is in the hands of the sink's thread, two fill the queue.
    assert_eq!(get().await, 200);
    wait_until(|| status(&layer).failures > 0);
    assert_eq!((get().await, get().await), (200.try_into().unwrap(), 200.try_into().unwrap()));
    assert!(!layer.status().is_ready() && status(&layer).is_stuck);

    let mut late = pin!(get());
    assert!(poll!(&mut late).is_pending());
    world.clock.advance(Duration::from_millis(4999));
    assert!(poll!(&mut late).is_pending());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(late.await, 503);
    assert_eq!((status(&layer).refused, status(&layer).recorded), (1, 0));

    // Junk needs a place, too: a refusal without a record is not for strangers to have.
    let mut junk = pin!(call(&router, request("/orders/7", "junk")));
    assert!(poll!(&mut junk).is_pending());
    let mut given_up = Box::pin(get());
    assert!(poll!(&mut given_up).is_pending());
    drop(given_up);
    sink.revive();
    assert_eq!(junk.await, 401);
    assert_eq!(get().await, 200);
    layer.flush_audit(Duration::from_secs(5)).await.unwrap();
    let status = status(&layer);
    assert_eq!((status.recorded, status.refused, status.dropped), (5, 2, 0));
    assert_eq!((sink.delivered.load(Ordering::Relaxed), &*status.name), (5, "siem"));
    assert!(layer.status().is_ready() && !status.is_failing);
}

/// The 503 says no more than other outages do, and is on record where there is room.
#[tokio::test]
async fn a_refusal_for_want_of_a_place_is_heard_of_by_the_other_sinks() {
    let world = World::new().await;
    let (sink, memory) = (Failing::dead(), Memory::default());
    let audits = [Audit::new(sink.clone()).max_entries(1).patience(Duration::ZERO), crate::inline(&memory)];
    let layer = warm(&world, audits).await;
    let router = router(&layer);
    let token = world.token().sign();
    assert_eq!(call(&router, request("/orders/7", &token)).await, 200);
    wait_until(|| layer.status().audit[0].failures > 0);
    assert_eq!(call(&router, request("/orders/7", &token)).await, 200);
    let response = router.clone().oneshot(request("/orders/7", &token)).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let events = memory.events();
    assert_eq!(events.len(), 3);
    assert_eq!((&events[2]["decision"], &events[2]["reason"]), (&"deny".into(), &"audit_unavailable".into()));
    assert_eq!(events[2].get("subject"), None);
    sink.revive();
}

#[tokio::test]
async fn the_place_is_taken_before_the_handler_runs() {
    let world = World::new().await;
    let memory = Memory::default();
    let layer = warm(&world, [Audit::new(memory.sink()).max_entries(1)]).await;
    let router = router(&layer);
    let token = world.token().sign();
    let mut hanging = Box::pin(call(&router, request("/hang", &token)));
    assert!(poll!(&mut hanging).is_pending());
    assert_eq!(status(&layer).queued, 1);
    let mut second = pin!(call(&router, request("/orders/7", &token)));
    assert!(poll!(&mut second).is_pending());
    assert_eq!(memory.events().len(), 0);
    // The first one's event goes into its place, and that frees it.
    drop(hanging);
    assert_eq!(second.await, 200);
    layer.flush_audit(Duration::from_secs(5)).await.unwrap();
    let decisions: Vec<_> = memory.events().iter().map(|event| event["decision"].clone()).collect();
    assert_eq!(decisions, ["abandoned", "allow"]);
}

/// Counts calls that no `poll_ready` went before.
#[derive(Debug, Default)]
struct Inner {
    ready: bool,
    unready_calls: Arc<AtomicU64>,
}

impl Clone for Inner {
    /// A clone has to be polled ready by itself.
    fn clone(&self) -> Self {
        Self { ready: false, unready_calls: self.unready_calls.clone() }
    }
}

impl Service<Request<Body>> for Inner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        if !std::mem::take(&mut self.ready) {
            self.unready_calls.fetch_add(1, Ordering::Relaxed);
        }
        std::future::ready(Ok(Response::new(Body::empty())))
    }
}

#[tokio::test]
async fn a_request_that_waited_calls_the_service_that_was_ready_and_may_wait_for_keys_as_well() {
    let world = World::new().await;
    let memory = Memory::default();
    // Cold: the keys are fetched after the wait for a place.
    let layer = world.layer().add_audit(Audit::new(memory.sink()).max_entries(1)).build().unwrap();
    let inner = Inner::default();
    let mut service = layer.layer(inner.clone());
    let token = world.token().sign();
    let other = router(&layer);
    let mut hanging = Box::pin(call(&other, request("/hang", &token)));
    assert!(poll!(&mut hanging).is_pending());
    let mut waiting = pin!(service.ready().await.unwrap().call(request("/", &token)));
    assert!(poll!(&mut waiting).is_pending());
    drop(hanging);
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(inner.unready_calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_sink_that_fails_loses_what_it_is_allowed_to_lose() {
    let world = World::new().await;
    for (name, overflow, panics, dropped) in [
        ("fails, and requests wait", Overflow::Block, false, 0),
        ("panics, and requests wait", Overflow::Block, true, 0),
        ("fails, and events are dropped", Overflow::DropAndCount, false, 3),
        ("panics, and events are dropped", Overflow::DropAndCount, true, 3),
    ] {
        let sink = Failing::default();
        let wrong = if panics { &sink.panics } else { &sink.fails };
        wrong.store(true, Ordering::Relaxed);
        let layer = warm(&world, [Audit::new(sink.clone()).overflow(overflow)]).await;
        let router = router(&layer);
        let token = world.token().sign();
        for _ in 0..3 {
            assert_eq!(call(&router, request("/open", &token)).await, 200, "{name}");
        }
        wait_until(|| status(&layer).failures > 0 && status(&layer).dropped == dropped);
        assert!(status(&layer).is_failing, "{name}");
        sink.revive();
        assert_eq!(call(&router, request("/open", &token)).await, 200, "{name}");
        layer.flush_audit(Duration::from_secs(5)).await.unwrap();
        let status = status(&layer);
        assert_eq!((status.recorded, status.dropped), (4 - dropped, dropped), "{name}");
        assert_eq!(sink.delivered.load(Ordering::Relaxed), 4 - dropped, "{name}");
        assert!(!status.is_failing, "{name}");
    }
}

#[tokio::test]
async fn an_inline_sink_that_fails_or_panics_disturbs_no_request() {
    let world = World::new().await;
    let sink = Failing::default();
    sink.panics.store(true, Ordering::Relaxed);
    let layer = warm(&world, [Audit::inline(sink.clone())]).await;
    let router = router(&layer);
    assert_eq!(call(&router, request("/open", &world.token().sign())).await, 200);
    sink.revive();
    sink.fails.store(true, Ordering::Relaxed);
    assert_eq!(call(&router, request("/open", &world.token().sign())).await, 200);
    let status = status(&layer);
    assert_eq!((status.dropped, status.failures, status.recorded), (2, 2, 0));
    assert_eq!((status.queued, status.max_entries), (0, 0));
}

#[tokio::test]
async fn refused_configurations() {
    let world = World::new().await;
    for capacity in [0, usize::MAX] {
        let audit = Audit::new(Failing::default()).max_entries(capacity);
        assert!(world.layer().add_audit(audit).build().is_err(), "{capacity}");
    }
    assert!(tower_delegation::audit::TokenHashKey::new(b"short").is_err());
}
