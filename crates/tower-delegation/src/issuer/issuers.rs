//! Where the policy of a token's issuer is found: among those configured, or by
//! asking the resolvers, whose answers count for a while.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::{
    Entry,
    notification::RemovalCause,
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
    sync::Cache,
};

use super::{
    BuildContext, IssuerPolicy, IssuerResolver, Namespace, TrustedIssuer,
    namespace::{NamespaceChoice, Namespaces},
    policy::TermsSource,
    tenure::{Asked, Tenure},
};
use crate::{clock::Clock, error::ConfigError, names::IssuerUrl, text::Text};

mod known;

pub(crate) use self::known::KnownTerms;

/// How often a resolver's bad answers are logged as a warning: clients cause them.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// All issuers of one layer.
#[derive(Debug)]
pub(crate) struct Issuers {
    configured: HashMap<IssuerUrl, Arc<IssuerPolicy>>,
    resolvers: Box<[Resolved]>,
    clock: Arc<dyn Clock>,
    context: Mutex<BuildContext>,
    namespaces: Namespaces,
}

impl Issuers {
    /// Asks `resolvers`, in this order, for the issuers that are not configured.
    pub(crate) fn new(
        configured: HashMap<IssuerUrl, Arc<IssuerPolicy>>,
        resolvers: impl IntoIterator<Item = Arc<dyn IssuerResolver>>,
        context: BuildContext,
    ) -> Self {
        let resolvers = (1..).zip(resolvers).map(|(number, resolver)| Resolved::new(number, resolver));
        let mut resolvers: Box<[Resolved]> = resolvers.collect();
        let configured_namespaces = configured.values().map(|policy| policy.namespace());
        let of_resolvers = resolvers.iter().map(|resolver| resolver.namespace.as_ref());
        if are_several(configured_namespaces.map(Some).chain(of_resolvers)) {
            resolvers.iter_mut().for_each(|resolver| resolver.is_bounded = true);
        }
        let namespaces = Namespaces::default();
        for policy in configured.values() {
            namespaces.add(Some(policy.namespace()), Some(policy.mapping()));
        }
        for resolver in &resolvers {
            let mapping = resolver.resolver.common_terms().map(|terms| &terms.mapping);
            namespaces.add(resolver.namespace.as_ref(), mapping);
        }
        let clock = Arc::clone(context.clock());
        Self { configured, resolvers, clock, context: Mutex::new(context), namespaces }
    }

    /// The policy of this very issuer. For a configured one this takes no lock
    /// and allocates nothing.
    pub(crate) fn get(&self, issuer: &str) -> Option<PolicyRef<'_>> {
        match self.configured.get(issuer) {
            Some(policy) => Some(PolicyRef::Configured(policy)),
            None => self.resolve(issuer).map(PolicyRef::Resolved),
        }
    }

    /// Whether the terms under which a token was verified are still those of its
    /// issuer. Asks the resolver where its answer counts no longer.
    pub(crate) fn are_in_force(&self, policy: &Arc<IssuerPolicy>) -> bool {
        policy.tenure().is_none_or(|tenure| {
            tenure.holds(&*self.clock)
                || self.resolve(policy.issuer().as_str()).is_some_and(|current| Arc::ptr_eq(&current, policy))
        })
    }

    /// Those of the configuration.
    pub(crate) fn configured(&self) -> impl Iterator<Item = &Arc<IssuerPolicy>> {
        self.configured.values()
    }

    /// Those of resolvers that are held now.
    pub(crate) fn resolved(&self) -> impl Iterator<Item = Arc<IssuerPolicy>> {
        self.resolvers.iter().flat_map(|resolver| resolver.held.iter().map(|(_, held)| held.policy.clone()))
    }

    fn resolve(&self, issuer: &str) -> Option<Arc<IssuerPolicy>> {
        let held = self.resolvers.iter().find_map(|resolver| resolver.held_for(issuer, &*self.clock));
        held.or_else(|| self.ask(issuer))
    }

    fn ask(&self, issuer: &str) -> Option<Arc<IssuerPolicy>> {
        let mut asked = Vec::with_capacity(self.resolvers.len());
        let mut resolvers = self.resolvers.iter();
        let found = resolvers.by_ref().find_map(|resolver| {
            asked.push(Asked::now(&resolver.resolver, &*self.clock));
            resolver.ask(issuer, &asked, self)
        })?;
        // What a later resolver said before counts no longer.
        resolvers.for_each(|later| later.drop(issuer));
        Some(found)
    }
}

/// The policy of one token's issuer. A resolved one stays whole in here, though
/// it may be dropped from those held meanwhile.
#[derive(Debug)]
pub(crate) enum PolicyRef<'a> {
    Configured(&'a Arc<IssuerPolicy>),
    Resolved(Arc<IssuerPolicy>),
}

