//! Bearer tokens in requests (RFC 6750) and challenges in answers (RFC 9110 section 11).

use http::{HeaderValue, Method, Request, StatusCode, header};
use tower_delegation::{
    DelegationLayer, DenialReason, Requirement, TrustedIssuer,
    context::RequestFacts,
    error::ConfigError,
    jwks::{KeyFetch, KeyRequest, KeySource, KeySourceErrorKind},
    rejection::Challenge,
};

use crate::site::{AUDIENCE, Challenge as Parsed, Site, send};

/// A body that nobody can read: it is not even a body.
struct Unreadable;

#[tokio::test]
async fn r6750_2_1_more_than_one_method_is_a_bad_request() {
    let site = Site::new().await;
    let token = site.idp.token().sign();
    let bearer = format!("Bearer {token}");
    let query = format!("/orders?access_token={token}");
    for (name, uri, fields) in [
        ("two fields", "/", vec![bearer.as_str(), bearer.as_str()]),
        ("two fields, the other of another scheme", "/", vec![&bearer, "Basic dXNlcjpwYXNz"]),
        ("two fields, the other empty", "/", vec![&bearer, ""]),
        ("field and query", &query, vec![&bearer]),
        ("field and query, which is empty", "/?access_token=", vec![&bearer]),
    ] {
        let mut request = Request::get(uri).body(()).unwrap();
        for field in fields {
            request.headers_mut().append(header::AUTHORIZATION, field.parse().unwrap());
        }
        let answer = site.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
        assert_eq!(answer.error(), Some("invalid_request"), "{name}");
    }
}

/// The body is never read, so a token in a form beside the field goes unseen
/// and the field alone decides: the price of a decision before the body.
#[tokio::test]
async fn r6750_2_1_a_form_beside_the_field_is_not_read() {
    let site = Site::new().await;
    let bearer = format!("Bearer {}", site.idp.token().token_id("by-field").sign());
    let request = Request::post("/")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", bearer)
        .body(Unreadable)
        .unwrap();
    assert_eq!(site.send(request).await.token_id(), Some("by-field"));
}

#[tokio::test]
async fn r6750_2_1_1_the_scheme_has_no_case() {
    let site = Site::new().await;
    let token = site.idp.token().sign();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_eq!(site.get(&format!("{scheme} {token}")).await.status, StatusCode::OK, "{scheme}");
    }
}

