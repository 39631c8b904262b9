//! [`ProcessReplayStore`]: one store of used proofs for each origin and clock of this process.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{InMemoryReplayStore, ReplayStore, ReplayStoreError, Sighting, UsedProof, memory::Bounds};
use crate::{
    clock::{Clock, ClockId},
    error::ConfigError,
    step::Step,
};

/// Longer than any layer accepts a proof by its age after another has used it.
const LONGEST_BY_AGE: Duration = Duration::from_secs(10 * 60);

/// The stores of this process. One for each origin that was ever configured, until
/// nothing uses it and no layer that is built could accept any of its proofs.
static STORES: Mutex<Vec<Held>> = Mutex::new(Vec::new());

struct Held {
    origin: Box<str>,
    clock_id: ClockId,
    clock: Arc<dyn Clock>,
    store: Arc<InMemoryReplayStore>,
    longest: Arc<Longest>,
    /// Whether a layer uses it now.
    users: Weak<User>,
    /// Since when it is known that nothing uses it and all of its proofs have expired.
    over_since: Option<Duration>,
}

impl Held {
    fn is_needed(&mut self) -> bool {
        if self.users.strong_count() > 0 {
            self.over_since = None;
            return true;
        }
        let now = self.clock.monotonic();
        // Also then: the next layer may accept older proofs than the last one did.
        !self.store.is_over(now) || now.saturating_sub(*self.over_since.get_or_insert(now)) < LONGEST_BY_AGE
    }
}

/// For how long one layer accepts a proof that was used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Acceptance {
    /// From its `iat` on: the layer demands no nonces.
    ByAge(Duration),
    /// From its use on, at the most: to the end of its nonce.
    ByNonce(Duration),
}

/// Counts the layers that use a store.
#[derive(Debug, Default)]
struct User;

/// The longest [`Acceptance`] of each kind of the layers that use a store, in milliseconds.
#[derive(Debug, Default)]
struct Longest {
    by_age: AtomicU64,
    by_nonce: AtomicU64,
}

impl Longest {
    /// Takes in one more layer, or the first after others have gone. Returns for how much
    /// longer proofs are now accepted by their age.
    fn admit(&self, acceptance: Acceptance, is_first: bool) -> Duration {
        let former = self.by_age.load(Ordering::Relaxed);
        if is_first {
            self.by_age.store(0, Ordering::Relaxed);
            self.by_nonce.store(0, Ordering::Relaxed);
        }
        let (longest, new) = match acceptance {
            Acceptance::ByAge(new) => (&self.by_age, new),
            Acceptance::ByNonce(new) => (&self.by_nonce, new),
        };
        longest.fetch_max(u64::try_from(new.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        // What was used before there were nonces carries none.
        Duration::from_millis(self.by_age.load(Ordering::Relaxed).saturating_sub(former))
    }

    /// For how much longer than a layer another one accepts the same proof.
    fn beyond(&self, acceptance: Acceptance) -> Duration {
        let longest = |longest: &AtomicU64| Duration::from_millis(longest.load(Ordering::Relaxed));
        match acceptance {
            Acceptance::ByAge(own) => longest(&self.by_age).saturating_sub(own).max(longest(&self.by_nonce)),
            // Of two layers with nonces, both accept it to the end of the same nonce.
            Acceptance::ByNonce(_) => longest(&self.by_age),
        }
    }
}

/// The store of used proofs that all layers of this process share for one origin.
///
/// A proof names the origin that it is for: two layers with stores of their own would
/// each accept it once. When the last layer is gone, as between two configurations,
/// the store stays for as long as one of its proofs would be accepted.
#[derive(Clone, Debug)]
pub(crate) struct ProcessReplayStore {
    store: Arc<InMemoryReplayStore>,
    longest: Arc<Longest>,
    acceptance: Acceptance,
    /// The store is in use for as long as this is held.
    _user: Arc<User>,
}

impl ProcessReplayStore {
    /// The store for `origin`. A clock without an identity cannot be compared with
    /// others: its layer then has a store of its own.
    ///
    /// # Errors
    /// A layer uses the store already, with other bounds.
    pub(crate) fn of(
        origin: &str,
        clock: &Arc<dyn Clock>,
        bounds: Bounds,
        acceptance: Acceptance,
    ) -> Result<Self, ConfigError> {
        let Some(clock_id) = clock.id() else {
            let (store, longest, user) = (new_store(bounds), Arc::default(), Arc::default());
            return Ok(Self { store, longest, acceptance, _user: user });
        };
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain_mut(Held::is_needed);
        let known = stores.iter_mut().find(|held| held.clock_id == clock_id && *held.origin == *origin);
        let Some(held) = known else {
            let (store, longest, user) = (new_store(bounds), Arc::<Longest>::default(), Arc::default());
            longest.admit(acceptance, true);
            stores.push(Held {
                origin: origin.into(),
                clock_id,
                clock: Arc::clone(clock),
                store: Arc::clone(&store),
                longest: Arc::clone(&longest),
                users: Arc::downgrade(&user),
                over_since: None,
            });
            return Ok(Self { store, longest, acceptance, _user: user });
        };
        let (user, is_first) = match held.users.upgrade() {
            Some(user) => {
                differ(origin, held.store.bounds(), bounds)?;
                (user, false)
            }
            None => {
                held.store.set_bounds(bounds);
                let user = Arc::default();
                held.users = Arc::downgrade(&user);
                (user, true)
            }
        };
        held.store.prolong(held.longest.admit(acceptance, is_first));
        let (store, longest) = (Arc::clone(&held.store), Arc::clone(&held.longest));
        Ok(Self { store, longest, acceptance, _user: user })
    }
}

impl ProcessReplayStore {
    /// Whether both are for the same origin and clock.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store)
    }
}

impl ReplayStore for ProcessReplayStore {
    fn remember(&self, proof: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
        let beyond = self.longest.beyond(self.acceptance);
        let lifetime = proof.lifetime.saturating_add(beyond);
        let expires_at = proof.expires_at.saturating_add(beyond);
        self.store.remember(UsedProof { lifetime, expires_at, ..proof })
    }
}

fn new_store(bounds: Bounds) -> Arc<InMemoryReplayStore> {
    let store = InMemoryReplayStore::new();
    store.set_bounds(bounds);
    Arc::new(store)
}

fn differ(origin: &str, used: Bounds, given: Bounds) -> Result<(), ConfigError> {
    for (setting, used, given) in [
        ("max_entries", used.max_entries, given.max_entries),
        ("max_entries_per_key", used.max_entries_per_key, given.max_entries_per_key),
    ] {
        if used != given {
            return Err(ConfigError::ReplayStoreDiffers { origin: origin.to_owned(), setting, used, given });
        }
    }
    Ok(())
}
