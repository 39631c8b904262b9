//! What is revoked is refused on the very next request, cached or not.
#![expect(clippy::unwrap_used, reason = "tests")]

mod admin;
mod contract;
mod store;

use std::{
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use integration_tests::{AuditLog, Served, World};
use tower_delegation::{
    ClientIdentity, DelegationContext, DenialReason as R,
    clock::{Clock, Timestamp},
    credential::{CertificateTrust, PeerInfo},
    revocation::{
        InMemoryRevocations, Revocation, RevocationErrorKind, RevocationListener, RevocationQuery,
        RevocationStore, Standing,
    },
};
use tower_delegation_testing::{TestClock, TestPki, TokenBuilder};

/// The leeway of a layer that is given none.
const LEEWAY: Duration = tower_delegation::clock::DEFAULT_LEEWAY;

/// A world with a store of revocations.
struct Fixture {
    world: World,
    revocations: InMemoryRevocations,
}

impl Deref for Fixture {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Fixture {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(configure: impl FnOnce(InMemoryRevocations) -> InMemoryRevocations) -> Self {
        let world = World::new().await;
        let revocations = configure(InMemoryRevocations::new().clock(world.clock.clone()));
        Self { world, revocations }
    }

    async fn serve(&self) -> Served {
        let layer = self.layer().revocations(self.revocations.clone()).build().unwrap();
        layer.warm_up().await.unwrap();
        Served::start(Router::new().route("/", get(whoami)).layer(layer)).await
    }

    fn issuer(&self) -> &str {
        self.idp.issuer()
    }

    /// A token of Alice, through the web shop, acted on by `bot`, which `relay` acted for before.
    fn token(&self) -> TokenBuilder {
        let token = self.idp.token().user("alice").client("shop-web").session("session-1").token_id("t-1");
        token.actor("bot").earlier_actor("relay")
    }
}

async fn whoami(delegation: DelegationContext) -> String {
    delegation.subject().id().to_string()
}

#[tokio::test]
async fn what_a_token_has_to_do_with_can_be_revoked() {
    type Revoke = fn(&str) -> Revocation;
    let rows: [(&str, Revoke, R); 8] = [
        ("the token", |iss| Revocation::token(iss, "t-1"), R::TokenRevoked),
        ("the subject", |iss| Revocation::subject(iss, "alice"), R::SubjectRevoked),
        ("the session", |iss| Revocation::session(iss, "session-1"), R::SessionRevoked),
        ("the client", |iss| Revocation::client(iss, "shop-web"), R::ClientRevoked),
        ("the actor", |iss| Revocation::actor(iss, "bot"), R::ActorRevoked),
        ("an earlier actor", |iss| Revocation::actor(iss, "relay"), R::ActorRevoked),
        ("the actor, as a subject", |iss| Revocation::subject(iss, "bot"), R::SubjectRevoked),
        ("an earlier actor, as a subject", |iss| Revocation::subject(iss, "relay"), R::SubjectRevoked),
    ];
    for (name, revocation, reason) in rows {
        let world = Fixture::new().await;
        let service = world.serve().await;
        let log = AuditLog::listen();
        let token = world.token().sign();
        assert_eq!(service.get("/", &token).await.status, 200, "{name}");
        let _ = log.take();
        world.revocations.revoke(revocation(world.issuer())).unwrap();
        let answer = service.get("/", &token).await;
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(answer.code(), "invalid_token", "{name}");
        assert_eq!(log.one().field("reason"), reason.code(), "{name}");
        // Not seen before, so not cached either.
        assert_eq!(service.get("/", &world.token().sign()).await.status, 401, "{name}");
    }
}

#[tokio::test]
async fn nobody_else_is_refused() {
    type Revoke = fn(&str) -> Revocation;
    let rows: [(&str, Revoke); 7] = [
        ("another token", |iss| Revocation::token(iss, "t-2")),
        ("another subject", |iss| Revocation::subject(iss, "mallory")),
        ("another session", |iss| Revocation::session(iss, "session-2")),
        ("another client", |iss| Revocation::client(iss, "shop-app")),
        ("another actor", |iss| Revocation::actor(iss, "robot")),
        ("the subject, as an actor", |iss| Revocation::actor(iss, "alice")),
        ("the subject's name as a client", |iss| Revocation::client(iss, "alice")),
    ];
    let world = Fixture::new().await;
    let service = world.serve().await;
    for (name, revocation) in rows {
        world.revocations.revoke(revocation(world.issuer())).unwrap();
        assert_eq!(service.get("/", &world.token().sign()).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_subject_comes_back_with_a_token_issued_afterwards() {
    let world = Fixture::new().await;
    let service = world.serve().await;
    let before = world.token().sign();
    let now = world.clock.now();
    world.revocations.revoke(Revocation::subject(world.issuer(), "alice").issued_before(now)).unwrap();
    assert_eq!(service.get("/", &before).await.status, 401);
    // `iat` counts seconds: within one, before and after cannot be told apart.
    assert_eq!(service.get("/", &world.token().sign()).await.status, 401, "of the same second");
    world.clock.advance(LEEWAY);
    assert_eq!(service.get("/", &world.token().sign()).await.status, 401, "by a clock that is ahead");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
    assert_eq!(service.get("/", &before).await.status, 401);
}

#[tokio::test]
async fn a_revocation_lasts_until_its_end_and_the_leeway() {
    let world = Fixture::new().await;
    let service = world.serve().await;
    let token = world.token().expires_in(Duration::from_secs(3600)).sign();
    let end = world.clock.now().saturating_add(Duration::from_secs(60));
    world.revocations.revoke(Revocation::subject(world.issuer(), "alice").until(end)).unwrap();
    world.clock.advance(Duration::from_secs(59) + LEEWAY);
    assert_eq!(service.get("/", &token).await.status, 401);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(service.get("/", &token).await.status, 200);
    // One that has ended is not taken in.
    let ended = world.revocations.revoke(Revocation::subject(world.issuer(), "alice").until(end));
    assert_eq!(ended.unwrap_err().kind(), RevocationErrorKind::UntilPassed);
    assert_eq!(service.get("/", &token).await.status, 200);
}

#[tokio::test]
async fn the_stricter_of_two_revocations_holds() {
    let world = Fixture::new().await;
    let service = world.serve().await;
    let alice = || Revocation::subject(world.issuer(), "alice");
    world.revocations.revoke(alice()).unwrap();
    let past = world.clock.now().saturating_sub(Duration::from_secs(3600));
    let soon = world.clock.now().saturating_add(Duration::from_secs(1));
    world.revocations.revoke(alice().issued_before(past).until(soon)).unwrap();
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(service.get("/", &world.token().sign()).await.status, 401);
    assert_eq!(world.revocations.len(), 1);
}

#[tokio::test]
async fn everything_can_be_revoked_at_once() {
    let world = Fixture::new().await;
    let service = world.serve().await;
    let (one, other) = (world.token().sign(), world.idp.token().subject("bob").client("shop-app").sign());
    world.revocations.revoke_everything_issued_before(world.clock.now()).unwrap();
    for token in [&one, &other] {
        assert_eq!(service.get("/", token).await.status, 401);
    }
    world.clock.advance(LEEWAY + Duration::from_secs(1));
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
    let before = world.clock.now().saturating_sub(Duration::from_secs(39));
    world.revocations.revoke_everything_issued_before(before).unwrap();
    assert_eq!(service.get("/", &one).await.status, 401, "it never goes back");
    for (name, time) in [
        ("a duration", Timestamp::from_unix_seconds(3600)),
        ("far ahead", world.clock.now().saturating_add(Duration::from_secs(3600))),
    ] {
        assert!(world.revocations.revoke_everything_issued_before(time).is_err(), "{name}");
    }
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
}

#[tokio::test]
async fn a_workload_is_revoked_by_name_or_by_certificate() {
    let world = Fixture::new().await;
    let pki = TestPki::new();
    let layer =
        world.layer().revocations(world.revocations.clone()).client_identity(ClientIdentity::from_tls());
    let layer = layer.build().unwrap();
    let peer = |name: &str| {
        let chain = pki.workload(&format!("/{name}")).issue().chain_der();
        let address = ([127, 0, 0, 1], 1).into();
        PeerInfo::with_certificate(address, &chain, CertificateTrust::ChainedToTrustAnchor).unwrap()
    };
    let (shop, cart, desk) = (peer("shop"), peer("cart"), peer("desk"));
    let token = world.token().sign();
    world
        .revocations
        .revoke(Revocation::workload(shop.certificate_at_handshake().unwrap().spiffe_id().unwrap().clone()))
        .unwrap();
    world
        .revocations
        .revoke(Revocation::certificate(*cart.certificate_at_handshake().unwrap().thumbprint()))
        .unwrap();
    for (name, peer, expected) in [
        ("by name", &shop, Some(R::WorkloadRevoked)),
        ("by certificate", &cart, Some(R::WorkloadRevoked)),
        ("another", &desk, None),
    ] {
        let reason =
            layer.authenticator().verify_from(&token, peer).await.err().map(|rejection| rejection.reason());
        assert_eq!(reason, expected, "{name}");
    }
}

#[tokio::test]
async fn cached_tokens_are_dropped_when_they_are_revoked() {
    let world = Fixture::new().await;
    let layer = world.layer().revocations(world.revocations.clone()).build().unwrap();
    let authenticator = layer.authenticator().clone();
    authenticator.warm_up().await.unwrap();
    for subject in ["alice", "bob", "carol"] {
        authenticator.verify(&world.idp.token().subject(subject).client("shop-web").sign()).await.unwrap();
    }
    assert_eq!(authenticator.cached_tokens(), 3);
    world.revocations.revoke(Revocation::subject(world.issuer(), "bob")).unwrap();
    assert_eq!(authenticator.cached_tokens(), 2);
    // The cache is searched once a second at most: a flood of revocations does not become a flood of searches.
    world.revocations.revoke(Revocation::subject(world.issuer(), "carol")).unwrap();
    assert_eq!(authenticator.cached_tokens(), 2);
    world.clock.advance(Duration::from_secs(1));
    world.revocations.revoke(Revocation::subject(world.issuer(), "nobody")).unwrap();
    assert_eq!(authenticator.cached_tokens(), 1);
}

/// A replica that has lost its source.
#[derive(Debug)]
struct Stale;

impl RevocationStore for Stale {
    fn check(&self, _: &RevocationQuery<'_>) -> Standing {
        Standing::Unknown
    }
}

#[tokio::test]
async fn a_store_that_cannot_tell_is_a_503() {
    let world = Fixture::new().await;
    let layer = world.layer().revocations(Stale).build().unwrap();
    layer.warm_up().await.unwrap();
    let service = Served::start(Router::new().route("/", get(whoami)).layer(layer)).await;
    let answer = service.get("/", &world.token().sign()).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(answer.challenges.is_empty());
}

#[tokio::test]
async fn without_a_store_nothing_is_asked() {
    let world = Fixture::new().await;
    let layer = world.layer().build().unwrap();
    layer.warm_up().await.unwrap();
    let service = Served::start(Router::new().route("/", get(whoami)).layer(layer)).await;
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
}

#[derive(Default)]
struct Counter(AtomicUsize);

impl RevocationListener for Counter {
    fn revoked(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn listeners_hear_of_each_change_while_they_live() {
    let store = InMemoryRevocations::new();
    let counter = Arc::new(Counter::default());
    let listener: Weak<Counter> = Arc::downgrade(&counter);
    store.subscribe(listener).unwrap();
    store.revoke(Revocation::subject("https://idp", "alice")).unwrap();
    store.revoke_each((0..100).map(|i| Revocation::token("https://idp", i.to_string()))).unwrap();
    store.revoke_everything_issued_before(tower_delegation::clock::SystemClock::new().now()).unwrap();
    assert_eq!(counter.0.load(Ordering::Relaxed), 3, "a batch is one change");
    drop(counter);
    store.revoke(Revocation::subject("https://idp", "bob")).unwrap();
}

/// The filter in front of the map must never hide an entry.
#[test]
fn none_of_many_is_missed_while_others_come_and_go() {
    use tower_delegation::revocation::{RevocationKey, RevocationTarget};
    let clock = TestClock::new();
    let store = InMemoryRevocations::new().clock(clock.clone()).max_entries(20_000);
    let target = |i: usize| RevocationTarget::Token("https://idp".into(), i.to_string().into());
    let now = clock.now();
    let short = now.saturating_add(Duration::from_secs(10));
    let is_revoked = |i: usize, now| {
        let key = [RevocationKey::of(&target(i))];
        store.check(&RevocationQuery::new(&key, now, now)) != Standing::Good
    };
    store.revoke_each((0..10_000).map(|i| Revocation::new(target(i)).until(short))).unwrap();
    store.revoke_each((10_000..20_000).map(|i| Revocation::new(target(i)))).unwrap();
    assert!((0..20_000).all(|i| is_revoked(i, now)));
    assert!((20_000..40_000).all(|i| !is_revoked(i, now)));
    // Full, and the first half has ended for every leeway: the next ones take their place, in a new filter.
    clock.advance(Duration::from_secs(310));
    store.revoke_each((20_000..30_000).map(|i| Revocation::new(target(i)))).unwrap();
    let now = clock.now();
    assert!((0..10_000).all(|i| !is_revoked(i, now)));
    assert!((10_000..30_000).all(|i| is_revoked(i, now)));
    assert_eq!(store.len(), 20_000);
}
