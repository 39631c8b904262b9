//! The header and the claims of a proof, read strictly (RFC 9449 section 4.2).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    clock::Timestamp,
    json::{Nested, read_object, string},
    jwks::SignatureAlgorithm,
    reason::DenialReason,
    token::{is_media_type, numeric_date},
};

/// The longest `jti`, in bytes. Good clients send 96 random bits, or a UUID.
const MAX_ID_LEN: usize = 512;

const MALFORMED: DenialReason = DenialReason::DpopProofMalformed;

/// What the header of a proof says.
pub(super) struct ProofHeader {
    pub(super) algorithm: SignatureAlgorithm,
    /// The public key, as JSON.
    pub(super) key: Box<RawValue>,
}

impl ProofHeader {
    pub(super) fn parse(json: &[u8]) -> Result<Self, DenialReason> {
        let json = str::from_utf8(json).or(Err(MALFORMED))?;
        let text = |value| string(value).ok_or(MALFORMED);
        let (mut algorithm, mut key, mut is_proof) = (None, None, false);
        read_object(json, MALFORMED, |name, value| {
            match name {
                "typ" => is_proof = is_media_type(&text(value)?, "dpop+jwt"),
                "alg" => {
                    let known = SignatureAlgorithm::from_name(&text(value)?);
                    algorithm = Some(known.ok_or(DenialReason::DpopProofAlgorithmNotAllowed)?);
                }
                "jwk" => key = Some(value.to_owned()),
                // As for tokens: no extension is understood, JWTs are encoded and not
                // compressed (RFC 7515 section 4.1.11, RFC 7797 section 7).
                "crit" | "b64" | "zip" => return Err(MALFORMED),
                _ => {}
            }
            Ok(Nested::Checked)
        })
        .map_err(own)?;
        if !is_proof {
            return Err(DenialReason::DpopProofTypeNotAccepted);
        }
        Ok(Self {
            algorithm: algorithm.ok_or(MALFORMED)?,
            key: key.ok_or(DenialReason::DpopProofKeyInvalid)?,
        })
    }
}

/// What the payload of a proof says.
#[derive(Debug)]
pub(super) struct ProofClaims<'a> {
    /// `jti`.
    pub(super) id: Cow<'a, str>,
    /// `htm`.
    pub(super) method: Cow<'a, str>,
    /// `htu`.
    pub(super) uri: Cow<'a, str>,
    /// `ath`.
    pub(super) token_hash: Cow<'a, str>,
    pub(super) issued_at: Timestamp,
    pub(super) not_before: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) nonce: Option<Cow<'a, str>>,
}

impl<'a> ProofClaims<'a> {
    pub(super) fn parse(json: &'a str) -> Result<Self, DenialReason> {
        const CLAIM: DenialReason = DenialReason::DpopProofClaimMalformed;
        let text = |value: &'a RawValue| string(value).map(Some).ok_or(CLAIM);
        // Fractions turn to the strict side.
        let date = |value, round| numeric_date(value, round).map(Some).ok_or(CLAIM);
        let (mut id, mut method, mut uri, mut token_hash, mut nonce) = (None, None, None, None, None);
        let (mut issued_at, mut not_before, mut expires_at) = (None, None, None);
        read_object(json, MALFORMED, |name, value| {
            match name {
                "jti" => id = text(value)?,
                "htm" => method = text(value)?,
                "htu" => uri = text(value)?,
                "ath" => token_hash = text(value)?,
                "nonce" => nonce = text(value)?,
                "iat" => issued_at = date(value, f64::floor)?,
                "nbf" => not_before = date(value, f64::ceil)?,
                "exp" => expires_at = date(value, f64::floor)?,
                _ => {}
            }
            Ok(Nested::Checked)
        })
        .map_err(own)?;
        const MISSING: DenialReason = DenialReason::DpopProofClaimMissing;
        let id: Cow<'_, str> = id.ok_or(MISSING)?;
        if id.is_empty() || id.len() > MAX_ID_LEN {
            return Err(CLAIM);
        }
        Ok(Self {
            id,
            method: method.ok_or(MISSING)?,
            uri: uri.ok_or(MISSING)?,
            token_hash: token_hash.ok_or(MISSING)?,
            issued_at: issued_at.ok_or(MISSING)?,
            not_before,
            expires_at,
            nonce,
        })
    }
}

