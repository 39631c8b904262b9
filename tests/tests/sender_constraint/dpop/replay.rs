//! A proof is good for one request (RFC 9449 section 11.1).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Request;
use integration_tests::{Answer, AuditLog, Served};
use tokio::sync::Semaphore;
use tower_delegation::{
    Authenticator, DenialReason as R,
    context::SenderConstraint,
    replay::{InMemoryReplayStore, ReplayStore, ReplayStoreError, Sighting, UsedProof},
    revocation::{InMemoryRevocations, Revocation},
    step::Step,
};
use tower_delegation_testing::{DpopKey, check_replay_share, check_replay_store};

use super::{Call, Client, ORIGIN, assert_refused, router};

/// A store that is asked over something like a network: it answers through a
/// future, when it is let, and fails when it is told to.
#[derive(Clone, Debug)]
struct RemoteStore {
    store: Arc<InMemoryReplayStore>,
    answers: Arc<Semaphore>,
    fails: Arc<AtomicBool>,
}

impl RemoteStore {
    fn new() -> Self {
        Self {
            store: Arc::default(),
            answers: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            fails: Arc::default(),
        }
    }
}

impl ReplayStore for RemoteStore {
    fn remember(&self, proof: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
        let remote = self.clone();
        Step::wait(async move {
            let _answer = remote.answers.acquire().await.map_err(ReplayStoreError::unavailable)?;
            tokio::task::yield_now().await;
            if remote.fails.load(Ordering::Relaxed) {
                return Err(ReplayStoreError::unavailable("connection reset"));
            }
            remote.store.remember(proof).answer().await
        })
    }
}

fn assert_unavailable(name: &str, answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (503, "temporarily_unavailable"), "{name}");
    assert!(answer.headers.contains_key("retry-after") && answer.challenges.is_empty(), "{name}");
}

#[tokio::test]
async fn r9449_11_1_1_a_proof_is_accepted_once() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    for (name, service) in [
        ("in memory", client.serve().await),
        ("remote", client.serve_with(|dpop| dpop.replay_store(RemoteStore::new())).await),
    ] {
        let call = client.call();
        assert_eq!(call.send(&service).await.status, 200, "{name}");
        let _ = audit.take();
        for seconds in [0, 1, 58] {
            client.world.clock.advance(Duration::from_secs(seconds));
            assert_refused(name, &call.send(&service).await, R::DpopProofReplayed);
            assert_eq!(audit.one().field("reason"), "dpop_proof_replayed", "{name}");
        }
        client.world.clock.advance(Duration::from_secs(2));
        assert_refused(name, &call.send(&service).await, R::DpopProofExpired);
        let _ = audit.take();
    }
}

