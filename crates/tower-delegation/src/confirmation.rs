//! The `cnf` claim: how a token is bound to a key (RFC 7800 section 3.1).
//!
//! 1. Absent: a plain bearer token.
//! 2. Exactly `x5t#S256`, the SHA-256 thumbprint of a certificate: the token is
//!    bound to that certificate (RFC 8705 section 3.1).
//! 3. Anything else is refused. A token that carries a confirmation was issued
//!    on the promise that a thief cannot use it, so one that this version
//!    cannot check (`jkt`, `jwk`, `kid`, two at once) is never taken as a plain
//!    bearer token.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::value::RawValue;

use crate::reason::DenialReason;

/// What a token is bound to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// The SHA-256 of the DER of a certificate (RFC 8705 section 3.1).
    Certificate([u8; 32]),
}

impl Confirmation {
    /// Reads the `cnf` claim.
    pub(crate) fn parse(cnf: &RawValue) -> Result<Self, DenialReason> {
        const MALFORMED: DenialReason = DenialReason::ConfirmationMalformed;
        let members: HashMap<String, Box<RawValue>> = serde_json::from_str(cnf.get()).or(Err(MALFORMED))?;
        if members.is_empty() {
            return Err(MALFORMED);
        }
        let Some(thumbprint) = members.get("x5t#S256").filter(|_| members.len() == 1) else {
            return Err(DenialReason::ConfirmationUnsupported);
        };
        let thumbprint: String = serde_json::from_str(thumbprint.get()).or(Err(MALFORMED))?;
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(thumbprint, &mut bytes) {
            Ok(32) => Ok(Self::Certificate(bytes)),
            Ok(_) | Err(_) => Err(MALFORMED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(cnf: &str) -> Result<Confirmation, DenialReason> {
        let raw: Box<RawValue> = serde_json::from_str(cnf).unwrap();
        Confirmation::parse(&raw)
    }

    #[test]
    fn a_thumbprint_is_32_bytes() {
        let zero = format!(r#"{{"x5t#S256":"{}"}}"#, "A".repeat(43));
        assert!(parse(&zero) == Ok(Confirmation::Certificate([0; 32])));
    }

    #[test]
    fn refused() {
        use DenialReason::{ConfirmationMalformed as Malformed, ConfirmationUnsupported as Unsupported};
        let zero = "A".repeat(43);
        for (cnf, reason) in [
            (r#"{"jkt":"x"}"#.to_owned(), Unsupported),
            (r#"{"unknown":1}"#.to_owned(), Unsupported),
            (format!(r#"{{"x5t#S256":"{zero}","jkt":"{zero}"}}"#), Unsupported),
            (format!(r#"{{"x5t#S256":"{zero}","unknown":1}}"#), Unsupported),
            (format!(r#"{{"x5t#s256":"{zero}"}}"#), Unsupported),
            ("{}".to_owned(), Malformed),
            ("null".to_owned(), Malformed),
            ("[]".to_owned(), Malformed),
            (r#""x5t#S256""#.to_owned(), Malformed),
            (r#"{"x5t#S256":1}"#.to_owned(), Malformed),
            (r#"{"x5t#S256":null}"#.to_owned(), Malformed),
            (r#"{"x5t#S256":""}"#.to_owned(), Malformed),
            (format!(r#"{{"x5t#S256":"{zero}="}}"#), Malformed),
            (format!(r#"{{"x5t#S256":"{zero}A"}}"#), Malformed),
            (format!(r#"{{"x5t#S256":"{}"}}"#, "A".repeat(42)), Malformed),
            (format!(r#"{{"x5t#S256":"{}B"}}"#, "A".repeat(42)), Malformed),
            (format!(r#"{{"x5t#S256":"{}+"}}"#, "A".repeat(42)), Malformed),
            (format!(r#"{{"x5t#S256":"{}"}}"#, "ab".repeat(32)), Malformed),
            // The sample of RFC 8705 section 3.1 is not canonical base64url.
            (r#"{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}"#.to_owned(), Malformed),
        ] {
            assert!(parse(&cnf) == Err(reason), "{cnf}");
        }
    }
}
