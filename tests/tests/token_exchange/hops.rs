//! Over four services: the user is never lost, nothing widens, and what is taken back from
//! the user or from an application stops the next call at every hop.

mod chain;
mod lives;

use integration_tests::AuditLog;
use serde_json::{Value, json};
use tower_delegation_testing::ExchangeFault;

use self::chain::{Chain, PLACES, TRACE};
use crate::faults::REASONS;

#[tokio::test]
async fn the_user_all_who_act_for_them_and_the_trace_arrive_at_every_hop() {
    let chain = Chain::new().await;
    let heard = AuditLog::listen();
    let seen = chain.seen(&chain.token().sign()).await;
    let actors = [json!([]), json!(["web"]), json!(["gateway", "web"]), json!(["orders", "gateway", "web"])];
    let scopes = ["shop:account shop:buy", "orders:read orders:write", "orders:write", "stock:reserve"];
    assert_eq!(seen.len(), PLACES.len());
    for (((seen, place), actors), scopes) in seen.iter().zip(&PLACES).zip(&actors).zip(scopes) {
        let name = place.name;
        assert_eq!(seen["sub"], "alice", "{name}");
        assert_eq!(&seen["actors"], actors, "{name}: 8693-4.1-1: the chain goes on");
        assert_eq!(seen["aud"], json!([place.audience]), "{name}");
        assert_eq!(seen["scope"], scopes, "{name}: by the table of the downstream");
    }
    assert_ends_never_later(&seen);

    let events = heard.take();
    assert_eq!(Chain::passed(&events), PLACES.map(|place| (place.name, "allow".to_owned())));
    let exchanges = events.iter().filter(|event| !event.field("downstream").is_empty()).count();
    assert_eq!((events.len(), exchanges), (7, 3), "a request at each hop, an exchange between two");
    for event in &events {
        assert_eq!(event.field("subject"), "alice", "{event:?}");
        assert_eq!(event.field("subject_kind"), "user", "{event:?}");
        assert_eq!(event.field("decision"), "allow", "{event:?}");
        assert_eq!(event.field("trace_id"), TRACE, "{event:?}");
    }
    for (route, client, current, earlier) in [
        ("/web", "shop-web", "", ""),
        ("/gateway", "web", "web", ""),
        ("/orders", "gateway", "gateway", "web"),
        ("/stock", "orders", "orders", "gateway web"),
    ] {
        let event = events.iter().find(|event| event.field("route") == route).unwrap();
        assert_eq!(event.field("client"), client, "{route}");
        assert_eq!(event.field("actor"), current, "{route}");
        assert_eq!(event.field("earlier_actors"), earlier, "{route}");
    }
}

/// The outcome at each hop of a call that ends at this one with `outcome`.
fn stopped(at: usize, outcome: &str) -> Vec<(&'static str, String)> {
    let outcomes = PLACES.iter().enumerate().map(|(hop, place)| {
        let outcome = if hop < at { "allow" } else { outcome };
        (place.name, outcome.to_owned())
    });
    outcomes.take(at + 1).collect()
}

/// Where the issuer caps.
fn assert_ends_never_later(seen: &[Value]) {
    for pair in seen.windows(2) {
        let ends = [&pair[0], &pair[1]].map(|seen| seen["exp"].as_i64().unwrap());
        assert!(ends[1] <= ends[0], "{pair:?}");
    }
}

#[tokio::test]
async fn what_the_user_has_in_excess_goes_no_further() {
    let chain = Chain::new().await;
    for (name, scopes, expected) in [
        ("scopes of services behind", &["shop:buy", "stock:read", "orders:admin"][..], Ok("stock:reserve")),
        (
            "the scope of a later hop is no scope here",
            &["orders:write", "stock:reserve"],
            Err("scope_missing"),
        ),
        ("one that is worth nothing", &["shop:account"], Err("scope_missing")),
    ] {
        let heard = AuditLog::listen();
        let token = chain.token().scopes(scopes).sign();
        match expected {
            Ok(at_stock) => assert_eq!(chain.seen(&token).await[3]["scope"], at_stock, "{name}"),
            Err(reason) => {
                assert_eq!(chain.call(&token).await.status, 403, "{name}");
                assert_eq!(Chain::passed(&heard.take()), [("web", reason.to_owned())], "{name}");
            }
        }
    }
}

