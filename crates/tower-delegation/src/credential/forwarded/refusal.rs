//! [`Refusal`]: why what a proxy says is not believed.

use crate::reason::DenialReason;

/// Why a trusted hop's field is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) reason: DenialReason,
    /// Our words only: what a stranger wrote has no place in a log.
    pub(super) problem: &'static str,
}

impl Refusal {
    pub(super) fn malformed(problem: &'static str) -> Self {
        Self { reason: DenialReason::IdentityHeaderMalformed, problem }
    }

    pub(super) fn mismatch(problem: &'static str) -> Self {
        Self { reason: DenialReason::ForwardedCertificateMismatch, problem }
    }
}
