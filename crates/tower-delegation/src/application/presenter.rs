//! The presenter rule: the application of the presenter of a token, held
//! against the registry. The order of the checks is in the [module's
//! documentation](super).

use std::{iter, sync::Arc, time::Duration};

use super::{
    ceiling::Ceiling,
    entry::{Application, ApplicationStatus, Excess},
    registry::Registry,
};
use crate::{
    clock::Timestamp,
    credential::WorkloadIdentity,
    issuer::log_unknown_kind,
    names::{ClientId, IssuerUrl, SubjectId, SubjectKind, TenantId},
    privileges::{GroupSet, PermissionSet, RoleSet},
    reason::{DenialReason, Malformed},
    scope::ScopeSet,
};

/// What a verified token says of those who may present it. The same on every
/// request with that token.
pub(crate) struct TokenParties<'a> {
    pub(crate) issuer: &'a IssuerUrl,
    pub(crate) subject: &'a SubjectId,
    pub(crate) client: Option<&'a ClientId>,
    /// The current actor and those before it, newest first.
    pub(crate) actors: &'a dyn Actors,
    pub(crate) subject_kind: SubjectKind,
    pub(crate) tenant: Result<Option<&'a TenantId>, Malformed>,
    pub(crate) scopes: &'a ScopeSet,
    pub(crate) granted: &'a dyn Granted,
    /// From `iat` to `exp`. `None` without `iat`: longer than any limit.
    pub(crate) lifetime: Option<Duration>,
}

/// A chain of actors, each with its issuer.
pub(crate) trait Actors {
    /// The actor at this place; the current one is at 0.
    fn actor(&self, at: usize) -> Option<ChainedActor<'_>>;
}

/// One actor of a chain.
#[derive(Clone, Copy)]
pub(crate) struct ChainedActor<'a> {
    /// Who vouches for it.
    pub(crate) issuer: &'a IssuerUrl,
    /// Another issuer that it is said to be of, by one that may not say so. It is then
    /// no registered actor, and what was taken back from a namesake counts.
    pub(crate) claimed_issuer: Option<&'a IssuerUrl>,
    pub(crate) id: &'a SubjectId,
}

impl<'a> ChainedActor<'a> {
    /// Its application, if an issuer that may say so vouches for it.
    fn registered<'r>(&self, registry: &'r Registry) -> Option<&'r Arc<Application>> {
        if self.claimed_issuer.is_some() { None } else { registry.actor(self.issuer, self.id) }
    }

    /// The issuers that it may be of.
    fn issuers(&self) -> impl Iterator<Item = &'a IssuerUrl> + use<'a> {
        iter::once(self.issuer).chain(self.claimed_issuer)
    }
}

/// What a token grants in addition to scopes.
pub(crate) trait Granted {
    fn roles(&self) -> Result<&RoleSet, Malformed>;
    fn permissions(&self) -> Result<&PermissionSet, Malformed>;
    /// `None`: the token does not tell.
    fn groups(&self) -> Result<Option<&GroupSet>, Malformed>;
    /// The type of each of its authorization details.
    fn detail_types(&self) -> Result<Vec<Box<str>>, Malformed>;
}

/// What is known of one request.
pub(crate) struct SenderFacts<'a> {
    pub(crate) now: Timestamp,
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
    /// All others of the chain, as far as they are registered: see
    /// [`other_applications`].
    others: Box<[Arc<Application>]>,
    /// The token's scopes as far as both may ever use them; `None`: all of them.
    scopes: Option<ScopeSet>,
    /// The same of its roles, permissions and groups.
    roles: Option<RoleSet>,
    permissions: Option<PermissionSet>,
    groups: Option<GroupSet>,
    /// Whether any of them ever expires: most do not.
    has_end: bool,
    sender_constrained: bool,
}

