//! [`Ledger`]: what is revoked, in words. Only writers and lists look at it.

use std::collections::BTreeMap;

use crate::{
    clock::Timestamp,
    names::IssuerUrl,
    revocation::{
        error::{Problem, RevocationError},
        record::Revocation,
        sink::{RevocationList, RevocationPage},
    },
};

/// The revocations by the order in which they came.
#[derive(Default)]
pub(super) struct Ledger {
    /// In boxes: a tree that grows at one end is half full, of pointers then.
    records: BTreeMap<u64, Box<Revocation>>,
    /// The number of the next one.
    next: u64,
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds one, and tells its number.
    pub(super) fn add(&mut self, revocation: Revocation) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        // Most revocations are of one issuer, whose name they can share.
        let last = self.records.last_key_value().and_then(|(_, last)| last.target().issuer().cloned());
        self.records.insert(number, Box::new(revocation.sharing(last.as_ref())));
        number
    }

    /// Joins one with that of the same target.
    pub(super) fn join(&mut self, number: u64, revocation: Revocation) {
        if let Some(held) = self.records.get_mut(&number) {
            **held = (**held).clone().and(revocation);
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.records.remove(&number);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Revocation) -> bool) {
        self.records.retain(|_, revocation| keep(revocation));
    }

    /// Those that were added from this number on.
    pub(super) fn since(&self, number: u64) -> impl Iterator<Item = &Revocation> {
        self.records.range(number..).map(|(_, revocation)| &**revocation)
    }

    /// The number that the next one gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &Revocation> {
        self.records.values().map(|revocation| &**revocation).filter(move |one| !one.reach().has_ended(now))
    }

    pub(super) fn page(
        &self,
        page: &RevocationPage,
        now: Timestamp,
    ) -> Result<RevocationList, RevocationError> {
        let from: u64 = match &page.after {
            None => 0,
            Some(place) => place.parse().map_err(|_not_ours| Problem::InvalidPage)?,
        };
        let rest = self.records.range(from..);
        let mut rest = rest.filter(|(_, revocation)| !revocation.reach().has_ended(now));
        let limit = RevocationPage::first(page.limit).limit;
        let revocations = rest.by_ref().take(limit).map(|(_, revocation)| (**revocation).clone()).collect();
        Ok(RevocationList::new(revocations, rest.next().map(|(number, _)| number.to_string())))
    }
}

impl Revocation {
    /// The same, with the name of its issuer shared with `other`, if it is the same.
    fn sharing(self, other: Option<&IssuerUrl>) -> Self {
        match other {
            Some(issuer) if self.target().issuer() == Some(issuer) => self.with_issuer(issuer.clone()),
            Some(_) | None => self,
        }
    }
}
