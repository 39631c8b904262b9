//! [`Revocation`]: what is revoked, for which tokens, how long and why.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{
    error::{Problem, RevocationError},
    query::RevocationQuery,
    target::{RevocationKey, RevocationTarget},
    unix_time,
};
use crate::{
    clock::{MAX_LEEWAY, Timestamp},
    names::{ClientId, IssuerUrl, SessionId, SubjectId, TokenId},
    spiffe::SpiffeId,
};

/// The longest reason, in bytes.
pub const MAX_REASON_LEN: usize = 512;

/// Later than any token.
pub(super) const END_OF_TIME: Timestamp = Timestamp::from_unix_millis(i64::MAX);

/// 2001-09-09: no token is older, and a number of seconds below it is a duration.
const FIRST_TIME: Timestamp = Timestamp::from_unix_seconds(1_000_000_000);

/// 9999-12-31T23:59:59Z: a number of seconds beyond it is one of milliseconds.
const LAST_TIME: Timestamp = Timestamp::from_unix_seconds(253_402_300_799);

/// One thing that is revoked: for which tokens, how long, and why.
///
/// Holds until it is [lifted](super::RevocationSink::lift), unless it says
/// [`until`](Self::until) when.
///
/// With `serde` it is an object of `target`, `issuer`, `id`, `issued_before`,
/// `until`, `reason`, `revoked_by` and `revoked_at`, with times in seconds since
/// 1970; unknown members are an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RevocationForm", into = "RevocationForm")]
#[must_use = "nothing is revoked before a store has taken it in"]
pub struct Revocation {
    target: RevocationTarget,
    issued_before: Option<Timestamp>,
    until: Option<Timestamp>,
    reason: Option<Box<str>>,
    revoked_by: Option<Box<str>>,
    revoked_at: Option<Timestamp>,
}

impl Revocation {
    /// Revokes `target`: every token that has to do with it, whenever issued,
    /// until the revocation is lifted.
    pub fn new(target: RevocationTarget) -> Self {
        Self { target, issued_before: None, until: None, reason: None, revoked_by: None, revoked_at: None }
    }

    /// Revokes one token by its `jti`, or by the identifier that the issuer's
    /// mapping reads. Give its `exp` as [`until`](Self::until) where it is known,
    /// so that the entry does not outlive the token;
    /// [`DelegationContext::token_revocation`](crate::context::DelegationContext::token_revocation)
    /// does so.
    pub fn token(issuer: impl Into<IssuerUrl>, id: impl Into<TokenId>) -> Self {
        Self::new(RevocationTarget::Token(issuer.into(), id.into()))
    }

    /// Revokes the tokens of a subject, by `sub` or by the identifier that the
    /// issuer's mapping reads. Set [`issued_before`](Self::issued_before)
    /// to let the subject come back with new ones.
    pub fn subject(issuer: impl Into<IssuerUrl>, id: impl Into<SubjectId>) -> Self {
        Self::new(RevocationTarget::Subject(issuer.into(), id.into()))
    }

    /// Revokes the tokens of one session, by `sid` or by the identifier that the
    /// issuer's mapping reads.
    pub fn session(issuer: impl Into<IssuerUrl>, id: impl Into<SessionId>) -> Self {
        Self::new(RevocationTarget::Session(issuer.into(), id.into()))
    }

    /// Revokes the tokens of a client.
    pub fn client(issuer: impl Into<IssuerUrl>, id: impl Into<ClientId>) -> Self {
        Self::new(RevocationTarget::Client(issuer.into(), id.into()))
    }

    /// Revokes the tokens whose chain of actors this one is in.
    pub fn actor(issuer: impl Into<IssuerUrl>, id: impl Into<SubjectId>) -> Self {
        Self::new(RevocationTarget::Actor(issuer.into(), id.into()))
    }

    /// Revokes everything that this workload presents, or passes on as a proxy.
    pub fn workload(id: SpiffeId) -> Self {
        Self::new(RevocationTarget::Workload(id))
    }

    /// Revokes everything that the holder of this certificate presents, or passes
    /// on as a proxy.
    pub fn certificate(thumbprint: [u8; 32]) -> Self {
        Self::new(RevocationTarget::Certificate(thumbprint))
    }

    /// Only tokens that were issued at or before the second of `time`, by a clock
    /// that may be ahead by the layer's leeway, and tokens that do not say when
    /// they were issued. A token that is issued within the leeway after `time` is
    /// therefore refused, too.
    pub fn issued_before(mut self, time: Timestamp) -> Self {
        self.issued_before = Some(time);
        self
    }

