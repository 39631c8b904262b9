//! [`AuditedRequirement`]: a requirement that was evaluated, and what came of it.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::{
    context::{Basis, Effect, Evaluation},
    reason::DenialReason,
    text::Text,
};

/// A requirement that was evaluated on the request's way.
#[derive(Clone, Copy)]
pub struct AuditedRequirement<'a>(pub(super) &'a Evaluation);

/// What came of a requirement's denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditedEffect<'a> {
    /// The request was refused.
    Enforced,
    /// It was recorded, and the request went on: the requirement is on trial.
    Shadowed,
    /// An explicit exception let the request go on, for this reason.
    Excepted(Text<'a>),
    /// Code of the service asked, and acted on the answer as it saw fit.
    Asked,
}

impl<'a> AuditedRequirement<'a> {
    /// The requirement's name.
    #[must_use]
    pub fn name(self) -> Text<'a> {
        Text::new(&self.0.requirement)
    }

    /// The first demand that failed; `None` if all hold.
    #[must_use]
    pub fn denial(self) -> Option<DenialReason> {
        self.0.denial
    }

    /// What came of the denial; `None` if there was none.
    #[must_use]
    pub fn effect(self) -> Option<AuditedEffect<'a>> {
        self.0.denial?;
        Some(match &self.0.effect {
            Effect::Enforced if self.is_asked() => AuditedEffect::Asked,
            Effect::Enforced => AuditedEffect::Enforced,
            Effect::Shadowed => AuditedEffect::Shadowed,
            Effect::Excepted(why) => AuditedEffect::Excepted(Text::new(why)),
        })
    }

    /// The scopes that it demands, space-delimited, as a challenge names them.
    #[must_use]
    pub fn scopes(self) -> Option<Text<'a>> {
        self.0.scopes.as_deref().map(Text::new)
    }

    /// Whether the service only asked, by
    /// [`permits`](crate::context::DelegationContext::permits): no decision about the request.
    #[must_use]
    pub fn is_asked(self) -> bool {
        self.0.basis == Basis::Question
    }

    /// `allow`, `deny`, `deny (shadow)` or `deny (exception)`, or what was asked:
    /// `allow (asked)`, `deny (asked)`. Only `deny` ended the request.
    #[must_use]
    pub fn outcome(self) -> &'static str {
        match self.effect() {
            None if self.is_asked() => "allow (asked)",
            None => "allow",
            Some(AuditedEffect::Asked) => "deny (asked)",
            Some(AuditedEffect::Enforced) => "deny",
            Some(AuditedEffect::Shadowed) => "deny (shadow)",
            Some(AuditedEffect::Excepted(_)) => "deny (exception)",
        }
    }
}

impl fmt::Debug for AuditedRequirement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.outcome())
    }
}

impl Serialize for AuditedRequirement<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Record<'a> {
            name: Text<'a>,
            outcome: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            exception: Option<Text<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            scopes: Option<Text<'a>>,
        }
        let exception = match self.effect() {
            Some(AuditedEffect::Excepted(why)) => Some(why),
            _ => None,
        };
        Record {
            name: self.name(),
            outcome: self.outcome(),
            reason: self.denial().map(DenialReason::code),
            exception,
            scopes: self.scopes(),
        }
        .serialize(serializer)
    }
}