impl Registration {
    /// Makes every check, in order.
    pub(super) fn establish(
        registry: &Registry,
        token: &TokenParties<'_>,
        sender: &SenderFacts<'_>,
    ) -> Result<Self, DenialReason> {
        let client = token.client.ok_or(DenialReason::ClientMissing)?;
        let client = registry.client(token.issuer, client).ok_or(DenialReason::ClientUnregistered)?.clone();
        let actor = token
            .actors
            .actor(0)
            .map(|actor| actor.registered(registry).cloned().ok_or(DenialReason::ActorUnregistered));
        let actor = actor.transpose()?;
        let others = other_applications(registry, token)?;
        let is_suspended = |application: &Application| application.status == ApplicationStatus::Suspended;
        if is_suspended(&client) {
            return Err(DenialReason::ClientSuspended);
        }
        if actor.iter().chain(&others).any(|actor| is_suspended(actor)) {
            return Err(DenialReason::ActorSuspended);
        }
        let parties = || [Some(&*client), actor.as_deref()].into_iter().flatten();
        let granted = token.granted;
        let may = |ceiling: fn(&Application) -> &Ceiling| {
            move |name: &str| parties().all(|party| ceiling(party).permits(name))
        };
        let registration = Self {
            generation: registry.generation,
            has_end: parties().any(|party| party.expires.is_some())
                || others.iter().any(|application| application.expires.is_some()),
            sender_constrained: parties().any(|party| party.sender_constrained),
            scopes: token.scopes.cut(|scope| parties().all(|party| party.may_ever_use(scope))),
            // What is malformed grants nothing, cut or not.
            roles: granted.roles().ok().and_then(|roles| roles.cut(may(Application::roles))),
            permissions: granted.permissions().ok().and_then(|all| all.cut(may(Application::permissions))),
            groups: granted.groups().ok().flatten().and_then(|groups| groups.cut(may(Application::groups))),
            client: client.clone(),
            actor: actor.clone(),
            others: others.into(),
        };
        registration.check_end(sender.now)?;
        registration.check_token(registry, token)?;
        registration.check_presenter(sender)?;
        for party in parties().filter(|party| party.excess == Excess::Refuse) {
            if !is_within(party, token)? {
                return Err(DenialReason::TokenTooBroad);
            }
        }
        Ok(registration)
    }

    /// The client's application, and the current actor's if there is one.
    fn parties(&self) -> impl Iterator<Item = &Application> {
        [Some(&*self.client), self.actor.as_deref()].into_iter().flatten()
    }

    /// Checks what the token says against what its applications are registered for.
    fn check_token(&self, registry: &Registry, token: &TokenParties<'_>) -> Result<(), DenialReason> {
        let parties = || self.parties();
        if !parties().all(|party| party.is_for_environment(registry.environment())) {
            return Err(DenialReason::EnvironmentNotAllowed);
        }
        if parties().any(|party| !party.tenants.is_empty()) {
            let tenant = token.tenant?;
            if !parties().all(|party| party.is_for_tenant(tenant)) {
                return Err(DenialReason::TenantNotAllowed);
            }
        }
        if !self.presenter().acts_for(token.subject_kind) {
            if token.subject_kind == SubjectKind::Unknown {
                log_unknown_kind(token.issuer);
            }
            return Err(DenialReason::ActingNotAllowed);
        }
        let is_too_long = |max| token.lifetime.is_none_or(|lifetime| lifetime > max);
        if parties().filter_map(|party| party.max_token_lifetime).any(is_too_long) {
            return Err(DenialReason::ApplicationTokenLifetimeTooLong);
        }
        Ok(())
    }

    /// Makes those checks again that depend on the request, in the same order.
    pub(super) fn recheck(&self, sender: &SenderFacts<'_>) -> Result<(), DenialReason> {
        self.check_end(sender.now)?;
        self.check_presenter(sender)
    }

    pub(super) fn check_end(&self, now: Timestamp) -> Result<(), DenialReason> {
        if !self.has_end {
            return Ok(());
        }
        if has_expired(&self.client, now) {
            return Err(DenialReason::ClientExpired);
        }
        if self.actor.iter().chain(&self.others).any(|actor| has_expired(actor, now)) {
            return Err(DenialReason::ActorExpired);
        }
        Ok(())
    }

    fn check_presenter(&self, sender: &SenderFacts<'_>) -> Result<(), DenialReason> {
        if self.sender_constrained && !sender.sender_constrained {
            return Err(DenialReason::ApplicationSenderConstraintMissing);
        }
        self.presenter().workloads.check(sender.workload)
    }

