//! [`Configuration`]: what an authenticator is made of, and whether it can be.

use std::{
    collections::HashSet,
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{Authenticator, ClientIdentity, Inner, NEVER};
use crate::{
    application::Applications,
    clock::{Clock, SystemClock},
    context::{Judge, NamedSignal, RiskSignals},
    credential::{IdentityHeaders, ProtectionSpace},
    error::{ConfigError, Mistakes, all, both},
    issuer::{BuildContext, IssuerResolver, Issuers, TrustedIssuer, check_bounds},
    proof::{Dpop, DpopVerifier},
    protected_resource::{ProtectedResource, ResourceScopes},
    revocation::RevocationStore,
    settings::Settings,
    token::Verifier,
};

/// The handles that an authenticator is made of, in addition to its [`Settings`].
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) issuers: Vec<TrustedIssuer>,
    pub(crate) resolvers: Vec<Arc<dyn IssuerResolver>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) client_identity: Option<ClientIdentity>,
    pub(crate) revocations: Option<Arc<dyn RevocationStore>>,
    pub(crate) dpop: Option<Dpop>,
    pub(crate) applications: Option<Applications>,
    pub(crate) risk: Vec<NamedSignal>,
    pub(crate) protected_resource: Option<ProtectedResource>,
    #[cfg(feature = "http-client")]
    pub(crate) http_client: Option<crate::http_client::HttpClient>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            resolvers: Vec::new(),
            clock: Arc::new(SystemClock::new()),
            client_identity: None,
            revocations: None,
            dpop: None,
            applications: None,
            risk: Vec::new(),
            protected_resource: None,
            #[cfg(feature = "http-client")]
            http_client: None,
        }
    }
}

impl Configuration {
    /// Checks everything, then puts it together. Fetches nothing: keys load on first use.
    ///
    /// # Errors
    /// Every mistake, after those that were found before.
    pub(crate) fn build(
        mut self,
        settings: &Settings,
        mut mistakes: Mistakes,
    ) -> Result<Authenticator, ConfigError> {
        mistakes.take(both(self.check(), settings.check()));
        if let Some(dpop) = &settings.dpop
            && self.dpop.replace(Dpop::from(dpop.clone())).is_some()
        {
            let problem = "it is given by `.dpop(..)` and in the settings: leave out one of the two";
            mistakes.add(ConfigError::InvalidDpop { problem: problem.to_owned() });
        }
        let mut context = self.context(settings, &mut mistakes);
        let policies = all(mem::take(&mut self.issuers).into_iter().map(|issuer| issuer.build(&mut context)))
            .and_then(|policies| check_bounds(policies, &self.resolvers));
        let (policies, ()) = both(policies, mistakes.into_result())?;
        // From here on, what fails is not the configuration by itself.
        let mut identity_headers =
            IdentityHeaders::new(&settings.identity_headers, settings.refuse_untrusted_identity_headers)?;
        for proxy in self.client_identity.iter().flat_map(ClientIdentity::proxies) {
            proxy.vouch(&mut identity_headers);
        }
        let dpop = self.dpop.map(|dpop| dpop.build(&self.clock)).transpose()?;
        let (resource, applications) = (self.protected_resource.as_ref(), self.applications.as_ref());
        let space = protection_space(&settings.realm, dpop.as_ref(), resource, applications);
        let resolves_issuers = !self.resolvers.is_empty();
        let policies = policies.into_iter().map(|policy| (policy.issuer().clone(), Arc::new(policy)));
        let issuers = Arc::new(Issuers::new(policies.collect(), self.resolvers, context));
        let (leeway, max_actors) = (settings.leeway, settings.max_actors);
        let (applications, revocations) = (self.applications, self.revocations);
        let (is_revocable, cache) = (revocations.is_some(), settings.token_cache);
        let verifier = Arc::new(Verifier::new(issuers, self.clock, leeway, max_actors, is_revocable, cache));
        let judge = Judge { verifier: Arc::clone(&verifier), applications, revocations, leeway };
        let inner = Arc::new(Inner {
            number: next_number(),
            verifier,
            judge: Arc::new(judge),
            client_identity: self.client_identity,
            resolves_issuers,
            last_eviction: AtomicU64::new(NEVER),
            keeps_credentials: AtomicBool::new(false),
            #[cfg(feature = "http-client")]
            http_client: self.http_client,
            dpop,
            space: Arc::new(space),
            identity_headers,
            risk: (!self.risk.is_empty()).then(|| Arc::new(RiskSignals::new(self.risk))),
            protected_resource: self.protected_resource,
        });
        let listener: Weak<Inner> = Arc::downgrade(&inner);
        let authenticator = Authenticator(inner);
        authenticator.subscribe(listener)?;
        Ok(authenticator)
    }

