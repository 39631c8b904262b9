//! A request uses its DPoP proof up once, however often it is authenticated on its way, and
//! no other request may use it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    RequestPartsExt as _, Router,
    body::Body,
    extract::Request,
    http::{
        Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header::AUTHORIZATION, request::Parts,
    },
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get as plain_get,
};
use integration_tests::{Answer, AuditLog, Served, World};
use tower::ServiceExt as _;
use tower_delegation::{
    Authorized, DelegationContext, DelegationLayer, Dpop, RequireLayer, Requirement, RouteTable,
    RouteTableLayer,
    replay::{InMemoryReplayStore, ReplayStore, ReplayStoreError, Sighting, UsedProof},
    routing::{AnyCaller, GuardedRouter, get, public},
    step::Step,
};
use tower_delegation_testing::DpopKey;

use super::waits::Slow;

const ORIGIN: &str = "https://own.example.com";
const ROWS: &str = "[[route]]\nmethods = [\"GET\"]\npath = \"/\"\npublic = \"a greeting\"\n";

/// Changes a request on its way.
macro_rules! between {
    ($change:expr) => {
        from_fn(async |mut request: Request, next: Next| {
            let change: fn(&mut Request) = $change;
            change(&mut request);
            next.run(request).await
        })
    };
}

fn rewrite_path(request: &mut Request) {
    *request.uri_mut() = Uri::from_static("/rewritten/elsewhere");
}

fn add_query(request: &mut Request) {
    *request.uri_mut() = Uri::from_static("/?page=1");
}

/// Middleware around a router, which no router has seen before: what it changes is all
/// that is left.
fn forget_received(request: &mut Request) {
    add_query(request);
    request.extensions_mut().remove::<axum::extract::OriginalUri>();
}

async fn greet(delegation: Option<DelegationContext>) -> String {
    delegation.map_or("stranger".to_owned(), |delegation| delegation.subject().id().to_string())
}

async fn greet_known(delegation: Option<DelegationContext>, _: Authorized<AnyCaller>) -> String {
    greet(delegation).await
}

/// Asks who the caller is twice at the same time.
async fn greet_twice(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let ask = async || {
        let mut parts = parts.clone();
        parts.extract::<DelegationContext>().await
    };
    let (one, other) = tokio::join!(ask(), ask());
    match (one, other) {
        (Ok(one), Ok(_)) => one.subject().id().to_string().into_response(),
        (Err(refusal), _) | (_, Err(refusal)) => refusal.into_response(),
    }
}

/// Gives up on the first attempt while the store is asked, and tries again.
async fn impatient(request: Request, next: Next) -> Response {
    let (parts, _) = request.into_parts();
    let again = || Request::from_parts(parts.clone(), Body::empty());
    {
        let mut first = std::pin::pin!(next.clone().run(again()));
        let polled = futures_util::poll!(first.as_mut());
        if let std::task::Poll::Ready(response) = polled {
            return response;
        }
    }
    next.run(again()).await
}

fn any_caller() -> RequireLayer {
    RequireLayer::new(Requirement::named("known")).unwrap()
}