impl PolicyRef<'_> {
    pub(crate) fn to_arc(&self) -> Arc<IssuerPolicy> {
        Arc::clone(self.as_arc())
    }

    fn as_arc(&self) -> &Arc<IssuerPolicy> {
        match self {
            Self::Configured(policy) => policy,
            Self::Resolved(policy) => policy,
        }
    }

    /// Whether this is the policy that was found before.
    pub(crate) fn is(&self, former: &Arc<IssuerPolicy>) -> bool {
        Arc::ptr_eq(self.as_arc(), former)
    }
}

impl Deref for PolicyRef<'_> {
    type Target = IssuerPolicy;

    fn deref(&self) -> &IssuerPolicy {
        self.as_arc()
    }
}

/// A resolver, and the issuers that it knew when it was asked last.
struct Resolved {
    resolver: Arc<dyn IssuerResolver>,
    held: Cache<IssuerUrl, Arc<Held>>,
    /// That of the answers which name no other; `None` where each is in its own.
    namespace: Option<Namespace>,
    /// Must every answer say what its issuer may grant? Those in another namespace must anyway.
    is_bounded: bool,
    /// What metrics call its issuers.
    label: Arc<str>,
    /// When the last warning was logged, in monotonic milliseconds.
    warned_at: AtomicU64,
}

/// What a resolver said of one issuer, and what was made of it.
struct Held {
    terms: TrustedIssuer,
    policy: Arc<IssuerPolicy>,
}

impl Held {
    /// What is held no more, whatever for, is in force no more: neither status nor
    /// `refresh_keys` would see it.
    fn is_dropped(&self, cause: RemovalCause) {
        self.policy.tenure().inspect(|tenure| tenure.end());
        // Where the terms were replaced, the new ones may have the same keys.
        if cause == RemovalCause::Size {
            self.policy.keys().retire();
        }
    }

    fn holds(&self, clock: &dyn Clock) -> bool {
        self.policy.tenure().is_some_and(|tenure| tenure.holds(clock))
    }
}

impl Resolved {
    fn new(number: usize, resolver: Arc<dyn IssuerResolver>) -> Self {
        let held = Cache::builder()
            .max_capacity(resolver.max_issuers().max(1))
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(|_, former: Arc<Held>, cause| former.is_dropped(cause))
            .build();
        let label = format!("resolver:{number}").into();
        let namespace = namespace_of(number, &*resolver);
        let (is_bounded, warned_at) = (false, AtomicU64::new(NEVER));
        Self { resolver, held, namespace, is_bounded, label, warned_at }
    }

    fn held_for(&self, issuer: &str, clock: &dyn Clock) -> Option<Arc<IssuerPolicy>> {
        let held = self.held.get(issuer)?;
        held.holds(clock).then(|| Arc::clone(&held.policy))
    }