    /// What all issuers share. The client is checked also where no issuer needs it.
    fn context(&self, settings: &Settings, mistakes: &mut Mistakes) -> BuildContext {
        let context =
            BuildContext::new(self.clock.clone()).with_max_token_lifetime(settings.max_token_lifetime);
        #[cfg(feature = "http-client")]
        let context = {
            let mut context = context;
            if let Some(http_client) = self.http_client.clone() {
                context = context.with_http_client(http_client);
                mistakes.take(context.fetcher());
            }
            for terms in self.resolvers.iter().filter_map(|resolver| resolver.common_terms()) {
                mistakes.take(terms.check_places(&mut context));
            }
            context
        };
        #[cfg(not(feature = "http-client"))]
        let _ = mistakes;
        context
    }

    /// Whether the handles can be used, each by itself and together.
    fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        if self.issuers.is_empty() && self.resolvers.is_empty() {
            mistakes.add(ConfigError::NoIssuer);
        }
        let mut names = HashSet::with_capacity(self.issuers.len());
        for issuer in self.issuers.iter().map(|issuer| issuer.issuer().as_str()) {
            if !names.insert(issuer) {
                mistakes.add(ConfigError::DuplicateIssuer { issuer: issuer.to_string() });
            }
        }
        mistakes.take(self.client_identity.iter().try_for_each(ClientIdentity::check));
        if let Some(dpop) = &self.dpop {
            mistakes.take(dpop.check());
        }
        if let Some(resource) = &self.protected_resource {
            // Of an issuer that is not usable it is known all the same that it is trusted.
            let may_trust = |issuer: &str| names.contains(issuer) || !self.resolvers.is_empty();
            mistakes.take(resource.check(may_trust));
        }
        let mut signals = HashSet::with_capacity(self.risk.len());
        for (name, _) in &self.risk {
            if name.is_empty() || !signals.insert(name) {
                mistakes.add(ConfigError::InvalidRiskSignal { name: name.to_string() });
            }
        }
        if let (Some(applications), None) = (&self.applications, &self.client_identity)
            && !applications.iter().any(|application| application.allows_any_workload())
        {
            // Not an error: the registry may change, and would then be one at run time.
            tracing::warn!(
                "every registered application is tied to its workloads, and none is ever known: \
                 set `.client_identity(..)`"
            );
        }
        mistakes.into_result()
    }
}

/// What challenges say of the service.
fn protection_space(
    realm: &str,
    dpop: Option<&DpopVerifier>,
    resource: Option<&ProtectedResource>,
    applications: Option<&Applications>,
) -> ProtectionSpace {
    let scopes = resource.map(|resource| {
        let scopes = ResourceScopes::new(resource.clone(), applications.cloned());
        move || scopes.scope()
    });
    ProtectionSpace::new(realm, dpop.map(DpopVerifier::algorithm_names))
        .with_resource_metadata(resource.map(ProtectedResource::metadata_url))
        .with_scopes(scopes)
}

/// A number that no other authenticator of the process has.
fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}
