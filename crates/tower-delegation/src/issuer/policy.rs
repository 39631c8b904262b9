//! A checked issuer: what verification reads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    AudienceRule, ClaimMapping, Grants, KeyOrigin, KindCheck, Namespace, TrustedIssuer, check_identifier,
    namespace::NamespaceChoice, static_keys, tenure::Tenure,
};
use crate::{
    clock::Clock,
    error::{ConfigError, Mistakes, both},
    jwks::{AlgorithmSet, KeyCache, KeyLimits, KeySource, KeyStatus},
    names::{Audience, IssuerUrl},
    text::Text,
};
#[cfg(feature = "http-client")]
use crate::{
    http_client::{Fetcher, HttpClient},
    issuer::{client::IssuerClient, discovery::Discovery, discovery::MetadataUrls},
    jwks::JwksUrl,
};

/// A token that lives longer is reported once.
const LONG_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What all issuers of a layer share.
#[derive(Debug)]
pub(crate) struct BuildContext {
    clock: Arc<dyn Clock>,
    #[cfg(feature = "http-client")]
    http_client: HttpClient,
    /// What the client is set up to, once an issuer needs it.
    #[cfg(feature = "http-client")]
    fetcher: Option<Fetcher>,
    max_token_lifetime: Option<Duration>,
}

/// Where the terms of an issuer come from.
pub(super) enum TermsSource<'a> {
    Configuration,
    Resolver {
        tenure: Tenure,
        /// That of issuers which name no other.
        namespace: Namespace,
        /// What metrics call the issuers of the resolver.
        label: Arc<str>,
        /// What was made of the former terms, and whether its keys are those of the new ones.
        former: Option<(&'a IssuerPolicy, bool)>,
    },
}

impl BuildContext {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            #[cfg(feature = "http-client")]
            http_client: HttpClient::new(),
            #[cfg(feature = "http-client")]
            fetcher: None,
            max_token_lifetime: None,
        }
    }

    /// The longest lifetime of any issuer's tokens.
    pub(crate) fn with_max_token_lifetime(self, lifetime: Option<Duration>) -> Self {
        Self { max_token_lifetime: lifetime, ..self }
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The client to fetch with, in place of one with the defaults.
    #[cfg(feature = "http-client")]
    pub(crate) fn with_http_client(self, client: HttpClient) -> Self {
        Self { http_client: client, fetcher: None, ..self }
    }

    /// The shared client, set up when it is needed first.
    #[cfg(feature = "http-client")]
    pub(crate) fn fetcher(&mut self) -> Result<Fetcher, ConfigError> {
        let fetcher = match &self.fetcher {
            Some(fetcher) => fetcher.clone(),
            None => self.http_client.fetcher()?,
        };
        self.fetcher = Some(fetcher.clone());
        Ok(fetcher)
    }

    /// The client of an issuer, or else the shared one.
    #[cfg(feature = "http-client")]
    fn fetcher_of(&mut self, own: Option<&IssuerClient>) -> Result<Fetcher, ConfigError> {
        own.map_or_else(|| self.fetcher(), IssuerClient::fetcher)
    }
}

/// What the type of an issuer's tokens must be (RFC 9068 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TypePolicy {
    /// `at+jwt`, and nothing else.
    AccessTokenOnly,
    /// Also `JWT` or no type at all, if the check holds.
    Generic(KindCheck),
}

/// A trusted issuer whose configuration has been checked.
#[derive(Debug)]
pub(crate) struct IssuerPolicy {
    issuer: IssuerUrl,
    audiences: Box<[Audience]>,
    algorithms: AlgorithmSet,
    max_token_lifetime: Option<Duration>,
    max_token_age: Option<Duration>,
    type_policy: TypePolicy,
    mapping: ClaimMapping,
    namespace: Namespace,
    /// `None`: no bound.
    grants: Option<Arc<Grants>>,
    speaks_for: Box<[IssuerUrl]>,
    keys: Arc<KeyCache>,
    /// `None` for a configured issuer, whose terms never change.
    tenure: Option<Tenure>,
    /// Whether a token that lives very long was reported. Survives a change of terms.
    has_long_lived: Arc<AtomicBool>,
}

impl IssuerPolicy {
    pub(crate) fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// None is empty. None at all only where the mapping goes by the client.
    pub(crate) fn audiences(&self) -> &[Audience] {
        &self.audiences
    }

    /// At least one.
    pub(crate) fn algorithms(&self) -> AlgorithmSet {
        self.algorithms
    }

    pub(crate) fn max_token_lifetime(&self) -> Option<Duration> {
        self.max_token_lifetime
    }

