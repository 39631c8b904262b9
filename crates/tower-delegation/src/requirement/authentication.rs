//! Demands on how and when the user authenticated (RFC 9470).

use std::time::Duration;

use super::{
    Requirement,
    describe::Description,
    evaluate::{Evidence, Failure, Outcome, ensure},
};
use crate::reason::DenialReason;

#[derive(Clone, Debug, Default)]
pub(super) struct Authentication {
    /// In order of preference.
    pub(super) acr: Vec<Box<str>>,
    pub(super) max_age: Option<Duration>,
}

impl Requirement {
    /// Demands an authentication of this class, or of another one demanded
    /// here, in order of preference: the claim `acr` is exactly one of them
    /// (RFC 9470 section 5). A token without `acr` does not satisfy. Otherwise
    /// the answer is 401 `insufficient_user_authentication` with `acr_values`; 403
    /// where `acr` is malformed, which another sign-in does not cure.
    #[must_use]
    pub fn acr(mut self, acr: &str) -> Self {
        // Space-delimited, in a quoted string (RFC 9470 section 3).
        if acr.is_empty() || !acr.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)) {
            self.add_problem(
                "an `acr` cannot stand in a challenge: use printable ASCII without spaces, quotes and backslashes",
            );
        }
        self.authentication.acr.push(acr.into());
        self
    }

    /// Demands a user who authenticated this long ago at most: `auth_time`,
    /// with the configured leeway (RFC 9470 section 5). A token without
    /// `auth_time` does not satisfy. Otherwise the answer is 401
    /// `insufficient_user_authentication` with `max_age` in whole seconds.
    #[must_use]
    pub fn max_authentication_age(mut self, age: Duration) -> Self {
        let known = self.authentication.max_age;
        self.authentication.max_age = Some(known.map_or(age, |max| max.min(age)));
        self
    }
}

impl Authentication {
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let delegation = evidence.delegation;
        if !self.acr.is_empty() {
            let acr = delegation.acr()?.ok_or(Failure::unknown(DenialReason::AuthenticationTooWeak))?;
            let satisfies = self.acr.iter().any(|demanded| **demanded == *acr);
            ensure(satisfies, DenialReason::AuthenticationTooWeak)?;
        }
        if let Some(max) = self.max_age {
            let unknown = Failure::unknown(DenialReason::AuthenticationTooOld);
            let auth_time = delegation.auth_time()?.ok_or(unknown)?;
            let (now, leeway) = (delegation.authenticated_at(), delegation.circumstances().leeway);
            if auth_time > now.saturating_add(leeway) {
                // Nobody has authenticated in the future: the claim tells nothing.
                return Err(unknown);
            }
            let age = now.saturating_since(auth_time);
            ensure(age <= max.saturating_add(leeway), DenialReason::AuthenticationTooOld)?;
        }
        Ok(())
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        to.texts("acr", &self.acr);
        to.seconds("max_authentication_age", self.max_age);
    }
}
