//! [`Applications`]: the registry, swapped whole when it changes.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::{
    builder::ApplicationBuilder,
    entry::Application,
    presenter::{Registration, SenderFacts, TokenParties},
    registry::{Registry, UnknownEarlierActors},
};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    error::ConfigError,
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
    /// The text of the file at the last attempt, good or bad. `None`: no file,
    /// or not readable.
    text: Option<String>,
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
            #[cfg(feature = "toml")]
            file: None,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// A registry from [TOML](super::registry_file).
    ///
    /// # Errors
    /// The text is not such a registry. The error names the entry and the key.
    #[cfg(feature = "toml")]
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::builder().toml(text)?.build()
    }

    /// A registry from a file of [TOML](super::registry_file), which can be
    /// [reloaded](Self::reload). Blocks while it reads.
    ///
    /// # Errors
    /// The file cannot be read, or is not such a registry.
    #[cfg(feature = "toml")]
    pub fn from_toml_file(path: impl Into<std::path::PathBuf>) -> Result<Self, ConfigError> {
        Self::builder().toml_file(path).build()
    }

    /// Reads the registry's file again, if it has one. Blocks while it reads.
    ///
    /// # Errors
    /// As [`ApplicationsBuilder::build`]; the registry then stays as it was, and
    /// [`status`](Self::status) says so.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let text = last.builder.read();
        self.install(&mut last, text)
    }

    /// As [`reload`](Self::reload), unless the file's text is that of the last attempt.
    #[cfg(feature = "reload")]
    pub(super) fn reload_if_changed(&self) -> Result<(), ConfigError> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.builder.read() {
            Ok(text) if text == last.text => Ok(()),
            text => self.install(&mut last, text),
        }
    }

    /// Puts another registry in the place of this one.
    ///
    /// # Errors
    /// As [`ApplicationsBuilder::build`]; the registry then stays as it was, and
    /// [`status`](Self::status) says so.
    pub fn replace(&self, builder: ApplicationsBuilder) -> Result<(), ConfigError> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut last.builder, builder);
        let text = last.builder.read();
        let outcome = self.install(&mut last, text);
        if outcome.is_err() {
            last.builder = former;
        }
        outcome
    }

    fn install(&self, last: &mut Last, text: Result<Option<String>, ConfigError>) -> Result<(), ConfigError> {
        // An unreadable file has no text: whatever is read next is news.
        last.text = None;
        let now = last.builder.clock.now();
        let registry = text.and_then(|text| {
            let registry = last.builder.registry(text.as_deref());
            last.text = text;
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

    /// How the registry is doing.
    #[must_use]
    pub fn status(&self) -> RegistryStatus {
        self.0.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[cfg(feature = "reload")]
    pub(super) fn file(&self) -> Option<std::path::PathBuf> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).builder.file.clone()
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
    #[cfg(feature = "toml")]
    file: Option<std::path::PathBuf>,
    clock: Arc<dyn Clock>,
}

impl ApplicationsBuilder {
    /// Registers one more application.
    pub fn add_application(mut self, application: ApplicationBuilder) -> Self {
        self.entries.push(application);
        self
    }

    /// Registers the applications in a text of [TOML](super::registry_file).
    ///
    /// # Errors
    /// The text is not such a registry. What only counts for the registry as a
    /// whole is checked by [`build`](Self::build).
    #[cfg(feature = "toml")]
    pub fn toml(mut self, text: &str) -> Result<Self, ConfigError> {
        let written = super::file::read(text)?;
        self.entries.extend(written.entries);
        if written.unknown_earlier_actors == UnknownEarlierActors::Refused {
            self.unknown_earlier_actors = UnknownEarlierActors::Refused;
        }
        Ok(self)
    }

    /// Registers the applications in a file of [TOML](super::registry_file)
    /// too. Read by [`build`](Self::build), and again by each
    /// [`reload`](Applications::reload).
    #[cfg(feature = "toml")]
    pub fn toml_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.file = Some(path.into());
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

    /// Checks the applications. Blocks while it reads their file, if there is one.
    ///
    /// # Errors
    /// The first mistake found: no application; an entry that is not usable; a
    /// name, a client or an actor that stands there twice; a file that cannot be
    /// read. Errors name the entry and the key.
    pub fn build(self) -> Result<Applications, ConfigError> {
        let text = self.read()?;
        let registry = self.registry(text.as_deref())?;
        let now = self.clock.now();
        registry.report(now);
        Ok(Applications(Arc::new(Shared {
            status: Mutex::new(fresh_status(&registry, now)),
            current: ArcSwap::from_pointee(registry),
            last: Mutex::new(Last { builder: self, text }),
        })))
    }

    /// The text of the file, if there is one.
    #[cfg(feature = "toml")]
    fn read(&self) -> Result<Option<String>, ConfigError> {
        let Some(path) = &self.file else { return Ok(None) };
        let unreadable = |source| ConfigError::ApplicationsUnreadable { path: path.clone(), source };
        std::fs::read_to_string(path).map(Some).map_err(unreadable)
    }

    #[cfg(not(feature = "toml"))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "there are files with the feature `toml`"
    )]
    fn read(&self) -> Result<Option<String>, ConfigError> {
        Ok(None)
    }

    fn registry(&self, text: Option<&str>) -> Result<Registry, ConfigError> {
        #[cfg(feature = "toml")]
        let (written, in_file) = match text.map(super::file::read).transpose()? {
            Some(written) => (written.entries, written.unknown_earlier_actors),
            None => (Vec::new(), UnknownEarlierActors::default()),
        };
        #[cfg(not(feature = "toml"))]
        let (written, in_file): (Vec<ApplicationBuilder>, _) = {
            let _ = text;
            (Vec::new(), UnknownEarlierActors::default())
        };
        let unknown_earlier_actors = match self.unknown_earlier_actors {
            UnknownEarlierActors::Recorded => in_file,
            UnknownEarlierActors::Refused => UnknownEarlierActors::Refused,
        };
        Registry::of(self.environment.as_deref(), unknown_earlier_actors, self.entries.iter().chain(&written))
    }
}

/// A registry that was read just now.
fn fresh_status(registry: &Registry, loaded_at: Timestamp) -> RegistryStatus {
    RegistryStatus { applications: registry.applications.len(), loaded_at, failure: None }
}
