//! [`Applications`]: the registry, swapped whole when it changes.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::{
    builder::ApplicationBuilder,
    document::Document,
    entry::Application,
    presenter::{Registration, SenderFacts, TokenParties},
    registry::{Registry, UnknownEarlierActors},
};
#[cfg(feature = "reload")]
use crate::text::Text;
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    error::{ConfigError, Mistakes, all},
    reason::DenialReason,
};

/// The registered applications. Cheap to clone; clones share one registry.
///
/// Keep a clone to [`replace`](Self::replace) the registry or to reload its
/// file: the very next request is judged by the new one, also with a token that
/// was seen before.
#[derive(Clone)]
pub struct Applications(Arc<Shared>);

struct Shared {
    current: ArcSwap<Registry>,
    status: Mutex<RegistryStatus>,
    /// What was read last. Held for as long as a reload takes: one at a time.
    last: Mutex<Last>,
}

struct Last {
    builder: ApplicationsBuilder,
    /// The texts of the documents at the last attempt, good or bad. `None`: one was not
    /// readable.
    texts: Option<Vec<String>>,
}

/// How a registry is doing, at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegistryStatus {
    /// How many applications are registered.
    pub applications: usize,
    /// When the registry that is in force was read.
    pub loaded_at: Timestamp,
    /// Why a later attempt to read it failed. `None`: none did.
    pub failure: Option<LoadFailure>,
}

/// An attempt to read a registry that failed: the one before stays in force.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadFailure {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub error: Arc<ConfigError>,
}

impl Applications {
    /// Starts a registry.
    pub fn builder() -> ApplicationsBuilder {
        ApplicationsBuilder {
            environment: None,
            unknown_earlier_actors: UnknownEarlierActors::default(),
            entries: Vec::new(),
            documents: Vec::new(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// A registry from [TOML](super::registry_file).
    ///
    /// # Errors
    /// The text is not such a registry: every mistake, each with its entry and its key.
    #[cfg(feature = "toml")]
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::builder().add_toml(text).build()
    }

    /// A registry from a file of [TOML](super::registry_file), which can be
    /// [reloaded](Self::reload). Blocks while it reads.
    ///
    /// # Errors
    /// The file cannot be read, or is not such a registry.
    #[cfg(feature = "toml")]
    pub fn from_toml_file(path: impl Into<std::path::PathBuf>) -> Result<Self, ConfigError> {
        Self::builder().add_toml_file(path).build()
    }

    /// Reads the registry's files again. Blocks while it reads.
    ///
    /// # Errors
    /// [`ConfigError::ApplicationsNotReplaced`], with what [`ApplicationsBuilder::build`]
    /// reports; the registry then stays as it was, and [`status`](Self::status) says so.
    /// [`ConfigError::NoApplicationsFile`] if it was not read from a file.
    #[cfg(feature = "toml")]
    pub fn reload(&self) -> Result<(), ConfigError> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.builder.files().next().is_none() {
            return Err(ConfigError::NoApplicationsFile);
        }
        let texts = last.builder.read();
        self.install(&mut last, texts)
    }

    /// As [`reload`](Self::reload), unless the texts are those of the last attempt.
    #[cfg(feature = "reload")]
    fn reload_if_changed(&self) -> Result<(), ConfigError> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.builder.read() {
            Ok(texts) if last.texts.as_ref() == Some(&texts) => Ok(()),
            texts => self.install(&mut last, texts),
        }
    }

