//! What the operator's recorder hears.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock},
};

use axum::http::StatusCode;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower_delegation::{DelegationLayer, TrustedIssuer, clock::Clock as _, issuer::TenantIssuers};
use tower_delegation_testing::Endpoint;

use crate::{DEFAULT_REFRESH, Observed, SECOND, Service, lasting};

/// Names with their labels, and values.
type Heard = BTreeMap<(String, Vec<(String, String)>), f64>;

/// The recorder is the process's: the other tests are heard, too, under their
/// own issuers. A look resets its values, so what was heard is kept here.
struct Ear {
    recorder: Snapshotter,
    heard: Mutex<Heard>,
}

impl Ear {
    fn install() -> &'static Self {
        static EAR: OnceLock<Ear> = OnceLock::new();
        EAR.get_or_init(|| {
            let recorder = DebuggingRecorder::new();
            let ear = Self { recorder: recorder.snapshotter(), heard: Mutex::default() };
            recorder.install().unwrap();
            ear
        })
    }

    /// Everything heard so far.
    fn listen(&self) -> Heard {
        let mut heard = self.heard.lock().unwrap();
        for (key, _, description, value) in self.recorder.snapshot().into_vec() {
            assert!(description.is_some(), "{key:?} is not described");
            let labels = key.key().labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
            let entry = heard.entry((key.key().name().to_owned(), labels.collect())).or_default();
            match value {
                DebugValue::Counter(count) => *entry += f64::from(u32::try_from(count).unwrap()),
                // Zero: not set since the last look. No gauge here is ever set to it.
                DebugValue::Gauge(value) if value.into_inner() > 0.0 => *entry = value.into_inner(),
                DebugValue::Gauge(_) => {}
                // Of decisions, not of keys.
                DebugValue::Histogram(_) => {}
            }
        }
        heard.clone()
    }

    /// What was heard of one issuer, as `name` or `name{outcome}`.
    fn listen_for(&self, issuer: &str) -> Vec<(String, f64)> {
        let one = |(name, labels): (String, Vec<(String, String)>)| {
            let label =
                |wanted| labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
            let outcome = label("outcome").map(|outcome| format!("{name}{{{outcome}}}"));
            (label("issuer") == Some(issuer)).then(|| outcome.unwrap_or(name))
        };
        self.listen().into_iter().filter_map(|(key, value)| Some((one(key)?, value))).collect()
    }
}

#[tokio::test]
async fn fetches_keys_and_the_last_success_are_recorded() {
    let ear = Ear::install();
    let world = lasting().await;
    let service = world.warm_service().await;
    let began = world.clock.now();
    // Strangers choose these, and none of them may show.
    for number in 0..3 {
        let junk = world.token().header("kid", format!("stranger-{number}"));
        assert_eq!(service.call(&junk.sign()).await, StatusCode::UNAUTHORIZED);
    }
    let foreign = world.token().issuer("https://stranger.example").sign();
    assert_eq!(service.call(&foreign).await, StatusCode::UNAUTHORIZED);
    world.idp.rotate_keys();
    world.refresh(&service).await;
    let confirmed = world.clock.now();
    assert_ne!(began, confirmed);
    world.idp.fail_with(Endpoint::Jwks, StatusCode::BAD_GATEWAY);
    world.clock.advance(DEFAULT_REFRESH);
    service.until("the refresh has failed", |status| status.last_error.is_some()).await;
    world.idp.replace_jwks_document(r#"{"keys": []}"#);
    world.idp.recover(Endpoint::Jwks);
    world.clock.wait_for_sleepers(1).await;
    world.clock.advance(2 * SECOND);
    world.idp.wait_for_requests(Endpoint::Jwks, 7).await;

    let counter = |outcome: &str| format!("tower_delegation_jwks_fetches_total{{{outcome}}}");
    service
        .until("the last one has landed", |_| {
            ear.listen_for(world.idp.issuer()).iter().any(|(name, _)| *name == counter("no_usable_key"))
        })
        .await;
    let confirmed = f64::from(u32::try_from(confirmed.unix_seconds()).unwrap());
    let expected = [
        (counter("changed"), 2.0),
        (counter("no_usable_key"), 1.0),
        (counter("not_modified"), 3.0),
        (counter("refused"), 1.0),
        ("tower_delegation_jwks_keys".to_owned(), 2.0),
        ("tower_delegation_jwks_last_success_timestamp_seconds".to_owned(), confirmed),
    ];
    assert_eq!(ear.listen_for(world.idp.issuer()), expected);
}

/// Every label of every test of this binary: an issuer from a configuration, or a code from a list.
#[tokio::test]
async fn no_stranger_becomes_a_label() {
    let ear = Ear::install();
    let world = lasting().await;
    let service = world.warm_service().await;
    for token in [
        world.token().header("kid", "stranger-kid").subject("stranger-subject").sign(),
        world.token().issuer("https://stranger.example").client("stranger-client").sign(),
        "stranger.stranger.stranger".to_owned(),
    ] {
        assert_eq!(service.call(&token).await, StatusCode::UNAUTHORIZED);
    }
    world.idp.replace_jwks_document(r#"{"keys": [{"kty": "stranger-type", "kid": "stranger-key"}]}"#);
    let junk = world.token().header("kid", "another").sign();
    assert_eq!(service.call(&junk).await, StatusCode::UNAUTHORIZED);
    let labels: Vec<_> = ear.listen().into_keys().flat_map(|(_, labels)| labels).collect();
    assert!(labels.len() >= 5, "{labels:?}");
    for (name, value) in labels {
        assert!(matches!(name.as_str(), "issuer" | "outcome" | "decision" | "reason"), "{name}");
        assert!(!value.contains("stranger"), "{name}: {value}");
    }
}

#[tokio::test]
async fn tokens_are_counted_by_whether_they_were_held() {
    let ear = Ear::install();
    let count = |outcome: &str| {
        let key =
            ("tower_delegation_tokens_total".to_owned(), vec![("outcome".to_owned(), outcome.to_owned())]);
        ear.listen().get(&key).copied().unwrap_or_default()
    };
    let world = lasting().await;
    let service = world.warm_service().await;
    let (cached, verified) = (count("cached"), count("verified"));
    let token = world.token().sign();
    for _ in 0..3 {
        assert_eq!(service.call(&token).await, StatusCode::OK);
    }
    // The other tests of this process count, too.
    assert!(count("verified") > verified && count("cached") >= cached + 2.0);
}

/// How many issuers a resolver knows is for others to decide: they share one label.
#[tokio::test]
async fn resolved_issuers_share_a_label() {
    let ear = Ear::install();
    let world = lasting().await;
    let template = format!("{}/{{tenant}}", world.idp.issuer());
    let terms = TrustedIssuer::discover(&template).unwrap().add_audience(integration_tests::AUDIENCE);
    let names: Vec<_> = (0..20).map(|number| format!("t{number}")).collect();
    let tenants = TenantIssuers::new(terms, &names).unwrap();
    let layer = DelegationLayer::builder().add_issuer_resolver(tenants).clock(world.clock.clone());
    let service = Service::new(layer.build().unwrap());
    for name in &names {
        let issuer = world.idp.issuer_at(&format!("/{name}"));
        assert_eq!(service.call(&issuer.token().sign()).await, StatusCode::OK);
        assert_eq!(ear.listen_for(issuer.issuer()), [], "{name}");
    }
    assert_eq!(
        ear.listen_for("resolver:1"),
        [("tower_delegation_jwks_fetches_total{changed}".to_owned(), 20.0)]
    );
}
