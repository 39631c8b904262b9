//! What is known of the issuers before any token is there: who can say what.

use super::Issuers;
use crate::{
    issuer::{
        AudienceRule, ClaimMapping, GrantKind, Grants, IssuerPolicy, NamedFact, Namespace, Saying, Spread,
        TrustedIssuer,
    },
    names::{Audience, ClientId, IssuerUrl, SubjectKind},
};

/// What is known of the terms of one issuer, or of all that a resolver may know.
pub(crate) struct KnownTerms<'a> {
    pub(crate) mapping: &'a ClaimMapping,
    /// `None`: not known.
    pub(crate) audiences: Option<&'a [Audience]>,
    grants: Option<&'a Grants>,
    /// `None`: any of the resolver's.
    issuer: Option<&'a IssuerUrl>,
    speaks_for: &'a [IssuerUrl],
    /// Those that the issuer adds to the mapping's.
    kinds: Vec<SubjectKind>,
}

impl<'a> KnownTerms<'a> {
    fn of_policy(policy: &'a IssuerPolicy) -> Self {
        Self {
            mapping: policy.mapping(),
            audiences: Some(policy.audiences()).filter(|audiences| !audiences.is_empty()),
            grants: policy.grants().map(|grants| &**grants),
            issuer: Some(policy.issuer()),
            speaks_for: policy.speaks_for(),
            kinds: Vec::new(),
        }
    }

    fn of_resolver(terms: &'a TrustedIssuer) -> Self {
        Self {
            mapping: &terms.mapping,
            audiences: None,
            grants: terms.grants.as_deref(),
            issuer: None,
            speaks_for: &terms.speaks_for,
            kinds: terms.subject_kinds.iter().map(|(_, kind)| *kind).collect(),
        }
    }

    pub(crate) fn says(&self, fact: NamedFact) -> bool {
        self.mapping.says(fact) != Saying::Never
    }

    pub(crate) fn may_grant(&self, kind: GrantKind, name: &str) -> bool {
        self.grants.is_none_or(|grants| grants.allow(kind, name))
    }

    /// May its tokens name actors of this issuer?
    pub(crate) fn speaks_for(&self, issuer: &IssuerUrl) -> bool {
        self.issuer.is_none_or(|own| own == issuer) || self.speaks_for.contains(issuer)
    }

    /// Can a token prove this kind of subject?
    pub(crate) fn proves(&self, kind: SubjectKind) -> bool {
        let mut kinds =
            self.mapping.subject_kinds.iter().map(|(_, kind)| *kind).chain(self.kinds.iter().copied());
        kinds.any(|known| known == kind)
    }

    pub(crate) fn may_name_client(&self, client: &ClientId) -> bool {
        let is_accepted = match &self.mapping.audience {
            AudienceRule::Required => true,
            AudienceRule::Clients(accepted) => accepted.contains(client),
        };
        is_accepted && self.says(NamedFact::Client)
    }

    pub(crate) fn reads_scopes(&self) -> bool {
        !self.mapping.scopes.is_empty()
    }
}

impl Issuers {
    /// Could one name be that of two parties? If not, no rule has to say whose it is.
    pub(crate) fn have_several_namespaces(&self) -> bool {
        self.namespaces.are_several()
    }

    /// Has this rule, which does not say whose its names are, not been reported yet?
    pub(crate) fn is_first_report(&self, rule: &str) -> bool {
        self.namespaces.is_first_report(rule)
    }

    /// Whether what these issuers say under one name is one party or one privilege.
    /// `None`: any issuer.
    pub(crate) fn say_one(&self, fact: NamedFact, among: Option<&[&IssuerUrl]>) -> bool {
        if !self.namespaces.is_ambiguous(fact) {
            return true;
        }
        let Some(among) = among else { return false };
        let mut spread = Spread::default();
        for issuer in among {
            for (namespace, saying) in self.sayings(issuer, fact) {
                spread.add(&namespace, saying);
            }
        }
        !spread.is_ambiguous()
    }

    fn sayings(&self, issuer: &IssuerUrl, fact: NamedFact) -> Vec<(Namespace, Saying)> {
        if let Some(policy) = self.configured.get(issuer) {
            return vec![(policy.namespace().clone(), policy.mapping().says(fact))];
        }
        let resolved = self.resolvers.iter().map(|resolver| match resolver.held.get(issuer) {
            Some(held) => (held.policy.namespace().clone(), held.policy.mapping().says(fact)),
            None => {
                let mapping = resolver.resolver.common_terms().map(|terms| &terms.mapping);
                let own = || Namespace::Issuer(issuer.clone());
                (
                    resolver.namespace.clone().unwrap_or_else(own),
                    mapping.map_or(Saying::Freely, |mapping| mapping.says(fact)),
                )
            }
        });
        resolved.collect()
    }

    /// Whether tokens of this issuer are or could be accepted: a resolver may know it later.
    pub(crate) fn may_trust(&self, issuer: &IssuerUrl) -> bool {
        self.configured.contains_key(issuer) || !self.resolvers.is_empty()
    }

    /// The terms of these issuers, or of all. `None` where a resolver may know one whose
    /// terms are not known.
    pub(crate) fn terms(&self, among: Option<&[&IssuerUrl]>) -> Option<Vec<KnownTerms<'_>>> {
        let is_meant = |issuer: &IssuerUrl| among.is_none_or(|among| among.contains(&issuer));
        let configured = self.configured.values().filter(|policy| is_meant(policy.issuer()));
        let mut terms: Vec<_> = configured.map(|policy| KnownTerms::of_policy(policy)).collect();
        let is_another = |issuer: &&IssuerUrl| !self.configured.contains_key(*issuer);
        if among.is_none_or(|among| among.iter().any(is_another)) {
            for resolver in &self.resolvers {
                terms.push(KnownTerms::of_resolver(resolver.resolver.common_terms()?));
            }
        }
        Some(terms)
    }
}
