//! The store in memory: its bound, its snapshots, and what it learns from layers.

use std::{sync::Arc, time::Duration};

use integration_tests::AUDIENCE;
use serde_json::json;
use tower_delegation::{
    ClientIdentity, ConfigError, DelegationLayer, TrustedIssuer,
    clock::{Clock, Timestamp},
    issuer::{ClaimMapping, Grants, IssuerResolver},
    revocation::{
        InMemoryRevocations, Revocation, RevocationErrorKind as Kind, RevocationKey, RevocationPage,
        RevocationQuery, RevocationSnapshot, RevocationStore, RevocationTarget as Target, Standing,
    },
    spiffe::SpiffeId,
};
use tower_delegation_testing::TestClock;

use crate::{Fixture, LEEWAY};

const ISSUER: &str = "https://idp.example.com";

#[tokio::test]
async fn a_full_store_logs_everyone_out_once_and_forgets_nothing_that_it_is_asked() {
    let world = Fixture::with(|store| store.max_entries(2)).await;
    let service = world.serve().await;
    let token = |subject: &str| world.idp.token().subject(subject).client("shop-app").sign();
    let revoke = |id: &str| world.revocations.revoke(Revocation::subject(world.issuer(), id));
    let (bob, carol) = (token("bob"), token("carol"));
    revoke("one").unwrap();
    revoke("two").unwrap();
    assert_eq!(service.get("/", &bob).await.status, 200);
    revoke("two").unwrap();
    assert_eq!(service.get("/", &bob).await.status, 200, "known already, so there is room");

    let error = revoke("bob").unwrap_err();
    assert_eq!(error.kind(), Kind::Full);
    for (name, token) in [("the one that was asked for", &bob), ("what was issued before", &carol)] {
        assert_eq!(service.get("/", token).await.status, 401, "{name}");
    }
    let ahead = world.clock.now().saturating_add(LEEWAY);
    let ahead = world.idp.token().subject("carol").client("shop-app").issued_at(ahead).sign();
    assert_eq!(service.get("/", &ahead).await.status, 401, "issued before, by a clock that is ahead");

    world.clock.advance(LEEWAY + Duration::from_secs(1));
    let (bob, carol, dave) = (token("bob"), token("carol"), token("dave"));
    assert_eq!(service.get("/", &bob).await.status, 401, "it was asked for, whenever issued");
    for token in [&carol, &dave] {
        assert_eq!(service.get("/", token).await.status, 200, "they are back");
    }
    for subject in ["dave", "erin", "frank"] {
        assert_eq!(revoke(subject).unwrap_err().kind(), Kind::Full, "{subject}");
        assert_eq!(service.get("/", &carol).await.status, 200, "no one else is logged out for {subject}");
        assert_eq!(service.get("/", &token(subject)).await.status, 401, "{subject}");
    }
    assert_eq!(service.get("/", &dave).await.status, 401);

    // Room is made: the store takes in as before, and what it cannot lift it says so of.
    let subject = |id: &str| Target::Subject(world.issuer().into(), id.into());
    assert_eq!(world.revocations.lift(&subject("dave")).unwrap_err().kind(), Kind::NotListed);
    assert_eq!(service.get("/", &dave).await.status, 401);
    assert!(world.revocations.lift(&subject("one")).unwrap());
    revoke("carol").unwrap();
    assert_eq!(service.get("/", &carol).await.status, 401);
    assert!(world.revocations.lift(&subject("carol")).unwrap());
    assert_eq!(service.get("/", &carol).await.status, 200);
    assert_eq!(world.revocations.len(), 1);
}

#[tokio::test]
async fn a_full_store_keeps_what_was_issued_before_for_those_that_may_come_back() {
    let world = Fixture::with(|store| store.max_entries(1)).await;
    let service = world.serve().await;
    let now = world.clock.now();
    world.revocations.revoke(Revocation::client(world.issuer(), "x")).unwrap();
    let limited = Revocation::subject(world.issuer(), "bob").issued_before(now);
    assert_eq!(world.revocations.revoke(limited).unwrap_err().kind(), Kind::Full);
    let token = || world.idp.token().subject("bob").client("shop-app").sign();
    assert_eq!(service.get("/", &token()).await.status, 401);
    world.clock.advance(LEEWAY + Duration::from_secs(1));
    assert_eq!(service.get("/", &token()).await.status, 200, "as it was asked for");
}

