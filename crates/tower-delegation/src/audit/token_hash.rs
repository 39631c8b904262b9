//! [`TokenHash`]: tells two tokens apart, and neither of them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{digest::SHA256_OUTPUT_LEN, hmac, rand};
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde::{Serialize, Serializer};

use crate::{credential::MAX_TOKEN_LEN, error::ConfigError, token::VerifiedToken};

/// The least bytes of a key: as many as the hash has (RFC 2104 section 3).
const MIN_KEY_LEN: usize = 32;

/// Up to here a token waits for its hash as a copy; the hash of a longer one
/// is made at once, so that what strangers send does not fill the memory.
const MAX_COPY_LEN: usize = 4096;

/// The secret under which audit events name tokens. Cheap to clone.
///
/// A hash without a key could be searched for by anyone who holds a guess; this
/// one only by those who hold the key. Give one to find the same token in the
/// records of several processes, or to look for a token that has leaked:
///
/// ```sh
/// printf %s "$TOKEN" | openssl dgst -sha256 -mac HMAC -macopt hexkey:"$KEY"
/// ```
#[derive(Clone)]
pub struct TokenHashKey(Arc<NumberedKey>);

struct NumberedKey {
    /// Which key of the process it is.
    number: u64,
    key: hmac::Key,
}

impl TokenHashKey {
    /// Takes a key of at least 32 random bytes.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] if there are fewer.
    pub fn new(key: &[u8]) -> Result<Self, ConfigError> {
        if key.len() < MIN_KEY_LEN {
            return Err(ConfigError::OutOfRange {
                setting: "bytes of the token hash's key",
                value: u64::try_from(key.len()).unwrap_or(u64::MAX),
                expected: "32 or more",
            });
        }
        Ok(Self::of(key))
    }

    /// A key that no one knows, and that is gone with the process. `None` if
    /// the machine has no randomness: then tokens have no hash.
    pub(crate) fn random() -> Option<Self> {
        let mut key = [0; MIN_KEY_LEN];
        rand::fill(&mut key).ok()?;
        Some(Self::of(&key))
    }

    fn of(key: &[u8]) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(NumberedKey { number, key: hmac::Key::new(hmac::HMAC_SHA256, key) }))
    }

    fn hash(&self, token: &[u8]) -> TokenHash {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(hmac::sign(&self.0.key, token).as_ref());
        TokenHash(hash)
    }
}

impl fmt::Debug for TokenHashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenHashKey").finish_non_exhaustive()
    }
}

/// HMAC-SHA-256 of a token under the layer's [`TokenHashKey`]: 64 digits of
/// lower-case hex.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; SHA256_OUTPUT_LEN]);

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The token of a request, on its way to its hash. Hashing takes about a
/// microsecond, so it is left to the thread that writes, and the hash is kept with a
/// token that was verified: its next requests need no copy of it.
pub(crate) struct PresentedToken {
    key: TokenHashKey,
    form: Form,
    /// Where the hash is kept.
    verified: Option<VerifiedToken>,
}

enum Form {
    /// The field, and where the token begins in it: as long as the request is here, which
    /// holds the field anyway.
    Field(HeaderValue, usize),
    Copy(Box<[u8]>),
    Hash(TokenHash),
}

