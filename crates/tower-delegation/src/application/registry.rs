//! [`Registry`]: one state of the registry, which never changes.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{builder::ApplicationBuilder, entry::Application};
use crate::{
    clock::Timestamp,
    error::{ConfigError, Mistakes},
    names::{ClientId, IssuerUrl, SubjectId},
    text::Text,
};

/// One state of the registry.
pub(super) struct Registry {
    /// Different for each state of each registry of the process.
    pub(super) generation: u64,
    environment: Option<Box<str>>,
    unknown_earlier_actors: UnknownEarlierActors,
    pub(super) applications: Vec<Arc<Application>>,
    clients: Index,
    actors: Index,
}

/// What becomes of a token whose chain names an earlier actor that is not registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum UnknownEarlierActors {
    #[default]
    Recorded,
    Refused,
}

/// What a document says.
pub(super) struct Written {
    pub(super) entries: Vec<ApplicationBuilder>,
    pub(super) unknown_earlier_actors: UnknownEarlierActors,
}

/// By issuer, then by identifier.
type Index = HashMap<IssuerUrl, HashMap<Box<str>, Arc<Application>>>;

impl Registry {
    /// Makes every entry an application, each name, client and actor once.
    ///
    /// # Errors
    /// Every mistake, after those that were found before.
    pub(super) fn of<'e>(
        environment: Option<&str>,
        unknown_earlier_actors: UnknownEarlierActors,
        entries: impl IntoIterator<Item = &'e ApplicationBuilder>,
        mut mistakes: Mistakes,
    ) -> Result<Self, ConfigError> {
        let mut registry = Self {
            generation: next_generation(),
            environment: environment.map(Into::into),
            unknown_earlier_actors,
            applications: Vec::new(),
            clients: Index::new(),
            actors: Index::new(),
        };
        let mut names = HashSet::new();
        for entry in entries {
            let Some(application) = mistakes.take(entry.build()).map(Arc::new) else { continue };
            if !names.insert(application.name.clone()) {
                mistakes.add(invalid(
                    &application,
                    "name",
                    "the name stands for two applications".to_owned(),
                ));
            }
            registry.enter(&application, &mut mistakes);
        }
        mistakes.into_result()?;
        if registry.applications.is_empty() {
            return Err(ConfigError::NoApplication);
        }
        Ok(registry)
    }

    fn enter(&mut self, application: &Arc<Application>, mistakes: &mut Mistakes) {
        for (issuer, id) in application.clients() {
            mistakes.take(index(&mut self.clients, application, "client_ids", issuer, id.as_str()));
        }
        for (issuer, id) in application.actors() {
            mistakes.take(index(&mut self.actors, application, "actor_ids", issuer, id.as_str()));
        }
        self.applications.push(application.clone());
    }

    /// Logs what someone should look at.
    pub(super) fn report(&self, now: Timestamp) {
        for application in &self.applications {
            let name = application.name();
            if let Some(review_by) = application.review_by().filter(|deadline| deadline.has_passed(now)) {
                tracing::warn!(application = %Text::new(name), %review_by, "the review of an application is due");
            }
            if let Some(expires) = application.expires().filter(|deadline| deadline.has_passed(now)) {
                tracing::warn!(application = %Text::new(name), %expires, "an application has expired");
            }
        }
    }

    pub(super) fn environment(&self) -> Option<&str> {
        self.environment.as_deref()
    }

    pub(super) fn refuses_unknown_earlier_actors(&self) -> bool {
        self.unknown_earlier_actors == UnknownEarlierActors::Refused
    }

    /// When applications of the same name were last seen is not forgotten.
    pub(super) fn inherit(&self, former: &Self) {
        for application in &self.applications {
            if let Some(namesake) = former.applications.iter().find(|one| one.name == application.name) {
                application.last_seen.inherit(&namesake.last_seen);
            }
        }
    }

    pub(super) fn client(&self, issuer: &IssuerUrl, id: &ClientId) -> Option<&Arc<Application>> {
        self.clients.get(issuer)?.get(id.as_str())
    }

    pub(super) fn actor(&self, issuer: &IssuerUrl, id: &SubjectId) -> Option<&Arc<Application>> {
        self.actors.get(issuer)?.get(id.as_str())
    }
}

fn index(
    index: &mut Index,
    application: &Arc<Application>,
    key: &str,
    issuer: &IssuerUrl,
    id: &str,
) -> Result<(), ConfigError> {
    let former = index.entry(issuer.clone()).or_default().insert(id.into(), application.clone());
    let Some(former) = former else { return Ok(()) };
    Err(invalid(
        application,
        key,
        format!("{id:?} at {:?} is that of {:?} already", issuer.as_str(), former.name),
    ))
}

fn invalid(application: &Application, key: &str, problem: String) -> ConfigError {
    ConfigError::InvalidApplication {
        application: application.name().to_owned(),
        key: key.to_owned(),
        problem,
    }
}

fn next_generation() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}
