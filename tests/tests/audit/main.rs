//! What is left on record of each request, and that it is left in any case.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod files;
mod formats;
mod hostile;
mod metrics;
mod overflow;
mod plain_log;
mod record;
mod shutdown;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    thread,
};

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode, header::AUTHORIZATION};
use integration_tests::World;
use serde_json::Value;
use tower::ServiceExt as _;
use tower_delegation::{
    DelegationContext, DelegationLayer,
    audit::{Audit, Format, JsonLines, NativeFormat},
    layer::DelegationLayerBuilder,
    requires, requires_scope,
};

/// A layer with these sinks, its keys fetched.
async fn warm<const N: usize>(world: &World, audits: [Audit; N]) -> DelegationLayer {
    let layer = audits.into_iter().fold(world.layer(), DelegationLayerBuilder::add_audit);
    let layer = layer.build().unwrap();
    layer.warm_up().await.unwrap();
    layer
}

#[requires_scope("orders:read")]
#[requires(on_behalf_of_user)]
async fn order() -> &'static str {
    "order"
}

/// `GET /orders/{id}` demands a scope, `GET /open` only a token.
fn router(layer: &DelegationLayer) -> Router {
    Router::new()
        .route("/orders/{id}", get(order))
        .route("/open", get(async |_: DelegationContext| "open"))
        .route("/panic", get(async || -> &'static str { panic!("on purpose") }))
        .route("/hang", get(std::future::pending::<&'static str>))
        .layer(layer.clone())
}

fn request(path: &str, token: &str) -> Request<Body> {
    Request::get(path).header(AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap()
}

async fn call(router: &Router, request: Request<Body>) -> StatusCode {
    router.clone().oneshot(request).await.unwrap().status()
}

/// What a sink has written, in memory.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn sink(&self) -> JsonLines {
        JsonLines::to(self.clone())
    }

    fn sink_of<F: Format>(&self, format: F) -> JsonLines<F> {
        self.sink().format(format)
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn events(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn one(&self) -> Value {
        let events = self.events();
        let [event] = events.as_slice() else { panic!("expected one event, found {events:?}") };
        event.clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Inline, so that what a request leaves is there when it has ended.
fn inline(memory: &Memory) -> Audit {
    Audit::inline(memory.sink_of(NativeFormat))
}

/// Lets other threads run until something holds.
fn wait_until(what: impl Fn() -> bool) {
    while !what() {
        thread::yield_now();
    }
}
