//! Bad input: one table of status, code, challenge and reason.

use std::time::Duration;

use axum::body::Body;
use http::{Request, header::AUTHORIZATION};
use integration_tests::{AUDIENCE, Answer, AuditLog};
use proptest::prelude::*;
use reqwest::Method;
use serde_json::json;
use tower::ServiceExt as _;
use tower_delegation::{DenialReason as R, Rejection, clock::Clock as _};
use tower_delegation_testing::{ALGORITHMS, Algorithm, TokenBuilder};

use crate::{World, whoami};

const MISSING: &str = r#"Bearer realm="api""#;
const INVALID_REQUEST: &str = r#"Bearer realm="api", error="invalid_request", error_description="Send exactly one access token, in the Authorization header""#;
const INVALID_TOKEN: &str = r#"Bearer realm="api", error="invalid_token", error_description="The access token is expired, revoked, malformed or not valid here""#;

/// A change to a good token that spoils it.
type Spoil = fn(&World, TokenBuilder) -> TokenBuilder;

#[tokio::test]
async fn a_spoiled_token_is_401_and_the_reason_stays_with_the_operator() {
    let rows: &[(&str, Spoil, R)] = &[
        ("forged: another key, same kid", |_, t| t.sign_with_other_key(), R::SignatureInvalid),
        ("payload changed", |_, t| t.tamper_payload(), R::SignatureInvalid),
        ("signature changed", |_, t| t.tamper_signature(), R::SignatureInvalid),
        ("empty signature", |_, t| t.signature([]), R::SignatureInvalid),
        ("zero signature", |_, t| t.signature([0; 64]), R::SignatureInvalid),
        ("DER length signature", |_, t| t.signature([0x30; 71]), R::SignatureInvalid),
        ("alg none", |_, t| t.unsigned(), R::AlgorithmNotAllowed),
        ("alg nOnE", |_, t| t.unsigned_as("nOnE"), R::AlgorithmNotAllowed),
        ("HMAC with the public key", |_, t| t.hmac_with_public_key(), R::AlgorithmNotAllowed),
        ("alg of another key type", |_, t| t.header("alg", "RS256"), R::KeyMismatch),
        ("alg is a number", |_, t| t.header("alg", 1), R::HeaderMalformed),
        ("typ JWT", |_, t| t.typ("JWT"), R::TypeNotAccepted),
        ("no typ", |_, t| t.without_header("typ"), R::TypeNotAccepted),
        ("typ of an ID-JAG", |_, t| t.typ("oauth-id-jag+jwt"), R::TypeNotAccepted),
        ("typ of a DPoP proof", |_, t| t.typ("dpop+jwt"), R::TypeNotAccepted),
        ("typ of a security event", |_, t| t.typ("secevent+jwt"), R::TypeNotAccepted),
        ("ID token", |w, _| w.idp.id_token().audience(AUDIENCE), R::TypeNotAccepted),
        ("logout token", |w, _| w.idp.logout_token().audience(AUDIENCE), R::TypeNotAccepted),
        (
            "logout token dressed up",
            |w, _| {
                w.idp
                    .logout_token()
                    .subject("alice")
                    .client("shop-web")
                    .expires_in(Duration::from_secs(60))
                    .typ("at+jwt")
                    .audience(AUDIENCE)
            },
            R::NotAnAccessToken,
        ),
        ("crit, unknown", |_, t| t.header("crit", json!(["x"])).header("x", 1), R::CriticalHeader),
        ("crit, empty", |_, t| t.header("crit", json!([])), R::CriticalHeader),
        ("crit, malformed", |_, t| t.header("crit", "exp"), R::CriticalHeader),
        ("b64 false", |_, t| t.header("b64", false).header("crit", json!(["b64"])), R::UnencodedPayload),
        ("cty JWT", |_, t| t.header("cty", "JWT"), R::NestedToken),
        ("kid of nobody", |_, t| t.key_id("nobody"), R::KeyUnknown),
        ("kid is a path", |_, t| t.key_id("../../etc/passwd"), R::KeyUnknown),
        ("kid is a number", |_, t| t.header("kid", 1), R::HeaderMalformed),
        ("kid too long", |_, t| t.key_id("k".repeat(300)), R::HeaderMalformed),
        ("header replica differs", |_, t| t.header("sub", "mallory"), R::HeaderClaimMismatch),
        ("header too large", |_, t| t.header("x", "a".repeat(5000)), R::HeaderTooLarge),
        ("header is an array", |_, t| t.header_json("[]"), R::HeaderMalformed),
        (
            "duplicate header member",
            |_, t| t.header_json(r#"{"alg":"ES256","alg":"ES256","typ":"at+jwt"}"#),
            R::DuplicateMember,
        ),
        ("payload is an array", |_, t| t.claims_json("[]"), R::TokenMalformed),
        ("payload is no JSON", |_, t| t.claims_json("{"), R::TokenMalformed),
        ("payload is not UTF-8", |_, t| t.claims_json(*b"{\"sub\":\"\xff\"}"), R::TokenMalformed),
        ("duplicate claim", |_, t| t.claims_json(r#"{"sub":"alice","sub":"admin"}"#), R::DuplicateMember),
        ("duplicate in act", |_, t| t.claims_json(r#"{"x":{"sub":"a","sub":"b"}}"#), R::DuplicateMember),
        (
            "deep JSON",
            |_, t| t.claims_json(format!("{{\"x\":{}{}}}", "[".repeat(40), "]".repeat(40))),
            R::StructureTooLarge,
        ),
        (
            "wide JSON",
            |_, t| {
                t.claims_json(format!(
                    "{{{}}}",
                    (0..300).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(",")
                ))
            },
            R::StructureTooLarge,
        ),
        ("iss missing", |_, t| t.without("iss"), R::ClaimMissing),
        ("iss of a stranger", |_, t| t.issuer("https://evil.example"), R::IssuerUnknown),
        ("iss with a slash", |w, t| t.issuer(format!("{}/", w.idp.issuer())), R::IssuerUnknown),
        ("iss is an array", |w, t| t.claim("iss", json!([w.idp.issuer()])), R::ClaimMalformed),
        ("iss is null", |_, t| t.claim("iss", json!(null)), R::ClaimMalformed),
        ("sub missing", |_, t| t.without("sub"), R::ClaimMissing),
        ("sub empty", |_, t| t.subject(""), R::ClaimMalformed),
        ("client_id missing", |_, t| t.without("client_id"), R::ClaimMissing),
        ("jti missing", |_, t| t.without("jti"), R::ClaimMissing),
        ("iat missing", |_, t| t.without("iat"), R::ClaimMissing),
        ("exp missing", |_, t| t.without("exp"), R::ClaimMissing),
        ("exp is a string", |_, t| t.claim("exp", "9999999999"), R::ClaimMalformed),
        (
            "expired",
            |w, t| t.expires_at(w.clock.now().saturating_sub(Duration::from_secs(31))),
            R::TokenExpired,
        ),
        (
            "nbf ahead",
            |w, t| t.not_before(w.clock.now().saturating_add(Duration::from_secs(31))),
            R::TokenNotYetValid,
        ),
        ("nbf is a string", |_, t| t.claim("nbf", "0"), R::ClaimMalformed),
        (
            "iat ahead",
            |w, t| t.issued_at(w.clock.now().saturating_add(Duration::from_secs(31))),
            R::TokenFromFuture,
        ),
        ("aud missing", |_, t| t.without("aud"), R::ClaimMissing),
        ("aud of another API", |_, t| t.audience("https://billing.example.com"), R::AudienceMismatch),
        ("aud with a slash", |_, t| t.audience(format!("{AUDIENCE}/")), R::AudienceMismatch),
        ("aud a prefix", |_, t| t.audience("https://orders.example.com.evil.example"), R::AudienceMismatch),
        ("aud is a number", |_, t| t.claim("aud", 1), R::ClaimMalformed),
        ("aud holds a number", |_, t| t.claim("aud", json!([AUDIENCE, 1])), R::ClaimMalformed),
        ("aud empty", |_, t| t.claim("aud", json!([])), R::AudienceMismatch),
        ("scope is an array", |_, t| t.claim("scope", json!(["orders:read"])), R::ClaimMalformed),
        ("scope with two spaces", |_, t| t.claim("scope", "a  b"), R::ClaimMalformed),
        ("act is a string", |_, t| t.claim("act", "copilot"), R::ActorMalformed),
        ("act is null", |_, t| t.claim("act", json!(null)), R::ActorMalformed),
        ("act is empty", |_, t| t.claim("act", json!({})), R::ActorMalformed),
        ("act without a subject", |_, t| t.claim("act", json!({"client_id": "copilot"})), R::ActorMalformed),
        ("inner act is malformed", |_, t| t.claim("act", json!({"sub": "a", "act": []})), R::ActorMalformed),
        (
            "nine actors",
            |_, t| (0..8).fold(t.actor("a0"), |t, n| t.earlier_actor(format!("a{}", n + 1))),
            R::ActorChainTooLong,
        ),
        (
            "cnf bound to DPoP",
            |_, t| t.claim("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
            R::ConfirmationUnsupported,
        ),
        (
            "cnf bound to mTLS",
            |_, t| t.claim("cnf", json!({"x5t#S256": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
            R::ConfirmationUnsupported,
        ),
        ("cnf unknown", |_, t| t.claim("cnf", json!({"magic": 1})), R::ConfirmationUnsupported),
        ("cnf empty", |_, t| t.claim("cnf", json!({})), R::ConfirmationMalformed),
        ("cnf is null", |_, t| t.claim("cnf", json!(null)), R::ConfirmationMalformed),
        ("cnf is an array", |_, t| t.claim("cnf", json!([])), R::ConfirmationMalformed),
    ];
    let world = World::new().await;
    let audit = AuditLog::listen();
    let service = world.serve(world.layer()).await;
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
    let _ = audit.take();
    for (name, spoil, reason) in rows {
        let token = spoil(&world, world.token()).sign();
        let answer = service.get("/", &token).await;
        let event = audit.one();
        assert_eq!(event.field("reason"), reason.code(), "{name}");
        assert_eq!(event.field("decision"), "deny", "{name}");
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"), "{name}");
        assert_eq!(answer.challenge(), INVALID_TOKEN, "{name}");
        assert!(!answer.body.contains(reason.code()), "{name}: {}", answer.body);
    }
    assert_eq!(service.get("/", &world.token().sign()).await.status, 200);
}

#[tokio::test]
async fn a_spoiled_presentation_has_its_status_code_and_challenge() {
    let world = World::new().await;
    let good = world.token().sign();
    let (head, tail) = good.split_at(good.len() - 1);
    let padded = format!("{good}=");
    let spelled_otherwise = format!("{head}{}", if tail == "A" { "B" } else { next_letter(tail) });
    type Row = (&'static str, Vec<String>, &'static str, u16, &'static str, &'static str, R);
    let rows: Vec<Row> = vec![
        ("nothing", vec![], "/", 401, "missing_credentials", MISSING, R::CredentialsMissing),
        (
            "Basic",
            vec!["Basic dXNlcjpwYXNz".into()],
            "/",
            401,
            "missing_credentials",
            MISSING,
            R::CredentialsMissing,
        ),
        (
            "Bearer and nothing",
            vec!["Bearer".into()],
            "/",
            400,
            "invalid_request",
            INVALID_REQUEST,
            R::CredentialsMalformed,
        ),
        (
            "scheme without a separator",
            vec![format!("Bearer{good}")],
            "/",
            401,
            "missing_credentials",
            MISSING,
            R::CredentialsMissing,
        ),
        (
            "two fields",
            vec![format!("Bearer {good}"), format!("Bearer {good}")],
            "/",
            400,
            "invalid_request",
            INVALID_REQUEST,
            R::CredentialsMultiple,
        ),
        (
            "two schemes",
            vec![format!("Bearer {good}"), "Basic dXNlcjpwYXNz".into()],
            "/",
            400,
            "invalid_request",
            INVALID_REQUEST,
            R::CredentialsMultiple,
        ),
        (
            "a list",
            vec![format!("Bearer {good}, Bearer {good}")],
            "/",
            400,
            "invalid_request",
            INVALID_REQUEST,
            R::CredentialsMalformed,
        ),
        (
            "two tokens",
            vec![format!("Bearer {good} {good}")],
            "/",
            400,
            "invalid_request",
            INVALID_REQUEST,
            R::CredentialsMalformed,
        ),
        (
            "tab",
            vec![format!("Bearer\t{good}")],
            "/",
            400,
            "invalid_request",
            INVALID_REQUEST,
            R::CredentialsMalformed,
        ),
        (
            "bad character",
            vec![format!("Bearer {good}!")],
            "/",
            400,
            "invalid_request",
            INVALID_REQUEST,
            R::CredentialsMalformed,
        ),
        ("query", vec![], "/?access_token=x", 400, "invalid_request", INVALID_REQUEST, R::TokenInQuery),
        (
            "query beside the field",
            vec![format!("Bearer {good}")],
            "/?a=b&access_token=x",
            400,
            "invalid_request",
            INVALID_REQUEST,
            R::TokenInQuery,
        ),
        (
            "DPoP",
            vec![format!("DPoP {good}")],
            "/",
            401,
            "missing_credentials",
            MISSING,
            R::SchemeUnsupported,
        ),
        ("not a JWT", vec!["Bearer abc".into()], "/", 401, "invalid_token", INVALID_TOKEN, R::TokenMalformed),
        (
            "padding",
            vec![format!("Bearer {padded}")],
            "/",
            401,
            "invalid_token",
            INVALID_TOKEN,
            R::TokenMalformed,
        ),
        (
            "another spelling of the same bytes",
            vec![format!("Bearer {spelled_otherwise}")],
            "/",
            401,
            "invalid_token",
            INVALID_TOKEN,
            R::TokenMalformed,
        ),
        (
            "standard alphabet",
            vec!["Bearer a+b/c.e30.AAAA".into()],
            "/",
            401,
            "invalid_token",
            INVALID_TOKEN,
            R::TokenMalformed,
        ),
        (
            "encrypted",
            vec!["Bearer e30.e30.e30.e30.e30".into()],
            "/",
            401,
            "invalid_token",
            INVALID_TOKEN,
            R::TokenEncrypted,
        ),
        (
            "too large",
            vec![format!("Bearer {}", "a".repeat(20_000))],
            "/",
            401,
            "invalid_token",
            INVALID_TOKEN,
            R::TokenTooLarge,
        ),
    ];
    let audit = AuditLog::listen();
    let service = world.serve(world.layer()).await;
    for (name, fields, path, status, code, challenge, reason) in rows {
        let mut request = service.request(Method::GET, path);
        for field in &fields {
            request = request.header(AUTHORIZATION, field);
        }
        let answer = Answer::of(request).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}");
        assert_eq!(answer.challenge(), challenge, "{name}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{name}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{name}");
        assert_eq!(audit.one().field("reason"), reason.code(), "{name}");
    }
}

/// The letter whose six bits differ from `letter`'s only in the lowest one, which an
/// ES256 signature's 86th character leaves unused.
fn next_letter(letter: &str) -> &'static str {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = ALPHABET.find(letter).unwrap() ^ 1;
    &ALPHABET[index..=index]
}

#[tokio::test]
async fn the_form_body_is_never_read_for_a_token() {
    let world = World::new().await;
    let service = world.serve(world.layer()).await;
    let request = service.request(Method::POST, "/").form(&[("access_token", world.token().sign())]);
    assert_eq!(Answer::of(request).await.code(), "missing_credentials");
}

#[tokio::test]
async fn one_megabyte_in_process_is_refused_by_its_length() {
    let world = World::new().await;
    let service = whoami().layer(world.layer().build().unwrap());
    let request = Request::get("/")
        .header(AUTHORIZATION, format!("Bearer {}", "a".repeat(1 << 20)))
        .body(Body::empty())
        .unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    let rejection = response.extensions().get::<Rejection>().unwrap();
    assert_eq!(rejection.reason(), R::TokenTooLarge);
    assert_eq!(world.idp.requests(tower_delegation_testing::Endpoint::Jwks), 0);
}

#[tokio::test]
async fn every_algorithm_is_accepted_and_only_those_that_the_issuer_may_use() {
    use tower_delegation::jwks::SignatureAlgorithm;
    let world = World::new().await;
    let service = world.serve(world.layer()).await;
    let narrow = world.layer();
    let narrow = {
        let issuer = world.issuer().algorithms([SignatureAlgorithm::Es256]);
        drop(narrow);
        tower_delegation::DelegationLayer::builder()
            .add_issuer(issuer)
            .clock(world.clock.clone())
            .build()
            .unwrap()
    };
    let narrow = integration_tests::Served::start(whoami().layer(narrow)).await;
    // Keys are published when they are first used; the burst of the fetch budget is three.
    let tokens: Vec<_> = ALGORITHMS.iter().map(|alg| (*alg, world.token().algorithm(*alg).sign())).collect();
    for (algorithm, token) in tokens {
        let answer = service.get("/", &token).await;
        assert_eq!(answer.status, 200, "{algorithm:?}: {}", answer.body);
        let only = u16::from(algorithm == Algorithm::Es256);
        assert_eq!(narrow.get("/", &token).await.status, 401 - only * 201, "{algorithm:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// No panic and no 5xx, whatever stands in the field.
    #[test]
    fn strangers_never_cause_a_5xx(
        field in prop_oneof![
            "[ -~\t]{0,80}",
            "(?i)bearer[ \t]{0,3}[A-Za-z0-9_.~+/=-]{0,200}",
            "Bearer [A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}",
        ],
        query in "[a-z_=&%0-9]{0,40}",
    ) {
        let layer = tower_delegation::DelegationLayer::builder()
            .add_issuer(
                tower_delegation::TrustedIssuer::discover("https://idp.example.com").unwrap().add_audience(AUDIENCE),
            )
            .build()
            .unwrap();
        let request = Request::get(format!("/?{query}")).header(AUTHORIZATION, field).body(Body::empty());
        let Ok(request) = request else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(whoami().layer(layer).oneshot(request)).unwrap();
        prop_assert!(response.status().is_client_error(), "{}", response.status());
    }
}
