//! What a route demands: one [`Requirement`] behind the attribute, the
//! extractor, the layer and the call.
//!
//! 1. Every demand of a requirement must hold. What it names and the token
//!    lacks is a denial.
//! 2. Demands are checked in one fixed order, and the denial names the first
//!    that fails: issuer, audience, sender constraint, workload, subject kind,
//!    on behalf of a user, delegation, actor, client, scopes. Scopes come last, so that a client
//!    hears `insufficient_scope` only where more scope would really help.
//! 3. A requirement that contradicts itself denies with 500 `misconfigured`;
//!    [`Requirement::check`] finds it before any request does.
//!
//! # Deployment caveat
//!
//! A requirement guards what it is attached to. A route without one is open to
//! every verified token.
//!
//! # Example
//!
//! ```
//! use tower_delegation::requirement::{Requirement, Requires};
//!
//! struct RefundOrder;
//!
//! impl Requires for RefundOrder {
//!     fn requirement() -> Requirement {
//!         Requirement::named("RefundOrder").scope("orders:refund").on_behalf_of_user()
//!     }
//! }
//!
//! assert!(Requirement::check::<RefundOrder>().is_ok());
//! ```

mod evaluate;
mod per_type;

use std::borrow::Cow;

pub use self::evaluate::{Decision, Denial};
use crate::{
    context::SubjectKind,
    error::ConfigError,
    names::{Audience, ClientId, IssuerUrl, SubjectId},
    scope::Scope,
    spiffe::SpiffePattern,
};

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
#[derive(Clone, Debug)]
pub struct Requirement {
    name: Cow<'static, str>,
    scopes: Vec<Scope>,
    any_scopes: Vec<Vec<Scope>>,
    audiences: Vec<Audience>,
    issuers: Vec<IssuerUrl>,
    subject_kinds: Vec<SubjectKind>,
    on_behalf_of_user: bool,
    delegation: Delegation,
    actors: Vec<SubjectId>,
    clients: Vec<ClientId>,
    sender_constrained: bool,
    workloads: Vec<SpiffePattern>,
    /// The scopes that a challenge names, space-delimited.
    challenge_scope: String,
    /// The first mistake.
    mistake: Option<Mistake>,
}

/// May, must or must not the token carry an actor?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delegation {
    Either,
    Required,
    Forbidden,
}

