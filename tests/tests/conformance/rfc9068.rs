//! The profile of access tokens (RFC 9068).

use serde_json::json;
use tower_delegation::{
    DenialReason as R, Requirement, SubjectKind, TrustedIssuer, context::RequestFacts, error::ConfigError,
    issuer::KindCheck, jwks::SignatureAlgorithm as A,
};
use tower_delegation_testing::{Algorithm, USER_CLAIM};

use crate::site::{AUDIENCE, NOW, Site};

#[tokio::test]
async fn r9068_2_1_1_typ_is_at_jwt() {
    let site = Site::new().await;
    for typ in ["at+jwt", "application/at+jwt", "AT+JWT", "Application/At+Jwt"] {
        assert_eq!(site.refusal(&site.idp.token().typ(typ).sign()).await, None, "{typ}");
    }
    for typ in
        ["JWT", "jwt", "application/jwt", "at+jwt+x", "xat+jwt", "at+JWT;v=1", "at", "", "application/"]
    {
        assert_eq!(site.refusal(&site.idp.token().typ(typ).sign()).await, Some(R::TypeNotAccepted), "{typ}");
    }
    assert_eq!(site.refusal(&site.idp.token().without_header("typ").sign()).await, Some(R::TypeNotAccepted));
}

#[tokio::test]
async fn r9068_2_1_1_the_opt_out_keeps_the_rest_of_the_profile() {
    let site = Site::with_terms(|issuer| issuer.accept_generic_type(KindCheck::not_an_id_token())).await;
    let generic = || site.idp.token().typ("JWT");
    assert_eq!(site.refusal(&generic().sign()).await, None);
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert_eq!(site.refusal(&generic().without(name).sign()).await, Some(R::ClaimMissing), "{name}");
    }
    assert_eq!(site.refusal(&generic().claim("nonce", "n").sign()).await, Some(R::NotAnAccessToken));
    assert_eq!(site.refusal(&generic().audience("test-client").sign()).await, Some(R::AudienceMismatch));
}

#[tokio::test]
async fn r9068_2_1_2_rs256_is_supported_and_none_is_not() {
    let site = Site::new().await;
    assert_eq!(site.refusal(&site.idp.token().algorithm(Algorithm::Rs256).sign()).await, None);
    assert_eq!(site.refusal(&site.idp.token().unsigned().sign()).await, Some(R::AlgorithmNotAllowed));
    assert!(
        A::ALL.iter().all(|algorithm| !algorithm.as_str().starts_with("HS") && algorithm.as_str() != "none")
    );
}

