//! An issuer's metadata (RFC 8414, OpenID Connect Discovery 1.0), over real sockets.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Request, response::IntoResponse as _};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use tower_delegation::{
    DelegationLayer, DenialReason as R, TrustedIssuer, clock::Timestamp, error::ConfigError,
    jwks::KeySourceErrorKind as K,
};
use tower_delegation_testing::{Endpoint, MockIdp, MockIssuer, TestClock};

use crate::site::{AUDIENCE, NOW, provider};

async fn idp() -> (MockIdp, TestClock) {
    let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
    (provider(&clock).await, clock)
}

fn discovering(issuer: &str, clock: &TestClock) -> DelegationLayer {
    let issuer = TrustedIssuer::discover(issuer).unwrap().add_audience(AUDIENCE);
    DelegationLayer::builder().clock(clock.clone()).add_issuer(issuer).build().unwrap()
}

/// What discovery says of the issuer as it is now, and what a good token then meets.
async fn outcome(issuer: &MockIssuer, clock: &TestClock) -> Result<(), K> {
    let layer = discovering(issuer.issuer(), clock);
    let warmed = layer.warm_up().await.map_err(|error| error.kind());
    let verified = layer.authenticator().verify(&issuer.token().sign()).await;
    let reason = verified.err().map(|rejection| rejection.reason());
    assert_eq!(reason, warmed.err().map(|_| R::KeysUnavailable));
    warmed
}

#[tokio::test]
async fn r8414_3_the_keys_are_found_by_the_metadata() {
    let (idp, clock) = idp().await;
    for path in ["", "/tenant", "/realms/a/b"] {
        let issuer = idp.issuer_at(path);
        assert_eq!(outcome(&issuer, &clock).await, Ok(()), "{path}");
        assert_eq!((issuer.requests(Endpoint::Discovery), issuer.requests(Endpoint::Jwks)), (1, 1));
    }
}

/// Serves metadata at one path and nothing at all others; records who asked for what.
async fn serve_at(path: &'static str, body: impl Fn(&str) -> Value) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let body = body(&origin).to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let answer = move |request: Request| {
        let asked = request.uri().to_string();
        let found = asked == path;
        log.lock().unwrap().push(asked);
        let body = body.clone();
        async move {
            if found {
                ([(header::CONTENT_TYPE, "application/json")], body).into_response()
            } else {
                StatusCode::NOT_FOUND.into_response()
            }
        }
    };
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer)).await });
    (origin, asked)
}

/// Appended for OpenID Connect, inserted for OAuth; a terminating slash is removed first.
#[tokio::test]
async fn r8414_3_1_1_where_the_metadata_is_looked_for() {
    let (idp, clock) = idp().await;
    const APPENDED: &str = "/tenant/a/.well-known/openid-configuration";
    const INSERTED: &str = "/.well-known/oauth-authorization-server/tenant/a";
    const INSERTED_OIDC: &str = "/.well-known/openid-configuration/tenant/a";
    const ROOT: &str = "/.well-known/openid-configuration";
    const ROOT_OAUTH: &str = "/.well-known/oauth-authorization-server";
    for (path, at, expected) in [
        ("/tenant/a", INSERTED, &[INSERTED][..]),
        ("/tenant/a", INSERTED_OIDC, &[INSERTED, INSERTED_OIDC]),
        ("/tenant/a", APPENDED, &[INSERTED, INSERTED_OIDC, APPENDED]),
        ("/tenant/a", "/nowhere", &[INSERTED, INSERTED_OIDC, APPENDED]),
        ("/tenant/a/", INSERTED_OIDC, &[INSERTED, INSERTED_OIDC]),
        ("", ROOT_OAUTH, &[ROOT_OAUTH]),
        ("", ROOT, &[ROOT_OAUTH, ROOT]),
        ("/", "/nowhere", &[ROOT_OAUTH, ROOT]),
    ] {
        // The search must end where the document is found, whose key set is elsewhere.
        let keys = idp.jwks_uri();
        let document = |origin: &str| json!({ "issuer": format!("{origin}{path}"), "jwks_uri": keys });
        let (origin, asked) = serve_at(at, document).await;
        let warmed = discovering(&format!("{origin}{path}"), &clock).warm_up().await;
        let expected_error = (at == "/nowhere").then_some(K::Refused);
        assert_eq!(warmed.err().map(|error| error.kind()), expected_error, "{path} {at}");
        assert_eq!(*asked.lock().unwrap(), expected, "{path} {at}");
    }
}

