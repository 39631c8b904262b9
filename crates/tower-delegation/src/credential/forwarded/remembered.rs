//! [`Remembered`]: certificates that were read before.
//!
//! A proxy sends the certificate of one connection with each of its requests;
//! reading it takes ten times as long as knowing it again. What is remembered is
//! what was read, never that it is believed: the hop and the certificate's
//! period of validity are judged on every request, and what was refused is
//! forgotten.

use std::{fmt, hash::Hasher as _};

use http::{HeaderValue, header::GetAll};
use moka::{policy::EvictionPolicy, sync::Cache};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::credential::PeerCertificate;

/// The most certificates; the least recently used goes first.
const MAX_ENTRIES: u64 = 1024;

/// The most bytes of fields that are remembered, so that all of them together
/// take about 16 MiB at most.
const MAX_LEN: usize = 16 * 1024;

/// Known by a keyed 128-bit hash of the fields' text, as verified tokens are:
/// the key is a secret of this very map, and no hash ever leaves it.
#[derive(Clone)]
pub(super) struct Remembered {
    certificates: Option<Cache<u128, PeerCertificate>>,
    secret: [u8; 16],
}

/// What stands for the text of a request's fields.
#[derive(Clone, Copy)]
pub(super) struct Key(u128);

impl Remembered {
    pub(super) fn new() -> Self {
        let mut secret = [0; 16];
        // Without randomness the map's keys could be foreseen: then nothing is remembered.
        let is_seeded = aws_lc_rs::rand::fill(&mut secret).is_ok();
        let map =
            || Cache::builder().max_capacity(MAX_ENTRIES).eviction_policy(EvictionPolicy::lru()).build();
        Self { certificates: is_seeded.then(map), secret }
    }

    /// The key of these fields, unless they are too long to be remembered.
    pub(super) fn key(&self, fields: &[GetAll<'_, HeaderValue>], len: usize) -> Option<Key> {
        if len > MAX_LEN {
            return None;
        }
        let mut hasher = SipHasher13::new_with_key(&self.secret);
        for (place, field) in fields.iter().enumerate() {
            for line in field {
                // Two texts that are divided differently are two texts.
                hasher.write_usize(place);
                hasher.write_usize(line.len());
                hasher.write(line.as_bytes());
            }
        }
        Some(Key(hasher.finish128().as_u128()))
    }

    pub(super) fn get(&self, key: Option<Key>) -> Option<PeerCertificate> {
        self.certificates.as_ref()?.get(&key?.0)
    }

    pub(super) fn insert(&self, key: Option<Key>, certificate: &PeerCertificate) {
        if let (Some(certificates), Some(Key(key))) = (&self.certificates, key) {
            certificates.insert(key, certificate.clone());
        }
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn texts_that_are_divided_differently_are_different() {
        let remembered = Remembered::new();
        let key = |one: &[&'static str], other: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for (name, lines) in [("one", one), ("other", other)] {
                for line in lines {
                    headers.append(name, HeaderValue::from_static(line));
                }
            }
            remembered.key(&[headers.get_all("one"), headers.get_all("other")], 0).unwrap().0
        };
        let keys = [
            key(&["ab"], &[]),
            key(&["a", "b"], &[]),
            key(&["b", "a"], &[]),
            key(&["a"], &["b"]),
            key(&[], &["ab"]),
            key(&["ab"], &[""]),
            key(&["abc"], &[]),
        ];
        for (place, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(place + 1).all(|other| one != other), "{place}");
        }
        assert_eq!(key(&["ab"], &["c"]), key(&["ab"], &["c"]));
        let headers = HeaderMap::new();
        assert!(remembered.key(&[headers.get_all("one")], MAX_LEN + 1).is_none());
    }
}
