//! The `cnf` claim: how a token is bound to a key (RFC 7800 section 3.1).
//!
//! This version checks no confirmation method. A token that carries one was
//! issued on the promise that a thief cannot use it, so it is refused, never
//! taken as a plain bearer token.

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::reason::DenialReason;

/// Why a token with this `cnf` is refused.
pub(crate) fn refusal(cnf: &RawValue) -> DenialReason {
    match serde_json::from_str::<HashMap<String, IgnoredAny>>(cnf.get()) {
        Ok(members) if !members.is_empty() => DenialReason::ConfirmationUnsupported,
        Ok(_) | Err(_) => DenialReason::ConfirmationMalformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_confirmation_is_refused() {
        use DenialReason::{ConfirmationMalformed as Malformed, ConfirmationUnsupported as Unsupported};
        for (cnf, reason) in [
            (r#"{"jkt":"x"}"#, Unsupported),
            (r#"{"x5t#S256":"x"}"#, Unsupported),
            (r#"{"unknown":1}"#, Unsupported),
            ("{}", Malformed),
            ("null", Malformed),
            ("[]", Malformed),
            (r#""jkt""#, Malformed),
        ] {
            let raw: Box<RawValue> = serde_json::from_str(cnf).unwrap();
            assert_eq!(refusal(&raw), reason, "{cnf}");
        }
    }
}
