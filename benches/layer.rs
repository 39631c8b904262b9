//! `cargo bench --bench layer`: what a request costs behind each layer, for
//! each algorithm, in one process and on one thread.
//!
//! | benchmark | what it is |
//! |---|---|
//! | `{algorithm}/bare` | the router without a layer |
//! | `{algorithm}/raw` | the signature alone, with a parsed key |
//! | `{algorithm}/cold` | our layer, a token that it has never seen |
//! | `{algorithm}/warm/{n}` | our layer, one of `n` live tokens that it has seen |
//! | `{algorithm}/audited/{n}` | the same, and the audit event is written as JSON |
//! | `{algorithm}/{package}` | another library's layer |
//! | `look-up/…` | a token's hash, and a concurrent map with `n` entries |

use std::{cell::OnceCell, hint::black_box, io, iter, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion};
use highway::HighwayHash as _;
use quick_cache::sync::Cache;
use tokio::runtime::{Builder, Runtime};
use tower_delegation_benches::{
    Provider, Subject, check,
    floor::{self, RawVerification},
    ours,
    peers::PEERS,
    subject::BATCH,
};
use tower_delegation_testing::Algorithm;
use tracing::subscriber::with_default;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// How many tokens are live at the same time.
const LIVE: [usize; 3] = [100, 10_000, 100_000];

/// The live tokens behind every row that does not name a number.
const POOL: usize = 10_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .nresamples(10_000)
        .configure_from_args();
    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = Builder::new_current_thread().enable_all().build().unwrap();

    let benches = ALGORITHMS.map(|algorithm| Bench {
        client: &client,
        provider: Provider::start(&server, algorithm),
        pool: OnceCell::new(),
    });
    for bench in &benches {
        bench.floor(&mut criterion);
        bench.cold(&mut criterion);
        bench.warm(&mut criterion);
        bench.peers(&mut criterion);
    }
    for bench in benches.iter().filter(|bench| bench.provider.algorithm() == Algorithm::Es256) {
        bench.look_up(&mut criterion);
    }
    // Last: once there has been a subscriber, its absence is not quite free.
    for bench in &benches {
        bench.audited(&mut criterion);
    }
    criterion.final_summary();
}

/// What is measured with the tokens of one provider.
struct Bench<'a> {
    client: &'a Runtime,
    provider: Provider,
    /// Signed when first asked for: not every run asks.
    pool: OnceCell<Vec<String>>,
}

