//! Whether what came back is no more than what was asked for.

use std::time::Duration;

use serde_json::{Value, value::RawValue};

use super::{
    answer::Answer,
    flow::Steps,
    issued::Issued,
    terms::{ActorMode, Terms},
    wire::ACCESS_TOKEN,
};
use crate::{
    clock::Timestamp,
    confirmation::Confirmation,
    context::DelegationContext,
    credential::Scheme,
    json::{each_entry, find, string},
    names::TenantId,
    reason::DenialReason,
    scope::ScopeSet,
    token::{AUTHORIZATION_DETAILS, Actor, ClaimError, VerifiedToken},
};

/// How long a token is used of which neither the answer nor the token says when it ends.
const UNTOLD_LIFETIME: Duration = Duration::from_secs(60);

/// What was checked of a token.
#[derive(Debug)]
pub(super) struct Checked {
    /// Until when it is used.
    pub(super) until: Timestamp,
    pub(super) scopes: ScopeSet,
    /// Does it outlive the caller's token?
    pub(super) outlives_caller: bool,
    /// Is its subject another name than the caller's?
    pub(super) is_remapped: bool,
}

impl Terms {
    /// Checks the members of an answer (RFC 8693 section 2.2.1).
    pub(super) fn check_answer(&self, answer: &Answer, asked: &ScopeSet) -> Result<(), DenialReason> {
        if answer.has_refresh_token {
            return Err(DenialReason::ExchangeRefreshToken);
        }
        match (&self.steps, answer.issued_token_type.as_deref()) {
            (_, Some(ACCESS_TOKEN)) => {}
            // Answers of RFC 6749 do not say it.
            (Steps::EntraOnBehalfOf(_) | Steps::Chained(..), None) => {}
            (_, None | Some(_)) => return Err(DenialReason::ExchangeTypeMismatch),
        }
        let (scheme, is_bearer) = (self.scheme(), answer.token_type.eq_ignore_ascii_case("Bearer"));
        if !answer.token_type.eq_ignore_ascii_case(scheme.as_str()) {
            // A server that does not know DPoP ignores the proof, and binds nothing (RFC 9449
            // section 5). `N_A` is no access token (RFC 8693 section 2.2.1).
            return Err(match is_bearer {
                true => DenialReason::ExchangeBindingMismatch,
                false => DenialReason::ExchangeTypeMismatch,
            });
        }
        match &answer.scopes {
            Some(scopes) if !is_within(scopes, asked) => Err(DenialReason::ExchangeScopeWider),
            Some(_) | None => Ok(()),
        }
    }

    /// Checks a token that is not read: its life by the answer alone.
    pub(super) fn check_opaque(
        &self,
        answer: &Answer,
        asked: &ScopeSet,
        caller: &DelegationContext,
        now: Timestamp,
    ) -> Result<Checked, DenialReason> {
        if answer.has_details {
            return Err(DenialReason::ExchangeDetailsWider);
        }
        let life = answer.expires_in.unwrap_or(UNTOLD_LIFETIME);
        self.checked(answer.scopes.clone(), asked, now.saturating_add(life), caller, now, false)
    }

    /// Checks a token that was read and verified by the terms of its issuer.
    pub(super) fn check_token(
        &self,
        token: &VerifiedToken,
        answer: &Answer,
        asked: &ScopeSet,
        caller: &DelegationContext,
        now: Timestamp,
    ) -> Result<Checked, DenialReason> {
        let facts = token.facts();
        // Several audiences are more than one (RFC 8707 section 2.2).
        if !matches!(&*facts.audience, [only] if *only == self.target) {
            return Err(DenialReason::ExchangeAudienceMismatch);
        }
        self.check_binding(facts.confirmation.as_ref())?;
        if !is_within(&facts.scopes, asked) {
            return Err(DenialReason::ExchangeScopeWider);
        }
        self.check_details(token, caller)?;
        let is_remapped = self.check_subject(token, caller)?;
        self.check_actors(token, caller)?;
        let answered = answer.expires_in.map(|life| now.saturating_add(life));
        let end = answered.map_or(facts.expires_at, |answered| answered.min(facts.expires_at));
        self.checked(Some(facts.scopes.clone()), asked, facts.expires_at, caller, now, is_remapped)
            .map(|checked| Checked { until: checked.until.min(end), ..checked })
    }

