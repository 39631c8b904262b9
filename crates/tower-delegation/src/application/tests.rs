use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use super::*;
use crate::{
    clock::{Clock as _, SystemClock, Timestamp},
    credential::WorkloadIdentity,
    error::ConfigError,
    names::{ClientId, IssuerUrl, SubjectId, SubjectKind, TenantId},
    privileges::{GroupSet, PermissionSet, RoleSet},
    reason::{DenialReason as R, Malformed},
    scope::ScopeSet,
};

const IDP: &str = "https://idp.example.com";

fn web() -> ApplicationBuilder {
    Application::builder("web", ApplicationKind::Application)
        .issuer(IDP)
        .add_client_id("web")
        .add_workload("spiffe://td/web")
        .add_scopes(["read", "write"])
        .acts_for_users()
}

fn bot() -> ApplicationBuilder {
    Application::builder("bot", ApplicationKind::Agent)
        .issuer(IDP)
        .add_actor_id("bot")
        .add_workload("spiffe://td/bot")
        .add_scopes(["read", "summarise"])
        .acts_for_users()
}

/// What a token says and a request shows: a good one of `web`, for a user.
struct Case {
    client: Option<&'static str>,
    actor: Option<(&'static str, &'static str)>,
    earlier: Option<(&'static str, &'static str)>,
    kind: SubjectKind,
    tenant: Option<&'static str>,
    scopes: &'static str,
    /// Is the claim of the tenant malformed?
    is_tenant_malformed: bool,
    lifetime: Option<Duration>,
    workload: Option<&'static str>,
    sender_constrained: bool,
}

struct Chain(Vec<(IssuerUrl, SubjectId)>);

impl Actors for Chain {
    fn actor(&self, at: usize) -> Option<ChainedActor<'_>> {
        self.0.get(at).map(|(issuer, id)| ChainedActor { issuer, claimed_issuer: None, id })
    }
}

impl Case {
    fn of_web() -> Self {
        Self {
            client: Some("web"),
            actor: None,
            earlier: None,
            kind: SubjectKind::User,
            tenant: None,
            scopes: "read",
            is_tenant_malformed: false,
            lifetime: Some(Duration::from_secs(300)),
            workload: Some("spiffe://td/web"),
            sender_constrained: false,
        }
    }

    fn of_bot() -> Self {
        Self { actor: Some((IDP, "bot")), workload: Some("spiffe://td/bot"), ..Self::of_web() }
    }

    fn judge(&self, applications: &Applications, slot: &RegistrationSlot) -> Result<Arc<Registration>, R> {
        let client = self.client.map(ClientId::from);
        let actor = self.actor.map(|(issuer, id)| (IssuerUrl::from(issuer), SubjectId::from(id)));
        let earlier = self.earlier.map(|(issuer, id)| (IssuerUrl::from(issuer), SubjectId::from(id)));
        let tenant = self.tenant.map(TenantId::from);
        let workload = self.workload.map(|id| WorkloadIdentity::of_spiffe_id(id.parse().unwrap()));
        let token = TokenParties {
            issuer: &IDP.into(),
            subject: &"alice".into(),
            client: client.as_ref(),
            actors: &Chain(actor.into_iter().chain(earlier).collect()),
            subject_kind: self.kind,
            tenant: if self.is_tenant_malformed { Err(Malformed) } else { Ok(tenant.as_ref()) },
            scopes: &ScopeSet::parse(self.scopes).unwrap(),
            granted: &NothingElse,
            lifetime: self.lifetime,
        };
        let sender = SenderFacts {
            now: SystemClock::new().now(),
            workload: workload.as_ref(),
            sender_constrained: self.sender_constrained,
        };
        applications.admit(slot, &token, &sender)
    }

    fn reason(&self, applications: &Applications) -> Option<R> {
        self.judge(applications, &RegistrationSlot::default()).err()
    }
}

/// A token that grants scopes alone.
struct NothingElse;

static NO_ROLES: LazyLock<RoleSet> = LazyLock::new(RoleSet::default);
static NO_PERMISSIONS: LazyLock<PermissionSet> = LazyLock::new(PermissionSet::default);

