//! From a real token on a socket to a handler that reads `DelegationContext`.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "tests")]

mod anonymous;
mod audit;
mod cached;
mod claims;
mod context;
mod issuers;
mod outage;
mod refusals;
mod requirement;
mod tower_contract;
mod typed;

use integration_tests::{World, whoami};
