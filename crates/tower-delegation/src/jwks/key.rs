//! One public key, parsed once and tied to one algorithm.

use std::{fmt, sync::Arc};

use aws_lc_rs::{error::Unspecified, signature::ParsedPublicKey};
use jsonwebtoken::{
    crypto::JwtVerifier,
    signature::{Error as SignatureError, Verifier},
};

use super::SignatureAlgorithm;

/// A public key for exactly one signature algorithm (RFC 8725 section 3.1).
///
/// Parsed once, when its key set is loaded; [`verify`](Self::verify) then does
/// nothing but the arithmetic. `Debug` shows the key's identifier and algorithm only.
pub struct VerifyingKey {
    algorithm: SignatureAlgorithm,
    key_id: Option<Box<str>>,
    key: ParsedPublicKey,
}

impl VerifyingKey {
    pub(super) fn new(algorithm: SignatureAlgorithm, key_id: Option<&str>, key: ParsedPublicKey) -> Self {
        Self { algorithm, key_id: key_id.map(Box::from), key }
    }

    /// The one algorithm that this key verifies.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The key's `kid`, if it was published with one (RFC 7517 section 4.5).
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Verifies `signature` over `message`: the ASCII text before the token's
    /// last dot, exactly as received (RFC 7515 section 5.2).
    ///
    /// An ECDSA signature is the fixed-length `r || s` of RFC 7518 section 3.4
    /// (64, 96 or 132 octets), never DER.
    ///
    /// # Errors
    /// [`InvalidSignature`], whatever the reason.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.key.verify_sig(message, signature).map_err(InvalidSignature)
    }

    /// This key behind `jsonwebtoken`'s trait; `None` if `jsonwebtoken` cannot
    /// name the algorithm (`ES512`, `Ed25519`).
    #[must_use]
    pub fn jwt_verifier(self: &Arc<Self>) -> Option<Box<dyn JwtVerifier>> {
        let algorithm = self.algorithm.to_jsonwebtoken()?;
        Some(Box::new(NamedVerifier { algorithm, key: Arc::clone(self) }))
    }

    /// Whether `other` is this key: the same material under the same identifier
    /// and algorithm.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.key_id == other.key_id && self.is_equal(other)
    }

    /// Whether `other` verifies the same signatures, whatever it is called.
    pub(super) fn is_equal(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.is_of_same_material(other)
    }

    /// Whether `other` is the same public key, whatever it is called and for.
    pub(super) fn is_of_same_material(&self, other: &Self) -> bool {
        self.key.as_ref() == other.key.as_ref()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("key_id", &self.key_id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// A signature does not verify. Which of its checks failed is not told.
#[derive(Debug, thiserror::Error)]
#[error("the signature does not verify")]
pub struct InvalidSignature(#[source] Unspecified);

struct NamedVerifier {
    algorithm: jsonwebtoken::Algorithm,
    key: Arc<VerifyingKey>,
}

impl Verifier<Vec<u8>> for NamedVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.key.verify(message, signature).map_err(SignatureError::from_source)
    }
}

impl JwtVerifier for NamedVerifier {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{
            ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING,
            EcdsaKeyPair, KeyPair,
        },
    };

    use super::*;

    const MESSAGE: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.e30";

    fn key_and_signature() -> (Arc<VerifyingKey>, Vec<u8>, Vec<u8>) {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let der_pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()).unwrap();
        let key = Arc::new(VerifyingKey::new(SignatureAlgorithm::Es256, Some("k1"), parsed));
        let fixed = pair.sign(&random, MESSAGE).unwrap().as_ref().to_vec();
        let der = der_pair.sign(&random, MESSAGE).unwrap().as_ref().to_vec();
        (key, fixed, der)
    }

    #[test]
    fn only_the_fixed_length_form_verifies() {
        let (key, fixed, der) = key_and_signature();
        key.verify(MESSAGE, &fixed).unwrap();
        for (name, signature) in [
            ("DER", der.as_slice()),
            ("empty", &[]),
            ("one octet short", &fixed[..63]),
            ("one octet long", &[fixed.as_slice(), &[0]].concat()),
            ("r = s = 0", &[0; 64]),
        ] {
            assert!(key.verify(MESSAGE, signature).is_err(), "{name}");
        }
        assert!(key.verify(b"another message", &fixed).is_err());
    }

    #[test]
    fn jsonwebtoken_sees_the_same_key() {
        let (key, fixed, der) = key_and_signature();
        let verifier = key.jwt_verifier().unwrap();
        assert_eq!(verifier.algorithm(), jsonwebtoken::Algorithm::ES256);
        assert!(verifier.verify(MESSAGE, &fixed).is_ok());
        assert!(verifier.verify(MESSAGE, &der).is_err());
    }

    #[test]
    fn debug_shows_no_key_material() {
        let (key, ..) = key_and_signature();
        assert_eq!(format!("{key:?}"), r#"VerifyingKey { key_id: Some("k1"), algorithm: Es256, .. }"#);
    }
}