    /// Watches the registry's files and [reloads](Self::reload) them whenever the text of
    /// one has changed, on a thread of its own: see [`FileWatcher`](crate::watch::FileWatcher)
    /// for how a file is best replaced.
    ///
    /// A file that is missing or wrong leaves the registry as it was: that is an error
    /// event of `tracing`, and [`status`](Self::status) reports it.
    ///
    /// # Errors
    /// [`ConfigError::NoApplicationsFile`] if the registry was not read from a file,
    /// [`ConfigError::ApplicationsUnwatchable`] if the operating system refuses.
    ///
    /// # Example
    /// ```no_run
    /// # // There is no such file where documentation is tested.
    /// use tower_delegation::{Applications, ConfigError};
    ///
    /// fn serve() -> Result<(), ConfigError> {
    ///     let applications = Applications::from_toml_file("/etc/orders/applications.toml")?;
    ///     let _watcher = applications.watch()?;
    ///     // … `DelegationLayer::builder().applications(applications)`, and serve.
    ///     Ok(())
    /// }
    /// ```
    #[cfg(feature = "reload")]
    pub fn watch(&self) -> Result<crate::watch::FileWatcher, ConfigError> {
        let files: Vec<_> = {
            let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.builder.files().map(ToOwned::to_owned).collect()
        };
        let path = files.first().cloned().ok_or(ConfigError::NoApplicationsFile)?;
        let applications = self.clone();
        let look = move || {
            if let Err(error) = applications.reload_if_changed() {
                tracing::error!(
                    error = %Text::account(&error.to_string()), "a file of the registry of applications is not usable"
                );
            }
        };
        crate::watch::FileWatcher::start(files, look)
            .map_err(|source| ConfigError::ApplicationsUnwatchable { path, source: source.into() })
    }

    /// Puts another registry in the place of this one.
    ///
    /// # Errors
    /// As [`ApplicationsBuilder::build`]; the registry then stays as it was, and
    /// [`status`](Self::status) says so.
    pub fn replace(&self, builder: ApplicationsBuilder) -> Result<(), ConfigError> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut last.builder, builder);
        let texts = last.builder.read();
        let outcome = self.install(&mut last, texts);
        if outcome.is_err() {
            last.builder = former;
        }
        outcome
    }

    fn install(&self, last: &mut Last, texts: Result<Vec<String>, ConfigError>) -> Result<(), ConfigError> {
        // An unreadable file has no text: whatever is read next is news.
        last.texts = None;
        let now = last.builder.clock.now();
        let registry = texts.and_then(|texts| {
            let registry = last.builder.registry(&texts);
            last.texts = Some(texts);
            registry
        });
        let mut status = self.0.status.lock().unwrap_or_else(PoisonError::into_inner);
        match registry {
            Ok(registry) => {
                tracing::info!(
                    applications = registry.applications.len(),
                    "another registry of applications"
                );
                registry.report(now);
                *status = fresh_status(&registry, now);
                registry.inherit(&self.0.current.load());
                self.0.current.store(Arc::new(registry));
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                status.failure = Some(LoadFailure { at: now, error: error.clone() });
                Err(ConfigError::ApplicationsNotReplaced { source: error })
            }
        }
    }

    /// The registered applications as they are now, in the order of the registry.
    ///
    /// ```
    /// # use tower_delegation::{Applications, clock::Timestamp};
    /// fn due_for_review(applications: &Applications, now: Timestamp) -> Vec<String> {
    ///     let due = applications.iter().filter(|one| one.review_by().is_some_and(|by| by.has_passed(now)));
    ///     due.map(|one| one.name().to_owned()).collect()
    /// }
    /// ```
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Arc<Application>> + use<> {
        self.0.current.load().applications.clone().into_iter()
    }

    /// A number that changes whenever the registry is replaced.
    pub(crate) fn generation(&self) -> u64 {
        self.0.current.load().generation
    }

    /// How the registry is doing.
    #[must_use]
    pub fn status(&self) -> RegistryStatus {
        self.0.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Holds a token, and who presents it, against the registry as it is now.
    /// `slot` keeps what does not change from request to request.
    pub(crate) fn admit(
        &self,
        slot: &RegistrationSlot,
        token: &TokenParties<'_>,
        sender: &SenderFacts<'_>,
    ) -> Result<Arc<Registration>, DenialReason> {
        let registry = self.0.current.load();
        if let Some(registration) = slot.0.load_full()
            && registration.generation == registry.generation
        {
            return registration.recheck(sender).map(|()| registration);
        }
        let registration = Arc::new(Registration::establish(&registry, token, sender)?);
        slot.0.store(Some(registration.clone()));
        Ok(registration)
    }

    /// Whether `registration` was made by the registry as it is now, and nothing that it
    /// names has ended.
    pub(crate) fn is_current(&self, registration: &Registration, now: Timestamp) -> bool {
        registration.generation == self.0.current.load().generation && registration.check_end(now).is_ok()
    }
}

impl fmt::Debug for Applications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(|application| application.name().to_owned()).collect();
        f.debug_tuple("Applications").field(&names).finish()
    }
}

