//! Delegation: `act` and `may_act` (RFC 8693 sections 4.1 to 4.4).

use serde_json::{Value, json};
use tower_delegation::{
    DelegationContext, DenialReason as R, Requirement,
    context::{Actor, RequestFacts},
};

use crate::site::Site;

/// A chain of this many actors: `a1` acts now, `a2` before it.
fn chain(actors: usize) -> Value {
    let earlier = (1..=actors).rev().fold(None, |earlier: Option<Value>, n| {
        let mut act = json!({ "sub": format!("a{n}") });
        if let Some(earlier) = earlier {
            act["act"] = earlier;
        }
        Some(act)
    });
    earlier.unwrap()
}

async fn with_act(site: &Site, act: Value) -> Result<DelegationContext, R> {
    site.verify(&site.idp.token().claim("act", act).sign()).await
}

fn denial(delegation: &DelegationContext, demand: &Requirement) -> Option<R> {
    delegation.authorize(demand, &RequestFacts::none()).err().map(|rejection| rejection.reason())
}

#[tokio::test]
async fn r8693_4_1_1_act_is_an_object() {
    let site = Site::new().await;
    for act in [
        json!(null),
        json!("admin@example.com"),
        json!("noActor"),
        json!(""),
        json!([]),
        json!([{ "sub": "admin" }]),
        json!(1),
        json!(true),
        json!(false),
    ] {
        assert_eq!(with_act(&site, act.clone()).await.unwrap_err(), R::ActorMalformed, "{act}");
        // One level down as well.
        let nested = json!({ "sub": "now", "act": act });
        assert_eq!(with_act(&site, nested.clone()).await.unwrap_err(), R::ActorMalformed, "{nested}");
    }
}

