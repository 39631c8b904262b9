//! Demands on the parties: the subject, those who act for it, the client.

use super::{
    Requirement,
    describe::{Description, Said},
    evaluate::{Evidence, Failure, Outcome, ensure},
};
use crate::{
    application::Application,
    context::{DelegationContext, SubjectKind},
    names::{ClientId, IssuerUrl, SubjectId},
    reason::DenialReason,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Parties {
    subject_kinds: Vec<SubjectKind>,
    on_behalf_of_user: Presence,
    delegation: Presence,
    max_actors: Option<usize>,
    denied_actors: Vec<SubjectId>,
    actors: Vec<DemandedActor>,
    clients: Vec<ClientId>,
}

/// May, must or must not something be?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Presence {
    #[default]
    Either,
    Required,
    Forbidden,
}

#[derive(Clone, Debug)]
struct DemandedActor {
    /// `None`: the token's own.
    issuer: Option<IssuerUrl>,
    id: SubjectId,
}

impl Requirement {
    /// Demands a subject of this kind, or of another one demanded here.
    #[must_use]
    pub fn subject_kind(mut self, kind: SubjectKind) -> Self {
        self.parties.subject_kinds.push(kind);
        self.settle()
    }

    /// Demands that an application acts for a user: the subject is a user
    /// (unknown is not enough) and the client is another party. What proves a
    /// user is for the issuer to say:
    /// [`TrustedIssuer::add_user_claim`](crate::issuer::TrustedIssuer::add_user_claim).
    #[must_use]
    pub fn on_behalf_of_user(mut self) -> Self {
        let mistake = "acting for a user is both required and forbidden";
        self.parties.on_behalf_of_user =
            self.presence(self.parties.on_behalf_of_user, Presence::Required, mistake);
        self.settle()
    }

    /// Demands that no application acts for a user. Where the subject's kind or
    /// the client is not known, that is not known either, and denied.
    #[must_use]
    pub fn not_on_behalf_of_user(mut self) -> Self {
        let mistake = "acting for a user is both required and forbidden";
        self.parties.on_behalf_of_user =
            self.presence(self.parties.on_behalf_of_user, Presence::Forbidden, mistake);
        self.settle()
    }

    /// Demands a delegated token: one with an actor (RFC 8693 section 4.1).
    #[must_use]
    pub fn delegated(mut self) -> Self {
        let mistake = "delegation is both required and forbidden";
        self.parties.delegation = self.presence(self.parties.delegation, Presence::Required, mistake);
        self.settle()
    }

    /// Demands a token without an actor.
    #[must_use]
    pub fn not_delegated(mut self) -> Self {
        let mistake = "delegation is both required and forbidden";
        self.parties.delegation = self.presence(self.parties.delegation, Presence::Forbidden, mistake);
        self.settle()
    }

    /// Demands a chain of this many actors at most, the current one included.
    /// The layer's own `max_actors` bounds every token before.
    #[must_use]
    pub fn max_actors(mut self, max: usize) -> Self {
        self.parties.max_actors = Some(self.parties.max_actors.map_or(max, |known| known.min(max)));
        self.settle()
    }

    /// Refuses every token in whose chain this actor stands, as the current one
    /// or before, whoever vouches for it. Earlier actors can only ever deny
    /// (RFC 8693 section 4.1).
    #[must_use]
    pub fn deny_actor(mut self, actor: impl Into<SubjectId>) -> Self {
        self.parties.denied_actors.push(actor.into());
        self.settle()
    }

    /// Demands this current actor, or another one demanded here, vouched for by
    /// the token's own issuer. Earlier actors never count (RFC 8693 section 4.1).
    #[must_use]
    pub fn actor(mut self, actor: impl Into<SubjectId>) -> Self {
        self.parties.actors.push(DemandedActor { issuer: None, id: actor.into() });
        self.settle()
    }

    /// Demands this current actor of this issuer, or another one demanded here:
    /// for actors that another issuer vouches for (RFC 8693 section 4.1).
    #[must_use]
    pub fn actor_of(mut self, issuer: impl Into<IssuerUrl>, actor: impl Into<SubjectId>) -> Self {
        self.parties.actors.push(DemandedActor { issuer: Some(issuer.into()), id: actor.into() });
        self.settle()
    }

    /// Demands this client, or another one demanded here.
    #[must_use]
    pub fn client(mut self, client: impl Into<ClientId>) -> Self {
        self.parties.clients.push(client.into());
        self
    }

    fn presence(&mut self, known: Presence, new: Presence, mistake: &'static str) -> Presence {
        if known != Presence::Either && known != new {
            self.add_contradiction(mistake);
        }
        new
    }
}

