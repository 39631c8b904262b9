//! Exactly one event for each request, whatever becomes of it.

use std::{panic::AssertUnwindSafe, time::Duration};

use axum::body::Body;
use http::{Request, StatusCode, header::AUTHORIZATION};
use serde_json::json;
use tower::ServiceExt as _;
use tower_delegation::{
    Applications, DelegationContext, RequestFacts, Requirement,
    application::{Application, ApplicationKind},
    audit::{Audit, NativeFormat, TracingSink},
    clock::Clock as _,
    credential::PeerInfo,
    revocation::{InMemoryRevocations, Revocation},
};

use crate::{Memory, World, call, inline, request, router, warm};

// AUD-1
#[tokio::test]
async fn every_request_leaves_one_event() {
    let world = World::new().await;
    let memory = Memory::default();
    let layer = warm(&world, [inline(&memory)]).await;
    let router = router(&layer);
    let ago = |seconds| world.clock.now().saturating_sub(Duration::from_secs(seconds));
    let good = world.token().sign();
    let other_scope = world.token().scopes(["other"]).sign();
    let forged = world.token().tamper_signature().sign();
    let expired = world.token().issued_at(ago(7200)).expires_at(ago(3600)).sign();
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    for (name, path, credentials, status, decision, reason) in [
        ("allowed", "/orders/7", bearer(&good), 200, "allow", None),
        ("a token alone", "/open", bearer(&good), 200, "none", None),
        ("no such route", "/nowhere", bearer(&good), 404, "none", None),
        ("no scope", "/orders/7", bearer(&other_scope), 403, "deny", Some("scope_missing")),
        ("forged", "/orders/7", bearer(&forged), 401, "deny", Some("signature_invalid")),
        ("expired", "/orders/7", bearer(&expired), 401, "deny", Some("token_expired")),
        ("nothing", "/orders/7", None, 401, "deny", Some("credentials_missing")),
        (
            "another scheme",
            "/orders/7",
            Some("Basic YTpi".to_owned()),
            401,
            "deny",
            Some("credentials_missing"),
        ),
        ("no token", "/orders/7", bearer("a,b"), 400, "deny", Some("credentials_malformed")),
    ] {
        memory.0.lock().unwrap().clear();
        let mut builder = Request::get(path);
        if let Some(credentials) = credentials {
            builder = builder.header(AUTHORIZATION, credentials);
        }
        assert_eq!(call(&router, builder.body(Body::empty()).unwrap()).await, status, "{name}");
        let event = memory.one();
        assert_eq!(event["decision"], decision, "{name}");
        assert_eq!(event.get("reason").and_then(|reason| reason.as_str()), reason, "{name}");
        assert_eq!(event["status"], status, "{name}");
        assert_eq!(event["method"], "GET", "{name}");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_and_a_handler_that_panics_leave_one_event() {
    let world = World::new().await;
    let memory = Memory::default();
    let layer = warm(&world, [inline(&memory)]).await;
    let router = router(&layer);
    let token = world.token().sign();

    let mut hanging = Box::pin(call(&router, request("/hang", &token)));
    assert!(futures_util::poll!(&mut hanging).is_pending());
    assert_eq!(memory.events().len(), 0);
    drop(hanging);
    let event = memory.one();
    assert_eq!((&event["decision"], &event["route"]), (&json!("abandoned"), &json!("/hang")));
    assert_eq!((event.get("status"), &event["subject"]), (None, &json!("alice")));

    memory.0.lock().unwrap().clear();
    let panicking = AssertUnwindSafe(call(&router, request("/panic", &token)));
    assert!(futures_util::FutureExt::catch_unwind(panicking).await.is_err());
    let event = memory.one();
    assert_eq!((&event["decision"], &event["route"]), (&json!("abandoned"), &json!("/panic")));
    assert_eq!(event["subject"], "alice");
}

/// The README's Audit section shows this line.
#[tokio::test]
async fn an_event_tells_everything_that_is_known() {
    let world = World::new().await;
    let memory = Memory::default();
    let layer = warm(&world, [inline(&memory)]).await;
    let token = world.token().actor("copilot").earlier_actor("planner").earlier_actor("portal");
    let token = token.token_id("t-1").session("s-1").claim("tenant", "acme").sign();
    let mut request = request("/orders/7?secret=1", &token);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    request.extensions_mut().insert(PeerInfo::new(([192, 0, 2, 1], 50_000).into()));
    assert_eq!(call(&router(&layer), request).await, 200);

    let mut event = memory.one();
    let event = event.as_object_mut().unwrap();
    assert_eq!(event.remove("token_hash").unwrap().as_str().unwrap().len(), 64);
    let issuer = world.idp.issuer();
    let actor = |id| json!({"issuer": issuer, "id": id});
    let expected = json!({
        "time": event["time"],
        "decision": "allow",
        "status": 200,
        "method": "GET",
        "route": "/orders/{id}",
        "requirements": [
            {"name": "order", "outcome": "allow", "scopes": "orders:read"},
            {"name": "order", "outcome": "allow"},
        ],
        "issuer": issuer,
        "subject": "alice",
        "subject_kind": "user",
        "client": "shop-web",
        "tenant": "acme",
        "session_id": "s-1",
        "actor": actor("copilot"),
        "earlier_actors": [actor("planner"), actor("portal")],
        "scopes": "orders:read",
        "sender_constraint": "none",
        "token_id": "t-1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "client_address": "192.0.2.1:50000",
        "duration_us": 0,
    });
    assert_eq!(&serde_json::Value::Object(event.clone()), &expected);

    // The documents show a line of exactly these members.
    for (document, text) in
        [("README", include_str!("../../../README.md")), ("guide", include_str!("../../../docs/audit.md"))]
    {
        let shown = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect(document);
        let shown: serde_json::Value = serde_json::from_str(shown).expect(document);
        let names = |value: &serde_json::Value| {
            let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            names.retain(|name| name != "token_hash");
            names.sort();
            names
        };
        assert_eq!(names(&shown), names(&expected), "{document}");
        assert_eq!(shown["requirements"][0], expected["requirements"][0], "{document}");
    }
}

#[tokio::test]
async fn what_is_malformed_is_left_out() {
    let world = World::new().await;
    let memory = Memory::default();
    let layer = warm(&world, [inline(&memory)]).await;
    let mut request = request("/orders/7", &world.token().sign());
    request.headers_mut().insert("traceparent", "00-zz".parse().unwrap());
    assert_eq!(call(&router(&layer), request).await, 200);
    let event = memory.one();
    for absent in ["trace_id", "span_id", "client_address", "actor", "earlier_actors", "tenant", "workload"] {
        assert_eq!(event.get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn a_denial_that_the_handler_answers_otherwise_is_on_record_as_it_was_sent() {
    let world = World::new().await;
    let memory = Memory::default();
    let layer = warm(&world, [inline(&memory)]).await;
    let handler = async |delegation: DelegationContext| {
        let refund = Requirement::named("refund").scope("orders:refund");
        delegation.authorize(&refund, &RequestFacts::none()).map_or("not refunded", |()| "refunded")
    };
    let router = axum::Router::new().route("/", axum::routing::get(handler)).layer(layer);
    assert_eq!(call(&router, request("/", &world.token().sign())).await, 403);
    let event = memory.one();
    assert_eq!((&event["decision"], &event["status"]), (&json!("deny"), &json!(403)));
    let expected =
        json!([{"name": "refund", "outcome": "deny", "reason": "scope_missing", "scopes": "orders:refund"}]);
    assert_eq!(event["requirements"], expected);
}

/// However much a request asks, its event is bounded, and says how much was left out.
#[tokio::test]
async fn questions_are_on_record_within_a_bound() {
    let world = World::new().await;
    let memory = Memory::default();
    let layer = warm(&world, [inline(&memory)]).await;
    let handler = async |delegation: DelegationContext| {
        let item = |name: String| Requirement::named(name).scope("orders:refund");
        for number in 0..300 {
            assert!(!delegation.permits(&item(format!("item {number}")), &RequestFacts::none()));
            assert!(!delegation.permits(&item("item 0".to_owned()), &RequestFacts::none()));
        }
    };
    let router = axum::Router::new().route("/", axum::routing::get(handler)).layer(layer);
    assert_eq!(call(&router, request("/", &world.token().sign())).await, 200);
    let event = memory.one();
    assert_eq!((&event["decision"], &event["omitted_requirements"]), (&json!("none"), &json!(172)));
    let recorded = event["requirements"].as_array().unwrap();
    assert_eq!(recorded.len(), 128, "decisions have room left");
    let first = json!({"name": "item 0", "outcome": "deny (asked)", "reason": "scope_missing", "scopes": "orders:refund"});
    assert_eq!(recorded[0], first);
}

#[tokio::test]
async fn no_sink_shows_a_token_and_equal_tokens_have_equal_hashes() {
    let world = World::new().await;
    let memory = Memory::default();
    let layer = warm(&world, [inline(&memory)]).await;
    let router = router(&layer);
    let good = world.token().sign();
    let forged = world.token().tamper_signature().sign();
    let long = world.token().claim("padding", "x".repeat(6000)).sign();
    for token in [&good, &forged, &long, &good] {
        let _ = call(&router, request("/orders/7", token)).await;
    }
    let text = memory.text();
    for part in [&good, &forged, &long].iter().flat_map(|token| token.split('.')) {
        assert!(!text.contains(part), "{text}");
    }
    let hashes: Vec<_> = memory.events().iter().map(|event| event["token_hash"].clone()).collect();
    let [first, second, third, again] = hashes.as_slice() else { panic!("{hashes:?}") };
    assert_eq!(first, again);
    assert!(first != second && second != third && first != third && first.is_string());
}

#[tokio::test]
async fn several_sinks_each_hear_of_each_request() {
    let world = World::new().await;
    let (one, other) = (Memory::default(), Memory::default());
    let audits = [inline(&one), Audit::new(other.sink_of(NativeFormat)), Audit::inline(TracingSink)];
    let layer = warm(&world, audits).await;
    let router = router(&layer);
    let token = world.token().sign();
    for _ in 0..10 {
        assert_eq!(call(&router, request("/orders/7", &token)).await, StatusCode::OK);
    }
    layer.flush_audit(Duration::from_secs(5)).await.unwrap();
    assert_eq!(one.events().len(), 10);
    assert_eq!(one.text(), other.text());
    let recorded: Vec<_> = layer.status().audit.iter().map(|sink| sink.recorded).collect();
    assert_eq!(recorded, [10, 10, 10]);
    let _ = router.oneshot(request("/open", &token)).await;
}

/// The original user is never lost: also not where the token is good, and who
/// presents it is the reason to refuse.
#[tokio::test]
async fn a_good_token_that_is_refused_names_its_user() {
    let world = World::new().await;
    let revocations = InMemoryRevocations::new().clock(world.clock.clone());
    revocations.revoke(Revocation::subject(world.idp.issuer(), "mallory")).unwrap();
    let registry = Application::builder("shop-web", ApplicationKind::Application)
        .issuer(world.idp.issuer())
        .add_client_id("shop-web")
        .allow_any_workload()
        .add_scopes(["orders:read"])
        .acts_for_users();
    let registry = Applications::builder().add_application(registry).build().unwrap();
    let memory = Memory::default();
    let layer = world.layer().revocations(revocations).applications(registry);
    let layer = layer.add_audit(Audit::inline(memory.sink())).build().unwrap();
    layer.warm_up().await.unwrap();
    let token = || world.token().actor("copilot").earlier_actor("planner");
    for (name, token, subject, client, reason) in [
        ("revoked", world.token().user("mallory"), "mallory", "shop-web", "subject_revoked"),
        ("no such client", world.token().client("newsletter"), "alice", "newsletter", "client_unregistered"),
        ("no such actor", token(), "alice", "shop-web", "actor_unregistered"),
        (
            "bound to a certificate",
            world.token().bound_to_certificate(b"somebody's"),
            "alice",
            "shop-web",
            "confirmation_unsupported",
        ),
    ] {
        memory.clear();
        let status = call(&router(&layer), request("/open", &token.sign())).await;
        assert!(status.is_client_error(), "{name}");
        let event = memory.one();
        let has = |member: &str, value: &str| assert_eq!(event[member], value, "{name}: {member}");
        has("decision", "deny");
        has("reason", reason);
        has("issuer", world.idp.issuer());
        has("subject", subject);
        has("client", client);
        has("scopes", "orders:read");
        assert!(event["token_id"].is_string(), "{name}");
        assert!(event.get("sender_constraint").is_none(), "{name}");
        if reason == "actor_unregistered" {
            assert_eq!(event["actor"]["id"], "copilot");
            assert_eq!(event["earlier_actors"][0]["id"], "planner");
        }
    }
    // A token that is not good says nothing that could be believed.
    memory.clear();
    call(&router(&layer), request("/open", &world.token().tamper_payload().sign())).await;
    let event = memory.one();
    assert!(event.get("subject").is_none() && event.get("issuer").is_none());
}
