//! The registry of applications: which of them may hold tokens, from where,
//! for whom, and how much at most.
//!
//! With a registry ([`DelegationLayerBuilder::applications`]) a token counts only
//! as far as the application that presents it is registered for it. The
//! *presenter* is the application of the current actor where the token has an
//! `act` (RFC 8693 section 4.1), else that of the client. On every request,
//! also with a token that was seen before, in this order:
//!
//! 1. the token names a client: else `client_missing`;
//! 2. the client belongs to a registered application: `client_unregistered`;
//! 3. so does the current actor, if there is one: `actor_unregistered`; an earlier
//!    actor that does not is recorded, or
//!    [refused](ApplicationsBuilder::refuse_unknown_earlier_actors);
//! 4. none of them is suspended, and neither is the application of an earlier actor,
//!    of a subject that is no user, or one that any of them is registered for under
//!    another name (a client's or an actor's): `client_suspended`, `actor_suspended`;
//! 5. the same with those that have expired: `client_expired`, `actor_expired`;
//! 6. both are registered for the service's environment: `environment_not_allowed`;
//! 7. and for the token's tenant: `tenant_not_allowed`;
//! 8. the presenter may act for subjects of this kind: `acting_not_allowed`;
//! 9. the token does not live longer than both may hold one:
//!    `application_token_lifetime_too_long`;
//! 10. the token is bound to its sender, if either demands that:
//!     `application_sender_constraint_missing`;
//! 11. the workload that sent the request is one of the presenter's:
//!     `workload_unknown`, `workload_not_registered`;
//! 12. what the token grants is within both ceilings, if either refuses more:
//!     `token_too_broad`. Otherwise it is cut.
//!
//! The ceiling bounds everything that a token can grant: scopes, roles,
//! permissions, groups and types of authorization details (RFC 9396). What is left
//! is *effective*: what the token grants, as far as the client's application and
//! the current actor's may ever use it. Requirements and audit events see nothing
//! else. A [claim](crate::context::DelegationContext::claim) that is read by its
//! name is the token's own, and is not cut.
//!
//! Without a registry the clients of an issuer are taken as they come.
//!
//! # Deployment caveat
//!
//! The rule is as good as the identity of the workload: without
//! [`ClientIdentity`](crate::authenticator::ClientIdentity) no workload is
//! known, and only applications that [may be presented from
//! anywhere](ApplicationBuilder::allow_any_workload) are served.
//!
//! # Example
//!
//! ```
//! use tower_delegation::{
//!     Applications, ClientIdentity, ConfigError, DelegationLayer, TrustedIssuer,
//!     application::{Application, ApplicationKind},
//! };
//!
//! fn layer(issuer: TrustedIssuer) -> Result<DelegationLayer, ConfigError> {
//!     let web = Application::builder("shop-web", ApplicationKind::Application)
//!         .issuer("https://idp.example.com")
//!         .add_client_id("shop-web")
//!         .add_workload("spiffe://prod.example/shop/web")
//!         .add_scopes(["orders:read", "orders:refund"])
//!         .acts_for_users();
//!     let copilot = Application::builder("copilot", ApplicationKind::Agent)
//!         .issuer("https://idp.example.com")
//!         .add_actor_id("copilot")
//!         .add_workload("spiffe://prod.example/agents/copilot")
//!         .add_scopes(["orders:read"])
//!         .acts_for_users();
//!     let applications = Applications::builder().add_application(web).add_application(copilot).build()?;
//!     DelegationLayer::builder()
//!         .add_issuer(issuer)
//!         .client_identity(ClientIdentity::from_tls())
//!         .applications(applications)
//!         .build()
//! }
//! # let issuer = TrustedIssuer::discover("https://idp.example.com")?.add_audience("https://orders.example.com");
//! # layer(issuer)?;
//! # Ok::<(), ConfigError>(())
//! ```
//!
//! [`DelegationLayerBuilder::applications`]: crate::layer::DelegationLayerBuilder::applications

