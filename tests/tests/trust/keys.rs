//! Keys that are withdrawn, refreshed for an incident, or too old.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use integration_tests::{AUDIENCE, Served, World, whoami};
use tokio::sync::{Mutex, Semaphore};
use tower_delegation::{
    ConfigError, DelegationLayer, TrustedIssuer,
    clock::Clock as _,
    issuer::Grants,
    jwks::{FetchReason, FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceErrorKind},
};
use tower_delegation_testing::{Endpoint, TestClock};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);
const EMPTY: &str = r#"{"keys": []}"#;

/// The layer and its service, which has verified `token` twice: it is cached.
async fn warm(world: &World, issuer: TrustedIssuer, token: &str) -> (DelegationLayer, Served) {
    let layer = DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone()).build().unwrap();
    let served = Served::start(whoami().layer(layer.clone())).await;
    for _ in 0..2 {
        assert_eq!(served.get("/", token).await.status, 200);
    }
    (layer, served)
}

fn long_lived(world: &World) -> String {
    world.token().expires_in(30 * DAY).sign()
}

/// Sets the wall clock ahead and leaves the monotonic one, as a suspension does.
fn suspend(clock: &TestClock, duration: Duration) {
    clock.set(clock.now().saturating_add(duration));
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_at_the_request_after_refresh_keys() {
    let world = World::new().await;
    let old = long_lived(&world);
    let (layer, served) = warm(&world, world.issuer(), &old).await;
    world.idp.rotate_keys();
    world.idp.withdraw_old_keys();
    assert_eq!(served.get("/", &old).await.status, 200, "not known yet");
    let fetches = world.idp.requests(Endpoint::Jwks);
    let [refresh] = &layer.refresh_keys().await[..] else { panic!("one issuer") };
    assert_eq!(
        (refresh.issuer.as_str(), world.idp.requests(Endpoint::Jwks)),
        (world.idp.issuer(), fetches + 1)
    );
    let keys = refresh.outcome.as_ref().unwrap();
    assert_eq!((keys.has_keys, keys.key_count, keys.age), (true, 1, Some(Duration::ZERO)));
    assert_eq!(served.get("/", &old).await.status, 401, "cached, and withdrawn");
    assert_eq!(served.get("/", &long_lived(&world)).await.status, 200);
}

#[tokio::test]
async fn refresh_keys_reports_each_issuer_and_spends_nothing_of_the_budget() {
    let world = World::new().await;
    let failing = world.idp.issuer_at("/failing");
    let fixed = TrustedIssuer::with_static_keys("urn:example:fixed", &world.idp.jwks().to_string()).unwrap();
    let layer = world
        .layer()
        .add_issuer(
            TrustedIssuer::discover(failing.issuer())
                .unwrap()
                .add_audience(AUDIENCE)
                .may_grant(Grants::all()),
        )
        .add_issuer(fixed.add_audience(AUDIENCE).may_grant(Grants::all()))
        .build()
        .unwrap();
    failing.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
    for round in 1..=20 {
        let reports: Vec<_> = layer
            .refresh_keys()
            .await
            .into_iter()
            .map(|one| (one.issuer.to_string(), one.outcome.map(|keys| keys.key_count).map_err(|e| e.kind())))
            .collect();
        let expected = [
            (world.idp.issuer().to_owned(), Ok(1)),
            (failing.issuer().to_owned(), Err(KeySourceErrorKind::Refused)),
            ("urn:example:fixed".to_owned(), Ok(1)),
        ];
        assert_eq!(reports, expected);
        assert_eq!(world.idp.requests(Endpoint::Jwks), round);
    }
    let served = Served::start(whoami().layer(layer)).await;
    for number in 0..3 {
        let junk = world.token().header("kid", format!("junk-{number}")).sign();
        assert_eq!(served.get("/", &junk).await.status, 401);
    }
    assert_eq!(world.idp.requests(Endpoint::Jwks), 20 + 3, "the budget is whole");
}

#[tokio::test]
async fn an_explicitly_empty_key_set_withdraws_only_by_refresh_keys() {
    for (name, document, is_withdrawal) in [
        ("empty", EMPTY, true),
        ("empty, with more members", r#"{"keys": [], "note": "compromised"}"#, true),
        ("no usable key", r#"{"keys": [{"kty": "AKP", "kid": "pq"}]}"#, false),
        ("nothing but null", r#"{"keys": [null]}"#, false),
        ("no key set", "{}", false),
        ("no JSON", "", false),
    ] {
        let world = World::new().await;
        let token = long_lived(&world);
        let (layer, served) = warm(&world, world.issuer(), &token).await;
        world.idp.replace_jwks_document(document);
        // In the background, it is taken for a mistake of the provider.
        world.clock.advance(Duration::from_secs(480));
        while layer.status().issuers[0].last_error.is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(served.get("/", &token).await.status, 200, "{name}: in the background");
        assert!(layer.status().is_ready(), "{name}");

        let outcome = layer.refresh_keys().await.remove(0).outcome;
        assert_eq!(outcome.is_ok(), is_withdrawal, "{name}");
        let expected = if is_withdrawal { 401 } else { 200 };
        assert_eq!(served.get("/", &token).await.status, expected, "{name}: refreshed");
        assert_eq!(layer.status().is_ready(), !is_withdrawal, "{name}");
        // An outage afterwards does not bring the keys back.
        world.idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
        assert!(layer.refresh_keys().await.remove(0).outcome.is_err(), "{name}");
        assert_eq!(served.get("/", &token).await.status, expected, "{name}: in an outage");
        world.idp.recover(Endpoint::Jwks);
        world.idp.restore_jwks_document();
        assert!(layer.refresh_keys().await.remove(0).outcome.is_ok(), "{name}");
        assert_eq!(served.get("/", &token).await.status, 200, "{name}: published again");
    }
}

#[tokio::test]
async fn a_machine_that_was_suspended_asks_before_it_trusts_a_key() {
    for (name, asleep, is_out, expected) in [
        ("for less than the longest age", HOUR - SECOND, false, 200),
        ("for the longest age", HOUR, false, 401),
        ("for a day", DAY, false, 401),
        ("for an hour, in an outage", HOUR, true, 200),
        ("for longer than keys bridge an outage", DAY + SECOND, true, 503),
    ] {
        let world = World::new().await;
        let old = long_lived(&world);
        let (_layer, served) = warm(&world, world.issuer(), &old).await;
        world.idp.rotate_keys();
        world.idp.withdraw_old_keys();
        if is_out {
            world.idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
        }
        suspend(&world.clock, asleep);
        assert_eq!(served.get("/", &old).await.status, expected, "{name}");
    }
}

#[tokio::test]
async fn the_longest_age_and_staleness_are_settings() {
    let world = World::new().await;
    let token = long_lived(&world);
    let issuer = world.issuer().max_key_age(60 * SECOND).max_key_staleness(120 * SECOND);
    let (layer, served) = warm(&world, issuer, &token).await;
    let fetches = world.idp.requests(Endpoint::Jwks);
    world.clock.advance(47 * SECOND);
    assert_eq!(world.idp.requests(Endpoint::Jwks), fetches);
    world.clock.advance(SECOND);
    world.idp.wait_for_requests(Endpoint::Jwks, fetches + 1).await;

    while layer.status().issuers[0].age != Some(Duration::ZERO) {
        tokio::task::yield_now().await;
    }
    world.idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
    world.clock.advance(120 * SECOND);
    let answer = served.get("/", &token).await;
    assert_eq!(answer.status, 200, "bridged");
    world.clock.advance(SECOND);
    let answer = served.get("/", &token).await;
    assert_eq!(answer.status, 503, "stale");
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!layer.status().is_ready());
}

#[tokio::test]
async fn a_waiter_for_keys_gives_up_by_its_own_time_out_and_the_fetch_goes_on() {
    let world = World::new().await;
    let layer = DelegationLayer::builder()
        .add_issuer(world.issuer().max_key_wait(3 * SECOND))
        .clock(world.clock.clone())
        .build()
        .unwrap();
    let served = Arc::new(Served::start(whoami().layer(layer)).await);
    let token = long_lived(&world);
    let hold = world.idp.hold(Endpoint::Jwks);
    let waiting = tokio::spawn({
        let (served, token) = (Arc::clone(&served), token.clone());
        async move { served.get("/", &token).await }
    });
    world.idp.wait_for_requests(Endpoint::Jwks, 1).await;
    // The waiter sleeps, and so does the limit of the fetch.
    world.clock.wait_for_sleepers(2).await;
    world.clock.advance(3 * SECOND);
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    hold.release();
    assert_eq!(served.get("/", &token).await.status, 200);
    assert_eq!(world.idp.requests(Endpoint::Jwks), 1, "the fetch that was waited for");
}

#[test]
fn limits_of_keys_that_make_no_sense_do_not_build() {
    let issuer = || TrustedIssuer::discover("https://idp.example.com").unwrap().add_audience(AUDIENCE);
    for (name, issuer, is_good) in [
        ("the least age", issuer().max_key_age(10 * SECOND), true),
        ("the most age", issuer().max_key_age(DAY), true),
        ("a week", issuer().max_key_staleness(7 * DAY), true),
        ("no staleness", issuer().max_key_age(10 * SECOND).max_key_staleness(10 * SECOND), true),
        ("no age", issuer().max_key_age(Duration::ZERO), false),
        ("too little age", issuer().max_key_age(9 * SECOND), false),
        ("too much age", issuer().max_key_age(DAY + SECOND), false),
        ("stale before it is due", issuer().max_key_staleness(HOUR - SECOND), false),
        ("stale for ever", issuer().max_key_staleness(Duration::MAX), false),
        ("no wait", issuer().max_key_wait(Duration::ZERO), false),
        ("an endless wait", issuer().max_key_wait(Duration::MAX), false),
    ] {
        let built = DelegationLayer::builder().add_issuer(issuer).build();
        assert_eq!(built.is_ok(), is_good, "{name}");
        assert!(is_good || matches!(built, Err(ConfigError::OutOfRange { .. })), "{name}");
    }
}

/// Hands out what it is given, and records why it was asked.
#[derive(Debug, Default)]
struct Recording {
    document: Mutex<String>,
    reasons: Mutex<Vec<FetchReason>>,
}

#[derive(Debug)]
struct Shared(Arc<Recording>);

impl KeySource for Shared {
    fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a> {
        Box::pin(async move {
            self.0.reasons.lock().await.push(request.reason);
            Ok(FetchedKeys::document(self.0.document.lock().await.clone()))
        })
    }
}

/// A source that keeps a copy of its own would hand it out for ever.
#[tokio::test]
async fn a_source_is_given_the_reason_for_which_it_is_asked() {
    use FetchReason::{Due, KeyAmbiguous, KeyMismatch, KeyUnknown, Requested, SignatureInvalid};
    let world = World::new().await;
    let stranger = world.idp.issuer_at("/stranger");
    let source = Arc::new(Recording::default());
    let good = world.idp.jwks()["keys"][0].clone();
    let mut twin = stranger.jwks()["keys"][0].clone();
    twin["kid"] = "twin".into();
    let mut other = good.clone();
    other["kid"] = "twin".into();
    *source.document.lock().await = serde_json::json!({"keys": [good, twin, other]}).to_string();
    let issuer = TrustedIssuer::with_key_source(world.idp.issuer(), Shared(Arc::clone(&source))).unwrap();
    let token = long_lived(&world);
    let (layer, served) = warm(&world, issuer.add_audience(AUDIENCE), &token).await;
    let forged = stranger.token().issuer(world.idp.issuer()).subject("alice").client("shop-web");
    for (name, token, reason) in [
        ("unknown", world.token().header("kid", "b").sign(), KeyUnknown),
        ("mismatch", world.token().header("alg", "EdDSA").sign(), KeyMismatch),
        ("ambiguous", world.token().header("kid", "twin").sign(), KeyAmbiguous),
        ("bad signature", forged.audience(AUDIENCE).sign(), SignatureInvalid),
    ] {
        // A full budget for each.
        world.clock.advance(30 * SECOND);
        for _ in 0..5 {
            assert_eq!(served.get("/", &token).await.status, 401, "{name}");
        }
        assert_eq!(source.reasons.lock().await.last(), Some(&reason), "{name}");
        assert_eq!(served.get("/", &long_lived(&world)).await.status, 200, "{name}");
    }
    let _ = layer.refresh_keys().await;
    let expected = [Due, KeyUnknown, KeyMismatch, KeyAmbiguous, SignatureInvalid, Requested];
    assert_eq!(*source.reasons.lock().await, expected, "one fetch each");
}

/// A key set that has moved: a refresh reads the old place, and a missed key the new one.
#[derive(Debug)]
struct Moved {
    former: String,
    current: String,
    asked: Semaphore,
    goes_on: Semaphore,
    reasons: Mutex<Vec<FetchReason>>,
}

#[derive(Debug)]
struct OfMoved(Arc<Moved>);

impl KeySource for OfMoved {
    fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a> {
        Box::pin(async move {
            self.0.reasons.lock().await.push(request.reason);
            self.0.asked.add_permits(1);
            self.0.goes_on.acquire().await.unwrap().forget();
            let is_due = request.reason == FetchReason::Due;
            Ok(FetchedKeys::document(if is_due { self.0.former.clone() } else { self.0.current.clone() }))
        })
    }
}

#[tokio::test]
async fn a_refresh_that_is_under_way_is_no_answer_to_a_missed_key() {
    use FetchReason::{Due, KeyUnknown};
    let world = World::new().await;
    let former = world.idp.jwks().to_string();
    let of_former = long_lived(&world);
    world.idp.rotate_keys();
    let (of_current, current) = (long_lived(&world), world.idp.jwks().to_string());
    let (asked, goes_on) = (Semaphore::new(0), Semaphore::new(1));
    let source = Arc::new(Moved { former, current, asked, goes_on, reasons: Mutex::default() });
    let issuer = TrustedIssuer::with_key_source(world.idp.issuer(), OfMoved(Arc::clone(&source))).unwrap();
    let (_layer, served) = warm(&world, issuer.add_audience(AUDIENCE), &of_former).await;
    source.asked.acquire().await.unwrap().forget();

    world.clock.wait_for_sleepers(1).await;
    world.clock.advance(8 * 60 * SECOND);
    source.asked.acquire().await.unwrap().forget();
    let junk = world.token().header("kid", "junk").sign();
    let (good, junk, ()) = tokio::join!(served.get("/", &of_current), served.get("/", &junk), async {
        // Both wait for the refresh: they are among the sleepers, with the fetch and its limit.
        world.clock.wait_for_sleepers(3).await;
        source.goes_on.add_permits(10);
    });
    assert_eq!((good.status, junk.status), (200, 401));
    assert_eq!(*source.reasons.lock().await, [Due, Due, KeyUnknown], "one fetch for both");
}
