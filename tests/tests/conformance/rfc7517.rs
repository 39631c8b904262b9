//! Key sets (RFC 7517).

use serde_json::{Value, json};
use tower_delegation::{
    DelegationLayer, DenialReason as R,
    clock::Timestamp,
    issuer::Grants,
    jwks::{AlgorithmSet, KeySet, KeySetErrorKind, SelectError, SignatureAlgorithm as A, SkipReason as S},
};
use tower_delegation_testing::TestClock;

use crate::{
    jwk::{F4, ec, modulus, okp, other_ec, parse, rsa, serves, skipped, with, without},
    site::{NOW, provider, trusted},
};

/// As [`skipped`], for a key given as JSON text.
fn skipped_text(key: &str) -> Option<S> {
    let document = format!(r#"{{"keys":[{},{key}]}}"#, okp());
    let set = KeySet::parse(document.as_bytes(), AlgorithmSet::ALL).unwrap();
    assert!(set.select(A::EdDsa, Some("okp")).is_ok(), "the set is spoilt");
    set.skipped().first().map(|skipped| skipped.reason)
}

#[test]
fn r7517_4_1_a_key_that_cannot_be_used_is_skipped_and_the_set_is_not() {
    assert_eq!(skipped(ec()), None);
    assert_eq!(skipped(with(ec(), "unknown", json!({ "x": [1] }))), None);
    assert_eq!(skipped(with(ec(), "x5c", json!(["not base64"]))), None);
    for optional in ["kid", "alg", "use", "key_ops", "x5t", "x5t#S256", "issuer", "d"] {
        assert_eq!(skipped(with(ec(), optional, Value::Null)), None, "{optional} is null");
    }
    for (name, key, reason) in [
        ("an unknown type", with(ec(), "kty", "LMS"), S::KeyTypeUnknown),
        ("an unknown curve", with(ec(), "crv", "P-192"), S::CurveUnknown),
        ("a curve of no algorithm here", with(ec(), "crv", "secp256k1"), S::CurveUnknown),
        ("no type", without(ec(), "kty"), S::Malformed),
        ("no curve", without(ec(), "crv"), S::Malformed),
        ("no x", without(ec(), "x"), S::Malformed),
        ("no y", without(ec(), "y"), S::Malformed),
        ("no n", without(rsa(&modulus(2048), F4), "n"), S::Malformed),
        ("no e", without(rsa(&modulus(2048), F4), "e"), S::Malformed),
        ("no x of OKP", without(okp(), "x"), S::Malformed),
        ("x is a number", with(ec(), "x", 1), S::Malformed),
        ("x is null", with(ec(), "x", Value::Null), S::Malformed),
        ("kid is a number", with(ec(), "kid", 1), S::Malformed),
        ("kty is null", with(ec(), "kty", Value::Null), S::Malformed),
        ("kid is too long", with(ec(), "kid", "k".repeat(257)), S::KeyIdTooLong),
        ("alg is a number", with(ec(), "alg", 0), S::Malformed),
        ("use is a number", with(ec(), "use", 0), S::Malformed),
        ("x is padded", with(ec(), "x", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU="), S::EncodingInvalid),
        (
            "x is not base64url",
            with(ec(), "x", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvR+/U"),
            S::EncodingInvalid,
        ),
        (
            "x has spare bits set",
            with(ec(), "x", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV"),
            S::EncodingInvalid,
        ),
        ("x is empty", with(ec(), "x", ""), S::EncodingInvalid),
        ("capital member names", json!({ "Kty": "EC", "Crv": "P-256" }), S::Malformed),
        ("null", Value::Null, S::NotAnObject),
        ("a number", json!(0), S::NotAnObject),
        ("an array", json!([ec()]), S::NotAnObject),
        ("a string", json!("EC"), S::NotAnObject),
        ("an empty object", json!({}), S::Malformed),
    ] {
        assert_eq!(skipped(key), Some(reason), "{name}");
    }
}

#[test]
fn r7517_4_2_a_member_twice_skips_the_key() {
    let key = ec().to_string();
    let twice = |more: &str| key.replacen('{', &format!("{{{more},"), 1);
    assert_eq!(skipped_text(&twice(r#""unknown":1"#)), None);
    for more in [r#""kid":"ec""#, r#""kty":"EC""#, r#""\u006bty":"EC""#, r#""unknown":1,"unknown":1"#] {
        assert_eq!(skipped_text(&twice(more)), Some(S::DuplicateMember), "{more}");
    }
}

#[test]
fn r7517_4_1_1_kty_has_a_case() {
    for kty in ["ec", "Ec", "rsa", "okp", "OCT", "Oct", "EC ", ""] {
        assert_eq!(skipped(with(ec(), "kty", kty)), Some(S::KeyTypeUnknown), "{kty:?}");
    }
}

#[test]
fn r7517_4_2_1_use_is_sig() {
    assert_eq!(skipped(with(ec(), "use", "sig")), None);
    for usage in ["enc", "SIG", "Sig", "", "jwt-svid", "verify", "tls"] {
        assert_eq!(skipped(with(ec(), "use", usage)), Some(S::UseNotSignature), "{usage:?}");
    }
    for usage in [json!(0), json!(["sig"]), json!({})] {
        assert_eq!(skipped(with(ec(), "use", usage.clone())), Some(S::Malformed), "{usage}");
    }
}

#[test]
fn r7517_4_3_1_key_ops_holds_verify_once_and_agrees_with_use() {
    for operations in [json!(["verify"]), json!(["sign", "verify"]), json!(["verify", "encrypt"])] {
        assert_eq!(skipped(with(ec(), "key_ops", operations.clone())), None, "{operations}");
    }
    for operations in [
        json!([]),
        json!(["sign"]),
        json!(["signing"]),
        json!(["encrypt"]),
        json!(["Verify"]),
        json!(["verify", "verify"]),
        json!(["verify", "sign", "sign"]),
    ] {
        assert_eq!(
            skipped(with(ec(), "key_ops", operations.clone())),
            Some(S::OperationsNotVerify),
            "{operations}"
        );
    }
    for operations in [json!("verify"), json!(["verify", 0]), json!({ "verify": 1 }), json!(1)] {
        assert_eq!(skipped(with(ec(), "key_ops", operations.clone())), Some(S::Malformed), "{operations}");
    }
    let both = |usage: &str, operations| with(with(ec(), "use", usage), "key_ops", operations);
    assert_eq!(skipped(both("sig", json!(["verify"]))), None);
    assert_eq!(skipped(both("sig", json!(["verify", "encrypt"]))), Some(S::OperationsNotVerify));
    assert_eq!(skipped(both("enc", json!(["verify"]))), Some(S::UseNotSignature));
}

#[test]
fn r7517_4_4_1_a_key_with_alg_serves_that_algorithm_only() {
    let key = rsa(&modulus(2048), F4);
    assert_eq!(serves(with(key.clone(), "alg", "PS256")), [A::Ps256]);
    assert_eq!(serves(with(ec(), "alg", "ES256")), [A::Es256]);
    let set = parse([with(key.clone(), "alg", "RS256")]);
    for algorithm in [A::Rs384, A::Rs512, A::Ps256, A::Es256, A::EdDsa] {
        assert_eq!(set.select(algorithm, Some("rsa")).unwrap_err(), SelectError::Mismatch, "{algorithm}");
    }
    for (key, alg) in [
        (ec(), "ES384"),
        (ec(), "ES512"),
        (ec(), "ES521"),
        (ec(), "ES256K"),
        (ec(), "es256"),
        (ec(), "EdDSA"),
        (ec(), "RS256"),
        (ec(), "HS256"),
        (ec(), "none"),
        (ec(), ""),
        (okp(), "ES256"),
        (okp(), "Ed448"),
        (key.clone(), "RSA-OAEP"),
        (key.clone(), "RSA1_5"),
        (key.clone(), "SHA256"),
        (key.clone(), "HS256"),
        (key, "ES256"),
    ] {
        assert_eq!(skipped(with(key, "alg", alg)), Some(S::AlgorithmUnfit), "{alg}");
    }
}

#[test]
fn r7517_4_4_2_a_key_without_alg_serves_what_its_type_and_the_issuer_allow() {
    assert_eq!(serves(ec()), [A::Es256]);
    assert_eq!(serves(okp()), [A::EdDsa, A::Ed25519]);
    let key = rsa(&modulus(2048), F4);
    assert_eq!(serves(key.clone()), [A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512]);
    let document = json!({ "keys": [key, ec()] }).to_string();
    let set = KeySet::parse(document.as_bytes(), [A::Ps256].into_iter().collect()).unwrap();
    assert_eq!(set.keys().map(|key| key.algorithm()).collect::<Vec<_>>(), [A::Ps256]);
    assert_eq!(set.skipped()[0].reason, S::AlgorithmNotAllowed);
    assert_eq!(set.select(A::Rs256, Some("rsa")).unwrap_err(), SelectError::Mismatch);
}

/// The one rule: among the keys of that `kid`, exactly one must be for the
/// algorithm. Where two different keys fit, none is taken, and none is tried.
#[test]
fn r7517_4_5_1_keys_that_share_a_kid() {
    let other = other_ec();
    let (mine, theirs) = (with(ec(), "kid", "k"), with(other, "kid", "k"));
    let two_types = parse([mine.clone(), with(okp(), "kid", "k")]);
    assert!(two_types.select(A::Es256, Some("k")).is_ok());
    assert!(two_types.select(A::EdDsa, Some("k")).is_ok());
    assert_eq!(two_types.select(A::Rs256, Some("k")).unwrap_err(), SelectError::Mismatch);
    let rsa_key = with(rsa(&modulus(2048), F4), "kid", "k");
    let (pss, pkcs) = (with(rsa_key.clone(), "alg", "PS256"), with(rsa_key.clone(), "alg", "RS256"));
    assert!(parse([pss, pkcs.clone()]).select(A::Rs256, Some("k")).is_ok());
    for (name, keys) in [
        ("two of one type", [mine.clone(), theirs.clone()]),
        ("one with and one without alg", [mine.clone(), with(theirs, "alg", "ES256")]),
    ] {
        assert_eq!(parse(keys).select(A::Es256, Some("k")).unwrap_err(), SelectError::Ambiguous, "{name}");
    }
    // The same key for the same algorithm is one key: there is nothing to choose between.
    assert!(parse([mine.clone(), mine.clone()]).select(A::Es256, Some("k")).is_ok());
    let overlap = parse([rsa_key, pkcs]);
    assert!(overlap.select(A::Rs256, Some("k")).is_ok());
    assert!(overlap.select(A::Ps256, Some("k")).is_ok());
    // A key that is skipped is not there: it is no second candidate.
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256" });
    let beside = parse([secret, with(mine.clone(), "use", "enc"), mine]);
    assert!(beside.select(A::Es256, Some("k")).is_ok());
}

#[test]
fn r7517_4_5_2_a_token_without_kid_needs_a_set_with_one_key_for_it() {
    let one = parse([ec(), okp()]);
    assert!(one.select(A::Es256, None).is_ok());
    assert_eq!(one.select(A::Rs256, None).unwrap_err(), SelectError::Unknown);
    let two = parse([ec(), other_ec()]);
    assert_eq!(two.select(A::Es256, None).unwrap_err(), SelectError::Ambiguous);
    // Two keys are two even if one of them has no name; a name is never guessed.
    let nameless = parse([without(ec(), "kid"), other_ec()]);
    assert_eq!(nameless.select(A::Es256, None).unwrap_err(), SelectError::Ambiguous);
    assert!(nameless.select(A::Es256, Some("other")).is_ok());
    assert_eq!(nameless.select(A::Es256, Some("ec")).unwrap_err(), SelectError::Unknown);
    assert_eq!(parse([without(ec(), "kid")]).select(A::Es256, Some("ec")).unwrap_err(), SelectError::Unknown);
    assert_eq!(parse([without(ec(), "kid")]).select(A::Es256, Some("")).unwrap_err(), SelectError::Unknown);
}

#[tokio::test]
async fn r7517_4_5_3_issuers_with_the_same_kid_share_no_key() {
    let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
    let idp = provider(&clock).await;
    let (a, b) = (idp.issuer_at("/a"), idp.issuer_at("/b"));
    assert_eq!(a.key_ids()[0], b.key_ids()[0]);
    let layer = DelegationLayer::builder()
        .clock(clock)
        .add_issuer(trusted(a.issuer(), &a.jwks().to_string()).may_grant(Grants::all()))
        .add_issuer(trusted(b.issuer(), &b.jwks().to_string()).may_grant(Grants::all()))
        .build()
        .unwrap();
    let refusal = async |token: String| {
        layer.authenticator().verify(&token).await.err().map(|rejection| rejection.reason())
    };
    assert_eq!(refusal(a.token().sign()).await, None);
    assert_eq!(refusal(b.token().sign()).await, None);
    assert_eq!(refusal(a.token().issuer(b.issuer()).sign()).await, Some(R::SignatureInvalid));
    assert_eq!(refusal(b.token().issuer(a.issuer()).sign()).await, Some(R::SignatureInvalid));
    assert_eq!(
        refusal(a.token().issuer(b.issuer()).without_header("kid").sign()).await,
        Some(R::SignatureInvalid)
    );
}

#[test]
fn r7517_5_1_the_document_is_an_object_with_an_array_of_keys() {
    let parse = |document: &str| KeySet::parse(document.as_bytes(), AlgorithmSet::ALL).map_err(|e| e.kind());
    for document in [
        "",
        "1",
        "null",
        "\"keys\"",
        "[]",
        "{}",
        "{",
        r#"{"keys":null}"#,
        r#"{"keys":1}"#,
        r#"{"keys":{}}"#,
        r#"{"keys":"EC"}"#,
        r#"{"Keys":[]}"#,
        r#"{"keys":[]}{}"#,
        r#"{"keys":[],}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[],"x":1,"x":1}"#,
        "{\"keys\":[]}\u{feff}",
        "<html></html>",
    ] {
        assert_eq!(parse(document).unwrap_err(), KeySetErrorKind::Malformed, "{document}");
    }
    for document in [r#"{"keys":[null]}"#, r#"{"keys":[0]}"#, r#"{"keys":[[]]}"#, r#"{"keys":["a",null]}"#] {
        assert_eq!(parse(document).unwrap_err(), KeySetErrorKind::NoObjects, "{document}");
    }
    let key = ec();
    let set = parse(&format!(r#"{{"issuer":"x","keys":[null,{key},7],"more":{{"keys":[1]}}}}"#)).unwrap();
    assert_eq!((set.keys().len(), set.skipped().len()), (1, 2));
    assert!(parse(r#"{"keys":[]}"#).unwrap().is_empty());
    // A mark that some editors write before the document says nothing (RFC 8259 section 8.1).
    assert!(parse("\u{feff}{\"keys\":[]}").unwrap().is_empty());
    assert!(parse(r#"{"keys":[{}]}"#).unwrap().is_empty());
}

#[test]
fn r7517_5_2_documents_are_bounded() {
    let parse =
        |document: String| KeySet::parse(document.as_bytes(), AlgorithmSet::ALL).map_err(|e| e.kind());
    let named = |number: usize| with(ec(), "kid", format!("k{number}")).to_string();
    let keys: Vec<_> = (0..1000).map(named).collect();
    assert_eq!(parse(format!(r#"{{"keys":[{}]}}"#, keys.join(","))).unwrap().keys().len(), 1000);
    let padded = |len: usize| {
        let head = format!(r#"{{"keys":[{}],"x":""#, ec());
        format!("{head}{}\"}}", "a".repeat(len - head.len() - 2))
    };
    assert!(parse(padded(512 * 1024)).is_ok());
    assert_eq!(parse(padded(512 * 1024 + 1)).unwrap_err(), KeySetErrorKind::TooLarge);
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let deep = parse(format!(r#"{{"keys":[{}],"x":{open}{close}}}"#, ec()));
    assert_eq!(deep.unwrap().keys().len(), 1);
}

#[test]
fn r7517_9_1_secrets_in_a_published_set_are_skipped_and_told() {
    for key in [
        json!({ "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" }),
        json!({ "kty": "oct", "k": "", "alg": "HS256", "kid": "empty" }),
        json!({ "kty": "oct" }),
        json!({ "kty": "oct", "k": "c2VjcmV0", "use": "enc", "alg": "A128KW" }),
    ] {
        assert_eq!(skipped(key.clone()), Some(S::Symmetric), "{key}");
    }
    for (key, members) in [
        (ec(), &["d"][..]),
        (okp(), &["d"]),
        (rsa(&modulus(2048), F4), &["d", "p", "q", "dp", "dq", "qi", "oth"]),
    ] {
        for member in members {
            for value in [json!("AAAA"), json!(""), json!([])] {
                let key = with(key.clone(), member, value);
                assert_eq!(skipped(key.clone()), Some(S::PrivateMaterial), "{key}");
            }
        }
        // A member of that name in a key of another type is an unknown one.
        assert_eq!(skipped(with(key, "k", "AAAA")), None);
    }
    let exposed = |key: Value| {
        let document = json!({ "keys": [key, okp()] }).to_string();
        let set = KeySet::parse(document.as_bytes(), AlgorithmSet::ALL).unwrap();
        set.skipped()[0].exposes_secret
    };
    assert!(exposed(json!({ "kty": "oct", "k": "c2VjcmV0" })) && exposed(with(ec(), "d", "AAAA")));
    assert!(!exposed(json!({ "kty": "oct" })) && !exposed(with(ec(), "d", "")));
}
