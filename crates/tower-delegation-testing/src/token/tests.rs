use base64::Engine as _;

use super::*;
use crate::{
    TestClock,
    idp::MockIdp,
    keys::{ALGORITHMS, from_base64url},
};

const NOW: i64 = 1_800_000_000;

fn issuer() -> MockIssuer {
    let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
    let builder = MockIdp::builder().clock(clock).audience("https://orders.example.com");
    MockIssuer::new(&builder, "http://127.0.0.1:1".to_owned(), None)
}

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&from_base64url(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

/// Does the published key that the header names verify the token?
fn verifies(issuer: &MockIssuer, token: &str) -> bool {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let kid = part(token, 0)["kid"].as_str().unwrap().to_owned();
    let key = lock(&issuer.inner.ring).published(&kid);
    key.is_some_and(|key| key.verifies(message.as_bytes(), &from_base64url(signature).unwrap()))
}

#[test]
fn defaults_follow_rfc_9068() {
    let issuer = issuer();
    let token = issuer.token().sign();
    assert_eq!(part(&token, 0), json!({ "alg": "ES256", "kid": "es256-1", "typ": "at+jwt" }));
    let mut claims = part(&token, 1);
    let jti = claims["jti"].take();
    assert_ne!(jti, part(&issuer.token().sign(), 1)["jti"]);
    assert_eq!(
        claims,
        json!({
            "iss": "http://127.0.0.1:1",
            "sub": "alice",
            "aud": "https://orders.example.com",
            "client_id": "test-client",
            "iat": NOW,
            "exp": NOW + 300,
            "jti": null,
        })
    );
    assert!(verifies(&issuer, &token));
}

#[test]
fn everything_can_be_said() {
    let at = |seconds| Timestamp::from_unix_seconds(NOW + seconds);
    let token = issuer()
        .token()
        .subject("bob")
        .client("shop-web")
        .audiences(["a", "b"])
        .scopes(["orders:read", "orders:refund"])
        .actor("copilot")
        .earlier_actor("planner")
        .earlier_actor("gateway")
        .issued_at(at(-10))
        .expires_in(Duration::from_secs(30))
        .not_before(at(-5))
        .auth_time(at(-60))
        .acr("urn:example:mfa")
        .amr(["pwd", "otp"])
        .session("s1")
        .token_id("t1")
        .claim("tenant", json!({ "id": 7 }))
        .without("iss")
        .typ("application/at+jwt")
        .header("x", 1)
        .without_header("kid")
        .sign();
    assert_eq!(part(&token, 0), json!({ "alg": "ES256", "typ": "application/at+jwt", "x": 1 }));
    assert_eq!(
        part(&token, 1),
        json!({
            "sub": "bob",
            "client_id": "shop-web",
            "aud": ["a", "b"],
            "scope": "orders:read orders:refund",
            "act": { "sub": "copilot", "act": { "sub": "planner", "act": { "sub": "gateway" } } },
            "iat": NOW - 10,
            "exp": NOW + 20,
            "nbf": NOW - 5,
            "auth_time": NOW - 60,
            "acr": "urn:example:mfa",
            "amr": ["pwd", "otp"],
            "sid": "s1",
            "jti": "t1",
            "tenant": { "id": 7 },
        })
    );
}

#[test]
fn one_audience_is_a_string_and_none_an_empty_array() {
    let aud = |audiences: &[&str]| {
        part(&issuer().token().audiences(audiences.iter().copied()).sign(), 1)["aud"].clone()
    };
    assert_eq!(aud(&["a"]), json!("a"));
    assert_eq!(aud(&[]), json!([]));
}

#[test]
fn keys_of_other_algorithms_are_published_when_a_token_asks() {
    let issuer = issuer();
    assert_eq!(issuer.key_ids(), ["es256-1"]);
    for algorithm in ALGORITHMS {
        let token = issuer.token().algorithm(algorithm).sign();
        assert_eq!(part(&token, 0)["alg"], algorithm.as_str());
        assert!(verifies(&issuer, &token), "{algorithm}");
    }
    assert_eq!(issuer.key_ids().len(), ALGORITHMS.len());
}

#[test]
fn the_key_is_the_one_that_key_id_names() {
    let issuer = issuer();
    issuer.rotate_keys();
    let old = issuer.token().key_id("es256-1").sign();
    assert!(verifies(&issuer, &old));
    let unknown = issuer.token().key_id("nobody").sign();
    assert_eq!(part(&unknown, 0)["kid"], "nobody");
    let crossed = issuer.token().key_id("es256-1").algorithm(Algorithm::EdDsa).sign();
    assert_eq!(part(&crossed, 0), json!({ "alg": "EdDSA", "kid": "es256-1", "typ": "at+jwt" }));
    assert!(!verifies(&issuer, &crossed));

    issuer.withdraw_old_keys();
    assert!(!verifies(&issuer, &issuer.token().key_id("es256-1").sign()));
    assert!(verifies(&issuer, &issuer.token().sign()));
}

#[test]
fn forgeries_do_not_verify() {
    let issuer = issuer();
    let token = || issuer.token();
    for (name, forged, alg) in [
        ("another key", token().sign_with_other_key(), "ES256"),
        ("another rsa key", token().algorithm(Algorithm::Rs256).sign_with_other_key(), "RS256"),
        ("tampered payload", token().tamper_payload(), "ES256"),
        ("tampered signature", token().tamper_signature(), "ES256"),
        ("zero signature", token().signature([0; 64]), "ES256"),
        ("unsigned", token().unsigned(), "none"),
        ("unsigned, odd spelling", token().unsigned_as("nOnE"), "nOnE"),
        ("key confusion", token().hmac_with_public_key(), "HS256"),
    ] {
        let forged = forged.sign();
        assert_eq!(part(&forged, 0)["alg"], alg, "{name}");
        assert!(!verifies(&issuer, &forged), "{name}");
    }
}

#[test]
fn a_tampered_payload_is_another_subjects() {
    let issuer = issuer();
    assert_eq!(part(&issuer.token().tamper_payload().sign(), 1)["sub"], "mallory");
    let odd = issuer.token().claims_json("[]").tamper_payload().sign();
    assert_eq!(odd.split('.').nth(1).unwrap(), base64url("[] "));
}

#[test]
fn the_confused_secret_is_the_pem_of_the_public_key() {
    let issuer = issuer();
    let forged = issuer.token().algorithm(Algorithm::Rs256).hmac_with_public_key().sign();
    let pem = lock(&issuer.inner.ring).current(Algorithm::Rs256).public_pem();
    // It is what it claims to be: the same key verifies through it.
    let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(lines.iter().all(|line| line.len() <= 64), "{pem}");
    let der = base64::engine::general_purpose::STANDARD.decode(lines.concat()).unwrap();
    let algorithm = &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, der);
    public.verify(b"message", &issuer.sign_bytes(Algorithm::Rs256, b"message")).unwrap();

    let (message, signature) = forged.rsplit_once('.').unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, pem.as_bytes());
    let signature = from_base64url(signature).unwrap();
    aws_lc_rs::hmac::verify(&key, message.as_bytes(), &signature).unwrap();
}