#[tokio::test]
async fn r8414_3_3_1_the_metadata_names_the_issuer_exactly() {
    let (idp, clock) = idp().await;
    let issuer = idp.issuer_at("/tenant");
    let own = issuer.issuer().to_owned();
    assert_eq!(outcome(&issuer, &clock).await, Ok(()));
    let fetched = issuer.requests(Endpoint::Jwks);
    for other in [
        format!("{own}/"),
        own.trim_end_matches("/tenant").to_owned(),
        own.replace("127.0.0.1", "localhost"),
        own.replace("http", "HTTP"),
        own.replace("http", "https"),
        own.replace("/tenant", "/Tenant"),
        own.replace("/tenant", "/%74enant"),
        own.replace("/tenant", "/./tenant"),
        own.replace("/tenant", "/{tenantid}"),
        format!("{own}?"),
        format!("{own}#"),
        format!(" {own}"),
        "https://honest.example".to_owned(),
        String::new(),
    ] {
        issuer.set_metadata("issuer", other.clone());
        assert_eq!(outcome(&issuer, &clock).await, Err(K::IssuerMismatch), "{other}");
    }
    for other in [json!(null), json!([own.clone()]), json!(1), json!({ "issuer": own })] {
        issuer.set_metadata("issuer", other.clone());
        assert_eq!(outcome(&issuer, &clock).await, Err(K::MetadataInvalid), "{other}");
    }
    issuer.remove_metadata("issuer");
    assert_eq!(outcome(&issuer, &clock).await, Err(K::MetadataInvalid));
    // No key set was asked for on behalf of another issuer.
    assert_eq!(issuer.requests(Endpoint::Jwks), fetched);
    issuer.set_metadata("issuer", own);
    assert_eq!(outcome(&issuer, &clock).await, Ok(()));
}

#[tokio::test]
async fn r8414_2_1_the_key_set_is_where_a_secure_url_says() {
    let (idp, clock) = idp().await;
    let issuer = idp.issuer_at("/tenant");
    for uri in [
        json!("http://idp.example.com/jwks"),
        json!("ftp://127.0.0.1/jwks"),
        json!("file:///etc/passwd"),
        json!("data:application/json,{}"),
        json!("/tenant/jwks"),
        json!("jwks"),
        json!(""),
        json!("https://user:password@idp.example.com/jwks"),
        json!(null),
        json!(1),
        json!(["https://idp.example.com/jwks"]),
    ] {
        issuer.set_metadata("jwks_uri", uri.clone());
        assert_eq!(outcome(&issuer, &clock).await, Err(K::MetadataInvalid), "{uri}");
    }
    issuer.remove_metadata("jwks_uri");
    assert_eq!(outcome(&issuer, &clock).await, Err(K::MetadataInvalid));
    assert_eq!(issuer.requests(Endpoint::Jwks), 0);
}

#[test]
fn r8414_2_1_an_issuer_to_discover_is_https_without_query_and_fragment() {
    for issuer in [
        "",
        "idp.example.com",
        "/idp",
        "//idp.example.com",
        "http://idp.example.com",
        "http://10.0.0.1",
        "ftp://idp.example.com",
        "urn:example:idp",
        "https://idp.example.com?tenant=1",
        "https://idp.example.com/?",
        "https://idp.example.com#x",
        "https://idp.example.com/#",
        "https://user@idp.example.com",
        "https://user:password@idp.example.com",
        "https://",
    ] {
        let made = TrustedIssuer::discover(issuer).map(|issuer| issuer.add_audience("a"));
        let made = made.and_then(|issuer| DelegationLayer::builder().add_issuer(issuer).build());
        assert!(matches!(made, Err(ConfigError::InvalidUrl { .. })), "{issuer:?}");
    }
    for issuer in
        ["https://idp.example.com", "https://idp.example.com/", "https://idp.example.com:8443/realms/a"]
    {
        assert!(TrustedIssuer::discover(issuer).is_ok(), "{issuer}");
    }
}

