//! Odd keys next to a good one, and documents that are no key sets.

use axum::http::StatusCode;
use integration_tests::PlainLog;
use serde_json::{Value, json};
use tower_delegation::jwks::KeySourceErrorKind;
use tower_delegation_testing::Algorithm;

use crate::{Observed, World, lasting};

/// A public key that nothing is wrong with, changed.
fn changed(world: &World, algorithm: Algorithm, changes: &Value) -> Value {
    let issuer = world.idp.issuer_at("/odd");
    let _ = issuer.token().algorithm(algorithm).sign();
    let keys = issuer.jwks()["keys"].as_array().unwrap().clone();
    let mut jwk = keys.into_iter().find(|key| key["alg"] == algorithm.as_str()).unwrap();
    let members = jwk.as_object_mut().unwrap();
    members.insert("kid".to_owned(), json!("odd"));
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    jwk
}

/// Keys that are not used, and keys that are odd and good all the same.
fn odd_keys(world: &World) -> Vec<(&'static str, Value, bool)> {
    let ec = |changes| changed(world, Algorithm::Es256, &changes);
    let rsa = |changes| changed(world, Algorithm::Rs256, &changes);
    vec![
        ("post-quantum", json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "odd", "pub": "AAAA"}), false),
        ("secp256k1", ec(json!({"crv": "secp256k1", "alg": "ES256K"})), false),
        ("X25519", json!({"kty": "OKP", "crv": "X25519", "kid": "odd", "x": "A".repeat(43)}), false),
        ("encryption", rsa(json!({"use": "enc", "alg": "RSA-OAEP"})), false),
        ("encryption without use", rsa(json!({"use": null, "alg": "RSA-OAEP-256"})), false),
        ("a numeric kid", ec(json!({"kid": 7})), false),
        ("an overlong kid", ec(json!({"kid": "k".repeat(257)})), false),
        ("symmetric", json!({"kty": "oct", "kid": "odd", "alg": "HS256", "k": "c2VjcmV0"}), false),
        ("private members", ec(json!({"d": "AAAA"})), false),
        ("private RSA members", rsa(json!({"p": "AAAA", "q": "AAAA"})), false),
        ("a point off the curve", ec(json!({"y": "A".repeat(43)})), false),
        ("a short coordinate", ec(json!({"x": "AAAA"})), false),
        ("a weak modulus", rsa(json!({"n": "AQAB"})), false),
        ("a misspelt algorithm", ec(json!({"alg": "ES521"})), false),
        ("only for signing", ec(json!({"use": null, "key_ops": ["sign"]})), false),
        ("a number", json!(7), false),
        ("null", Value::Null, false),
        ("a list", json!([]), false),
        ("nothing in it", json!({}), false),
        ("no kid", ec(json!({"kid": null})), true),
        ("unknown members", ec(json!({"x5c": [7], "vendor": {"deep": [[[]]]}})), true),
        ("of another issuer", ec(json!({"issuer": "https://other.example"})), false),
        ("of a malformed issuer", ec(json!({"issuer": {"deep": [[[]]]}})), false),
    ]
}

#[tokio::test]
async fn odd_keys_do_not_spoil_a_good_one() {
    let world = lasting().await;
    for (name, odd, is_usable) in odd_keys(&world) {
        let mut jwks = world.idp.jwks();
        jwks["keys"].as_array_mut().unwrap().insert(0, odd);
        world.idp.replace_jwks_document(jwks.to_string());
        let service = world.warm_service().await;
        let status = service.status();
        assert_eq!(status.skipped_count, usize::from(!is_usable), "{name}");
        assert_eq!(status.key_count, 1 + usize::from(is_usable), "{name}");
        assert_eq!(service.call_at_once(&world.token().sign()), StatusCode::OK, "{name}");
        let by_odd = world.idp.issuer_at("/odd").token().issuer(world.idp.issuer()).header("kid", "odd");
        let answer = service.call(&by_odd.audience(integration_tests::AUDIENCE).sign()).await;
        let is_named = name == "unknown members";
        assert_eq!(answer, if is_named { StatusCode::OK } else { StatusCode::UNAUTHORIZED }, "{name}");
    }
}

#[tokio::test]
async fn all_the_odd_keys_at_once_do_not_either() {
    let world = lasting().await;
    let odd = odd_keys(&world);
    let skipped = odd.iter().filter(|(_, _, is_usable)| !is_usable).count();
    for (_, jwk, _) in odd {
        world.idp.publish_extra_jwk(jwk);
    }
    let service = world.warm_service().await;
    assert_eq!(service.status().skipped_count, skipped);
    assert_eq!(service.call_at_once(&world.token().sign()), StatusCode::OK);
    let unnamed = world.token().without_header("kid").sign();
    assert_eq!(service.call(&unnamed).await, StatusCode::UNAUTHORIZED, "two keys might fit");
}

