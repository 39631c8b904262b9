//! [`ApplicationBuilder`]: one entry, as it was written, and the checks that
//! make it an [`Application`].

use std::time::Duration;

use super::{
    ceiling::Ceiling,
    deadline::Deadline,
    entry::{Application, ApplicationKind, ApplicationStatus, Excess},
    last_seen::LastSeen,
    workloads::{Workloads, dns_name, spiffe_pattern, thumbprint},
};
use crate::{
    error::{ConfigError, Mistakes},
    names::TenantId,
    scope::Scope,
};

/// Collects one [`Application`]. What is not said is not allowed.
///
/// Checked when the registry is built: mistakes name the entry and the key, as
/// the key is called in TOML.
#[derive(Clone, Debug)]
#[must_use]
pub struct ApplicationBuilder {
    name: String,
    kind: ApplicationKind,
    issuer: Option<String>,
    /// Issuer, where the entry's is not meant, and identifier.
    client_ids: Vec<(Option<String>, String)>,
    actor_ids: Vec<(Option<String>, String)>,
    vendor: Option<String>,
    owner: Option<String>,
    status: ApplicationStatus,
    expires: Option<String>,
    review_by: Option<String>,
    workloads: Vec<String>,
    workload_dns_names: Vec<String>,
    workload_thumbprints: Vec<String>,
    any_workload: bool,
    scopes: Vec<String>,
    /// `None`: not said.
    roles: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    detail_types: Option<Vec<String>>,
    excess: Excess,
    acts_for_users: bool,
    acts_for_services: bool,
    tenants: Vec<String>,
    environments: Vec<String>,
    max_token_lifetime: Option<Duration>,
    sender_constrained: bool,
}

impl Application {
    /// Starts an entry. `name` is what people call the application; each name
    /// occurs once in a registry.
    pub fn builder(name: &str, kind: ApplicationKind) -> ApplicationBuilder {
        ApplicationBuilder::new(name, kind)
    }
}

