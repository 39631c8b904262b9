//! Step-up authentication (RFC 9470), and what a challenge names.

use std::time::Duration;

use integration_tests::AuditLog;
use reqwest::Method;
use tower_delegation::{DenialReason as R, Requirement, clock::Clock as _};
use tower_delegation_testing::TokenBuilder;

use crate::{Judging, PATH, Row, World, judge, parameter};

const MINUTE: Duration = Duration::from_secs(60);

/// 9470-3-1, 9470-6.1-1: 401, exact comparison, missing is not satisfied.
#[tokio::test]
async fn the_user_authenticated_well_enough() {
    let world = World::new().await;
    let new = Requirement::new;
    let weak = Some(R::AuthenticationTooWeak);
    let mfa = || new().any_acr(["urn:example:mfa", "phr"]);
    let rows: Vec<Row> = vec![
        ("no class", mfa(), |t| t, weak),
        ("another class", mfa(), |t| t.acr("pwd"), weak),
        ("a class in another case", mfa(), |t| t.acr("PHR"), weak),
        ("a part of a class", mfa(), |t| t.acr("urn:example:mf"), weak),
        ("both classes in one", mfa(), |t| t.acr("urn:example:mfa phr"), weak),
        ("a method is no class", mfa(), |t| t.amr(["phr"]), weak),
        ("no time", new().max_authentication_age(MINUTE), |t| t, Some(R::AuthenticationTooOld)),
        (
            "the token's time is not the user's",
            new().max_authentication_age(MINUTE),
            |t| t.acr("phr"),
            Some(R::AuthenticationTooOld),
        ),
        // A service has no user who could sign in: no challenge would end.
        ("a service", mfa(), |t| t.subject("nightly").client("nightly"), Some(R::NoUserToAuthenticate)),
        (
            "a service of another class",
            mfa(),
            |t| t.subject("nightly").client("nightly").acr("pwd"),
            Some(R::NoUserToAuthenticate),
        ),
        (
            "a service and a time",
            new().max_authentication_age(MINUTE).scope("orders:refund"),
            |t| t.subject("nightly").client("nightly"),
            Some(R::NoUserToAuthenticate),
        ),
        ("the first class", mfa(), |t| t.acr("urn:example:mfa"), None),
        ("the other class", mfa(), |t| t.acr("phr"), None),
    ];
    world.check(rows).await;
}

/// 9470-6.1-2: the leeway is for clocks that differ, no more.
#[tokio::test]
async fn the_user_authenticated_lately_enough() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let layer = world.layer().leeway(Duration::from_secs(5));
    let service = world.guard_behind(layer, Requirement::new().max_authentication_age(MINUTE)).await;
    let now = world.clock.now();
    for (name, auth_time, expected) in [
        ("a second too long ago", now.saturating_sub(Duration::from_secs(66)), Some(R::AuthenticationTooOld)),
        ("long ago", now.saturating_sub(MINUTE * 600), Some(R::AuthenticationTooOld)),
        ("in the future", now.saturating_add(Duration::from_secs(6)), Some(R::AuthenticationTooOld)),
        ("long ahead", now.saturating_add(MINUTE * 600), Some(R::AuthenticationTooOld)),
        ("within the leeway", now.saturating_sub(Duration::from_secs(65)), None),
        ("ahead within the leeway", now.saturating_add(Duration::from_secs(5)), None),
        ("now", now, None),
    ] {
        let token = world.member().auth_time(auth_time).sign();
        judge(name, service.request(Method::GET, PATH).bearer_auth(token), expected, &audit).await;
    }
    // The same token, later: the cache does not stop the clock.
    let token = world.member().auth_time(now).sign();
    assert_eq!(service.get(PATH, &token).await.status, 200);
    world.clock.advance(MINUTE * 2);
    assert_eq!(service.get(PATH, &token).await.status, 401);
}

