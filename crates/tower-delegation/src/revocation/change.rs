//! [`RevocationChange`]: what a request asks of a sink, for the request's record.

use super::record::Revocation;

/// What is asked of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationAction {
    /// Something is to be revoked.
    Revoke,
    /// A revocation is to be taken back.
    Lift,
}

impl RevocationAction {
    /// `revoke` or `lift`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Lift => "lift",
        }
    }
}

/// What a request asks of a sink, for the request's record.
pub(crate) struct RevocationChange {
    pub(crate) action: RevocationAction,
    /// The revocation; for a lift its target, and the reason to lift it.
    pub(crate) revocation: Revocation,
}
