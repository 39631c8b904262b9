//! Which scopes are enough, as far as scopes go: for documents.

use std::collections::BTreeSet;

use super::Requirement;
use crate::scope::Scope;

/// The most alternatives that a document lists for one route: choices multiply.
const MAX_ALTERNATIVES: usize = 64;

impl Requirement {
    /// Every scope that is demanded by itself, in a choice, or by a part.
    pub(crate) fn add_named_scopes<'r>(&'r self, to: &mut BTreeSet<&'r str>) {
        let choices = self.scopes.any.iter().flatten();
        to.extend(self.scopes.all.iter().chain(choices).map(Scope::as_str));
        let parts = self.composition.all().iter().chain(self.composition.choices().iter().flatten());
        parts.for_each(|part| part.add_named_scopes(to));
    }

    /// Sets of scopes, each of which meets what is demanded of scopes.
    pub(crate) fn sufficient_scopes(&self) -> Vec<BTreeSet<&str>> {
        let all: BTreeSet<&str> = self.scopes.all.iter().map(Scope::as_str).collect();
        let choices = self.scopes.any.iter();
        let choices =
            choices.map(|choice| choice.iter().map(|scope| BTreeSet::from([scope.as_str()])).collect());
        let parts = self.composition.all().iter().map(Self::sufficient_scopes);
        let alternatives = self.composition.choices().iter();
        let alternatives = alternatives.map(|parts| parts.iter().flat_map(Self::sufficient_scopes).collect());
        let factors = choices.chain(parts).chain(alternatives);
        factors.fold(vec![all], |sets, factor: Vec<BTreeSet<&str>>| each_with_each(&sets, &factor))
    }
}

/// Each set of the one with each of the other, so many at most.
pub(crate) fn each_with_each<'r>(
    sets: &[BTreeSet<&'r str>],
    others: &[BTreeSet<&'r str>],
) -> Vec<BTreeSet<&'r str>> {
    let pairs = sets.iter().flat_map(|set| others.iter().map(move |other| set | other));
    let mut products: Vec<BTreeSet<&str>> = Vec::new();
    for product in pairs.take(MAX_ALTERNATIVES) {
        if !products.contains(&product) {
            products.push(product);
        }
    }
    products
}
