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
    replay::{Remembering, ReplayKey, ReplayStore, ReplayStoreError, Sighting, UsedProof},
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
        let again = used(proof.key, Duration::from_secs(lifetime));
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
    let answer: Result<Sighting, ReplayStoreError> = match store.remember(proof) {
        Remembering::Ready(answer) => answer,
        Remembering::Pending(answer) => answer.await,
        other => panic!("an answer that this suite does not know: {other:?}"),
    };
    answer.unwrap_or_else(|error| panic!("the store gives an error: {error}"))
}

fn used(key: ReplayKey, lifetime: Duration) -> UsedProof {
    let now = SystemClock::new().now();
    UsedProof::new(key, now, now.saturating_add(lifetime))
}

fn random_key() -> ReplayKey {
    let mut key = [0; 32];
    key.copy_from_slice(digest::digest(&digest::SHA256, unique().as_bytes()).as_ref());
    ReplayKey::new(key)
}
