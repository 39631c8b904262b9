//! Keys: reading key sets (RFC 7517), keeping them current, verifying with them.
//!
//! 1. A key is for exactly one [`SignatureAlgorithm`]; `none` and HMAC cannot be
//!    named at all (RFC 8725 section 3.1).
//! 2. A set is read key by key: what cannot be used is skipped, listed in a
//!    warning, and never spoils the rest (RFC 7517 section 5). A key that is listed
//!    twice is one key. Members that are `null` are absent. The bound is one of
//!    bytes, 512 KiB, not of keys.
//! 3. One rule finds a token's key: [`KeySet::select`]. The header names it by
//!    `kid`, `x5t` or `x5t#S256`.
//! 4. Sets are fetched from a [`KeySource`] that the configuration names, never
//!    from a place that a token names (`jku`, `x5u`), and a token's `kid` is
//!    compared with keys and goes nowhere else.
//! 5. A token that misses its key (unknown, for another algorithm, ambiguous, or
//!    with a signature that does not verify) has the set fetched once more, and is
//!    verified again with what that brings. All of these together cause three
//!    fetches in a row, then one in 10 seconds; one of the three is kept for
//!    unknown keys, so that bad signatures do not delay a rotation.
//! 6. A key that is withdrawn stops verifying when the next set arrives, also for
//!    tokens that were verified before. `refresh_keys` brings it at once; only
//!    there is an explicitly empty set the withdrawal of all keys.
//! 7. While the set is fresh by its own `Cache-Control` (10 minutes where it says
//!    nothing), a key that it lacks is refused with 401, whether or not it could be
//!    fetched once more. Later, where the source cannot be reached, the answer is 503.
//! 8. The age of a set is that of the clock that counted more, wall or monotonic: a
//!    machine that was suspended asks again before it trusts a key that is older
//!    than [`max_key_age`](crate::TrustedIssuer::max_key_age).
//!
//! *Deployment caveat*: a key withdrawn because it leaked is accepted until the
//! set is fetched again: within an hour at most, by default within eight
//! minutes ([`max_key_age`](crate::TrustedIssuer::max_key_age) shortens both,
//! [`refresh_keys`](crate::DelegationLayer::refresh_keys) ends it at once), and for
//! as long as the source cannot be reached, up to
//! [`max_key_staleness`](crate::TrustedIssuer::max_key_staleness), 24 hours by default.
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
//! well before the longest staleness (24 hours by default). `Authenticator::status` has the same for each issuer, resolved
//! ones included.
//!
//! # Example
//! See [`KeySet`] for verifying without the layer, [`KeySource`] for keys from
//! a place of your own.

mod algorithm;
mod budget;
mod cache;
mod hint;
mod jwk;
mod key;
#[cfg(feature = "metrics")]
mod metrics;
mod rsa;
mod set;
mod skipped;
mod source;
mod thumbprint;
#[cfg(feature = "http-client")]
mod url_source;

#[cfg(feature = "http-client")]
pub(crate) use self::cache::FETCH_LIMIT;
pub use self::cache::{KeyRefresh, KeyStatus};
#[cfg(feature = "http-client")]
pub use self::url_source::JwksUrl;
pub use self::{
    algorithm::{AlgorithmSet, SignatureAlgorithm},
    hint::KeyHint,
    jwk::thumbprint,
    key::{InvalidSignature, VerifyingKey},
    set::{KeySet, KeySetError, KeySetErrorKind, SelectError},
    skipped::{SkipReason, SkippedKey},
    source::{FetchReason, FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind},
    thumbprint::Thumbprint,
};
pub(crate) use self::{
    cache::{KeyCache, KeyLimits, PendingKey},
    jwk::public_key,
};

#[cfg(test)]
mod tests;
