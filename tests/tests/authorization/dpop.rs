//! Demands on a token that is bound to a key, and step-up by scheme `DPoP`.

use integration_tests::{Answer, AuditLog};
use reqwest::{Method, header::AUTHORIZATION};
use tower_delegation::{DenialReason as R, Dpop, Requirement};
use tower_delegation_testing::DpopKey;

use crate::{Judging, PATH, World};

/// What clients call the service, whatever socket it listens on.
const ORIGIN: &str = "https://api.example.com";

/// Sends a bound token with its proof to a route with this requirement.
async fn send_bound(world: &World, requirement: Requirement) -> Answer {
    let key = DpopKey::generate().clock(world.clock.clone());
    let service = world.guard_behind(world.layer().dpop(Dpop::at(ORIGIN)), requirement).await;
    let token = world.member().bound_to_key(&key).sign();
    let proof = key.proof("GET", format!("{ORIGIN}{PATH}")).for_token(&token).sign();
    let request = service.request(Method::GET, PATH).header("DPoP", proof);
    Answer::of(request.header(AUTHORIZATION, format!("DPoP {token}"))).await
}

#[tokio::test]
async fn the_token_is_bound_to_what_is_demanded() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let new = Requirement::new;
    for (name, requirement, expected) in [
        ("to a certificate", new().mutual_tls(), Some(R::SenderConstraintNotAllowed)),
        ("to both", new().mutual_tls().dpop(), Some(R::SenderConstraintNotAllowed)),
        ("to anything", new().sender_constrained(), None),
        ("to a key", new().dpop(), None),
    ] {
        let answer = send_bound(&world, requirement).await;
        assert_eq!(audit.one().field("reason"), expected.map_or("", R::code), "{name}");
        assert_eq!(answer.status, if expected.is_some() { 401 } else { 200 }, "{name}");
    }
    let service = world.guard_behind(world.layer().dpop(Dpop::at(ORIGIN)), new().dpop()).await;
    assert_eq!(service.get(PATH, &world.member().sign()).await.status, 401);
    assert_eq!(audit.one().field("reason"), "sender_constraint_missing");
}

/// 9470-3-4: step-up by the scheme that was used.
#[tokio::test]
async fn step_up_stands_in_the_challenge_of_the_scheme() {
    let world = World::new().await;
    let answer = send_bound(&world, Requirement::new().acr("mfa").scope("x")).await;
    assert_eq!(answer.status, 401);
    let [bearer, dpop] = answer.challenges.as_slice() else { panic!("{:?}", answer.challenges) };
    assert!(dpop.starts_with("DPoP "), "{dpop}");
    for parameter in [r#"error="insufficient_user_authentication""#, r#"acr_values="mfa""#, r#"scope="x""#] {
        assert!(dpop.contains(parameter), "{dpop}");
        assert!(!bearer.contains(parameter), "{bearer}");
    }
}
