//! The claims of an access token: read strictly, believed only after the
//! signature (RFC 7519 section 4, RFC 9068 section 2.2).

use std::cell::OnceCell;

use serde_json::value::RawValue;

use super::{Facts, VerifiedToken, actor::Subject, mapping::Mapped, revocable::Revocable, typed::Typed};
use crate::{
    application::RegistrationSlot,
    clock::Timestamp,
    confirmation::Confirmation,
    issuer::{AudienceRule, ClaimMapping, Presence},
    json::{Nested, read_object, string, strings},
    names::{Audience, IssuerUrl},
    reason::{DenialReason, Malformed},
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
    expires_at: Option<&'a RawValue>,
    not_before: Option<&'a RawValue>,
    issued_at: Option<&'a RawValue>,
    token_id: Option<&'a RawValue>,
    client: Option<&'a RawValue>,
    scope: Option<&'a RawValue>,
    session: Option<&'a RawValue>,
    pub(super) actor: Option<&'a RawValue>,
    confirmation: Option<&'a RawValue>,
    auth_time: Option<&'a RawValue>,
    acr: Option<&'a RawValue>,
    amr: Option<&'a RawValue>,
    roles: Option<&'a RawValue>,
    groups: Option<&'a RawValue>,
    entitlements: Option<&'a RawValue>,
    /// Logout tokens and security events carry it, access tokens never do (RFC 8417 section 2.2).
    has_events: bool,
    others: OnceCell<Members<'a>>,
    payload: &'a str,
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

    /// The issuer's profile, RFC 9068 unless its mapping says otherwise: every
    /// required claim there, every claim of its type, for this service. Times
    /// are read here and judged by [`VerifiedToken::check_times`].
    ///
    /// Called only after the signature: this is where claims become facts.
    pub(super) fn into_verified(
        self,
        terms: &Terms<'_>,
        signing_input: &str,
    ) -> Result<VerifiedToken, DenialReason> {
        let expires_at = date(self.expires_at, f64::floor)?.ok_or(DenialReason::ClaimMissing)?;
        let not_before = date(self.not_before, f64::ceil)?;
        let issued_at = date(self.issued_at, f64::ceil)?;
        if issued_at.is_none() && terms.mapping.issued_at_presence == Presence::Required {
            return Err(DenialReason::ClaimMissing);
        }
        let audience = self.read_audience(terms)?;
        if self.has_events {
            return Err(DenialReason::NotAnAccessToken);
        }
        let confirmation = self.confirmation.map(Confirmation::parse).transpose()?;
        let mapped = Mapped { mapping: terms.mapping, claims: &self };
        let (subject, client) = mapped.parties()?;
        if let AudienceRule::Clients(accepted) = &terms.mapping.audience
            && !client.as_ref().is_some_and(|client| accepted.contains(client))
        {
            return Err(DenialReason::ClientNotAccepted);
        }
        let token_id = mapped.token_id(signing_input)?;
        let kind = mapped.subject_kind(&subject, client.as_ref());
        let mut facts = Facts {
            subject: Subject::new(terms.issuer.clone(), subject, kind),
            client,
            scopes: mapped.scopes()?,
            actors: mapped.actors(terms.issuer, terms.max_actors)?,
            roles: mapped.roles(),
            permissions: mapped.permissions(),
            groups: mapped.groups(),
            tenant: mapped.tenant(terms.issuer)?,
            session: mapped.session()?,
            confirmation,
            audience,
            expires_at,
            not_before,
            issued_at,
            auth_time: optional(self.auth_time, |claim| numeric_date(claim, f64::floor)),
            acr: optional(self.acr, |claim| string(claim).map(Into::into)),
            amr: optional(self.amr, |claim| Some(strings(claim)?.into_iter().map(Into::into).collect()))
                .map(Option::unwrap_or_default),
            token_id,
            revocable: Revocable::default(),
            registration: RegistrationSlot::default(),
            payload: self.payload.into(),
            typed: Typed::default(),
        };
        let issued_at = date(self.issued_at, f64::floor)?;
        facts.revocable = Revocable::of(&facts, &mapped.identifiers(), issued_at);
        Ok(VerifiedToken::assertion(facts))
    }

    /// `aud`, which names this service; absent only where the mapping goes by the client.
    fn read_audience(&self, terms: &Terms<'_>) -> Result<Box<[Audience]>, DenialReason> {
        let Some(claim) = self.audience else {
            return match terms.mapping.audience {
                AudienceRule::Required => Err(DenialReason::ClaimMissing),
                AudienceRule::Clients(_) => Ok(Box::default()),
            };
        };
        let audience = read_audience(claim)?;
        if audience.iter().any(|entry| terms.audiences.contains(entry)) {
            Ok(audience)
        } else {
            Err(DenialReason::AudienceMismatch)
        }
    }
}

