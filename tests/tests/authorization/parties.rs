//! Demands on subject, actors and client, and on where a demand stands in the order.

use integration_tests::AuditLog;
use serde_json::json;
use tower_delegation::{DelegationLayer, DenialReason as R, Requirement, SubjectKind, issuer::ClaimMapping};

use crate::{Change, Judging, PATH, Row, World};

#[tokio::test]
async fn the_parties_are_those_that_are_demanded() {
    let world = World::new().await;
    let new = Requirement::new;
    let service: Change = |t| t.subject("shop-web");
    let same: Change = |t| t;
    let copilot: Change = |t| t.actor("copilot");
    let chain: Change = |t| t.actor("copilot").earlier_actor("planner").earlier_actor("mailer");
    let foreign: Change =
        |t| t.claim("act", json!({ "sub": "copilot", "iss": "https://agents.example.com" }));
    let idp = world.idp.issuer().to_owned();
    let rows: Vec<Row> = vec![
        ("a user", new().subject_kind(SubjectKind::Service), same, Some(R::SubjectKindNotAllowed)),
        ("a service", new().subject_kind(SubjectKind::User), service, Some(R::SubjectKindNotAllowed)),
        ("a service for itself", new().on_behalf_of_user(), service, Some(R::NotOnBehalfOfUser)),
        (
            "a service through an agent",
            new().on_behalf_of_user(),
            |t| t.subject("shop-web").actor("copilot"),
            Some(R::NotOnBehalfOfUser),
        ),
        ("a user's application", new().not_on_behalf_of_user(), same, Some(R::OnBehalfOfUserForbidden)),
        ("a user's agent", new().not_on_behalf_of_user(), copilot, Some(R::OnBehalfOfUserForbidden)),
        ("nobody acts", new().delegated(), same, Some(R::DelegationRequired)),
        (
            "may_act is no actor",
            new().delegated(),
            |t| t.claim("may_act", json!({ "sub": "copilot" })),
            Some(R::DelegationRequired),
        ),
        ("an agent", new().not_delegated(), copilot, Some(R::DelegationForbidden)),
        ("three agents", new().not_delegated(), chain, Some(R::DelegationForbidden)),
        ("three actors", new().max_actors(2), chain, Some(R::ActorChainNotAllowed)),
        ("one actor", new().max_actors(0), copilot, Some(R::ActorChainNotAllowed)),
        (
            "the stricter of two bounds",
            new().max_actors(1).max_actors(3),
            chain,
            Some(R::ActorChainNotAllowed),
        ),
        ("a denied actor", new().deny_actor("copilot"), copilot, Some(R::ActorDenied)),
        ("a denied actor before", new().deny_actor("planner"), chain, Some(R::ActorDenied)),
        (
            "a denied actor, the first",
            new().deny_actor("x").deny_actor("mailer"),
            chain,
            Some(R::ActorDenied),
        ),
        ("a denied actor of another issuer", new().deny_actor("copilot"), foreign, Some(R::ActorDenied)),
        (
            "denied, though demanded beside",
            new().actor("copilot").deny_actor("planner"),
            chain,
            Some(R::ActorDenied),
        ),
        ("no actor where one is named", new().actor("copilot"), same, Some(R::DelegationRequired)),
        ("another actor", new().actor("copilot"), |t| t.actor("bot"), Some(R::ActorNotAllowed)),
        ("an earlier actor", new().actor("planner"), chain, Some(R::ActorNotAllowed)),
        ("an actor of another issuer", new().actor("copilot"), foreign, Some(R::ActorNotAllowed)),
        (
            "no actor of an issuer",
            new().actor_of("https://agents.example.com", "copilot"),
            same,
            Some(R::DelegationRequired),
        ),
        (
            "an actor of the token's issuer",
            new().actor_of("https://agents.example.com", "copilot"),
            copilot,
            Some(R::ActorNotAllowed),
        ),
        (
            "another actor of the issuer",
            new().actor_of("https://agents.example.com", "planner"),
            foreign,
            Some(R::ActorNotAllowed),
        ),
        ("a denied client", new().deny_client("x").deny_client("shop-web"), same, Some(R::ClientDenied)),
        ("not denied", new().not(new().deny_client("x")), same, Some(R::Excluded)),
        ("another client", new().client("shop-web"), |t| t.client("newsletter"), Some(R::ClientNotAllowed)),
        ("the actor is no client", new().client("copilot"), copilot, Some(R::ClientNotAllowed)),
        ("kind", new().any_subject_kind([SubjectKind::Service, SubjectKind::User]), same, None),
        ("for a user", new().on_behalf_of_user(), same, None),
        ("for a user, through an agent", new().on_behalf_of_user(), copilot, None),
        ("for itself", new().not_on_behalf_of_user(), service, None),
        ("delegated", new().delegated(), copilot, None),
        ("not delegated", new().not_delegated(), same, None),
        ("as many actors", new().max_actors(3), chain, None),
        ("no actor", new().max_actors(0), same, None),
        ("none of those denied", new().deny_actor("bot").deny_actor("shop-web"), chain, None),
        ("actor", new().actor("copilot"), chain, None),
        ("actor of the token's issuer", new().actor_of(idp.as_str(), "copilot"), copilot, None),
        ("actor of another issuer", new().actor_of("https://agents.example.com", "copilot"), foreign, None),
        (
            "one of two actors",
            new().any_actor_of([("https://agents.example.com", "x"), (idp.as_str(), "copilot")]),
            copilot,
            None,
        ),
        ("a client that is not denied", new().deny_client("x").deny_client("copilot"), copilot, None),
        ("only the client denied", new().not(new().deny_client("shop-web")), same, None),
        ("client", new().any_client(["newsletter", "shop-web"]), same, None),
    ];
    world.check(rows).await;
}

