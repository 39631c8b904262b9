//! [`InMemoryRevocations`]: the revocations that this process was given.

mod builder;
mod inner;
mod ledger;
mod reserve;
mod store;

pub use self::{builder::InMemoryRevocationsBuilder, store::InMemoryRevocations};
