//! What comes of a denial.

use std::borrow::Cow;

use tower_delegation_demands::Key;

use super::demand::{Enforcement, Requirement};
use crate::{
    clock::Timestamp,
    context::Effect,
    reason::{DenialReason, RejectionKind},
};

impl Requirement {
    /// Evaluates and records, and refuses no one: to try a requirement out before
    /// it is enforced. The audit event names each denial.
    ///
    /// What it would allow decides as little as what it would deny: behind
    /// [`refuse_undecided`](crate::layer::DelegationLayerBuilder::refuse_undecided)
    /// an enforced requirement must allow the request too.
    ///
    /// Two things stay as they are. A request without credentials has no
    /// context and is refused: that a token was verified is not what is tried
    /// out. And a requirement that cannot be judged, because it contradicts
    /// itself or names a risk signal that is not registered, is a 500.
    #[must_use]
    pub fn shadow(mut self) -> Self {
        if matches!(self.enforcement, Enforcement::Excepted { .. }) {
            self.mistake(
                Key::Shadow,
                "in shadow mode nothing is refused, so no exception is needed: remove one",
            );
        }
        self.enforcement = Enforcement::Shadow;
        self
    }

    /// Lets requests through that this requirement denies, until `until`, for
    /// this reason, which is in the audit event of each of them. From then on the
    /// requirement is enforced, without a change to the service. Until then it
    /// decides nothing, as in [`shadow`](Self::shadow).
    ///
    /// Requests without credentials and requirements that cannot be judged are
    /// refused all the same, as in [`shadow`](Self::shadow).
    #[must_use]
    pub fn exception(mut self, reason: impl Into<Cow<'static, str>>, until: Timestamp) -> Self {
        let reason = reason.into();
        if reason.trim().is_empty() {
            self.mistake(Key::Exception, "an exception needs a reason");
        }
        if self.is_mode_set() {
            let words =
                "a requirement has one exception or is in shadow mode, not both and not two: remove one";
            self.mistake(Key::Exception, words);
        }
        self.enforcement = Enforcement::Excepted { reason, until };
        self
    }

    /// Is it in shadow mode or under an exception, as a whole?
    pub(crate) fn is_mode_set(&self) -> bool {
        self.enforcement != Enforcement::Enforced
    }

    /// Whether it, or a part of it, is in shadow mode or has an exception: what it
    /// denies may then happen all the same.
    #[cfg(feature = "axum")]
    pub(crate) fn is_lenient(&self) -> bool {
        self.is_mode_set() || self.demands.iter().flat_map(super::demand::Demand::parts).any(Self::is_lenient)
    }

    /// What an outcome does at this time. An allow on trial, or under an exception,
    /// decides as little as a denial.
    pub(crate) fn effect(&self, denial: Option<DenialReason>, now: Timestamp) -> Effect {
        let is_ours = denial.is_some_and(|denial| {
            matches!(denial.kind(), RejectionKind::Misconfigured | RejectionKind::Unavailable)
        });
        match &self.enforcement {
            Enforcement::Shadow if !is_ours => Effect::Shadowed,
            Enforcement::Excepted { reason, until } if !is_ours && now < *until => {
                Effect::Excepted(reason.clone())
            }
            _ => Effect::Enforced,
        }
    }
}
