//! [`Remembered`]: certificates that were read before.
//!
//! A proxy sends the certificate of one connection with each of its requests;
//! reading it takes ten times as long as knowing it again. What is remembered is
//! what was read, never that it is believed: the hop and the certificate's
//! period of validity are judged on every request, and what was refused is
//! forgotten.

use std::{fmt, iter, sync::Arc};

use http::{HeaderValue, header::GetAll};
use quick_cache::{UnitWeighter, sync::Cache};

use crate::{
    credential::PeerCertificate,
    pass_through_hasher::PassThroughHasher,
    text_hash::{TextHash, TextHasher},
};

/// The most certificates.
const MAX_ENTRIES: u16 = 1024;

/// The most bytes of fields that are remembered, so that all of them together
/// take about 16 MiB at most.
const MAX_LEN: usize = 16 * 1024;

/// Where the lines of another field begin: no line is this text.
const NEXT_FIELD: &[u8] = b"\n";

type Certificates = Cache<TextHash, PeerCertificate, UnitWeighter, PassThroughHasher>;

/// Known by a [keyed hash](crate::text_hash) of the fields' text, as verified tokens are:
/// the key is a secret of this very map.
#[derive(Clone)]
pub(super) struct Remembered {
    certificates: Arc<Certificates>,
    /// Without randomness the map's keys could be foreseen: then nothing is remembered.
    hasher: Option<Arc<TextHasher>>,
}

impl Remembered {
    pub(super) fn new() -> Self {
        let certificates = Cache::with(
            MAX_ENTRIES.into(),
            MAX_ENTRIES.into(),
            UnitWeighter,
            PassThroughHasher::default(),
            Default::default(),
        );
        Self { certificates: Arc::new(certificates), hasher: TextHasher::random().map(Arc::new) }
    }

    /// The key of these fields, unless they are too long to be remembered.
    pub(super) fn key(&self, fields: &[GetAll<'_, HeaderValue>], len: usize) -> Option<TextHash> {
        let hasher = self.hasher.as_ref().filter(|_| len <= MAX_LEN)?;
        let texts = fields
            .iter()
            .flat_map(|field| iter::once(NEXT_FIELD).chain(field.iter().map(HeaderValue::as_bytes)));
        Some(hasher.hash_each(texts))
    }

    pub(super) fn get(&self, key: Option<TextHash>) -> Option<PeerCertificate> {
        self.certificates.get(&key?)
    }

    pub(super) fn insert(&self, key: Option<TextHash>, certificate: &PeerCertificate) {
        if let Some(key) = key {
            self.certificates.insert(key, certificate.clone());
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
            remembered.key(&[headers.get_all("one"), headers.get_all("other")], 0).unwrap()
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
        assert!(key(&["ab"], &["c"]) == key(&["ab"], &["c"]));
        let headers = HeaderMap::new();
        assert!(remembered.key(&[headers.get_all("one")], MAX_LEN + 1).is_none());
    }
}