#[tokio::test]
async fn no_hop_accepts_the_token_of_another() {
    let chain = Chain::new().await;
    let tokens = chain.tokens(&chain.token().sign(), PLACES.len()).await;
    for (at, hop) in chain.hops.iter().enumerate() {
        for (of, token) in tokens.iter().enumerate() {
            let name = format!("the token for {} at {}", PLACES[of].name, hop.place.name);
            let heard = AuditLog::listen();
            let answer = hop.call(token).await;
            if at == of {
                assert_eq!(answer.status, 200, "{name}: {}", answer.body);
                continue;
            }
            assert_eq!(answer.status, 401, "{name}");
            let passed = Chain::passed(&heard.take());
            assert_eq!(passed, [(hop.place.name, "audience_mismatch".to_owned())], "{name}");
        }
    }
}

#[tokio::test]
async fn a_revoked_user_is_stopped_at_each_hop_that_knows() {
    let chain = Chain::new().await;
    let bob = chain.token().user("bob").sign();
    for (at, (place, user)) in PLACES.iter().zip(["alice", "carol", "dave", "erin"]).enumerate() {
        let token = chain.token().user(user).sign();
        // What was exchanged is kept at each hop.
        chain.seen(&token).await;
        chain.hops[at].revoke(&chain.world, user);
        let exchanges = chain.world.idp.token_requests().len();
        let heard = AuditLog::listen();
        assert_eq!(chain.call(&token).await.status, 401, "{}", place.name);
        assert_eq!(Chain::passed(&heard.take()), stopped(at, "subject_revoked"), "nothing is called beyond");
        assert_eq!(chain.world.idp.token_requests().len(), exchanges, "nor exchanged");
        assert_eq!(chain.seen(&bob).await[3]["sub"], "bob", "others go on");
    }
}

#[tokio::test]
async fn a_suspended_application_is_stopped_at_each_hop_that_it_acts_at() {
    let chain = Chain::new().await;
    for (application, at, reason) in [
        ("shop-web", 0, "client_suspended"),
        ("web", 1, "client_suspended"),
        ("web", 2, "actor_suspended"),
        ("web", 3, "actor_suspended"),
        ("gateway", 2, "client_suspended"),
        ("gateway", 3, "actor_suspended"),
        ("orders", 3, "client_suspended"),
    ] {
        let hop = &chain.hops[at];
        let name = format!("{application} is suspended at {}", hop.place.name);
        let token = chain.token().sign();
        chain.seen(&token).await;
        hop.register(&chain.world, Some(application));
        let exchanges = chain.world.idp.token_requests().len();
        let heard = AuditLog::listen();
        assert_eq!(chain.call(&token).await.status, 403, "{name}");
        assert_eq!(Chain::passed(&heard.take()), stopped(at, reason), "{name}");
        assert_eq!(chain.world.idp.token_requests().len(), exchanges, "{name}: nothing is exchanged");
        hop.register(&chain.world, None);
    }
}

#[tokio::test]
async fn a_provider_that_hands_out_too_much_at_any_hop_stops_the_chain_there() {
    let chain = Chain::new().await;
    for (at, place) in PLACES.iter().enumerate().take(3) {
        for (fault, reason) in REASONS {
            if at == 0 && fault == ExchangeFault::ChainCut {
                // No one acted earlier: there is nothing to cut.
                continue;
            }
            let name = format!("{fault:?} at {}", place.name);
            let token = chain.token().sign();
            // The exchanges of the hops before are kept: the next one is that of this hop.
            chain.tokens(&token, at + 1).await;
            chain.world.idp.misissue_next(fault);
            let heard = AuditLog::listen();
            let answer = chain.call(&token).await;
            assert_eq!(answer.status, 503, "{name}: {}", answer.body);
            let events = heard.take();
            assert_eq!(Chain::passed(&events), stopped(at, "allow"), "{name}: nothing is called beyond");
            let exchange = events.iter().find(|event| !event.field("downstream").is_empty()).unwrap();
            assert_eq!(exchange.field("reason"), reason, "{name}");
            assert_eq!(exchange.field("subject"), "alice", "{name}");
        }
    }
}
