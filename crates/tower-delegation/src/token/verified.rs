//! [`VerifiedToken`]: the facts of a token whose signature was checked.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{
    actor::{Actor, Subject},
    bounded::Bounded,
    cache::Footprint,
    revocable::{Identifier, Revocable},
    typed::{ClaimError, Typed},
};
use crate::{
    application::{Granted, RegistrationSlot, TokenParties},
    clock::{Moment, Timestamp},
    confirmation::Confirmation,
    issuer::{IssuerPolicy, Issuers},
    json::{each_entry, find, string},
    jwks::VerifyingKey,
    names::{Audience, ClientId, SessionId, TenantId, TokenId},
    privileges::{GroupSet, PermissionSet, RoleSet},
    reason::{DenialReason, Malformed},
    revocation::{RevocationKey, RevocationKind},
    scope::ScopeSet,
    text_hash::TextHash,
};

/// The claim of RFC 9396 section 9.1.
pub(crate) const AUTHORIZATION_DETAILS: &str = "authorization_details";

/// Proof that a token was verified: its facts, and what they rest on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct VerifiedToken(pub(super) Arc<Verified>);

/// A token that was verified once. The cache holds it, and every request with the
/// same text shares it.
pub(crate) struct Verified {
    facts: Facts,
    /// The terms of its issuer.
    pub(super) policy: Arc<IssuerPolicy>,
    /// The key that vouches for it.
    key: Arc<VerifyingKey>,
    /// The number of the issuer's key set under which `key` was last seen.
    epoch: AtomicU64,
    /// The hash of its text.
    hash: TextHash,
    /// A digest of its text for the audit trail, and the number of the key that made it.
    digest: OnceLock<(u64, [u8; 32])>,
}

/// No key set has this number.
const NO_EPOCH: u64 = u64::MAX;

/// What a token says, once its signature vouches for it.
pub(crate) struct Facts {
    pub(crate) subject: Subject,
    pub(crate) client: Option<ClientId>,
    /// The current actor first.
    pub(crate) actors: Box<[Actor]>,
    pub(crate) audience: Box<[Audience]>,
    /// As the token says; see [`Facts::granted_scopes`].
    pub(crate) scopes: ScopeSet,
    /// All that are trusted: who else could say the same.
    pub(crate) issuers: Arc<Issuers>,
    /// The most that the issuer may grant. Roles, permissions and groups are cut to it.
    pub(crate) bounded: Bounded,
    /// What the token is bound to; checked on every request by [`proof`](crate::proof).
    pub(crate) confirmation: Option<Confirmation>,
    pub(crate) roles: Result<RoleSet, Malformed>,
    pub(crate) permissions: Result<PermissionSet, Malformed>,
    /// `None`: the token does not tell.
    pub(crate) groups: Result<Option<GroupSet>, Malformed>,
    pub(crate) tenant: Result<Option<TenantId>, Malformed>,
    pub(crate) session: Option<SessionId>,
    pub(crate) expires_at: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    /// `None` only where the issuer's mapping allows it.
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) auth_time: Result<Option<Timestamp>, Malformed>,
    pub(crate) acr: Result<Option<Box<str>>, Malformed>,
    pub(crate) amr: Result<Box<[Box<str>]>, Malformed>,
    pub(crate) token_id: TokenId,
    /// What a revocation of any part of the token is found by.
    pub(crate) revocable: Revocable,
    /// What the registry of applications says of the token.
    pub(crate) registration: RegistrationSlot,
    /// The claims' JSON, for [`VerifiedToken::claim`].
    pub(super) payload: Box<str>,
    /// What [`VerifiedToken::claims`] made of it.
    pub(super) typed: Typed,
}

impl Facts {
    pub(super) fn payload_len(&self) -> usize {
        self.payload.len()
    }

