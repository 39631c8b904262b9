//! The keys of one issuer, kept current.
//!
//! 1. Readers see one immutable snapshot, swapped whole; they take no lock, and
//!    a key that is in it is handed out at once.
//! 2. One fetch at a time, in a task of its own: a caller that goes away takes
//!    nothing with it, and callers that arrive meanwhile share the outcome. Each
//!    waits for a time of its own.
//! 3. The set is fetched again at 80 % of its lifetime, by a task that ends with
//!    the cache, so that also an idle service learns of a withdrawn key. Once it
//!    is older than the longest age, it is used only after an attempt to fetch it.
//! 4. A token that misses its key (unknown, for another algorithm, ambiguous, or
//!    one by which its signature does not verify) causes a fetch if the token
//!    bucket has one left. While the set is fresh by its own lifetime, what it
//!    lacks is refused (401) whatever becomes of that fetch. A refresh that is under
//!    way is waited for first, and is no answer to it. Later, only a fetch
//!    that succeeded makes that certain; where it failed, nothing is known (503).
//! 5. When fetches fail, the last good set is used on for the longest staleness.
//! 6. A document without a usable key never replaces a set that has some, except
//!    an explicitly empty one that the service asked for.
//! 7. Ages are those of the clock that counted more, wall or monotonic.
//! 8. The keys of a resolved issuer rest once none of its tokens was verified for an
//!    hour: they are not refreshed, and not used before they were fetched again.

mod flight;
mod key_cache;
mod limits;
mod load;
mod lookup;
mod refresh;
mod rest;
mod status;

#[cfg(feature = "http-client")]
pub(crate) use self::refresh::FETCH_LIMIT;
pub use self::status::{KeyRefresh, KeyStatus};
pub(crate) use self::{key_cache::KeyCache, limits::KeyLimits, lookup::PendingKey};

#[cfg(test)]
mod tests;
