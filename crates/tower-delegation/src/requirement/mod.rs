//! What a route demands: one [`Requirement`] behind the attribute, the
//! extractor, the layer and the call.
//!
//! 1. Every demand of a requirement must hold. A demand fails, or is unknown, where
//!    what it names is absent or malformed (`claim_malformed`); both deny, also inside
//!    [`not`](Requirement::not). A malformed claim that no demand names denies nothing.
//!    Where one of several values is enough, the method begins with `any_`; a second
//!    plain one is a contradiction, except of what adds up: scopes, roles, permissions,
//!    groups and authorization details.
//! 2. Demands are checked in one fixed order, and the denial names the first
//!    that fails:
//!
//!    | | demands |
//!    |---|---|
//!    | the token | issuer, tenant, audience, audiences and scopes within bounds, lifetime, age |
//!    | its sender | sender constraint, workload |
//!    | the parties | subject kind, on behalf of a user, delegation, number of actors, denied actors, actor, client, registered applications of client and presenter |
//!    | the circumstances | time windows, risk |
//!    | comparisons | claims, path, header fields, purpose |
//!    | grants | roles, permissions, groups, authorization details |
//!    | compositions | all of, any of, not |
//!    | what a client can mend | authentication, then scopes |
//!
//!    What a client can mend comes last, so that it hears of it only where it
//!    would really help. If authentication and scopes are both insufficient,
//!    one challenge names both (RFC 9470 section 3).
//! 3. A requirement that contradicts itself denies with 500 `misconfigured`;
//!    [`Requirement::check`] finds it before any request does.
//! 4. The time is that of the decision.
//!
//! An evaluation waits for nothing and allocates nothing: ten demands take about
//! 0.1 µs. Only demands on claims, purpose and authorization details read the
//! payload's JSON, each by itself, at about 1 µs, with a small buffer where the
//! payload nests.
//!
//! # Deployment caveat
//!
//! A requirement guards what it is attached to. A route without one is open to
//! every verified token.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_delegation::requirement::{Requirement, Requires};
//!
//! struct RefundOrder;
//!
//! impl Requires for RefundOrder {
//!     fn requirement() -> Requirement {
//!         Requirement::named("RefundOrder")
//!             .scope("orders:refund")
//!             .on_behalf_of_user()
//!             .tenant_matches_path("tenant")
//!             .max_token_age(Duration::from_secs(300))
//!             .acr("urn:example:mfa")
//!     }
//! }
//!
//! assert!(Requirement::check::<RefundOrder>().is_ok());
//! ```

mod bars;
mod builder;
mod challenge;
mod check;
mod claims;
mod demand;
mod detail;
mod enforcement;
mod names;
mod requires;
mod say;
#[cfg(test)]
mod tests;
mod window;

#[cfg(feature = "axum")]
#[doc = include_str!("../../../../docs/scenarios.md")]
pub mod scenarios {}

use std::{borrow::Cow, sync::Arc};

use tower_delegation_demands::{Key, judge};

use self::enforcement::Enforcement;
pub(crate) use self::{challenge::each_with_each, check::Evidence, demand::Demand, names::IssuerScope};
pub use self::{
    check::{Decision, Denial},
    detail::AuthorizationDetail,
    requires::Requires,
    window::{TimeWindow, Weekday},
};
use crate::error::{ConfigError, Mistakes};

/// What is demanded of a request's [`DelegationContext`](crate::context::DelegationContext).
///
/// A new requirement demands nothing beyond a verified token. Each method adds
/// one demand. Mistakes (an impossible scope, two demands that exclude each
/// other) are kept, all of them, and reported by [`check`](Self::check),
/// [`RequireLayer::new`](crate::layer::RequireLayer::new) and, at the latest,
/// by the first request.
///
/// `Display` says it in one line, `Serialize` as one JSON object:
///
/// ```
/// use tower_delegation::Requirement;
///
/// let requirement = Requirement::named("RefundOrder").scope("orders:refund").any_client(["web", "app"]);
/// assert_eq!(requirement.to_string(), r#"RefundOrder: client any [ "web", "app" ]; scope "orders:refund""#);
/// assert_eq!(
///     serde_json::to_string(&requirement)?,
///     r#"{"name":"RefundOrder","client":{"any":["web","app"]},"scope":"orders:refund"}"#
/// );
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Requirement {
    name: Cow<'static, str>,
    /// In the order of the checks.
    demands: Vec<Demand>,
    enforcement: Enforcement,
    /// The scopes demanded, space-delimited, as audit events carry them.
    demanded_scopes: Option<Arc<str>>,
    /// What was wrong as it was written, then what the demands are together.
    mistakes: Vec<Mistake>,
}

