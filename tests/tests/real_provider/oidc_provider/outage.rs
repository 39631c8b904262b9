//! Without the provider, or with somebody else in its place.

use std::time::Duration;

use integration_tests::Answer;
use tower_delegation::{DelegationLayer, TrustedIssuer};
use tower_delegation_testing::{TestClock, TestPki};

use super::Provider;
use crate::serve;

fn assert_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (503, "temporarily_unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.challenges, [""; 0]);
}

#[tokio::test]
async fn known_keys_outlive_the_provider_and_a_cold_start_is_503() {
    let Some(provider) = Provider::start() else { return };
    let clock = TestClock::new();
    let layer = || provider.layer().clock(clock.clone()).build().unwrap();
    let (warm, cold) = (serve(layer()).await, serve(layer()).await);
    let token = provider.token("EdDSA").await;
    let never_seen = provider.token("PS256").await;
    assert_eq!(warm.get("/", &token).await.status, 200);

    drop(provider.process);
    clock.advance(Duration::from_secs(1800));
    assert_eq!(warm.get("/", &token).await.status, 200);
    assert_eq!(warm.get("/", &never_seen).await.status, 200);
    assert_unavailable(&cold.get("/", &token).await);
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_is_never_believed() {
    let Some(provider) = Provider::start() else { return };
    let token = provider.token("ES256").await;
    let issuer = TrustedIssuer::discover(&provider.issuer).unwrap().add_audience(integration_tests::AUDIENCE);
    let platform_only = DelegationLayer::builder().add_issuer(issuer);
    let another_authority = provider.layer_trusting(&TestPki::new());
    for layer in [platform_only, another_authority] {
        let service = serve(layer.build().unwrap()).await;
        for _ in 0..2 {
            assert_unavailable(&service.get("/", &token).await);
        }
    }
    let service = serve(provider.layer().build().unwrap()).await;
    assert_eq!(service.get("/", &token).await.status, 200);
}
