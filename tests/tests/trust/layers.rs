//! Layers inside of layers: what one finds replaces what another left, and the
//! same authenticator judges a request once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::Request,
    http::{Extensions, HeaderValue, Method, Uri, header::AUTHORIZATION},
    middleware::{Next, from_fn},
    response::Response,
    routing::get,
};
use integration_tests::{Answer, AuditLog, Served, World};
use tower::ServiceExt as _;
use tower_delegation::{
    Applications, ClientIdentity, DelegationContext, DelegationLayer, DenialReason, Dpop, RequireLayer,
    Requirement,
    application::{Application, ApplicationBuilder, ApplicationKind},
    credential::{WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest},
    layer::DelegationLayerBuilder,
    requires,
    revocation::{InMemoryRevocations, Revocation, RevocationTarget},
    routing::{AnyCaller, Authorized, GuardedRouter, get as guarded_get, public},
    spiffe::SpiffeId,
};
use tower_delegation_testing::{DpopKey, MockIdp};

const ORIGIN: &str = "https://api.example.com";

async fn subject(delegation: Option<DelegationContext>) -> String {
    delegation.map_or_else(|| "no one".to_owned(), |delegation| delegation.subject().id().to_string())
}

/// `GET /` for every caller, `GET /admin` for a scope.
fn routes() -> Router {
    let admin = RequireLayer::new(Requirement::named("admin").scope("admin")).unwrap();
    Router::new().route("/", get(subject)).route("/admin", get(subject).layer(admin))
}

/// A layer that trusts another provider than the world's.
fn other(world: &World, idp: &MockIdp) -> DelegationLayerBuilder {
    let issuer = tower_delegation::TrustedIssuer::discover(idp.issuer()).unwrap();
    let issuer = issuer.add_audience(integration_tests::AUDIENCE);
    DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone())
}

/// Changes a request between two layers.
macro_rules! between {
    ($change:expr) => {{
        let change = Arc::new($change);
        from_fn(move |mut request: Request, next: Next| {
            let change: &dyn Fn(&mut Request) = &*change;
            change(&mut request);
            next.run(request)
        })
    }};
}

fn bearer(token: &str) -> HeaderValue {
    format!("Bearer {token}").parse().unwrap()
}

/// The outer layer finds an administrator; the inner one, of another authenticator,
/// goes by what the request carries when it gets there.
#[tokio::test]
async fn what_an_outer_layer_found_opens_nothing_further_inside() {
    let world = World::new().await;
    let partner = MockIdp::builder().clock(world.clock.clone()).audience(integration_tests::AUDIENCE);
    let partner = partner.start().await;
    let admin = world.token().scopes(["admin"]).sign();
    let guest = partner.token().subject("guest").client("partner").sign();
    let partners_admin = partner.token().subject("root").client("partner").scopes(["admin"]).sign();
    let outer = || world.layer().allow_inner_authenticator();
    for (name, replacement, path, anonymous, status, body) in [
        ("the inner layer refuses the token", Some(admin.clone()), "/", true, 401, ""),
        ("it finds no one", None, "/", true, 200, "no one"),
        ("no one, for a scope", None, "/admin", true, 401, ""),
        ("no one, and it demands a token", None, "/", false, 401, ""),
        ("it finds another", Some(guest.clone()), "/", true, 200, "guest"),
        ("another, without the scope", Some(guest), "/admin", true, 403, ""),
        ("another, with the scope", Some(partners_admin), "/admin", true, 200, "root"),
    ] {
        let inner = other(&world, &partner);
        let inner = if anonymous { inner.allow_anonymous() } else { inner };
        let replace = between!(move |request: &mut Request| {
            request.headers_mut().remove(AUTHORIZATION);
            if let Some(token) = &replacement {
                request.headers_mut().insert(AUTHORIZATION, bearer(token));
            }
        });
        let router = routes().layer(inner.build().unwrap()).layer(replace);
        let served = Served::start(router.layer(outer().build().unwrap())).await;
        let answer = served.get(path, &admin).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert!(status != 200 || answer.body == body, "{name}: {}", answer.body);
    }
}

