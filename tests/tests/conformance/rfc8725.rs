//! Best current practices for tokens (RFC 8725 and its successor in the making).

use serde_json::json;
use tower_delegation::{
    DelegationLayer, DenialReason as R, Requirement, TrustedIssuer,
    clock::Timestamp,
    context::RequestFacts,
    error::ConfigError,
    issuer::{Grants, KindCheck},
    jwks::{AlgorithmSet, KeySet, SignatureAlgorithm as A, SkipReason},
};
use tower_delegation_testing::{ALGORITHMS, Algorithm, Endpoint, MockIdp, TestClock, TokenBuilder};

use crate::site::{AUDIENCE, NOW, Site, base64url, provider, trusted};

#[tokio::test]
async fn r8725_3_1_1_only_the_algorithms_of_the_configuration() {
    let allowed = [A::Es256, A::Ps256, A::Ed25519];
    let site = Site::with_terms(|issuer| issuer.algorithms(allowed)).await;
    for algorithm in ALGORITHMS {
        let expected = if allowed.iter().any(|one| one.as_str() == algorithm.as_str()) {
            None
        } else {
            Some(R::AlgorithmNotAllowed)
        };
        let token = site.idp.token().algorithm(algorithm);
        assert_eq!(site.refusal(&token.clone().sign()).await, expected, "{algorithm}");
        assert_eq!(site.refusal(&token.without_header("kid").sign()).await, expected, "{algorithm}");
    }
}

#[test]
fn r8725_3_1_1_names_have_a_case_and_there_must_be_one() {
    for name in ["es256", "Es256", "ES256 ", "EDDSA", "ed25519", "none", "HS256", ""] {
        assert_eq!(A::from_name(name), None, "{name:?}");
    }
    let jwks =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let issuer =
        || TrustedIssuer::with_static_keys("https://idp.example.com", jwks).unwrap().add_audience(AUDIENCE);
    let built = DelegationLayer::builder().add_issuer(issuer().algorithms([])).build();
    assert!(matches!(built, Err(ConfigError::NoAlgorithm { .. })));
}

/// The header says what the configuration allows, and the key is for another name.
#[tokio::test]
async fn r8725_3_1_2_a_key_is_used_with_its_one_algorithm() {
    let site = Site::new().await;
    for (says, kid) in
        [("RS256", "ps256-1"), ("PS256", "rs256-1"), ("EdDSA", "ed25519-1"), ("ES256", "es384-1")]
    {
        let token = site.idp.token().key_id(kid).header("alg", says).sign();
        assert_eq!(site.refusal(&token).await, Some(R::KeyMismatch), "{says} with {kid}");
    }
}

#[tokio::test]
async fn r8725_3_2_1_none_is_never_secure() {
    // Not even where every algorithm is allowed: `none` is not one.
    let site = Site::with_terms(|issuer| issuer.algorithms(A::ALL.iter().copied())).await;
    for spelling in ["none", "None", "NONE", "nOnE", "none ", "\u{0}none"] {
        let token = site.idp.token().unsigned_as(spelling);
        assert_eq!(site.refusal(&token.clone().sign()).await, Some(R::AlgorithmNotAllowed), "{spelling:?}");
        let signed = site.idp.token().header("alg", spelling).sign();
        assert_eq!(site.refusal(&signed).await, Some(R::AlgorithmNotAllowed), "{spelling:?}");
    }
}

/// Whatever is wrong with the signature, nothing of the token is believed.
#[tokio::test]
async fn r8725_3_3_1_any_failure_of_the_signature_refuses_the_token() {
    let site = Site::new().await;
    for algorithm in ALGORITHMS {
        let token = || site.idp.token().algorithm(algorithm);
        for (name, token) in [
            ("another key", token().sign_with_other_key()),
            ("one bit", token().tamper_signature()),
            ("the payload", token().tamper_payload()),
            ("nothing", token().signature([])),
            ("zeros", token().signature([0; 64])),
            ("too long", token().signature([1; 1024])),
        ] {
            assert_eq!(site.refusal(&token.sign()).await, Some(R::SignatureInvalid), "{algorithm}: {name}");
        }
        // Longer than any signature is.
        let token = token().signature(vec![1; 1025]).sign();
        assert_eq!(site.refusal(&token).await, Some(R::TokenMalformed), "{algorithm}");
    }
}

