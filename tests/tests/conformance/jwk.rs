//! Keys to make sets of, and what becomes of them.

use serde_json::{Value, json};
use tower_delegation::jwks::{AlgorithmSet, KeySet, SignatureAlgorithm, SkipReason};

use crate::site::base64url;

/// The key of RFC 7515 appendix A.3.
pub(crate) fn ec() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "ec",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

/// Another key on P-256: that of RFC 7517 appendix A.1.
pub(crate) fn other_ec() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "other",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    })
}

/// The key of RFC 8037 appendix A.2.
pub(crate) fn okp() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "okp", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

/// An RSA key with this modulus and exponent.
pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Value {
    json!({ "kty": "RSA", "kid": "rsa", "n": base64url(n), "e": base64url(e) })
}

pub(crate) const F4: &[u8] = &[1, 0, 1];

/// A number of `bits` bits that nobody knows the factors of.
pub(crate) fn modulus(bits: usize) -> Vec<u8> {
    let mut n = vec![0; bits.div_ceil(8)];
    aws_lc_rs::rand::fill(&mut n).unwrap();
    let top = (bits - 1) % 8;
    n[0] &= ((1_u8 << top) - 1) | (1 << top);
    n[0] |= 1 << top;
    *n.last_mut().unwrap() |= 1;
    n
}

/// `key` with another member, or with another value of one.
pub(crate) fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
    key[name] = value.into();
    key
}

pub(crate) fn without(mut key: Value, name: &str) -> Value {
    key.as_object_mut().unwrap().remove(name);
    key
}

pub(crate) fn parse(keys: impl IntoIterator<Item = Value>) -> KeySet {
    let keys: Vec<Value> = keys.into_iter().collect();
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), AlgorithmSet::ALL).unwrap()
}

/// Why the key is skipped. It stands between two good ones, which must be usable all the same.
pub(crate) fn skipped(key: Value) -> Option<SkipReason> {
    let set = parse([with(okp(), "kid", "first"), key, with(okp(), "kid", "last")]);
    for kid in ["first", "last"] {
        assert!(set.select(SignatureAlgorithm::EdDsa, Some(kid)).is_ok(), "the set is spoilt");
    }
    set.skipped().first().map(|skipped| skipped.reason)
}

/// The algorithms that the one key serves.
pub(crate) fn serves(key: Value) -> Vec<SignatureAlgorithm> {
    parse([key]).keys().map(|key| key.algorithm()).collect()
}
