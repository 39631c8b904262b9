//! [`Demand`]: one thing that a requirement demands.

use std::time::Duration;

use http::HeaderName;
use tower_delegation_demands::{Key, Stated};

use super::{AuthorizationDetail, Requirement, TimeWindow, say::Said};
use crate::{
    application::ApplicationKind,
    issuer::ClaimPath,
    names::{Audience, ClientId, IssuerUrl, SubjectId, SubjectKind, TenantId},
    spiffe::SpiffePattern,
};

/// One thing that a requirement demands, in the order of the checks. A list in
/// it holds alternatives, one of which is enough; a bound names what is tolerated.
///
/// Each variant has its key and words in [`say`](Self::say), its check in
/// `check.rs`, and where it bars a registered application, a line in `bars.rs`.
#[derive(Clone, Debug)]
pub(crate) enum Demand {
    // The token.
    Issuer(Vec<IssuerUrl>),
    Tenant(Vec<TenantId>),
    Audience(Vec<Audience>),
    AudiencesWithin(Vec<Audience>),
    ScopesWithin(Vec<Box<str>>),
    MaxTokenLifetime(Duration),
    MaxTokenAge(Duration),
    // Its sender.
    SenderConstrained,
    MutualTls,
    Dpop,
    Workload(Vec<SpiffePattern>),
    // The parties.
    SubjectKind(Vec<SubjectKind>),
    OnBehalfOfUser,
    NotOnBehalfOfUser,
    Delegated,
    NotDelegated,
    MaxActors(usize),
    DenyActor(SubjectId),
    /// Of the token's issuer.
    Actor(Vec<SubjectId>),
    ActorOf(Vec<(IssuerUrl, SubjectId)>),
    Client(Vec<ClientId>),
    // Their registered applications.
    Application(Vec<Box<str>>),
    ApplicationKind(Vec<ApplicationKind>),
    ApplicationTenant(Vec<Box<str>>),
    ApplicationEnvironment(Vec<Box<str>>),
    Presenter(Vec<Box<str>>),
    PresenterKind(Vec<ApplicationKind>),
    PresenterTenant(Vec<Box<str>>),
    PresenterEnvironment(Vec<Box<str>>),
    ActorKind(Vec<ApplicationKind>),
    // The request.
    TimeWindow(Vec<TimeWindow>),
    RiskBelow(Box<str>, u8),
    // Comparisons.
    Claim(ClaimPath, Vec<Box<str>>),
    ClaimMatchesPath(ClaimPath, Box<str>),
    ClaimMatchesHeader(ClaimPath, HeaderName),
    TenantMatchesPath(Box<str>),
    TenantMatchesHeader(HeaderName),
    SubjectMatchesPath(Box<str>),
    Purpose(ClaimPath, Vec<Box<str>>),
    // Grants.
    Role(Vec<Box<str>>),
    Permission(Vec<Box<str>>),
    Group(Vec<Box<str>>),
    AuthorizationDetail(Box<AuthorizationDetail>),
    // Compositions.
    AllOf(Vec<Requirement>),
    AnyOf(Vec<Requirement>),
    Not(Box<Requirement>),
    // What a client can mend.
    Acr(Vec<Box<str>>),
    MaxAuthenticationAge(Duration),
    Scope(Vec<Box<str>>),
}