/// Every way in which one request comes to be authenticated more than once.
fn sites(outer: &DelegationLayer, another: &DelegationLayer) -> Vec<(&'static str, Router)> {
    let opened =
        |router: GuardedRouter| Router::new().fallback_service(router.behind(outer.clone()).unwrap());
    let greeting = || GuardedRouter::new().route("/", get(public("a greeting", greet)));
    let known = || GuardedRouter::new().route("/", get(public("a greeting", greet_known)));
    let table = || RouteTableLayer::new(&RouteTable::from_toml(ROWS).unwrap());
    let plain = || Router::new().route("/", plain_get(greet)).fallback(greet);
    let inner = || plain().layer(outer.clone());
    let by_hand = {
        let authenticator = outer.authenticator().clone();
        from_fn(move |request: Request, next: Next| {
            let authenticator = authenticator.clone();
            async move {
                let (mut head, body) = request.into_parts();
                match authenticator.authenticate(&mut head).await {
                    Ok(found) => {
                        head.extensions.insert(found.unwrap());
                        next.run(Request::from_parts(head, body)).await
                    }
                    Err(rejection) => rejection.into_response(),
                }
            }
        })
    };
    vec![
        ("a handler asks", opened(greeting())),
        ("a handler asks twice", opened(known())),
        ("a handler asks twice at once", {
            opened(GuardedRouter::new().route("/", get(public("a greeting", greet_twice))))
        }),
        ("another path, a handler asks", opened(greeting().layer(between!(rewrite_path)))),
        ("another path, a handler asks twice", opened(known().layer(between!(rewrite_path)))),
        ("another query, a handler asks twice", opened(known().layer(between!(forget_received)))),
        ("a guard asks, and a handler", opened(known().layer(any_caller()).layer(between!(add_query)))),
        ("a guard asks before the change", opened(known().layer(between!(rewrite_path)).layer(any_caller()))),
        ("a guard asks, a table, a handler", {
            opened(known().layer(table()).layer(any_caller()).layer(between!(forget_received)))
        }),
        ("a layer further inside", inner().layer(outer.clone())),
        (
            "another path for a layer further inside",
            inner().layer(between!(rewrite_path)).layer(outer.clone()),
        ),
        ("another query for it", inner().layer(between!(forget_received)).layer(outer.clone())),
        ("a public route around it", {
            let routes = GuardedRouter::new().route(
                "/",
                get(public("a greeting", {
                    let inner = inner();
                    async move |request: Request| inner.oneshot(request).await.unwrap()
                })),
            );
            opened(routes.layer(between!(forget_received)))
        }),
        ("another authenticator further inside", plain().layer(another.clone()).layer(outer.clone())),
        ("both", inner().layer(between!(rewrite_path)).layer(another.clone()).layer(outer.clone())),
        ("the authenticator by hand", plain().layer(by_hand).layer(outer.clone())),
        ("an attempt that is given up", {
            inner().layer(between!(forget_received)).layer(from_fn(impatient)).layer(outer.clone())
        }),
        ("an attempt of a public route that is given up", {
            opened(known().layer(from_fn(impatient)).layer(between!(forget_received)))
        }),
    ]
}

