//! Actors and workloads, as records name them.

use std::{borrow::Cow, fmt};

use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer};

use crate::{
    context::{Actor, WorkloadIdentity},
    text::Text,
};

/// A party that acts, or acted, for the subject.
#[derive(Clone, Copy)]
pub struct AuditedActor<'a>(pub(super) &'a Actor);

impl<'a> AuditedActor<'a> {
    /// Who vouches for the actor.
    #[must_use]
    pub fn issuer(self) -> Text<'a> {
        Text::new(self.0.issuer().as_str())
    }

    /// The issuer that the token says the actor is of, where the token's issuer may not
    /// speak for that one.
    #[must_use]
    pub fn claimed_issuer(self) -> Option<Text<'a>> {
        self.0.claimed_issuer().map(|issuer| Text::new(issuer.as_str()))
    }

    /// The actor's identifier.
    #[must_use]
    pub fn id(self) -> Text<'a> {
        Text::new(self.0.id().as_str())
    }
}

impl fmt::Debug for AuditedActor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id(), f)
    }
}

impl Serialize for AuditedActor<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Record<'a> {
            issuer: Text<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            claimed_issuer: Option<Text<'a>>,
            id: Text<'a>,
        }
        Record { issuer: self.issuer(), claimed_issuer: self.claimed_issuer(), id: self.id() }
            .serialize(serializer)
    }
}

/// The SPIFFE ID of a workload, or else the thumbprint of its certificate in hex.
pub(super) fn workload_name(workload: &WorkloadIdentity) -> Option<Cow<'_, str>> {
    match (workload.spiffe_id(), workload.thumbprint()) {
        (Some(id), _) => Some(Cow::Borrowed(id.as_str())),
        (None, Some(thumbprint)) => Some(Cow::Owned(HEXLOWER.encode(thumbprint))),
        (None, None) => None,
    }
}