    /// Ends the revocation at `time`, plus the layer's leeway: for one token its
    /// `exp`. What is still alive then is good again.
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// Why, for those who read the list and the audit trail. At most
    /// [`MAX_REASON_LEN`] bytes.
    pub fn reason(mut self, reason: impl Into<Box<str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Who revokes, for those who read the list.
    pub fn revoked_by(mut self, who: impl Into<Box<str>>) -> Self {
        self.revoked_by = Some(who.into());
        self
    }

    /// When it was revoked. A store sets it where it is not given.
    pub fn revoked_at(mut self, time: Timestamp) -> Self {
        self.revoked_at = Some(time);
        self
    }

    /// What it is about.
    #[must_use]
    pub fn target(&self) -> &RevocationTarget {
        &self.target
    }

    /// Up to when a token must have been issued to be refused; `None`: at any time.
    #[must_use]
    pub fn covers_issued_before(&self) -> Option<Timestamp> {
        self.issued_before
    }

    /// When it ends, without the leeway; `None`: when it is lifted.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        self.until
    }

    /// Why.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Who revoked.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.revoked_by.as_deref()
    }

    /// When it was revoked.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.revoked_at
    }

    /// Can this be meant, at `now`? Every sink asks this before it takes the
    /// revocation in.
    ///
    /// # Errors
    /// The target can match nothing or is too long; `until` has passed;
    /// `issued_before` is more than [`MAX_LEEWAY`] ahead; one of them is no time
    /// between 2001 and 9999, but a duration or a number of milliseconds; the
    /// reason is too long.
    pub fn check(&self, now: Timestamp) -> Result<(), RevocationError> {
        self.target.check()?;
        check_time("until", self.until)?;
        check_issued_before(self.issued_before, now)?;
        for (what, text) in [("reason", &self.reason), ("name of who revokes", &self.revoked_by)] {
            if text.as_ref().is_some_and(|text| text.len() > MAX_REASON_LEN) {
                return Err(Problem::TooLong { what, max: MAX_REASON_LEN }.into());
            }
        }
        // Last: what is loaded may have ended, and must be right in all else.
        match self.until {
            Some(until) if until <= now => Err(Problem::UntilPassed.into()),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it refuses the token that `query` is about: what every store
    /// answers, however it looks things up.
    #[must_use]
    pub fn covers(&self, query: &RevocationQuery<'_>) -> bool {
        let key = RevocationKey::of(&self.target);
        let is_named = query.keys.contains(&key) || query.workload_keys().any(|one| one == key);
        is_named && self.reach().covers(query)
    }

    pub(super) fn reach(&self) -> Reach {
        Reach {
            issued_before: self.issued_before.map_or(END_OF_TIME, end_of_second),
            until: self.until.unwrap_or(END_OF_TIME),
        }
    }

    /// The same, with the name of the issuer from elsewhere.
    pub(super) fn with_issuer(mut self, issuer: IssuerUrl) -> Self {
        match &mut self.target {
            RevocationTarget::Token(own, _)
            | RevocationTarget::Subject(own, _)
            | RevocationTarget::Session(own, _)
            | RevocationTarget::Client(own, _)
            | RevocationTarget::Actor(own, _) => *own = issuer,
            RevocationTarget::Workload(_) | RevocationTarget::Certificate(_) => {}
        }
        self
    }

    /// Fills in when it was revoked.
    pub(super) fn dated(mut self, now: Timestamp) -> Self {
        self.revoked_at.get_or_insert(now);
        self
    }

    /// One that is in force wherever this or `other` is, with the words of `other`
    /// where it has any.
    pub(super) fn and(self, other: Self) -> Self {
        let later = |one: Option<Timestamp>, other: Option<Timestamp>| Some(one?.max(other?));
        Self {
            issued_before: later(self.issued_before, other.issued_before),
            until: later(self.until, other.until),
            target: other.target,
            reason: other.reason.or(self.reason),
            revoked_by: other.revoked_by.or(self.revoked_by),
            revoked_at: other.revoked_at.or(self.revoked_at),
        }
    }
}

/// Is this a time, and neither a duration nor a number of milliseconds?
fn check_time(member: &'static str, time: Option<Timestamp>) -> Result<(), RevocationError> {
    match time {
        Some(time) if !(FIRST_TIME..=LAST_TIME).contains(&time) => Err(Problem::NotATime { member }.into()),
        Some(_) | None => Ok(()),
    }
}

/// Is this a time, and not ahead by more than clocks may differ?
pub(super) fn check_issued_before(time: Option<Timestamp>, now: Timestamp) -> Result<(), RevocationError> {
    check_time("issued_before", time)?;
    match time {
        Some(time) if time > now.saturating_add(MAX_LEEWAY) => Err(Problem::IssuedBeforeAhead.into()),
        Some(_) | None => Ok(()),
    }
}

/// `iat` counts whole seconds: what was issued in the same second counts as before.
pub(super) fn end_of_second(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis(time.unix_seconds().saturating_mul(1000).saturating_add(999))
}

/// For which tokens, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Only tokens issued up to here.
    pub(super) issued_before: Timestamp,
    pub(super) until: Timestamp,
}

