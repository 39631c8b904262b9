//! Demands on the circumstances of the request: when it comes, and how risky it is.

use super::{
    Requirement, TimeWindow,
    describe::{Description, Said},
    evaluate::{Evidence, Failure, Outcome, ensure},
};
use crate::{context::RiskRequest, reason::DenialReason};

#[derive(Clone, Debug, Default)]
pub(super) struct Circumstances {
    windows: Vec<TimeWindow>,
    risks: Vec<RiskBound>,
}

#[derive(Clone, Debug)]
struct RiskBound {
    signal: Box<str>,
    below: u8,
}

impl Requirement {
    /// Demands that the request comes within this window, or within another one
    /// demanded here.
    #[must_use]
    pub fn time_window(mut self, window: TimeWindow) -> Self {
        if let Some(problem) = window.mistake() {
            self.add_problem(problem);
        }
        self.circumstances.windows.push(window);
        self
    }

    /// Demands that the risk signal of this name says less than `level`, from
    /// 1 to 100. A signal that cannot tell is a denial; one that is not
    /// [registered](crate::layer::DelegationLayerBuilder::add_risk_signal) is a 500,
    /// because the service is wired wrongly.
    #[must_use]
    pub fn risk_below(mut self, signal: &str, level: u8) -> Self {
        if !(1..=100).contains(&level) || signal.is_empty() {
            self.add_problem("a risk is demanded to be below a level from 1 to 100, of a signal with a name");
        }
        self.circumstances.risks.push(RiskBound { signal: signal.into(), below: level });
        self
    }
}

impl Circumstances {
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let delegation = evidence.delegation;
        if !self.windows.is_empty() {
            let now = delegation.authenticated_at();
            let is_inside = self.windows.iter().any(|window| window.contains(now));
            ensure(is_inside, DenialReason::OutsideTimeWindow)?;
        }
        for bound in &self.risks {
            let signals = delegation.circumstances().risk.as_ref();
            let signal = signals.and_then(|signals| signals.get(&bound.signal));
            let signal = signal.ok_or(Failure::unknown(DenialReason::RiskSignalMissing))?;
            let level = signal.assess(&RiskRequest::new(delegation, evidence.facts));
            let level = level.ok_or(Failure::unknown(DenialReason::RiskUnknown))?;
            ensure(level < bound.below, DenialReason::RiskTooHigh)?;
        }
        Ok(())
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        to.several("time_window", self.windows.iter().map(TimeWindow::describe));
        to.several(
            "risk_below",
            self.risks.iter().map(|bound| {
                let level = Said::Number(bound.below.into());
                Said::Members(vec![("signal", Said::text(&bound.signal)), ("level", level)])
            }),
        );
    }
}