/// A mark of "no credentials" that an outer layer left does not outlive them either.
#[tokio::test]
async fn what_an_outer_layer_did_not_find_is_looked_for_again() {
    let world = World::new().await;
    let token = world.token().sign();
    let bad = world.token().sign_with_other_key().sign();
    let layer = || world.layer().allow_anonymous().build().unwrap();
    for (name, added, is_same, status, body) in [
        ("a token, another authenticator", Some(&token), false, 200, "alice"),
        ("a token, the same", Some(&token), true, 200, "alice"),
        ("a bad token, another authenticator", Some(&bad), false, 401, ""),
        ("a bad token, the same", Some(&bad), true, 401, ""),
        ("nothing, the same", None, true, 200, "no one"),
    ] {
        let outer = world.layer().allow_anonymous().allow_inner_authenticator().build().unwrap();
        let inner = if is_same { outer.clone() } else { layer() };
        let added = added.cloned();
        let add = between!(move |request: &mut Request| {
            if let Some(token) = &added {
                request.headers_mut().insert(AUTHORIZATION, bearer(token));
            }
        });
        let served = Served::start(routes().layer(inner).layer(add).layer(outer)).await;
        let answer = served.get_anonymously("/").await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert!(status != 200 || answer.body == body, "{name}: {}", answer.body);
    }
}

/// The caller's name in a field that only the outer layer sees.
#[derive(Debug)]
struct Sidecar(Arc<AtomicUsize>);

impl WorkloadIdentitySource for Sidecar {
    fn identify(&self, request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let id = request.headers.remove("x-caller");
        let id = id.and_then(|id| SpiffeId::new(id.to_str().ok()?).ok());
        Ok(id.map(WorkloadIdentity::of_spiffe_id))
    }
}

/// One audit event, one proof check, no lost identity, however often the layer is
/// on the way.
#[tokio::test]
async fn the_same_authenticator_judges_a_request_once() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let asked = Arc::new(AtomicUsize::new(0));
    let identity = ClientIdentity::from_source(Sidecar(asked.clone()));
    let layer = world.layer().dpop(Dpop::at(ORIGIN)).client_identity(identity).allow_anonymous();
    let layer = layer.build().unwrap();
    let spiffe = Requirement::named("of the desk").workload("spiffe://example.org/desk");
    let nested = routes().route_layer(RequireLayer::new(spiffe).unwrap()).layer(layer.clone());
    let router = Router::new()
        .nest("/nested", nested.layer(layer.clone()))
        .nest_service("/service", routes().layer(layer.clone()))
        .nest("/of/{tenant}/", Router::new().nest("/v1", routes().layer(layer.clone())))
        .merge(routes())
        .layer(layer.clone())
        .layer(layer);
    let served = Served::start(router).await;
    let key = DpopKey::generate().clock(world.clock.clone());
    let bound = || world.token().bound_to_key(&key).scopes(["admin"]).sign();
    for (name, path, is_bound, caller, status, reason) in [
        ("a bearer token", "/", false, None, 200, ""),
        ("through a nested service", "/service/admin", true, None, 200, ""),
        ("below a parameter", "/of/a%2Fb/v1/admin", true, None, 200, ""),
        ("below a parameter, with a query", "/of/acme/v1/admin?a=/v1", false, None, 403, "scope_missing"),
        ("nested", "/nested/admin", true, Some("spiffe://example.org/desk"), 200, ""),
        ("the identity counts", "/nested", false, Some("spiffe://example.org/desk"), 200, ""),
        (
            "another identity",
            "/nested",
            true,
            Some("spiffe://example.org/other"),
            403,
            "workload_not_allowed",
        ),
        ("no identity", "/nested", true, None, 403, "workload_not_allowed"),
        ("the scope is missing", "/service/admin", false, None, 403, "scope_missing"),
    ] {
        let request = served.request(Method::GET, path);
        let request = if is_bound {
            let token = bound();
            let proof = key.proof("GET", format!("{ORIGIN}{path}")).for_token(&token).sign();
            request.header(AUTHORIZATION, format!("DPoP {token}")).header("dpop", proof)
        } else {
            request.bearer_auth(world.token().sign())
        };
        let request = caller.into_iter().fold(request, |request, id| request.header("x-caller", id));
        let before = asked.load(Ordering::Relaxed);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        let event = audit.one();
        assert_eq!(event.field("reason"), reason, "{name}");
        assert_eq!(event.field("subject"), "alice", "{name}");
        assert_eq!(asked.load(Ordering::Relaxed), before + 1, "{name}");
    }
    assert_eq!(served.get_anonymously("/service").await.body, "no one");
    assert_eq!(audit.one().field("decision"), "none");

    // A proof is still good for one request.
    let token = bound();
    let proof = key.proof("GET", format!("{ORIGIN}/")).for_token(&token).sign();
    for status in [200, 401] {
        let request = served.request(Method::GET, "/").header("dpop", &proof);
        let answer = Answer::of(request.header(AUTHORIZATION, format!("DPoP {token}"))).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

#[requires(scope = "x", shadow)]
async fn on_trial() -> &'static str {
    "a secret"
}

