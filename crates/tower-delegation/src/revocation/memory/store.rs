//! [`InMemoryRevocations`]: what is asked of it, and what it is given.

use std::{
    fmt,
    sync::{Arc, Weak, atomic::Ordering},
};

use super::{inner::Inner, terms::Terms};
use crate::{
    clock::{Clock, Timestamp},
    names::IssuerUrl,
    revocation::{
        RevocationStore, Standing,
        error::{RevocationError, RevocationErrorKind, RevocationErrors},
        listener::RevocationListener,
        query::RevocationQuery,
        record::{Revocation, check_issued_before, end_of_second},
        sink::{RevocationFuture, RevocationList, RevocationPage, RevocationSink},
        snapshot::RevocationSnapshot,
        target::{RevocationKey, RevocationKind, RevocationTarget},
    },
};

/// Revocations in the memory of this process. Clones share them, and what is set: a setter
/// holds for all of them and drops nothing that is revoked.
///
/// Readers take no lock. An entry takes about 100 bytes for the readers and about
/// 300 for the list, with identifiers and reasons of the usual length: a million
/// takes 400 MB. An entry never takes more than 4 KiB, whatever the identifiers.
///
/// It is bounded, and nothing that is in force is ever dropped to make room. A
/// revocation that ends by itself makes room once it has ended. When the store is
/// full and is asked to take in one more revocation:
///
/// 1. The first time in the life of the store, every token that was issued before
///    that moment is refused, and an error is logged. Clients come back with new
///    tokens. That moment never moves by itself.
/// 2. What the revocation names is refused, whenever issued, until the process
///    ends: it is kept as a hash in a reserve of fixed size. It is in no list and
///    in no snapshot and cannot be lifted. In rare cases, one in a million, the reserve
///    takes something else for it, which is refused as well.
/// 3. The caller gets an error of the kind
///    [`Full`](RevocationErrorKind::Full), so that room is made: by lifting what
///    is not needed, or by a larger [`max_entries`](Self::max_entries).
#[derive(Clone)]
pub struct InMemoryRevocations(Arc<Inner>);

impl InMemoryRevocations {
    /// An empty store with the default bounds and the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner::new(Terms::default())))
    }

    /// The most revocations that are listed. Default 1,000,000.
    #[must_use]
    pub fn max_entries(self, entries: usize) -> Self {
        self.0.set(|terms| terms.max_entries = entries);
        self
    }

    /// An issuer that is trusted for no tokens and named by `act.iss` of another's:
    /// its actors can then be revoked, as actors and as subjects. Otherwise an
    /// issuer that no layer trusts is an error.
    #[must_use]
    pub fn add_actor_issuer(self, issuer: impl Into<IssuerUrl>) -> Self {
        let issuer = issuer.into();
        self.0.set(|terms| {
            terms.actor_issuers.insert(issuer);
        });
        self
    }

    /// The clock that decides when a revocation ends. Default: the machine's.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.0.set(|terms| terms.clock = Arc::new(clock));
        self
    }

    /// Takes in a revocation: it is in force for every request that starts after
    /// this has returned. One of the same target is joined with it, and both limits
    /// are then the later one.
    ///
    /// # Errors
    /// Those of [`Revocation::check`]. The target can match nothing that a layer
    /// lets in which the store serves; before there is such a layer, that is found
    /// when the first is built. The store is full: see [the type](Self) for what
    /// it does then.
    pub fn revoke(&self, revocation: Revocation) -> Result<(), RevocationError> {
        let outcome = self.0.take_in(revocation);
        self.0.notify();
        outcome
    }

    /// Takes in many revocations; listeners are called once.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke), each with the position of the revocation.
    /// The others are in force.
    pub fn revoke_each(
        &self,
        revocations: impl IntoIterator<Item = Revocation>,
    ) -> Result<(), RevocationErrors> {
        let taken = revocations.into_iter().map(|revocation| self.0.take_in(revocation));
        let errors = taken.enumerate().filter_map(|(at, taken)| Some((at, taken.err()?))).collect();
        self.0.notify();
        RevocationErrors::result(errors)
    }

    /// Takes back the revocation of `target`: `Ok(false)` if there is none in force.
    ///
    /// # Errors
    /// It was taken in while the store was full: see [the type](Self).
    pub fn lift(&self, target: &RevocationTarget) -> Result<bool, RevocationError> {
        self.0.lift(target)
    }

    /// The revocations that are in force, a page at a time. Readers do not wait
    /// for it, writers do.
    ///
    /// # Errors
    /// `page` goes on from a place that this store has not given.
    pub fn list(&self, page: &RevocationPage) -> Result<RevocationList, RevocationError> {
        let now = self.0.now();
        let mut list = self.0.write().ledger.page(page, now)?;
        list.everything_issued_before = self.0.everything_issued_before();
        Ok(list)
    }

    /// Refuses every token that was issued at or before the second of `time`,
    /// of every subject, by a clock that may be ahead by the layer's leeway,
    /// and every token that does not say when it was issued: for a compromised
    /// issuer key, or where it is not known what leaked. Cannot be taken back.
    ///
    /// # Errors
    /// `time` is in the future by more than clocks may differ, or no time.
    pub fn revoke_everything_issued_before(&self, time: Timestamp) -> Result<(), RevocationError> {
        check_issued_before(Some(time), self.0.now())?;
        self.0.refuse_everything(end_of_second(time));
        self.0.notify();
        Ok(())
    }

    /// Everything that is in force, to be [loaded](Self::load) after a restart.
    /// Writers wait for it, readers do not.
    #[must_use]
    pub fn snapshot(&self) -> RevocationSnapshot {
        let now = self.0.now();
        let revocations = self.0.write().ledger.in_force(now).cloned().collect();
        RevocationSnapshot { everything_issued_before: self.0.everything_issued_before(), revocations }
    }

    /// Takes in a snapshot, in addition to what is revoked already. What has ended
    /// in the meantime is left out. Load it once all layers are built, which then judge
    /// each revocation, and before the first request.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke), each with the position of the revocation
    /// in the snapshot; behind the last position that of `everything_issued_before`.
    /// The others are in force.
    pub fn load(&self, snapshot: RevocationSnapshot) -> Result<(), RevocationErrors> {
        let now = self.0.now();
        let mut errors = Vec::new();
        let count = snapshot.revocations.len();
        for (position, revocation) in snapshot.revocations.into_iter().enumerate() {
            let checked = match revocation.check(now) {
                Err(error) if error.kind() == RevocationErrorKind::UntilPassed => {
                    if revocation.reach().has_ended(now) {
                        continue;
                    }
                    Ok(())
                }
                checked => checked,
            };
            if let Err(error) = checked.and_then(|()| self.0.insert(revocation, now)) {
                errors.push((position, error));
            }
        }
        if let Some(time) = snapshot.everything_issued_before {
            match check_issued_before(Some(time), now) {
                Ok(()) => self.0.refuse_everything(end_of_second(time)),
                Err(error) => errors.push((count, error)),
            }
        }
        self.0.notify();
        RevocationErrors::result(errors)
    }

    /// How many revocations are listed, ended ones that were not cleared yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.write().ledger.len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.held.load(Ordering::Acquire) == 0 && self.0.everything_issued_before().is_none()
    }
}

