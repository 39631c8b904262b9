//! Where the policy of a token's issuer is found: among those configured, or
//! by asking for issuers that are known only at run time.

use std::{
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use moka::{policy::EvictionPolicy, sync::Cache};

use super::{BuildContext, IssuerPolicy, TrustedIssuer};
use crate::names::IssuerUrl;

/// How many issuers are held where a resolver names no other number.
const DEFAULT_MAX_ISSUERS: u64 = 1_000;

/// Knows issuers that cannot be listed in the configuration, such as one for
/// each customer.
///
/// The layer calls [`resolve`](Self::resolve) with the `iss` of a token whose
/// issuer is neither configured nor held from an earlier call: text that
/// anybody can send, not verified, up to the length of a token. It is called on
/// the request's path, at most once at a time for one issuer; it must answer
/// from memory and not block. Of several resolvers the first that knows the
/// issuer counts.
///
/// An implementation answers `None` unless it knows exactly this identifier,
/// by code point. Keys are fetched from where the answer says, so an identifier
/// must never be turned into a URL before it is known to be allowed. `None` is a
/// 401, and so is an answer for another identifier or one that does not build.
///
/// The answer is held and serves all tokens of that issuer, isolated from the
/// others like a configured one. No later answer takes it back. [`TenantIssuers`](super::TenantIssuers) is an implementation.
///
/// # Example
/// ```
/// use std::{collections::HashMap, sync::RwLock};
/// use tower_delegation::issuer::{IssuerResolver, TrustedIssuer};
///
/// /// The customers' issuers, each with its key set, kept current by another task.
/// #[derive(Debug, Default)]
/// struct Customers(RwLock<HashMap<String, String>>);
///
/// impl IssuerResolver for Customers {
///     fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
///         let known = self.0.read().ok()?;
///         let keys = known.get(issuer)?;
///         let issuer = TrustedIssuer::with_static_keys(issuer, keys).ok()?;
///         Some(issuer.audience("https://orders.example.com"))
///     }
/// }
/// ```
pub trait IssuerResolver: fmt::Debug + Send + Sync + 'static {
    /// The issuer with this identifier, if its tokens are to be accepted.
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer>;

    /// How many issuers are held at once. Beyond that, the least recently used
    /// is dropped, with its keys. Default 1,000.
    ///
    /// Give a number that all allowed issuers fit in: an issuer that was dropped
    /// is fetched anew, and whoever can name more allowed issuers than are held
    /// causes fetches at will.
    fn max_issuers(&self) -> u64 {
        DEFAULT_MAX_ISSUERS
    }
}

/// All issuers of one layer.
#[derive(Debug)]
pub(crate) struct Issuers {
    configured: HashMap<IssuerUrl, Arc<IssuerPolicy>>,
    resolvers: Vec<Resolved>,
    context: Mutex<BuildContext>,
}

impl Issuers {
    /// Asks `resolvers`, in this order, for the issuers that are not configured.
    pub(crate) fn new(
        configured: HashMap<IssuerUrl, Arc<IssuerPolicy>>,
        resolvers: impl IntoIterator<Item = Arc<dyn IssuerResolver>>,
        context: BuildContext,
    ) -> Self {
        let resolvers = resolvers.into_iter().map(Resolved::new).collect();
        Self { configured, resolvers, context: Mutex::new(context) }
    }

    /// The policy of this very issuer. For a configured one this takes no lock
    /// and allocates nothing.
    pub(crate) fn get(&self, issuer: &str) -> Option<PolicyRef<'_>> {
        if let Some(policy) = self.configured.get(issuer) {
            return Some(PolicyRef::Configured(policy));
        }
        let held = self.resolvers.iter().find_map(|resolver| resolver.held.get(issuer));
        let policy = held
            .or_else(|| self.resolvers.iter().find_map(|resolver| resolver.resolve(issuer, &self.context)))?;
        Some(PolicyRef::Resolved(policy))
    }

    pub(crate) fn configured(&self) -> impl Iterator<Item = &Arc<IssuerPolicy>> {
        self.configured.values()
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
        match self {
            Self::Configured(policy) => Arc::clone(policy),
            Self::Resolved(policy) => Arc::clone(policy),
        }
    }
}

impl Deref for PolicyRef<'_> {
    type Target = IssuerPolicy;

    fn deref(&self) -> &IssuerPolicy {
        match self {
            Self::Configured(policy) => policy,
            Self::Resolved(policy) => policy,
        }
    }
}

