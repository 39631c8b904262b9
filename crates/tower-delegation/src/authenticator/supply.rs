//! [`Supply`]: what a configuration can supply to a rule, and whether that is enough
//! for the rule ever to be met, and to mean one thing.

use super::{Authenticator, ClientIdentity, Inner};
use crate::{
    application::Applications,
    context::RiskSignals,
    error::{ConfigError, Mistakes},
    issuer::{GrantKind, Issuers, KnownTerms, NamedFact},
    names::SubjectKind,
    requirement::{Demand, IssuerScope, Requirement},
    routes::{RouteInventory, RouteTable, RowsCheck, RuledRoute},
};

/// What an authenticator can supply.
pub(crate) struct Supply<'a> {
    issuers: &'a Issuers,
    applications: Option<&'a Applications>,
    client_identity: Option<&'a ClientIdentity>,
    has_dpop: bool,
    risk: Option<&'a RiskSignals>,
}

/// Where a rule is, and which parameters a path there can have.
struct Place<'a> {
    name: PlaceName<'a>,
    /// The prefixes below which all of the routes are served.
    prefixes: &'a [String],
}

/// What a place is called.
enum PlaceName<'a> {
    Route(&'a RuledRoute),
    /// No route: it has no path.
    #[cfg(feature = "http-client")]
    Other(&'a str),
}

impl Authenticator {
    /// Whether a rule that is at no route can be met, and says whose each name is.
    ///
    /// # Errors
    /// Every mistake.
    #[cfg(feature = "http-client")]
    pub(crate) fn check_rule(&self, name: &str, requirement: &Requirement) -> Result<(), ConfigError> {
        let place = Place { name: PlaceName::Other(name), prefixes: &[] };
        self.0.supply().check(&place, requirement)
    }

    #[cfg(feature = "axum")]
    pub(crate) fn supply(&self) -> Supply<'_> {
        self.0.supply()
    }

    /// Holds the rows of a table against what is supplied, now and whenever they change.
    pub(crate) fn check_table(&self, table: &RouteTable) -> Result<(), ConfigError> {
        table.check_by(&self.0)
    }
}

impl RowsCheck for Inner {
    fn check(&self, rows: &RouteInventory) -> Result<(), ConfigError> {
        self.supply().check_all(rows, &[])
    }
}

impl Inner {
    fn supply(&self) -> Supply<'_> {
        Supply {
            issuers: self.verifier.issuers(),
            applications: self.judge.applications.as_ref(),
            client_identity: self.client_identity.as_ref(),
            has_dpop: self.dpop.is_some(),
            risk: self.risk.as_deref(),
        }
    }
}

