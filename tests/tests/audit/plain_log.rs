//! The library's other log lines: whatever comes from outside is escaped in them too.

use std::{fs, path::Path};

use axum::{Router, routing::get};
use http::Method;
use integration_tests::{AUDIENCE, Answer, PlainLog, Served, whoami};
use serde_json::json;
use tower_delegation::{
    DelegationContext, DelegationLayer, Dpop, Rejection, RequestFacts, Requirement, TrustedIssuer,
    audit::{Audit, AuditEvent, AuditSink, SinkError},
    issuer::IssuerResolver,
    jwks::{KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind},
    replay::{ReplayStore, ReplayStoreError, Sighting, UsedProof},
    step::Step,
};
use tower_delegation_testing::{DpopKey, Endpoint};

use crate::World;

/// A line of its own, if it is written as it came.
const FORGED: &str =
    "x\r\n2026-01-01T00:00:00Z  INFO tower_delegation: request allow\u{1b}[2J\u{202e}\u{2028}\u{85}";

/// Every line begins as the format begins one, and nothing in it moves a terminal's cursor.
fn assert_harmless(name: &str, log: &str, said: &str) {
    assert!(log.contains(said), "{name}: nothing was logged: {log}");
    for line in log.lines() {
        let is_whole = line.contains(" tower_delegation") && !line.starts_with("2026-01-01T00:00:00Z");
        assert!(is_whole, "{name}: {line}");
        let is_harmless = |c: char| !c.is_control() && !"\u{202e}\u{2028}\u{85}".contains(c);
        assert!(line.chars().all(is_harmless), "{name}: {line:?}");
        assert!(line.chars().count() < 4000, "{name}: {line}");
    }
    assert!(!log.contains('\r'), "{name}: {log:?}");
}

#[tokio::test]
async fn audit_events_of_tokens() {
    let world = World::new().await;
    let service = Served::start(whoami().layer(world.layer().build().unwrap())).await;
    let token = world.token().subject(FORGED).client(FORGED).actor(FORGED).earlier_actor(FORGED);
    let token = token.token_id(FORGED).session(FORGED).claim("tenant", FORGED).sign();
    let log = PlainLog::listen();
    assert_eq!(service.get("/", &token).await.status, 200);
    assert_harmless("audit", &log.take(), "request none");
}

#[tokio::test]
async fn what_a_provider_publishes() {
    let world = World::new().await;
    for (name, document) in [
        ("a kid", json!({ "keys": [{ "kty": "oct", "kid": FORGED, "k": "c2VjcmV0" }] })),
        ("a type", json!({ "keys": [{ "kty": FORGED, "kid": "a" }] })),
        ("an algorithm", json!({ "keys": [{ "kty": "EC", "alg": FORGED, "crv": FORGED, "x": FORGED }] })),
        ("a long kid", json!({ "keys": [{ "kty": "oct", "kid": FORGED.repeat(1000), "k": "c2VjcmV0" }] })),
        ("no key set", json!({ FORGED: FORGED })),
        ("a text", json!(FORGED)),
    ] {
        let service = Served::start(whoami().layer(world.layer().build().unwrap())).await;
        world.idp.replace_jwks_document(document.to_string());
        let log = PlainLog::listen();
        assert_eq!(service.get("/", &world.token().sign()).await.status, 503, "{name}");
        assert_harmless(name, &log.take(), "the issuer's keys could not be fetched");
    }
    let service = Served::start(whoami().layer(world.layer().build().unwrap())).await;
    for (member, value) in [("issuer", FORGED), ("jwks_uri", FORGED)] {
        world.idp.set_metadata(member, value);
        let log = PlainLog::listen();
        assert_eq!(service.get("/", &world.token().sign()).await.status, 503, "{member}");
        assert_harmless(member, &log.take(), "request deny");
    }
    assert!(world.idp.requests(Endpoint::Discovery) > 0);
}

/// Traits are implemented by others, and their errors quote what they have read.
#[tokio::test]
async fn errors_of_sources_and_stores() {
    #[derive(Debug)]
    struct Failing;

    impl KeySource for Failing {
        fn fetch<'a>(&'a self, _: KeyRequest<'a>) -> KeyFetch<'a> {
            Box::pin(async { Err(KeySourceError::new(KeySourceErrorKind::Refused, FORGED)) })
        }
    }

    impl ReplayStore for Failing {
        fn remember(&self, _: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
            Step::Ready(Err(ReplayStoreError::unavailable(FORGED)))
        }
    }

    impl AuditSink for Failing {
        fn record(&self, _: &AuditEvent) -> Result<(), SinkError> {
            Err(SinkError::new(FORGED))
        }
    }

    let world = World::new().await;
    let key = DpopKey::generate();
    let bound = world.token().bound_to_key(&key).sign();
    let proof = key.proof("GET", "https://orders.example.com/").for_token(&bound).sign();
    let issuer = TrustedIssuer::with_key_source(world.idp.issuer(), Failing).unwrap().add_audience(AUDIENCE);
    let of_keys = DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone());
    let of_replay = world.layer().dpop(Dpop::at("https://orders.example.com").replay_store(Failing));
    let of_audit = world.layer().add_audit(Audit::inline(Failing).named(FORGED));
    for (name, layer, said) in [
        ("keys", of_keys, "the issuer's keys could not be fetched"),
        ("replay", of_replay, "a DPoP proof cannot be remembered"),
        ("audit", of_audit, "the audit sink does not record"),
    ] {
        let service = Served::start(whoami().layer(layer.build().unwrap())).await;
        let log = PlainLog::listen();
        let request = service.request(Method::GET, "/");
        let (scheme, request) = match name {
            "replay" => ("DPoP", request.header("dpop", &proof)),
            _ => ("Bearer", request),
        };
        let token = if name == "replay" { bound.clone() } else { world.token().sign() };
        let answer = Answer::of(request.header("authorization", format!("{scheme} {token}"))).await;
        assert_eq!(answer.status, if name == "audit" { 200 } else { 503 }, "{name}");
        assert_harmless(name, &log.take(), said);
    }
}

