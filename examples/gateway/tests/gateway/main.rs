//! The gateway over TLS, in front of the orders service and of services that misbehave.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a harness for tests")]

mod calls;
mod failures;
mod fields;
mod site;
mod streaming;
