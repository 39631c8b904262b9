//! Which application could never meet a requirement, whatever its tokens say.

use super::{Demand, Requirement};
use crate::{
    application::Application,
    names::{ClientId, IssuerUrl, SubjectId, SubjectKind},
    reason::DenialReason as Reason,
};

/// As what an application presents a token.
#[derive(Clone, Copy)]
enum Party<'a> {
    /// As the client to which it was issued; there is no actor.
    Client(&'a IssuerUrl, &'a ClientId),
    /// As the current actor of a token that was issued to any other application.
    Actor(&'a IssuerUrl, &'a SubjectId),
}

impl Requirement {
    /// What keeps this application from ever meeting the requirement, as far as
    /// the two tell.
    pub(crate) fn bars(&self, application: &Application) -> Option<Reason> {
        let clients = application.clients().map(|(issuer, id)| Party::Client(issuer, id));
        let mut parties = clients.chain(application.actors().map(|(issuer, id)| Party::Actor(issuer, id)));
        let first = self.bars_party(application, parties.next()?)?;
        parties.all(|party| self.bars_party(application, party).is_some()).then_some(first)
    }

    fn bars_party(&self, application: &Application, party: Party<'_>) -> Option<Reason> {
        if self.is_mode_set() {
            // It lets through what it denies.
            return None;
        }
        self.demands.iter().find_map(|demand| demand.bars(application, party))
    }
}

impl Demand {
    fn bars(&self, one: &Application, party: Party<'_>) -> Option<Reason> {
        let could = match (self, party) {
            // The issuer of an actor need not be the token's: only a client's tells.
            (Self::Issuer(any), Party::Client(issuer, _)) => any.contains(issuer),
            (Self::Tenant(any), _) => {
                let mut tenants = one.tenants();
                let could = tenants.len() == 0 || tenants.any(|tenant| any.contains(tenant));
                return (!could).then_some(Reason::TenantNotAllowed);
            }
            (Self::SubjectKind(any), _) => any.iter().any(|kind| one.acts_for(*kind)),
            (Self::OnBehalfOfUser, _) => one.acts_for(SubjectKind::User),
            (Self::Delegated, Party::Client(..)) => false,
            (Self::Actor(_) | Self::ActorOf(_) | Self::ActorKind(_), Party::Client(..)) => {
                return Some(Reason::DelegationRequired);
            }
            (Self::NotDelegated, Party::Actor(..)) => false,
            (Self::MaxActors(0), Party::Actor(..)) => return Some(Reason::DelegationForbidden),
            (Self::DenyActor(denied), Party::Actor(_, id)) => denied != id,
            // A demanded actor is another issuer's only where that issuer is named.
            (Self::Actor(any), Party::Actor(_, id)) => any.contains(id),
            (Self::ActorOf(any), Party::Actor(issuer, id)) => {
                any.iter().any(|(of, known)| of == issuer && known == id)
            }
            (Self::DenyClient(denied), Party::Client(_, id)) => denied != id,
            (Self::Client(any), Party::Client(_, id)) => any.contains(id),
            (
                Self::Application(_)
                | Self::ApplicationKind(_)
                | Self::ApplicationTenant(_)
                | Self::ApplicationEnvironment(_),
                Party::Client(..),
            )
            | (
                Self::Presenter(_)
                | Self::PresenterKind(_)
                | Self::PresenterTenant(_)
                | Self::PresenterEnvironment(_)
                | Self::ActorKind(_),
                _,
            ) => self.holds_for(one) == Some(true),
            (Self::AllOf(parts), _) => return parts.iter().find_map(|part| part.bars_party(one, party)),
            (Self::AnyOf(parts), _) => {
                let barred: Option<Vec<Reason>> =
                    parts.iter().map(|part| part.bars_party(one, party)).collect();
                return barred.and_then(|reasons| reasons.first().copied());
            }
            _ => self.is_within(one),
        };
        (!could).then(|| self.reason())
    }

    /// Is what it demands of the token's grants within the application's ceiling?
    fn is_within(&self, one: &Application) -> bool {
        match self {
            Self::Role(any) => any.iter().any(|name| one.roles().permits(name)),
            Self::Permission(any) => any.iter().any(|name| one.permissions().permits(name)),
            Self::Group(any) => any.iter().any(|name| one.groups().permits(name)),
            Self::AuthorizationDetail(detail) => one.authorization_detail_types().permits(detail.kind()),
            Self::Scope(any) => any.iter().any(|name| one.may_ever_use(name)),
            _ => true,
        }
    }
}
