//! Resolved issuers: what the resolver says now is what holds, also for tokens that
//! were verified before.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use integration_tests::{AUDIENCE, AuditLog, Served, World, whoami};
use tower_delegation::{
    ConfigError, DelegationLayer, TrustedIssuer,
    clock::Clock as _,
    issuer::{ClaimMapping, Grants, IssuerResolver},
    jwks::SignatureAlgorithm,
    layer::DelegationLayerBuilder,
};
use tower_delegation_testing::{Endpoint, MockIdp, MockIssuer, TokenBuilder};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The resolver of the trait's documentation, with a switch for its generation.
#[derive(Clone, Debug, Default)]
struct Customers(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    issuers: RwLock<HashMap<String, TrustedIssuer>>,
    generation: AtomicU64,
    has_no_generation: bool,
    max_issuers: Option<u64>,
    asked: AtomicUsize,
    under_way: AtomicUsize,
}

impl Customers {
    fn without_generation() -> Self {
        Self(Arc::new(Known { has_no_generation: true, ..Known::default() }))
    }

    fn at_most(max_issuers: u64) -> Self {
        Self(Arc::new(Known { max_issuers: Some(max_issuers), ..Known::default() }))
    }

    fn put(&self, issuer: &str, terms: TrustedIssuer) {
        self.0.issuers.write().unwrap().insert(issuer.to_owned(), terms);
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    fn off_board(&self, issuer: &str) {
        self.0.issuers.write().unwrap().remove(issuer);
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }
}

impl IssuerResolver for Customers {
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
        assert_eq!(self.0.under_way.fetch_add(1, Ordering::SeqCst), 0, "asked twice at a time");
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        // Gives the others the time to come in.
        std::thread::yield_now();
        let answer = self.0.issuers.read().ok()?.get(issuer).cloned();
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    fn generation(&self) -> Option<u64> {
        (!self.0.has_no_generation).then(|| self.0.generation.load(Ordering::Acquire))
    }

    fn max_issuers(&self) -> u64 {
        self.0.max_issuers.unwrap_or(100)
    }
}

/// A world whose layer asks `customers`, and trusts no issuer of the configuration.
struct Shop {
    world: World,
    customers: Customers,
}

impl Shop {
    async fn with(customers: Customers) -> Self {
        Self { world: World::new().await, customers }
    }

    fn layer(&self) -> DelegationLayerBuilder {
        DelegationLayer::builder().add_issuer_resolver(self.customers.clone()).clock(self.world.clock.clone())
    }

    async fn serve(&self) -> Served {
        self.world.serve(self.layer()).await
    }

    /// The keys as they are now, in the configuration of the customer.
    fn with_static_keys(&self) -> TrustedIssuer {
        static_terms(&self.world.idp).unwrap().add_audience(AUDIENCE).may_grant(Grants::all())
    }

    fn token(&self) -> TokenBuilder {
        self.world.token().expires_in(Duration::from_secs(20 * 3600))
    }