impl Granted for NothingElse {
    fn roles(&self) -> Result<&RoleSet, Malformed> {
        Ok(&NO_ROLES)
    }

    fn permissions(&self) -> Result<&PermissionSet, Malformed> {
        Ok(&NO_PERMISSIONS)
    }

    fn groups(&self) -> Result<Option<&GroupSet>, Malformed> {
        Ok(None)
    }

    fn detail_types(&self) -> Result<Vec<Box<str>>, Malformed> {
        Ok(Vec::new())
    }
}

fn registry(entries: impl IntoIterator<Item = ApplicationBuilder>) -> Applications {
    entries.into_iter().fold(Applications::builder(), ApplicationsBuilder::add_application).build().unwrap()
}

/// An application that breaks the rules from number `from` on.
fn broken(from: usize, entry: ApplicationBuilder) -> ApplicationBuilder {
    type Breaks = fn(ApplicationBuilder) -> ApplicationBuilder;
    let broken: [(usize, Breaks); 7] = [
        (4, ApplicationBuilder::suspended),
        (5, |entry| entry.expires("2001-01-01")),
        (6, |entry| entry.add_environment("production")),
        (7, |entry| entry.add_tenant("theirs")),
        (9, |entry| entry.max_token_lifetime(Duration::from_secs(600))),
        (10, ApplicationBuilder::require_sender_constraint),
        (12, ApplicationBuilder::refuse_excess),
    ];
    let broken = broken.into_iter().filter(|(number, _)| *number >= from);
    broken.fold(entry, |entry, (_, breaks)| breaks(entry))
}

/// A request that breaks the rules from number `from` on.
fn breaking(from: usize, mut case: Case) -> Case {
    type Breaks = fn(&mut Case);
    let breaks: [(usize, Breaks); 8] = [
        (3, |case| case.actor = case.actor.map(|_| (IDP, "stranger"))),
        (2, |case| case.client = Some("stranger")),
        (1, |case| case.client = None),
        (8, |case| case.kind = SubjectKind::Unknown),
        (7, |case| case.tenant = Some("ours")),
        (9, |case| case.lifetime = Some(Duration::from_secs(601))),
        (11, |case| case.workload = None),
        (12, |case| case.scopes = "read admin"),
    ];
    for (_, breaks) in breaks.into_iter().filter(|(number, _)| *number >= from) {
        breaks(&mut case);
    }
    case
}

#[test]
fn the_first_broken_rule_is_told() {
    let numbered = [
        (1, R::ClientMissing, R::ClientMissing),
        (2, R::ClientUnregistered, R::ClientUnregistered),
        (3, R::ClientSuspended, R::ActorUnregistered),
        (4, R::ClientSuspended, R::ActorSuspended),
        (5, R::ClientExpired, R::ActorExpired),
        (6, R::EnvironmentNotAllowed, R::EnvironmentNotAllowed),
        (7, R::TenantNotAllowed, R::TenantNotAllowed),
        (8, R::ActingNotAllowed, R::ActingNotAllowed),
        (9, R::ApplicationTokenLifetimeTooLong, R::ApplicationTokenLifetimeTooLong),
        (10, R::ApplicationSenderConstraintMissing, R::ApplicationSenderConstraintMissing),
        (11, R::WorkloadUnknown, R::WorkloadUnknown),
        (12, R::TokenTooBroad, R::TokenTooBroad),
    ];
    for (number, of_client, of_actor) in numbered {
        let client_is_wrong = registry([broken(number, web()), bot()]);
        let actor_is_wrong = registry([web(), broken(number, bot())]);
        for (name, applications, case, reason) in [
            ("the client's, alone", &client_is_wrong, Case::of_web(), of_client),
            ("the client's, behind an actor", &client_is_wrong, Case::of_bot(), of_client),
            ("the actor's", &actor_is_wrong, Case::of_bot(), of_actor),
        ] {
            let case = breaking(number, case);
            // A stranger in the actor's place is told before what is wrong with the client's.
            let reason = if number == 3 && case.actor.is_some() { R::ActorUnregistered } else { reason };
            assert_eq!(case.reason(applications), Some(reason), "{number}: {name}");
        }
    }
    let sound = registry([web(), bot()]);
    assert_eq!(Case::of_web().reason(&sound), None);
    assert_eq!(Case::of_bot().reason(&sound), None);
}

