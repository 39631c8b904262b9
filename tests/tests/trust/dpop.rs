//! One client's DPoP proofs never cost another its own.

use std::time::Duration;

use integration_tests::{Answer, AuditLog, Served, World, whoami};
use reqwest::Method;
use tower_delegation::{
    ConfigError, DelegationLayer, Dpop, DpopNonces, clock::Clock as _, replay::InMemoryReplayStore,
};
use tower_delegation_testing::{DpopKey, ProofBuilder};

const ORIGIN: &str = "https://api.example.com";

/// How long a proof is remembered by default: 60 s, the second of its `iat`, 10 s of tolerance.
const LIFETIME: Duration = Duration::from_secs(71);

/// A client with a key and a token that is bound to it.
struct Client {
    key: DpopKey,
    token: String,
}

impl Client {
    fn new(world: &World) -> Self {
        let key = DpopKey::generate().clock(world.clock.clone());
        let lifetime = Duration::from_secs(1_000_000);
        let token = world.token().expires_in(lifetime).bound_to_key(&key).sign();
        Self { key, token }
    }

    fn proof(&self) -> ProofBuilder {
        self.proof_at(ORIGIN)
    }

    fn proof_at(&self, origin: &str) -> ProofBuilder {
        self.key.proof("GET", format!("{origin}/")).for_token(&self.token)
    }

    async fn send(&self, service: &Served, proof: &str) -> Answer {
        let request =
            service.request(Method::GET, "/").header("authorization", format!("DPoP {}", self.token));
        Answer::of(request.header("dpop", proof)).await
    }

    async fn send_new(&self, service: &Served) -> Answer {
        self.send(service, &self.proof().sign()).await
    }
}

fn try_layer(world: &World, dpop: Dpop) -> Result<DelegationLayer, ConfigError> {
    world.layer().dpop(dpop).build()
}

async fn serve(world: &World, dpop: Dpop) -> Served {
    Served::start(whoami().layer(try_layer(world, dpop).unwrap())).await
}

fn bounded(store: InMemoryReplayStore) -> Dpop {
    Dpop::at(ORIGIN).replay_store(store)
}

/// Is it refused as a proof that was used?
fn assert_replayed(name: &str, audit: &AuditLog, answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_dpop_proof"), "{name}");
    assert_eq!(audit.one().field("reason"), "dpop_proof_replayed", "{name}");
}

#[tokio::test]
async fn a_store_without_room_does_not_build() {
    let world = World::new().await;
    let store = InMemoryReplayStore::new;
    for (name, store, is_good) in [
        ("no proof", store().max_entries(0), false),
        ("one proof", store().max_entries(1), true),
        ("none of any key", store().max_entries_per_key(0), false),
        ("one of each key", store().max_entries_per_key(1), true),
        ("all of one key", store().max_entries(10).max_entries_per_key(10), true),
        ("more of one key than of all", store().max_entries(10).max_entries_per_key(11), false),
        ("in the other order", store().max_entries_per_key(11).max_entries(10), false),
    ] {
        // Each at an origin of its own: layers of one origin share their bounds.
        let origin = format!("https://{}.example", name.replace(' ', "-"));
        let built = try_layer(&world, Dpop::at(&origin).replay_store(store)).map(drop);
        assert_eq!(built.is_ok(), is_good, "{name}");
        assert!(is_good || matches!(built, Err(ConfigError::InvalidDpop { .. })), "{name}: {built:?}");
    }
}

#[tokio::test]
async fn one_key_does_not_fill_the_store_for_others() {
    let audit = AuditLog::listen();
    for (name, store, share) in [
        ("by default", InMemoryReplayStore::new().max_entries(100), 10),
        ("set", InMemoryReplayStore::new().max_entries(100).max_entries_per_key(3), 3),
    ] {
        let world = World::new().await;
        let service = serve(&world, bounded(store)).await;
        let (greedy, other) = (Client::new(&world), Client::new(&world));
        let used: Vec<_> = (0..share).map(|_| greedy.proof().sign()).collect();
        for proof in &used {
            assert_eq!(greedy.send(&service, proof).await.status, 200, "{name}");
        }
        let _ = audit.take();
        for number in 0..share {
            let answer = greedy.send_new(&service).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (429, "too_many_requests"),
                "{name} {number}"
            );
            assert!(answer.headers.contains_key("retry-after") && answer.challenges.is_empty(), "{name}");
            assert_eq!(audit.one().field("reason"), "replay_share_exhausted", "{name}");
            assert_eq!(other.send_new(&service).await.status, 200, "{name}: others go on, {number}");
            let _ = audit.take();
        }
        // A bearer token of the same client needs no place.
        assert_eq!(service.get("/", &world.token().sign()).await.status, 200, "{name}");
        let _ = audit.take();
        for proof in &used {
            assert_replayed(name, &audit, &greedy.send(&service, proof).await);
        }
        world.clock.advance(LIFETIME);
        assert_eq!(greedy.send_new(&service).await.status, 200, "{name}: its own have expired");
        let _ = audit.take();
    }
}

