//! [`SigningKey`]: a private key of this service.

use std::{
    fmt::{self, Display},
    sync::Arc,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    crypto::aws_lc::DEFAULT_PROVIDER,
    jwk::{AlgorithmParameters, CommonParameters, EllipticCurveKeyParameters, EllipticCurveKeyType, Jwk},
};
use serde::Serialize;

use super::error::Failure;
use crate::{error::ConfigError, jwks::SignatureAlgorithm};

/// A private key that this service signs with. `Debug` does not show it.
#[derive(Clone)]
pub struct SigningKey {
    key: Arc<EncodingKey>,
    algorithm: Algorithm,
    key_id: Option<String>,
}

impl SigningKey {
    /// Reads a private key: PKCS #8 in PEM, for this algorithm.
    ///
    /// # Errors
    /// [`ConfigError::InvalidSigningKey`] if it is no such key, or the algorithm is one that
    /// cannot be signed with: `ES512` and `Ed25519`, where `ES384` and `EdDSA` can.
    pub fn from_pem(pem: impl AsRef<[u8]>, algorithm: SignatureAlgorithm) -> Result<Self, ConfigError> {
        use SignatureAlgorithm as A;
        let (pem, name) = (pem.as_ref(), algorithm.as_str());
        let invalid = |problem: String| ConfigError::InvalidSigningKey { problem };
        let key = match algorithm {
            A::Es256 | A::Es384 | A::Es512 => EncodingKey::from_ec_pem(pem),
            A::EdDsa | A::Ed25519 => EncodingKey::from_ed_pem(pem),
            A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512 => EncodingKey::from_rsa_pem(pem),
        };
        let key = key.map_err(|error| invalid(format!("it is no PKCS #8 key for {name} in PEM: {error}")))?;
        let algorithm = algorithm
            .to_jsonwebtoken()
            .ok_or_else(|| invalid(format!("{name} cannot be signed with: use ES384 or EdDSA")))?;
        let key = Self { key: Arc::new(key), algorithm, key_id: None };
        // A key of another curve is read all the same, and signs nothing.
        key.sign("JWT", &()).map_err(|_failure| invalid(format!("it is no key for {name}")))?;
        Ok(key)
    }

    /// A new key for ES256, and its public half.
    pub(super) fn generate() -> Result<(Self, Jwk), ConfigError> {
        let algorithm = Algorithm::ES256;
        let failed = |problem: &dyn Display| ConfigError::InvalidSigningKey {
            problem: format!("a new key cannot be made: {problem}"),
        };
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|error| failed(&error))?;
        let (curve, x, y) =
            (DEFAULT_PROVIDER.key_utils.ec_pub_components_from_private_key)(key.as_ref(), algorithm)
                .map_err(|error| failed(&error))?;
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let jwk = Jwk {
            common: CommonParameters::default(),
            algorithm: AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                key_type: EllipticCurveKeyType::EC,
                curve,
                x,
                y,
            }),
        };
        let key = Arc::new(EncodingKey::from_ec_der(key.as_ref()));
        Ok((Self { key, algorithm, key_id: None }, jwk))
    }

    /// The `kid` by which the server knows the key.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// A compact JWS of this type.
    pub(super) fn sign(&self, token_type: &str, claims: &impl Serialize) -> Result<String, Failure> {
        let mut header = Header::new(self.algorithm);
        header.typ = Some(token_type.to_owned());
        header.kid.clone_from(&self.key_id);
        self.sign_with(&header, claims)
    }

    /// A compact JWS with this header. Not by the provider that the process has installed,
    /// which may be missing or another.
    pub(super) fn sign_with(&self, header: &Header, claims: &impl Serialize) -> Result<String, Failure> {
        let encode = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
        let header = encode(serde_json::to_vec(header).map_err(Failure::ours)?);
        let claims = encode(serde_json::to_vec(claims).map_err(Failure::ours)?);
        let message = format!("{header}.{claims}");
        let signer = (DEFAULT_PROVIDER.signer_factory)(&self.algorithm, &self.key).map_err(Failure::ours)?;
        let signature = signer.try_sign(message.as_bytes()).map_err(Failure::ours)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