    /// Asks the resolver, unless another request has done so meanwhile. `asked` ends
    /// with this resolver.
    fn ask(&self, issuer: &str, asked: &[Asked], issuers: &Issuers) -> Option<Arc<IssuerPolicy>> {
        // Serialized for each issuer. What is not known is not held: junk takes no room.
        let outcome = self.held.entry(issuer.into()).and_compute_with(|entry| {
            let former = entry.map(Entry::into_value);
            if former.as_deref().is_some_and(|former| former.holds(&*issuers.clock)) {
                return Op::Nop;
            }
            let answer = self.resolver.resolve(issuer);
            if let (Some(terms), Some(former)) = (&answer, &former)
                && *terms == former.terms
                && let Some(tenure) = former.policy.tenure()
            {
                tenure.renew(asked);
                return Op::Nop;
            }
            let held = answer.and_then(|terms| self.build(issuer, terms, former.as_deref(), asked, issuers));
            if let Some(former) = &former
                && held.as_ref().is_none_or(|held| !Arc::ptr_eq(held.policy.keys(), former.policy.keys()))
            {
                former.policy.keys().retire();
            }
            match held {
                Some(held) => Op::Put(Arc::new(held)),
                None if former.is_some() => Op::Remove,
                None => Op::Nop,
            }
        });
        match outcome {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
                Some(Arc::clone(&entry.value().policy))
            }
            CompResult::Removed(_) | CompResult::StillNone(_) => None,
        }
    }

    fn build(
        &self,
        issuer: &str,
        terms: TrustedIssuer,
        former: Option<&Held>,
        asked: &[Asked],
        issuers: &Issuers,
    ) -> Option<Held> {
        if terms.issuer != *issuer {
            // The identifier that was asked for is a stranger's text: it is not logged.
            self.warn(&*issuers.clock, &format!("it is about another issuer, {:?}", terms.issuer));
            return None;
        }
        if self.resolver.common_terms().is_some_and(|common| !terms.says_the_same_as(common)) {
            self.warn(&*issuers.clock, &format!("{:?} differs from the common terms", terms.issuer));
            return None;
        }
        let namespace = self.namespace.clone().unwrap_or_else(|| Namespace::Issuer(terms.issuer.clone()));
        let source = TermsSource::Resolver {
            tenure: Tenure::new(asked),
            namespace,
            label: Arc::clone(&self.label),
            former: former.map(|former| (&*former.policy, terms.has_keys_of(&former.terms))),
        };
        // Here, since its files are read, and nothing under the lock below waits.
        #[cfg(feature = "http-client")]
        if let Err(error) = terms.client.as_ref().map_or(Ok(()), |client| client.fetcher().map(drop)) {
            self.warn(&*issuers.clock, &error.to_string());
            return None;
        }
        // Building leaves no half-made state.
        let mut context = issuers.context.lock().unwrap_or_else(PoisonError::into_inner);
        let built = terms.clone().build_from(source, &mut context).and_then(|policy| {
            let must_be_bounded = self.is_bounded || self.namespace.as_ref() != Some(policy.namespace());
            if must_be_bounded && policy.grants().is_none() {
                return Err(ConfigError::UnboundedIssuers { issuers: vec![policy.issuer().to_string()] });
            }
            Ok(policy)
        });
        match built {
            Ok(policy) => {
                // Before any token of it is verified: a second namespace counts from now on.
                issuers.namespaces.add(Some(policy.namespace()), Some(policy.mapping()));
                Some(Held { terms, policy: Arc::new(policy) })
            }
            Err(error) => {
                self.warn(&*issuers.clock, &error.to_string());
                None
            }
        }
    }

    fn warn(&self, clock: &dyn Clock, problem: &str) {
        let now = u64::try_from(clock.monotonic().as_millis()).unwrap_or(NEVER);
        let last = self.warned_at.load(Ordering::Relaxed);
        let is_due = last == NEVER || u128::from(now.saturating_sub(last)) >= WARNING_INTERVAL.as_millis();
        if is_due {
            self.warned_at.store(now, Ordering::Relaxed);
            tracing::warn!(problem = %Text::account(problem), "a resolver's answer is not used");
        } else {
            tracing::debug!(problem = %Text::account(problem), "a resolver's answer is not used");
        }
    }

    fn drop(&self, issuer: &str) {
        if let Some(held) = self.held.remove(issuer) {
            held.policy.keys().retire();
        }
    }
}

/// Where there are several namespaces, what each issuer may grant must be bounded.
pub(crate) fn check_bounds(
    configured: Vec<IssuerPolicy>,
    resolvers: &[Arc<dyn IssuerResolver>],
) -> Result<Vec<IssuerPolicy>, ConfigError> {
    let resolved: Vec<_> =
        (1..).zip(resolvers).map(|(number, resolver)| namespace_of(number, &**resolver)).collect();
    let of_configured = configured.iter().map(|policy| Some(policy.namespace()));
    if !are_several(of_configured.chain(resolved.iter().map(Option::as_ref))) {
        return Ok(configured);
    }
    let unbounded = configured.iter().filter(|policy| policy.grants().is_none()).map(IssuerPolicy::issuer);
    let terms = resolvers.iter().filter_map(|resolver| resolver.common_terms());
    let of_resolvers = terms.filter(|terms| terms.grants.is_none()).map(|terms| &terms.issuer);
    let issuers: BTreeSet<String> = unbounded.chain(of_resolvers).map(ToString::to_string).collect();
    if issuers.is_empty() {
        return Ok(configured);
    }
    Err(ConfigError::UnboundedIssuers { issuers: issuers.into_iter().collect() })
}

/// That of the resolver's answers which name no other; `None` where each is in its own.
fn namespace_of(number: usize, resolver: &dyn IssuerResolver) -> Option<Namespace> {
    match resolver.common_terms().and_then(|terms| terms.namespace.as_ref()) {
        Some(NamespaceChoice::Own) => None,
        Some(NamespaceChoice::Named(name)) => Some(Namespace::Named(Arc::clone(name))),
        None => Some(Namespace::Resolver(number)),
    }
}

/// Whether there are several namespaces. `None`: as many as there are issuers.
fn are_several<'n>(mut namespaces: impl Iterator<Item = Option<&'n Namespace>>) -> bool {
    match namespaces.next() {
        None => false,
        Some(None) => true,
        first @ Some(_) => namespaces.any(|other| Some(other) != first),
    }
}

/// No warning yet.
const NEVER: u64 = u64::MAX;

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("resolver", &self.resolver)
            .field("held", &self.held.entry_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
