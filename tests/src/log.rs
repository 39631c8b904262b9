//! Hears what a plain log says.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, Mutex, RwLock},
};

use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::dynamic_filter_fn,
    fmt::{self, MakeWriter},
    registry::LookupSpan,
};

type Written = Arc<Mutex<Vec<u8>>>;

/// Who hears the threads that no test listens on.
static ELSEWHERE: RwLock<Option<Written>> = RwLock::new(None);

thread_local! {
    static LISTENING: RefCell<Option<Written>> = const { RefCell::new(None) };
}

/// What `tracing_subscriber`'s plain format writes for this project's events of this
/// thread while it is held: use it in a single-threaded `#[tokio::test]`.
#[derive(Debug)]
pub struct PlainLog(Written);

impl PlainLog {
    /// Starts to listen on this thread.
    #[must_use]
    pub fn listen() -> Self {
        crate::audit::install();
        let written = Written::default();
        LISTENING.set(Some(Arc::clone(&written)));
        Self(written)
    }

    /// Starts to listen on all threads that no other test listens on, for what a thread of
    /// the library's own says. One test of a binary can do so, and hears the others, too.
    #[must_use]
    pub fn listen_elsewhere() -> Self {
        crate::audit::install();
        let written = Written::default();
        *ELSEWHERE.write().unwrap() = Some(Arc::clone(&written));
        Self(written)
    }

    /// Takes what was written so far.
    #[must_use]
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }

    /// Takes the lines so far that contain `text`.
    #[must_use]
    pub fn take_with(&self, text: &str) -> Vec<String> {
        self.take().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

impl Drop for PlainLog {
    fn drop(&mut self) {
        let mut elsewhere = ELSEWHERE.write().unwrap();
        match &*elsewhere {
            Some(written) if Arc::ptr_eq(written, &self.0) => *elsewhere = None,
            _ => LISTENING.set(None),
        }
    }
}

/// The layer that writes for those who listen.
pub(crate) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_heard = |target: &str| target.starts_with("tower_delegation") && listener().is_some();
    fmt::layer()
        .with_ansi(false)
        .with_writer(Ours)
        .with_filter(dynamic_filter_fn(move |metadata, _| is_heard(metadata.target())))
}

fn listener() -> Option<Written> {
    LISTENING.with_borrow(Clone::clone).or_else(|| ELSEWHERE.read().unwrap().clone())
}

struct Ours;

impl<'a> MakeWriter<'a> for Ours {
    type Writer = Writer;

    fn make_writer(&'a self) -> Writer {
        Writer(listener())
    }
}

struct Writer(Option<Written>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(written) = &self.0 {
            written.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