/// Neither to refuse one client, nor to let in that one alone, says anything of none.
#[tokio::test]
async fn a_token_without_a_client_is_not_known_to_be_anothers() {
    let world = World::new().await;
    let new = Requirement::new;
    let issuer = world.issuer().claim_mapping(ClaimMapping::rfc9068().allow_absent_client());
    let layer = || DelegationLayer::builder().add_issuer(issuer.clone()).clock(world.clock.clone());
    for (requirement, expected) in [
        (new().deny_client("x"), "client_denied"),
        (new().not(new().deny_client("x")), "excluded"),
        (new().client("x"), "client_not_allowed"),
        (new(), ""),
    ] {
        let audit = AuditLog::listen();
        let service = world.guard_behind(layer(), requirement.clone()).await;
        let answer = service.get(PATH, &world.token().without("client_id").sign()).await;
        assert_eq!(
            (audit.one().field("reason"), answer.status == 200),
            (expected, expected.is_empty()),
            "{requirement}"
        );
    }
}

/// Each demand fails; a requirement of this one and all later ones names this one.
#[tokio::test]
async fn the_first_failure_in_the_fixed_order_is_named() {
    let world = World::new().await;
    type Demand = (R, fn(Requirement) -> Requirement);
    let demands: &[Demand] = &[
        (R::IssuerNotAllowed, |r| r.issuer("https://other")),
        (R::TenantMismatch, |r| r.tenant("other")),
        (R::AudienceNotAllowed, |r| r.audience("https://other")),
        (R::AudienceTooBroad, |r| r.audiences_within(["https://other"])),
        (R::ScopeTooBroad, |r| r.scopes_within(["other"])),
        (R::TokenLifetimeNotAllowed, |r| r.max_token_lifetime(std::time::Duration::from_secs(1))),
        (R::SenderConstraintMissing, Requirement::mutual_tls),
        (R::WorkloadNotAllowed, |r| r.workload("spiffe://other/*")),
        (R::SubjectKindNotAllowed, |r| r.subject_kind(SubjectKind::Service)),
        (R::OnBehalfOfUserForbidden, Requirement::not_on_behalf_of_user),
        (R::DelegationForbidden, Requirement::not_delegated),
        (R::ActorChainNotAllowed, |r| r.max_actors(1)),
        (R::ActorDenied, |r| r.deny_actor("planner")),
        (R::ClientDenied, |r| r.deny_client("shop-web")),
        (R::ClientNotAllowed, |r| r.client("other")),
        (R::RiskSignalMissing, |r| r.risk_below("device", 50)),
        (R::ClaimNotAllowed, |r| r.claim_equals("plan", "gold")),
        (R::PurposeNotAllowed, |r| r.purpose("purpose", "care")),
        (R::RoleMissing, |r| r.role("admin")),
        (R::PermissionMissing, |r| r.permission("all")),
        (R::GroupsUnknown, |r| r.group("staff")),
        (R::Excluded, |r| r.not(Requirement::new().client("shop-web"))),
        (R::AuthenticationTooWeak, |r| r.acr("mfa")),
        (R::AuthenticationTooOld, |r| r.max_authentication_age(std::time::Duration::ZERO)),
        (R::ScopeMissing, |r| r.scope("other")),
    ];
    let token = world.member().actor("copilot").earlier_actor("planner").sign();
    let delegation = world.layer().build().unwrap().authenticator().verify(&token).await.unwrap();
    for at in 0..demands.len() {
        // Built from the last to the first, so that the order of building is not the order of checks.
        // A bound on scopes contradicts a scope beyond it, which is found before any check.
        let is_beyond = |reason: R| matches!(reason, R::ScopeTooBroad | R::AudienceTooBroad);
        let requirement = demands[at..]
            .iter()
            .rev()
            .filter(|(reason, _)| *reason == demands[at].0 || !is_beyond(*reason))
            .filter(|(reason, _)| !(is_beyond(demands[at].0) && *reason == R::ScopeMissing))
            .fold(Requirement::new(), |requirement, (_, demand)| demand(requirement));
        let refused =
            delegation.authorize(&requirement.checked().unwrap(), &tower_delegation::RequestFacts::none());
        assert_eq!(refused.unwrap_err().reason(), demands[at].0);
    }
}