    /// The scheme by which the downstream's tokens are presented.
    pub(super) fn scheme(&self) -> Scheme {
        if self.dpop.is_some() { Scheme::Dpop } else { Scheme::Bearer }
    }

    /// Is the token bound to what it was to be bound to, and to nothing else?
    fn check_binding(&self, confirmation: Option<&Confirmation>) -> Result<(), DenialReason> {
        let key = self.dpop.as_ref().map(|key| key.thumbprint());
        let is_ours = confirmation.and_then(Confirmation::key) == key.as_ref();
        let certificate = self.bound_certificate()?;
        if is_ours && confirmation.and_then(Confirmation::certificate) == certificate.as_ref() {
            Ok(())
        } else {
            Err(DenialReason::ExchangeBindingMismatch)
        }
    }

    /// The thumbprint of the certificate that tokens are to be bound to.
    pub(super) fn bound_certificate(&self) -> Result<Option<[u8; 32]>, DenialReason> {
        match (self.is_certificate_bound, self.server.certificate_thumbprint()) {
            (false, _) => Ok(None),
            (true, Some(thumbprint)) => Ok(Some(thumbprint)),
            (true, None) => Err(DenialReason::ExchangeBindingMismatch),
        }
    }

    /// The earliest of the three ends; refused where the token lives for too long.
    fn checked(
        &self,
        scopes: Option<ScopeSet>,
        asked: &ScopeSet,
        end: Timestamp,
        caller: &DelegationContext,
        now: Timestamp,
        is_remapped: bool,
    ) -> Result<Checked, DenialReason> {
        let leeway = caller.circumstances().leeway;
        let ceiling = now.saturating_add(self.max_lifetime);
        let callers = caller.expires_at();
        let outlives_caller = end > callers;
        if end <= now {
            return Err(DenialReason::ExchangeExpired);
        }
        if end > ceiling.saturating_add(leeway) || (self.issuer_caps_life && outlives_caller) {
            return Err(DenialReason::ExchangeLifeTooLong);
        }
        let until = end.min(callers).min(ceiling);
        Ok(Checked { until, scopes: scopes.unwrap_or_else(|| asked.clone()), outlives_caller, is_remapped })
    }

    /// Is the subject the caller's? Returns whether it has another name.
    fn check_subject(&self, token: &VerifiedToken, caller: &DelegationContext) -> Result<bool, DenialReason> {
        let (subject, of_caller) = (&token.facts().subject, caller.subject());
        let is_same = subject.issuer() == of_caller.issuer() && subject.id() == of_caller.id();
        // A service in place of a user, or a user in place of a service, is never a new name.
        if subject.kind() != of_caller.kind() || !(is_same || self.subject_remapped) {
            return Err(DenialReason::ExchangeSubjectChanged);
        }
        let tenant =
            token.facts().tenant.as_ref().map_err(|_malformed| DenialReason::ExchangeSubjectChanged)?;
        if is_same && self.changes_tenant(tenant.as_ref(), caller.tenant()) {
            return Err(DenialReason::ExchangeSubjectChanged);
        }
        Ok(!is_same)
    }

    /// Has the subject another tenant than the caller's, or lost it? A token whose terms do not
    /// say where its tenant is has none to compare.
    fn changes_tenant(
        &self,
        tenant: Option<&TenantId>,
        callers: Result<Option<&TenantId>, ClaimError>,
    ) -> bool {
        match (tenant, callers) {
            (Some(tenant), Ok(Some(callers))) => tenant != callers,
            (Some(_), Err(_)) => true,
            (None, Ok(Some(_)) | Err(_)) => self.reads_tenant,
            (_, Ok(None)) => false,
        }
    }

