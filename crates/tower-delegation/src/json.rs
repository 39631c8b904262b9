//! Strict reading of JSON objects: one pass that hands out each member as raw
//! text, refuses a member name that occurs twice at any depth, and bounds
//! depth and width (RFC 7515 section 4, RFC 7519 section 4).

use std::{borrow::Cow, cell::Cell, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::reason::DenialReason;

/// How deep the JSON of a token may nest, the outermost object included.
pub(crate) const MAX_DEPTH: u8 = 16;

/// How many members one object of a token may have: keeps the search for
/// duplicates short when the token is hostile.
const MAX_MEMBERS: usize = 256;

/// Below this many members a scan beats a hash set.
const FEW_MEMBERS: usize = 24;

/// Calls `member` for each member of the object `json`, in order.
///
/// The nested parts of a value are checked too, unless `member` answers
/// [`Nested::Unchecked`]: then the caller does that itself.
///
/// Fails with `malformed` if `json` is not one JSON object.
pub(crate) fn read_object<'de>(
    json: &'de str,
    malformed: DenialReason,
    member: impl FnMut(&str, &'de RawValue) -> Result<Nested, DenialReason>,
) -> Result<(), DenialReason> {
    let fault = Cell::new(malformed);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let object = Object { fault: &fault, member };
    // serde_json's own message would quote the token, so only the reason is kept.
    deserializer.deserialize_map(object).and_then(|()| deserializer.end()).map_err(|_discarded| fault.get())
}

/// Who checks the inside of a member's value.
pub(crate) enum Nested {
    /// The reader.
    Checked,
    /// The caller.
    Unchecked,
}

/// The value of a member of an object that was read strictly before: its first
/// occurrence is its only one. Copies and keeps nothing.
pub(crate) fn find<'de>(json: &'de str, name: &str) -> Option<&'de RawValue> {
    let mut found = None;
    let read = each_member(json, |member, value| {
        if member == name {
            found = Some(value);
        }
    });
    read.then_some(found).flatten()
}

/// Calls `member` for each member of an object that was read strictly before;
/// `false` if `json` is no object.
pub(crate) fn each_member<'de>(json: &'de str, mut member: impl FnMut(&str, &'de RawValue)) -> bool {
    walk(json, |name, value| {
        member(&name, value);
        Ok(())
    })
    .is_ok()
}

/// The members of one object, in order, each value still as JSON text.
pub(crate) type Members<'de> = Vec<(Cow<'de, str>, &'de RawValue)>;

/// The members of an object, `most` of them or fewer. What is inside of them is not
/// checked, and whether a name [occurs twice](repeats_a_name) is
/// for the caller to ask.
pub(crate) fn members(json: &str, most: usize) -> Result<Members<'_>, serde_json::Error> {
    let mut members = Members::new();
    walk(json, |name, value| {
        if members.len() == most {
            return Err("the object has too many members");
        }
        members.push((name, value));
        Ok(())
    })?;
    Ok(members)
}

/// Whether two members have one name (RFC 7515 section 4, RFC 7517 section 4).
pub(crate) fn repeats_a_name(members: &Members<'_>) -> bool {
    let mut names = HashSet::with_capacity(members.len());
    !members.iter().all(|(name, _)| names.insert(&**name))
}

/// Hands out each member of the one object that `json` is.
fn walk<'de, F>(json: &'de str, member: F) -> Result<(), serde_json::Error>
where
    F: FnMut(Cow<'de, str>, &'de RawValue) -> Result<(), &'static str>,
{
    struct Walk<F>(F);
    impl<'de, F> Visitor<'de> for Walk<F>
    where
        F: FnMut(Cow<'de, str>, &'de RawValue) -> Result<(), &'static str>,
    {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some(Name(name)) = map.next_key()? {
                (self.0)(name, map.next_value()?).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Walk(member))?;
    deserializer.end()
}

/// Calls `entry` for each entry of an array; `false` if `value` is no array.
pub(crate) fn each_entry<'de>(value: &'de RawValue, entry: impl FnMut(&'de RawValue)) -> bool {
    struct Entries<F>(F);
    impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Entries<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(entry) = seq.next_element()? {
                (self.0)(entry);
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(value.get()).deserialize_seq(Entries(entry)).is_ok()
}

/// The text of a JSON string, borrowed where it holds no escapes; `None` for
/// any other JSON value and for lone surrogates.
pub(crate) fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
    }
    serde_json::Deserializer::from_str(value.get()).deserialize_str(Text).ok()
}

