//! The JOSE header of a token (RFC 7515 section 4).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    json::{Nested, read_object, string, strings},
    jwks::{KeyHint, SignatureAlgorithm},
    reason::DenialReason,
};

/// The longest name of a key, in bytes.
const MAX_KEY_ID_LEN: usize = 256;

/// What the header says, as far as it matters.
///
/// `jku`, `x5u`, `jwk` and `x5c` are never read: a token does not bring or name
/// its own key's source (RFC 8725 section 3.10).
pub(super) struct Header {
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) key_id: Option<Box<str>>,
    x5t: Option<Box<str>>,
    x5t_s256: Option<Box<str>>,
    pub(super) token_type: TokenType,
    replicas: Replicas,
}

/// What `typ` says (RFC 7515 section 4.1.9, RFC 8725 section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    /// `at+jwt` (RFC 9068 section 2.1).
    AccessToken,
    /// `JWT`, written out or not, or no `typ`: says nothing about the kind of token.
    Generic,
    /// Any other kind: never an access token.
    Other,
}

/// Claims replicated in the header, as raw JSON (RFC 7519 section 5.3).
#[derive(Default)]
struct Replicas {
    issuer: Option<Box<RawValue>>,
    subject: Option<Box<RawValue>>,
    audience: Option<Box<RawValue>>,
}

impl Header {
    pub(super) fn parse(json: &[u8]) -> Result<Self, DenialReason> {
        const MALFORMED: DenialReason = DenialReason::HeaderMalformed;
        let json = str::from_utf8(json).or(Err(MALFORMED))?;
        let text = |value| string(value).ok_or(MALFORMED);
        let mut algorithm = None;
        let mut key_id = None;
        let (mut x5t, mut x5t_s256) = (None, None);
        // A malformed thumbprint names no key, as a key's own does not.
        let thumbprint =
            |value| string(value).filter(|name| name.len() <= MAX_KEY_ID_LEN).map(|name| Box::from(&*name));
        let mut token_type = TokenType::Generic;
        let mut replicas = Replicas::default();
        read_object(json, MALFORMED, |name, value| {
            match name {
                "alg" => {
                    let name = text(value)?;
                    let known = SignatureAlgorithm::from_name(&name);
                    algorithm = Some(known.ok_or(DenialReason::AlgorithmNotAllowed)?);
                }
                "kid" => {
                    let id = text(value)?;
                    if id.len() > MAX_KEY_ID_LEN {
                        return Err(MALFORMED);
                    }
                    key_id = Some(id.into());
                }
                "x5t" => x5t = thumbprint(value),
                "x5t#S256" => x5t_s256 = thumbprint(value),
                "typ" => token_type = TokenType::from_name(&text(value)?),
                // No extension is understood, so every list of names is one too many; an
                // empty or malformed list is not allowed either (RFC 7515 section 4.1.11).
                "crit" => return Err(DenialReason::CriticalHeader),
                "b64" => return Err(DenialReason::UnencodedPayload),
                "cty" if is_media_type(&text(value)?, "jwt") => return Err(DenialReason::NestedToken),
                // Compression is for JWE (RFC 7516 section 4.1.3).
                "zip" => return Err(MALFORMED),
                "iss" => replicas.issuer = Some(value.to_owned()),
                "sub" => replicas.subject = Some(value.to_owned()),
                "aud" => replicas.audience = Some(value.to_owned()),
                _ => {}
            }
            Ok(Nested::Checked)
        })?;
        Ok(Self { algorithm: algorithm.ok_or(MALFORMED)?, key_id, x5t, x5t_s256, token_type, replicas })
    }

