//! What every [`ReplayStore`] must do, as tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest;
use tower_delegation::{
    clock::{Clock as _, SystemClock},
    replay::{ReplayKey, ReplayStore, ReplayStoreError, ReplayStoreErrorKind, Sighting, UsedProof},
};

use crate::keys::unique;

/// How many callers use one proof at the same time.
const CALLERS: usize = 50;

/// Checks a [`ReplayStore`] against the contract of the trait: the same tests for
/// every implementation. Keys are random, so a store that others use too will
/// do. Takes no longer than the store's answers.
///
/// `store` may be several handles to one store, such as the replicas of a
/// service have them: what one remembers, all know.
///
/// # Panics
/// If the store does not keep to the contract, or gives an error.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use tower_delegation::replay::InMemoryReplayStore;
/// use tower_delegation_testing::check_replay_store;
///
/// check_replay_store([InMemoryReplayStore::new()]).await;
/// # }
/// ```
pub async fn check_replay_store<S: ReplayStore>(handles: impl IntoIterator<Item = S>) {
    let handles: Arc<[Arc<S>]> = handles.into_iter().map(Arc::new).collect();
    assert!(!handles.is_empty(), "there is a store to check");
    a_proof_is_new_once(&handles).await;
    one_of_many_callers_is_the_first(&handles).await;
    proofs_do_not_touch_each_other(&handles).await;
    nothing_but_the_key_tells_proofs_apart(&handles).await;
}

/// Checks that one key fills no more of `store` than `share`, and that the proofs of
/// other keys go on: for an implementation that bounds the proofs of one key at
/// `share` at a time, which is empty, and which has room for more keys.
///
/// # Panics
/// If the store does not keep to the contract.
pub async fn check_replay_share<S: ReplayStore>(store: S, share: usize) {
    let by = |signer: [u8; 32]| {
        let mut proof = used(random_key(), Duration::from_secs(60));
        proof.signer = signer;
        proof
    };
    let greedy = *random_key().as_bytes();
    let other = || by(*random_key().as_bytes());
    let within: Vec<_> = (0..share).map(|_| by(greedy)).collect();
    for (number, proof) in within.iter().enumerate() {
        assert_eq!(ask(&store, *proof).await, Sighting::First, "proof {number} of {share}");
    }
    for number in 0..10 {
        let beyond = answer(&store, by(greedy)).await.map_err(|error| error.kind());
        assert_eq!(beyond, Err(ReplayStoreErrorKind::ShareExhausted), "beyond the share, {number}");
        assert_eq!(ask(&store, other()).await, Sighting::First, "another key, {number}");
    }
    for (number, proof) in within.iter().enumerate() {
        assert_eq!(ask(&store, *proof).await, Sighting::Again, "proof {number} is forgotten");
    }
}

/// A later request and another time of the wall clock make no other proof.
async fn nothing_but_the_key_tells_proofs_apart<S: ReplayStore>(handles: &[Arc<S>]) {
    let proof = used(random_key(), Duration::from_secs(60));
    for store in handles.iter().take(1) {
        assert_eq!(ask(&**store, proof).await, Sighting::First, "the first use");
    }
    let hour = Duration::from_secs(3600);
    let (mut later, mut ahead, mut behind) = (proof, proof, proof);
    later.now += Duration::from_secs(59);
    ahead.expires_at = proof.expires_at.saturating_add(hour);
    behind.expires_at = proof.expires_at.saturating_sub(hour);
    for (name, again) in [
        ("later", later),
        ("by a wall clock that is ahead", ahead),
        ("by a wall clock that is behind", behind),
    ] {
        for store in handles {
            assert_eq!(ask(&**store, again).await, Sighting::Again, "{name}");
        }
    }
}

async fn a_proof_is_new_once<S: ReplayStore>(handles: &[Arc<S>]) {
    let proof = used(random_key(), Duration::from_secs(60));
    let mut expected = Sighting::First;
    for round in 0..3 {
        for (index, store) in handles.iter().enumerate() {
            assert_eq!(ask(&**store, proof).await, expected, "round {round}, handle {index}");
            expected = Sighting::Again;
        }
    }
    // Another lifetime does not make it another proof.
    for lifetime in [1, 300] {
        let mut again = proof;
        again.lifetime = Duration::from_secs(lifetime);
        for store in handles {
            assert_eq!(ask(&**store, again).await, Sighting::Again, "for {lifetime} s");
        }
    }
}

async fn one_of_many_callers_is_the_first<S: ReplayStore>(handles: &Arc<[Arc<S>]>) {
    for lifetime in [60, 1, 300] {
        let proof = used(random_key(), Duration::from_secs(lifetime));
        let first = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (handles, first) = (Arc::clone(handles), Arc::clone(&first));
                tokio::spawn(async move {
                    if let Some(store) = handles.get(caller % handles.len())
                        && ask(&**store, proof).await == Sighting::First
                    {
                        first.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for caller in callers {
            let done = caller.await;
            assert!(done.is_ok(), "every caller gets an answer: {done:?}");
        }
        assert_eq!(first.load(Ordering::Relaxed), 1, "of {CALLERS} callers, for {lifetime} s");
    }
}

async fn proofs_do_not_touch_each_other<S: ReplayStore>(handles: &[Arc<S>]) {
    let proofs: Vec<_> = (0..200).map(|_| used(random_key(), Duration::from_secs(60))).collect();
    let stores = || handles.iter().cycle();
    for (index, (proof, store)) in proofs.iter().zip(stores()).enumerate() {
        assert_eq!(ask(&**store, *proof).await, Sighting::First, "proof {index}");
    }
    for (index, (proof, store)) in proofs.iter().zip(stores().skip(1)).enumerate() {
        assert_eq!(ask(&**store, *proof).await, Sighting::Again, "proof {index}");
    }
    // Keys that differ in one bit only, anywhere.
    let base = random_key();
    for bit in 0..256 {
        let mut key = *base.as_bytes();
        if let Some(byte) = key.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        for (store, expected) in handles.iter().zip([Sighting::First]) {
            let proof = used(ReplayKey::new(key), Duration::from_secs(60));
            assert_eq!(ask(&**store, proof).await, expected, "bit {bit}");
        }
    }
}

#[expect(clippy::panic, reason = "a suite of tests, which says so")]
async fn ask(store: &impl ReplayStore, proof: UsedProof) -> Sighting {
    answer(store, proof).await.unwrap_or_else(|error| panic!("the store gives an error: {error}"))
}

async fn answer(store: &impl ReplayStore, proof: UsedProof) -> Result<Sighting, ReplayStoreError> {
    store.remember(proof).answer().await
}

/// A proof by a key of its own.
fn used(key: ReplayKey, lifetime: Duration) -> UsedProof {
    let clock = SystemClock::new();
    let expires_at = clock.now().saturating_add(lifetime);
    UsedProof::new(key, *random_key().as_bytes(), clock.monotonic(), lifetime, expires_at)
}

fn random_key() -> ReplayKey {
    let mut key = [0; 32];
    key.copy_from_slice(digest::digest(&digest::SHA256, unique().as_bytes()).as_ref());
    ReplayKey::new(key)
}