    pub(crate) fn max_token_age(&self) -> Option<Duration> {
        self.max_token_age
    }

    pub(crate) fn type_policy(&self) -> &TypePolicy {
        &self.type_policy
    }

    pub(crate) fn mapping(&self) -> &ClaimMapping {
        &self.mapping
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The most that the issuer's tokens may grant. `None`: no bound.
    pub(crate) fn grants(&self) -> Option<&Arc<Grants>> {
        self.grants.as_ref()
    }

    /// The other issuers whose actors this one may name.
    pub(crate) fn speaks_for(&self) -> &[IssuerUrl] {
        &self.speaks_for
    }

    pub(crate) fn keys(&self) -> &Arc<KeyCache> {
        &self.keys
    }

    /// How the issuer's keys are doing.
    pub(crate) fn status(&self) -> KeyStatus {
        let mut status = self.keys.status();
        status.is_resolved = self.tenure.is_some();
        status
    }

    /// Whether the terms are those of the configuration, which never change.
    pub(crate) fn is_configured(&self) -> bool {
        self.tenure().is_none()
    }

    pub(super) fn tenure(&self) -> Option<&Tenure> {
        self.tenure.as_ref()
    }

    /// Reports the first token of the issuer that lives longer than a day. Costs one
    /// comparison otherwise.
    pub(crate) fn note_lifetime(&self, lifetime: Duration) {
        if lifetime > LONG_LIFETIME && !self.has_long_lived.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                issuer = %Text::new(self.issuer.as_str()),
                lifetime_seconds = lifetime.as_secs(),
                "the issuer's access tokens live longer than a day: a stolen one is good for as long; \
                 `max_token_lifetime` refuses them"
            );
        }
    }
}

impl TrustedIssuer {
    /// Checks the configuration. Fetches nothing.
    pub(crate) fn build(self, context: &mut BuildContext) -> Result<IssuerPolicy, ConfigError> {
        self.build_from(TermsSource::Configuration, context)
    }

    /// Whether what would be fetched for such issuers may be: for the common terms of a
    /// resolver, which are the terms of no issuer.
    #[cfg(feature = "http-client")]
    pub(crate) fn check_places(&self, context: &mut BuildContext) -> Result<(), ConfigError> {
        let mut fetcher = || context.fetcher_of(self.client.as_ref());
        match &self.keys {
            KeyOrigin::Discovered(urls) => urls.check(&fetcher()?),
            KeyOrigin::MetadataUrl(url) => fetcher()?.check_configured(url, "a metadata URL"),
            KeyOrigin::Url(url) => fetcher()?.check_configured(url, "a JWK Set URL"),
            KeyOrigin::Static(_) | KeyOrigin::Source(_) => Ok(()),
        }
    }

    /// The same for terms that a resolver may take back.
    pub(super) fn build_from(
        mut self,
        source: TermsSource<'_>,
        context: &mut BuildContext,
    ) -> Result<IssuerPolicy, ConfigError> {
        self.mapping.subject_kinds.append(&mut self.subject_kinds);
        let checked = self.check();
        let (tenure, shared, label, former) = match source {
            TermsSource::Configuration => (None, None, None, None),
            TermsSource::Resolver { tenure, namespace, label, former } => {
                (Some(tenure), Some(namespace), Some(label), former)
            }
        };
        let namespace = match (&self.namespace, shared) {
            (Some(NamespaceChoice::Named(name)), _) => Namespace::Named(Arc::clone(name)),
            (None, Some(shared)) => shared,
            (Some(NamespaceChoice::Own), _) | (None, None) => Namespace::Issuer(self.issuer.clone()),
        };
        let keys = match former {
            Some((former, true)) => Ok(Arc::clone(&former.keys)),
            // No key is good for no algorithm: that is one mistake, not two.
            Some((_, false)) | None if self.algorithms.is_empty() => {
                Err(ConfigError::NoAlgorithm { issuer: self.issuer.to_string() })
            }
            Some((_, false)) | None => {
                let terms = KeyTerms {
                    algorithms: self.algorithms,
                    limits: self.key_limits,
                    label,
                    #[cfg(feature = "http-client")]
                    client: self.client,
                };
                key_cache(self.keys, &self.issuer, terms, context)
            }
        };
        let ((), keys) = both(checked, keys)?;
        let limits = [self.max_token_lifetime, context.max_token_lifetime];
        // What the mapping and the issuer demand must both hold.
        let kind_check = match (self.mapping.generic_type.clone(), self.kind_check) {
            (Some(mapping), Some(own)) => Some(mapping.and(own)),
            (mapping, own) => mapping.or(own),
        };
        Ok(IssuerPolicy {
            issuer: self.issuer,
            audiences: self.audiences.into(),
            algorithms: self.algorithms,
            max_token_lifetime: limits.into_iter().flatten().min(),
            max_token_age: self.max_token_age,
            type_policy: kind_check.map_or(TypePolicy::AccessTokenOnly, TypePolicy::Generic),
            mapping: self.mapping,
            namespace,
            grants: self.grants,
            speaks_for: self.speaks_for.into(),
            keys,
            tenure,
            has_long_lived: former.map(|(former, _)| Arc::clone(&former.has_long_lived)).unwrap_or_default(),
        })
    }

