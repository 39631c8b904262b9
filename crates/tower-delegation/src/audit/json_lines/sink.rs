//! [`JsonLines`]: one line for each event.

use std::{
    fmt,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::ser::Formatter;

use super::{format::Format, native::NativeFormat};
use crate::{
    audit::{AuditEvent, AuditSink, SinkError},
    text::first_unsafe,
};

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
    /// Writes records of another format: [`EcsFormat`](super::EcsFormat), [`OcsfFormat`](super::OcsfFormat), your own.
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

    /// Takes a few bytes at a time, and fails where it is set to.
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
