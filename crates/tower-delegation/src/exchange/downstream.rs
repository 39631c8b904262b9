//! [`Downstream`]: a service that this one calls for others, and the most it may be asked for.

use std::{sync::Arc, time::Duration};

use url::Url;

use super::{
    actor_token::ActorToken,
    dpop::DpopKey,
    flow::Flow,
    server::AuthorizationServer,
    terms::{ActorMode, Terms},
};
use crate::{
    clock::{Clock, Timestamp},
    error::{ConfigError, Mistakes},
    http_client::{HttpClient, configured_url},
    issuer::TrustedIssuer,
    names::{Audience, ClientId, IssuerUrl, SubjectId},
    requirement::Requirement,
    scope::Scope,
    web_url::check_protected,
};

/// How long a token is used at most where nothing else is set.
const DEFAULT_MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// The longest lifetime that can be set.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How long before its end a token is replaced where nothing else is set.
const DEFAULT_MARGIN: Duration = Duration::from_secs(10);

/// The longest margin that can be set.
const MAX_MARGIN: Duration = Duration::from_secs(300);

/// How many tokens are kept where nothing else is set.
const DEFAULT_MAX_ENTRIES: u64 = 10_000;

/// A service that this one calls on behalf of its callers: where it is, who may cause a call,
/// and the most that may ever be asked for.
///
/// A value with setters, checked where it is used:
/// [`DelegationLayer::exchange`](crate::layer::DelegationLayer::exchange).
///
/// ```
/// use tower_delegation::{
///     ConfigError, Requirement, TrustedIssuer,
///     exchange::{AuthorizationServer, Downstream},
/// };
///
/// fn stock(server: AuthorizationServer) -> Result<Downstream, ConfigError> {
///     let terms = TrustedIssuer::discover("https://idp.example.com")?;
///     Ok(Downstream::new("stock", "https://stock.example.com", server)
///         .require(Requirement::named("stock").on_behalf_of_user())
///         .add_scopes(["stock:read"])
///         .grants("orders:read", ["stock:read"])
///         .reads(terms))
/// }
/// # let _ = stock;
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is exchanged before the downstream is given to a layer"]
pub struct Downstream {
    name: Arc<str>,
    url: String,
    resource: Option<String>,
    audience: Option<Audience>,
    asks_by_audience: bool,
    allows_plain_http: bool,
    server: AuthorizationServer,
    requirement: Option<Requirement>,
    scopes: Vec<String>,
    grants: Vec<(String, Vec<String>)>,
    exceptions: Vec<(Vec<String>, String, Timestamp)>,
    provider_scope: Option<String>,
    agreement: Vec<Agreement>,
    acts_as: Option<(IssuerUrl, SubjectId)>,
    actor_mode: ActorMode,
    chain_gain: Vec<ClientId>,
    subject_remapped: bool,
    detail_types: Vec<Box<str>>,
    max_lifetime: Duration,
    issuer_caps_life: bool,
    margin: Duration,
    max_entries: u64,
    is_dpop_bound: bool,
    is_certificate_bound: bool,
    flow: Flow,
    actor_token: Option<ActorToken>,
}

/// Whether tokens of the downstream are read.
#[derive(Clone, Debug)]
enum Agreement {
    Reads(Box<TrustedIssuer>),
    Opaque(String),
}

impl Downstream {
    /// A service of this name, for records, at `url`: tokens are sent to this origin and to no
    /// other. `https`, or `http` to a loopback address. Unless [`resource`](Self::resource) is
    /// set, tokens are asked for by `url` as it is given (RFC 8707 section 2).
    pub fn new(name: &str, url: &str, server: AuthorizationServer) -> Self {
        Self {
            name: name.into(),
            url: url.to_owned(),
            resource: None,
            audience: None,
            asks_by_audience: false,
            allows_plain_http: false,
            server,
            requirement: None,
            scopes: Vec::new(),
            grants: Vec::new(),
            exceptions: Vec::new(),
            provider_scope: None,
            agreement: Vec::new(),
            acts_as: None,
            actor_mode: ActorMode::default(),
            chain_gain: Vec::new(),
            subject_remapped: false,
            detail_types: Vec::new(),
            max_lifetime: DEFAULT_MAX_LIFETIME,
            issuer_caps_life: false,
            margin: DEFAULT_MARGIN,
            max_entries: DEFAULT_MAX_ENTRIES,
            is_dpop_bound: false,
            is_certificate_bound: false,
            flow: Flow::token_exchange(),
            actor_token: None,
        }
    }

