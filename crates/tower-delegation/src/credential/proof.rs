//! The `DPoP` field in the head of a request (RFC 9449 section 4.1).

use http::{HeaderMap, HeaderName};

use crate::reason::DenialReason;

/// The longest proof that is looked at, in bytes: room for an RSA key of 8192
/// bits and a signature with it.
pub const MAX_PROOF_LEN: usize = 8 * 1024;

/// The field that carries a proof.
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The one DPoP proof that a request carries; its syntax is judged later.
pub(crate) fn dpop_proof(headers: &HeaderMap) -> Result<&str, DenialReason> {
    let mut fields = headers.get_all(DPOP).iter();
    let field = fields.next().ok_or(DenialReason::DpopProofMissing)?;
    if fields.next().is_some() {
        return Err(DenialReason::DpopProofMultiple);
    }
    if field.len() > MAX_PROOF_LEN {
        return Err(DenialReason::DpopProofTooLarge);
    }
    // A proxy on the way may have joined two lines into one (RFC 9110 section 5.3).
    if field.as_bytes().contains(&b',') {
        return Err(DenialReason::DpopProofMultiple);
    }
    field.to_str().or(Err(DenialReason::DpopProofMalformed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn exactly_one_proof() {
        use DenialReason as R;
        let (longest, too_long) = ("a".repeat(MAX_PROOF_LEN), "a".repeat(MAX_PROOF_LEN + 1));
        for (name, fields, expected) in [
            ("one", &["e30.e30.AA"][..], Ok("e30.e30.AA")),
            ("the longest", &[&longest], Ok(longest.as_str())),
            ("none", &[], Err(R::DpopProofMissing)),
            ("two lines", &["a", "a"], Err(R::DpopProofMultiple)),
            ("two lines, one empty", &["a", ""], Err(R::DpopProofMultiple)),
            ("two in one line", &["a, b"], Err(R::DpopProofMultiple)),
            ("a comma at the end", &["a,"], Err(R::DpopProofMultiple)),
            ("too long", &[&too_long], Err(R::DpopProofTooLarge)),
            ("not ASCII", &["\u{e9}"], Err(R::DpopProofMalformed)),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("DPoP", HeaderValue::from_bytes(field.as_bytes()).unwrap());
            }
            assert_eq!(dpop_proof(&headers), expected, "{name}");
        }
    }
}
