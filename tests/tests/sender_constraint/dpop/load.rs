//! Many proofs at once, in process. `cargo xtask soak` runs the long load.

use std::{
    convert::Infallible,
    fs,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use integration_tests::AUDIENCE;
use tower::{Layer as _, Service as _, service_fn};
use tower_delegation::{
    DelegationLayer, Dpop, TrustedIssuer,
    replay::{InMemoryReplayStore, ReplayStore, ReplayStoreError, Sighting, UsedProof},
    step::Step,
};
use tower_delegation_testing::{Algorithm, DpopKey, MockIdp};

use super::ORIGIN;

/// Tasks that send at the same time.
const TASKS: usize = 8;

/// How many clients there are, each with a key and a token.
const CLIENTS: usize = 100;

#[derive(Clone, Debug)]
struct Shared(Arc<InMemoryReplayStore>);

impl ReplayStore for Shared {
    fn remember(&self, proof: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
        self.0.remember(proof)
    }
}

/// Sends `requests` good requests, and each tenth of them twice, at several tasks.
/// By how many KiB the process has grown.
async fn load(requests: usize) -> u64 {
    // The machine's clock: the load lasts as long as it lasts.
    let idp = MockIdp::builder().audience(AUDIENCE).start().await;
    let store = Shared(Arc::default());
    let issuer = TrustedIssuer::with_static_keys(idp.issuer(), &idp.jwks().to_string()).unwrap();
    let dpop = Dpop::at(ORIGIN).replay_store(store.clone());
    let builder = DelegationLayer::builder().add_issuer(issuer.add_audience(AUDIENCE)).dpop(dpop);
    let layer = builder.build().unwrap();
    let clients: Arc<[(DpopKey, String)]> = (0..CLIENTS)
        .map(|_| {
            let key = DpopKey::of(Algorithm::EdDsa);
            let lifetime = Duration::from_secs(3600);
            let token = idp.token().client("shop-web").bound_to_key(&key).expires_in(lifetime).sign();
            (key, token)
        })
        .collect();
    let (accepted, replayed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let before = resident_kib();
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (layer, clients) = (layer.clone(), Arc::clone(&clients));
            let (accepted, replayed) = (Arc::clone(&accepted), Arc::clone(&replayed));
            tokio::spawn(async move {
                let mut service = layer.layer(service_fn(async |_: Request<()>| {
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }));
                for number in (task..requests).step_by(TASKS) {
                    let (key, token) = &clients[number % CLIENTS];
                    let proof = key.proof("GET", format!("{ORIGIN}/orders")).for_token(token).sign();
                    let request = || {
                        let request =
                            Request::get("/orders").header("authorization", format!("DPoP {token}"));
                        request.header("dpop", &proof).body(()).unwrap()
                    };
                    let status = service.call(request()).await.unwrap().status();
                    assert_eq!(status, 200, "request {number} is falsely refused");
                    accepted.fetch_add(1, Ordering::Relaxed);
                    if number % 10 == 0 {
                        let status = service.call(request()).await.unwrap().status();
                        assert_eq!(status, 401, "request {number} is accepted twice");
                        replayed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(accepted.load(Ordering::Relaxed), requests);
    assert_eq!(replayed.load(Ordering::Relaxed), requests.div_ceil(10));
    let held = store.0.len();
    assert!(held <= requests, "{held} proofs are held");
    let grown = resident_kib().saturating_sub(before);
    // Past the capture of test output: the figure is what the long load is for.
    let _ = writeln!(
        io::stderr(),
        "DPoP load: {requests} accepted, {} replays refused, {:.1} s, {held} proofs held, {grown} KiB more resident",
        replayed.load(Ordering::Relaxed),
        start.elapsed().as_secs_f64(),
    );
    grown
}

/// Of this process, in KiB; 0 where the system does not tell.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_requests_of_a_hundred_keys() {
    load(2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask soak`"]
async fn soak_a_hundred_thousand_requests_of_a_hundred_keys() {
    let grown = load(100_000).await;
    // The keys and the tokens' facts aside, a proof takes less than 200 bytes.
    assert!(grown <= 8 * 1024 + 20_000, "{grown} KiB");
}
