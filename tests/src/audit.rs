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
    static LISTENING: RefCell<Option<Events>> = const { RefCell::new(None) };
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
        install();
        let events = Events::default();
        LISTENING.set(Some(Arc::clone(&events)));
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
        if event.metadata().target() != tower_delegation::audit::TARGET {
            return;
        }
        let mut heard = AuditEvent { level: *event.metadata().level(), fields: BTreeMap::new() };
        event.record(&mut heard);
        LISTENING.with_borrow(|events| {
            if let Some(events) = events {
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
