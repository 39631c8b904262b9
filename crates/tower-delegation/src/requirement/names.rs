//! Whose the names in a requirement are.

use super::{Demand, Requirement};
use crate::{
    issuer::{Issuers, NamedFact},
    names::IssuerUrl,
};

/// The issuers that tokens can be of which meet a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IssuerScope<'r> {
    Any,
    Of(Vec<&'r IssuerUrl>),
}

impl<'r> IssuerScope<'r> {
    /// Those of both.
    pub(crate) fn within(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Any, other) => other.clone(),
            (own, Self::Any) => own,
            (Self::Of(own), Self::Of(other)) => {
                Self::Of(own.into_iter().filter(|issuer| other.contains(issuer)).collect())
            }
        }
    }

    /// Those of either.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Of(mut own), Self::Of(other)) => {
                own.extend(other);
                Self::Of(own)
            }
            (Self::Any, _) | (_, Self::Any) => Self::Any,
        }
    }

    /// `None`: any.
    pub(crate) fn issuers(&self) -> Option<&[&'r IssuerUrl]> {
        match self {
            Self::Any => None,
            Self::Of(issuers) => Some(issuers),
        }
    }
}

impl Demand {
    fn issuer_scope(&self) -> IssuerScope<'_> {
        match self {
            Self::Issuer(any) => IssuerScope::Of(any.iter().collect()),
            Self::AllOf(parts) => {
                parts.iter().fold(IssuerScope::Any, |scope, part| part.issuer_scope().within(&scope))
            }
            Self::AnyOf(parts) => {
                let mut scopes = parts.iter().map(Requirement::issuer_scope);
                let first = scopes.next().unwrap_or(IssuerScope::Any);
                scopes.fold(first, IssuerScope::or)
            }
            _ => IssuerScope::Any,
        }
    }

    /// The parameter of the path that it looks at, by itself.
    pub(crate) fn path_parameter(&self) -> Option<&str> {
        match self {
            Self::ClaimMatchesPath(_, name)
            | Self::TenantMatchesPath(name)
            | Self::SubjectMatchesPath(name) => Some(name),
            Self::AuthorizationDetail(detail) => detail.parameter(),
            _ => None,
        }
    }

    /// The name in it that means something only together with who vouches for it. An
    /// application is the registry's. An actor that is denied is anyone's, unless that is
    /// excluded in turn: then it is the one that is let in.
    fn named_fact(&self, is_excluded: bool) -> Option<NamedFact> {
        match self {
            Self::DenyActor(_) if is_excluded => Some(NamedFact::Actor),
            Self::SubjectMatchesPath(_) => Some(NamedFact::Subject),
            Self::Client(_) | Self::DenyClient(_) => Some(NamedFact::Client),
            Self::Actor(_) => Some(NamedFact::Actor),
            Self::Role(_) => Some(NamedFact::Role),
            Self::Permission(_) => Some(NamedFact::Permission),
            Self::Group(_) => Some(NamedFact::Group),
            Self::Tenant(_) | Self::TenantMatchesPath(_) | Self::TenantMatchesHeader(_) => {
                Some(NamedFact::Tenant)
            }
            Self::ClaimOneOf(..)
            | Self::ClaimMatchesPath(..)
            | Self::ClaimMatchesHeader(..)
            | Self::Purpose(..) => Some(NamedFact::Claim),
            _ => None,
        }
    }
}

impl Requirement {
    pub(crate) fn demands(&self) -> &[Demand] {
        &self.demands
    }

    /// What is excluded narrows nothing.
    pub(crate) fn issuer_scope(&self) -> IssuerScope<'_> {
        self.demands.iter().map(Demand::issuer_scope).fold(IssuerScope::Any, |all, one| one.within(&all))
    }

    /// The demands with a name that could be that of two parties: issuers of several
    /// namespaces can say it, and nothing in the requirement tells which one is meant.
    pub(crate) fn unqualified(&self, issuers: &Issuers) -> Vec<&Demand> {
        let mut found = Vec::new();
        if issuers.have_several_namespaces() {
            self.find_unqualified(issuers, &IssuerScope::Any, false, &mut found);
        }
        found
    }

    fn find_unqualified<'r>(
        &'r self,
        issuers: &Issuers,
        outer: &IssuerScope<'r>,
        is_excluded: bool,
        found: &mut Vec<&'r Demand>,
    ) {
        let scope = self.issuer_scope().within(outer);
        for demand in &self.demands {
            let is_one = |fact| issuers.say_one(fact, scope.issuers());
            if demand.named_fact(is_excluded).is_some_and(|fact| !is_one(fact)) {
                found.push(demand);
            }
            let is_excluded = is_excluded || matches!(demand, Demand::Not(_));
            for part in demand.parts() {
                part.find_unqualified(issuers, &scope, is_excluded, found);
            }
        }
    }
}
