//! What an exchange leaves on record.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use crate::{names::Audience, scope::ScopeSet, text::Text};

/// How far a token that came back from an exchange was verified before it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verified {
    /// The token itself: signature, issuer, audience, subject, actors, scope and life.
    Token,
    /// The members of the server's answer: the token is opaque to this service.
    Response,
}

impl Verified {
    /// The extent in lower case, as audit events carry it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Response => "response",
        }
    }
}

/// The facts of one exchange.
#[derive(Debug)]
pub(crate) struct ExchangeRecord {
    pub(crate) downstream: Arc<str>,
    pub(crate) target: Audience,
    /// `None`: it was refused before it was known what to ask for.
    pub(crate) asked: Option<ScopeSet>,
    /// `None`: there is no token.
    pub(crate) issued: Option<ScopeSet>,
    pub(crate) exception: Option<String>,
    pub(crate) verified: Verified,
    pub(crate) outlives_caller: bool,
    pub(crate) subject_remapped: bool,
    /// Why the caller's own token goes on in place of another.
    pub(crate) passed_on: Option<Box<str>>,
}

/// An exchange of the caller's token for one for a downstream, or the attempt.
#[derive(Clone, Copy, Debug)]
pub struct AuditedExchange<'a>(&'a ExchangeRecord);

impl<'a> AuditedExchange<'a> {
    pub(super) fn new(record: &'a ExchangeRecord) -> Self {
        Self(record)
    }

    /// The name of the downstream.
    #[must_use]
    pub fn downstream(self) -> Text<'a> {
        Text::new(&self.0.downstream)
    }

    /// What `aud` of the token must be.
    #[must_use]
    pub fn audience(self) -> Text<'a> {
        Text::new(self.0.target.as_str())
    }

    /// The scopes that were asked for, space-delimited. `None` where the exchange was refused
    /// before.
    #[must_use]
    pub fn asked_scopes(self) -> Option<Text<'a>> {
        self.0.asked.as_ref().map(|scopes| Text::new(scopes.as_str()))
    }

    /// The scopes of the token that came back and is used. `None` where there is none.
    #[must_use]
    pub fn issued_scopes(self) -> Option<Text<'a>> {
        self.0.issued.as_ref().map(|scopes| Text::new(scopes.as_str()))
    }

    /// The reason of the exception by which more was asked for than the caller's scopes are worth.
    #[must_use]
    pub fn exception(self) -> Option<Text<'a>> {
        self.0.exception.as_deref().map(Text::new)
    }

    /// How far the token is verified before it is used.
    #[must_use]
    pub fn verified(self) -> Verified {
        self.0.verified
    }

    /// Does the token outlive the caller's? It is not used for longer, but could be by others.
    #[must_use]
    pub fn outlives_caller(self) -> bool {
        self.0.outlives_caller
    }

    /// Has the subject another name in the token than in the caller's?
    #[must_use]
    pub fn is_subject_remapped(self) -> bool {
        self.0.subject_remapped
    }

    /// Why the caller's own token was passed on, and nothing exchanged
    /// (`Exchange::dangerous_callers_token`). `None` for an exchange.
    #[must_use]
    pub fn passed_on(self) -> Option<Text<'a>> {
        self.0.passed_on.as_deref().map(Text::new)
    }
}

impl Serialize for AuditedExchange<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut exchange = serializer.serialize_struct("exchange", 9)?;
        exchange.serialize_field("downstream", &self.downstream())?;
        exchange.serialize_field("audience", &self.audience())?;
        exchange.serialize_field("asked_scopes", &self.asked_scopes())?;
        exchange.serialize_field("issued_scopes", &self.issued_scopes())?;
        exchange.serialize_field("exception", &self.exception())?;
        exchange.serialize_field("verified", self.verified().as_str())?;
        exchange.serialize_field("outlives_caller", &self.outlives_caller())?;
        exchange.serialize_field("subject_remapped", &self.is_subject_remapped())?;
        exchange.serialize_field("passed_on", &self.passed_on())?;
        exchange.end()
    }
}
