//! A route table as a [`Policy`]: a request is held against its row, and refused
//! where it has none.

use http::request::Parts;

use super::{
    caller::record,
    hearing::{Hearing, Round},
    policy::{Policy, Verdict, sealed::Decide},
};
#[cfg(feature = "axum")]
use crate::{
    arrival::{below_nested, matched_route, received_path},
    routes::ChosenRoute,
};
use crate::{
    context::{Basis, PathParameters},
    reason::DenialReason,
    rejection::Rejection,
    routes::{Access, Found, Parameters, RouteTable, Rows},
    step::Step,
    text::Text,
};

impl Policy for RouteTable {}

impl Decide for RouteTable {
    fn judge(&self, head: &mut Parts) -> Step<Verdict> {
        Step::Ready(judge(self, head, Round::First))
    }

    fn judge_again(&self, head: &mut Parts) -> Verdict {
        judge(self, head, Round::Again)
    }
}

fn judge(table: &RouteTable, head: &mut Parts, round: Round) -> Verdict {
    if record(&head.extensions).is_none() {
        return Err(Rejection::layer_missing());
    }
    let rows = table.current();
    let (found, closer) = find(&rows, head).map_err(|reason| unruled(reason, head))?;
    [Some(found), closer].iter().flatten().try_for_each(|found| meet(found, head, round))
}

/// The row of a request, and another one that matches its path more closely.
fn find<'t>(rows: &'t Rows, head: &Parts) -> Result<(Found<'t>, Option<Found<'t>>), DenialReason> {
    #[cfg(feature = "axum")]
    {
        let path = received_path(&head.extensions, &head.uri).ok_or(DenialReason::PathAmbiguous)?;
        if let Some(route) = ChosenRoute::of(head) {
            return rows.of_route(&route, path, &head.method);
        }
        rows.of_path(path, &head.method).map(|found| (found, None))
    }
    #[cfg(not(feature = "axum"))]
    rows.of_path(head.uri.path(), &head.method).map(|found| (found, None))
}

#[cfg(feature = "axum")]
impl<'r> ChosenRoute<'r> {
    fn of(head: &'r Parts) -> Option<Self> {
        let template = matched_route(&head.extensions)?.as_str();
        let below_nested = below_nested(&head.extensions, template)?;
        Some(Self { template, below_nested, path: head.uri.path() })
    }
}

/// Holds a request against a row.
fn meet(found: &Found<'_>, head: &mut Parts, round: Round) -> Verdict {
    let requirements = match found.row.access() {
        Access::Public(reason) => {
            if let (Some(record), Round::First) = (record(&head.extensions), round) {
                record.add_public(reason, Basis::Row);
            }
            return Ok(());
        }
        Access::Requirements(requirements) => requirements,
    };
    let path_parameters = match &found.parameters {
        Parameters::OfRoute => None,
        Parameters::OfTable(parameters) => Some(parameters as &dyn PathParameters),
    };
    let route = Some(found.template);
    Hearing { requirements, basis: Basis::Row, route, path_parameters }.hold(head, round)
}

fn unruled(reason: DenialReason, head: &Parts) -> Rejection {
    // A stranger can cause it at will, so it is no error of ours.
    tracing::debug!(
        method = %Text::new(head.method.as_str()), reason = reason.code(),
        "no row of the route table is for the request"
    );
    match record(&head.extensions) {
        Some(record) => Rejection::unruled(reason, record),
        None => Rejection::layer_missing(),
    }
}
