//! The trace that a request belongs to (W3C Trace Context), and what goes on of it with calls
//! to downstreams.

use std::{fmt, sync::Arc};

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Serialize, Serializer};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest `traceparent` that goes on: version 0 has 55 characters, later versions may have more.
const MAX_PARENT_LEN: usize = 128;

/// The longest `tracestate` that goes on: what each system should at least pass on (section 3.3.1.5).
const MAX_STATE_LEN: usize = 512;

/// The most members of a `tracestate` (section 3.3.1.1).
const MAX_STATE_MEMBERS: usize = 32;

/// The trace and the calling span that the request's `traceparent` names.
///
/// The sender of the request chooses both: they help to find what belongs
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
        let mut fields = headers.get_all(TRACEPARENT).iter();
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

/// The header fields of a request's trace, as they go on with calls that are made for it.
#[cfg_attr(not(feature = "http-client"), expect(dead_code, reason = "calls are made over HTTP"))]
pub(crate) struct CarriedTrace {
    pub(crate) context: TraceContext,
    parent: HeaderValue,
    state: Option<HeaderValue>,
}

impl CarriedTrace {
    /// What goes on: only what is well-formed and not too long. Without a good `traceparent`
    /// there is no `tracestate` either (section 3.3.1).
    pub(crate) fn of(headers: &HeaderMap) -> Option<Arc<Self>> {
        let context = TraceContext::of(headers)?;
        let parent = headers.get(TRACEPARENT).filter(|field| field.len() <= MAX_PARENT_LEN)?.clone();
        Some(Arc::new(Self { context, parent, state: state(headers) }))
    }

    /// Puts the fields on an outgoing request. One that names a trace already is left as it is.
    #[cfg(feature = "http-client")]
    pub(crate) fn put_on(&self, headers: &mut HeaderMap) {
        if headers.contains_key(TRACEPARENT) || headers.contains_key(TRACESTATE) {
            return;
        }
        headers.insert(TRACEPARENT, self.parent.clone());
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
    }
}

/// `tracestate`, its fields combined into one. `None` where it is malformed or too long: the
/// trace goes on without it.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut state = Vec::new();
    let mut keys: Vec<&[u8]> = Vec::new();
    for field in headers.get_all(TRACESTATE) {
        for member in field.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            // Empty members are allowed, and mean nothing.
            if member.is_empty() {
                continue;
            }
            let key = state_key(member)?;
            if keys.contains(&key) || keys.len() == MAX_STATE_MEMBERS {
                return None;
            }
            keys.push(key);
            if !state.is_empty() {
                state.push(b',');
            }
            state.extend_from_slice(member);
            if state.len() > MAX_STATE_LEN {
                return None;
            }
        }
    }
    HeaderValue::from_bytes(&state).ok().filter(|state| !state.is_empty())
}

/// The key of one well-formed member, such as `vendor=opaque` (section 3.3.1.3).
fn state_key(member: &[u8]) -> Option<&[u8]> {
    let equals = member.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (member.get(..equals)?, member.get(equals.checked_add(1)?..)?);
    let of_key = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let of_value = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    let begins_well = key.first().is_some_and(|first| matches!(first, b'a'..=b'z' | b'0'..=b'9'));
    let is_good = begins_well && key.len() <= 256 && value.len() <= 256 && !value.is_empty();
    (is_good && key.iter().all(of_key) && value.iter().all(of_value)).then_some(key)
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
            ("an unknown flag", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff"),
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

    #[cfg(feature = "http-client")]
    #[test]
    fn what_goes_on_is_well_formed_and_bounded() {
        let long = format!("a={}", "x".repeat(250));
        let many: Vec<String> = (0..33).map(|at| format!("k{at}=1")).collect();
        let (many, most) = (many.join(","), many[..32].join(","));
        for (name, states, expected) in [
            ("none", &[][..], None),
            ("one", &["congo=t61rcWkgMzE"], Some("congo=t61rcWkgMzE")),
            ("two fields", &["a=1,b=2", "c=3"], Some("a=1,b=2,c=3")),
            ("white space and nothing between", &["a=1 ,, b=2,"], Some("a=1,b=2")),
            ("a tenant", &["fw529a3039@dt=FfwAA"], Some("fw529a3039@dt=FfwAA")),
            ("the most members", &[&most], Some(&*most)),
            ("too many members", &[&many], None),
            ("no equals sign", &["a"], None),
            ("two equals signs", &["a=b=c"], None),
            ("no value", &["a="], None),
            ("no key", &["=1"], None),
            ("a key in upper case", &["A=1"], None),
            ("a key twice", &["a=1,a=2"], None),
            ("a key twice in two fields", &["a=1", "a=2"], None),
            ("too long", &[&*long, "b=1", &long.replace('a', "c"), "d=1"], None),
            ("beyond ASCII", &["a=\u{e9}"], None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, GOOD.parse().unwrap());
            for state in states {
                headers.append(TRACESTATE, HeaderValue::from_bytes(state.as_bytes()).unwrap());
            }
            let mut outgoing = HeaderMap::new();
            CarriedTrace::of(&headers).expect(name).put_on(&mut outgoing);
            assert_eq!(outgoing[TRACEPARENT], GOOD, "{name}");
            assert_eq!(outgoing.get(TRACESTATE).map(|state| state.to_str().unwrap()), expected, "{name}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, "a=1".parse().unwrap());
        assert!(CarriedTrace::of(&headers).is_none(), "a state without a parent");
        let long = format!("01{}-{}", GOOD.trim_start_matches("00"), "x".repeat(100));
        headers.insert(TRACEPARENT, long.parse().unwrap());
        assert!(CarriedTrace::of(&headers).is_none(), "too long");
    }

    #[cfg(feature = "http-client")]
    #[test]
    fn a_trace_that_the_request_names_is_left() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, GOOD.parse().unwrap());
        headers.insert(TRACESTATE, "a=1".parse().unwrap());
        let carried = CarriedTrace::of(&headers).unwrap();
        let own = GOOD.replace("00f0", "11f0");
        let mut outgoing = HeaderMap::new();
        outgoing.insert(TRACEPARENT, own.parse().unwrap());
        carried.put_on(&mut outgoing);
        assert_eq!(outgoing[TRACEPARENT], own);
        assert!(!outgoing.contains_key(TRACESTATE));
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
