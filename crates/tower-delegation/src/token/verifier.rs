//! From a token's text to a [`VerifiedToken`], or to the reason why not.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::value::RawValue;

use super::{
    VerifiedToken,
    claims::{RawClaims, Terms},
    header::{Header, TokenType},
    json::{find, string},
    unverified::UnverifiedToken,
};
use crate::{
    clock::Clock,
    issuer::{IssuerPolicy, Issuers, PolicyRef, TypePolicy},
    jwks::{PendingKey, Resolution, VerifyingKey},
    reason::DenialReason,
};

/// Verifies tokens of the trusted issuers, each issuer by itself.
///
/// The order of the checks is part of the promise: cheap and unauthenticated
/// ones first, nothing is fetched before the header passed, claims are judged
/// only after the signature.
///
/// 1. size, parts, base64url, header ([`UnverifiedToken::parse`])
/// 2. the payload is one JSON object without duplicate members
/// 3. `iss` is exactly a trusted issuer
/// 4. `alg` is one that this issuer may use; `typ` is the access token's
/// 5. one published key fits `kid` and `alg`
/// 6. the signature
/// 7. required claims, types, `aud`, `cnf`, `act`
/// 8. `exp`, `nbf`, `iat`, maximum lifetime and age
pub(crate) struct Verifier {
    issuers: Issuers,
    clock: Arc<dyn Clock>,
    leeway: Duration,
    max_actors: usize,
}

/// How far [`Verifier::verify`] came without waiting.
pub(crate) enum Verification {
    /// To the end.
    Done(Result<VerifiedToken, DenialReason>),
    /// To the issuer's keys, which have to be fetched first. Await the key and
    /// call [`Verifier::verify_with`].
    NeedsKey(PendingKey),
}

impl Verifier {
    pub(crate) fn new(issuers: Issuers, clock: Arc<dyn Clock>, leeway: Duration, max_actors: usize) -> Self {
        Self { issuers, clock, leeway, max_actors }
    }

    /// The configured ones.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &IssuerPolicy> {
        self.issuers.configured()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Verifies as far as is possible without waiting.
    pub(crate) fn verify(&self, text: &str) -> Verification {
        let (token, payload) = match read(text) {
            Ok(read) => read,
            Err(reason) => return Verification::Done(Err(reason)),
        };
        let (claims, policy) = match self.admit(&token, &payload) {
            Ok(admitted) => admitted,
            Err(reason) => return Verification::Done(Err(reason)),
        };
        match policy.keys().resolve(token.algorithm(), token.key_id()) {
            Resolution::Ready(key) => {
                Verification::Done(key.and_then(|key| self.finish(&token, &key, claims, &policy)))
            }
            Resolution::Pending(key) => Verification::NeedsKey(key),
        }
    }

    /// Verifies the same text again, now that its key is there.
    pub(crate) fn verify_with(&self, text: &str, key: &VerifyingKey) -> Result<VerifiedToken, DenialReason> {
        let (token, payload) = read(text)?;
        let (claims, policy) = self.admit(&token, &payload)?;
        self.finish(&token, key, claims, &policy)
    }

    /// Steps 2 to 4: whose token does this claim to be, and may it be one?
    fn admit<'p>(
        &self,
        token: &UnverifiedToken<'_>,
        payload: &'p str,
    ) -> Result<(RawClaims<'p>, PolicyRef<'_>), DenialReason> {
        let claims = RawClaims::parse(payload)?;
        token.header().check_replicas(claims.issuer, claims.subject, claims.audience)?;
        let issuer = claims.issuer.ok_or(DenialReason::ClaimMissing)?;
        let issuer = string(issuer).ok_or(DenialReason::ClaimMalformed)?;
        let policy = self.issuers.get(&issuer).ok_or(DenialReason::IssuerUnknown)?;
        if !policy.algorithms().contains(token.algorithm()) {
            return Err(DenialReason::AlgorithmNotAllowed);
        }
        check_type(token.header(), policy.type_policy(), payload)?;
        Ok((claims, policy))
    }

    /// Steps 6 to 8.
    fn finish(
        &self,
        token: &UnverifiedToken<'_>,
        key: &VerifyingKey,
        claims: RawClaims<'_>,
        policy: &IssuerPolicy,
    ) -> Result<VerifiedToken, DenialReason> {
        token.verify_signature(key)?;
        let terms = Terms {
            issuer: policy.issuer(),
            audiences: policy.audiences(),
            mapping: policy.mapping(),
            max_actors: self.max_actors,
        };
        let verified = claims.into_verified(&terms, token.signing_input())?;
        verified.check_times(self.clock.now(), self.leeway, policy)?;
        Ok(verified)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuers", &self.issuers)
            .field("leeway", &self.leeway)
            .field("max_actors", &self.max_actors)
            .finish_non_exhaustive()
    }
}

/// Steps 1 and the UTF-8 half of 2.
fn read(text: &str) -> Result<(UnverifiedToken<'_>, String), DenialReason> {
    let token = UnverifiedToken::parse(text)?;
    let payload = String::from_utf8(token.payload()?).or(Err(DenialReason::TokenMalformed))?;
    Ok((token, payload))
}

/// Is this an access token and no other kind that the issuer signs with the
/// same keys? (RFC 9068 section 4, RFC 8725 section 3.12)
fn check_type(header: &Header, policy: &TypePolicy, payload: &str) -> Result<(), DenialReason> {
    match (header.token_type, policy) {
        (TokenType::AccessToken, _) => Ok(()),
        (TokenType::Generic, TypePolicy::Generic(check)) => {
            if check.accepts(|name| find(payload, name).map(RawValue::get)) {
                Ok(())
            } else {
                Err(DenialReason::NotAnAccessToken)
            }
        }
        (TokenType::Generic, TypePolicy::AccessTokenOnly) | (TokenType::Other, _) => {
            Err(DenialReason::TypeNotAccepted)
        }
    }
}
