//! [`Text`]: a value from outside, made harmless for those who read the record or the log.

use std::{error::Error, fmt, iter};

use serde::{Serialize, Serializer};

/// The most characters of one value.
pub const MAX_TEXT_LEN: usize = 256;

/// The most characters of an account of a failure, which may quote several values.
const MAX_ACCOUNT_LEN: usize = 1000;

/// A value that was chosen outside: a name in a token, a method, a path, what a
/// provider answered.
///
/// Shown, it is cut at [`MAX_TEXT_LEN`] characters (`…` then says so), and
/// characters that could forge a line or turn the direction of writing are
/// escaped. Serialized, it is cut, too, and otherwise as it is: JSON has
/// escapes of its own, and [`JsonLines`](crate::audit::JsonLines) uses them.
///
/// The only way in which the library logs such a value. Useful for logs of your own:
/// `tracing::info!(subject = %Text::new(id), "…")`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<'a> {
    value: &'a str,
    max_len: usize,
}

impl<'a> Text<'a> {
    /// Takes a value from outside.
    #[must_use]
    pub fn new(value: &'a str) -> Self {
        Self { value, max_len: MAX_TEXT_LEN }
    }

    /// An account of a failure, such as that of [`causes`]: cut later than a value.
    pub(crate) fn account(value: &'a str) -> Self {
        Self { value, max_len: MAX_ACCOUNT_LEN }
    }

    /// The value as it came: of any length, with anything in it.
    #[must_use]
    pub fn unabridged(self) -> &'a str {
        self.value
    }

    /// What is shown of the value, and whether that is all of it.
    fn cut(self) -> (&'a str, bool) {
        // No character is shorter than a byte.
        let Self { value, max_len } = self;
        if value.len() <= max_len {
            return (value, true);
        }
        match value.char_indices().nth(max_len).and_then(|(end, _)| value.get(..end)) {
            Some(start) => (start, false),
            None => (value, true),
        }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, whole) = self.cut();
        let mut rest = shown;
        while let Some((at, character)) = first_unsafe(rest) {
            let (harmless, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
            f.write_str(harmless)?;
            fmt::Display::fmt(&character.escape_default(), f)?;
            rest = tail.get(character.len_utf8()..).unwrap_or_default();
        }
        f.write_str(rest)?;
        if whole { Ok(()) } else { f.write_str("…") }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.cut() {
            (shown, true) => serializer.serialize_str(shown),
            (shown, false) => serializer.collect_str(&format_args!("{shown}…")),
        }
    }
}

/// The causes of an error in one line: for [`Text::account`], because they may quote
/// what was sent from outside.
pub(crate) fn causes(error: &dyn Error) -> String {
    let chain = iter::successors(error.source(), |&cause| cause.source());
    let texts: Vec<String> = chain.map(ToString::to_string).collect();
    texts.join(": ")
}

/// The first character of `text` that must not be written as it is.
pub(crate) fn first_unsafe(text: &str) -> Option<(usize, char)> {
    // Nearly every value is ASCII, and a byte is looked at faster than a character.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    text.char_indices().find(|(_, character)| is_unsafe(*character))
}

/// Ends a line, moves a terminal's cursor, or turns the direction of writing.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Marks, embeddings and isolates of the bidirectional algorithm, line and paragraph separator, BOM.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_forge_lines() {
        for (name, value, shown) in [
            ("lines", "alice\ndecision=allow\r\u{1b}[0m", "alice\\ndecision=allow\\r\\u{1b}[0m"),
            ("a terminal's own", "a\u{9b}2J\u{7f}", "a\\u{9b}2J\\u{7f}"),
            ("separators", "a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("direction", "\u{202e}nimda", "\\u{202e}nimda"),
            ("nul", "\0", "\\u{0}"),
            ("harmless", "grüße, 世界", "grüße, 世界"),
            ("empty", "", ""),
        ] {
            assert_eq!(Text::new(value).to_string(), shown, "{name}");
            assert_eq!(format!("{:?}", Text::new(value)), shown, "{name}");
        }
    }

    #[test]
    fn values_are_cut_at_characters() {
        for (name, value, length) in [
            ("short", "a".repeat(256), 256),
            ("one too many", "a".repeat(257), 257),
            ("two bytes each", "é".repeat(256), 256),
            ("two bytes each, too many", "é".repeat(300), 257),
            ("four bytes each", "🦀".repeat(300), 257),
        ] {
            let shown = Text::new(&value).to_string();
            assert_eq!(shown.chars().count(), length, "{name}");
            assert_eq!(shown.ends_with('…'), value.chars().count() > MAX_TEXT_LEN, "{name}");
            let json = serde_json::to_string(&Text::new(&value)).unwrap();
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), shown, "{name}");
        }
    }

    #[test]
    fn causes_are_one_line_and_an_account_is_longer() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Layered(&'static str, #[source] Option<Box<Self>>);

        let innermost = Layered("key \"a\nb\"", None);
        let error = Layered("outermost", Some(Box::new(Layered("in between", Some(Box::new(innermost))))));
        let text = causes(&error);
        assert_eq!(Text::account(&text).to_string(), "in between: key \"a\\nb\"");
        assert_eq!(causes(&Layered("alone", None)), "");
        let long = "é".repeat(2000);
        assert_eq!(Text::account(&long).to_string().chars().count(), MAX_ACCOUNT_LEN + 1);
    }

    #[test]
    fn what_was_cut_can_still_be_had() {
        let value = "a".repeat(1000);
        assert_eq!(Text::new(&value).unabridged(), value);
    }
}
