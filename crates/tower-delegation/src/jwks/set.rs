//! A key set: the usable keys of a JWK Set, and the one rule by which a token's key is found.

use std::{collections::HashSet, error::Error, fmt, sync::Arc};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    AlgorithmSet, SignatureAlgorithm, SkipReason, SkippedKey, VerifyingKey,
    jwk::{self, Purpose},
};
use crate::reason::DenialReason;

/// The largest document, in octets.
pub(crate) const MAX_DOCUMENT_LEN: usize = 512 * 1024;

/// The most entries of `keys`.
const MAX_KEYS: usize = 100;

/// The most members of the document beside `keys`.
const MAX_MEMBERS: usize = 64;

/// The public keys of one issuer (RFC 7517 section 5).
///
/// Entries are read one by one. Those that cannot be used (an unknown type, an
/// encryption key, a malformed or weak key, a symmetric or private one) are
/// skipped and listed in [`skipped`](Self::skipped); they never spoil the rest.
///
/// # Example
/// Verifying a JWS without the layer:
/// ```
/// use tower_delegation::jwks::{AlgorithmSet, KeySet, SelectError, SignatureAlgorithm};
///
/// let document = br#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
///     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// let keys = KeySet::parse(document, AlgorithmSet::ALL)?;
/// let key = keys.select(SignatureAlgorithm::EdDsa, Some("k1"))?;
/// assert!(key.verify(b"header.payload", &[0; 64]).is_err());
/// assert_eq!(keys.select(SignatureAlgorithm::Rs256, Some("k1")).unwrap_err(), SelectError::Mismatch);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Arc<VerifyingKey>>,
    skipped: Vec<SkippedKey>,
}

impl KeySet {
    /// Reads a JWK Set, keeping one key per entry and algorithm of `allowed`.
    ///
    /// A set without any usable key is no error here: see [`is_empty`](Self::is_empty).
    ///
    /// # Errors
    /// If the document as a whole is unusable: longer than 512 KiB, no JSON
    /// object with an array `keys`, a member name given twice, more than 100
    /// keys, or `keys` that holds entries of which none is an object.
    pub fn parse(document: &[u8], allowed: AlgorithmSet) -> Result<Self, KeySetError> {
        Self::read(document, allowed, Purpose::Signatures { issuer: None })
    }

    /// Reads the JWK Set of `issuer`. Keys that say they belong to another
    /// issuer are skipped.
    pub(crate) fn parse_of(
        issuer: &str,
        document: &[u8],
        allowed: AlgorithmSet,
    ) -> Result<Self, KeySetError> {
        Self::read(document, allowed, Purpose::Signatures { issuer: Some(issuer) })
    }

    /// Reads the keys for JWT-SVIDs in the bundle of a SPIFFE trust domain: those
    /// of `use: jwt-svid`, each with a `kid` of its own. One that stands there
    /// twice makes the bundle unusable: which key is meant must never be a guess.
    pub(crate) fn parse_jwt_svid_keys(document: &[u8], allowed: AlgorithmSet) -> Result<Self, KeySetError> {
        Self::read(document, allowed, Purpose::JwtSvids)
    }

