use http::Method;
use serde_json::json;

use super::*;
use crate::{
    clock::SystemClock,
    proof::dpop::vectors::{ProofCase, RFC9449, Stopped},
};

/// What the RFC's own request is judged as, with one thing changed.
fn judge(
    dpop: &DpopVerifier,
    change: impl FnOnce(&mut ProofCase),
) -> Result<AcceptedProof<'_>, DenialReason> {
    let mut case = ProofCase::rfc9449();
    change(&mut case);
    dpop.check(&case.request())
}

fn verifier(configure: impl FnOnce(Dpop) -> Dpop) -> DpopVerifier {
    configure(Dpop::at("https://resource.example.org")).build(&clock()).unwrap()
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

#[test]
fn the_example_of_rfc_9449() {
    let dpop = verifier(|dpop| dpop);
    // The second time with the key at hand.
    let first = judge(&dpop, |_| {}).unwrap();
    let second = judge(&dpop, |_| {}).unwrap();
    assert_eq!(first.used, second.used, "one proof, one key");
    assert_eq!(first.used.expires_at, Timestamp::from_unix_seconds(RFC9449.now + 71));
    assert_eq!(first.used.lifetime, Duration::from_secs(71));
    assert_eq!(first.used.signer, ProofCase::rfc9449().key);
    assert!(first.next_nonce.is_none());
}

#[test]
fn refused() {
    use DenialReason as R;
    type Change = fn(&mut ProofCase);
    let rows: [(&str, Change, R); 15] = [
        ("4.3-8: POST", |case| case.method = Method::POST, R::DpopProofMethodMismatch),
        ("4.3-8: HEAD is not GET", |case| case.method = Method::HEAD, R::DpopProofMethodMismatch),
        ("4.3-8: case", |case| case.method = Method::from_bytes(b"get").unwrap(), R::DpopProofMethodMismatch),
        ("4.3-9: another path", |case| case.path.push('/'), R::DpopProofUriMismatch),
        ("4.3-9: case of the path", |case| case.path.make_ascii_uppercase(), R::DpopProofUriMismatch),
        ("4.3-11: one hour old", |case| case.now += 3600, R::DpopProofExpired),
        ("4.3-11: 61 s old", |case| case.now += 61, R::DpopProofExpired),
        ("4.3-11: one hour ahead", |case| case.now -= 3600, R::DpopProofFromFuture),
        ("4.3-11: 11 s ahead", |case| case.now -= 11, R::DpopProofFromFuture),
        ("4.3-12a: another token", |case| case.token.push('x'), R::DpopProofTokenMismatch),
        ("4.3-12b: another key", |case| case.key = [0; 32], R::DpopKeyMismatch),
        ("4.3-6: another signature", |case| case.flip_signature(), R::DpopProofSignatureInvalid),
        ("4.3-2: two parts", |case| case.proof = "e30.e30".to_owned(), R::DpopProofMalformed),
        ("4.3-2: encrypted", |case| case.proof = "e30.e30.e30.e30.e30".to_owned(), R::DpopProofMalformed),
        ("4.3-2: padded", |case| case.proof.push('='), R::DpopProofMalformed),
    ];
    // With the key at hand, and without.
    let warm = verifier(|dpop| dpop);
    judge(&warm, |_| {}).unwrap();
    for (name, change, reason) in rows {
        let cold = verifier(|dpop| dpop);
        assert_eq!(judge(&cold, change).err(), Some(reason), "{name}");
        assert_eq!(judge(&warm, change).err(), Some(reason), "{name}, with the key at hand");
    }
    for (name, change) in
        [("60 s old", (|case| case.now += 60) as Change), ("10 s ahead", |case| case.now -= 10)]
    {
        assert!(judge(&warm, change).is_ok(), "4.3-11: {name}");
    }
}

#[test]
fn only_a_key_that_has_signed_a_good_proof_is_kept() {
    let dpop = verifier(|dpop| dpop);
    let kept = || dpop.keys.len();
    assert!(judge(&dpop, ProofCase::flip_signature).is_err());
    assert!(judge(&dpop, |case| case.now += 3600).is_err());
    assert_eq!(kept(), 0);
    assert!(judge(&dpop, |_| {}).is_ok());
    assert_eq!(kept(), 1);
}

#[test]
fn policy_decides_which_algorithms_and_whether_nonces() {
    let eddsa_only = verifier(|dpop| dpop.algorithms([SignatureAlgorithm::EdDsa]));
    assert_eq!(judge(&eddsa_only, |_| {}).err(), Some(DenialReason::DpopProofAlgorithmNotAllowed));
    assert_eq!(eddsa_only.algorithm_names(), "EdDSA");
    assert!(!verifier(|dpop| dpop).algorithm_names().contains("none"));

    let demanding = verifier(|dpop| dpop.nonces(DpopNonces::new()));
    assert_eq!(judge(&demanding, |_| {}).err(), Some(DenialReason::DpopNonceMissing), "11.3-1");
}

#[test]
fn keys_that_are_refused() {
    let dpop = verifier(|dpop| dpop);
    let header = |jwk: serde_json::Value, alg: &str| {
        let header = json!({ "typ": "dpop+jwt", "alg": alg, "jwk": jwk });
        URL_SAFE_NO_PAD.encode(header.to_string())
    };
    let good = json!({ "kty": "EC", "crv": "P-256",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA" });
    let with = |name: &str, value: &str| {
        let mut jwk = good.clone();
        jwk[name] = value.into();
        jwk
    };
    let rsa = |n: &str| json!({ "kty": "RSA", "e": "AQAB", "n": n });
    let sound = format!("{}{}", "m".repeat(341), "w");
    let rows = [
        ("4.3-7: d", with("d", "AA"), "ES256"),
        ("4.3-7: k", with("k", "AA"), "ES256"),
        ("4.3-7: oth", with("oth", "AA"), "ES256"),
        ("4.3-5: for another algorithm", good.clone(), "ES384"),
        ("4.3-5: RSA for EC", good.clone(), "RS256"),
        ("alg of the key", with("alg", "ES384"), "ES256"),
        ("use", with("use", "enc"), "ES256"),
        ("not on the curve", with("x", &"A".repeat(43)), "ES256"),
        ("7638-7-1: not canonical", with("x", "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFt"), "ES256"),
        ("7638-7-1: padded", with("x", "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs="), "ES256"),
        ("7638-7-1: leading zero", rsa(&format!("AA{sound}")), "RS256"),
        ("RSA of 1024 bits", rsa(&"m".repeat(171)), "RS256"),
        ("symmetric", json!({ "kty": "oct", "k": "AAAA" }), "ES256"),
        ("a string", json!("key"), "ES256"),
        ("null", json!(null), "ES256"),
    ];
    for (name, jwk, alg) in rows {
        let header = header(jwk, alg);
        let refused = judge(&dpop, |case| {
            let rest = case.proof.split_once('.').unwrap().1.to_owned();
            case.proof = format!("{header}.{rest}");
        });
        assert_eq!(refused.err(), Some(DenialReason::DpopProofKeyInvalid), "{name}");
    }
}

#[test]
fn configurations_that_are_refused() {
    let at = || Dpop::at("https://api.example.com");
    for (name, dpop) in [
        ("no algorithm", at().algorithms([])),
        ("no age", at().max_age(Duration::ZERO)),
        ("a long age", at().max_age(Duration::from_secs(301))),
        ("a long tolerance", at().future_tolerance(Duration::from_secs(61))),
        ("plain http", at().add_origin("http://api.example.com")),
        ("no origin", Dpop::at("")),
        ("short keys", at().nonces(DpopNonces::with_keys(["short"]))),
    ] {
        assert!(dpop.build(&clock()).is_err(), "{name}");
    }
}

#[test]
fn layers_at_one_origin_share_a_store() {
    let clock = clock();
    let build = |dpop: Dpop| dpop.build(&clock);
    let bounded = |origin: &str, entries| {
        Dpop::at(origin).replay_store(InMemoryReplayStore::new().max_entries(entries))
    };
    let first = build(bounded("https://shared.example", 100)).unwrap();
    for (name, dpop, is_good) in [
        ("the same", bounded("https://shared.example", 100), true),
        ("another spelling", bounded("HTTPS://Shared.example:443/", 100), true),
        ("under a prefix", bounded("https://shared.example/v1", 100), true),
        ("more", bounded("https://shared.example", 101), false),
        ("the default", Dpop::at("https://shared.example"), false),
        ("under a prefix, fewer", bounded("https://shared.example/v1", 99), false),
        (
            "as a second origin",
            bounded("https://shared-too.example", 99).add_origin("https://shared.example"),
            false,
        ),
        ("another port", bounded("https://shared.example:8443", 99), true),
        (
            "another share",
            Dpop::at("https://shared.example")
                .replay_store(InMemoryReplayStore::new().max_entries(100).max_entries_per_key(9)),
            false,
        ),
    ] {
        match build(dpop) {
            Ok(_) => assert!(is_good, "{name}"),
            Err(ConfigError::ReplayStoreDiffers { origin, .. }) => {
                assert!(!is_good, "{name}");
                assert_eq!(origin, "https://shared.example", "{name}");
            }
            Err(other) => panic!("{name}: {other}"),
        }
    }
    // A clock without an identity can be compared with none, not with itself either.
    let stopped: Arc<dyn Clock> = Arc::new(Stopped(Timestamp::from_unix_seconds(0)));
    for entries in [100, 101] {
        assert!(bounded("https://shared.example", entries).build(&stopped).is_ok(), "{entries}");
    }
    drop(first);
    assert!(build(bounded("https://shared.example", 101)).is_ok(), "no layer uses the former bounds");
}

#[test]
fn one_proof_has_one_key_and_two_have_two() {
    let claims = |id: &'static str, uri: &'static str| ProofClaims {
        id: id.into(),
        method: "GET".into(),
        uri: uri.into(),
        token_hash: "".into(),
        issued_at: Timestamp::from_unix_seconds(0),
        not_before: None,
        expires_at: None,
        nonce: None,
    };
    let (one, two) = ([1; 32], [2; 32]);
    let key = replay_key(&one, &claims("a", "bc"));
    assert_eq!(key, replay_key(&one, &claims("a", "bc")));
    for (name, other) in [
        ("another key", replay_key(&two, &claims("a", "bc"))),
        ("another jti", replay_key(&one, &claims("b", "bc"))),
        ("another htu", replay_key(&one, &claims("a", "bd"))),
        ("the same text, parted otherwise", replay_key(&one, &claims("ab", "c"))),
    ] {
        assert_ne!(key, other, "{name}");
    }
}