#[test]
fn refused() {
    let applications = registry([web(), bot(), web_like("batch").acts_for_services()]);
    for (name, case, reason) in [
        (
            "the client is known at another issuer only",
            Case { client: Some("elsewhere"), ..Case::of_web() },
            R::ClientUnregistered,
        ),
        (
            "the actor is known at another issuer only",
            Case { actor: Some(("https://other", "bot")), ..Case::of_bot() },
            R::ActorUnregistered,
        ),
        (
            "a client's id is no actor's",
            Case { actor: Some((IDP, "web")), ..Case::of_web() },
            R::ActorUnregistered,
        ),
        (
            "an actor's id is no client's",
            Case { client: Some("bot"), ..Case::of_web() },
            R::ClientUnregistered,
        ),
        (
            "the client's workload behind an actor",
            Case { workload: Some("spiffe://td/web"), ..Case::of_bot() },
            R::WorkloadNotRegistered,
        ),
        (
            "the actor's workload without an actor",
            Case { workload: Some("spiffe://td/bot"), ..Case::of_web() },
            R::WorkloadNotRegistered,
        ),
        ("nobody's workload", Case { workload: None, ..Case::of_web() }, R::WorkloadUnknown),
        ("a service's own token", Case { kind: SubjectKind::Service, ..Case::of_web() }, R::ActingNotAllowed),
        (
            "a user's token at a service",
            Case { client: Some("batch"), workload: Some("spiffe://td/batch"), ..Case::of_web() },
            R::ActingNotAllowed,
        ),
        ("nobody knows for whom", Case { kind: SubjectKind::Unknown, ..Case::of_bot() }, R::ActingNotAllowed),
    ] {
        assert_eq!(case.reason(&applications), Some(reason), "{name}");
    }
}

#[test]
fn earlier_actors_count_as_far_as_they_are_registered() {
    let planner = || {
        Application::builder("planner", ApplicationKind::Agent)
            .add_actor_id_at(IDP, "planner")
            .allow_any_workload()
    };
    let refuse = |entries: [ApplicationBuilder; 3]| {
        let builder = entries.into_iter().fold(Applications::builder(), ApplicationsBuilder::add_application);
        builder.refuse_unknown_earlier_actors().build().unwrap()
    };
    let behind = |earlier| Case { earlier: Some(earlier), ..Case::of_bot() };
    for (name, applications, earlier, expected) in [
        ("registered", registry([web(), bot(), planner()]), (IDP, "planner"), None),
        ("it need not act for anyone", refuse([web(), bot(), planner()]), (IDP, "planner"), None),
        ("unknown, and recorded", registry([web(), bot()]), (IDP, "x"), None),
        ("unknown, and refused", refuse([web(), bot(), planner()]), (IDP, "x"), Some(R::ActorUnregistered)),
        (
            "known at another issuer only",
            refuse([web(), bot(), planner()]),
            ("https://other", "planner"),
            Some(R::ActorUnregistered),
        ),
        (
            "a client's id is no actor's",
            refuse([web(), bot(), planner()]),
            (IDP, "web"),
            Some(R::ActorUnregistered),
        ),
        (
            "suspended",
            registry([web(), bot(), planner().suspended()]),
            (IDP, "planner"),
            Some(R::ActorSuspended),
        ),
        (
            "ended",
            registry([web(), bot(), planner().expires("2001-01-01")]),
            (IDP, "planner"),
            Some(R::ActorExpired),
        ),
        (
            "registered as a client only, and suspended",
            registry([web(), bot(), web_like("batch").suspended()]),
            (IDP, "batch"),
            Some(R::ActorSuspended),
        ),
    ] {
        assert_eq!(behind(earlier).reason(&applications), expected, "{name}");
    }
}

/// An application without whom it acts for.
fn web_like(name: &str) -> ApplicationBuilder {
    Application::builder(name, ApplicationKind::Service)
        .add_client_id_at(IDP, name)
        .add_client_id_at("https://other", "elsewhere")
        .add_workload(&format!("spiffe://td/{name}"))
}