/// A proof names an origin: it is good at one of the layers that have that origin.
#[tokio::test]
async fn layers_at_one_origin_accept_a_proof_once() {
    let audit = AuditLog::listen();
    let world = World::new().await;
    let client = Client::new(&world);
    let first = serve(&world, Dpop::at(ORIGIN)).await;
    for (name, dpop, is_shared) in [
        ("the same", Dpop::at(ORIGIN), true),
        ("another spelling", Dpop::at("HTTPS://API.example.com:443/"), true),
        ("among others", Dpop::at("https://other.example").add_origin(ORIGIN), true),
        ("before others", Dpop::at(ORIGIN).add_origin("https://other.example"), true),
        ("other limits of age", Dpop::at(ORIGIN).max_age(Duration::from_secs(300)), true),
        ("the default bounds, given", bounded(InMemoryReplayStore::new()), true),
        ("another origin", Dpop::at("https://other.example"), false),
    ] {
        let second = serve(&world, dpop).await;
        let proof = client.proof().sign();
        assert_eq!(client.send(&first, &proof).await.status, 200, "{name}");
        let _ = audit.take();
        let answer = client.send(&second, &proof).await;
        if is_shared {
            assert_replayed(name, &audit, &answer);
        } else {
            assert_eq!(audit.one().field("reason"), "dpop_proof_uri_mismatch", "{name}");
        }
        let proof = client.proof().sign();
        let status = if is_shared { 200 } else { 401 };
        assert_eq!(client.send(&second, &proof).await.status, status, "{name}");
        assert_eq!(client.send(&first, &proof).await.status, if is_shared { 401 } else { 200 }, "{name}");
        let _ = audit.take();
    }
    for (name, store) in [
        ("fewer", InMemoryReplayStore::new().max_entries(10)),
        ("more", InMemoryReplayStore::new().max_entries(1_000_000)),
        ("another share", InMemoryReplayStore::new().max_entries_per_key(10)),
    ] {
        let refused = try_layer(&world, bounded(store)).err();
        assert!(matches!(refused, Some(ConfigError::ReplayStoreDiffers { .. })), "{name}: {refused:?}");
    }
    // Another clock is another time: nothing is shared.
    let elsewhere = World::new().await;
    assert!(try_layer(&elsewhere, bounded(InMemoryReplayStore::new().max_entries(10))).is_ok());
}

/// A configuration that is reloaded forgets no proof of the one before.
#[tokio::test]
async fn a_layer_that_is_built_anew_knows_what_was_used() {
    let audit = AuditLog::listen();
    let world = World::new().await;
    let client = Client::new(&world);
    let proof = client.proof().sign();
    let layer = try_layer(&world, Dpop::at(ORIGIN)).unwrap();
    let service = Served::start(whoami().layer(layer)).await;
    assert_eq!(client.send(&service, &proof).await.status, 200);
    drop(service);
    for seconds in [0, 30, 30] {
        world.clock.advance(Duration::from_secs(seconds));
        // With other bounds, as far as nothing uses the former any more.
        let bounds = InMemoryReplayStore::new().max_entries(1_000);
        let Ok(layer) = try_layer(&world, bounded(bounds)).or_else(|_| try_layer(&world, Dpop::at(ORIGIN)))
        else {
            panic!("neither bounds are accepted")
        };
        let service = Served::start(whoami().layer(layer)).await;
        let _ = audit.take();
        assert_replayed(&format!("{seconds}"), &audit, &client.send(&service, &proof).await);
        assert_eq!(client.send_new(&service).await.status, 200);
    }
}

