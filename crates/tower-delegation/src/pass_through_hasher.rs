//! [`PassThroughHasher`]: for maps whose keys are hashes under a secret.

use std::hash::{BuildHasher, Hasher};

/// Takes half of a 128-bit hash as the hash. No client can choose the key's bits,
/// so hashing it again would gain nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassThroughHasher(u64);

impl BuildHasher for PassThroughHasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for PassThroughHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only `write_u128` is called for such a hash; any other key still gets a sound hash.
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
        {
            self.0 = hash as u64;
        }
    }
}