#[test]
fn environments_and_tenants() {
    let environment = |registered: &[&str], own: Option<&str>| {
        let entry = registered.iter().fold(web(), |entry, one| entry.add_environment(one));
        let builder = Applications::builder().add_application(entry);
        let builder = match own {
            Some(own) => builder.environment(own),
            None => builder,
        };
        Case::of_web().reason(&builder.build().unwrap())
    };
    let denied = Some(R::EnvironmentNotAllowed);
    for (registered, own, expected) in [
        (&["test", "live"][..], Some("live"), None),
        (&[], None, None),
        (&["test"], Some("live"), denied),
        (&["live"], Some("LIVE"), denied),
        (&[], Some("live"), denied),
        (&["live"], None, denied),
    ] {
        assert_eq!(environment(registered, own), expected, "{registered:?} in {own:?}");
    }
    let one_tenant = registry([web().add_tenant("ours")]);
    for (tenant, expected) in
        [(Some("ours"), None), (Some("theirs"), Some(R::TenantNotAllowed)), (None, Some(R::TenantNotAllowed))]
    {
        let case = Case { tenant, ..Case::of_web() };
        assert_eq!(case.reason(&one_tenant), expected, "{tenant:?}");
        assert_eq!(case.reason(&registry([web()])), None, "{tenant:?}");
    }
    let malformed = Case { is_tenant_malformed: true, ..Case::of_web() };
    assert_eq!(malformed.reason(&one_tenant), Some(R::FactMalformed));
    assert_eq!(malformed.reason(&registry([web()])), None, "no one demands it");
}

#[test]
fn a_lifetime_that_is_not_known_is_longer_than_any() {
    let case = Case { lifetime: None, ..Case::of_web() };
    assert_eq!(case.reason(&registry([web()])), None);
    let limited = registry([web().max_token_lifetime(Duration::from_secs(600))]);
    assert_eq!(case.reason(&limited), Some(R::ApplicationTokenLifetimeTooLong));
}

#[test]
fn a_token_seen_before_is_judged_by_the_registry_as_it_is_now() {
    let applications = registry([web(), bot()]);
    let (case, slot) = (Case::of_bot(), RegistrationSlot::default());
    let first = case.judge(&applications, &slot).unwrap();
    assert!(Arc::ptr_eq(&first, &case.judge(&applications, &slot).unwrap()), "made once");

    for (name, change, reason) in [
        ("suspended", [web().suspended(), bot()], Some(R::ClientSuspended)),
        ("and back", [web(), bot()], None),
        ("the actor is suspended", [web(), bot().suspended()], Some(R::ActorSuspended)),
        ("other workloads", [web(), bot_elsewhere()], Some(R::WorkloadNotRegistered)),
        ("the client is gone", [web_like("x"), bot()], Some(R::ClientUnregistered)),
        ("another environment", [web(), bot().add_environment("x")], Some(R::EnvironmentNotAllowed)),
    ] {
        let builder = change.into_iter().fold(Applications::builder(), ApplicationsBuilder::add_application);
        applications.replace(builder).unwrap();
        assert_eq!(case.judge(&applications, &slot).err(), reason, "{name}");
    }

    // Two registries never take the one's word for the other's.
    let (one, other) = (registry([web()]), registry([web().suspended()]));
    let (case, slot) = (Case::of_web(), RegistrationSlot::default());
    assert!(case.judge(&one, &slot).is_ok());
    assert_eq!(case.judge(&other, &slot).err(), Some(R::ClientSuspended));
}

fn bot_elsewhere() -> ApplicationBuilder {
    Application::builder("bot", ApplicationKind::Agent)
        .add_actor_id_at(IDP, "bot")
        .add_workload("spiffe://td/other/*")
        .acts_for_users()
}