#[test]
fn room_comes_back_with_the_end_of_what_ends() {
    let clock = TestClock::new();
    let store = InMemoryRevocations::new().clock(clock.clone()).max_entries(2);
    let end = clock.now().saturating_add(Duration::from_secs(60));
    store.revoke(Revocation::token(ISSUER, "short").until(end)).unwrap();
    store.revoke(Revocation::token(ISSUER, "long")).unwrap();
    // Not before it has ended under the longest leeway that a layer can have.
    clock.advance(Duration::from_secs(60 + 299));
    assert_eq!(store.revoke(Revocation::token(ISSUER, "next")).unwrap_err().kind(), Kind::Full);
    clock.advance(Duration::from_secs(1));
    store.revoke(Revocation::token(ISSUER, "other")).unwrap();
    let list = store.list(&RevocationPage::first(10)).unwrap();
    let ids: Vec<_> = list.revocations.iter().map(|one| one.target().id().into_owned()).collect();
    assert_eq!(ids, ["long", "other"]);
}

#[test]
fn a_setter_holds_for_all_clones_and_drops_nothing() {
    let clock = TestClock::new();
    let store = InMemoryRevocations::new().max_entries(2);
    let clone = store.clone();
    store.revoke(Revocation::token(ISSUER, "one")).unwrap();
    store.revoke(Revocation::token(ISSUER, "two")).unwrap();
    let listed =
        |store: &InMemoryRevocations| store.list(&RevocationPage::first(10)).unwrap().revocations.len();
    let store = store.clock(clock.clone()).max_entries(3);
    clone.revoke(Revocation::token(ISSUER, "three")).unwrap();
    assert_eq!((listed(&store), listed(&clone)), (3, 3));
    let store = store.max_entries(1);
    assert_eq!(listed(&clone), 3, "less room drops nothing");
    let full = clone.revoke(Revocation::token(ISSUER, "four")).unwrap_err();
    assert_eq!(full.kind(), Kind::Full);
    assert!(store.lift(Revocation::token(ISSUER, "two").target()).unwrap());
    let until = clock.now().saturating_add(Duration::from_secs(60));
    let store = store.max_entries(10);
    store.revoke(Revocation::token(ISSUER, "five").until(until)).unwrap();
    clock.advance(Duration::from_secs(3600));
    assert_eq!(listed(&clone), 2, "it has ended by the clock that was set");
}

#[test]
fn what_has_ended_is_revoked_anew_without_its_former_limits() {
    let clock = TestClock::new();
    let store = InMemoryRevocations::new().clock(clock.clone());
    let in_a_minute = || clock.now().saturating_add(Duration::from_secs(60));
    let alice = || Revocation::subject(ISSUER, "alice");
    store.revoke(alice().until(in_a_minute()).reason("first")).unwrap();
    clock.advance(Duration::from_secs(3600));
    assert!(!store.lift(alice().target()).unwrap(), "it has ended");
    store.revoke(alice().until(in_a_minute())).unwrap();
    clock.advance(Duration::from_secs(3600));
    let before = clock.now();
    store.revoke(alice().issued_before(before).reason("third")).unwrap();
    let list = store.list(&RevocationPage::first(10)).unwrap().revocations;
    let [one] = list.as_slice() else { panic!("one is in force: {list:?}") };
    assert_eq!((one.why(), one.covers_issued_before(), one.ends()), (Some("third"), Some(before), None));
}

