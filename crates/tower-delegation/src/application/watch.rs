//! The registry's file, watched.

use std::{
    fmt,
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};

use super::applications::Applications;
use crate::{
    error::ConfigError,
    text::{Text, causes},
};

/// How long the folder must have been quiet: a file is often written in pieces.
const QUIET: Duration = Duration::from_millis(100);

/// How long to wait for that at most.
const RESTLESS: Duration = Duration::from_secs(1);

/// How often to look without being told: network file systems tell of nothing,
/// nor is it told when the target of a symbolic link changes in another folder.
const RECHECK: Duration = Duration::from_secs(30);

enum Message {
    Changed,
    Stop,
}

/// Watches a registry's file until it is dropped.
#[must_use = "the file is watched until this is dropped"]
pub struct ApplicationsWatcher {
    watcher: Option<RecommendedWatcher>,
    messages: Sender<Message>,
    reader: Option<JoinHandle<()>>,
}

impl Applications {
    /// Watches the registry's file and [reloads](Self::reload) it whenever its
    /// text has changed, on a thread of its own.
    ///
    /// The folder is what is watched, so a file may be replaced by renaming
    /// another to its name, or by turning a symbolic link, as Kubernetes does
    /// it. That way is the better one: a file that is written in place may be
    /// read when half of it is there. Beside, the file is looked at every 30 s.
    ///
    /// A file that is missing or wrong leaves the registry as it was: that is
    /// an error event of `tracing`, and [`status`](Self::status) tells of it.
    ///
    /// # Errors
    /// The registry has no file, or the operating system refuses to watch it.
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
    pub fn watch(&self) -> Result<ApplicationsWatcher, ConfigError> {
        let path = self.file().ok_or(ConfigError::NoApplicationsFile)?;
        let unwatchable = |source| ConfigError::ApplicationsUnwatchable { path: path.clone(), source };
        let (messages, inbox) = mpsc::channel();
        let notice = messages.clone();
        let heard = move |event: notify::Result<Event>| {
            // An error may be an overflow: something has happened, nobody knows what.
            if event.as_ref().map_or(true, is_change) {
                // Nobody listens any more: the watcher is being dropped.
                let _ = notice.send(Message::Changed);
            }
        };
        let mut watcher = notify::recommended_watcher(heard).map_err(|error| unwatchable(error.into()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        watcher
            .watch(folder.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive)
            .map_err(|error| unwatchable(error.into()))?;
        // What changed between the last reading and now has not been told.
        let _ = messages.send(Message::Changed);
        let applications = self.clone();
        let reader = thread::Builder::new()
            .name("applications".to_owned())
            .spawn(move || read_on(&applications, &inbox))
            .map_err(|error| unwatchable(error.into()))?;
        Ok(ApplicationsWatcher { watcher: Some(watcher), messages, reader: Some(reader) })
    }
}

/// Is it more than somebody reading?
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// Reads whenever something has changed, until told to stop.
fn read_on(applications: &Applications, inbox: &Receiver<Message>) {
    loop {
        match inbox.recv_timeout(RECHECK) {
            Ok(Message::Changed) if !settle(inbox) => return,
            Ok(Message::Changed) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Err(error) = applications.reload_if_changed() {
            tracing::error!(
                error = %Text::account(&error.to_string()), cause = %Text::account(&causes(&error)),
                "the registry of applications stays as it was"
            );
        }
    }
}

/// Waits until no more messages come. `false`: stop.
fn settle(inbox: &Receiver<Message>) -> bool {
    let latest = Instant::now() + RESTLESS;
    loop {
        let rest = latest.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return true;
        }
        match inbox.recv_timeout(QUIET.min(rest)) {
            Ok(Message::Changed) => {}
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => return true,
        }
    }
}

impl Drop for ApplicationsWatcher {
    fn drop(&mut self) {
        drop(self.watcher.take());
        let _ = self.messages.send(Message::Stop);
        // At most one reading is still under way: afterwards nothing changes any more.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl fmt::Debug for ApplicationsWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationsWatcher").finish_non_exhaustive()
    }
}
