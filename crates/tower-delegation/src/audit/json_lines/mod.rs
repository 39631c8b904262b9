//! [`JsonLines`]: one JSON object per line, to anything that takes bytes.

mod ecs;
#[cfg(feature = "audit-file")]
mod file;
mod native;
mod ocsf;

use std::{
    fmt,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

#[cfg(feature = "audit-file")]
pub use self::file::{AuditFile, AuditFileBuilder};
pub use self::{
    ecs::{EcsFormat, EcsRecord},
    native::{NativeFormat, NativeRecord},
    ocsf::{OcsfFormat, OcsfRecord},
};
use super::{AuditEvent, AuditSink, SinkError};
use crate::clock::Timestamp;
use crate::text::first_unsafe;

/// What an event looks like as JSON.
///
/// Called by the sink's thread, once for each attempt to write an event. A
/// record that borrows from the event costs no allocation; [`JsonLines`] writes
/// it on one line and escapes what could end the line, whatever is in it.
/// Values that are taken as [`Text`](super::Text) are cut in length, too.
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

/// Writes each event as one line of JSON.
///
/// The line goes to the writer in one piece, from one buffer that is used again
/// and again, and the writer is flushed: an event counts as recorded when the
/// writer has taken all of it. After an error within a line, the broken line is
/// ended before the next one begins.
pub struct JsonLines<F = NativeFormat> {
    format: F,
    output: Mutex<Output>,
}

struct Output {
    writer: Box<dyn Write + Send>,
    line: Vec<u8>,
    /// Part of a line was written and no end of it.
    is_broken: bool,
}

impl JsonLines {
    /// Writes to a file, a pipe, standard output, in this crate's
    /// [own format](NativeFormat). A file with rotation is `AuditFile`
    /// (feature `audit-file`).
    #[must_use]
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        let output = Output { writer: Box::new(writer), line: Vec::new(), is_broken: false };
        Self { format: NativeFormat, output: Mutex::new(output) }
    }
}

impl<F> JsonLines<F> {
    /// Writes records of another format: [`EcsFormat`], [`OcsfFormat`], your own.
    #[must_use]
    pub fn format<G: Format>(self, format: G) -> JsonLines<G> {
        JsonLines { format, output: self.output }
    }
}

impl<F: Format> AuditSink for JsonLines<F> {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        let record = self.format.record(event);
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let Output { writer, line, is_broken } = &mut *output;
        line.clear();
        if *is_broken {
            line.push(b'\n');
        }
        let mut serializer = serde_json::Serializer::with_formatter(&mut *line, OneLine);
        record.serialize(&mut serializer).map_err(SinkError::new)?;
        line.push(b'\n');
        write_line(writer, line, is_broken)?;
        Ok(writer.flush()?)
    }

    fn flush(&self) -> Result<(), SinkError> {
        Ok(self.output.lock().unwrap_or_else(PoisonError::into_inner).writer.flush()?)
    }
}

/// Like `write_all`, but notes when an error comes after part of the line. If
/// nothing was written, what was broken before still is.
fn write_line(writer: &mut dyn Write, line: &[u8], is_broken: &mut bool) -> io::Result<()> {
    let mut rest = line;
    while !rest.is_empty() {
        match writer.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        *is_broken = !rest.is_empty();
    }
    Ok(())
}

impl<F: fmt::Debug> fmt::Debug for JsonLines<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines").field("format", &self.format).finish_non_exhaustive()
    }
}

/// Compact JSON in which no control character stands as it is. JSON demands
/// escapes only below U+0020; terminals and log viewers heed more than those.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = first_unsafe(rest) {
            let (harmless, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
            // Every one of them is in the basic plane: one escape is enough.
            write!(writer, "{harmless}\\u{:04x}", u32::from(character))?;
            rest = tail.get(character.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// More than any time takes: `9999-12-31T23:59:59.999999999Z`.
const TIME_LEN: usize = 40;

/// A time as RFC 3339 has it, in UTC; as milliseconds outside of its years.
#[derive(Debug)]
pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.unix_millis();
        let mut text = [0; TIME_LEN];
        let mut rest = text.as_mut_slice();
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok();
        // What is left says how much was written; the length that is returned leaves out parts of seconds.
        let is_written = time.is_some_and(|time| time.format_into(&mut rest, &Rfc3339).is_ok());
        let length = TIME_LEN - rest.len();
        let text = text.get(..length).filter(|_| is_written).and_then(|text| str::from_utf8(text).ok());
        match text {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_i64(millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_line(value: impl Serialize) -> String {
        let mut line = Vec::new();
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, OneLine)).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn no_control_character_stands_as_it_is_and_none_is_lost() {
        let hostile: String = (0..=0x2100).filter_map(char::from_u32).chain(['\u{feff}', '🦀']).collect();
        let line = one_line(&hostile);
        assert_eq!(first_unsafe(&line), None);
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
        // Names of members, too.
        let object = std::collections::BTreeMap::from([("a\u{85}\n\u{202e}", 1)]);
        let line = one_line(&object);
        assert_eq!(line, r#"{"a\u0085\n\u202e":1}"#);
    }

    #[test]
    fn times_are_rfc_3339() {
        for (millis, expected) in [
            (0, "\"1970-01-01T00:00:00Z\""),
            (1_700_000_000_123, "\"2023-11-14T22:13:20.123Z\""),
            (-1, "\"1969-12-31T23:59:59.999Z\""),
            (i64::MAX, "9223372036854775807"),
        ] {
            assert_eq!(one_line(Time(Timestamp::from_unix_millis(millis))), expected);
        }
    }

    /// Takes a few bytes at a time, and fails where it is told to.
    struct Stubborn {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Stubborn {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(3).min(self.room);
            if length == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= length;
            self.taken.extend(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_breaks_only_where_part_of_it_was_taken() {
        for (name, room, expected_error, expected_broken) in
            [("all", 10, false, false), ("half", 5, true, true), ("none", 0, true, false)]
        {
            let mut writer = Stubborn { taken: Vec::new(), room };
            let mut is_broken = false;
            let result = write_line(&mut writer, b"0123456789", &mut is_broken);
            assert_eq!((result.is_err(), is_broken), (expected_error, expected_broken), "{name}");
            assert_eq!(writer.taken.len(), room, "{name}");
            // A second error that writes nothing mends nothing.
            writer.room = 0;
            assert!(write_line(&mut writer, b"0123456789", &mut is_broken).is_err());
            assert_eq!(is_broken, expected_broken, "{name}");
        }
    }
}