impl Supply<'_> {
    /// Whether every rule of these routes can be met: see [`check`](Self::check).
    ///
    /// # Errors
    /// Every mistake of every rule.
    pub(crate) fn check_all(&self, routes: &RouteInventory, prefixes: &[String]) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        for (route, requirement) in routes.requirements() {
            let place = Place { name: PlaceName::Route(route), prefixes };
            mistakes.take(self.check(&place, requirement));
        }
        mistakes.into_result()
    }

    /// Whether a rule can be met, and says whose each name is.
    ///
    /// # Errors
    /// A [`ConfigError::UnqualifiedRule`] for each name that could be that of two
    /// parties, and a [`ConfigError::UnsatisfiableRule`] for each demand that nothing
    /// can meet.
    fn check(&self, place: &Place<'_>, requirement: &Requirement) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        for demand in requirement.unqualified(self.issuers) {
            let demand = demand.key().name();
            mistakes.add(ConfigError::UnqualifiedRule { route: place.name(), demand });
        }
        for Lack { demand, missing } in self.lacks(place, requirement, &IssuerScope::Any) {
            mistakes.add(ConfigError::UnsatisfiableRule { route: place.name(), demand, missing });
        }
        mistakes.into_result()
    }

    /// Each demand that cannot be met, and what is missing.
    fn lacks(&self, place: &Place<'_>, requirement: &Requirement, outer: &IssuerScope<'_>) -> Vec<Lack> {
        let scope = requirement.issuer_scope().within(outer);
        if scope.issuers().is_some_and(<[_]>::is_empty) {
            let missing = "an issuer that all its demands on one allow: name the same one".to_owned();
            return vec![Lack { demand: "issuer", missing }];
        }
        // What a resolver of unknown terms supplies is not known: it may be enough.
        let terms = self.issuers.terms(scope.issuers());
        let lacks_of = |demand: &Demand| match demand {
            Demand::AllOf(parts) => parts.iter().flat_map(|part| self.lacks(place, part, &scope)).collect(),
            Demand::AnyOf(parts) => {
                let lacks: Vec<_> = parts.iter().map(|part| self.lacks(place, part, &scope)).collect();
                let can_be_met = lacks.iter().any(Vec::is_empty);
                // Where no alternative can be met, to mend the first is enough.
                lacks.into_iter().next().filter(|_| !can_be_met).unwrap_or_default()
            }
            Demand::Not(part) => self.lack_of_exclusion(place, part, &scope).into_iter().collect(),
            _ => {
                let missing = self.missing(place, demand, Terms(terms.as_deref()));
                missing.map(|missing| Lack { demand: demand.key().name(), missing }).into_iter().collect()
            }
        };
        requirement.demands().iter().flat_map(lacks_of).collect()
    }

    /// What is excluded is admitted only where it is certain not to be the case: that is
    /// never known of facts that nothing supplies.
    fn lack_of_exclusion(
        &self,
        place: &Place<'_>,
        part: &Requirement,
        scope: &IssuerScope<'_>,
    ) -> Option<Lack> {
        let terms = self.issuers.terms(scope.issuers());
        let unknown = part.demands().iter().map(|demand| {
            if !is_unknown_where_missing(demand) {
                return None;
            };
            let missing = self.missing(place, demand, Terms(terms.as_deref()))?;
            Some(Lack { demand: "not", missing })
        });
        unknown.collect::<Option<Vec<_>>>()?.into_iter().next()
    }

    /// What is missing for this demand ever to be met. `None`: nothing, as far as is known.
    fn missing(&self, place: &Place<'_>, demand: &Demand, terms: Terms<'_>) -> Option<String> {
        match demand {
            Demand::Issuer(_)
            | Demand::Audience(_)
            | Demand::AudiencesWithin(_)
            | Demand::Tenant(_)
            | Demand::TenantMatchesHeader(_)
            | Demand::TenantMatchesPath(_) => self.missing_of_token(demand, terms),
            Demand::SubjectKind(_)
            | Demand::OnBehalfOfUser
            | Demand::Delegated
            | Demand::Actor(_)
            | Demand::ActorOf(_)
            | Demand::DenyClient(_)
            | Demand::Client(_) => missing_of_parties(demand, terms),
            Demand::Role(_)
            | Demand::Permission(_)
            | Demand::Group(_)
            | Demand::AuthorizationDetail(_)
            | Demand::Scope(_) => missing_of_grants(demand, terms),
            Demand::Application(_)
            | Demand::ApplicationKind(_)
            | Demand::ApplicationTenant(_)
            | Demand::ApplicationEnvironment(_)
            | Demand::Presenter(_)
            | Demand::PresenterKind(_)
            | Demand::PresenterTenant(_)
            | Demand::PresenterEnvironment(_)
            | Demand::ActorKind(_) => {
                unless(self.applications.is_some(), "a registry of applications: `.applications(..)`")
            }
            Demand::SenderConstrained | Demand::MutualTls | Demand::Dpop | Demand::Workload(_) => {
                self.missing_of_sender(demand)
            }
            Demand::RiskBelow(signal, _) => unless(
                self.risk.is_some_and(|risk| risk.get(signal).is_some()),
                &format!("the risk signal {signal:?}: `.add_risk_signal(..)`"),
            ),
            // A bound, or what any token may say.
            Demand::SubjectMatchesPath(_)
            | Demand::ClaimMatchesPath(..)
            | Demand::ClaimMatchesHeader(..)
            | Demand::ClaimOneOf(..)
            | Demand::Purpose(..)
            | Demand::ScopesWithin(_)
            | Demand::MaxTokenLifetime(_)
            | Demand::MaxTokenAge(_)
            | Demand::NotOnBehalfOfUser
            | Demand::NotDelegated
            | Demand::MaxActors(_)
            | Demand::DenyActor(_)
            | Demand::TimeWindow(_)
            | Demand::Acr(_)
            | Demand::MaxAuthenticationAge(_) => None,
            // Judged part by part.
            Demand::AllOf(_) | Demand::AnyOf(_) | Demand::Not(_) => None,
        }
        .or_else(|| place.lacks(demand.path_parameter()?))
    }

    fn missing_of_token(&self, demand: &Demand, terms: Terms<'_>) -> Option<String> {
        const TENANT: &str = "a claim that names the tenant: `ClaimMapping::tenant(..)`";
        const AUDIENCE: &str = "an issuer whose tokens are for such an audience: `.add_audience(..)`";
        match demand {
            Demand::Issuer(any) => unless(
                any.iter().any(|issuer| self.issuers.may_trust(issuer)),
                "a trusted issuer of this name: `.add_issuer(..)`",
            ),
            Demand::Audience(any) | Demand::AudiencesWithin(any) => unless(
                terms.any(|terms| {
                    terms.audiences.is_none_or(|known| any.iter().any(|one| known.contains(one)))
                }),
                AUDIENCE,
            ),
            _ => unless(terms.any(|terms| terms.says(NamedFact::Tenant)), TENANT),
        }
    }

    fn missing_of_sender(&self, demand: &Demand) -> Option<String> {
        let has_identity = self.client_identity.is_some();
        match demand {
            Demand::SenderConstrained => unless(
                has_identity || self.has_dpop,
                "a way to prove that a token is its sender's: `.client_identity(..)` or `.dpop(..)`",
            ),
            Demand::Dpop => unless(self.has_dpop, "DPoP: `.dpop(Dpop::at(..))`"),
            _ => unless(has_identity, "what the sender proves of itself: `.client_identity(..)`"),
        }
    }
}