/// The same `jti` is another proof only for another key or another URI.
#[tokio::test]
async fn r9449_11_1_1_a_jti_is_remembered_by_key_and_uri() {
    let client = Client::new().await;
    let service = client.serve().await;
    let token = client.token().sign();
    let call = |client: &Client, token: &str, path: &str| {
        let proof = client.key.proof("GET", format!("{ORIGIN}{path}")).for_token(token).id("one");
        Call { path: path.to_owned(), ..client.call_with(token, proof) }
    };
    assert_eq!(call(&client, &token, "/orders").send(&service).await.status, 200);
    client.world.clock.advance(Duration::from_secs(5));
    let again = call(&client, &token, "/orders").send(&service).await;
    assert_refused("signed anew", &again, R::DpopProofReplayed);
    let other_token = client.token().sign();
    let again = call(&client, &other_token, "/orders").send(&service).await;
    assert_refused("for another token", &again, R::DpopProofReplayed);
    assert_eq!(call(&client, &token, "/orders/1").send(&service).await.status, 200, "another URI");
    let other = Client { key: DpopKey::generate().clock(client.world.clock.clone()), ..client };
    let token = other.token().sign();
    assert_eq!(call(&other, &token, "/orders").send(&service).await.status, 200, "another key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r9449_11_1_1_one_of_many_at_once_is_accepted() {
    let client = Client::new().await;
    for (name, service) in [
        ("in memory", client.serve().await),
        ("remote", client.serve_with(|dpop| dpop.replay_store(RemoteStore::new())).await),
    ] {
        let service = Arc::new(service);
        let call = client.call();
        let requests: Vec<_> = (0..50)
            .map(|_| {
                let (service, call) = (Arc::clone(&service), call.clone());
                tokio::spawn(async move { call.send(&service).await })
            })
            .collect();
        let mut accepted = 0;
        for request in requests {
            let answer = request.await.unwrap();
            if answer.status == 200 {
                accepted += 1;
            } else {
                assert_refused(name, &answer, R::DpopProofReplayed);
            }
        }
        assert_eq!(accepted, 1, "{name}");
    }
}

/// Nothing that is refused spends a proof: nobody can burn another's `jti`.
#[tokio::test]
async fn r9449_11_1_2_a_refused_request_spends_no_proof() {
    let client = Client::new().await;
    let (store, revocations) = (RemoteStore::new(), InMemoryRevocations::new());
    let layer = client.layer(|dpop| dpop.replay_store(store.clone())).revocations(revocations.clone());
    let service = Served::start(router().layer(layer.build().unwrap())).await;
    let (token, stranger) = (client.token().sign(), DpopKey::generate().clock(client.world.clock.clone()));
    let proof = || client.proof(&token).id("mine");
    let good = client.call_with(&token, proof());
    let strangers_token = client.world.token().bound_to_key(&stranger).sign();
    let bound_twice = client.token().bound_to_certificate(b"DER").sign();
    let revoked = client.token().token_id("revoked").sign();
    revocations.revoke(Revocation::token(client.world.idp.issuer(), "revoked")).unwrap();
    let rows = [
        ("a revoked token", client.call_with(&revoked, proof().for_token(&revoked))),
        ("another's signature", client.call_with(&token, proof().sign_with(&stranger))),
        ("another's key", {
            let proof = stranger.proof("GET", format!("{ORIGIN}/orders")).for_token(&token).id("mine");
            client.call_with(&token, proof)
        }),
        ("another's token", client.call_with(&strangers_token, proof().for_token(&strangers_token))),
        ("another method", client.call_with(&token, proof().claim("htm", "POST"))),
        ("another hash", client.call_with(&token, proof().for_token("x"))),
        ("as a bearer token", Call { authorization: vec![format!("Bearer {token}")], ..good.clone() }),
        ("without its certificate", client.call_with(&bound_twice, proof().for_token(&bound_twice))),
        ("two proofs", Call { proofs: [good.proofs.clone(), good.proofs.clone()].concat(), ..good.clone() }),
        ("a garbled token", Call { authorization: vec![format!("DPoP {token}x")], ..good.clone() }),
    ];
    for (name, call) in rows {
        assert_eq!(call.send(&service).await.status, 401, "{name}");
        assert!(store.store.is_empty(), "{name}");
    }
    // The stranger's own use of the same jti is the stranger's own.
    let theirs = stranger.proof("GET", format!("{ORIGIN}/orders")).for_token(&strangers_token).id("mine");
    assert_eq!(client.call_with(&strangers_token, theirs).send(&service).await.status, 200);
    assert_eq!(good.send(&service).await.status, 200);
    assert_refused("then it is spent", &good.send(&service).await, R::DpopProofReplayed);
}

#[tokio::test]
async fn r9449_11_1_1_a_full_store_fails_closed() {
    let mut client = Client::new().await;
    let audit = AuditLog::listen();
    let service =
        client.serve_with(|dpop| dpop.replay_store(InMemoryReplayStore::new().max_entries(3))).await;
    let calls = [client.call(), client.call(), client.call()];
    for call in &calls {
        assert_eq!(call.send(&service).await.status, 200);
    }
    let _ = audit.take();
    // Another key: the first one has filled its own share, too, which is answered with 429.
    client.key = DpopKey::generate().clock(client.world.clock.clone());
    for _ in 0..5 {
        assert_unavailable("no room", &client.call().send(&service).await);
        assert_eq!(audit.one().field("reason"), "replay_store_full");
    }
    for call in &calls {
        assert_refused("nothing is forgotten", &call.send(&service).await, R::DpopProofReplayed);
    }
    assert_eq!(service.get("/orders", &client.world.token().sign()).await.status, 200, "bearer goes on");
    client.world.clock.advance(Duration::from_secs(72));
    assert_eq!(client.call().send(&service).await.status, 200, "what has expired makes room");
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_our_own_outage() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    let store = RemoteStore::new();
    let service = client.serve_with(|dpop| dpop.replay_store(store.clone())).await;
    let call = client.call();
    store.fails.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        assert_unavailable("unreachable", &call.send(&service).await);
        let event = audit.one();
        assert_eq!(event.field("reason"), "replay_store_unavailable");
        assert_eq!(event.level.as_str(), "WARN");
    }
    store.fails.store(false, Ordering::Relaxed);
    assert_eq!(call.send(&service).await.status, 200);
    store.fails.store(true, Ordering::Relaxed);
    assert_unavailable("a replay during the outage", &call.send(&service).await);
}