/// 9470-3-2, 9470-3-3, 9470-9-1.
#[tokio::test]
async fn the_challenge_says_what_would_help_and_no_more() {
    let world = World::new().await;
    let requirement = Requirement::new()
        .any_acr(["urn:example:mfa", "phr"])
        .max_authentication_age(MINUTE * 5)
        .scope("orders:refund")
        .any_scope(["a", "b"])
        .client("shop-web");
    let service = world.guard_behind(world.layer().allow_anonymous().realm("orders"), requirement).await;
    let token = || world.member().auth_time(world.clock.now());
    let scope = Some("orders:refund a");
    type Expected<'e> = (u16, Option<&'e str>, Option<&'e str>, Option<&'e str>, Option<&'e str>);
    let stepping = "insufficient_user_authentication";
    let rows: [(&str, TokenBuilder, Expected<'_>); 7] = [
        (
            "a bad token learns nothing",
            token().tamper_signature(),
            (401, Some("invalid_token"), None, None, None),
        ),
        ("another client learns nothing", token().client("other"), (403, None, None, None, None)),
        (
            "both are insufficient",
            token(),
            (401, Some(stepping), Some("urn:example:mfa phr"), Some("300"), scope),
        ),
        (
            "too old, and no scope",
            token().acr("phr").without("auth_time"),
            (401, Some(stepping), Some("urn:example:mfa phr"), Some("300"), scope),
        ),
        (
            "authentication alone",
            token().scopes(["orders:refund", "b"]),
            (401, Some(stepping), Some("urn:example:mfa phr"), Some("300"), None),
        ),
        ("scope alone", token().acr("phr"), (403, Some("insufficient_scope"), None, None, scope)),
        (
            "a scope of the choice",
            token().acr("phr").scopes(["orders:refund"]),
            (403, Some("insufficient_scope"), None, None, scope),
        ),
    ];
    for (name, token, (status, error, acr_values, max_age, scope)) in rows {
        let answer = service.get(PATH, &token.sign()).await;
        assert_eq!(answer.status, status, "{name}");
        for (key, expected) in [
            ("realm", Some("orders")),
            ("error", error),
            ("acr_values", acr_values),
            ("max_age", max_age),
            ("scope", scope),
        ] {
            assert_eq!(parameter(answer.challenge(), key).as_deref(), expected, "{name}: {key}");
        }
        assert_eq!(answer.code(), error.unwrap_or("forbidden"), "{name}");
    }
    // No credentials: the scopes, as before; nothing of the log-in.
    let answer = service.get_anonymously(PATH).await;
    assert_eq!(
        (answer.status, answer.challenge()),
        (401, r#"Bearer realm="orders", scope="orders:refund a""#)
    );

    let good = token().acr("phr").scopes(["orders:refund", "b"]);
    assert_eq!(service.get(PATH, &good.sign()).await.status, 200);
}

#[tokio::test]
async fn a_challenge_is_composed_of_the_parts() {
    let world = World::new().await;
    let new = Requirement::new;
    let parts = || {
        new()
            .scope("own")
            .all_of([
                new().scope("part").max_authentication_age(MINUTE),
                new().acr("mfa").max_authentication_age(MINUTE * 2),
            ])
            .any_of([new().client("other"), new().scope("second").acr("phr"), new().scope("third")])
            .not(new().scope("forbidden"))
    };
    let now = world.clock.now();
    type Needs<'n> = (Option<&'n str>, Option<&'n str>, Option<&'n str>);
    type Row<'n> = (&'n str, Vec<&'n str>, Option<&'n str>, u16, Needs<'n>);
    let rows: [Row<'_>; 4] = [
        // The first alternative that can be met by another token is the one that is named.
        ("nothing", vec![], None, 401, (Some("mfa phr"), Some("60"), Some("own part second"))),
        ("a strong log-in", vec![], Some("mfa"), 401, (Some("mfa phr"), Some("60"), Some("own part second"))),
        ("an alternative", vec!["third"], Some("mfa"), 403, (None, None, Some("own part third"))),
        ("what is forbidden", vec!["forbidden"], Some("mfa"), 403, (None, None, None)),
    ];
    let service = world.guard(parts()).await;
    for (name, scopes, acr, status, (acr_values, max_age, scope)) in rows {
        let token = world.member().scopes(scopes).auth_time(now);
        let token = acr.into_iter().fold(token, TokenBuilder::acr);
        let answer = service.get(PATH, &token.sign()).await;
        assert_eq!(answer.status, status, "{name}");
        for (key, expected) in [("acr_values", acr_values), ("max_age", max_age), ("scope", scope)] {
            assert_eq!(parameter(answer.challenge(), key).as_deref(), expected, "{name}: {key}");
        }
    }
    let token = world.member().scopes(["own", "part", "third"]).auth_time(now).acr("mfa").sign();
    assert_eq!(service.get(PATH, &token).await.status, 200);
}
