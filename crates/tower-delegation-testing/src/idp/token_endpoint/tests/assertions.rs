use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{ALGORITHMS, Algorithm, AssertionBuilder, ClientAuthMethod, ClientKey};

const BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
const WORKLOAD: &str = "spiffe://example.org/ns/shop/sa/gateway";

/// Asks for a token with this assertion, and `more` in the form.
async fn present(idp: &MockIssuer, kind: &str, assertion: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_assertion_type", kind),
        ("client_assertion", assertion),
    ];
    form.extend(more);
    let answer = http().post(idp.token_endpoint()).form(&form).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn assertions_of_every_algorithm_authenticate_once() {
    let (idp, clock) = idp().await;
    for algorithm in ALGORITHMS {
        let key = ClientKey::of(algorithm).clock(clock.clone());
        idp.register(MockClient::new("shop").private_key_jwt(&key));
        let assertion = key.assertion("shop", idp.issuer()).sign();
        let (status, answer) = present(&idp, BEARER, &assertion, &[]).await;
        assert_eq!(status, 200, "{algorithm}: {answer}");
        assert_eq!(claims(&answer["access_token"])["sub"], "shop");
        let seen = idp.last_token_request().unwrap();
        assert_eq!(seen.client_auth_method(), Some(ClientAuthMethod::PrivateKeyJwt));
        assert!(!format!("{seen:?}").contains(&assertion));
        let (status, answer) = present(&idp, BEARER, &assertion, &[]).await;
        assert_eq!((status, &answer["error"]), (401, &json!("invalid_client")), "{algorithm} again");
        assert_eq!(answer["error_description"], "the assertion was used before");
    }
}

#[tokio::test]
async fn assertions_are_refused_for_their_own_reasons() {
    let (idp, clock) = idp().await;
    let key = ClientKey::generate().clock(clock.clone());
    let other = ClientKey::generate().clock(clock.clone());
    idp.register(MockClient::new("shop").private_key_jwt(&key));
    idp.register(MockClient::new("secretive").secret("s"));
    let good = || key.assertion("shop", idp.issuer());
    let rows: [(&str, AssertionBuilder, &str); 21] = [
        ("another key", good().sign_with(&other), "no key of the client verifies the assertion"),
        (
            "a key that is not registered",
            other.assertion("shop", idp.issuer()),
            "no key of the client verifies the assertion",
        ),
        ("unknown client", key.assertion("nobody", idp.issuer()), "unknown client"),
        (
            "a client without keys",
            key.assertion("secretive", idp.issuer()),
            "no key of the client verifies the assertion",
        ),
        ("no subject", good().without("sub"), "the assertion names no subject"),
        ("another issuer", good().claim("iss", "secretive"), "the assertion has another iss"),
        ("no issuer", good().without("iss"), "the assertion has another iss"),
        ("another audience", good().claim("aud", "https://as.example"), "the assertion has another aud"),
        ("the token endpoint", good().claim("aud", idp.token_endpoint()), "the assertion has another aud"),
        ("an array", good().claim("aud", json!([idp.issuer()])), "the assertion has another aud"),
        ("no audience", good().without("aud"), "the assertion has another aud"),
        ("expired", good().expires_in(Duration::ZERO), "the assertion is expired, or not valid yet"),
        ("no expiry", good().without("exp"), "the assertion is expired, or not valid yet"),
        ("not yet valid", good().claim("nbf", NOW + 1), "the assertion is expired, or not valid yet"),
        ("of the future", good().claim("iat", NOW + 1), "the assertion is from the future"),
        ("no time of issue", good().claim("iat", "now"), "the assertion is from the future"),
        ("too long", good().expires_in(Duration::from_secs(601)), "the assertion is good for too long"),
        ("no jti", good().without("jti"), "the assertion has no jti"),
        ("an access token", good().header("typ", "at+jwt"), "the assertion has another typ"),
        ("an odd typ", good().header("typ", 1), "no key of the client verifies the assertion"),
        ("another algorithm", good().header("alg", "RS256"), "no key of the client verifies the assertion"),
    ];
    for (name, assertion, description) in rows {
        let (status, answer) = present(&idp, BEARER, &assertion.sign(), &[]).await;
        assert_eq!((status, &answer["error"]), (401, &json!("invalid_client")), "{name}");
        assert_eq!(answer["error_description"], description, "{name}");
    }
    for (name, typ) in
        [("no typ", None), ("JWT", Some("JWT")), ("its own", Some("client-authentication+jwt"))]
    {
        let assertion = match typ {
            Some(typ) => good().header("typ", typ),
            None => good().without_header("typ"),
        };
        let (status, _) = present(&idp, BEARER, &assertion.sign(), &[]).await;
        assert_eq!(status, 200, "{name}");
    }
}