    /// Whether the terms make sense together.
    fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        let issuer = || self.issuer.to_string();
        match &self.mapping.audience {
            AudienceRule::Required if self.audiences.is_empty() => {
                mistakes.add(ConfigError::NoAudience { issuer: issuer() });
            }
            AudienceRule::Clients(clients)
                if clients.is_empty() || clients.iter().any(|client| client.as_str().is_empty()) =>
            {
                mistakes.add(ConfigError::NoClient { issuer: issuer() });
            }
            AudienceRule::Required | AudienceRule::Clients(_) => {}
        }
        if let Some(problem) = self.mapping.mistake() {
            mistakes.add(ConfigError::InvalidMapping { issuer: issuer(), problem });
        }
        if self.audiences.iter().any(|audience| audience.as_str().is_empty()) {
            mistakes.add(ConfigError::EmptyAudience { issuer: issuer() });
        }
        if self.algorithms.is_empty() {
            mistakes.add(ConfigError::NoAlgorithm { issuer: issuer() });
        }
        for (setting, limit) in
            [("max_token_lifetime", self.max_token_lifetime), ("max_token_age", self.max_token_age)]
        {
            if limit.is_some_and(|limit| limit.is_zero()) {
                mistakes.add(ConfigError::OutOfRange { setting, value: 0, expected: "more than zero" });
            }
        }
        if matches!(&self.namespace, Some(NamespaceChoice::Named(name)) if name.trim().is_empty()) {
            mistakes.add(ConfigError::UnnamedNamespace { issuer: issuer() });
        }
        mistakes.take(self.grants.iter().try_for_each(|grants| grants.check(&issuer())));
        mistakes.take(self.speaks_for.iter().try_for_each(|other| check_identifier(other.as_str())));
        mistakes.take(self.key_limits.check());
        mistakes.into_result()
    }
}

/// The terms on which an issuer's keys are kept.
struct KeyTerms {
    algorithms: AlgorithmSet,
    limits: KeyLimits,
    /// What metrics call the issuers of the resolver, if it comes from one.
    label: Option<Arc<str>>,
    #[cfg(feature = "http-client")]
    client: Option<IssuerClient>,
}

fn key_cache(
    origin: KeyOrigin,
    issuer: &IssuerUrl,
    terms: KeyTerms,
    context: &mut BuildContext,
) -> Result<Arc<KeyCache>, ConfigError> {
    #[cfg(feature = "http-client")]
    let fetcher = |context: &mut BuildContext| context.fetcher_of(terms.client.as_ref());
    #[cfg(feature = "http-client")]
    let has_client = terms.client.is_some();
    let KeyTerms { algorithms, limits, label, .. } = terms;
    let clock = Arc::clone(&context.clock);
    let from = |source: Arc<dyn KeySource>| {
        let (issuer, clock) = (issuer.clone(), Arc::clone(&clock));
        match label {
            Some(label) => KeyCache::of_resolver(issuer, algorithms, source, limits, clock, label),
            None => KeyCache::new(issuer, algorithms, source, limits, clock),
        }
    };
    Ok(match origin {
        #[cfg(feature = "http-client")]
        KeyOrigin::Discovered(urls) => from(discovery(issuer, urls, fetcher(context)?, &clock)?),
        #[cfg(feature = "http-client")]
        KeyOrigin::MetadataUrl(url) => {
            from(discovery(issuer, MetadataUrls::at(url), fetcher(context)?, &clock)?)
        }
        #[cfg(feature = "http-client")]
        KeyOrigin::Url(url) => {
            let fetcher = fetcher(context)?;
            fetcher.check_configured(&url, "a JWK Set URL")?;
            from(Arc::new(JwksUrl::from_checked(url, fetcher)))
        }
        #[cfg(feature = "http-client")]
        KeyOrigin::Static(_) | KeyOrigin::Source(_) if has_client => {
            return Err(ConfigError::HttpClient {
                problem: format!(
                    "issuer {:?} has a client of its own, and nothing that is fetched by it: leave out \
                     `.http_client(..)`",
                    issuer.as_str()
                ),
            });
        }
        KeyOrigin::Static(jwks) => {
            KeyCache::fixed(issuer.clone(), static_keys(issuer.as_str(), &jwks, algorithms)?, clock)
        }
        KeyOrigin::Source(source) => from(source),
    })
}

