//! A policy that takes its time, behind the layer of a requirement, that of a table,
//! and an extractor.

use std::{
    convert::Infallible,
    future::Ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Method, header::AUTHORIZATION, request::Parts};
use http_body_util::Full;
use tokio::sync::{Notify, oneshot};
use tower::{Layer as _, ServiceExt as _};

use super::*;
use crate::{
    authorization::sealed::Decide,
    clock::{Clock, Sleep, Timestamp},
    context::DelegationContext,
    credential::ProtectionSpace,
    issuer::TrustedIssuer,
    layer::DelegationLayer,
    reason::DenialReason,
    requirement::Requirement,
    revocation::{InMemoryRevocations, Revocation},
    routes::RouteTable,
};

const ISSUER: &str = "https://idp.example.com";
const AUDIENCE: &str = "https://orders.example.com";

/// Moved by hand.
#[derive(Clone, Debug, Default)]
struct Hands(Arc<AtomicI64>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst).unsigned_abs())
    }

    fn sleep_until(&self, _: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

/// Asks another policy first, and then someone who answers when the test lets them.
#[derive(Clone)]
struct Slow<P> {
    policy: P,
    asked: Arc<Notify>,
    answer: Arc<Mutex<Option<oneshot::Receiver<Verdict>>>>,
}

impl<P> Slow<P> {
    fn new(policy: P) -> (Self, oneshot::Sender<Verdict>) {
        let (sender, answer) = oneshot::channel();
        let (asked, answer) = (Arc::default(), Arc::new(Mutex::new(Some(answer))));
        (Self { policy, asked, answer }, sender)
    }
}

impl<P: Policy> Policy for Slow<P> {}

impl<P: Decide> Decide for Slow<P> {
    fn judge(&self, head: &mut Parts) -> Step<Verdict> {
        if let Step::Ready(Err(rejection)) = self.policy.judge(head) {
            return Step::Ready(Err(rejection));
        }
        let answer = self.answer.lock().unwrap().take().unwrap();
        self.asked.notify_one();
        Step::wait(async { answer.await.unwrap_or_else(|_| Err(Rejection::undecided(false))) })
    }

    fn judge_again(&self, head: &mut Parts) -> Verdict {
        self.policy.judge_again(head)
    }
}

/// A provider with one key, and the clock that all share.
struct World {
    clock: Hands,
    revocations: InMemoryRevocations,
    pair: EcdsaKeyPair,
}

impl World {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { clock: Hands::default(), revocations: InMemoryRevocations::new(), pair }
    }

    fn advance(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn layer(&self) -> DelegationLayer {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let jwks = format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k","x":"{x}","y":"{y}"}}]}}"#);
        let issuer = TrustedIssuer::with_static_keys(ISSUER, &jwks).unwrap().add_audience(AUDIENCE);
        DelegationLayer::builder()
            .add_issuer(issuer)
            .clock(self.clock.clone())
            .revocations(self.revocations.clone())
            .build()
            .unwrap()
    }

    /// A request with a token that is good for an hour.
    fn request(&self) -> Request<()> {
        let now = self.clock.now().unix_seconds();
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}"#);
        let claims = format!(
            r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"alice","client_id":"shop-web","jti":"1",
                "scope":"orders:read","iat":{now},"exp":{}}}"#,
            now + 3600
        );
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        Request::get("/orders").header(AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap()
    }
}

/// Answers 200, and 500 where it was not polled ready before: a clone is not.
#[derive(Debug, Default)]
struct Orders {
    is_ready: bool,
}

impl Clone for Orders {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<()>> for Orders {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let is_known = request.extensions().get::<DelegationContext>().is_some();
        let status = if mem::take(&mut self.is_ready) && is_known { 200 } else { 500 };
        std::future::ready(Ok(Response::builder().status(status).body(Full::default()).unwrap()))
    }
}

/// Who decides about a request in these tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Layer,
    Table,
    #[cfg(feature = "axum")]
    Extractor,
}

const EACH: &[By] = &[
    By::Layer,
    By::Table,
    #[cfg(feature = "axum")]
    By::Extractor,
];

fn read_orders() -> Arc<Requirement> {
    Arc::new(Requirement::named("orders").scope("orders:read"))
}

fn table(requirement: Requirement) -> RouteTable {
    RouteTable::builder().row(Method::GET, "/orders", requirement).build().unwrap()
}

/// What happens while a request waits, and what the policy then answers.
struct Row {
    name: &'static str,
    meanwhile: fn(&World),
    answer: Option<fn() -> Verdict>,
    status: u16,
}

/// Sends a request that a slow policy decides about.
async fn send(by: By, world: &World, row: &Row) -> u16 {
    match by {
        By::Layer => through(read_orders(), world, row).await,
        By::Table => through(table(Requirement::clone(&read_orders())), world, row).await,
        #[cfg(feature = "axum")]
        By::Extractor => extracted(world, row).await,
    }
}