impl PresentedToken {
    /// What stands behind the scheme of the one `Authorization` field, good or bad.
    pub(crate) fn of(headers: &HeaderMap, key: &TokenHashKey) -> Option<Self> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let (field, None) = (fields.next()?, fields.next()) else { return None };
        let space = field.as_bytes().iter().position(|byte| *byte == b' ')?;
        let (scheme, token) = field.as_bytes().split_at_checked(space)?;
        if !scheme.eq_ignore_ascii_case(b"Bearer") && !scheme.eq_ignore_ascii_case(b"DPoP") {
            return None;
        }
        let token = token.trim_ascii_start();
        if token.is_empty() || token.len() > MAX_TOKEN_LEN {
            return None;
        }
        let form = Form::Field(field.clone(), field.len() - token.len());
        Some(Self { key: key.clone(), form, verified: None })
    }

    /// The same, now that it is verified.
    #[must_use]
    pub(crate) fn verified_as(self, token: &VerifiedToken) -> Self {
        match token.digest(self.key.0.number) {
            Some(digest) => Self { form: Form::Hash(TokenHash(digest)), ..self },
            None => Self { verified: Some(token.clone()), ..self },
        }
    }

    /// The same by itself, when the request has ended: the field shares the memory that all
    /// of the request's head was read into.
    #[must_use]
    pub(crate) fn detached(self) -> Self {
        let form = match self.form {
            Form::Field(field, start) => match field.as_bytes().get(start..).unwrap_or_default() {
                token if token.len() <= MAX_COPY_LEN => Form::Copy(token.into()),
                token => Form::Hash(self.key.hash(token)),
            },
            form => form,
        };
        Self { form, ..self }
    }

    pub(crate) fn hash(&self) -> TokenHash {
        let hash = match &self.form {
            Form::Field(field, start) => self.key.hash(field.as_bytes().get(*start..).unwrap_or_default()),
            Form::Copy(token) => self.key.hash(token),
            Form::Hash(hash) => *hash,
        };
        if let Some(token) = &self.verified {
            token.keep_digest(self.key.0.number, hash.0);
        }
        hash
    }
}

impl fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedToken").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(fields: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, field.parse().unwrap());
        }
        let key = TokenHashKey::new(&[0x0b; 32]).unwrap();
        let token = PresentedToken::of(&headers, &key)?;
        let hash = token.hash().to_string();
        assert_eq!(token.detached().hash().to_string(), hash);
        Some(hash)
    }

    #[test]
    fn the_scheme_and_its_spaces_are_not_part_of_the_token() {
        let one = hash(&["Bearer abc.def"]).unwrap();
        assert_eq!(one.len(), 64);
        for same in ["bearer abc.def", "BEARER   abc.def", "DPoP abc.def"] {
            assert_eq!(hash(&[same]).as_deref(), Some(&*one), "{same}");
        }
        assert_ne!(hash(&["Bearer abc.deg"]).unwrap(), one);
    }

    #[test]
    fn long_tokens_hash_like_short_ones() {
        let key = TokenHashKey::new(&[0x0b; 32]).unwrap();
        for length in [MAX_COPY_LEN, MAX_COPY_LEN + 1, MAX_TOKEN_LEN] {
            let token = "a".repeat(length);
            let expected = key.hash(token.as_bytes()).to_string();
            assert_eq!(hash(&[&format!("Bearer {token}")]), Some(expected), "{length}");
        }
    }

    #[test]
    fn no_token_no_hash() {
        let huge = format!("Bearer {}", "a".repeat(MAX_TOKEN_LEN + 1));
        for (name, fields) in [
            ("no field", &[][..]),
            ("two fields", &["Bearer a", "Bearer b"]),
            ("another scheme", &["Basic YTpi"]),
            ("nothing behind the scheme", &["Bearer  "]),
            ("the scheme alone", &["Bearer"]),
            ("too long to be one", &[&huge]),
        ] {
            assert_eq!(hash(fields), None, "{name}");
        }
    }

    #[test]
    fn keys_are_long_and_secret() {
        assert!(TokenHashKey::new(&[7; 31]).is_err());
        let key = TokenHashKey::new(&[7; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "TokenHashKey { .. }");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Bearer secret".parse().unwrap());
        assert!(!format!("{:?}", PresentedToken::of(&headers, &key)).contains("secret"));
        let other = TokenHashKey::random().unwrap();
        assert_ne!(key.hash(b"t").to_string(), other.hash(b"t").to_string());
    }

    /// RFC 4231 section 4.4 has a key of 25 bytes; this is its section 4.7.
    #[test]
    fn the_hash_is_hmac_sha_256() {
        let key = TokenHashKey::new(&[0xaa; 131]).unwrap();
        let hash = key.hash(b"Test Using Larger Than Block-Size Key - Hash Key First").to_string();
        assert_eq!(hash, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