#[cfg(feature = "http-client")]
fn discovery(
    issuer: &IssuerUrl,
    urls: MetadataUrls,
    fetcher: Fetcher,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn KeySource>, ConfigError> {
    urls.check(&fetcher)?;
    Ok(Arc::new(Discovery::new(issuer.clone(), urls, fetcher, Arc::clone(clock))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Moment, SystemClock},
        jwks::{FetchedKeys, KeyFetch, KeyRequest, SignatureAlgorithm},
        step::Step,
    };

    const ISSUER: &str = "https://idp.example.com";
    /// The key of RFC 8037 appendix A.2.
    const JWKS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[derive(Debug)]
    struct Silent;

    impl KeySource for Silent {
        fn fetch<'a>(&'a self, _request: KeyRequest<'a>) -> KeyFetch<'a> {
            Box::pin(async { Ok(FetchedKeys::not_modified()) })
        }
    }

    fn build(issuer: TrustedIssuer) -> Result<IssuerPolicy, ConfigError> {
        issuer.build(&mut BuildContext::new(Arc::new(SystemClock::new())))
    }

    fn with_keys() -> TrustedIssuer {
        TrustedIssuer::with_static_keys(ISSUER, JWKS).unwrap()
    }

    #[test]
    fn the_terms_are_kept() {
        let check = KindCheck::claim_equals("token_use", "access");
        let issuer = with_keys()
            .add_audience("a")
            .add_audience("b")
            .algorithms([SignatureAlgorithm::EdDsa])
            .max_token_lifetime(Duration::from_secs(60))
            .max_token_age(Duration::from_secs(30))
            .accept_generic_type(check.clone());
        let policy = build(issuer).unwrap();
        assert_eq!(*policy.issuer(), ISSUER);
        assert_eq!(policy.audiences(), [Audience::from("a"), Audience::from("b")]);
        assert_eq!(policy.algorithms(), [SignatureAlgorithm::EdDsa].into_iter().collect());
        assert_eq!(policy.max_token_lifetime(), Some(Duration::from_secs(60)));
        assert_eq!(policy.max_token_age(), Some(Duration::from_secs(30)));
        assert_eq!(*policy.type_policy(), TypePolicy::Generic(check));
        let now = Moment::of(&SystemClock::new());
        assert!(matches!(
            policy.keys().resolve(SignatureAlgorithm::EdDsa, Some("k1"), now),
            Step::Ready(Ok(_))
        ));
        assert!(matches!(
            policy.keys().resolve(SignatureAlgorithm::Ed25519, Some("k1"), now),
            Step::Ready(Err(_))
        ));
    }

    #[test]
    fn by_default_only_access_tokens_are_accepted() {
        let policy = build(with_keys().add_audience("a")).unwrap();
        assert_eq!(*policy.type_policy(), TypePolicy::AccessTokenOnly);
        assert_eq!(policy.algorithms(), AlgorithmSet::ALL);
        assert_eq!((policy.max_token_lifetime(), policy.max_token_age()), (None, None));
    }

    #[test]
    fn contradictory_terms_are_refused() {
        let good = || with_keys().add_audience("a");
        assert!(matches!(build(with_keys()), Err(ConfigError::NoAudience { .. })));
        assert!(matches!(build(good().add_audience("")), Err(ConfigError::EmptyAudience { .. })));
        assert!(matches!(build(good().algorithms([])), Err(ConfigError::NoAlgorithm { .. })));
        let zero = Duration::ZERO;
        assert!(matches!(build(good().max_token_lifetime(zero)), Err(ConfigError::OutOfRange { .. })));
        assert!(matches!(build(good().max_token_age(zero)), Err(ConfigError::OutOfRange { .. })));
        for unfit in [
            good().max_key_age(zero),
            good().max_key_staleness(Duration::from_secs(3599)),
            good().max_key_wait(Duration::from_secs(31)),
        ] {
            assert!(matches!(build(unfit), Err(ConfigError::OutOfRange { .. })));
        }
        // The only key is for none of the algorithms.
        let unfit = good().algorithms([SignatureAlgorithm::Es256]);
        assert!(matches!(build(unfit), Err(ConfigError::InvalidKeySet { .. })));
    }

    #[test]
    fn a_mapping_needs_what_it_goes_by() {
        let cognito = |clients: &[&str]| with_keys().claim_mapping(ClaimMapping::cognito(clients.to_vec()));
        assert!(build(cognito(&["shop"])).unwrap().audiences().is_empty());
        assert!(matches!(build(cognito(&[])), Err(ConfigError::NoClient { .. })));
        assert!(matches!(build(cognito(&["shop", ""])), Err(ConfigError::NoClient { .. })));
        let unsound = with_keys().add_audience("a").claim_mapping(ClaimMapping::rfc9068().add_roles(""));
        assert!(matches!(build(unsound), Err(ConfigError::InvalidMapping { .. })));
        assert!(matches!(
            build(with_keys().claim_mapping(ClaimMapping::okta())),
            Err(ConfigError::NoAudience { .. })
        ));
    }

    #[test]
    fn both_checks_of_the_kind_hold() {
        let own = KindCheck::claim_present("scope");
        let issuer = with_keys().add_audience("a").accept_generic_type(own.clone());
        let policy = build(issuer.claim_mapping(ClaimMapping::curity())).unwrap();
        let both = KindCheck::claim_equals("purpose", "access_token").and(own);
        assert_eq!(*policy.type_policy(), TypePolicy::Generic(both));
    }

    #[test]
    fn identifiers_are_texts_or_uris() {
        for issuer in [
            ISSUER,
            "http://idp.example.com/realms/a",
            "urn:example:idp",
            "my-issuer",
            "accounts.google.com",
            "/idp",
            "My issuer",
        ] {
            assert!(TrustedIssuer::with_key_source(issuer, Silent).is_ok(), "{issuer}");
        }
        for issuer in ["", " my-issuer", "my-issuer\n", "my\u{0}issuer", "my issuer: a", "https://", ":"] {
            let made = TrustedIssuer::with_key_source(issuer, Silent);
            assert!(matches!(made, Err(ConfigError::InvalidUrl { .. })), "{issuer:?}");
        }
    }

    #[test]
    fn unusable_static_keys_are_refused_at_once() {
        for jwks in ["", "{}", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#] {
            let made = TrustedIssuer::with_static_keys(ISSUER, jwks);
            assert!(matches!(made, Err(ConfigError::InvalidKeySet { .. })), "{jwks}");
        }
    }

    #[cfg(feature = "http-client")]
    #[test]
    fn urls_that_are_not_fetched_are_refused_at_once() {
        assert!(TrustedIssuer::with_jwks_url(ISSUER, "https://idp.example.com/jwks").is_ok());
        assert!(TrustedIssuer::with_jwks_url(ISSUER, "ftp://idp.example.com/jwks").is_err());
        assert!(TrustedIssuer::discover(ISSUER).is_ok());
        assert!(TrustedIssuer::discover("urn:example:idp").is_err());
        let metadata = "http://idp.example.com/metadata";
        for issuer in [
            TrustedIssuer::with_jwks_url(ISSUER, "http://idp.example.com/jwks"),
            TrustedIssuer::discover("http://idp.example.com"),
            TrustedIssuer::discover_at(ISSUER, metadata),
        ] {
            let issuer = issuer.unwrap().add_audience("a");
            let client = HttpClient::new().insecure_plain_http("http://idp.example.com");
            for (client, is_allowed) in [
                (HttpClient::new(), false),
                (HttpClient::new().insecure_plain_http("http://idp.example.com:8080"), false),
                (HttpClient::new().insecure_plain_http("http://example.com"), false),
                (client.clone(), true),
            ] {
                let context = || BuildContext::new(Arc::new(SystemClock::new()));
                let of_layer = issuer.clone().build(&mut context().with_http_client(client.clone()));
                let own = issuer.clone().http_client(client).build(&mut context());
                for built in [of_layer, own] {
                    assert_eq!(built.is_ok(), is_allowed);
                    assert!(built.err().is_none_or(|error| error.code() == "invalid_url"));
                }
            }
        }
    }

    #[cfg(feature = "http-client")]
    #[test]
    fn issuers_share_one_client() {
        let client = HttpClient::new();
        let mut context = BuildContext::new(Arc::new(SystemClock::new())).with_http_client(client);
        for issuer in
            [TrustedIssuer::discover(ISSUER), TrustedIssuer::with_jwks_url(ISSUER, "https://a.example/k")]
        {
            assert!(issuer.unwrap().add_audience("a").build(&mut context).is_ok());
        }
    }
}
