//! Who sent a request: what the [`DelegationLayer`](crate::layer::DelegationLayer)
//! outside has found, and the refusal where that is not enough.

use http::Extensions;

#[cfg(any(feature = "axum", feature = "toml"))]
use crate::context::RequestRecord;
use crate::{
    context::{Anonymous, DelegationContext},
    rejection::Rejection,
    requirement::Requirement,
};

/// The context of the request with these extensions. Where it carries no credentials,
/// the refusal says what `requirement` needs.
pub(crate) fn context<'r>(
    extensions: &'r Extensions,
    requirement: Option<&Requirement>,
) -> Result<&'r DelegationContext, Rejection> {
    if let Some(delegation) = extensions.get::<DelegationContext>() {
        return Ok(delegation);
    }
    match extensions.get::<Anonymous>() {
        Some(anonymous) => Err(Rejection::missing_credentials(requirement, anonymous.record())),
        None => Err(Rejection::layer_missing()),
    }
}

/// The same where a request without credentials is served too.
#[cfg(feature = "axum")]
pub(crate) fn optional_context(extensions: &Extensions) -> Result<Option<&DelegationContext>, Rejection> {
    match extensions.get::<Anonymous>() {
        Some(_) if extensions.get::<DelegationContext>().is_none() => Ok(None),
        _ => context(extensions, None).map(Some),
    }
}

/// The record of the request; `None` where no layer ran.
#[cfg(any(feature = "axum", feature = "toml"))]
pub(crate) fn record(extensions: &Extensions) -> Option<&RequestRecord> {
    match extensions.get::<DelegationContext>() {
        Some(delegation) => Some(delegation.record()),
        None => extensions.get::<Anonymous>().map(Anonymous::record),
    }
}
