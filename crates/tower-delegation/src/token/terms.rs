//! From claims to facts, on the terms of the issuer.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    actor::Subject,
    bounded::{Bounded, Claimed},
    claims::{RawClaims, date, numeric_date, read_audience},
    mapping::Mapped,
    revocable::Revocable,
    typed::Typed,
    verified::{AUTHORIZATION_DETAILS, Facts},
};
use crate::{
    application::RegistrationSlot,
    confirmation::Confirmation,
    issuer::{AudienceRule, ClaimMapping, Grants, Issuers, Presence},
    json::{string, strings},
    names::{Audience, IssuerUrl},
    reason::{DenialReason, Malformed},
};

/// On which terms a token's claims become facts.
pub(super) struct Terms<'t> {
    pub(super) issuer: &'t IssuerUrl,
    /// All that are trusted.
    pub(super) issuers: &'t Arc<Issuers>,
    pub(super) audiences: &'t [Audience],
    pub(super) mapping: &'t ClaimMapping,
    /// The most that the issuer may grant. `None`: no bound.
    pub(super) grants: Option<&'t Arc<Grants>>,
    /// The other issuers whose actors this one may name.
    pub(super) speaks_for: &'t [IssuerUrl],
    pub(super) max_actors: usize,
    /// Whether a store of revocations is asked: by hashes that are worked out once.
    pub(super) is_revocable: bool,
}

impl RawClaims<'_> {
    /// The issuer's profile, RFC 9068 unless its mapping says otherwise: every
    /// required claim there, every claim of its type, for this service. Times
    /// are read here and judged by [`VerifiedToken::check_times`].
    ///
    /// Called only after the signature: this is where claims become facts.
    pub(super) fn into_verified(self, terms: &Terms<'_>, signing_input: &str) -> Result<Facts, DenialReason> {
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
            actors: mapped.actors(terms.issuer, terms.speaks_for, terms.max_actors)?,
            bounded: Bounded::default(),
            issuers: Arc::clone(terms.issuers),
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
        let claimed = Claimed {
            scopes: &facts.scopes,
            roles: &mut facts.roles,
            permissions: &mut facts.permissions,
            groups: &mut facts.groups,
            details: self.get(AUTHORIZATION_DETAILS),
        };
        facts.bounded = Bounded::cut(terms.grants, claimed);
        if terms.is_revocable {
            let issued_at = date(self.issued_at, f64::floor)?;
            facts.revocable = facts.revocable(&mapped.identifiers(), issued_at);
        }
        Ok(facts)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, names::SubjectKind};

    fn verify(change: &str) -> Result<Facts, DenialReason> {
        // A later member of `change` replaces the base claim of the same name.
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
            issuers: &Arc::new(Issuers::new(
                std::collections::HashMap::new(),
                [],
                crate::issuer::BuildContext::new(Arc::new(crate::clock::SystemClock::new())),
            )),
            audiences: &["api".into()],
            mapping: &ClaimMapping::rfc9068(),
            grants: None,
            speaks_for: &[],
            max_actors: 8,
            is_revocable: true,
        };
        claims.into_verified(&terms, "header.payload")
    }

    #[test]
    fn the_profile_is_met() {
        let token = verify(r#"{"scope":"a b","act":{"sub":"bot"},"amr":["pwd"],"acr":"1"}"#).unwrap();
        assert_eq!(token.subject.kind(), SubjectKind::Unknown);
        assert_eq!(token.actors.len(), 1);
        assert_eq!(verify(r#"{"sub":"shop"}"#).unwrap().subject.kind(), SubjectKind::Service);
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
            let facts = verify(change).unwrap();
            (
                facts.auth_time.map(|time| time.is_some()),
                facts.acr.map(|acr| acr.is_some()),
                facts.amr.map(|methods| methods.len()),
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
        assert_eq!(token.expires_at, Timestamp::from_unix_seconds(2000));
        assert_eq!(token.not_before, Some(Timestamp::from_unix_seconds(1001)));
    }
}
