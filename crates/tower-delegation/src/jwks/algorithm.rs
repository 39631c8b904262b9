//! Which signature algorithms there are, and sets of them.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

macro_rules! algorithms {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A signature algorithm for tokens (RFC 7518 section 3.1, RFC 8037, RFC 9864).
        ///
        /// Only asymmetric algorithms can be named. `none` and the HMAC family
        /// (`HS256` and so on) have no value of this type, so no configuration,
        /// no key and no header can bring them in (RFC 8725 sections 2.1 and 3.1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum SignatureAlgorithm {
            $($(#[$doc])* $variant,)*
        }

        impl SignatureAlgorithm {
            /// Every algorithm, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The registered name, as it stands in `alg`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The algorithm that `name` names: an exact match, upper and lower
            /// case told apart (RFC 7515 section 4.1.1).
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

algorithms! {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256 = "RS256",
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384 = "RS384",
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512 = "RS512",
    /// RSASSA-PSS with SHA-256, the salt as long as the hash.
    Ps256 = "PS256",
    /// RSASSA-PSS with SHA-384, the salt as long as the hash.
    Ps384 = "PS384",
    /// RSASSA-PSS with SHA-512, the salt as long as the hash.
    Ps512 = "PS512",
    /// ECDSA on P-256 with SHA-256.
    Es256 = "ES256",
    /// ECDSA on P-384 with SHA-384.
    Es384 = "ES384",
    /// ECDSA on P-521 with SHA-512.
    Es512 = "ES512",
    /// The polymorphic name of RFC 8037; only keys on Ed25519 are accepted for it.
    EdDsa = "EdDSA",
    /// The fully specified name of RFC 9864 for the same signature. A different
    /// identifier: a key published for one name never verifies for the other.
    Ed25519 = "Ed25519",
}

/// By its registered name.
impl Serialize for SignatureAlgorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// By its registered name.
impl<'de> Deserialize<'de> for SignatureAlgorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| D::Error::unknown_variant(&name, Self::NAMES))
    }
}

impl SignatureAlgorithm {
    /// The same algorithm in `jsonwebtoken`'s words; `None` for `ES512` and
    /// `Ed25519`, which it cannot name.
    #[must_use]
    pub const fn to_jsonwebtoken(self) -> Option<jsonwebtoken::Algorithm> {
        use jsonwebtoken::Algorithm;
        match self {
            Self::Rs256 => Some(Algorithm::RS256),
            Self::Rs384 => Some(Algorithm::RS384),
            Self::Rs512 => Some(Algorithm::RS512),
            Self::Ps256 => Some(Algorithm::PS256),
            Self::Ps384 => Some(Algorithm::PS384),
            Self::Ps512 => Some(Algorithm::PS512),
            Self::Es256 => Some(Algorithm::ES256),
            Self::Es384 => Some(Algorithm::ES384),
            Self::EdDsa => Some(Algorithm::EdDSA),
            Self::Es512 | Self::Ed25519 => None,
        }
    }

    /// The algorithm that `jsonwebtoken` names; `None` for the HMAC family.
    #[must_use]
    pub fn from_jsonwebtoken(algorithm: jsonwebtoken::Algorithm) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.to_jsonwebtoken() == Some(algorithm))
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of [`SignatureAlgorithm`]s: what one issuer may sign with.
///
/// # Example
/// ```
/// use tower_delegation::jwks::{AlgorithmSet, SignatureAlgorithm};
///
/// let allowed: AlgorithmSet = [SignatureAlgorithm::Es256, SignatureAlgorithm::Ed25519].into_iter().collect();
/// assert!(allowed.contains(SignatureAlgorithm::Es256));
/// assert!(!allowed.contains(SignatureAlgorithm::Rs256));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// Every algorithm that can be named; all of them are asymmetric.
    pub const ALL: Self = {
        let mut bits = 0;
        let mut rest = SignatureAlgorithm::ALL;
        while let [first, tail @ ..] = rest {
            bits |= bit(*first);
            rest = tail;
        }
        Self(bits)
    };

    /// Whether `algorithm` is in the set.
    #[must_use]
    pub const fn contains(self, algorithm: SignatureAlgorithm) -> bool {
        self.0 & bit(algorithm) != 0
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order of [`SignatureAlgorithm::ALL`].
    pub fn iter(self) -> impl Iterator<Item = SignatureAlgorithm> {
        SignatureAlgorithm::ALL.iter().copied().filter(move |algorithm| self.contains(*algorithm))
    }
}

const fn bit(algorithm: SignatureAlgorithm) -> u16 {
    1 << algorithm as u8
}

impl FromIterator<SignatureAlgorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = SignatureAlgorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().map(bit).fold(0, |bits, bit| bits | bit))
    }
}

impl fmt::Debug for AlgorithmSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(SignatureAlgorithm::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_compare_exactly() {
        for algorithm in SignatureAlgorithm::ALL {
            assert_eq!(SignatureAlgorithm::from_name(algorithm.as_str()), Some(*algorithm));
        }
        for name in
            ["none", "None", "nOnE", "", "HS256", "HS512", "rs256", "eddsa", "ES521", "Ed448", "ES256 "]
        {
            assert_eq!(SignatureAlgorithm::from_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn jsonwebtoken_names_all_but_two() {
        let unnamed: Vec<_> = SignatureAlgorithm::ALL
            .iter()
            .filter(|algorithm| algorithm.to_jsonwebtoken().is_none())
            .collect();
        assert_eq!(unnamed, [&SignatureAlgorithm::Es512, &SignatureAlgorithm::Ed25519]);
        for algorithm in SignatureAlgorithm::ALL {
            if let Some(named) = algorithm.to_jsonwebtoken() {
                assert_eq!(SignatureAlgorithm::from_jsonwebtoken(named), Some(*algorithm));
            }
        }
        assert_eq!(SignatureAlgorithm::from_jsonwebtoken(jsonwebtoken::Algorithm::HS256), None);
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set: AlgorithmSet =
            [SignatureAlgorithm::Ps256, SignatureAlgorithm::Ed25519].into_iter().collect();
        assert_eq!(format!("{set:?}"), r#"{"PS256", "Ed25519"}"#);
        assert!(!set.contains(SignatureAlgorithm::EdDsa));
        assert!(AlgorithmSet::from_iter([]).is_empty());
        assert_eq!(AlgorithmSet::from_iter(SignatureAlgorithm::ALL.iter().copied()), AlgorithmSet::ALL);
    }
}
