//! The verified-token cache: a token that was verified once is not verified
//! again while nothing that its verification rests on has changed.
//!
//! 1. It holds facts, never decisions: time, key and requirement are judged
//!    anew on every request.
//! 2. An entry is good while its key is published. When the issuer withdraws
//!    the key, the next request with the token is verified from scratch.
//! 3. It is bounded by entries and by bytes. What was used once goes before what is
//!    used again and again, so a burst of new tokens does not push out the others.
//!    An entry whose token has expired is dropped when it is looked at, or falls
//!    out as one that is not used any more: the map itself keeps no time.
//! 4. It holds no token: the map's key is a [keyed hash](crate::text_hash) of the
//!    token's text under a secret of this very cache, so neither a dump of the map
//!    nor a guess at it yields a token, and no two caches share entries.
//! 5. Refusals are not remembered: a stranger fills nothing.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{Weighter, sync::Cache};
use serde::{Deserialize, Serialize};

use crate::{
    pass_through_hasher::PassThroughHasher,
    text_hash::{TextHash, TextHasher},
};

/// About what a verified token takes, in bytes.
const TYPICAL_SIZE: u64 = 2048;

/// Bytes. Below it, the map's sums of sizes cannot overflow.
const MORE_THAN_ANY_MACHINE_HAS: u64 = 1 << 60;

/// How many verified tokens are kept. Default: 50,000 tokens, 64 MiB.
///
/// A token costs about one and a half times its own length. More live tokens
/// than fit cost one signature verification each time they come round.
///
/// ```
/// use tower_delegation::token::TokenCache;
///
/// let large = TokenCache::new().max_entries(200_000).max_bytes(512 * 1024 * 1024);
/// let none = TokenCache::disabled();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct TokenCache {
    max_entries: u64,
    max_bytes: u64,
}

impl TokenCache {
    /// The default bounds.
    pub fn new() -> Self {
        Self { max_entries: 50_000, max_bytes: 64 * 1024 * 1024 }
    }

    /// No cache: every request verifies its token's signature.
    pub fn disabled() -> Self {
        Self { max_entries: 0, max_bytes: 0 }
    }

    /// The most tokens.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries;
        self
    }

    /// The most memory, in bytes, as far as the cache can tell.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::new()
    }
}

/// What is remembered of a text.
pub(crate) trait Footprint: Send + Sync + 'static {
    /// About how many bytes it takes.
    fn size(&self) -> usize;
}

/// Texts that were verified before, and what is remembered of each.
pub(crate) struct TextCache<E> {
    /// `None` where nothing is kept, also because the machine has no randomness.
    entries: Option<Cache<TextHash, Arc<E>, Weigher, PassThroughHasher>>,
    hasher: Option<TextHasher>,
}

/// One bound for both entries and bytes: no entry weighs less than its share of the bytes.
#[derive(Clone)]
struct Weigher {
    least: u64,
}

impl<E: Footprint> Weighter<TextHash, Arc<E>> for Weigher {
    fn weight(&self, _: &TextHash, entry: &Arc<E>) -> u64 {
        u64::try_from(entry.size()).unwrap_or(u64::MAX).max(self.least)
    }
}

impl<E: Footprint> TextCache<E> {
    pub(crate) fn new(limits: TokenCache) -> Self {
        let TokenCache { max_entries, max_bytes } = limits;
        let max_bytes = max_bytes.min(MORE_THAN_ANY_MACHINE_HAS);
        let hasher = TextHasher::random();
        let usable = hasher.is_some() && max_entries > 0 && max_bytes > 0;
        let entries = usable.then(|| {
            // The map refuses what would fill nearly all of it: a single entry must not.
            let least = max_bytes.div_ceil(max_entries).min(max_bytes - max_bytes.div_ceil(32));
            // By this the map decides into how many parts it divides the bytes, of which
            // each must have room for many entries.
            let expected = usize::try_from(max_entries.min(max_bytes / TYPICAL_SIZE)).unwrap_or(usize::MAX);
            Cache::with(
                expected,
                max_bytes,
                Weigher { least },
                PassThroughHasher::default(),
                Default::default(),
            )
        });
        Self { entries, hasher }
    }