#[test]
fn r8725_3_4_1_points_off_the_curve_are_no_keys() {
    let jwks = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "kid": "k",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5aw",
    }]});
    let set = KeySet::parse(jwks.to_string().as_bytes(), AlgorithmSet::ALL).unwrap();
    assert_eq!(set.skipped()[0].reason, SkipReason::KeyInvalid);
}

#[tokio::test]
async fn r8725_3_5_1_no_symmetric_keys_at_all() {
    let jwks =
        json!({ "keys": [{ "kty": "oct", "k": base64url("correct horse battery staple"), "kid": "k" }] });
    let issuer = TrustedIssuer::with_static_keys("https://idp.example.com", &jwks.to_string());
    assert!(matches!(issuer, Err(ConfigError::InvalidKeySet { .. })));
    let site = Site::new().await;
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::Ed25519] {
        let token = site.idp.token().algorithm(algorithm).hmac_with_public_key();
        assert_eq!(site.refusal(&token.clone().sign()).await, Some(R::AlgorithmNotAllowed), "{algorithm}");
        let disguised = token.header("alg", algorithm.as_str()).sign();
        assert_eq!(site.refusal(&disguised).await, Some(R::SignatureInvalid), "{algorithm}");
    }
}

#[tokio::test]
async fn r8725_3_7_1_utf_8_in_header_and_claims() {
    let site = Site::new().await;
    let utf16: Vec<u8> = site.claims().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let good = site.claims();
    let latin1 = [b"{\"x\":\"gr\xfcn\",", &good.as_bytes()[1..]].concat();
    for claims in [utf16, latin1] {
        let token = site.idp.token().header_json(site.header()).claims_json(claims).sign();
        assert_eq!(site.refusal(&token).await, Some(R::TokenMalformed));
    }
    let token = site.idp.token().subject("gr\u{fc}n\u{1f600}").sign();
    assert_eq!(site.verify(&token).await.unwrap().subject().id().as_str(), "gr\u{fc}n\u{1f600}");
}

#[tokio::test]
async fn r8725_3_8_1_the_keys_are_the_issuers_own() {
    let site = Site::new().await;
    let stranger = MockIdp::start().await;
    for (name, token) in [
        ("a stranger's own token", stranger.token().audience(AUDIENCE)),
        ("ours, said to be a stranger's", site.idp.token().issuer(stranger.issuer())),
        ("nobody's", site.idp.token().issuer("")),
        // No issuer: before any key is looked for, whatever the signature.
        ("unknown, with a bad signature", site.idp.token().issuer("https://evil.example").tamper_signature()),
    ] {
        assert_eq!(site.refusal(&token.sign()).await, Some(R::IssuerUnknown), "{name}");
    }
    let token = stranger.token().audience(AUDIENCE).issuer(site.idp.issuer()).sign();
    assert_eq!(site.refusal(&token).await, Some(R::SignatureInvalid));
    assert_eq!(site.refusal(&site.idp.token().without("iss").sign()).await, Some(R::ClaimMissing));
    assert_eq!(stranger.requests(Endpoint::Jwks) + stranger.requests(Endpoint::Discovery), 0);
}

#[tokio::test]
async fn r8725_3_8_2_a_subject_is_issuer_and_id() {
    let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
    let idp = provider(&clock).await;
    let (a, b) = (idp.issuer_at("/a"), idp.issuer_at("/b"));
    let layer = DelegationLayer::builder()
        .clock(clock)
        .add_issuer(trusted(a.issuer(), &a.jwks().to_string()).may_grant(Grants::all()))
        .add_issuer(trusted(b.issuer(), &b.jwks().to_string()).may_grant(Grants::all()))
        .build()
        .unwrap();
    let verify = async |token: TokenBuilder| layer.authenticator().verify(&token.sign()).await.unwrap();
    let (first, second) = (verify(a.token()).await, verify(b.token()).await);
    assert_eq!(first.subject().id(), second.subject().id());
    assert_ne!(first.subject(), second.subject());
    // An actor that another issuer vouches for is another actor.
    let own = verify(a.token().actor("copilot")).await;
    let foreign = verify(a.token().claim("act", json!({ "sub": "copilot", "iss": b.issuer() }))).await;
    // With issuers of two namespaces a rule says whose name it is.
    let demand = Requirement::new().issuer(a.issuer()).actor("copilot");
    assert!(own.authorize(&demand, &RequestFacts::none()).is_ok());
    let denied = foreign.authorize(&demand, &RequestFacts::none()).unwrap_err();
    assert_eq!(denied.reason(), R::ActorNotAllowed);
}

