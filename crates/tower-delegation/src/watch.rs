//! [`FileWatcher`]: files that may change while they are in use.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};

/// How long the folders must have been quiet: a file is often written in pieces.
const QUIET: Duration = Duration::from_millis(100);

/// How long to wait for that at most.
const RESTLESS: Duration = Duration::from_secs(1);

/// How often to look without a notice: network file systems send none, and none is
/// sent when the target of a symbolic link changes in another folder.
const RECHECK: Duration = Duration::from_secs(30);

enum Message {
    Changed,
    Stop,
}

/// Watches files until it is dropped. Returned by
/// [`Applications::watch`](crate::application::Applications::watch) and
/// [`RouteTable::watch`](crate::routes::RouteTable::watch), and by `TlsConfig::watch` of
/// `tower-delegation-rustls`; a service can watch files of
/// its own with it.
///
/// The folders are what is watched, so a file may be replaced by renaming another to
/// its name, or by turning a symbolic link, as Kubernetes does it. That way is the
/// better one: a file that is written in place may be read when half of it is there. In
/// addition, the files are looked at every 30 s.
#[must_use = "the files are watched until this is dropped"]
pub struct FileWatcher {
    watcher: Option<RecommendedWatcher>,
    messages: Sender<Message>,
    reader: Option<JoinHandle<()>>,
}

impl FileWatcher {
    /// Calls `look` once at the start, whenever one of `files` may have changed, and
    /// every 30 s, on a thread of its own. It is for `look` to find out whether a file
    /// has changed.
    ///
    /// # Errors
    /// The operating system refuses to watch a folder, or to start the thread.
    ///
    /// # Example
    /// ```
    /// use std::fs;
    /// use tower_delegation::{jwt_svid::JwtBundles, watch::FileWatcher};
    ///
    /// fn watch(bundles: JwtBundles) -> std::io::Result<FileWatcher> {
    ///     let path = "/run/spire/bundle.json";
    ///     FileWatcher::start([path], move || match fs::read_to_string(path) {
    ///         Ok(document) => match bundles.set("example.org", &document) {
    ///             Ok(_) => {}
    ///             Err(error) => eprintln!("the bundle stays as it was: {error}"),
    ///         },
    ///         Err(error) => eprintln!("the bundle cannot be read: {error}"),
    ///     })
    /// }
    /// # let _ = watch;
    /// ```
    pub fn start<P: Into<PathBuf>>(
        files: impl IntoIterator<Item = P>,
        look: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let (messages, inbox) = mpsc::channel();
        let notice = messages.clone();
        let heard = move |event: notify::Result<Event>| {
            // An error may be an overflow: something has happened, and it is not known what.
            if event.as_ref().map_or(true, is_change) {
                // No one listens any more: the watcher is being dropped.
                let _ = notice.send(Message::Changed);
            }
        };
        let mut watcher = notify::recommended_watcher(heard).map_err(io::Error::other)?;
        let folders: BTreeSet<PathBuf> = files.into_iter().map(|file| folder(&file.into())).collect();
        for folder in folders {
            watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(io::Error::other)?;
        }
        // What changed between the last reading and now was not noticed.
        let _ = messages.send(Message::Changed);
        let reader =
            thread::Builder::new().name("file-watcher".to_owned()).spawn(move || look_on(look, &inbox))?;
        Ok(Self { watcher: Some(watcher), messages, reader: Some(reader) })
    }
}

fn folder(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// Whether it is more than a file being read.
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

/// Looks whenever something has changed, until it is stopped.
fn look_on(mut look: impl FnMut(), inbox: &Receiver<Message>) {
    loop {
        match inbox.recv_timeout(RECHECK) {
            Ok(Message::Changed) if !settle(inbox) => return,
            Ok(Message::Changed) | Err(RecvTimeoutError::Timeout) => look(),
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
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

impl Drop for FileWatcher {
    fn drop(&mut self) {
        drop(self.watcher.take());
        let _ = self.messages.send(Message::Stop);
        // At most one look is still under way: afterwards nothing changes any more.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl fmt::Debug for FileWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWatcher").finish_non_exhaustive()
    }
}