/// A claim that refuses no token: absent where it is `null`.
fn optional<'a, T>(
    claim: Option<&'a RawValue>,
    read: impl FnOnce(&'a RawValue) -> Option<T>,
) -> Result<Option<T>, Malformed> {
    let claim = claim.filter(|claim| claim.get() != "null");
    claim.map(|claim| read(claim).ok_or(Malformed)).transpose()
}

/// On which terms a token's claims become facts.
pub(super) struct Terms<'t> {
    pub(super) issuer: &'t IssuerUrl,
    pub(super) audiences: &'t [Audience],
    pub(super) mapping: &'t ClaimMapping,
    pub(super) max_actors: usize,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::SubjectKind;

    fn verify(change: &str) -> Result<VerifiedToken, DenialReason> {
        // A later member of `change` stands in for the base claim of the same name.
        let base = [
            ("iss", r#""https://idp""#),
            ("aud", r#""api""#),
            ("sub", r#""alice""#),
            ("client_id", r#""shop""#),
            ("exp", "2000"),
            ("iat", "1000"),
            ("jti", r#""1""#),
        ];
        let mut members: serde_json::Map<_, _> = serde_json::Map::new();
        for (name, value) in base {
            members.insert(name.into(), serde_json::from_str(value).unwrap());
        }
        let change: serde_json::Map<String, serde_json::Value> = serde_json::from_str(change).unwrap();
        for (name, value) in change {
            if value == "ABSENT" {
                members.remove(&name)
            } else {
                members.insert(name, value)
            };
        }
        let payload = serde_json::to_string(&members).unwrap();
        let claims = RawClaims::parse(&payload)?;
        let terms = Terms {
            issuer: &"https://idp".into(),
            audiences: &["api".into()],
            mapping: &ClaimMapping::rfc9068(),
            max_actors: 8,
        };
        claims.into_verified(&terms, "header.payload")
    }

    #[test]
    fn the_profile_is_met() {
        let token = verify(r#"{"scope":"a b","act":{"sub":"bot"},"amr":["pwd"],"acr":"1"}"#).unwrap();
        assert_eq!(token.facts().subject.kind(), SubjectKind::Unknown);
        assert_eq!(token.facts().actors.len(), 1);
        assert_eq!(verify(r#"{"sub":"shop"}"#).unwrap().facts().subject.kind(), SubjectKind::Service);
        assert!(verify(r#"{"aud":["other","api"]}"#).is_ok());
    }

    #[test]
    fn refused() {
        use DenialReason::{
            ActorMalformed, AudienceMismatch, ClaimMalformed, ClaimMissing, ConfirmationMalformed,
            ConfirmationUnsupported, NotAnAccessToken,
        };
        for (change, reason) in [
            (r#"{"sub":"ABSENT"}"#, ClaimMissing),
            (r#"{"client_id":"ABSENT"}"#, ClaimMissing),
            (r#"{"jti":"ABSENT"}"#, ClaimMissing),
            (r#"{"iat":"ABSENT"}"#, ClaimMissing),
            (r#"{"exp":"ABSENT"}"#, ClaimMissing),
            (r#"{"aud":"ABSENT"}"#, ClaimMissing),
            (r#"{"sub":""}"#, ClaimMalformed),
            (r#"{"sub":null}"#, ClaimMalformed),
            (r#"{"jti":true}"#, ClaimMalformed),
            (r#"{"client_id":1}"#, ClaimMalformed),
            (r#"{"exp":"2000"}"#, ClaimMalformed),
            (r#"{"exp":-1}"#, ClaimMalformed),
            (r#"{"exp":null}"#, ClaimMalformed),
            (r#"{"exp":9223372036854775808}"#, ClaimMalformed),
            (r#"{"exp":1e300}"#, ClaimMalformed),
            (r#"{"nbf":"1"}"#, ClaimMalformed),
            (r#"{"nbf":-0.5}"#, ClaimMalformed),
            (r#"{"iat":[1]}"#, ClaimMalformed),
            (r#"{"aud":1}"#, ClaimMalformed),
            (r#"{"aud":["api",1]}"#, ClaimMalformed),
            (r#"{"aud":{"x":"api"}}"#, ClaimMalformed),
            (r#"{"aud":[]}"#, AudienceMismatch),
            (r#"{"aud":"API"}"#, AudienceMismatch),
            (r#"{"aud":"api/"}"#, AudienceMismatch),
            (r#"{"aud":["other"]}"#, AudienceMismatch),
            (r#"{"scope":["a"]}"#, ClaimMalformed),
            (r#"{"scope":"a  b"}"#, ClaimMalformed),
            (r#"{"iat":null}"#, ClaimMalformed),
            (r#"{"sid":null}"#, ClaimMalformed),
            (r#"{"scope":null}"#, ClaimMalformed),
            (r#"{"act":"bot"}"#, ActorMalformed),
            (r#"{"act":null}"#, ActorMalformed),
            (r#"{"cnf":{"kid":"x"}}"#, ConfirmationUnsupported),
            (r#"{"cnf":null}"#, ConfirmationMalformed),
            (r#"{"events":{}}"#, NotAnAccessToken),
        ] {
            assert_eq!(verify(change).err(), Some(reason), "{change}");
        }
    }

    /// What no rule demands refuses no token, and is never taken for absent.
    #[test]
    fn a_malformed_fact_is_a_state() {
        let facts = |change: &str| {
            let token = verify(change).unwrap();
            let facts = token.facts();
            (
                facts.auth_time.map(|time| time.is_some()),
                facts.acr.clone().map(|acr| acr.is_some()),
                facts.amr.clone().map(|methods| methods.len()),
            )
        };
        assert_eq!(facts("{}"), (Ok(false), Ok(false), Ok(0)));
        assert_eq!(facts(r#"{"auth_time":1,"acr":"1","amr":["pwd"]}"#), (Ok(true), Ok(true), Ok(1)));
        assert_eq!(facts(r#"{"auth_time":null,"acr":null,"amr":null}"#), (Ok(false), Ok(false), Ok(0)));
        let malformed = (Err(Malformed), Err(Malformed), Err(Malformed));
        assert_eq!(facts(r#"{"auth_time":"2020-01-01T00:00:00Z","acr":1,"amr":"pwd"}"#), malformed);
        assert_eq!(facts(r#"{"auth_time":-1,"acr":["1"],"amr":["pwd",1]}"#), malformed);
    }

    #[test]
    fn fractions_turn_to_the_strict_side() {
        let token = verify(r#"{"exp":2000.9,"nbf":1000.1}"#).unwrap();
        assert_eq!(token.facts().expires_at, Timestamp::from_unix_seconds(2000));
        assert_eq!(token.facts().not_before, Some(Timestamp::from_unix_seconds(1001)));
    }
}