#[tokio::test]
async fn r8725_3_9_1_the_audience_must_be_there_and_the_configuration_must_name_one() {
    let site = Site::new().await;
    assert_eq!(site.refusal(&site.idp.token().without("aud").sign()).await, Some(R::ClaimMissing));
    let jwks = site.idp.jwks().to_string();
    let issuer = || TrustedIssuer::with_static_keys(site.idp.issuer(), &jwks).unwrap();
    let built = DelegationLayer::builder().add_issuer(issuer()).build();
    assert!(matches!(built, Err(ConfigError::NoAudience { .. })));
    let built = DelegationLayer::builder().add_issuer(issuer().add_audience("")).build();
    assert!(matches!(built, Err(ConfigError::EmptyAudience { .. })));
}

/// A `kid` is compared with the kids of the set and is put nowhere else.
#[tokio::test]
async fn r8725_3_10_1_a_hostile_kid_is_an_unknown_kid() {
    let site = Site::new().await;
    for kid in [
        "../../../dev/null",
        "es256-1/../es256-1",
        "' OR '1'='1",
        "es256-1'; DROP TABLE keys; --",
        "http://127.0.0.1/key",
        "$(id)",
        "%00",
        "es256-1\r\nX: y",
        "\u{202e}1-652se",
        "{\"kid\":\"es256-1\"}",
    ] {
        assert_eq!(
            site.refusal(&site.idp.token().header("kid", kid).sign()).await,
            Some(R::KeyUnknown),
            "{kid:?}"
        );
    }
}

/// `typ` of the kinds that an issuer signs with the same keys.
const OTHER_KINDS: &[&str] = &[
    "logout+jwt",
    "secevent+jwt",
    "dpop+jwt",
    "txntoken+jwt",
    "oauth-id-jag+jwt",
    "oauth-authz-req+jwt",
    "token-introspection+jwt",
    "client-authentication+jwt",
    "statuslist+jwt",
    "jwt-grant+jwt",
    "vc+sd-jwt",
    "dc+sd-jwt",
    "kb+jwt",
    "entity-statement+jwt",
    "wit+jwt",
    "rt+jwt",
    "at+jwt2",
    "at+jws",
    "at",
    "JOSE",
    "JOSE+JSON",
    "JWE",
    "jwt+at",
    "application/logout+jwt",
    "application/at",
];

#[tokio::test]
async fn r8725_3_11_1_and_3_12_1_other_kinds_of_token_are_refused() {
    let strict = Site::new().await;
    // The opt-out for `typ: JWT` does not open the door to kinds that say what they are.
    let lenient = Site::with_terms(|issuer| issuer.accept_generic_type(KindCheck::not_an_id_token())).await;
    for site in [&strict, &lenient] {
        for typ in OTHER_KINDS {
            assert_eq!(
                site.refusal(&site.idp.token().typ(*typ).sign()).await,
                Some(R::TypeNotAccepted),
                "{typ}"
            );
        }
    }
    // RFC 7515 section 4.1.9: `application/` may be left out, and need not be.
    for typ in ["JWT", "jwt", "application/JWT", "application/jwt"] {
        assert_eq!(
            strict.refusal(&strict.idp.token().typ(typ).sign()).await,
            Some(R::TypeNotAccepted),
            "{typ}"
        );
        assert_eq!(lenient.refusal(&lenient.idp.token().typ(typ).sign()).await, None, "{typ}");
    }
    let untyped = |site: &Site| site.idp.token().without_header("typ").sign();
    assert_eq!(strict.refusal(&untyped(&strict)).await, Some(R::TypeNotAccepted));
    assert_eq!(lenient.refusal(&untyped(&lenient)).await, None);
}

