//! Whether a request may go on: who sent it, what is known of it, and the decision.
//!
//! A verified token alone opens nothing. Layers, extractors, attributes and calls all
//! decide by the one evaluation in here, and leave the same record.

mod caller;
mod decision;
mod hearing;
mod policy;
mod recheck;
mod table;

#[cfg(feature = "http-client")]
pub(crate) use self::hearing::Round;
pub use self::policy::Policy;
pub(crate) use self::policy::Verdict;
#[cfg(test)]
pub(crate) use self::policy::sealed;
pub(crate) use self::table::{is_public, needs};
#[cfg(feature = "axum")]
pub(crate) use self::{
    caller::{asked, context, optional_context, record},
    policy::admit,
};