/// What an inner layer of the same authenticator demands beyond the outer one counts.
#[tokio::test]
async fn an_inner_layer_keeps_its_own_settings() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let strict = world.layer().build().unwrap();
    // Behind a guarded router with a public route the layer lets anonymous requests
    // through, and refuses what nothing has decided. The layer itself does neither.
    let guarded = || {
        GuardedRouter::new()
            .route("/open", guarded_get(public("no secret", subject)))
            .route("/trial", guarded_get(on_trial))
    };
    let stricter_inside =
        Served::start(guarded().layer(strict.clone()).behind(strict.clone()).unwrap()).await;
    let stricter_outside = Served::start(guarded().behind(strict.clone()).unwrap().layer(strict)).await;
    let token = world.token().sign();
    for (name, served, path, token, status, reason) in [
        ("inside, anonymously", &stricter_inside, "/open", None, 401, "credentials_missing"),
        ("inside, with a token", &stricter_inside, "/open", Some(&token), 200, ""),
        ("inside, undecided", &stricter_inside, "/trial", Some(&token), 500, "undecided"),
        ("outside, anonymously", &stricter_outside, "/open", None, 401, "credentials_missing"),
        ("outside, with a token", &stricter_outside, "/open", Some(&token), 200, ""),
        ("outside, undecided", &stricter_outside, "/trial", Some(&token), 500, ""),
    ] {
        let answer = match token {
            Some(token) => served.get(path, token).await,
            None => served.get_anonymously(path).await,
        };
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        let event = audit.one();
        assert_eq!((event.field("reason"), event.field("status")), (reason, &*status.to_string()), "{name}");
    }
}

