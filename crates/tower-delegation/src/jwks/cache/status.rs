//! How the keys of an issuer are doing, and what became of a refresh.

use std::time::Duration;

use super::key_cache::KeyCache;
use crate::{
    clock::Moment,
    jwks::{KeySourceError, KeySourceErrorKind},
    names::IssuerUrl,
};

/// How one issuer's keys are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// Whose keys these are.
    pub issuer: IssuerUrl,
    /// Whether the issuer comes from an [`IssuerResolver`](crate::issuer::IssuerResolver),
    /// and not from the configuration.
    pub is_resolved: bool,
    /// Whether the issuer's tokens can be verified now. `false` before the first
    /// fetch, once the set was last confirmed longer ago than
    /// [`max_key_staleness`](crate::TrustedIssuer::max_key_staleness), after the
    /// issuer has withdrawn all of its keys, and for a resolved issuer of which no
    /// token was verified for about an hour: the next one fetches the keys first.
    pub has_keys: bool,
    /// The usable keys of the last good set, one per published key and algorithm.
    pub key_count: usize,
    /// The entries of that set that are not used.
    pub skipped_count: usize,
    /// The time since the fetch that last brought or confirmed the set, by the
    /// wall clock or the monotonic one, whichever counted more. `None` before the
    /// first one, and for keys that are part of the configuration.
    pub age: Option<Duration>,
    /// Why the latest fetch failed, if it did. Keys may be there all the same.
    pub last_error: Option<KeySourceErrorKind>,
}

/// What became of [`refresh_keys`](crate::Authenticator::refresh_keys) for one issuer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyRefresh {
    /// Whose keys these are.
    pub issuer: IssuerUrl,
    /// The keys that are in force now, or why none could be fetched. After a
    /// failure, the set from before is used on. Keys that are part of the
    /// configuration are not fetched, and are never a failure.
    pub outcome: Result<KeyStatus, KeySourceError>,
}

impl KeyCache {
    /// How the cache is doing, as that of a configured issuer. Fetches nothing.
    pub(crate) fn status(&self) -> KeyStatus {
        let now = Moment::of(&*self.clock);
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_deref();
        KeyStatus {
            issuer: self.issuer.clone(),
            is_resolved: false,
            // A set that is overdue is fetched by the first request that needs it.
            has_keys: snapshot.is_some_and(|snapshot| {
                !snapshot.keys.is_empty() && !self.rests() && !self.is_stale(snapshot, now)
            }),
            key_count: snapshot.map_or(0, |snapshot| snapshot.keys.keys().len()),
            skipped_count: snapshot.map_or(0, |snapshot| snapshot.keys.skipped().len()),
            age: snapshot.filter(|_| self.source.is_some()).map(|snapshot| snapshot.age(now)),
            last_error: self.lock().last_error.as_ref().map(KeySourceError::kind),
        }
    }
}
