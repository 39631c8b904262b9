//! The evaluation: a pure, synchronous function of requirement, context and
//! request facts. No I/O; no allocation but by `serde_json`, where it skips what
//! nests in a payload.
//!
//! A demand holds, fails or is unknown. Unknown denies, also inside
//! [`not`](Requirement::not): what is excluded is admitted only where it is
//! certain not to be the case. There, one part that certainly fails is enough,
//! wherever it is in the order.

use std::{borrow::Cow, time::Duration};

use super::{Demand, Requirement, claims, evidence::Evidence};
use crate::{
    application::Application,
    clock::Timestamp,
    context::{ClaimError, DelegationContext, RequestFacts, RiskRequest, SenderConstraint, WorkloadIdentity},
    issuer::GrantKind,
    names::{IssuerUrl, SubjectId, SubjectKind},
    reason::{DenialReason as Reason, RejectionKind},
};

/// What an evaluation says. There is no default: nothing is allowed by omission.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a third answer would be a new kind of product")]
pub enum Decision {
    /// Every demand holds.
    Allow,
    /// At least one does not.
    Deny(Denial),
}

/// The first demand that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    reason: Reason,
}

impl Denial {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

/// A demand that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    /// Does it fail, or is what it looks at absent or malformed? Both deny.
    pub(super) is_certain: bool,
}

/// A demand holds (`Ok`), fails (a certain failure) or is unknown (another one).
pub(super) type Outcome = Result<(), Failure>;

impl Failure {
    pub(super) fn certain(reason: Reason) -> Self {
        Self { reason, is_certain: true }
    }

    pub(super) fn unknown(reason: Reason) -> Self {
        Self { reason, is_certain: false }
    }

    /// Which of several failures a client is informed of: first what nothing cures,
    /// then what another sign-in cures, then what more scope cures.
    fn rank(self) -> u8 {
        match self.reason.kind() {
            RejectionKind::InsufficientScope => 2,
            RejectionKind::InsufficientUserAuthentication => 1,
            _ => 0,
        }
    }

    /// Can the client mend it by another authorization request?
    fn is_curable(self) -> bool {
        self.rank() > 0
    }

    /// Is it the service's mistake, and nothing that the token lacks?
    fn is_ours(self) -> bool {
        self.reason.kind() == RejectionKind::Misconfigured
    }
}

/// The route demands something of a claim that is malformed: nothing is known of it.
impl From<ClaimError> for Failure {
    fn from(_: ClaimError) -> Self {
        Self::unknown(Reason::FactMalformed)
    }
}

impl Requirement {
    /// Evaluates this requirement and keeps no record of it: for tests and
    /// tools. Requests go through [`DelegationContext::authorize`], which
    /// leaves its mark in the audit trail.
    ///
    /// [`shadow`](Self::shadow) and [`exception`](Self::exception) change what
    /// comes of a denial, not the decision.
    pub fn evaluate(&self, delegation: &DelegationContext, facts: &RequestFacts<'_>) -> Decision {
        if !self.unqualified(delegation.issuers()).is_empty() {
            return Decision::Deny(Denial { reason: Reason::RequirementUnqualified });
        }
        match self.judge(&Evidence::new(delegation, facts)) {
            Ok(()) => Decision::Allow,
            Err(failure) => Decision::Deny(Denial { reason: failure.reason }),
        }
    }

    pub(super) fn judge(&self, evidence: &Evidence<'_>) -> Outcome {
        if !self.mistakes.is_empty() {
            return Err(Failure::unknown(Reason::RequirementContradictory));
        }
        all(self.demands.iter().map(|demand| demand.check(evidence)), evidence.is_excluding)
    }
}

/// The first failure that nothing cures; else that of which the client is informed,
/// since what it can mend comes last (RFC 9470 section 3). Where something is
/// excluded, a certain failure before all others.
fn all(outcomes: impl Iterator<Item = Outcome>, is_excluding: bool) -> Outcome {
    let mut kept: Option<Failure> = None;
    for outcome in outcomes {
        let Err(failure) = outcome else { continue };
        if if is_excluding { failure.is_certain } else { !failure.is_curable() } {
            return Err(failure);
        }
        if kept.is_none_or(|known| !is_excluding && failure.rank() < known.rank()) {
            kept = Some(failure);
        }
    }
    kept.map_or(Ok(()), Err)
}