impl Demand {
    /// Its key, which is also its place in the order, and what it demands under it.
    pub(super) fn say(&self) -> (Key, Said<'_>) {
        match self {
            Self::Issuer(any) => (Key::Issuer, Said::any(any)),
            Self::Tenant(any) => (Key::Tenant, Said::any(any)),
            Self::Audience(any) => (Key::Audience, Said::any(any)),
            Self::AudiencesWithin(bound) => (Key::AudiencesWithin, Said::list(bound)),
            Self::ScopesWithin(bound) => (Key::ScopesWithin, Said::list(bound)),
            Self::MaxTokenLifetime(max) => (Key::MaxTokenLifetime, Said::seconds(*max)),
            Self::MaxTokenAge(max) => (Key::MaxTokenAge, Said::seconds(*max)),
            Self::SenderConstrained => (Key::SenderConstrained, Said::Flag),
            Self::MutualTls => (Key::MutualTls, Said::Flag),
            Self::Dpop => (Key::Dpop, Said::Flag),
            Self::Workload(any) => (Key::Workload, Said::any(any.iter().map(SpiffePattern::as_str))),
            Self::SubjectKind(any) => (Key::SubjectKind, Said::any(any.iter().map(|kind| kind.as_str()))),
            Self::OnBehalfOfUser => (Key::OnBehalfOfUser, Said::Flag),
            Self::NotOnBehalfOfUser => (Key::NotOnBehalfOfUser, Said::Flag),
            Self::Delegated => (Key::Delegated, Said::Flag),
            Self::NotDelegated => (Key::NotDelegated, Said::Flag),
            Self::MaxActors(max) => (Key::MaxActors, Said::number(*max)),
            Self::DenyActor(id) => (Key::DenyActor, Said::text(id)),
            Self::Actor(any) => (Key::Actor, Said::any(any)),
            Self::ActorOf(any) => (Key::ActorOf, Said::one_of(any.iter().map(Said::actor).collect())),
            Self::Client(any) => (Key::Client, Said::any(any)),
            Self::Application(any) => (Key::Application, Said::any(any)),
            Self::ApplicationKind(any) => (Key::ApplicationKind, Said::kinds(any)),
            Self::ApplicationTenant(any) => (Key::ApplicationTenant, Said::any(any)),
            Self::ApplicationEnvironment(any) => (Key::ApplicationEnvironment, Said::any(any)),
            Self::Presenter(any) => (Key::Presenter, Said::any(any)),
            Self::PresenterKind(any) => (Key::PresenterKind, Said::kinds(any)),
            Self::PresenterTenant(any) => (Key::PresenterTenant, Said::any(any)),
            Self::PresenterEnvironment(any) => (Key::PresenterEnvironment, Said::any(any)),
            Self::ActorKind(any) => (Key::ActorKind, Said::kinds(any)),
            Self::TimeWindow(any) => {
                (Key::TimeWindow, Said::one_of(any.iter().map(TimeWindow::say).collect()))
            }
            Self::RiskBelow(signal, level) => (Key::RiskBelow, Said::level(signal, *level)),
            Self::Claim(claim, values) if values.len() == 1 => {
                (Key::ClaimEquals, Said::claim(claim, "value", Said::any(values)))
            }
            Self::Claim(claim, values) => (Key::ClaimOneOf, Said::claim(claim, "value", Said::any(values))),
            Self::ClaimMatchesPath(claim, name) => {
                (Key::ClaimMatchesPath, Said::claim(claim, "parameter", Said::text(name)))
            }
            Self::ClaimMatchesHeader(claim, name) => {
                (Key::ClaimMatchesHeader, Said::claim(claim, "header", Said::text(name)))
            }
            Self::TenantMatchesPath(name) => (Key::TenantMatchesPath, Said::text(name)),
            Self::TenantMatchesHeader(name) => (Key::TenantMatchesHeader, Said::text(name)),
            Self::SubjectMatchesPath(name) => (Key::SubjectMatchesPath, Said::text(name)),
            Self::Purpose(claim, any) => (Key::Purpose, Said::claim(claim, "purpose", Said::any(any))),
            Self::Role(any) => (Key::Role, Said::any(any)),
            Self::Permission(any) => (Key::Permission, Said::any(any)),
            Self::Group(any) => (Key::Group, Said::any(any)),
            Self::AuthorizationDetail(detail) => (Key::AuthorizationDetail, detail.say()),
            Self::AllOf(parts) => (Key::AllOf, Said::List(parts.iter().map(Said::Part).collect())),
            Self::AnyOf(parts) => (Key::AnyOf, Said::List(parts.iter().map(Said::Part).collect())),
            Self::Not(part) => (Key::Not, Said::Part(part)),
            Self::Acr(any) => (Key::Acr, Said::any(any)),
            Self::MaxAuthenticationAge(max) => (Key::MaxAuthenticationAge, Said::seconds(*max)),
            Self::Scope(any) => (Key::Scope, Said::any(any)),
        }
    }

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

    /// As the declaration judges it.
    pub(super) fn stated(&self) -> Stated<'_> {
        let (key, said) = self.say();
        let mut stated = Stated { key, texts: Vec::new(), number: None };
        said.state(&mut stated);
        stated
    }
}