#[tokio::test]
async fn r6750_2_1_2_credentials_are_one_b64token() {
    let site = Site::new().await;
    let token = site.idp.token().sign();
    for spaces in [" ", "  ", "     "] {
        assert_eq!(site.get(&format!("Bearer{spaces}{token}")).await.status, StatusCode::OK, "{spaces:?}");
    }
    for (name, credentials) in [
        ("two tokens", format!(" {token} {token}")),
        ("a list", format!(" {token}, {token}")),
        ("a list of credentials", format!(" {token}, Bearer {token}")),
        ("the scheme twice", format!(" Bearer {token}")),
        ("nothing behind the scheme", String::new()),
        ("a space behind the scheme", " ".to_owned()),
        ("spaces behind the scheme", "    ".to_owned()),
        ("a comma behind", format!(" {token},")),
        ("a space behind", format!(" {token} ")),
        ("a tab", format!("\t{token}")),
        ("a space and a tab", format!(" \t{token}")),
        ("a quoted string", format!(" \"{token}\"")),
        ("a parameter", format!(" token={token}")),
        ("a bad character", " abc!".to_owned()),
        ("padding inside", " a=b".to_owned()),
        ("nothing but padding", " ==".to_owned()),
        ("percent-encoded", " a%2Eb".to_owned()),
        ("JSON", r#" {"payload":"","signature":""}"#.to_owned()),
        ("a comma instead of the space", format!(",{token}")),
        ("an equals sign instead of the space", format!("={token}")),
    ] {
        let answer = site.get(&format!("Bearer{credentials}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
        assert_eq!(answer.error(), Some("invalid_request"), "{name}");
    }
    let not_ascii = HeaderValue::from_bytes(b"Bearer a\xe9").unwrap();
    let answer = site.send(Request::get("/").header("authorization", not_ascii).body(()).unwrap()).await;
    assert_eq!((answer.status, answer.error()), (StatusCode::BAD_REQUEST, Some("invalid_request")));
    // A b64token may end in `=`; a JWT may not.
    let answer = site.get(&format!("Bearer {token}=")).await;
    assert_eq!((answer.status, answer.error()), (StatusCode::UNAUTHORIZED, Some("invalid_token")));
}

#[tokio::test]
async fn r6750_2_1_2_and_3_what_is_no_bearer_token_is_no_credentials() {
    let site = Site::new().await;
    let token = site.idp.token().sign();
    for (name, field) in [
        ("another scheme with a list", r#"Digest username="a, Bearer b", realm="c""#.to_owned()),
        ("no separator", format!("Bearer{token}")),
        ("another scheme", "Basic dXNlcjpwYXNz".to_owned()),
        ("another scheme with the token", format!("Token {token}")),
        ("no scheme", token),
        ("a scheme that begins alike", "Bearers abc".to_owned()),
        ("empty", String::new()),
    ] {
        let answer = site.get(&field).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(answer.error(), None, "{name}");
    }
}

#[tokio::test]
async fn r6750_2_1_4_the_field_is_supported_whatever_the_method() {
    let site = Site::new().await;
    let bearer = format!("Bearer {}", site.idp.token().sign());
    for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::OPTIONS] {
        let request = |fields: &[&str]| {
            let mut request = Request::builder().method(&method).uri("/").body(()).unwrap();
            for field in fields {
                request.headers_mut().append("authorization", field.parse().unwrap());
            }
            request
        };
        assert_eq!(site.send(request(&[&bearer])).await.status, StatusCode::OK, "{method}");
        assert_eq!(site.send(request(&[])).await.status, StatusCode::UNAUTHORIZED, "{method}");
    }
}

#[tokio::test]
async fn r6750_2_2_1_a_form_or_json_body_is_no_credential() {
    let site = Site::new().await;
    for content_type in ["application/x-www-form-urlencoded", "application/json", "multipart/form-data"] {
        for method in [Method::POST, Method::PUT, Method::GET] {
            let request = Request::builder().method(method).header("content-type", content_type);
            let answer = site.send(request.body(Unreadable).unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{content_type}");
            assert_eq!(answer.error(), None, "{content_type}");
        }
    }
}

#[tokio::test]
async fn r6750_2_3_1_a_token_in_the_query_is_refused() {
    let site = Site::new().await;
    let token = site.idp.token().sign();
    for query in [
        format!("access_token={token}"),
        format!("a=1&access_token={token}"),
        format!("access_token={token}&access_token={token}"),
        format!("access%5Ftoken={token}"),
        format!("%61ccess_token={token}"),
        "access_token=".to_owned(),
        "access_token".to_owned(),
        "&&access_token=x&".to_owned(),
    ] {
        let request = Request::get(format!("/orders?{query}")).body(()).unwrap();
        let answer = site.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.error(), Some("invalid_request"), "{query}");
    }
    for query in ["q=access_token", "access_tokens=1", "xaccess_token=1", "Access_Token=1"] {
        let request = Request::get(format!("/?{query}")).header("authorization", format!("Bearer {token}"));
        assert_eq!(site.send(request.body(()).unwrap()).await.status, StatusCode::OK, "{query}");
    }
}

#[tokio::test]
async fn r6750_3_1_every_401_has_one_challenge_with_a_parameter() {
    let site = Site::new().await;
    let expired = site
        .idp
        .token()
        .expires_in(std::time::Duration::ZERO)
        .issued_at(tower_delegation::clock::Timestamp::from_unix_seconds(1));
    for (name, field) in [
        ("none", String::new()),
        ("another scheme", "Basic dXNlcjpwYXNz".to_owned()),
        ("garbage", "Bearer garbage".to_owned()),
        ("expired", format!("Bearer {}", expired.sign())),
        ("forged", format!("Bearer {}", site.idp.token().tamper_signature().sign())),
        ("DPoP", format!("DPoP {}", site.idp.token().sign())),
    ] {
        let answer = site.get(&field).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(answer.challenge().scheme, "Bearer", "{name}");
        assert_eq!(answer.challenge().parameters["realm"], "api", "{name}");
    }
}

/// RFC 6750 section 3: quoted values hold `%x20-21 / %x23-5B / %x5D-7E`, and
/// what comes from outside and does not fit is dropped, never escaped.
#[test]
fn r6750_3_4_untrusted_text_does_not_get_into_a_challenge() {
    for value in [
        "a\"b",
        "a\\b",
        "a\\\"b",
        "a\rb",
        "a\nb",
        "a\r\nSet-Cookie: x=1",
        "a\tb",
        "a\0b",
        "a\u{7f}b",
        "gr\u{fc}n",
        "\u{2028}",
    ] {
        for name in ["realm", "scope", "error", "error_description", "error_uri"] {
            let challenge = Challenge::new("Bearer").parameter(name, value).parameter("algs", "ES256");
            let parsed = Parsed::parse(challenge.to_value().to_str().unwrap());
            assert_eq!(parsed.len(), 1);
            assert_eq!(parsed[0].parameters.len(), 1, "{name} {value:?}");
        }
    }
    // Everything that is allowed comes through unchanged.
    let all: String = (0x20..=0x7e_u8).map(char::from).filter(|c| !matches!(c, '"' | '\\')).collect();
    let challenge = Challenge::new("Bearer").parameter("error_description", &all);
    assert_eq!(Parsed::parse(challenge.to_value().to_str().unwrap())[0].parameters["error_description"], all);
}

#[test]
fn r6750_3_4_a_realm_that_cannot_be_quoted_is_a_configuration_error() {
    for realm in ["", "a\"b", "a\\b", "a\nb", "gr\u{fc}n"] {
        let jwks =
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let issuer = TrustedIssuer::with_static_keys("https://idp.example.com", jwks).unwrap();
        let built = DelegationLayer::builder().add_issuer(issuer.add_audience(AUDIENCE)).realm(realm).build();
        assert!(matches!(built, Err(ConfigError::InvalidRealm { .. })), "{realm:?}");
    }
}

#[tokio::test]
async fn r6750_3_1_1_without_credentials_there_is_no_error() {
    let site = Site::with(|issuer| issuer, |layer| layer.realm("orders")).await;
    let answer = site.send(Request::get("/").body(()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let names: Vec<_> = answer.challenge().parameters.iter().collect();
    assert_eq!(names, [(&"realm".to_owned(), &"orders".to_owned())]);
}

#[tokio::test]
async fn r6750_3_1_3_a_bad_token_is_invalid_and_the_client_hears_no_more() {
    let site = Site::new().await;
    let token = || site.idp.token();
    let rows = [
        ("expired", token().claim("exp", 1)),
        ("for somebody else", token().audience("https://stock.example.com")),
        ("of another issuer", token().issuer("https://evil.example")),
        ("forged", token().sign_with_other_key()),
        ("unsigned", token().unsigned()),
        ("an ID token", site.idp.id_token()),
        ("with a malformed actor", token().claim("act", "bot")),
        ("bound to a key", token().claim("cnf", serde_json::json!({ "jkt": "x" }))),
    ];
    let mut seen = Vec::new();
    for (name, token) in rows {
        let answer = site.get(&format!("Bearer {}", token.sign())).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(answer.error(), Some("invalid_token"), "{name}");
        seen.push((answer.challenges, answer.body));
    }
    assert!(seen.iter().all(|answer| *answer == seen[0]), "the answers differ");
}

#[tokio::test]
async fn r6750_3_1_4_too_little_scope_names_the_scope_that_is_needed() {
    let site = Site::new().await;
    let delegation = site.verify(&site.idp.token().scopes(["orders:read"]).sign()).await.unwrap();
    let demand = Requirement::new().scopes(["orders:read", "orders:refund"]);
    let rejection = delegation.authorize(&demand, &RequestFacts::none()).unwrap_err();
    assert_eq!(rejection.reason(), DenialReason::ScopeMissing);
    assert_eq!(rejection.status(), StatusCode::FORBIDDEN);
    let challenge = rejection.challenges().next().unwrap().to_value();
    let parameters = &Parsed::parse(challenge.to_str().unwrap())[0].parameters;
    assert_eq!(parameters["error"], "insufficient_scope");
    // 6750-3-3: scope-tokens with one space between.
    assert_eq!(parameters["scope"], "orders:read orders:refund");
    assert!(parameters["scope"].split(' ').all(|scope| !scope.is_empty()));
    // 6750-3-3: what is no scope-token never gets that far.
    for scope in ["", "a b", "a\"b", "a\\b", "a\nb", "gr\u{fc}n"] {
        assert!(Requirement::new().scope(scope).checked().is_err(), "{scope:?}");
    }
}

#[tokio::test]
async fn r6750_3_1_5_what_more_scope_cannot_cure_has_no_error() {
    let site = Site::new().await;
    let delegation = site.verify(&site.idp.token().actor("bot").sign()).await.unwrap();
    for demand in [
        Requirement::new().client("another-client"),
        Requirement::new().actor("another-bot"),
        Requirement::new().not_delegated(),
        Requirement::new().issuer("https://another.example"),
        // More scope would not help, so it is not asked for.
        Requirement::new().scope("orders:refund").not_delegated(),
    ] {
        let rejection = delegation.authorize(&demand, &RequestFacts::none()).unwrap_err();
        assert_eq!(rejection.status(), StatusCode::FORBIDDEN, "{demand:?}");
        let challenge = rejection.challenges().next().unwrap().to_value();
        let parameters = &Parsed::parse(challenge.to_str().unwrap())[0].parameters;
        assert!(!parameters.contains_key("error") && !parameters.contains_key("scope"), "{demand:?}");
    }
}

#[derive(Debug)]
struct Outage;

impl KeySource for Outage {
    fn fetch<'a>(&'a self, _request: KeyRequest<'a>) -> KeyFetch<'a> {
        Box::pin(async { Err(KeySourceErrorKind::Unreachable.into()) })
    }
}

#[tokio::test]
async fn r6750_3_1_6_an_outage_of_ours_is_503() {
    let site = Site::new().await;
    let issuer = TrustedIssuer::with_key_source(site.idp.issuer(), Outage).unwrap().add_audience(AUDIENCE);
    let layer = DelegationLayer::builder().add_issuer(issuer).build().unwrap();
    for token in [site.idp.token().sign(), site.idp.token().sign_with_other_key().sign()] {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let answer = send(&layer, request.body(()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.challenges.is_empty());
        assert!(answer.headers.contains_key(header::RETRY_AFTER));
    }
}

#[tokio::test]
async fn r6750_5_3_1_refusals_are_not_cached() {
    let site = Site::new().await;
    for field in ["", "Bearer a b", "Bearer garbage"] {
        assert_eq!(site.get(field).await.headers[header::CACHE_CONTROL], "no-store", "{field:?}");
    }
}

#[tokio::test]
async fn r6750_5_3_2_no_token_in_debug_output_or_answers() {
    let site = Site::new().await;
    let good = site.idp.token().token_id("very-secret-id").sign();
    let bad = site.idp.token().claim("exp", 1).sign();
    let delegation = site.verify(&good).await.unwrap();
    let rejection = site.authenticator().verify(&bad).await.unwrap_err();
    let answer = site.get(&format!("Bearer {bad}")).await;
    let shown = format!(
        "{delegation:?} {rejection:?} {rejection} {:?} {:?} {:?}",
        site.layer, answer.headers, answer.body
    );
    for token in [&good, &bad] {
        assert!(token.split('.').all(|part| !shown.contains(part)), "{shown}");
    }
}

/// One field line with one challenge: what every parser understands.
#[tokio::test]
async fn r9110_11_6_1_one_challenge_in_one_field() {
    let site = Site::new().await;
    for field in ["", "Bearer a b", "Bearer garbage", "DPoP x"] {
        let answer = site.get(field).await;
        assert_eq!(answer.headers.get_all(header::WWW_AUTHENTICATE).iter().count(), 1, "{field:?}");
        assert_eq!(answer.challenges.len(), 1, "{field:?}");
    }
}

#[test]
fn r9110_11_6_1_2_values_are_quoted_strings() {
    let challenge = Challenge::new("Bearer").parameter("realm", "a, b=c").parameter("max_age", "5");
    assert_eq!(challenge.to_value(), r#"Bearer realm="a, b=c", max_age="5""#);
    assert_eq!(Parsed::parse(challenge.to_value().to_str().unwrap())[0].parameters["realm"], "a, b=c");
}

/// A scheme that the service is not configured for is refused, not served as something else.
#[tokio::test]
async fn r9449_7_1_the_dpop_scheme_is_refused_unless_configured() {
    let site = Site::new().await;
    let token = site.idp.token().sign();
    for field in [format!("DPoP {token}"), format!("dpop {token}"), "DPoP".to_owned()] {
        let answer = site.get(&field).await;
        assert_eq!((answer.status, answer.error()), (StatusCode::UNAUTHORIZED, None));
    }
}
