//! The mappings use the names of their schemas.

use serde_json::{Value, json};
use tower_delegation::{
    TrustedIssuer,
    audit::{Audit, AuditEvent, AuditSink, EcsFormat, OcsfFormat, SinkError},
    credential::PeerInfo,
};

use crate::{Memory, World, call, request, router, warm};

/// An allowed, a denied and an unauthenticated request.
async fn three_requests(audit: Audit) -> String {
    let world = World::new().await;
    let layer = warm(&world, [audit]).await;
    let router = router(&layer);
    let token = || world.token().actor("copilot").session("s-1").claim("tenant", "acme");
    let mut allowed = request("/orders/7", &token().sign());
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    allowed.headers_mut().insert("traceparent", parent.parse().unwrap());
    allowed.extensions_mut().insert(PeerInfo::new(([192, 0, 2, 1], 50_000).into()));
    assert_eq!(call(&router, allowed).await, 200);
    assert_eq!(call(&router, request("/orders/7", &token().scopes(["other"]).sign())).await, 403);
    assert_eq!(call(&router, request("/orders/7", "junk")).await, 401);
    world.idp.issuer().to_owned()
}

#[track_caller]
fn assert_members(event: &Value, expected: &[(&str, Value)]) {
    for (path, value) in expected {
        assert_eq!(event.pointer(path), Some(value), "{path} of {event}");
    }
}