/// The first alternative that holds; or else the one that the client is informed of.
pub(super) fn choose<'r>(
    alternatives: &'r [Requirement],
    evidence: &Evidence<'_>,
) -> (Option<&'r Requirement>, Outcome) {
    let mut blamed: Option<(&Requirement, Failure)> = None;
    let mut is_certain = true;
    for alternative in alternatives {
        let Err(failure) = alternative.judge(evidence) else { return (Some(alternative), Ok(())) };
        is_certain &= failure.is_certain;
        let is_worse = |known: Failure| {
            !known.is_ours() && (failure.is_ours() || failure.is_curable() && !known.is_curable())
        };
        if blamed.is_none_or(|(_, known)| is_worse(known)) {
            blamed = Some((alternative, failure));
        }
    }
    // None of them holds for certain only if that is certain of each.
    match blamed {
        Some((alternative, failure)) => (Some(alternative), Err(Failure { is_certain, ..failure })),
        None => (None, Err(Failure::unknown(Reason::RequirementContradictory))),
    }
}

/// Holds where it is certain that the part does not.
fn exclude(part: &Requirement, evidence: &Evidence<'_>) -> Outcome {
    match part.judge(&Evidence { is_excluding: true, ..*evidence }) {
        Ok(()) => Err(Failure::certain(Reason::Excluded)),
        Err(failure) if failure.is_certain => Ok(()),
        // What cannot be judged is not excluded, it is a mistake.
        Err(failure) if failure.is_ours() || failure.reason == Reason::FactMalformed => Err(failure),
        Err(_) => Err(Failure::unknown(Reason::Excluded)),
    }
}

