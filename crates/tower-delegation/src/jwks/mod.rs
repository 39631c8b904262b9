//! Key sets (JWK Sets, RFC 7517).
mod algorithm;
mod jwk;
mod key;
mod rsa;
mod set;
pub use self::{
    algorithm::{AlgorithmSet, SignatureAlgorithm},
    jwk::{SkipReason, SkippedKey},
    key::{InvalidSignature, VerifyingKey},
    set::{KeySet, KeySetError, KeySetErrorKind, SelectError},
};