    /// The hash of a text.
    pub(crate) fn hash(&self, text: &[u8]) -> TextHash {
        static UNEQUAL: AtomicU64 = AtomicU64::new(0);
        match &self.hasher {
            Some(hasher) => hasher.hash(text),
            // No two are equal.
            None => TextHash::unique(UNEQUAL.fetch_add(1, Ordering::Relaxed)),
        }
    }

    pub(crate) fn get(&self, hash: TextHash) -> Option<Arc<E>> {
        self.entries.as_ref()?.get(&hash)
    }

    pub(crate) fn insert(&self, hash: TextHash, entry: Arc<E>) {
        if let Some(entries) = &self.entries {
            entries.insert(hash, entry);
        }
    }

    /// Drops every entry for which `is_bad` returns true.
    pub(super) fn remove_each(&self, is_bad: impl Fn(&Arc<E>) -> bool) {
        let Some(entries) = &self.entries else { return };
        // No lock is held while `is_bad` looks.
        for (hash, entry) in entries.iter() {
            if is_bad(&entry) {
                entries.remove(&hash);
            }
        }
    }

    pub(crate) fn remove(&self, hash: TextHash) {
        if let Some(entries) = &self.entries {
            entries.remove(&hash);
        }
    }

    pub(super) fn clear(&self) {
        if let Some(entries) = &self.entries {
            entries.clear();
        }
    }

    /// How many tokens are held.
    pub(crate) fn len(&self) -> u64 {
        let held = self.entries.as_ref().map_or(0, Cache::len);
        u64::try_from(held).unwrap_or(u64::MAX)
    }
}

impl<E> fmt::Debug for TextCache<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Entry(usize);

    impl Footprint for Entry {
        fn size(&self) -> usize {
            self.0
        }
    }

    fn fill(limits: TokenCache, count: u64) -> TextCache<Entry> {
        let cache = TextCache::new(limits);
        for number in 0..count {
            cache.insert(cache.hash(&number.to_ne_bytes()), Arc::new(Entry(1500)));
        }
        cache
    }

    #[test]
    fn neither_bound_is_exceeded_and_what_fits_is_held() {
        for (name, limits, least, most) in [
            ("one", TokenCache::new().max_entries(1), 1, 1),
            ("a few", TokenCache::new().max_entries(7), 5, 7),
            ("many", TokenCache::new().max_entries(1000), 900, 1000),
            ("few bytes", TokenCache::new().max_bytes(20_000), 10, 13),
            ("many bytes", TokenCache::new().max_bytes(2_000_000), 1200, 1333),
            ("without end", TokenCache::new().max_entries(u64::MAX).max_bytes(u64::MAX), 4000, 4000),
            ("one of any size", TokenCache::new().max_entries(1).max_bytes(u64::MAX), 1, 1),
            ("no room for one", TokenCache::new().max_bytes(1400), 0, 0),
            ("no bytes", TokenCache::new().max_bytes(0), 0, 0),
            ("no entries", TokenCache::new().max_entries(0), 0, 0),
        ] {
            let held = fill(limits, 4000).len();
            assert!((least..=most).contains(&held), "{name}: {held}");
        }
    }

    #[test]
    fn what_is_used_again_and_again_outlives_a_burst() {
        let cache = fill(TokenCache::new().max_entries(1000), 500);
        let used: Vec<_> = (0..50_u64).map(|number| cache.hash(&number.to_ne_bytes())).collect();
        for round in 0..100_u64 {
            assert!(used.iter().all(|hash| cache.get(*hash).is_some()), "{round}");
            for number in 0..100 {
                cache
                    .insert(cache.hash(&(1_000 + round * 100 + number).to_ne_bytes()), Arc::new(Entry(1500)));
            }
        }
    }
}
