//! Demands on the registered applications: the client's and the presenter's.

use super::{
    Requirement,
    describe::Description,
    evaluate::{Evidence, Failure, Outcome, ensure},
};
use crate::{
    context::{Application, ApplicationKind},
    reason::DenialReason,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Applications {
    client: Demanded,
    presenter: Demanded,
    /// With an actor, the presenter is the actor's.
    actor_kinds: Vec<ApplicationKind>,
}

/// What one application must be.
#[derive(Clone, Debug, Default)]
struct Demanded {
    names: Vec<Box<str>>,
    kinds: Vec<ApplicationKind>,
    tenants: Vec<Box<str>>,
    environments: Vec<Box<str>>,
}

impl Requirement {
    /// Demands that the client is the registered application of this name, or
    /// of another one demanded here. Without a [registry](crate::application)
    /// this and the other demands on applications deny.
    #[must_use]
    pub fn application(mut self, name: &str) -> Self {
        self.applications.client.names.push(name.into());
        self
    }

    /// Demands a client whose registered application is of this kind, or of
    /// another one demanded here.
    #[must_use]
    pub fn application_kind(mut self, kind: ApplicationKind) -> Self {
        self.applications.client.kinds.push(kind);
        self
    }

    /// Demands a client whose application is registered for this tenant by
    /// name, or for another one demanded here. An application for every tenant
    /// is not meant for one of them.
    #[must_use]
    pub fn application_tenant(mut self, tenant: &str) -> Self {
        self.applications.client.tenants.push(tenant.into());
        self
    }

    /// Demands a client whose application is registered for this environment by
    /// name, or for another one demanded here.
    #[must_use]
    pub fn application_environment(mut self, environment: &str) -> Self {
        self.applications.client.environments.push(environment.into());
        self
    }

    /// Demands that the presenter is the registered application of this name,
    /// or of another one demanded here: the current actor's if there is one,
    /// else the client's.
    #[must_use]
    pub fn presenter(mut self, name: &str) -> Self {
        self.applications.presenter.names.push(name.into());
        self
    }

    /// Demands a presenter of this kind, or of another one demanded here: that
    /// an agent, or no agent, holds the token now.
    #[must_use]
    pub fn presenter_kind(mut self, kind: ApplicationKind) -> Self {
        self.applications.presenter.kinds.push(kind);
        self
    }

    /// Demands a current actor (RFC 8693 section 4.1) whose registered
    /// application is of this kind, or of another one demanded here.
    #[must_use]
    pub fn actor_kind(mut self, kind: ApplicationKind) -> Self {
        self.applications.actor_kinds.push(kind);
        self.delegated()
    }

    /// Demands a presenter whose application is registered for this tenant by
    /// name, or for another one demanded here.
    #[must_use]
    pub fn presenter_tenant(mut self, tenant: &str) -> Self {
        self.applications.presenter.tenants.push(tenant.into());
        self
    }

    /// Demands a presenter whose application is registered for this
    /// environment by name, or for another one demanded here.
    #[must_use]
    pub fn presenter_environment(mut self, environment: &str) -> Self {
        self.applications.presenter.environments.push(environment.into());
        self
    }
}

impl Applications {
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let delegation = evidence.delegation;
        self.client.check(delegation.application(), DenialReason::ApplicationNotAllowed)?;
        self.presenter.check(delegation.presenter(), DenialReason::PresenterNotAllowed)?;
        if self.actor_kinds.is_empty() {
            return Ok(());
        }
        let unknown = Failure::unknown(DenialReason::ActorNotAllowed);
        let actor = delegation.presenter().filter(|_| delegation.is_delegated()).ok_or(unknown)?;
        ensure(self.actor_kinds.contains(&actor.kind()), DenialReason::ActorNotAllowed)
    }

    /// What keeps an application from ever presenting a token that meets this.
    pub(super) fn hindrance(&self, application: &Application) -> Option<DenialReason> {
        if self.presenter.check(Some(application), DenialReason::PresenterNotAllowed).is_err() {
            return Some(DenialReason::PresenterNotAllowed);
        }
        let is_actor = application.actors().len() > 0;
        let is_kind = self.actor_kinds.contains(&application.kind());
        if !self.actor_kinds.is_empty() && (!is_actor || !is_kind) {
            return Some(DenialReason::ActorNotAllowed);
        }
        // The client of an actor's token is any other application.
        let client = self.client.check(Some(application), DenialReason::ApplicationNotAllowed);
        (client.is_err() && !is_actor).then_some(DenialReason::ApplicationNotAllowed)
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        let Self { client, presenter, actor_kinds } = self;
        to.texts("application", &client.names);
        to.texts("application_kind", client.kinds.iter().map(|kind| kind.as_str()));
        to.texts("application_tenant", &client.tenants);
        to.texts("application_environment", &client.environments);
        to.texts("presenter", &presenter.names);
        to.texts("presenter_kind", presenter.kinds.iter().map(|kind| kind.as_str()));
        to.texts("presenter_tenant", &presenter.tenants);
        to.texts("presenter_environment", &presenter.environments);
        to.texts("actor_kind", actor_kinds.iter().map(|kind| kind.as_str()));
    }
}

impl Demanded {
    fn is_empty(&self) -> bool {
        self.names.is_empty()
            && self.kinds.is_empty()
            && self.tenants.is_empty()
            && self.environments.is_empty()
    }

    fn check(&self, application: Option<&Application>, reason: DenialReason) -> Outcome {
        if self.is_empty() {
            return Ok(());
        }
        let application = application.ok_or(Failure::unknown(reason))?;
        let is_one_of = |demanded: &[Box<str>], text: &str| demanded.iter().any(|one| **one == *text);
        let name = self.names.is_empty() || is_one_of(&self.names, application.name());
        let kind = self.kinds.is_empty() || self.kinds.contains(&application.kind());
        let tenant = self.tenants.is_empty()
            || application.tenants().any(|tenant| is_one_of(&self.tenants, tenant.as_str()));
        let environment = self.environments.is_empty()
            || application.environments().any(|environment| is_one_of(&self.environments, environment));
        ensure(name && kind && tenant && environment, reason)
    }
}
