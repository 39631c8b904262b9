//! x

pub mod clock;
pub mod error;
pub mod jwks;
pub mod names;
pub mod reason;
pub mod scope;
