//! A token as a stranger sent it: split, sized, its header read; nothing in it
//! is true yet.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::header::Header;
use crate::{
    credential::MAX_TOKEN_LEN,
    jwks::{KeyHint, SignatureAlgorithm, VerifyingKey},
    reason::DenialReason,
};

/// The longest JOSE header, in bytes of JSON.
pub const MAX_HEADER_LEN: usize = 4 * 1024;

/// The longest signature: RSA with 8192 bits.
const MAX_SIGNATURE_LEN: usize = 1024;

/// A compact JWS whose signature is not checked (RFC 7515 section 7.1).
///
/// Reading one decides, in this order: size, number of parts, the header's
/// canonical base64url and JSON, `crit`, `b64`, `cty`, and that `alg` names an
/// algorithm of [`SignatureAlgorithm`], which has no `none` and no HMAC. Payload
/// and signature are decoded, as strictly, when they are asked for.
///
/// Most services never touch this type: the layer does. It is public for those
/// who verify a JWS without HTTP.
///
/// ```
/// use tower_delegation::{jwks::{AlgorithmSet, KeySet}, token::UnverifiedToken};
///
/// # fn verify(jws: &str, jwks: &[u8]) -> Option<Vec<u8>> {
/// let token = UnverifiedToken::parse(jws).ok()?;
/// let keys = KeySet::parse(jwks, AlgorithmSet::ALL).ok()?;
/// let key = keys.select(token.algorithm(), token.key_hint()).ok()?;
/// token.verify_signature(key).ok()?;
/// token.payload().ok()
/// # }
/// ```
pub struct UnverifiedToken<'a> {
    jws: CompactJws<'a>,
    header: Header,
}

/// The parts of a compact JWS, as they were sent (RFC 7515 section 3.1).
#[derive(Clone, Copy)]
pub(crate) struct CompactJws<'a> {
    pub(crate) signing_input: &'a str,
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    /// Reads the header of a compact JWS.
    ///
    /// # Errors
    /// The reason for which no issuer could make this token acceptable.
    pub fn parse(token: &'a str) -> Result<Self, DenialReason> {
        Self::read(token, Header::parse)
    }

    /// Reads the header of a JWT-SVID, which has no member that is of no use to it.
    pub(crate) fn parse_svid(token: &'a str) -> Result<Self, DenialReason> {
        Self::read(token, Header::parse_svid)
    }

    fn read(
        token: &'a str,
        header_of: fn(&[u8]) -> Result<Header, DenialReason>,
    ) -> Result<Self, DenialReason> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(DenialReason::TokenTooLarge);
        }
        let jws = CompactJws::split(token)?;
        let header = header_of(&jws.header_json()?)?;
        Ok(Self { jws, header })
    }

    /// The algorithm that the header names. Whether the issuer may use it is
    /// decided by its configuration, never by the token.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.header.algorithm
    }

    /// The key that the header names.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.key_id.as_deref()
    }

    /// All names of the key that the header gives: for
    /// [`KeySet::select`](crate::jwks::KeySet::select).
    pub fn key_hint(&self) -> KeyHint<'_> {
        self.header.key_hint()
    }

    /// Checks the signature over the token's text exactly as it was received
    /// (RFC 7515 section 5.2).
    ///
    /// # Errors
    /// [`DenialReason::KeyMismatch`] if the key is not for the token's algorithm,
    /// [`DenialReason::SignatureInvalid`] if the signature does not verify.
    pub fn verify_signature(&self, key: &VerifyingKey) -> Result<(), DenialReason> {
        self.jws.verify_signature(self.header.algorithm, key)
    }

    /// The payload's bytes, not yet to be believed.
    ///
    /// # Errors
    /// [`DenialReason::TokenMalformed`] if they are not canonical base64url.
    pub fn payload(&self) -> Result<Vec<u8>, DenialReason> {
        decode(self.jws.payload)
    }

    /// What is signed: the token's text up to its last dot.
    pub(super) fn signing_input(&self) -> &'a str {
        self.jws.signing_input
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }
}

impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken").finish_non_exhaustive()
    }
}

