//! [`DelegationLayerBuilder`]: everything that a layer is made of.

use std::{sync::Arc, time::Duration};

use super::{
    AnonymousRequests, DelegationLayer, InnerAuthenticators, routes::KnownRoutes,
    undecided::UndecidedResponses,
};
use crate::{
    application::Applications,
    audit::{Audit, TokenHashKey, Trail},
    authenticator::{ClientIdentity, Configuration},
    clock::Clock,
    context::RiskSignal,
    error::{ConfigError, Mistakes},
    issuer::{IssuerResolver, TrustedIssuer},
    proof::Dpop,
    protected_resource::ProtectedResource,
    revocation::RevocationStore,
    settings::Settings,
    token::TokenCache,
};

/// Configures a [`DelegationLayer`]. Nothing is checked and nothing fetched
/// before [`build`](Self::build).
///
/// What is plain data can also be given as a whole, by [`settings`](Self::settings).
#[derive(Debug, Default)]
#[must_use]
pub struct DelegationLayerBuilder {
    settings: Settings,
    handles: Configuration,
    audits: Vec<Audit>,
    token_hash_key: Option<TokenHashKey>,
    tables: Vec<crate::routes::RouteTable>,
}

impl DelegationLayer {
    /// Starts a configuration.
    pub fn builder() -> DelegationLayerBuilder {
        DelegationLayerBuilder::default()
    }
}

impl DelegationLayerBuilder {
    /// Replaces everything that is plain data, also what was set before by the setters
    /// of single settings. Those that are called afterwards change these settings.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_delegation::{DelegationLayer, Settings};
    ///
    /// let mut settings = Settings::default();
    /// settings.realm = "orders".to_owned();
    /// let builder = DelegationLayer::builder().settings(settings).leeway(Duration::from_secs(10));
    /// # let _ = builder;
    /// ```
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Trusts one more issuer. Issuers are isolated: keys, algorithms, audiences
    /// and limits of one never serve another's tokens (RFC 8725 section 3.8).
    pub fn add_issuer(mut self, issuer: TrustedIssuer) -> Self {
        self.handles.issuers.push(issuer);
        self
    }

    /// Trusts the issuers that `resolver` knows, in addition to those given by
    /// [`add_issuer`](Self::add_issuer): for issuers that are known only at run time. It
    /// is asked only for issuers that are not configured, after the resolvers
    /// given before it, and [its answers count for a while](IssuerResolver#how-long-an-answer-counts).
    /// [`DelegationLayer::warm_up`] does not fetch their keys.
    pub fn add_issuer_resolver(mut self, resolver: impl IssuerResolver) -> Self {
        self.handles.resolvers.push(Arc::new(resolver));
        self
    }

    /// Serves requests without credentials too, for routers with public routes.
    /// `Option<DelegationContext>` is then `None`; a handler that asks for a
    /// `DelegationContext` or `Authorized<R>` answers 401. Bad credentials are
    /// refused all the same.
    pub fn allow_anonymous(mut self) -> Self {
        self.settings.allow_anonymous = true;
        self
    }

    /// Refuses what nothing has decided: where no enforced requirement allowed a
    /// request, its route is not public, and the service answers with success
    /// (below 400) all the same, head and body of the answer are dropped and a
    /// 500 `misconfigured` is sent instead, with an error event. With gRPC it is
    /// `grpc-status: 13`. Answers of failure pass.
    ///
    /// Requirements in [shadow mode](crate::requirement::Requirement::shadow) or
    /// under an [exception](crate::requirement::Requirement::exception) count for
    /// nothing, and neither does what was only
    /// [asked](crate::context::DelegationContext::permits): where a rule is on
    /// trial, another one decides, such as
    /// [`AnyCaller`](crate::routing::AnyCaller).
    ///
    /// This is the last net, not the first: the handler **has run** by then, and
    /// what it has written is written. What keeps an unruled route from being
    /// built at all is [`GuardedRouter`](crate::routing::GuardedRouter); what refuses
    /// before the handler is a [`RouteTable`](crate::routes).
    ///
    /// Off by default, because a service may want nothing but a verified token,
    /// and read the context by itself. A `GuardedRouter` turns it on.
    pub fn refuse_undecided(mut self) -> Self {
        self.settings.refuse_undecided = true;
        self
    }

