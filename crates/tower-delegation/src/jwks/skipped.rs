//! Which entries of a key set are not used, and why.

use std::fmt;

use super::rsa::Weakness;

/// Why an entry of a key set is not used. The rest of the set stays usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// The entry is no JSON object.
    NotAnObject,
    /// A member name occurs twice.
    DuplicateMember,
    /// A member that must be there is absent or `null`, or one has the wrong JSON type.
    Malformed,
    /// The `kid` is longer than 256 octets.
    KeyIdTooLong,
    /// `kty` is none of `RSA`, `EC` and `OKP`.
    KeyTypeUnknown,
    /// `crv` is not a curve that we verify signatures on.
    CurveUnknown,
    /// `use` is not the one that is looked for: `sig`, or `jwt-svid` in the bundle
    /// of a SPIFFE trust domain.
    UseNotSignature,
    /// The entry has no `kid`, which a key for JWT-SVIDs must have.
    KeyIdMissing,
    /// `key_ops` lacks `verify`, repeats an operation, or contradicts `use`.
    OperationsNotVerify,
    /// The key belongs to another issuer of the same provider: its member
    /// `issuer` says so.
    IssuerMismatch,
    /// `alg` names no algorithm that we know, or not one for this type of key.
    AlgorithmUnfit,
    /// The issuer's configuration allows none of the key's algorithms.
    AlgorithmNotAllowed,
    /// The entry is a symmetric key, which a published set must never hold.
    Symmetric,
    /// The entry holds members of a private key of its type (RFC 7517 section 9.2).
    PrivateMaterial,
    /// A value is not canonical base64url, or of the wrong length.
    EncodingInvalid,
    /// The values are no public key: a point that is not on the curve, for one.
    KeyInvalid,
    /// The RSA modulus is not of 2048 to 8192 bits (RFC 7518 section 3.3).
    RsaSize,
    /// The RSA exponent is even, below 65537 or above 2^32.
    RsaExponent,
    /// The RSA modulus can be factored (CVE-2017-15361, "ROCA").
    RsaModulusWeak,
}

impl SkipReason {
    /// A stable code in `snake_case`, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::DuplicateMember => "duplicate_member",
            Self::Malformed => "malformed",
            Self::KeyIdTooLong => "key_id_too_long",
            Self::KeyTypeUnknown => "key_type_unknown",
            Self::CurveUnknown => "curve_unknown",
            Self::UseNotSignature => "use_not_signature",
            Self::KeyIdMissing => "key_id_missing",
            Self::OperationsNotVerify => "operations_not_verify",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::AlgorithmUnfit => "algorithm_unfit",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::Symmetric => "symmetric",
            Self::PrivateMaterial => "private_material",
            Self::EncodingInvalid => "encoding_invalid",
            Self::KeyInvalid => "key_invalid",
            Self::RsaSize => "rsa_size",
            Self::RsaExponent => "rsa_exponent",
            Self::RsaModulusWeak => "rsa_modulus_weak",
        }
    }
}

impl SkipReason {
    /// Whether a set with such an entry is what its issuer means it to be: the
    /// entry is for something else, or ruled out by the configuration.
    pub(super) const fn is_expected(self) -> bool {
        matches!(self, Self::UseNotSignature | Self::IssuerMismatch | Self::AlgorithmNotAllowed)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Weakness> for SkipReason {
    fn from(weakness: Weakness) -> Self {
        match weakness {
            Weakness::Malformed => Self::EncodingInvalid,
            Weakness::Size => Self::RsaSize,
            Weakness::Exponent => Self::RsaExponent,
            Weakness::Roca => Self::RsaModulusWeak,
        }
    }
}

/// An entry of a key set that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedKey {
    /// The entry's `kid`, if it has a well-formed one.
    pub kid: Option<String>,
    /// Why it is not used.
    pub reason: SkipReason,
    /// Whether the entry publishes something that its issuer must keep secret:
    /// the members of a private or symmetric key, with a value (RFC 7517 section
    /// 9.2). Tell the issuer's operator.
    pub exposes_secret: bool,
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            // Quoted, since the text is the document's.
            Some(kid) => write!(f, "{kid:?}: {}", self.reason),
            None => write!(f, "a key without kid: {}", self.reason),
        }
    }
}
