//! The verified-token cache: a token that was verified once is not verified
//! again while nothing that its verification rests on has changed.
//!
//! 1. It holds facts, never decisions: time, key and requirement are judged
//!    anew on every request.
//! 2. An entry is good while its key is published. When the issuer withdraws
//!    the key, the next request with the token is verified from scratch.
//! 3. It is bounded by entries and by bytes; the least recently used goes first.
//!    An entry whose token has expired is dropped when it is looked at, or falls
//!    out as one that nobody uses any more: the map itself keeps no time.
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

use moka::{policy::EvictionPolicy, sync::Cache};
use serde::{Deserialize, Serialize};

use crate::{
    pass_through_hasher::PassThroughHasher,
    text_hash::{TextHash, TextHasher},
};

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
    entries: Option<Cache<TextHash, Arc<E>, PassThroughHasher>>,
    hasher: Option<TextHasher>,
}

impl<E: Footprint> TextCache<E> {
    pub(crate) fn new(limits: TokenCache) -> Self {
        // Without randomness there is no cache, and no two hashes are equal.
        let hasher = TextHasher::random();
        let usable = hasher.is_some() && limits.max_entries > 0 && limits.max_bytes > 0;
        let entries = usable.then(|| {
            // One bound for both: no entry weighs less than its share of the bytes, rounded
            // up. A weight has 32 bits, so more bytes than that an entry are of no use.
            let max_bytes = limits.max_bytes.min(limits.max_entries.saturating_mul(u32::MAX.into()));
            let least = max_bytes.div_ceil(limits.max_entries);
            let weigh = move |_: &TextHash, entry: &Arc<E>| {
                let size = u64::try_from(entry.size()).unwrap_or(u64::MAX);
                u32::try_from(size.max(least)).unwrap_or(u32::MAX)
            };
            Cache::builder()
                .max_capacity(max_bytes)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(PassThroughHasher::default())
        });
        Self { entries, hasher }
    }

    /// The hash of a text.
    pub(crate) fn hash(&self, text: &[u8]) -> TextHash {
        static UNEQUAL: AtomicU64 = AtomicU64::new(0);
        match &self.hasher {
            Some(hasher) => hasher.hash(text),
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
        for (hash, entry) in entries {
            if is_bad(&entry) {
                entries.invalidate(&*hash);
            }
        }
    }

    pub(crate) fn remove(&self, hash: TextHash) {
        if let Some(entries) = &self.entries {
            entries.invalidate(&hash);
        }
    }

    pub(super) fn clear(&self) {
        if let Some(entries) = &self.entries {
            entries.invalidate_all();
        }
    }

    /// How many tokens are held, once pending removals are done.
    pub(crate) fn len(&self) -> u64 {
        self.entries.as_ref().map_or(0, |entries| {
            entries.run_pending_tasks();
            entries.entry_count()
        })
    }
}

impl<E> fmt::Debug for TextCache<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextCache").finish_non_exhaustive()
    }
}