/// On one thread: a request that waits for the store holds up no other.
#[tokio::test]
async fn a_slow_store_blocks_nobody_else() {
    let client = Client::new().await;
    let store = RemoteStore::new();
    let service = Arc::new(client.serve_with(|dpop| dpop.replay_store(store.clone())).await);
    let all = store.answers.available_permits();
    store.answers.forget_permits(all);
    let waiting = {
        let (service, call) = (Arc::clone(&service), client.call());
        tokio::spawn(async move { call.send(&service).await })
    };
    for _ in 0..5 {
        assert_eq!(service.get("/orders", &client.world.token().sign()).await.body, "alice none");
    }
    assert!(!waiting.is_finished());
    store.answers.add_permits(1);
    assert_eq!(waiting.await.unwrap().body, "alice dpop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_keep_to_the_contract() {
    check_replay_store([InMemoryReplayStore::new()]).await;
    let remote = RemoteStore::new();
    check_replay_store([remote.clone(), remote.clone(), remote]).await;
    check_replay_share(InMemoryReplayStore::new().max_entries(1_000), 100).await;
    check_replay_share(InMemoryReplayStore::new().max_entries_per_key(3), 3).await;
}

/// The same without a server; and a token that no request brought.
#[tokio::test]
async fn an_authenticator_by_itself() {
    let client = Client::new().await;
    let layer = client.layer(|dpop| dpop.replay_store(RemoteStore::new())).build().unwrap();
    let authenticator: &Authenticator = layer.authenticator();
    let call = client.call();
    let head = || {
        let request = Request::get("/orders").header("authorization", &call.authorization[0]);
        request.header("dpop", &call.proofs[0]).body(()).unwrap().into_parts().0
    };
    let delegation = authenticator.authenticate(&mut head()).await.unwrap().unwrap();
    assert_eq!(delegation.sender_constraint(), SenderConstraint::Dpop);
    assert!(delegation.sender_constraint().is_dpop() && !delegation.sender_constraint().is_mutual_tls());
    assert_eq!(delegation.dpop_nonce(), None);
    let again = authenticator.authenticate(&mut head()).await.err().unwrap();
    assert_eq!(again.reason(), R::DpopProofReplayed);

    let token = client.token().sign();
    let refused = authenticator.verify(&token).await.err().unwrap();
    assert_eq!(refused.reason(), R::DpopTokenAsBearer);
    assert!(authenticator.verify(&client.world.token().sign()).await.is_ok());
}
