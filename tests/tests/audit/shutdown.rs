//! What is under way when the service stops is not lost.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tower_delegation::audit::{Audit, AuditEvent, AuditSink, SinkError};

use crate::{Memory, World, call, request, router, wait_until, warm};

/// Records an event only when it gets a pass.
#[derive(Debug)]
struct Gated {
    passes: Mutex<mpsc::Receiver<()>>,
    recorded: Arc<AtomicU64>,
}

impl AuditSink for Gated {
    fn record(&self, _: &AuditEvent) -> Result<(), SinkError> {
        self.passes.lock().unwrap().recv().map_err(SinkError::new)?;
        self.recorded.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn gated() -> (mpsc::Sender<()>, Arc<AtomicU64>, Gated) {
    let (pass, passes) = mpsc::channel();
    let recorded = Arc::<AtomicU64>::default();
    (pass, recorded.clone(), Gated { passes: Mutex::new(passes), recorded })
}

#[tokio::test]
async fn a_flush_waits_for_the_last_event_and_says_when_it_cannot() {
    let world = World::new().await;
    let (pass, recorded, sink) = gated();
    let layer = warm(&world, [Audit::new(sink)]).await;
    let router = router(&layer);
    let token = world.token().sign();
    for _ in 0..3 {
        assert_eq!(call(&router, request("/open", &token)).await, 200);
    }
    let mut flush = Box::pin(layer.flush_audit(Duration::from_secs(5)));
    assert!(futures_util::poll!(&mut flush).is_pending());
    world.clock.advance(Duration::from_secs(5));
    let error = flush.await.unwrap_err();
    assert_eq!(error.to_string(), "audit events are still unwritten when the time is over");

    for _ in 0..3 {
        pass.send(()).unwrap();
    }
    layer.flush_audit(Duration::from_secs(5)).await.unwrap();
    assert_eq!(recorded.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_guard_waits_when_it_is_dropped_but_not_for_ever() {
    let world = World::new().await;
    let (pass, recorded, sink) = gated();
    let layer = warm(&world, [Audit::new(sink)]).await;
    let router = router(&layer);
    let token = world.token().sign();
    assert_eq!(call(&router, request("/open", &token)).await, 200);
    let began = Instant::now();
    drop(layer.audit_guard(Duration::from_millis(20)));
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!(recorded.load(Ordering::Relaxed), 0);

    let guard = layer.audit_guard(Duration::from_secs(60));
    pass.send(()).unwrap();
    drop(guard);
    assert_eq!(recorded.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_thread_empties_the_queue_when_the_layer_is_gone_and_ends() {
    /// Tells by its own end that the thread has dropped its sink.
    #[derive(Debug)]
    struct Ending(Memory, #[expect(dead_code, reason = "held")] Arc<()>);

    impl AuditSink for Ending {
        fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
            self.0.sink().record(event)
        }
    }

    let world = World::new().await;
    let (memory, alive) = (Memory::default(), Arc::new(()));
    let ended: Weak<()> = Arc::downgrade(&alive);
    let layer = warm(&world, [Audit::new(Ending(memory.clone(), alive))]).await;
    let router = router(&layer);
    let token = world.token().sign();
    for _ in 0..100 {
        assert_eq!(call(&router, request("/open", &token)).await, 200);
    }
    drop((layer, router));
    wait_until(|| ended.upgrade().is_none());
    assert_eq!(memory.events().len(), 100);
}