    /// What the registry of applications judges by.
    pub(crate) fn parties(&self) -> TokenParties<'_> {
        TokenParties {
            issuer: self.subject.issuer(),
            subject: self.subject.id(),
            client: self.client.as_ref(),
            actors: &self.actors,
            subject_kind: self.subject.kind(),
            tenant: self.tenant.as_ref().map(Option::as_ref).map_err(|malformed| *malformed),
            scopes: self.granted_scopes(),
            granted: self,
            lifetime: self.lifetime(),
        }
    }

    /// The authorization details (RFC 9396) as they are in the payload.
    fn authorization_details(&self) -> Option<&RawValue> {
        find(&self.payload, AUTHORIZATION_DETAILS)
    }

    /// The token, its subject, session and client, by every one of their
    /// `identifiers`: other systems name a party by another claim than the mapping
    /// reads. Each actor, in that role and as a subject, of every issuer that it may be of.
    pub(super) fn revocable(
        &self,
        identifiers: &[Identifier<'_>],
        issued_at: Option<Timestamp>,
    ) -> Revocable {
        use RevocationKind as Kind;
        let issuer = self.subject.issuer();
        let mapped = [
            Some((Kind::Token, self.token_id.as_str())),
            Some((Kind::Subject, self.subject.id().as_str())),
            self.session.as_ref().map(|session| (Kind::Session, session.as_str())),
            self.client.as_ref().map(|client| (Kind::Client, client.as_str())),
        ];
        let mapped = mapped.into_iter().flatten();
        let named = identifiers.iter().map(|(kind, id)| (*kind, &**id));
        let of_token = mapped.chain(named).map(|(kind, id)| RevocationKey::of_party(kind, issuer, id));
        let names = self.actors.iter().flat_map(|actor| {
            actor.every_issuer().flat_map(move |issuer| actor.every_id().map(move |id| (issuer, id)))
        });
        let of_actors = names.flat_map(|(issuer, id)| {
            [Kind::Actor, Kind::Subject].map(|kind| RevocationKey::of_party(kind, issuer, id.as_str()))
        });
        let mut keys: Vec<RevocationKey> = Vec::new();
        for key in of_token.chain(of_actors) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Revocable { keys: keys.into(), issued_at }
    }

    /// The scopes, as far as the issuer may grant them.
    pub(crate) fn granted_scopes(&self) -> &ScopeSet {
        self.bounded.cut_scopes().unwrap_or(&self.scopes)
    }

    /// From `iat` to `exp`. `None` for a token without `iat`.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.issued_at.map(|issued_at| self.expires_at.saturating_since(issued_at))
    }

    /// The facts that are malformed, by name.
    pub(crate) fn malformed(&self) -> impl Iterator<Item = &'static str> {
        [
            ("roles", self.roles.is_err()),
            ("permissions", self.permissions.is_err()),
            ("groups", self.groups.is_err()),
            ("tenant", self.tenant.is_err()),
            ("auth_time", self.auth_time.is_err()),
            ("acr", self.acr.is_err()),
            ("amr", self.amr.is_err()),
        ]
        .into_iter()
        .filter_map(|(name, is_malformed)| is_malformed.then_some(name))
    }
}

impl Granted for Facts {
    fn roles(&self) -> Result<&RoleSet, Malformed> {
        self.roles.as_ref().map_err(|malformed| *malformed)
    }

    fn permissions(&self) -> Result<&PermissionSet, Malformed> {
        self.permissions.as_ref().map_err(|malformed| *malformed)
    }

    fn groups(&self) -> Result<Option<&GroupSet>, Malformed> {
        self.groups.as_ref().map(Option::as_ref).map_err(|malformed| *malformed)
    }

    fn detail_types(&self) -> Result<Vec<Box<str>>, Malformed> {
        let Some(claim) = self.authorization_details() else { return Ok(Vec::new()) };
        let mut types = Vec::new();
        let is_array = each_entry(claim, |entry| {
            let kind = find(entry.get(), "type").and_then(string);
            types.push(kind.map(|kind| Box::from(&*kind)));
        });
        is_array.then_some(types).and_then(|types| types.into_iter().collect()).ok_or(Malformed)
    }
}

