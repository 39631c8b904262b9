use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_lc_rs::signature::{ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::{
    clock::{Sleep, Timestamp},
    jwks::{FetchedKeys, KeyFetch, KeyRequest},
};

const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EdDsa;

/// A clock that moves by hand and wakes its sleepers.
#[derive(Debug)]
struct ManualClock(watch::Sender<Duration>);

impl ManualClock {
    fn new() -> Arc<Self> {
        // Not at zero, as on a machine that has run for a while.
        Arc::new(Self(watch::Sender::new(Duration::from_secs(100_000))))
    }

    fn advance(&self, seconds: u64) {
        self.0.send_modify(|now| *now += Duration::from_secs(seconds));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000).saturating_add(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        *self.0.borrow()
    }

    fn sleep_until(&self, deadline: Duration) -> Sleep {
        let mut time = self.0.subscribe();
        Box::pin(async move {
            if time.wait_for(|now| *now >= deadline).await.is_err() {
                std::future::pending().await
            }
        })
    }
}

/// A source that counts, waits at a gate, and answers as it is told.
#[derive(Debug)]
struct FakeSource {
    fetches: AtomicUsize,
    etags: Mutex<Vec<Option<String>>>,
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
        let clock = ManualClock::new();
        let source = Arc::new(FakeSource {
            fetches: AtomicUsize::new(0),
            etags: Mutex::default(),
            gate: Semaphore::new(0),
            gated: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            answer: Mutex::new(Ok(FetchedKeys::document(document(kids)))),
        });
        let cache = KeyCache::new(
            "https://idp.example.com".into(),
            AlgorithmSet::ALL,
            Arc::new(Shared(Arc::clone(&source))),
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
        match self.cache.resolve(ALGORITHM, Some(kid)) {
            Resolution::Ready(answer) => answer,
            Resolution::Pending(answer) => answer.await,
        }
    }

    fn resolve_now(&self, kid: &str) -> Result<Arc<VerifyingKey>, DenialReason> {
        match self.cache.resolve(ALGORITHM, Some(kid)) {
            Resolution::Ready(answer) => answer,
            Resolution::Pending(_) => panic!("{kid} waits for a fetch"),
        }
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

#[tokio::test]
async fn a_thousand_cold_callers_cause_one_fetch() {
    let fixture = Fixture::new(&["k1"]);
    fixture.source.close_gate();
    let callers: Vec<_> = (0..1000)
        .map(|_| match fixture.cache.resolve(ALGORITHM, Some("k1")) {
            Resolution::Pending(answer) => tokio::spawn(answer),
            Resolution::Ready(answer) => panic!("{answer:?}"),
        })
        .collect();
    settle().await;
    fixture.source.open_gate();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().key_id(), Some("k1"));
    }
    assert_eq!(fixture.source.fetches(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let fixture = Fixture::new(&["k1"]);
    fixture.source.close_gate();
    drop(fixture.cache.resolve(ALGORITHM, Some("k1")));
    let follower = fixture.cache.resolve(ALGORITHM, Some("k1"));
    settle().await;
    fixture.source.open_gate();
    let Resolution::Pending(follower) = follower else { panic!("{follower:?}") };
    assert!(follower.await.is_ok());
    assert_eq!(fixture.source.fetches(), 1);
}

#[tokio::test]
async fn a_burst_of_junk_costs_one_fetch() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.close_gate();
    let callers: Vec<_> =
        (0..1000).map(|number| fixture.cache.resolve(ALGORITHM, Some(&format!("junk-{number}")))).collect();
    settle().await;
    assert!(fixture.resolve_now("k1").is_ok(), "a known key never waits");
    fixture.source.open_gate();
    for caller in callers {
        let Resolution::Pending(caller) = caller else { panic!("{caller:?}") };
        assert_eq!(caller.await.unwrap_err(), DenialReason::KeyUnknown);
    }
    assert_eq!(fixture.source.fetches(), 2);
    // All are remembered now, and cost nothing more.
    for number in 0..1000 {
        assert_eq!(fixture.resolve_now(&format!("junk-{number}")).unwrap_err(), DenialReason::KeyUnknown);
    }
    assert_eq!(fixture.source.fetches(), 2);
}

#[tokio::test]
async fn a_flood_costs_one_fetch_per_refill_and_a_rotation_is_followed_within_one() {
    let fixture = Fixture::loaded(&["k1"]).await;
    for number in 0..100 {
        assert_eq!(fixture.resolve(&format!("junk-{number}")).await.unwrap_err(), DenialReason::KeyUnknown);
    }
    assert_eq!(fixture.source.fetches(), 1 + 3);
    fixture.source.publish(&["k1", "k2"]);
    assert_eq!(fixture.resolve_now("k2").unwrap_err(), DenialReason::KeyUnknown);
    fixture.advance(10).await;
    assert_eq!(fixture.resolve("k2").await.unwrap().key_id(), Some("k2"));
    assert_eq!(fixture.source.fetches(), 1 + 4);
}

#[tokio::test]
async fn a_rotation_is_followed_on_the_first_token() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.publish(&["k2"]);
    assert!(fixture.resolve("k2").await.is_ok());
    assert_eq!(fixture.source.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_was_asked_for_too_early_is_followed_within_one_refill() {
    let fixture = Fixture::loaded(&["k1"]).await;
    assert!(fixture.resolve("k2").await.is_err());
    fixture.source.publish(&["k1", "k2"]);
    fixture.advance(9).await;
    assert_eq!(fixture.resolve_now("k2").unwrap_err(), DenialReason::KeyUnknown);
    fixture.advance(1).await;
    assert!(fixture.resolve("k2").await.is_ok());
}

#[tokio::test]
async fn a_mismatch_never_fetches() {
    let fixture = Fixture::loaded(&["k1", "twin", "twin"]).await;
    for (kid, algorithm, denial) in [
        (Some("k1"), SignatureAlgorithm::Es256, DenialReason::KeyMismatch),
        (Some("twin"), ALGORITHM, DenialReason::KeyAmbiguous),
        (None, ALGORITHM, DenialReason::KeyAmbiguous),
    ] {
        let Resolution::Ready(Err(found)) = fixture.cache.resolve(algorithm, kid) else { panic!("{kid:?}") };
        assert_eq!(found, denial, "{kid:?}");
    }
    let overlong = "k".repeat(MAX_KEY_ID_LEN + 1);
    assert_eq!(fixture.resolve_now(&overlong).unwrap_err(), DenialReason::KeyUnknown);
    assert_eq!(fixture.source.fetches(), 1);
}

#[tokio::test]
async fn an_outage_spares_known_keys_and_ends() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.fail();
    assert_eq!(fixture.resolve("k2").await.unwrap_err(), DenialReason::KeysUnavailable);
    assert!(fixture.resolve_now("k1").is_ok());
    for _ in 0..2 {
        assert_eq!(fixture.resolve("k2").await.unwrap_err(), DenialReason::KeysUnavailable);
    }
    // The bucket is empty, and nothing is known.
    assert_eq!(fixture.resolve_now("k2").unwrap_err(), DenialReason::KeysUnavailable);
    assert_eq!(fixture.source.fetches(), 1 + 3);
    assert_eq!(fixture.cache.status().last_error, Some(KeySourceErrorKind::Unreachable));

    fixture.source.publish(&["k1", "k2"]);
    fixture.advance(10).await;
    assert!(fixture.resolve("k2").await.is_ok());
    assert_eq!(fixture.cache.status().last_error, None);
}

#[tokio::test]
async fn a_cold_outage_is_503_and_recovers_by_itself() {
    let fixture = Fixture::new(&["k1"]);
    fixture.source.fail();
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeysUnavailable);
    for _ in 0..100 {
        assert_eq!(fixture.resolve_now("k1").unwrap_err(), DenialReason::KeysUnavailable);
    }
    assert_eq!(fixture.cache.warm_up().await.unwrap_err().kind(), KeySourceErrorKind::Unreachable);
    assert_eq!(fixture.source.fetches(), 1);
    fixture.source.publish(&["k1"]);
    fixture.advance(2).await;
    assert!(fixture.resolve_now("k1").is_ok(), "fetched without a request");
}

#[tokio::test]
async fn background_attempts_slow_down() {
    let fixture = Fixture::new(&["k1"]);
    fixture.source.fail();
    fixture.cache.warm_up().await.unwrap_err();
    for _ in 0..3600 {
        fixture.advance(1).await;
    }
    assert!((15..=25).contains(&fixture.source.fetches()), "{}", fixture.source.fetches());
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_and_changes_the_epoch() {
    let fixture = Fixture::loaded(&["k1", "k2"]).await;
    let (first, second) = (fixture.resolve_now("k1").unwrap(), fixture.resolve_now("k2").unwrap());
    let epoch = fixture.cache.current_epoch().unwrap();

    fixture.source.publish(&["k1", "k2", "k3"]);
    fixture.advance(480).await;
    assert_eq!(fixture.cache.current_epoch(), Some(epoch), "a new key withdraws none");
    assert!(fixture.cache.is_current(&first));

    fixture.source.publish(&["k2", "k3"]);
    fixture.advance(480).await;
    assert!(fixture.cache.current_epoch().unwrap() > epoch);
    assert!(!fixture.cache.is_current(&first));
    assert!(fixture.cache.is_current(&second), "published still, though the set is another");
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeyUnknown);
}

#[tokio::test]
async fn another_key_under_the_same_name_is_another_key() {
    let fixture = Fixture::loaded(&["k1"]).await;
    let former = fixture.resolve_now("k1").unwrap();
    let epoch = fixture.cache.current_epoch();
    fixture.source.answer(Ok(FetchedKeys::document(format!(r#"{{"keys": [{}]}}"#, jwk("k1", "other")))));
    fixture.advance(480).await;
    assert!(fixture.cache.current_epoch() > epoch);
    assert!(!fixture.cache.is_current(&former));
    assert!(fixture.cache.is_current(&fixture.resolve_now("k1").unwrap()));
}

#[tokio::test]
async fn a_useless_document_never_replaces_a_good_one() {
    for (name, document) in [
        ("empty", r#"{"keys": []}"#),
        ("no set", "{}"),
        ("no JSON", "<html>"),
        ("only a secret", r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#),
    ] {
        let fixture = Fixture::loaded(&["k1"]).await;
        let epoch = fixture.cache.current_epoch();
        fixture.source.answer(Ok(FetchedKeys::document(document)));
        fixture.advance(480).await;
        assert_eq!(fixture.source.fetches(), 2, "{name}");
        assert!(fixture.resolve_now("k1").is_ok(), "{name}");
        assert_eq!(fixture.cache.current_epoch(), epoch, "{name}");
        assert!(fixture.cache.status().last_error.is_some(), "{name}");
        assert_eq!(fixture.resolve("k2").await.unwrap_err(), DenialReason::KeysUnavailable, "{name}");
    }
}

#[tokio::test]
async fn keys_are_used_for_a_day_and_no_longer() {
    let fixture = Fixture::loaded(&["k1"]).await;
    let key = fixture.resolve_now("k1").unwrap();
    fixture.source.fail();
    fixture.advance(24 * 3600).await;
    assert!(fixture.resolve_now("k1").is_ok());
    assert!(fixture.cache.is_current(&key));
    fixture.advance(1).await;
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeysUnavailable);
    assert!(!fixture.cache.is_current(&key));
    assert_eq!(fixture.cache.current_epoch(), None);
    assert!(!fixture.cache.status().has_keys);
    fixture.source.publish(&["k1"]);
    fixture.advance(300).await;
    assert!(fixture.cache.is_current(&key), "published again");
    assert!(fixture.resolve_now("k1").is_ok());
}

#[tokio::test]
async fn sets_are_refreshed_ahead_of_their_expiry() {
    for (name, max_age, due) in [
        ("default", None, 480),
        ("as it says", Some(1800), 1440),
        ("no shorter than a minute", Some(0), 48),
        ("no longer than an hour", Some(31_536_000), 2880),
    ] {
        let fixture = Fixture::new(&[]);
        let mut answer = FetchedKeys::document(document(&["k1"]));
        answer.max_age = max_age.map(Duration::from_secs);
        fixture.source.answer(Ok(answer));
        fixture.cache.warm_up().await.unwrap();
        settle().await;
        fixture.advance(due - 1).await;
        assert!(fixture.resolve_now("k1").is_ok());
        assert_eq!(fixture.source.fetches(), 1, "{name}");
        fixture.advance(1).await;
        assert_eq!(fixture.source.fetches(), 2, "{name}: without a request");
    }
}

#[tokio::test]
async fn known_keys_do_not_wait_for_a_refresh() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.close_gate();
    fixture.advance(480).await;
    assert_eq!(fixture.source.fetches(), 2);
    assert!(fixture.resolve_now("k1").is_ok());
    assert_eq!(fixture.source.fetches(), 2);
    fixture.source.open_gate();
}

#[tokio::test]
async fn not_modified_confirms_the_set() {
    let fixture = Fixture::new(&[]);
    fixture.source.answer(Ok(FetchedKeys::document(document(&["k1"])).etag("\"v1\"")));
    fixture.cache.warm_up().await.unwrap();
    let key = fixture.resolve_now("k1").unwrap();
    fixture.source.answer(Ok(FetchedKeys::not_modified()));
    for _ in 0..400 {
        fixture.advance(480).await;
    }
    assert!(fixture.cache.is_current(&key), "confirmed for more than two days");
    let etags = fixture.source.etags.lock().unwrap();
    assert_eq!(etags[0], None);
    assert!(etags[1..].iter().all(|etag| etag.as_deref() == Some("\"v1\"")));
}

#[tokio::test]
async fn not_modified_without_a_set_is_no_answer() {
    let fixture = Fixture::new(&[]);
    fixture.source.answer(Ok(FetchedKeys::not_modified()));
    assert_eq!(fixture.cache.warm_up().await.unwrap_err().kind(), KeySourceErrorKind::Refused);
    assert_eq!(fixture.resolve_now("k1").unwrap_err(), DenialReason::KeysUnavailable);
}

#[tokio::test]
async fn a_source_that_panics_or_hangs_is_asked_again() {
    let fixture = Fixture::new(&["k1"]);
    fixture.source.panics.store(true, Ordering::SeqCst);
    assert_eq!(fixture.cache.warm_up().await.unwrap_err().kind(), KeySourceErrorKind::Interrupted);
    fixture.source.panics.store(false, Ordering::SeqCst);

    fixture.source.close_gate();
    fixture.advance(2).await;
    let waiting = fixture.cache.resolve(ALGORITHM, Some("k1"));
    fixture.advance(30).await;
    let Resolution::Pending(waiting) = waiting else { panic!("{waiting:?}") };
    assert_eq!(waiting.await.unwrap_err(), DenialReason::KeysUnavailable);
    assert_eq!(fixture.cache.status().last_error, Some(KeySourceErrorKind::Timeout));

    fixture.source.open_gate();
    fixture.advance(3).await;
    assert!(fixture.resolve_now("k1").is_ok());
}

#[tokio::test]
async fn an_answer_that_is_out_of_turn_is_not_taken() {
    let fixture = Fixture::loaded(&["k2"]).await;
    let late = fixture.cache.land(1, Duration::ZERO, Ok(FetchedKeys::document(document(&["k1"]))));
    assert_eq!(late.unwrap_err().kind(), KeySourceErrorKind::Interrupted);
    assert!(fixture.resolve_now("k2").is_ok());
}

#[tokio::test]
async fn a_dropped_cache_leaves_no_task_behind() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.close_gate();
    fixture.advance(480).await;
    assert_eq!(fixture.source.fetches(), 2);
    let Fixture { clock, source, cache } = fixture;
    drop(cache);
    settle().await;
    assert_eq!(Arc::strong_count(&source), 1, "no task holds the source");
    clock.advance(100_000);
    settle().await;
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn fixed_keys_are_never_fetched_nor_stale() {
    let keys = KeySet::parse(document(&["k1"]).as_bytes(), AlgorithmSet::ALL).unwrap();
    let clock = ManualClock::new();
    let cache = KeyCache::fixed("https://idp.example.com".into(), keys, Arc::<ManualClock>::clone(&clock));
    clock.advance(1_000_000);
    assert!(matches!(cache.resolve(ALGORITHM, Some("k1")), Resolution::Ready(Ok(_))));
    let Resolution::Ready(Err(denial)) = cache.resolve(ALGORITHM, Some("k2")) else {
        panic!("a fetch of what?")
    };
    assert_eq!(denial, DenialReason::KeyUnknown);
    cache.warm_up().await.unwrap();
    assert!(cache.current_epoch().is_some());
}

#[test]
fn without_a_runtime_nothing_panics() {
    let fixture = Fixture::new(&["k1"]);
    assert_eq!(fixture.resolve_now("k1").unwrap_err(), DenialReason::KeysUnavailable);
    assert_eq!(fixture.cache.status().last_error, Some(KeySourceErrorKind::NoRuntime));
}

#[test]
fn a_runtime_that_ends_does_not_wedge_the_cache() {
    let fixture = Fixture::new(&["k1"]);
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    fixture.source.close_gate();
    let first = runtime();
    first.block_on(async {
        drop(fixture.cache.resolve(ALGORITHM, Some("k1")));
        settle().await;
    });
    drop(first);
    fixture.source.gated.store(false, Ordering::SeqCst);
    fixture.clock.advance(2);
    assert!(runtime().block_on(fixture.resolve("k1")).is_ok());
}

#[tokio::test]
async fn status_tells_how_it_goes() {
    let fixture = Fixture::new(&["k1"]);
    let cold = fixture.cache.status();
    assert_eq!((cold.has_keys, cold.key_count, cold.age), (false, 0, None));
    let document = format!(r#"{{"keys": [{}, {{"kty": "oct", "k": "AAAA"}}]}}"#, jwk("k1", "k1"));
    fixture.source.answer(Ok(FetchedKeys::document(document)));
    fixture.cache.warm_up().await.unwrap();
    fixture.advance(5).await;
    let warm = KeyStatus {
        issuer: "https://idp.example.com".into(),
        is_resolved: false,
        has_keys: true,
        key_count: 2,
        skipped_count: 1,
        age: Some(Duration::from_secs(5)),
        last_error: None,
    };
    assert_eq!(fixture.cache.status(), warm);
}
