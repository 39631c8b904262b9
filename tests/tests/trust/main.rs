//! Who a token is taken for, and what can be taken back, at the level that
//! users meet: HTTP and TLS.
#![expect(clippy::unwrap_used, reason = "tests")]

mod applications;
mod arrival;
mod dpop;
mod examples;
mod guides;
mod keys;
mod kinds;
mod layers;
mod nets;
mod own_proof;
mod places;
mod profile;
mod proxies;
mod recheck;
mod resolvers;
mod revocations;
mod waits;
mod workloads;