impl VerifiedToken {
    /// Makes the proof. The one caller has just checked the signature by `key`.
    ///
    /// `epoch` must have been read before `key` was looked up: then a key that is
    /// withdrawn in between is noticed when the token is judged again. `None` where it
    /// was not: whether the key is published is then asked at the next look.
    pub(super) fn assertion(
        facts: Facts,
        policy: Arc<IssuerPolicy>,
        key: Arc<VerifyingKey>,
        epoch: Option<u64>,
        hash: TextHash,
    ) -> Self {
        let epoch = AtomicU64::new(epoch.unwrap_or(NO_EPOCH));
        Self(Arc::new(Verified { facts, policy, key, epoch, hash, digest: OnceLock::new() }))
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// The digest of the token's text that [`keep_digest`](Self::keep_digest) was given for
    /// the key with this number.
    pub(crate) fn digest(&self, key: u64) -> Option<[u8; 32]> {
        self.0.digest.get().filter(|(of, _)| *of == key).map(|(_, digest)| *digest)
    }

    /// Keeps a digest for as long as the token is held; that of the first key counts.
    pub(crate) fn keep_digest(&self, key: u64, digest: [u8; 32]) {
        // Another request may have been quicker, with the same result.
        let _ = self.0.digest.set((key, digest));
    }

    /// The hash of the token's text.
    pub(crate) fn hash(&self) -> TextHash {
        self.0.hash
    }

    /// Whether the key that vouches for the token is published still. `false` also
    /// while no keys can be had: the full verification then says what to answer.
    pub(super) fn key_is_published(&self, now: Moment) -> bool {
        let keys = self.0.policy.keys();
        let Some(current) = keys.current_epoch(now) else { return false };
        if current != self.0.epoch.load(Ordering::Relaxed) {
            if !keys.is_current(&self.0.key, now) {
                return false;
            }
            self.0.epoch.store(current, Ordering::Relaxed);
        }
        keys.mark_used();
        true
    }

    /// Whether the issuer's keys are known, and the one that vouches for the token is none
    /// of them.
    pub(super) fn key_is_withdrawn(&self, now: Moment) -> bool {
        let keys = self.0.policy.keys();
        keys.current_epoch(now).is_some() && !keys.is_current(&self.0.key, now)
    }

    /// Whether the terms of a configured issuer, which never change, and its keys are
    /// certainly those that the token was last judged by. Where that is not certain,
    /// [`key_is_published`](Self::key_is_published) tells.
    pub(super) fn is_unmoved(&self, wall: Timestamp) -> bool {
        let policy = &self.0.policy;
        policy.is_configured() && policy.keys().is_unmoved(self.0.epoch.load(Ordering::Relaxed), wall)
    }

    /// Judges the token's times at `now`. `leeway` forgives clocks that differ:
    /// `exp` ends at `exp + leeway`, `nbf` and `iat` begin at `- leeway`
    /// (RFC 7519 section 4.1.4: on or after `exp` is too late).
    pub(crate) fn check_times(&self, now: Timestamp, leeway: Duration) -> Result<(), DenialReason> {
        let (facts, policy) = (self.facts(), &self.0.policy);
        if now >= facts.expires_at.saturating_add(leeway) {
            return Err(DenialReason::TokenExpired);
        }
        if facts.not_before.is_some_and(|not_before| now.saturating_add(leeway) < not_before) {
            return Err(DenialReason::TokenNotYetValid);
        }
        let Some(issued_at) = facts.issued_at else {
            // How long it lives and how old it is are not known: a limit is not met.
            let is_limited = policy.max_token_lifetime().is_some() || policy.max_token_age().is_some();
            return if is_limited { Err(DenialReason::ClaimMissing) } else { Ok(()) };
        };
        if now.saturating_add(leeway) < issued_at {
            return Err(DenialReason::TokenFromFuture);
        }
        let lifetime = facts.expires_at.saturating_since(issued_at);
        if policy.max_token_lifetime().is_some_and(|max| lifetime > max) {
            return Err(DenialReason::TokenLifetimeTooLong);
        }
        let age = now.saturating_since(issued_at);
        if policy.max_token_age().is_some_and(|max| age > max.saturating_add(leeway)) {
            return Err(DenialReason::TokenTooOld);
        }
        Ok(())
    }

    /// A claim of any name and type: `None` if the token does not carry it.
    pub(crate) fn claim<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ClaimError> {
        let value = find(&self.facts().payload, name);
        value.map(|value| serde_json::from_str(value.get())).transpose().map_err(ClaimError::unreadable)
    }

    /// All claims as one value.
    pub(crate) fn claims<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, ClaimError> {
        self.facts().typed.get(&self.facts().payload)
    }

    /// A claim's JSON: the member that each name leads to, from the outermost
    /// on. Read from the payload, nothing kept.
    pub(crate) fn raw_claim<'p>(&self, path: impl IntoIterator<Item = &'p str>) -> Option<&RawValue> {
        let mut segments = path.into_iter();
        let outermost = find(&self.facts().payload, segments.next()?)?;
        segments.try_fold(outermost, |object, name| find(object.get(), name))
    }
}

impl Footprint for Verified {
    fn size(&self) -> usize {
        /// The entry, its facts, what the registry says of it, the allocations
        /// behind them, the map's own record.
        const FIXED: usize = 1000;
        let facts = &self.facts;
        // Subject, client, audience and scopes are copies of parts of the payload.
        FIXED + facts.payload_len() + facts.payload_len() / 3
    }
}

impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.facts();
        f.debug_struct("VerifiedToken")
            .field("subject", &facts.subject)
            .field("client", &facts.client)
            .field("actors", &facts.actors)
            .field("scopes", &facts.scopes)
            .field("expires_at", &facts.expires_at)
            .finish_non_exhaustive()
    }
}