/// A mistake in the making of a requirement.
#[derive(Clone, Debug)]
enum Mistake {
    Scope(String),
    Workload(String),
    Contradiction(&'static str),
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
            scopes: Vec::new(),
            any_scopes: Vec::new(),
            audiences: Vec::new(),
            issuers: Vec::new(),
            subject_kinds: Vec::new(),
            on_behalf_of_user: false,
            delegation: Delegation::Either,
            actors: Vec::new(),
            clients: Vec::new(),
            sender_constrained: false,
            workloads: Vec::new(),
            challenge_scope: String::new(),
            mistake: None,
        }
    }

    /// The name in the audit trail.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Demands this scope, beside those demanded before.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        if let Some(scope) = self.read_scope(scope) {
            self.add_challenge_scope(scope.as_str());
            self.scopes.push(scope);
        }
        self
    }

    /// Demands each of these scopes.
    #[must_use]
    pub fn scopes<'s>(self, scopes: impl IntoIterator<Item = &'s str>) -> Self {
        scopes.into_iter().fold(self, Self::scope)
    }

    /// Demands at least one of these scopes. A challenge names the first.
    #[must_use]
    pub fn any_scope<'s>(mut self, scopes: impl IntoIterator<Item = &'s str>) -> Self {
        let mut group = Vec::new();
        for scope in scopes {
            group.extend(self.read_scope(scope));
        }
        match group.first() {
            Some(first) => self.add_challenge_scope(&first.to_string()),
            None => self.add_mistake(Mistake::Contradiction("one of no scopes is demanded")),
        }
        self.any_scopes.push(group);
        self
    }

    /// Demands that the token is meant for this audience, or for another one
    /// demanded here. The issuer's audiences are checked in any case; this
    /// tells apart several that one service answers to.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<Audience>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Demands this issuer, or another one demanded here.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<IssuerUrl>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Demands a subject of this kind, or of another one demanded here.
    #[must_use]
    pub fn subject_kind(mut self, kind: SubjectKind) -> Self {
        self.subject_kinds.push(kind);
        self.find_contradiction()
    }

    /// Demands that an application acts for a user: the subject is a user
    /// (unknown is not enough) and the client is another party.
    #[must_use]
    pub fn on_behalf_of_user(mut self) -> Self {
        self.on_behalf_of_user = true;
        self.find_contradiction()
    }

    /// Demands a delegated token: one with an actor (RFC 8693 section 4.1).
    #[must_use]
    pub fn delegated(self) -> Self {
        self.set_delegation(Delegation::Required)
    }

    /// Demands a token without an actor.
    #[must_use]
    pub fn not_delegated(self) -> Self {
        self.set_delegation(Delegation::Forbidden)
    }

    /// Demands this current actor, or another one demanded here, vouched for by
    /// the token's own issuer. Earlier actors never count (RFC 8693 section 4.1).
    #[must_use]
    pub fn actor(mut self, actor: impl Into<SubjectId>) -> Self {
        self.actors.push(actor.into());
        self.find_contradiction()
    }

    /// Demands this client, or another one demanded here.
    #[must_use]
    pub fn client(mut self, client: impl Into<ClientId>) -> Self {
        self.clients.push(client.into());
        self
    }

    /// Demands a token that is bound to its presenter, so that a stolen one is
    /// of no use (RFC 8705 section 3).
    #[must_use]
    pub fn sender_constrained(mut self) -> Self {
        self.sender_constrained = true;
        self
    }

    /// Demands that the workload at the other end of the connection has a SPIFFE
    /// ID of this [pattern](SpiffePattern::new), or of another one demanded
    /// here, from a certificate that chains to a trust anchor.
    #[must_use]
    pub fn workload(mut self, pattern: &str) -> Self {
        match SpiffePattern::new(pattern) {
            Ok(pattern) => self.workloads.push(pattern),
            Err(_) => self.add_mistake(Mistake::Workload(pattern.to_owned())),
        }
        self
    }

    /// Is the requirement of `R` free of mistakes? For a test or for start-up.
    ///
    /// # Errors
    /// [`ConfigError::InvalidScope`] and [`ConfigError::ContradictoryRequirement`].
    pub fn check<R: Requires>() -> Result<(), ConfigError> {
        Self::of::<R>().clone().checked().map(drop)
    }

    /// This requirement, if it is free of mistakes.
    ///
    /// # Errors
    /// [`ConfigError::InvalidScope`] and [`ConfigError::ContradictoryRequirement`].
    pub fn checked(self) -> Result<Self, ConfigError> {
        match &self.mistake {
            None => Ok(self),
            Some(Mistake::Scope(scope)) => Err(ConfigError::InvalidScope { scope: scope.clone() }),
            Some(Mistake::Workload(pattern)) => SpiffePattern::new(pattern).map(|_| self.clone()),
            Some(Mistake::Contradiction(problem)) => Err(ConfigError::ContradictoryRequirement {
                requirement: self.name.into_owned(),
                problem: (*problem).to_owned(),
            }),
        }
    }

    pub(crate) fn shared_name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    /// The scopes that a challenge names (RFC 6750 section 3).
    pub(crate) fn challenge_scope(&self) -> Option<&str> {
        (!self.challenge_scope.is_empty()).then_some(self.challenge_scope.as_str())
    }

    fn set_delegation(mut self, delegation: Delegation) -> Self {
        if self.delegation != Delegation::Either && self.delegation != delegation {
            self.add_mistake(Mistake::Contradiction("delegation is both required and forbidden"));
        }
        self.delegation = delegation;
        self.find_contradiction()
    }

    fn find_contradiction(mut self) -> Self {
        if self.delegation == Delegation::Forbidden && !self.actors.is_empty() {
            self.add_mistake(Mistake::Contradiction("an actor is demanded and delegation forbidden"));
        }
        let kinds = &self.subject_kinds;
        if self.on_behalf_of_user && !kinds.is_empty() && !kinds.contains(&SubjectKind::User) {
            self.add_mistake(Mistake::Contradiction(
                "acting for a user is demanded and the subject's kind must be another",
            ));
        }
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

    fn add_challenge_scope(&mut self, scope: &str) {
        if !self.challenge_scope.is_empty() {
            self.challenge_scope.push(' ');
        }
        self.challenge_scope.push_str(scope);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_found() {
        let new = Requirement::new;
        for (name, requirement) in [
            ("empty scope", new().scope("")),
            ("no workload pattern", new().workload("orders")),
            ("a pattern without a trust domain", new().workload("spiffe://*/orders")),
            ("two scopes in one", new().scope("a b")),
            ("quote", new().any_scope(["a\""])),
            ("one of none", new().any_scope([])),
            ("both ways", new().delegated().not_delegated()),
            ("both ways, turned", new().not_delegated().delegated()),
            ("an actor without delegation", new().not_delegated().actor("bot")),
            ("an actor without delegation, turned", new().actor("bot").not_delegated()),
            ("a service as a user", new().on_behalf_of_user().subject_kind(SubjectKind::Service)),
            ("a service as a user, turned", new().subject_kind(SubjectKind::Service).on_behalf_of_user()),
        ] {
            assert!(requirement.checked().is_err(), "{name}");
        }
    }

    #[test]
    fn consistent_requirements_pass() {
        let new = Requirement::new;
        for (name, requirement) in [
            ("nothing", new()),
            ("an actor", new().delegated().actor("bot")),
            ("a user", new().on_behalf_of_user().subject_kind(SubjectKind::User)),
            ("the same twice", new().delegated().delegated()),
        ] {
            assert!(requirement.checked().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_challenge_names_what_is_needed() {
        let requirement = Requirement::new().scopes(["a", "b"]).any_scope(["c", "d"]);
        assert_eq!(requirement.challenge_scope(), Some("a b c"));
        assert_eq!(Requirement::new().challenge_scope(), None);
    }
}
