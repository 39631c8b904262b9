//! From a token's text to a [`VerifiedToken`], or to the reason why not.

use std::{fmt, future::ready, sync::Arc, time::Duration};

use serde_json::value::RawValue;

use super::{
    cache::{Entry, TextCache, TextHash, TokenCache},
    claims::RawClaims,
    header::{Header, TokenType},
    terms::Terms,
    unverified::UnverifiedToken,
    verified::VerifiedToken,
};
use crate::{
    clock::{Clock, Timestamp},
    credential::Credential,
    issuer::{IssuerPolicy, Issuers, PolicyRef, TypePolicy},
    json::{find, string},
    jwks::{PendingKey, VerifyingKey},
    reason::DenialReason,
    step::Step,
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
    issuers: Arc<Issuers>,
    clock: Arc<dyn Clock>,
    leeway: Duration,
    max_actors: usize,
    verified: TextCache<Entry>,
}

/// How far [`Verifier::verify`] came without waiting.
pub(crate) enum Verification {
    /// To the end.
    Done(Result<VerifiedToken, DenialReason>),
    /// To the issuer's keys, which have to be fetched first, or once more. Await
    /// the key and call [`Verifier::verify_with`].
    NeedsKey(PendingKey, Arc<IssuerPolicy>),
}

impl Verifier {
    pub(crate) fn new(
        issuers: Arc<Issuers>,
        clock: Arc<dyn Clock>,
        leeway: Duration,
        max_actors: usize,
        cache: TokenCache,
    ) -> Self {
        #[cfg(feature = "metrics")]
        super::metrics::describe();
        Self { issuers, clock, leeway, max_actors, verified: TextCache::new(cache) }
    }

    pub(crate) fn issuers(&self) -> &Arc<Issuers> {
        &self.issuers
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Verifies as far as is possible without waiting.
    pub(crate) fn verify(&self, credential: Credential<'_>) -> Verification {
        let hash = self.verified.hash(credential.as_bytes());
        if let Some(entry) = self.verified.get(hash) {
            let now = self.clock.now();
            if self.issuers.are_in_force(&entry.policy) && entry.key_is_published(now) {
                return Verification::Done(self.recheck(hash, &entry, now));
            }
            self.verified.remove(hash);
        }
        self.verify_anew(credential, hash).unwrap_or_else(|reason| Verification::Done(Err(reason)))
    }

    /// A token that was verified before and whose key is published still:
    /// judges what changes with time.
    fn recheck(&self, hash: TextHash, entry: &Entry, now: Timestamp) -> Result<VerifiedToken, DenialReason> {
        let judged = entry.token.check_times(now, self.leeway, &entry.policy);
        if judged.is_err() {
            self.verified.remove(hash);
        } else {
            #[cfg(feature = "metrics")]
            super::metrics::cached();
        }
        judged.map(|()| entry.token.clone())
    }

    fn verify_anew(&self, credential: Credential<'_>, hash: TextHash) -> Result<Verification, DenialReason> {
        let (token, payload) = read(credential)?;
        let (claims, policy) = self.admit(&token, &payload)?;
        // Read before the key is looked up: see `Entry::new`.
        let now = self.clock.now();
        let keys = policy.keys();
        let epoch = keys.current_epoch(now);
        Ok(match keys.resolve(token.algorithm(), token.key_hint()) {
            Step::Ready(key) => {
                let key = key?;
                let verified = match self.finish(&token, &key, claims, &policy, now) {
                    // The issuer may have put a new key under the old name.
                    Err(DenialReason::SignatureInvalid) => {
                        let other = keys.resolve_other_than(&key, token.algorithm(), token.key_hint());
                        let other = match other {
                            Step::Ready(key) => Box::pin(ready(Ok(key?))),
                            Step::Wait(key) => key,
                        };
                        return Ok(Verification::NeedsKey(other, policy.to_arc()));
                    }
                    finished => finished?,
                };
                if let Some(epoch) = epoch {
                    let entry = Entry::new(verified.clone(), policy.to_arc(), key, epoch);
                    self.verified.insert(hash, entry);
                }
                Verification::Done(Ok(verified))
            }
            Step::Wait(key) => Verification::NeedsKey(key, policy.to_arc()),
        })
    }

    /// Verifies the same text again, now that its key under `former` is there. The
    /// token enters the cache when it is seen the next time.
    pub(crate) fn verify_with(
        &self,
        credential: Credential<'_>,
        key: &VerifyingKey,
        former: &Arc<IssuerPolicy>,
    ) -> Result<VerifiedToken, DenialReason> {
        let (token, payload) = read(credential)?;
        let (claims, policy) = self.admit(&token, &payload)?;
        if !policy.is(former) {
            // The terms have changed while the key was waited for, and it may be no key of
            // the issuer any more. If the new ones have to be waited for too, the client asks again.
            return match self.verify(credential) {
                Verification::Done(result) => result,
                Verification::NeedsKey(..) => Err(DenialReason::KeysUnavailable),
            };
        }
        self.finish(&token, key, claims, &policy, self.clock.now())
    }

    /// Forgets a verified token, if it is held.
    pub(crate) fn forget(&self, token: &str) {
        self.verified.remove(self.verified.hash(token.as_bytes()));
    }

    /// Forgets every verified token.
    pub(crate) fn forget_all(&self) {
        self.verified.clear();
    }

    /// Forgets the verified tokens that `is_bad` says so of.
    pub(crate) fn forget_each(&self, is_bad: impl Fn(&VerifiedToken) -> bool) {
        self.verified.remove_each(|entry| is_bad(&entry.token));
    }

    /// How many verified tokens are held.
    pub(crate) fn held(&self) -> u64 {
        self.verified.len()
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
        if token.header().token_type == TokenType::Generic && claims.subject.is_some_and(is_spiffe_id) {
            return Err(DenialReason::NotAnAccessToken);
        }
        Ok((claims, policy))
    }

    /// Steps 6 to 8.
    fn finish(
        &self,
        token: &UnverifiedToken<'_>,
        key: &VerifyingKey,
        claims: RawClaims<'_>,
        policy: &IssuerPolicy,
        now: Timestamp,
    ) -> Result<VerifiedToken, DenialReason> {
        token.verify_signature(key)?;
        let terms = Terms {
            issuer: policy.issuer(),
            audiences: policy.audiences(),
            mapping: policy.mapping(),
            max_actors: self.max_actors,
        };
        let verified = claims.into_verified(&terms, token.signing_input())?;
        verified.check_times(now, self.leeway, policy)?;
        policy.keys().mark_used();
        let facts = verified.facts();
        // Without `iat`, at least what is left of it.
        policy.note_lifetime(facts.lifetime().unwrap_or_else(|| facts.expires_at.saturating_since(now)));
        #[cfg(feature = "metrics")]
        super::metrics::verified();
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

/// A JWT-SVID looks like an access token whose `typ` does not tell: it says who
/// a workload is, never what it may do (JWT-SVID section 3, RFC 8725 section 3.12).
fn is_spiffe_id(subject: &RawValue) -> bool {
    const SCHEME: &str = "spiffe://";
    let subject = string(subject);
    let scheme = subject.as_deref().and_then(|subject| subject.get(..SCHEME.len()));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// Steps 1 and the UTF-8 half of 2.
fn read(credential: Credential<'_>) -> Result<(UnverifiedToken<'_>, String), DenialReason> {
    let token = UnverifiedToken::parse(credential.token()?)?;
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