#[test]
fn raw_parts_are_signed_as_they_are() {
    let issuer = issuer();
    let payload = r#"{"sub":"a","sub":"b"}"#;
    let token = issuer.token().claims_json(payload).sign();
    assert_eq!(token.split('.').nth(1).unwrap(), base64url(payload));
    assert!(verifies(&issuer, &token));

    let header = r#"{"alg":"ES256","kid":"es256-1","kid":"es256-1"}"#;
    let token = issuer.token().header_json(header).sign();
    assert_eq!(token.split('.').next().unwrap(), base64url(header));
    assert!(verifies(&issuer, &token));
}

#[test]
fn id_tokens_and_logout_tokens_are_of_their_kind() {
    let issuer = issuer();
    let id = issuer.id_token().client("shop-web").for_access_token("x").sign();
    assert!(verifies(&issuer, &id));
    assert_eq!(part(&id, 0)["typ"], "JWT");
    let claims = part(&id, 1);
    assert_eq!((&claims["aud"], &claims["azp"]), (&json!("shop-web"), &json!("shop-web")));
    assert!(claims["nonce"].is_string() && claims.get("client_id").is_none());
    // The left 128 of 256 bits.
    assert_eq!(from_base64url(claims["at_hash"].as_str().unwrap()).unwrap().len(), 16);

    let logout = issuer.logout_token().client("shop-web").session("s1").without("sub").sign();
    assert!(verifies(&issuer, &logout));
    assert_eq!(part(&logout, 0)["typ"], "logout+jwt");
    let claims = part(&logout, 1);
    assert_eq!(claims["events"], json!({ LOGOUT_EVENT: {} }));
    assert_eq!(claims["sid"], "s1");
    assert!(claims.get("sub").is_none() && claims.get("nonce").is_none());
}

/// The example of OpenID Connect Core 1.0 appendix A.3.
#[test]
fn at_hash_is_half_of_the_hash_of_the_algorithm() {
    let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    assert_eq!(at_hash(Algorithm::Rs256, token), "77QmUPtjPfzWtF2AnpK9RQ");
    for (algorithm, bytes) in [(Algorithm::Es384, 24), (Algorithm::EdDsa, 32), (Algorithm::Ed25519, 32)] {
        assert_eq!(from_base64url(&at_hash(algorithm, token)).unwrap().len(), bytes, "{algorithm}");
    }
}

#[test]
fn debug_shows_no_signature_and_no_key() {
    let shown = format!("{:?}", issuer().token().signature(*b"secret"));
    assert!(shown.starts_with("TokenBuilder { issuer: "), "{shown}");
    assert!(!shown.contains("signature") && !shown.contains("115"), "{shown}");
}
