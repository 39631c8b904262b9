//! Trusted issuers: whose tokens are accepted, and on which terms.
//!
//! 1. An issuer is its identifier, compared by code point: `https://idp` and
//!    `https://idp/` are two issuers (RFC 9068 section 4).
//! 2. Its keys come from where the configuration says, or from metadata that
//!    names the very same issuer (RFC 8414 section 3.3); never from a token.
//! 3. Its tokens must name one of the audiences given for it (RFC 9068 section 4).
//! 4. Its tokens must be of the type `at+jwt` (RFC 9068 section 4), unless
//!    another check tells its access tokens from its other tokens.
//! 5. Its tokens spell their claims as RFC 9068 does, unless a [`ClaimMapping`]
//!    says how. The [providers] have one each.
//! 6. Issuers that are known only at run time, such as one for each tenant of a
//!    provider, come from an [`IssuerResolver`].
//! 7. A name means something only together with who vouches for it. Each issuer
//!    has a [namespace](TrustedIssuer::namespace); where there are several, what
//!    each issuer [may grant](TrustedIssuer::may_grant) is bounded.
//! 8. An issuer speaks for its own actors, and for those of others only where
//!    [the configuration says so](TrustedIssuer::may_speak_for).
//!
//! *Deployment caveat*: anyone who controls the key set can mint any token of that
//! issuer. Give `https` URLs, and only of hosts that the issuer runs.
//!
//! # Example
//! ```
//! # #[cfg(feature = "http-client")] {
//! use std::time::Duration;
//! use tower_delegation::{issuer::TrustedIssuer, jwks::SignatureAlgorithm};
//!
//! let issuer = TrustedIssuer::discover("https://idp.example.com")?
//!     .add_audience("https://orders.example.com")
//!     .algorithms([SignatureAlgorithm::Es256, SignatureAlgorithm::Ps256])
//!     .max_token_lifetime(Duration::from_secs(3600));
//! # }
//! # Ok::<(), tower_delegation::error::ConfigError>(())
//! ```

mod bound;
mod claim_condition;
#[cfg(feature = "http-client")]
mod client;
#[cfg(feature = "http-client")]
mod discovery;
mod forms;
mod grants;
mod issuers;
mod kind_check;
mod mapping;
mod namespace;
mod policy;
mod presets;
mod resolver;
mod tenants;
mod tenure;

#[doc = include_str!("../../../../docs/providers.md")]
pub mod providers {}

use std::{sync::Arc, time::Duration};

use url::Url;

#[cfg(feature = "http-client")]
pub use self::discovery::metadata_urls;
use self::namespace::NamespaceChoice;
pub use self::{
    bound::{GrantKind, Grants},
    claim_condition::ClaimCondition,
    forms::{ClaimPath, NameForm, ScopeForm},
    kind_check::KindCheck,
    mapping::ClaimMapping,
    resolver::IssuerResolver,
    tenants::TenantIssuers,
};
pub(crate) use self::{
    claim_condition::{Condition, log_unknown_kind},
    forms::{ActorForm, ActorText},
    issuers::{Issuers, KnownTerms, PolicyRef, check_bounds},
    mapping::{AbsentSubject, AudienceRule, DifferingClients, Presence, TenantRule},
    namespace::{NamedFact, Namespace, Saying, Spread},
    policy::{BuildContext, IssuerPolicy, TypePolicy},
};
use crate::{
    error::ConfigError,
    jwks::{AlgorithmSet, KeyLimits, KeySet, KeySource, SignatureAlgorithm},
    names::{Audience, IssuerUrl, SubjectKind},
};

