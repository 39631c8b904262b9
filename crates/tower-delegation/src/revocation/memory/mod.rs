//! [`InMemoryRevocations`]: the revocations that this process was given.

mod inner;
mod ledger;
mod reserve;
mod store;
mod terms;

pub use self::store::InMemoryRevocations;
