//! [`Requires`]: a requirement that a type stands for, built at first use and kept
//! for the life of the process.

use std::{
    any::TypeId,
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use super::Requirement;
use crate::error::ConfigError;

/// A type that stands for a requirement: the `R` of `Authorized<R>`.
pub trait Requires: 'static {
    /// What is demanded. Called at the type's first use; the answer is kept for
    /// the life of the process.
    fn requirement() -> Requirement;
}

/// Readers take no lock; the map changes only when a type is met for the first
/// time, so it holds as many entries as the program has `Requires` types.
static BUILT: LazyLock<ArcSwap<HashMap<TypeId, &'static Requirement>>> = LazyLock::new(ArcSwap::default);

/// Makes building a type's requirement happen once.
static BUILDING: Mutex<()> = Mutex::new(());

impl Requirement {
    /// Is the requirement of `R` free of mistakes? For a test or for start-up.
    ///
    /// # Errors
    /// Those of [`checked`](Self::checked).
    pub fn check<R: Requires>() -> Result<(), ConfigError> {
        Self::of::<R>().clone().checked().map(drop)
    }

    /// The requirement of `R`.
    pub(crate) fn of<R: Requires>() -> &'static Self {
        let id = TypeId::of::<R>();
        if let Some(requirement) = BUILT.load().get(&id) {
            return requirement;
        }
        let requirement = R::requirement();
        let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let built = BUILT.load();
        if let Some(requirement) = built.get(&id) {
            return requirement;
        }
        let requirement: &'static Self = Box::leak(Box::new(requirement));
        let mut grown = HashMap::clone(&built);
        grown.insert(id, requirement);
        BUILT.store(grown.into());
        requirement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static CALLS: AtomicUsize = AtomicUsize::new(0);

    struct Counted;

    impl Requires for Counted {
        fn requirement() -> Requirement {
            CALLS.fetch_add(1, Ordering::Relaxed);
            Requirement::named("counted")
        }
    }

    struct Other;

    impl Requires for Other {
        fn requirement() -> Requirement {
            Requirement::named("other")
        }
    }

    #[test]
    fn built_once_per_type() {
        for _ in 0..3 {
            assert_eq!(Requirement::of::<Counted>().name(), "counted");
            assert_eq!(Requirement::of::<Other>().name(), "other");
        }
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    }
}
