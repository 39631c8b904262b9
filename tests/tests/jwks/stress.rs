//! Rotation and withdrawal while many ask, on several threads.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use axum::http::StatusCode;

use crate::{Observed, REFILL, lasting};

const ROTATIONS: usize = 30;

const CALLERS: usize = 16;

/// What the callers know of the rotations.
struct Progress {
    /// One token for each key that there has been.
    tokens: Mutex<Vec<String>>,
    /// Keys before this one are withdrawn, and the layer has refreshed since.
    withdrawn: AtomicUsize,
    /// Odd while a rotation is under way.
    turn: AtomicUsize,
    done: AtomicBool,
}

#[derive(Default)]
struct Tally {
    accepted: usize,
    refused: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotation_and_withdrawal_under_load() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let oldest = world.token().sign();
    let progress = Arc::new(Progress {
        tokens: Mutex::new(vec![oldest.clone()]),
        withdrawn: AtomicUsize::new(0),
        turn: AtomicUsize::new(0),
        done: AtomicBool::new(false),
    });
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (service, progress) = (service.clone(), Arc::clone(&progress));
            tokio::spawn(async move {
                let (mut tally, mut request) = (Tally::default(), caller);
                while !progress.done.load(SeqCst) {
                    request += 1;
                    let turn = progress.turn.load(SeqCst);
                    let withdrawn = progress.withdrawn.load(SeqCst);
                    let (number, newest, token) = {
                        let tokens = progress.tokens.lock().unwrap();
                        // Mostly the newest, often one before it, sometimes the oldest.
                        let back = [0, 1, 0, 2, 0, tokens.len()][request % 6];
                        let number = (tokens.len() - 1).saturating_sub(back);
                        (number, tokens.len() - 1, tokens[number].clone())
                    };
                    let status = service.call(&token).await;
                    assert!(!status.is_server_error(), "{status} for key {number} of {newest}");
                    let is_withdrawn = number < withdrawn;
                    assert!(!is_withdrawn || status != StatusCode::OK, "key {number} is withdrawn");
                    let is_settled = turn % 2 == 0 && progress.turn.load(SeqCst) == turn;
                    if is_settled && number == newest {
                        assert_eq!(status, StatusCode::OK, "key {number} is the current one");
                    }
                    match status {
                        StatusCode::OK => tally.accepted += 1,
                        _ => tally.refused += 1,
                    }
                    tokio::task::yield_now().await;
                }
                tally
            })
        })
        .collect();

    for rotation in 1..=ROTATIONS {
        progress.turn.fetch_add(1, SeqCst);
        // At one stroke: no fetch sees the new key beside the old one.
        world.idp.replace_jwks_document(world.idp.jwks().to_string());
        world.idp.rotate_keys();
        world.idp.withdraw_old_keys();
        world.idp.restore_jwks_document();
        // One more fetch for an unknown key is granted: whoever's it is, it brings the new key.
        world.clock.advance(REFILL);
        let token = world.token().sign();
        while service.call(&token).await != StatusCode::OK {
            tokio::task::yield_now().await;
        }
        progress.tokens.lock().unwrap().push(token);
        progress.withdrawn.store(rotation, SeqCst);
        progress.turn.fetch_add(1, SeqCst);
        // Let the callers at it for a while.
        for _ in 0..200 {
            assert_eq!(service.call(&oldest).await, StatusCode::UNAUTHORIZED);
        }
    }
    progress.done.store(true, SeqCst);
    let mut total = Tally::default();
    for caller in callers {
        let tally = caller.await.unwrap();
        total.accepted += tally.accepted;
        total.refused += tally.refused;
    }
    assert!(total.accepted > ROTATIONS && total.refused > ROTATIONS);
    crate::say(&format!(
        "{ROTATIONS} rotations under load: {} requests accepted, {} refused, {} fetches",
        total.accepted,
        total.refused,
        world.fetches()
    ));
    assert!(world.fetches() <= 1 + 3 + ROTATIONS);
}
