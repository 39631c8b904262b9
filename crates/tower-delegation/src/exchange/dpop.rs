//! [`DpopKey`]: the key that a downstream's tokens are bound to (RFC 9449).

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jsonwebtoken::{Algorithm, Header, jwk::Jwk};
use serde::Serialize;
use url::Url;

use super::{authentication::unique, error::Failure, signing::SigningKey};
use crate::{clock::Clock, error::ConfigError, jwks, rejection::DPOP_NONCE};

/// The field of a proof (RFC 9449 section 4.1).
pub(super) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The longest nonce that is repeated.
const MAX_NONCE_LEN: usize = 512;

/// A key of one exchange, made when it is set up. It never leaves.
pub(super) struct DpopKey {
    key: SigningKey,
    header: Header,
    thumbprint: [u8; 32],
    clock: Arc<dyn Clock>,
    /// What the downstream demands.
    nonce: Nonce,
}

/// RFC 9449 section 4.2.
#[derive(Serialize)]
struct Proof<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl DpopKey {
    /// A new key, whose proofs are of this clock's time.
    pub(super) fn generate(clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let (key, jwk) = SigningKey::generate()?;
        let thumbprint = thumbprint_of(&jwk)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("dpop+jwt".to_owned());
        header.jwk = Some(jwk);
        Ok(Self { key, header, thumbprint, clock, nonce: Nonce::default() })
    }

    /// What `cnf.jkt` of a token is that is bound to the key.
    pub(super) fn thumbprint(&self) -> [u8; 32] {
        self.thumbprint
    }

    /// What the downstream demands.
    pub(super) fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// A proof for one request: `ath` where it carries a token.
    pub(super) fn proof(
        &self,
        method: &Method,
        url: &Url,
        nonce: &Nonce,
        ath: Option<&str>,
    ) -> Result<HeaderValue, Failure> {
        let mut target = url.clone();
        target.set_query(None);
        target.set_fragment(None);
        let nonce = nonce.get();
        let proof = Proof {
            jti: unique()?,
            htm: method.as_str(),
            htu: target.as_str(),
            iat: self.clock.now().unix_seconds(),
            ath,
            nonce: nonce.as_deref(),
        };
        let signed = self.key.sign_with(&self.header, &proof)?;
        let mut value = HeaderValue::try_from(signed).map_err(Failure::ours)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn thumbprint_of(jwk: &Jwk) -> Result<[u8; 32], ConfigError> {
    let problem = |problem: &dyn fmt::Display| ConfigError::InvalidSigningKey {
        problem: format!("a new key has no thumbprint: {problem}"),
    };
    let jwk = serde_json::to_string(jwk).map_err(|error| problem(&error))?;
    Ok(*jwks::thumbprint(&jwk).map_err(|error| problem(&error))?.as_bytes())
}

/// The hash of a token, as a proof names it (RFC 9449 section 4.2).
pub(super) fn token_hash(token: &str) -> Box<str> {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())).into()
}

impl fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopKey").finish_non_exhaustive()
    }
}

/// The nonce that a server gave last (RFC 9449 section 8).
#[derive(Debug, Default)]
pub(super) struct Nonce(Mutex<Option<Arc<str>>>);

impl Nonce {
    /// Keeps the nonce of an answer. Returns whether there is one that can be repeated.
    pub(super) fn learn(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(DPOP_NONCE).iter();
        // RFC 9449 section 8.2: exactly one.
        let (Some(field), None) = (fields.next(), fields.next()) else { return false };
        let Some(nonce) = field.to_str().ok().filter(|nonce| is_nonce(nonce)) else { return false };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_deref() != Some(nonce) {
            *kept = Some(nonce.into());
        }
        true
    }

    fn get(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `1*NQCHAR` (RFC 9449 section 8.1).
fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE_LEN).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_one_field_of_nqchar() {
        for (name, values, is_learned) in [
            ("9449-8.1-1: control", &["eyJ7S_zG.eyJH0-Z.HX4w-7v"][..], true),
            ("every other character", &["!#$%&'()*+,-./:;<=>?@[]^_`{|}~"], true),
            ("none", &[], false),
            ("9449-8.2-1: two", &["a", "a"], false),
            ("empty", &[""], false),
            ("a quote", &["a\"b"], false),
            ("a backslash", &["a\\b"], false),
            ("a space", &["a b"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(DPOP_NONCE, HeaderValue::from_str(value).unwrap());
            }
            let nonce = Nonce::default();
            assert_eq!(nonce.learn(&headers), is_learned, "{name}");
            assert_eq!(nonce.get().as_deref(), values.first().copied().filter(|_| is_learned), "{name}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(DPOP_NONCE, HeaderValue::try_from("a".repeat(MAX_NONCE_LEN + 1)).unwrap());
        assert!(!Nonce::default().learn(&headers), "too long");
    }
}