/// An authorization server whose tokens are accepted, and the terms.
///
/// Made by one of the constructors, which differ in where the keys come from;
/// at least one [`add_audience`](Self::add_audience) must follow. Nothing is fetched
/// before the first token arrives.
///
/// Two are equal if all terms are. A key source of your own equals itself only: that
/// of a clone.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "an issuer is not trusted before it is given to the layer"]
pub struct TrustedIssuer {
    issuer: IssuerUrl,
    keys: KeyOrigin,
    #[cfg(feature = "http-client")]
    client: Option<client::IssuerClient>,
    audiences: Vec<Audience>,
    algorithms: AlgorithmSet,
    max_token_lifetime: Option<Duration>,
    max_token_age: Option<Duration>,
    key_limits: KeyLimits,
    kind_check: Option<KindCheck>,
    mapping: ClaimMapping,
    /// Judged after the conditions of the mapping.
    subject_kinds: Vec<(ClaimCondition, SubjectKind)>,
    /// `None`: the issuer's own, or that of its resolver.
    namespace: Option<NamespaceChoice>,
    /// `None`: no bound.
    grants: Option<Arc<Grants>>,
    /// Whose actors it may name.
    speaks_for: Vec<IssuerUrl>,
}

#[derive(Clone, Debug)]
enum KeyOrigin {
    #[cfg(feature = "http-client")]
    Discovered(discovery::MetadataUrls),
    #[cfg(feature = "http-client")]
    MetadataUrl(Url),
    #[cfg(feature = "http-client")]
    Url(Url),
    Static(Box<[u8]>),
    Source(Arc<dyn KeySource>),
}

