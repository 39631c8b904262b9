//! [`Namespace`]: within which issuers one name means one party.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

use super::{ActorForm, ClaimMapping, TenantRule};
use crate::names::IssuerUrl;

/// The issuers that use one set of names: what one of them calls `alice`, the
/// others call `alice`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Namespace {
    /// That of one issuer, which names no other.
    Issuer(IssuerUrl),
    /// That of all issuers of a resolver which name no other, by the resolver's number.
    Resolver(usize),
    /// One that issuers name.
    Named(Arc<str>),
}

/// What the terms of an issuer say of its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamespaceChoice {
    /// The issuer's own, also where a resolver knows it.
    Own,
    Named(Arc<str>),
}

/// As errors name it.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(issuer) => write!(f, "issuer {:?}", issuer.as_str()),
            Self::Resolver(number) => write!(f, "issuer resolver {number}"),
            Self::Named(name) => write!(f, "namespace {name:?}"),
        }
    }
}

/// A fact of a token that means something only together with who vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedFact {
    Subject,
    Client,
    Actor,
    Role,
    Permission,
    Group,
    Tenant,
    /// Any claim that is read by its own name.
    Claim,
}

impl NamedFact {
    const ALL: [Self; 8] = [
        Self::Subject,
        Self::Client,
        Self::Actor,
        Self::Role,
        Self::Permission,
        Self::Group,
        Self::Tenant,
        Self::Claim,
    ];

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Who says a fact, if it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saying {
    /// No token of the issuer says it.
    Never,
    /// The issuer says what it likes.
    Freely,
    /// The mapping holds what it says against the issuer.
    VouchedFor,
}

impl ClaimMapping {
    /// Whether tokens can say this.
    pub(crate) fn says(&self, fact: NamedFact) -> Saying {
        let is_read = match fact {
            NamedFact::Subject | NamedFact::Claim => true,
            NamedFact::Client => !self.client.is_empty(),
            NamedFact::Actor => self.actor != ActorForm::Refused,
            NamedFact::Role => !self.roles.is_empty(),
            NamedFact::Permission => !self.permissions.is_empty(),
            NamedFact::Group => !self.groups.is_empty(),
            NamedFact::Tenant => self.tenant.is_some(),
        };
        match (is_read, fact, self.tenant_rule) {
            (false, ..) => Saying::Never,
            (true, NamedFact::Tenant, TenantRule::InIssuer) => Saying::VouchedFor,
            (true, ..) => Saying::Freely,
        }
    }
}

/// In how many namespaces a fact is said, as far as it matters.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    first: Option<Namespace>,
    is_several: bool,
    is_free: bool,
}

impl Spread {
    pub(crate) fn add(&mut self, namespace: &Namespace, saying: Saying) {
        if saying == Saying::Never {
            return;
        }
        self.is_free |= saying == Saying::Freely;
        match &self.first {
            None => self.first = Some(namespace.clone()),
            Some(first) => self.is_several |= first != namespace,
        }
    }

    /// Takes in issuers of which each is in a namespace of its own.
    fn add_each(&mut self, saying: Saying) {
        self.is_several |= saying != Saying::Never;
        self.is_free |= saying == Saying::Freely;
    }

    /// Could one name be that of two parties? Not where each issuer can say only its own.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.is_several && self.is_free
    }
}

/// Which facts are said in several namespaces. Grows, and never shrinks: an issuer that
/// a resolver has taken back may come again.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    ambiguous: AtomicU16,
    spreads: Mutex<[Spread; 8]>,
    /// The rules that were reported, each once.
    reported: Mutex<HashSet<Box<str>>>,
}

/// How many rules are reported at most: what does not say whose it is may be made anew
/// for each request.
const MAX_REPORTED: usize = 1_000;

impl Namespaces {
    /// Takes in an issuer, or all that a resolver may know. `None`: each of them is in a
    /// namespace of its own.
    pub(super) fn add(&self, namespace: Option<&Namespace>, mapping: Option<&ClaimMapping>) {
        let mut spreads = self.spreads.lock().unwrap_or_else(PoisonError::into_inner);
        for (fact, spread) in NamedFact::ALL.into_iter().zip(spreads.iter_mut()) {
            let saying = mapping.map_or(Saying::Freely, |mapping| mapping.says(fact));
            match namespace {
                Some(namespace) => spread.add(namespace, saying),
                None => spread.add_each(saying),
            }
            if spread.is_ambiguous() {
                self.ambiguous.fetch_or(fact.bit(), Ordering::Release);
            }
        }
    }

    /// Has this rule not been reported yet?
    pub(super) fn is_first_report(&self, rule: &str) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.len() < MAX_REPORTED && reported.insert(rule.into())
    }

    /// Is any fact said in several namespaces?
    pub(super) fn are_several(&self) -> bool {
        self.ambiguous.load(Ordering::Acquire) != 0
    }

    pub(super) fn is_ambiguous(&self, fact: NamedFact) -> bool {
        self.ambiguous.load(Ordering::Acquire) & fact.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(sayings: &[(&str, Saying)]) -> bool {
        let mut spread = Spread::default();
        for (name, saying) in sayings {
            spread.add(&Namespace::Named((*name).into()), *saying);
        }
        spread.is_ambiguous()
    }

    #[test]
    fn a_name_is_ambiguous_where_two_can_say_it() {
        use Saying::{Freely, Never, VouchedFor};
        for (name, sayings, expected) in [
            ("no one", &[][..], false),
            ("one", &[("a", Freely)], false),
            ("one house", &[("a", Freely), ("a", Freely)], false),
            ("two", &[("a", Freely), ("b", Freely)], true),
            ("one of two", &[("a", Freely), ("b", Never)], false),
            ("two that are held to their own", &[("a", VouchedFor), ("b", VouchedFor)], false),
            // The free one can say what is the other's.
            ("one of two is held to its own", &[("a", VouchedFor), ("b", Freely)], true),
            ("the same, turned", &[("b", Freely), ("a", VouchedFor)], true),
        ] {
            assert_eq!(spread(sayings), expected, "{name}");
        }
    }

    #[test]
    fn mappings_say_what_they_read() {
        use NamedFact::{Actor, Claim, Client, Group, Permission, Role, Subject, Tenant};
        let workloads = ClaimMapping::kubernetes_service_account();
        for (fact, default, entra, workload) in [
            (Subject, Saying::Freely, Saying::Freely, Saying::Freely),
            (Claim, Saying::Freely, Saying::Freely, Saying::Freely),
            (Client, Saying::Freely, Saying::Freely, Saying::Never),
            (Actor, Saying::Freely, Saying::Freely, Saying::Never),
            (Tenant, Saying::Never, Saying::VouchedFor, Saying::Freely),
        ] {
            assert_eq!(ClaimMapping::rfc9068().says(fact), default, "{fact:?}");
            assert_eq!(ClaimMapping::entra_v2().says(fact), entra, "{fact:?}");
            assert_eq!(workloads.says(fact), workload, "{fact:?}");
        }
        let without = ClaimMapping::rfc9068().without_roles().without_permissions().without_groups();
        for fact in [Role, Permission, Group] {
            assert_eq!(without.says(fact), Saying::Never, "{fact:?}");
        }
    }
}
