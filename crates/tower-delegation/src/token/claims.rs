//! The claims of an access token: read strictly, believed only after the
//! signature (RFC 7519 section 4, RFC 9068 section 2.2).

use std::cell::OnceCell;

use serde_json::value::RawValue;

use crate::{
    clock::Timestamp,
    json::{MAX_DEPTH, Nested, each_entry, each_member, read_object, string, strings},
    names::Audience,
    reason::DenialReason,
};

/// 9999-12-31T23:59:59Z: what lies beyond is a mistake or an attack.
const LAST_SECOND: i64 = 253_402_300_799;

type Members<'a> = Box<[(Box<str>, &'a RawValue)]>;

/// The claims that the library knows, as raw JSON. Nothing in here is true yet.
#[derive(Default)]
pub(super) struct RawClaims<'a> {
    pub(super) issuer: Option<&'a RawValue>,
    pub(super) subject: Option<&'a RawValue>,
    pub(super) audience: Option<&'a RawValue>,
    pub(super) expires_at: Option<&'a RawValue>,
    pub(super) not_before: Option<&'a RawValue>,
    pub(super) issued_at: Option<&'a RawValue>,
    token_id: Option<&'a RawValue>,
    client: Option<&'a RawValue>,
    scope: Option<&'a RawValue>,
    session: Option<&'a RawValue>,
    pub(super) actor: Option<&'a RawValue>,
    pub(super) confirmation: Option<&'a RawValue>,
    pub(super) auth_time: Option<&'a RawValue>,
    pub(super) acr: Option<&'a RawValue>,
    pub(super) amr: Option<&'a RawValue>,
    roles: Option<&'a RawValue>,
    groups: Option<&'a RawValue>,
    entitlements: Option<&'a RawValue>,
    /// Logout tokens and security events carry it, access tokens never do (RFC 8417 section 2.2).
    pub(super) has_events: bool,
    others: OnceCell<Members<'a>>,
    pub(super) payload: &'a str,
}

impl<'a> RawClaims<'a> {
    pub(super) fn parse(payload: &'a str) -> Result<Self, DenialReason> {
        let mut claims = Self { payload, ..Self::default() };
        read_object(payload, DenialReason::TokenMalformed, |name, value| {
            let slot = match name {
                "iss" => &mut claims.issuer,
                "sub" => &mut claims.subject,
                "aud" => &mut claims.audience,
                "exp" => &mut claims.expires_at,
                "nbf" => &mut claims.not_before,
                "iat" => &mut claims.issued_at,
                "jti" => &mut claims.token_id,
                "client_id" => &mut claims.client,
                "scope" => &mut claims.scope,
                "sid" => &mut claims.session,
                "cnf" => &mut claims.confirmation,
                "auth_time" => &mut claims.auth_time,
                "acr" => &mut claims.acr,
                "amr" => &mut claims.amr,
                "roles" => &mut claims.roles,
                "groups" => &mut claims.groups,
                "entitlements" => &mut claims.entitlements,
                "act" => {
                    claims.actor = Some(value);
                    // Its depth has a limit of its own: `actor::read_chain`.
                    return Ok(Nested::Unchecked);
                }
                "events" => {
                    claims.has_events = true;
                    return Ok(Nested::Checked);
                }
                _ => return Ok(Nested::Checked),
            };
            *slot = Some(value);
            Ok(Nested::Checked)
        })?;
        Ok(claims)
    }

    /// A claim by its name.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        match name {
            "iss" => self.issuer,
            "sub" => self.subject,
            "aud" => self.audience,
            "exp" => self.expires_at,
            "nbf" => self.not_before,
            "iat" => self.issued_at,
            "jti" => self.token_id,
            "client_id" => self.client,
            "scope" => self.scope,
            "sid" => self.session,
            "cnf" => self.confirmation,
            "auth_time" => self.auth_time,
            "acr" => self.acr,
            "amr" => self.amr,
            "roles" => self.roles,
            "groups" => self.groups,
            "entitlements" => self.entitlements,
            "act" => self.actor,
            _ => self.others().iter().find(|(other, _)| **other == *name).map(|(_, value)| *value),
        }
    }

    /// The claims that only some providers have: read once more, and only for those.
    fn others(&self) -> &[(Box<str>, &'a RawValue)] {
        self.others.get_or_init(|| {
            let mut others = Vec::new();
            let read = read_object(self.payload, DenialReason::TokenMalformed, |name, value| {
                others.push((name.into(), value));
                Ok(Nested::Unchecked)
            });
            // It was read before, so it can be.
            read.map_or_else(|_| Box::default(), |()| others.into())
        })
    }
}

/// `aud`: one string or an array of strings (RFC 7519 section 4.1.3).
pub(crate) fn read_audience(claim: &RawValue) -> Result<Box<[Audience]>, DenialReason> {
    if let Some(one) = string(claim) {
        return Ok([Audience::from(&*one)].into());
    }
    let entries = strings(claim).ok_or(DenialReason::ClaimMalformed)?;
    Ok(entries.iter().map(|entry| Audience::from(&**entry)).collect())
}

/// A `NumericDate`: a JSON number of seconds, possibly with a fraction, which
/// `round` turns to the strict side (RFC 7519 section 2).
pub(crate) fn date(
    claim: Option<&RawValue>,
    round: fn(f64) -> f64,
) -> Result<Option<Timestamp>, DenialReason> {
    let Some(claim) = claim else { return Ok(None) };
    numeric_date(claim, round).map(Some).ok_or(DenialReason::ClaimMalformed)
}

/// The time that a `NumericDate` names.
pub(crate) fn numeric_date(claim: &RawValue, round: fn(f64) -> f64) -> Option<Timestamp> {
    let number = claim.get();
    let seconds = number.parse().ok().or_else(|| whole_seconds(number, round))?;
    (0..=LAST_SECOND).contains(&seconds).then(|| Timestamp::from_unix_seconds(seconds))
}

fn whole_seconds(number: &str, round: fn(f64) -> f64) -> Option<i64> {
    // JSON knows no NaN and no infinity; a string keeps its quotes and does not parse.
    let seconds: f64 = number.parse().ok()?;
    // Before it is rounded: a fraction below zero is a negative number too.
    #[expect(clippy::cast_precision_loss, reason = "the bound has 38 bits")]
    let in_range = (0.0..=LAST_SECOND as f64).contains(&seconds);
    #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
    in_range.then(|| round(seconds) as i64)
}

/// `null`, `false`, zero, and the text of the first two; a text without a letter; and
/// a list or an object that holds nothing else.
pub(super) fn says_nothing(value: &RawValue) -> bool {
    // Deeper than any claim that was checked: `act` is not, when it is looked at here.
    says_nothing_within(value, MAX_DEPTH)
}

fn says_nothing_within(value: &RawValue, depth: u8) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return true };
    let mut says_something = false;
    let mut look = |inner: &RawValue| says_something |= !says_nothing_within(inner, depth);
    match value.get().as_bytes().first() {
        Some(b'"') => {
            let is_word = |text: &str| {
                !text.is_empty() && !text.eq_ignore_ascii_case("false") && !text.eq_ignore_ascii_case("null")
            };
            !string(value).is_some_and(|text| is_word(text.trim()))
        }
        Some(b'[') => !each_entry(value, look) || !says_something,
        Some(b'{') => !each_member(value.get(), |_, inner| look(inner)) || !says_something,
        _ => matches!(value.get(), "null" | "false" | "0"),
    }
}