#[test]
fn a_snapshot_keeps_everything_across_a_restart() {
    let clock = TestClock::new();
    let store = InMemoryRevocations::new().clock(clock.clone());
    let after = |seconds: u64| clock.now().saturating_add(Duration::from_millis(seconds * 1000 + 7));
    let before = clock.now().saturating_sub(Duration::from_millis(1500));
    store.revoke(Revocation::token(ISSUER, "t").until(after(600)).reason("signed out")).unwrap();
    store.revoke(Revocation::subject(ISSUER, "alice").issued_before(before).revoked_by("olga")).unwrap();
    store.revoke(Revocation::session(ISSUER, "s")).unwrap();
    store.revoke(Revocation::client(ISSUER, "c")).unwrap();
    store.revoke(Revocation::actor(ISSUER, "a")).unwrap();
    store.revoke(Revocation::workload(SpiffeId::new("spiffe://example.org/w").unwrap())).unwrap();
    store.revoke(Revocation::certificate([7; 32])).unwrap();
    store.revoke(Revocation::subject(ISSUER, "brief").until(after(1))).unwrap();
    store.revoke_everything_issued_before(before).unwrap();
    let snapshot = store.snapshot();
    assert_eq!(snapshot.revocations.len(), 8);
    let text = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<RevocationSnapshot>(&text).unwrap(), snapshot);

    clock.advance(Duration::from_secs(400));
    let restarted = InMemoryRevocations::new().clock(clock.clone());
    restarted.load(serde_json::from_str(&text).unwrap()).unwrap();
    let mut expected = snapshot;
    expected.revocations.retain(|revocation| revocation.target().id() != "brief");
    assert_eq!(restarted.snapshot(), expected, "what has ended is left out, and nothing else");
}

#[test]
fn a_snapshot_with_mistakes_is_loaded_but_for_them() {
    let store = InMemoryRevocations::new();
    let snapshot = json!({
        "everything_issued_before": 3600,
        "revocations": [
            { "target": "subject", "issuer": ISSUER, "id": "alice" },
            { "target": "subject", "issuer": ISSUER, "id": "" },
            { "target": "subject", "issuer": ISSUER, "id": "bob", "until": 3600 },
            { "target": "subject", "issuer": ISSUER, "id": "carol", "until": 1_500_000_000 },
            { "target": "client", "issuer": ISSUER, "id": "shop", "issued_before": 4_000_000_000_u32 },
        ],
    });
    let errors = store.load(serde_json::from_value(snapshot).unwrap()).unwrap_err();
    let found: Vec<_> = errors.iter().map(|(position, error)| (position, error.kind())).collect();
    let expected =
        [(1, Kind::MatchesNothing), (2, Kind::NotATime), (4, Kind::IssuedBeforeAhead), (5, Kind::NotATime)];
    assert_eq!(found, expected);
    assert_eq!(store.len(), 1);
    for (name, text) in [
        ("no target", json!({"revocations": [{"issuer": ISSUER, "id": "x"}]})),
        ("no issuer", json!({"revocations": [{"target": "token", "id": "x"}]})),
        (
            "an unknown member",
            json!({"revocations": [{"target": "token", "issuer": ISSUER, "id": "x", "exp": 1}]}),
        ),
        (
            "a time as text",
            json!({"revocations": [{"target": "token", "issuer": ISSUER, "id": "x", "until": "1"}]}),
        ),
        ("no list", json!({})),
        ("an unknown part", json!({"revocations": [], "everything": 1})),
    ] {
        assert!(serde_json::from_value::<RevocationSnapshot>(text).is_err(), "{name}");
    }
}

/// Knows any issuer, when it is asked.
#[derive(Debug)]
struct Anyone;

impl IssuerResolver for Anyone {
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
        TrustedIssuer::discover(issuer).ok().map(|issuer| issuer.add_audience(AUDIENCE))
    }
}

