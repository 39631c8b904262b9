//! [`Hearing`]: a request held against the requirements of its route.

use http::request::Parts;

use super::caller::context;
#[cfg(feature = "axum")]
use crate::arrival::matched_route;
use crate::{
    context::{Basis, PathParameters, RequestFacts},
    rejection::Rejection,
    requirement::Requirement,
};

/// Which time it is that a request is judged by one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    First,
    /// After a wait: what was allowed before is in the record already.
    Again,
}

/// The requirements that a request is held against, and what is known of its route.
pub(super) struct Hearing<'h> {
    pub(super) requirements: &'h [Requirement],
    pub(super) basis: Basis,
    /// The template of the route; that of the router's choice if `None`.
    pub(super) route: Option<&'h str>,
    /// The parameters of the path; those that the router has found if `None`.
    pub(super) path_parameters: Option<&'h dyn PathParameters>,
}

impl<'h> Hearing<'h> {
    pub(super) fn of_requirement(requirement: &'h Requirement) -> Self {
        let requirements = std::slice::from_ref(requirement);
        Self { requirements, basis: Basis::Rule, route: None, path_parameters: None }
    }

    /// Whether every requirement lets the request with this head go on.
    pub(super) fn hold(&self, head: &mut Parts, round: Round) -> Result<(), Rejection> {
        #[cfg(feature = "axum")]
        let of_router = match self.path_parameters {
            None if self.requirements.iter().any(Requirement::reads_path) => path_parameters(head),
            _ => None,
        };
        let mut facts = RequestFacts::of_parts(head);
        facts.route = self.route;
        facts.path_parameters = self.path_parameters;
        #[cfg(feature = "axum")]
        {
            facts.route = facts.route.or_else(|| Some(matched_route(&head.extensions)?.as_str()));
            let of_router = of_router.as_ref().map(|parameters| -> &dyn PathParameters { parameters });
            facts.path_parameters = facts.path_parameters.or(of_router);
        }
        let delegation = context(&head.extensions, self.requirements.first())?;
        self.requirements.iter().try_for_each(|one| delegation.decide(one, &facts, self.basis, round))
    }
}

/// The parameters that axum found in the path; none without axum's router, and
/// none where one of them is no UTF-8.
#[cfg(feature = "axum")]
fn path_parameters(head: &mut Parts) -> Option<axum::extract::RawPathParams> {
    use std::{
        future::Future as _,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use axum::extract::{FromRequestParts as _, RawPathParams};

    // It looks into the extensions and never waits; if it did, there would be none.
    let read = pin!(RawPathParams::from_request_parts(head, &()));
    match read.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(parameters) => parameters.ok(),
        Poll::Pending => None,
    }
}
