//! What the layer costs, next to what others cost: the parts of the bench
//! `layer` and of the program `memory`.
//!
//! Every [`Subject`] answers the same requests with the same tokens, in process
//! and on one thread. Before it is measured it has to show that it verifies:
//! [`check`] sends it good and bad tokens.

pub mod floor;
pub mod ours;
pub mod peers;
pub mod provider;
pub mod subject;

pub use self::{
    provider::Provider,
    subject::{HttpSubject, Subject, check},
};

/// The audience of every token.
pub const AUDIENCE: &str = "https://orders.example.com";

/// The one path that subjects serve.
pub const PATH: &str = "/orders";
