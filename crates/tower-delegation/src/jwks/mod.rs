//! Key sets (JWK Sets, RFC 7517).
mod algorithm;
mod budget;
mod cache;
mod jwk;
mod key;
mod rsa;
mod set;
mod source;
#[cfg(feature = "discovery")]
mod url_source;

pub(crate) use self::cache::{KeyCache, KeyStatus, PendingKey, Resolution};
#[cfg(feature = "discovery")]
pub use self::url_source::JwksUrl;
pub use self::{
    algorithm::{AlgorithmSet, SignatureAlgorithm},
    jwk::{SkipReason, SkippedKey},
    key::{InvalidSignature, VerifyingKey},
    set::{KeySet, KeySetError, KeySetErrorKind, SelectError},
    source::{FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind},
};