#[tokio::test]
async fn an_assertion_is_the_only_authentication_of_its_request() {
    let (idp, clock) = idp().await;
    let key = ClientKey::generate().clock(clock.clone());
    idp.register(MockClient::new("shop").private_key_jwt(&key).secret("s"));
    let good = || key.assertion("shop", idp.issuer()).sign();
    for (name, kind, more, expected) in [
        ("its client_id", BEARER, &[("client_id", "shop")][..], (200, Value::Null)),
        ("another client_id", BEARER, &[("client_id", "reader")], (400, json!("invalid_request"))),
        ("a secret, too", BEARER, &[("client_secret", "s")], (400, json!("invalid_request"))),
        ("another type", "urn:x", &[], (401, json!("invalid_client"))),
        ("the type of a JWT-SVID", SPIFFE, &[], (401, json!("invalid_client"))),
        ("no type", "", &[], (400, json!("invalid_request"))),
    ] {
        let (status, answer) = present(&idp, kind, &good(), more).await;
        assert_eq!((status, answer["error"].clone()), expected, "{name}");
    }
    // A key that was put in the place of another one.
    idp.register(MockClient::new("shop").private_key_jwt(&ClientKey::of(Algorithm::Ps256)));
    assert_eq!(present(&idp, BEARER, &good(), &[]).await.0, 401);
}

#[tokio::test]
async fn another_audience_is_accepted_where_it_is_said() {
    let (idp, clock) = idp().await;
    let key = ClientKey::generate().clock(clock.clone());
    idp.register(MockClient::new("shop").private_key_jwt(&key));
    idp.accept_assertion_audience(idp.token_endpoint());
    for (audience, expected) in
        [(idp.token_endpoint(), 200), (idp.issuer().to_owned(), 200), ("https://as.example".to_owned(), 401)]
    {
        let assertion = key.assertion("shop", &audience).sign();
        assert_eq!(present(&idp, BEARER, &assertion, &[]).await.0, expected, "{audience}");
    }
}

#[tokio::test]
async fn a_workload_authenticates_by_its_jwt_svid() {
    let (idp, clock) = idp().await;
    let spire = ClientKey::generate().clock(clock.clone());
    let mut bundle = spire.jwks();
    bundle["keys"][0]["use"] = "jwt-svid".into();
    idp.trust_spiffe_keys("example.org", &bundle);
    idp.register(MockClient::new("gateway").spiffe_jwt(WORKLOAD));
    let good = || spire.jwt_svid(WORKLOAD, idp.issuer());
    for (name, svid) in [
        ("as it is", good()),
        ("without typ", good().without_header("typ")),
        ("JOSE", good().header("typ", "JOSE")),
        ("one audience as text", good().claim("aud", idp.issuer())),
    ] {
        // No jti: it may be used again until it expires.
        let svid = svid.sign();
        for _ in 0..2 {
            let (status, answer) = present(&idp, SPIFFE, &svid, &[("client_id", "gateway")]).await;
            assert_eq!(status, 200, "{name}: {answer}");
            assert_eq!(claims(&answer["access_token"])["client_id"], "gateway", "{name}");
        }
        let seen = idp.last_token_request().unwrap();
        assert_eq!(seen.client_auth_method(), Some(ClientAuthMethod::SpiffeJwt), "{name}");
    }

    let stranger = ClientKey::generate().clock(clock.clone());
    for (name, svid) in [
        ("another key", good().sign_with(&stranger)),
        ("another workload", spire.jwt_svid("spiffe://example.org/ns/shop/sa/stock", idp.issuer())),
        ("another trust domain", spire.jwt_svid("spiffe://example.com/ns/shop/sa/gateway", idp.issuer())),
        ("no SPIFFE ID", spire.jwt_svid("gateway", idp.issuer())),
        ("another audience", spire.jwt_svid(WORKLOAD, "https://as.example")),
        ("two audiences", good().claim("aud", json!([idp.issuer(), "https://as.example"]))),
        ("no audience", good().without("aud")),
        ("expired", good().expires_in(Duration::ZERO)),
        ("too long", good().expires_in(Duration::from_secs(601))),
        ("another typ", good().header("typ", "at+jwt")),
    ] {
        let (status, answer) = present(&idp, SPIFFE, &svid.sign(), &[]).await;
        assert_eq!((status, &answer["error"]), (401, &json!("invalid_client")), "{name}");
    }
    let (status, _) = present(&idp, SPIFFE, &good().sign(), &[("client_id", "reader")]).await;
    assert_eq!(status, 400, "client_id names another client");
    bundle["keys"][0]["use"] = "x509-svid".into();
    idp.trust_spiffe_keys("example.org", &bundle);
    assert_eq!(present(&idp, SPIFFE, &good().sign(), &[]).await.0, 401, "not a key for JWT-SVIDs");
}
