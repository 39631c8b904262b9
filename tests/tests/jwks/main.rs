//! The issuer's keys: how often they are fetched, from where, and what holds
//! while they cannot be. Fetches are counted at a real server; time is a test
//! clock.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "what goes wrong in a test fails the test, also in its helpers"
)]

mod documents;
mod flood;
mod freshness;
mod metadata;
mod metrics;
mod outage;
mod rotation;
mod status;
mod stress;
mod transport;
mod vectors;

use std::{
    future::{Future, poll_fn},
    io::Write as _,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header::AUTHORIZATION},
    routing::get,
};
use integration_tests::{AUDIENCE, World};
use tower::ServiceExt as _;
use tower_delegation::{
    DelegationContext, DelegationLayer, TrustedIssuer,
    jwks::{KeySourceErrorKind, KeyStatus},
};
use tower_delegation_testing::{Endpoint, MockIdpBuilder};

/// When a set without `Cache-Control` is refreshed: at 80 % of ten minutes.
const DEFAULT_REFRESH: Duration = Duration::from_secs(480);

/// How long such a set is fresh.
const LIFETIME: Duration = Duration::from_secs(600);

/// Time in which one more fetch for missed keys is granted.
const REFILL: Duration = Duration::from_secs(10);

/// The time for one fetch.
const FETCH_LIMIT: Duration = Duration::from_secs(45);

const DAY: Duration = Duration::from_secs(24 * 3600);

const SECOND: Duration = Duration::from_secs(1);

/// Prints a line that the test harness does not keep to itself.
fn say(line: &str) {
    // Nobody listens: nothing to be done about it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A world whose tokens outlive every test, so that no refusal is for their age.
async fn lasting() -> World {
    lasting_with(|idp| idp).await
}

async fn lasting_with(configure: impl FnOnce(MockIdpBuilder) -> MockIdpBuilder) -> World {
    World::with(|idp| configure(idp.token_lifetime(100 * DAY))).await
}

/// A [`World`] with services that are called in process: only their way to the
/// provider goes over sockets.
trait Observed {
    /// A service that has asked for nothing yet.
    fn service(&self) -> Service;
    fn service_of(&self, issuer: TrustedIssuer) -> Service;
    /// A service that has the provider's keys: one fetch.
    async fn warm_service(&self) -> Service;
    fn fetches(&self) -> usize;
    /// Lets time pass until the set is refreshed, and waits until the refresh has landed.
    async fn refresh(&self, service: &Service);
}

impl Observed for World {
    fn service(&self) -> Service {
        self.service_of(TrustedIssuer::discover(self.idp.issuer()).unwrap())
    }

    fn service_of(&self, issuer: TrustedIssuer) -> Service {
        let builder = DelegationLayer::builder().add_issuer(issuer.add_audience(AUDIENCE));
        Service::new(builder.clock(self.clock.clone()).build().unwrap())
    }

    async fn warm_service(&self) -> Service {
        let service = self.service();
        service.layer.warm_up().await.unwrap();
        service
    }

    fn fetches(&self) -> usize {
        self.idp.requests(Endpoint::Jwks)
    }

    async fn refresh(&self, service: &Service) {
        let fetches = self.fetches();
        self.clock.advance(DEFAULT_REFRESH);
        self.idp.wait_for_requests(Endpoint::Jwks, fetches + 1).await;
        service.until("the refresh has landed", |status| status.age == Some(Duration::ZERO)).await;
    }
}

/// A request that waits for a fetch.
type Waiting = Pin<Box<dyn Future<Output = StatusCode> + Send>>;

/// `GET /` behind the layer. Clones share the layer's keys.
#[derive(Clone)]
struct Service {
    layer: DelegationLayer,
    router: Router,
}

impl Service {
    fn new(layer: DelegationLayer) -> Self {
        let whoami = get(async |delegation: DelegationContext| delegation.subject().id().to_string());
        Self { router: Router::new().route("/", whoami).layer(layer.clone()), layer }
    }

    /// The status of the answer to a request with this token.
    fn call(&self, token: &str) -> impl Future<Output = StatusCode> + Send + use<> {
        let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}"));
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap());
        async move { response.await.unwrap().status() }
    }

    /// The same, for a request that must not wait for anything.
    fn call_at_once(&self, token: &str) -> StatusCode {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(self.call(token)).poll(&mut context) {
            Poll::Ready(status) => status,
            Poll::Pending => panic!("the request waits for a fetch"),
        }
    }

    /// The same, for a request that must wait.
    async fn call_waiting(&self, token: &str) -> Waiting {
        let mut waiting: Waiting = Box::pin(self.call(token));
        poll_fn(|context| {
            assert!(waiting.as_mut().poll(context).is_pending(), "the request does not wait for a fetch");
            Poll::Ready(())
        })
        .await;
        waiting
    }

    fn status(&self) -> KeyStatus {
        let status = self.layer.status();
        let [issuer] = status.issuers.as_slice() else { panic!("one issuer: {status:?}") };
        issuer.clone()
    }

    fn last_error(&self) -> Option<KeySourceErrorKind> {
        self.status().last_error
    }

    /// Lets the background tasks run until the keys' status is as wanted.
    async fn until(&self, what: &str, is_so: impl Fn(&KeyStatus) -> bool) {
        let waiting = async {
            while !is_so(&self.status()) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(20 * SECOND, waiting).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.status());
    }
}
