//! The conformance vectors on key sets and on metadata URLs, where the
//! environment names their folder.

use std::{collections::BTreeSet, env, fs, path::Path, sync::Once};

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_delegation::{
    issuer::metadata_urls,
    jwks::{AlgorithmSet, KeySet, KeySourceErrorKind, SignatureAlgorithm},
    protected_resource::ProtectedResource,
};

use crate::{Observed, lasting};

static SAID: Once = Once::new();

/// The cases of a file, or `None` with one visible line for all files.
fn load(name: &str) -> Option<Vec<Value>> {
    let Some(folder) = env::var_os("CONFORMANCE_VECTORS") else {
        SAID.call_once(|| {
            crate::say(
                "CONFORMANCE_VECTORS is not set: the vectors of key sets and metadata URLs are left out",
            )
        });
        return None;
    };
    let text = fs::read(Path::new(&folder).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(serde_json::from_slice(&text).unwrap())
}

/// `strict_expect`, where a published label is wrong for a strict reader.
fn expected(case: &Value) -> &str {
    let label = case.get("strict_expect").unwrap_or(&case["expect"]);
    label.as_str().unwrap_or_else(|| panic!("{case}"))
}

/// A `kid` as the vectors write it: `null` is a key without one.
fn kids(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().map(Value::to_string).collect()
}

/// A token that a case brings along verifies with the key that it names.
fn check_token(id: &Value, token: &str, set: &KeySet) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.decode(message.split_once('.').unwrap().0).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let algorithm = SignatureAlgorithm::from_name(header["alg"].as_str().unwrap()).unwrap();
    let key = set.select(algorithm, header["kid"].as_str()).unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(key.verify(message.as_bytes(), &signature).is_ok(), "{id}");
    signature[0] ^= 1;
    assert!(key.verify(message.as_bytes(), &signature).is_err(), "{id}");
}

#[tokio::test]
async fn key_sets_of_identity_providers() {
    let Some(cases) = load("jwks/idp_jwks.json") else { return };
    let world = lasting().await;
    let good = world.idp.jwks()["keys"][0].clone();
    let (mut usable_sets, mut empty_sets, mut unusable, mut tokens, mut informative) = (0, 0, 0, 0, 0);
    for case in &cases {
        let id = &case["id"];
        // A document that is a string is one that must be read as it stands, byte by byte.
        let document = case["jwks"].as_str().map_or_else(|| case["jwks"].to_string(), str::to_owned);
        let parsed = KeySet::parse(document.as_bytes(), AlgorithmSet::ALL);
        match expected(case) {
            "info" => {
                informative += 1;
                continue;
            }
            "invalid" => {
                assert!(parsed.is_err(), "{id}");
                unusable += 1;
            }
            _ => {
                let set = parsed.unwrap();
                let usable: BTreeSet<String> =
                    set.keys().map(|key| json!(key.key_id()).to_string()).collect();
                assert_eq!(usable, kids(&case["usable_kids"]), "{id}");
                assert!(usable.is_disjoint(&kids(&case["ignored"])), "{id}");
                assert!(set.skipped().len() >= kids(&case["ignored"]).len(), "{id}: {:?}", set.skipped());
                if let Some(token) = case["token"].as_str() {
                    check_token(id, token, &set);
                    tokens += 1;
                }
                if usable.is_empty() { empty_sets += 1 } else { usable_sets += 1 }
            }
        }
        // The same document from a server, to a service that has no keys yet.
        world.idp.replace_jwks_document(document.clone());
        let service = world.service();
        let parsed = KeySet::parse(document.as_bytes(), AlgorithmSet::ALL);
        match parsed.ok().filter(|set| !set.is_empty()) {
            Some(set) => {
                service.layer.warm_up().await.unwrap_or_else(|error| panic!("{id}: {error}"));
                let status = service.status();
                let found = (status.key_count, status.skipped_count);
                assert_eq!(found, (set.keys().len(), set.skipped().len()), "{id}");
            }
            None => {
                let error = service.layer.warm_up().await.unwrap_err().kind();
                let wanted = match expected(case) {
                    "invalid" => KeySourceErrorKind::DocumentInvalid,
                    _ => KeySourceErrorKind::NoUsableKey,
                };
                assert_eq!(error, wanted, "{id}");
                assert!(!service.status().has_keys, "{id}");
            }
        }
        // Its keys beside a good one: the good one works, whatever they are.
        if let Ok(mut document) = serde_json::from_str::<Value>(&document)
            && let Some(keys) = document.get_mut("keys").and_then(Value::as_array_mut)
        {
            keys.push(good.clone());
            world.idp.replace_jwks_document(document.to_string());
            assert_eq!(world.service().call(&world.token().sign()).await, StatusCode::OK, "{id}");
        }
    }
    crate::say(&format!(
        "jwks/idp_jwks.json: {} cases: {usable_sets} sets with usable keys, {empty_sets} without, \
         {unusable} unusable documents, {tokens} tokens verified, {informative} informative",
        cases.len()
    ));
}

/// Cases of the kind `oauth-protected-resource` are about the metadata of the
/// service itself (RFC 9728). A list of places is compared in its order.
#[test]
fn metadata_urls_of_issuers_and_resources() {
    let Some(cases) = load("oauth/metadata_urls.json") else { return };
    let (mut built, mut refused, mut informative) = (0, 0, 0);
    for case in &cases {
        let id = &case["id"];
        let kind = case["kind"].as_str().unwrap();
        let identifier = case["identifier"].as_str().unwrap();
        let urls = if kind == "oauth-protected-resource" {
            ProtectedResource::new(identifier).map(|resource| vec![resource.metadata_url().to_owned()])
        } else {
            metadata_urls(identifier).map(Iterator::collect::<Vec<_>>)
        };
        match expected(case) {
            "info" => informative += 1,
            "invalid" => {
                assert!(urls.is_err(), "{id}: {urls:?}");
                refused += 1;
            }
            _ => {
                let urls = urls.unwrap_or_else(|error| panic!("{id}: {error}"));
                if let Some(list) = case["urls"].as_array() {
                    let wanted: Vec<_> = list.iter().map(|url| url.as_str().unwrap().to_owned()).collect();
                    assert_eq!(urls, wanted, "{id}");
                } else {
                    let wanted = case["url"].as_str().unwrap();
                    assert!(urls.iter().any(|url| url == wanted), "{id}: {wanted} is not in {urls:?}");
                }
                built += 1;
            }
        }
    }
    crate::say(&format!(
        "oauth/metadata_urls.json: {} cases: {built} built, {refused} refused, {informative} informative",
        cases.len()
    ));
}
