//! [`TextHasher`]: a keyed hash of 128 bits that stands for a text.
//!
//! Used where a text has to be known again and must not be kept: the keys of the maps of
//! verified tokens and of certificates that were read, what a request was judged by, and
//! what a revocation is found by.
//!
//! 1. The hash is `HighwayHash-128`, a pseudo-random function under a key of 256 bits, by the
//!    crate `highway`. It reads 32 bytes at a time: a token of 1,000 bytes takes half as long
//!    as by `SipHash-1-3`.
//! 2. The key is random, made by this process, and never leaves it. Two hashers of two keys
//!    share no hash.
//! 3. No hash leaves the process: none is sent, logged or compared with one that was sent.
//!    A client sees at most whether its text was known. Without hashes to look at, it cannot
//!    search for two texts of one hash; each attempt hits one of `n` known texts with the
//!    probability `n / 2^128`.
//!
//! It is no fingerprint for others: under a known key, `HighwayHash` promises nothing.

use std::fmt;

use highway::{HighwayHash as _, HighwayHasher, Key};

/// Hashes texts under one secret key.
#[derive(Clone)]
pub(crate) struct TextHasher(HighwayHasher);

/// The hash that stands for a text, under the key of one [`TextHasher`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TextHash(u128);

impl TextHasher {
    /// A hasher with a random key. `None` if the machine has no randomness: its hashes could
    /// be foreseen.
    pub(crate) fn random() -> Option<Self> {
        let mut words = [[0; 8]; 4];
        words.iter_mut().try_for_each(|word| aws_lc_rs::rand::fill(word)).ok()?;
        Some(Self::with_key(words.map(u64::from_ne_bytes)))
    }

    /// A hasher with this key, which must be random and secret.
    pub(crate) fn with_key(key: [u64; 4]) -> Self {
        Self(HighwayHasher::new(Key(key)))
    }

    /// The hash of a text.
    pub(crate) fn hash(&self, text: &[u8]) -> TextHash {
        TextHash::of(self.0.clone().hash128(text))
    }

    /// The hash of several texts. Two lists that are divided differently have two hashes.
    pub(crate) fn hash_each<'t>(&self, texts: impl IntoIterator<Item = &'t [u8]>) -> TextHash {
        let mut hasher = self.0.clone();
        for text in texts {
            hasher.append(&text.len().to_ne_bytes());
            hasher.append(text);
        }
        TextHash::of(hasher.finalize128())
    }
}

impl TextHash {
    fn of([low, high]: [u64; 2]) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }

    /// A value that no text has on purpose: for texts that cannot be hashed.
    pub(crate) fn unique(number: u64) -> Self {
        Self(number.into())
    }

    /// The bits.
    pub(crate) fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Debug for TextHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextHasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_one_hash_under_one_key() {
        let (one, other) = (TextHasher::random().unwrap(), TextHasher::random().unwrap());
        let longer_than_a_block = [7; 100];
        for text in [&b""[..], b"a", b"b", &longer_than_a_block[..64], &longer_than_a_block] {
            assert!(one.hash(text) == one.clone().hash(text), "{text:?}");
            assert!(one.hash(text) != other.hash(text), "{text:?}");
            assert!(one.hash(text) != one.hash(&[text, b"\0"].concat()), "{text:?}");
        }
        assert_eq!(format!("{one:?}"), "TextHasher { .. }");
    }

    #[test]
    fn lists_that_are_divided_differently_are_different() {
        let hasher = TextHasher::random().unwrap();
        let lists: [&[&[u8]]; 6] = [&[], &[b""], &[b"ab"], &[b"a", b"b"], &[b"ab", b""], &[b"", b"ab"]];
        for (place, list) in lists.iter().enumerate() {
            let hash = hasher.hash_each(list.iter().copied());
            assert!(hash == hasher.hash_each(list.iter().copied()), "{place}");
            for (other_place, other) in lists.iter().enumerate().filter(|(other, _)| *other != place) {
                assert!(hash != hasher.hash_each(other.iter().copied()), "{place} {other_place}");
            }
        }
    }

    /// By the reference implementation, for the key 0, 1, 2 … 31 and the texts of its tests.
    #[test]
    fn it_is_highway_hash_128() {
        let key =
            [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908, 0x1716_1514_1312_1110, 0x1f1e_1d1c_1b1a_1918];
        let hasher = TextHasher::with_key(key);
        let expected = TextHash::of([0x0fed_268f_9d8f_fec7, 0x3356_5e76_7f09_3e6f]);
        assert!(hasher.hash(b"") == expected);
    }
}