mod builder;
mod ceiling;
mod deadline;
#[cfg(feature = "toml")]
mod file;
mod last_seen;
mod presenter;
mod registry;
#[cfg(test)]
mod tests;
#[cfg(feature = "reload")]
mod watch;
mod workloads;

#[cfg(feature = "toml")]
#[doc = include_str!("../../../../docs/applications.md")]
pub mod registry_file {}

use std::time::Duration;

#[cfg(feature = "reload")]
pub use self::watch::ApplicationsWatcher;
pub use self::{
    builder::ApplicationBuilder,
    ceiling::Ceiling,
    deadline::Deadline,
    registry::{Applications, ApplicationsBuilder, LoadFailure, RegistryStatus},
};
use self::{last_seen::LastSeen, workloads::Workloads};
pub(crate) use self::{
    presenter::{Actors, Granted, Registration, SenderFacts, TokenParties},
    registry::RegistrationSlot,
};
use crate::{
    clock::Timestamp,
    names::{ClientId, IssuerUrl, SubjectId, SubjectKind, TenantId},
    scope::Scope,
    spiffe::SpiffePattern,
};

/// What an application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApplicationKind {
    /// An application that people use.
    Application,
    /// A service that acts for itself or for others, without a person in front of it.
    Service,
    /// An agent that decides by itself what it does for others.
    Agent,
}

impl ApplicationKind {
    /// The kind in lower case, as audit events carry it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Service => "service",
            Self::Agent => "agent",
        }
    }
}

/// Whether an application may present tokens now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApplicationStatus {
    /// It may.
    Active,
    /// It may not, until this is taken back.
    Suspended,
}

impl ApplicationStatus {
    /// The status in lower case, as in TOML.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// What becomes of a token that grants more than its application may ever use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Excess {
    /// The token counts, without what is too much.
    Cut,
    /// The token is refused: its issuer granted what it must not.
    Refuse,
}

/// One registered application.
#[derive(Clone, Debug)]
pub struct Application {
    name: Box<str>,
    kind: ApplicationKind,
    clients: Vec<(IssuerUrl, ClientId)>,
    actors: Vec<(IssuerUrl, SubjectId)>,
    vendor: Option<Box<str>>,
    owner: Option<Box<str>>,
    status: ApplicationStatus,
    expires: Option<Deadline>,
    review_by: Option<Deadline>,
    workloads: Workloads,
    /// Sorted, each once.
    scopes: Vec<Scope>,
    roles: Ceiling,
    permissions: Ceiling,
    groups: Ceiling,
    detail_types: Ceiling,
    excess: Excess,
    acts_for_users: bool,
    acts_for_services: bool,
    tenants: Vec<TenantId>,
    environments: Vec<Box<str>>,
    max_token_lifetime: Option<Duration>,
    sender_constrained: bool,
    last_seen: LastSeen,
}

impl Application {
    /// Starts an entry. `name` is what people call the application; each name
    /// occurs once in a registry.
    pub fn builder(name: &str, kind: ApplicationKind) -> ApplicationBuilder {
        ApplicationBuilder::new(name, kind)
    }

    /// What people call the application.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Application, service or agent.
    #[must_use]
    pub fn kind(&self) -> ApplicationKind {
        self.kind
    }

    /// The clients that are this application, each with its issuer.
    #[must_use]
    pub fn clients(&self) -> impl ExactSizeIterator<Item = (&IssuerUrl, &ClientId)> {
        self.clients.iter().map(|(issuer, id)| (issuer, id))
    }

    /// The actors that are this application, each with its issuer.
    #[must_use]
    pub fn actors(&self) -> impl ExactSizeIterator<Item = (&IssuerUrl, &SubjectId)> {
        self.actors.iter().map(|(issuer, id)| (issuer, id))
    }

    /// Who makes the application.
    #[must_use]
    pub fn vendor(&self) -> Option<&str> {
        self.vendor.as_deref()
    }

    /// Who answers for the application.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Whether it may present tokens now.
    #[must_use]
    pub fn status(&self) -> ApplicationStatus {
        self.status
    }

