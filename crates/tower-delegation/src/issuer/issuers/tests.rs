use super::*;
use crate::clock::{Sleep, Timestamp};
use crate::issuer::Grants;
use std::sync::atomic::AtomicUsize;

/// Moved by hand, in milliseconds.
#[derive(Clone, Debug, Default)]
struct Hands(Arc<AtomicU64>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, _: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

/// The key of RFC 8037 appendix A.2.
const JWKS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

#[derive(Debug, Default)]
struct Customers {
    calls: AtomicUsize,
    hands: Hands,
}

impl IssuerResolver for Customers {
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match issuer {
            "https://other" => TrustedIssuer::with_static_keys("https://a", JWKS)
                .ok()
                .map(|one| one.add_audience("x").may_grant(Grants::all())),
            "https://no-audience" => TrustedIssuer::with_static_keys(issuer, JWKS).ok(),
            _ if issuer.starts_with("https://") => TrustedIssuer::with_static_keys(issuer, JWKS)
                .ok()
                .map(|one| one.add_audience("x").may_grant(Grants::all())),
            _ => None,
        }
    }

    fn max_issuers(&self) -> u64 {
        2
    }
}

fn issuers() -> (Issuers, Arc<Customers>) {
    let customers = Arc::new(Customers::default());
    let mut context = BuildContext::new(Arc::new(customers.hands.clone()));
    let configured = TrustedIssuer::with_static_keys("https://configured", JWKS)
        .unwrap()
        .add_audience("x")
        .may_grant(Grants::all());
    let configured = configured.build(&mut context).unwrap();
    let configured = HashMap::from([(configured.issuer().clone(), Arc::new(configured))]);
    let resolver: Arc<dyn IssuerResolver> = customers.clone();
    (Issuers::new(configured, [resolver], context), customers)
}

#[test]
fn configured_issuers_are_not_asked_for() {
    let (issuers, customers) = issuers();
    assert!(matches!(issuers.get("https://configured"), Some(PolicyRef::Configured(_))));
    assert_eq!(customers.calls.load(Ordering::Relaxed), 0);
    assert_eq!(issuers.configured().count(), 1);
}

#[test]
fn an_issuer_is_asked_for_once() {
    let (issuers, customers) = issuers();
    let first = issuers.get("https://a").unwrap();
    let second = issuers.get("https://a").unwrap();
    assert!(std::ptr::eq(&*first, &*second));
    assert_eq!(customers.calls.load(Ordering::Relaxed), 1);
}

#[test]
fn at_once_is_once() {
    let (issuers, customers) = issuers();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(issuers.get("https://a").is_some()));
        }
    });
    assert_eq!(customers.calls.load(Ordering::Relaxed), 1);
}

#[test]
fn wrong_answers_are_no_answers() {
    let (issuers, _) = issuers();
    for issuer in ["http://a", "", "https://other", "https://no-audience"] {
        assert!(issuers.get(issuer).is_none(), "{issuer}");
    }
}

#[test]
fn the_least_recently_used_is_dropped() {
    let (issuers, customers) = issuers();
    let held = issuers.get("https://a").unwrap();
    for issuer in ["https://b", "https://c", "https://d"] {
        assert!(issuers.get(issuer).is_some(), "{issuer}");
    }
    let resolved = &issuers.resolvers[0];
    resolved.held.run_pending_tasks();
    assert_eq!(resolved.held.entry_count(), 2);
    let calls = customers.calls.load(Ordering::Relaxed);
    assert!(issuers.get("https://a").is_some());
    assert_eq!(customers.calls.load(Ordering::Relaxed), calls + 1);
    // A request that had it keeps it.
    assert_eq!(*held.issuer(), "https://a");
}

#[test]
fn an_answer_counts_for_a_second() {
    let (issuers, customers) = issuers();
    let first = issuers.get("https://a").unwrap().to_arc();
    for (name, millis, calls) in
        [("at once", 0, 1), ("before the second", 999, 1), ("after it", 1, 2), ("and again", 999, 2)]
    {
        customers.hands.0.fetch_add(millis, Ordering::Relaxed);
        assert!(issuers.are_in_force(&first), "{name}");
        assert!(issuers.get("https://a").unwrap().is(&first), "{name}");
        assert_eq!(customers.calls.load(Ordering::Relaxed), calls, "{name}");
    }
    // Of one that is dropped and asked for anew nothing is in force.
    issuers.resolvers[0].drop("https://a");
    customers.hands.0.fetch_add(1000, Ordering::Relaxed);
    assert!(!issuers.are_in_force(&first));
}

#[test]
fn a_generation_takes_the_place_of_the_clock() {
    #[derive(Debug, Default)]
    struct Counted(AtomicU64, AtomicUsize);

    impl IssuerResolver for Counted {
        fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
            self.1.fetch_add(1, Ordering::Relaxed);
            TrustedIssuer::with_static_keys(issuer, JWKS)
                .ok()
                .map(|one| one.add_audience("x").may_grant(Grants::all()))
        }

        fn generation(&self) -> Option<u64> {
            Some(self.0.load(Ordering::Relaxed))
        }
    }

    let (hands, counted) = (Hands::default(), Arc::new(Counted::default()));
    let resolver: Arc<dyn IssuerResolver> = Arc::new(Arc::clone(&counted));
    let issuers = Issuers::new(HashMap::new(), [resolver], BuildContext::new(Arc::new(hands.clone())));
    let first = issuers.get("https://a").unwrap().to_arc();
    for (name, generation, hour, calls) in [
        ("at once", 0, 0, 1),
        ("an hour later", 0, 1, 1),
        ("another number", 7, 0, 2),
        ("the same", 7, 1, 2),
        ("a smaller one", 3, 0, 3),
        ("the number that stands for none", u64::MAX, 0, 4),
    ] {
        counted.0.store(generation, Ordering::Relaxed);
        hands.0.fetch_add(hour * 3_600_000, Ordering::Relaxed);
        assert!(issuers.are_in_force(&first), "{name}");
        assert_eq!(counted.1.load(Ordering::Relaxed), calls, "{name}");
    }
}
