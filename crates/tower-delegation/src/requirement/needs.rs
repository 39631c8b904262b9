//! [`Needs`]: what would help a client, for the challenge.

use super::{Requirement, evaluate::Evidence};
use crate::{
    context::Needs,
    reason::{DenialReason, RejectionKind},
};

impl Requirement {
    /// What the challenge to a request without credentials names: scopes. Not
    /// how the user must authenticate: nobody without a good token learns that.
    pub(crate) fn needs(&self) -> Option<Box<Needs>> {
        let mut needs = Needs::default();
        self.add_scopes(None, &mut needs.scope);
        boxed(needs)
    }

    /// What the challenge to a denied request names. Where the user's
    /// authentication is insufficient and scopes are missing too, one challenge
    /// names both (RFC 9470 section 3).
    pub(crate) fn needs_of(&self, denial: DenialReason, evidence: Evidence<'_>) -> Option<Box<Needs>> {
        let mut needs = Needs::default();
        match denial.kind() {
            RejectionKind::InsufficientScope => self.add_scopes(Some(evidence), &mut needs.scope),
            RejectionKind::InsufficientUserAuthentication => {
                self.add_authentication(evidence, &mut needs);
                if self.lacks_scope(evidence) {
                    self.add_scopes(Some(evidence), &mut needs.scope);
                }
            }
            _ => {}
        }
        boxed(needs)
    }

    fn add_scopes(&self, evidence: Option<Evidence<'_>>, list: &mut String) {
        for scope in self.scopes.needed() {
            append(list, scope.as_str());
        }
        for part in self.composition.chosen(evidence) {
            part.add_scopes(evidence, list);
        }
    }

    fn add_authentication(&self, evidence: Evidence<'_>, needs: &mut Needs) {
        for acr in &self.authentication.acr {
            append(&mut needs.acr_values, acr);
        }
        needs.max_age = match (needs.max_age, self.authentication.max_age) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        for part in self.composition.chosen(Some(evidence)) {
            part.add_authentication(evidence, needs);
        }
    }

    fn lacks_scope(&self, evidence: Evidence<'_>) -> bool {
        self.scopes.check(&evidence).is_err()
            || self.composition.chosen(Some(evidence)).any(|part| part.lacks_scope(evidence))
    }
}

/// The needs, if there are any.
fn boxed(needs: Needs) -> Option<Box<Needs>> {
    (needs != Needs::default()).then(|| Box::new(needs))
}

/// Adds a word to a space-delimited list, once.
fn append(list: &mut String, word: &str) {
    if list.split(' ').any(|known| known == word) {
        return;
    }
    if !list.is_empty() {
        list.push(' ');
    }
    list.push_str(word);
}