    /// The names of the key that the token says it was signed with.
    pub(super) fn key_hint(&self) -> KeyHint<'_> {
        let mut hint = KeyHint::from(self.key_id.as_deref());
        if let Some(x5t) = &self.x5t {
            hint = hint.x5t(x5t);
        }
        if let Some(x5t_s256) = &self.x5t_s256 {
            hint = hint.x5t_s256(x5t_s256);
        }
        hint
    }

    /// Reads the header of a JWT-SVID: `alg`, `kid`, `typ` and nothing else
    /// (JWT-SVID section 2).
    pub(super) fn parse_svid(json: &[u8]) -> Result<Self, DenialReason> {
        const MALFORMED: DenialReason = DenialReason::HeaderMalformed;
        let text = str::from_utf8(json).or(Err(MALFORMED))?;
        read_object(text, MALFORMED, |name, value| match name {
            "alg" | "kid" => Ok(Nested::Checked),
            "typ" if matches!(string(value).as_deref(), Some("JWT" | "JOSE")) => Ok(Nested::Checked),
            _ => Err(MALFORMED),
        })?;
        Self::parse(json)
    }

    /// Refuses a token whose header replicates a claim with another value.
    pub(super) fn check_replicas(
        &self,
        issuer: Option<&RawValue>,
        subject: Option<&RawValue>,
        audience: Option<&RawValue>,
    ) -> Result<(), DenialReason> {
        let agrees = |replica: &Option<Box<RawValue>>, claim: Option<&RawValue>| match replica {
            None => true,
            Some(replica) => claim.is_some_and(|claim| same_value(replica, claim)),
        };
        if agrees(&self.replicas.issuer, issuer)
            && agrees(&self.replicas.subject, subject)
            && agrees(&self.replicas.audience, audience)
        {
            Ok(())
        } else {
            Err(DenialReason::HeaderClaimMismatch)
        }
    }
}

impl TokenType {
    fn from_name(name: &str) -> Self {
        if is_media_type(name, "at+jwt") {
            Self::AccessToken
        } else if is_media_type(name, "jwt") {
            Self::Generic
        } else {
            Self::Other
        }
    }
}

/// Compares a `typ` or `cty`: case-insensitive, `application/` may be left out
/// (RFC 7515 section 4.1.9).
pub(crate) fn is_media_type(name: &str, subtype: &str) -> bool {
    let bare = match name.split_once('/') {
        Some((kind, bare)) if kind.eq_ignore_ascii_case("application") => bare,
        _ => name,
    };
    bare.eq_ignore_ascii_case(subtype)
}

