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
use crate::{error::ConfigError, names::TenantId, scope::Scope};

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

    /// Until when somebody should look at the entry again. Reported, not enforced.
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
        let wrong = |key: &str| {
            let (application, key) = (self.name.clone(), key.to_owned());
            move |problem: String| ConfigError::InvalidApplication { application, key, problem }
        };
        let text = |key: &'static str, text: &str| label(text).map_err(wrong(key));
        let maybe = |key, value: &Option<String>| value.as_deref().map(|value| text(key, value)).transpose();

        let name = text("name", &self.name)?;
        let clients = self.ids(&self.client_ids).map_err(wrong("client_ids"))?;
        let actors = self.ids(&self.actor_ids).map_err(wrong("actor_ids"))?;
        if clients.is_empty() && actors.is_empty() {
            let problem = "name at least one client, or at least one actor in `actor_ids`";
            return Err(wrong("client_ids")(problem.to_owned()));
        }
        if self.max_token_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return Err(wrong("max_token_lifetime_seconds")("no token lives for 0 seconds".to_owned()));
        }
        let mut scopes = all(&self.scopes, |scope| Scope::new(scope).map_err(|error| error.to_string()))
            .map_err(wrong("scopes"))?;
        scopes.sort_unstable();
        scopes.dedup();
        let deadline =
            |key, text: &Option<String>| text.as_deref().map(Deadline::parse).transpose().map_err(wrong(key));
        Ok(Application {
            kind: self.kind,
            clients: clients.into_iter().map(|(issuer, id)| (issuer.into(), id.into())).collect(),
            actors: actors.into_iter().map(|(issuer, id)| (issuer.into(), id.into())).collect(),
            vendor: maybe("vendor", &self.vendor)?,
            owner: maybe("owner", &self.owner)?,
            status: self.status,
            expires: deadline("expires", &self.expires)?,
            review_by: deadline("review_by", &self.review_by)?,
            workloads: self.workloads().map_err(|(key, problem)| wrong(key)(problem))?,
            scopes,
            roles: self.ceiling(&self.roles).map_err(wrong("roles"))?,
            permissions: self.ceiling(&self.permissions).map_err(wrong("permissions"))?,
            groups: self.ceiling(&self.groups).map_err(wrong("groups"))?,
            detail_types: self.ceiling(&self.detail_types).map_err(wrong("authorization_detail_types"))?,
            excess: self.excess,
            acts_for_users: self.acts_for_users,
            acts_for_services: self.acts_for_services,
            tenants: all(&self.tenants, |tenant| label(tenant).map(|tenant| TenantId::from(&*tenant)))
                .map_err(wrong("tenants"))?,
            environments: all(&self.environments, label).map_err(wrong("environments"))?,
            max_token_lifetime: self.max_token_lifetime,
            sender_constrained: self.sender_constrained,
            name,
            last_seen: LastSeen::default(),
        })
    }

    /// Each identifier with its issuer.
    fn ids<'s>(&'s self, ids: &'s [(Option<String>, String)]) -> Result<Vec<(&'s str, &'s str)>, String> {
        let resolved = ids.iter().map(|(issuer, id)| {
            let issuer = issuer.as_ref().or(self.issuer.as_ref()).ok_or_else(|| {
                format!("{id:?} has no issuer: give the entry one with `issuer`, or write `{{ issuer, id }}`")
            })?;
            label(issuer).and(label(id)).map(|_| (issuer.as_str(), id.as_str()))
        });
        resolved.collect()
    }

    /// An agent decides by itself what it does: what is not said is not its own.
    fn ceiling(&self, names: &Option<Vec<String>>) -> Result<Ceiling, String> {
        match (names, self.kind) {
            (Some(names), _) => all(names, label).map(Ceiling::of),
            (None, ApplicationKind::Agent) => Ok(Ceiling::of(Vec::new())),
            (None, ApplicationKind::Application | ApplicationKind::Service) => Ok(Ceiling::ALL),
        }
    }

    fn workloads(&self) -> Result<Workloads, (&'static str, String)> {
        let at = |key| move |problem| (key, problem);
        let workloads = Workloads {
            spiffe: all(&self.workloads, spiffe_pattern).map_err(at("workloads"))?,
            dns_names: all(&self.workload_dns_names, dns_name).map_err(at("workload_dns_names"))?,
            thumbprints: all(&self.workload_thumbprints, thumbprint).map_err(at("workload_thumbprints"))?,
            any: self.any_workload,
        };
        if workloads.any && !workloads.is_empty() {
            let problem = "workloads are named too: leave out the one or the other".to_owned();
            return Err(("any_workload", problem));
        }
        Ok(workloads)
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

fn all<T>(texts: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    texts.iter().map(|text| read(text)).collect()
}

/// A text that names something: it says something, on one line.
fn label(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        Err(format!("{text:?} names nothing: write a text without control characters"))
    } else {
        Ok(text.into())
    }
}
