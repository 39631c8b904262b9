//! The examples of the extension points, each attacked at what it decides. They are
//! those of the traits' documentation; where an example can attack itself, it does so
//! there (`IssuerResolver`, `RevocationSink`, `RiskSignal`, `ReplayStore`,
//! `WorkloadIdentitySource`).

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, body::Body, routing::get};
use http::{HeaderName, Request};
use integration_tests::{AUDIENCE, World, whoami};
use serde::Serialize;
use serde_json::Value;
use tower::ServiceExt as _;
use tower_delegation::{
    ClientIdentity, DelegationContext, DelegationLayer, DenialReason, TrustedIssuer,
    audit::{Audit, AuditDecision, AuditEvent, AuditSink, Format, JsonLines, SinkError, Text},
    context::RequestFacts,
    credential::{PeerInfo, WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest},
    jwks::{FetchedKeys, KeyFetch, KeyRequest, KeySource, KeySourceError, KeySourceErrorKind},
    requirement::Requirement,
    spiffe::SpiffeId,
};
use tower_delegation_testing::MockIdp;

/// Sends `request` into `router`, and its status.
async fn status(router: &Router, request: Request<Body>) -> u16 {
    router.clone().oneshot(request).await.unwrap().status().as_u16()
}

fn request(token: &str) -> Request<Body> {
    Request::get("/").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap()
}

static CALLER: HeaderName = HeaderName::from_static("x-sidecar-caller");

/// The sidecar on the same pod has authenticated the caller.
#[derive(Debug)]
struct Sidecar;

