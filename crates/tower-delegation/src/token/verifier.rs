//! From a token's text to a [`VerifiedToken`], or to the reason why not.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::value::RawValue;

use super::{
    cache::{TextCache, TokenCache},
    claims::RawClaims,
    header::{Header, TokenType},
    terms::Terms,
    unverified::UnverifiedToken,
    verified::{Verified, VerifiedToken},
};
use crate::{
    clock::{Clock, Moment, Timestamp},
    credential::Credential,
    issuer::{IssuerPolicy, Issuers, PolicyRef, TypePolicy},
    json::{find, string},
    jwks::{PendingKey, VerifyingKey},
    reason::DenialReason,
    step::Step,
    text_hash::TextHash,
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
    has_revocations: bool,
    verified: TextCache<Verified>,
}

/// A verified token or the reason why not, and the moment at which it was judged: that
/// of the request, or of the end of its wait.
pub(crate) type Judged = (Result<VerifiedToken, DenialReason>, Moment);

impl Verifier {
    pub(crate) fn new(
        issuers: Arc<Issuers>,
        clock: Arc<dyn Clock>,
        leeway: Duration,
        max_actors: usize,
        has_revocations: bool,
        cache: TokenCache,
    ) -> Self {
        #[cfg(feature = "metrics")]
        super::metrics::describe();
        Self { issuers, clock, leeway, max_actors, has_revocations, verified: TextCache::new(cache) }
    }

    pub(crate) fn issuers(&self) -> &Arc<Issuers> {
        &self.issuers
    }

