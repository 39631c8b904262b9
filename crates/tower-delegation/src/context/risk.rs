//! [`RiskSignal`]: what else is known about how risky a request is.

use std::{fmt, sync::Arc};

use super::{DelegationContext, RequestFacts};

/// Tells how risky a request is: from the reputation of an address, the posture
/// of a device, the habits of a user.
///
/// Registered under a name, by
/// [`risk_signal`](crate::layer::DelegationLayerBuilder::risk_signal). Asked by
/// each evaluation of a requirement that names it
/// ([`risk_below`](crate::requirement::Requirement::risk_below)), on the
/// thread that serves the request: answer from memory, do not wait. A signal
/// whose source is remote keeps a copy and refreshes it elsewhere.
///
/// ```
/// use tower_delegation::context::{RiskRequest, RiskSignal};
///
/// /// Requests that come through a region where we have no customers.
/// #[derive(Debug)]
/// struct Region;
///
/// impl RiskSignal for Region {
///     fn assess(&self, request: &RiskRequest<'_>) -> Option<u8> {
///         let region = request.facts.headers?.get("x-region")?.to_str().ok()?;
///         Some(if region == "eu" { 10 } else { 80 })
///     }
/// }
/// ```
pub trait RiskSignal: fmt::Debug + Send + Sync + 'static {
    /// The risk, from 0 (none known) to 100 (certain harm). `None`: it cannot
    /// be told, and every requirement that names the signal then denies.
    fn assess(&self, request: &RiskRequest<'_>) -> Option<u8>;
}

/// The request whose risk is asked for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RiskRequest<'a> {
    /// Who asks. Verified, not yet allowed.
    pub delegation: &'a DelegationContext,
    /// What is known of the request. Set by the client: a header field that no
    /// trusted hop has written tells nothing.
    pub facts: &'a RequestFacts<'a>,
}

impl<'a> RiskRequest<'a> {
    pub(crate) fn new(delegation: &'a DelegationContext, facts: &'a RequestFacts<'a>) -> Self {
        Self { delegation, facts }
    }
}

/// The registered signals; a handful, so they are searched one by one.
#[derive(Debug)]
pub(crate) struct RiskSignals(Box<[NamedSignal]>);

pub(crate) type NamedSignal = (Box<str>, Arc<dyn RiskSignal>);

impl RiskSignals {
    pub(crate) fn new(signals: Vec<NamedSignal>) -> Self {
        Self(signals.into())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&dyn RiskSignal> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, signal)| &**signal)
    }
}
