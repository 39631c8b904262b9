//! What the test binaries share: a served router, a client that reads answers,
//! and an ear for audit events.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, clippy::panic, reason = "a harness for tests")]

mod audit;
mod served;

pub use self::{
    audit::{AuditEvent, AuditLog},
    served::{Answer, Served},
};

/// The identifier of the service under test: the `aud` of tokens meant for it.
pub const AUDIENCE: &str = "https://orders.example.com";