    #[cfg(feature = "http-client")]
    pub(crate) fn max_actors(&self) -> usize {
        self.max_actors
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Verifies a token at `now`. Waits only where the issuer's keys have to be fetched
    /// first, or once more.
    pub(crate) fn verify(self: &Arc<Self>, credential: Credential<'_>, now: Moment) -> Step<Judged> {
        let hash = self.hash(credential);
        if let Some(token) = self.verified.get(hash).map(VerifiedToken) {
            if self.is_vouched_for(&token, now) {
                let judged = token.check_times(now.wall, self.leeway);
                if judged.is_err() {
                    self.verified.remove(hash);
                } else {
                    #[cfg(feature = "metrics")]
                    super::metrics::cached();
                }
                return Step::Ready((judged.map(|()| token), now));
            }
            self.verified.remove(hash);
        }
        self.verify_anew(credential, hash, now).unwrap_or_else(|reason| Step::Ready((Err(reason), now)))
    }

    /// Judges again a token that was verified before, without its text: whether its
    /// issuer's terms are still those, its key is published and its time has not come.
    pub(crate) fn recheck(&self, token: &VerifiedToken, now: Moment) -> Result<(), DenialReason> {
        if !self.is_vouched_for(token, now) {
            return Err(match self.issuers.get(token.0.policy.issuer().as_str()) {
                None => DenialReason::IssuerUnknown,
                // Under other terms or by another key it may be good: the client asks again.
                Some(_) => DenialReason::KeysUnavailable,
            });
        }
        token.check_times(now.wall, self.leeway)
    }

    /// The same for a caller that has read the wall clock only. The other one is read
    /// where something may have moved.
    pub(crate) fn recheck_at(&self, token: &VerifiedToken, wall: Timestamp) -> Result<(), DenialReason> {
        // That its time is over is certain, whatever is known of the keys.
        token.check_times(wall, self.leeway)?;
        if token.is_unmoved(wall) {
            return Ok(());
        }
        let now = Moment { wall, monotonic: self.clock.monotonic() };
        self.recheck(token, now).map_err(|reason| match reason {
            DenialReason::KeysUnavailable if token.key_is_withdrawn(now) => DenialReason::KeyUnknown,
            reason => reason,
        })
    }

    /// Whether all that a verification rests on is still in force.
    fn is_vouched_for(&self, token: &VerifiedToken, now: Moment) -> bool {
        self.issuers.are_in_force(&token.0.policy) && token.key_is_published(now)
    }

    /// The hash of a token's text.
    pub(crate) fn hash(&self, credential: Credential<'_>) -> TextHash {
        self.verified.hash(credential.as_bytes())
    }

    /// The hash of another text, under the same secret.
    pub(crate) fn hash_of(&self, text: &[u8]) -> TextHash {
        self.verified.hash(text)
    }

    fn verify_anew(
        self: &Arc<Self>,
        credential: Credential<'_>,
        hash: TextHash,
        now: Moment,
    ) -> Result<Step<Judged>, DenialReason> {
        let (token, payload) = read(credential)?;
        let (claims, policy) = self.admit(&token, &payload)?;
        // Read before the key is looked up: see `VerifiedToken::assertion`.
        let keys = policy.keys();
        let epoch = keys.current_epoch(now);
        let (algorithm, hint) = (token.algorithm(), token.key_hint());
        let mut key = match keys.resolve(algorithm, hint, now) {
            Step::Ready(key) => key?,
            Step::Wait(key) => return Ok(self.verify_later(key, credential, hash, policy.to_arc())),
        };
        if let Err(reason) = token.verify_signature(&key) {
            if reason != DenialReason::SignatureInvalid {
                return Err(reason);
            }
            // The issuer may have put a new key under the old name.
            key = match keys.resolve_other_than(&key, algorithm, hint, now) {
                Step::Ready(key) => key?,
                Step::Wait(key) => return Ok(self.verify_later(key, credential, hash, policy.to_arc())),
            };
            token.verify_signature(&key)?;
        }
        let verified = self.finish(&token, claims, &policy, (key, epoch, hash), now)?;
        // Without an epoch there were no keys to tell a withdrawn one by.
        if epoch.is_some() {
            self.verified.insert(hash, Arc::clone(&verified.0));
        }
        Ok(Step::Ready((Ok(verified), now)))
    }

    /// Verifies the same text when its key under these terms is there. The token
    /// enters the cache when it is seen the next time.
    fn verify_later(
        self: &Arc<Self>,
        key: PendingKey,
        credential: Credential<'_>,
        hash: TextHash,
        terms: Arc<IssuerPolicy>,
    ) -> Step<Judged> {
        let (verifier, credential) = (Arc::clone(self), credential.to_owned());
        Step::wait(async move {
            let key = key.await;
            let now = Moment::of(&*verifier.clock);
            let verify = |key: Arc<VerifyingKey>| {
                let credential = credential.as_credential();
                let (token, payload) = read(credential)?;
                let (claims, policy) = verifier.admit(&token, &payload)?;
                if !policy.is(&terms) {
                    // The terms have changed while the key was waited for, and it may be no key of
                    // the issuer any more. If the new ones have to be waited for too, the client asks again.
                    return match verifier.verify(credential, now) {
                        Step::Ready((token, _)) => token,
                        Step::Wait(_) => Err(DenialReason::KeysUnavailable),
                    };
                }
                token.verify_signature(&key)?;
                verifier.finish(&token, claims, &policy, (key, None, hash), now)
            };
            (key.and_then(verify), now)
        })
    }

    /// Forgets a verified token, if it is held.
    pub(crate) fn forget(&self, token: &str) {
        self.verified.remove(self.verified.hash(token.as_bytes()));
    }

    /// Forgets every verified token.
    pub(crate) fn forget_all(&self) {
        self.verified.clear();
    }

    /// Forgets every verified token for which `is_bad` returns true.
    pub(crate) fn forget_each(&self, is_bad: impl Fn(&VerifiedToken) -> bool) {
        self.verified.remove_each(|token| is_bad(&VerifiedToken(Arc::clone(token))));
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

    /// Steps 7 and 8, once the signature by this key is good.
    fn finish(
        &self,
        token: &UnverifiedToken<'_>,
        claims: RawClaims<'_>,
        policy: &PolicyRef<'_>,
        (key, epoch, hash): (Arc<VerifyingKey>, Option<u64>, TextHash),
        now: Moment,
    ) -> Result<VerifiedToken, DenialReason> {
        let terms = Terms {
            issuer: policy.issuer(),
            issuers: &self.issuers,
            audiences: policy.audiences(),
            mapping: policy.mapping(),
            grants: policy.grants(),
            speaks_for: policy.speaks_for(),
            max_actors: self.max_actors,
            is_revocable: self.has_revocations,
        };
        let facts = claims.into_verified(&terms, token.signing_input())?;
        let verified = VerifiedToken::assertion(facts, policy.to_arc(), key, epoch, hash);
        verified.check_times(now.wall, self.leeway)?;
        policy.keys().mark_used();
        let facts = verified.facts();
        // Without `iat`, at least what is left of it.
        policy.note_lifetime(facts.lifetime().unwrap_or_else(|| facts.expires_at.saturating_since(now.wall)));
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