impl Bench<'_> {
    fn floor(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.name());
        group.bench_function("bare", |bencher| {
            let mut subject = ours::bare();
            let mut tokens = self.pool().iter().cycle();
            bencher.iter_custom(|count| self.time(&mut *subject, count, || tokens.next().unwrap()));
        });
        let raw = OnceCell::new();
        group.bench_function("raw", |bencher| {
            let raw = raw.get_or_init(|| RawVerification::new(&self.provider, self.pool()));
            let mut indices = (0..raw.len()).cycle();
            bencher.iter(|| raw.verify(black_box(indices.next().unwrap())));
        });
    }

    /// No token comes twice: the layer is a new one when the pool is used up.
    fn cold(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.name());
        let mut fresh = None;
        group.bench_function("cold", |bencher| {
            bencher.iter_custom(|count| {
                let mut left = usize::try_from(count).unwrap();
                let mut elapsed = Duration::ZERO;
                while left > 0 {
                    let (subject, unseen) = fresh.get_or_insert_with(|| (self.layer(), self.pool()));
                    let tokens = unseen.split_off(..unseen.len().min(left)).unwrap();
                    let mut tokens_of_run = tokens.iter();
                    let run = u64::try_from(tokens.len()).unwrap();
                    elapsed += self.time(&mut **subject, run, || tokens_of_run.next().unwrap());
                    left -= tokens.len();
                    if unseen.is_empty() {
                        fresh = None;
                    }
                }
                elapsed
            });
        });
    }

    fn warm(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.name());
        for live in LIVE {
            let mut warmed = None;
            group.bench_function(BenchmarkId::new("warm", live), |bencher| {
                let (subject, tokens) = warmed.get_or_insert_with(|| self.warmed(live));
                let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
                bencher.iter_custom(|count| {
                    self.time(&mut **subject, count, || &tokens[dice.below(tokens.len())])
                });
            });
        }
    }

    fn audited(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.name());
        let subscriber = tracing_subscriber::fmt().json().with_writer(io::sink).finish();
        with_default(subscriber, || {
            let mut warmed = None;
            group.bench_function(BenchmarkId::new("audited", POOL), |bencher| {
                let (subject, tokens) = warmed.get_or_insert_with(|| self.warmed(POOL));
                let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
                bencher.iter_custom(|count| {
                    self.time(&mut **subject, count, || &tokens[dice.below(tokens.len())])
                });
            });
        });
    }

    fn peers(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.name());
        for (name, setup) in PEERS {
            let Some(mut subject) = setup(self.client, &self.provider) else { continue };
            check(name, &mut *subject, self.client, &self.provider);
            group.bench_function(*name, |bencher| {
                let mut tokens = self.pool().iter().cycle();
                bencher.iter_custom(|count| self.time(&mut *subject, count, || tokens.next().unwrap()));
            });
        }
    }

    fn look_up(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("look-up");
        group.bench_function("hash", |bencher| {
            let token = &self.pool()[0];
            let hasher = floor::hasher();
            bencher.iter(|| hasher.clone().hash128(black_box(token.as_bytes())));
        });
        for live in LIVE {
            let cache: Cache<u128, Arc<u64>> = Cache::new(live * 2);
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
            let keys: Vec<u128> =
                iter::repeat_with(|| u128::from(dice.next()) << 64 | u128::from(dice.next()))
                    .take(live)
                    .collect();
            for key in &keys {
                cache.insert(*key, Arc::new(0));
            }
            group.bench_function(BenchmarkId::new("map", live), |bencher| {
                bencher.iter(|| cache.get(&keys[dice.below(keys.len())]).unwrap());
            });
        }
    }

    /// The group's name.
    fn name(&self) -> &'static str {
        self.provider.algorithm().as_str()
    }

    fn pool(&self) -> &[String] {
        self.pool.get_or_init(|| self.provider.tokens(POOL))
    }

    /// Our layer, which has seen none of the pool.
    fn layer(&self) -> Box<dyn Subject> {
        let mut subject = ours::subject(&self.provider);
        check("tower-delegation", &mut *subject, self.client, &self.provider);
        subject
    }

    /// Our layer, and the tokens that it has seen.
    fn warmed(&self, live: usize) -> (Box<dyn Subject>, Vec<String>) {
        let mut subject = self.layer();
        let tokens = match live {
            0..=POOL => self.pool()[..live].to_vec(),
            _ => [self.pool(), &self.provider.tokens(live - POOL)].concat(),
        };
        let mut first_sight = tokens.iter();
        self.time(&mut *subject, u64::try_from(live).unwrap(), || first_sight.next().unwrap());
        (subject, tokens)
    }

    /// How long `count` requests take. The tokens are picked before the clock
    /// starts.
    fn time<'t>(
        &self,
        subject: &mut dyn Subject,
        count: u64,
        mut token: impl FnMut() -> &'t String,
    ) -> Duration {
        let mut left = usize::try_from(count).unwrap();
        let mut elapsed = Duration::ZERO;
        while left > 0 {
            let tokens: Vec<&str> = iter::repeat_with(|| token().as_str()).take(left.min(BATCH)).collect();
            elapsed += subject.time(self.client, &tokens);
            left -= tokens.len();
        }
        elapsed
    }
}

/// xorshift64: the same order of tokens in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }
}
