//! How long a set is taken as current, by either clock.

use super::*;

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
    assert!(fixture.cache.is_current(&key, fixture.now()), "confirmed for more than two days");
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
    assert!(matches!(cache.resolve(ALGORITHM, Some("k1"), Moment::of(&*clock)), Step::Ready(Ok(_))));
    let Step::Ready(Err(denial)) = cache.resolve(ALGORITHM, Some("k2"), Moment::of(&*clock)) else {
        panic!("a fetch of what?")
    };
    assert_eq!(denial, DenialReason::KeyUnknown);
    cache.warm_up().await.unwrap();
    assert!(cache.current_epoch(Moment::of(&*clock)).is_some());
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

#[tokio::test]
async fn the_longest_age_is_a_setting() {
    for (max_age, max_key_age, due) in [(None, 60, 48), (Some(31_536_000), 7200, 5760), (Some(0), 10, 8)] {
        let max_key_age = Duration::from_secs(max_key_age);
        let fixture = Fixture::with(&[], KeyLimits { max_age: max_key_age, ..KeyLimits::DEFAULT });
        let mut answer = FetchedKeys::document(document(&["k1"]));
        answer.max_age = max_age.map(Duration::from_secs);
        fixture.source.answer(Ok(answer));
        fixture.cache.warm_up().await.unwrap();
        settle().await;
        fixture.advance(due - 1).await;
        assert_eq!(fixture.source.fetches(), 1, "{max_key_age:?}");
        fixture.advance(1).await;
        assert_eq!(fixture.source.fetches(), 2, "{max_key_age:?}");
    }
}

#[tokio::test]
async fn a_machine_that_was_suspended_wakes_up_wary() {
    let fixture = Fixture::loaded(&["k1", "k2"]).await;
    let key = fixture.resolve_now("k1").unwrap();
    fixture.source.publish(&["k2"]);
    fixture.clock.suspend(3599);
    assert!(fixture.resolve_now("k1").is_ok(), "not older than the longest age");
    settle().await;
    assert_eq!(fixture.source.fetches(), 2, "and fetched again, since it is due by the wall clock");
    assert!(!fixture.cache.is_current(&key, fixture.now()));

    fixture.source.publish(&["k3"]);
    fixture.clock.suspend(3600);
    assert_eq!(fixture.cache.status().age, Some(Duration::from_secs(3600)));
    assert_eq!(fixture.epoch(), None, "nothing verified before is good without asking");
    let Step::Wait(answer) = fixture.cache.resolve(ALGORITHM, Some("k2"), fixture.now()) else {
        panic!("no wait")
    };
    assert_eq!(answer.await.unwrap_err(), DenialReason::KeyUnknown, "withdrawn while the machine was asleep");
    assert!(fixture.resolve_now("k3").is_ok());
}

#[tokio::test]
async fn a_suspended_machine_bridges_an_outage_all_the_same() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.fail();
    fixture.clock.suspend(7200);
    assert!(fixture.resolve("k1").await.is_ok(), "asked in vain, and not stale");
    assert!(fixture.resolve_now("k1").is_ok());
    fixture.clock.suspend(24 * 3600);
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeysUnavailable);
    assert!(!fixture.cache.status().has_keys);
    // Also without a request: the task looks at both clocks once a minute.
    fixture.source.publish(&["k1"]);
    fixture.advance(60).await;
    assert!(fixture.cache.status().has_keys);
}

#[tokio::test]
async fn a_wall_clock_that_is_set_back_does_not_make_keys_younger() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.fail();
    fixture.clock.suspend(3600);
    fixture.advance(24 * 3600).await;
    fixture.clock.asleep.store(0, Ordering::SeqCst);
    assert_eq!(fixture.cache.status().age, Some(Duration::from_secs(24 * 3600)));
    fixture.advance(1).await;
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeysUnavailable);
}
