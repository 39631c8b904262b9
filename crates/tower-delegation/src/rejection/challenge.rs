//! The `WWW-Authenticate` field (RFC 9110 section 11.6.1, RFC 6750 section 3).

use http::HeaderValue;

/// A challenge: a scheme and its parameters, each value a quoted string.
///
/// A value that cannot be part of a challenge without escapes (a quote, a
/// backslash, a control character, anything beyond ASCII) is left out together
/// with its name: values from outside are dropped, never escaped into a header
/// (RFC 6750 section 3).
///
/// ```
/// use tower_delegation::rejection::Challenge;
///
/// let challenge = Challenge::new("Bearer").parameter("realm", "api").parameter("scope", "orders:read");
/// assert_eq!(challenge.to_value(), r#"Bearer realm="api", scope="orders:read""#);
/// ```
#[derive(Clone, Debug)]
pub struct Challenge {
    text: String,
    has_parameters: bool,
}

impl Challenge {
    /// A challenge without parameters.
    #[must_use]
    pub fn new(scheme: &'static str) -> Self {
        Self { text: scheme.to_owned(), has_parameters: false }
    }

    /// Adds a parameter. Each name may occur once.
    #[must_use]
    pub fn parameter(mut self, name: &'static str, value: &str) -> Self {
        if is_quotable(value) {
            let separator = if self.has_parameters { ", " } else { " " };
            self.text.extend([separator, name, "=\"", value, "\""]);
            self.has_parameters = true;
        }
        self
    }

    /// Adds a parameter where there is a value.
    #[must_use]
    pub(crate) fn maybe_parameter(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.parameter(name, value),
            None => self,
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_value(&self) -> HeaderValue {
        // Scheme, names and values are printable ASCII, so this cannot fail.
        HeaderValue::from_str(&self.text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

/// `%x20-21 / %x23-5B / %x5D-7E`, RFC 6750 section 3.
pub(crate) fn is_quotable(value: &str) -> bool {
    value.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquotable_values_are_dropped() {
        for value in ["a\"b", "a\\b", "a\r\nSet-Cookie: x", "a\tb", "é", "\u{7f}"] {
            let challenge = Challenge::new("Bearer").parameter("realm", value).parameter("error", "e");
            assert_eq!(challenge.to_value(), "Bearer error=\"e\"", "{value:?}");
        }
    }
}