/// The entries of a JSON array of strings; `None` for any other JSON value.
pub(crate) fn strings(value: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    let entries: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
    entries.into_iter().map(string).collect()
}

struct Object<'c, F> {
    fault: &'c Cell<DenialReason>,
    member: F,
}

impl<'de, F> Visitor<'de> for Object<'_, F>
where
    F: FnMut(&str, &'de RawValue) -> Result<Nested, DenialReason>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let malformed = self.fault.get();
        let mut names = Names::default();
        while let Some(Name(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            let read = (self.member)(&name, value);
            let result = names.add(name).and(read).and_then(|nested| match nested {
                Nested::Checked => check_nested(value, malformed),
                Nested::Unchecked => Ok(()),
            });
            if let Err(reason) = result {
                self.fault.set(reason);
                return Err(A::Error::custom(reason));
            }
        }
        Ok(())
    }
}

/// A member name, borrowed where it holds no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// The member names of one object so far.
#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    fn add(&mut self, name: Cow<'de, str>) -> Result<(), DenialReason> {
        if self.few.contains(&name) || self.many.contains(&name) {
            return Err(DenialReason::DuplicateMember);
        }
        if self.few.len() < FEW_MEMBERS {
            self.few.push(name);
        } else if self.few.len() + self.many.len() < MAX_MEMBERS {
            self.many.insert(name);
        } else {
            return Err(DenialReason::StructureTooLarge);
        }
        Ok(())
    }
}

/// Checks the inside of a value: duplicates, depth, width, well-formed text,
/// numbers that fit.
fn check_nested(value: &RawValue, malformed: DenialReason) -> Result<(), DenialReason> {
    let text = value.get();
    // Text without escapes was fully read by the outer pass.
    if text.starts_with('"') && !text.contains('\\') {
        return Ok(());
    }
    let fault = Cell::new(malformed);
    Strict { fault: &fault, depth: 1 }
        .deserialize(&mut serde_json::Deserializer::from_str(text))
        .map_err(|_discarded| fault.get())
}

