//! What tower asks of a layer.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, Service, ServiceExt as _};
use tower_delegation::{
    Authenticator, DelegationContext, DelegationLayer, Rejection, RequireLayer, Requirement, TrustedIssuer,
    layer::{Delegation, Guard, ResponseFuture},
};

use crate::World;

/// Answers the subject's id; counts calls that no `poll_ready` went before.
#[derive(Debug, Default)]
struct Inner {
    ready: bool,
    unready_calls: Arc<AtomicUsize>,
}

impl Clone for Inner {
    /// A clone has to be polled ready by itself.
    fn clone(&self) -> Self {
        Self { ready: false, unready_calls: Arc::clone(&self.unready_calls) }
    }
}

impl Service<Request<()>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        if !std::mem::take(&mut self.ready) {
            self.unready_calls.fetch_add(1, Ordering::Relaxed);
        }
        let delegation = DelegationContext::of(&request);
        let id = delegation.map_or_else(String::new, |delegation| delegation.subject().id().to_string());
        ready(Ok(Response::new(Full::from(id))))
    }
}

fn request(token: &str) -> Request<()> {
    Request::get("/").header(AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap()
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    let world = World::new().await;
    let inner = Inner::default();
    let unready_calls = Arc::clone(&inner.unready_calls);
    let guard = RequireLayer::new(Requirement::new().scope("orders:read")).unwrap();
    let mut service = world.layer().build().unwrap().layer(guard.layer(inner));
    // Cold: the keys are fetched between `call` and the inner call. Then warm.
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(request(&world.token().sign())).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "alice");
    }
    let refused = service.ready().await.unwrap().call(request(&world.token().without("scope").sign())).await;
    assert_eq!(refused.unwrap().status(), 403);
    assert_eq!(unready_calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_plain_service_gets_problem_bodies_and_its_own_error_type() {
    let world = World::new().await;
    let service: Delegation<Inner> = world.layer().build().unwrap().layer(Inner::default());
    let response: Result<_, Infallible> = service.oneshot(request("abc")).await;
    let response = response.unwrap();
    assert_eq!(response.status(), 401);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"{\"title\":"), "{body:?}");
}

#[tokio::test]
async fn the_inner_service_stays_in_reach() {
    let world = World::new().await;
    let mut service = world.layer().build().unwrap().layer(Inner::default());
    assert!(!service.get_ref().ready);
    service.get_mut().ready = true;
    assert!(service.into_inner().ready);
}

#[test]
fn everything_crosses_threads() {
    fn assert_send_sync<T: Send + Sync + 'static>() {}
    fn assert_send<T: Send>() {}
    assert_send_sync::<DelegationLayer>();
    assert_send_sync::<Delegation<Inner>>();
    assert_send_sync::<RequireLayer>();
    assert_send_sync::<Guard<Inner, Arc<Requirement>>>();
    assert_send_sync::<Authenticator>();
    assert_send_sync::<DelegationContext>();
    assert_send_sync::<Rejection>();
    assert_send_sync::<Requirement>();
    assert_send_sync::<TrustedIssuer>();
    assert_send::<ResponseFuture<Inner, ()>>();
}

#[tokio::test]
async fn a_clone_of_the_layer_shares_its_keys() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    for _ in 0..2 {
        let service = layer.clone().layer(Inner::default());
        assert_eq!(service.oneshot(request(&world.token().sign())).await.unwrap().status(), 200);
    }
    assert_eq!(world.idp.requests(tower_delegation_testing::Endpoint::Jwks), 1);
}
