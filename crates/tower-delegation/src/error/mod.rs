//! What is wrong with a configuration, found by `build()` before any request.

mod code;
mod config_error;
mod mistakes;

pub use self::config_error::ConfigError;
pub(crate) use self::mistakes::{Mistakes, all, both};
