//! The published cases for JWT-SVIDs. They name claims; the test signs them.

use std::{env, fs, path::Path};

use integration_tests::Served;
use serde_json::{Value, json};
use tower_delegation::{ClientIdentity, clock::Clock as _, jwt_svid::JwtSvidSource};
use tower_delegation_testing::{ALGORITHMS, Algorithm};

use super::{FIELD, Signers, ask, merged, router};
use crate::vectors::say;

/// `now`, `now+1h`, `now-1h`, in any unit of s, m and h.
fn time(text: &str, now: i64) -> Option<i64> {
    let offset = text.strip_prefix("now")?;
    if offset.is_empty() {
        return Some(now);
    }
    let (number, unit) = offset.split_at(offset.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => panic!("{text}"),
    };
    Some(now + number.parse::<i64>().unwrap() * seconds)
}

/// Whether a case changes nothing but what [`judge`] knows to make.
fn is_understood(case: &Value) -> bool {
    let known = ["header", "claims", "expected_aud", "sign_with", "bundle_jwk"];
    case["change"].as_object().unwrap().keys().all(|member| known.contains(&member.as_str()))
}

/// Signs a case and has it judged over a socket.
async fn judge(world: &Signers, case: &Value) -> u16 {
    let (base, change) = (&case["base"], &case["change"]);
    let patched = |part: &str| {
        let patch = change.get(part).cloned().unwrap_or_else(|| json!({}));
        merged(base[part].clone(), patch)
    };
    let header = patched("header");
    let now = world.clock.now().unix_seconds();
    let mut claims = patched("claims");
    for claim in claims.as_object_mut().unwrap().values_mut() {
        if let Some(time) = claim.as_str().and_then(|text| time(text, now)) {
            *claim = time.into();
        }
    }
    let named = |algorithm: &&Algorithm| header["alg"] == algorithm.as_str();
    let algorithm = ALGORITHMS.iter().find(named).copied().unwrap_or(Algorithm::Es256);
    let svid = world.spire.token().algorithm(algorithm);
    let svid = svid.header_json(header.to_string()).claims_json(claims.to_string());
    let svid = if change.get("sign_with").is_some() { svid.sign_with_other_key() } else { svid };
    let svid = svid.sign();

    // The key of that algorithm under the name that the base gives it, in the bundle of the base's domain.
    let jwks = world.spire.jwks();
    let jwk = jwks["keys"].as_array().unwrap().iter().find(|jwk| jwk["alg"] == algorithm.as_str()).unwrap();
    let jwk = merged(jwk.clone(), json!({ "use": "jwt-svid", "kid": base["header"]["kid"] }));
    let jwk = merged(jwk, change.get("bundle_jwk").cloned().unwrap_or_else(|| json!({})));
    let bundle = json!({ "keys": [jwk] });
    world.bundles.set("trustdomain", &bundle.to_string()).unwrap();

    let mut source = JwtSvidSource::new(FIELD, world.bundles.clone());
    let audiences = change.get("expected_aud").unwrap_or(&base["expected_aud"]);
    for audience in audiences.as_array().unwrap() {
        source = source.add_audience(audience.as_str().unwrap());
    }
    let identity = ClientIdentity::from_source(source);
    let layer = world.layer().client_identity(identity).allow_anonymous();
    let site = Served::start(router().layer(layer.build().unwrap())).await;
    ask(&site, "/open", None, &[&svid]).await.status
}

#[tokio::test]
async fn jwt_svids() {
    const FILE: &str = "spiffe/jwtsvid_cases";
    let Some(folder) = env::var_os("CONFORMANCE_VECTORS") else {
        say(&format!("vectors {FILE}: left out, because CONFORMANCE_VECTORS names no folder"));
        return;
    };
    let text = fs::read_to_string(Path::new(&folder).join(FILE).with_extension("json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    let world = Signers::new().await;
    let (mut accepted, mut refused, mut left_out) = (0, 0, 0);
    for case in &cases {
        if !is_understood(case) {
            left_out += 1;
            continue;
        }
        let expected = if case["expect"] == "valid" { 200 } else { 403 };
        assert_eq!(judge(&world, case).await, expected, "{}: {}", case["id"], case["why"]);
        *(if expected == 200 { &mut accepted } else { &mut refused }) += 1;
    }
    say(&format!(
        "vectors {FILE}: {} cases, {refused} refused as expected, {accepted} accepted, {left_out} left out",
        cases.len()
    ));
}