impl RevocationStore for InMemoryRevocations {
    fn check(&self, query: &RevocationQuery<'_>) -> Standing {
        let inner = &*self.0;
        if inner.everything_issued_before().is_some_and(|time| query.was_issued_by(time)) {
            return Standing::Revoked(RevocationKind::Everything);
        }
        if inner.held.load(Ordering::Acquire) == 0 {
            return Standing::Good;
        }
        let filter = inner.filter.load();
        let reserve = inner.reserve.get();
        let is_revoked = |key: &RevocationKey| {
            let is_listed = filter.contains(&key.hash)
                && inner.entries.pin().get(&key.hash).is_some_and(|entry| entry.reach.covers(query));
            is_listed || reserve.is_some_and(|reserve| reserve.contains(key.hash))
        };
        if let Some(key) = query.keys.iter().find(|key| is_revoked(key)) {
            return Standing::Revoked(key.kind());
        }
        if inner.workloads.load(Ordering::Acquire) > 0 && query.workload_keys().any(|key| is_revoked(&key)) {
            return Standing::Revoked(RevocationKind::Workload);
        }
        Standing::Good
    }

    fn generation(&self) -> Option<u64> {
        Some(self.0.generation.load(Ordering::Acquire))
    }

    fn subscribe(&self, listener: Weak<dyn RevocationListener>) -> Result<(), RevocationError> {
        let now = self.0.now();
        let mut writing = self.0.write();
        let mut listeners = writing.living();
        listeners.extend(listener.upgrade());
        if let Some(first) = writing.unjudged_from {
            let in_force = |revocation: &&Revocation| !revocation.reach().has_ended(now);
            let mut unjudged = writing.ledger.since(first).filter(in_force);
            unjudged.try_for_each(|revocation| self.0.judge(&listeners, revocation.target()))?;
        }
        writing.unjudged_from = None;
        writing.listeners.push(listener);
        Ok(())
    }
}

impl RevocationSink for InMemoryRevocations {
    fn revoke(&self, revocation: Revocation) -> RevocationFuture<'_, ()> {
        Box::pin(std::future::ready(self.revoke(revocation)))
    }

    fn lift(&self, target: RevocationTarget) -> RevocationFuture<'_, bool> {
        Box::pin(std::future::ready(self.lift(&target)))
    }

    fn list(&self, page: RevocationPage) -> RevocationFuture<'_, RevocationList> {
        Box::pin(std::future::ready(self.list(&page)))
    }
}

impl Default for InMemoryRevocations {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InMemoryRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryRevocations")
            .field("held", &self.0.held.load(Ordering::Relaxed))
            .field("max_entries", &self.0.max_entries())
            .finish_non_exhaustive()
    }
}