/// Do two raw values mean the same string, or the same list of strings?
fn same_value(a: &RawValue, b: &RawValue) -> bool {
    let list = |value| -> Option<Vec<Cow<'_, str>>> {
        string(value).map(|text| vec![text]).or_else(|| strings(value))
    };
    list(a).is_some_and(|a| list(b).is_some_and(|b| a == b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Header, DenialReason> {
        Header::parse(json.as_bytes())
    }

    #[test]
    fn types_are_media_types() {
        use TokenType::{AccessToken, Generic, Other};
        for (name, expected) in [
            ("at+jwt", AccessToken),
            ("AT+JWT", AccessToken),
            ("application/at+jwt", AccessToken),
            ("APPLICATION/AT+jwt", AccessToken),
            ("JWT", Generic),
            ("jwt", Generic),
            ("application/JWT", Generic),
            ("application/jwt", Generic),
            ("Application/Jwt", Generic),
            ("text/jwt", Other),
            ("application/application/jwt", Other),
            ("at+jwt2", Other),
            ("text/at+jwt", Other),
            ("application/application/at+jwt", Other),
            ("dpop+jwt", Other),
            ("logout+jwt", Other),
            ("secevent+jwt", Other),
            ("oauth-id-jag+jwt", Other),
            ("token-introspection+jwt", Other),
            ("txntoken+jwt", Other),
            ("", Other),
        ] {
            let header = parse(&format!(r#"{{"alg":"ES256","typ":"{name}"}}"#)).unwrap();
            assert_eq!(header.token_type, expected, "{name:?}");
        }
        assert_eq!(parse(r#"{"alg":"ES256"}"#).unwrap().token_type, Generic);
    }

    #[test]
    fn refused() {
        use DenialReason as R;
        let long_kid = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(MAX_KEY_ID_LEN + 1));
        for (name, json, reason) in [
            ("not an object", "[]", R::HeaderMalformed),
            ("no alg", "{}", R::HeaderMalformed),
            ("alg is a number", r#"{"alg":1}"#, R::HeaderMalformed),
            ("alg null", r#"{"alg":null}"#, R::HeaderMalformed),
            ("none", r#"{"alg":"none"}"#, R::AlgorithmNotAllowed),
            ("nOnE", r#"{"alg":"nOnE"}"#, R::AlgorithmNotAllowed),
            ("HMAC", r#"{"alg":"HS256"}"#, R::AlgorithmNotAllowed),
            ("lower case", r#"{"alg":"es256"}"#, R::AlgorithmNotAllowed),
            ("typ is a number", r#"{"alg":"ES256","typ":1}"#, R::HeaderMalformed),
            ("kid is a number", r#"{"alg":"ES256","kid":1}"#, R::HeaderMalformed),
            ("kid too long", long_kid.as_str(), R::HeaderMalformed),
            ("crit, unknown", r#"{"alg":"ES256","crit":["x"],"x":1}"#, R::CriticalHeader),
            ("crit, empty", r#"{"alg":"ES256","crit":[]}"#, R::CriticalHeader),
            ("crit, malformed", r#"{"alg":"ES256","crit":"x"}"#, R::CriticalHeader),
            ("crit, null", r#"{"alg":"ES256","crit":null}"#, R::CriticalHeader),
            ("b64 false", r#"{"alg":"ES256","b64":false}"#, R::UnencodedPayload),
            ("b64 true", r#"{"alg":"ES256","b64":true}"#, R::UnencodedPayload),
            ("nested", r#"{"alg":"ES256","cty":"JWT"}"#, R::NestedToken),
            ("nested, media type", r#"{"alg":"ES256","cty":"application/jwt"}"#, R::NestedToken),
            ("compressed", r#"{"alg":"ES256","zip":"DEF"}"#, R::HeaderMalformed),
            ("duplicate alg", r#"{"alg":"ES256","alg":"ES256"}"#, R::DuplicateMember),
            ("duplicate extra", r#"{"alg":"ES256","x":1,"x":1}"#, R::DuplicateMember),
            ("duplicate nested", r#"{"alg":"ES256","jwk":{"x":1,"x":1}}"#, R::DuplicateMember),
        ] {
            assert_eq!(parse(json).err(), Some(reason), "{name}");
        }
        assert_eq!(Header::parse(b"{\"alg\":\"ES256\xff\"}").err(), Some(R::HeaderMalformed));
    }

    #[test]
    fn the_header_of_an_svid_has_three_members_at_most() {
        let parse = |json: &str| Header::parse_svid(json.as_bytes()).map(|_| ());
        for json in [
            r#"{"alg":"ES256"}"#,
            r#"{"alg":"ES256","kid":"k"}"#,
            r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#,
            r#"{"typ":"JOSE","kid":"k","alg":"ES256"}"#,
        ] {
            assert_eq!(parse(json), Ok(()), "{json}");
        }
        for json in [
            r#"{"alg":"ES256","typ":"jwt"}"#,
            r#"{"alg":"ES256","typ":"at+jwt"}"#,
            r#"{"alg":"ES256","typ":""}"#,
            r#"{"alg":"ES256","typ":null}"#,
            r#"{"alg":"ES256","jku":"https://example.org/"}"#,
            r#"{"alg":"ES256","x5c":[]}"#,
            r#"{"alg":"ES256","cty":"x"}"#,
            r#"{"alg":"ES256","iss":"x"}"#,
            r#"{"kid":"k","typ":"JWT"}"#,
        ] {
            assert_eq!(parse(json), Err(DenialReason::HeaderMalformed), "{json}");
        }
        assert_eq!(parse(r#"{"alg":"ES256","kid":"a","kid":"b"}"#), Err(DenialReason::DuplicateMember));
    }

    #[test]
    fn replicas_must_agree() {
        let raw = |text: &'static str| serde_json::from_str::<&RawValue>(text).unwrap();
        let header = parse(r#"{"alg":"ES256","iss":"a","aud":["x"]}"#).unwrap();
        assert_eq!(header.check_replicas(Some(raw("\"a\"")), None, Some(raw("\"x\""))), Ok(()));
        for (issuer, audience) in [("\"b\"", "\"x\""), ("\"a\"", "\"y\""), ("1", "\"x\"")] {
            let checked = header.check_replicas(Some(raw(issuer)), None, Some(raw(audience)));
            assert_eq!(checked, Err(DenialReason::HeaderClaimMismatch), "{issuer} {audience}");
        }
        assert!(header.check_replicas(None, None, None).is_err());
    }
}
