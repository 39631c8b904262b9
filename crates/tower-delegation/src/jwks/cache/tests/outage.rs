//! Sources that fail, hang or are gone.

use super::*;

#[tokio::test]
async fn an_outage_spares_known_keys_and_ends() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.fail();
    // Older than the ten minutes for which the set is fresh.
    fixture.advance(601).await;
    assert_eq!(fixture.source.fetches(), 1 + 1);
    assert_eq!(fixture.resolve("k2").await.unwrap_err(), DenialReason::KeysUnavailable);
    assert!(fixture.resolve_now("k1").is_ok());
    for _ in 0..2 {
        assert_eq!(fixture.resolve("k2").await.unwrap_err(), DenialReason::KeysUnavailable);
    }
    // The bucket is empty, and nothing is known.
    assert_eq!(fixture.resolve_now("k2").unwrap_err(), DenialReason::KeysUnavailable);
    assert_eq!(fixture.source.fetches(), 1 + 1 + 3);
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
async fn keys_are_used_for_a_day_and_no_longer() {
    let fixture = Fixture::loaded(&["k1"]).await;
    let key = fixture.resolve_now("k1").unwrap();
    fixture.source.fail();
    fixture.advance(24 * 3600).await;
    assert!(fixture.resolve_now("k1").is_ok());
    assert!(fixture.cache.is_current(&key, fixture.now()));
    fixture.advance(1).await;
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeysUnavailable);
    assert!(!fixture.cache.is_current(&key, fixture.now()));
    assert_eq!(fixture.epoch(), None);
    assert!(!fixture.cache.status().has_keys);
    fixture.source.publish(&["k1"]);
    fixture.advance(300).await;
    assert!(fixture.cache.is_current(&key, fixture.now()), "published again");
    assert!(fixture.resolve_now("k1").is_ok());
}

#[tokio::test]
async fn a_source_that_panics_or_hangs_is_asked_again() {
    let fixture = Fixture::new(&["k1"]);
    fixture.source.panics.store(true, Ordering::SeqCst);
    assert_eq!(fixture.cache.warm_up().await.unwrap_err().kind(), KeySourceErrorKind::Interrupted);
    fixture.source.panics.store(false, Ordering::SeqCst);

    fixture.source.close_gate();
    fixture.advance(2).await;
    let waiting = fixture.cache.resolve(ALGORITHM, Some("k1"), fixture.now());
    fixture.advance(45).await;
    let Step::Wait(waiting) = waiting else { panic!("{waiting:?}") };
    assert_eq!(waiting.await.unwrap_err(), DenialReason::KeysUnavailable);
    assert_eq!(fixture.cache.status().last_error, Some(KeySourceErrorKind::Timeout));

    fixture.source.open_gate();
    fixture.advance(3).await;
    assert!(fixture.resolve_now("k1").is_ok());
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
        drop(fixture.cache.resolve(ALGORITHM, Some("k1"), fixture.now()));
        settle().await;
    });
    drop(first);
    fixture.source.gated.store(false, Ordering::SeqCst);
    fixture.clock.advance(2);
    assert!(runtime().block_on(fixture.resolve("k1")).is_ok());
}

#[tokio::test]
async fn a_waiter_gives_up_and_the_fetch_goes_on() {
    let fixture =
        Fixture::with(&["k1"], KeyLimits { max_wait: Duration::from_secs(3), ..KeyLimits::DEFAULT });
    fixture.source.close_gate();
    let Step::Wait(waiting) = fixture.cache.resolve(ALGORITHM, Some("k1"), fixture.now()) else {
        panic!("no wait")
    };
    let waiting = tokio::spawn(waiting);
    fixture.advance(2).await;
    assert!(!waiting.is_finished());
    let Step::Wait(later) = fixture.cache.resolve(ALGORITHM, Some("k1"), fixture.now()) else {
        panic!("no wait")
    };
    let later = tokio::spawn(later);
    settle().await;
    fixture.advance(1).await;
    assert_eq!(waiting.await.unwrap().unwrap_err(), DenialReason::KeysUnavailable);
    assert!(!later.is_finished(), "each waits for a time of its own");
    fixture.source.open_gate();
    assert!(later.await.unwrap().is_ok());
    assert!(fixture.resolve_now("k1").is_ok());
    assert_eq!(fixture.source.fetches(), 1);
}

#[tokio::test]
async fn the_longest_staleness_is_a_setting() {
    let limits = KeyLimits {
        max_age: Duration::from_secs(60),
        max_staleness: Duration::from_secs(120),
        ..KeyLimits::DEFAULT
    };
    let fixture = Fixture::with(&["k1"], limits);
    fixture.cache.warm_up().await.unwrap();
    settle().await;
    fixture.source.fail();
    fixture.advance(120).await;
    assert!(fixture.resolve_now("k1").is_ok());
    fixture.advance(1).await;
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeysUnavailable);
    assert!(!fixture.cache.status().has_keys);
}
