//! x

pub mod clock;
pub mod error;
#[cfg(feature = "discovery")]
pub mod http_client;
pub mod issuer;
pub mod jwks;
pub mod names;
pub mod reason;
pub mod scope;