impl<'a> CompactJws<'a> {
    pub(crate) fn split(text: &'a str) -> Result<Self, DenialReason> {
        let (signing_input, signature) = text.rsplit_once('.').ok_or(DenialReason::TokenMalformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(DenialReason::TokenMalformed)?;
        match payload.bytes().filter(|b| *b == b'.').count() {
            0 => Ok(Self { signing_input, header, payload, signature }),
            // header.encrypted_key.iv.ciphertext.tag (RFC 7516 section 7.1)
            2 => Err(DenialReason::TokenEncrypted),
            _ => Err(DenialReason::TokenMalformed),
        }
    }

    /// The header's JSON, of at most [`MAX_HEADER_LEN`] bytes.
    pub(crate) fn header_json(self) -> Result<Vec<u8>, DenialReason> {
        // Four characters carry three bytes: nothing longer is decoded.
        if self.header.len() > MAX_HEADER_LEN.div_ceil(3) * 4 {
            return Err(DenialReason::HeaderTooLarge);
        }
        let header = decode(self.header)?;
        if header.len() > MAX_HEADER_LEN { Err(DenialReason::HeaderTooLarge) } else { Ok(header) }
    }

    /// Checks the signature over the text exactly as it was received.
    pub(crate) fn verify_signature(
        self,
        algorithm: SignatureAlgorithm,
        key: &VerifyingKey,
    ) -> Result<(), DenialReason> {
        if key.algorithm() != algorithm {
            return Err(DenialReason::KeyMismatch);
        }
        let mut signature = [0; MAX_SIGNATURE_LEN];
        let len = URL_SAFE_NO_PAD
            .decode_slice(self.signature, &mut signature)
            .or(Err(DenialReason::TokenMalformed))?;
        let signature = signature.get(..len).unwrap_or_default();
        key.verify(self.signing_input.as_bytes(), signature).or(Err(DenialReason::SignatureInvalid))
    }
}

/// Decodes base64url without padding and with zero trailing bits: otherwise one
/// token would have several spellings (RFC 7515 section 2, RFC 4648 section 3.5).
pub(crate) fn decode(part: &str) -> Result<Vec<u8>, DenialReason> {
    URL_SAFE_NO_PAD.decode(part).or(Err(DenialReason::TokenMalformed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn reads_the_header() {
        let text = token(r#"{"alg":"ES256","kid":"k1","typ":"at+jwt"}"#);
        let token = UnverifiedToken::parse(&text).unwrap();
        assert_eq!(token.algorithm(), SignatureAlgorithm::Es256);
        assert_eq!(token.key_id(), Some("k1"));
        assert_eq!(token.payload().unwrap(), b"{}");
    }

    #[test]
    fn refused() {
        use DenialReason as R;
        let good = token(r#"{"alg":"ES256"}"#);
        let with_long_header = token(&format!(r#"{{"alg":"ES256","x":"{}"}}"#, "a".repeat(MAX_HEADER_LEN)));
        let long = "a".repeat(1 << 20);
        for (name, text, reason) in [
            ("empty", String::new(), R::TokenMalformed),
            ("one part", "e30".to_owned(), R::TokenMalformed),
            ("two parts", "e30.e30".to_owned(), R::TokenMalformed),
            ("four parts", format!("{good}.AAAA"), R::TokenMalformed),
            ("five parts", format!("{good}.AAAA.AAAA"), R::TokenEncrypted),
            ("six parts", format!("{good}.A.A.A"), R::TokenMalformed),
            ("padded header", good.replacen('.', "=.", 1), R::TokenMalformed),
            ("JSON serialization", r#"{"payload":"","signatures":[]}"#.to_owned(), R::TokenMalformed),
            ("no header", format!(".{}", good.split_once('.').unwrap().1), R::HeaderMalformed),
            ("long header", with_long_header, R::HeaderTooLarge),
            ("one megabyte", long, R::TokenTooLarge),
        ] {
            assert_eq!(UnverifiedToken::parse(&text).err(), Some(reason), "{name}");
        }
    }

    #[test]
    fn trailing_bits_have_one_spelling() {
        assert!(decode("dg").is_ok());
        for part in ["dh", "dg==", "dg=", "d", "d g", "dg\n", "+/+/"] {
            assert_eq!(decode(part), Err(DenialReason::TokenMalformed), "{part:?}");
        }
    }

    #[test]
    fn the_longest_header_has_exactly_4096_bytes() {
        let of = |len: usize| token(&format!("{:<len$}", r#"{"alg":"ES256"}"#));
        assert!(UnverifiedToken::parse(&of(MAX_HEADER_LEN)).is_ok());
        for over in 1..4 {
            let refused = UnverifiedToken::parse(&of(MAX_HEADER_LEN + over)).err();
            assert_eq!(refused, Some(DenialReason::HeaderTooLarge), "{over}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let text = token(r#"{"alg":"ES256","kid":"secret-kid"}"#);
        let debug = format!("{:?}", UnverifiedToken::parse(&text).unwrap());
        assert_eq!(debug, "UnverifiedToken { .. }");
    }
}