#[test]
fn what_cannot_replace_a_registry_leaves_it_as_it_was() {
    let applications = registry([web()]);
    let before = applications.status();
    for (name, bad) in [
        ("empty", Applications::builder()),
        ("wrong", Applications::builder().add_application(bot().add_workload("td"))),
        ("twice", Applications::builder().add_application(web()).add_application(web())),
    ] {
        assert!(applications.replace(bad).is_err(), "{name}");
        let status = applications.status();
        assert_eq!((status.applications, status.loaded_at), (1, before.loaded_at), "{name}");
        assert!(status.failure.is_some(), "{name}");
        assert_eq!(Case::of_web().reason(&applications), None, "{name}");
    }
    applications.replace(Applications::builder().add_application(web())).unwrap();
    assert!(applications.status().failure.is_none());
    assert!(applications.status().loaded_at > Timestamp::from_unix_seconds(0));
}

proptest::proptest! {
    /// Whatever is granted: the effective scopes are the token's, as far as both may use them.
    #[test]
    fn effective_scopes_are_within_every_ceiling(
        token in scopes(), of_client in scopes(), of_actor in scopes(), delegated: bool,
    ) {
        let applications = registry([
            Application::builder("web", ApplicationKind::Application)
                .add_client_id_at(IDP, "web").allow_any_workload().add_scopes(of_client.clone()).acts_for_users(),
            Application::builder("bot", ApplicationKind::Agent)
                .add_actor_id_at(IDP, "bot").allow_any_workload().add_scopes(of_actor.clone()).acts_for_users(),
        ]);
        let text = token.join(" ").leak();
        let case = if delegated { Case::of_bot() } else { Case::of_web() };
        let case = Case { scopes: text, ..case };
        let registration = case.judge(&applications, &RegistrationSlot::default()).unwrap();
        let all = ScopeSet::parse(text).unwrap();
        let effective = registration.cut_scopes().unwrap_or(&all);
        let expected: Vec<_> = token.iter()
            .filter(|scope| of_client.contains(scope) && (!delegated || of_actor.contains(scope)))
            .collect();
        proptest::prop_assert_eq!(effective.iter().collect::<Vec<_>>(), expected);
    }
}

fn scopes() -> impl proptest::strategy::Strategy<Value = Vec<String>> {
    proptest::collection::vec("[ab]{1,2}(:[rw])?", 0..6)
}

#[test]
fn an_entry_that_is_written_wrongly_is_told() {
    let key_of = |entry: ApplicationBuilder| match Applications::builder().add_application(entry).build() {
        Err(ConfigError::InvalidApplication { application, key, .. }) => format!("{application}: {key}"),
        other => format!("{other:?}"),
    };
    for (entry, expected) in [
        (web().add_client_id(""), "web: client_ids"),
        (web().add_client_id("web"), "web: client_ids"),
        (web().add_client_id_at("", "x"), "web: client_ids"),
        (web().add_actor_id("a\nb"), "web: actor_ids"),
        (web().owner(""), "web: owner"),
        (web().expires("soon"), "web: expires"),
        (web().review_by("2027-02-30"), "web: review_by"),
        (web().add_workload("*"), "web: workloads"),
        (web().add_workload_dns_name("*.td"), "web: workload_dns_names"),
        (web().add_workload_thumbprint("abc"), "web: workload_thumbprints"),
        (web().allow_any_workload(), "web: any_workload"),
        (web().add_scope("a b"), "web: scopes"),
        (web().add_tenant(""), "web: tenants"),
        (web().add_environment(""), "web: environments"),
        (web().add_roles(["clerk", ""]), "web: roles"),
        (web().add_permissions(["\n"]), "web: permissions"),
        (web().add_groups([""]), "web: groups"),
        (web().add_authorization_detail_types([""]), "web: authorization_detail_types"),
        (web().max_token_lifetime(Duration::ZERO), "web: max_token_lifetime_seconds"),
        (Application::builder("web", ApplicationKind::Agent), "web: client_ids"),
        (Application::builder("web", ApplicationKind::Agent).add_client_id("no-issuer"), "web: client_ids"),
        (Application::builder("", ApplicationKind::Agent).add_client_id_at(IDP, "x"), ": name"),
    ] {
        assert_eq!(key_of(entry), expected);
    }
}

#[cfg(feature = "toml")]
mod toml;