#[tokio::test]
async fn a_useless_document_never_replaces_a_good_one() {
    use KeySourceErrorKind::{DocumentInvalid, NoUsableKey, Refused};
    let world = lasting().await;
    let good = world.idp.jwks();
    let key = &good["keys"][0];
    let padded = |len: usize| {
        let mut document = json!({"pad": "", "keys": [key]});
        let rest = len - document.to_string().len();
        document["pad"] = json!("x".repeat(rest));
        document.to_string()
    };
    let rows = [
        ("empty", json!({"keys": []}).to_string(), NoUsableKey),
        ("no usable key", json!({"keys": [{"kty": "oct", "k": "AAAA"}]}).to_string(), NoUsableKey),
        ("no keys", "{}".to_owned(), DocumentInvalid),
        ("keys no list", json!({"keys": key}).to_string(), DocumentInvalid),
        ("keys twice", format!(r#"{{"keys": [{key}], "keys": [{key}]}}"#), DocumentInvalid),
        ("nothing but numbers", json!({"keys": [1, 2]}).to_string(), DocumentInvalid),
        ("broken", good.to_string()[..60].to_owned(), DocumentInvalid),
        ("text behind it", format!("{good} x"), DocumentInvalid),
        ("HTML", "<html>be right back</html>".to_owned(), DocumentInvalid),
        ("nothing", String::new(), DocumentInvalid),
        ("longer than 512 KiB", padded(512 * 1024 + 1), Refused),
        ("deeply nested", format!(r#"{{"keys": [{key}], "a": {}}}"#, "[".repeat(100_000)), DocumentInvalid),
    ];
    for (name, document, error) in rows {
        world.idp.restore_jwks_document();
        let service = world.warm_service().await;
        let before = service.status();
        world.idp.replace_jwks_document(document);
        world.clock.advance(crate::DEFAULT_REFRESH);
        service.until(name, |status| status.last_error.is_some()).await;
        assert_eq!(service.last_error(), Some(error), "{name}");
        assert_eq!(service.status().key_count, before.key_count, "{name}");
        assert_eq!(service.call_at_once(&world.token().sign()), StatusCode::OK, "{name}");
        let stranger = world.token().header("kid", "stranger").sign();
        assert_eq!(service.call(&stranger).await, StatusCode::UNAUTHORIZED, "{name}: the set is fresh");
        world.clock.advance(crate::LIFETIME - crate::DEFAULT_REFRESH + crate::SECOND);
        assert_eq!(service.call(&stranger).await, StatusCode::SERVICE_UNAVAILABLE, "{name}: not any more");

        let cold = world.service();
        assert_eq!(cold.call(&world.token().sign()).await, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        assert!(!cold.status().has_keys, "{name}");
    }

    // The neighbours that are just good enough.
    let odd = |number: usize| json!({"kty": "oct", "kid": format!("k{number}")});
    let mut thousand: Vec<_> = (0..1000).map(odd).collect();
    thousand.push(key.clone());
    for (name, document) in [
        ("512 KiB", padded(512 * 1024)),
        ("1001 keys", json!({"keys": thousand}).to_string()),
        ("a byte-order mark", format!("\u{feff}{good}")),
    ] {
        world.idp.replace_jwks_document(document);
        let service = world.service();
        assert_eq!(service.call(&world.token().sign()).await, StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn warnings_list_each_skipped_key_once_and_only_a_published_secret_is_an_alarm() {
    const ALARM: &str = "publishes a secret";
    let world = lasting().await;
    let log = PlainLog::listen();
    let good = world.idp.jwks()["keys"][0].clone();
    let changed = |kid: &str, name: &str, value: Value| {
        let mut key = good.clone();
        key["kid"] = json!(kid);
        key[name] = value;
        key
    };
    let rows = [
        ("nothing is skipped", vec![], vec![], false),
        ("keys for something else", vec![changed("enc", "use", json!("enc"))], vec![], false),
        ("nulls", vec![changed("a", "d", Value::Null)], vec![], false),
        ("a member of another type of key", vec![changed("a", "k", json!("AAAA"))], vec![], false),
        (
            "unusable ones",
            vec![changed("a", "crv", json!("P-192")), json!(7), changed("b\nforged", "y", json!("AAAA"))],
            vec![
                r#""a": curve_unknown"#,
                "a key without kid: not_an_object",
                r#""b\nforged": encoding_invalid"#,
            ],
            false,
        ),
        ("a named symmetric key", vec![json!({"kty": "oct", "kid": "h"})], vec![r#""h": symmetric"#], false),
        ("an empty member", vec![changed("a", "d", json!(""))], vec![r#""a": private_material"#], false),
        (
            "a symmetric key",
            vec![json!({"kty": "oct", "kid": "h", "k": "c2VjcmV0"})],
            vec!["symmetric"],
            true,
        ),
        ("a private key", vec![changed("a", "d", json!("c2VjcmV0"))], vec!["private_material"], true),
        (
            "a private key that is skipped for another reason",
            vec![json!({"kty": "RSA", "kid": 7, "d": "c2VjcmV0"})],
            vec!["a key without kid: malformed"],
            true,
        ),
    ];
    for (name, mut keys, listed, is_alarm) in rows {
        keys.push(good.clone());
        let jwks = json!({"keys": keys});
        world.idp.replace_jwks_document(jwks.to_string());
        let service = world.warm_service().await;
        let warnings: Vec<_> =
            log.take().lines().filter(|line| line.contains(" WARN ")).map(str::to_owned).collect();
        for text in &listed {
            let lists = warnings.iter().filter(|line| line.contains("not usable") && line.contains(*text));
            assert_eq!(lists.count(), 1, "{name}: {text} in {warnings:?}");
        }
        assert_eq!(warnings.iter().any(|line| line.contains(ALARM)), is_alarm, "{name}: {warnings:?}");
        assert_eq!(
            warnings.len(),
            usize::from(!listed.is_empty()) + usize::from(is_alarm),
            "{name}: {warnings:?}"
        );
        assert!(!warnings.iter().any(|line| line.contains("c2VjcmV0")), "{name}: {warnings:?}");
        // The same set again says nothing new.
        let junk = world.token().header("kid", "junk").sign();
        world.idp.replace_jwks_document(format!("{jwks} "));
        assert_eq!(service.call(&junk).await, StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(log.take_with(" WARN "), [""; 0], "{name}");
    }
}
