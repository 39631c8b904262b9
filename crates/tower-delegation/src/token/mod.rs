//! Access tokens: read strictly, verified once, then facts.
//!
//! 1. Accepted: a compact JWS of `typ` `at+jwt` with all seven claims that
//!    RFC 9068 section 2.2 requires, or of the profile that the issuer's
//!    [`ClaimMapping`](crate::issuer::ClaimMapping) describes, signed by a published key of exactly one
//!    trusted issuer, meant for this service, at this time.
//! 2. Refused: everything else. [`DenialReason`](crate::reason::DenialReason)
//!    lists the reasons; a client learns `invalid_token` and no more.
//!
//! Limits, all before any cryptography: token 16 KiB, JOSE header 4 KiB, JSON
//! depth 16, 256 members in one object, 8 actors by default.
//!
//! With the feature `metrics`, `tower_delegation_tokens_total{outcome}` counts
//! the tokens that verified: `cached` for those held from before, `verified`
//! for those whose signature was checked.
//!
//! # Deployment caveat
//!
//! A verified token says who may ask, never what this route demands:
//! authorization is the [`requirement`](crate::requirement)'s. And it proves
//! nothing about who carries it: a stolen bearer token verifies like the original.

mod actor;
mod bounded;
mod cache;
mod claims;
mod header;
mod kind;
mod mapping;
#[cfg(feature = "metrics")]
mod metrics;
mod revocable;
mod terms;
mod typed;
mod unverified;
mod verified;
mod verifier;

pub use self::{
    actor::{Actor, Subject},
    cache::TokenCache,
    typed::ClaimError,
    unverified::{MAX_HEADER_LEN, UnverifiedToken},
};
pub(crate) use self::{
    cache::{Footprint, TextCache},
    claims::{date, numeric_date, read_audience},
    header::is_media_type,
    unverified::{CompactJws, decode},
    verified::{AUTHORIZATION_DETAILS, Facts, VerifiedToken},
    verifier::Verifier,
};
