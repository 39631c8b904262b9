//! What may be used once only: assertions, proofs, grants.

use std::collections::BTreeSet;

/// How many are remembered; more than any test uses.
const REMEMBERED: usize = 100_000;

/// The identifiers that were used.
#[derive(Default)]
pub(crate) struct Used(BTreeSet<(&'static str, String, String)>);

impl Used {
    /// Remembers an identifier, and returns whether it was new.
    pub(crate) fn is_first(&mut self, kind: &'static str, owner: &str, id: &str) -> bool {
        if self.0.len() == REMEMBERED {
            self.0.clear();
        }
        self.0.insert((kind, owner.to_owned(), id.to_owned()))
    }
}