/// Layers of one origin may differ in how long they accept a proof: it is good once all
/// the same, also where the patient one is built last.
#[tokio::test]
async fn a_layer_that_accepts_older_proofs_revives_none() {
    const SECOND: Duration = Duration::from_secs(1);
    let audit = AuditLog::listen();
    let (strict, patient) = (Dpop::at(ORIGIN), Dpop::at(ORIGIN).max_age(300 * SECOND));
    // When the second layer is built, and when the proof comes there.
    for (name, is_kept, built, used) in [
        ("both from the beginning", true, 0, 100),
        ("both, to the last second", true, 0, 299),
        ("the patient one is built later", true, 30, 100),
        ("later, and the proof was forgotten", true, 90, 100),
        ("later, when the strict one is gone", false, 30, 100),
        ("later, and nothing is remembered", false, 100, 200),
        ("later, at the last moment", false, 298, 299),
        ("long after, in time for neither", false, 1_000, 1_000),
    ] {
        let world = World::new().await;
        let (client, other) = (Client::new(&world), Client::new(&world));
        let first = serve(&world, strict.clone()).await;
        let proof = client.proof().sign();
        assert_eq!(client.send(&first, &proof).await.status, 200, "{name}");
        let first = is_kept.then_some(first);
        world.clock.advance(built * SECOND);
        if let Some(first) = &first {
            // What has expired there is swept.
            for client in [&client, &other] {
                assert_eq!(client.send_new(first).await.status, 200, "{name}");
            }
        }
        let second = serve(&world, patient.clone()).await;
        assert_eq!(client.send_new(&second).await.status, 200, "{name}: a new one, at once");
        world.clock.advance((used - built) * SECOND);
        if let Some(first) = &first {
            assert_eq!(client.send_new(first).await.status, 200, "{name}: a new one, at the first");
        }
        let _ = audit.take();
        assert_ne!(client.send(&second, &proof).await.status, 200, "{name}: used before");
        let reason = audit.one().field("reason").to_owned();
        let expected = if used > 300 { "dpop_proof_expired" } else { "dpop_proof_replayed" };
        assert!([expected, "clock_set_back"].contains(&reason.as_str()), "{name}: {reason}");
        assert_eq!(client.send_new(&second).await.status, 200, "{name}: a new one");
        assert_eq!(other.send_new(&second).await.status, 200, "{name}: of another");
        let _ = audit.take();
    }
}

/// The same where one of them demands nonces.
#[tokio::test]
async fn a_proof_is_good_once_with_a_nonce_or_without() {
    const ROTATION: Duration = Duration::from_secs(600);
    let audit = AuditLog::listen();
    let world = World::new().await;
    let client = Client::new(&world);
    let by_age = serve(&world, Dpop::at(ORIGIN)).await;
    let by_nonce = serve(&world, Dpop::at(ORIGIN).nonces(DpopNonces::new().rotate_every(ROTATION))).await;
    // To the start of a period.
    let now = world.clock.now().unix_seconds();
    world.clock.advance(ROTATION - Duration::from_secs(now.rem_euclid(600).unsigned_abs()));
    let nonce = client.send_new(&by_nonce).await.headers["dpop-nonce"].to_str().unwrap().to_owned();

    let proof = client.proof().nonce(&nonce).sign();
    assert_eq!(client.send(&by_age, &proof).await.status, 200);
    world.clock.advance(2 * ROTATION - Duration::from_secs(1));
    let _ = audit.take();
    assert_replayed("by age, then by nonce", &audit, &client.send(&by_nonce, &proof).await);

    let proof = client.proof().nonce(&nonce).sign();
    assert_eq!(client.send(&by_nonce, &proof).await.status, 200, "the last second of the nonce");
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(client.send_new(&by_age).await.status, 200, "what has expired is swept");
    let _ = audit.take();
    assert_replayed("by nonce, then by age", &audit, &client.send(&by_age, &proof).await);
}

