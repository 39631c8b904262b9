//! Keys that are withdrawn or replaced.

use super::*;

#[tokio::test]
async fn a_withdrawn_key_is_refused_and_changes_the_epoch() {
    let fixture = Fixture::loaded(&["k1", "k2"]).await;
    let (first, second) = (fixture.resolve_now("k1").unwrap(), fixture.resolve_now("k2").unwrap());
    let epoch = fixture.epoch().unwrap();

    fixture.source.publish(&["k1", "k2", "k3"]);
    fixture.advance(480).await;
    assert_eq!(fixture.epoch(), Some(epoch), "a new key withdraws none");
    assert!(fixture.cache.is_current(&first, fixture.now()));

    fixture.source.publish(&["k2", "k3"]);
    fixture.advance(480).await;
    assert!(fixture.epoch().unwrap() > epoch);
    assert!(!fixture.cache.is_current(&first, fixture.now()));
    assert!(fixture.cache.is_current(&second, fixture.now()), "published still, though the set is another");
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeyUnknown);
}

#[tokio::test]
async fn another_key_under_the_same_name_is_another_key() {
    let fixture = Fixture::loaded(&["k1"]).await;
    let former = fixture.resolve_now("k1").unwrap();
    let epoch = fixture.epoch();
    fixture.source.answer(Ok(FetchedKeys::document(format!(r#"{{"keys": [{}]}}"#, jwk("k1", "other")))));
    fixture.advance(480).await;
    assert!(fixture.epoch() > epoch);
    assert!(!fixture.cache.is_current(&former, fixture.now()));
    assert!(fixture.cache.is_current(&fixture.resolve_now("k1").unwrap(), fixture.now()));
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
        let epoch = fixture.epoch();
        fixture.source.answer(Ok(FetchedKeys::document(document)));
        fixture.advance(480).await;
        assert_eq!(fixture.source.fetches(), 2, "{name}");
        assert!(fixture.resolve_now("k1").is_ok(), "{name}");
        assert_eq!(fixture.epoch(), epoch, "{name}");
        assert!(fixture.cache.status().last_error.is_some(), "{name}");
        fixture.advance(121).await;
        assert_eq!(fixture.resolve("k2").await.unwrap_err(), DenialReason::KeysUnavailable, "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_out_of_turn_is_not_taken() {
    let fixture = Fixture::loaded(&["k2"]).await;
    let late =
        fixture.cache.land(1, Moment::of(&*fixture.clock), Ok(FetchedKeys::document(document(&["k1"]))));
    assert_eq!(late.unwrap_err().kind(), KeySourceErrorKind::Interrupted);
    assert!(fixture.resolve_now("k2").is_ok());
}

#[tokio::test]
async fn an_empty_set_withdraws_all_keys_only_when_it_was_asked_for() {
    let fixture = Fixture::loaded(&["k1"]).await;
    let key = fixture.resolve_now("k1").unwrap();
    fixture.source.answer(Ok(FetchedKeys::document(r#"{"keys": []}"#)));
    fixture.advance(480).await;
    assert_eq!(fixture.cache.status().last_error, Some(KeySourceErrorKind::NoUsableKey));
    assert!(fixture.cache.is_current(&key, fixture.now()), "taken for a mistake");

    // One that lists something is no explicitly empty one.
    fixture.source.answer(Ok(FetchedKeys::document(r#"{"keys": [{"kty": "oct"}]}"#)));
    let refreshed = fixture.cache.refresh().await;
    assert_eq!(refreshed.unwrap_err().kind(), KeySourceErrorKind::NoUsableKey);
    assert!(fixture.cache.is_current(&key, fixture.now()));

    fixture.source.answer(Ok(FetchedKeys::document(r#"{"keys": []}"#)));
    fixture.cache.refresh().await.unwrap();
    let refreshed = fixture.cache.status();
    assert_eq!((refreshed.has_keys, refreshed.key_count, refreshed.last_error), (false, 0, None));
    assert!(!fixture.cache.is_current(&key, fixture.now()));
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeyUnknown);
    // It stays withdrawn, and that is no error.
    fixture.advance(480).await;
    assert_eq!(fixture.cache.status().last_error, None);
    assert_eq!(fixture.resolve("k1").await.unwrap_err(), DenialReason::KeyUnknown);
    fixture.source.publish(&["k1"]);
    fixture.advance(480).await;
    assert!(fixture.resolve_now("k1").is_ok());
    assert!(fixture.cache.status().has_keys);
}

#[tokio::test]
async fn an_empty_set_before_any_other_is_no_withdrawal() {
    let fixture = Fixture::new(&[]);
    assert_eq!(fixture.cache.warm_up().await.unwrap_err().kind(), KeySourceErrorKind::NoUsableKey);
    assert_eq!(fixture.resolve_now("k1").unwrap_err(), DenialReason::KeysUnavailable);
}

#[tokio::test]
async fn a_refresh_begins_after_the_call_and_is_shared() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.close_gate();
    fixture.advance(480).await;
    assert_eq!(fixture.source.fetches(), 2, "under way before the call");
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let cache = Arc::clone(&fixture.cache);
            tokio::spawn(async move {
                cache.settle().await;
                cache.refresh().await
            })
        })
        .collect();
    settle().await;
    assert_eq!(fixture.source.fetches(), 2);
    fixture.source.publish(&["k2"]);
    fixture.source.open_gate();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(fixture.reasons(), [FetchReason::Due, FetchReason::Due, FetchReason::Requested]);
    assert!(fixture.resolve_now("k2").is_ok());
}

/// A refresh that began in the meantime may read the old place of a set that has moved.
#[tokio::test]
async fn what_the_service_asks_for_is_fetched_after_a_refresh_that_is_under_way() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.close_gate();
    fixture.advance(480).await;
    assert_eq!(fixture.source.fetches(), 2, "the refresh waits at the gate");
    let refreshed = fixture.cache.refresh();
    fixture.source.publish(&["k2"]);
    fixture.source.open_gate();
    refreshed.await.unwrap();
    assert_eq!(fixture.reasons(), [FetchReason::Due, FetchReason::Due, FetchReason::Requested]);
    assert!(fixture.resolve_now("k2").is_ok());
}
