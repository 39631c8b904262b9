//! Reading and selecting keys, end to end over documents.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA512,
        RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

const MESSAGE: &[u8] = b"header.payload";

fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn ec_jwk(crv: &str, signing: &'static EcdsaSigningAlgorithm) -> (EcdsaKeyPair, Value) {
    let pair = EcdsaKeyPair::generate(signing).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({"kty": "EC", "crv": crv, "x": encode(x), "y": encode(y), "kid": "k"});
    (pair, jwk)
}

fn ed25519_jwk() -> (Ed25519KeyPair, Value) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()), "kid": "k"});
    (pair, jwk)
}

/// The pair and its JWK; `n` and `e` are cut out of the PKCS #1 public key.
fn rsa_jwk() -> (RsaKeyPair, Value) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = pair.public_key().as_ref();
    let (modulus, exponent) = (&der[9..265], &der[267..]);
    let jwk = json!({"kty": "RSA", "n": encode(modulus), "e": encode(exponent), "kid": "k"});
    (pair, jwk)
}

#[expect(clippy::needless_pass_by_value, reason = "rows read better with `json!` in place")]
fn with(jwk: &Value, changes: Value) -> Value {
    let mut jwk = jwk.clone();
    for (name, value) in changes.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

fn without(jwk: &Value, name: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().remove(name);
    jwk
}

fn parse(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes(), AlgorithmSet::ALL).unwrap()
}

/// The algorithms of the keys that one entry gives, or why it gives none.
fn read(jwk: &Value) -> Result<Vec<&'static str>, SkipReason> {
    read_text(&jwk.to_string())
}

fn read_text(jwk: &str) -> Result<Vec<&'static str>, SkipReason> {
    // Beside an empty object, so that an entry of another type does not spoil the document.
    let document = format!(r#"{{"keys": [{{}}, {jwk}]}}"#);
    let set = KeySet::parse(document.as_bytes(), AlgorithmSet::ALL).unwrap();
    match set.skipped() {
        [_, skipped] => Err(skipped.reason),
        _ => Ok(set.keys().map(|key| key.algorithm().as_str()).collect()),
    }
}

