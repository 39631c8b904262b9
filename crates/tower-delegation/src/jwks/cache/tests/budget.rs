//! How many fetches tokens can cause, and what they learn.

use super::*;

#[tokio::test]
async fn a_thousand_cold_callers_cause_one_fetch() {
    let fixture = Fixture::new(&["k1"]);
    fixture.source.close_gate();
    let callers: Vec<_> = (0..1000)
        .map(|_| match fixture.cache.resolve(ALGORITHM, Some("k1"), fixture.now()) {
            Step::Wait(answer) => tokio::spawn(answer),
            Step::Ready(answer) => panic!("{answer:?}"),
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
    drop(fixture.cache.resolve(ALGORITHM, Some("k1"), fixture.now()));
    let follower = fixture.cache.resolve(ALGORITHM, Some("k1"), fixture.now());
    settle().await;
    fixture.source.open_gate();
    let Step::Wait(follower) = follower else { panic!("{follower:?}") };
    assert!(follower.await.is_ok());
    assert_eq!(fixture.source.fetches(), 1);
}

#[tokio::test]
async fn a_burst_of_junk_costs_one_fetch() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.close_gate();
    let callers: Vec<_> = (0..1000)
        .map(|number| {
            fixture.cache.resolve(ALGORITHM, Some(format!("junk-{number}").as_str()), fixture.now())
        })
        .collect();
    settle().await;
    assert!(fixture.resolve_now("k1").is_ok(), "a known key never waits");
    fixture.source.open_gate();
    for caller in callers {
        let Step::Wait(caller) = caller else { panic!("{caller:?}") };
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

/// A set whose keys of one `kid` are different.
fn twins() -> String {
    format!(r#"{{"keys": [{}, {}, {}]}}"#, jwk("k1", "k1"), jwk("twin", "a"), jwk("twin", "b"))
}

#[tokio::test]
async fn a_mismatch_and_an_ambiguity_cost_one_fetch_each() {
    use FetchReason::{Due, KeyAmbiguous, KeyMismatch};
    let fixture = Fixture::new(&[]);
    fixture.source.answer(Ok(FetchedKeys::document(twins())));
    fixture.cache.warm_up().await.unwrap();
    for _ in 0..3 {
        for (kid, algorithm, denial) in [
            (Some("k1"), SignatureAlgorithm::Es256, DenialReason::KeyMismatch),
            (Some("twin"), ALGORITHM, DenialReason::KeyAmbiguous),
            (None, ALGORITHM, DenialReason::KeyAmbiguous),
        ] {
            let found = fixture.cache.resolve(algorithm, kid, fixture.now()).answer().await;
            assert_eq!(found.unwrap_err(), denial, "{kid:?}");
        }
        let overlong = "k".repeat(MAX_KEY_ID_LEN + 1);
        assert_eq!(fixture.resolve_now(&overlong).unwrap_err(), DenialReason::KeyUnknown);
    }
    assert_eq!(fixture.reasons(), [Due, KeyMismatch, KeyAmbiguous]);
    // What was ambiguous heals when the set does.
    fixture.source.publish(&["k1", "twin"]);
    fixture.advance(10).await;
    assert!(fixture.resolve("twin").await.is_ok());
}

#[tokio::test]
async fn a_new_key_under_an_old_name_heals_with_the_first_bad_signature() {
    let fixture = Fixture::loaded(&["k1", "k2"]).await;
    let former = fixture.resolve_now("k1").unwrap();
    let keys = [jwk("k1", "other"), jwk("k2", "k2")].join(",");
    fixture.source.answer(Ok(FetchedKeys::document(format!(r#"{{"keys": [{keys}]}}"#))));
    let healed = fixture.doubt("k1").await.unwrap();
    assert!(!Arc::ptr_eq(&former, &healed));
    assert_eq!(fixture.reasons(), [FetchReason::Due, FetchReason::SignatureInvalid]);
    // The key that fits now is never handed out again to one that doubts it.
    assert_eq!(fixture.doubt("k1").await.unwrap_err(), DenialReason::SignatureInvalid);
    for _ in 0..100 {
        assert_eq!(fixture.doubt("k1").await.unwrap_err(), DenialReason::SignatureInvalid);
    }
    assert_eq!(fixture.source.fetches(), 1 + 2, "known for a while to be the key");
}

#[tokio::test]
async fn a_flood_of_bad_signatures_leaves_a_fetch_for_a_rotation_and_is_never_503() {
    let fixture = Fixture::loaded(&["k1", "k2", "k3", "k4"]).await;
    for fails in [false, true] {
        if fails {
            fixture.source.fail();
            fixture.advance(10).await;
        }
        for _ in 0..100 {
            for kid in ["k1", "k2", "k3", "k4"] {
                assert_eq!(fixture.doubt(kid).await.unwrap_err(), DenialReason::SignatureInvalid);
            }
        }
    }
    assert_eq!(fixture.source.fetches(), 1 + 2 + 1);
    fixture.source.publish(&["k1", "k5"]);
    assert!(fixture.resolve("k5").await.is_ok());
    assert_eq!(fixture.source.fetches(), 1 + 2 + 1 + 1);
}

#[tokio::test]
async fn what_a_fresh_set_lacks_is_refused_whatever_becomes_of_the_fetch() {
    let fixture = Fixture::loaded(&["k1"]).await;
    fixture.source.fail();
    for number in 0..100 {
        let junk = fixture.resolve(&format!("junk-{number}")).await;
        assert_eq!(junk.unwrap_err(), DenialReason::KeyUnknown);
    }
    assert_eq!(fixture.source.fetches(), 1 + 3);
    // Ten minutes, where the source says nothing else.
    fixture.advance(600).await;
    assert_eq!(fixture.resolve("junk").await.unwrap_err(), DenialReason::KeyUnknown);
    fixture.advance(1).await;
    assert_eq!(fixture.resolve("junk").await.unwrap_err(), DenialReason::KeysUnavailable);
    assert_eq!(fixture.doubt("k1").await.unwrap_err(), DenialReason::KeysUnavailable);
    assert!(fixture.resolve_now("k1").is_ok());
}
