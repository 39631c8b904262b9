use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::signature::{ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::sync::{Semaphore, watch};

use super::{KeyCache, KeyLimits, KeyStatus};
use crate::{
    clock::{Clock, Moment, Sleep, Timestamp},
    jwks::{
        AlgorithmSet, FetchReason, FetchedKeys, KeyFetch, KeyRequest, KeySet, KeySource, KeySourceError,
        KeySourceErrorKind, SignatureAlgorithm, VerifyingKey, jwk::MAX_KEY_ID_LEN,
    },
    reason::DenialReason,
    step::Step,
};

mod budget;
mod freshness;
mod outage;
mod withdrawal;

const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EdDsa;

/// A clock that moves by hand and wakes its sleepers.
#[derive(Debug)]
struct ManualClock {
    monotonic: watch::Sender<Duration>,
    /// How far the wall clock is ahead of the monotonic one, in seconds.
    asleep: AtomicU64,
}

impl ManualClock {
    fn new() -> Arc<Self> {
        // Not at zero, as on a machine that has run for a while.
        let monotonic = watch::Sender::new(Duration::from_secs(100_000));
        Arc::new(Self { monotonic, asleep: AtomicU64::new(0) })
    }

    /// The machine is suspended for a while: only the wall clock goes on.
    fn suspend(&self, seconds: u64) {
        self.asleep.fetch_add(seconds, Ordering::SeqCst);
    }

    fn advance(&self, seconds: u64) {
        self.monotonic.send_modify(|now| *now += Duration::from_secs(seconds));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let asleep = Duration::from_secs(self.asleep.load(Ordering::SeqCst));
        Timestamp::from_unix_seconds(1_800_000_000).saturating_add(self.monotonic()).saturating_add(asleep)
    }

    fn monotonic(&self) -> Duration {
        *self.monotonic.borrow()
    }

    fn sleep_until(&self, deadline: Duration) -> Sleep {
        let mut time = self.monotonic.subscribe();
        Box::pin(async move {
            if time.wait_for(|now| *now >= deadline).await.is_err() {
                std::future::pending().await
            }
        })
    }
}

/// A source that counts, waits at a gate, and answers as the test says.
#[derive(Debug)]
struct FakeSource {
    fetches: AtomicUsize,
    etags: Mutex<Vec<Option<String>>>,
    reasons: Mutex<Vec<FetchReason>>,
    gate: Semaphore,
    gated: AtomicBool,
    panics: AtomicBool,
    answer: Mutex<Result<FetchedKeys, KeySourceError>>,
}

impl KeySource for FakeSource {
    fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "told to");
        self.etags.lock().unwrap().push(request.etag.map(str::to_owned));
        self.reasons.lock().unwrap().push(request.reason);
        Box::pin(async {
            if self.gated.load(Ordering::SeqCst) {
                self.gate.acquire().await.unwrap().forget();
            }
            self.answer.lock().unwrap().clone()
        })
    }
}

impl FakeSource {
    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn answer(&self, answer: Result<FetchedKeys, KeySourceError>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn publish(&self, kids: &[&str]) {
        self.answer(Ok(FetchedKeys::document(document(kids))));
    }

    fn fail(&self) {
        self.answer(Err(KeySourceErrorKind::Unreachable.into()));
    }

    fn close_gate(&self) {
        self.gated.store(true, Ordering::SeqCst);
    }

    fn open_gate(&self) {
        self.gated.store(false, Ordering::SeqCst);
        self.gate.add_permits(1);
    }
}

/// A set with one key for each `kid`; the same `kid` has the same key each time.
fn document(kids: &[&str]) -> String {
    let keys: Vec<String> = kids.iter().map(|kid| jwk(kid, kid)).collect();
    format!(r#"{{"keys": [{}]}}"#, keys.join(","))
}

fn jwk(kid: &str, seed: &str) -> String {
    let mut bytes = [7; ED25519_PUBLIC_KEY_LEN];
    for (byte, seed) in bytes.iter_mut().zip(seed.bytes()) {
        *byte = seed;
    }
    let pair = Ed25519KeyPair::from_seed_unchecked(&bytes).unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    format!(r#"{{"kty": "OKP", "crv": "Ed25519", "kid": "{kid}", "x": "{x}"}}"#)
}

struct Fixture {
    clock: Arc<ManualClock>,
    source: Arc<FakeSource>,
    cache: Arc<KeyCache>,
}

/// So that a test can keep hold of the source that it gives away.
#[derive(Debug)]
struct Shared(Arc<FakeSource>);

impl KeySource for Shared {
    fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a> {
        self.0.fetch(request)
    }
}

impl Fixture {
    fn new(kids: &[&str]) -> Self {
        Self::with(kids, KeyLimits::DEFAULT)
    }

    fn with(kids: &[&str], limits: KeyLimits) -> Self {
        let clock = ManualClock::new();
        let source = Arc::new(FakeSource {
            fetches: AtomicUsize::new(0),
            etags: Mutex::default(),
            reasons: Mutex::default(),
            gate: Semaphore::new(0),
            gated: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            answer: Mutex::new(Ok(FetchedKeys::document(document(kids)))),
        });
        let cache = KeyCache::new(
            "https://idp.example.com".into(),
            AlgorithmSet::ALL,
            Arc::new(Shared(Arc::clone(&source))),
            limits,
            Arc::<ManualClock>::clone(&clock),
        );
        Self { clock, source, cache }
    }

    async fn loaded(kids: &[&str]) -> Self {
        let fixture = Self::new(kids);
        fixture.cache.warm_up().await.unwrap();
        settle().await;
        fixture
    }

    async fn resolve(&self, kid: &str) -> Result<Arc<VerifyingKey>, DenialReason> {
        self.cache.resolve(ALGORITHM, Some(kid), self.now()).answer().await
    }

    fn resolve_now(&self, kid: &str) -> Result<Arc<VerifyingKey>, DenialReason> {
        match self.cache.resolve(ALGORITHM, Some(kid), self.now()) {
            Step::Ready(answer) => answer,
            Step::Wait(_) => panic!("{kid} waits for a fetch"),
        }
    }

    /// What becomes of a token that names this key and whose signature does not
    /// verify with the key found.
    async fn doubt(&self, kid: &str) -> Result<Arc<VerifyingKey>, DenialReason> {
        let key = self.resolve_now(kid)?;
        self.cache.resolve_other_than(&key, ALGORITHM, Some(kid).into(), self.now()).answer().await
    }

    fn now(&self) -> Moment {
        Moment::of(&*self.clock)
    }

    fn epoch(&self) -> Option<u64> {
        self.cache.current_epoch(self.now())
    }

    fn reasons(&self) -> Vec<FetchReason> {
        self.source.reasons.lock().unwrap().clone()
    }

    async fn advance(&self, seconds: u64) {
        self.clock.advance(seconds);
        settle().await;
    }
}

/// Lets every task run that can, on the one thread of the test's runtime.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
