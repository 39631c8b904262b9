//! Which application could never meet a requirement, whatever its tokens say.

use std::collections::BTreeSet;

use super::{Requirement, scopes::Scopes};
use crate::{application::Application, reason::DenialReason, scope::Scope};

impl Requirement {
    /// What keeps this application from ever meeting the requirement, as far as
    /// the two tell.
    pub(crate) fn hindrance(&self, application: &Application) -> Option<DenialReason> {
        if self.leniency.is_some() {
            // It lets through what it denies.
            return None;
        }
        let parts = || self.composition.all().iter().find_map(|part| part.hindrance(application));
        let choices = || {
            self.composition.choices().iter().find_map(|parts| {
                let hindrances: Option<Vec<_>> =
                    parts.iter().map(|part| part.hindrance(application)).collect();
                hindrances.and_then(|hindrances| hindrances.first().copied())
            })
        };
        self.origin
            .hindrance(application)
            .or_else(|| self.parties.hindrance(application))
            .or_else(|| self.applications.hindrance(application))
            .or_else(|| self.grants.hindrance(application))
            .or_else(parts)
            .or_else(choices)
            .or_else(|| self.scopes.hindrance(application))
    }
}

impl Scopes {
    fn hindrance(&self, application: &Application) -> Option<DenialReason> {
        let ceiling: BTreeSet<&Scope> = application.scopes().collect();
        let all = self.all.iter().all(|scope| ceiling.contains(scope));
        let any = self.any.iter().all(|choice| choice.iter().any(|scope| ceiling.contains(scope)));
        (!(all && any)).then_some(DenialReason::ScopeMissing)
    }
}