/// A request is the same only if everything that was judged is.
#[tokio::test]
async fn nothing_but_the_very_same_request_passes() {
    type Change = Box<dyn Fn(&mut Request) + Send + Sync>;
    let world = World::new().await;
    let key = DpopKey::generate().clock(world.clock.clone());
    let layer = world.layer().dpop(Dpop::at(ORIGIN)).build().unwrap();
    let bad = bearer(&world.token().sign_with_other_key().sign());
    let other_token = bearer(&world.token().subject("bob").sign());
    let clock = world.clock.clone();
    let change = |change: fn(&mut Request)| -> Change { Box::new(change) };
    let set = |value: HeaderValue| -> Change {
        Box::new(move |request| drop(request.headers_mut().insert(AUTHORIZATION, value.clone())))
    };
    let rows: Vec<(&str, Change, bool, u16, &str)> = vec![
        ("nothing changes", change(|_| {}), false, 200, "alice"),
        ("nothing changes, bound", change(|_| {}), true, 200, "alice"),
        (
            "a field that is no credential",
            change(|it| {
                it.headers_mut().insert("x-a", HeaderValue::from_static("b"));
            }),
            true,
            200,
            "alice",
        ),
        ("another good token", set(other_token), false, 200, "bob"),
        ("a bad token", set(bad), false, 401, ""),
        ("no token", change(|it| drop(it.headers_mut().remove(AUTHORIZATION))), false, 401, ""),
        (
            "the token twice",
            change(|it| {
                let token = it.headers()[AUTHORIZATION].clone();
                it.headers_mut().append(AUTHORIZATION, token);
            }),
            false,
            400,
            "",
        ),
        ("no proof", change(|it| drop(it.headers_mut().remove("dpop"))), true, 401, ""),
        ("another method", change(|it| *it.method_mut() = Method::HEAD), true, 401, ""),
        (
            "another path",
            change(|it| {
                *it.uri_mut() = Uri::from_static("/admin");
                it.extensions_mut().remove::<axum::extract::OriginalUri>();
            }),
            true,
            401,
            "",
        ),
        (
            "a token in the query",
            change(|it| {
                *it.uri_mut() = Uri::from_static("/?access_token=x");
                it.extensions_mut().remove::<axum::extract::OriginalUri>();
            }),
            true,
            400,
            "",
        ),
        (
            "the token ends meanwhile",
            Box::new(move |_| clock.advance(std::time::Duration::from_secs(3600))),
            false,
            401,
            "",
        ),
    ];
    for (name, change, is_bound, status, body) in rows {
        let router = routes().layer(layer.clone()).layer(between!(change));
        let served = Served::start(router.layer(layer.clone())).await;
        let request = served.request(Method::GET, "/");
        let token = world.token();
        let request = if is_bound {
            let token = token.bound_to_key(&key).sign();
            let proof = key.proof("GET", format!("{ORIGIN}/")).for_token(&token).sign();
            request.header(AUTHORIZATION, format!("DPoP {token}")).header("dpop", proof)
        } else {
            request.bearer_auth(token.sign())
        };
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert!(status != 200 || answer.body == body, "{name}: {}", answer.body);
    }
}

/// A request may wait for long between two layers of the same authenticator. What was
/// taken back meanwhile is taken back, and the refusal says so.
#[tokio::test]
async fn what_is_taken_back_between_two_layers_counts() {
    type Change = Box<dyn Fn(&mut Request) + Send + Sync>;
    let world = World::new().await;
    let web = || {
        Application::builder("shop-web", ApplicationKind::Application)
            .issuer(world.idp.issuer())
            .add_client_id("shop-web")
            .allow_any_workload()
            .acts_for_users()
    };
    let registry = |web: ApplicationBuilder| Applications::builder().add_application(web);
    let key = DpopKey::generate().clock(world.clock.clone());
    for (name, is_revoked, is_suspended, expected) in [
        ("nothing", false, false, (200, "")),
        ("the subject is revoked", true, false, (401, "subject_revoked")),
        ("the application is suspended", false, true, (403, "client_suspended")),
    ] {
        let audit = AuditLog::listen();
        let revocations = InMemoryRevocations::new();
        let applications = registry(web()).build().unwrap();
        let layer = world.layer().dpop(Dpop::at(ORIGIN)).revocations(revocations.clone());
        let layer = layer.applications(applications.clone()).build().unwrap();
        let subject = RevocationTarget::Subject(world.idp.issuer().into(), "alice".into());
        let suspended = web().suspended();
        let change: Change = Box::new(move |_| {
            if is_revoked {
                revocations.revoke(Revocation::new(subject.clone())).unwrap();
            }
            if is_suspended {
                applications.replace(Applications::builder().add_application(suspended.clone())).unwrap();
            }
        });
        let served = Served::start(routes().layer(layer.clone()).layer(between!(change)).layer(layer)).await;
        let token = world.token().bound_to_key(&key).sign();
        let proof = key.proof("GET", format!("{ORIGIN}/")).for_token(&token).sign();
        let request = served.request(Method::GET, "/").header(AUTHORIZATION, format!("DPoP {token}"));
        let answer = Answer::of(request.header("dpop", proof)).await;
        let heard = audit.take();
        let reason = heard.iter().map(|event| event.field("reason")).find(|reason| !reason.is_empty());
        assert_eq!((answer.status, reason.unwrap_or_default()), expected, "{name}: {}", answer.body);
    }
}

