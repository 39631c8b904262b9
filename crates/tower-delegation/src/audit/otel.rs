//! An event as OpenTelemetry attributes.

use std::fmt;

use data_encoding::HEXUPPER;

use super::{AuditEvent, AuditedActor, party::workload_name};
use crate::{
    context::{SenderConstraint, SubjectKind, WorkloadIdentity},
    reason::DenialReason,
    text::Text,
};

/// The value of an attribute.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AttributeValue<'a> {
    /// A text, as it is to be shown.
    Text(Text<'a>),
    /// A text that had to be put together: hex, the name of a workload.
    Owned(String),
    /// A number.
    Integer(u64),
    /// A list.
    Texts(Vec<Text<'a>>),
}

impl fmt::Display for AttributeValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => fmt::Display::fmt(text, f),
            Self::Owned(text) => fmt::Display::fmt(&Text::new(text), f),
            Self::Integer(number) => fmt::Display::fmt(number, f),
            Self::Texts(texts) => f.debug_list().entries(texts).finish(),
        }
    }
}

/// A name, and the value if the event has it.
type Attribute<'a> = (&'static str, Option<AttributeValue<'a>>);

impl AuditEvent {
    /// The event as attributes of a span or a log record: under the names of
    /// OpenTelemetry's semantic conventions where they have one, else under
    /// `tower_delegation.`. `user.id` is the subject, also of a delegated
    /// request. What the event lacks is left out.
    #[must_use]
    pub fn otel_attributes(&self) -> Vec<(&'static str, AttributeValue<'_>)> {
        let requirements: Vec<_> = self
            .requirements()
            .map(|requirement| format!("{}: {}", requirement.name(), requirement.outcome()))
            .collect();
        let requirements = (!requirements.is_empty()).then(|| AttributeValue::Owned(requirements.join(", ")));
        self.standard_attributes()
            .into_iter()
            .chain(self.own_attributes())
            .chain([("tower_delegation.requirements", requirements)])
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// Those that OpenTelemetry has a name for.
    fn standard_attributes(&self) -> Vec<Attribute<'_>> {
        let thumbprint = self.workload().and_then(WorkloadIdentity::thumbprint);
        let address = self.client_address();
        let reason = self.reason().map(DenialReason::code);
        vec![
            ("http.request.method", Some(text(self.method()))),
            ("http.route", self.route().map(text)),
            (
                "http.response.status_code",
                self.status().map(|status| AttributeValue::Integer(status.as_u16().into())),
            ),
            ("error.type", reason.map(code)),
            ("user.id", self.subject().map(text)),
            ("session.id", self.session_id().map(text)),
            ("client.address", address.map(|address| AttributeValue::Owned(address.ip().to_string()))),
            ("client.port", address.map(|address| AttributeValue::Integer(address.port().into()))),
            ("tls.client.hash.sha256", thumbprint.map(|print| AttributeValue::Owned(HEXUPPER.encode(print)))),
        ]
    }

    fn own_attributes(&self) -> Vec<Attribute<'_>> {
        let earlier: Vec<_> = self.earlier_actors().map(AuditedActor::id).collect();
        vec![
            ("tower_delegation.decision", Some(code(self.decision().as_str()))),
            ("tower_delegation.issuer", self.issuer().map(text)),
            ("tower_delegation.subject.kind", self.subject_kind().map(SubjectKind::as_str).map(code)),
            ("tower_delegation.client.id", self.client().map(text)),
            ("tower_delegation.application", self.application().map(text)),
            ("tower_delegation.presenter", self.presenter().map(text)),
            ("tower_delegation.tenant", self.tenant().map(text)),
            (
                "tower_delegation.revocation",
                self.revocation().map(|revocation| AttributeValue::Owned(revocation.to_string())),
            ),
            ("tower_delegation.actor.id", self.actor().map(AuditedActor::id).map(text)),
            (
                "tower_delegation.earlier_actors",
                (!earlier.is_empty()).then_some(AttributeValue::Texts(earlier)),
            ),
            ("tower_delegation.scopes", self.scopes().map(text)),
            (
                "tower_delegation.sender_constraint",
                self.sender_constraint().map(SenderConstraint::as_str).map(code),
            ),
            (
                "tower_delegation.workload",
                self.workload()
                    .and_then(workload_name)
                    .map(|name| AttributeValue::Owned(Text::new(&name).to_string())),
            ),
            ("tower_delegation.token.id", self.token_id().map(text)),
            (
                "tower_delegation.token.hash",
                self.token_hash().map(|hash| AttributeValue::Owned(hash.to_string())),
            ),
        ]
    }
}

fn text(text: Text<'_>) -> AttributeValue<'_> {
    AttributeValue::Text(text)
}

fn code(code: &str) -> AttributeValue<'_> {
    AttributeValue::Text(Text::new(code))
}
