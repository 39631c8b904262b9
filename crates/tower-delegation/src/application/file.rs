//! The registry in TOML: strict, so that a misspelt key is no missing rule.

use std::{path::Path, time::Duration};

use serde::Deserialize;
use toml::{Table, value::Datetime};

use super::{
    builder::ApplicationBuilder,
    entry::{ApplicationKind, ApplicationStatus},
    registry::{UnknownEarlierActors, Written},
};
use crate::error::{ConfigError, all};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    unknown_earlier_actors: Unknown,
    // Each is read by itself, so that its mistakes can be told with its name.
    #[serde(default)]
    application: Vec<Table>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unknown {
    #[default]
    Record,
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    kind: Kind,
    issuer: Option<String>,
    #[serde(default)]
    client_ids: Vec<Id>,
    #[serde(default)]
    actor_ids: Vec<Id>,
    vendor: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    status: Status,
    expires: Option<Datetime>,
    review_by: Option<Datetime>,
    #[serde(default)]
    workloads: Vec<String>,
    #[serde(default)]
    workload_dns_names: Vec<String>,
    #[serde(default)]
    workload_thumbprints: Vec<String>,
    #[serde(default)]
    any_workload: bool,
    #[serde(default)]
    scopes: Vec<String>,
    roles: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    authorization_detail_types: Option<Vec<String>>,
    #[serde(default)]
    excess: Excess,
    #[serde(default)]
    acts_for: Vec<Party>,
    #[serde(default)]
    tenants: Vec<String>,
    #[serde(default)]
    environments: Vec<String>,
    max_token_lifetime_seconds: Option<u64>,
    #[serde(default)]
    sender_constrained: bool,
}

/// An identifier at the entry's issuer, or with an issuer of its own.
#[derive(Deserialize)]
#[serde(untagged, expecting = "write an identifier, or `{ issuer = \"..\", id = \"..\" }`")]
enum Id {
    Plain(String),
    At(IdAt),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdAt {
    issuer: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Application,
    Service,
    Agent,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    Active,
    Suspended,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Excess {
    #[default]
    Cut,
    Refuse,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Party {
    Users,
    Services,
}

/// Reads a registry's text.
pub(super) fn read(text: &str, file: Option<&Path>) -> Result<Written, ConfigError> {
    let document: Document = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        ConfigError::ApplicationsMalformed {
            file: file.map(ToOwned::to_owned),
            line: 1 + before.matches('\n').count(),
            problem: error.message().to_owned(),
            source: error.into(),
        }
    })?;
    let unknown_earlier_actors = match document.unknown_earlier_actors {
        Unknown::Record => UnknownEarlierActors::Recorded,
        Unknown::Refuse => UnknownEarlierActors::Refused,
    };
    let entries = (1..).zip(document.application).map(|(place, table)| {
        let name = table.get("name").and_then(|name| name.as_str());
        let application = name.map_or_else(|| format!("number {place}"), ToOwned::to_owned);
        entry(&application, table)
    });
    Ok(Written { entries: all(entries)?, unknown_earlier_actors })
}

/// Reads one entry. What cannot be read is taken out, so that what follows it is looked
/// at, too.
fn entry(application: &str, mut table: Table) -> Result<ApplicationBuilder, ConfigError> {
    let (mut found, mut removed) = (None::<ConfigError>, Vec::new());
    loop {
        let error = match Entry::deserialize(table.clone()) {
            Ok(entry) => return found.map_or_else(|| Ok(entry.into()), Err),
            Err(error) => error,
        };
        let key = key(&error);
        let top = key.split(['.', '[']).next().unwrap_or_default().to_owned();
        let mistake = ConfigError::InvalidApplication {
            application: application.to_owned(),
            problem: error.message().to_owned(),
            key,
        };
        let mistakes = match found {
            None => mistake,
            // It was taken out, and is missing for that reason only.
            Some(former) if removed.contains(&top) => former,
            Some(former) => former.and(mistake),
        };
        if table.remove(&top).is_none() {
            return Err(mistakes);
        }
        found = Some(mistakes);
        removed.push(top);
    }
}

/// The key that the parser's message is about.
fn key(error: &toml::de::Error) -> String {
    let message = error.message();
    let text = error.to_string();
    let path = text.lines().find_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
    // Where an unknown or a missing key is told, the message quotes it.
    path.or_else(|| message.split('`').nth(1)).unwrap_or("entry").to_owned()
}

impl From<Entry> for ApplicationBuilder {
    fn from(entry: Entry) -> Self {
        let kind = match entry.kind {
            Kind::Application => ApplicationKind::Application,
            Kind::Service => ApplicationKind::Service,
            Kind::Agent => ApplicationKind::Agent,
        };
        let status = match entry.status {
            Status::Active => ApplicationStatus::Active,
            Status::Suspended => ApplicationStatus::Suspended,
        };
        let mut builder = Self::new(&entry.name, kind).with_status(status).add_scopes(entry.scopes);
        builder = apply(builder, entry.issuer, |builder, issuer| builder.issuer(&issuer));
        builder = apply(builder, entry.client_ids, |builder, id| match id {
            Id::Plain(id) => builder.add_client_id(&id),
            Id::At(IdAt { issuer, id }) => builder.add_client_id_at(&issuer, &id),
        });
        builder = apply(builder, entry.actor_ids, |builder, id| match id {
            Id::Plain(id) => builder.add_actor_id(&id),
            Id::At(IdAt { issuer, id }) => builder.add_actor_id_at(&issuer, &id),
        });
        builder = apply(builder, entry.vendor, |builder, vendor| builder.vendor(&vendor));
        builder = apply(builder, entry.owner, |builder, owner| builder.owner(&owner));
        builder = apply(builder, entry.expires, |builder, date| builder.expires(&date.to_string()));
        builder = apply(builder, entry.review_by, |builder, date| builder.review_by(&date.to_string()));
        builder = apply(builder, entry.workloads, |builder, pattern| builder.add_workload(&pattern));
        builder =
            apply(builder, entry.workload_dns_names, |builder, name| builder.add_workload_dns_name(&name));
        builder =
            apply(builder, entry.workload_thumbprints, |builder, one| builder.add_workload_thumbprint(&one));
        builder = apply(builder, entry.acts_for, |builder, party| match party {
            Party::Users => builder.acts_for_users(),
            Party::Services => builder.acts_for_services(),
        });
        builder = apply(builder, entry.tenants, |builder, tenant| builder.add_tenant(&tenant));
        builder = apply(builder, entry.environments, |builder, one| builder.add_environment(&one));
        builder = apply(builder, entry.max_token_lifetime_seconds, |builder, seconds| {
            builder.max_token_lifetime(Duration::from_secs(seconds))
        });
        if entry.any_workload {
            builder = builder.allow_any_workload();
        }
        if entry.sender_constrained {
            builder = builder.require_sender_constraint();
        }
        builder = apply(builder, entry.roles, Self::add_roles);
        builder = apply(builder, entry.permissions, Self::add_permissions);
        builder = apply(builder, entry.groups, Self::add_groups);
        builder = apply(builder, entry.authorization_detail_types, Self::add_authorization_detail_types);
        match entry.excess {
            Excess::Cut => builder,
            Excess::Refuse => builder.refuse_excess(),
        }
    }
}

fn apply<T>(
    builder: ApplicationBuilder,
    values: impl IntoIterator<Item = T>,
    set: impl Fn(ApplicationBuilder, T) -> ApplicationBuilder,
) -> ApplicationBuilder {
    values.into_iter().fold(builder, set)
}
