//! What a claim says, as text, and what it is compared with.

use std::borrow::Cow;

use http::HeaderName;

use super::evidence::Evidence;
use crate::{context::DelegationContext, issuer::ClaimPath, json::string};

/// A claim as text: a string's text, the JSON of a number or a boolean.
pub(super) fn text<'t>(token: &'t DelegationContext, path: &ClaimPath) -> Option<Cow<'t, str>> {
    let claim = token.raw_claim(path.segments())?;
    match claim.get().as_bytes().first()? {
        b'"' => string(claim),
        b't' | b'f' | b'-' | b'0'..=b'9' => Some(Cow::Borrowed(claim.get())),
        _ => None,
    }
}

/// A claim that is a string.
pub(super) fn string_at<'t>(token: &'t DelegationContext, path: &ClaimPath) -> Option<Cow<'t, str>> {
    token.raw_claim(path.segments()).and_then(string)
}

pub(super) fn parameter<'e>(evidence: &Evidence<'e>, name: &str) -> Option<&'e str> {
    evidence.facts.path_parameters.and_then(|parameters| parameters.get(name))
}

/// A header field that occurs exactly once.
pub(super) fn header<'e>(evidence: &Evidence<'e>, name: &HeaderName) -> Option<&'e str> {
    let mut values = evidence.facts.headers.into_iter().flat_map(|headers| headers.get_all(name));
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    std::str::from_utf8(value.as_bytes()).ok()
}

/// Is what the token states one of these? Not known where either is absent or empty,
/// and where one number is spelled in two ways: `0` and `0.0`.
pub(super) fn equal<'w>(
    stated: Option<Cow<'_, str>>,
    wanted: impl IntoIterator<Item = &'w str>,
) -> Option<bool> {
    // Two empty texts are no agreement: nothing was said.
    let stated = stated.filter(|text| !text.is_empty())?;
    let (mut is_compared, mut is_alike) = (false, false);
    for wanted in wanted {
        if *wanted == *stated {
            return Some(true);
        }
        is_compared = true;
        is_alike |= is_same_number(&stated, wanted);
    }
    (is_compared && !is_alike).then_some(false)
}

fn is_same_number(one: &str, other: &str) -> bool {
    let number = |text: &str| {
        let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        if is_number { text.parse::<f64>().ok() } else { None }
    };
    number(one).zip(number(other)).is_some_and(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_spelled_otherwise_is_not_known_to_differ() {
        for (name, stated, wanted, expected) in [
            ("the same", "gold", &["silver", "gold"][..], Some(true)),
            ("another", "gold", &["silver"], Some(false)),
            ("a number", "0", &["0"], Some(true)),
            ("another number", "1", &["0", "2"], Some(false)),
            ("spelled otherwise", "0.0", &["0"], None),
            ("of two, one spelled otherwise", "1e1", &["10", "7"], None),
            ("the other way round", "1e1", &["7", "10"], None),
            ("spelled otherwise, and the same", "1.0", &["1", "1.0"], Some(true)),
            ("minus nothing", "-0", &["0"], None),
            ("more digits than are kept", "9007199254740993", &["9007199254740992"], None),
            ("no number", "0x", &["0"], Some(false)),
            ("nothing stated", "", &[""], None),
            ("nothing wanted", "a", &[], None),
        ] {
            assert_eq!(equal(Some(stated.into()), wanted.iter().copied()), expected, "{name}");
        }
        assert_eq!(equal(None, ["a"]), None);
    }
}
