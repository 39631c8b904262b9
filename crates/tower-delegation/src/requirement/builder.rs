//! How a requirement is written: one method for each key.

use std::time::Duration;

use tower_delegation_demands::Key;

use super::{AuthorizationDetail, Demand, Requirement, TimeWindow};
use crate::{
    application::ApplicationKind,
    credential::configured_header,
    error::ConfigError,
    issuer::ClaimPath,
    names::{Audience, ClientId, IssuerUrl, SubjectId, SubjectKind, TenantId},
    spiffe::SpiffePattern,
};

macro_rules! flags {
    ($($(#[$doc:meta])* $variant:ident: $flag:ident;)*) => {
        impl Requirement { $(
            $(#[$doc])*
            #[must_use]
            pub fn $flag(self) -> Self {
                self.demand(Demand::$variant)
            }
        )*
            /// The same with this key, if it is one of these.
            #[cfg(feature = "toml")]
            pub(crate) fn with_flag(self, key: Key) -> Option<Self> {
                Some(match key { $(Key::$variant => self.$flag(),)* _ => return None })
            }
        }
    };
}

/// One value, and one of several. A second value of the same key is a mistake where
/// what it demands has one; grants add up.
macro_rules! one_or_any {
    ($($(#[$doc:meta])* $variant:ident: $one:ident, $any:ident ($kind:ident $(<$type:ty>)?) $read:expr;)*) => {
        impl Requirement { $(
            $(#[$doc])*
            #[must_use]
            pub fn $one(self, one: impl $kind$(<$type>)?) -> Self {
                self.demand(Demand::$variant(vec![$read(one)]))
            }

            #[doc = concat!("Demands one of these, each as [`", stringify!($one), "`](Self::", stringify!($one), ") means it.")]
            #[must_use]
            pub fn $any<T: $kind$(<$type>)?>(self, any: impl IntoIterator<Item = T>) -> Self {
                self.demand(Demand::$variant(any.into_iter().map($read).collect()))
            }
        )* }
    };
}

/// As [`one_or_any`], of what is written as text; and what has one text, as often as it is
/// written.
macro_rules! texts {
    (choices { $(
        $(#[$doc:meta])* $variant:ident: $one:ident, $any:ident ($kind:ident $(<$type:ty>)?) $read:expr;
    )* }
    each { $($(#[$each_doc:meta])* $each_variant:ident: $each:ident ($each_type:ty);)* }) => {
        one_or_any! { $($(#[$doc])* $variant: $one, $any ($kind $(<$type>)?) $read;)* }

        impl Requirement { $(
            $(#[$each_doc])*
            #[must_use]
            pub fn $each(self, text: $each_type) -> Self {
                self.demand(Demand::$each_variant(text.into()))
            }
        )*
            /// The same with one of these texts, which is the only one where there is no choice,
            /// if the key is one of these.
            #[cfg(feature = "toml")]
            pub(crate) fn with_texts(self, key: Key, texts: &[&str]) -> Option<Self> {
                let texts = texts.iter().copied();
                Some(match key.plain() {
                    $(Key::$variant => self.$any(texts),)*
                    $(Key::$each_variant => texts.fold(self, Self::$each),)*
                    _ => return None,
                })
            }
        }
    };
}

fn text(text: impl AsRef<str>) -> Box<str> {
    text.as_ref().into()
}

flags! {
    /// Demands a token that is bound to its presenter, so that a stolen one is
    /// of no use (RFC 8705 section 3, RFC 9449).
    SenderConstrained: sender_constrained;
    /// Demands a token that is bound to the client certificate of the
    /// connection (RFC 8705 section 3), and it may be bound to a key too.
    MutualTls: mutual_tls;
    /// Demands a token that is bound to a key whose possession the request
    /// proves (RFC 9449). Together with [`mutual_tls`](Self::mutual_tls) it
    /// demands a token that is bound to both.
    Dpop: dpop;
    /// Demands that an application acts for a user: the subject is a user
    /// (unknown is not enough) and the client is another party. What proves a
    /// user is for the issuer to say:
    /// [`TrustedIssuer::add_user_claim`](crate::issuer::TrustedIssuer::add_user_claim).
    OnBehalfOfUser: on_behalf_of_user;
    /// Demands that no application acts for a user. Where the subject's kind or
    /// the client is not known, that is not known either, and denied.
    NotOnBehalfOfUser: not_on_behalf_of_user;
    /// Demands a delegated token: one with an actor (RFC 8693 section 4.1).
    Delegated: delegated;
    /// Demands a token without an actor.
    NotDelegated: not_delegated;
}

texts! {
    choices {
        /// Demands a token of this issuer.
        Issuer: issuer, any_issuer (Into<IssuerUrl>) Into::into;
        /// Demands a token of this tenant, as the issuer's
        /// [`ClaimMapping`](crate::issuer::ClaimMapping) reads it. Tenants of two issuers
        /// may have one name: demand the [`issuer`](Self::issuer) too.
        Tenant: tenant, any_tenant (Into<TenantId>) Into::into;
        /// Demands that the token is meant for this audience. The issuer's audiences are
        /// checked in any case; this tells apart several that one service answers to.
        Audience: audience, any_audience (Into<Audience>) Into::into;
        /// Demands this current actor, vouched for by the token's own issuer. Earlier
        /// actors never count (RFC 8693 section 4.1).
        Actor: actor, any_actor (Into<SubjectId>) Into::into;
        /// Demands this client.
        Client: client, any_client (Into<ClientId>) Into::into;
        /// Demands that the client is the registered application of this name. Without a
        /// [registry](crate::application) this and the other demands on applications deny.
        Application: application, any_application (AsRef<str>) text;
        /// Demands a client whose application is registered for this tenant by name. An
        /// application for every tenant is not meant for one of them.
        ApplicationTenant: application_tenant, any_application_tenant (AsRef<str>) text;
        /// Demands a client whose application is registered for this environment by name.
        ApplicationEnvironment: application_environment, any_application_environment (AsRef<str>) text;
        /// Demands that the presenter is the registered application of this name: the
        /// current actor's if there is one, else the client's.
        Presenter: presenter, any_presenter (AsRef<str>) text;
        /// Demands a presenter whose application is registered for this tenant by name.
        PresenterTenant: presenter_tenant, any_presenter_tenant (AsRef<str>) text;
        /// Demands a presenter whose application is registered for this environment by name.
        PresenterEnvironment: presenter_environment, any_presenter_environment (AsRef<str>) text;
        /// Demands this role in addition to those already demanded, as the issuer's
        /// [`ClaimMapping`](crate::issuer::ClaimMapping) reads roles.
        Role: role, any_role (AsRef<str>) text;
        /// Demands this permission in addition to those already demanded, as the issuer's
        /// mapping reads permissions.
        Permission: permission, any_permission (AsRef<str>) text;
        /// Demands a subject in this group in addition to those already demanded. Groups
        /// that are not known ([`groups`](crate::context::DelegationContext::groups)
        /// is `None`) are a denial.
        Group: group, any_group (AsRef<str>) text;
        /// Demands an authentication of this class: the claim `acr` is exactly that
        /// (RFC 9470 section 5). Of several, the first is preferred. A token without `acr`
        /// does not satisfy. Otherwise the answer is 401 `insufficient_user_authentication`
        /// with `acr_values`; 403 where `acr` is malformed, which another sign-in does not cure.
        Acr: acr, any_acr (AsRef<str>) text;
        /// Demands this scope in addition to those already demanded. Of a choice, a
        /// challenge names the first that the application may ever use.
        Scope: scope, any_scope (AsRef<str>) text;
    }
    each {
        /// Refuses every token in whose chain this actor is, as the current one
        /// or an earlier one, whichever issuer vouches for it. Earlier actors only ever deny
        /// (RFC 8693 section 4.1), so inside [`not`](Self::not) they grant nothing.
        DenyActor: deny_actor (impl Into<SubjectId>);
        /// Refuses tokens of this client, and those that name none.
        DenyClient: deny_client (impl Into<ClientId>);
        /// Demands that the token's tenant is the text of this parameter of the path.
        TenantMatchesPath: tenant_matches_path (&str);
        /// Demands that the subject's identifier is the text of this parameter of
        /// the path: users reach what is their own. The identifier counts at its
        /// issuer only: where several are trusted, demand the
        /// [`issuer`](Self::issuer) too.
        SubjectMatchesPath: subject_matches_path (&str);
    }
}

one_or_any! {
    /// Demands a subject of this kind. Unknown is neither.
    SubjectKind: subject_kind, any_subject_kind (Into<SubjectKind>) Into::into;
    /// Demands a client whose registered application is of this kind.
    ApplicationKind: application_kind, any_application_kind (Into<ApplicationKind>) Into::into;
    /// Demands a presenter of this kind: that an agent, or no agent, holds the token now.
    PresenterKind: presenter_kind, any_presenter_kind (Into<ApplicationKind>) Into::into;
    /// Demands a current actor (RFC 8693 section 4.1) whose registered application is
    /// of this kind.
    ActorKind: actor_kind, any_actor_kind (Into<ApplicationKind>) Into::into;
    /// Demands that the request comes within this window.
    TimeWindow: time_window, any_time_window (Into<TimeWindow>) Into::into;
}

impl Requirement {
    /// Demands each of these scopes.
    #[must_use]
    pub fn scopes<'s>(self, scopes: impl IntoIterator<Item = &'s str>) -> Self {
        scopes.into_iter().fold(self, Self::scope)
    }

    /// Demands that the token is meant for no audience beyond these: a token that
    /// opens other services too is worth more to a thief. Where the issuer's
    /// tokens need not name an audience, one that names none is denied.
    #[must_use]
    pub fn audiences_within<A: Into<Audience>>(self, audiences: impl IntoIterator<Item = A>) -> Self {
        self.demand(Demand::AudiencesWithin(audiences.into_iter().map(Into::into).collect()))
    }

    /// Demands that the token itself has no scope beyond these, before any ceiling
    /// is applied: broad tokens do not belong on this route.
    #[must_use]
    pub fn scopes_within<'s>(self, scopes: impl IntoIterator<Item = &'s str>) -> Self {
        self.demand(Demand::ScopesWithin(scopes.into_iter().map(text).collect()))
    }

    /// Demands a token that was issued to live this long at most. A token without
    /// `iat`, which some mappings allow, does not satisfy.
    #[must_use]
    pub fn max_token_lifetime(self, lifetime: Duration) -> Self {
        self.demand(Demand::MaxTokenLifetime(lifetime))
    }

    /// Demands a token that was issued this long ago at most, however long it
    /// lives; the configured leeway is added. An older one is a 401: a new one
    /// would do. So is a token without `iat`, which some mappings allow.
    #[must_use]
    pub fn max_token_age(self, age: Duration) -> Self {
        self.demand(Demand::MaxTokenAge(age))
    }

    /// Demands a user who authenticated this long ago at most: `auth_time`,
    /// with the configured leeway (RFC 9470 section 5). A token without
    /// `auth_time` does not satisfy. Otherwise the answer is 401
    /// `insufficient_user_authentication` with `max_age` in whole seconds.
    #[must_use]
    pub fn max_authentication_age(self, age: Duration) -> Self {
        self.demand(Demand::MaxAuthenticationAge(age))
    }

    /// Demands that the workload at the other end of the connection has a SPIFFE
    /// ID of this [pattern](SpiffePattern::new), from a certificate that chains to
    /// a trust anchor.
    #[must_use]
    pub fn workload(self, pattern: &str) -> Self {
        self.any_workload([pattern])
    }

    /// Demands a workload of one of these patterns, each as
    /// [`workload`](Self::workload) means it.
    #[must_use]
    pub fn any_workload<'p>(mut self, patterns: impl IntoIterator<Item = &'p str>) -> Self {
        let mut any = Vec::new();
        for pattern in patterns {
            match SpiffePattern::new(pattern) {
                Ok(pattern) => any.push(pattern),
                Err(error) => self.mistake(Key::Workload, error.to_string()),
            }
        }
        self.demand(Demand::Workload(any))
    }

    /// Demands a chain of this many actors at most, the current one included.
    /// The layer's own `max_actors` bounds every token before.
    #[must_use]
    pub fn max_actors(self, max: usize) -> Self {
        self.demand(Demand::MaxActors(max))
    }

    /// Demands this current actor of this issuer: for actors that another issuer
    /// vouches for (RFC 8693 section 4.1).
    #[must_use]
    pub fn actor_of(self, issuer: impl Into<IssuerUrl>, actor: impl Into<SubjectId>) -> Self {
        self.demand(Demand::ActorOf(vec![(issuer.into(), actor.into())]))
    }

    /// Demands one of these current actors, each of its issuer, as
    /// [`actor_of`](Self::actor_of) means it.
    #[must_use]
    pub fn any_actor_of<I: Into<IssuerUrl>, A: Into<SubjectId>>(
        self,
        actors: impl IntoIterator<Item = (I, A)>,
    ) -> Self {
        let actors = actors.into_iter().map(|(issuer, actor)| (issuer.into(), actor.into()));
        self.demand(Demand::ActorOf(actors.collect()))
    }

    /// Demands that the risk signal of this name says less than `level`, from
    /// 1 to 100. A signal that cannot tell is a denial; one that is not
    /// [registered](crate::layer::DelegationLayerBuilder::add_risk_signal) is a 500,
    /// because the service is wired wrongly.
    #[must_use]
    pub fn risk_below(self, signal: &str, level: u8) -> Self {
        self.demand(Demand::RiskBelow(signal.into(), level))
    }

    /// Demands that a claim is this text: a string equal to it, or a number or
    /// a boolean whose JSON text it is. Nothing is normalised. A claim that is
    /// absent, `null`, an array or an object is a denial. The chain of actors, `act`,
    /// is no claim here: [`actor`](Self::actor) demands the current one.
    ///
    /// This and the other demands on claims read the JSON of the token's
    /// payload on each request, and only where they are demanded: under a microsecond
    /// for each claim of a token of usual size.
    #[must_use]
    pub fn claim_equals(self, claim: impl Into<ClaimPath>, value: impl AsRef<str>) -> Self {
        self.claim_one_of(claim, [value])
    }

    /// Demands that a claim is one of these texts, as in
    /// [`claim_equals`](Self::claim_equals).
    #[must_use]
    pub fn claim_one_of<T: AsRef<str>>(
        self,
        claim: impl Into<ClaimPath>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        self.demand(Demand::ClaimOneOf(claim.into(), values.into_iter().map(text).collect()))
    }

    /// Demands that a claim is the text of this parameter of the path,
    /// percent-decoded. A parameter that is not known is a denial: see
    /// [`RequestFacts::path_parameters`](crate::context::RequestFacts::path_parameters).
    #[must_use]
    pub fn claim_matches_path(self, claim: impl Into<ClaimPath>, parameter: &str) -> Self {
        self.demand(Demand::ClaimMatchesPath(claim.into(), parameter.into()))
    }

    /// Demands that a claim is the text of this header field, which occurs
    /// exactly once. The field is the client's word; the token confirms it. A field
    /// with [a meaning of its own](crate::credential#header-fields-that-speak-for-a-client)
    /// is a mistake.
    #[must_use]
    pub fn claim_matches_header(mut self, claim: impl Into<ClaimPath>, header: &str) -> Self {
        match self.header(Key::ClaimMatchesHeader, header) {
            Some(header) => self.demand(Demand::ClaimMatchesHeader(claim.into(), header)),
            None => self,
        }
    }

    /// Demands that the token's tenant is the text of this header field, which
    /// occurs exactly once, as [`claim_matches_header`](Self::claim_matches_header) does.
    #[must_use]
    pub fn tenant_matches_header(mut self, header: &str) -> Self {
        match self.header(Key::TenantMatchesHeader, header) {
            Some(header) => self.demand(Demand::TenantMatchesHeader(header)),
            None => self,
        }
    }

    /// Demands that the token was issued for this purpose: that this claim is
    /// exactly that string.
    #[must_use]
    pub fn purpose(self, claim: impl Into<ClaimPath>, purpose: impl AsRef<str>) -> Self {
        self.any_purpose(claim, [purpose])
    }

    /// Demands that the token was issued for one of these purposes, each as
    /// [`purpose`](Self::purpose) means it.
    #[must_use]
    pub fn any_purpose<T: AsRef<str>>(
        self,
        claim: impl Into<ClaimPath>,
        purposes: impl IntoIterator<Item = T>,
    ) -> Self {
        self.demand(Demand::Purpose(claim.into(), purposes.into_iter().map(text).collect()))
    }

    /// Demands that one object of the claim `authorization_details` grants all
    /// of this (RFC 9396 section 2), in addition to what is already demanded, which
    /// another object may grant. Scopes are a grant of their own: what is
    /// demanded of both must be met by both.
    #[must_use]
    pub fn authorization_detail(self, detail: AuthorizationDetail) -> Self {
        self.demand(Demand::AuthorizationDetail(Box::new(detail)))
    }

    /// Demands all of these.
    #[must_use]
    pub fn all_of(self, parts: impl IntoIterator<Item = Self>) -> Self {
        self.demand(Demand::AllOf(parts.into_iter().collect()))
    }

    /// Demands at least one of these. The denial is that of the first that more
    /// scope or another sign-in would meet, and else that of the first; the
    /// challenge names what that one needs.
    #[must_use]
    pub fn any_of(self, alternatives: impl IntoIterator<Item = Self>) -> Self {
        self.demand(Demand::AnyOf(alternatives.into_iter().collect()))
    }

    /// Demands that this is not the case, beyond doubt: where it fails only
    /// because something is absent, malformed, spelled in another way or not known,
    /// it may be the case all the same, and that is a denial. `not(client("x"))`
    /// refuses a token without a client, `not(group("contractors"))` one whose groups
    /// are not known, `not(role("trainee"))` one that names no role at all. Of several
    /// demands in it, one that certainly fails is enough.
    #[must_use]
    pub fn not(self, excluded: Self) -> Self {
        self.demand(Demand::Not(Box::new(excluded)))
    }

    fn header(&mut self, key: Key, header: &str) -> Option<http::HeaderName> {
        match configured_header(header, "a claim") {
            Ok(header) => return Some(header),
            Err(ConfigError::InvalidHeader { problem, .. }) => self.mistake(key, problem),
            Err(error) => self.mistake(key, error.to_string()),
        }
        None
    }
}