/// The terms of the issuers that tokens can be of which meet the rule.
#[derive(Clone, Copy)]
struct Terms<'t>(Option<&'t [KnownTerms<'t>]>);

impl Terms<'_> {
    /// Are those of any issuer enough? They may be where they are not known; where there is
    /// no issuer at all, the demand on the issuer says so.
    fn any(self, are_enough: impl Fn(&KnownTerms<'_>) -> bool) -> bool {
        self.0.is_none_or(|terms| terms.is_empty() || terms.iter().any(are_enough))
    }
}

fn unless(is_there: bool, missing: &str) -> Option<String> {
    (!is_there).then(|| missing.to_owned())
}

fn missing_of_parties(demand: &Demand, terms: Terms<'_>) -> Option<String> {
    match demand {
        Demand::SubjectKind(any) => unless(
            terms.any(|terms| any.iter().any(|kind| terms.proves(*kind))),
            "a claim that proves this kind: `ClaimMapping::subject_kinds(..)`, or `add_user_claim(..)` for users",
        ),
        Demand::OnBehalfOfUser => unless(
            terms.any(|terms| terms.proves(SubjectKind::User) && terms.says(NamedFact::Client)),
            "a claim that proves a user, and one that names the client: `TrustedIssuer::add_user_claim(..)`",
        ),
        Demand::ActorOf(any) => unless(
            terms.any(|terms| {
                terms.says(NamedFact::Actor) && any.iter().any(|(issuer, _)| terms.speaks_for(issuer))
            }),
            "an issuer that may name actors of this one: `TrustedIssuer::may_speak_for(..)`",
        ),
        Demand::DenyClient(_) => {
            unless(terms.any(|terms| terms.says(NamedFact::Client)), "an issuer whose tokens name a client")
        }
        Demand::Client(any) => unless(
            terms.any(|terms| any.iter().any(|client| terms.may_name_client(client))),
            "an issuer whose tokens name this client",
        ),
        _ => unless(
            terms.any(|terms| terms.says(NamedFact::Actor)),
            "an issuer that names actors: leave out `without_actor()`",
        ),
    }
}

fn missing_of_grants(demand: &Demand, terms: Terms<'_>) -> Option<String> {
    let grants = |fact: NamedFact, kind: GrantKind, names: &[Box<str>], missing: &str| {
        let is_enough =
            |terms: &KnownTerms<'_>| terms.says(fact) && names.iter().any(|name| terms.may_grant(kind, name));
        unless(terms.any(is_enough), missing)
    };
    match demand {
        Demand::Role(any) => grants(
            NamedFact::Role,
            GrantKind::Role,
            any,
            "an issuer whose mapping reads roles and that may grant it: `add_roles(..)`, `may_grant(..)`",
        ),
        Demand::Permission(any) => grants(
            NamedFact::Permission,
            GrantKind::Permission,
            any,
            "an issuer whose mapping reads permissions and that may grant it: `add_permissions(..)`, `may_grant(..)`",
        ),
        Demand::Group(any) => grants(
            NamedFact::Group,
            GrantKind::Group,
            any,
            "an issuer whose mapping reads groups and that may grant it: `add_groups(..)`, `may_grant(..)`",
        ),
        Demand::AuthorizationDetail(detail) => unless(
            terms.any(|terms| terms.may_grant(GrantKind::AuthorizationDetail, detail.kind())),
            "an issuer that may grant details of this type: `may_grant(..)`",
        ),
        Demand::Scope(any) => unless(
            terms.any(|terms| {
                terms.reads_scopes() && any.iter().any(|scope| terms.may_grant(GrantKind::Scope, scope))
            }),
            "an issuer whose mapping reads scopes and that may grant it: `scopes(..)`, `may_grant(..)`",
        ),
        _ => None,
    }
}

/// A demand that nothing can meet.
struct Lack {
    demand: &'static str,
    missing: String,
}

impl Place<'_> {
    /// Method and path.
    fn name(&self) -> String {
        match self.name {
            PlaceName::Route(route) => format!("{} {}", route.method_name(), route.path()),
            #[cfg(feature = "http-client")]
            PlaceName::Other(name) => name.to_owned(),
        }
    }

    /// What is missing where no path here has this parameter.
    fn lacks(&self, parameter: &str) -> Option<String> {
        let has = |path: &str| path.split('/').any(|segment| names(segment, parameter));
        let missing = || {
            format!(
                "the parameter {parameter:?} in the path: name it in the route, or the prefix around it with \
                 `GuardedRouter::below(..)`"
            )
        };
        let is_there = match self.name {
            PlaceName::Route(route) => {
                let mut prefixes = self.prefixes.iter().chain(route.prefixes());
                has(route.path()) || prefixes.any(|prefix| has(prefix))
            }
            #[cfg(feature = "http-client")]
            PlaceName::Other(_) => false,
        };
        (!is_there).then(missing)
    }
}

/// Does a segment of a template have this parameter? It may have text around it.
fn names(segment: &str, parameter: &str) -> bool {
    let mut rest = segment;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, next)) = after.split_once('}') else { return false };
        if name.trim_start_matches('*') == parameter {
            return true;
        }
        rest = next;
    }
    false
}

/// Is this demand unknown, and not unmet, where nothing supplies what it looks at?
fn is_unknown_where_missing(demand: &Demand) -> bool {
    matches!(
        demand,
        Demand::Tenant(_)
            | Demand::TenantMatchesPath(_)
            | Demand::TenantMatchesHeader(_)
            | Demand::SubjectMatchesPath(_)
            | Demand::ClaimMatchesPath(..)
            | Demand::SubjectKind(_)
            | Demand::OnBehalfOfUser
            | Demand::DenyClient(_)
            | Demand::Client(_)
            | Demand::Workload(_)
            | Demand::RiskBelow(..)
            | Demand::Application(_)
            | Demand::ApplicationKind(_)
            | Demand::ApplicationTenant(_)
            | Demand::ApplicationEnvironment(_)
            | Demand::Presenter(_)
            | Demand::PresenterKind(_)
            | Demand::PresenterTenant(_)
            | Demand::PresenterEnvironment(_)
    )
}
