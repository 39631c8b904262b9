//! The evaluation: a pure, synchronous function of requirement, context and
//! request facts. No I/O; no allocation but by `serde_json`, where it skips what
//! nests in a payload.

use super::Requirement;
use crate::{
    context::{ClaimError, DelegationContext, RequestFacts},
    reason::{DenialReason, RejectionKind},
};

/// What an evaluation says. There is no default: nothing is allowed by omission.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a third answer would be a new kind of product")]
pub enum Decision {
    /// Every demand holds.
    Allow,
    /// At least one does not.
    Deny(Denial),
}

/// The first demand that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    reason: DenialReason,
}

impl Denial {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> DenialReason {
        self.reason
    }
}

/// What a demand is held against.
#[derive(Clone, Copy)]
pub(crate) struct Evidence<'e> {
    pub(super) delegation: &'e DelegationContext,
    pub(super) facts: &'e RequestFacts<'e>,
}

impl<'e> Evidence<'e> {
    pub(crate) fn new(delegation: &'e DelegationContext, facts: &'e RequestFacts<'e>) -> Self {
        Self { delegation, facts }
    }
}

/// A demand that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: DenialReason,
    /// Is it known to be so, or only not known to be otherwise? Both deny. What
    /// is excluded is admitted only where it is certain not to be the case.
    pub(super) is_certain: bool,
}

pub(super) type Outcome = Result<(), Failure>;

impl Failure {
    /// The demand is known not to hold.
    pub(super) fn certain(reason: DenialReason) -> Self {
        Self { reason, is_certain: true }
    }

    /// What the demand looks at is absent or malformed.
    pub(super) fn unknown(reason: DenialReason) -> Self {
        Self { reason, is_certain: false }
    }

    /// Which of several failures a client hears of: first what nothing cures,
    /// then what the user's log-in cures, then what more scope cures.
    pub(super) fn rank(self) -> u8 {
        match self.reason.kind() {
            RejectionKind::InsufficientScope => 2,
            RejectionKind::InsufficientUserAuthentication => 1,
            _ => 0,
        }
    }

    /// Can the client mend it by another authorization request?
    pub(super) fn is_curable(self) -> bool {
        self.rank() > 0
    }

    /// Is it the service's mistake, and nothing that the token lacks?
    pub(super) fn is_ours(self) -> bool {
        self.reason.kind() == RejectionKind::Misconfigured
    }
}

/// The route demands something of a claim that is malformed: nothing is known of it.
impl From<ClaimError> for Failure {
    fn from(_: ClaimError) -> Self {
        Self::unknown(DenialReason::FactMalformed)
    }
}

/// A certain failure unless `holds`.
pub(super) fn ensure(holds: bool, reason: DenialReason) -> Outcome {
    if holds { Ok(()) } else { Err(Failure::certain(reason)) }
}

impl Requirement {
    /// Evaluates this requirement and keeps no record of it: for tests and
    /// tools. Requests go through [`DelegationContext::authorize`], which
    /// leaves its mark in the audit trail.
    ///
    /// [`shadow`](Self::shadow) and [`exception`](Self::exception) change what
    /// comes of a denial, not the decision.
    pub fn evaluate(&self, delegation: &DelegationContext, facts: &RequestFacts<'_>) -> Decision {
        match self.judge(&Evidence::new(delegation, facts)) {
            Ok(()) => Decision::Allow,
            Err(failure) => Decision::Deny(Denial { reason: failure.reason }),
        }
    }

    pub(super) fn judge(&self, evidence: &Evidence<'_>) -> Outcome {
        if self.mistake.is_some() {
            return Err(Failure::unknown(DenialReason::RequirementContradictory));
        }
        self.origin.check(evidence)?;
        self.sender.check(evidence)?;
        self.parties.check(evidence)?;
        self.applications.check(evidence)?;
        self.circumstances.check(evidence)?;
        self.comparisons.check(evidence)?;
        self.grants.check(evidence)?;
        let composed = self.composition.check(evidence);
        if composed.is_err_and(|failure| !failure.is_curable()) {
            return composed;
        }
        // What a client can mend comes last and together (RFC 9470 section 3):
        // both go into one challenge, and the lack of authentication names it.
        [self.authentication.check(evidence), composed, self.scopes.check(evidence)]
            .into_iter()
            .filter_map(Result::err)
            .min_by_key(|failure| failure.rank())
            .map_or(Ok(()), Err)
    }
}