/// Where a verified token keeps its [`Registration`]. It counts only for the state
/// of the registry that it was made for.
#[derive(Debug, Default)]
pub(crate) struct RegistrationSlot(ArcSwapOption<Registration>);

/// Collects [`Applications`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ApplicationsBuilder {
    environment: Option<String>,
    unknown_earlier_actors: UnknownEarlierActors,
    entries: Vec<ApplicationBuilder>,
    documents: Vec<Document>,
    clock: Arc<dyn Clock>,
}

impl ApplicationsBuilder {
    /// Registers one more application.
    pub fn add_application(mut self, application: ApplicationBuilder) -> Self {
        self.entries.push(application);
        self
    }

    /// Adds the applications in a text of [TOML](super::registry_file). Read by
    /// [`build`](Self::build).
    #[cfg(feature = "toml")]
    pub fn add_toml(mut self, text: &str) -> Self {
        self.documents.push(Document::Text(text.to_owned()));
        self
    }

    /// Adds the applications in a file of [TOML](super::registry_file). Read by
    /// [`build`](Self::build), and again by each [`reload`](Applications::reload).
    #[cfg(feature = "toml")]
    pub fn add_toml_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.documents.push(Document::File(path.into()));
        self
    }

    /// The environment that the service runs in, such as `production`:
    /// applications that are not registered for it are refused. Not set:
    /// applications that are registered for certain environments are refused.
    pub fn environment(mut self, environment: &str) -> Self {
        self.environment = Some(environment.to_owned());
        self
    }

    /// Refuses tokens whose chain of actors names an earlier one that is not
    /// registered. Default: it is recorded in the audit event. In TOML it is
    /// `unknown_earlier_actors = "refuse"`; where either says so, it holds.
    pub fn refuse_unknown_earlier_actors(mut self) -> Self {
        self.unknown_earlier_actors = UnknownEarlierActors::Refused;
        self
    }

    /// The clock that [`status`](Applications::status) takes its times from.
    /// Default [`SystemClock`]. Whether an application has expired is decided
    /// by the clock of the authenticator.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks the applications. Blocks while it reads their files, if there are any.
    ///
    /// # Errors
    /// Every mistake, each with its entry and its key: no application; an entry that is
    /// not usable; a name, a client or an actor of two entries; a file that cannot be
    /// read.
    pub fn build(self) -> Result<Applications, ConfigError> {
        let texts = self.read()?;
        let registry = self.registry(&texts)?;
        let now = self.clock.now();
        registry.report(now);
        Ok(Applications(Arc::new(Shared {
            status: Mutex::new(fresh_status(&registry, now)),
            current: ArcSwap::from_pointee(registry),
            last: Mutex::new(Last { builder: self, texts: Some(texts) }),
        })))
    }

    /// The files among the documents.
    #[cfg(feature = "toml")]
    fn files(&self) -> impl Iterator<Item = &std::path::Path> {
        self.documents.iter().filter_map(Document::file)
    }

    /// The text of each document.
    fn read(&self) -> Result<Vec<String>, ConfigError> {
        all(self.documents.iter().map(Document::read))
    }

    fn registry(&self, texts: &[String]) -> Result<Registry, ConfigError> {
        let mut mistakes = Mistakes::default();
        let written = self.documents.iter().zip(texts).map(|(document, text)| document.parse(text));
        let written = mistakes.take(all(written)).unwrap_or_default();
        let in_documents = written.iter().map(|written| written.unknown_earlier_actors);
        let is_refused = |what: UnknownEarlierActors| what == UnknownEarlierActors::Refused;
        let unknown_earlier_actors = match in_documents.chain([self.unknown_earlier_actors]).any(is_refused) {
            true => UnknownEarlierActors::Refused,
            false => UnknownEarlierActors::Recorded,
        };
        let entries = self.entries.iter().chain(written.iter().flat_map(|written| &written.entries));
        Registry::of(self.environment.as_deref(), unknown_earlier_actors, entries, mistakes)
    }
}

/// A registry that was read just now.
fn fresh_status(registry: &Registry, loaded_at: Timestamp) -> RegistryStatus {
    RegistryStatus { applications: registry.applications.len(), loaded_at, failure: None }
}