impl ApplicationBuilder {
    pub(super) fn new(name: &str, kind: ApplicationKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            issuer: None,
            client_ids: Vec::new(),
            actor_ids: Vec::new(),
            vendor: None,
            owner: None,
            status: ApplicationStatus::Active,
            expires: None,
            review_by: None,
            workloads: Vec::new(),
            workload_dns_names: Vec::new(),
            workload_thumbprints: Vec::new(),
            any_workload: false,
            scopes: Vec::new(),
            roles: None,
            permissions: None,
            groups: None,
            detail_types: None,
            excess: Excess::Cut,
            acts_for_users: false,
            acts_for_services: false,
            tenants: Vec::new(),
            environments: Vec::new(),
            max_token_lifetime: None,
            sender_constrained: false,
        }
    }

    /// The issuer of the entry's clients and actors, where none is given with them.
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = Some(issuer.to_owned());
        self
    }

    /// A client that is this application, at the entry's [`issuer`](Self::issuer).
    pub fn add_client_id(mut self, id: &str) -> Self {
        self.client_ids.push((None, id.to_owned()));
        self
    }

    /// A client that is this application, at an issuer of its own.
    pub fn add_client_id_at(mut self, issuer: &str, id: &str) -> Self {
        self.client_ids.push((Some(issuer.to_owned()), id.to_owned()));
        self
    }

    /// An actor that is this application (`act.sub`), at the entry's
    /// [`issuer`](Self::issuer).
    pub fn add_actor_id(mut self, id: &str) -> Self {
        self.actor_ids.push((None, id.to_owned()));
        self
    }

    /// An actor that is this application (`act.sub`), at an issuer of its own:
    /// `act.iss`, or the token's issuer where that is absent.
    pub fn add_actor_id_at(mut self, issuer: &str, id: &str) -> Self {
        self.actor_ids.push((Some(issuer.to_owned()), id.to_owned()));
        self
    }

    /// Who makes the application.
    pub fn vendor(mut self, vendor: &str) -> Self {
        self.vendor = Some(vendor.to_owned());
        self
    }

    /// Who answers for the application.
    pub fn owner(mut self, owner: &str) -> Self {
        self.owner = Some(owner.to_owned());
        self
    }

    /// Refuses whatever it presents. Default: active.
    pub fn suspended(mut self) -> Self {
        self.status = ApplicationStatus::Suspended;
        self
    }

    /// Until when the application is registered: a date such as `2027-03-31`,
    /// to its end in UTC, or a timestamp (RFC 3339). Default: no end.
    pub fn expires(mut self, deadline: &str) -> Self {
        self.expires = Some(deadline.to_owned());
        self
    }

    /// Until when someone should look at the entry again. Reported, not enforced.
    pub fn review_by(mut self, deadline: &str) -> Self {
        self.review_by = Some(deadline.to_owned());
        self
    }

    /// Workloads that may present its tokens, by a
    /// [pattern over SPIFFE IDs](crate::spiffe::SpiffePattern).
    pub fn add_workload(mut self, pattern: &str) -> Self {
        self.workloads.push(pattern.to_owned());
        self
    }

    /// A workload that may present its tokens, by a DNS name of its certificate,
    /// which must chain to a trust anchor.
    pub fn add_workload_dns_name(mut self, name: &str) -> Self {
        self.workload_dns_names.push(name.to_owned());
        self
    }

    /// A workload that may present its tokens, by the SHA-256 of its
    /// certificate, in base64url as in `x5t#S256` or in hex.
    pub fn add_workload_thumbprint(mut self, thumbprint: &str) -> Self {
        self.workload_thumbprints.push(thumbprint.to_owned());
        self
    }

    /// Lets its tokens be presented from anywhere, also by those who prove
    /// nothing about themselves: for applications on people's devices. Not
    /// together with workloads. Default: from nowhere.
    pub fn allow_any_workload(mut self) -> Self {
        self.any_workload = true;
        self
    }

    /// A scope that it may ever use. Default: none.
    pub fn add_scope(mut self, scope: &str) -> Self {
        self.scopes.push(scope.to_owned());
        self
    }

    /// More scopes that it may ever use.
    pub fn add_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// More roles that it may ever use; an empty list says that it uses none.
    /// Default: none for an agent, all for applications and services.
    pub fn add_roles<S: Into<String>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        append(&mut self.roles, roles);
        self
    }

    /// More permissions that it may ever use. Default as of [`add_roles`](Self::add_roles).
    pub fn add_permissions<S: Into<String>>(mut self, permissions: impl IntoIterator<Item = S>) -> Self {
        append(&mut self.permissions, permissions);
        self
    }

    /// More groups of a subject that it may ever use. Default as of
    /// [`add_roles`](Self::add_roles).
    pub fn add_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        append(&mut self.groups, groups);
        self
    }

    /// More types of authorization details (RFC 9396) that it may ever use.
    /// Default as of [`add_roles`](Self::add_roles).
    pub fn add_authorization_detail_types<S: Into<String>>(
        mut self,
        types: impl IntoIterator<Item = S>,
    ) -> Self {
        append(&mut self.detail_types, types);
        self
    }

    /// Refuses tokens that grant more than it may ever use, of whichever kind.
    /// A bounded claim that is malformed is refused, too. Default: what is too much
    /// is cut.
    pub fn refuse_excess(mut self) -> Self {
        self.excess = Excess::Refuse;
        self
    }

    /// Lets it present tokens whose subject is a user. Default: no.
    pub fn acts_for_users(mut self) -> Self {
        self.acts_for_users = true;
        self
    }

    /// Lets it present tokens whose subject is a service, itself included.
    /// Default: no.
    pub fn acts_for_services(mut self) -> Self {
        self.acts_for_services = true;
        self
    }

    /// A tenant that its tokens may belong to. Default: they may belong to any,
    /// or to none.
    pub fn add_tenant(mut self, tenant: &str) -> Self {
        self.tenants.push(tenant.to_owned());
        self
    }

    /// An environment that it is registered for: see
    /// [`ApplicationsBuilder::environment`](super::ApplicationsBuilder::environment).
    pub fn add_environment(mut self, environment: &str) -> Self {
        self.environments.push(environment.to_owned());
        self
    }

    /// The longest that a token of it may live, from `iat` to `exp`. Default:
    /// as long as the issuer's terms allow.
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_token_lifetime = Some(lifetime);
        self
    }

    /// Refuses its tokens unless they are bound to their sender. Default: no.
    pub fn require_sender_constraint(mut self) -> Self {
        self.sender_constrained = true;
        self
    }

    pub(super) fn build(&self) -> Result<Application, ConfigError> {
        let mut checks = Checks { application: &self.name, mistakes: Mistakes::default() };
        let name = checks.one("name", label(&self.name)).unwrap_or_default();
        let clients = checks.each("client_ids", &self.client_ids, |id| self.id(id));
        let actors = checks.each("actor_ids", &self.actor_ids, |id| self.id(id));
        if self.client_ids.is_empty() && self.actor_ids.is_empty() {
            checks.wrong("client_ids", "name at least one client, or at least one actor in `actor_ids`");
        }
        if self.max_token_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            checks.wrong("max_token_lifetime_seconds", "no token lives for 0 seconds");
        }
        let scope = |scope: &String| Scope::new(scope).map_err(|error| error.to_string());
        let mut scopes = checks.each("scopes", &self.scopes, scope);
        scopes.sort_unstable();
        scopes.dedup();
        let tenant = |tenant: &String| label(tenant).map(|tenant| TenantId::from(&*tenant));
        let application = Application {
            kind: self.kind,
            clients: clients.into_iter().map(|(issuer, id)| (issuer.into(), id.into())).collect(),
            actors: actors.into_iter().map(|(issuer, id)| (issuer.into(), id.into())).collect(),
            vendor: checks.maybe("vendor", self.vendor.as_deref(), label),
            owner: checks.maybe("owner", self.owner.as_deref(), label),
            status: self.status,
            expires: checks.maybe("expires", self.expires.as_deref(), Deadline::parse),
            review_by: checks.maybe("review_by", self.review_by.as_deref(), Deadline::parse),
            workloads: self.workloads(&mut checks),
            scopes,
            roles: self.ceiling(&mut checks, "roles", self.roles.as_deref()),
            permissions: self.ceiling(&mut checks, "permissions", self.permissions.as_deref()),
            groups: self.ceiling(&mut checks, "groups", self.groups.as_deref()),
            detail_types: self.ceiling(
                &mut checks,
                "authorization_detail_types",
                self.detail_types.as_deref(),
            ),
            excess: self.excess,
            acts_for_users: self.acts_for_users,
            acts_for_services: self.acts_for_services,
            tenants: checks.each("tenants", &self.tenants, tenant),
            environments: checks.each("environments", &self.environments, |one| label(one)),
            max_token_lifetime: self.max_token_lifetime,
            sender_constrained: self.sender_constrained,
            name,
            last_seen: LastSeen::default(),
        };
        checks.mistakes.into_result().map(|()| application)
    }

    /// An identifier with its issuer.
    fn id<'s>(&'s self, (issuer, id): &'s (Option<String>, String)) -> Result<(&'s str, &'s str), String> {
        let issuer = issuer.as_ref().or(self.issuer.as_ref()).ok_or_else(|| {
            format!("{id:?} has no issuer: give the entry one with `issuer`, or write `{{ issuer, id }}`")
        })?;
        label(issuer).and(label(id)).map(|_| (issuer.as_str(), id.as_str()))
    }

    /// An agent decides by itself what it does: what is not said is not its own.
    fn ceiling(&self, checks: &mut Checks<'_>, key: &str, names: Option<&[String]>) -> Ceiling {
        match (names, self.kind) {
            (Some(names), _) => Ceiling::of(checks.each(key, names, |name| label(name))),
            (None, ApplicationKind::Agent) => Ceiling::of(Vec::new()),
            (None, ApplicationKind::Application | ApplicationKind::Service) => Ceiling::ALL,
        }
    }

    fn workloads(&self, checks: &mut Checks<'_>) -> Workloads {
        let workloads = Workloads {
            spiffe: checks.each("workloads", &self.workloads, |one| spiffe_pattern(one)),
            dns_names: checks.each("workload_dns_names", &self.workload_dns_names, |one| dns_name(one)),
            thumbprints: checks
                .each("workload_thumbprints", &self.workload_thumbprints, |one| thumbprint(one)),
            any: self.any_workload,
        };
        if workloads.any && !workloads.is_empty() {
            checks.wrong("any_workload", "workloads are named too: leave out the one or the other");
        }
        workloads
    }

    #[cfg(feature = "toml")]
    pub(super) fn with_status(mut self, status: ApplicationStatus) -> Self {
        self.status = status;
        self
    }
}

