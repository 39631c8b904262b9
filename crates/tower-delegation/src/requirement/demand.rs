//! [`Requirement`] and what it is made of: [`Demand`], [`Enforcement`].

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::HeaderName;
use tower_delegation_demands::{Key, judge};

use super::{AuthorizationDetail, TimeWindow};
use crate::{
    application::ApplicationKind,
    clock::Timestamp,
    error::{ConfigError, Mistakes},
    issuer::ClaimPath,
    names::{Audience, ClientId, IssuerUrl, SubjectId, SubjectKind, TenantId},
    reason::DenialReason,
    spiffe::SpiffePattern,
};

/// The name of a requirement without one of its own.
const UNNAMED: &str = "requirement";

/// What is demanded of a request's [`DelegationContext`](crate::context::DelegationContext).
///
/// A new requirement demands nothing beyond a verified token. Each method adds
/// one demand. Mistakes (an impossible scope, two demands that exclude each
/// other) are kept, all of them, and reported by [`check`](Self::check),
/// [`RequireLayer::new`](crate::layer::RequireLayer::new) and, at the latest,
/// by the first request.
///
/// `Display` says it in one line, `Serialize` as one JSON object:
///
/// ```
/// use tower_delegation::Requirement;
///
/// let requirement = Requirement::named("RefundOrder").scope("orders:refund").any_client(["web", "app"]);
/// assert_eq!(requirement.to_string(), r#"RefundOrder: client any [ "web", "app" ]; scope "orders:refund""#);
/// assert_eq!(
///     serde_json::to_string(&requirement)?,
///     r#"{"name":"RefundOrder","client":{"any":["web","app"]},"scope":"orders:refund"}"#
/// );
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Requirement {
    pub(super) name: Cow<'static, str>,
    /// In the order of the checks.
    pub(super) demands: Vec<Demand>,
    pub(super) enforcement: Enforcement,
    /// The scopes demanded, space-delimited, as audit events carry them.
    demanded_scopes: Option<Arc<str>>,
    /// What was wrong as it was written, then what the demands are together.
    pub(super) mistakes: Vec<Mistake>,
}

/// A mistake in the making of a requirement.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    pub(crate) key: Key,
    pub(crate) words: Cow<'static, str>,
    /// Found by judging the demands together, which is done again with each of them.
    is_judged: bool,
}

/// What comes of a denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Enforcement {
    Enforced,
    Shadow,
    Excepted { reason: Cow<'static, str>, until: Timestamp },
}