    /// Is this service the current actor, with the caller's chain beneath it?
    fn check_actors(&self, token: &VerifiedToken, caller: &DelegationContext) -> Result<(), DenialReason> {
        let facts = token.facts();
        let (issuer, id) = &self.acts_as;
        let earlier = match (self.actor_mode, &*facts.actors) {
            (ActorMode::Required, []) => return Err(DenialReason::ExchangeActorMissing),
            (ActorMode::RecordedOnly, []) => return Ok(()),
            (ActorMode::None, []) => {
                let is_ours = facts.client.as_ref().is_some_and(|client| *client == self.server.client_id);
                return if is_ours { Ok(()) } else { Err(DenialReason::ExchangeActorMismatch) };
            }
            (ActorMode::None, _) => return Err(DenialReason::ExchangeActorMismatch),
            (ActorMode::Required | ActorMode::RecordedOnly, [current, earlier @ ..]) => {
                if !current.is(issuer, id) {
                    return Err(DenialReason::ExchangeActorMismatch);
                }
                earlier
            }
        };
        let is_gain = |actor: &&Actor| {
            // Of the server that names this service as an actor, which may be the first of two.
            let servers = [&self.server.issuer, &self.acts_as.0];
            let is_of_server = actor.claimed_issuer().is_none() && servers.contains(&actor.issuer());
            is_of_server && self.chain_gain.iter().any(|client| client.as_str() == actor.id().as_str())
        };
        let chain = caller.actors();
        let gained = earlier.len().saturating_sub(chain.len());
        let (gain, beneath) = earlier.split_at_checked(gained).unwrap_or((&[], earlier));
        let is_kept =
            beneath.len() == chain.len() && beneath.iter().zip(chain).all(|(one, other)| is_same(one, other));
        if is_kept && gain.iter().all(|actor| is_gain(&actor)) {
            Ok(())
        } else {
            Err(DenialReason::ExchangeChainChanged)
        }
    }

    /// Whether a token that was checked before is still no more than this caller may have:
    /// meanwhile the registration of its application may reach less far.
    pub(super) fn check_again(
        &self,
        issued: &Issued,
        asked: &ScopeSet,
        caller: &DelegationContext,
    ) -> Result<(), DenialReason> {
        if !is_within(&issued.scopes, asked) {
            return Err(DenialReason::ExchangeScopeNotGranted);
        }
        match &issued.token {
            Some(token) if !self.detail_types.is_empty() => self.check_details(token, caller),
            Some(_) | None => Ok(()),
        }
    }

    /// Is every authorization detail one that the caller's token has, of a type that may be
    /// passed on?
    fn check_details(&self, token: &VerifiedToken, caller: &DelegationContext) -> Result<(), DenialReason> {
        let Some(details) = token.raw_claim([AUTHORIZATION_DETAILS]) else { return Ok(()) };
        let callers: Vec<Value> = caller
            .token()
            .raw_claim([AUTHORIZATION_DETAILS])
            .and_then(|details| serde_json::from_str(details.get()).ok())
            .unwrap_or_default();
        let is_passed_on = |detail: &RawValue| {
            let kind = find(detail.get(), "type").and_then(string);
            let may_be = kind.is_some_and(|kind| {
                self.detail_types.iter().any(|known| **known == *kind) && caller.may_ever_use_detail(&kind)
            });
            may_be && serde_json::from_str(detail.get()).is_ok_and(|detail: Value| callers.contains(&detail))
        };
        let mut are_passed_on = true;
        let is_array = each_entry(details, |detail| are_passed_on &= is_passed_on(detail));
        if is_array && are_passed_on { Ok(()) } else { Err(DenialReason::ExchangeDetailsWider) }
    }
}

/// Are they one party? What else names it is for revocations.
fn is_same(one: &Actor, other: &Actor) -> bool {
    (one.issuer(), one.claimed_issuer(), one.id()) == (other.issuer(), other.claimed_issuer(), other.id())
}

/// Is every scope one of those that were asked for?
fn is_within(scopes: &ScopeSet, asked: &ScopeSet) -> bool {
    scopes.iter().all(|scope| asked.contains(scope))
}