/// The reader's reasons are those of tokens.
fn own(reason: DenialReason) -> DenialReason {
    match reason {
        DenialReason::DuplicateMember | DenialReason::StructureTooLarge => MALFORMED,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DenialReason as R;

    #[test]
    fn headers() {
        let long_type = "dpop+jwt".repeat(2);
        for (name, json, expected) in [
            ("good", r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{}}"#.to_owned(), None),
            ("4.3-4: upper case", r#"{"typ":"DPOP+JWT","alg":"ES256","jwk":{}}"#.into(), None),
            ("4.3-4: in full", r#"{"typ":"application/dpop+jwt","alg":"ES256","jwk":{}}"#.into(), None),
            (
                "4.2-1: unknown",
                r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{},"kid":"x","n":{"a":[1]}}"#.into(),
                None,
            ),
            (
                "4.3-4: JWT",
                r#"{"typ":"JWT","alg":"ES256","jwk":{}}"#.into(),
                Some(R::DpopProofTypeNotAccepted),
            ),
            ("4.3-4: none", r#"{"alg":"ES256","jwk":{}}"#.into(), Some(R::DpopProofTypeNotAccepted)),
            (
                "4.3-4: longer",
                format!(r#"{{"typ":"{long_type}","alg":"ES256","jwk":{{}}}}"#),
                Some(R::DpopProofTypeNotAccepted),
            ),
            ("4.3-4: number", r#"{"typ":1,"alg":"ES256","jwk":{}}"#.into(), Some(R::DpopProofMalformed)),
            (
                "4.3-5: none",
                r#"{"typ":"dpop+jwt","alg":"none","jwk":{}}"#.into(),
                Some(R::DpopProofAlgorithmNotAllowed),
            ),
            (
                "4.3-5: HMAC",
                r#"{"typ":"dpop+jwt","alg":"HS256","jwk":{}}"#.into(),
                Some(R::DpopProofAlgorithmNotAllowed),
            ),
            ("4.3-5: absent", r#"{"typ":"dpop+jwt","jwk":{}}"#.into(), Some(R::DpopProofMalformed)),
            ("4.3-6: no key", r#"{"typ":"dpop+jwt","alg":"ES256"}"#.into(), Some(R::DpopProofKeyInvalid)),
            (
                "crit",
                r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{},"crit":["x"]}"#.into(),
                Some(R::DpopProofMalformed),
            ),
            (
                "b64",
                r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{},"b64":true}"#.into(),
                Some(R::DpopProofMalformed),
            ),
            (
                "zip",
                r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{},"zip":"DEF"}"#.into(),
                Some(R::DpopProofMalformed),
            ),
            (
                "duplicate",
                r#"{"typ":"dpop+jwt","typ":"dpop+jwt","alg":"ES256","jwk":{}}"#.into(),
                Some(R::DpopProofMalformed),
            ),
            (
                "duplicate in jwk",
                r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{"x":1,"x":1}}"#.into(),
                Some(R::DpopProofMalformed),
            ),
            ("no object", "[]".into(), Some(R::DpopProofMalformed)),
        ] {
            assert_eq!(ProofHeader::parse(json.as_bytes()).err(), expected, "{name}");
        }
        assert_eq!(ProofHeader::parse(b"\xff").err(), Some(R::DpopProofMalformed));
    }

    #[test]
    fn claims() {
        const GOOD: [(&str, &str); 5] =
            [("jti", r#""j""#), ("htm", r#""GET""#), ("htu", r#""u""#), ("iat", "5"), ("ath", r#""a""#)];
        let with = |name: &str, value: Option<&str>| {
            let members = GOOD.iter().filter(|(member, _)| *member != name);
            let mut members: Vec<_> = members.map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
            members.extend(value.map(|value| format!(r#""{name}":{value}"#)));
            format!("{{{}}}", members.join(","))
        };
        assert!(ProofClaims::parse(&with("x", None)).is_ok());
        assert!(ProofClaims::parse(&with("extra", Some("{}"))).is_ok(), "4.2-1: unknown members are ignored");
        for (name, _) in GOOD {
            let refused = ProofClaims::parse(&with(name, None)).err();
            assert_eq!(refused, Some(R::DpopProofClaimMissing), "4.3-3: without {name}");
            for value in ["null", "{}", "true", r#"["x"]"#] {
                let refused = ProofClaims::parse(&with(name, Some(value))).err();
                assert_eq!(refused, Some(R::DpopProofClaimMalformed), "4.3-3: {name} is {value}");
            }
        }
        let (longest, long) = ("j".repeat(MAX_ID_LEN), "j".repeat(MAX_ID_LEN + 1));
        assert!(ProofClaims::parse(&with("jti", Some(&format!(r#""{longest}""#)))).is_ok());
        for (name, value) in [
            ("jti", format!(r#""{long}""#)),
            ("jti", r#""""#.to_owned()),
            ("jti", "1".to_owned()),
            ("iat", r#""5""#.to_owned()),
            ("iat", "-1".to_owned()),
            ("iat", "1e300".to_owned()),
            ("exp", r#""5""#.to_owned()),
            ("nbf", "null".to_owned()),
            ("nonce", "1".to_owned()),
        ] {
            let refused = ProofClaims::parse(&with(name, Some(&value))).err();
            assert_eq!(refused, Some(R::DpopProofClaimMalformed), "{name} is {value:.20}");
        }
        for (name, json) in [("twice", r#"{"jti":"a","jti":"a"}"#), ("no object", "1"), ("text", "x")] {
            assert_eq!(ProofClaims::parse(json).err(), Some(R::DpopProofMalformed), "{name}");
        }
    }
}
