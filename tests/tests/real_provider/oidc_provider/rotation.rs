//! Keys that come and go.

use std::time::{Duration, Instant};

use tower_delegation::DenialReason as R;
use tower_delegation_testing::TestClock;

use super::Provider;
use crate::Gate;

/// The provider names no lifetime of its key set: ten minutes, of which four
/// fifths pass before it is fetched again.
const REFRESH: Duration = Duration::from_secs(480);

#[tokio::test]
async fn a_rotation_is_followed_on_its_first_token() {
    let Some(mut provider) = Provider::start() else { return };
    let gate = Gate::behind(provider.layer().build().unwrap()).await;
    let old = provider.token("ES256").await;
    assert!(gate.judge(&old).await.is_ok());
    provider.rotate_keys();
    let new = provider.token("ES256").await;
    assert!(gate.judge(&new).await.is_ok());
    assert!(gate.judge(&old).await.is_ok(), "the old key is published still");
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_after_the_refresh() {
    let Some(mut provider) = Provider::start() else { return };
    let clock = TestClock::new();
    let gate = Gate::behind(provider.layer().clock(clock.clone()).build().unwrap()).await;
    let old = provider.token("ES256").await;
    assert!(gate.judge(&old).await.is_ok());
    provider.rotate_keys();
    provider.withdraw_old_keys();
    assert!(gate.judge(&old).await.is_ok(), "nobody has told the service yet");

    clock.advance(REFRESH);
    // The refresh runs beside the requests, which are answered with the keys at hand.
    let start = Instant::now();
    while gate.judge(&old).await.is_ok() {
        assert!(start.elapsed() < Duration::from_secs(30), "the refresh did not come");
    }
    gate.assert_refused("withdrawn", &old, R::KeyUnknown).await;
    assert!(gate.judge(&provider.token("ES256").await).await.is_ok());
}
