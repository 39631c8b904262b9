//! The evaluation: a pure, synchronous function of requirement, context and
//! request facts. No I/O, no allocation.

use super::{Delegation, Requirement};
use crate::{
    context::{DelegationContext, RequestFacts, SenderConstraint, WorkloadIdentity},
    reason::DenialReason,
    scope::Scope,
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

impl Requirement {
    /// Evaluates this requirement and keeps no record of it: for tests and
    /// tools. Requests go through [`DelegationContext::authorize`], which
    /// leaves its mark in the audit trail.
    ///
    /// No demand of this version looks at the request's facts.
    pub fn evaluate(&self, delegation: &DelegationContext, _facts: &RequestFacts<'_>) -> Decision {
        match self.first_failure(delegation) {
            None => Decision::Allow,
            Some(reason) => Decision::Deny(Denial { reason }),
        }
    }

    fn first_failure(&self, delegation: &DelegationContext) -> Option<DenialReason> {
        if self.mistake.is_some() {
            return Some(DenialReason::RequirementContradictory);
        }
        let subject = delegation.subject();
        if !self.issuers.is_empty() && !self.issuers.contains(subject.issuer()) {
            return Some(DenialReason::IssuerNotAllowed);
        }
        let audience = delegation.audience();
        if !self.audiences.is_empty() && !self.audiences.iter().any(|one| audience.contains(one)) {
            return Some(DenialReason::AudienceNotAllowed);
        }
        if self.sender_constrained && delegation.sender_constraint() == SenderConstraint::None {
            return Some(DenialReason::SenderConstraintMissing);
        }
        if !self.workloads.is_empty() {
            let id = delegation.workload().and_then(WorkloadIdentity::spiffe_id);
            if !id.is_some_and(|id| self.workloads.iter().any(|pattern| pattern.matches(id))) {
                return Some(DenialReason::WorkloadNotAllowed);
            }
        }
        if !self.subject_kinds.is_empty() && !self.subject_kinds.contains(&subject.kind()) {
            return Some(DenialReason::SubjectKindNotAllowed);
        }
        if self.on_behalf_of_user && !delegation.is_on_behalf_of_user() {
            return Some(DenialReason::NotOnBehalfOfUser);
        }
        match self.delegation {
            Delegation::Required if !delegation.is_delegated() => {
                return Some(DenialReason::DelegationRequired);
            }
            Delegation::Forbidden if delegation.is_delegated() => {
                return Some(DenialReason::DelegationForbidden);
            }
            Delegation::Required | Delegation::Forbidden | Delegation::Either => {}
        }
        if !self.actors.is_empty() {
            let Some(actor) = delegation.actor() else { return Some(DenialReason::DelegationRequired) };
            if actor.issuer() != subject.issuer() || !self.actors.contains(actor.id()) {
                return Some(DenialReason::ActorNotAllowed);
            }
        }
        let is_admitted = |client| self.clients.contains(client);
        if !self.clients.is_empty() && !delegation.client().is_some_and(is_admitted) {
            return Some(DenialReason::ClientNotAllowed);
        }
        let scopes = delegation.scopes();
        let all = self.scopes.iter().all(|scope| scopes.contains(scope.as_str()));
        let any =
            self.any_scopes.iter().all(|group| group.iter().any(|scope| scopes.contains(scope.as_str())));
        if all && any {
            return None;
        }
        let within_reach = |scope: &Scope| delegation.may_ever_use(scope.as_str());
        let curable = self.scopes.iter().all(within_reach)
            && self.any_scopes.iter().all(|group| group.iter().any(within_reach));
        Some(if curable { DenialReason::ScopeMissing } else { DenialReason::ScopeBeyondApplication })
    }
}
