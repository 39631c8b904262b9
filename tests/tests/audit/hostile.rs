//! AUD-2: values from outside are escaped and cut, in every sink.

use axum::{Router, routing::any};
use http::Method;
use integration_tests::AuditLog;
use tower_delegation::audit::{Audit, EcsFormat, JsonLines, NativeFormat, OcsfFormat, TracingSink};

use crate::{Memory, World, call, request, warm};

/// Ends lines, forges members, turns the direction, rings the bell.
const HOSTILE: &str =
    "x\r\n{\"decision\":\"allow\"}\u{1b}[2J\u{7}\u{0}\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\u{202e}\u{feff}\"\\";

fn hostile(name: &str) -> String {
    format!("{name}{HOSTILE}{}", "é".repeat(300))
}

fn is_harmless(character: char) -> bool {
    !character.is_control() && !"\u{2028}\u{2029}\u{202e}\u{feff}".contains(character)
}

#[tokio::test]
async fn hostile_values_stay_in_their_fields() {
    let world = World::new().await;
    let log = AuditLog::listen();
    let memories = [(); 3].map(|()| Memory::default());
    let [native, ecs, ocsf] = &memories;
    let audits = [
        Audit::inline(native.sink_of(NativeFormat)),
        Audit::inline(ecs.sink_of(EcsFormat)),
        Audit::inline(ocsf.sink_of(OcsfFormat)),
        Audit::inline(TracingSink),
    ];
    let layer = warm(&world, audits).await;
    let router = Router::new().route("/{*path}", any(async || "ok")).layer(layer);
    let scopes: Vec<_> = (0..200).map(|number| format!("scope-{number}")).collect();
    let token = world
        .token()
        .subject(hostile("subject"))
        .client(hostile("client"))
        .scopes(scopes)
        .actor(hostile("actor"))
        .earlier_actor(hostile("earlier"))
        .token_id(hostile("token"))
        .session(hostile("session"))
        .claim("tenant", hostile("tenant"))
        .sign();
    let mut request = request("/%0d%0aforged?access=1", &token);
    *request.method_mut() = Method::from_bytes("M".repeat(2000).as_bytes()).unwrap();
    let noise = http::HeaderValue::from_bytes(b"00-\t\xff\xfe").unwrap();
    request.headers_mut().insert("traceparent", noise);
    assert_eq!(call(&router, request).await, 200);

    for (name, memory) in [("native", native), ("ecs", ecs), ("ocsf", ocsf)] {
        let text = memory.text();
        let line = text.strip_suffix('\n').expect(name);
        assert!(line.chars().all(is_harmless), "{name}: {line}");
        let event: serde_json::Value = serde_json::from_str(line).expect(name);
        assert_short(name, &event);
    }
    // What is shown is what was sent, up to its cut.
    let event = native.one();
    for (member, name) in [
        ("subject", "subject"),
        ("client", "client"),
        ("token_id", "token"),
        ("session_id", "session"),
        ("tenant", "tenant"),
    ] {
        let sent: String = hostile(name).chars().take(256).collect();
        assert_eq!(event[member], format!("{sent}…"), "{member}");
    }
    assert_eq!(event["actor"]["id"].as_str().unwrap().chars().count(), 257);
    assert_eq!(event["earlier_actors"][0]["id"].as_str().unwrap().chars().count(), 257);
    assert_eq!(event["method"].as_str().unwrap().len(), 256 + '…'.len_utf8());

    let event = log.one();
    for field in ["subject", "client", "token_id", "tenant", "actor", "earlier_actors", "method", "scopes"] {
        let value = event.field(field);
        assert!(!value.is_empty() && value.chars().all(is_harmless), "{field}: {value}");
        // Each hostile character became an escape of up to eight.
        assert!(value.chars().count() < 257 + 8 * HOSTILE.len(), "{field}");
    }
}

/// No text is longer than the cap and its ellipsis; a list of scopes is one text.
fn assert_short(name: &str, value: &serde_json::Value) {
    match value {
        serde_json::Value::String(text) => {
            // ECS and OCSF put method and route together.
            assert!(text.chars().count() <= 2 * 257 + 1, "{name}: {text}");
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| assert_short(name, value)),
        serde_json::Value::Object(members) => members.values().for_each(|value| assert_short(name, value)),
        _ => {}
    }
}

/// A mapping of one's own cannot break the line either.
#[tokio::test]
async fn a_format_of_ones_own_is_written_on_one_line() {
    #[derive(Debug)]
    struct Raw;

    impl tower_delegation::audit::Format for Raw {
        type Record<'a> = std::collections::BTreeMap<&'a str, &'a str>;

        fn record<'a>(&self, event: &'a tower_delegation::audit::AuditEvent) -> Self::Record<'a> {
            event.subject().into_iter().map(|text| (text.unabridged(), text.unabridged())).collect()
        }
    }

    let world = World::new().await;
    let memory = Memory::default();
    let layer = warm(&world, [Audit::inline(JsonLines::to(memory.clone()).format(Raw))]).await;
    let router = Router::new().route("/", any(async || "ok")).layer(layer);
    assert_eq!(call(&router, request("/", &world.token().subject(HOSTILE).sign())).await, 200);
    let text = memory.text();
    assert!(text.strip_suffix('\n').unwrap().chars().all(is_harmless), "{text}");
    assert_eq!(memory.one()[HOSTILE], HOSTILE);
}
