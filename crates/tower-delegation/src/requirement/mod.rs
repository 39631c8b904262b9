//! What a route demands: one [`Requirement`] behind the attribute, the
//! extractor, the layer and the call.
//!
//! 1. Every demand of a requirement must hold. What it names and the token
//!    lacks is a denial. So is what is malformed (`claim_malformed`), also inside
//!    [`not`](Requirement::not); a malformed claim that no demand names is none.
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
//! 4. The time is the request's: when it was authenticated.
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

mod applications;
mod authentication;
mod circumstances;
mod comparison;
mod composition;
mod describe;
mod details;
mod evaluate;
mod grants;
mod hindrance;
mod leniency;
mod needs;
mod origin;
mod parties;
mod per_type;
mod scopes;
mod sender;
mod sufficient;
#[cfg(test)]
mod tests;
mod window;

#[cfg(feature = "axum")]
#[doc = include_str!("../../../../docs/scenarios.md")]
pub mod scenarios {}

use std::{borrow::Cow, sync::Arc};

use self::{
    applications::Applications, authentication::Authentication, circumstances::Circumstances,
    comparison::Comparisons, composition::Composition, describe::Description, grants::Grants,
    leniency::Leniency, origin::Origin, parties::Parties, scopes::Scopes, sender::Sender,
};
pub use self::{
    details::AuthorizationDetail,
    evaluate::{Decision, Denial},
    window::{TimeWindow, Weekday},
};
pub(crate) use self::{evaluate::Evidence, sufficient::each_with_each};
use crate::{error::ConfigError, scope::Scope, spiffe::SpiffePattern};

/// A type that stands for a requirement: the `R` of `Authorized<R>`.
pub trait Requires: 'static {
    /// What is demanded. Called at the type's first use; the answer is kept for
    /// the life of the process.
    fn requirement() -> Requirement;
}

/// What is demanded of a request's [`DelegationContext`](crate::context::DelegationContext).
///
/// A new requirement demands nothing beyond a verified token. Each method adds
/// one demand. A mistake (an impossible scope, two demands that exclude each
/// other) is kept and reported by [`check`](Self::check),
/// [`RequireLayer::new`](crate::layer::RequireLayer::new) and, at the latest,
/// by the first request.
///
/// `Display` says it in one line, `Serialize` as one JSON object:
///
/// ```
/// use tower_delegation::Requirement;
///
/// let requirement = Requirement::named("RefundOrder").scope("orders:refund").on_behalf_of_user();
/// assert_eq!(requirement.to_string(), r#"RefundOrder: on_behalf_of_user; scope [ "orders:refund" ]"#);
/// assert_eq!(
///     serde_json::to_string(&requirement)?,
///     r#"{"name":"RefundOrder","on_behalf_of_user":true,"scope":["orders:refund"]}"#
/// );
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Requirement {
    name: Cow<'static, str>,
    origin: Origin,
    sender: Sender,
    parties: Parties,
    applications: Applications,
    circumstances: Circumstances,
    comparisons: Comparisons,
    grants: Grants,
    composition: Composition,
    authentication: Authentication,
    scopes: Scopes,
    leniency: Option<Leniency>,
    /// The scopes demanded, space-delimited, as audit events carry them.
    demanded_scopes: Option<Arc<str>>,
    /// Does any demand look at the parameters of the path?
    reads_path: bool,
    /// The first mistake.
    mistake: Option<Mistake>,
}

/// A mistake in the making of a requirement.
#[derive(Clone, Debug)]
enum Mistake {
    Scope(String),
    Workload(String),
    Contradiction(&'static str),
    Problem(&'static str),
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
            origin: Origin::default(),
            sender: Sender::default(),
            parties: Parties::default(),
            applications: Applications::default(),
            circumstances: Circumstances::default(),
            comparisons: Comparisons::default(),
            grants: Grants::default(),
            composition: Composition::default(),
            authentication: Authentication::default(),
            scopes: Scopes::default(),
            leniency: None,
            demanded_scopes: None,
            reads_path: false,
            mistake: None,
        }
    }

    /// The name in the audit trail.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Is the requirement of `R` free of mistakes? For a test or for start-up.
    ///
    /// # Errors
    /// Those of [`checked`](Self::checked).
    pub fn check<R: Requires>() -> Result<(), ConfigError> {
        Self::of::<R>().clone().checked().map(drop)
    }

    /// This requirement, if it is free of mistakes.
    ///
    /// # Errors
    /// [`ConfigError::InvalidScope`], [`ConfigError::InvalidSpiffePattern`],
    /// [`ConfigError::InvalidRequirement`] and [`ConfigError::ContradictoryRequirement`].
    pub fn checked(self) -> Result<Self, ConfigError> {
        match &self.mistake {
            None => Ok(self),
            Some(Mistake::Scope(scope)) => Err(ConfigError::InvalidScope { scope: scope.clone() }),
            Some(Mistake::Workload(pattern)) => SpiffePattern::new(pattern).map(|_| self.clone()),
            Some(Mistake::Contradiction(problem)) => Err(ConfigError::ContradictoryRequirement {
                requirement: self.name.into_owned(),
                problem: (*problem).to_owned(),
            }),
            Some(Mistake::Problem(problem)) => {
                Err(ConfigError::InvalidRequirement { requirement: self.name.into_owned(), problem })
            }
        }
    }

    pub(crate) fn shared_name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    /// The scopes demanded, space-delimited.
    pub(crate) fn demanded_scopes(&self) -> Option<&Arc<str>> {
        self.demanded_scopes.as_ref()
    }

    /// Does any demand look at the parameters of the path? Whoever calls
    /// [`authorize`](crate::context::DelegationContext::authorize) need not
    /// collect them otherwise.
    #[must_use]
    pub fn reads_path(&self) -> bool {
        self.reads_path
    }

    /// Does it demand nothing beyond a verified token?
    pub(crate) fn is_empty(&self) -> bool {
        Description::of(self).is_empty()
    }

    /// Looks for demands that exclude each other.
    fn settle(mut self) -> Self {
        let bound = self.origin.scopes_within.as_deref();
        let found = self
            .parties
            .contradiction()
            .or_else(|| self.origin.contradiction())
            .or_else(|| self.comparisons.contradiction())
            .or_else(|| self.scopes.contradiction(bound?));
        if let Some(problem) = found {
            self.add_contradiction(problem);
        }
        self.demanded_scopes = self.needs().map(|needs| needs.scope.into());
        self
    }

    fn read_scope(&mut self, scope: &str) -> Option<Scope> {
        match Scope::new(scope) {
            Ok(scope) => Some(scope),
            Err(_) => {
                self.add_mistake(Mistake::Scope(scope.to_owned()));
                None
            }
        }
    }

    fn add_contradiction(&mut self, problem: &'static str) {
        self.add_mistake(Mistake::Contradiction(problem));
    }

    fn add_problem(&mut self, problem: &'static str) {
        self.add_mistake(Mistake::Problem(problem));
    }

    fn add_mistake(&mut self, mistake: Mistake) {
        self.mistake.get_or_insert(mistake);
    }
}

impl Default for Requirement {
    fn default() -> Self {
        Self::new()
    }
}
