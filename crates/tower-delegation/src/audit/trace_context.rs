//! The trace that a request belongs to (W3C Trace Context).

use std::fmt;

use data_encoding::HEXLOWER;
use http::HeaderMap;
use serde::{Serialize, Serializer};

/// The trace and the calling span that the request's `traceparent` names.
///
/// Whoever sends the request chooses both: they help to find what belongs
/// together and prove nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: u128,
    span: u64,
}

impl TraceContext {
    /// Reads `traceparent` strictly (W3C Trace Context section 3.2.2): one
    /// field, lower-case hex, no part all zero. Anything else is no context.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all("traceparent").iter();
        let field = fields.next()?;
        if fields.next().is_some() {
            return None;
        }
        Self::parse(field.as_bytes())
    }

    fn parse(field: &[u8]) -> Option<Self> {
        let (head, rest) = field.split_at_checked(55)?;
        let [v1, v2, b'-', ids @ .., b'-', f1, f2] = head else { return None };
        let ([version], flags) = (bytes(&[*v1, *v2])?, bytes::<1>(&[*f1, *f2]));
        let (trace, span) = ids.split_at_checked(32)?;
        let [b'-', span @ ..] = span else { return None };
        // Later versions may go on behind another dash; version 255 is forbidden.
        let known_end = match version {
            0 => rest.is_empty(),
            255 => false,
            _ => matches!(rest, [] | [b'-', ..]),
        };
        let (trace, span) = (u128::from_be_bytes(bytes(trace)?), u64::from_be_bytes(bytes(span)?));
        (known_end && flags.is_some() && trace != 0 && span != 0).then_some(Self { trace, span })
    }

    /// The trace: 32 digits of lower-case hex.
    #[must_use]
    pub fn trace_id(self) -> TraceId {
        TraceId(self.trace)
    }

    /// The caller's span: 16 digits of lower-case hex.
    #[must_use]
    pub fn span_id(self) -> SpanId {
        SpanId(self.span)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({}-{})", self.trace_id(), self.span_id())
    }
}

/// Exactly as many digits of lower-case hex as these bytes have.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if HEXLOWER.decode_len(digits.len()) != Ok(N) {
        return None;
    }
    HEXLOWER.decode_mut(digits, &mut bytes).ok()?;
    Some(bytes)
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $number:ty, $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name($number);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

identifier! {
    /// The identifier of a trace.
    TraceId, u128, "{:032x}"
}
identifier! {
    /// The identifier of one span of a trace.
    SpanId, u64, "{:016x}"
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn accepted() {
        for (name, field) in [
            ("the specification's example", GOOD),
            ("a flag nobody knows", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff"),
            ("a later version", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("a later version, longer", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what"),
        ] {
            let context = TraceContext::parse(field.as_bytes()).expect(name);
            assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736", "{name}");
            assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7", "{name}");
        }
    }

    #[test]
    fn what_is_malformed_is_absent() {
        for (name, field) in [
            ("empty", ""),
            ("upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
            ("no trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
            ("no span", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
            ("version 255", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("version 0 goes on", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what"),
            ("a later version goes on at once", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"),
            ("cut short", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"),
            ("no flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"),
            ("flags that are no hex", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g"),
            ("a sign", "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("another separator", "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"),
            ("a dash too early", "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01"),
            ("white space", " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("a line of its own", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b\n-01"),
        ] {
            assert_eq!(TraceContext::parse(field.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn two_fields_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of(&headers), None);
        headers.append("traceparent", GOOD.parse().unwrap());
        assert!(TraceContext::of(&headers).is_some());
        headers.append("traceparent", GOOD.parse().unwrap());
        assert_eq!(TraceContext::of(&headers), None);
    }
}
