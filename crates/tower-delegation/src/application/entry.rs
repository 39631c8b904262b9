//! [`Application`]: one entry of the registry.

use std::time::Duration;

use super::{ceiling::Ceiling, deadline::Deadline, last_seen::LastSeen, workloads::Workloads};
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
    pub(super) name: Box<str>,
    pub(super) kind: ApplicationKind,
    pub(super) clients: Vec<(IssuerUrl, ClientId)>,
    pub(super) actors: Vec<(IssuerUrl, SubjectId)>,
    pub(super) vendor: Option<Box<str>>,
    pub(super) owner: Option<Box<str>>,
    pub(super) status: ApplicationStatus,
    pub(super) expires: Option<Deadline>,
    pub(super) review_by: Option<Deadline>,
    pub(super) workloads: Workloads,
    /// Sorted, each once.
    pub(super) scopes: Vec<Scope>,
    pub(super) roles: Ceiling,
    pub(super) permissions: Ceiling,
    pub(super) groups: Ceiling,
    pub(super) detail_types: Ceiling,
    pub(super) excess: Excess,
    pub(super) acts_for_users: bool,
    pub(super) acts_for_services: bool,
    pub(super) tenants: Vec<TenantId>,
    pub(super) environments: Vec<Box<str>>,
    pub(super) max_token_lifetime: Option<Duration>,
    pub(super) sender_constrained: bool,
    pub(super) last_seen: LastSeen,
}

impl Application {
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

    /// Until when the entry should be reviewed. Reported, not enforced.
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

    /// Whether what an earlier state of the registry showed of an application is so of
    /// this one: who it is, and what it is for. A new setting is to be decided about here.
    pub(super) fn shows_all_of(&self, former: &Self) -> bool {
        let Self {
            name,
            kind,
            tenants,
            environments,
            // A request that one of these refuses is refused before anything is compared.
            clients: _,
            actors: _,
            status: _,
            expires: _,
            workloads: _,
            excess: _,
            acts_for_users: _,
            acts_for_services: _,
            max_token_lifetime: _,
            sender_constrained: _,
            // They cut what the token grants, and that is compared.
            scopes: _,
            roles: _,
            permissions: _,
            groups: _,
            detail_types: _,
            // For people to read.
            vendor: _,
            owner: _,
            review_by: _,
            last_seen: _,
        } = self;
        *name == former.name
            && *kind == former.kind
            && former.tenants.iter().all(|tenant| tenants.contains(tenant))
            && former.environments.iter().all(|environment| environments.contains(environment))
    }

    pub(super) fn is_for_environment(&self, environment: Option<&str>) -> bool {
        match environment {
            Some(environment) => self.environments.iter().any(|one| **one == *environment),
            None => self.environments.is_empty(),
        }
    }

    pub(super) fn is_for_tenant(&self, tenant: Option<&TenantId>) -> bool {
        self.tenants.is_empty() || tenant.is_some_and(|tenant| self.tenants.contains(tenant))
    }
}
