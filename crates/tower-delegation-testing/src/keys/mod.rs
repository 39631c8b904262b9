//! Signing keys, made at run time and never written down.

mod ring;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    error::Unspecified,
    hmac, rand,
    rsa::KeySize,
    signature::{
        self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::algorithm::Algorithm;

pub(crate) use self::ring::KeyRing;

/// Every algorithm that the mock provider can sign with.
pub const ALGORITHMS: [Algorithm; 11] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::EdDsa,
    Algorithm::Ed25519,
];

/// Where the RSA key pair of a new key comes from. Making one takes a good
/// part of a second, so it is made once, on first use, and shared.
pub(crate) struct RsaSource(OnceLock<Arc<RsaKeyPair>>);

impl RsaSource {
    /// A source of its own, for a rotation.
    pub(crate) const fn fresh() -> Self {
        Self(OnceLock::new())
    }

    fn pair(&self) -> Arc<RsaKeyPair> {
        Arc::clone(self.0.get_or_init(|| Arc::new(sound(RsaKeyPair::generate(KeySize::Rsa2048)))))
    }
}

/// The pair behind the first RS* and PS* key of every issuer of this process.
pub(crate) static SHARED_RSA: RsaSource = RsaSource::fresh();

/// The pair that no issuer of this process publishes.
pub(crate) static STRANGER_RSA: RsaSource = RsaSource::fresh();

/// A key pair together with how keys of its algorithm sign and verify.
enum Pair {
    Rsa {
        pair: Arc<RsaKeyPair>,
        encoding: &'static dyn RsaEncoding,
        verification: &'static dyn VerificationAlgorithm,
    },
    Ec {
        pair: EcdsaKeyPair,
        verification: &'static dyn VerificationAlgorithm,
        curve: &'static str,
    },
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    fn generate(algorithm: Algorithm, source: &RsaSource) -> Self {
        use signature as s;
        let rsa = |encoding: &'static dyn RsaEncoding, verification| Self::Rsa {
            pair: source.pair(),
            encoding,
            verification,
        };
        let ec = |signing, verification, curve| Self::Ec {
            pair: sound(EcdsaKeyPair::generate(signing)),
            verification,
            curve,
        };
        match algorithm {
            Algorithm::Rs256 => rsa(&s::RSA_PKCS1_SHA256, &s::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => rsa(&s::RSA_PKCS1_SHA384, &s::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => rsa(&s::RSA_PKCS1_SHA512, &s::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => rsa(&s::RSA_PSS_SHA256, &s::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => rsa(&s::RSA_PSS_SHA384, &s::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => rsa(&s::RSA_PSS_SHA512, &s::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 => ec(&s::ECDSA_P256_SHA256_FIXED_SIGNING, &s::ECDSA_P256_SHA256_FIXED, "P-256"),
            Algorithm::Es384 => ec(&s::ECDSA_P384_SHA384_FIXED_SIGNING, &s::ECDSA_P384_SHA384_FIXED, "P-384"),
            Algorithm::Es512 => ec(&s::ECDSA_P521_SHA512_FIXED_SIGNING, &s::ECDSA_P521_SHA512_FIXED, "P-521"),
            Algorithm::EdDsa | Algorithm::Ed25519 => Self::Ed25519(sound(Ed25519KeyPair::generate())),
        }
    }
}

/// One private key with the algorithm and the `kid` that it is published under.
pub(crate) struct SigningKey {
    algorithm: Algorithm,
    key_id: String,
    pair: Pair,
}

impl SigningKey {
    pub(crate) fn generate(algorithm: Algorithm, key_id: String, rsa: &RsaSource) -> Self {
        Self { algorithm, key_id, pair: Pair::generate(algorithm, rsa) }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The JWS signature over `message` (RFC 7518 section 3: for ECDSA, `r || s`).
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = rand::SystemRandom::new();
        match &self.pair {
            Pair::Rsa { pair, encoding, .. } => {
                let mut signature = vec![0; pair.public_modulus_len()];
                sound(pair.sign(*encoding, &random, message, &mut signature));
                signature
            }
            Pair::Ec { pair, .. } => sound(pair.sign(&random, message)).as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verification = match &self.pair {
            Pair::Rsa { verification, .. } | Pair::Ec { verification, .. } => *verification,
            Pair::Ed25519(_) => &signature::ED25519,
        };
        UnparsedPublicKey::new(verification, self.public_bytes()).verify(message, signature).is_ok()
    }

    /// The public key as the provider publishes it (RFC 7517, RFC 8037).
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa { pair, .. } => {
                let public = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": base64url(public.modulus().big_endian_without_leading_zero()),
                    "e": base64url(public.exponent().big_endian_without_leading_zero()),
                })
            }
            Pair::Ec { curve, .. } => {
                // SEC 1 section 2.3.3: 0x04, then both coordinates at full length.
                let point = self.public_bytes().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
            }
            Pair::Ed25519(_) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(self.public_bytes()) })
            }
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), self.algorithm.as_str().into());
            members.insert("kid".into(), self.key_id.clone().into());
        }
        jwk
    }

    /// HMAC-SHA-256 with the PEM text of the public key as the secret: what a
    /// verifier computes that takes `HS256` for an asymmetric key.
    pub(crate) fn confused_hmac(&self, message: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.public_pem().as_bytes());
        hmac::sign(&key, message).as_ref().to_vec()
    }

    /// The public key as PEM (`SubjectPublicKeyInfo`).
    pub(crate) fn public_pem(&self) -> String {
        let der = match &self.pair {
            Pair::Rsa { pair, .. } => pair.public_key().as_der(),
            Pair::Ec { pair, .. } => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
        };
        pem("PUBLIC KEY", sound(der).as_ref())
    }

    /// The private key as PEM (PKCS #8).
    pub(crate) fn private_pem(&self) -> String {
        match &self.pair {
            Pair::Rsa { pair, .. } => {
                let der: Pkcs8V1Der<'_> = sound(pair.as_der());
                pem("PRIVATE KEY", der.as_ref())
            }
            Pair::Ec { pair, .. } => pem("PRIVATE KEY", sound(pair.to_pkcs8v1()).as_ref()),
            Pair::Ed25519(pair) => pem("PRIVATE KEY", sound(pair.to_pkcs8v1()).as_ref()),
        }
    }

    fn public_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::Rsa { pair, .. } => pair.public_key().as_ref(),
            Pair::Ec { pair, .. } => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// RFC 7468: lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (index, character) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem + &format!("\n-----END {label}-----\n")
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A name that no other call of this process got: 16 random bytes.
pub(crate) fn unique() -> String {
    let mut bytes = [0; 16];
    sound(rand::fill(&mut bytes));
    base64url(bytes)
}