// AUD-ECS
#[tokio::test]
async fn ecs() {
    let memory = Memory::default();
    let issuer = three_requests(Audit::inline(memory.sink_of(EcsFormat))).await;
    let events = memory.events();
    let [allowed, denied, unknown] = events.as_slice() else { panic!("{events:?}") };
    assert_members(
        allowed,
        &[
            ("/ecs/version", json!("8.17.0")),
            ("/event/kind", json!("event")),
            ("/event/category", json!(["api"])),
            ("/event/type", json!(["access", "allowed"])),
            ("/event/outcome", json!("success")),
            ("/event/action", json!("GET /orders/{id}")),
            ("/event/duration", json!(0)),
            ("/user/id", json!("alice")),
            ("/user/domain", json!(issuer)),
            ("/user/effective/id", json!("copilot")),
            ("/organization/id", json!("acme")),
            ("/rule/name", json!("order")),
            ("/trace/id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
            ("/span/id", json!("00f067aa0ba902b7")),
            ("/http/request/method", json!("GET")),
            ("/http/response/status_code", json!(200)),
            ("/client/address", json!("192.0.2.1")),
            ("/client/ip", json!("192.0.2.1")),
            ("/client/port", json!(50_000)),
            ("/tower_delegation/client", json!("shop-web")),
        ],
    );
    assert!(allowed["@timestamp"].as_str().unwrap().ends_with('Z'));
    assert_members(
        denied,
        &[
            ("/event/type", json!(["access", "denied"])),
            ("/event/outcome", json!("failure")),
            ("/event/reason", json!("scope_missing")),
            ("/rule/name", json!("order")),
            ("/user/id", json!("alice")),
        ],
    );
    assert_members(
        unknown,
        &[("/event/outcome", json!("failure")), ("/event/reason", json!("token_malformed"))],
    );
    for absent in ["user", "rule", "trace", "client", "tls"] {
        assert_eq!(unknown.get(absent), None, "{absent}");
    }
}

// AUD-OCSF
#[tokio::test]
async fn ocsf() {
    let memory = Memory::default();
    let issuer = three_requests(Audit::inline(memory.sink_of(OcsfFormat))).await;
    let events = memory.events();
    let [allowed, denied, unknown] = events.as_slice() else { panic!("{events:?}") };
    for event in &events {
        // What the class and its parents require.
        assert_members(
            event,
            &[
                ("/class_uid", json!(6003)),
                ("/category_uid", json!(6)),
                ("/activity_id", json!(2)),
                ("/type_uid", json!(600_302)),
                ("/severity_id", json!(1)),
                ("/metadata/version", json!("1.6.0")),
                ("/metadata/product/vendor_name", json!("tower-delegation")),
                ("/api/operation", json!("GET /orders/{id}")),
                ("/http_request/http_method", json!("GET")),
            ],
        );
        assert!(event["time"].is_i64() && event["actor"].is_object() && event["src_endpoint"].is_object());
    }
    assert_members(
        allowed,
        &[
            ("/status_id", json!(1)),
            ("/actor/user", json!({"uid": "alice", "type_id": 1, "type": "User"})),
            ("/actor/app_uid", json!("shop-web")),
            ("/actor/session", json!({"uid": "s-1", "issuer": issuer})),
            ("/actor/idp/uid", json!(issuer)),
            (
                "/actor/authorizations/0",
                json!({"decision": "allow", "policy": {"name": "order", "is_applied": true}}),
            ),
            ("/src_endpoint", json!({"ip": "192.0.2.1", "port": 50_000})),
            ("/http_response/code", json!(200)),
            ("/metadata/correlation_uid", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
            ("/metadata/tenant_uid", json!("acme")),
            ("/unmapped/actor/id", json!("copilot")),
        ],
    );
    assert_members(
        denied,
        &[
            ("/status_id", json!(2)),
            ("/status_code", json!("scope_missing")),
            ("/actor/user/uid", json!("alice")),
        ],
    );
    // The schema wants at least one attribute of each.
    let nobody = [("/actor", json!({"app_name": "unknown"})), ("/src_endpoint", json!({"name": "unknown"}))];
    assert_members(unknown, &nobody);
}

// AUD-OTEL
#[tokio::test]
async fn opentelemetry() {
    #[derive(Debug)]
    struct Attributes(Memory);

    impl AuditSink for Attributes {
        fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
            let attributes = event.otel_attributes();
            let line: serde_json::Map<_, _> = attributes
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Value::String(value.to_string())))
                .collect();
            self.0.0.lock().unwrap().extend(format!("{}\n", Value::Object(line)).bytes());
            Ok(())
        }
    }

    let memory = Memory::default();
    let issuer = three_requests(Audit::inline(Attributes(memory.clone()))).await;
    let events = memory.events();
    let [allowed, denied, unknown] = events.as_slice() else { panic!("{events:?}") };
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/orders/{id}"),
        ("http.response.status_code", "200"),
        ("user.id", "alice"),
        ("session.id", "s-1"),
        ("client.address", "192.0.2.1"),
        ("client.port", "50000"),
        ("tower_delegation.decision", "allow"),
        ("tower_delegation.issuer", &issuer),
        ("tower_delegation.client.id", "shop-web"),
        ("tower_delegation.actor.id", "copilot"),
        ("tower_delegation.scopes", "orders:read"),
        ("tower_delegation.sender_constraint", "none"),
        ("tower_delegation.requirements", "order: allow, order: allow"),
    ] {
        assert_eq!(allowed[name], value, "{name}");
    }
    assert_eq!((&denied["error.type"], &denied["user.id"]), (&json!("scope_missing"), &json!("alice")));
    assert_eq!((&unknown["error.type"], unknown.get("user.id")), (&json!("token_malformed"), None));
    for event in &events {
        // Removed from the conventions without a successor.
        assert!(event.as_object().unwrap().keys().all(|name| !name.starts_with("enduser.")));
    }
}

/// The hash can be found again by whoever holds the key.
#[tokio::test]
async fn a_configured_key_names_tokens_alike_everywhere() {
    let world = World::new().await;
    let key = [7; 32];
    let (token, other) = (world.token().sign(), world.token().subject("bob").sign());
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let memory = Memory::default();
        let issuer = TrustedIssuer::discover(world.idp.issuer()).unwrap();
        let layer = tower_delegation::DelegationLayer::builder()
            .add_issuer(issuer.add_audience(integration_tests::AUDIENCE))
            .clock(world.clock.clone())
            .token_hash_key(tower_delegation::audit::TokenHashKey::new(&key).unwrap())
            .add_audit(crate::inline(&memory));
        let router = router(&layer.build().unwrap());
        // The first request, and those whose token is verified and hashed already.
        for token in [&token, &token, &other, &token] {
            assert_eq!(call(&router, request("/open", token)).await, 200);
        }
        hashes.extend(memory.events().iter().map(|event| event["token_hash"].as_str().unwrap().to_owned()));
    }
    let expected = |token: &str| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
        let hash = aws_lc_rs::hmac::sign(&key, token.as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let of_layer = [&token, &token, &other, &token].map(|token| expected(token));
    assert_eq!(hashes, [of_layer.clone(), of_layer].concat());
}
