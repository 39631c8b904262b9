//! The keys of one issuer: which sign, which are published.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{RsaSource, SHARED_RSA, SigningKey};
use crate::algorithm::Algorithm;

#[derive(Debug)]
struct Slot {
    key: Arc<SigningKey>,
    /// Signs new tokens of its algorithm.
    current: bool,
    published: bool,
}

/// Every key that an issuer ever had; withdrawn ones still sign when a test
/// names them.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    slots: Vec<Slot>,
    extra: Vec<Value>,
    replaced: Option<Bytes>,
}

impl KeyRing {
    /// The key that signs with `algorithm`; made and published if there is none.
    pub(crate) fn current(&mut self, algorithm: Algorithm) -> Arc<SigningKey> {
        let current = |slot: &&Slot| slot.current && slot.key.algorithm() == algorithm;
        match self.slots.iter().find(current) {
            Some(slot) => Arc::clone(&slot.key),
            None => self.add(algorithm, &SHARED_RSA),
        }
    }

    /// The key of this name, published or not.
    pub(crate) fn find(&self, key_id: &str) -> Option<Arc<SigningKey>> {
        let named = |slot: &&Slot| slot.key.key_id() == key_id;
        self.slots.iter().find(named).map(|slot| Arc::clone(&slot.key))
    }

    /// The key of this name, if it is published.
    pub(crate) fn published(&self, key_id: &str) -> Option<Arc<SigningKey>> {
        let named = |slot: &&Slot| slot.published && slot.key.key_id() == key_id;
        self.slots.iter().find(named).map(|slot| Arc::clone(&slot.key))
    }

    /// The names of the published keys, oldest first.
    pub(crate) fn published_ids(&self) -> Vec<String> {
        let published = self.slots.iter().filter(|slot| slot.published);
        published.map(|slot| slot.key.key_id().to_owned()).collect()
    }

    /// The algorithms of the keys that sign, in the order they were made.
    pub(crate) fn algorithms(&self) -> Vec<Algorithm> {
        let current = self.slots.iter().filter(|slot| slot.current);
        current.map(|slot| slot.key.algorithm()).collect()
    }

    /// A new key for every algorithm in use; the old ones stay published.
    pub(crate) fn rotate(&mut self) {
        let algorithms = self.algorithms();
        for slot in &mut self.slots {
            slot.current = false;
        }
        let rsa = RsaSource::fresh();
        for algorithm in algorithms {
            self.add(algorithm, &rsa);
        }
    }

    /// Publishes only the keys that sign.
    pub(crate) fn withdraw_old(&mut self) {
        for slot in &mut self.slots {
            slot.published = slot.current;
        }
    }

    pub(crate) fn publish_extra(&mut self, jwk: Value) {
        self.extra.push(jwk);
    }

    pub(crate) fn replace_document(&mut self, document: Option<Bytes>) {
        self.replaced = document;
    }

    /// The key set as it would be published without a replacement. The odd
    /// keys come first, where a reader that gives up early meets them.
    pub(crate) fn jwks(&self) -> Value {
        let published = self.slots.iter().filter(|slot| slot.published).map(|slot| slot.key.jwk());
        let keys: Vec<Value> = self.extra.iter().cloned().chain(published).collect();
        json!({ "keys": keys })
    }

    /// The bytes that the JWKS endpoint serves.
    pub(crate) fn document(&self) -> Bytes {
        self.replaced.clone().unwrap_or_else(|| self.jwks().to_string().into())
    }

    fn add(&mut self, algorithm: Algorithm, rsa: &RsaSource) -> Arc<SigningKey> {
        let earlier = self.slots.iter().filter(|slot| slot.key.algorithm() == algorithm).count();
        let key_id = format!("{}-{}", algorithm.as_str().to_ascii_lowercase(), earlier + 1);
        let key = Arc::new(SigningKey::generate(algorithm, key_id, rsa));
        self.slots.push(Slot { key: Arc::clone(&key), current: true, published: true });
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_keeps_old_keys_published_until_they_are_withdrawn() {
        let mut ring = KeyRing::default();
        let old = ring.current(Algorithm::Es256);
        ring.rotate();
        let new = ring.current(Algorithm::Es256);
        assert_eq!((old.key_id(), new.key_id()), ("es256-1", "es256-2"));
        assert_ne!(old.jwk()["x"], new.jwk()["x"]);
        assert_eq!(ring.published_ids(), ["es256-1", "es256-2"]);

        ring.withdraw_old();
        assert_eq!(ring.published_ids(), ["es256-2"]);
        assert!(ring.published("es256-1").is_none());
        assert!(ring.find("es256-1").is_some());
    }

    #[test]
    fn rotation_makes_a_fresh_rsa_pair() {
        let mut ring = KeyRing::default();
        let old = ring.current(Algorithm::Rs256).jwk();
        ring.rotate();
        assert_ne!(old["n"], ring.current(Algorithm::Rs256).jwk()["n"]);
    }

    #[test]
    fn keys_are_made_on_demand_once() {
        let mut ring = KeyRing::default();
        for _ in 0..2 {
            ring.current(Algorithm::Ed25519);
            ring.current(Algorithm::EdDsa);
        }
        assert_eq!(ring.published_ids(), ["ed25519-1", "eddsa-1"]);
    }
}
