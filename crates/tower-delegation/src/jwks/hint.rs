//! What a token's header says about the key that it was signed with.

/// The names by which a token's header says which key it was signed with: `kid`,
/// `x5t` and `x5t#S256` (RFC 7515 sections 4.1.4, 4.1.7 and 4.1.8).
///
/// A stranger's text: it is compared with the names of published keys, by code
/// point, and goes nowhere else.
///
/// ```
/// use tower_delegation::jwks::KeyHint;
///
/// let by_certificate = KeyHint::default().x5t("dGhlIGNlcnRpZmljYXRlIQ");
/// assert_eq!(by_certificate.key_id(), None);
/// assert_eq!(KeyHint::from(Some("k1")).key_id(), Some("k1"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct KeyHint<'a> {
    pub(super) key_id: Option<&'a str>,
    pub(super) x5t: Option<&'a str>,
    pub(super) x5t_s256: Option<&'a str>,
}

impl<'a> KeyHint<'a> {
    /// Adds the SHA-1 thumbprint of the key's certificate, as the header spells it.
    pub fn x5t(self, thumbprint: &'a str) -> Self {
        Self { x5t: Some(thumbprint), ..self }
    }

    /// Adds the SHA-256 thumbprint of the key's certificate, as the header spells it.
    pub fn x5t_s256(self, thumbprint: &'a str) -> Self {
        Self { x5t_s256: Some(thumbprint), ..self }
    }

    /// The header's `kid`.
    #[must_use]
    pub fn key_id(&self) -> Option<&'a str> {
        self.key_id
    }

    /// Whether the header names the key's certificate.
    pub(super) fn names_certificate(&self) -> bool {
        self.x5t.is_some() || self.x5t_s256.is_some()
    }
}

impl<'a> From<Option<&'a str>> for KeyHint<'a> {
    /// A header that has no other name of the key than this `kid`, or none at all.
    fn from(key_id: Option<&'a str>) -> Self {
        Self { key_id, ..Self::default() }
    }
}

/// A hint that outlives the request that it came with.
#[derive(Debug)]
pub(super) struct OwnedHint {
    key_id: Option<Box<str>>,
    x5t: Option<Box<str>>,
    x5t_s256: Option<Box<str>>,
}

impl OwnedHint {
    pub(super) fn as_hint(&self) -> KeyHint<'_> {
        KeyHint {
            key_id: self.key_id.as_deref(),
            x5t: self.x5t.as_deref(),
            x5t_s256: self.x5t_s256.as_deref(),
        }
    }
}

impl From<KeyHint<'_>> for OwnedHint {
    fn from(hint: KeyHint<'_>) -> Self {
        Self {
            key_id: hint.key_id.map(Box::from),
            x5t: hint.x5t.map(Box::from),
            x5t_s256: hint.x5t_s256.map(Box::from),
        }
    }
}

/// The thumbprints of certificates that a published key bears. One key may bear
/// several, where a set lists it once for each of its certificates.
#[derive(Clone, Debug, Default)]
pub(super) struct CertificateNames {
    x5t: Vec<Box<str>>,
    x5t_s256: Vec<Box<str>>,
}

impl CertificateNames {
    pub(super) fn new(x5t: Option<String>, x5t_s256: Option<String>) -> Self {
        let list = |name: Option<String>| name.into_iter().map(String::into_boxed_str).collect();
        Self { x5t: list(x5t), x5t_s256: list(x5t_s256) }
    }

    pub(super) fn extend(&mut self, more: &Self) {
        for (names, more) in [(&mut self.x5t, &more.x5t), (&mut self.x5t_s256, &more.x5t_s256)] {
            for name in more {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
    }

    /// Whether the hint names one of these certificates, and contradicts none.
    pub(super) fn are_named_by(&self, hint: &KeyHint<'_>) -> bool {
        let compare = |names: &[Box<str>], name: Option<&str>| {
            name.filter(|_| !names.is_empty()).map(|name| names.iter().any(|one| **one == *name))
        };
        match (compare(&self.x5t, hint.x5t), compare(&self.x5t_s256, hint.x5t_s256)) {
            (None, None) => false,
            (one, other) => one != Some(false) && other != Some(false),
        }
    }
}
