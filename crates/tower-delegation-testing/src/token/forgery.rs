//! Tokens that are wrong on purpose.

use super::{Signature, TokenBuilder};

/// # Wrong on purpose
///
/// Of the methods that choose the signature, the last one called counts.
impl TokenBuilder {
    /// The payload is exactly these bytes, properly signed: duplicate members,
    /// invalid UTF-8, no object at all. Claims set otherwise are ignored.
    pub fn claims_json(mut self, raw: impl Into<Vec<u8>>) -> Self {
        self.raw_claims = Some(raw.into());
        self
    }

    /// The JOSE header is exactly these bytes, properly signed. Header members
    /// set otherwise are ignored.
    pub fn header_json(mut self, raw: impl Into<Vec<u8>>) -> Self {
        self.raw_header = Some(raw.into());
        self
    }

    /// Signs with a key that is not published, under the name of the one that is.
    pub fn sign_with_other_key(mut self) -> Self {
        self.signature = Signature::OtherKey;
        self
    }

    /// `alg` is `none` and the signature empty (RFC 7515 appendix A.5).
    pub fn unsigned(self) -> Self {
        self.unsigned_as("none")
    }

    /// As [`unsigned`](Self::unsigned), with another spelling: `None`, `nOnE`.
    pub fn unsigned_as(mut self, alg: impl Into<String>) -> Self {
        self.signature = Signature::Unsigned(alg.into());
        self
    }

    /// `alg` is `HS256`, and the secret is the PEM text of the published public
    /// key: the key confusion of RFC 8725 section 2.1.
    pub fn hmac_with_public_key(mut self) -> Self {
        self.signature = Signature::HmacWithPublicKey;
        self
    }

    /// The signature is exactly these bytes: all zero, DER, too short.
    pub fn signature(mut self, raw: impl Into<Vec<u8>>) -> Self {
        self.signature = Signature::Raw(raw.into());
        self
    }

    /// Changes the payload once it is signed: the subject is another, or, if
    /// the payload is no object, a space is appended.
    pub fn tamper_payload(mut self) -> Self {
        self.tamper_payload = true;
        self
    }

    /// Flips one bit of the signature.
    pub fn tamper_signature(mut self) -> Self {
        self.tamper_signature = true;
        self
    }
}