impl WorkloadIdentitySource for Sidecar {
    fn identify(&self, mut request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason> {
        let caller = request.take_header(&CALLER);
        let is_sidecar = request.peer.is_some_and(PeerInfo::is_unix_socket);
        if !is_sidecar {
            return Ok(None);
        }
        let Some(caller) = caller? else { return Ok(None) };
        let id = caller.to_str().ok().and_then(|id| SpiffeId::new(id).ok());
        let id = id.ok_or(DenialReason::IdentityHeaderMalformed)?;
        Ok(Some(WorkloadIdentity::of_spiffe_id(id)))
    }
}

/// A client that writes the field itself, twice or in another spelling is no workload.
#[tokio::test]
async fn a_source_of_workloads_believes_its_hop_alone() {
    const WEB: &str = "spiffe://example.org/web";
    const ADMIN: &str = "spiffe://example.org/admin";
    let world = World::new().await;
    let layer = world.layer().client_identity(ClientIdentity::from_source(Sidecar));
    let layer = layer.add_identity_header(CALLER.as_str()).build().unwrap();
    let handler = async |delegation: DelegationContext, headers: http::HeaderMap| {
        let named = headers.keys().any(|name| name.as_str().contains("sidecar"));
        assert!(!named, "a handler sees {headers:?}");
        let workload = delegation.workload().and_then(WorkloadIdentity::spiffe_id);
        workload.map_or_else(|| "-".to_owned(), ToString::to_string)
    };
    let router = Router::new().route("/", get(handler)).layer(layer);
    let (sidecar, stranger) = (PeerInfo::unix_socket(), PeerInfo::new(([192, 0, 2, 1], 1).into()));
    for (name, peer, fields, expected) in [
        ("from the sidecar", &sidecar, &[("x-sidecar-caller", WEB)][..], Ok(WEB)),
        ("no field", &sidecar, &[], Ok("-")),
        ("from a client", &stranger, &[("x-sidecar-caller", ADMIN)], Ok("-")),
        ("from a client, twice", &stranger, &[("x-sidecar-caller", ADMIN); 2], Ok("-")),
        ("in another spelling", &sidecar, &[("x_sidecar_caller", ADMIN)], Ok("-")),
        ("in both spellings", &sidecar, &[("x_sidecar_caller", ADMIN), ("x-sidecar-caller", WEB)], Ok(WEB)),
        (
            "the client's before the sidecar's",
            &sidecar,
            &[("x-sidecar-caller", ADMIN), ("x-sidecar-caller", WEB)],
            Err(400),
        ),
        (
            "a list",
            &sidecar,
            &[("x-sidecar-caller", "spiffe://example.org/admin, spiffe://example.org/web")],
            Err(400),
        ),
        ("empty", &sidecar, &[("x-sidecar-caller", "")], Err(400)),
        ("no SPIFFE ID", &sidecar, &[("x-sidecar-caller", "admin")], Err(400)),
    ] {
        let mut request = request(&world.token().sign());
        request.extensions_mut().insert(peer.clone());
        for (field, value) in fields {
            request.headers_mut().append(*field, value.parse().unwrap());
        }
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = str::from_utf8(&body).unwrap();
        let seen = if status == 200 { Ok(body) } else { Err(status) };
        assert_eq!(seen, expected, "{name}");
    }
}

#[derive(Debug)]
struct KeyFile(PathBuf);

impl KeySource for KeyFile {
    fn fetch<'a>(&'a self, _request: KeyRequest<'a>) -> KeyFetch<'a> {
        Box::pin(async {
            fs::read(&self.0)
                .map(FetchedKeys::document)
                .map_err(|error| KeySourceError::new(KeySourceErrorKind::Unreachable, error))
        })
    }
}

/// Whatever the file holds, only the keys of the issuer open anything.
#[tokio::test]
async fn a_file_of_keys_opens_nothing_by_being_odd() {
    let idp = MockIdp::builder().audience(AUDIENCE).start().await;
    let stranger = MockIdp::builder().audience(AUDIENCE).start().await;
    let token = idp.token().subject("alice").client("shop-web").sign();
    let folder = std::env::temp_dir().join(format!("tower-delegation-keys-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let symmetric = r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"es256-1","alg":"HS256"}]}"#.to_owned();
    for (name, content, expected) in [
        ("good", Some(idp.jwks().to_string()), 200),
        ("absent", None, 503),
        ("empty", Some(String::new()), 503),
        ("a broken set", Some(idp.jwks().to_string().split_off(1)), 503),
        ("no usable key", Some(symmetric), 503),
        ("the keys of another", Some(stranger.jwks().to_string()), 401),
    ] {
        let path = folder.join(name.replace(' ', "-"));
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let issuer =
            TrustedIssuer::with_key_source(idp.issuer(), KeyFile(path)).unwrap().add_audience(AUDIENCE);
        let layer = DelegationLayer::builder().add_issuer(issuer).build().unwrap();
        assert_eq!(status(&whoami().layer(layer), request(&token)).await, expected, "{name}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[derive(Clone, Debug, Default)]
struct Denials(Arc<AtomicU64>);

impl AuditSink for Denials {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        if event.decision() == AuditDecision::Deny {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A denial is counted once, whatever the client sends, and nothing else is.
#[tokio::test]
async fn a_sink_counts_what_was_denied() {
    let world = World::new().await;
    let denials = Denials::default();
    let router = whoami().layer(world.layer().add_audit(Audit::inline(denials.clone())).build().unwrap());
    for (name, token, status_is, more) in [
        ("allowed", world.token().sign(), 200, 0),
        ("forged", world.token().tamper_signature().sign(), 401, 1),
        ("junk", "junk".to_owned(), 401, 1),
    ] {
        let before = denials.0.load(Ordering::Relaxed);
        assert_eq!(status(&router, request(&token)).await, status_is, "{name}");
        assert_eq!(denials.0.load(Ordering::Relaxed) - before, more, "{name}");
    }
}

#[derive(Debug)]
struct WhoAndWhat;

#[derive(Serialize)]
struct Line<'a> {
    who: Option<Text<'a>>,
    what: Option<Text<'a>>,
}

impl Format for WhoAndWhat {
    type Record<'a> = Line<'a>;

    fn record<'a>(&self, event: &'a AuditEvent) -> Line<'a> {
        Line { who: event.subject(), what: event.route() }
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A name in a token ends no line and adds no member.
#[tokio::test]
async fn a_format_of_ones_own_takes_no_line_from_a_token() {
    let world = World::new().await;
    for subject in [
        "alice\n{\"who\":\"admin\",\"what\":\"/\"}",
        "alice\",\"who\":\"admin",
        "alice\r\nadmin",
        "alice\u{2028}admin\u{1b}[2J",
    ] {
        let lines = Lines::default();
        let sink = JsonLines::to(lines.clone()).format(WhoAndWhat);
        let router = whoami().layer(world.layer().add_audit(Audit::inline(sink)).build().unwrap());
        status(&router, request(&world.token().subject(subject).sign())).await;
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.contains('\u{2028}') && !text.contains('\u{1b}'), "{text:?}");
        let line: Value = serde_json::from_str(&text).unwrap();
        let members = line.as_object().unwrap();
        assert_eq!(members.len(), 2, "{text:?}");
        assert_ne!(members["who"], "admin");
    }
}

/// A parameter that comes twice is not known: which of the two a handler reads is not either.
#[tokio::test]
async fn path_parameters_that_come_twice_match_nothing() {
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    let mut head = request(&world.token().sign()).into_parts().0;
    let delegation = layer.authenticator().authenticate(&mut head).await.unwrap().unwrap();
    let own = Requirement::named("own").subject_matches_path("user");
    for (name, parameters, is_allowed) in [
        ("one's own", vec![("user", "alice")], true),
        ("another's", vec![("user", "bob")], false),
        ("one's own first", vec![("user", "alice"), ("user", "bob")], false),
        ("one's own last", vec![("user", "bob"), ("user", "alice")], false),
        ("of another name", vec![("User", "alice")], false),
        ("encoded", vec![("user", "%61lice")], false),
        ("none", vec![], false),
    ] {
        let facts = RequestFacts::none().with_path_parameters(&parameters);
        assert_eq!(delegation.authorize(&own, &facts).is_ok(), is_allowed, "{name}");
    }
}
