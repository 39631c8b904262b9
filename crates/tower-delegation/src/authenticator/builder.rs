//! [`AuthenticatorBuilder`]: what is configured, and whether it can be.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Authenticator, ClientIdentity, Inner, NEVER};
pub use crate::clock::MAX_LEEWAY;
use crate::{
    application::Applications,
    clock::{Clock, SystemClock},
    context::{NamedSignal, RiskSignal, RiskSignals},
    credential::{IdentityHeaders, ProtectionSpace},
    error::ConfigError,
    issuer::{BuildContext, IssuerResolver, Issuers, TrustedIssuer},
    proof::{Dpop, DpopVerifier},
    protected_resource::ProtectedResource,
    rejection::is_quotable,
    revocation::RevocationStore,
    token::{TokenCache, Verifier},
};

/// The leeway where none is set.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// The most actors in one chain where no other number is set.
pub const DEFAULT_MAX_ACTORS: usize = 8;

/// Configures an [`Authenticator`]. Nothing is checked and nothing fetched
/// before [`build`](Self::build).
#[derive(Debug)]
#[must_use]
pub struct AuthenticatorBuilder {
    issuers: Vec<TrustedIssuer>,
    resolvers: Vec<Arc<dyn IssuerResolver>>,
    leeway: Duration,
    max_token_lifetime: Option<Duration>,
    max_actors: usize,
    realm: Arc<str>,
    clock: Arc<dyn Clock>,
    token_cache: TokenCache,
    client_identity: Option<ClientIdentity>,
    revocations: Option<Arc<dyn RevocationStore>>,
    dpop: Option<Dpop>,
    applications: Option<Applications>,
    more_identity_headers: Vec<Box<str>>,
    refuses_untrusted_identity_headers: bool,
    risk: Vec<NamedSignal>,
    protected_resource: Option<ProtectedResource>,
    #[cfg(feature = "http-client")]
    http_client: Option<crate::http_client::HttpClient>,
}

impl Default for AuthenticatorBuilder {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            resolvers: Vec::new(),
            leeway: DEFAULT_LEEWAY,
            max_token_lifetime: None,
            max_actors: DEFAULT_MAX_ACTORS,
            realm: "api".into(),
            clock: Arc::new(SystemClock::new()),
            token_cache: TokenCache::new(),
            client_identity: None,
            revocations: None,
            dpop: None,
            applications: None,
            more_identity_headers: Vec::new(),
            refuses_untrusted_identity_headers: false,
            protected_resource: None,
            risk: Vec::new(),
            #[cfg(feature = "http-client")]
            http_client: None,
        }
    }
}

impl AuthenticatorBuilder {
    /// Trusts one more issuer. Issuers are isolated: keys, algorithms, audiences
    /// and limits of one never serve another's tokens (RFC 8725 section 3.8).
    pub fn issuer(mut self, issuer: TrustedIssuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Trusts the issuers that `resolver` knows, in addition to those given by
    /// [`issuer`](Self::issuer): for issuers that are known only at run time. It
    /// is asked only for issuers that are not configured, after the resolvers
    /// given before it, and [its answers count for a while](IssuerResolver#how-long-an-answer-counts).
    /// [`Authenticator::warm_up`] does not fetch their keys.
    pub fn issuer_resolver(mut self, resolver: impl IssuerResolver) -> Self {
        self.resolvers.push(Arc::new(resolver));
        self
    }

    /// How far clocks may differ: `exp`, `nbf` and `iat` are judged with this
    /// much forgiveness. Default 30 s, at most 300 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Refuses tokens that were issued to live longer (`exp` minus `iat`), of any
    /// issuer, resolved ones included. Where an
    /// [issuer has a limit of its own](TrustedIssuer::max_token_lifetime), the shorter
    /// one counts. Default: no limit. The first token of an issuer that lives longer
    /// than a day is logged as a warning.
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_token_lifetime = Some(lifetime);
        self
    }

    /// How many actors one chain may have (RFC 8693 section 4.1); longer ones
    /// are refused, not cut. Default 8, from 1 to 64.
    pub fn max_actors(mut self, max_actors: usize) -> Self {
        self.max_actors = max_actors;
        self
    }

    /// The protection space that challenges name (RFC 9110 section 11.5).
    /// Default `api`.
    pub fn realm(mut self, realm: &str) -> Self {
        self.realm = realm.into();
        self
    }

    /// The clock that decides every lifetime. Default [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where the identity of the workload at the other end of the connection
    /// comes from. Not considered unless set.
    pub fn client_identity(mut self, client_identity: ClientIdentity) -> Self {
        self.client_identity = Some(client_identity);
        self
    }

    /// What knows which tokens are revoked, asked on every request. None unless
    /// set: a token is then good until it expires. [`build`](Self::build) fails if the store holds a
    /// revocation that can match nothing here.
    pub fn revocations(mut self, revocations: impl RevocationStore) -> Self {
        self.revocations = Some(Arc::new(revocations));
        self
    }