#[expect(clippy::expect_used, reason = "without randomness or memory no test can go on")]
fn sound<T>(result: Result<T, Unspecified>) -> T {
    result.expect("the operating system provides randomness and memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, crypto::aws_lc, jwk::Jwk};
    use std::str::FromStr;

    fn key(algorithm: Algorithm) -> SigningKey {
        SigningKey::generate(algorithm, "k".to_owned(), &SHARED_RSA)
    }

    #[test]
    fn every_algorithm_verifies_what_it_signed_and_nothing_else() {
        for algorithm in ALGORITHMS {
            let key = key(algorithm);
            let mut signature = key.sign(b"message");
            assert!(key.verifies(b"message", &signature), "{algorithm}");
            assert!(!key.verifies(b"another", &signature), "{algorithm}");
            signature[0] ^= 1;
            assert!(!key.verifies(b"message", &signature), "{algorithm}");
        }
    }

    #[test]
    fn jsonwebtoken_verifies_through_the_published_jwk() {
        for algorithm in ALGORITHMS {
            // jsonwebtoken 11 knows neither of these names.
            if matches!(algorithm, Algorithm::Es512 | Algorithm::Ed25519) {
                continue;
            }
            let key = key(algorithm);
            let signature = key.sign(b"message");
            let jwk: Jwk = serde_json::from_value(key.jwk()).unwrap();
            let theirs = jsonwebtoken::Algorithm::from_str(algorithm.as_str()).unwrap();
            let decoding = DecodingKey::from_jwk(&jwk).unwrap();
            let verifier = (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&theirs, &decoding).unwrap();
            assert!(verifier.verify(b"message", &signature).is_ok(), "{algorithm}");
            assert!(verifier.verify(b"another", &signature).is_err(), "{algorithm}");
        }
    }

    #[test]
    fn ecdsa_signatures_are_raw_and_coordinates_have_full_length() {
        for (algorithm, coordinate) in
            [(Algorithm::Es256, 32), (Algorithm::Es384, 48), (Algorithm::Es512, 66)]
        {
            let key = key(algorithm);
            assert_eq!(key.sign(b"m").len(), 2 * coordinate, "{algorithm}");
            for member in ["x", "y"] {
                let encoded = key.jwk()[member].as_str().unwrap().to_owned();
                assert_eq!(from_base64url(&encoded).unwrap().len(), coordinate, "{algorithm} {member}");
            }
        }
    }

    #[test]
    fn rsa_pairs_are_shared_and_a_stranger_has_another() {
        let first = key(Algorithm::Rs256).jwk();
        let second = key(Algorithm::Ps512).jwk();
        assert_eq!(first["n"], second["n"]);
        assert_eq!(first["e"], "AQAB");
        let stranger = SigningKey::generate(Algorithm::Rs256, "k".to_owned(), &STRANGER_RSA).jwk();
        assert_ne!(first["n"], stranger["n"]);
    }

    #[test]
    fn a_jwk_has_no_private_member() {
        for algorithm in ALGORITHMS {
            let jwk = key(algorithm).jwk();
            let members: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
            let expected: &[&str] = match jwk["kty"].as_str().unwrap() {
                "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
                "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
                _ => &["alg", "crv", "kid", "kty", "use", "x"],
            };
            assert_eq!(members, expected, "{algorithm}");
        }
    }

    #[test]
    fn debug_shows_the_name_of_the_key_only() {
        let shown = format!("{:?}", key(Algorithm::Es256));
        assert_eq!(shown, r#"SigningKey { algorithm: Es256, key_id: "k", .. }"#);
    }
}