    /// Until when the application is registered.
    #[must_use]
    pub fn expires(&self) -> Option<&Deadline> {
        self.expires.as_ref()
    }

    /// Until when somebody should look at the entry again. Reported, not enforced.
    #[must_use]
    pub fn review_by(&self) -> Option<&Deadline> {
        self.review_by.as_ref()
    }

    /// The workloads that may present its tokens, by SPIFFE ID.
    #[must_use]
    pub fn workloads(&self) -> impl ExactSizeIterator<Item = &SpiffePattern> {
        self.workloads.spiffe.iter()
    }

    /// The workloads that may present its tokens, by the DNS name in their certificate.
    #[must_use]
    pub fn workload_dns_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.workloads.dns_names.iter().map(|name| &**name)
    }

    /// The workloads that may present its tokens, by the SHA-256 of their certificate.
    #[must_use]
    pub fn workload_thumbprints(&self) -> impl ExactSizeIterator<Item = &[u8; 32]> {
        self.workloads.thumbprints.iter()
    }

    /// May its tokens be presented from anywhere?
    #[must_use]
    pub fn allows_any_workload(&self) -> bool {
        self.workloads.any
    }

    /// The scopes that it may ever use, in alphabetical order.
    #[must_use]
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.scopes.iter()
    }

    /// The roles that it may ever use.
    #[must_use]
    pub fn roles(&self) -> &Ceiling {
        &self.roles
    }

    /// The permissions that it may ever use.
    #[must_use]
    pub fn permissions(&self) -> &Ceiling {
        &self.permissions
    }

    /// The groups of a subject that it may ever use.
    #[must_use]
    pub fn groups(&self) -> &Ceiling {
        &self.groups
    }

    /// The types of authorization details (RFC 9396) that it may ever use.
    #[must_use]
    pub fn authorization_detail_types(&self) -> &Ceiling {
        &self.detail_types
    }

    /// What becomes of a token that grants more than all that.
    #[must_use]
    pub fn excess(&self) -> Excess {
        self.excess
    }

    /// May it act for subjects of this kind? Never for those of unknown kind.
    #[must_use]
    pub fn acts_for(&self, kind: SubjectKind) -> bool {
        match kind {
            SubjectKind::User => self.acts_for_users,
            SubjectKind::Service => self.acts_for_services,
            SubjectKind::Unknown => false,
        }
    }

    /// The tenants that its tokens may belong to. None: any, or none.
    #[must_use]
    pub fn tenants(&self) -> impl ExactSizeIterator<Item = &TenantId> {
        self.tenants.iter()
    }

    /// The environments that it is registered for.
    #[must_use]
    pub fn environments(&self) -> impl ExactSizeIterator<Item = &str> {
        self.environments.iter().map(|environment| &**environment)
    }

    /// The longest that a token of it may live, from `iat` to `exp`.
    #[must_use]
    pub fn max_token_lifetime(&self) -> Option<Duration> {
        self.max_token_lifetime
    }

    /// Must its tokens be bound to their sender?
    #[must_use]
    pub fn requires_sender_constraint(&self) -> bool {
        self.sender_constrained
    }

    /// When it last presented a token that was let in, or was the client of one,
    /// to the second; `None`: not since this process started. A registry that
    /// replaces another inherits it, by name.
    #[must_use]
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.last_seen.get()
    }

    /// The same as text, as RFC 3339 has it, in UTC.
    pub(crate) fn last_seen_text(&self) -> Option<String> {
        self.last_seen.to_text()
    }

    pub(crate) fn may_ever_use(&self, scope: &str) -> bool {
        self.scopes.binary_search_by(|one| one.as_str().cmp(scope)).is_ok()
    }

    fn is_for_environment(&self, environment: Option<&str>) -> bool {
        match environment {
            Some(environment) => self.environments.iter().any(|one| **one == *environment),
            None => self.environments.is_empty(),
        }
    }

    fn is_for_tenant(&self, tenant: Option<&TenantId>) -> bool {
        self.tenants.is_empty() || tenant.is_some_and(|tenant| self.tenants.contains(tenant))
    }
}
