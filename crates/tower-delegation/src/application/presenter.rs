//! The presenter rule: the application of whoever presents a token, held
//! against the registry. The order of the checks is in the [module's
//! documentation](super).

use std::{sync::Arc, time::Duration};

use super::{Application, ApplicationStatus, ExcessScopes, registry::Registry};
use crate::{
    clock::{Clock, Timestamp},
    credential::WorkloadIdentity,
    issuer::log_unknown_kind,
    names::{ClientId, IssuerUrl, SubjectId, SubjectKind, TenantId},
    reason::{DenialReason, Malformed},
    scope::ScopeSet,
};

/// What a verified token says of those who may present it. The same on every
/// request with that token.
pub(crate) struct Presentation<'a> {
    pub(crate) issuer: &'a IssuerUrl,
    pub(crate) client: Option<&'a ClientId>,
    /// The current actor and those before it, newest first.
    pub(crate) actors: &'a dyn Actors,
    pub(crate) subject_kind: SubjectKind,
    pub(crate) tenant: Result<Option<&'a TenantId>, Malformed>,
    pub(crate) scopes: &'a ScopeSet,
    /// From `iat` to `exp`. `None` without `iat`: longer than any limit.
    pub(crate) lifetime: Option<Duration>,
}

/// A chain of actors, each with its issuer.
pub(crate) trait Actors {
    /// The actor at this place; the current one is at 0.
    fn actor(&self, at: usize) -> Option<(&IssuerUrl, &SubjectId)>;
}

/// What is known of one request.
pub(crate) struct Evidence<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) workload: Option<&'a WorkloadIdentity>,
    /// Is the token bound to its sender, and was that checked?
    pub(crate) sender_constrained: bool,
}

/// What one registry says of one token. Made where every check has passed;
/// those that depend on the request are made again on each.
#[derive(Debug)]
pub(crate) struct Registration {
    /// Of which registry.
    pub(super) generation: u64,
    client: Arc<Application>,
    /// The current actor's.
    actor: Option<Arc<Application>>,
    /// Those of earlier actors, as far as they are registered.
    earlier: Box<[Arc<Application>]>,
    /// The token's scopes as far as both may ever use them; `None`: all.
    scopes: Option<ScopeSet>,
    /// Whether either ever expires: most do not, and need no clock.
    has_end: bool,
    sender_constrained: bool,
}

impl Registration {
    /// Makes every check, in order.
    pub(super) fn establish(
        registry: &Registry,
        presentation: &Presentation<'_>,
        evidence: &Evidence<'_>,
    ) -> Result<Self, DenialReason> {
        let client = presentation.client.ok_or(DenialReason::ClientMissing)?;
        let client =
            registry.client(presentation.issuer, client).ok_or(DenialReason::ClientUnregistered)?.clone();
        let actor = presentation
            .actors
            .actor(0)
            .map(|(issuer, id)| registry.actor(issuer, id).cloned().ok_or(DenialReason::ActorUnregistered));
        let actor = actor.transpose()?;
        let earlier = earlier_applications(registry, presentation.actors)?;
        let is_suspended = |application: &Application| application.status == ApplicationStatus::Suspended;
        if is_suspended(&client) {
            return Err(DenialReason::ClientSuspended);
        }
        if actor.iter().chain(&earlier).any(|actor| is_suspended(actor)) {
            return Err(DenialReason::ActorSuspended);
        }
        let parties = || [Some(&*client), actor.as_deref()].into_iter().flatten();
        let registration = Self {
            generation: registry.generation,
            has_end: parties().any(|party| party.expires.is_some())
                || earlier.iter().any(|application| application.expires.is_some()),
            sender_constrained: parties().any(|party| party.sender_constrained),
            scopes: presentation.scopes.cut(|scope| parties().all(|party| party.may_ever_use(scope))),
            client: client.clone(),
            actor: actor.clone(),
            earlier: earlier.into(),
        };
        registration.check_end(evidence.clock)?;
        if !parties().all(|party| party.is_for_environment(registry.environment())) {
            return Err(DenialReason::EnvironmentNotAllowed);
        }
        if parties().any(|party| !party.tenants.is_empty()) {
            let tenant = presentation.tenant?;
            if !parties().all(|party| party.is_for_tenant(tenant)) {
                return Err(DenialReason::TenantNotAllowed);
            }
        }
        if !registration.presenter().acts_for(presentation.subject_kind) {
            if presentation.subject_kind == SubjectKind::Unknown {
                log_unknown_kind(presentation.issuer);
            }
            return Err(DenialReason::ActingNotAllowed);
        }
        let is_too_long = |max| presentation.lifetime.is_none_or(|lifetime| lifetime > max);
        if parties().filter_map(|party| party.max_token_lifetime).any(is_too_long) {
            return Err(DenialReason::ApplicationTokenLifetimeTooLong);
        }
        registration.check_presenter(evidence)?;
        let is_too_broad = |party: &Application| {
            party.excess_scopes == ExcessScopes::Refuse
                && !presentation.scopes.iter().all(|scope| party.may_ever_use(scope))
        };
        if parties().any(is_too_broad) {
            return Err(DenialReason::TokenTooBroad);
        }
        Ok(registration)
    }