/// Walks a value without keeping it. Recursion is bounded by [`MAX_DEPTH`].
#[derive(Clone, Copy)]
struct Strict<'c> {
    fault: &'c Cell<DenialReason>,
    /// The level of the object that holds the value; the outermost is 1.
    depth: u8,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.fail(DenialReason::StructureTooLarge));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn fail<E: serde::de::Error>(self, reason: DenialReason) -> E {
        self.fault.set(reason);
        E::custom(reason)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        while seq.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        let mut names = Names::default();
        while let Some(Name(name)) = map.next_key()? {
            names.add(name).map_err(|reason| self.fail(reason))?;
            map.next_value_seed(inside)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<String>, DenialReason> {
        let mut names = Vec::new();
        read_object(json, DenialReason::TokenMalformed, |name, _| {
            names.push(name.to_owned());
            Ok(Nested::Checked)
        })?;
        Ok(names)
    }

    #[test]
    fn members_come_in_order() {
        assert_eq!(read(r#"{"b":1,"a":{"b":[{"b":2}]}}"#).unwrap(), ["b", "a"]);
        assert_eq!(read(" {} ").unwrap(), [""; 0]);
    }

    #[test]
    fn refused() {
        use DenialReason as R;
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(16), "]".repeat(16));
        let wide = (0..=MAX_MEMBERS).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(",");
        let wide = format!("{{{wide}}}");
        let nested_wide = format!("{{\"a\":{wide}}}");
        for (name, json, reason) in [
            ("duplicate", r#"{"a":1,"a":1}"#, R::DuplicateMember),
            ("duplicate behind an escape", r#"{"a":1,"\u0061":1}"#, R::DuplicateMember),
            ("nested duplicate", r#"{"x":{"a":1,"a":1}}"#, R::DuplicateMember),
            ("duplicate inside an array", r#"{"x":[[{"a":1,"a":1}]]}"#, R::DuplicateMember),
            ("too deep", deep.as_str(), R::StructureTooLarge),
            ("too wide", wide.as_str(), R::StructureTooLarge),
            ("too wide inside", nested_wide.as_str(), R::StructureTooLarge),
            ("array", "[]", R::TokenMalformed),
            ("string", "\"a\"", R::TokenMalformed),
            ("nothing", "", R::TokenMalformed),
            ("trailing data", "{} {}", R::TokenMalformed),
            ("comment", "{/**/}", R::TokenMalformed),
            ("trailing comma", r#"{"a":1,}"#, R::TokenMalformed),
            ("byte order mark", "\u{feff}{}", R::TokenMalformed),
            ("lone surrogate", r#"{"a":"\ud800"}"#, R::TokenMalformed),
            ("lone surrogate inside", r#"{"a":["\ud800"]}"#, R::TokenMalformed),
            ("lone surrogate as a name", r#"{"\ud800":1}"#, R::TokenMalformed),
            ("number out of range", r#"{"a":1e400}"#, R::TokenMalformed),
            ("number out of range inside", r#"{"a":[1e400]}"#, R::TokenMalformed),
        ] {
            assert_eq!(read(json), Err(reason), "{name}");
        }
    }

    #[test]
    fn the_deepest_allowed_nesting_passes() {
        let json = format!("{{\"a\":{}1{}}}", "[".repeat(15), "]".repeat(15));
        assert!(read(&json).is_ok());
    }

    #[test]
    fn members_are_those_of_one_object() {
        fn names(json: &str) -> serde_json::Result<Vec<String>> {
            let members = members(json, MAX_MEMBERS)?;
            Ok(members.into_iter().map(|(name, _)| name.into_owned()).collect())
        }
        assert_eq!(names(r#" {"b":1,"\u0061":{"b":[{}]}} "#).unwrap(), ["b", "a"]);
        let wide = |count: usize| {
            format!("{{{}}}", (0..count).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(","))
        };
        assert!(names(&wide(MAX_MEMBERS)).is_ok());
        for (name, json) in [
            ("too wide", wide(MAX_MEMBERS + 1).as_str()),
            ("array", "[]"),
            ("nothing", ""),
            ("trailing data", "{} {}"),
            ("trailing comma", r#"{"a":1,}"#),
            ("no value", r#"{"a"}"#),
        ] {
            assert!(names(json).is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_that_occurs_twice_is_found() {
        for (name, json, expected) in [
            ("none", "{}", false),
            ("different", r#"{"a":1,"A":1}"#, false),
            ("inside another", r#"{"a":{"a":1}}"#, false),
            ("twice", r#"{"a":1,"b":2,"a":3}"#, true),
            ("twice behind an escape", r#"{"a":1,"\u0061":1}"#, true),
        ] {
            assert_eq!(repeats_a_name(&members(json, MAX_MEMBERS).unwrap()), expected, "{name}");
        }
    }

    #[test]
    fn strings_are_strings() {
        let raw = |text: &'static str| serde_json::from_str::<&RawValue>(text).unwrap();
        assert_eq!(string(raw(r#""a\u0062""#)).as_deref(), Some("ab"));
        assert_eq!(string(raw("1")), None);
        assert_eq!(string(raw("null")), None);
        assert_eq!(strings(raw(r#"["a","b"]"#)).unwrap(), ["a", "b"]);
        assert_eq!(strings(raw(r#"["a",1]"#)), None);
        assert_eq!(strings(raw(r#""a""#)), None);
    }
}