impl Reach {
    pub(super) fn covers(self, query: &RevocationQuery<'_>) -> bool {
        query.was_issued_by(self.issued_before) && query.now < self.until.saturating_add(query.leeway)
    }

    /// For every token, until then.
    pub(super) fn ending(until: Timestamp) -> Self {
        Self { issued_before: END_OF_TIME, until }
    }

    /// In force wherever one of the two is.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            issued_before: self.issued_before.max(other.issued_before),
            until: self.until.max(other.until),
        }
    }

    /// Under every leeway that a layer can have.
    pub(super) fn has_ended(self, now: Timestamp) -> bool {
        now >= self.until.saturating_add(MAX_LEEWAY)
    }
}

/// A revocation as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationForm {
    target: TargetName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    id: String,
    #[serde(default, with = "unix_time", skip_serializing_if = "Option::is_none")]
    issued_before: Option<Timestamp>,
    #[serde(default, with = "unix_time", skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_by: Option<Box<str>>,
    #[serde(default, with = "unix_time", skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TargetName {
    Token,
    Subject,
    Session,
    Client,
    Actor,
    Workload,
    Certificate,
}

impl RevocationForm {
    /// What only the service itself may say.
    #[cfg(feature = "axum")]
    pub(crate) fn says_who_or_when(&self) -> bool {
        self.revoked_by.is_some() || self.revoked_at.is_some()
    }

    fn target(&self) -> Result<RevocationTarget, RevocationError> {
        let invalid = |problem| Err(Problem::InvalidTarget(problem).into());
        let issuer = || match self.issuer.as_deref() {
            Some(issuer) => Ok(IssuerUrl::from(issuer)),
            None => Err(RevocationError::from(Problem::InvalidTarget("`issuer` is missing"))),
        };
        let id = self.id.as_str();
        let target = match self.target {
            TargetName::Token => RevocationTarget::Token(issuer()?, id.into()),
            TargetName::Subject => RevocationTarget::Subject(issuer()?, id.into()),
            TargetName::Session => RevocationTarget::Session(issuer()?, id.into()),
            TargetName::Client => RevocationTarget::Client(issuer()?, id.into()),
            TargetName::Actor => RevocationTarget::Actor(issuer()?, id.into()),
            TargetName::Workload | TargetName::Certificate if self.issuer.is_some() => {
                return invalid("a workload or a certificate has no `issuer`");
            }
            TargetName::Workload => match SpiffeId::new(id) {
                Ok(id) => RevocationTarget::Workload(id),
                Err(_) => return invalid("`id` is no SPIFFE ID"),
            },
            TargetName::Certificate => {
                match URL_SAFE_NO_PAD.decode(id).ok().and_then(|bytes| bytes.try_into().ok()) {
                    Some(thumbprint) => RevocationTarget::Certificate(thumbprint),
                    None => return invalid("`id` is no `x5t#S256`: the base64url of 32 bytes"),
                }
            }
        };
        Ok(target)
    }
}

impl TryFrom<RevocationForm> for Revocation {
    type Error = RevocationError;

    fn try_from(form: RevocationForm) -> Result<Self, RevocationError> {
        Ok(Self {
            target: form.target()?,
            issued_before: form.issued_before,
            until: form.until,
            reason: form.reason,
            revoked_by: form.revoked_by,
            revoked_at: form.revoked_at,
        })
    }
}

impl From<Revocation> for RevocationForm {
    fn from(revocation: Revocation) -> Self {
        let target = match &revocation.target {
            RevocationTarget::Token(..) => TargetName::Token,
            RevocationTarget::Subject(..) => TargetName::Subject,
            RevocationTarget::Session(..) => TargetName::Session,
            RevocationTarget::Client(..) => TargetName::Client,
            RevocationTarget::Actor(..) => TargetName::Actor,
            RevocationTarget::Workload(_) => TargetName::Workload,
            RevocationTarget::Certificate(_) => TargetName::Certificate,
        };
        Self {
            target,
            issuer: revocation.target.issuer().map(ToString::to_string),
            id: revocation.target.id().into_owned(),
            issued_before: revocation.issued_before,
            until: revocation.until,
            reason: revocation.reason,
            revoked_by: revocation.revoked_by,
            revoked_at: revocation.revoked_at,
        }
    }
}
