//! The caller's token is traded for a narrower one, and what comes back is verified before
//! it is used (RFC 8693).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod actor_token;
mod answers;
mod asking;
mod authentication;
mod binding;
mod chaining;
mod faults;
mod hops;
mod keeping;
mod on_behalf_of;
mod outages;
mod outgoing;
mod passing_on;
mod redirects;
mod shop;
mod tower;
mod witness;
