//! Keys: reading key sets (RFC 7517), keeping them current, verifying with them.
//!
//! 1. A key is for exactly one [`SignatureAlgorithm`]; `none` and HMAC cannot be
//!    named at all (RFC 8725 section 3.1).
//! 2. A set is read key by key: what cannot be used is skipped and counted, and
//!    never spoils the rest (RFC 7517 section 5).
//! 3. One rule finds a token's key: [`KeySet::select`].
//! 4. Sets are fetched from a [`KeySource`] that the configuration names, never
//!    from a place that a token names (`jku`, `x5u`), and a token's `kid` is
//!    compared with keys and goes nowhere else.
//! 5. A key that is withdrawn stops verifying when the next set arrives.
//!
//! *Deployment caveat*: a key withdrawn because it leaked is accepted until the
//! set is fetched again: within an hour at most, by default within eight
//! minutes, and not at all while the source cannot be reached (up to 24 hours).
//!
//! # Example
//! See [`KeySet`] for verifying without the layer, [`KeySource`] for keys from
//! a place of your own.

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

pub(crate) use self::cache::{KeyCache, PendingKey, Resolution};
#[cfg(feature = "discovery")]
pub use self::url_source::JwksUrl;
pub use self::{
    algorithm::{AlgorithmSet, SignatureAlgorithm},
    jwk::{SkipReason, SkippedKey},
    key::{InvalidSignature, VerifyingKey},
    set::{KeySet, KeySetError, KeySetErrorKind, SelectError},
    source::{FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind},
};

#[cfg(test)]
mod tests;
