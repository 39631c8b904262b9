//! `cnf`: what a token is bound to, so that it is of no use without a proof of
//! possession (RFC 7800 section 3.1).
//!
//! 1. Absent: a plain bearer token.
//! 2. `x5t#S256`, the SHA-256 thumbprint of a certificate: the token is bound to
//!    that certificate (RFC 8705 section 3.1).
//! 3. `jkt`, the SHA-256 thumbprint of a public key: the token is bound to that
//!    key (RFC 9449 section 6.1).
//! 4. Both: the token is bound to both, and both have to be proved.
//! 5. Anything else is refused. A token that carries a confirmation was issued
//!    on the promise that a thief cannot use it, so one that this version
//!    cannot check (`jwk`, `jwe`, `jku`, `kid`, a known member beside an unknown
//!    one) is never taken as a plain bearer token.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::value::RawValue;

use crate::reason::DenialReason;

/// How a token is tied to the party that presents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SenderConstraint {
    /// Not at all: a plain bearer token.
    None,
    /// By the client certificate of the connection (RFC 8705 section 3).
    MutualTls,
    /// By a key that the request proves possession of (RFC 9449).
    Dpop,
    /// By both, and both were proved.
    MutualTlsAndDpop,
}

impl SenderConstraint {
    /// Was the token's certificate proved to be the connection's?
    #[must_use]
    pub fn is_mutual_tls(self) -> bool {
        matches!(self, Self::MutualTls | Self::MutualTlsAndDpop)
    }

    /// Was possession of the token's key proved?
    #[must_use]
    pub fn is_dpop(self) -> bool {
        matches!(self, Self::Dpop | Self::MutualTlsAndDpop)
    }

    /// The constraint in `snake_case`, as audit events carry it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::MutualTls => "mutual_tls",
            Self::Dpop => "dpop",
            Self::MutualTlsAndDpop => "mutual_tls_and_dpop",
        }
    }
}

/// What a token is bound to: everything that is there has to be proved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmation {
    /// The SHA-256 of the DER of a certificate (RFC 8705 section 3.1).
    certificate: Option<[u8; 32]>,
    /// The SHA-256 thumbprint of a public key (RFC 7638, RFC 9449 section 6.1).
    key: Option<[u8; 32]>,
}

impl Confirmation {
    /// Reads the `cnf` claim. What it returns names at least one of the two.
    pub(crate) fn parse(cnf: &RawValue) -> Result<Self, DenialReason> {
        let members: HashMap<String, Box<RawValue>> =
            serde_json::from_str(cnf.get()).or(Err(DenialReason::ConfirmationMalformed))?;
        if members.is_empty() {
            return Err(DenialReason::ConfirmationMalformed);
        }
        let mut confirmation = Self { certificate: None, key: None };
        // What cannot be checked is judged before what is malformed, whatever their order.
        if !members.keys().all(|name| matches!(name.as_str(), "x5t#S256" | "jkt")) {
            return Err(DenialReason::ConfirmationUnsupported);
        }
        for (name, value) in &members {
            let bound = Some(thumbprint(value)?);
            match name.as_str() {
                "x5t#S256" => confirmation.certificate = bound,
                _ => confirmation.key = bound,
            }
        }
        Ok(confirmation)
    }

    /// The thumbprint of the certificate that the token is bound to.
    pub(crate) fn certificate(&self) -> Option<&[u8; 32]> {
        self.certificate.as_ref()
    }

    /// The thumbprint of the key that the token is bound to.
    pub(crate) fn key(&self) -> Option<&[u8; 32]> {
        self.key.as_ref()
    }
}