/// A store that answers at once, and one that has to be waited for.
fn stores() -> [(&'static str, Dpop); 3] {
    let slow = Slow::new();
    (0..1000).for_each(|_| slow.answer());
    [
        ("in memory", Dpop::at(ORIGIN)),
        ("elsewhere", Dpop::at(ORIGIN).replay_store(slow)),
        ("elsewhere, at hand", Dpop::at(ORIGIN).replay_store(AtHand(InMemoryReplayStore::new()))),
    ]
}

#[derive(Debug)]
struct AtHand(InMemoryReplayStore);

impl ReplayStore for AtHand {
    fn remember(&self, proof: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
        self.0.remember(proof)
    }
}

struct Client {
    key: DpopKey,
    token: String,
}

impl Client {
    fn new(world: &World) -> Self {
        let key = DpopKey::generate().clock(world.clock.clone());
        let token = world.token().bound_to_key(&key).sign();
        Self { key, token }
    }

    fn proof(&self, path: &str) -> String {
        self.key.proof("GET", format!("{ORIGIN}{path}")).for_token(&self.token).sign()
    }

    async fn send(&self, served: &Served, path: &str, proof: &str) -> Answer {
        let request = served.request(Method::GET, path);
        let request = request.header(AUTHORIZATION, format!("DPoP {}", self.token));
        Answer::of(request.header("dpop", proof)).await
    }
}

/// Once for the request, and never for another one: also where that comes by the same way.
#[tokio::test]
async fn a_request_uses_its_own_proof_up_once() {
    let audit = AuditLog::listen();
    for (store, dpop) in stores() {
        let world = World::new().await;
        let outer = world.layer().dpop(dpop.clone()).allow_inner_authenticator().build().unwrap();
        let another = world.layer().dpop(dpop).build().unwrap();
        for (name, router) in sites(&outer, &another) {
            let served = Served::start(router).await;
            let client = Client::new(&world);
            let proof = client.proof("/");
            let _ = audit.take();
            let answer = client.send(&served, "/", &proof).await;
            let events = audit.take();
            assert_eq!((answer.status, &*answer.body), (200, "alice"), "{store}, {name}: {events:?}");
            assert!(
                events
                    .iter()
                    .all(|event| event.field("decision") == "allow" || event.field("decision") == "none"),
                "{store}, {name}: {events:?}"
            );
            for attempt in ["again", "and again"] {
                let answer = client.send(&served, "/", &proof).await;
                let code = answer.code();
                assert_eq!(
                    (answer.status, &*code),
                    (401, "invalid_dpop_proof"),
                    "{store}, {name}, {attempt}"
                );
            }
            let answer = client.send(&served, "/", &client.proof("/")).await;
            assert_eq!((answer.status, &*answer.body), (200, "alice"), "{store}, {name}, a new one");
        }
    }
}

/// What a request has left for those further inside.
type Kept = Arc<Mutex<Option<Extensions>>>;

/// Extensions that are kept beyond the response lend the proof to no later request.
#[tokio::test]
async fn a_proof_is_lent_to_no_later_request() {
    let audit = AuditLog::listen();
    for (store, dpop) in stores() {
        let world = World::new().await;
        let layer = world.layer().dpop(dpop).build().unwrap();
        let kept = Kept::default();
        let keep = |as_handler: bool| {
            let kept = kept.clone();
            from_fn(move |request: Request, next: Next| {
                let (mut parts, body) = request.into_parts();
                let kept = kept.clone();
                async move {
                    *kept.lock().unwrap() = Some(parts.extensions.clone());
                    if as_handler {
                        // Asked with a copy, so that what is kept has not been asked yet.
                        let mut copy = parts.clone();
                        drop(copy.extract::<Option<DelegationContext>>().await);
                        parts.extensions = copy.extensions;
                    }
                    next.run(Request::from_parts(parts, body)).await
                }
            })
        };
        let replay = {
            let kept = kept.clone();
            from_fn(move |mut request: Request, next: Next| {
                if let Some(kept) = kept.lock().unwrap().clone() {
                    request.extensions_mut().extend(kept);
                }
                next.run(request)
            })
        };
        let greeting = || GuardedRouter::new().route("/", get(public("a greeting", greet_known)));
        let plain = || Router::new().route("/", plain_get(greet));
        let service =
            |guarded: GuardedRouter| Router::new().fallback_service(guarded.behind(layer.clone()).unwrap());
        let rows = [
            ("of a layer", plain().layer(keep(false)).layer(layer.clone())),
            ("of a public route, before it is asked", service(greeting().layer(keep(false)))),
            ("of a public route, when it is asked", service(greeting().layer(keep(true)))),
        ];
        for (name, first) in rows {
            let first = Served::start(first).await;
            for (place, later) in [
                ("at a layer", plain().layer(layer.clone()).layer(replay.clone())),
                ("at a public route", service(greeting()).layer(replay.clone())),
                ("behind a public route", service(greeting().layer(replay.clone()))),
                ("at a handler alone", plain().layer(replay.clone())),
            ] {
                let later = Served::start(later).await;
                let client = Client::new(&world);
                let proof = client.proof("/");
                let answer = client.send(&first, "/", &proof).await;
                assert_eq!(answer.status, 200, "{store}, {name}: {}", answer.body);
                let answer = client.send(&later, "/", &proof).await;
                // A handler without a layer goes by whatever is in the extensions that it is handed.
                let is_bare = place == "at a handler alone" && name == "of a layer";
                let expected = if is_bare { 200 } else { 401 };
                assert_eq!(answer.status, expected, "{store}, {name}, {place}: {}", answer.body);
            }
        }
        drop(audit.take());
    }
}

/// A proof that comes without a token is that request's too, and no longer than others.
#[tokio::test]
async fn a_proof_of_an_anonymous_request_ends_with_it() {
    let _audit = AuditLog::listen();
    for (store, dpop) in stores() {
        let world = World::new().await;
        let layer = world.layer().dpop(dpop).allow_anonymous().build().unwrap();
        let kept = Kept::default();
        let keep = {
            let kept = kept.clone();
            from_fn(move |request: Request, next: Next| {
                *kept.lock().unwrap() = Some(request.extensions().clone());
                next.run(request)
            })
        };
        let greeting = Router::new().route("/", plain_get(greet)).layer(keep).layer(layer.clone());
        let served = Served::start(greeting).await;
        let client = Client::new(&world);
        let proof = client.proof("/");
        let answer = Answer::of(served.request(Method::GET, "/").header("dpop", &proof)).await;
        assert_eq!((answer.status, &*answer.body), (200, "stranger"), "{store}");
        // What a socket that the request has opened is sent, one message after another.
        for (attempt, is_accepted) in [("first", true), ("again", false)] {
            let (mut head, ()) = Request::new(()).into_parts();
            head.headers.insert(AUTHORIZATION, format!("DPoP {}", client.token).parse().unwrap());
            head.headers.insert("dpop", proof.parse().unwrap());
            head.extensions = kept.lock().unwrap().clone().unwrap();
            let found = layer.authenticator().authenticate(&mut head).await;
            assert_eq!(found.is_ok(), is_accepted, "{store}, {attempt}: {found:?}");
        }
    }
}

/// A request that a handler sends with the extensions of its own, and its head changed.
fn within(parts: &Parts, change: &dyn Fn(&mut HeaderMap)) -> Request {
    let mut within = Request::new(Body::empty());
    *within.uri_mut() = Uri::from_static("/");
    *within.headers_mut() = parts.headers.clone();
    *within.extensions_mut() = parts.extensions.clone();
    // Debug builds of axum refuse to route what was routed.
    within.extensions_mut().remove::<axum::extract::MatchedPath>();
    change(within.headers_mut());
    within
}

/// A request within a request has the caller that its own credentials prove, and the proof
/// of another party is good for it once.
#[tokio::test]
async fn a_proof_is_lent_to_no_request_within() {
    let _audit = AuditLog::listen();
    for (store, dpop) in stores() {
        let world = World::new().await;
        let layer = world.layer().dpop(dpop).build().unwrap();
        let (caller, other) = (Client::new(&world), Client::new(&world));
        let value = |text: String| HeaderValue::from_str(&text).unwrap();
        let (token, proof) = (value(format!("DPoP {}", other.token)), value(other.proof("/")));
        let used = value(other.proof("/"));
        let callers_next = value(caller.proof("/"));
        type Change = Arc<dyn Fn(&mut HeaderMap) + Send + Sync>;
        let set = |token: Option<&HeaderValue>, proof: Option<&HeaderValue>| -> Change {
            let fields = [(AUTHORIZATION, token.cloned()), ("dpop".parse().unwrap(), proof.cloned())];
            Arc::new(move |headers| {
                for (name, value) in &fields {
                    if let Some(value) = value {
                        headers.insert(name, value.clone());
                    }
                }
            })
        };
        let rows: Vec<(&str, Change, [u16; 2])> = vec![
            ("the same head", set(None, None), [200, 200]),
            ("no credentials", Arc::new(|it| drop(it.remove(AUTHORIZATION))), [401, 401]),
            ("no proof", Arc::new(|it| drop(it.remove("dpop"))), [401, 401]),
            ("another party's token", set(Some(&token), None), [401, 401]),
            ("another party's proof", set(None, Some(&proof)), [401, 401]),
            ("another party's token and proof", set(Some(&token), Some(&proof)), [200, 401]),
            ("and one that was used", set(Some(&token), Some(&used)), [401, 401]),
            ("a further proof of the caller", set(None, Some(&callers_next)), [200, 401]),
        ];
        let served = Served::start(Router::new().route("/", plain_get(greet)).layer(layer.clone())).await;
        assert_eq!(other.send(&served, "/", used.to_str().unwrap()).await.status, 200);
        for (name, change, expected) in rows {
            let inner = Router::new().route("/", plain_get(greet)).layer(layer.clone());
            let batch = async move |request: Request| {
                let (parts, _) = request.into_parts();
                let mut statuses = Vec::new();
                for _ in 0..2 {
                    let answer = inner.clone().oneshot(within(&parts, &*change)).await.unwrap();
                    statuses.push(answer.status().as_u16());
                }
                format!("{statuses:?}")
            };
            let ruled = Router::new().route("/", plain_get(batch.clone())).layer(layer.clone());
            let public = GuardedRouter::new().route("/", get(public("a batch", batch)));
            let public = Router::new().fallback_service(public.behind(layer.clone()).unwrap());
            // A proof that is good once is good at one of them.
            let is_once = expected[0] != expected[1];
            for (place, router) in [("ruled", ruled), ("public", public)] {
                let served = Served::start(router).await;
                let answer = caller.send(&served, "/", &caller.proof("/")).await;
                let expected = if is_once && place == "public" { [401; 2] } else { expected };
                let expected = (200, format!("{expected:?}"));
                assert_eq!((answer.status.into(), answer.body), expected, "{store}, {name}, {place}");
            }
        }
    }
}

/// The store of used proofs is not reached: our outage, however often it is asked.
#[tokio::test]
async fn a_store_that_fails_is_asked_once_and_is_our_outage() {
    let _audit = AuditLog::listen();
    let world = World::new().await;
    let layer = world.layer().dpop(Dpop::at(ORIGIN).replay_store(Broken)).allow_inner_authenticator();
    let layer = layer.build().unwrap();
    for (name, router) in sites(&layer, &layer) {
        let served = Served::start(router).await;
        let client = Client::new(&world);
        let answer = client.send(&served, "/", &client.proof("/")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{name}: {}", answer.body);
    }
}

#[derive(Debug)]
struct Broken;

impl ReplayStore for Broken {
    fn remember(&self, _: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
        Step::wait(async {
            tokio::time::sleep(Duration::ZERO).await;
            Err(ReplayStoreError::unavailable("the network is down"))
        })
    }
}