#[tokio::test]
async fn what_a_resolver_answers() {
    #[derive(Debug)]
    struct Confused(&'static str);

    impl IssuerResolver for Confused {
        fn resolve(&self, _: &str) -> Option<TrustedIssuer> {
            TrustedIssuer::with_key_source(self.0, Unused).ok()
        }
    }

    #[derive(Debug)]
    struct Unused;

    impl KeySource for Unused {
        fn fetch<'a>(&'a self, _: KeyRequest<'a>) -> KeyFetch<'a> {
            Box::pin(async { Err(KeySourceErrorKind::Refused.into()) })
        }
    }

    let world = World::new().await;
    // No identifier has a line break. A mark that turns the direction of writing is text.
    let forged = "urn:example:\u{202e}x";
    assert!(TrustedIssuer::with_key_source(FORGED, Unused).is_err());
    for (name, answered, asked) in
        [("another issuer", forged, "urn:example:a"), ("no audience", forged, forged)]
    {
        let layer =
            DelegationLayer::builder().add_issuer_resolver(Confused(answered)).clock(world.clock.clone());
        let service = Served::start(whoami().layer(layer.build().unwrap())).await;
        let log = PlainLog::listen();
        for _ in 0..10 {
            let token = world.token().issuer(asked).sign();
            assert_eq!(service.get("/", &token).await.status, 401, "{name}");
        }
        let log = log.take();
        assert_harmless(name, &log, "a resolver's answer is not used");
        // A client that asks again and again writes no flood of warnings.
        assert_eq!(log.matches(" WARN ").count(), 1, "{name}: {log}");
    }
}

#[tokio::test]
async fn names_of_rules() {
    // It names a signal that no layer knows: a mistake of the service, which is logged.
    async fn refund(delegation: DelegationContext) -> Result<(), Rejection> {
        let rule = Requirement::named(FORGED).risk_below("unregistered", 1);
        delegation.authorize(&rule, &RequestFacts::none())
    }

    let world = World::new().await;
    let router = Router::new().route("/", get(refund)).layer(world.layer().build().unwrap());
    let service = Served::start(router).await;
    let log = PlainLog::listen();
    assert_eq!(service.get("/", &world.token().sign()).await.status, 500);
    assert_harmless("a rule that cannot be judged", &log.take(), "the requirement cannot be judged");
}

/// Fields that are no text of others, as they stand in the sources.
const TRUSTED: &[&str] = &[
    // Numbers, and words of fixed lists.
    "%address",
    "%expires",
    "%reason",
    "%review_by",
    "applications = registry.applications.len()",
    "max_entries",
    "failures",
    "had_keys",
    "lifetime_seconds = lifetime.as_secs()",
    "reason = reason.code()",
    "target = kind.name()",
];

/// `Text` is the only way into the log: every field of every call says so, or is no text
/// that others chose.
#[test]
fn nothing_is_logged_but_through_text() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let (mut calls, mut offences) = (0, Vec::new());
    each_source(&crates, &mut |path, source| {
        // Every field of it is `Text` by its type, or a word or a number.
        if path.ends_with("audit/tracing_sink.rs") || path.to_string_lossy().contains("-testing/") {
            return;
        }
        for call in logging_calls(source) {
            calls += 1;
            for field in fields(&call) {
                let text = field.split_once(" = ").map_or(field.as_str(), |(_, value)| value);
                let is_message = field.starts_with('"') && !field.contains('{');
                if !is_message && !text.starts_with("%Text::") && !TRUSTED.contains(&field.as_str()) {
                    offences.push(format!("{}: {field}", path.display()));
                }
            }
        }
    });
    assert!(calls > 20, "{calls} calls were found");
    assert!(offences.is_empty(), "not through `Text`:\n{}", offences.join("\n"));
}

fn each_source(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_source(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

/// The arguments of each call of a macro of `tracing`, in one line, documentation left out.
fn logging_calls(source: &str) -> Vec<String> {
    let code: Vec<_> = source.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
    let code = code.join(" ");
    let macros =
        ["trace", "debug", "info", "warn", "error", "event"].map(|level| format!("tracing::{level}!("));
    let calls = macros.iter().flat_map(|start| code.split(start.as_str()).skip(1));
    calls.map(|rest| arguments(rest).to_owned()).collect()
}

/// The text up to the end of the call that it begins in.
fn arguments(rest: &str) -> &str {
    let (mut depth, mut is_quoted, mut is_escaped) = (1, false, false);
    let end = rest.find(|character| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    rest.split_at(end.unwrap_or(rest.len())).0
}

/// The arguments, each by itself.
fn fields(call: &str) -> Vec<String> {
    let (mut depth, mut is_quoted, mut is_escaped) = (0, false, false);
    let mut fields = vec![String::new()];
    for character in call.chars() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '(' | '[' | '{' if !is_quoted => depth += 1,
            ')' | ']' | '}' if !is_quoted => depth -= 1,
            ',' if !is_quoted && depth == 0 => {
                fields.push(String::new());
                continue;
            }
            _ => {}
        }
        fields.last_mut().unwrap().push(character);
    }
    fields.iter().map(|field| field.trim().to_owned()).filter(|field| !field.is_empty()).collect()
}