impl PartialEq for KeyOrigin {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            #[cfg(feature = "http-client")]
            (Self::Discovered(one), Self::Discovered(other)) => one == other,
            #[cfg(feature = "http-client")]
            (Self::Url(one), Self::Url(other)) | (Self::MetadataUrl(one), Self::MetadataUrl(other)) => {
                one == other
            }
            (Self::Static(one), Self::Static(other)) => one == other,
            (Self::Source(one), Self::Source(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl TrustedIssuer {
    /// An issuer whose metadata says where its keys are.
    ///
    /// Read from the first of these places that has this issuer's metadata, with a
    /// `jwks_uri` at which a key set can be fetched: `/.well-known/oauth-authorization-server{path}` on the issuer's
    /// host (RFC 8414 section 3.1), `/.well-known/openid-configuration{path}` on
    /// the issuer's host (RFC 8414 section 5), and
    /// `{issuer}/.well-known/openid-configuration` (OpenID Connect Discovery
    /// section 4). [`metadata_urls`] lists them.
    ///
    /// The metadata is current for as long as its `Cache-Control` says, one hour at
    /// most. It is read again when a token's key is missed, so that a key set that
    /// has moved is found at once. While it cannot be read, the key set that it
    /// named last is used for 24 hours.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] unless `issuer` is an `https` or `http` URL without
    /// query and fragment. Plain `http` to another machine is refused when the layer is
    /// built, unless its client [allows](crate::http_client::HttpClient::insecure_plain_http) it.
    #[cfg(feature = "http-client")]
    pub fn discover(issuer: &str) -> Result<Self, ConfigError> {
        let urls = discovery::MetadataUrls::of(issuer)?;
        Ok(Self::new(issuer, KeyOrigin::Discovered(urls)))
    }

    /// An issuer whose metadata is at `metadata_url`, which is not below its identifier:
    /// below the path of a policy (Azure AD B2C), or on another host that is reached from
    /// inside.
    ///
    /// `issuer` is `iss` as the tokens spell it, and may be any identifier. The document
    /// must name the very same one (RFC 8414 section 3.3); nowhere else is looked.
    ///
    /// ```
    /// use tower_delegation::TrustedIssuer;
    ///
    /// let issuer = TrustedIssuer::discover_at(
    ///     "https://contoso.b2clogin.com/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0/",
    ///     "https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_signin/v2.0/.well-known/openid-configuration",
    /// )?;
    /// # Ok::<(), tower_delegation::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] unless `issuer` is an identifier and `metadata_url` an
    /// `https` or `http` URL without fragment.
    #[cfg(feature = "http-client")]
    pub fn discover_at(issuer: &str, metadata_url: &str) -> Result<Self, ConfigError> {
        let url = crate::http_client::configured_url(metadata_url, "a metadata URL");
        let ((), url) = crate::error::both(check_identifier(issuer), url)?;
        Ok(Self::new(issuer, KeyOrigin::MetadataUrl(url)))
    }

    /// An issuer whose key set is at `jwks_url`.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] unless `issuer` is an identifier and `jwks_url` an
    /// `https` or `http` URL without fragment. Plain `http` to another machine is refused
    /// when the layer is built, unless its client
    /// [allows](crate::http_client::HttpClient::insecure_plain_http) it.
    #[cfg(feature = "http-client")]
    pub fn with_jwks_url(issuer: &str, jwks_url: &str) -> Result<Self, ConfigError> {
        check_identifier(issuer)?;
        let url = crate::http_client::configured_url(jwks_url, "a JWK Set URL")?;
        Ok(Self::new(issuer, KeyOrigin::Url(url)))
    }

    /// An issuer whose keys never change: `jwks` is a JWK Set as JSON text.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] unless `issuer` is an identifier,
    /// [`ConfigError::InvalidKeySet`] if no key of `jwks` could verify a token.
    pub fn with_static_keys(issuer: &str, jwks: &str) -> Result<Self, ConfigError> {
        check_identifier(issuer)?;
        // Read once more with the final algorithms; what is wrong by any is said here.
        static_keys(issuer, jwks.as_bytes(), AlgorithmSet::ALL)?;
        Ok(Self::new(issuer, KeyOrigin::Static(jwks.as_bytes().into())))
    }

    /// An issuer whose keys come from a source of your own.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] unless `issuer` is an identifier.
    pub fn with_key_source(issuer: &str, source: impl KeySource) -> Result<Self, ConfigError> {
        check_identifier(issuer)?;
        Ok(Self::new(issuer, KeyOrigin::Source(Arc::new(source))))
    }

    /// Whether the keys are those of `other`, and read in the same way.
    fn has_keys_of(&self, other: &Self) -> bool {
        #[cfg(feature = "http-client")]
        if self.client != other.client {
            return false;
        }
        self.issuer == other.issuer
            && self.keys == other.keys
            && self.algorithms == other.algorithms
            && self.key_limits == other.key_limits
    }

    /// Its identifier.
    pub(crate) fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    fn new(issuer: &str, keys: KeyOrigin) -> Self {
        Self {
            issuer: issuer.into(),
            keys,
            #[cfg(feature = "http-client")]
            client: None,
            audiences: Vec::new(),
            algorithms: AlgorithmSet::ALL,
            max_token_lifetime: None,
            max_token_age: None,
            key_limits: KeyLimits::DEFAULT,
            kind_check: None,
            mapping: ClaimMapping::rfc9068(),
            subject_kinds: Vec::new(),
            namespace: None,
            grants: None,
            speaks_for: Vec::new(),
        }
    }

    /// Fetches the issuer's metadata and keys by `client`, in place of that of the
    /// [layer](crate::layer::DelegationLayerBuilder::http_client): for a proxy, a private
    /// authority or a client certificate that is for this issuer alone.
    ///
    /// Two issuers with clients of their own are equal only if one is a clone of the other.
    #[cfg(feature = "http-client")]
    pub fn http_client(mut self, client: crate::http_client::HttpClient) -> Self {
        self.client = Some(client::IssuerClient::new(client));
        self
    }

    /// Adds an identifier by which the issuer's tokens may name this service:
    /// one of `aud` must equal it by code point.
    pub fn add_audience(mut self, audience: impl Into<Audience>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The same terms for tokens that are meant for this audience alone.
    #[cfg(feature = "http-client")]
    pub(crate) fn only_audience(self, audience: Audience) -> Self {
        Self { audiences: vec![audience], ..self }
    }

    /// Whether the mapping says where the tenant of a token is.
    #[cfg(feature = "http-client")]
    pub(crate) fn names_tenant(&self) -> bool {
        self.mapping.tenant.is_some()
    }

    /// The algorithms that the issuer may sign with, in place of every one that
    /// is asymmetric. A key's own `alg` narrows this further.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = SignatureAlgorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Refuses tokens that were issued to live longer (`exp` minus `iat`). Default: the
    /// [limit of the layer](crate::layer::DelegationLayerBuilder::max_token_lifetime),
    /// which can only shorten this one, or none.
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_token_lifetime = Some(lifetime);
        self
    }

    /// Refuses tokens that were issued (`iat`) longer ago, though they have not
    /// expired. Default: no limit.
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.max_token_age = Some(age);
        self
    }

    /// The longest time after which the issuer's key set is fetched again, whatever
    /// its `Cache-Control` says: a withdrawn key is accepted for no longer while the
    /// issuer can be reached. The set is fetched at 80 % of it, or of what the
    /// answer says, if that is less. A set that is older is used only after an
    /// attempt to fetch it. Default one hour, from 10 seconds to 24 hours.
    pub fn max_key_age(mut self, age: Duration) -> Self {
        self.key_limits.max_age = age;
        self
    }

    /// How long the last good key set is used while it cannot be fetched, from the
    /// fetch that last confirmed it; then requests are answered 503. Default 24
    /// hours, at least [`max_key_age`](Self::max_key_age), at most 7 days.
    ///
    /// A key that leaked and was withdrawn is accepted for this long if the key set
    /// is out of reach.
    pub fn max_key_staleness(mut self, staleness: Duration) -> Self {
        self.key_limits.max_staleness = staleness;
        self
    }

    /// How long a request waits for the issuer's keys; then it is answered by what is
    /// known, and the fetch goes on: 503 with `Retry-After`, or 401 for a key that a
    /// set lacks which is fresh. Default 10 seconds, from 100 milliseconds to 30 seconds.
    pub fn max_key_wait(mut self, wait: Duration) -> Self {
        self.key_limits.max_wait = wait;
        self
    }

    /// How the issuer spells its claims, where that is not as in RFC 9068: a
    /// preset such as [`ClaimMapping::keycloak`], or one of your own.
    pub fn claim_mapping(mut self, mapping: ClaimMapping) -> Self {
        self.mapping = mapping;
        self
    }

    /// A claim that only tokens of users have, in addition to what the
    /// [`claim_mapping`](Self::claim_mapping) goes by:
    /// [`ClaimMapping::add_user_claim`], whichever of the two is called first.
    ///
    /// ```
    /// use tower_delegation::TrustedIssuer;
    ///
    /// let issuer = TrustedIssuer::discover("https://idp.example.com")?
    ///     .add_audience("https://orders.example.com")
    ///     .add_user_claim("user_id");
    /// # Ok::<(), tower_delegation::ConfigError>(())
    /// ```
    pub fn add_user_claim(mut self, path: impl Into<ClaimPath>) -> Self {
        self.subject_kinds.push((ClaimCondition::present(path), SubjectKind::User));
        self
    }

    /// Assumes that every subject that is not the client is a user, unless the
    /// [`claim_mapping`](Self::claim_mapping) tells another kind:
    /// [`ClaimMapping::assume_user_unless_client`], which says when that is
    /// unsafe. Without this or [`add_user_claim`](Self::add_user_claim), the
    /// default mapping knows no users, and `on_behalf_of_user` is never met.
    pub fn assume_user_unless_client(mut self) -> Self {
        self.subject_kinds.push((ClaimCondition::subject_is_not_client(), SubjectKind::User));
        self
    }

    /// The namespace of the issuer's names. Issuers that name the same one are of one
    /// house: a subject, client, actor, role, group or permission of one of them is
    /// that of the others. Default: a namespace of the issuer's own, and one for all
    /// issuers of a [resolver](IssuerResolver). The last call of this and of
    /// [`own_namespace`](Self::own_namespace) counts.
    ///
    /// A rule may name such a party or privilege without its issuer while every issuer
    /// that could say it is in one namespace.
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespace = Some(NamespaceChoice::Named(name.into()));
        self
    }

    /// Gives the issuer a namespace of its own, also where a [resolver](IssuerResolver)
    /// knows it: what it calls `alice` is no other issuer's `alice`. For resolvers whose
    /// issuers are those of customers who have nothing to do with each other.
    ///
    /// In the [common terms](IssuerResolver::common_terms) of a resolver, and in the
    /// template of [`TenantIssuers`], it holds for each of the issuers. Rules are then held
    /// against several namespaces when the service is put together, and each issuer needs
    /// [`may_grant`](Self::may_grant).
    pub fn own_namespace(mut self) -> Self {
        self.namespace = Some(NamespaceChoice::Own);
        self
    }

    /// The most that the issuer's tokens may grant; what exceeds it is cut. The last
    /// call counts. Default: no bound, which is an error as soon as issuers of a second
    /// namespace are trusted ([`ConfigError::UnboundedIssuers`]).
    pub fn may_grant(mut self, grants: Grants) -> Self {
        self.grants = Some(Arc::new(grants));
        self
    }

    /// Lets the issuer's tokens name actors of `issuer` too, by `act.iss` (RFC 8693
    /// section 4.1): its word counts as that of `issuer` for rules on actors, the
    /// registry of applications and the audit trail. Given several times, all count.
    ///
    /// Without it, an `act.iss` that is not the token's own issuer names a party that
    /// no rule on actors admits and no registry knows. It is
    /// [recorded](crate::token::Actor::claimed_issuer), and can only ever deny.
    ///
    /// Give it to an issuer that verifies the tokens of the other before it exchanges
    /// them: it can name any actor of that issuer.
    pub fn may_speak_for(mut self, issuer: impl Into<IssuerUrl>) -> Self {
        self.speaks_for.push(issuer.into());
        self
    }

    /// Whether these are the terms of `other`, but for the identifier, the keys, the
    /// audiences and the limits.
    fn says_the_same_as(&self, other: &Self) -> bool {
        self.mapping == other.mapping
            && self.subject_kinds == other.subject_kinds
            && self.namespace == other.namespace
            && self.grants == other.grants
            && self.speaks_for == other.speaks_for
    }

    /// Also accepts tokens with `typ: JWT` or without `typ`, which any token of
    /// the issuer may be, provided that `check` tells them to be access tokens
    /// (RFC 9068 section 4, RFC 8725 section 3.12). Given twice, both checks must
    /// hold; so must the one that a [`claim_mapping`](Self::claim_mapping) brings.
    pub fn accept_generic_type(mut self, check: KindCheck) -> Self {
        self.kind_check = Some(match self.kind_check {
            Some(former) => former.and(check),
            None => check,
        });
        self
    }
}

/// Issuers whose keys are not looked for at their own URL may be any text, which
/// is compared and never fetched: real ones are plain `http` URLs, URNs and bare
/// names. A text with a colon must be a URI (RFC 7519 section 2, `StringOrURI`).
fn check_identifier(issuer: &str) -> Result<(), ConfigError> {
    let problem = if issuer.is_empty() {
        "it is empty: give `iss` exactly as the tokens spell it"
    } else if issuer.trim() != issuer || issuer.chars().any(char::is_control) {
        "it has white space around it or control characters: give `iss` exactly as the tokens spell it"
    } else if issuer.contains(':') && Url::parse(issuer).is_err() {
        "it has a colon and is no URI (RFC 7519 section 2): give `iss` exactly as the tokens spell it"
    } else {
        return Ok(());
    };
    Err(ConfigError::InvalidUrl { url: issuer.to_owned(), purpose: "an issuer identifier", problem })
}

fn static_keys(issuer: &str, jwks: &[u8], algorithms: AlgorithmSet) -> Result<KeySet, ConfigError> {
    let invalid = |problem| ConfigError::InvalidKeySet { issuer: issuer.to_owned(), problem };
    let keys = KeySet::parse_of(issuer, jwks, algorithms).map_err(|error| invalid(error.to_string()))?;
    if keys.is_empty() {
        let reasons: Vec<String> = keys.skipped().iter().map(ToString::to_string).collect();
        let reasons = if reasons.is_empty() { "it is empty".to_owned() } else { reasons.join(", ") };
        return Err(invalid(format!("it has no usable key ({reasons})")));
    }
    Ok(keys)
}
