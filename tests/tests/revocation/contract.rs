//! The contract of stores and sinks, against two that have nothing in common.

use std::sync::{Mutex, PoisonError};

use tower_delegation::{
    clock::{Clock as _, SystemClock},
    revocation::{
        InMemoryRevocations, Revocation, RevocationFuture, RevocationKey, RevocationList, RevocationPage,
        RevocationQuery, RevocationSink, RevocationStore, RevocationTarget, Standing,
    },
};
use tower_delegation_testing::check_revocations;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_memory_keeps_to_the_contract() {
    check_revocations(InMemoryRevocations::new()).await;
    // Also beside many others, and with hardly any room.
    let store = InMemoryRevocations::new().max_entries(10_200);
    store.revoke_each((0..10_000).map(|i| Revocation::token("https://idp", i.to_string()))).unwrap();
    check_revocations(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_what_the_traits_say_and_no_more_keeps_to_the_contract() {
    check_revocations(Plain::default()).await;
}

/// A list that is read from the start for each question.
#[derive(Debug, Default)]
struct Plain(Mutex<Vec<Revocation>>);

impl Plain {
    fn write<T>(&self, write: impl FnOnce(&mut Vec<Revocation>) -> T) -> T {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RevocationStore for Plain {
    fn check(&self, query: &RevocationQuery<'_>) -> Standing {
        self.write(|list| match list.iter().find(|revocation| revocation.covers(query)) {
            Some(revocation) => Standing::Revoked(RevocationKey::of(revocation.target()).kind()),
            None => Standing::Good,
        })
    }
}

impl RevocationSink for Plain {
    fn revoke(&self, revocation: Revocation) -> RevocationFuture<'_, ()> {
        Box::pin(async move {
            revocation.check(SystemClock::new().now())?;
            let (until, before) = (revocation.ends(), revocation.covers_issued_before());
            self.write(|list| {
                let held = list.iter().position(|held| held.target() == revocation.target());
                let Some(held) = held.map(|at| list.remove(at)) else { return list.push(revocation) };
                let mut joined = Revocation::new(revocation.target().clone());
                if let (Some(one), Some(other)) = (held.ends(), until) {
                    joined = joined.until(one.max(other));
                }
                if let (Some(one), Some(other)) = (held.covers_issued_before(), before) {
                    joined = joined.issued_before(one.max(other));
                }
                list.push(joined);
            });
            Ok(())
        })
    }

    fn lift(&self, target: RevocationTarget) -> RevocationFuture<'_, bool> {
        let lifted = self.write(|list| {
            let held = list.len();
            list.retain(|revocation| *revocation.target() != target);
            list.len() < held
        });
        Box::pin(async move { Ok(lifted) })
    }

    fn list(&self, page: RevocationPage) -> RevocationFuture<'_, RevocationList> {
        let from: usize = page.after.map_or(0, |place| place.parse().unwrap());
        let list = self.write(|list| {
            let next = from + page.limit;
            let page = list.iter().skip(from).take(page.limit).cloned().collect();
            RevocationList::new(page, (next < list.len()).then(|| next.to_string()))
        });
        Box::pin(async move { Ok(list) })
    }
}
