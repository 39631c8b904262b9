//! A key set: the usable keys of a JWK Set, and the one rule by which a token's key is found.

use std::{error::Error, sync::Arc};

use serde::de::Error as _;
use serde_json::value::RawValue;

use super::{
    AlgorithmSet, KeyHint, SignatureAlgorithm, SkipReason, SkippedKey, VerifyingKey,
    hint::CertificateNames,
    jwk::{self, Purpose},
};
use crate::{json, reason::DenialReason};

/// The largest document, in octets.
pub(crate) const MAX_DOCUMENT_LEN: usize = 512 * 1024;

const BYTE_ORDER_MARK: &str = "\u{feff}";

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
    keys: Vec<Published>,
    skipped: Vec<SkippedKey>,
}

/// A key, and the certificates that the set says are for it.
#[derive(Clone, Debug)]
struct Published {
    key: Arc<VerifyingKey>,
    certificates: CertificateNames,
}

impl KeySet {
    /// Reads a JWK Set, keeping one key per entry and algorithm of `allowed`. A
    /// key that the set lists several times is one key. A byte-order mark before
    /// the document is skipped.
    ///
    /// A set without any usable key is no error here: see [`is_empty`](Self::is_empty).
    ///
    /// # Errors
    /// If the document as a whole is unusable: longer than 512 KiB, no JSON
    /// object with an array `keys`, a member name given twice, or `keys` that
    /// holds entries of which none is an object.
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
    /// of `use: jwt-svid`, each with a `kid` of its own. A `kid` that two different
    /// keys have makes the bundle unusable: which key is meant must never be a guess.
    pub(crate) fn parse_jwt_svid_keys(document: &[u8], allowed: AlgorithmSet) -> Result<Self, KeySetError> {
        Self::read(document, allowed, Purpose::JwtSvids)
    }