#[tokio::test]
async fn r9068_2_2_1_seven_claims_are_required() {
    let site = Site::new().await;
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let claims = site.claims_but(name, "");
        assert_eq!(site.refusal(&site.jws(&site.header(), &claims)).await, Some(R::ClaimMissing), "{name}");
        // Another name, spelling or place is not the claim.
        for more in [format!(r#""{}":"x""#, name.to_uppercase()), format!(r#""x":{{"{name}":"x"}}"#)] {
            let claims = site.claims_but(name, &more);
            assert_eq!(
                site.refusal(&site.jws(&site.header(), &claims)).await,
                Some(R::ClaimMissing),
                "{more}"
            );
        }
    }
    assert_eq!(site.refusal(&site.jws(&site.header(), "{}")).await, Some(R::ClaimMissing));
    // `azp` and `cid` stand in for nothing.
    let claims = site.claims_but("client_id", r#""azp":"shop-web","cid":"shop-web","appid":"shop-web""#);
    assert_eq!(site.refusal(&site.jws(&site.header(), &claims)).await, Some(R::ClaimMissing));
}

#[tokio::test]
async fn r9068_2_2_1_1_authentication_claims_are_optional_and_typed() {
    let site = Site::new().await;
    let token = site.idp.token().claim("auth_time", NOW - 60).acr("2").amr(["pwd", "otp"]).sign();
    let delegation = site.verify(&token).await.unwrap();
    assert_eq!(delegation.auth_time().unwrap().unwrap().unix_seconds(), NOW - 60);
    assert_eq!(delegation.acr().unwrap(), Some("2"));
    assert_eq!(delegation.amr().unwrap().collect::<Vec<_>>(), ["pwd", "otp"]);
    // What no rule demands refuses nothing; it is not known, which is not absent.
    let mfa = Requirement::new().acr("2");
    let recent = Requirement::new().max_authentication_age(std::time::Duration::from_secs(600));
    for (name, value, demand) in [
        ("auth_time", json!("1800000000"), Some(&recent)),
        ("auth_time", json!("2027-01-15T08:00:00Z"), Some(&recent)),
        ("acr", json!(2), Some(&mfa)),
        ("acr", json!(["2"]), Some(&mfa)),
        ("amr", json!("pwd"), None),
        ("amr", json!([["pwd"]]), None),
        ("amr", json!([null]), None),
    ] {
        let token = site.idp.token().claim(name, value.clone()).sign();
        let delegation = site.verify(&token).await.unwrap();
        let errors = [delegation.auth_time().is_err(), delegation.acr().is_err(), delegation.amr().is_err()];
        assert_eq!(errors, [name == "auth_time", name == "acr", name == "amr"], "{name} {value}");
        if let Some(demand) = demand {
            let denied = delegation.authorize(demand, &RequestFacts::none()).unwrap_err();
            assert_eq!(denied.reason(), R::FactMalformed, "{name} {value}");
        }
    }
    for name in ["auth_time", "acr", "amr"] {
        let null = site.verify(&site.idp.token().claim(name, json!(null)).sign()).await.unwrap();
        assert_eq!(null.auth_time().unwrap(), None, "{name} null");
        assert_eq!((null.acr().unwrap(), null.amr().unwrap().count()), (None, 0), "{name} null");
    }
    let without = site.verify(&site.idp.token().sign()).await.unwrap();
    assert_eq!(
        (without.auth_time().unwrap(), without.acr().unwrap(), without.amr().unwrap().count()),
        (None, None, 0)
    );
}

#[tokio::test]
async fn r9068_2_2_3_1_scope_is_a_string_with_single_spaces() {
    let site = Site::new().await;
    let scopes = async |value: serde_json::Value| {
        let verified = site.verify(&site.idp.token().claim("scope", value).sign()).await;
        verified.map(|delegation| delegation.scopes().iter().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(scopes(json!("a")).await.unwrap(), ["a"]);
    assert_eq!(scopes(json!("orders:read profile x/y")).await.unwrap(), ["orders:read", "profile", "x/y"]);
    assert!(scopes(json!("")).await.unwrap().is_empty());
    for value in [
        json!(["a"]),
        json!(["a", "b"]),
        json!([]),
        json!(null),
        json!(1),
        json!({ "a": true }),
        json!(" "),
        json!(" a"),
        json!("a "),
        json!("a  b"),
        json!("a\tb"),
        json!("a\nb"),
        json!("a\"b"),
        json!("a\\b"),
        json!("gr\u{fc}n"),
        json!("a\u{a0}b"),
    ] {
        assert_eq!(scopes(value.clone()).await.unwrap_err(), R::ClaimMalformed, "{value}");
    }
    // Membership is exact.
    let delegation = site.verify(&site.idp.token().scopes(["orders:read"]).sign()).await.unwrap();
    for scope in ["orders", "orders:", "orders:read:all", "orders:*", "Orders:Read", "read"] {
        let denied =
            delegation.authorize(&Requirement::new().scope(scope), &RequestFacts::none()).unwrap_err();
        assert_eq!(denied.reason(), R::ScopeMissing, "{scope}");
    }
}

/// Nothing but `scope` grants a scope.
#[tokio::test]
async fn r9068_2_2_3_1_1_groups_roles_and_others_are_no_scopes() {
    let site = Site::new().await;
    let demand = Requirement::new().scope("admin");
    for name in ["groups", "roles", "entitlements", "permissions", "scp", "scopes", "may_act", "authorities"]
    {
        for value in [json!("admin"), json!(["admin"]), json!([{ "value": "admin" }])] {
            let token = site.idp.token().claim(name, value.clone()).sign();
            let delegation = site.verify(&token).await.unwrap();
            assert!(delegation.scopes().is_empty(), "{name} {value}");
            let denied = delegation.authorize(&demand, &RequestFacts::none()).unwrap_err();
            assert_eq!(denied.reason(), R::ScopeMissing, "{name} {value}");
        }
    }
}

/// Arrays of names, or of objects with a `value` (RFC 7643 section 2.4), each in a set of its own.
#[tokio::test]
async fn r9068_2_2_3_1_1_groups_roles_and_entitlements_are_read() {
    let site = Site::new().await;
    for (value, expected) in [
        (json!(["clerk", "auditor"]), Ok("clerk auditor")),
        (json!([{ "value": "clerk", "display": "Clerk", "primary": true }, "auditor"]), Ok("clerk auditor")),
        (json!(["clerk", { "value": "clerk" }]), Ok("clerk")),
        (json!([]), Ok("")),
        (json!("clerk"), Err(())),
        (json!({ "value": "clerk" }), Err(())),
        (json!(["clerk", 7]), Err(())),
        (json!([{ "display": "clerk" }]), Err(())),
        (json!([{ "value": ["clerk"] }]), Err(())),
    ] {
        for claim in ["groups", "roles", "entitlements"] {
            let token = site.idp.token().claim(claim, value.clone()).sign();
            let read = site.verify(&token).await.unwrap();
            let roles = read.roles().map(|names| names.iter().collect::<Vec<_>>().join(" "));
            let permissions = read.permissions().map(|names| names.iter().collect::<Vec<_>>().join(" "));
            let groups =
                read.groups().map(|names| names.map(|names| names.iter().collect::<Vec<_>>().join(" ")));
            let of = |name| if name == claim { expected.map(str::to_owned) } else { Ok(String::new()) };
            assert_eq!(roles.or(Err(())), of("roles"), "{claim} {value}");
            assert_eq!(permissions.or(Err(())), of("entitlements"), "{claim} {value}");
            let of_groups =
                if claim == "groups" { expected.map(|names| Some(names.to_owned())) } else { Ok(None) };
            assert_eq!(groups.or(Err(())), of_groups, "{claim} {value}");
        }
    }
}

#[tokio::test]
async fn r9068_2_2_2_1_a_token_of_a_client_itself_has_no_user() {
    let site = Site::new().await;
    let own = site.verify(&site.idp.token().subject("batch").client("batch").sign()).await.unwrap();
    assert_eq!(own.subject().kind(), SubjectKind::Service);
    assert!(!own.is_on_behalf_of_user());
    let demand = Requirement::new().on_behalf_of_user();
    let denied = own.authorize(&demand, &RequestFacts::none()).unwrap_err();
    assert_eq!(denied.reason(), R::NotOnBehalfOfUser);
    // An actor makes no user of a service.
    let acted = site.idp.token().subject("batch").client("batch").actor("alice").sign();
    assert!(!site.verify(&acted).await.unwrap().is_on_behalf_of_user());
    // Another subject than the client is not yet a user: the profile has no claim that proves one.
    let unproved = site.idp.token().subject("alice").client("batch").acr("mfa").session("s1").sign();
    let unproved = site.verify(&unproved).await.unwrap();
    assert_eq!(unproved.subject().kind(), SubjectKind::Unknown);
    let denied = unproved.authorize(&demand, &RequestFacts::none()).unwrap_err();
    assert_eq!(denied.reason(), R::NotOnBehalfOfUser);
    let marked = Site::with(|issuer| issuer.add_user_claim(USER_CLAIM), |layer| layer).await;
    let user = marked.verify(&marked.idp.token().user("alice").client("batch").sign()).await.unwrap();
    assert_eq!(user.subject().kind(), SubjectKind::User);
    assert!(user.authorize(&demand, &RequestFacts::none()).is_ok());
    let assumed = Site::with(TrustedIssuer::assume_user_unless_client, |layer| layer).await;
    let user = assumed.verify(&assumed.idp.token().subject("alice").client("batch").sign()).await.unwrap();
    assert!(user.authorize(&demand, &RequestFacts::none()).is_ok());
    let own = assumed.verify(&assumed.idp.token().subject("batch").client("batch").sign()).await.unwrap();
    assert!(own.authorize(&demand, &RequestFacts::none()).is_err());
}

#[tokio::test]
async fn r9068_4_1_encrypted_tokens_are_not_configured() {
    let site = Site::new().await;
    let token = format!("{}.AAAA.AAAA", site.idp.token().sign());
    assert_eq!(site.refusal(&token).await, Some(R::TokenEncrypted));
}

#[tokio::test]
async fn r9068_4_2_the_issuer_is_equal_by_code_point() {
    let site = Site::new().await;
    let issuer = site.idp.issuer();
    let port = issuer.rsplit_once(':').unwrap().1;
    for other in [
        format!("{issuer}/"),
        format!("{issuer} "),
        format!(" {issuer}"),
        format!("{issuer}/."),
        format!("{issuer}?"),
        format!("{issuer}#"),
        format!("{issuer}\0"),
        issuer.to_uppercase(),
        issuer.replace("http", "https"),
        issuer.replace("http", "HTTP"),
        issuer.replace("127.0.0.1", "localhost"),
        issuer.replace("127.0.0.1", "127.1"),
        issuer.replace(&format!(":{port}"), ""),
        issuer.replace("127", "%3127"),
        issuer.replace("//", "//user@"),
        issuer.trim_start_matches("http:").to_owned(),
        format!("{issuer}.evil.example"),
        String::new(),
    ] {
        assert_eq!(
            site.refusal(&site.idp.token().issuer(&other).sign()).await,
            Some(R::IssuerUnknown),
            "{other:?}"
        );
    }
    // An escape in the JSON is no other code point.
    let escaped = site.claims().replace("http:", "\\u0068ttp:").replace("//", r"\/\/");
    assert_eq!(site.refusal(&site.jws(&site.header(), &escaped)).await, None);
    // RFC 7519 section 2: a text with a colon must be a URI.
    for issuer in ["", " https://idp.example.com", "my idp: example"] {
        let made = TrustedIssuer::with_static_keys(issuer, &site.idp.jwks().to_string());
        assert!(matches!(made, Err(ConfigError::InvalidUrl { .. })), "{issuer:?}");
    }
}

#[tokio::test]
async fn r9068_4_3_and_4_4_and_4_5_audience_signature_and_expiry() {
    let site = Site::new().await;
    let token = || site.idp.token();
    assert_eq!(site.refusal(&token().audiences(["https://stock.example.com", AUDIENCE]).sign()).await, None);
    for (name, token, reason) in [
        ("for the client", token().audience("test-client"), R::AudienceMismatch),
        ("signed by another key", token().sign_with_other_key(), R::SignatureInvalid),
        ("expired", token().claim("exp", NOW - 30), R::TokenExpired),
        // The signature comes before the claims: a forger learns nothing of them.
        ("expired and forged", token().claim("exp", 1).sign_with_other_key(), R::SignatureInvalid),
        ("for the client and forged", token().audience("x").tamper_signature(), R::SignatureInvalid),
    ] {
        assert_eq!(site.refusal(&token.sign()).await, Some(reason), "{name}");
    }
}

#[tokio::test]
async fn r9068_4_6_every_failure_is_401_invalid_token() {
    let site = Site::new().await;
    let token = || site.idp.token();
    for (name, token) in [
        ("typ", token().typ("JWT").sign()),
        ("encrypted", format!("{}.a.b", token().sign())),
        ("iss", token().issuer("https://evil.example").sign()),
        ("aud", token().audience("x").sign()),
        ("signature", token().tamper_signature().sign()),
        ("exp", token().claim("exp", 1).sign()),
        ("kid", token().header("kid", "x").sign()),
        ("jti", token().without("jti").sign()),
        ("act", token().claim("act", json!(null)).sign()),
        ("cnf", token().claim("cnf", json!({})).sign()),
    ] {
        let answer = site.get(&format!("Bearer {token}")).await;
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(answer.error(), Some("invalid_token"), "{name}");
    }
}

#[tokio::test]
async fn r9068_5_1_an_id_token_is_never_accepted() {
    let strict = Site::new().await;
    let lenient = Site::with_terms(|issuer| issuer.accept_generic_type(KindCheck::not_an_id_token())).await;
    for site in [&strict, &lenient] {
        let id = || site.idp.id_token();
        let all = [("client_id", json!("shop-web")), ("jti", json!("1")), ("scope", json!("orders:read"))];
        let dressed = |token| {
            all.iter().fold(token, |token: tower_delegation_testing::TokenBuilder, (name, value)| {
                token.claim(*name, value.clone())
            })
        };
        for (name, token) in [
            ("as it is", id()),
            ("for us", id().audience(AUDIENCE)),
            ("for both", id().audiences(["test-client", AUDIENCE])),
            ("with the claims of an access token", dressed(id().audience(AUDIENCE))),
            ("with at_hash", dressed(id().audience(AUDIENCE).without("nonce").claim("at_hash", "x"))),
            ("with c_hash", dressed(id().audience(AUDIENCE).without("nonce").claim("c_hash", "x"))),
            ("without typ", dressed(id().audience(AUDIENCE).without_header("typ"))),
        ] {
            let refused = site.refusal(&token.sign()).await;
            assert!(matches!(refused, Some(R::TypeNotAccepted | R::NotAnAccessToken)), "{name}: {refused:?}");
        }
        let logout = site.idp.logout_token().audience(AUDIENCE).client(AUDIENCE);
        assert_eq!(site.refusal(&logout.clone().sign()).await, Some(R::TypeNotAccepted));
        let disguised = logout.typ("at+jwt").claim("client_id", "x").sign();
        assert_eq!(site.refusal(&disguised).await, Some(R::NotAnAccessToken));
    }
}

#[tokio::test]
async fn r9068_6_1_the_client_is_not_the_actor() {
    let site = Site::new().await;
    let token = site.idp.token().subject("alice").client("shop-web").actor("copilot").sign();
    let delegation = site.verify(&token).await.unwrap();
    assert_eq!(delegation.client().unwrap().as_str(), "shop-web");
    assert_eq!(delegation.actor().unwrap().id().as_str(), "copilot");
    for demand in [Requirement::new().client("copilot"), Requirement::new().actor("shop-web")] {
        assert!(delegation.authorize(&demand, &RequestFacts::none()).is_err(), "{demand:?}");
    }
    let direct = site.verify(&site.idp.token().client("shop-web").sign()).await.unwrap();
    assert!(direct.actor().is_none());
}

/// This version checks no binding, so a bound token is no bearer token (RFC 7800 section 3.1).
#[tokio::test]
async fn r7800_3_1_every_bound_token_is_refused() {
    let site = Site::new().await;
    let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    for (cnf, reason) in [
        (json!({ "jkt": thumbprint }), R::ConfirmationUnsupported),
        (json!({ "x5t#S256": thumbprint }), R::ConfirmationUnsupported),
        (json!({ "jkt": thumbprint, "x5t#S256": thumbprint }), R::ConfirmationUnsupported),
        (json!({ "jwk": {} }), R::ConfirmationUnsupported),
        (json!({ "kid": "x" }), R::ConfirmationUnsupported),
        (json!({ "jku": "https://x" }), R::ConfirmationUnsupported),
        (json!({ "unknown": 1 }), R::ConfirmationUnsupported),
        (json!({}), R::ConfirmationMalformed),
        (json!(null), R::ConfirmationMalformed),
        (json!([]), R::ConfirmationMalformed),
        (json!("x"), R::ConfirmationMalformed),
        (json!(false), R::ConfirmationMalformed),
    ] {
        let token = site.idp.token().claim("cnf", cnf.clone()).sign();
        assert_eq!(site.refusal(&token).await, Some(reason), "{cnf}");
    }
}
