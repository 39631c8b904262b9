//! Hears the layer's audit events.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, Once},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

type Events = Arc<Mutex<Vec<AuditEvent>>>;

thread_local! {
    static LISTENING: RefCell<Option<(&'static str, Events)>> = const { RefCell::new(None) };
}

/// The audit events of this thread while it is held: use it in a
/// single-threaded `#[tokio::test]`.
#[derive(Debug)]
pub struct AuditLog(Events);

/// One audit event: its level and its fields as text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// The level.
    pub level: Level,
    fields: BTreeMap<&'static str, String>,
}

impl AuditLog {
    /// Starts to listen on this thread.
    #[must_use]
    pub fn listen() -> Self {
        Self::listen_to(tower_delegation::audit::TARGET)
    }

    /// Starts to listen to another target on this thread: what a module of the
    /// library logs.
    #[must_use]
    pub fn listen_to(target: &'static str) -> Self {
        install();
        let events = Events::default();
        LISTENING.set(Some((target, Arc::clone(&events))));
        Self(events)
    }

    /// Takes the events heard so far.
    #[must_use]
    pub fn take(&self) -> Vec<AuditEvent> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Takes the one event heard so far.
    #[must_use]
    pub fn one(&self) -> AuditEvent {
        let events = self.take();
        let [event] = events.as_slice() else { panic!("expected one event, heard {events:?}") };
        event.clone()
    }
}

impl AuditEvent {
    /// A field's text, or `""` where the field is not there.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        LISTENING.set(None);
    }
}

/// Installs the one ear of the process. A subscriber per thread would not do:
/// `tracing` remembers for all threads what one of them answered.
pub(crate) fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        tracing::subscriber::set_global_default(
            tracing_subscriber::registry().with(Ear).with(crate::log::layer()),
        )
        .unwrap();
    });
}

struct Ear;

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        LISTENING.with_borrow(|listening| {
            if let Some((target, events)) = listening
                && metadata.target() == *target
            {
                let mut heard = AuditEvent { level: *metadata.level(), fields: BTreeMap::new() };
                event.record(&mut heard);
                events.lock().unwrap().push(heard);
            }
        });
    }
}

impl Visit for AuditEvent {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}