#[test]
fn what_no_layer_can_ever_see_is_refused() {
    let trusted = |issuer: &str, mapping| {
        let issuer = TrustedIssuer::discover(issuer).unwrap().add_audience(AUDIENCE);
        DelegationLayer::builder().add_issuer(issuer.claim_mapping(mapping).may_grant(Grants::all()))
    };
    let plain = || trusted(ISSUER, ClaimMapping::rfc9068());
    let workloads = || trusted(ISSUER, ClaimMapping::kubernetes_service_account());
    let workload = || Revocation::workload(SpiffeId::new("spiffe://example.org/w").unwrap());
    let tls = || plain().client_identity(ClientIdentity::from_tls());
    let rows = [
        ("a subject", plain(), Revocation::subject(ISSUER, "x"), None),
        (
            "of another issuer",
            plain(),
            Revocation::subject("https://other", "x"),
            Some(Kind::IssuerNotTrusted),
        ),
        ("a client", plain(), Revocation::client(ISSUER, "x"), None),
        ("a client of workloads", workloads(), Revocation::client(ISSUER, "x"), Some(Kind::MatchesNothing)),
        ("a subject of workloads", workloads(), Revocation::subject(ISSUER, "x"), None),
        ("an actor", plain(), Revocation::actor(ISSUER, "x"), None),
        ("an actor of workloads", workloads(), Revocation::actor(ISSUER, "x"), Some(Kind::MatchesNothing)),
        ("a workload", tls(), workload(), None),
        ("a workload that no one looks at", plain(), workload(), Some(Kind::MatchesNothing)),
        ("a certificate", tls(), Revocation::certificate([7; 32]), None),
        (
            "a certificate that no one looks at",
            plain(),
            Revocation::certificate([7; 32]),
            Some(Kind::MatchesNothing),
        ),
        (
            "of a resolver",
            plain().add_issuer_resolver(Anyone),
            Revocation::subject("https://other", "x"),
            None,
        ),
        ("an actor of a partner", plain(), Revocation::actor("https://partner", "x"), None),
        ("a partner as a subject", plain(), Revocation::subject("https://partner", "x"), None),
        (
            "a partner's token",
            plain(),
            Revocation::token("https://partner", "x"),
            Some(Kind::IssuerNotTrusted),
        ),
    ];
    for (name, layer, revocation, expected) in rows {
        let store = || InMemoryRevocations::new().add_actor_issuer("https://partner");
        // Asked of a store that serves a layer.
        let served = store();
        let built = layer.revocations(served.clone()).build().unwrap();
        let answer = served.revoke(revocation.clone()).map_err(|error| error.kind());
        assert_eq!(answer.err(), expected, "{name}");
        assert_eq!(served.is_empty(), expected.is_some(), "{name}");
        drop(built);
    }
}

#[test]
fn what_was_loaded_before_is_judged_when_a_layer_is_built() {
    let layer = |issuer: &str, store: &InMemoryRevocations| {
        let issuer = TrustedIssuer::discover(issuer).unwrap().add_audience(AUDIENCE);
        DelegationLayer::builder().add_issuer(issuer).revocations(store.clone()).build()
    };
    let loaded = |issuer: &str| {
        let store = InMemoryRevocations::new();
        store.load(RevocationSnapshot::new(vec![Revocation::subject(issuer, "alice")])).unwrap();
        store
    };
    assert!(layer(ISSUER, &loaded(ISSUER)).is_ok());
    let store = loaded("https://other");
    let error = layer(ISSUER, &store).unwrap_err();
    assert!(matches!(error, ConfigError::UnmatchedRevocation { .. }), "{error}");
    assert!(error.to_string().contains("https://other"), "{error}");
    store.lift(&Target::Subject("https://other".into(), "alice".into())).unwrap();
    assert!(layer(ISSUER, &store).is_ok(), "mended");

    // Two layers of one store: loaded once both are there.
    let store = InMemoryRevocations::new();
    let layers = [layer(ISSUER, &store).unwrap(), layer("https://other", &store).unwrap()];
    for (issuer, is_known) in [(ISSUER, true), ("https://other", true), ("https://third", false)] {
        assert_eq!(store.revoke(Revocation::subject(issuer, "alice")).is_ok(), is_known, "{issuer}");
    }
    drop(layers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_never_miss_what_is_held_while_others_come_and_go() {
    let store = Arc::new(InMemoryRevocations::new().max_entries(64));
    let held = [RevocationKey::of(&Target::Token(ISSUER.into(), "held".into()))];
    store.revoke(Revocation::token(ISSUER, "held")).unwrap();
    let now = Timestamp::from_unix_seconds(2_000_000_000);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || {
                (0..200_000)
                    .filter(|_| store.check(&RevocationQuery::new(&held, now, now)) == Standing::Good)
                    .count()
            })
        })
        .collect();
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let store = store.clone();
            std::thread::spawn(move || {
                for round in 0..20_000 {
                    // The filter is renewed every few lifts.
                    let target = Target::Token(ISSUER.into(), format!("{writer}-{}", round % 20).into());
                    store.revoke(Revocation::new(target.clone())).unwrap();
                    let key = [RevocationKey::of(&target)];
                    let standing = store.check(&RevocationQuery::new(&key, now, now));
                    assert_ne!(standing, Standing::Good, "in force once it is answered");
                    assert!(store.lift(&target).unwrap());
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let missed: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
    assert_eq!(missed, 0);
    assert_eq!(store.len(), 1);
}