    fn fetches(&self) -> usize {
        self.world.idp.requests(Endpoint::Jwks)
    }
}

fn static_terms(issuer: &MockIssuer) -> Result<TrustedIssuer, ConfigError> {
    TrustedIssuer::with_static_keys(issuer.issuer(), &issuer.jwks().to_string())
}

/// The example of the trait, over HTTP.
#[tokio::test]
async fn rotation_and_off_boarding_hold_from_the_next_request_on() {
    let shop = Shop::with(Customers::default()).await;
    let (service, audit) = (shop.serve().await, AuditLog::listen());
    let issuer = shop.world.idp.issuer().to_owned();
    let of_old_key = shop.token().sign();
    let judge = async |token: &str| {
        let status = service.get("/", token).await.status;
        (status, audit.one().field("reason").to_owned())
    };
    let good = (200, String::new());
    assert_eq!(judge(&of_old_key).await, (401, "issuer_unknown".into()), "not on board yet");
    shop.customers.put(&issuer, shop.with_static_keys());
    assert_eq!(judge(&of_old_key).await, good, "on board");
    assert_eq!(judge(&of_old_key).await, good, "held");

    shop.world.idp.rotate_keys();
    shop.world.idp.withdraw_old_keys();
    let of_new_key = shop.token().sign();
    assert_eq!(judge(&of_new_key).await, (401, "key_unknown".into()), "the customer has not said so yet");
    shop.customers.put(&issuer, shop.with_static_keys());
    assert_eq!(judge(&of_old_key).await, (401, "key_unknown".into()), "withdrawn");
    assert_eq!(judge(&of_new_key).await, good, "rotated");

    shop.customers.off_board(&issuer);
    assert_eq!(judge(&of_new_key).await, (401, "issuer_unknown".into()), "gone, though it was verified");
    assert_eq!(judge(&shop.token().sign()).await, (401, "issuer_unknown".into()), "gone, and never seen");
    shop.customers.put(&issuer, shop.with_static_keys());
    assert_eq!(judge(&of_new_key).await, good, "back");
}

#[tokio::test]
async fn changed_terms_hold_for_tokens_that_were_verified_before() {
    type Change = fn(TrustedIssuer) -> TrustedIssuer;
    let rows: [(&str, Change, &str); 9] = [
        ("the same", |terms| terms, ""),
        ("one audience more", |terms| terms.add_audience("another"), ""),
        (
            "a mapping that reads more",
            |terms| terms.claim_mapping(ClaimMapping::rfc9068().add_roles("roles")),
            "",
        ),
        (
            "a mapping that reads the subject elsewhere",
            |terms| terms.claim_mapping(ClaimMapping::rfc9068().subject("uid")),
            "claim_missing",
        ),
        ("other algorithms", |terms| terms.algorithms([SignatureAlgorithm::Rs512]), "algorithm_not_allowed"),
        ("a shorter lifetime", |terms| terms.max_token_lifetime(MINUTE), "token_lifetime_too_long"),
        ("no age at all", |terms| terms.max_token_age(SECOND), "token_too_old"),
        ("no issuer that builds", |terms| terms.add_audience(""), "issuer_unknown"),
        (
            "another issuer's terms",
            |_| TrustedIssuer::discover("https://idp.other.test").unwrap().add_audience(AUDIENCE),
            "issuer_unknown",
        ),
    ];
    for customers in [Customers::default, Customers::without_generation] {
        for (name, change, reason) in rows {
            let shop = Shop::with(customers()).await;
            let (service, audit) = (shop.serve().await, AuditLog::listen());
            let issuer = shop.world.idp.issuer().to_owned();
            let terms = || TrustedIssuer::discover(&issuer).unwrap().add_audience(AUDIENCE);
            let token = shop.token().sign();
            shop.customers.put(&issuer, terms());
            shop.world.clock.advance(MINUTE);
            for _ in 0..2 {
                assert_eq!(service.get("/", &token).await.status, 200, "{name}");
            }
            let _ = audit.take();
            shop.customers.put(&issuer, change(terms()));
            shop.world.clock.advance(SECOND);
            let answer = service.get("/", &token).await;
            assert_eq!(answer.status, if reason.is_empty() { 200 } else { 401 }, "{name}: {answer:?}");
            assert_eq!(audit.one().field("reason"), reason, "{name}");
            // And back.
            shop.customers.put(&issuer, terms());
            shop.world.clock.advance(SECOND);
            assert_eq!(service.get("/", &token).await.status, 200, "{name}, taken back");
        }
    }
}

/// The audience that a token was verified for is not one of the new ones.
#[tokio::test]
async fn another_audience_holds_at_once() {
    let shop = Shop::with(Customers::default()).await;
    let (service, audit) = (shop.serve().await, AuditLog::listen());
    let issuer = shop.world.idp.issuer().to_owned();
    let terms = |audience: &str| TrustedIssuer::discover(&issuer).unwrap().add_audience(audience);
    let (one, other) = (shop.token().sign(), shop.token().audience("https://other.example.com").sign());
    for (name, audience, good, bad) in [
        ("first", AUDIENCE, &one, &other),
        ("changed", "https://other.example.com", &other, &one),
        ("changed back", AUDIENCE, &one, &other),
    ] {
        shop.customers.put(&issuer, terms(audience));
        assert_eq!(service.get("/", good).await.status, 200, "{name}");
        let _ = audit.take();
        assert_eq!(service.get("/", bad).await.status, 401, "{name}");
        assert_eq!(audit.one().field("reason"), "audience_mismatch", "{name}");
    }
    assert_eq!(shop.fetches(), 1, "the keys are where they were");
}

#[tokio::test]
async fn without_a_generation_an_answer_counts_for_a_second() {
    let shop = Shop::with(Customers::without_generation()).await;
    let service = shop.serve().await;
    let issuer = shop.world.idp.issuer().to_owned();
    let (held, fresh) = (shop.token().sign(), shop.token().sign());
    shop.customers.put(&issuer, shop.with_static_keys());
    assert_eq!(service.get("/", &held).await.status, 200);
    assert_eq!(service.get("/", &held).await.status, 200);
    assert_eq!(shop.customers.asked(), 1);
    shop.customers.off_board(&issuer);
    shop.world.clock.advance(Duration::from_millis(999));
    assert_eq!(service.get("/", &held).await.status, 200);
    assert_eq!(shop.customers.asked(), 1);
    shop.world.clock.advance(Duration::from_millis(1));
    for (name, token) in [("held", &held), ("fresh", &fresh), ("held, again", &held)] {
        assert_eq!(service.get("/", token).await.status, 401, "{name}");
    }
    // Taken in at once: what is not known is not held.
    shop.customers.put(&issuer, shop.with_static_keys());
    assert_eq!(service.get("/", &held).await.status, 200);
}

/// Terms that are equal, however often they are asked for, are no reason to fetch.
#[tokio::test]
async fn unchanged_terms_fetch_nothing() {
    let shop = Shop::with(Customers::without_generation()).await;
    let service = shop.serve().await;
    let issuer = shop.world.idp.issuer().to_owned();
    let terms = || TrustedIssuer::discover(&issuer).unwrap().add_audience(AUDIENCE);
    let token = shop.token().sign();
    for round in 0..50 {
        // Made anew, as by a resolver that reads a row of a table.
        shop.customers.put(&issuer, terms());
        assert_eq!(service.get("/", &token).await.status, 200, "{round}");
        assert_eq!(service.get("/", &shop.token().sign()).await.status, 200, "{round}");
        shop.world.clock.advance(SECOND);
    }
    assert_eq!((shop.fetches(), shop.customers.asked()), (1, 50));
    // Terms that are about something else keep the keys, too.
    for audience in ["a", "b", "c"] {
        shop.customers.put(&issuer, terms().add_audience(audience));
        shop.world.clock.advance(SECOND);
        assert_eq!(service.get("/", &token).await.status, 200, "{audience}");
    }
    assert_eq!(shop.fetches(), 1);
    // Other keys do not: the place is another one.
    let elsewhere = TrustedIssuer::with_jwks_url(&issuer, &shop.world.idp.jwks_uri()).unwrap();
    shop.customers.put(&issuer, elsewhere.add_audience(AUDIENCE));
    shop.world.clock.advance(SECOND);
    assert_eq!(service.get("/", &token).await.status, 200);
    assert_eq!(shop.fetches(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_issuer_is_asked_for_once_at_a_time() {
    let shop = Shop::with(Customers::without_generation()).await;
    let layer = shop.layer().build().unwrap();
    shop.customers.put(shop.world.idp.issuer(), shop.with_static_keys());
    let held = shop.token().sign();
    assert!(layer.authenticator().verify(&held).await.is_ok());
    for round in 1..=5 {
        shop.world.clock.advance(SECOND);
        let requests: Vec<_> = (0..64)
            .map(|number| {
                let (layer, token) = (layer.clone(), held.clone());
                let token = if number % 2 == 0 { token } else { shop.token().sign() };
                tokio::spawn(async move { layer.authenticator().verify(&token).await.is_ok() })
            })
            .collect();
        for request in requests {
            assert!(request.await.unwrap(), "{round}");
        }
        // The resolver asserts that it was never asked twice at a time.
        assert_eq!(shop.customers.asked(), 1 + round);
    }
}

#[tokio::test]
async fn junk_takes_no_room() {
    let shop = Shop::with(Customers::default()).await;
    let layer = shop.layer().build().unwrap();
    let service = Served::start(whoami().layer(layer.clone())).await;
    for number in 0..200 {
        let junk = shop.token().issuer(format!("https://{number}.stranger.test")).sign();
        assert_eq!(service.get("/", &junk).await.status, 401);
    }
    assert_eq!(layer.status().issuers, []);
    assert_eq!(shop.customers.asked(), 200);
    shop.customers.put(shop.world.idp.issuer(), shop.with_static_keys());
    assert_eq!(service.get("/", &shop.token().sign()).await.status, 200);
    assert_eq!(layer.status().issuers.len(), 1);
    shop.customers.off_board(shop.world.idp.issuer());
    assert_eq!(service.get("/", &shop.token().sign()).await.status, 401);
    assert_eq!(layer.status().issuers, [], "an issuer that is gone takes no room either");
}

#[tokio::test]
async fn an_issuer_that_verifies_nothing_is_not_refreshed() {
    let shop = Shop::with(Customers::default()).await;
    let layer = shop.layer().add_issuer(
        TrustedIssuer::discover(&configured(&shop.world.idp))
            .unwrap()
            .add_audience("x")
            .may_grant(Grants::all()),
    );
    let layer = layer.build().unwrap();
    let service = Served::start(whoami().layer(layer.clone())).await;
    let (idle, busy) = (shop.world.idp.issuer_at("/idle"), shop.world.idp.issuer_at("/busy"));
    for issuer in [&idle, &busy] {
        let terms = TrustedIssuer::discover(issuer.issuer()).unwrap().add_audience(AUDIENCE);
        shop.customers.put(issuer.issuer(), terms.may_grant(Grants::all()));
    }
    let life = Duration::from_secs(20 * 3600);
    let (of_idle, of_busy) = (idle.token().expires_in(life).sign(), busy.token().expires_in(life).sign());
    layer.warm_up().await.unwrap();
    for token in [&of_idle, &of_busy] {
        assert_eq!(service.get("/", token).await.status, 200);
    }
    let at_rest = idle.key_ids();
    let configured = shop.world.idp.issuer_at("/configured");
    // Refreshed every eight minutes: for an hour all three, then the idle one no more.
    for round in 1_u32..=30 {
        shop.world.clock.wait_for_sleepers(if round <= 8 { 3 } else { 2 }).await;
        shop.world.clock.advance(8 * MINUTE);
        let fetches = usize::try_from(round).unwrap() + 1;
        busy.wait_for_requests(Endpoint::Jwks, fetches).await;
        configured.wait_for_requests(Endpoint::Jwks, fetches).await;
        if round < 8 {
            idle.wait_for_requests(Endpoint::Jwks, fetches).await;
        }
        assert_eq!(service.get("/", &of_busy).await.status, 200, "{round}");
    }
    assert_eq!(idle.requests(Endpoint::Jwks), 8, "seven refreshes within the hour");
    let status = layer.status();
    let of = |issuer: &MockIssuer| status.issuers.iter().find(|one| one.issuer == *issuer.issuer()).unwrap();
    assert!(!of(&idle).has_keys && of(&busy).has_keys && of(&configured).has_keys);
    assert!(status.is_ready(), "an issuer at rest is no outage");

    // Keys that have rested are good for nothing: one may have been withdrawn meanwhile.
    idle.rotate_keys();
    idle.withdraw_old_keys();
    assert_ne!(idle.key_ids(), at_rest);
    assert_eq!(service.get("/", &of_idle).await.status, 401, "of a key that was withdrawn, and held");
    assert_eq!(idle.requests(Endpoint::Jwks), 9, "the next token fetches again");
    assert_eq!(service.get("/", &idle.token().sign()).await.status, 200);
    shop.world.clock.wait_for_sleepers(3).await;
}

fn configured(idp: &MockIdp) -> String {
    idp.issuer_at("/configured").issuer().to_owned()
}

/// A provider that is down when its issuer wakes up is an outage, not an open door.
#[tokio::test]
async fn keys_at_rest_are_no_reserve() {
    let shop = Shop::with(Customers::default()).await;
    let service = shop.serve().await;
    let issuer = shop.world.idp.issuer().to_owned();
    shop.customers.put(&issuer, TrustedIssuer::discover(&issuer).unwrap().add_audience(AUDIENCE));
    let token = shop.token().sign();
    assert_eq!(service.get("/", &token).await.status, 200);
    shop.world.clock.wait_for_sleepers(1).await;
    shop.world.clock.advance(2 * 60 * MINUTE);
    shop.world.idp.fail_with(Endpoint::Jwks, http::StatusCode::SERVICE_UNAVAILABLE);
    for _ in 0..10 {
        // The keeper needs its turn to see that the hour is over.
        tokio::task::yield_now().await;
    }
    assert_eq!(service.get("/", &token).await.status, 503);
    shop.world.idp.recover(Endpoint::Jwks);
    shop.world.clock.advance(MINUTE);
    assert_eq!(service.get("/", &token).await.status, 200);
}

#[tokio::test]
async fn status_sees_resolved_issuers_and_readiness_does_not_wait_for_them() {
    let shop = Shop::with(Customers::default()).await;
    let layer = shop.layer().build().unwrap();
    let service = Served::start(whoami().layer(layer.clone())).await;
    assert!(layer.status().is_ready() && layer.status().issuers.is_empty());
    let issuer = shop.world.idp.issuer().to_owned();
    shop.customers.put(&issuer, TrustedIssuer::discover(&issuer).unwrap().add_audience(AUDIENCE));
    shop.world.idp.fail_with(Endpoint::Jwks, http::StatusCode::BAD_GATEWAY);
    assert_eq!(service.get("/", &shop.token().sign()).await.status, 503);
    let status = layer.status();
    let [seen] = status.issuers.as_slice() else { panic!("{status:?}") };
    assert!(seen.is_resolved && !seen.has_keys && seen.last_error.is_some(), "{seen:?}");
    assert!(status.is_ready(), "one customer's outage takes no replica out of the balancer");
    shop.customers.put(&issuer, shop.with_static_keys());
    assert_eq!(service.get("/", &shop.token().sign()).await.status, 200);
    let status = layer.status();
    assert!(status.issuers.iter().all(|issuer| issuer.is_resolved && issuer.has_keys), "{status:?}");
}

/// Whatever a request has waited for, what holds at the end is what counts.
#[tokio::test]
async fn terms_that_change_during_a_fetch_hold_after_it() {
    let shop = Shop::with(Customers::default()).await;
    let (service, audit) = (shop.serve().await, AuditLog::listen());
    let issuer = shop.world.idp.issuer().to_owned();
    let discovered = || TrustedIssuer::discover(&issuer).unwrap().add_audience(AUDIENCE);
    let other = shop.world.idp.issuer_at("/other");
    other.rotate_keys();
    let of_other_keys = TrustedIssuer::with_static_keys(&issuer, &other.jwks().to_string()).unwrap();
    let of_other_keys = of_other_keys.add_audience(AUDIENCE);
    for (name, change, reason) in [
        ("gone", None, "issuer_unknown"),
        (
            "another audience",
            Some(discovered().add_audience("z").max_token_lifetime(MINUTE)),
            "token_lifetime_too_long",
        ),
        ("other keys, of the same names", Some(of_other_keys), "signature_invalid"),
    ] {
        shop.customers.off_board(&issuer);
        let token = shop.token().sign();
        assert_eq!(service.get("/", &token).await.status, 401, "{name}");
        shop.customers.put(&issuer, discovered());
        let _ = audit.take();
        let fetches = shop.fetches();
        let hold = shop.world.idp.hold(Endpoint::Jwks);
        let (answer, ()) = tokio::join!(service.get("/", &token), async {
            shop.world.idp.wait_for_requests(Endpoint::Jwks, fetches + 1).await;
            match change {
                None => shop.customers.off_board(&issuer),
                Some(terms) => shop.customers.put(&issuer, terms),
            }
            hold.release();
        });
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(audit.one().field("reason"), reason, "{name}");
    }
}

#[tokio::test]
async fn the_first_resolver_that_knows_the_issuer_counts() {
    for first in [Customers::default, Customers::without_generation] {
        let shop = Shop::with(first()).await;
        let (one, two) = (shop.customers.clone(), Customers::default());
        let service = shop.world.serve(shop.layer().add_issuer_resolver(two.clone())).await;
        let issuer = shop.world.idp.issuer().to_owned();
        let short = || shop.with_static_keys().max_token_lifetime(MINUTE);
        let token = shop.token().sign();
        let judge = async || {
            shop.world.clock.advance(SECOND);
            service.get("/", &token).await.status
        };
        assert_eq!(judge().await, 401, "neither");
        two.put(&issuer, shop.with_static_keys());
        assert_eq!(judge().await, 200, "the second");
        one.put(&issuer, short());
        assert_eq!(judge().await, 401, "the first has learnt of it, and its terms are stricter");
        one.off_board(&issuer);
        assert_eq!(judge().await, 200, "the second again");
        two.off_board(&issuer);
        assert_eq!(judge().await, 401, "neither again");
    }
}

/// The second goes on while the machine is asleep.
#[tokio::test]
async fn an_answer_does_not_outlive_a_suspension() {
    let shop = Shop::with(Customers::without_generation()).await;
    let service = shop.serve().await;
    let issuer = shop.world.idp.issuer().to_owned();
    shop.customers.put(&issuer, shop.with_static_keys());
    let token = shop.token().sign();
    for _ in 0..2 {
        assert_eq!(service.get("/", &token).await.status, 200);
    }
    shop.customers.off_board(&issuer);
    assert_eq!(service.get("/", &token).await.status, 200, "within the second");
    // Only the wall clock goes on.
    let clock = &shop.world.clock;
    clock.set(clock.now().saturating_add(60 * MINUTE));
    assert_eq!(service.get("/", &token).await.status, 401, "an hour later");
}

/// Status and `refresh_keys` no longer see an issuer that was dropped to make room, so
/// neither do tokens that were verified before.
#[tokio::test]
async fn an_issuer_that_was_dropped_to_make_room_vouches_for_nothing() {
    let shop = Shop::with(Customers::at_most(1)).await;
    let layer = shop.layer().build().unwrap();
    let service = Served::start(whoami().layer(layer.clone())).await;
    let (one, two) = (shop.world.idp.issuer_at("/one"), shop.world.idp.issuer_at("/two"));
    for issuer in [&one, &two] {
        let terms = TrustedIssuer::discover(issuer.issuer()).unwrap().add_audience(AUDIENCE);
        shop.customers.put(issuer.issuer(), terms.may_grant(Grants::all()));
    }
    let life = Duration::from_secs(20 * 3600);
    let token = one.token().expires_in(life).sign();
    for _ in 0..2 {
        assert_eq!(service.get("/", &token).await.status, 200, "held");
    }
    // Room is made now and then, and not at once.
    for _ in 0..1_000 {
        assert_eq!(service.get("/", &two.token().sign()).await.status, 200);
        if layer.status().issuers.iter().all(|held| held.issuer != *one.issuer()) {
            break;
        }
    }
    one.rotate_keys();
    one.withdraw_old_keys();
    layer.refresh_keys().await;
    assert_eq!(service.get("/", &token).await.status, 401, "its key is withdrawn");
    assert_eq!(service.get("/", &one.token().expires_in(life).sign()).await.status, 200);
}

/// A layer's issuers go by what is configured first, whatever a resolver says.
#[tokio::test]
async fn a_resolver_takes_nothing_from_a_configured_issuer() {
    let shop = Shop::with(Customers::default()).await;
    let service = shop.world.serve(shop.layer().add_issuer(shop.world.issuer())).await;
    let token = shop.token().sign();
    shop.customers.put(shop.world.idp.issuer(), shop.with_static_keys().max_token_lifetime(MINUTE));
    assert_eq!(service.get("/", &token).await.status, 200);
    shop.customers.off_board(shop.world.idp.issuer());
    assert_eq!(service.get("/", &token).await.status, 200);
    assert_eq!(shop.customers.asked(), 0);
}
