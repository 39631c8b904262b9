//! A route table as a [`Policy`]: a request is held against its row, and refused
//! where it has none.

use http::{Extensions, Method, Uri, request::Parts};

use super::{
    caller::{deferred, record},
    hearing::{Hearing, Round},
    policy::{Policy, Verdict, hear, hear_again, sealed::Decide},
};
#[cfg(feature = "axum")]
use crate::{
    arrival::{below_nested, matched_route, received_path},
    routes::ChosenRoute,
};
use crate::{
    context::{Basis, Needs, PathParameters},
    reason::DenialReason,
    rejection::Rejection,
    requirement::Requirement,
    routes::{Access, Found, Parameters, RouteTable, Rows},
    step::Step,
    text::Text,
};

impl Policy for RouteTable {}

impl Decide for RouteTable {
    fn judge(&self, head: &mut Parts) -> Step<Verdict> {
        // One state of the table says whether the caller matters, and judges.
        let rows = self.current();
        if deferred(&head.extensions).is_none()
            || are_public(&rows, &head.extensions, &head.uri, &head.method)
        {
            return Step::Ready(judge(&rows, head, Round::First));
        }
        hear(head, |head, round| judge(&rows, head, round))
    }

    fn judge_again(&self, head: &mut Parts) -> Verdict {
        let rows = self.current();
        hear_again(head, |head, round| judge(&rows, head, round))
    }
}

/// Whether every row that is for the request is public: it does not matter then who
/// sent it.
pub(crate) fn is_public(table: &RouteTable, extensions: &Extensions, uri: &Uri, method: &Method) -> bool {
    are_public(&table.current(), extensions, uri, method)
}

fn are_public(rows: &Rows, extensions: &Extensions, uri: &Uri, method: &Method) -> bool {
    let is_public = |found: &Found<'_>| matches!(found.row.access(), Access::Public(_));
    rows.has_public()
        && find(rows, extensions, uri, method)
            .is_ok_and(|(found, closer)| is_public(&found) && closer.as_ref().is_none_or(is_public))
}

/// The scopes that the rows of a request need.
pub(crate) fn needs(
    table: &RouteTable,
    extensions: &Extensions,
    uri: &Uri,
    method: &Method,
) -> Option<Box<Needs>> {
    let rows = table.current();
    let (found, closer) = find(&rows, extensions, uri, method).ok()?;
    needs_of(&[Some(found), closer])
}

fn needs_of(rows: &[Option<Found<'_>>]) -> Option<Box<Needs>> {
    let requirements = rows.iter().flatten().flat_map(|found| match found.row.access() {
        Access::Requirements(requirements) => requirements.as_slice(),
        Access::Public(_) => &[],
    });
    Needs::of_all(requirements.map(Requirement::needs))
}

fn judge(rows: &Rows, head: &mut Parts, round: Round) -> Verdict {
    if record(&head.extensions).is_none() {
        return Err(Rejection::layer_missing());
    }
    let (found, closer) =
        find(rows, &head.extensions, &head.uri, &head.method).map_err(|reason| unruled(reason, head))?;
    let rows = [Some(found), closer];
    let verdict = rows.iter().flatten().try_for_each(|found| meet(found, head, round));
    verdict.map_err(|rejection| rejection.asking_for(|| needs_of(&rows)))
}

/// The row of a request, and another one that matches its path more closely.
fn find<'t>(
    rows: &'t Rows,
    extensions: &Extensions,
    uri: &Uri,
    method: &Method,
) -> Result<(Found<'t>, Option<Found<'t>>), DenialReason> {
    #[cfg(feature = "axum")]
    {
        let path = received_path(extensions, uri).ok_or(DenialReason::PathAmbiguous)?;
        if let Some(route) = ChosenRoute::of(extensions, uri) {
            return rows.of_route(&route, path, method);
        }
        rows.of_path(path, method).map(|found| (found, None))
    }
    #[cfg(not(feature = "axum"))]
    {
        let _ = extensions;
        rows.of_path(uri.path(), method).map(|found| (found, None))
    }
}

#[cfg(feature = "axum")]
impl<'r> ChosenRoute<'r> {
    fn of(extensions: &'r Extensions, uri: &'r Uri) -> Option<Self> {
        let template = matched_route(extensions)?.as_str();
        let below_nested = below_nested(extensions, template)?;
        Some(Self { template, below_nested, path: uri.path() })
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