    /// Makes those checks again that depend on the request, in the same order.
    pub(super) fn recheck(&self, evidence: &Evidence<'_>) -> Result<(), DenialReason> {
        self.check_end(evidence.clock)?;
        self.check_presenter(evidence)
    }

    fn check_end(&self, clock: &dyn Clock) -> Result<(), DenialReason> {
        if !self.has_end {
            return Ok(());
        }
        let now = clock.now();
        if has_expired(&self.client, now) {
            return Err(DenialReason::ClientExpired);
        }
        if self.actor.iter().chain(&self.earlier).any(|actor| has_expired(actor, now)) {
            return Err(DenialReason::ActorExpired);
        }
        Ok(())
    }

    fn check_presenter(&self, evidence: &Evidence<'_>) -> Result<(), DenialReason> {
        if self.sender_constrained && !evidence.sender_constrained {
            return Err(DenialReason::ApplicationSenderConstraintMissing);
        }
        self.presenter().workloads.check(evidence.workload)
    }

    /// Records that a request of these applications was let in.
    pub(crate) fn mark_seen(&self, at: Timestamp) {
        self.client.last_seen.mark(at);
        if let Some(actor) = &self.actor {
            actor.last_seen.mark(at);
        }
    }

    /// The application that the token was issued to.
    /// The application that the token was issued to.
    pub(crate) fn client(&self) -> &Application {
        &self.client
    }

    /// The application that presents the token.
    pub(crate) fn presenter(&self) -> &Application {
        self.actor.as_deref().unwrap_or(&self.client)
    }

    /// The token's scopes where some of them were cut.
    pub(crate) fn cut_scopes(&self) -> Option<&ScopeSet> {
        self.scopes.as_ref()
    }

    /// Could any token of these applications have this scope?
    pub(crate) fn may_ever_use(&self, scope: &str) -> bool {
        self.client.may_ever_use(scope) && self.presenter().may_ever_use(scope)
    }
}

/// The applications of earlier actors. One that is registered only as a client is
/// found too: its registration can be taken back like any other.
fn earlier_applications(
    registry: &Registry,
    actors: &dyn Actors,
) -> Result<Vec<Arc<Application>>, DenialReason> {
    let mut applications = Vec::new();
    for (issuer, id) in (1..).map_while(|at| actors.actor(at)) {
        let as_actor = registry.actor(issuer, id);
        if as_actor.is_none() && registry.refuses_unknown_earlier_actors() {
            return Err(DenialReason::ActorUnregistered);
        }
        let as_client = || registry.client(issuer, &ClientId::from(id.as_str()));
        applications.extend(as_actor.or_else(as_client).cloned());
    }
    Ok(applications)
}

fn has_expired(application: &Application, now: Timestamp) -> bool {
    application.expires.as_ref().is_some_and(|deadline| deadline.has_passed(now))
}
