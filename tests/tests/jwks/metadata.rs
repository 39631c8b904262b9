//! Where the metadata leads, for how long, and what happens when a place is odd.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tower_delegation::{TrustedIssuer, jwks::KeySourceErrorKind};
use tower_delegation_testing::{Endpoint, MockIssuer};

use crate::{DEFAULT_REFRESH, LIFETIME, Observed, REFILL, SECOND, Service, World, lasting};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// A provider whose every path answers what the test says, and nothing else.
struct Provider {
    world: World,
    issuer: String,
    answers: Arc<Mutex<HashMap<String, Response<Bytes>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Whether it compresses what may be compressed for all that the request says.
    compresses: Arc<AtomicBool>,
}

impl Provider {
    async fn start() -> Self {
        let world = lasting().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(HashMap::<String, Response<Bytes>>::new()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let compresses = Arc::new(AtomicBool::new(false));
        let (known, log, compressing) = (Arc::clone(&answers), Arc::clone(&asked), Arc::clone(&compresses));
        let answer = move |request: Request| {
            let path = request.uri().path().to_owned();
            let found = known.lock().unwrap().get(&path).cloned();
            let is_plain = request.headers().get(header::ACCEPT_ENCODING).is_some_and(|of| of == "identity");
            let found =
                if is_plain || !compressing.load(Ordering::Relaxed) { found } else { found.map(gzip) };
            log.lock().unwrap().push(path);
            std::future::ready(
                found.unwrap_or_else(|| plain(StatusCode::NOT_FOUND)).map(axum::body::Body::from),
            )
        };
        tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { world, issuer, answers, asked, compresses }
    }

    /// The usual one: metadata at the place of OpenID Connect, keys at `/keys`.
    async fn usual() -> Self {
        let provider = Self::start().await;
        provider.publish(OPENID, &provider.metadata("/keys"));
        provider.publish("/keys", &provider.world.idp.jwks());
        provider
    }

    fn answer(&self, path: &str, answer: Response<Bytes>) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn publish(&self, path: &str, document: &Value) {
        self.answer(path, of_json(document));
    }

    fn metadata(&self, keys: &str) -> Value {
        json!({"issuer": self.issuer, "jwks_uri": format!("{}{keys}", self.issuer)})
    }

    fn service(&self) -> Service {
        self.world.service_of(TrustedIssuer::discover(&self.issuer).unwrap())
    }

    /// A token of this provider that `keys` signs.
    fn token_of(&self, keys: &MockIssuer) -> String {
        let token = keys.token().subject("alice").client("shop-web").issuer(&self.issuer);
        token.audience(integration_tests::AUDIENCE).sign()
    }

    fn token(&self) -> String {
        self.token_of(&self.world.idp)
    }

    fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap()
    }

    fn times_asked(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| *asked == path).count()
    }
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