    /// Says that a layer with another authenticator further inside is meant: it
    /// replaces what this one finds. By default the first request on which that
    /// happens is reported with a warning, once in the life of the process.
    ///
    /// The inner layer's decisions are about its own context: this layer's
    /// [`refuse_undecided`](Self::refuse_undecided) does not count them. Where both take
    /// DPoP proofs for one origin, the proof is used up once if they share a
    /// [store](crate::proof::Dpop::replay_store); otherwise each remembers it in its own. A
    /// layer that is only nested is cloned instead.
    pub fn allow_inner_authenticator(mut self) -> Self {
        self.settings.allow_inner_authenticator = true;
        self
    }

    /// How far clocks may differ: `exp`, `nbf` and `iat` are judged with this
    /// much forgiveness. Default 30 s, at most 300 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.settings.leeway = leeway;
        self
    }

    /// Refuses tokens that were issued to live longer (`exp` minus `iat`), of any
    /// issuer, resolved ones included. Where an
    /// [issuer has a limit of its own](TrustedIssuer::max_token_lifetime), the shorter
    /// one counts. Default: no limit. The first token of an issuer that lives longer
    /// than a day is logged as a warning.
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.max_token_lifetime = Some(lifetime);
        self
    }

    /// How many actors one chain may have (RFC 8693 section 4.1); longer ones
    /// are refused, not cut. Default 8, from 1 to 64.
    pub fn max_actors(mut self, max_actors: usize) -> Self {
        self.settings.max_actors = max_actors;
        self
    }

    /// The protection space that challenges name (RFC 9110 section 11.5).
    /// Default `api`.
    pub fn realm(mut self, realm: &str) -> Self {
        self.settings.realm = realm.to_owned();
        self
    }

    /// How many verified tokens are kept, so that their signature is checked
    /// once. Default 50,000 tokens, 64 MiB.
    pub fn token_cache(mut self, token_cache: TokenCache) -> Self {
        self.settings.token_cache = token_cache;
        self
    }

    /// Adds an identity header, such as nginx's `ssl-client-verify` or
    /// `ssl-client-subject-dn`: removed from every request, in every spelling, as
    /// [those that are known anyway](crate::credential#header-fields-that-speak-for-a-client).
    /// The trusted hop's own is not counted as untrusted. [`build`](Self::build) refuses a
    /// field with a meaning of its own, such as `authorization` or `content-length`.
    pub fn add_identity_header(mut self, name: &str) -> Self {
        self.settings.identity_headers.push(name.to_owned());
        self
    }

    /// Refuses a request with an identity header that came from a hop that is not
    /// trusted: 400. Default: the field is removed and the request goes on.
    pub fn refuse_untrusted_identity_headers(mut self) -> Self {
        self.settings.refuse_untrusted_identity_headers = true;
        self
    }

    /// The clock that decides every lifetime. Default
    /// [`SystemClock`](crate::clock::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.handles.clock = Arc::new(clock);
        self
    }

    /// Where the identity of the workload at the other end of the connection
    /// comes from. Not considered unless set: every token that is bound to a
    /// certificate is then refused.
    pub fn client_identity(mut self, client_identity: ClientIdentity) -> Self {
        self.handles.client_identity = Some(client_identity);
        self
    }

    /// What knows which tokens are revoked, asked on every request, also for
    /// tokens whose verification is cached. None unless set: a token is then good
    /// until it expires. [`build`](Self::build) fails if the store holds a
    /// revocation that can match nothing here.
    pub fn revocations(mut self, revocations: impl RevocationStore) -> Self {
        self.handles.revocations = Some(Arc::new(revocations));
        self
    }

    /// Accepts tokens that are bound to a key, by scheme `DPoP` with a proof
    /// (RFC 9449). Not configured unless set: every such token is then refused. Not
    /// together with the `dpop` of [`Settings`], which a `Dpop` can be made of.
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.handles.dpop = Some(dpop);
        self
    }

    /// The [registry of applications](crate::application) that may present
    /// tokens, and how much each may do at most. Without one, any client of a
    /// trusted issuer is accepted.
    pub fn applications(mut self, applications: Applications) -> Self {
        self.handles.applications = Some(applications);
        self
    }

    /// Registers a risk signal under the name that requirements call it by.
    pub fn add_risk_signal(mut self, name: &str, signal: impl RiskSignal) -> Self {
        self.handles.risk.push((name.into(), Arc::new(signal)));
        self
    }

    /// How clients know the service: every challenge then names its metadata
    /// (RFC 9728). The metadata is served by
    /// [`resource_metadata`](crate::routing::resource_metadata). Unless it is set,
    /// challenges name no metadata, and there is none to serve.
    pub fn protected_resource(mut self, resource: ProtectedResource) -> Self {
        self.handles.protected_resource = Some(resource);
        self
    }

    /// Says that the routes behind the layer have their rules in this table, which a
    /// [`RouteTableLayer`](super::RouteTableLayer) further inside asks. The layer then
    /// verifies nothing before a route whose row is public, and names the scopes of a
    /// row to a request without credentials. Of several tables each must say that a
    /// route is public.
    ///
    /// The rules of the table are held against the configuration when the layer is built,
    /// and at each reload of the table for as long as the layer lives: where one can never
    /// be met, or does not say whose a name is, the layer does not build, and the rows in
    /// use stay.
    pub fn route_table(mut self, table: &crate::routes::RouteTable) -> Self {
        self.tables.push(table.clone());
        self
    }

    /// Sends audit events to this sink, too. The first one replaces the
    /// default, a `tracing` event for each request;
    /// `Audit::inline(TracingSink)` brings that back.
    pub fn add_audit(mut self, audit: Audit) -> Self {
        self.audits.push(audit);
        self
    }

    /// The key under which audit events name tokens. By default a random one,
    /// so that hashes of two processes cannot be compared.
    pub fn token_hash_key(mut self, key: TokenHashKey) -> Self {
        self.token_hash_key = Some(key);
        self
    }

    /// How metadata and keys are fetched: through a proxy, with a credential, from a server
    /// of a private authority. Default
    /// [`HttpClient::new`](crate::http_client::HttpClient::new) as it is. An issuer may have
    /// [one of its own](crate::TrustedIssuer::http_client).
    #[cfg(feature = "http-client")]
    pub fn http_client(mut self, http_client: crate::http_client::HttpClient) -> Self {
        self.handles.http_client = Some(http_client);
        self
    }

    /// Checks the configuration and starts the threads of the audit sinks. No network:
    /// keys load on first use, or with [`DelegationLayer::warm_up`].
    ///
    /// # Errors
    /// Every mistake that there is, with its setting, its value and what would be right:
    /// see [`ConfigError::mistakes`].
    pub fn build(self) -> Result<DelegationLayer, ConfigError> {
        let Self { settings, handles, audits, token_hash_key, tables } = self;
        let mut mistakes = Mistakes::default();
        for audit in &audits {
            mistakes.take(audit.check());
        }
        let authenticator = handles.build(&settings, mistakes)?;
        crate::error::all(tables.iter().map(|table| authenticator.check_table(table)))?;
        let trail = Trail::new(audits, token_hash_key, authenticator.clock().clone())?;
        Ok(DelegationLayer {
            authenticator,
            anonymous: match settings.allow_anonymous {
                true => AnonymousRequests::Allowed,
                false => AnonymousRequests::Refused,
            },
            undecided: match settings.refuse_undecided {
                true => UndecidedResponses::Refused,
                false => UndecidedResponses::Sent,
            },
            inner_authenticators: match settings.allow_inner_authenticator {
                true => InnerAuthenticators::Allowed,
                false => InnerAuthenticators::Reported,
            },
            routes: KnownRoutes::of_tables(tables),
            trail,
        })
    }
}
