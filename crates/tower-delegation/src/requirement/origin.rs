//! Demands on the token itself: who issued it, for which tenant and audience,
//! how broad it is and how old.

use std::time::Duration;

use super::{
    Requirement,
    describe::Description,
    evaluate::{Evidence, Failure, Outcome, ensure},
};
use crate::{
    application::Application,
    names::{Audience, IssuerUrl, TenantId},
    reason::DenialReason,
    scope::Scope,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    issuers: Vec<IssuerUrl>,
    tenants: Vec<TenantId>,
    pub(super) audiences: Vec<Audience>,
    pub(super) audiences_within: Option<Vec<Audience>>,
    pub(super) scopes_within: Option<Vec<Scope>>,
    max_lifetime: Option<Duration>,
    max_age: Option<Duration>,
}

impl Requirement {
    /// Demands this issuer, or another one demanded here.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<IssuerUrl>) -> Self {
        self.origin.issuers.push(issuer.into());
        self
    }

    /// Demands a token of this tenant, or of another one demanded here, as the
    /// issuer's [`ClaimMapping`](crate::issuer::ClaimMapping) reads it. Tenants
    /// of two issuers may bear one name: demand the [`issuer`](Self::issuer) too.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<TenantId>) -> Self {
        self.origin.tenants.push(tenant.into());
        self
    }

    /// Demands that the token is meant for this audience, or for another one
    /// demanded here. The issuer's audiences are checked in any case; this
    /// tells apart several that one service answers to.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<Audience>) -> Self {
        self.origin.audiences.push(audience.into());
        self.settle()
    }

    /// Demands that the token is meant for nobody beyond these audiences: a
    /// token that opens other services too is worth more to a thief. Where the issuer's
    /// tokens need not name an audience, one that names none is denied.
    #[must_use]
    pub fn audiences_within<A: Into<Audience>>(mut self, audiences: impl IntoIterator<Item = A>) -> Self {
        let bound = self.origin.audiences_within.get_or_insert_default();
        bound.extend(audiences.into_iter().map(Into::into));
        self.settle()
    }

    /// Demands that the token itself has no scope beyond these, whatever is
    /// made of its scopes later: broad tokens do not belong on this route.
    #[must_use]
    pub fn scopes_within<'s>(mut self, scopes: impl IntoIterator<Item = &'s str>) -> Self {
        let mut bound = self.origin.scopes_within.take().unwrap_or_default();
        for scope in scopes {
            bound.extend(self.read_scope(scope));
        }
        self.origin.scopes_within = Some(bound);
        self.settle()
    }

    /// Demands a token that was issued to live this long at most. A token without
    /// `iat`, which some mappings allow, does not satisfy.
    #[must_use]
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.check_duration(lifetime, "a token that lives for no time at all is demanded");
        self.origin.max_lifetime = Some(self.origin.max_lifetime.map_or(lifetime, |max| max.min(lifetime)));
        self
    }

    /// Demands a token that was issued this long ago at most, however long it
    /// lives; the configured leeway is added. An older one is a 401: a new one
    /// would do. So is a token without `iat`, which some mappings allow.
    #[must_use]
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.check_duration(age, "a token of no age at all is demanded");
        self.origin.max_age = Some(self.origin.max_age.map_or(age, |max| max.min(age)));
        self
    }

    fn check_duration(&mut self, duration: Duration, problem: &'static str) {
        if duration.is_zero() {
            self.add_problem(problem);
        }
    }
}

impl Origin {
    /// What keeps an application from ever presenting a token that meets this.
    pub(super) fn hindrance(&self, application: &Application) -> Option<DenialReason> {
        let mut clients = application.clients().map(|(issuer, _)| issuer);
        // The issuer of an actor need not be the token's: only a client's tells.
        if !self.issuers.is_empty()
            && application.actors().len() == 0
            && !clients.any(|issuer| self.issuers.contains(issuer))
        {
            return Some(DenialReason::IssuerNotAllowed);
        }
        let mut tenants = application.tenants();
        let is_elsewhere = tenants.len() > 0 && !tenants.any(|tenant| self.tenants.contains(tenant));
        (!self.tenants.is_empty() && is_elsewhere).then_some(DenialReason::TenantNotAllowed)
    }

    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let delegation = evidence.delegation;
        if !self.issuers.is_empty() {
            ensure(self.issuers.contains(delegation.issuer()), DenialReason::IssuerNotAllowed)?;
        }
        if !self.tenants.is_empty() {
            let tenant = delegation.tenant()?.ok_or(Failure::unknown(DenialReason::TenantMismatch))?;
            ensure(self.tenants.contains(tenant), DenialReason::TenantMismatch)?;
        }
        let audience = delegation.audience();
        if !self.audiences.is_empty() {
            let meant = self.audiences.iter().any(|one| audience.contains(one));
            ensure(meant, DenialReason::AudienceNotAllowed)?;
        }
        if let Some(bound) = &self.audiences_within {
            // Without `aud` it is not known what the token opens.
            if audience.is_empty() {
                return Err(Failure::unknown(DenialReason::AudienceTooBroad));
            }
            ensure(audience.iter().all(|one| bound.contains(one)), DenialReason::AudienceTooBroad)?;
        }
        if let Some(bound) = &self.scopes_within {
            let is_within = |scope: &str| bound.iter().any(|one| one.as_str() == scope);
            ensure(delegation.token_scopes().iter().all(is_within), DenialReason::ScopeTooBroad)?;
        }
        if let Some(max) = self.max_lifetime {
            let unknown = Failure::unknown(DenialReason::TokenLifetimeNotAllowed);
            let lifetime = delegation.expires_at().saturating_since(delegation.issued_at().ok_or(unknown)?);
            ensure(lifetime <= max, DenialReason::TokenLifetimeNotAllowed)?;
        }
        if let Some(max) = self.max_age {
            let unknown = Failure::unknown(DenialReason::TokenAgeNotAllowed);
            let age = delegation.authenticated_at().saturating_since(delegation.issued_at().ok_or(unknown)?);
            let leeway = delegation.circumstances().leeway;
            ensure(age <= max.saturating_add(leeway), DenialReason::TokenAgeNotAllowed)?;
        }
        Ok(())
    }

    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let bound = self.audiences_within.as_ref()?;
        if bound.is_empty() {
            return Some("every audience is forbidden, the service's own too");
        }
        let beyond = |one: &Audience| !bound.contains(one);
        let none_fits = !self.audiences.is_empty() && self.audiences.iter().all(beyond);
        none_fits.then_some("an audience is demanded that lies beyond those tolerated")
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        to.texts("issuer", &self.issuers);
        to.texts("tenant", &self.tenants);
        to.texts("audience", &self.audiences);
        if let Some(bound) = &self.audiences_within {
            to.list("audiences_within", bound);
        }
        if let Some(bound) = &self.scopes_within {
            to.list("scopes_within", bound);
        }
        to.seconds("max_token_lifetime", self.max_lifetime);
        to.seconds("max_token_age", self.max_age);
    }
}
