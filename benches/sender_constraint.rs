//! `cargo bench --bench sender_constraint`: what a binding adds to a request
//! whose token has been seen before, in one process and on one thread.
//!
//! | benchmark | what it is |
//! |---|---|
//! | `bearer` | one of 100 plain bearer tokens |
//! | `mtls/bearer` | the same, where client certificates are looked at |
//! | `mtls/bound` | one of 100 tokens bound to the connection's certificate |
//! | `dpop/{algorithm}/raw` | the signature of a proof alone, with a parsed key |
//! | `dpop/{algorithm}/known` | one of 100 tokens bound to a key, each key seen before, each proof new |
//! | `dpop/{algorithm}/new` | the same, each key read anew |

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use criterion::Criterion;
use http::{Request, StatusCode, header::AUTHORIZATION};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;
use tower_delegation::{
    ClientIdentity, DelegationLayer, Dpop, TrustedIssuer,
    credential::{CertificateTrust, PeerInfo},
    jwks::{AlgorithmSet, KeySet},
    layer::DelegationLayerBuilder,
    replay::InMemoryReplayStore,
};
use tower_delegation_benches::{AUDIENCE, PATH, Provider, ours, subject::BATCH};
use tower_delegation_testing::{Algorithm, DpopKey, TestPki};

const ORIGIN: &str = "https://orders.example.com";

/// How many tokens are live at the same time.
const LIVE: usize = 100;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .nresamples(10_000)
        .configure_from_args();
    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench { provider: Provider::start(&server, Algorithm::Es256), client };
    bench.certificates(&mut criterion);
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        bench.proofs(&mut criterion, algorithm);
    }
    criterion.final_summary();
}

struct Bench {
    provider: Provider,
    client: Runtime,
}

impl Bench {
    fn certificates(&self, criterion: &mut Criterion) {
        let pki = TestPki::new();
        let identity = pki.workload("/orders").issue();
        let trust = CertificateTrust::ChainedToTrustAnchor;
        let peer =
            PeerInfo::with_certificate(([127, 0, 0, 1], 1).into(), &identity.chain_der(), trust).unwrap();
        let plain: Vec<String> = self.provider.stream().take(LIVE).collect();
        let token = self.provider.token().bound_to_certificate(identity.certificate_der());
        let bound: Vec<String> = (0..LIVE).map(|_| token.clone().sign()).collect();
        let considered = self.layer(|layer| layer.client_identity(ClientIdentity::from_tls()));
        for (name, layer, tokens) in [
            ("bearer", self.layer(|layer| layer), &plain),
            ("mtls/bearer", considered.clone(), &plain),
            ("mtls/bound", considered, &bound),
        ] {
            let mut service = ours::router().layer(layer);
            let request = |number: usize| {
                let mut request = request("Bearer", &tokens[number % LIVE]);
                request.extensions_mut().insert(peer.clone());
                request
            };
            self.time(&mut service, LIVE as u64, request);
            criterion.bench_function(name, |bencher| {
                bencher.iter_custom(|count| self.time(&mut service, count, request));
            });
        }
    }

    fn proofs(&self, criterion: &mut Criterion, algorithm: Algorithm) {
        let mut group = criterion.benchmark_group(format!("dpop/{algorithm}"));
        let clients: Vec<(DpopKey, String)> = (0..LIVE)
            .map(|_| {
                let key = DpopKey::of(algorithm);
                let token = self.provider.token().bound_to_key(&key).sign();
                (key, token)
            })
            .collect();

        let (key, token) = &clients[0];
        let jwks = format!(r#"{{"keys":[{}]}}"#, key.jwk());
        let keys = KeySet::parse(jwks.as_bytes(), AlgorithmSet::ALL).unwrap();
        let verifier = keys.keys().find(|key| key.algorithm().as_str() == algorithm.as_str()).unwrap();
        let proof = key.proof("GET", format!("{ORIGIN}{PATH}")).for_token(token).sign();
        let (message, signature) = proof.rsplit_once('.').unwrap();
        let signature =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).unwrap();
        group.bench_function("raw", |bencher| {
            bencher.iter(|| verifier.verify(black_box(message.as_bytes()), black_box(&signature)).unwrap());
        });

        let store = InMemoryReplayStore::new().max_entries(10_000_000);
        let layer = self.layer(|layer| layer.dpop(Dpop::at(ORIGIN).replay_store(store)));
        let mut service = ours::router().layer(layer);
        let request = |number: usize, spelling: usize| {
            let (key, token) = &clients[number % LIVE];
            let proof = key.proof("GET", format!("{ORIGIN}{PATH}")).for_token(token).header("x", spelling);
            let mut request = request("DPoP", token);
            request.headers_mut().insert("dpop", proof.sign().try_into().unwrap());
            request
        };
        self.time(&mut service, LIVE as u64, |number| request(number, 0));
        group.bench_function("known", |bencher| {
            bencher.iter_custom(|count| self.time(&mut service, count, |number| request(number, 0)));
        });
        // Another header with each proof, so that the key is never the one that is held.
        let mut spelling = 0;
        group.bench_function("new", |bencher| {
            bencher.iter_custom(|count| {
                self.time(&mut service, count, |number| {
                    spelling += 1;
                    request(number, spelling)
                })
            });
        });
    }

    fn layer(
        &self,
        settings: impl FnOnce(DelegationLayerBuilder) -> DelegationLayerBuilder,
    ) -> DelegationLayer {
        let issuer = TrustedIssuer::with_static_keys(self.provider.issuer(), &self.provider.jwks()).unwrap();
        settings(DelegationLayer::builder().add_issuer(issuer.add_audience(AUDIENCE))).build().unwrap()
    }

    /// How long `count` requests take. Making them does not count.
    fn time(
        &self,
        service: &mut Router,
        count: u64,
        mut request: impl FnMut(usize) -> Request<Body>,
    ) -> Duration {
        let count = usize::try_from(count).unwrap();
        let mut elapsed = Duration::ZERO;
        for first in (0..count).step_by(BATCH) {
            let batch: Vec<_> = (first..count.min(first + BATCH)).map(&mut request).collect();
            elapsed += self.client.block_on(async {
                let start = Instant::now();
                for request in batch {
                    let response = black_box(service.call(black_box(request)).await.unwrap());
                    assert_eq!(response.status(), StatusCode::OK);
                }
                start.elapsed()
            });
        }
        elapsed
    }
}

fn request(scheme: &str, token: &str) -> Request<Body> {
    Request::get(PATH).header(AUTHORIZATION, format!("{scheme} {token}")).body(Body::empty()).unwrap()
}
