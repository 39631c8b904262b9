//! Whether a request may go on: who sent it, what is known of it, and the decision.
//!
//! A verified token alone opens nothing. Layers, extractors, attributes and calls all
//! decide by the one evaluation in here, and leave the same record.

mod caller;
mod decision;

pub(crate) use self::caller::context;
#[cfg(feature = "axum")]
pub(crate) use self::caller::optional_context;
#[cfg(any(feature = "axum", feature = "toml"))]
pub(crate) use self::caller::record;