#[test]
fn a_key_without_alg_serves_each_algorithm_of_its_type() {
    let (_, rsa) = rsa_jwk();
    assert_eq!(read(&rsa).unwrap(), ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]);
    assert_eq!(read(&ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING).1).unwrap(), ["ES256"]);
    assert_eq!(read(&ec_jwk("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING).1).unwrap(), ["ES384"]);
    assert_eq!(read(&ec_jwk("P-521", &ECDSA_P521_SHA512_FIXED_SIGNING).1).unwrap(), ["ES512"]);
    assert_eq!(read(&ed25519_jwk().1).unwrap(), ["EdDSA", "Ed25519"]);
}

#[test]
fn alg_pins_a_key_to_one_algorithm() {
    let (_, rsa) = rsa_jwk();
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let (_, ed) = ed25519_jwk();
    let rows = [
        (&rsa, json!("PS384"), Ok("PS384")),
        (&ec, json!("ES256"), Ok("ES256")),
        (&ed, json!("EdDSA"), Ok("EdDSA")),
        (&ed, json!("Ed25519"), Ok("Ed25519")),
        (&rsa, json!("ES256"), Err(SkipReason::AlgorithmUnfit)),
        (&rsa, json!("HS256"), Err(SkipReason::AlgorithmUnfit)),
        (&rsa, json!("none"), Err(SkipReason::AlgorithmUnfit)),
        (&rsa, json!("RSA-OAEP"), Err(SkipReason::AlgorithmUnfit)),
        (&rsa, json!("rs256"), Err(SkipReason::AlgorithmUnfit)),
        (&ec, json!("ES384"), Err(SkipReason::AlgorithmUnfit)),
        (&ec, json!("ES521"), Err(SkipReason::AlgorithmUnfit)),
        (&ed, json!("ES256"), Err(SkipReason::AlgorithmUnfit)),
        (&ec, json!(0), Err(SkipReason::Malformed)),
        (&ec, json!(null), Ok("ES256")),
    ];
    for (jwk, alg, expected) in rows {
        assert_eq!(read(&with(jwk, json!({"alg": alg}))), expected.map(|name| vec![name]), "{alg}");
    }
}

#[test]
fn only_allowed_algorithms_are_kept() {
    let (_, rsa) = rsa_jwk();
    let allowed = [SignatureAlgorithm::Ps256, SignatureAlgorithm::Es256].into_iter().collect();
    let document = |jwk: &Value| json!({"keys": [jwk]}).to_string();
    let set = KeySet::parse(document(&rsa).as_bytes(), allowed).unwrap();
    assert_eq!(set.keys().map(|key| key.algorithm()).collect::<Vec<_>>(), [SignatureAlgorithm::Ps256]);
    let pinned = with(&rsa, json!({"alg": "RS256"}));
    let set = KeySet::parse(document(&pinned).as_bytes(), allowed).unwrap();
    assert!(set.is_empty());
    assert_eq!(set.skipped()[0].reason, SkipReason::AlgorithmNotAllowed);
}

#[test]
fn entries_that_are_not_used() {
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let (_, ed) = ed25519_jwk();
    let (_, rsa) = rsa_jwk();
    let long_kid = "k".repeat(257);
    let x = ec["x"].as_str().unwrap();
    let rows = [
        ("kty in another case", with(&ec, json!({"kty": "ec"})), SkipReason::KeyTypeUnknown),
        ("no kty", without(&ec, "kty"), SkipReason::Malformed),
        ("kty is a number", with(&ec, json!({"kty": 1})), SkipReason::Malformed),
        ("unknown kty", with(&ec, json!({"kty": "AKP"})), SkipReason::KeyTypeUnknown),
        ("symmetric", json!({"kty": "oct", "k": "AAAA"}), SkipReason::Symmetric),
        ("private d", with(&ec, json!({"d": "AAAA"})), SkipReason::PrivateMaterial),
        ("private oth", with(&rsa, json!({"oth": []})), SkipReason::PrivateMaterial),
        ("private qi", with(&rsa, json!({"qi": 1})), SkipReason::PrivateMaterial),
        ("an empty d", with(&ec, json!({"d": ""})), SkipReason::PrivateMaterial),
        ("for encryption", with(&ec, json!({"use": "enc"})), SkipReason::UseNotSignature),
        ("use in another case", with(&ec, json!({"use": "SIG"})), SkipReason::UseNotSignature),
        ("use is a number", with(&ec, json!({"use": 0})), SkipReason::Malformed),
        ("only to sign", with(&ec, json!({"key_ops": ["sign"]})), SkipReason::OperationsNotVerify),
        ("no operation", with(&ec, json!({"key_ops": []})), SkipReason::OperationsNotVerify),
        (
            "verify twice",
            with(&ec, json!({"key_ops": ["verify", "verify"]})),
            SkipReason::OperationsNotVerify,
        ),
        ("key_ops is a string", with(&ec, json!({"key_ops": "verify"})), SkipReason::Malformed),
        ("key_ops is mixed", with(&ec, json!({"key_ops": ["verify", 0]})), SkipReason::Malformed),
        (
            "use and key_ops at odds",
            with(&ec, json!({"use": "sig", "key_ops": ["verify", "encrypt"]})),
            SkipReason::OperationsNotVerify,
        ),
        ("kid is a number", with(&ec, json!({"kid": 1})), SkipReason::Malformed),
        ("kty is null", with(&ec, json!({"kty": null})), SkipReason::Malformed),
        ("x is null", with(&ec, json!({"x": null})), SkipReason::Malformed),
        ("kid too long", with(&ec, json!({"kid": long_kid})), SkipReason::KeyIdTooLong),
        ("no crv", without(&ec, "crv"), SkipReason::Malformed),
        ("unknown crv", with(&ec, json!({"crv": "secp256k1"})), SkipReason::CurveUnknown),
        ("an Edwards curve as EC", with(&ec, json!({"crv": "Ed25519"})), SkipReason::CurveUnknown),
        ("an agreement curve", with(&ed, json!({"crv": "X25519"})), SkipReason::CurveUnknown),
        ("Ed448", with(&ed, json!({"crv": "Ed448"})), SkipReason::CurveUnknown),
        ("no y", without(&ec, "y"), SkipReason::Malformed),
        ("off the curve", with(&ec, json!({"y": x})), SkipReason::KeyInvalid),
        ("a short coordinate", with(&ec, json!({"x": encode([1; 31])})), SkipReason::EncodingInvalid),
        ("a long coordinate", with(&ec, json!({"x": encode([0; 33])})), SkipReason::EncodingInvalid),
        ("padding", with(&ec, json!({"x": format!("{x}=")})), SkipReason::EncodingInvalid),
        ("white space", with(&ec, json!({"x": format!(" {x}")})), SkipReason::EncodingInvalid),
        ("a short Ed25519 key", with(&ed, json!({"x": encode([1; 31])})), SkipReason::EncodingInvalid),
        ("no n", without(&rsa, "n"), SkipReason::Malformed),
        ("e = 1", with(&rsa, json!({"e": "AQ"})), SkipReason::RsaExponent),
        ("e = 3", with(&rsa, json!({"e": "Aw"})), SkipReason::RsaExponent),
        ("e with a leading zero", with(&rsa, json!({"e": "AAEAAQ"})), SkipReason::EncodingInvalid),
        ("a short modulus", with(&rsa, json!({"n": encode([0xff; 128])})), SkipReason::RsaSize),
        ("trailing bits", with(&rsa, json!({"e": "AQABAB"})), SkipReason::EncodingInvalid),
        ("a string", json!("key"), SkipReason::NotAnObject),
        ("null", json!(null), SkipReason::NotAnObject),
        ("an array", json!([]), SkipReason::NotAnObject),
    ];
    for (name, jwk, reason) in rows {
        assert_eq!(read(&jwk), Err(reason), "{name}");
    }
}

#[test]
fn entries_that_are_used_though_odd() {
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let rows = [
        ("unknown members", with(&ec, json!({"x5c": ["MIIB"], "nbf": 1, "ext": {"a": [1]}}))),
        ("use", with(&ec, json!({"use": "sig"}))),
        ("key_ops", with(&ec, json!({"key_ops": ["sign", "verify"]}))),
        ("use and key_ops", with(&ec, json!({"use": "sig", "key_ops": ["verify"]}))),
        ("no kid", without(&ec, "kid")),
        (
            "members that are null",
            with(
                &ec,
                json!({"kid": null, "use": null, "key_ops": null, "d": null, "x5t": null, "issuer": null}),
            ),
        ),
        ("secrets of other types", with(&ec, json!({"k": "AAAA", "p": "AAAA", "oth": [1]}))),
        ("malformed thumbprints", with(&ec, json!({"x5t": 7, "x5t#S256": ["a"], "x5c": "no list"}))),
        ("kid of 256 octets", with(&ec, json!({"kid": "k".repeat(256)}))),
        ("empty kid", with(&ec, json!({"kid": ""}))),
    ];
    for (name, jwk) in rows {
        assert_eq!(read(&jwk), Ok(vec!["ES256"]), "{name}");
    }
}

#[test]
fn a_member_given_twice_spoils_its_key_only() {
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let text = ec.to_string();
    let members = text.strip_prefix('{').unwrap();
    for twice in [r#"{"kid": "a","#, r#"{"\u006bid": "a","#, r#"{"ext": 1, "ext": 1,"#] {
        assert_eq!(read_text(&format!("{twice}{members}")), Err(SkipReason::DuplicateMember), "{twice}");
    }
    let many: String = (0..64).map(|number| format!(r#""m{number}": 0,"#)).collect();
    assert_eq!(read_text(&format!("{{{many}{members}")), Err(SkipReason::Malformed), "too many members");
}

#[test]
fn skipped_keys_are_named_and_do_not_spoil_the_rest() {
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let set = parse(&[
        with(&ec, json!({"kid": "enc", "use": "enc"})),
        json!(7),
        with(&ec, json!({"kid": "leak", "d": "AAAA"})),
        ec,
    ]);
    assert_eq!(set.keys().len(), 1);
    let found: Vec<_> = set.skipped().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["\"enc\": use_not_signature", "a key without kid: not_an_object", "\"leak\": private_material"]
    );
}

#[test]
fn only_a_secret_that_is_there_is_exposed() {
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let (_, rsa) = rsa_jwk();
    for (name, jwk, exposes_secret) in [
        ("a private key", with(&ec, json!({"d": "AAAA"})), true),
        ("whatever else is wrong", with(&rsa, json!({"use": "enc", "alg": "RSA-OAEP", "q": "AAAA"})), true),
        ("of another issuer's type", with(&ec, json!({"kid": 7, "d": "AAAA"})), true),
        ("a symmetric key", json!({"kty": "oct", "k": "AAAA"}), true),
        ("an empty member", with(&ec, json!({"d": ""})), false),
        ("an empty list", with(&rsa, json!({"oth": []})), false),
        ("a symmetric key that is only named", json!({"kty": "oct", "kid": "h"}), false),
        ("an encryption key", with(&ec, json!({"use": "enc", "d": null})), false),
        ("public members of another type", json!({"kty": "DSA", "p": "AAAA", "q": "AAAA"}), false),
    ] {
        let set = parse(&[jwk]);
        let found: Vec<_> = set.skipped().iter().map(|key| key.exposes_secret).collect();
        assert_eq!(found, [exposes_secret], "{name}");
    }
}

#[test]
fn documents_that_are_no_key_set() {
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let long = format!(r#"{{"keys": [{ec}], "pad": "{}"}}"#, "x".repeat(512 * 1024));
    let rows: &[(&str, &str, KeySetErrorKind)] = &[
        ("empty", "", KeySetErrorKind::Malformed),
        ("no keys", "{}", KeySetErrorKind::Malformed),
        ("keys null", r#"{"keys": null}"#, KeySetErrorKind::Malformed),
        ("keys an object", r#"{"keys": {}}"#, KeySetErrorKind::Malformed),
        ("a number", "1", KeySetErrorKind::Malformed),
        ("an array", r#"[{"keys": []}]"#, KeySetErrorKind::Malformed),
        ("keys twice", r#"{"keys": [], "keys": []}"#, KeySetErrorKind::Malformed),
        ("another member twice", r#"{"a": 1, "keys": [], "a": 1}"#, KeySetErrorKind::Malformed),
        ("trailing text", r#"{"keys": []} {}"#, KeySetErrorKind::Malformed),
        ("two byte-order marks", "\u{feff}\u{feff}{\"keys\": []}", KeySetErrorKind::Malformed),
        ("a byte-order mark behind", "{\"keys\": []}\u{feff}", KeySetErrorKind::Malformed),
        ("no objects", r#"{"keys": [null, 0, []]}"#, KeySetErrorKind::NoObjects),
        ("over 512 KiB", &long, KeySetErrorKind::TooLarge),
    ];
    for (name, document, kind) in rows {
        let error = KeySet::parse(document.as_bytes(), AlgorithmSet::ALL).unwrap_err();
        assert_eq!(error.kind(), *kind, "{name}");
    }
    let empty = KeySet::parse(br#"{"keys": [], "extra": {}}"#, AlgorithmSet::ALL).unwrap();
    assert!(empty.is_empty() && empty.skipped().is_empty());
    let invalid_utf8 = b"{\"keys\": [], \"a\": \"\xff\"}";
    assert!(KeySet::parse(invalid_utf8, AlgorithmSet::ALL).is_err());
}

#[test]
fn documents_are_bounded_by_their_bytes_alone() {
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let keys: Vec<_> = (0..500).map(|number| with(&ec, json!({"kid": format!("k{number}")}))).collect();
    assert_eq!(parse(&keys).keys().len(), 500);
    let crowded: String = (0..1000).map(|number| format!(r#""m{number}": 0,"#)).collect();
    let crowded = format!("\u{feff}{{{crowded} \"keys\": [{ec}]}}");
    assert_eq!(KeySet::parse(crowded.as_bytes(), AlgorithmSet::ALL).unwrap().keys().len(), 1);
}

#[test]
fn equal_keys_are_one_key() {
    let (pair, rsa) = rsa_jwk();
    let (_, other) = rsa_jwk();
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
    use SelectError::Ambiguous;
    use SignatureAlgorithm::Rs256;
    let pinned = with(&rsa, json!({"alg": "RS256", "use": "sig"}));
    for (name, keys, kid, expected) in [
        ("twice", vec![pinned.clone(), pinned.clone()], Some("k"), Ok(1)),
        ("with x5t", vec![pinned.clone(), with(&pinned, json!({"x5t": "a"}))], Some("k"), Ok(1)),
        ("without alg", vec![pinned.clone(), rsa.clone()], Some("k"), Ok(6)),
        ("without alg, first", vec![rsa.clone(), pinned.clone()], Some("k"), Ok(6)),
        ("without use", vec![pinned.clone(), with(&rsa, json!({"alg": "RS256"}))], Some("k"), Ok(1)),
        ("under two names", vec![pinned.clone(), with(&pinned, json!({"kid": "l"}))], None, Ok(2)),
        ("also without a name", vec![pinned.clone(), without(&pinned, "kid")], None, Ok(2)),
        ("beside another type", vec![pinned.clone(), ec, pinned.clone()], Some("k"), Ok(2)),
        ("different keys", vec![pinned.clone(), other.clone()], Some("k"), Err(Ambiguous)),
        ("different keys, one twice", vec![pinned.clone(), pinned, other], Some("k"), Err(Ambiguous)),
    ] {
        let set = parse(&keys);
        let selected = set.select(Rs256, kid).map(|key| {
            assert!(key.verify(MESSAGE, &signature).is_ok(), "{name}");
            set.keys().len()
        });
        assert_eq!(selected, expected, "{name}");
    }
}

#[test]
fn a_certificate_names_a_key() {
    let key = || ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING).1;
    let (one, other) = (key(), key());
    let set = parse(&[
        with(&one, json!({"kid": "one", "x5t": "a", "x5t#S256": "A"})),
        with(&other, json!({"kid": "other", "x5t": "b"})),
    ]);
    let nameless = parse(&[
        with(&without(&one, "kid"), json!({"x5t": "a"})),
        with(&without(&other, "kid"), json!({"x5t": "b"})),
    ]);
    let twins = parse(&[with(&one, json!({"kid": "k", "x5t": "a"})), with(&other, json!({"kid": "k"}))]);
    // One key with two certificates, and another.
    let renewed = parse(&[
        with(&one, json!({"x5t": "a"})),
        with(&one, json!({"x5t": "c"})),
        with(&other, json!({"kid": "other", "x5t": "b"})),
    ]);
    use SelectError::{Ambiguous, Mismatch, Unknown};
    use SignatureAlgorithm::{Es256, Es384};
    let hint = KeyHint::default;
    let kid = |kid| KeyHint::from(Some(kid));
    for (name, set, algorithm, hint, expected) in [
        ("by x5t", &set, Es256, hint().x5t("a"), Ok(Some("one"))),
        ("by the other x5t", &set, Es256, hint().x5t("b"), Ok(Some("other"))),
        ("by x5t#S256", &set, Es256, hint().x5t_s256("A"), Ok(Some("one"))),
        ("by both", &set, Es256, hint().x5t("a").x5t_s256("A"), Ok(Some("one"))),
        ("at odds", &set, Es256, hint().x5t("b").x5t_s256("B"), Ok(Some("other"))),
        ("at odds with one key", &set, Es256, hint().x5t("a").x5t_s256("B"), Err(Unknown)),
        ("of none", &set, Es256, hint().x5t("c"), Err(Unknown)),
        ("in another case", &set, Es256, hint().x5t("A"), Err(Unknown)),
        ("padded", &set, Es256, hint().x5t("a="), Err(Unknown)),
        ("by the other kind", &set, Es256, hint().x5t_s256("a"), Err(Unknown)),
        ("no name", &set, Es256, hint(), Err(Ambiguous)),
        ("for another algorithm", &set, Es384, hint().x5t("a"), Err(Unknown)),
        ("kid, whatever x5t says", &set, Es256, kid("one").x5t("z"), Ok(Some("one"))),
        ("kid for another algorithm", &set, Es384, kid("one").x5t("a"), Err(Mismatch)),
        ("an unknown kid", &set, Es256, kid("z").x5t("a"), Err(Unknown)),
        ("a key without kid", &nameless, Es256, kid("z").x5t("b"), Ok(None)),
        ("a key without kid, unknown", &nameless, Es256, kid("z").x5t("z"), Err(Unknown)),
        ("twins told apart", &twins, Es256, kid("k").x5t("a"), Ok(Some("k"))),
        ("twins not told apart", &twins, Es256, kid("k").x5t("z"), Err(Ambiguous)),
        ("the first certificate", &renewed, Es256, hint().x5t("a"), Ok(Some("k"))),
        ("the second certificate", &renewed, Es256, hint().x5t("c"), Ok(Some("k"))),
    ] {
        let selected = set.select(algorithm, hint).map(|key| key.key_id().map(str::to_owned));
        assert_eq!(selected, expected.map(|kid: Option<&str>| kid.map(str::to_owned)), "{name}");
    }
}

#[test]
fn one_rule_selects_a_key() {
    let (_, ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let (_, other_ec) = ec_jwk("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let (_, ed) = ed25519_jwk();
    let named = parse(&[with(&ec, json!({"kid": "a"})), with(&ed, json!({"kid": "b"}))]);
    let unnamed = parse(&[without(&ec, "kid")]);
    let twins = parse(&[with(&ec, json!({"kid": "t"})), with(&other_ec, json!({"kid": "t"}))]);
    let cousins = parse(&[with(&ec, json!({"kid": "t"})), with(&ed, json!({"kid": "t"}))]);
    let half = parse(&[with(&ec, json!({"kid": "t"})), with(&other_ec, json!({"kid": "t", "use": "enc"}))]);
    use SelectError::{Ambiguous, Mismatch, Unknown};
    use SignatureAlgorithm::{Es256, Es384};
    let rows = [
        ("by name", &named, Es256, Some("a"), Ok(())),
        ("no kid, one fits", &named, Es256, None, Ok(())),
        ("no kid on either side", &unnamed, Es256, None, Ok(())),
        ("one name, two types", &cousins, Es256, Some("t"), Ok(())),
        ("one twin is not usable", &half, Es256, Some("t"), Ok(())),
        ("another name", &named, Es256, Some("c"), Err(Unknown)),
        ("another case", &named, Es256, Some("A"), Err(Unknown)),
        ("a prefix", &named, Es256, Some(""), Err(Unknown)),
        ("a named key for another algorithm", &named, Es256, Some("b"), Err(Mismatch)),
        ("a name against a key without", &unnamed, Es256, Some("a"), Err(Unknown)),
        ("no kid, none fits", &named, Es384, None, Err(Unknown)),
        ("twins", &twins, Es256, Some("t"), Err(Ambiguous)),
        ("twins without kid", &twins, Es256, None, Err(Ambiguous)),
    ];
    for (name, set, algorithm, kid, expected) in rows {
        assert_eq!(set.select(algorithm, kid).map(|_| ()), expected, "{name}");
    }
}

#[test]
fn every_family_verifies() {
    let random = SystemRandom::new();
    let check = |jwk: &Value, algorithm, signature: &[u8]| {
        let set = parse(std::slice::from_ref(jwk));
        let key = set.select(algorithm, Some("k")).unwrap();
        key.verify(MESSAGE, signature).unwrap();
        assert!(key.verify(b"header.payloaD", signature).is_err(), "{algorithm}");
        assert!(key.verify(MESSAGE, &signature[1..]).is_err(), "{algorithm}");
        assert!(key.verify(MESSAGE, &[signature, &[0]].concat()).is_err(), "{algorithm}");
    };
    for (crv, signing, algorithm, len) in [
        ("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING, SignatureAlgorithm::Es256, 64),
        ("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING, SignatureAlgorithm::Es384, 96),
        ("P-521", &ECDSA_P521_SHA512_FIXED_SIGNING, SignatureAlgorithm::Es512, 132),
    ] {
        let (pair, jwk) = ec_jwk(crv, signing);
        let signature = pair.sign(&random, MESSAGE).unwrap();
        assert_eq!(signature.as_ref().len(), len);
        check(&jwk, algorithm, signature.as_ref());
    }
    let (pair, jwk) = ed25519_jwk();
    check(&jwk, SignatureAlgorithm::EdDsa, pair.sign(MESSAGE).as_ref());
    check(&jwk, SignatureAlgorithm::Ed25519, pair.sign(MESSAGE).as_ref());
    let (pair, jwk) = rsa_jwk();
    let mut signature = vec![0; 256];
    pair.sign(&RSA_PKCS1_SHA256, &random, MESSAGE, &mut signature).unwrap();
    check(&jwk, SignatureAlgorithm::Rs256, &signature);
    let set = parse(std::slice::from_ref(&jwk));
    assert!(set.select(SignatureAlgorithm::Ps256, Some("k")).unwrap().verify(MESSAGE, &signature).is_err());
    pair.sign(&RSA_PSS_SHA512, &random, MESSAGE, &mut signature).unwrap();
    check(&jwk, SignatureAlgorithm::Ps512, &signature);
}

#[test]
fn keys_that_jsonwebtoken_cannot_name_have_no_verifier() {
    let set = parse(&[ed25519_jwk().1]);
    assert!(set.select(SignatureAlgorithm::EdDsa, None).unwrap().jwt_verifier().is_some());
    assert!(set.select(SignatureAlgorithm::Ed25519, None).unwrap().jwt_verifier().is_none());
}

/// The key sets of the conformance vectors, where the environment names them.
mod vectors {
    use super::*;

    #[expect(clippy::print_stderr, reason = "a run without the vectors must say so")]
    fn load(name: &str) -> Option<Vec<Value>> {
        let Some(folder) = std::env::var_os("CONFORMANCE_VECTORS") else {
            eprintln!("CONFORMANCE_VECTORS is not set: {name} is not tried");
            return None;
        };
        let text = std::fs::read_to_string(std::path::Path::new(&folder).join(name)).unwrap();
        Some(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn key_sets_of_identity_providers() {
        for case in load("jwks/idp_jwks.json").unwrap_or_default() {
            let id = &case["id"];
            let document = case["jwks"].as_str().map_or_else(|| case["jwks"].to_string(), str::to_owned);
            let parsed = KeySet::parse(document.as_bytes(), AlgorithmSet::ALL);
            if case["expect"] == "invalid" {
                assert!(parsed.is_err(), "{id}");
                continue;
            }
            let set = parsed.unwrap();
            let mut usable: Vec<Value> = set.keys().map(|key| json!(key.key_id())).collect();
            usable.dedup();
            assert_eq!(json!(usable), case["usable_kids"], "{id}");
        }
    }

    /// Symmetric keys are never accepted here, so of the valid cases those are refused, too.
    #[test]
    fn wycheproof_key_sets() {
        for case in load("jwk/wycheproof_jwk.json").unwrap_or_default() {
            let set = KeySet::parse(case["jwks"].to_string().as_bytes(), AlgorithmSet::ALL).unwrap();
            let parts: Vec<&str> = case["jws"].as_str().unwrap().split('.').collect();
            let [header, payload, signature] = parts[..] else { panic!("{}", case["id"]) };
            let message = format!("{header}.{payload}");
            let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
            let verified = SignatureAlgorithm::from_name(header["alg"].as_str().unwrap())
                .and_then(|algorithm| set.select(algorithm, header["kid"].as_str()).ok())
                .is_some_and(|key| {
                    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
                    key.verify(message.as_bytes(), &signature).is_ok()
                });
            let symmetric = header["alg"].as_str().unwrap().starts_with("HS");
            assert_eq!(verified, case["expect"] == "valid" && !symmetric, "{}", case["id"]);
            if case["id"] == "wp-jwk-7" {
                assert_eq!(set.skipped()[0].reason, SkipReason::RsaModulusWeak);
            }
        }
    }
}