    /// Whether all that requirements may look at of `former`'s applications is so of these
    /// too. What they may use is compared where it is known what the token grants.
    pub(crate) fn shows_all_of(&self, former: &Self) -> bool {
        self.client.shows_all_of(&former.client) && self.presenter().shows_all_of(former.presenter())
    }

    /// Records that a request of these applications was let in.
    pub(crate) fn mark_seen(&self, at: Timestamp) {
        self.client.last_seen.mark(at);
        if let Some(actor) = &self.actor {
            actor.last_seen.mark(at);
        }
    }

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

    /// The token's roles where some of them were cut.
    pub(crate) fn cut_roles(&self) -> Option<&RoleSet> {
        self.roles.as_ref()
    }

    /// The token's permissions where some of them were cut.
    pub(crate) fn cut_permissions(&self) -> Option<&PermissionSet> {
        self.permissions.as_ref()
    }

    /// The subject's groups where some of them were cut.
    pub(crate) fn cut_groups(&self) -> Option<&GroupSet> {
        self.groups.as_ref()
    }

    /// Do authorization details of this type count for these applications?
    pub(crate) fn may_ever_use_detail(&self, kind: &str) -> bool {
        self.client.detail_types.permits(kind) && self.presenter().detail_types.permits(kind)
    }

    /// Could any token of these applications have this scope?
    pub(crate) fn may_ever_use(&self, scope: &str) -> bool {
        self.client.may_ever_use(scope) && self.presenter().may_ever_use(scope)
    }
}

/// Does the token grant no more than this application may ever use? What is
/// malformed and bounded may be anything, so it is refused. Groups that the token
/// does not tell grant nothing.
fn is_within(party: &Application, token: &TokenParties<'_>) -> Result<bool, Malformed> {
    let granted = token.granted;
    Ok(token.scopes.iter().all(|scope| party.may_ever_use(scope))
        && (party.roles.is_all() || granted.roles()?.iter().all(|role| party.roles.permits(role)))
        && (party.permissions.is_all()
            || granted.permissions()?.iter().all(|permission| party.permissions.permits(permission)))
        && (party.groups.is_all()
            || granted.groups()?.is_none_or(|groups| groups.iter().all(|group| party.groups.permits(group))))
        && (party.detail_types.is_all()
            || granted.detail_types()?.iter().all(|kind| party.detail_types.permits(kind))))
}

/// The applications of earlier actors, and those that a party of the chain is
/// registered for under another name: as a client where it is an actor, as an actor
/// where it is the client, as either where it is the subject and no user. What is
/// taken back from one registration of a party is taken back from the party.
fn other_applications(
    registry: &Registry,
    token: &TokenParties<'_>,
) -> Result<Vec<Arc<Application>>, DenialReason> {
    let as_client = |issuer, id: &str| registry.client(issuer, &ClientId::from(id)).cloned();
    let as_actor = |issuer, id: &str| registry.actor(issuer, &SubjectId::from(id)).cloned();
    let mut others = Vec::new();
    for (at, actor) in (0..).map_while(|at| Some((at, token.actors.actor(at)?))) {
        let is_unknown = actor.registered(registry).is_none();
        if at > 0 && is_unknown && registry.refuses_unknown_earlier_actors() {
            return Err(DenialReason::ActorUnregistered);
        }
        let id = actor.id.as_str();
        for issuer in actor.issuers() {
            let earlier = if at == 0 { None } else { as_actor(issuer, id) };
            others.extend(earlier.into_iter().chain(as_client(issuer, id)));
        }
    }
    let issuer = token.issuer;
    if let Some(client) = token.client {
        others.extend(as_actor(issuer, client.as_str()));
    }
    if token.subject_kind != SubjectKind::User {
        let subject = token.subject.as_str();
        others.extend(as_actor(issuer, subject).into_iter().chain(as_client(issuer, subject)));
    }
    Ok(others)
}

fn has_expired(application: &Application, now: Timestamp) -> bool {
    application.expires.as_ref().is_some_and(|deadline| deadline.has_passed(now))
}