/// A kind is told by `typ` and, failing that, by the check of the
/// configuration; the token has no say in which rules apply to it.
#[tokio::test]
async fn r8725_3_12_1_kinds_without_typ_are_told_by_the_check() {
    let check = KindCheck::not_an_id_token().and(KindCheck::claim_equals("token_use", "access"));
    let site = Site::with_terms(|issuer| issuer.accept_generic_type(check)).await;
    let generic = || site.idp.token().typ("JWT").claim("token_use", "access");
    assert_eq!(site.refusal(&generic().sign()).await, None);
    for (name, token) in [
        ("without the claim", generic().without("token_use")),
        ("an ID token", generic().claim("token_use", "id")),
        ("the claim is a list", generic().claim("token_use", json!(["access"]))),
        ("nonce", generic().claim("nonce", "n")),
        ("nonce, null", generic().claim("nonce", json!(null))),
        ("at_hash", generic().claim("at_hash", "x")),
        ("c_hash", generic().claim("c_hash", "x")),
        ("events", generic().claim("events", json!({}))),
        ("a logout token without typ", site.idp.logout_token().without_header("typ").audience(AUDIENCE)),
        ("an ID token for us", site.idp.id_token().audience(AUDIENCE)),
    ] {
        assert_eq!(site.refusal(&token.sign()).await, Some(R::NotAnAccessToken), "{name}");
    }
    // A token that says `at+jwt` has to meet the profile, not the check.
    assert_eq!(site.refusal(&site.idp.token().sign()).await, None);
    // Security events are none, whatever their `typ`.
    let event = site.idp.token().claim("events", json!({ "x": {} })).sign();
    assert_eq!(site.refusal(&event).await, Some(R::NotAnAccessToken));
}

#[tokio::test]
async fn r8725bis_2_3_1_and_3_13_encrypted_tokens_are_refused() {
    let site = Site::new().await;
    for header in [
        r#"{"alg":"RSA-OAEP-256","enc":"A256GCM"}"#,
        r#"{"alg":"dir","enc":"A128GCM","typ":"at+jwt","cty":"JWT"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAA"}"#,
        r#"{"alg":"ES256","kid":"es256-1","typ":"at+jwt"}"#,
    ] {
        let five = format!("{}.AAAA.AAAA.AAAA.AAAA", base64url(header));
        assert_eq!(site.refusal(&five).await, Some(R::TokenEncrypted), "{header}");
    }
    // An algorithm of encryption in three parts is no algorithm of signatures.
    for alg in ["RSA-OAEP-256", "RSA1_5", "dir", "ECDH-ES", "A256GCMKW", "PBES2-HS256+A128KW"] {
        let token = site.idp.token().header("alg", alg).header("enc", "A256GCM").sign();
        assert_eq!(site.refusal(&token).await, Some(R::AlgorithmNotAllowed), "{alg}");
    }
}

#[tokio::test]
async fn r8725bis_3_14_1_the_serialization_comes_first() {
    let site = Site::new().await;
    let good = site.idp.token().sign();
    for token in [
        format!("{good}\n"),
        format!(" {good}"),
        format!("{good}~"),
        format!("{good}~disclosure~"),
        good.replacen('.', "..", 1),
        good.replacen('.', "\u{2024}", 1),
        good.replace('.', "%2E"),
        format!("\"{good}\""),
        format!("Bearer {good}"),
    ] {
        assert_eq!(site.refusal(&token).await, Some(R::TokenMalformed), "{token}");
    }
}

#[tokio::test]
async fn r8725bis_3_15_1_compression_is_refused() {
    let site = Site::new().await;
    for zip in [json!("DEF"), json!("def"), json!(null), json!(1)] {
        let token = site.idp.token().header("zip", zip.clone()).sign();
        assert_eq!(site.refusal(&token).await, Some(R::HeaderMalformed), "{zip}");
    }
}
