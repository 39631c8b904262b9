//! [`Reserve`]: what a full store was still asked to revoke.

use fastbloom::AtomicBloomFilter;

use crate::pass_through_hasher::PassThroughHasher;

/// For how many keys the reserve is made: 920 KiB.
const EXPECTED: usize = 262_144;

/// Keys without anything else: they hold for every token, for as long as the
/// process lives. Of keys that were never added, one in a million is taken for one
/// of them, and more once there are more than expected; none that was added is
/// ever missed. So its size is fixed, and it fails closed.
pub(super) struct Reserve(AtomicBloomFilter<PassThroughHasher>);

impl Reserve {
    pub(super) fn new() -> Self {
        let filter = AtomicBloomFilter::with_false_pos(1e-6).hasher(PassThroughHasher::default());
        Self(filter.expected_items(EXPECTED))
    }

    pub(super) fn add(&self, hash: u128) {
        self.0.insert(&hash);
    }

    pub(super) fn contains(&self, hash: u128) -> bool {
        self.0.contains(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::{RevocationKey, RevocationTarget};

    #[test]
    fn none_that_was_added_is_missed_and_few_others_are_found() {
        let hash = |i: usize| {
            RevocationKey::of(&RevocationTarget::Token("https://idp".into(), i.to_string().into())).hash
        };
        let reserve = Reserve::new();
        (0..EXPECTED).for_each(|i| reserve.add(hash(i)));
        assert!((0..EXPECTED).all(|i| reserve.contains(hash(i))));
        let others = (EXPECTED..3 * EXPECTED).filter(|i| reserve.contains(hash(*i))).count();
        assert!(others < 10, "{others} of {}", 2 * EXPECTED);
    }
}
