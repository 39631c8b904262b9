//! A requirement as a call: as a decision, or only to know.

use super::hearing::Round;
use crate::{
    context::{Basis, DelegationContext, Effect, Evaluation, RequestFacts},
    issuer::log_unknown_kind,
    names::SubjectKind,
    reason::{DenialReason, RejectionKind},
    rejection::Rejection,
    requirement::{Decision, Evidence, Requirement},
    text::Text,
};

impl DelegationContext {
    /// Judges the context again, as [`recheck`](Self::recheck) does, and evaluates
    /// `requirement`, as a decision about this request, by what is so now.
    /// Goes through the same evaluation as the attribute, the extractor and the
    /// layer, and leaves the same record.
    ///
    /// An enforced denial is final: behind a
    /// [`DelegationLayer`](crate::layer::DelegationLayer) the client gets the
    /// refusal, also where the handler ignores the error and answers with success.
    /// That holds until the head of the response is there: a task or a streamed body
    /// that goes on afterwards must stop by itself where this returns an error.
    /// Code that only asks calls [`permits`](Self::permits).
    ///
    /// # Errors
    /// The [`Rejection`] to answer with, if the context is good no longer; or if a demand
    /// does not hold and the requirement is enforced: neither in shadow mode nor under an
    /// exception.
    ///
    /// ```
    /// use tower_delegation::{context::{DelegationContext, RequestFacts}, rejection::Rejection, requirement::Requirement};
    ///
    /// fn refund(delegation: &DelegationContext) -> Result<(), Rejection> {
    ///     delegation.authorize(&Requirement::named("refund").scope("orders:refund"), &RequestFacts::none())?;
    ///     // …
    ///     Ok(())
    /// }
    /// ```
    pub fn authorize(&self, requirement: &Requirement, facts: &RequestFacts<'_>) -> Result<(), Rejection> {
        self.decide(requirement, facts, Basis::Rule, Round::First)
    }

    /// Whether [`authorize`](Self::authorize) would let the request go on, without
    /// deciding about it: for a menu, an item of a list, a field of a GraphQL
    /// answer, a call in a batch.
    ///
    /// The audit event shows the evaluation as asked; the same question with the
    /// same answer is recorded once. It is no decision: it refuses nothing, and
    /// [`refuse_undecided`](crate::layer::DelegationLayerBuilder::refuse_undecided)
    /// does not count it.
    ///
    /// ```
    /// use tower_delegation::{DelegationContext, RequestFacts, Requirement};
    ///
    /// fn menu(delegation: &DelegationContext) -> Vec<&'static str> {
    ///     let refund = Requirement::named("refund").scope("orders:refund");
    ///     let mut entries = vec!["orders"];
    ///     if delegation.permits(&refund, &RequestFacts::none()) {
    ///         entries.push("refunds");
    ///     }
    ///     entries
    /// }
    /// ```
    #[must_use]
    pub fn permits(&self, requirement: &Requirement, facts: &RequestFacts<'_>) -> bool {
        self.decide(requirement, facts, Basis::Question, Round::First).is_ok()
    }

    /// Evaluates, records, and refuses where an enforced demand does not hold.
    pub(crate) fn decide(
        &self,
        requirement: &Requirement,
        facts: &RequestFacts<'_>,
        basis: Basis,
        round: Round,
    ) -> Result<(), Rejection> {
        let current = match self.current() {
            Ok(current) => current,
            Err(reason) => return Err(self.over(reason, requirement, basis)),
        };
        let denial = match requirement.evaluate(&current, facts) {
            Decision::Allow => None,
            Decision::Deny(denial) => Some(denial.reason()),
        };
        if denial == Some(DenialReason::NotOnBehalfOfUser) && self.subject().kind() == SubjectKind::Unknown {
            log_unknown_kind(self.issuer());
        }
        let effect = requirement.effect(denial, current.authenticated_at());
        let refusal = denial.filter(|_| effect == Effect::Enforced);
        let needs = refusal
            .filter(|_| basis != Basis::Question)
            .and_then(|reason| requirement.needs_of(reason, Evidence::new(&current, facts)));
        if round == Round::Again && refusal.is_none() {
            return Ok(());
        }
        self.record().add(Evaluation {
            requirement: requirement.shared_name(),
            denial,
            effect,
            basis,
            scopes: requirement.demanded_scopes().cloned(),
            needs: needs.clone(),
        });
        let Some(reason) = refusal else { return Ok(()) };
        if reason == DenialReason::RequirementUnqualified {
            self.log_unqualified(requirement);
        } else if reason.kind() == RejectionKind::Misconfigured {
            tracing::error!(requirement = %Text::new(requirement.name()), %reason, "the requirement cannot be judged");
        }
        Err(self.rejection(reason).with_needs(needs))
    }

    /// Refuses because the context is good no longer: also what is on trial, as a request
    /// without credentials is.
    fn over(&self, reason: DenialReason, requirement: &Requirement, basis: Basis) -> Rejection {
        self.record().add(Evaluation {
            requirement: requirement.shared_name(),
            denial: Some(reason),
            effect: Effect::Enforced,
            basis,
            scopes: requirement.demanded_scopes().cloned(),
            needs: None,
        });
        self.rejection(reason)
    }

    /// A refusal of the request that this is the context of.
    pub(super) fn rejection(&self, reason: DenialReason) -> Rejection {
        let record = self.record();
        Rejection::new(reason, record.space().clone(), record.scheme())
    }

    /// Once for each rule: every request on its route is answered with 500.
    fn log_unqualified(&self, requirement: &Requirement) {
        let rule = requirement.to_string();
        if !self.issuers().is_first_report(&rule) {
            return;
        }
        for demand in requirement.unqualified(self.issuers()) {
            tracing::error!(
                rule = %Text::new(&rule), demand = %Text::new(demand.key().name()),
                "the rule does not say whose name is meant, and issuers of several namespaces can say it: \
                 name one in the same requirement with `issuer`"
            );
        }
    }
}
