//! Claims (RFC 7519).

use std::time::Duration;

use serde_json::json;
use tower_delegation::{DelegationLayer, DenialReason as R, TrustedIssuer, error::ConfigError};

use crate::site::{AUDIENCE, NOW, Site, base64url};

#[tokio::test]
async fn r7519_4_1_the_payload_is_one_strict_json_object() {
    let site = Site::new().await;
    let good = site.claims();
    let rows = [
        ("nothing", String::new(), R::TokenMalformed),
        ("null", "null".into(), R::TokenMalformed),
        ("an array", format!("[{good}]"), R::TokenMalformed),
        ("a string", "\"claims\"".into(), R::TokenMalformed),
        ("text", "Payload".into(), R::TokenMalformed),
        ("two objects", format!("{good}{good}"), R::TokenMalformed),
        ("something behind", format!("{good}x"), R::TokenMalformed),
        ("a NUL behind", format!("{good}\0"), R::TokenMalformed),
        ("a byte order mark", format!("\u{feff}{good}"), R::TokenMalformed),
        ("not closed", good.trim_end_matches('}').into(), R::TokenMalformed),
        ("a lone surrogate", site.claims_and(r#""x":"\ud800""#), R::TokenMalformed),
        ("a lone surrogate deep down", site.claims_and(r#""x":[{"y":"\udc00"}]"#), R::TokenMalformed),
        ("surrogates in the wrong order", site.claims_and(r#""x":"\udc00\ud800""#), R::TokenMalformed),
        ("a lone surrogate in a name", site.claims_and(r#""\ud800":1"#), R::TokenMalformed),
        ("a raw line feed in a string", site.claims_and("\"x\":\"\n\""), R::TokenMalformed),
        ("NaN", site.claims_and(r#""x":NaN"#), R::TokenMalformed),
        ("iss twice", site.claims_and(r#""iss":"https://evil.example""#), R::DuplicateMember),
        ("sub twice, alike", site.claims_and(r#""sub":"alice""#), R::DuplicateMember),
        ("aud twice", site.claims_and(r#""aud":"x""#), R::DuplicateMember),
        ("exp twice", site.claims_and(r#""exp":1"#), R::DuplicateMember),
        ("twice, once escaped", site.claims_and(r#""s\u0075b":"bob""#), R::DuplicateMember),
        ("an unknown claim twice", site.claims_and(r#""x":1,"x":1"#), R::DuplicateMember),
        ("twice in a nested object", site.claims_and(r#""x":{"y":1,"y":2}"#), R::DuplicateMember),
        ("twice in act", site.claims_and(r#""act":{"sub":"a","sub":"b"}"#), R::DuplicateMember),
    ];
    for (name, claims, reason) in rows {
        assert_eq!(site.refusal(&site.jws(&site.header(), &claims)).await, Some(reason), "{name}");
    }
    let paired = site.claims_and(r#""x":"\ud83d\ude00","y":"é"#).replace("é", "é\"");
    assert_eq!(site.refusal(&site.jws(&site.header(), &paired)).await, None);
    for bytes in [b"\xff".as_slice(), b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
        let claims = site.claims_and(r#""x":"?""#);
        let at = claims.find('?').unwrap();
        let claims = [&claims.as_bytes()[..at], bytes, &claims.as_bytes()[at + 1..]].concat();
        let token = site.idp.token().header_json(site.header()).claims_json(claims).sign();
        assert_eq!(site.refusal(&token).await, Some(R::TokenMalformed), "{bytes:x?}");
    }
}

#[tokio::test]
async fn r7519_4_1_1_registered_claims_have_their_type() {
    let site = Site::new().await;
    let refusal = async |name: &str, value: &str| {
        let claims = site.claims_but(name, &format!(r#""{name}":{value}"#));
        site.refusal(&site.jws(&site.header(), &claims)).await
    };
    for name in ["iss", "sub", "jti", "client_id", "scope"] {
        for value in ["null", "1", "true", "[]", r#"["a"]"#, "{}"] {
            assert_eq!(refusal(name, value).await, Some(R::ClaimMalformed), "{name} {value}");
        }
    }
    for name in ["exp", "nbf", "iat"] {
        for value in ["null", "\"1800000100\"", "\"\"", "true", "[]", "[1800000100]", "{}", "-1", "-0.5"] {
            assert_eq!(refusal(name, value).await, Some(R::ClaimMalformed), "{name} {value}");
        }
    }
    for value in ["null", "1", "true", "{}", r#"{"x":"https://orders.example.com"}"#, "[1]", "[null]", "[[]]"]
    {
        assert_eq!(refusal("aud", value).await, Some(R::ClaimMalformed), "aud {value}");
    }
    // One wrong entry spoils the list, even beside a good one.
    for value in ["1", "null", "[\"x\"]", "{}"] {
        let list = format!(r#"["{AUDIENCE}",{value}]"#);
        assert_eq!(refusal("aud", &list).await, Some(R::ClaimMalformed), "aud {list}");
    }
    for name in ["sub", "jti", "client_id"] {
        assert_eq!(refusal(name, "\"\"").await, Some(R::ClaimMalformed), "{name}");
    }
    // What no rule demands refuses nothing (section 4: it may be ignored).
    for name in ["auth_time", "acr", "amr"] {
        for value in ["null", "true", "\"x\"", "[1]", "{}", "-1"] {
            assert_eq!(refusal(name, value).await, None, "{name} {value}");
        }
    }
}

/// With no leeway the edges are exact.
#[tokio::test]
async fn r7519_4_1_4_1_exp_is_the_first_second_too_late() {
    let site = Site::with(|issuer| issuer, |layer| layer.leeway(Duration::ZERO)).await;
    let refusal = async |exp: &str| {
        site.refusal(&site.jws(&site.header(), &site.claims_but("exp", &format!(r#""exp":{exp}"#)))).await
    };
    for exp in ["1800000001", "1800000001.0", "1.800000001e9", "1800000001.9", "1800000001E0", "253402300799"]
    {
        assert_eq!(refusal(exp).await, None, "{exp}");
    }
    for exp in [
        "1800000000",
        "1800000000.0",
        "1.8e9",
        "1799999999",
        "1799999999.999",
        "0",
        "-0",
        "0.0",
        "1e0",
        "1e-9",
    ] {
        assert_eq!(refusal(exp).await, Some(R::TokenExpired), "{exp}");
    }
    // Beyond the year 9999 lies a mistake (milliseconds, for one) or an attack.
    for exp in [
        "253402300800",
        "1800000001000",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e18",
        "1e300",
        "-1",
        "-9223372036854775808",
    ] {
        assert_eq!(refusal(exp).await, Some(R::ClaimMalformed), "{exp}");
    }
    // No number of any use: the token's JSON is not read at all.
    for exp in ["1e400", "1e99999", "-1e400", &format!("1{}", "0".repeat(5000))] {
        assert_eq!(refusal(exp).await, Some(R::TokenMalformed), "{exp}");
    }
}

#[tokio::test]
async fn r7519_4_1_5_1_nbf_and_4_1_6_1_iat_begin_exactly() {
    let site = Site::with(|issuer| issuer, |layer| layer.leeway(Duration::ZERO)).await;
    let refusal = async |name: &str, time: &str| {
        site.refusal(&site.jws(&site.header(), &site.claims_but(name, &format!(r#""{name}":{time}"#)))).await
    };
    for (name, early) in [("nbf", R::TokenNotYetValid), ("iat", R::TokenFromFuture)] {
        for time in ["1800000000", "1.8e9", "1799999999.5", "0", "1"] {
            assert_eq!(refusal(name, time).await, None, "{name} {time}");
        }
        for time in ["1800000001", "1800000000.1", "1.800000001e9", "253402300799"] {
            assert_eq!(refusal(name, time).await, Some(early), "{name} {time}");
        }
        for time in ["1e300", "9223372036854775808", "1800000000000", "-1"] {
            assert_eq!(refusal(name, time).await, Some(R::ClaimMalformed), "{name} {time}");
        }
    }
}

#[tokio::test]
async fn r7519_4_1_2_the_leeway_is_one_number_with_a_cap() {
    for leeway in [None, Some(0), Some(10), Some(300)] {
        let site = Site::with(
            |issuer| issuer,
            |layer| match leeway {
                Some(seconds) => layer.leeway(Duration::from_secs(seconds)),
                None => layer,
            },
        )
        .await;
        let leeway = i64::try_from(leeway.unwrap_or(30)).unwrap();
        let refusal = async |name: &str, time: i64| {
            site.refusal(&site.idp.token().claim("exp", NOW + 900).claim(name, time).sign()).await
        };
        assert_eq!(refusal("exp", NOW - leeway + 1).await, None, "{leeway}");
        assert_eq!(refusal("exp", NOW - leeway).await, Some(R::TokenExpired), "{leeway}");
        assert_eq!(refusal("nbf", NOW + leeway).await, None, "{leeway}");
        assert_eq!(refusal("nbf", NOW + leeway + 1).await, Some(R::TokenNotYetValid), "{leeway}");
        assert_eq!(refusal("iat", NOW + leeway).await, None, "{leeway}");
        assert_eq!(refusal("iat", NOW + leeway + 1).await, Some(R::TokenFromFuture), "{leeway}");
    }
    let jwks =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let issuer =
        TrustedIssuer::with_static_keys("https://idp.example.com", jwks).unwrap().add_audience(AUDIENCE);
    let built = DelegationLayer::builder().add_issuer(issuer).leeway(Duration::from_millis(300_001)).build();
    assert!(matches!(built, Err(ConfigError::LeewayTooLong { .. })));
}

#[tokio::test]
async fn r7519_4_1_6_1_age_and_lifetime_have_optional_limits() {
    let minute = Duration::from_secs(60);
    let terms = |issuer: TrustedIssuer| issuer.max_token_lifetime(10 * minute).max_token_age(5 * minute);
    let site = Site::with_terms(terms).await;
    let refusal = async |iat: i64, exp: i64| {
        site.refusal(&site.idp.token().claim("iat", iat).claim("exp", exp).sign()).await
    };
    assert_eq!(refusal(NOW, NOW + 600).await, None);
    assert_eq!(refusal(NOW, NOW + 601).await, Some(R::TokenLifetimeTooLong));
    assert_eq!(refusal(NOW - 330, NOW + 100).await, None);
    assert_eq!(refusal(NOW - 331, NOW + 100).await, Some(R::TokenTooOld));
    // A token that ends before it was issued has no lifetime; the clock decides.
    assert_eq!(refusal(NOW, NOW - 29).await, None);
}

#[tokio::test]
async fn r7519_4_1_3_1_one_audience_is_ours_exactly() {
    let site = Site::with_terms(|issuer| issuer.add_audience("orders")).await;
    for audience in [
        json!(AUDIENCE),
        json!("orders"),
        json!([AUDIENCE]),
        json!(["https://stock.example.com", AUDIENCE]),
        json!([AUDIENCE, AUDIENCE]),
        json!(["", "orders"]),
    ] {
        let token = site.idp.token().claim("aud", audience.clone()).sign();
        assert_eq!(site.refusal(&token).await, None, "{audience}");
    }
    for audience in [
        json!(""),
        json!([]),
        json!([""]),
        json!("https://orders.example.com/"),
        json!("https://orders.example.com:443"),
        json!("HTTPS://ORDERS.EXAMPLE.COM"),
        json!("https://orders.example.co"),
        json!("https://orders.example.com.evil.example"),
        json!("https://orders.example.com/v2"),
        json!("http://orders.example.com"),
        json!("https://orders.example.com https://stock.example.com"),
        json!("https://orders.example.com,orders"),
        json!(" https://orders.example.com"),
        json!("https://orders.example.com\u{0}"),
        json!("Orders"),
        json!("order"),
        json!("*"),
        json!(["https://stock.example.com", "test-client"]),
    ] {
        let token = site.idp.token().claim("aud", audience.clone()).sign();
        assert_eq!(site.refusal(&token).await, Some(R::AudienceMismatch), "{audience}");
    }
    assert_eq!(site.refusal(&site.idp.token().without("aud").sign()).await, Some(R::ClaimMissing));
}

#[tokio::test]
async fn r7519_5_3_1_claims_in_the_header_equal_those_of_the_payload() {
    let site = Site::new().await;
    let issuer = site.idp.issuer();
    for (name, value) in [
        ("iss", json!(issuer)),
        ("sub", json!("alice")),
        ("aud", json!(AUDIENCE)),
        ("aud", json!([AUDIENCE])),
        ("exp", json!(1)),
    ] {
        let token = site.idp.token().header(name, value.clone()).sign();
        assert_eq!(site.refusal(&token).await, None, "{name} {value}");
    }
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", json!(format!("{issuer}/"))),
        ("iss", json!(null)),
        ("iss", json!(1)),
        ("sub", json!("bob")),
        ("sub", json!("")),
        ("sub", json!({})),
        ("aud", json!("https://stock.example.com")),
        ("aud", json!([AUDIENCE, "https://stock.example.com"])),
        ("aud", json!([])),
    ] {
        let token = site.idp.token().header(name, value.clone()).sign();
        assert_eq!(site.refusal(&token).await, Some(R::HeaderClaimMismatch), "{name} {value}");
    }
    // Never read from the header alone.
    for (name, value) in [("iss", issuer), ("sub", "alice"), ("aud", AUDIENCE)] {
        let token = site.idp.token().header(name, value).without(name).sign();
        assert_eq!(site.refusal(&token).await, Some(R::HeaderClaimMismatch), "{name}");
    }
}

#[tokio::test]
async fn r7519_5_2_1_nested_tokens_are_refused() {
    let site = Site::new().await;
    for cty in ["JWT", "jwt", "Jwt", "application/jwt", "APPLICATION/JWT"] {
        let token = site.idp.token().header("cty", cty).sign();
        assert_eq!(site.refusal(&token).await, Some(R::NestedToken), "{cty}");
    }
    for cty in [json!(null), json!(1), json!(["JWT"])] {
        let token = site.idp.token().header("cty", cty.clone()).sign();
        assert_eq!(site.refusal(&token).await, Some(R::HeaderMalformed), "{cty}");
    }
    assert_eq!(site.refusal(&site.idp.token().header("cty", "json").sign()).await, None);
    // A token as the payload, said or not.
    let inner = site.idp.token().sign();
    assert_eq!(site.refusal(&site.jws(&site.header(), &inner)).await, Some(R::TokenMalformed));
    let quoted = format!("\"{inner}\"");
    assert_eq!(site.refusal(&site.jws(&site.header(), &quoted)).await, Some(R::TokenMalformed));
}

#[tokio::test]
async fn r7519_6_1_unsecured_tokens_are_refused() {
    let site = Site::new().await;
    let payload = base64url(site.claims());
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"none","typ":"at+jwt"}"#,
        r#"{"alg":"none","typ":"at+jwt","kid":"es256-1"}"#,
    ] {
        let unsigned = format!("{}.{payload}.", base64url(header));
        assert_eq!(site.refusal(&unsigned).await, Some(R::AlgorithmNotAllowed), "{header}");
        let signed = site.compact(&base64url(header), &payload);
        assert_eq!(site.refusal(&signed).await, Some(R::AlgorithmNotAllowed), "{header}");
    }
}