/// A mistake in the making of a requirement.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    pub(crate) key: Key,
    pub(crate) words: Cow<'static, str>,
    /// Found by judging the demands together, which is done again with each of them.
    is_judged: bool,
}

impl Requirement {
    /// A requirement that demands only a verified token, named `requirement`
    /// in the audit trail.
    #[must_use]
    pub fn new() -> Self {
        Self::named("requirement")
    }

    /// A requirement with a name of its own in the audit trail.
    #[must_use]
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            demands: Vec::new(),
            enforcement: Enforcement::Enforced,
            demanded_scopes: None,
            mistakes: Vec::new(),
        }
    }

    /// The name in the audit trail.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This requirement, if it is free of mistakes.
    ///
    /// # Errors
    /// A [`ConfigError::InvalidRequirement`] for each mistake.
    pub fn checked(self) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        for Mistake { key, words, .. } in &self.mistakes {
            let (requirement, problem) = (self.name.to_string(), words.to_string());
            mistakes.add(ConfigError::InvalidRequirement { requirement, key: key.name(), problem });
        }
        mistakes.into_result().map(|()| self)
    }

    pub(crate) fn shared_name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    /// The scopes demanded, space-delimited.
    pub(crate) fn demanded_scopes(&self) -> Option<&Arc<str>> {
        self.demanded_scopes.as_ref()
    }

    /// Whether any demand looks at the parameters of the path. A caller of
    /// [`authorize`](crate::context::DelegationContext::authorize) need not
    /// collect them otherwise.
    #[must_use]
    pub fn reads_path(&self) -> bool {
        self.demands.iter().any(Demand::reads_path)
    }

    /// Does it demand nothing beyond a verified token?
    pub(crate) fn is_empty(&self) -> bool {
        self.demands.is_empty()
    }

    /// Takes a demand in at its place, and judges all of them together.
    fn demand(mut self, demand: Demand) -> Self {
        self.examine(&demand);
        let key = demand.say().0;
        let place = self.demands.partition_point(|known| known.say().0 <= key);
        self.demands.insert(place, demand);
        self.mistakes.retain(|mistake| !mistake.is_judged);
        let stated: Vec<_> = self.demands.iter().map(Demand::stated).collect();
        let judged: Vec<_> = judge(&stated).into_iter().filter(|mistake| !mistake.is_redundant).collect();
        for mistake in judged {
            let key = stated.get(mistake.at).map_or(key, |stated| stated.key);
            self.mistakes.push(Mistake { key, words: mistake.words.into(), is_judged: true });
        }
        self.demanded_scopes = self.needs().map(|needs| needs.scope.into());
        self
    }

    /// Notes what is wrong with a demand by itself, and in its parts.
    fn examine(&mut self, demand: &Demand) {
        let key = demand.say().0;
        let wrong = match demand {
            Demand::TimeWindow(any) => any.iter().find_map(TimeWindow::mistake),
            Demand::AuthorizationDetail(detail) => detail.mistake(),
            Demand::AllOf(parts) | Demand::AnyOf(parts) if parts.is_empty() => Some("there is nothing in it"),
            _ => None,
        };
        wrong.into_iter().for_each(|words| self.mistake(key, words));
        for part in demand.parts() {
            for mistake in &part.mistakes {
                self.mistake(key, format!("`{}`: {}", mistake.key.name(), mistake.words));
            }
            if part.is_mode_set() {
                self.mistake(
                    key,
                    "only a whole requirement can be in shadow mode or have an exception, no part",
                );
            }
            if part.demands.is_empty() && part.mistakes.is_empty() {
                self.mistake(key, "a part of it demands nothing");
            }
        }
    }

    fn mistake(&mut self, key: Key, words: impl Into<Cow<'static, str>>) {
        self.mistakes.push(Mistake { key, words: words.into(), is_judged: false });
    }
}

impl Default for Requirement {
    fn default() -> Self {
        Self::new()
    }
}
