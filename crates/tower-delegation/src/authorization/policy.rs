//! [`Policy`]: what a guard decides by, and how long it may take over it.

use std::sync::Arc;

use http::request::Parts;

use super::{
    caller::{ask, deferred},
    hearing::{Hearing, Round},
};
use crate::{rejection::Rejection, requirement::Requirement, step::Step};

/// Whether the request may go on, or how it is answered.
pub(crate) type Verdict = Result<(), Rejection>;

/// What a guard decides by: a [`Requirement`], or the rows of a route table.
///
/// Sealed: every decision goes through the one evaluation of this crate. The guards
/// hold a request for as long as its policy takes to answer.
pub trait Policy: sealed::Decide + Clone + Send + Sync + 'static {}

pub(crate) mod sealed {
    use http::request::Parts;

    use super::Verdict;
    use crate::step::Step;

    #[expect(unnameable_types, reason = "no other crate implements it")]
    pub trait Decide {
        /// Decides about the request with this head. What has to be waited for is
        /// owned by the answer.
        fn judge(&self, head: &mut Parts) -> Step<Verdict>;

        /// Judges once more, after a wait that ended in an allow, all that
        /// [`judge`](Self::judge) did not wait for.
        fn judge_again(&self, head: &mut Parts) -> Verdict;
    }
}

/// Decides about the request with this head, for as long as `policy` takes.
#[cfg(feature = "axum")]
pub(crate) async fn admit(policy: &(impl sealed::Decide + ?Sized), head: &mut Parts) -> Verdict {
    match policy.judge(head) {
        Step::Ready(verdict) => verdict,
        Step::Wait(verdict) => {
            verdict.await?;
            policy.judge_again(head)
        }
    }
}

impl sealed::Decide for Requirement {
    fn judge(&self, head: &mut Parts) -> Step<Verdict> {
        hear(head, |head, round| Hearing::of_requirement(self).hold(head, round))
    }

    fn judge_again(&self, head: &mut Parts) -> Verdict {
        hear_again(head, |head, round| Hearing::of_requirement(self).hold(head, round))
    }
}

/// Judges the request with this head, once it is known who sent it.
pub(super) fn hear(head: &mut Parts, judge: impl FnOnce(&mut Parts, Round) -> Verdict) -> Step<Verdict> {
    if deferred(&head.extensions).is_some() {
        match ask(head) {
            Step::Ready(Ok(())) => {}
            other => return other,
        }
    }
    Step::Ready(judge(head, Round::First))
}

/// The same after a wait: where that was for who sent the request, nothing was judged
/// before it.
pub(super) fn hear_again(head: &mut Parts, judge: impl FnOnce(&mut Parts, Round) -> Verdict) -> Verdict {
    if deferred(&head.extensions).is_none() {
        return judge(head, Round::Again);
    }
    match ask(head) {
        Step::Ready(verdict) => verdict.and_then(|()| judge(head, Round::First)),
        // Another head than the one that was waited for.
        Step::Wait(_) => Err(Rejection::layer_missing()),
    }
}

impl sealed::Decide for Arc<Requirement> {
    fn judge(&self, head: &mut Parts) -> Step<Verdict> {
        (**self).judge(head)
    }

    fn judge_again(&self, head: &mut Parts) -> Verdict {
        (**self).judge_again(head)
    }
}

impl Policy for Arc<Requirement> {}