#[tokio::test]
async fn r8693_4_1_2_the_outermost_act_is_the_current_actor() {
    let site = Site::new().await;
    for actors in 1..=8 {
        let delegation = with_act(&site, chain(actors)).await.unwrap();
        let ids: Vec<_> = delegation.actors().iter().map(|actor| actor.id().to_string()).collect();
        assert_eq!(ids, (1..=actors).map(|n| format!("a{n}")).collect::<Vec<_>>());
        assert_eq!(delegation.actor().unwrap().id().as_str(), "a1");
        assert!(delegation.is_delegated());
    }
    // The order of the members says nothing.
    let claims = site.claims_and(r#""act":{"act":{"act":{"sub":"c"},"sub":"b"},"sub":"a"}"#);
    let delegation = site.verify(&site.jws(&site.header(), &claims)).await.unwrap();
    assert_eq!(
        delegation.actors().iter().map(|actor| actor.id().as_str()).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
}

#[tokio::test]
async fn r8693_4_1_3_nothing_is_granted_because_of_an_earlier_actor() {
    let site = Site::new().await;
    let delegation = with_act(&site, chain(3)).await.unwrap();
    assert_eq!(denial(&delegation, &Requirement::new().actor("a1")), None);
    for earlier in ["a2", "a3"] {
        let demand = Requirement::new().actor(earlier);
        assert_eq!(denial(&delegation, &demand), Some(R::ActorNotAllowed), "{earlier}");
        assert_eq!(demand_status(&delegation, &demand), 403);
    }
    for stranger in ["A1", "a", "alice", "test-client"] {
        let denied = denial(&delegation, &Requirement::new().actor(stranger));
        assert_eq!(denied, Some(R::ActorNotAllowed), "{stranger:?}");
    }
    for no_name in ["a1 ", ""] {
        let denied = denial(&delegation, &Requirement::new().actor(no_name));
        assert_eq!(denied, Some(R::RequirementContradictory), "{no_name:?}");
    }
}

fn demand_status(delegation: &DelegationContext, demand: &Requirement) -> u16 {
    delegation.authorize(demand, &RequestFacts::none()).unwrap_err().status().as_u16()
}

#[tokio::test]
async fn r8693_4_1_4_other_claims_inside_act_mean_nothing() {
    let site = Site::new().await;
    for act in [
        json!({ "sub": "bot", "exp": 1 }),
        json!({ "sub": "bot", "exp": "yesterday", "nbf": 9_999_999_999_i64, "iat": null }),
        json!({ "sub": "bot", "aud": "https://stock.example.com" }),
        json!({ "sub": "bot", "aud": 1 }),
        json!({ "sub": "bot", "cnf": { "jkt": "x" } }),
        json!({ "sub": "bot", "client_id": "other", "azp": 1, "sub_profile": "ai_agent" }),
        json!({ "sub": "bot", "may_act": "anybody", "events": {} }),
    ] {
        let delegation =
            with_act(&site, act.clone()).await.unwrap_or_else(|reason| panic!("{act}: {reason}"));
        assert_eq!(delegation.actor().unwrap().id().as_str(), "bot", "{act}");
        assert_eq!(delegation.actors().len(), 1, "{act}");
        assert_eq!(delegation.client().unwrap().as_str(), "test-client", "{act}");
    }
    // A scope inside `act` grants nothing.
    let delegation = with_act(&site, json!({ "sub": "bot", "scope": "admin" })).await.unwrap();
    assert_eq!(denial(&delegation, &Requirement::new().scope("admin")), Some(R::ScopeMissing));
}

#[tokio::test]
async fn r8693_4_1_5_an_actor_is_issuer_and_id() {
    let site = Site::new().await;
    let delegation =
        with_act(&site, json!({ "sub": "bot", "iss": "https://agents.example", "act": { "sub": "bot" } }))
            .await
            .unwrap();
    let issuers = |delegation: &DelegationContext| -> Vec<_> {
        let of =
            |actor: &Actor| (actor.issuer().to_string(), actor.claimed_issuer().map(ToString::to_string));
        delegation.actors().iter().map(of).collect()
    };
    // Where `iss` is absent it is the token's, not that of the level above. Another one is
    // a party that the token's issuer may not speak for.
    let own = (site.idp.issuer().to_owned(), None);
    let claimed = (own.0.clone(), Some("https://agents.example".to_owned()));
    assert_eq!(issuers(&delegation), [claimed, own.clone()]);
    assert_ne!(delegation.actors()[0], delegation.actors()[1]);
    assert_eq!(denial(&delegation, &Requirement::new().actor("bot")), Some(R::ActorNotAllowed));
    assert_eq!(
        denial(&delegation, &Requirement::new().actor_of("https://agents.example", "bot")),
        Some(R::ActorNotAllowed)
    );
    let written = with_act(&site, json!({ "sub": "bot", "iss": site.idp.issuer() })).await.unwrap();
    assert_eq!(denial(&written, &Requirement::new().actor("bot")), None);
    let given = Site::with_terms(|issuer| issuer.may_speak_for("https://agents.example")).await;
    let act = json!({ "sub": "bot", "iss": "https://agents.example", "act": { "sub": "bot" } });
    let delegation = with_act(&given, act).await.unwrap();
    let own = (given.idp.issuer().to_owned(), None);
    assert_eq!(issuers(&delegation), [("https://agents.example".to_owned(), None), own]);
    assert_eq!(denial(&delegation, &Requirement::new().actor("bot")), Some(R::ActorNotAllowed));
    assert_eq!(denial(&delegation, &Requirement::new().actor_of("https://agents.example", "bot")), None);
    for issuer in [json!(null), json!(""), json!(1), json!(["https://agents.example"]), json!({})] {
        let act = json!({ "sub": "bot", "iss": issuer });
        assert_eq!(with_act(&site, act.clone()).await.unwrap_err(), R::ActorMalformed, "{act}");
    }
}

#[tokio::test]
async fn r8693_4_1_6_an_actor_has_a_sub() {
    let site = Site::new().await;
    for act in [
        json!({}),
        json!({ "client_id": "copilot" }),
        json!({ "azp": "copilot", "iss": "https://agents.example" }),
        json!({ "sub": "" }),
        json!({ "sub": null }),
        json!({ "sub": 1 }),
        json!({ "sub": ["copilot"] }),
        json!({ "sub": { "sub": "copilot" } }),
        json!({ "Sub": "copilot" }),
        json!({ "act": { "sub": "copilot" } }),
    ] {
        assert_eq!(with_act(&site, act.clone()).await.unwrap_err(), R::ActorMalformed, "{act}");
        let nested = json!({ "sub": "now", "act": act });
        assert_eq!(with_act(&site, nested.clone()).await.unwrap_err(), R::ActorMalformed, "{nested}");
    }
    for act in [r#"{"sub":"a","sub":"b"}"#, r#"{"sub":"a","act":{"sub":"b"},"act":{"sub":"c"}}"#] {
        let claims = site.claims_and(&format!(r#""act":{act}"#));
        assert_eq!(site.refusal(&site.jws(&site.header(), &claims)).await, Some(R::DuplicateMember), "{act}");
    }
    let twice = site.claims_and(r#""act":{"sub":"a"},"act":{"sub":"a"}"#);
    assert_eq!(site.refusal(&site.jws(&site.header(), &twice)).await, Some(R::DuplicateMember));
}

#[tokio::test]
async fn r8693_4_1_7_a_chain_too_long_is_refused_and_never_cut() {
    let site = Site::new().await;
    for actors in [9, 10, 40, 64, 120] {
        assert_eq!(with_act(&site, chain(actors)).await.unwrap_err(), R::ActorChainTooLong, "{actors}");
    }
    // As deep as a token can hold: no recursion, no crash.
    let levels = 1200;
    let act = format!("{}{{\"sub\":\"x\"}}{}", r#"{"act":"#.repeat(levels), "}".repeat(levels));
    let claims = site.claims_and(&format!(r#""act":{act}"#));
    assert_eq!(site.refusal(&site.jws(&site.header(), &claims)).await, Some(R::ActorMalformed));
    let act = format!("{}1{}", r#"{"sub":"","act":"#.repeat(700), "}".repeat(700));
    let claims = site.claims_and(&format!(r#""act":{act}"#));
    assert!(site.refusal(&site.jws(&site.header(), &claims)).await.is_some());
    let long = Site::with(|issuer| issuer, |layer| layer.max_actors(64)).await;
    assert_eq!(with_act(&long, chain(64)).await.unwrap().actors().len(), 64);
    assert_eq!(with_act(&long, chain(65)).await.unwrap_err(), R::ActorChainTooLong);
    let one = Site::with(|issuer| issuer, |layer| layer.max_actors(1)).await;
    assert_eq!(with_act(&one, chain(1)).await.unwrap().actors().len(), 1);
    assert_eq!(with_act(&one, chain(2)).await.unwrap_err(), R::ActorChainTooLong);
}

#[tokio::test]
async fn r8693_4_1_8_without_act_there_is_no_actor() {
    let site = Site::new().await;
    for token in [
        site.idp.token().subject("alice").client("shop-web"),
        site.idp.token().subject("batch").client("batch"),
        site.idp.token().claim("azp", "copilot").claim("actor", "copilot"),
        site.idp.token().claim("delegated_through", json!([{ "sub": "copilot" }])),
    ] {
        let delegation = site.verify(&token.sign()).await.unwrap();
        assert!(delegation.actor().is_none() && delegation.actors().is_empty());
        for demand in [
            Requirement::new().delegated(),
            Requirement::new().actor("copilot"),
            Requirement::new().actor(delegation.client().unwrap().as_str()),
        ] {
            assert_eq!(denial(&delegation, &demand), Some(R::DelegationRequired));
        }
        assert_eq!(denial(&delegation, &Requirement::new().not_delegated()), None);
    }
    let delegation = with_act(&site, chain(1)).await.unwrap();
    assert_eq!(denial(&delegation, &Requirement::new().not_delegated()), Some(R::DelegationForbidden));
    // An actor who is the subject is an actor still.
    let own = with_act(&site, json!({ "sub": "alice" })).await.unwrap();
    assert!(own.is_delegated());
}

#[tokio::test]
async fn r8693_4_2_1_scope_is_a_space_delimited_string() {
    let site = Site::new().await;
    let token = site.idp.token().claim("scope", "email profile phone address").sign();
    let delegation = site.verify(&token).await.unwrap();
    assert_eq!(delegation.scopes().iter().collect::<Vec<_>>(), ["email", "profile", "phone", "address"]);
    let listed = site.idp.token().claim("scope", json!(["email", "profile"])).sign();
    assert_eq!(site.refusal(&listed).await, Some(R::ClaimMalformed));
}

#[tokio::test]
async fn r8693_4_3_1_client_and_actor_may_differ_and_both_are_told() {
    let site = Site::new().await;
    let token = site.idp.token().client("shop-web").actor("copilot").earlier_actor("planner").sign();
    let delegation = site.verify(&token).await.unwrap();
    let both = Requirement::new().client("shop-web").actor("copilot");
    assert_eq!(denial(&delegation, &both), None);
    assert_eq!(denial(&delegation, &Requirement::new().client("copilot")), Some(R::ClientNotAllowed));
    assert_eq!(denial(&delegation, &Requirement::new().actor("shop-web")), Some(R::ActorNotAllowed));
    assert_eq!(denial(&delegation, &Requirement::new().actor("planner")), Some(R::ActorNotAllowed));
}

#[tokio::test]
async fn r8693_4_4_1_may_act_grants_nothing() {
    let site = Site::new().await;
    for may_act in [json!({ "sub": "admin@example.com" }), json!("anybody"), json!(null), json!([1])] {
        let token = site.idp.token().claim("may_act", may_act.clone()).sign();
        let delegation = site.verify(&token).await.unwrap();
        assert!(delegation.actor().is_none(), "{may_act}");
        let demand = Requirement::new().actor("admin@example.com");
        assert_eq!(denial(&delegation, &demand), Some(R::DelegationRequired), "{may_act}");
    }
    let token = site.idp.token().actor("bot").claim("may_act", json!({ "sub": "admin" })).sign();
    let delegation = site.verify(&token).await.unwrap();
    assert_eq!(denial(&delegation, &Requirement::new().actor("admin")), Some(R::ActorNotAllowed));
}
