//! What nobody can go below: the signature alone, and the look-up alone.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use highway::{HighwayHasher, Key};
use serde_json::Value;
use tower_delegation_testing::Algorithm;

use crate::Provider;

/// aws-lc-rs with a parsed key, on signatures that are decoded already.
#[derive(Debug)]
pub struct RawVerification {
    key: ParsedPublicKey,
    signed: Vec<(String, Vec<u8>)>,
}

impl RawVerification {
    pub fn new(provider: &Provider, tokens: &[String]) -> Self {
        let jwks: Value = serde_json::from_str(&provider.jwks()).unwrap();
        let octets = |name| octets(jwks["keys"][0][name].as_str().unwrap());
        let key = match provider.algorithm() {
            Algorithm::Rs256 => {
                let components = RsaPublicKeyComponents { n: octets("n"), e: octets("e") };
                components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).unwrap()
            }
            Algorithm::Es256 => {
                let point = [vec![4], octets("x"), octets("y")].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).unwrap()
            }
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, octets("x")).unwrap(),
            algorithm => panic!("{algorithm} is not measured"),
        };
        let signed = tokens.iter().map(|token| {
            let (message, signature) = token.rsplit_once('.').unwrap();
            (message.to_owned(), self::octets(signature))
        });
        Self { key, signed: signed.collect() }
    }

    pub fn len(&self) -> usize {
        self.signed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.signed.is_empty()
    }

    /// Verifies the signature of one of the tokens.
    ///
    /// # Panics
    /// If it is not good.
    pub fn verify(&self, index: usize) {
        let (message, signature) = &self.signed[index];
        self.key.verify_sig(message.as_bytes(), signature).unwrap();
    }
}

fn octets(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Makes keyed 128-bit hashes of tokens, as keys for a cache.
pub fn hasher() -> HighwayHasher {
    HighwayHasher::new(Key([1, 2, 3, 4]))
}