/// Issuers that a resolver knows, held once they were asked for.
struct Resolved {
    resolver: Arc<dyn IssuerResolver>,
    held: Cache<IssuerUrl, Arc<IssuerPolicy>>,
}

impl Resolved {
    fn new(resolver: Arc<dyn IssuerResolver>) -> Self {
        let held = Cache::builder()
            .max_capacity(resolver.max_issuers().max(1))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { resolver, held }
    }

    fn resolve(&self, issuer: &str, context: &Mutex<BuildContext>) -> Option<Arc<IssuerPolicy>> {
        // What is not resolved is not held either: junk takes no room.
        self.held.optionally_get_with(issuer.into(), || {
            let answer = self.resolver.resolve(issuer)?;
            // Nothing under this lock waits, and building leaves no half-made state.
            let mut context = context.lock().unwrap_or_else(PoisonError::into_inner);
            match answer.build(&mut context) {
                Ok(policy) if *policy.issuer() == *issuer => Some(Arc::new(policy)),
                Ok(policy) => {
                    // The identifier that was asked for is a stranger's text: it is not logged.
                    tracing::warn!(answered = %policy.issuer(), "a resolver answers with another issuer");
                    None
                }
                Err(error) => {
                    tracing::warn!(%error, "a resolver's issuer does not build");
                    None
                }
            }
        })
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("resolver", &self.resolver)
            .field("held", &self.held.entry_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The key of RFC 8037 appendix A.2.
    const JWKS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[derive(Debug, Default)]
    struct Customers {
        calls: AtomicUsize,
    }

    impl IssuerResolver for Customers {
        fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            match issuer {
                "https://other" => {
                    TrustedIssuer::with_static_keys("https://a", JWKS).ok().map(|one| one.audience("x"))
                }
                "https://no-audience" => TrustedIssuer::with_static_keys(issuer, JWKS).ok(),
                _ if issuer.starts_with("https://") => {
                    TrustedIssuer::with_static_keys(issuer, JWKS).ok().map(|one| one.audience("x"))
                }
                _ => None,
            }
        }

        fn max_issuers(&self) -> u64 {
            2
        }
    }

    fn issuers() -> (Issuers, Arc<Customers>) {
        let customers = Arc::new(Customers::default());
        let mut context = BuildContext::new(Arc::new(SystemClock::new()));
        let configured = TrustedIssuer::with_static_keys("https://configured", JWKS).unwrap().audience("x");
        let configured = configured.build(&mut context).unwrap();
        let configured = HashMap::from([(configured.issuer().clone(), Arc::new(configured))]);
        let resolver: Arc<dyn IssuerResolver> = customers.clone();
        (Issuers::new(configured, [resolver], context), customers)
    }

    #[test]
    fn configured_issuers_are_not_asked_for() {
        let (issuers, customers) = issuers();
        assert!(matches!(issuers.get("https://configured"), Some(PolicyRef::Configured(_))));
        assert_eq!(customers.calls.load(Ordering::Relaxed), 0);
        assert_eq!(issuers.configured().count(), 1);
    }

    #[test]
    fn an_issuer_is_asked_for_once() {
        let (issuers, customers) = issuers();
        let first = issuers.get("https://a").unwrap();
        let second = issuers.get("https://a").unwrap();
        assert!(std::ptr::eq(&*first, &*second));
        assert_eq!(customers.calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn at_once_is_once() {
        let (issuers, customers) = issuers();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(issuers.get("https://a").is_some()));
            }
        });
        assert_eq!(customers.calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn wrong_answers_are_no_answers() {
        let (issuers, _) = issuers();
        for issuer in ["http://a", "", "https://other", "https://no-audience"] {
            assert!(issuers.get(issuer).is_none(), "{issuer}");
        }
    }

    #[test]
    fn the_least_recently_used_is_dropped() {
        let (issuers, customers) = issuers();
        let held = issuers.get("https://a").unwrap();
        for issuer in ["https://b", "https://c", "https://d"] {
            assert!(issuers.get(issuer).is_some(), "{issuer}");
        }
        let resolved = &issuers.resolvers[0];
        resolved.held.run_pending_tasks();
        assert_eq!(resolved.held.entry_count(), 2);
        let calls = customers.calls.load(Ordering::Relaxed);
        assert!(issuers.get("https://a").is_some());
        assert_eq!(customers.calls.load(Ordering::Relaxed), calls + 1);
        // Whoever had it keeps it.
        assert_eq!(*held.issuer(), "https://a");
    }
}