    fn read(document: &[u8], allowed: AlgorithmSet, purpose: Purpose<'_>) -> Result<Self, KeySetError> {
        if document.len() > MAX_DOCUMENT_LEN {
            return Err(KeySetErrorKind::TooLarge.into());
        }
        // As a whole, since JSON that is passed over is not looked at this closely.
        let document = std::str::from_utf8(document).map_err(malformed)?;
        let document: Document<'_> = serde_json::from_str(document).map_err(malformed)?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeySetErrorKind::TooManyKeys.into());
        }
        let mut set = Self { keys: Vec::new(), skipped: Vec::new() };
        for entry in &document.keys {
            match jwk::parse(entry.get(), allowed, purpose) {
                Ok(keys) => {
                    let id = keys.first().map(VerifyingKey::key_id);
                    let is_taken = set.keys.iter().any(|key| Some(key.key_id()) == id);
                    if is_taken && matches!(purpose, Purpose::JwtSvids) {
                        return Err(KeySetErrorKind::DuplicateKeyId.into());
                    }
                    set.keys.extend(keys.into_iter().map(Arc::new));
                }
                Err(skipped) => set.skipped.push(skipped),
            }
        }
        let hollow = |skipped: &SkippedKey| skipped.reason == SkipReason::NotAnObject;
        if set.keys.is_empty() && !set.skipped.is_empty() && set.skipped.iter().all(hollow) {
            return Err(KeySetErrorKind::NoObjects.into());
        }
        Ok(set)
    }

    /// Finds the one key that verifies a token with this `alg` and `kid`.
    ///
    /// With a `kid`, the key must carry exactly that `kid`, and be for that
    /// algorithm. Without one, exactly one key of the whole set must be for the
    /// algorithm. There is no second try: a token that names a key never
    /// matches a key without a name, and where several keys fit none is taken
    /// (RFC 7517 section 4.5, RFC 8725 section 3.1).
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn select(
        &self,
        algorithm: SignatureAlgorithm,
        kid: Option<&str>,
    ) -> Result<&Arc<VerifyingKey>, SelectError> {
        let mut kid_is_known = false;
        let mut fitting = self.keys.iter().filter(|key| {
            let named = kid.is_none() || key.key_id() == kid;
            kid_is_known |= named && kid.is_some();
            named && key.algorithm() == algorithm
        });
        let (first, second) = (fitting.next(), fitting.next());
        match (first, second) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(SelectError::Ambiguous),
            (None, _) if kid_is_known => Err(SelectError::Mismatch),
            (None, _) => Err(SelectError::Unknown),
        }
    }

    /// The usable keys: one per published key and algorithm, in the document's order.
    #[must_use]
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Arc<VerifyingKey>> {
        self.keys.iter()
    }

    /// Whether no key of the set is usable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The entries that are not used, in the document's order.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Takes over from `previous` the very keys that are published still, so
    /// that a key's address tells whether it is published. Returns whether any
    /// key of `previous` is gone.
    pub(super) fn succeed(&mut self, previous: &Self) -> bool {
        for key in &mut self.keys {
            if let Some(same) = previous.keys.iter().find(|old| old.is_same(key)) {
                *key = Arc::clone(same);
            }
        }
        !previous.keys.iter().all(|old| self.holds(old))
    }

    /// Whether this very key is in the set.
    pub(super) fn holds(&self, key: &Arc<VerifyingKey>) -> bool {
        self.keys.iter().any(|held| Arc::ptr_eq(held, key))
    }
}

/// Why no key is selected for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// No key has the token's `kid`; for a token without `kid`, no key is for its algorithm.
    #[error("no key fits the token")]
    Unknown,
    /// The key that the token names is for another algorithm.
    #[error("the key that the token names is for another algorithm")]
    Mismatch,
    /// More than one key fits the token.
    #[error("more than one key fits the token")]
    Ambiguous,
}

impl From<SelectError> for DenialReason {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Unknown => Self::KeyUnknown,
            SelectError::Mismatch => Self::KeyMismatch,
            SelectError::Ambiguous => Self::KeyAmbiguous,
        }
    }
}

/// A document that is not usable as a JWK Set.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct KeySetError {
    kind: KeySetErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl KeySetError {
    /// What is wrong with the document.
    #[must_use]
    pub fn kind(&self) -> KeySetErrorKind {
        self.kind
    }
}

impl From<KeySetErrorKind> for KeySetError {
    fn from(kind: KeySetErrorKind) -> Self {
        Self { kind, source: None }
    }
}

fn malformed(source: impl Error + Send + Sync + 'static) -> KeySetError {
    KeySetError { kind: KeySetErrorKind::Malformed, source: Some(Box::new(source)) }
}

/// What is wrong with a document that should be a JWK Set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetErrorKind {
    /// The document is longer than 512 KiB.
    #[error("the key set is longer than 512 KiB")]
    TooLarge,
    /// The document is no JSON object with an array `keys`, or gives a member twice.
    #[error("the document is no JWK Set")]
    Malformed,
    /// The set has more than 100 keys.
    #[error("the key set has more than 100 keys")]
    TooManyKeys,
    /// `keys` has entries, and not one of them is an object.
    #[error("no entry of the key set is an object")]
    NoObjects,
    /// Two keys for JWT-SVIDs have the same `kid`.
    #[error("two keys for JWT-SVIDs have the same kid")]
    DuplicateKeyId,
}

/// The document, each entry of `keys` still as JSON text.
struct Document<'a> {
    keys: Vec<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DocumentVisitor;

        impl<'de> Visitor<'de> for DocumentVisitor {
            type Value = Document<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object with an array `keys` and at most {MAX_MEMBERS} members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
                use serde::de::Error as _;
                let mut seen = HashSet::new();
                let mut keys = None;
                while let Some(name) = map.next_key::<String>()? {
                    if seen.len() == MAX_MEMBERS {
                        return Err(A::Error::invalid_length(MAX_MEMBERS + 1, &self));
                    }
                    if name == "keys" {
                        keys = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                    if !seen.insert(name) {
                        return Err(A::Error::custom("a member name occurs twice"));
                    }
                }
                keys.map(|keys| Document { keys }).ok_or_else(|| A::Error::missing_field("keys"))
            }
        }

        deserializer.deserialize_map(DocumentVisitor)
    }
}