    /// Accepts tokens that are bound to a key, by scheme `DPoP` with a proof
    /// (RFC 9449). Not configured unless set: every such token is then refused.
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.dpop = Some(dpop);
        self
    }

    /// The [registry of applications](crate::application) that may present
    /// tokens, and how much each may do at most. Not set: the clients of an
    /// issuer are taken as they come.
    pub fn applications(mut self, applications: Applications) -> Self {
        self.applications = Some(applications);
        self
    }

    /// Adds an identity header, such as nginx's `ssl-client-verify` or
    /// `ssl-client-subject-dn`: removed from every request, in every spelling, as
    /// [those that are known anyway](crate::credential#header-fields-that-speak-for-a-client).
    /// The trusted hop's own is not counted as untrusted. [`build`](Self::build) refuses a
    /// field with a meaning of its own, such as `authorization` or `content-length`.
    pub fn add_identity_header(mut self, name: &str) -> Self {
        self.more_identity_headers.push(name.into());
        self
    }

    /// Refuses a request with a header field that speaks for a client and came
    /// from a hop that is not trusted: 400. Default: the field is removed and the
    /// request goes on.
    pub fn refuse_untrusted_identity_headers(mut self) -> Self {
        self.refuses_untrusted_identity_headers = true;
        self
    }

    /// Registers a risk signal under the name that requirements call it by.
    pub fn risk_signal(mut self, name: &str, signal: impl RiskSignal) -> Self {
        self.risk.push((name.into(), Arc::new(signal)));
        self
    }

    /// How clients know the service. Unless it is set, challenges name no
    /// metadata, and there is none to serve (RFC 9728).
    pub fn protected_resource(mut self, resource: ProtectedResource) -> Self {
        self.protected_resource = Some(resource);
        self
    }

    /// How many verified tokens are kept, so that their signature is checked
    /// once. Default 50,000 tokens, 64 MiB.
    pub fn token_cache(mut self, token_cache: TokenCache) -> Self {
        self.token_cache = token_cache;
        self
    }

    /// The client that fetches metadata and keys. Default
    /// [`HttpClient::default`](crate::http_client::HttpClient).
    #[cfg(feature = "http-client")]
    pub fn http_client(mut self, http_client: crate::http_client::HttpClient) -> Self {
        self.http_client = Some(http_client);
        self
    }

    /// Checks the configuration. No network: keys load on first use, or with
    /// [`Authenticator::warm_up`].
    ///
    /// # Errors
    /// The first mistake found.
    pub fn build(self) -> Result<Authenticator, ConfigError> {
        if self.issuers.is_empty() && self.resolvers.is_empty() {
            return Err(ConfigError::NoIssuer);
        }
        if self.leeway > MAX_LEEWAY {
            return Err(ConfigError::LeewayTooLong { leeway: self.leeway, max: MAX_LEEWAY });
        }
        if self.max_token_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            let (setting, expected) = ("max_token_lifetime", "more than zero");
            return Err(ConfigError::OutOfRange { setting, value: 0, expected });
        }
        if !(1..=64).contains(&self.max_actors) {
            return Err(ConfigError::OutOfRange {
                setting: "max_actors",
                value: u64::try_from(self.max_actors).unwrap_or(u64::MAX),
                expected: "from 1 to 64",
            });
        }
        if self.realm.is_empty() || !is_quotable(&self.realm) {
            return Err(ConfigError::InvalidRealm { realm: self.realm.as_ref().to_owned() });
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
        let mut identity_headers =
            IdentityHeaders::new(&self.more_identity_headers, self.refuses_untrusted_identity_headers)?;
        for proxy in self.client_identity.iter().flat_map(ClientIdentity::proxies) {
            proxy.check(&mut identity_headers)?;
        }
        let dpop = self.dpop.map(|dpop| dpop.build(&self.clock)).transpose()?;
        let algorithms = dpop.as_ref().map(DpopVerifier::algorithm_names);
        let metadata_url = self.protected_resource.as_ref().map(ProtectedResource::metadata_url);
        let space = ProtectionSpace::new(&self.realm, algorithms).with_resource_metadata(metadata_url);
        let space = Arc::new(space);
        let is_known = |at, name: &str| self.risk.iter().take(at).any(|(known, _)| **known == *name);
        for (at, (name, _)) in self.risk.iter().enumerate() {
            if name.is_empty() || is_known(at, name) {
                return Err(ConfigError::InvalidRiskSignal { name: name.to_string() });
            }
        }
        let context = BuildContext::new(self.clock.clone()).with_max_token_lifetime(self.max_token_lifetime);
        #[cfg(feature = "http-client")]
        let context = match self.http_client {
            Some(http_client) => context.with_http_client(http_client),
            None => context,
        };
        let mut context = context;
        let mut issuers = HashMap::with_capacity(self.issuers.len());
        for issuer in self.issuers {
            let policy = issuer.build(&mut context)?;
            let name = policy.issuer().clone();
            if issuers.insert(name.clone(), Arc::new(policy)).is_some() {
                return Err(ConfigError::DuplicateIssuer { issuer: name.to_string() });
            }
        }
        let resolves_issuers = !self.resolvers.is_empty();
        let issuers = Arc::new(Issuers::new(issuers, self.resolvers, context));
        if let Some(resource) = &self.protected_resource {
            resource.check(&issuers)?;
        }
        let verifier = Verifier::new(issuers, self.clock, self.leeway, self.max_actors, self.token_cache);
        let inner = Arc::new(Inner {
            number: next_number(),
            verifier,
            client_identity: self.client_identity,
            revocations: self.revocations,
            resolves_issuers,
            last_eviction: AtomicU64::new(NEVER),
            dpop,
            space,
            applications: self.applications,
            identity_headers,
            leeway: self.leeway,
            risk: (!self.risk.is_empty()).then(|| Arc::new(RiskSignals::new(self.risk))),
            protected_resource: self.protected_resource,
        });
        if let Some(revocations) = &inner.revocations {
            let listener: Weak<Inner> = Arc::downgrade(&inner);
            revocations
                .subscribe(listener)
                .map_err(|error| ConfigError::UnmatchedRevocation { problem: error.to_string() })?;
        }
        Ok(Authenticator(inner))
    }
}

/// A number that no other authenticator of the process has.
fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}
