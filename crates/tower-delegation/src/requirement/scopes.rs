//! Demands on the scopes.

use super::{
    Requirement,
    describe::Description,
    evaluate::{Evidence, Failure, Outcome},
};
use crate::{
    issuer::GrantKind,
    reason::DenialReason,
    scope::{Scope, ScopeSet},
};

#[derive(Clone, Debug, Default)]
pub(super) struct Scopes {
    pub(super) all: Vec<Scope>,
    /// One of each.
    pub(super) any: Vec<Vec<Scope>>,
}

impl Requirement {
    /// Demands this scope, beside those demanded before.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        if let Some(scope) = self.read_scope(scope) {
            self.scopes.all.push(scope);
        }
        self.settle()
    }

    /// Demands each of these scopes.
    #[must_use]
    pub fn scopes<'s>(self, scopes: impl IntoIterator<Item = &'s str>) -> Self {
        scopes.into_iter().fold(self, Self::scope)
    }

    /// Demands at least one of these scopes. A challenge names the first.
    #[must_use]
    pub fn any_scope<'s>(mut self, scopes: impl IntoIterator<Item = &'s str>) -> Self {
        let mut group = Vec::new();
        for scope in scopes {
            group.extend(self.read_scope(scope));
        }
        if group.is_empty() {
            self.add_contradiction("one of no scopes is demanded");
        }
        self.scopes.any.push(group);
        self.settle()
    }
}

impl Scopes {
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let delegation = evidence.delegation;
        if self.are_granted_by(delegation.scopes()) {
            return Ok(());
        }
        // More scope helps only where the issuer may grant it and the registered application use it.
        let within_reach = |scope: &Scope| delegation.may_ever_use(scope.as_str());
        let may_grant = |scope: &Scope| delegation.issuer_may_grant(GrantKind::Scope, scope.as_str());
        let reason = if self.are_met(within_reach) {
            DenialReason::ScopeMissing
        } else if self.are_met(may_grant) {
            DenialReason::ScopeBeyondApplication
        } else {
            DenialReason::ScopeBeyondIssuer
        };
        // Granted, and cut: nothing is certain, for those that exclude it.
        Err(Failure { reason, is_certain: !self.are_granted_by(delegation.token_scopes()) })
    }

    fn are_granted_by(&self, scopes: &ScopeSet) -> bool {
        self.are_met(|scope| scopes.contains(scope.as_str()))
    }

    fn are_met(&self, is_met: impl Fn(&Scope) -> bool) -> bool {
        self.all.iter().all(&is_met) && self.any.iter().all(|group| group.iter().any(&is_met))
    }

    /// What a challenge names: all, and the first of each choice.
    pub(super) fn needed(&self) -> impl Iterator<Item = &Scope> {
        self.all.iter().chain(self.any.iter().filter_map(|group| group.first()))
    }

    pub(super) fn contradiction(&self, bound: &[Scope]) -> Option<&'static str> {
        let is_beyond = |scope: &Scope| !bound.contains(scope);
        let beyond =
            self.all.iter().any(is_beyond) || self.any.iter().any(|group| group.iter().all(is_beyond));
        beyond.then_some("a scope is demanded that lies beyond those tolerated")
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        to.texts("scope", &self.all);
        to.choices("any_scope", &self.any);
    }
}