impl Demand {
    /// Holds it, fails it, or is that unknown?
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let token = evidence.delegation;
        match self {
            Self::MutualTls | Self::Dpop if token.sender_constraint() == SenderConstraint::None => {
                Err(Failure::certain(Reason::SenderConstraintMissing))
            }
            Self::Actor(_) | Self::ActorOf(_) | Self::ActorKind(_) if !token.is_delegated() => {
                Err(Failure::certain(Reason::DelegationRequired))
            }
            Self::Group(_) if token.groups()?.is_none() => Err(Failure::unknown(Reason::GroupsUnknown)),
            Self::RiskBelow(signal, level) => risk(evidence, signal, *level),
            Self::AuthorizationDetail(detail) => detail.check(evidence),
            Self::AllOf(parts) => all(parts.iter().map(|part| part.judge(evidence)), evidence.is_excluding),
            Self::AnyOf(parts) => choose(parts, evidence).1,
            Self::Not(part) => exclude(part, evidence),
            Self::Scope(any) => scope(token, any),
            _ => match self.holds(evidence)? {
                Some(true) => Ok(()),
                Some(false) => Err(Failure::certain(self.reason_for(token))),
                None => Err(Failure::unknown(self.reason_for(token))),
            },
        }
    }

    /// A service signs in nowhere: a client that is sent to do so would try for ever.
    fn reason_for(&self, token: &DelegationContext) -> Reason {
        match self {
            Self::Acr(_) | Self::MaxAuthenticationAge(_)
                if token.subject().kind() == SubjectKind::Service =>
            {
                Reason::NoUserToAuthenticate
            }
            _ => self.reason(),
        }
    }

    /// `None`: what it looks at is absent or cannot be read.
    fn holds(&self, evidence: &Evidence<'_>) -> Result<Option<bool>, Failure> {
        let token = evidence.delegation;
        Ok(match self {
            Self::Issuer(any) => Some(any.contains(token.issuer())),
            Self::Tenant(any) => token.tenant()?.map(|tenant| any.contains(tenant)),
            // Without `aud` it is not known what the token opens.
            Self::Audience(any) => known(token.audience(), |all| any.iter().any(|one| all.contains(one))),
            Self::AudiencesWithin(bound) => {
                known(token.audience(), |all| all.iter().all(|one| bound.contains(one)))
            }
            Self::ScopesWithin(bound) => {
                Some(token.token_scopes().iter().all(|scope| is_one_of(bound, scope)))
            }
            Self::MaxTokenLifetime(max) => {
                token.issued_at().map(|start| token.expires_at().saturating_since(start) <= *max)
            }
            Self::MaxTokenAge(max) => token.issued_at().map(|start| age(token, start) <= *max),
            Self::SenderConstrained => Some(token.sender_constraint() != SenderConstraint::None),
            Self::MutualTls => Some(token.sender_constraint().is_mutual_tls()),
            Self::Dpop => Some(token.sender_constraint().is_dpop()),
            Self::Workload(any) => token
                .workload()
                .and_then(WorkloadIdentity::spiffe_id)
                .map(|id| any.iter().any(|one| one.matches(id))),
            Self::SubjectKind(any) => Some(token.subject().kind())
                .filter(|kind| *kind != SubjectKind::Unknown)
                .map(|kind| any.contains(&kind)),
            Self::OnBehalfOfUser => acts_for_user(token),
            Self::NotOnBehalfOfUser => acts_for_user(token).map(|acts| !acts),
            Self::Delegated => Some(token.is_delegated()),
            Self::NotDelegated => Some(!token.is_delegated()),
            // What is due to earlier actors denies, and grants nothing inside `not`.
            Self::MaxActors(max) => {
                if token.actors().len() <= *max {
                    Some(true)
                } else {
                    (*max == 0).then_some(false)
                }
            }
            Self::DenyActor(id) => {
                let place = token.actors().iter().position(|actor| actor.id() == id);
                // Neither does what an issuer claims of another's actor.
                let is_proved =
                    |place| place == 0 && token.actor().is_some_and(|actor| actor.claimed_issuer().is_none());
                place.map_or(Some(true), |place| is_proved(place).then_some(false))
            }
            Self::Actor(any) => is_actor(token, any.iter().map(|id| (token.issuer(), id))),
            Self::ActorOf(any) => is_actor(token, any.iter().map(|(issuer, id)| (issuer, id))),
            Self::DenyClient(id) => token.client().map(|client| client != id),
            Self::Client(any) => token.client().map(|client| any.contains(client)),
            Self::Application(_)
            | Self::ApplicationKind(_)
            | Self::ApplicationTenant(_)
            | Self::ApplicationEnvironment(_) => token.application().and_then(|one| self.holds_for(one)),
            Self::Presenter(_)
            | Self::PresenterKind(_)
            | Self::PresenterTenant(_)
            | Self::PresenterEnvironment(_)
            | Self::ActorKind(_) => token.presenter().and_then(|one| self.holds_for(one)),
            Self::TimeWindow(any) => Some(any.iter().any(|window| window.contains(token.authenticated_at()))),
            _ => return self.holds_of_claims(evidence),
        })
    }

    pub(super) fn holds_for(&self, one: &Application) -> Option<bool> {
        match self {
            Self::Application(any) | Self::Presenter(any) => Some(is_one_of(any, one.name())),
            Self::ApplicationKind(any) | Self::PresenterKind(any) | Self::ActorKind(any) => {
                Some(any.contains(&one.kind()))
            }
            Self::ApplicationTenant(any) | Self::PresenterTenant(any) => {
                is_for(any, one.tenants().map(AsRef::as_ref))
            }
            Self::ApplicationEnvironment(any) | Self::PresenterEnvironment(any) => {
                is_for(any, one.environments())
            }
            _ => None,
        }
    }

    fn holds_of_claims(&self, evidence: &Evidence<'_>) -> Result<Option<bool>, Failure> {
        let token = evidence.delegation;
        Ok(match self {
            Self::ClaimOneOf(path, any) => {
                claims::equal(claims::text(token, path), any.iter().map(|one| &**one))
            }
            Self::ClaimMatchesPath(path, name) => {
                claims::equal(claims::text(token, path), claims::parameter(evidence, name))
            }
            Self::ClaimMatchesHeader(path, name) => {
                claims::equal(claims::text(token, path), claims::header(evidence, name))
            }
            Self::TenantMatchesPath(name) => claims::equal(tenant(token)?, claims::parameter(evidence, name)),
            Self::TenantMatchesHeader(name) => claims::equal(tenant(token)?, claims::header(evidence, name)),
            Self::SubjectMatchesPath(name) => {
                let subject = Some(Cow::Borrowed(token.subject().id().as_str()));
                claims::equal(subject, claims::parameter(evidence, name))
            }
            Self::Purpose(path, any) => claims::string_at(token, path).map(|stated| is_one_of(any, &stated)),
            Self::Role(any) => held(any, token.roles()?.iter(), token.has_cut_roles()),
            Self::Permission(any) => held(any, token.permissions()?.iter(), token.has_cut_permissions()),
            Self::Group(any) => groups(token, any)?,
            Self::Acr(any) => token.acr()?.map(|acr| is_one_of(any, acr)),
            Self::MaxAuthenticationAge(max) => {
                token.auth_time()?.filter(|time| is_past(token, *time)).map(|time| age(token, time) <= *max)
            }
            // What else there is has a check of its own; unknown is a denial.
            _ => None,
        })
    }
}

