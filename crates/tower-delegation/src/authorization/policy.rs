//! [`Policy`]: what a guard decides by, and how long it may take over it.

use std::sync::Arc;

use http::request::Parts;

use super::hearing::{Hearing, Round};
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
        Step::Ready(Hearing::of_requirement(self).hold(head, Round::First))
    }

    fn judge_again(&self, head: &mut Parts) -> Verdict {
        Hearing::of_requirement(self).hold(head, Round::Again)
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
