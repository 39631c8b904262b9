//! [`AuditedRevocation`]: what a request asked to revoke, or to lift.

use std::fmt;

use serde::{Serialize, Serializer};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    clock::Timestamp,
    revocation::{Revocation, RevocationAction, RevocationChange, RevocationTarget},
    text::Text,
};

/// What a request to [`revocation_routes`](crate::routing::revocation_routes) asked
/// for. The event's subject, client and actor say by whom, its status whether it
/// was done.
#[derive(Clone, Copy)]
pub struct AuditedRevocation<'a>(&'a RevocationChange);

impl<'a> AuditedRevocation<'a> {
    pub(super) fn new(change: &'a RevocationChange) -> Self {
        Self(change)
    }

    fn revocation(self) -> &'a Revocation {
        &self.0.revocation
    }

    /// Whether it was to be revoked or lifted.
    #[must_use]
    pub fn action(self) -> RevocationAction {
        self.0.action
    }

    /// What it is about.
    #[must_use]
    pub fn target(self) -> &'a RevocationTarget {
        self.revocation().target()
    }

    /// Why.
    #[must_use]
    pub fn reason(self) -> Option<Text<'a>> {
        self.revocation().why().map(Text::new)
    }

    /// Up to when a token must have been issued to be refused.
    #[must_use]
    pub fn issued_before(self) -> Option<Timestamp> {
        self.revocation().covers_issued_before()
    }

    /// When it ends by itself.
    #[must_use]
    pub fn until(self) -> Option<Timestamp> {
        self.revocation().ends()
    }
}

/// Such as `revoke subject alice of https://idp.example.com until 2026-03-01T09:30:00Z: stolen laptop`.
impl fmt::Display for AuditedRevocation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target();
        write!(f, "{} {} {}", self.action().as_str(), target.name(), Text::new(&target.id()))?;
        if let Some(issuer) = target.issuer() {
            write!(f, " of {}", Text::new(issuer.as_str()))?;
        }
        if let Some(time) = self.issued_before() {
            write!(f, " issued before {}", rfc3339(time))?;
        }
        if let Some(time) = self.until() {
            write!(f, " until {}", rfc3339(time))?;
        }
        match self.reason() {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for AuditedRevocation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AuditedRevocation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Record<'a> {
            action: &'static str,
            target: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            issuer: Option<Text<'a>>,
            id: Text<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            issued_before: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            until: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<Text<'a>>,
        }
        let target = self.target();
        let id = target.id();
        Record {
            action: self.action().as_str(),
            target: target.name(),
            issuer: target.issuer().map(|issuer| Text::new(issuer.as_str())),
            id: Text::new(&id),
            issued_before: self.issued_before().map(rfc3339),
            until: self.until().map(rfc3339),
            reason: self.reason(),
        }
        .serialize(serializer)
    }
}

/// In UTC; as seconds outside of the years that RFC 3339 has.
fn rfc3339(time: Timestamp) -> String {
    let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.unix_millis()) * 1_000_000);
    let text = date.ok().and_then(|date| date.format(&Rfc3339).ok());
    text.unwrap_or_else(|| time.unix_seconds().to_string())
}