fn append<S: Into<String>>(to: &mut Option<Vec<String>>, names: impl IntoIterator<Item = S>) {
    to.get_or_insert_default().extend(names.into_iter().map(Into::into));
}

/// Reads the values of one entry, and collects what is wrong with them.
struct Checks<'e> {
    application: &'e str,
    mistakes: Mistakes,
}

impl Checks<'_> {
    fn wrong(&mut self, key: &str, problem: impl Into<String>) {
        let (application, key) = (self.application.to_owned(), key.to_owned());
        self.mistakes.add(ConfigError::InvalidApplication { application, key, problem: problem.into() });
    }

    fn one<T>(&mut self, key: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|problem| self.wrong(key, problem)).ok()
    }

    fn maybe<T>(
        &mut self,
        key: &str,
        text: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        text.and_then(|text| self.one(key, read(text)))
    }

    fn each<'t, V, T>(
        &mut self,
        key: &str,
        values: &'t [V],
        read: impl Fn(&'t V) -> Result<T, String>,
    ) -> Vec<T> {
        values.iter().filter_map(|value| self.one(key, read(value))).collect()
    }
}

/// A text that names something: it says something, on one line.
fn label(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        Err(format!("{text:?} names nothing: write a text without control characters"))
    } else {
        Ok(text.into())
    }
}
