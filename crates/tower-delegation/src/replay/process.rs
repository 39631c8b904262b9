//! [`ProcessReplayStore`]: one store of used proofs for each origin and clock of this process.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{InMemoryReplayStore, Remembering, ReplayStore, UsedProof, memory::Bounds};
use crate::{
    clock::{Clock, ClockId},
    error::ConfigError,
};

/// The stores of this process. One for each origin that was ever configured, until
/// nothing uses it and its last proof has expired.
static STORES: Mutex<Vec<Held>> = Mutex::new(Vec::new());

struct Held {
    origin: Box<str>,
    clock_id: ClockId,
    clock: Arc<dyn Clock>,
    store: Arc<InMemoryReplayStore>,
    /// Whether a layer uses it now.
    users: Weak<User>,
}

/// Counts the layers that use a store.
#[derive(Debug)]
struct User;

/// The store of used proofs that all layers of this process share for one origin.
///
/// A proof names the origin that it is for: two layers with stores of their own would
/// each accept it once. When the last layer is gone, as between two configurations,
/// the store stays for as long as one of its proofs would be accepted.
#[derive(Clone, Debug)]
pub(crate) struct ProcessReplayStore {
    store: Arc<InMemoryReplayStore>,
    /// The store is in use for as long as this is held.
    _user: Arc<User>,
}

impl ProcessReplayStore {
    /// The store for `origin`. A clock without an identity cannot be compared with
    /// others: its layer then has a store of its own.
    ///
    /// # Errors
    /// A layer uses the store already, with other bounds.
    pub(crate) fn of(origin: &str, clock: &Arc<dyn Clock>, bounds: Bounds) -> Result<Self, ConfigError> {
        let Some(clock_id) = clock.id() else {
            return Ok(Self { store: new_store(bounds), _user: Arc::new(User) });
        };
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|held| held.users.strong_count() > 0 || !held.store.is_over(held.clock.monotonic()));
        let known = stores.iter_mut().find(|held| held.clock_id == clock_id && *held.origin == *origin);
        let Some(held) = known else {
            let (store, user) = (new_store(bounds), Arc::new(User));
            stores.push(Held {
                origin: origin.into(),
                clock_id,
                clock: Arc::clone(clock),
                store: Arc::clone(&store),
                users: Arc::downgrade(&user),
            });
            return Ok(Self { store, _user: user });
        };
        let user = match held.users.upgrade() {
            Some(user) => {
                differ(origin, held.store.bounds(), bounds)?;
                user
            }
            None => {
                held.store.set_bounds(bounds);
                let user = Arc::new(User);
                held.users = Arc::downgrade(&user);
                user
            }
        };
        Ok(Self { store: Arc::clone(&held.store), _user: user })
    }
}

impl ReplayStore for ProcessReplayStore {
    fn remember(&self, proof: UsedProof) -> Remembering {
        self.store.remember(proof)
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
