//! [`Thumbprint`]: a public key in 32 bytes.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// The SHA-256 thumbprint of a public key (RFC 7638).
///
/// `Display` writes it as `cnf.jkt` of a token holds it: 43 characters of
/// base64url (RFC 9449 section 6.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; SHA256_OUTPUT_LEN]);

impl Thumbprint {
    /// Of the key's required members in their one order (RFC 7638 section 3.1).
    pub(super) fn of_canonical(json: &str) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, json.as_bytes()).as_ref());
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Is this the thumbprint that a token is bound to?
    pub(crate) fn matches(&self, bound: &[u8; SHA256_OUTPUT_LEN]) -> bool {
        verify_slices_are_equal(&self.0, bound).is_ok()
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}