macro_rules! demands {
    ($($(#[$doc:meta])* $variant:ident $(($($type:ty),*))? => $reason:ident;)*) => {
        /// One thing that a requirement demands, in the order of the checks. A list in
        /// it holds alternatives, one of which is enough; a bound names what is tolerated.
        ///
        /// Each variant has its words in `say.rs`, its check in `check.rs`, and where it
        /// bars a registered application, a line in `bars.rs`.
        #[derive(Clone, Debug)]
        pub(crate) enum Demand {
            $($(#[$doc])* $variant $(($($type),*))?,)*
        }

        impl Demand {
            /// Its key, which is also its place in the order.
            pub(crate) fn key(&self) -> Key {
                match self {
                    Self::ClaimOneOf(_, values) if values.len() == 1 => Key::ClaimEquals,
                    $(Self::$variant { .. } => Key::$variant,)*
                }
            }

            /// Why a request is denied that does not meet it; some denials say more.
            pub(super) fn reason(&self) -> DenialReason {
                match self { $(Self::$variant { .. } => DenialReason::$reason,)* }
            }
        }
    };
}

demands! {
    // The token.
    Issuer(Vec<IssuerUrl>) => IssuerNotAllowed;
    Tenant(Vec<TenantId>) => TenantMismatch;
    Audience(Vec<Audience>) => AudienceNotAllowed;
    AudiencesWithin(Vec<Audience>) => AudienceTooBroad;
    ScopesWithin(Vec<Box<str>>) => ScopeTooBroad;
    MaxTokenLifetime(Duration) => TokenLifetimeNotAllowed;
    MaxTokenAge(Duration) => TokenAgeNotAllowed;
    // Its sender.
    SenderConstrained => SenderConstraintMissing;
    MutualTls => SenderConstraintNotAllowed;
    Dpop => SenderConstraintNotAllowed;
    Workload(Vec<SpiffePattern>) => WorkloadNotAllowed;
    // The parties.
    SubjectKind(Vec<SubjectKind>) => SubjectKindNotAllowed;
    OnBehalfOfUser => NotOnBehalfOfUser;
    NotOnBehalfOfUser => OnBehalfOfUserForbidden;
    Delegated => DelegationRequired;
    NotDelegated => DelegationForbidden;
    MaxActors(usize) => ActorChainNotAllowed;
    DenyActor(SubjectId) => ActorDenied;
    /// Of the token's issuer.
    Actor(Vec<SubjectId>) => ActorNotAllowed;
    ActorOf(Vec<(IssuerUrl, SubjectId)>) => ActorNotAllowed;
    DenyClient(ClientId) => ClientDenied;
    Client(Vec<ClientId>) => ClientNotAllowed;
    // Their registered applications.
    Application(Vec<Box<str>>) => ApplicationNotAllowed;
    ApplicationKind(Vec<ApplicationKind>) => ApplicationNotAllowed;
    ApplicationTenant(Vec<Box<str>>) => ApplicationNotAllowed;
    ApplicationEnvironment(Vec<Box<str>>) => ApplicationNotAllowed;
    Presenter(Vec<Box<str>>) => PresenterNotAllowed;
    PresenterKind(Vec<ApplicationKind>) => PresenterNotAllowed;
    PresenterTenant(Vec<Box<str>>) => PresenterNotAllowed;
    PresenterEnvironment(Vec<Box<str>>) => PresenterNotAllowed;
    ActorKind(Vec<ApplicationKind>) => ActorNotAllowed;
    // The request.
    TimeWindow(Vec<TimeWindow>) => OutsideTimeWindow;
    RiskBelow(Box<str>, u8) => RiskTooHigh;
    // Comparisons.
    ClaimOneOf(ClaimPath, Vec<Box<str>>) => ClaimNotAllowed;
    ClaimMatchesPath(ClaimPath, Box<str>) => PathParameterMismatch;
    ClaimMatchesHeader(ClaimPath, HeaderName) => HeaderMismatch;
    TenantMatchesPath(Box<str>) => PathParameterMismatch;
    TenantMatchesHeader(HeaderName) => HeaderMismatch;
    SubjectMatchesPath(Box<str>) => PathParameterMismatch;
    Purpose(ClaimPath, Vec<Box<str>>) => PurposeNotAllowed;
    // Grants.
    Role(Vec<Box<str>>) => RoleMissing;
    Permission(Vec<Box<str>>) => PermissionMissing;
    Group(Vec<Box<str>>) => GroupMissing;
    AuthorizationDetail(Box<AuthorizationDetail>) => AuthorizationDetailMissing;
    // Compositions.
    AllOf(Vec<Requirement>) => RequirementContradictory;
    AnyOf(Vec<Requirement>) => RequirementContradictory;
    Not(Box<Requirement>) => Excluded;
    // What a client can mend.
    Acr(Vec<Box<str>>) => AuthenticationTooWeak;
    MaxAuthenticationAge(Duration) => AuthenticationTooOld;
    Scope(Vec<Box<str>>) => ScopeMissing;
}

impl Demand {
    /// The requirements that it is made of.
    pub(crate) fn parts(&self) -> &[Requirement] {
        match self {
            Self::AllOf(parts) | Self::AnyOf(parts) => parts,
            Self::Not(part) => std::slice::from_ref(part),
            _ => &[],
        }
    }

    /// Does it look at the parameters of the path?
    pub(super) fn reads_path(&self) -> bool {
        match self {
            Self::ClaimMatchesPath(..) | Self::TenantMatchesPath(_) | Self::SubjectMatchesPath(_) => true,
            Self::AuthorizationDetail(detail) => detail.reads_path(),
            _ => self.parts().iter().any(Requirement::reads_path),
        }
    }
}

impl Requirement {
    /// A requirement that demands only a verified token, named `requirement`
    /// in the audit trail.
    #[must_use]
    pub fn new() -> Self {
        Self::named(UNNAMED)
    }

    /// A requirement with a name of its own in the audit trail.
    #[must_use]
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            demands: Vec::new(),
            enforcement: Enforcement::Enforced,
            demanded_scopes: None,
            mistakes: Vec::new(),
        }
    }

    /// The name in the audit trail.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This requirement, if it is free of mistakes.
    ///
    /// # Errors
    /// A [`ConfigError::InvalidRequirement`] for each mistake.
    pub fn checked(self) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        for Mistake { key, words, .. } in &self.mistakes {
            let (requirement, problem) = (self.name.to_string(), words.to_string());
            mistakes.add(ConfigError::InvalidRequirement { requirement, key: key.name(), problem });
        }
        mistakes.into_result().map(|()| self)
    }

    /// The same, called by `place` where it has no name of its own.
    #[cfg(feature = "axum")]
    pub(crate) fn or_named(mut self, place: impl FnOnce() -> String) -> Self {
        if self.name == UNNAMED {
            self.name = place().into();
        }
        self
    }

    pub(crate) fn shared_name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    /// The scopes demanded, space-delimited.
    pub(crate) fn demanded_scopes(&self) -> Option<&Arc<str>> {
        self.demanded_scopes.as_ref()
    }

    /// Whether any demand looks at the parameters of the path. A caller of
    /// [`authorize`](crate::context::DelegationContext::authorize) need not
    /// collect them otherwise.
    #[must_use]
    pub fn reads_path(&self) -> bool {
        self.demands.iter().any(Demand::reads_path)
    }

    /// Does it demand nothing beyond a verified token?
    pub(crate) fn is_empty(&self) -> bool {
        self.demands.is_empty() && self.mistakes.is_empty()
    }

    /// Takes a demand in at its place, and judges all of them together.
    pub(super) fn demand(mut self, demand: Demand) -> Self {
        self.examine(&demand);
        let key = demand.key();
        let place = self.demands.partition_point(|known| known.key() <= key);
        self.demands.insert(place, demand);
        self.mistakes.retain(|mistake| !mistake.is_judged);
        let stated: Vec<_> = self.demands.iter().map(Demand::stated).collect();
        let judged: Vec<_> = judge(&stated).into_iter().filter(|mistake| !mistake.is_redundant).collect();
        for mistake in judged {
            let key = stated.get(mistake.at).map_or(key, |stated| stated.key);
            self.mistakes.push(Mistake { key, words: mistake.words.into(), is_judged: true });
        }
        self.demanded_scopes = self.needs().map(|needs| needs.scope.into());
        self
    }

    /// Notes what is wrong with a demand by itself, and in its parts.
    fn examine(&mut self, demand: &Demand) {
        let key = demand.key();
        let wrong = match demand {
            Demand::TimeWindow(any) => any.iter().find_map(TimeWindow::mistake),
            Demand::AuthorizationDetail(detail) => detail.mistake(),
            Demand::AllOf(parts) | Demand::AnyOf(parts) if parts.is_empty() => Some("there is nothing in it"),
            _ => None,
        };
        wrong.into_iter().for_each(|words| self.mistake(key, words));
        for part in demand.parts() {
            for mistake in &part.mistakes {
                self.mistake(key, format!("`{}`: {}", mistake.key.name(), mistake.words));
            }
            if part.is_mode_set() {
                self.mistake(
                    key,
                    "only a whole requirement can be in shadow mode or have an exception, no part",
                );
            }
            if part.is_empty() {
                self.mistake(key, "a part of it demands nothing");
            }
        }
    }

    pub(super) fn mistake(&mut self, key: Key, words: impl Into<Cow<'static, str>>) {
        self.mistakes.push(Mistake { key, words: words.into(), is_judged: false });
    }
}

impl Default for Requirement {
    fn default() -> Self {
        Self::new()
    }
}