/// The wall clock is set: no proof is forgotten, none is revived, and new ones go on.
#[tokio::test]
async fn a_clock_that_is_set_forgets_and_revives_no_proof() {
    const HOUR: Duration = Duration::from_secs(3600);
    let audit = AuditLog::listen();
    let world = World::new().await;
    let service = serve(&world, Dpop::at(ORIGIN).max_age(Duration::from_secs(300))).await;
    let client = Client::new(&world);
    let start = world.clock.now();
    let proof = client.proof().sign();
    assert_eq!(client.send(&service, &proof).await.status, 200);
    // Ahead, with enough requests for everything that could be swept.
    world.clock.set(start.saturating_add(HOUR));
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(client.send_new(&service).await.status, 200, "an hour ahead");
    }
    world.clock.set(start);
    let _ = audit.take();
    assert_replayed("set ahead and back", &audit, &client.send(&service, &proof).await);

    // Its lifetime passes, and the wall clock is then set to where it is in time again.
    let proof = client.proof().sign();
    assert_eq!(client.send(&service, &proof).await.status, 200);
    world.clock.advance(Duration::from_secs(311));
    let _ = audit.take();
    assert_eq!(client.send(&service, &proof).await.status, 401);
    assert_eq!(audit.one().field("reason"), "dpop_proof_expired");
    world.clock.set(start);
    assert_replayed("set back", &audit, &client.send(&service, &proof).await);
    // Swept away by the client's next: then it is not known whether it was used.
    world.clock.advance(Duration::from_secs(6));
    let _ = client.send_new(&service).await;
    let _ = audit.take();
    let answer = client.send(&service, &proof).await;
    assert_ne!(answer.status, 200, "revived");
    assert!(["dpop_proof_replayed", "clock_set_back"].contains(&audit.one().field("reason")));
    // Clients that had nothing forgotten go on, and everyone does when time has caught up.
    world.clock.advance(2 * HOUR);
    let _ = audit.take();
    assert_eq!(client.send_new(&service).await.status, 200);
}

/// RFC 9449 section 4.3, check 11: our nonce says when the proof was made.
#[tokio::test]
async fn a_client_whose_clock_is_wrong_is_served_by_our_nonce() {
    const ROTATION: Duration = Duration::from_secs(120);
    let audit = AuditLog::listen();
    let world = World::new().await;
    let strict = serve(&world, Dpop::at("https://strict.example")).await;
    let service = serve(&world, Dpop::at(ORIGIN).nonces(DpopNonces::new().rotate_every(ROTATION))).await;
    // To the start of a period.
    let now = world.clock.now().unix_seconds();
    world.clock.advance(ROTATION - Duration::from_secs(now.rem_euclid(120).unsigned_abs()));
    for (name, seconds) in [
        ("a year behind", -31_536_000),
        ("a day behind", -86_400),
        ("two minutes behind", -120),
        ("two minutes ahead", 120),
        ("a year ahead", 31_536_000),
    ] {
        let client = Client::new(&world);
        let now = world.clock.now().unix_seconds();
        let wrong = now + seconds;
        let proof = || client.proof().claim("iat", wrong);
        let answer =
            client.send(&strict, &client.proof_at("https://strict.example").claim("iat", wrong).sign()).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_dpop_proof"), "{name}, no nonces");

        let answer = client.send(&service, &proof().sign()).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "use_dpop_nonce"), "{name}");
        let nonce = answer.headers["dpop-nonce"].to_str().unwrap().to_owned();
        let good = proof().nonce(&nonce).sign();
        assert_eq!(client.send(&service, &good).await.status, 200, "{name}");
        let _ = audit.take();
        assert_replayed(name, &audit, &client.send(&service, &good).await);
        for (why, proof) in [
            ("no iat", client.proof().nonce(&nonce).without("iat")),
            ("a malformed iat", client.proof().nonce(&nonce).claim("iat", "now")),
            ("expired by its own exp", proof().nonce(&nonce).claim("exp", now - 60)),
            ("not yet, by its own nbf", proof().nonce(&nonce).claim("nbf", now + 600)),
            ("another nonce", proof().nonce("x")),
            ("another key", proof().nonce(&nonce).sign_with(&DpopKey::generate())),
        ] {
            assert_eq!(client.send(&service, &proof.sign()).await.status, 401, "{name}: {why}");
        }
        let _ = audit.take();
        // Remembered for as long as the nonce is accepted, and the nonce no longer than that.
        let pre_made = proof().nonce(&nonce).id("made in advance").sign();
        world.clock.advance(2 * ROTATION - Duration::from_secs(1));
        assert_replayed(name, &audit, &client.send(&service, &good).await);
        assert_eq!(
            client.send(&service, &proof().nonce(&nonce).sign()).await.status,
            200,
            "{name}: the last second"
        );
        world.clock.advance(Duration::from_secs(1));
        let _ = audit.take();
        for proof in [&good, &pre_made] {
            let answer = client.send(&service, proof).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "use_dpop_nonce"), "{name}");
            assert_eq!(audit.one().field("reason"), "dpop_nonce_not_accepted", "{name}");
        }
    }
}
