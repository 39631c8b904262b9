//! Who sent a request: what the [`DelegationLayer`](crate::layer::DelegationLayer)
//! outside has found, and the refusal where that is not enough.

use http::{Extensions, request::Parts};

use crate::{
    arrival::Arrival,
    authenticator::Deferred,
    context::{Anonymous, DelegationContext, RequestRecord},
    rejection::Rejection,
    requirement::Requirement,
    step::Step,
};

/// Finds out who sent the request with this head, where the layer has put that off:
/// on a public route. After a wait it is called once more, and has its answer.
pub(crate) fn ask(head: &mut Parts) -> Step<Result<(), Rejection>> {
    let Some(left) = deferred(&head.extensions) else { return Step::Ready(Ok(())) };
    let now = left.now();
    let deferred = left.of_head(Arrival::of_parts(head, now));
    match deferred.authenticate(Arrival::of_parts(head, now)) {
        Step::Ready(Ok(found)) => {
            if let Some(delegation) = found {
                head.extensions.remove::<Anonymous>();
                head.extensions.insert(delegation);
            }
            head.extensions.remove::<Deferred>();
            Step::Ready(Ok(()))
        }
        Step::Ready(Err(rejection)) => {
            head.extensions.insert(deferred);
            Step::Ready(Err(rejection))
        }
        Step::Wait(outcome) => {
            head.extensions.insert(deferred);
            Step::wait(async move { outcome.await.map(drop) })
        }
    }
}

/// The same for code that can wait.
#[cfg(feature = "axum")]
pub(crate) async fn asked(head: &mut Parts) -> Result<(), Rejection> {
    match ask(head) {
        Step::Ready(verdict) => verdict,
        Step::Wait(verdict) => {
            verdict.await?;
            ask(head).answer().await
        }
    }
}

/// Whether it is still to be found out who sent the request.
pub(crate) fn deferred(extensions: &Extensions) -> Option<&Deferred> {
    extensions.get()
}

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
pub(crate) fn record(extensions: &Extensions) -> Option<&RequestRecord> {
    match extensions.get::<DelegationContext>() {
        Some(delegation) => Some(delegation.record()),
        None => extensions.get::<Anonymous>().map(Anonymous::record),
    }
}
