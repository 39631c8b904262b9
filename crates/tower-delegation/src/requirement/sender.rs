//! Demands on how the token is held, and by which workload.

use super::{
    Mistake, Requirement,
    describe::Description,
    evaluate::{Evidence, Failure, Outcome, ensure},
};
use crate::{
    context::{SenderConstraint, WorkloadIdentity},
    reason::DenialReason,
    spiffe::SpiffePattern,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Sender {
    constrained: bool,
    mutual_tls: bool,
    dpop: bool,
    workloads: Vec<SpiffePattern>,
}

impl Requirement {
    /// Demands a token that is bound to its presenter, so that a stolen one is
    /// of no use (RFC 8705 section 3, RFC 9449).
    #[must_use]
    pub fn sender_constrained(mut self) -> Self {
        self.sender.constrained = true;
        self
    }

    /// Demands a token that is bound to the client certificate of the
    /// connection (RFC 8705 section 3), and it may be bound to a key too.
    #[must_use]
    pub fn mutual_tls(mut self) -> Self {
        self.sender.mutual_tls = true;
        self
    }

    /// Demands a token that is bound to a key whose possession the request
    /// proves (RFC 9449). Together with [`mutual_tls`](Self::mutual_tls) it
    /// demands a token that is bound to both.
    #[must_use]
    pub fn dpop(mut self) -> Self {
        self.sender.dpop = true;
        self
    }

    /// Demands that the workload at the other end of the connection has a SPIFFE
    /// ID of this [pattern](SpiffePattern::new), or of another one demanded
    /// here, from a certificate that chains to a trust anchor.
    #[must_use]
    pub fn workload(mut self, pattern: &str) -> Self {
        match SpiffePattern::new(pattern) {
            Ok(pattern) => self.sender.workloads.push(pattern),
            Err(_) => self.add_mistake(Mistake::Workload(pattern.to_owned())),
        }
        self
    }
}

impl Sender {
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let constraint = evidence.delegation.sender_constraint();
        if self.constrained || self.mutual_tls || self.dpop {
            ensure(constraint != SenderConstraint::None, DenialReason::SenderConstraintMissing)?;
        }
        let is_as_demanded =
            (!self.mutual_tls || constraint.is_mutual_tls()) && (!self.dpop || constraint.is_dpop());
        ensure(is_as_demanded, DenialReason::SenderConstraintNotAllowed)?;
        if self.workloads.is_empty() {
            return Ok(());
        }
        let id = evidence.delegation.workload().and_then(WorkloadIdentity::spiffe_id);
        let id = id.ok_or(Failure::unknown(DenialReason::WorkloadNotAllowed))?;
        ensure(self.workloads.iter().any(|pattern| pattern.matches(id)), DenialReason::WorkloadNotAllowed)
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        to.flag("sender_constrained", self.constrained);
        to.flag("mutual_tls", self.mutual_tls);
        to.flag("dpop", self.dpop);
        to.texts("workload", &self.workloads);
    }
}
