//! What the test binaries share: a served router, a client that reads answers,
//! an ear for audit events, and the word of suites that cannot run here.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, clippy::panic, reason = "a harness for tests")]

mod audit;
mod log;
mod served;
mod suite;
mod world;

pub use self::{
    audit::{AuditEvent, AuditLog},
    log::PlainLog,
    served::{Answer, Served},
    suite::{REQUIRE_SUITES, leave_out},
    world::{Site, World, whoami},
};

/// The identifier of the service under test: the `aud` of tokens meant for it.
pub const AUDIENCE: &str = "https://orders.example.com";