impl Parties {
    /// What keeps an application from ever presenting a token that meets this.
    pub(super) fn hindrance(&self, application: &Application) -> Option<DenialReason> {
        let mut kinds = [SubjectKind::User, SubjectKind::Service].into_iter();
        let is_demanded = |kind| self.subject_kinds.is_empty() || self.subject_kinds.contains(&kind);
        if !kinds.any(|kind| is_demanded(kind) && application.acts_for(kind)) {
            return Some(DenialReason::SubjectKindNotAllowed);
        }
        if self.on_behalf_of_user == Presence::Required && !application.acts_for(SubjectKind::User) {
            return Some(DenialReason::NotOnBehalfOfUser);
        }
        // A demanded actor is another issuer's only where that issuer is named.
        let is_wanted = |(issuer, id): (&IssuerUrl, &SubjectId)| {
            let is = |demanded: &DemandedActor| {
                demanded.id == *id && demanded.issuer.as_ref().is_none_or(|demanded| demanded == issuer)
            };
            !self.denied_actors.contains(id) && (self.actors.is_empty() || self.actors.iter().any(is))
        };
        let admits_actors = self.delegation != Presence::Forbidden && self.max_actors != Some(0);
        if admits_actors && application.actors().any(is_wanted) {
            // The client of such a token is any other application.
            return None;
        }
        if self.delegation == Presence::Required || !self.actors.is_empty() {
            let has_actor = application.actors().len() > 0;
            let none = DenialReason::DelegationRequired;
            return Some(if has_actor { DenialReason::ActorNotAllowed } else { none });
        }
        let mut clients = application.clients();
        if clients.len() == 0 {
            return Some(DenialReason::DelegationForbidden);
        }
        let is_admitted = |(_, client): (&IssuerUrl, &ClientId)| self.clients.contains(client);
        (!self.clients.is_empty() && !clients.any(is_admitted)).then_some(DenialReason::ClientNotAllowed)
    }

    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let delegation = evidence.delegation;
        let kind = delegation.subject().kind();
        if !self.subject_kinds.is_empty() && !self.subject_kinds.contains(&kind) {
            let is_certain = kind != SubjectKind::Unknown;
            return Err(Failure { reason: DenialReason::SubjectKindNotAllowed, is_certain });
        }
        match self.on_behalf_of_user {
            Presence::Either => {}
            Presence::Required => match acts_for_user(delegation) {
                Some(holds) => ensure(holds, DenialReason::NotOnBehalfOfUser)?,
                None => return Err(Failure::unknown(DenialReason::NotOnBehalfOfUser)),
            },
            Presence::Forbidden => match acts_for_user(delegation) {
                Some(holds) => ensure(!holds, DenialReason::OnBehalfOfUserForbidden)?,
                None => return Err(Failure::unknown(DenialReason::OnBehalfOfUserForbidden)),
            },
        }
        let actors = delegation.actors();
        match self.delegation {
            Presence::Either => {}
            Presence::Required => ensure(!actors.is_empty(), DenialReason::DelegationRequired)?,
            Presence::Forbidden => ensure(actors.is_empty(), DenialReason::DelegationForbidden)?,
        }
        if let Some(max) = self.max_actors {
            ensure(actors.len() <= max, DenialReason::ActorChainNotAllowed)?;
        }
        if !self.denied_actors.is_empty() {
            let denied = actors.iter().any(|actor| self.denied_actors.contains(actor.id()));
            ensure(!denied, DenialReason::ActorDenied)?;
        }
        if !self.actors.is_empty() {
            let actor = actors.first().ok_or(Failure::certain(DenialReason::DelegationRequired))?;
            let admitted = self.actors.iter().any(|demanded| {
                let issuer = demanded.issuer.as_ref().unwrap_or(delegation.issuer());
                actor.is(issuer, &demanded.id)
            });
            ensure(admitted, DenialReason::ActorNotAllowed)?;
        }
        if !self.clients.is_empty() {
            let client = delegation.client().ok_or(Failure::unknown(DenialReason::ClientNotAllowed))?;
            ensure(self.clients.contains(client), DenialReason::ClientNotAllowed)?;
        }
        Ok(())
    }

    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let no_actor = self.delegation == Presence::Forbidden || self.max_actors == Some(0);
        if no_actor && !self.actors.is_empty() {
            return Some("an actor is demanded and delegation forbidden");
        }
        if no_actor && self.delegation == Presence::Required {
            return Some("delegation is demanded and every actor forbidden");
        }
        let is_denied = |actor: &DemandedActor| self.denied_actors.contains(&actor.id);
        if !self.actors.is_empty() && self.actors.iter().all(is_denied) {
            return Some("an actor is both demanded and denied");
        }
        let kinds = &self.subject_kinds;
        if self.on_behalf_of_user == Presence::Required
            && !kinds.is_empty()
            && !kinds.contains(&SubjectKind::User)
        {
            return Some("acting for a user is demanded and the subject's kind must be another");
        }
        None
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        to.texts("subject_kind", self.subject_kinds.iter().map(|kind| kind.as_str()));
        to.flag("on_behalf_of_user", self.on_behalf_of_user == Presence::Required);
        to.flag("not_on_behalf_of_user", self.on_behalf_of_user == Presence::Forbidden);
        to.flag("delegated", self.delegation == Presence::Required);
        to.flag("not_delegated", self.delegation == Presence::Forbidden);
        to.number("max_actors", self.max_actors);
        to.texts("deny_actor", &self.denied_actors);
        to.texts("actor", self.actors.iter().filter(|one| one.issuer.is_none()).map(|one| &one.id));
        to.several(
            "actor_of",
            self.actors.iter().filter_map(|one| {
                let issuer = one.issuer.as_ref()?;
                Some(Said::Members(vec![("issuer", Said::text(issuer)), ("actor", Said::text(&one.id))]))
            }),
        );
        to.texts("client", &self.clients);
    }
}

/// Does an application act for a user? `None`: the token does not tell.
fn acts_for_user(delegation: &DelegationContext) -> Option<bool> {
    match delegation.subject().kind() {
        SubjectKind::Service => Some(false),
        SubjectKind::User => delegation.client().map(|_| delegation.is_on_behalf_of_user()),
        SubjectKind::Unknown => None,
    }
}