/// 32 bytes, in their one spelling: base64url without padding.
fn thumbprint(value: &RawValue) -> Result<[u8; 32], DenialReason> {
    const MALFORMED: DenialReason = DenialReason::ConfirmationMalformed;
    let text: String = serde_json::from_str(value.get()).or(Err(MALFORMED))?;
    let mut bytes = [0; 32];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(32) => Ok(bytes),
        Ok(_) | Err(_) => Err(MALFORMED),
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
        let zero = "A".repeat(43);
        let (none, some) = (None, Some([0; 32]));
        for (cnf, certificate, key) in [
            (format!(r#"{{"x5t#S256":"{zero}"}}"#), some, none),
            (format!(r#"{{"jkt":"{zero}"}}"#), none, some),
            (format!(r#"{{"x5t#S256":"{zero}","jkt":"{zero}"}}"#), some, some),
            (format!(r#"{{"jkt":"{zero}","x5t#S256":"{zero}"}}"#), some, some),
        ] {
            assert!(parse(&cnf) == Ok(Confirmation { certificate, key }), "{cnf}");
        }
    }

    #[test]
    fn refused() {
        use DenialReason::{ConfirmationMalformed as Malformed, ConfirmationUnsupported as Unsupported};
        let zero = "A".repeat(43);
        for (cnf, reason) in [
            (r#"{"unknown":1}"#.to_owned(), Unsupported),
            (r#"{"kid":"k1"}"#.to_owned(), Unsupported),
            (r#"{"jku":"https://a.example/jwks"}"#.to_owned(), Unsupported),
            (r#"{"jwe":"e30.e30.e30.e30.e30"}"#.to_owned(), Unsupported),
            (r#"{"jwk":{"kty":"EC"}}"#.to_owned(), Unsupported),
            (format!(r#"{{"x5t#S256":"{zero}","unknown":1}}"#), Unsupported),
            (format!(r#"{{"jkt":"{zero}","kid":"k1"}}"#), Unsupported),
            (format!(r#"{{"jkt":"{zero}","x5t#S256":"{zero}","jwk":{{}}}}"#), Unsupported),
            (r#"{"jkt":1,"unknown":1}"#.to_owned(), Unsupported),
            (format!(r#"{{"x5t#s256":"{zero}"}}"#), Unsupported),
            (format!(r#"{{"JKT":"{zero}"}}"#), Unsupported),
            ("{}".to_owned(), Malformed),
            ("null".to_owned(), Malformed),
            ("[]".to_owned(), Malformed),
            (r#""x5t#S256""#.to_owned(), Malformed),
            (format!(r#"{{"x5t#S256":"{zero}","jkt":""}}"#), Malformed),
            (format!(r#"{{"x5t#S256":null,"jkt":"{zero}"}}"#), Malformed),
        ] {
            assert!(parse(&cnf) == Err(reason), "{cnf}");
        }
        for name in ["x5t#S256", "jkt"] {
            for value in [
                "1".to_owned(),
                "null".to_owned(),
                r#""""#.to_owned(),
                r#""x""#.to_owned(),
                format!(r#"["{zero}"]"#),
                format!(r#""{zero}=""#),
                format!(r#""{zero}A""#),
                format!(r#""{}""#, "A".repeat(42)),
                format!(r#""{}B""#, "A".repeat(42)),
                format!(r#""{}+""#, "A".repeat(42)),
                format!(r#""{}""#, "ab".repeat(32)),
                // The sample of RFC 8705 section 3.1 is not canonical base64url.
                r#""bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2""#.to_owned(),
            ] {
                let cnf = format!(r#"{{"{name}":{value}}}"#);
                assert!(parse(&cnf) == Err(Malformed), "{cnf}");
            }
        }
    }

    #[test]
    fn a_constraint_of_both_is_each_of_them() {
        use SenderConstraint::{Dpop, MutualTls, MutualTlsAndDpop, None};
        for (constraint, mutual_tls, dpop) in [
            (None, false, false),
            (MutualTls, true, false),
            (Dpop, false, true),
            (MutualTlsAndDpop, true, true),
        ] {
            let found = (constraint.is_mutual_tls(), constraint.is_dpop());
            assert_eq!(found, (mutual_tls, dpop), "{}", constraint.as_str());
        }
    }
}
