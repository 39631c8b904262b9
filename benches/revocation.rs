//! What asking the store of revocations costs a request.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tower_delegation::{
    clock::{Clock, SystemClock},
    revocation::{
        InMemoryRevocations, Revocation, RevocationKey, RevocationQuery, RevocationStore,
        RevocationTarget as T,
    },
};

const ISSUER: &str = "https://idp.example.com";

/// The keys of a delegated token: itself, subject, session, client, one actor.
fn keys(user: usize) -> Vec<RevocationKey> {
    let issuer = || ISSUER.into();
    [
        T::Token(issuer(), format!("live-{user}").into()),
        T::Subject(issuer(), format!("user-{user}").into()),
        T::Session(issuer(), format!("session-{user}").into()),
        T::Client(issuer(), "shop-web".into()),
        T::Actor(issuer(), "bot".into()),
        T::Subject(issuer(), "bot".into()),
    ]
    .iter()
    .map(RevocationKey::of)
    .collect()
}

fn check(criterion: &mut Criterion) {
    let now = SystemClock::new().now();
    let tokens: Vec<_> = (0..10_000).map(keys).collect();
    let mut group = criterion.benchmark_group("revocation");
    for entries in [0, 1_000, 1_000_000] {
        let store = InMemoryRevocations::new();
        store
            .revoke_each((0..entries).map(|i| Revocation::token(ISSUER, format!("{i}"))))
            .expect("room for all");
        let mut tokens = tokens.iter().cycle();
        group.bench_function(format!("{entries} entries"), |bencher| {
            bencher.iter(|| {
                let keys = tokens.next().expect("a cycle");
                store.check(&RevocationQuery::new(black_box(keys), now, now))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);
