//! Thousands of mutated tokens, judged by us and by jsonwebtoken at its
//! strictest: nothing that it refuses may pass here.
//!
//! Each token starts good. Its header and claims are changed as JSON text and
//! then properly signed, so that what is judged is what they say; or the
//! finished token's own text is changed, so that what is judged is the reading.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "tests"
)]

mod mutation;

use std::collections::{BTreeMap, BTreeSet};

use integration_tests::AUDIENCE;
use jsonwebtoken::{DecodingKey, Validation, crypto::aws_lc, decode, decode_header, jwk::JwkSet};
use serde_json::{Map, Value};
use tower_delegation::{DelegationLayer, TrustedIssuer, clock::DEFAULT_LEEWAY};
use tower_delegation_testing::{Algorithm, MockIdp};

use self::mutation::{Dice, mutated};

const TOKENS: usize = 12_000;

/// Fewer than this, and the comparison says little.
const LEAST: usize = TOKENS / 10;

#[tokio::test]
async fn jsonwebtoken_accepts_every_token_that_we_accept() {
    aws_lc::DEFAULT_PROVIDER.install_default().unwrap();
    let algorithms = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];
    let idp = MockIdp::builder().algorithms(algorithms).audience(AUDIENCE).start().await;
    let issuer = TrustedIssuer::with_static_keys(idp.issuer(), &idp.jwks().to_string()).unwrap();
    let layer = DelegationLayer::builder().add_issuer(issuer.add_audience(AUDIENCE)).build().unwrap();
    let authenticator = layer.authenticator();
    let oracle = Oracle::new(&idp);

    let mut dice = Dice::new();
    let (mut both_accept, mut both_refuse, mut only_they) = (0, 0, BTreeMap::<_, usize>::new());
    let mut reasons = BTreeSet::new();
    let mut only_we = Vec::new();
    for _ in 0..TOKENS {
        let (mutations, token) = mutated(&idp, &mut dice);
        // They come first, so that no token expires between the two.
        let theirs = oracle.accepts(&token);
        match (authenticator.verify(&token).await, theirs) {
            (Ok(_), true) => both_accept += 1,
            (Ok(_), false) => only_we.push((mutations, token)),
            (Err(rejection), theirs) => {
                reasons.insert(rejection.reason().code());
                if theirs {
                    *only_they.entry(rejection.reason().code()).or_default() += 1;
                } else {
                    both_refuse += 1;
                }
            }
        }
    }
    let strictness: usize = only_they.values().sum();
    println!(
        "{TOKENS} tokens: both accept {both_accept}, both refuse {both_refuse}, only we refuse {strictness}, \
         only we accept {}; {} reasons for refusal; only we refuse for {only_they:?}",
        only_we.len(),
        reasons.len(),
    );
    assert!(only_we.is_empty(), "only we accept {:#?}", only_we.iter().take(5).collect::<Vec<_>>());
    for (name, count) in [("both accept", both_accept), ("both refuse", both_refuse)] {
        assert!(count >= LEAST, "{name}: {count}");
    }
    assert!(reasons.len() >= 20, "the mutations are too tame: {reasons:?}");
}

/// jsonwebtoken with every check turned on and the keys of one issuer.
struct Oracle(Vec<(String, DecodingKey, Validation)>);

impl Oracle {
    fn new(idp: &MockIdp) -> Self {
        let set: JwkSet = serde_json::from_value(idp.jwks()).unwrap();
        let keys = set.keys.iter().map(|jwk| {
            let algorithm = jwk.common.key_algorithm.unwrap().to_string().parse().unwrap();
            let mut validation = Validation::new(algorithm);
            validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            validation.set_issuer(&[idp.issuer()]);
            validation.set_audience(&[AUDIENCE]);
            validation.validate_nbf = true;
            validation.leeway = DEFAULT_LEEWAY.as_secs();
            (jwk.common.key_id.clone().unwrap(), DecodingKey::from_jwk(jwk).unwrap(), validation)
        });
        Self(keys.collect())
    }

    /// By the key that the header names, or by any if it names none.
    fn accepts(&self, token: &str) -> bool {
        let Ok(header) = decode_header(token) else { return false };
        let named = self.0.iter().filter(|(id, ..)| header.kid.as_ref().is_none_or(|kid| kid == id));
        named
            .into_iter()
            .any(|(_, key, validation)| decode::<Map<String, Value>>(token, key, validation).is_ok())
    }
}
