//! Requirements made of requirements.

use super::{
    Mistake, Requirement,
    describe::{Description, Said},
    evaluate::{Evidence, Failure, Outcome},
};
use crate::reason::DenialReason;

#[derive(Clone, Debug, Default)]
pub(super) struct Composition {
    all: Vec<Requirement>,
    /// One of each.
    any: Vec<Vec<Requirement>>,
    none: Vec<Requirement>,
}

impl Requirement {
    /// Demands all of these.
    #[must_use]
    pub fn all_of(mut self, parts: impl IntoIterator<Item = Self>) -> Self {
        let parts = self.adopt(parts);
        self.composition.all.extend(parts);
        self.settle()
    }

    /// Demands at least one of these. The denial is that of the first that more
    /// scope or another log-in would meet, and else that of the first; the
    /// challenge names what that one needs.
    #[must_use]
    pub fn any_of(mut self, alternatives: impl IntoIterator<Item = Self>) -> Self {
        let alternatives = self.adopt(alternatives);
        self.composition.any.push(alternatives);
        self.settle()
    }

    /// Demands that this is not the case, beyond doubt: where it fails only
    /// because something is absent, malformed or not known, it may be the case
    /// all the same, and that is a denial. `not(client("x"))` refuses a token
    /// without a client, `not(group("contractors"))` one whose groups are not
    /// known, `not(role("trainee"))` one that names no role at all.
    #[must_use]
    pub fn not(mut self, excluded: Self) -> Self {
        let excluded = self.adopt([excluded]);
        self.composition.none.extend(excluded);
        self
    }

    /// Takes parts over, with what is wrong in them.
    fn adopt(&mut self, parts: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let parts: Vec<Self> = parts.into_iter().collect();
        if parts.is_empty() {
            self.add_problem("a composition of nothing is demanded");
        }
        for part in &parts {
            if let Some(mistake) = &part.mistake {
                self.add_mistake(mistake.clone());
            }
            if part.leniency.is_some() {
                self.add_problem(
                    "only a whole requirement can be in shadow mode or have an exception, no part",
                );
            }
            if part.is_empty() {
                self.add_mistake(Mistake::Problem("a part of a composition demands nothing"));
            }
            self.reads_path |= part.reads_path;
        }
        parts
    }
}

impl Composition {
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let mut curable: Option<Failure> = None;
        let all = self.all.iter().map(|part| part.judge(evidence));
        let any = self.any.iter().map(|alternatives| choose(alternatives, evidence).1);
        for outcome in all.chain(any) {
            let Err(failure) = outcome else { continue };
            if !failure.is_curable() {
                return outcome;
            }
            if curable.is_none_or(|known| failure.rank() < known.rank()) {
                curable = Some(failure);
            }
        }
        for excluded in &self.none {
            match excluded.judge(evidence) {
                Ok(()) => return Err(Failure::certain(DenialReason::Excluded)),
                // What cannot be judged is not excluded, it is a mistake.
                Err(failure) if failure.is_ours() => return Err(failure),
                Err(failure) if failure.reason == DenialReason::FactMalformed => return Err(failure),
                Err(failure) if !failure.is_certain => return Err(Failure::unknown(DenialReason::Excluded)),
                Err(_) => {}
            }
        }
        curable.map_or(Ok(()), Err)
    }

    /// What must all be met: every part, and the chosen alternative of each choice.
    pub(super) fn chosen<'r>(
        &'r self,
        evidence: Option<Evidence<'r>>,
    ) -> impl Iterator<Item = &'r Requirement> {
        let any = self.any.iter().filter_map(move |alternatives| match &evidence {
            Some(evidence) => choose(alternatives, evidence).0,
            None => alternatives.first(),
        });
        self.all.iter().chain(any)
    }

    /// The parts that must all be met.
    pub(super) fn all(&self) -> &[Requirement] {
        &self.all
    }

    /// The choices, of each of which one part must be met.
    pub(super) fn choices(&self) -> &[Vec<Requirement>] {
        &self.any
    }

    /// Every part, also those that must not be the case.
    #[cfg(feature = "axum")]
    pub(super) fn parts(&self) -> impl Iterator<Item = &Requirement> {
        self.all.iter().chain(self.any.iter().flatten()).chain(&self.none)
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        to.several("all_of", self.all.iter().map(Said::Part));
        to.several(
            "any_of",
            self.any.iter().map(|parts| Said::Several(parts.iter().map(Said::Part).collect())),
        );
        to.several("not", self.none.iter().map(Said::Part));
    }
}

/// The first alternative that holds; or else the one that the client hears of.
fn choose<'r>(
    alternatives: &'r [Requirement],
    evidence: &Evidence<'_>,
) -> (Option<&'r Requirement>, Outcome) {
    let nothing = (None, Err(Failure::unknown(DenialReason::RequirementContradictory)));
    let mut blamed: Option<(&Requirement, Failure)> = None;
    let mut is_certain = true;
    for alternative in alternatives {
        let Err(failure) = alternative.judge(evidence) else { return (Some(alternative), Ok(())) };
        is_certain &= failure.is_certain;
        let is_worse = |known: Failure| {
            !known.is_ours() && (failure.is_ours() || failure.is_curable() && !known.is_curable())
        };
        if blamed.is_none_or(|(_, known)| is_worse(known)) {
            blamed = Some((alternative, failure));
        }
    }
    // None of them holds for certain only if that is certain of each.
    blamed
        .map_or(nothing, |(alternative, failure)| (Some(alternative), Err(Failure { is_certain, ..failure })))
}