    /// The resource that tokens are asked for (RFC 8707): an absolute URI without fragment.
    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// The name under which the issuer writes the downstream into `aud`, where it is another
    /// than the resource: Entra's application identifier, for example.
    pub fn audience(mut self, audience: impl Into<Audience>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Asks for tokens by `audience` (RFC 8693 section 2.1) and not by `resource`, for servers
    /// that know only the former. What is asked for is the [`audience`](Self::audience), or
    /// else the resource.
    pub fn ask_by_audience(mut self) -> Self {
        self.asks_by_audience = true;
        self
    }

    /// Sends tokens by plain `http` to another machine, for downstreams inside a mesh whose
    /// sidecars encrypt. Anyone on the way can otherwise read and use the token.
    pub fn insecure_plain_http(mut self) -> Self {
        self.allows_plain_http = true;
        self
    }

    /// Who may cause an exchange. Required: an exchange is decided like a request. It is
    /// evaluated without facts of a request, so a demand on path or header denies.
    pub fn require(mut self, requirement: Requirement) -> Self {
        self.requirement = Some(requirement);
        self
    }

    /// Adds scopes that may ever be asked for. Nothing else is asked for, whatever callers have.
    pub fn add_scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Says what one effective scope of the caller is worth at the downstream. A scope of which
    /// nothing is said is worth the scope of the same name.
    pub fn grants(mut self, scope: &str, worth: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.grants.push((scope.to_owned(), worth.into_iter().map(Into::into).collect()));
        self
    }

    /// Lets these scopes be asked for [by name](super::ExchangeRequest::scope), whatever the
    /// caller's are worth, until `until`, for this reason, which the event of each such exchange
    /// shows. They must be among those that may [ever be asked for](Self::add_scopes).
    pub fn exception(
        mut self,
        scopes: impl IntoIterator<Item = impl Into<String>>,
        reason: impl Into<String>,
        until: Timestamp,
    ) -> Self {
        self.exceptions.push((scopes.into_iter().map(Into::into).collect(), reason.into(), until));
        self
    }

    /// Sends this in `scope` in place of the scopes that are asked for, for providers with a
    /// form of their own, such as Entra's `api://stock/.default`. What comes back is held
    /// against what would have been asked for.
    pub fn provider_scope(mut self, scope: &str) -> Self {
        self.provider_scope = Some(scope.to_owned());
        self
    }

    /// Agrees that the tokens of this issuer for this downstream are JWTs of that mapping, so
    /// that they are verified whole before they are used. Without such an agreement a client
    /// must not read an access token (RFC 9068 section 6). The audience is the downstream's,
    /// whatever the terms name.
    pub fn reads(mut self, terms: TrustedIssuer) -> Self {
        self.agreement.push(Agreement::Reads(Box::new(terms)));
        self
    }

    /// Uses tokens that are not read, for this reason: only the members of the server's answer
    /// are checked. Subject, actor and audience are then what the server makes of them, and the
    /// event says `verified = "response"`.
    pub fn opaque(mut self, reason: &str) -> Self {
        self.agreement.push(Agreement::Opaque(reason.to_owned()));
        self
    }

    /// Who this service is as an actor in the downstream's tokens. Default: the subject at the
    /// authorization server with the identifier of its client.
    pub fn acts_as(mut self, issuer: impl Into<IssuerUrl>, id: impl Into<SubjectId>) -> Self {
        self.acts_as = Some((issuer.into(), id.into()));
        self
    }

    /// What tokens must say of this service as an actor. Default [`ActorMode::Required`].
    pub fn actor_mode(mut self, mode: ActorMode) -> Self {
        self.actor_mode = mode;
        self
    }

    /// Tolerates that the issuer puts this client of the authorization server beneath this service as an actor, above the
    /// chain of the caller's token: some add the client that the token was issued to.
    pub fn chain_may_gain(mut self, client: impl Into<ClientId>) -> Self {
        self.chain_gain.push(client.into());
        self
    }

    /// Tolerates that the subject has another name at the downstream's issuer, as in another
    /// domain (RFC 8693 section 1.1). The event says so.
    pub fn subject_remapped(mut self) -> Self {
        self.subject_remapped = true;
        self
    }

    /// Lets tokens carry authorization details of this type (RFC 9396), as far as the caller's
    /// token has the very same object. By default none.
    pub fn add_authorization_detail_type(mut self, kind: &str) -> Self {
        self.detail_types.push(kind.into());
        self
    }

    /// The longest life of a token: one that is issued to live longer is refused. Default one
    /// hour, at most 24 hours.
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// Says that the issuer never lets a token outlive the one that it was exchanged for: one
    /// that does is refused. Without it such a token is used until the caller's token ends and
    /// no longer, and counted, because another holder could use it for longer.
    pub fn issuer_caps_life(mut self) -> Self {
        self.issuer_caps_life = true;
        self
    }

    /// How long before its end a kept token is replaced. Default 10 seconds, at most five minutes.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// How many tokens are kept, for callers and scopes. Default 10,000.
    pub fn max_entries(mut self, max_entries: u64) -> Self {
        self.max_entries = max_entries;
        self
    }

    /// By which grants tokens are got. Default [`Flow::token_exchange`].
    pub fn flow(mut self, flow: Flow) -> Self {
        self.flow = flow;
        self
    }

    /// Sends a token of this service in each exchange, as the proof of the party that acts.
    /// Default: none, and the server takes the client that asks.
    pub fn actor_token(mut self, token: ActorToken) -> Self {
        self.actor_token = Some(token);
        self
    }

    /// Has tokens bound to a key of this exchange (RFC 9449): the key is made when the exchange
    /// is set up and never leaves, and each request to the server and to the downstream carries a
    /// proof by it. A token that is not bound to it is refused.
    pub fn dpop_bound(mut self) -> Self {
        self.is_dpop_bound = true;
        self
    }

    /// Has tokens bound to the certificate that the server's HTTP client
    /// [presents](HttpClient::client_certificate) (RFC 8705 section 3): one that is bound to no
    /// certificate, or to another one, is refused. The client that calls the downstream has to
    /// present the same certificate.
    pub fn certificate_bound(mut self) -> Self {
        self.is_certificate_bound = true;
        self
    }

    /// Checks everything; fetches nothing.
    ///
    /// # Errors
    /// Every mistake.
    pub(super) fn build(
        self,
        of_layer: Option<&HttpClient>,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Terms, Option<TrustedIssuer>), ConfigError> {
        let mut mistakes = Mistakes::default();
        self.check_scopes(&mut mistakes);
        self.check_limits(&mut mistakes);
        let url = mistakes.take(self.checked_url());
        let resource = self.resource.clone().unwrap_or_else(|| self.url.clone());
        if Url::parse(&resource).is_err_and(|_| !self.asks_by_audience) || resource.contains('#') {
            let problem = "its resource is no absolute URI without fragment (RFC 8707 section 2)";
            mistakes.add(self.wrong(problem));
        }
        let reads = mistakes.take(self.agreed());
        self.check_flow(&mut mistakes);
        let acts_as = self.acts_as.clone().or_else(|| {
            let server = self.flow.first().unwrap_or(&self.server);
            Some((server.issuer.clone(), server.client_id()?.as_str().into()))
        });
        let incomplete = self.wrong("it is not complete");
        let steps = self.flow.build(&mut mistakes, &self.name, of_layer, self.server.client_id());
        let server = self.server.build(&mut mistakes, &self.name, of_layer, self.is_certificate_bound);
        let dpop = self.is_dpop_bound.then(|| DpopKey::generate(Arc::clone(clock)));
        let dpop = dpop.and_then(|key| mistakes.take(key)).map(Arc::new);
        mistakes.into_result()?;
        let (Some(url), Some(requirement), Some(acts_as), Some(server), Some(steps), Some(reads)) =
            (url, self.requirement, acts_as, server, steps, reads)
        else {
            return Err(incomplete);
        };
        let target = self.audience.unwrap_or_else(|| resource.as_str().into());
        let reads = reads.map(|terms| terms.only_audience(target.clone()));
        let terms = Terms {
            name: self.name,
            origin: url.origin(),
            url,
            resource,
            asks_by_audience: self.asks_by_audience,
            target,
            server,
            steps,
            actor: self.actor_token.map(|token| token.build(self.margin)),
            requirement,
            scopes: self.scopes.into_iter().collect(),
            grants: self.grants,
            exceptions: self.exceptions,
            provider_scope: self.provider_scope,
            acts_as,
            actor_mode: self.actor_mode,
            chain_gain: self.chain_gain,
            subject_remapped: self.subject_remapped,
            reads_tenant: reads.as_ref().is_some_and(TrustedIssuer::names_tenant),
            detail_types: self.detail_types,
            max_lifetime: self.max_lifetime,
            issuer_caps_life: self.issuer_caps_life,
            margin: self.margin,
            max_entries: self.max_entries,
            dpop,
            is_certificate_bound: self.is_certificate_bound,
        };
        Ok((terms, reads))
    }

    fn wrong(&self, problem: &str) -> ConfigError {
        ConfigError::InvalidDownstream { downstream: self.name.to_string(), problem: problem.to_owned() }
    }

    /// Where tokens are sent.
    fn checked_url(&self) -> Result<Url, ConfigError> {
        const PURPOSE: &str = "the URL of a downstream";
        let url = configured_url(&self.url, PURPOSE)?;
        match check_protected(&url) {
            Err(_) if self.allows_plain_http && url.scheme() == "http" => Ok(url),
            Err(problem) => Err(ConfigError::InvalidUrl { url: url.to_string(), purpose: PURPOSE, problem }),
            Ok(()) => Ok(url),
        }
    }

    fn check_scopes(&self, mistakes: &mut Mistakes) {
        if self.scopes.is_empty() {
            mistakes.add(self.wrong("nothing may ever be asked for: name the most with `.add_scopes(..)`"));
        }
        let held = self.grants.iter().map(|(scope, _)| scope);
        let granted = || self.grants.iter().flat_map(|(_, worth)| worth);
        let excepted = || self.exceptions.iter().flat_map(|(scopes, ..)| scopes);
        let all =
            self.scopes.iter().chain(held).chain(granted()).chain(excepted()).chain(&self.provider_scope);
        for scope in all {
            mistakes.take(Scope::new(scope));
        }
        for scope in granted().chain(excepted()).filter(|scope| !self.scopes.contains(scope)) {
            mistakes.add(self.wrong(&format!(
                "{scope:?} can be granted and may never be asked for: name it in `.add_scopes(..)` too"
            )));
        }
        if self.exceptions.iter().any(|(_, reason, _)| reason.trim().is_empty()) {
            mistakes.add(self.wrong("an exception needs a reason"));
        }
    }

    fn check_flow(&self, mistakes: &mut Mistakes) {
        let (is_entra, mode) = (self.flow.is_entra(), self.actor_mode);
        if is_entra && mode == ActorMode::Required {
            let problem = "Entra names no actor: say `.actor_mode(ActorMode::None)`";
            mistakes.add(self.wrong(problem));
        }
        if is_entra && self.asks_by_audience {
            let problem = "Entra is asked by scope: leave out `.ask_by_audience()`";
            mistakes.add(self.wrong(problem));
        }
        if self.flow.has_useless_uris() {
            mistakes.add(self.wrong("`.application_uri(..)` is for `Flow::entra_on_behalf_of()` alone"));
        }
        if self.actor_token.is_some() && (is_entra || mode == ActorMode::None) {
            let problem = "its tokens name no actor: leave out `.actor_token(..)`";
            mistakes.add(self.wrong(problem));
        }
        if self.actor_token.as_ref().is_some_and(|token| !token.is_complete()) {
            mistakes.add(self.wrong("its actor token has no type (RFC 8693 section 3)"));
        }
        if self.flow.first().is_some_and(|first| first.issuer == self.server.issuer) {
            let problem = "the grant would be for the server that issues it: name two servers, or use \
                           `Flow::token_exchange()`";
            mistakes.add(self.wrong(problem));
        }
    }

    fn check_limits(&self, mistakes: &mut Mistakes) {
        if self.name.trim().is_empty() {
            mistakes.add(self.wrong("it has no name: records would not show where a token went"));
        }
        if self.requirement.is_none() {
            mistakes.add(self.wrong("it does not say who may cause an exchange: add `.require(..)`"));
        }
        if self.max_lifetime.is_zero() || self.max_lifetime > MAX_LIFETIME {
            let problem = "its tokens may live from one second to 24 hours: set `.max_token_lifetime(..)`";
            mistakes.add(self.wrong(problem));
        }
        if self.margin > MAX_MARGIN {
            mistakes.add(self.wrong("a margin of more than five minutes keeps no token: set `.margin(..)`"));
        }
    }

    /// The terms by which tokens are read; `None` where they are not.
    fn agreed(&self) -> Result<Option<TrustedIssuer>, ConfigError> {
        match &*self.agreement {
            [Agreement::Reads(terms)] => Ok(Some(TrustedIssuer::clone(terms))),
            [Agreement::Opaque(reason)] if reason.trim().is_empty() => {
                Err(self.wrong("tokens that are not read need a reason: `.opaque(\"why\")`"))
            }
            [Agreement::Opaque(_)]
                if self.issuer_caps_life || self.subject_remapped || !self.detail_types.is_empty() =>
            {
                let problem = "its tokens are not read, so what they say is not known: leave out \
                               `.issuer_caps_life()`, `.subject_remapped()` and authorization details";
                Err(self.wrong(problem))
            }
            [Agreement::Opaque(_)] => Ok(None),
            [] | [_, ..] => {
                Err(self.wrong("say once whether its tokens are read: `.reads(terms)` or `.opaque(\"why\")`"))
            }
        }
    }
}