fn is_one_of(any: &[Box<str>], text: &str) -> bool {
    any.iter().any(|one| **one == *text)
}

fn known<T>(list: &[T], holds: impl FnOnce(&[T]) -> bool) -> Option<bool> {
    (!list.is_empty()).then(|| holds(list))
}

/// How long ago that was, less the leeway.
fn age(token: &DelegationContext, time: Timestamp) -> Duration {
    token.authenticated_at().saturating_since(time).saturating_sub(token.circumstances().leeway)
}

/// No one has authenticated in the future: such a time says nothing.
fn is_past(token: &DelegationContext, time: Timestamp) -> bool {
    time <= token.authenticated_at().saturating_add(token.circumstances().leeway)
}

/// Does an application act for a user?
fn acts_for_user(token: &DelegationContext) -> Option<bool> {
    match token.subject().kind() {
        SubjectKind::Service => Some(false),
        SubjectKind::User => token.client().map(|_| token.is_on_behalf_of_user()),
        SubjectKind::Unknown => None,
    }
}

/// The current actor only: earlier ones never grant (RFC 8693 section 4.1). Not known
/// where the token's issuer may not speak for the actor's.
fn is_actor<'a>(
    token: &DelegationContext,
    mut any: impl Iterator<Item = (&'a IssuerUrl, &'a SubjectId)> + Clone,
) -> Option<bool> {
    let actor = token.actor()?;
    if any.clone().any(|(issuer, id)| actor.is(issuer, id)) {
        return Some(true);
    }
    let is_claimed = |issuer| actor.issuer() == issuer || actor.claimed_issuer() == Some(issuer);
    (!any.any(|(issuer, id)| is_claimed(issuer) && actor.id() == id)).then_some(false)
}

/// Is an application registered for one of these by name? Not known where it is for
/// every one.
fn is_for<'n>(any: &[Box<str>], mut names: impl ExactSizeIterator<Item = &'n str>) -> Option<bool> {
    (names.len() > 0).then(|| names.any(|name| is_one_of(any, name)))
}

fn tenant(token: &DelegationContext) -> Result<Option<Cow<'_, str>>, ClaimError> {
    Ok(token.tenant()?.map(|tenant| Cow::Borrowed(tenant.as_str())))
}

/// Is one of these among the effective names? Not known where a ceiling has cut some,
/// and where there are none: the mapping may read none.
fn held<'n>(
    any: &[Box<str>],
    mut names: impl ExactSizeIterator<Item = &'n str>,
    is_cut: bool,
) -> Option<bool> {
    let is_known = names.len() > 0 && !is_cut;
    if names.any(|name| is_one_of(any, name)) { Some(true) } else { is_known.then_some(false) }
}

/// Groups that are known are known to be none, too.
fn groups(token: &DelegationContext, any: &[Box<str>]) -> Result<Option<bool>, ClaimError> {
    let Some(groups) = token.groups()? else { return Ok(None) };
    let is_held = groups.iter().any(|name| is_one_of(any, name));
    Ok(if is_held { Some(true) } else { (!token.has_cut_groups()).then_some(false) })
}

fn scope(token: &DelegationContext, any: &[Box<str>]) -> Outcome {
    if any.iter().any(|one| token.scopes().contains(one)) {
        return Ok(());
    }
    // More scope helps only where the issuer may grant it and the registered application use it.
    let reason = if any.iter().any(|one| token.may_ever_use(one)) {
        Reason::ScopeMissing
    } else if any.iter().any(|one| token.issuer_may_grant(GrantKind::Scope, one)) {
        Reason::ScopeBeyondApplication
    } else {
        Reason::ScopeBeyondIssuer
    };
    // Granted, and cut: nothing is certain, for those that exclude it.
    Err(Failure { reason, is_certain: !any.iter().any(|one| token.token_scopes().contains(one)) })
}

fn risk(evidence: &Evidence<'_>, signal: &str, below: u8) -> Outcome {
    let signals = evidence.delegation.circumstances().risk.as_ref();
    let signal = signals.and_then(|signals| signals.get(signal));
    let signal = signal.ok_or(Failure::unknown(Reason::RiskSignalMissing))?;
    let level = signal.assess(&RiskRequest::new(evidence.delegation, evidence.facts));
    match level {
        Some(level) if level < below => Ok(()),
        Some(_) => Err(Failure::certain(Reason::RiskTooHigh)),
        None => Err(Failure::unknown(Reason::RiskUnknown)),
    }
}