/// Extensions that were kept or copied carry no context over to another request.
#[tokio::test]
async fn a_context_is_not_carried_over() {
    let world = World::new().await;
    let revocations = InMemoryRevocations::new();
    let layer = world.layer().dpop(Dpop::at(ORIGIN)).revocations(revocations.clone()).build().unwrap();
    let kept: Arc<Mutex<Option<Extensions>>> = Arc::default();
    let keep = {
        let kept = kept.clone();
        between!(move |request: &mut Request| *kept.lock().unwrap() = Some(request.extensions().clone()))
    };
    let replay = {
        let kept = kept.clone();
        between!(move |request: &mut Request| {
            if let Some(kept) = kept.lock().unwrap().clone() {
                request.extensions_mut().extend(kept);
            }
        })
    };
    let first = Served::start(routes().layer(layer.clone()).layer(keep).layer(layer.clone())).await;
    let second = Served::start(routes().layer(layer.clone()).layer(replay)).await;
    let key = DpopKey::generate().clock(world.clock.clone());
    let token = world.token().bound_to_key(&key).sign();
    let proof = key.proof("GET", format!("{ORIGIN}/")).for_token(&token).sign();
    let send = async |served: &Served| {
        let request = served.request(Method::GET, "/").header(AUTHORIZATION, format!("DPoP {token}"));
        Answer::of(request.header("dpop", &proof)).await.status
    };
    assert_eq!(send(&first).await, 200);
    assert_eq!(send(&second).await, 401, "the proof was used by the request that has ended");

    let plain = world.token().sign();
    assert_eq!(first.get("/", &plain).await.status, 200);
    assert_eq!(second.get_anonymously("/").await.status, 401, "no credentials");
    assert_eq!(second.get("/", &plain).await.status, 200, "judged again, and good");
    let subject = RevocationTarget::Subject(world.idp.issuer().into(), "alice".into());
    revocations.revoke(Revocation::new(subject)).unwrap();
    assert_eq!(second.get("/", &plain).await.status, 401, "judged again, and revoked");
}

/// A handler that sends requests of its own with the extensions of the one that it
/// serves (a batch, a gateway) makes other requests: no decision about one of them
/// is a decision about another, whatever `OriginalUri` says.
#[tokio::test]
async fn a_request_within_a_request_is_decided_about_by_itself() {
    let world = World::new().await;
    let layer = world.layer().refuse_undecided().build().unwrap();
    let inner = Router::new()
        .route("/", get(subject))
        .route("/ch", get(subject))
        .route("/batch", get(subject))
        .route("/unruled", get(subject))
        .route("/ruled", get(async |_: Authorized<AnyCaller>| "served"))
        .nest("/api", Router::new().route("/unruled", get(subject)).layer(layer.clone()))
        .layer(layer.clone());
    let batch = async move |_: Authorized<AnyCaller>, request: Request| -> String {
        let (parts, _) = request.into_parts();
        let to = parts.headers["x-to"].to_str().unwrap().to_owned();
        let mut within = Request::new(axum::body::Body::empty());
        *within.uri_mut() = to.parse().unwrap();
        *within.headers_mut() = parts.headers.clone();
        *within.extensions_mut() = parts.extensions.clone();
        // Debug builds of axum refuse to route what was routed.
        within.extensions_mut().remove::<axum::extract::MatchedPath>();
        let answer = inner.clone().oneshot(within).await.unwrap();
        answer.status().as_u16().to_string()
    };
    let served = Served::start(Router::new().route("/batch", get(batch)).layer(layer)).await;
    for (to, status) in [
        ("/unruled", "500"),
        ("/unruled?a=b", "500"),
        ("/api/unruled", "500"),
        ("/", "500"),
        ("/ch", "500"),
        ("/batch?a=b", "500"),
        ("/ruled", "200"),
    ] {
        let request = served.request(Method::GET, "/batch").header("x-to", to);
        let answer = Answer::of(request.bearer_auth(world.token().sign())).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, status), "{to}");
    }
}

