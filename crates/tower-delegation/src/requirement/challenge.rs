//! What a challenge names: the scopes and the authentication that a client can get.

use std::collections::BTreeSet;

use super::{Demand, Requirement, check::choose, evidence::Evidence};
use crate::{
    context::Needs,
    reason::{DenialReason, RejectionKind},
};

/// The most alternatives that a document lists for one route: choices multiply.
const MAX_ALTERNATIVES: usize = 64;

impl Requirement {
    /// What the challenge to a request without credentials names: scopes. Not
    /// how the user must authenticate: no one without a good token learns that.
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
        for demand in &self.demands {
            let Demand::Scope(any) = demand else { continue };
            // Of a choice the first that the application may ever use.
            let mut scopes = any.iter().map(|scope| &**scope);
            let is_in_reach =
                |one: &&str| evidence.is_none_or(|evidence| evidence.delegation.may_ever_use(one));
            let named = scopes.clone().find(is_in_reach).or_else(|| scopes.next());
            named.into_iter().for_each(|scope| append(list, scope));
        }
        self.chosen(evidence).for_each(|part| part.add_scopes(evidence, list));
    }

    fn add_authentication(&self, evidence: Evidence<'_>, needs: &mut Needs) {
        for demand in &self.demands {
            match demand {
                Demand::Acr(any) => any.iter().for_each(|acr| append(&mut needs.acr_values, acr)),
                Demand::MaxAuthenticationAge(max) => {
                    needs.max_age = Some(needs.max_age.map_or(*max, |known| known.min(*max)));
                }
                _ => {}
            }
        }
        self.chosen(Some(evidence)).for_each(|part| part.add_authentication(evidence, needs));
    }

    fn lacks_scope(&self, evidence: Evidence<'_>) -> bool {
        let lacks = |demand: &Demand| matches!(demand, Demand::Scope(_)) && demand.check(&evidence).is_err();
        self.demands.iter().any(lacks) || self.chosen(Some(evidence)).any(|part| part.lacks_scope(evidence))
    }

    /// The parts that must all be met: every one of `all_of`, and of `any_of` the one
    /// that is chosen.
    fn chosen<'r>(&'r self, evidence: Option<Evidence<'r>>) -> impl Iterator<Item = &'r Self> {
        self.demands.iter().flat_map(move |demand| match (demand, &evidence) {
            (Demand::AllOf(parts), _) => parts.as_slice(),
            (Demand::AnyOf(parts), None) => parts.get(..1).unwrap_or_default(),
            (Demand::AnyOf(parts), Some(evidence)) => {
                choose(parts, evidence).0.map(std::slice::from_ref).unwrap_or_default()
            }
            _ => &[],
        })
    }

    /// Every scope that is demanded by itself, in a choice, or by a part.
    pub(crate) fn add_named_scopes<'r>(&'r self, to: &mut BTreeSet<&'r str>) {
        for demand in &self.demands {
            match demand {
                Demand::Scope(any) => to.extend(any.iter().map(|scope| &**scope)),
                Demand::AllOf(parts) | Demand::AnyOf(parts) => {
                    parts.iter().for_each(|part| part.add_named_scopes(to))
                }
                _ => {}
            }
        }
    }

    /// Sets of scopes, each of which meets what is demanded of scopes.
    pub(crate) fn sufficient_scopes(&self) -> Vec<BTreeSet<&str>> {
        self.demands.iter().fold(vec![BTreeSet::new()], |sets, demand| {
            let factor: Vec<_> = match demand {
                Demand::Scope(any) => any.iter().map(|scope| BTreeSet::from([&**scope])).collect(),
                Demand::AnyOf(parts) => parts.iter().flat_map(Self::sufficient_scopes).collect(),
                Demand::AllOf(parts) => {
                    return parts
                        .iter()
                        .fold(sets, |sets, part| each_with_each(&sets, &part.sufficient_scopes()));
                }
                _ => return sets,
            };
            each_with_each(&sets, &factor)
        })
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
