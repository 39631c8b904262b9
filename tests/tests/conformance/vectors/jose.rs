//! Signatures and key sets.

use std::collections::BTreeSet;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tower_delegation::{
    DenialReason,
    jwks::{self, AlgorithmSet, KeySet},
    token::UnverifiedToken,
};

use super::{Expectation, Label, Policy, Tally, Verdict, cases};

/// Does a JWS verify with a key of this set? Says nothing of its payload, which
/// may be empty: only an access token has to have claims.
fn verify(jwks: &str, jws: &str) -> Result<(), String> {
    let keys = KeySet::parse(jwks.as_bytes(), AlgorithmSet::ALL).map_err(|error| error.to_string())?;
    let token = UnverifiedToken::parse(jws).map_err(|reason| reason.to_string())?;
    let key = keys.select(token.algorithm(), token.key_id()).map_err(DenialReason::from);
    let key = key.map_err(|reason| format!("{reason}, {:?}", keys.skipped()))?;
    token.verify_signature(key).map_err(|reason| reason.to_string())?;
    token.payload().map(drop).map_err(|reason| reason.to_string())
}

/// A JWS as a case gives it: compact, or in a JSON serialization.
fn text(jws: &RawValue) -> String {
    serde_json::from_str::<String>(jws.get()).unwrap_or_else(|_an_object| jws.get().to_owned())
}

/// Does the token say that it carries an HMAC, or is the only key a secret one?
fn is_hmac(jws: &str, keys: &[Value]) -> bool {
    // Read as leniently as it goes: a policy must not hang on the spelling.
    let lenient = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let header = jws.split('.').next().and_then(|header| lenient.decode(header).ok());
    let header: Option<Value> = header.and_then(|header| serde_json::from_slice(&header).ok());
    let alg = header.as_ref().and_then(|header| header["alg"].as_str()).unwrap_or_default();
    alg.starts_with("HS") || !keys.is_empty() && keys.iter().all(|key| key["kty"] == "oct")
}

/// Is a key on a curve that no algorithm of this version is for?
fn is_on_unsupported_curve(key: &Value) -> bool {
    matches!(key["crv"].as_str(), Some("Ed448" | "secp256k1"))
}

/// The entries of a set, as a reader without rules sees them.
fn entries(jwks: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(jwks).unwrap_or_default();
    document["keys"].as_array().cloned().unwrap_or_default()
}

fn policy(jws: &str, keys: &[Value]) -> Option<Policy> {
    if is_hmac(jws, keys) {
        Some(Policy::Hmac)
    } else if !keys.is_empty() && keys.iter().all(is_on_unsupported_curve) {
        Some(Policy::CurveUnsupported)
    } else {
        None
    }
}

#[derive(Deserialize)]
struct Jws {
    jws: Box<RawValue>,
    /// A case without a key has an empty set.
    jwk: Option<Box<RawValue>>,
}