fn of_type(content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// As a client sees it that does not know the coding.
fn gzip(mut answer: Response<Bytes>) -> Response<Bytes> {
    answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    *answer.body_mut() = Bytes::from_static(&[0x1f, 0x8b, 8, 0]);
    answer
}

fn of_json(document: &Value) -> Response<Bytes> {
    of_type("application/json", document.to_string())
}

fn fresh_for(mut answer: Response<Bytes>, cache_control: &'static str) -> Response<Bytes> {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
    answer
}

/// A CDN's error page, a gateway's message, a redirect: at a place that has no metadata.
#[tokio::test]
async fn a_place_that_is_odd_does_not_end_the_search() {
    let provider = Provider::usual().await;
    let issuer = &provider.issuer;
    let mut redirect = plain(StatusCode::FOUND);
    redirect.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/keys"));
    let mut encoded = of_json(&provider.metadata("/keys"));
    encoded.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let odd = [
        ("500", plain(StatusCode::INTERNAL_SERVER_ERROR)),
        ("501", plain(StatusCode::NOT_IMPLEMENTED)),
        ("502", plain(StatusCode::BAD_GATEWAY)),
        ("503", plain(StatusCode::SERVICE_UNAVAILABLE)),
        ("403", plain(StatusCode::FORBIDDEN)),
        ("404", plain(StatusCode::NOT_FOUND)),
        ("429", plain(StatusCode::TOO_MANY_REQUESTS)),
        ("a redirect", redirect),
        ("204", plain(StatusCode::NO_CONTENT)),
        ("HTML", of_type("text/html", "<html>not here</html>")),
        ("HTML as JSON", of_type("application/json", "<html>not here</html>")),
        ("nothing", of_type("application/json", "")),
        ("a message", of_json(&json!({"message": "no route"}))),
        ("no object", of_json(&json!(["no route"]))),
        ("an empty object", of_json(&json!({}))),
        ("no issuer", of_json(&json!({"jwks_uri": format!("{issuer}/keys")}))),
        ("issuer null", of_json(&json!({"issuer": null, "jwks_uri": format!("{issuer}/keys")}))),
        ("no jwks_uri", of_json(&json!({"issuer": issuer, "token_endpoint": format!("{issuer}/t")}))),
        ("jwks_uri null", of_json(&json!({"issuer": issuer, "jwks_uri": null}))),
        ("an unusable jwks_uri", of_json(&json!({"issuer": issuer, "jwks_uri": "http://idp.example.com/k"}))),
        ("malformed", of_json(&json!({"issuer": 1, "jwks_uri": 2}))),
        (
            "another issuer's",
            of_json(&json!({"issuer": "https://other.example", "jwks_uri": format!("{issuer}/k")})),
        ),
        ("compressed", encoded),
        ("too long", of_type("application/json", " ".repeat(600 * 1024))),
    ];
    for (name, answer) in odd {
        provider.answer(OAUTH, answer.clone());
        provider.asked().clear();
        let service = provider.service();
        assert_eq!(service.call(&provider.token()).await, StatusCode::OK, "{name}");
        assert_eq!(*provider.asked(), [OAUTH, OPENID, "/keys"], "{name}");

        // Where no place is good, it ends: in our outage, and by asking each place once.
        provider.answer(OPENID, answer);
        provider.asked().clear();
        let service = provider.service();
        assert_eq!(service.call(&provider.token()).await, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        assert_eq!(*provider.asked(), [OAUTH, OPENID], "{name}");
        provider.publish(OPENID, &provider.metadata("/keys"));
    }
}

/// RFC 9110 section 12.5.3: a CDN may send its compressed variant to every client
/// that does not exclude it.
#[tokio::test]
async fn a_compressed_variant_is_excluded() {
    let provider = Provider::usual().await;
    provider.compresses.store(true, Ordering::Relaxed);
    let service = provider.service();
    assert_eq!(service.call(&provider.token()).await, StatusCode::OK);
    assert_eq!(*provider.asked(), [OAUTH, OPENID, "/keys"]);
}

#[tokio::test]
async fn the_worst_failure_is_reported() {
    use KeySourceErrorKind::{ContentEncoding, IssuerMismatch, MetadataInvalid, Refused};
    let provider = Provider::usual().await;
    let mut encoded = of_json(&json!({}));
    encoded.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let foreign =
        || of_json(&json!({"issuer": "https://other.example", "jwks_uri": "https://other.example/k"}));
    for (name, first, second, kind) in [
        ("nothing at all", plain(StatusCode::NOT_FOUND), plain(StatusCode::NOT_FOUND), Refused),
        ("a document", plain(StatusCode::NOT_FOUND), of_json(&json!({})), MetadataInvalid),
        ("another issuer", foreign(), plain(StatusCode::NOT_FOUND), IssuerMismatch),
        ("another issuer, second", of_json(&json!({})), foreign(), IssuerMismatch),
        ("an outage", foreign(), encoded, ContentEncoding),
    ] {
        provider.answer(OAUTH, first);
        provider.answer(OPENID, second);
        let service = provider.service();
        assert_eq!(service.call(&provider.token()).await, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        assert_eq!(service.last_error(), Some(kind), "{name}");
    }
}

#[tokio::test]
async fn the_place_that_was_good_is_asked_first_and_lost_ones_are_searched_for() {
    let provider = Provider::usual().await;
    let service = provider.service();
    service.layer.warm_up().await.unwrap();
    assert_eq!(*provider.asked(), [OAUTH, OPENID, "/keys"]);
    provider.asked().clear();
    let _ = service.layer.refresh_keys().await;
    assert_eq!(*provider.asked(), [OPENID, "/keys"]);
    provider.publish(OAUTH, &provider.metadata("/keys"));
    provider.answer(OPENID, plain(StatusCode::NOT_FOUND));
    provider.asked().clear();
    let _ = service.layer.refresh_keys().await;
    assert_eq!(*provider.asked(), [OPENID, OAUTH, "/keys"]);
    provider.asked().clear();
    let _ = service.layer.refresh_keys().await;
    assert_eq!(*provider.asked(), [OAUTH, "/keys"]);
}

/// The former key set goes on answering 200 at its old place, with its old keys.
#[tokio::test]
async fn a_key_set_that_moved_is_followed_by_the_first_token_of_a_new_key() {
    for cache_control in [None, Some("max-age=300"), Some("max-age=31536000, immutable")] {
        let provider = Provider::usual().await;
        let new = provider.world.idp.issuer_at("/new");
        // A new name, or a new key under an old one: both issuers name their keys alike.
        for (name, token) in
            [("an unknown kid", new.token().header("kid", "b")), ("the same kid", new.token())]
        {
            let mut metadata = of_json(&provider.metadata("/keys"));
            if let Some(cache_control) = cache_control {
                metadata = fresh_for(metadata, cache_control);
            }
            provider.answer(OPENID, metadata);
            let service = provider.service();
            assert_eq!(service.call(&provider.token()).await, StatusCode::OK, "{name}");

            let mut moved = new.jwks();
            if name == "an unknown kid" {
                moved["keys"][0]["kid"] = json!("b");
            }
            provider.publish("/moved", &moved);
            provider.publish(OPENID, &provider.metadata("/moved"));
            let token = token.subject("alice").client("shop-web").issuer(&provider.issuer);
            let token = token.audience(integration_tests::AUDIENCE).sign();
            assert_eq!(service.call(&token).await, StatusCode::OK, "{name}, {cache_control:?}");
            assert_eq!(service.call(&provider.token()).await, StatusCode::UNAUTHORIZED, "{name}: withdrawn");
        }
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_reads_the_metadata_within_the_budget() {
    let provider = Provider::usual().await;
    let service = provider.service();
    service.layer.warm_up().await.unwrap();
    let junk = |number: usize| {
        let token = provider.world.idp.token().issuer(&provider.issuer).subject("a").client("b");
        token.audience(integration_tests::AUDIENCE).header("kid", format!("junk-{number}")).sign()
    };
    for second in 0..30_usize {
        for number in 0..20 {
            let answer = service.call(&junk(20 * second + number)).await;
            assert_eq!(answer, StatusCode::UNAUTHORIZED, "second {second}");
        }
        let caused = provider.times_asked(OPENID) - 1;
        assert!(caused <= 3 + second / 10, "second {second}: {caused}");
        assert_eq!(provider.times_asked("/keys") - 1, caused, "second {second}");
        provider.world.clock.advance(SECOND);
    }
}

#[tokio::test]
async fn metadata_lives_as_long_as_it_says_and_an_hour_at_most() {
    // The key set is due each 480 seconds.
    let due = DEFAULT_REFRESH.as_secs();
    for (name, cache_control, read_again_after) in [
        ("none", None, 8 * due),
        ("five minutes", Some("max-age=300"), due),
        ("ten minutes", Some("public, max-age=600"), 2 * due),
        ("none at all", Some("no-store"), due),
        ("no-cache", Some("no-cache"), due),
        ("a year", Some("max-age=31536000, immutable"), 8 * due),
    ] {
        let provider = Provider::usual().await;
        if let Some(cache_control) = cache_control {
            provider.answer(OPENID, fresh_for(of_json(&provider.metadata("/keys")), cache_control));
        }
        let service = provider.service();
        service.layer.warm_up().await.unwrap();
        let mut passed = 0;
        while provider.times_asked(OPENID) == 1 {
            provider.world.clock.advance(DEFAULT_REFRESH);
            passed += due;
            assert!(passed <= 3600 + due, "{name}: after {passed} s");
            service.until(name, |status| status.age == Some(Duration::ZERO)).await;
        }
        assert_eq!(passed, read_again_after, "{name}");
    }
}

#[tokio::test]
async fn metadata_that_cannot_be_read_again_does_not_cut_off_the_keys() {
    let provider = Provider::usual().await;
    let service = provider.service();
    service.layer.warm_up().await.unwrap();
    provider.answer(OPENID, plain(StatusCode::BAD_GATEWAY));
    provider.world.idp.rotate_keys();
    provider.publish("/keys", &provider.world.idp.jwks());
    assert_eq!(service.call(&provider.token()).await, StatusCode::OK, "a rotation meanwhile");
    assert_eq!(service.last_error(), None);
    // Bounded: after a day the place of the key set is not known any more.
    provider.world.clock.advance(crate::DAY + SECOND);
    service.until("the refresh has failed", |status| status.last_error.is_some()).await;
    assert_eq!(service.last_error(), Some(KeySourceErrorKind::Refused));
    provider.publish(OPENID, &provider.metadata("/keys"));
    provider.world.clock.advance(REFILL);
    assert_eq!(service.call(&provider.token()).await, StatusCode::OK);
}

#[tokio::test]
async fn a_key_set_that_is_gone_is_looked_for_anew() {
    let provider = Provider::usual().await;
    let service = provider.service();
    service.layer.warm_up().await.unwrap();
    let elsewhere = provider.world.idp.issuer_at("/elsewhere");
    provider.publish(OPENID, &json!({"issuer": provider.issuer, "jwks_uri": elsewhere.jwks_uri()}));
    provider.answer("/keys", plain(StatusCode::GONE));
    let old = provider.token();
    assert_eq!(service.call_at_once(&old), StatusCode::OK);
    provider.world.clock.advance(LIFETIME);
    service.until("the refresh has failed", |status| status.last_error.is_some()).await;
    assert_eq!(service.call_at_once(&old), StatusCode::OK);
    provider.world.clock.wait_for_sleepers(1).await;
    provider.world.clock.advance(2 * SECOND);
    service.until("the next one has not", |status| status.last_error.is_none()).await;
    assert_eq!(elsewhere.requests(Endpoint::Jwks), 1);
    // The `ETag` of the former place means nothing here.
    let sent = elsewhere.last_request_headers(Endpoint::Jwks).unwrap();
    assert!(!sent.contains_key("if-none-match"), "{sent:?}");
    assert_eq!(service.call_at_once(&provider.token_of(&elsewhere)), StatusCode::OK);
    assert_eq!(service.call(&old).await, StatusCode::UNAUTHORIZED);
}
