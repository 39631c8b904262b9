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
//! # Metrics
//! With the feature `metrics`, through the recorder that the service installed
//! for the [`metrics`](https://docs.rs/metrics) facade:
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `tower_delegation_jwks_fetches_total` | counter | `issuer`, `outcome`: `changed`, `not_modified` or a [`KeySourceErrorKind::code`] |
//! | `tower_delegation_jwks_keys` | gauge: usable keys of the last good set | `issuer` |
//! | `tower_delegation_jwks_last_success_timestamp_seconds` | gauge: when the set was last brought or confirmed, in seconds since 1970 | `issuer` |
//!
//! `issuer` is the identifier from the configuration, or `resolver:1`, `resolver:2`
//! and so on for all issuers of the first, the second
//! [`IssuerResolver`](crate::issuer::IssuerResolver): these have the counter only.
//! Nothing that a request or a document says becomes a label. Keys that are part of the configuration are
//! never fetched and have no metrics. Alert on the age, `time() - …_seconds`,
//! well before 24 hours. `Authenticator::status` has the same for each issuer, resolved
//! ones included.
//!
//! # Example
//! See [`KeySet`] for verifying without the layer, [`KeySource`] for keys from
//! a place of your own.

mod algorithm;
mod budget;
mod cache;
mod jwk;
mod key;
#[cfg(feature = "metrics")]
mod metrics;
mod rsa;
mod set;
mod source;
mod thumbprint;
#[cfg(feature = "discovery")]
mod url_source;

pub use self::cache::KeyStatus;
#[cfg(feature = "discovery")]
pub use self::url_source::JwksUrl;
pub use self::{
    algorithm::{AlgorithmSet, SignatureAlgorithm},
    jwk::{SkipReason, SkippedKey, thumbprint},
    key::{InvalidSignature, VerifyingKey},
    set::{KeySet, KeySetError, KeySetErrorKind, SelectError},
    source::{FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind},
    thumbprint::Thumbprint,
};
pub(crate) use self::{
    cache::{KeyCache, PendingKey, Resolution},
    jwk::public_key,
};

#[cfg(test)]
mod tests;