async fn through<P: Policy>(policy: P, world: &World, row: &Row) -> u16 {
    let (policy, answer) = Slow::new(policy);
    let asked = policy.asked.clone();
    let mut service = world.layer().layer(GuardLayer::new(policy).layer(Orders::default()));
    let answered = service.ready().await.unwrap().call(world.request());
    let (response, ()) = tokio::join!(answered, release(&asked, answer, world, row));
    response.unwrap().status().as_u16()
}

/// Lets the policy answer, once it was asked and `row` has happened.
async fn release(asked: &Notify, answer: oneshot::Sender<Verdict>, world: &World, row: &Row) {
    asked.notified().await;
    (row.meanwhile)(world);
    if let Some(verdict) = row.answer {
        answer.send(verdict()).unwrap();
    }
}

#[cfg(feature = "axum")]
async fn extracted(world: &World, row: &Row) -> u16 {
    use axum::{Router, body::Body, extract::FromRequestParts, routing::get};

    struct Waited;

    impl<S: Sync> FromRequestParts<S> for Waited {
        type Rejection = Rejection;

        async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Rejection> {
            let policy = head.extensions.get::<Slow<Arc<Requirement>>>().unwrap().clone();
            crate::authorization::admit(&policy, head).await.map(|()| Self)
        }
    }

    let (policy, answer) = Slow::new(read_orders());
    let asked = policy.asked.clone();
    let service = Router::new().route("/orders", get(async |_: Waited| "orders")).layer(world.layer());
    let mut request = world.request().map(|()| Body::empty());
    request.extensions_mut().insert(policy);
    let (response, ()) = tokio::join!(service.oneshot(request), release(&asked, answer, world, row));
    response.unwrap().status().as_u16()
}

fn too_narrow() -> Verdict {
    Err(Rejection::new(DenialReason::ScopeMissing, Arc::new(ProtectionSpace::new("api", None)), None))
}

/// The request waits, the service that was polled ready is the one that is called, and
/// what was judged before the wait is judged again.
#[tokio::test]
async fn a_request_waits_for_its_policy() {
    let rows = [
        Row { name: "it allows", meanwhile: |_| {}, answer: Some(|| Ok(())), status: 200 },
        Row { name: "it refuses", meanwhile: |_| {}, answer: Some(too_narrow), status: 403 },
        Row { name: "it is gone", meanwhile: |_| {}, answer: None, status: 500 },
        Row {
            name: "time passes",
            meanwhile: |world| world.advance(60),
            answer: Some(|| Ok(())),
            status: 200,
        },
        Row {
            name: "the token expires",
            meanwhile: |world| world.advance(3600 + 30),
            answer: Some(|| Ok(())),
            status: 401,
        },
        Row {
            name: "another subject is revoked",
            meanwhile: |world| world.revocations.revoke(Revocation::subject(ISSUER, "bob")).unwrap(),
            answer: Some(|| Ok(())),
            status: 200,
        },
        Row {
            name: "the subject is revoked",
            meanwhile: |world| world.revocations.revoke(Revocation::subject(ISSUER, "alice")).unwrap(),
            answer: Some(|| Ok(())),
            status: 401,
        },
        Row {
            name: "the subject is revoked, and it refuses",
            meanwhile: |world| world.revocations.revoke(Revocation::subject(ISSUER, "alice")).unwrap(),
            answer: Some(too_narrow),
            status: 403,
        },
    ];
    for row in &rows {
        for by in EACH {
            let status = send(*by, &World::new(), row).await;
            assert_eq!(status, row.status, "{by:?}: {}", row.name);
        }
    }
}

/// The rows of now count, and an exception that has ended meanwhile.
#[tokio::test]
async fn the_rule_of_now_counts_after_the_wait() {
    let row = |meanwhile| Row { name: "", meanwhile, answer: Some(|| Ok(())), status: 0 };
    let end = Timestamp::from_unix_seconds(1_800_000_300);
    for (passed, status) in [(0, 200), (299, 200), (300, 403)] {
        let meanwhile: fn(&World) = match passed {
            0 => |_| {},
            299 => |world| world.advance(299),
            _ => |world| world.advance(300),
        };
        let narrow = Requirement::new().scope("orders:write").exception("not yet", end);
        assert_eq!(through(table(narrow), &World::new(), &row(meanwhile)).await, status, "{passed}");
    }
}

/// What the requirement refuses, the policy behind it is not asked about.
#[tokio::test]
async fn what_is_refused_at_once_does_not_wait() {
    let world = World::new();
    let (policy, _answer) = Slow::new(Arc::new(Requirement::new().scope("orders:write")));
    let service = world.layer().layer(GuardLayer::new(policy.clone()).layer(Orders::default()));
    assert_eq!(service.oneshot(world.request()).await.unwrap().status(), 403);
    assert!(policy.answer.lock().unwrap().is_some());
    // And without a layer outside, nothing was verified.
    let service = GuardLayer::new(policy.clone()).layer(Orders::default());
    assert_eq!(service.oneshot(world.request()).await.unwrap().status(), 500);
    assert!(policy.answer.lock().unwrap().is_some());
}
