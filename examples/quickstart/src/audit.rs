//! Listens to the layer's audit events, so that the tour can show what the
//! operator sees beside what the client sees.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// The outcome in the newest audit event: its reason, or its decision where
/// there is none.
#[derive(Clone, Default)]
pub(crate) struct LastOutcome(Arc<Mutex<String>>);

impl LastOutcome {
    /// Takes the newest outcome.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Subscriber> Layer<S> for LastOutcome {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == tower_delegation::audit::TARGET {
            let mut outcome = Outcome::default();
            event.record(&mut outcome);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
                outcome.reason.unwrap_or(outcome.decision);
        }
    }
}

#[derive(Default)]
struct Outcome {
    decision: String,
    reason: Option<String>,
}

impl Visit for Outcome {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "decision" => value.clone_into(&mut self.decision),
            "reason" => self.reason = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
