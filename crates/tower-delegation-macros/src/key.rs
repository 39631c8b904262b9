//! What can be demanded: one table of names, forms and words.

/// How the value of a key is written, and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `key`
    Flag,
    /// `key = ".."`
    Text,
    /// `key(.., ..)`: at least two texts.
    Choice,
    /// `key(.., ..)`: at least one text.
    List,
    /// `key = 2`
    Number,
    /// `key = 300`: seconds, a `Duration` in the builder.
    Seconds,
    /// `key("..", "..")`
    Pair,
    /// `key("..", 70)`
    Level,
    /// `key = user`
    Kind,
    /// `key = agent`
    ApplicationKind,
}

macro_rules! keys {
    ($($key:ident = $name:literal, $form:ident, $usage:literal, $noun:literal;)*) => {
        /// A key of `#[requires]`. The builder method of `Requirement` bears the same name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Key {
            $($key,)*
        }

        impl Key {
            pub(crate) const ALL: &[Self] = &[$(Self::$key,)*];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$key => $name,)*
                }
            }

            pub(crate) fn form(self) -> Form {
                match self {
                    $(Self::$key => Form::$form,)*
                }
            }

            /// How it is written.
            pub(crate) fn usage(self) -> &'static str {
                match self {
                    $(Self::$key => $usage,)*
                }
            }

            /// What its text, or the first of several, is.
            pub(crate) fn noun(self) -> &'static str {
                match self {
                    $(Self::$key => $noun,)*
                }
            }
        }
    };
}

keys! {
    Scope = "scope", Text, r#"scope = "..""#, "scope";
    AnyScope = "any_scope", Choice, r#"any_scope("..", "..")"#, "scope";
    ScopesWithin = "scopes_within", List, r#"scopes_within("..", "..")"#, "scope";
    Audience = "audience", Text, r#"audience = "..""#, "audience";
    AudiencesWithin = "audiences_within", List, r#"audiences_within("..", "..")"#, "audience";
    Issuer = "issuer", Text, r#"issuer = "..""#, "issuer";
    Tenant = "tenant", Text, r#"tenant = "..""#, "tenant";
    MaxTokenLifetime = "max_token_lifetime", Seconds, "max_token_lifetime = 900", "number of seconds";
    MaxTokenAge = "max_token_age", Seconds, "max_token_age = 300", "number of seconds";
    SenderConstrained = "sender_constrained", Flag, "sender_constrained", "argument";
    MutualTls = "mutual_tls", Flag, "mutual_tls", "argument";
    Dpop = "dpop", Flag, "dpop", "argument";
    Workload = "workload", Text, r#"workload = "spiffe://..""#, "workload pattern";
    SubjectKind = "subject_kind", Kind, "subject_kind = user` or `subject_kind = service", "argument";
    OnBehalfOfUser = "on_behalf_of_user", Flag, "on_behalf_of_user", "argument";
    NotOnBehalfOfUser = "not_on_behalf_of_user", Flag, "not_on_behalf_of_user", "argument";
    Delegated = "delegated", Flag, "delegated", "argument";
    NotDelegated = "not_delegated", Flag, "not_delegated", "argument";
    MaxActors = "max_actors", Number, "max_actors = 2", "number of actors";
    DenyActor = "deny_actor", Text, r#"deny_actor = "..""#, "actor";
    Actor = "actor", Text, r#"actor = "..""#, "actor";
    ActorOf = "actor_of", Pair, r#"actor_of("issuer", "actor")"#, "issuer";
    Client = "client", Text, r#"client = "..""#, "client";
    Application = "application", Text, r#"application = "..""#, "application";
    ApplicationKind = "application_kind", ApplicationKind, "application_kind = service", "argument";
    ApplicationTenant = "application_tenant", Text, r#"application_tenant = "..""#, "tenant";
    ApplicationEnvironment = "application_environment", Text, r#"application_environment = "..""#, "environment";
    Presenter = "presenter", Text, r#"presenter = "..""#, "application";
    PresenterKind = "presenter_kind", ApplicationKind, "presenter_kind = agent", "argument";
    ActorKind = "actor_kind", ApplicationKind, "actor_kind = agent", "argument";
    PresenterTenant = "presenter_tenant", Text, r#"presenter_tenant = "..""#, "tenant";
    PresenterEnvironment = "presenter_environment", Text, r#"presenter_environment = "..""#, "environment";
    RiskBelow = "risk_below", Level, r#"risk_below("signal", 70)"#, "risk signal";
    ClaimEquals = "claim_equals", Pair, r#"claim_equals("claim", "value")"#, "claim";
    ClaimMatchesPath = "claim_matches_path", Pair, r#"claim_matches_path("claim", "parameter")"#, "claim";
    ClaimMatchesHeader = "claim_matches_header", Pair, r#"claim_matches_header("claim", "header")"#, "claim";
    TenantMatchesPath = "tenant_matches_path", Text, r#"tenant_matches_path = "parameter""#, "parameter";
    TenantMatchesHeader = "tenant_matches_header", Text, r#"tenant_matches_header = "header""#, "header field";
    SubjectMatchesPath = "subject_matches_path", Text, r#"subject_matches_path = "parameter""#, "parameter";
    Purpose = "purpose", Pair, r#"purpose("claim", "purpose")"#, "claim";
    Role = "role", Text, r#"role = "..""#, "role";
    AnyRole = "any_role", Choice, r#"any_role("..", "..")"#, "role";
    Permission = "permission", Text, r#"permission = "..""#, "permission";
    AnyPermission = "any_permission", Choice, r#"any_permission("..", "..")"#, "permission";
    Group = "group", Text, r#"group = "..""#, "group";
    AnyGroup = "any_group", Choice, r#"any_group("..", "..")"#, "group";
    Acr = "acr", Text, r#"acr = "..""#, "authentication class";
    MaxAuthenticationAge = "max_authentication_age", Seconds, "max_authentication_age = 300", "number of seconds";
    Shadow = "shadow", Flag, "shadow", "argument";
}

impl Key {
    /// The key that demands one of what this key's choice is between.
    pub(crate) fn alone(self) -> Option<Self> {
        match self {
            Self::AnyScope => Some(Self::Scope),
            Self::AnyRole => Some(Self::Role),
            Self::AnyPermission => Some(Self::Permission),
            Self::AnyGroup => Some(Self::Group),
            _ => None,
        }
    }
}
