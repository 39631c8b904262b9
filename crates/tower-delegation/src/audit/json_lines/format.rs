//! [`Format`]: what an event looks like as JSON.

use std::fmt;

use serde::Serialize;

use crate::audit::AuditEvent;

/// What an event looks like as JSON.
///
/// Called by the sink's thread, once for each attempt to write an event. A
/// record that borrows from the event costs no allocation; [`JsonLines`](super::JsonLines) writes
/// it on one line and escapes what could end the line, whatever is in it.
/// Values that are taken as [`Text`](crate::audit::Text) are cut in length, too.
///
/// ```
/// use serde::Serialize;
/// use tower_delegation::audit::{AuditEvent, Format, JsonLines, Text};
///
/// #[derive(Debug)]
/// struct WhoAndWhat;
///
/// #[derive(Serialize)]
/// struct Line<'a> {
///     who: Option<Text<'a>>,
///     what: Option<Text<'a>>,
/// }
///
/// impl Format for WhoAndWhat {
///     type Record<'a> = Line<'a>;
///
///     fn record<'a>(&self, event: &'a AuditEvent) -> Line<'a> {
///         Line { who: event.subject(), what: event.route() }
///     }
/// }
///
/// let sink = JsonLines::to(std::io::stdout()).format(WhoAndWhat);
/// ```
pub trait Format: fmt::Debug + Send + Sync + 'static {
    /// The record of one event.
    type Record<'a>: Serialize;

    /// Arranges an event.
    fn record<'a>(&self, event: &'a AuditEvent) -> Self::Record<'a>;
}
