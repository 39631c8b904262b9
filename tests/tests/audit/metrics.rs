//! What the operator's recorder hears of decisions.

use std::{collections::BTreeMap, time::Duration};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower_delegation::audit::{Audit, AuditEvent, AuditSink, SinkError};

use crate::{World, call, request, router, warm};

#[derive(Debug)]
struct Broken;

impl AuditSink for Broken {
    fn record(&self, _: &AuditEvent) -> Result<(), SinkError> {
        Err(SinkError::new("on purpose"))
    }
}

/// Counters, and how many values each histogram heard, by name and labels.
fn heard(recorder: &Snapshotter) -> BTreeMap<String, u64> {
    let mut heard = BTreeMap::new();
    for (key, _, description, value) in recorder.snapshot().into_vec() {
        assert!(description.is_some(), "{key:?} is not described");
        let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
        let value = match value {
            DebugValue::Counter(count) => count,
            DebugValue::Histogram(values) => values.len() as u64,
            DebugValue::Gauge(_) => continue,
        };
        heard.insert(format!("{}{{{}}}", key.key().name(), labels.join(",")), value);
    }
    heard
}

#[tokio::test]
async fn requests_are_counted_by_decision_and_reason_and_by_nothing_that_strangers_choose() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // Of this thread alone: the other tests are not heard.
    let _here = metrics::set_default_local_recorder(&recorder);
    let world = World::new().await;
    let layer = warm(&world, [Audit::inline(Broken).patience(Duration::ZERO)]).await;
    let router = router(&layer);
    let good = world.token().sign();
    for _ in 0..3 {
        assert_eq!(call(&router, request("/orders/7", &good)).await, 200);
    }
    assert_eq!(call(&router, request("/open", &good)).await, 200);
    for number in 0..5 {
        let stranger = world.token().subject(format!("stranger-{number}")).scopes([format!("s-{number}")]);
        assert_eq!(call(&router, request(&format!("/orders/{number}"), &stranger.sign())).await, 403);
        assert_eq!(call(&router, request(&format!("/junk-{number}"), "junk")).await, 401);
    }
    let mut heard = heard(&snapshotter);
    heard.retain(|name, _| !name.contains("jwks") && !name.contains("tokens"));
    let expected = [
        ("tower_delegation_requests_total{allow,none}", 3),
        ("tower_delegation_requests_total{none,none}", 1),
        ("tower_delegation_requests_total{deny,scope_missing}", 5),
        ("tower_delegation_requests_total{deny,token_malformed}", 5),
        ("tower_delegation_decision_seconds{}", 14),
        ("tower_delegation_audit_events_total{dropped}", 14),
    ];
    assert_eq!(heard, expected.map(|(name, count)| (name.to_owned(), count)).into());
}

/// Without a sink that listens, decisions are counted all the same.
#[tokio::test]
async fn counting_needs_no_sink() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _here = metrics::set_default_local_recorder(&recorder);
    let world = World::new().await;
    let router = router(&warm(&world, []).await);
    assert_eq!(call(&router, request("/orders/7", &world.token().sign())).await, 200);
    assert_eq!(heard(&snapshotter)["tower_delegation_requests_total{allow,none}"], 1);
}