/// Code that calls the authenticator by itself goes by what it finds, too.
#[tokio::test]
async fn the_authenticator_leaves_no_context_of_an_outer_layer() {
    let world = World::new().await;
    let outer = world.layer().build().unwrap();
    let authenticator = world.layer().build().unwrap().authenticator().clone();
    let by_hand = from_fn(move |request: Request, next: Next| {
        let authenticator = authenticator.clone();
        async move {
            let (mut head, body) = request.into_parts();
            head.headers.remove(AUTHORIZATION);
            let found = authenticator.authenticate(&mut head).await;
            assert!(matches!(found, Ok(None)));
            next.run(Request::from_parts(head, body)).await
        }
    });
    let served = Served::start(routes().layer(by_hand).layer(outer)).await;
    let admin = world.token().scopes(["admin"]).sign();
    for path in ["/", "/admin"] {
        let answer = served.get(path, &admin).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "misconfigured"), "{path}");
    }
}

/// A layer in between that sends a request again sends the same request.
#[tokio::test]
async fn a_retry_in_between_is_the_same_request() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let layer = world.layer().dpop(Dpop::at(ORIGIN)).build().unwrap();
    let inner = routes().layer(layer.clone());
    let twice = Router::new().fallback(async move |request: Request| -> Response {
        let (parts, _) = request.into_parts();
        let again = || Request::from_parts(parts.clone(), axum::body::Body::empty());
        let first = inner.clone().oneshot(again()).await.unwrap();
        assert_eq!(first.status(), 200);
        inner.clone().oneshot(again()).await.unwrap()
    });
    let served = Served::start(twice.layer(layer)).await;
    let key = DpopKey::generate().clock(world.clock.clone());
    let token = world.token().bound_to_key(&key).sign();
    let proof = key.proof("GET", format!("{ORIGIN}/")).for_token(&token).sign();
    let request = served.request(Method::GET, "/").header(AUTHORIZATION, format!("DPoP {token}"));
    let answer = Answer::of(request.header("dpop", &proof)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "alice"));
    assert_eq!(audit.take().len(), 1);
}

/// Once in the life of the process; so no other test of this binary may cause it.
#[tokio::test]
async fn another_authenticator_inside_is_reported_once_unless_it_is_meant() {
    let world = World::new().await;
    let log = AuditLog::listen_to("tower_delegation::layer::arrival");
    let token = world.token().sign();
    let inside = |outer: DelegationLayerBuilder, inner: DelegationLayer| {
        Served::start(routes().layer(inner).layer(outer.build().unwrap()))
    };
    let layer = world.layer().build().unwrap();
    let same = Served::start(routes().layer(layer.clone()).layer(layer.clone())).await;
    let meant = inside(world.layer().allow_inner_authenticator(), layer.clone()).await;
    let alone = Served::start(routes().layer(layer.clone())).await;
    let unmeant = inside(world.layer(), layer.clone()).await;
    for (name, served, expected) in [
        ("the same twice", &same, 0),
        ("meant", &meant, 0),
        ("alone", &alone, 0),
        ("not meant", &unmeant, 1),
        ("not meant, again", &unmeant, 0),
        ("not meant, another one", &inside(world.layer(), layer).await, 0),
    ] {
        assert_eq!(served.get("/", &token).await.status, 200, "{name}");
        let heard = log.take();
        assert_eq!(heard.len(), expected, "{name}");
        assert!(heard.iter().all(|event| event.level == tracing::Level::WARN), "{name}: {heard:?}");
    }
}