    fn read(document: &[u8], allowed: AlgorithmSet, purpose: Purpose<'_>) -> Result<Self, KeySetError> {
        if document.len() > MAX_DOCUMENT_LEN {
            return Err(KeySetErrorKind::TooLarge.into());
        }
        // As a whole, since JSON that is passed over is not looked at this closely.
        let document = std::str::from_utf8(document).map_err(malformed)?;
        let document = document.strip_prefix(BYTE_ORDER_MARK).unwrap_or(document);
        let entries = entries(document)?;
        let mut set = Self { keys: Vec::new(), skipped: Vec::new() };
        for entry in entries {
            match jwk::parse(entry.get(), allowed, purpose) {
                Ok(entry) => {
                    if matches!(purpose, Purpose::JwtSvids) && set.contradicts(&entry) {
                        return Err(KeySetErrorKind::DuplicateKeyId.into());
                    }
                    set.add(entry);
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

    /// Adds the keys of an entry, except those that the set has already: sets
    /// that were joined hold the active key twice.
    fn add(&mut self, entry: jwk::Entry) {
        for key in entry.keys {
            match self.keys.iter_mut().find(|published| published.key.is_same(&key)) {
                Some(published) => published.certificates.extend(&entry.certificates),
                None => {
                    let certificates = entry.certificates.clone();
                    self.keys.push(Published { key: Arc::new(key), certificates });
                }
            }
        }
    }

    /// Whether the set has another key under the `kid` of this entry.
    fn contradicts(&self, entry: &jwk::Entry) -> bool {
        entry.keys.iter().any(|new| {
            let namesakes = self.keys.iter().filter(|published| published.key.key_id() == new.key_id());
            namesakes.into_iter().any(|published| !published.key.is_of_same_material(new))
        })
    }

    /// Finds the one key that verifies a token with this `alg` and these names of its key.
    ///
    /// With a `kid`, the key must carry exactly that `kid`, and be for that
    /// algorithm. Without one, exactly one key of the whole set must be for the
    /// algorithm. Where several fit, `x5t` and `x5t#S256` decide: the text of
    /// the header must be that of the key's member of the same name. They also
    /// name a key that has no `kid`. There is no second try: a token that names a
    /// key never matches a key without a name, and where several different keys
    /// fit none is taken (RFC 7517 section 4.5, RFC 8725 section 3.1).
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn select<'a>(
        &self,
        algorithm: SignatureAlgorithm,
        hint: impl Into<KeyHint<'a>>,
    ) -> Result<&Arc<VerifyingKey>, SelectError> {
        let hint = hint.into();
        let mut kid_is_known = false;
        let mut fitting = self.keys.iter().filter(|published| {
            let is_named = hint.key_id().is_none() || published.key.key_id() == hint.key_id();
            kid_is_known |= is_named && hint.key_id().is_some();
            is_named && published.key.algorithm() == algorithm
        });
        let (first, second) = (fitting.next(), fitting.next());
        match (first, second) {
            (Some(published), None) => Ok(&published.key),
            (Some(_), Some(_)) => self.select_among_several(algorithm, hint),
            (None, _) if kid_is_known => Err(SelectError::Mismatch),
            (None, _) => self.select_by_certificate(algorithm, hint),
        }
    }

    /// Several keys fit: they are one key, or the certificate tells which is meant.
    fn select_among_several(
        &self,
        algorithm: SignatureAlgorithm,
        hint: KeyHint<'_>,
    ) -> Result<&Arc<VerifyingKey>, SelectError> {
        let fits = |published: &&Published| {
            published.key.algorithm() == algorithm
                && (hint.key_id().is_none() || published.key.key_id() == hint.key_id())
        };
        let fitting = || self.keys.iter().filter(fits);
        if let Some(key) = only(fitting()) {
            return Ok(key);
        }
        match only(fitting().filter(|published| published.certificates.are_named_by(&hint))) {
            Some(key) => Ok(key),
            // It names a certificate of none of them: a key that is not in the set.
            None if hint.key_id().is_none()
                && hint.names_certificate()
                && !fitting().any(|published| published.certificates.are_named_by(&hint)) =>
            {
                Err(SelectError::Unknown)
            }
            None => Err(SelectError::Ambiguous),
        }
    }

    /// No key has the token's `kid`: the certificate may name one that has no `kid`.
    fn select_by_certificate(
        &self,
        algorithm: SignatureAlgorithm,
        hint: KeyHint<'_>,
    ) -> Result<&Arc<VerifyingKey>, SelectError> {
        let mut named = self.keys.iter().filter(|published| {
            published.key.key_id().is_none()
                && published.key.algorithm() == algorithm
                && published.certificates.are_named_by(&hint)
        });
        match named.next() {
            None => Err(SelectError::Unknown),
            Some(first) => only(named.chain([first])).ok_or(SelectError::Ambiguous),
        }
    }

    /// The usable keys: one per published key and algorithm, in the document's order.
    #[must_use]
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Arc<VerifyingKey>> {
        self.keys.iter().map(|published| &published.key)
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
        for published in &mut self.keys {
            if let Some(same) = previous.keys().find(|old| old.is_same(&published.key)) {
                published.key = Arc::clone(same);
            }
        }
        !previous.keys().all(|old| self.holds(old))
    }

    /// Whether this very key is in the set.
    pub(super) fn holds(&self, key: &Arc<VerifyingKey>) -> bool {
        self.keys().any(|held| Arc::ptr_eq(held, key))
    }
}

/// The key of all these entries, if they are one and the same.
fn only<'a>(mut entries: impl Iterator<Item = &'a Published>) -> Option<&'a Arc<VerifyingKey>> {
    let first = entries.next()?;
    entries.all(|other| other.key.is_equal(&first.key)).then_some(&first.key)
}

/// Why no key is selected for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// No key has the names that the token gives its key; for a token that gives
    /// none, no key is for its algorithm.
    #[error("no key fits the token")]
    Unknown,
    /// The key that the token names is for another algorithm.
    #[error("the key that the token names is for another algorithm")]
    Mismatch,
    /// More than one key fits the token, and they are different keys.
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
    /// `keys` has entries, and not one of them is an object.
    #[error("no entry of the key set is an object")]
    NoObjects,
    /// Two different keys for JWT-SVIDs have the same `kid`.
    #[error("two different keys for JWT-SVIDs have the same kid")]
    DuplicateKeyId,
}

/// The entries of `keys`, each still as JSON text.
fn entries(document: &str) -> Result<Vec<&RawValue>, KeySetError> {
    // Bounded by its bytes alone.
    let members = json::members(document, usize::MAX).map_err(malformed)?;
    if json::repeats_a_name(&members) {
        return Err(malformed(serde_json::Error::custom("a member name occurs twice")));
    }
    let keys = members.iter().find(|(name, _)| name == "keys").map(|(_, keys)| *keys);
    let keys = keys.ok_or_else(|| malformed(serde_json::Error::missing_field("keys")))?;
    serde_json::from_str(keys.get()).map_err(malformed)
}