fn run_jws(file: &'static str) {
    let Some(cases) = cases::<Jws>(file) else { return };
    let mut tally = Tally::of(file);
    for (expectation, case) in cases {
        let jws = text(&case.jws);
        let key = case.jwk.as_deref().map_or("", RawValue::get);
        let jwks = format!(r#"{{"keys":[{key}]}}"#);
        let outcome = verify(&jwks, &jws);
        tally.add(&expectation, expectation.judge(&outcome, policy(&jws, &entries(&jwks))));
    }
    tally.finish();
}

#[test]
fn jws_rfc_examples() {
    run_jws("jws/rfc_examples");
}

#[test]
fn jws_wycheproof() {
    run_jws("jws/wycheproof_jws");
}

#[derive(Deserialize)]
struct Set {
    jwks: Box<RawValue>,
    jws: Box<RawValue>,
}

/// Also those cases that `needs` a rule over the whole set: one key alone would pass.
#[test]
fn jwk_wycheproof() {
    const FILE: &str = "jwk/wycheproof_jwk";
    let Some(cases) = cases::<Set>(FILE) else { return };
    let mut tally = Tally::of(FILE);
    for (expectation, case) in cases {
        let (jwks, jws) = (case.jwks.get(), text(&case.jws));
        let outcome = verify(jwks, &jws);
        tally.add(&expectation, expectation.judge(&outcome, policy(&jws, &entries(jwks))));
    }
    tally.finish();
}

#[derive(Deserialize)]
struct Published {
    jwks: Box<RawValue>,
    /// `null`: the whole document is unusable.
    usable_kids: Option<Vec<Option<String>>>,
    /// A real token of the issuer, where the case has one.
    token: Option<String>,
    #[serde(default)]
    ignored: Vec<Option<String>>,
}

#[test]
fn jwks_of_identity_providers() {
    const FILE: &str = "jwks/idp_jwks";
    let Some(cases) = cases::<Published>(FILE) else { return };
    let mut tally = Tally::of(FILE);
    for (expectation, case) in cases {
        tally.add(&expectation, published(&case, &expectation));
    }
    tally.finish();
}

fn published(case: &Published, expectation: &Expectation) -> Result<Verdict, String> {
    let jwks = case.jwks.get();
    let set = KeySet::parse(jwks.as_bytes(), AlgorithmSet::ALL);
    let entries = entries(jwks);
    let set = match set {
        Ok(set) => set,
        Err(error) => return expectation.judge(&Err(error), None),
    };
    if expectation.label() == Label::Invalid {
        // An entry that is no object spoils nothing but itself, unless there are only such.
        let odd = entries.iter().any(|entry| !entry.is_object()) && entries.iter().any(Value::is_object);
        return if odd {
            Ok(Verdict::ByPolicy(Policy::OddEntriesSkipped))
        } else {
            expectation.judge(&Ok::<_, ()>(()), None)
        };
    }
    let usable: BTreeSet<Option<&str>> = set.keys().map(|key| key.key_id()).collect();
    let expected: BTreeSet<Option<&str>> = case.usable_kids.iter().flatten().map(Option::as_deref).collect();
    let unsupported: BTreeSet<Option<&str>> =
        entries.iter().filter(|key| is_on_unsupported_curve(key)).map(|key| key["kid"].as_str()).collect();
    let missing: Vec<_> = expected.difference(&usable).filter(|kid| !unsupported.contains(*kid)).collect();
    let surplus: Vec<_> = usable.difference(&expected).collect();
    if !missing.is_empty() || !surplus.is_empty() {
        return Err(format!("not usable: {missing:?}, usable: {surplus:?}, skipped: {:?}", set.skipped()));
    }
    if let Some(ignored) = case.ignored.iter().find(|kid| usable.contains(&kid.as_deref())) {
        return Err(format!("{ignored:?} is usable"));
    }
    if let Some(token) = &case.token {
        verify(jwks, token).map_err(|reason| format!("its token does not verify: {reason}"))?;
    }
    if expected.iter().any(|kid| unsupported.contains(kid)) {
        return Ok(Verdict::ByPolicy(Policy::CurveUnsupported));
    }
    Ok(Verdict::Accepted)
}

#[derive(Deserialize)]
struct Thumbprint {
    jwk: Box<RawValue>,
    hash: String,
    thumbprint: Option<String>,
}

#[test]
fn jwk_thumbprints() {
    const FILE: &str = "jwk/thumbprints";
    let Some(cases) = cases::<Thumbprint>(FILE) else { return };
    let mut tally = Tally::of(FILE);
    for (expectation, case) in cases {
        let key: Value = serde_json::from_str(case.jwk.get()).unwrap();
        let (outcome, policy) = match case.hash.as_str() {
            "sha256" => {
                let found = jwks::thumbprint(case.jwk.get()).map_err(|reason| reason.to_string());
                let outcome = found.and_then(|found| match &case.thumbprint {
                    Some(thumbprint) if found.to_string() == *thumbprint => Ok(()),
                    expected => Err(format!("{found} instead of {expected:?}")),
                });
                (outcome, is_on_unsupported_curve(&key).then_some(Policy::CurveUnsupported))
            }
            other => (Err(format!("{other} is not computed")), Some(Policy::Sha256Only)),
        };
        tally.add(&expectation, expectation.judge(&outcome, policy));
    }
    tally.finish();
}