#[tokio::test]
async fn r8414_2_2_what_is_no_metadata() {
    let (idp, clock) = idp().await;
    let issuer = idp.issuer_at("/tenant");
    let good = issuer.metadata().to_string();
    let json_of = |body: String| {
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    };
    let redirect = || {
        let mut response = json_of(String::new());
        *response.status_mut() = StatusCode::FOUND;
        let target = format!("{}/.well-known/openid-configuration", idp.issuer());
        response.headers_mut().insert(header::LOCATION, target.parse().unwrap());
        response
    };
    let html = || {
        let mut response = json_of(good.clone());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
        response
    };
    let status = |status| {
        let mut response = json_of(good.clone());
        *response.status_mut() = status;
        response
    };
    let twice = good.replacen('{', &format!(r#"{{"issuer":"{}","#, issuer.issuer()), 1);
    for (name, response) in [
        ("a redirect", redirect()),
        ("a permanent redirect", {
            let mut response = redirect();
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response
        }),
        ("another content type", html()),
        ("an error", status(StatusCode::INTERNAL_SERVER_ERROR)),
        ("not found", status(StatusCode::NOT_FOUND)),
        ("no content", status(StatusCode::NO_CONTENT)),
        ("created", status(StatusCode::CREATED)),
        ("not modified, unasked", status(StatusCode::NOT_MODIFIED)),
        ("too long", json_of(format!("{good}{}", " ".repeat(4 << 20)))),
        ("nothing", json_of(String::new())),
        ("no JSON", json_of("<html></html>".to_owned())),
        ("an array", json_of(format!("[{good}]"))),
        ("null", json_of("null".to_owned())),
        ("cut short", json_of(good.trim_end_matches('}').to_owned())),
        ("something behind", json_of(format!("{good}{good}"))),
        ("issuer twice", json_of(twice)),
    ] {
        issuer.answer_with(Endpoint::Discovery, response);
        let outcome = outcome(&issuer, &clock).await;
        assert!(
            matches!(outcome, Err(K::Refused | K::MetadataInvalid | K::Unreachable)),
            "{name}: {outcome:?}"
        );
    }
    assert_eq!(issuer.requests(Endpoint::Jwks), 0);
    assert_eq!(idp.requests(Endpoint::Discovery), 0, "a redirect was followed");
    // Unknown members are ignored.
    issuer.recover(Endpoint::Discovery);
    issuer.set_metadata("mtls_endpoint_aliases", json!({ "token_endpoint": 1 }));
    assert_eq!(outcome(&issuer, &clock).await, Ok(()));
}

#[tokio::test]
async fn r7517_5_2_the_key_set_comes_as_200_of_any_type_without_redirects() {
    let (idp, clock) = idp().await;
    let issuer = idp.issuer_at("/tenant");
    let jwks = issuer.jwks().to_string();
    let answer = |status: StatusCode, content_type: &'static str, body: String| {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().insert(header::LOCATION, idp.jwks_uri().parse().unwrap());
        response
    };
    for (name, response, expected) in [
        ("a redirect", answer(StatusCode::FOUND, "application/json", String::new()), K::Refused),
        ("an error", answer(StatusCode::BAD_GATEWAY, "application/json", jwks.clone()), K::Refused),
        ("unauthorized", answer(StatusCode::UNAUTHORIZED, "application/json", jwks.clone()), K::Refused),
        ("HTML", answer(StatusCode::OK, "text/html", "<html></html>".to_owned()), K::DocumentInvalid),
        ("too long", answer(StatusCode::OK, "application/json", " ".repeat(600 * 1024)), K::Refused),
        ("no key set", answer(StatusCode::OK, "application/json", "{}".to_owned()), K::DocumentInvalid),
        ("no keys", answer(StatusCode::OK, "application/json", r#"{"keys":[]}"#.to_owned()), K::NoUsableKey),
    ] {
        issuer.answer_with(Endpoint::Jwks, response);
        assert_eq!(outcome(&issuer, &clock).await, Err(expected), "{name}");
    }
    assert_eq!(idp.requests(Endpoint::Jwks), 0, "a redirect was followed");
    for media_type in ["application/jwk-set+json", "text/plain", "binary/octet-stream"] {
        issuer.answer_with(Endpoint::Jwks, answer(StatusCode::OK, media_type, jwks.clone()));
        assert_eq!(outcome(&issuer, &clock).await, Ok(()), "{media_type}");
    }
}
